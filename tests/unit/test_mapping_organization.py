"""A legacy company becomes an organization under the names the application reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import Decimal128, Int64, ObjectId

from newbi_migrate.mapping.ids import member_id, organization_id
from newbi_migrate.mapping.organization import (
    NEUTRAL_NAME,
    ambiguous_numbers,
    company_fields,
    company_fields_missing,
    incomplete_fields,
    member_document,
    organization_document,
)

USER = ObjectId("64b000000000000000000001")
OTHER = ObjectId("64b000000000000000000002")
DAY = datetime(2025, 1, 2, tzinfo=UTC)
COMPANY = {
    "name": " Atelier ",
    "email": "contact@atelier.fr",
    "phone": "0612121212",
    "website": "atelier.fr",
    "logo": "logo.png",
    "siret": "12345678901234",
    "vatNumber": "FR12345678901",
    "rcs": "Paris 123 456 789",
    "capitalSocial": "1000",
    "companyStatus": "SARL",
    "transactionCategory": "GOODS",
    "vatPaymentCondition": "DEBITS",
    "address": {
        "fullName": "Léa Martin",
        "street": "1, rue X",
        "city": "Lyon",
        "postalCode": "69001",
        "country": "France",
    },
    "bankDetails": {"iban": "FR7630006000011234567890189", "bic": "AGRIFRPP", "bankName": "AGRI"},
}
FIELDS = {
    "companyName": "Atelier",
    "companyEmail": "contact@atelier.fr",
    "companyPhone": "0612121212",
    "website": "atelier.fr",
    "logo": "logo.png",
    "siret": "12345678901234",
    "vatNumber": "FR12345678901",
    "rcs": "Paris 123 456 789",
    "capitalSocial": "1000",
    "addressStreet": "1, rue X",
    "addressCity": "Lyon",
    "addressZipCode": "69001",
    "addressCountry": "France",
    "bankIban": "FR7630006000011234567890189",
    "bankBic": "AGRIFRPP",
    "bankName": "AGRI",
    "legalForm": "SARL",
    "activityCategory": "commerciale",
    "hasCommercialActivity": True,
    "isVatSubject": True,
    "showBankDetails": True,
}
GUARD = (
    "companyName",
    "companyEmail",
    "addressStreet",
    "addressCity",
    "addressZipCode",
    "addressCountry",
)


def test_a_whole_company_has_the_applications_names():
    """Every field stands at the top level under the name the application reads, in this order."""
    assert list(FIELDS.items()) == list(company_fields({"company": COMPANY}).items())


@pytest.mark.parametrize(
    "legacy",
    [
        {},
        {"company": None},
        {"company": "Newbi"},
        {"company": []},
        {"company": {}},
        {"company": {"name": "", "siret": " ", "address": None, "bankDetails": {"iban": ""}}},
        {"company": {"companyStatus": "AUTRE", "transactionCategory": "SERVICES"}},
        {"company": {"name": [7], "address": "Lyon", "bankDetails": [1], "siret": True}},
        {"name": "Atelier"},
    ],
)
def test_a_company_of_which_nothing_is_known_has_no_fields(legacy):
    """Nothing blank and no default of the schema becomes a field."""
    assert {} == company_fields(legacy)


@pytest.mark.parametrize(
    ("company", "expected"),
    [
        ({"companyStatus": "SAS"}, {"legalForm": "SAS"}),
        ({"companyStatus": " AUTO_ENTREPRENEUR "}, {"legalForm": "Auto-entrepreneur"}),
        ({"companyStatus": "AUTRE", "rcs": "R"}, {"rcs": "R", "legalForm": "AUTRE"}),
        ({"companyStatus": "AUTRE"}, {}),
        ({"companyStatus": ""}, {}),
        ({"companyStatus": 7, "rcs": "R"}, {"rcs": "R"}),
        ({"transactionCategory": "MIXED"}, {"hasCommercialActivity": True}),
        (
            {"transactionCategory": "GOODS"},
            {"activityCategory": "commerciale", "hasCommercialActivity": True},
        ),
        ({"transactionCategory": "SERVICES"}, {}),
        ({"transactionCategory": ["GOODS"]}, {}),
        ({"vatNumber": "FR1"}, {"vatNumber": "FR1", "isVatSubject": True}),
        ({"vatNumber": " "}, {}),
        ({"bankDetails": {"iban": "FR"}}, {"bankIban": "FR", "showBankDetails": True}),
        ({"bankDetails": {"bic": "AGRI"}}, {"bankBic": "AGRI", "showBankDetails": True}),
        ({"bankDetails": {"bankName": "AGRI"}}, {"bankName": "AGRI"}),
        ({"address": {"zipCode": "69001"}}, {}),
        ({"vatPaymentCondition": "DEBITS"}, {}),
    ],
)
def test_flags_and_forms_follow_from_what_is_stored(company, expected):
    """What the application asks as a choice is derived only where the legacy value can tell."""
    assert expected == company_fields({"company": company})


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(69001, "69001"), (69001.0, "69001"), (Int64(69001), "69001"), (Decimal128("69001"), "69001")],
)
def test_a_number_is_the_text_the_application_reads(stored, expected):
    """A postal code, a SIRET and a capital that were stored as numbers are there all the same."""
    company = {"siret": stored, "capitalSocial": stored, "address": {"postalCode": stored}}
    names = ("siret", "capitalSocial", "addressZipCode")

    assert dict.fromkeys(names, expected) == company_fields({"company": company})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"company": {"address": {"postalCode": 1000}}}, ("company.address.postalCode",)),
        ({"company": {"address": {"postalCode": 69001.5}}}, ("company.address.postalCode",)),
        ({"company": {"address": {"postalCode": 69001}}}, ()),
        ({"company": {"address": {"postalCode": "1000"}}}, ()),
        ({"company": {"siret": 1234567890123}}, ("company.siret",)),
        ({"company": {"siret": 12345678901234.0}}, ()),
        ({"company": {"siret": -1234567890123}}, ("company.siret",)),
        ({"company": {"capitalSocial": 1}}, ()),
        ({"company": {"capitalSocial": Decimal128("Infinity")}}, ("company.capitalSocial",)),
        ({"company": {"capitalSocial": True}}, ()),
        ({"company": {"phone": 612121212}}, ("company.phone",)),
        ({"profile": {"phone": 612121212}}, ("profile.phone",)),
        ({"profile": {"phone": 33612121212}}, ("profile.phone",)),
        ({"company": "Atelier"}, ()),
    ],
)
def test_a_number_that_may_have_lost_a_zero_is_told(document, expected):
    """Nobody can say whether 1000 was the postal code 01000."""
    assert expected == ambiguous_numbers(document)


@pytest.mark.parametrize(
    ("existing", "left_out"),
    [
        ({}, ()),
        ({"companyName": "Studio", "siret": None, "rcs": " "}, ()),
        ({"addressCity": "Paris"}, ("addressStreet", "addressZipCode", "addressCountry")),
        (
            {"addressStreet": "2, rue Y", "addressCity": "Paris"},
            ("addressZipCode", "addressCountry"),
        ),
        ({"addressCity": "Lyon"}, ()),
        ({"addressCity": None}, ()),
        ({"bankIban": "FR00"}, ("bankBic", "bankName", "showBankDetails")),
        ({"bankBic": "X", "bankName": "Y"}, ("bankIban", "showBankDetails")),
        ({"bankIban": FIELDS["bankIban"], "bankBic": ""}, ()),
        ({"vatNumber": "FR00"}, ("isVatSubject",)),
        ({"vatNumber": 7}, ("isVatSubject",)),
        ({"vatNumber": ""}, ()),
    ],
)
def test_an_existing_organization_is_not_filled_beside_a_contradiction(existing, left_out):
    """Where one part of an address or account differs, its other parts are not offered."""
    expected = {name: value for name, value in FIELDS.items() if name not in left_out}

    assert expected == company_fields_missing({"company": COMPANY}, existing)


def test_a_part_the_legacy_company_lacks_is_no_contradiction():
    """An organization may know more of an address, or another one, than the legacy user did."""
    legacy = {"company": {"address": {"street": "1, rue X"}}}

    assert {"addressStreet": "1, rue X"} == company_fields_missing(legacy, {"addressCity": "Lyon"})
    assert {"addressStreet": "1, rue X"} == company_fields_missing(
        legacy, {"addressStreet": "2, rue Y"}
    )


@pytest.mark.parametrize(
    ("organization", "expected"),
    [
        ({}, GUARD),
        (FIELDS, ()),
        ({**FIELDS, "addressCity": " ", "companyEmail": None}, ("companyEmail", "addressCity")),
        ({**FIELDS, "addressZipCode": 69001}, ("addressZipCode",)),
        ({"siret": "1"}, GUARD),
    ],
)
def test_what_the_application_will_ask_for_is_named(organization, expected):
    """The six fields of the application's guard, in its order, where they are no text."""
    assert expected == incomplete_fields(organization)


@pytest.mark.parametrize(
    ("legacy", "name"),
    [
        ({"company": COMPANY, "profile": {"firstName": "Léa"}}, "Atelier"),
        ({"company": {"name": " "}, "profile": {"firstName": " Léa "}}, "Léa"),
        ({"name": "Léa", "email": "lea@newbi.fr"}, NEUTRAL_NAME),
        ({"email": "lea@newbi.fr"}, "Mon entreprise"),
    ],
)
def test_an_organization_is_named_after_its_company_or_its_owner(legacy, name):
    """The company, else the first name, else a neutral label: never the e-mail address."""
    source = {"_id": OTHER, **legacy}
    found = organization_document(source, user_id=USER, slug="org-1", created=DAY)
    expected = {
        "_id": organization_id(USER),
        "name": name,
        "slug": "org-1",
        "createdAt": DAY,
        **company_fields(legacy),
    }

    assert list(expected.items()) == list(found.items())


def test_a_member_is_the_owner_by_object_ids():
    """Better Auth sees a membership only where both ids are ObjectIds."""
    expected = {
        "_id": member_id(USER),
        "organizationId": OTHER,
        "userId": USER,
        "role": "owner",
        "createdAt": DAY,
    }
    found = member_document(USER, OTHER, DAY)

    assert list(expected.items()) == list(found.items())
