"""What Newbi's texts and scalars must look like, value by value."""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate.documents import fields, scalars
from newbi_migrate.documents.shapes import shape_of
from newbi_migrate.testing.field_values import accepts

KEPT = {
    "Email": ["jean.dupont@newbi.fr", "a-b@c-d.co.uk"],
    "SignatureEmail": ["moi+x@newbi.online"],
    "NormalEmail": ["moi+x@newbi.online"],
    "Phone": ["+33 612345678", "0612345678"],
    "PhoneFr": ["06 12 34 56 78", "+33612345678", "0033 6.12.34.56.78", "06-12-34-56-78"],
    "Name": ["L'Atelier (Paris), & Cie", "Zoé"],
    "GivenName": ["Jean-Noël"],
    "FullName": ["Jean-Noël d'Arc"],
    "Siret": ["12345678901234"],
    "Siren": ["123456789"],
    "VatFr": ["FR12345678901"],
    "VatEu": ["BE0123456789", "FRAB123456789"],
    "Iban": ["FR7630006000011234567890189"],
    "Bic": ["AGRIFRPP", "AGRIFRPP882"],
    "PostalCode": ["75001"],
    "Street": ["12, rue de l'Église"],
    "City": ["Saint-Étienne"],
    "CapitalSocial": ["1000", "1000.50"],
    "Rcs": ["123 456 789 RCS Paris", "Paris B 123 456 789", "123456789 R.C.S. Lyon"],
    "Url": ["https://newbi.fr/a?b=c#d", "newbi.fr", "http://127.0.0.1:3000/"],
    "HexColour": ["#fff", "#1d1d1b"],
    "CurrencyCode": ["EUR"],
    "DocumentNumber": ["000001", "DRAFT-000003-1758700000000"],
    "QuoteNumber": ["000001"],
    "PurchaseOrderNumber": ["PO/2025-1"],
    "ItemDescription": ["Création d'un site (2 pages)"],
    "ItemUnit": ["m²", "unité"],
    "CustomText": ["12 €"],
    "FooterText": ["Merci — à bientôt\t!", ""],
    "Slug": ["org-1a2b3c4d"],
    "BcryptHash": ["$2b$10$" + "a" * 53],
    "PasswordHash": ["$2a$10$" + "a" * 53, "0" * 32 + ":" + "f" * 128],
    "Roles": ["owner", "admin,member"],
    "JsonText": ["{}"],
}
BROKEN = {
    "Email": ["moi+x@newbi.fr", "moi@newbi.online", "a..b@c.fr", "é@c.fr", "a@b", "a@b.fr\n"],
    "SignatureEmail": ["a b@c.fr", "a@@c.fr", "a@c"],
    "NormalEmail": ["Moi@newbi.fr", " moi@newbi.fr", ""],
    "Phone": ["06 12 34 56 78", "12345678"],
    "PhoneFr": ["0012345678", "06123456", "+32612345678"],
    "Name": ["A", "<b>x</b>", "a" * 51, "a\u00d7b"],
    "GivenName": ["J", "Jean2", "a" * 51],
    "FullName": ["J", "Jean (2)", "a" * 101],
    "Siren": ["12345678", "1234567890"],
    "Siret": ["1234567890123", "123 456 789 01234", "١٢٣٤٥٦٧٨٩٠١٢٣٤"],
    "VatFr": ["FRAB123456789", "BE0123456789"],
    "Iban": ["FR76 3000 6000 0112 3456 7890 189", "DE89370400440532013000"],
    "VatEu": ["B0123456789", "BE1", "be0123456789", "BE0123456789012"],
    "Bic": ["AGRIFRP", "AGRIFRPP88", "agrifrpp", "AGRIFRPP8822"],
    "Street": ["ab", "1; rue", "a" * 101],
    "CurrencyCode": ["eur", "EU", "EURO"],
    "PurchaseOrderNumber": ["PO 1", "", "1" * 51],
    "ItemUnit": ["", "kg%", "u" * 21],
    "CustomText": ["", "12 \u2019", "a" * 501],
    "PasswordHash": ["secret", "0" * 32 + ":" + "f" * 127, "$2b$10$" + "a" * 52],
    "PostalCode": ["7500", "2A004"],
    "City": ["St. Malo"],
    "CapitalSocial": ["1 000", "1000,50"],
    "Rcs": ["RCS Paris 123 456 789X", "12345"],
    "Url": ["http://localhost", "a@b.fr", "https://newbi.fr/a:b"],
    "HexColour": ["1d1d1b", "#1d1d"],
    "DocumentNumber": ["", "F/2024/1", "1" * 51],
    "QuoteNumber": ["DRAFT-000003-1758700000000"],
    "ItemDescription": ["12 €", "l\u2019été"],
    "FooterText": ["une\nligne", "a" * 2001],
    "Slug": ["Org", "a--b", "-a"],
    "BcryptHash": ["0" * 32 + ":" + "f" * 128, ""],
    "Roles": ["OWNER", "owner, member", ""],
    "JsonText": ["{", "None"],
}
ANY_TYPE = [None, 7, 1.5, True, b"x", ObjectId(), [], {}, datetime(2024, 1, 1)]  # noqa: DTZ001


def holds(name, value, module=fields):
    return accepts(shape_of(getattr(module, name)), value)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in KEPT.items() for v in vs])
def test_a_text_is_accepted(name, value):
    """What Newbi's own validator accepts is accepted."""
    assert holds(name, value)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BROKEN.items() for v in vs])
def test_a_text_is_refused(name, value):
    """What Newbi's own validator refuses is refused."""
    assert not holds(name, value)


@pytest.mark.parametrize("name", fields.__all__)
def test_nothing_but_text_is_text(name):
    """A value of another BSON type is refused and never coerced."""
    assert [] == [value for value in ANY_TYPE if holds(name, value)]


@pytest.mark.parametrize("examples", [KEPT, BROKEN], ids=["accepted", "refused"])
def test_every_type_has_an_example(examples):
    """No type is without one that is accepted and one that is refused."""
    assert set(fields.__all__) == set(examples)


@pytest.mark.parametrize(
    ("name", "kept", "broken"),
    [
        ("Flag", [True, False], [1, 0, "true", None]),
        ("BsonDate", [datetime(2024, 1, 1), DatetimeMS(2**60)], ["2024-01-01", 0]),  # noqa: DTZ001
        ("Number", [0, 1.5, Int64(3)], [True, "1", None]),
        ("NonNegative", [0, 0.0, 1], [-1, float("nan"), True]),
        ("NonPositive", [0, -1.5], [1, float("nan")]),
        ("Positive", [0.01], [0, -1, False]),
        ("NonZero", [-1, 1], [0, float("nan")]),
        ("Percentage", [0, 100, 5.5], [-1, 100.1, "20"]),
        ("WholeNumber", [2024, 2024.0], [2024.5, float("inf"), True]),
        ("WorkspaceIdString", ["a" * 24], ["A" * 24, "a" * 23, ObjectId()]),
        ("WorkspaceId", [ObjectId()], ["a" * 24, None]),
        ("NonEmptyText", ["x"], ["", "  ", 1]),
    ],
)
def test_a_scalar_is_what_it_is(name, kept, broken):
    """Numbers are numbers whatever their BSON type, and flags and dates nothing else."""
    assert kept == [value for value in kept if holds(name, value, scalars)]
    assert [] == [value for value in broken if holds(name, value, scalars)]
