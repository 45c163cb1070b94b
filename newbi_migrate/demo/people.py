"""Pretended people and companies of France, as the legacy users hold them.

Names and places are common ones put together by chance; numbers have valid check digits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from bson import ObjectId

__all__ = [
    "PASSWORDS",
    "address",
    "bank_details",
    "company",
    "email_of",
    "iban",
    "object_id",
    "person",
    "siret",
    "vat_number",
]

PASSWORDS: Final[Mapping[str, str]] = {
    "Newbi-2025!": "$2b$10$GDVQOw44I.TYdpcSyfywq.iJbxThzt/ABxxU1cPOtqveYUfzJ6S5S",
    "Facture&Devis7": "$2a$10$6re9XdIW.4t.jj9VBV4Z2..iSz.Rah6uHeLDbO/KFBGDVAq6X3zgu",
    "Été-à-Lyon_69": "$2b$10$u2Biq52Euq/el8NxnXa90ekHKxvUdSQp18kpUESXnEjBpFJovmPsa",
}
"""Passwords of the pretended users, each with the bcrypt hash (cost 10) that is stored."""

_FIRST = [
    "Camille",
    "Léa",
    "Hugo",
    "Zoé",
    "Lucas",
    "Inès",
    "Nathan",
    "Chloé",
    "Théo",
    "Manon",
    "Jules",
    "Élodie",
    "Maël",
    "Amélie",
    "Gaël",
    "Aurélie",
    "Benoît",
    "Céline",
    "Damien",
    "Françoise",
    "Grégory",
    "Hélène",
    "Joël",
    "Maëlys",
    "Noémie",
    "Quentin",
    "Raphaël",
    "Sébastien",
    "Thérèse",
    "Véronique",
    "Yann",
    "Jean-Luc",
    "Anne-Sophie",
]
_LAST = [
    "Martin",
    "Bernard",
    "Dubois",
    "Thomas",
    "Robert",
    "Richard",
    "Petit",
    "Durand",
    "Leroy",
    "Moreau",
    "Simon",
    "Laurent",
    "Lefèvre",
    "Michel",
    "Garcia",
    "David",
    "Bertrand",
    "Roux",
    "Vincent",
    "Fournier",
    "Morel",
    "Girard",
    "André",
    "Mercier",
    "Dupont",
    "Lambert",
    "Bonnet",
    "François",
    "Martinez",
    "Legrand",
    "Garnier",
    "Faure",
    "Rousseau",
    "Blanc",
    "Guérin",
    "Müller",
    "Noël",
    "Pérez",
]
_TRADES = (
    "Menuiserie",
    "Atelier",
    "Conseil",
    "Boulangerie",
    "Studio",
    "Électricité",
    "Plomberie",
    "Librairie",
    "Architecture",
    "Traiteur",
    "Paysages",
    "Informatique",
)
_PLACES = (
    ("75011", "Paris"),
    ("69003", "Lyon"),
    ("13006", "Marseille"),
    ("31000", "Toulouse"),
    ("44000", "Nantes"),
    ("67000", "Strasbourg"),
    ("33000", "Bordeaux"),
    ("35000", "Rennes"),
    ("38000", "Grenoble"),
    ("42000", "Saint-Étienne"),
)
_STREETS = (
    "rue de la République",
    "avenue Jean Jaurès",
    "boulevard Voltaire",
    "rue des Écoles",
    "place de l'Église",
    "chemin des Vignes",
    "quai de Saône",
    "impasse du Moulin",
)
_DOMAINS = ("exemple.fr", "courriel.fr", "atelier-exemple.fr", "societe-exemple.com")
_BANKS = (("BNPAFRPP", "Banque de l'Exemple"), ("CEPAFRPP751", "Caisse de l'Exemple"))
_FORMS = ("SASU", "EI", "SARL", "AUTO_ENTREPRENEUR", "EURL", "SAS", "EIRL", "ASSOCIATION")
_COMPANIES = frozenset({"SARL", "SAS", "EURL", "SASU", "SA", "SNC", "SCOP"})


def object_id(rng: Random, seconds: int) -> ObjectId:
    """An ObjectId of that moment, the rest of it drawn."""
    return ObjectId(seconds.to_bytes(4, "big") + rng.randbytes(8))


def person(rng: Random) -> tuple[str, str]:
    """First and last name."""
    return rng.choice(_FIRST), rng.choice(_LAST)


def email_of(first: str, last: str, number: int, rng: Random) -> str:
    """An address that the application accepts; the number makes it unique."""
    local = f"{first}.{last}{number}".lower().replace("'", "")
    plain = unicodedata.normalize("NFKD", local).encode("ascii", "ignore").decode("ascii")
    return f"{plain}@{rng.choice(_DOMAINS)}"


def address(rng: Random) -> dict[str, Any]:
    """A postal address, without an ``_id``."""
    postal_code, city = rng.choice(_PLACES)
    return {
        "street": f"{rng.randint(1, 180)} {rng.choice(_STREETS)}",
        "city": city,
        "postalCode": postal_code,
        "country": "France",
    }


def siret(rng: Random) -> str:
    """Fourteen digits whose Luhn sum is right."""
    digits = [rng.randint(1, 9), *(rng.randint(0, 9) for _ in range(7))]
    siren = _luhn(digits)
    return "".join(map(str, _luhn([*siren, 0, 0, 0, rng.randint(1, 9)])))


def vat_number(of_siret: str) -> str:
    """The French VAT number that belongs to a SIRET."""
    siren = of_siret[:9]
    return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"


def iban(rng: Random) -> str:
    """A French IBAN whose check digits are right."""
    bank, branch = rng.randint(10_000, 19_999), rng.randint(0, 99_999)
    account = rng.randint(0, 99_999_999_999)
    key = 97 - (89 * bank + 15 * branch + 3 * account) % 97
    basic = f"{bank:05d}{branch:05d}{account:011d}{key:02d}"
    # F and R count as 15 and 27, the check digits as 00.
    check = 98 - int(f"{basic}152700") % 97
    return f"FR{check:02d}{basic}"


def bank_details(rng: Random) -> dict[str, Any]:
    """All three bank details, without an ``_id``."""
    bic, name = rng.choice(_BANKS)
    return {"iban": iban(rng), "bic": bic, "bankName": name}


def company(rng: Random, last: str, phone: str, email: str) -> dict[str, Any]:
    """A company with everything its legal form demands, without any ``_id``."""
    form = rng.choice(_FORMS)
    number = siret(rng)
    place = address(rng)
    details: dict[str, Any] = {
        "name": f"{rng.choice(_TRADES)} {last}",
        "email": email,
        "phone": phone,
        "siret": number,
        "vatNumber": vat_number(number),
        "transactionCategory": rng.choice(("GOODS", "SERVICES", "MIXED")),
        "vatPaymentCondition": rng.choice(("ENCAISSEMENTS", "DEBITS", "NONE")),
        "companyStatus": form,
        "address": place,
        "bankDetails": bank_details(rng),
    }
    if form in _COMPANIES:
        details["capitalSocial"] = str(rng.choice((1000, 5000, 10_000)))
        siren = f"{number[:3]} {number[3:6]} {number[6:9]}"
        details["rcs"] = f"{siren} RCS {place['city']}"
    return details


def _luhn(digits: list[int]) -> list[int]:
    """The digits followed by the one that makes their Luhn sum a multiple of ten."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = digit * 2 if position % 2 == 0 else digit
        total += value - 9 if value > 9 else value
    return [*digits, -total % 10]
