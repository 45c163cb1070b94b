"""What Newbi's texts look like: e-mail, phone, SIRET, numbers of documents and so on.

Every type here is an annotation with a :class:`~newbi_migrate.documents.rules.Rule`: an id and one
sentence. None coerces: a stored value is what it is.
"""

from __future__ import annotations

import json
import string
import unicodedata
from typing import Annotated, Final

from newbi_migrate.documents.rules import Rule, predicated
from newbi_migrate.documents.scalars import made_of, matching
from newbi_migrate.invariants.base import Severity
from newbi_migrate.invariants.language import STRING, AllOf, BuiltFrom, Contains, Length, Not

__all__ = [
    "BcryptHash",
    "Bic",
    "CapitalSocial",
    "City",
    "CurrencyCode",
    "CustomText",
    "DocumentNumber",
    "Email",
    "FooterText",
    "FullName",
    "GivenName",
    "HexColour",
    "Iban",
    "ItemDescription",
    "ItemUnit",
    "JsonText",
    "Name",
    "NormalEmail",
    "PasswordHash",
    "Phone",
    "PhoneFr",
    "PostalCode",
    "PurchaseOrderNumber",
    "QuoteNumber",
    "Rcs",
    "Roles",
    "SignatureEmail",
    "Siren",
    "Siret",
    "Slug",
    "Street",
    "Url",
    "VatEu",
    "VatFr",
]

# Letters of Latin-1, without its multiplication and division signs.
_LETTERS: Final = "A-Za-zÀ-ÖØ-öø-ÿ"
_ASCII_LETTERS_AND_DIGITS: Final = frozenset(string.ascii_letters + string.digits)


def _is_letter(character: str) -> bool:
    return character in string.ascii_letters or (
        "À" <= character <= "ÿ" and character not in "\u00d7\u00f7"
    )


def _is_plain(character: str) -> bool:
    return (
        _is_letter(character)
        or character in _ASCII_LETTERS_AND_DIGITS
        or character in string.punctuation
        or character.isspace()
    )


Email = Annotated[
    str,
    matching(
        "email",
        "The value is an e-mail address of ASCII word characters with single dots or hyphens "
        "between them, ending in a dot and 2 or 3 characters.",
        r"\w+(?:[.-]\w+)*@\w+(?:[.-]\w+)*\.\w{2,3}",
    ),
]
SignatureEmail = Annotated[
    str,
    matching(
        "signature-email",
        "The value has no blanks, one @, and a dot after it.",
        r"[^\s@]+@[^\s@]+\.[^\s@]+",
        ascii_only=False,
    ),
]
NormalEmail = Annotated[
    str,
    predicated(
        "field.normal-email",
        "The e-mail address is in lower case without blanks around it, as sign-in looks it up.",
        AllOf(
            # What lower case changes is not the same in every engine, so it is spelled out.
            BuiltFrom(lambda character: character.lower() == character, Length(1)),
            Not(Contains(r"\A\s|\s\Z")),
        ),
        severity=Severity.CRITICAL,
        json_schema={"type": "string", "format": "email"},
    ),
]
Phone = Annotated[
    str,
    matching(
        "phone",
        "The value is a phone number: a country code if any, then at least 9 digits together.",
        r"(?:\+\d{1,3}\s?)?\d{9,}",
    ),
]
PhoneFr = Annotated[
    str,
    matching(
        "phone-fr",
        "The value is a French phone number: 0, +33 or 0033, a digit from 1 to 9, four pairs.",
        r"(?:\+33|0033|0)[ .-]?[1-9](?:[ .-]?\d{2}){4}",
    ),
]
Name = Annotated[
    str,
    matching(
        "name",
        "The value is a name of 2 to 50 letters, digits, blanks and - ' . ( ) , & characters.",
        rf"[{_LETTERS}0-9\s\-'.(),&]{{2,50}}",
        ascii_only=False,
    ),
]
GivenName = Annotated[
    str,
    matching(
        "given-name",
        "The value is a name of 2 to 50 letters, blanks, apostrophes and hyphens.",
        rf"[{_LETTERS}\s'-]{{2,50}}",
        ascii_only=False,
    ),
]
FullName = Annotated[
    str,
    matching(
        "full-name",
        "The value is a name of 2 to 100 letters, blanks, apostrophes and hyphens.",
        rf"[{_LETTERS}\s'-]{{2,100}}",
        ascii_only=False,
    ),
]
Siret = Annotated[str, matching("siret", "A SIRET is 14 digits.", r"[0-9]{14}")]
Siren = Annotated[str, matching("siren", "A SIREN is 9 digits.", r"[0-9]{9}")]
VatFr = Annotated[
    str, matching("vat-fr", "A French VAT number is FR and 11 digits.", r"FR[0-9]{11}")
]
VatEu = Annotated[
    str,
    matching(
        "vat-eu",
        "A VAT number is 2 capitals and 2 to 12 capitals or digits.",
        r"[A-Z]{2}[A-Z0-9]{2,12}",
    ),
]
Iban = Annotated[
    str,
    matching(
        "iban",
        "A French IBAN is FR, 12 digits, 11 capitals or digits, and 2 digits, without blanks.",
        r"FR[0-9]{12}[A-Z0-9]{11}[0-9]{2}",
    ),
]
Bic = Annotated[
    str,
    matching(
        "bic",
        "A BIC is 6 capitals, 2 capitals or digits, and 3 more or none.",
        r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?",
    ),
]
PostalCode = Annotated[str, matching("postal-code", "A postal code is 5 digits.", r"[0-9]{5}")]
Street = Annotated[
    str,
    matching(
        "street",
        "The value is 3 to 100 letters, digits, blanks and , ' - . characters.",
        rf"[{_LETTERS}0-9\s,'.-]{{3,100}}",
        ascii_only=False,
    ),
]
City = Annotated[
    str,
    matching(
        "city",
        "The value is 2 to 50 letters, blanks, apostrophes and hyphens.",
        rf"[{_LETTERS}\s'-]{{2,50}}",
        ascii_only=False,
    ),
]
CapitalSocial = Annotated[
    str,
    matching(
        "capital-social",
        "The capital is text of 1 to 20 digits, with a point and 1 or 2 decimals if any.",
        r"[0-9]{1,20}(?:\.[0-9]{1,2})?",
    ),
]
_SIREN_IN_GROUPS: Final = r"[0-9]{3}\s?[0-9]{3}\s?[0-9]{3}"
Rcs = Annotated[
    str,
    matching(
        "rcs",
        "An RCS number is 9 digits, RCS and a city, or a city, a capital if any, and 9 digits.",
        rf"{_SIREN_IN_GROUPS}\s?(?:R\.C\.S\.|RCS)\s[{_LETTERS}\s'-]{{2,30}}"
        rf"|[{_LETTERS}\s'-]{{2,30}}\s(?:[A-Z]\s)?{_SIREN_IN_GROUPS}",
        ascii_only=False,
    ),
]
Url = Annotated[
    str,
    matching(
        "url",
        "The value is a web address with a domain name or an IPv4 address.",
        r"(?:[Hh][Tt][Tt][Pp][Ss]?://)?"
        r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})"
        r"(?::[0-9]+)?(?:/[A-Za-z0-9_.~%+-]*)*(?:\?[A-Za-z0-9;&_.~%+=-]*)?(?:#[A-Za-z0-9_-]*)?",
    ),
]
HexColour = Annotated[
    str,
    matching(
        "hex-colour",
        "A colour is # and 3 or 6 hexadecimal digits.",
        r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})",
    ),
]
CurrencyCode = Annotated[str, matching("currency", "A currency is 3 capitals.", r"[A-Z]{3}")]
DocumentNumber = Annotated[
    str,
    matching(
        "document-number",
        "The number of a document is 1 to 50 letters, digits and hyphens.",
        r"[A-Za-z0-9-]{1,50}",
    ),
]
QuoteNumber = Annotated[
    str,
    matching(
        "quote-number",
        "The number of a quote is 1 to 20 letters, digits and hyphens.",
        r"[A-Za-z0-9-]{1,20}",
    ),
]
PurchaseOrderNumber = Annotated[
    str,
    matching(
        "purchase-order-number",
        "The number of an order is 1 to 50 letters, digits, hyphens and slashes.",
        r"[A-Za-z0-9/-]{1,50}",
    ),
]
ItemDescription = Annotated[
    str,
    made_of(
        "item-description",
        "A description is 1 to 200 letters, digits, blanks and ASCII punctuation.",
        1,
        200,
        _is_plain,
    ),
]
ItemUnit = Annotated[
    str,
    matching(
        "item-unit",
        "A unit is 1 to 20 letters, digits, blanks and . / - ² ³ characters.",
        rf"[{_LETTERS}0-9\s./²³-]{{1,20}}",
        ascii_only=False,
    ),
]
CustomText = Annotated[
    str,
    made_of(
        "custom-text",
        "The value is 1 to 500 letters, digits, blanks, ASCII punctuation and currency signs.",
        1,
        500,
        lambda c: _is_plain(c) or unicodedata.category(c) == "Sc",
    ),
]
FooterText = Annotated[
    str,
    made_of(
        "footer-text",
        "A footer is at most 2000 letters, numbers, signs, separators and tabs, on one line.",
        0,
        2000,
        lambda c: c == "\t" or unicodedata.category(c)[0] in "LNPSZ",
    ),
]
Slug = Annotated[
    str,
    matching(
        "slug",
        "A slug is lower-case letters and digits with single hyphens between them.",
        r"[a-z0-9]+(?:-[a-z0-9]+)*",
    ),
]
_BCRYPT: Final = r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}"
BcryptHash = Annotated[str, matching("bcrypt-hash", "A stored password is a bcrypt hash.", _BCRYPT)]
PasswordHash = Annotated[
    str,
    matching(
        "password-hash",
        "A stored password is a bcrypt hash, or Better Auth's scrypt salt and key.",
        rf"{_BCRYPT}|[0-9a-f]{{32}}:[0-9a-f]{{128}}",
    ),
]
Roles = Annotated[
    str,
    matching(
        "roles",
        "The value is owner, admin, member, viewer or accountant, or several joined by commas.",
        r"(?:owner|admin|member|viewer|accountant)(?:,(?:owner|admin|member|viewer|accountant))*",
    ),
]


def _is_json(value: object) -> bool:
    if not isinstance(value, str) or not STRING.holds(value):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


JsonText = Annotated[
    str,
    Rule(
        "field.json-text",
        "The value is text in JSON.",
        _is_json,
        json_schema={"type": "string", "contentMediaType": "application/json"},
    ),
]
