"""The documents of Newbi: examples that hold, and a counterexample for each rule."""

from __future__ import annotations

import copy
from datetime import datetime

import bson
import pytest
from bson import Int64, ObjectId
from pydantic import ValidationError

from newbi_migrate.documents import (
    banking,
    better_auth,
    billing,
    clients,
    legacy,
    signatures,
    snapshots,
)
from newbi_migrate.documents.agenda import Event
from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.document_rules import DocumentRule, Forbidden, Required, There
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.odm import DOCUMENTS
from newbi_migrate.documents.scalars import Text
from newbi_migrate.documents.shapes import all_rules
from newbi_migrate.rules import Severity

ID = ObjectId("64b0c0ffee0123456789abcd")
DAY = datetime(2025, 3, 1, 12)  # noqa: DTZ001  # as PyMongo reads it
ADDRESS = {"street": "1, rue de la Paix", "city": "Paris", "postalCode": "75002"}
ITEM = {"description": "Conseil", "quantity": 2, "unitPrice": 450.0, "vatRate": 20}
COMPANY = {
    "name": "Atelier Zoé",
    "address": ADDRESS,
    "companyStatus": "SASU",
    "siret": "12345678901234",
    "vatNumber": "FR12345678901",
    "capitalSocial": "1000",
    "rcs": "123 456 789 RCS Paris",
}
CLIENT = {
    "type": "COMPANY",
    "name": "Boulanger SARL",
    "email": "contact@boulanger.fr",
    "address": ADDRESS,
    "siret": "12345678901234",
    "vatNumber": "FR12345678901",
}
OWNED = {"_id": ID, "workspaceId": ID, "createdBy": ID}
INVOICE = {
    **OWNED,
    "number": "000001",
    "issueDate": DAY,
    "dueDate": DAY,
    "issueYear": 2025,
    "items": [ITEM],
    "companyInfo": COMPANY,
    "client": CLIENT,
    "status": "PENDING",
    "totalHT": 900,
}
QUOTE = {
    **OWNED,
    "number": "000001",
    "issueDate": DAY,
    "validUntil": DAY,
    "items": [ITEM],
    "companyInfo": COMPANY,
    "client": CLIENT,
}
CREDIT_NOTE = {
    **OWNED,
    "number": "000001",
    "originalInvoice": ID,
    "originalInvoiceNumber": "000001",
    "creditType": "REFUND",
    "issueDate": DAY,
    "items": [{**ITEM, "unitPrice": -450.0, "quantity": -1}],
    "companyInfo": COMPANY,
    "client": CLIENT,
    "totalTTC": -540,
}
ADDRESS_BOOK = {**OWNED, "name": "Boulanger & Fils", "email": "a@b.fr", "address": ADDRESS}
EVENT = {"_id": ID, "workspaceId": ID, "userId": ID, "title": "Réunion", "start": DAY, "end": DAY}
LEGACY_USER = {"_id": ID, "email": "jean@newbi.fr", "password": "$2b$10$" + "a" * 53}
ACCOUNT = {
    "_id": ID,
    "accountId": str(ID),
    "providerId": "credential",
    "userId": ID,
    "password": "$2b$10$" + "a" * 53,
    "createdAt": DAY,
    "updatedAt": DAY,
}
USER = {
    "_id": ID,
    "name": "Jean",
    "email": "jean@newbi.fr",
    "emailVerified": True,
    "createdAt": DAY,
    "updatedAt": DAY,
}
MEMBER = {"_id": ID, "organizationId": ID, "userId": ID, "role": "owner", "createdAt": DAY}
ORGANIZATION = {
    "_id": ID,
    "name": "Atelier",
    "slug": "atelier",
    "createdAt": DAY,
    **dict.fromkeys(better_auth.COMPANY_GUARD_FIELDS, "x"),
}
TRANSACTION = {
    "_id": ID,
    "externalId": "tx_1",
    "provider": "bridge",
    "type": "payment",
    "status": "completed",
    "amount": 12.5,
    "currency": "EUR",
    "description": "Virement",
    "workspaceId": str(ID),
}
OLD_TRANSACTION = {
    "_id": ID,
    "bridgeTransactionId": "42",
    "bridgeAccountId": "7",
    "bridgeUserId": "b",
    "workspaceId": ID,
    "userId": ID,
    "amount": -12.5,
    "description": "CB",
    "date": DAY,
    "type": "debit",
    "migrationNote": "random workspace",
}
SIGNATURE = {**OWNED, "signatureName": "Pro", "fontSize": {"name": 16}, "spacings": {"top": 4}}
OLD_SIGNATURE = {
    **OWNED,
    "name": "Pro",
    "fullName": "Jean Dupont",
    "jobTitle": "Gérant",
    "email": "jean@newbi.online",
    "fontSize": 14,
}
EXAMPLES = [
    (billing.Invoice, INVOICE),
    (billing.Quote, QUOTE),
    (billing.CreditNote, CREDIT_NOTE),
    (clients.Client, ADDRESS_BOOK),
    (Event, EVENT),
    (legacy.LegacyUser, LEGACY_USER),
    (better_auth.Account, ACCOUNT),
    (better_auth.User, USER),
    (better_auth.Member, MEMBER),
    (better_auth.Organization, ORGANIZATION),
    (banking.Transaction, TRANSACTION),
    (banking.BridgeTransaction, OLD_TRANSACTION),
    (signatures.EmailSignature, SIGNATURE),
    (signatures.LegacyEmailSignature, OLD_SIGNATURE),
]
examples = pytest.mark.parametrize(
    ("model", "document"), EXAMPLES, ids=[model.__name__ for model, _ in EXAMPLES]
)


def changed(document, changes):
    """A copy with values at dotted paths changed; ``...`` takes a field out."""
    found = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = found
        for name in parents:
            inner = inner[int(name)] if isinstance(inner, list) else inner[name]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return found


@examples
def test_an_example_holds(model, document):
    """A document as the application writes it today breaks no rule, and can be constructed."""
    assert [] == model.violations_of(document)
    assert document.keys() <= model(**document).to_document().keys()


COUNTEREXAMPLES = [
    (billing.Invoice, INVOICE, {"items": []}, "billing.items", "items"),
    (billing.Invoice, INVOICE, {"issueYear": 2024}, "billing.issue-year", "issueYear"),
    (
        billing.Invoice,
        INVOICE,
        {"dueDate": datetime(2025, 2, 28)},  # noqa: DTZ001
        "invoice.due-date",
        "dueDate",
    ),
    (billing.Invoice, INVOICE, {"number": ...}, "invoice.number", "number"),
    (billing.Invoice, INVOICE, {"showBankDetails": True}, "invoice.bank-details", "bankDetails"),
    (billing.Invoice, INVOICE, {"totalHT": -1}, "field.number-min-0", "totalHT"),
    (billing.Invoice, INVOICE, {"workspaceId": "newbi"}, "field.workspace-id", "workspaceId"),
    (billing.Invoice, INVOICE, {"createdBy": ...}, "field.owner-id", "createdBy"),
    (
        billing.Invoice,
        INVOICE,
        {"bankDetails": {"iban": "FR7630006000011234567890189"}},
        "bank-details.all-or-none",
        "bankDetails.bic",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"items.0.vatRate": 0},
        "item.vat-exemption",
        "items.0.vatExemptionText",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"items.0.vatExemptionText": "Article 293 B"},
        "item.vat-exemption",
        "items.0.vatExemptionText",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"items.0.unitPrice": 0},
        "field.number-positive",
        "items.0.unitPrice",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"companyInfo.siret": ...},
        "company-info.company",
        "companyInfo.siret",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"companyInfo.companyStatus": "SCI", "companyInfo.rcs": " "},
        "company-info.civil-company",
        "companyInfo.rcs",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"client.vatNumber": ...},
        "client-info.company",
        "client.vatNumber",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"client.type": "INDIVIDUAL", "client.firstName": "Jean"},
        "client-info.individual",
        "client.lastName",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"client.hasDifferentShippingAddress": True},
        "client-info.shipping-address",
        "client.shippingAddress",
    ),
    (
        billing.Invoice,
        INVOICE,
        {"shipping": {"billShipping": True}},
        "shipping.address",
        "shipping.shippingAddress",
    ),
    (
        billing.Quote,
        QUOTE,
        {"validUntil": datetime(2025, 2, 28)},  # noqa: DTZ001
        "quote.valid-until",
        "validUntil",
    ),
    (billing.Quote, QUOTE, {"number": ...}, "field.required", "number"),
    (billing.Quote, QUOTE, {"number": "TEMP-1758700000000-abc"}, "field.quote-number", "number"),
    (billing.CreditNote, CREDIT_NOTE, {"totalTTC": 1}, "field.number-max-0", "totalTTC"),
    (
        billing.CreditNote,
        CREDIT_NOTE,
        {"items.0.unitPrice": 0},
        "field.number-not-0",
        "items.0.unitPrice",
    ),
    (
        billing.CreditNote,
        CREDIT_NOTE,
        {"showBankDetails": True},
        "credit-note.bank-details",
        "bankDetails",
    ),
    (clients.Client, ADDRESS_BOOK, {"type": "INDIVIDUAL"}, "client.name", "name"),
    (
        clients.Client,
        ADDRESS_BOOK,
        {"hasDifferentShippingAddress": True},
        "client.shipping-address",
        "shippingAddress",
    ),
    (Event, EVENT, {"end": datetime(2025, 2, 28)}, "event.end", "end"),  # noqa: DTZ001
    (
        legacy.LegacyUser,
        LEGACY_USER,
        {"company": {"companyStatus": "EI"}},
        "company.sole-trader",
        "company.siret",
    ),
    (
        legacy.LegacyUser,
        LEGACY_USER,
        {"company": {"companyStatus": "SCI", "siret": "12345678901234"}},
        "company.civil-company",
        "company.rcs",
    ),
    (
        legacy.LegacyUser,
        LEGACY_USER,
        {"company": {**COMPANY, "capitalSocial": ""}},
        "company.company",
        "company.capitalSocial",
    ),
    (better_auth.Account, ACCOUNT, {"password": ...}, "account.credential-password", "password"),
    (better_auth.Account, ACCOUNT, {"accountId": "a@b.fr"}, "account.credential-id", "accountId"),
    (better_auth.User, USER, {"isEmailVerified": False}, "user.flags-agree", "emailVerified"),
    (better_auth.User, USER, {"workspaceId": "x"}, "user.no-workspace", "workspaceId"),
    (
        better_auth.Member,
        MEMBER,
        {"organizationId": "newbi"},
        "field.organization-id",
        "organizationId",
    ),
    (
        signatures.EmailSignature,
        SIGNATURE,
        {"spacings.top": 51},
        "signature.spacings",
        "spacings.top",
    ),
    (signatures.EmailSignature, SIGNATURE, {"fontSize": 14}, "field.document", "fontSize"),
    (
        banking.Transaction,
        TRANSACTION,
        {"workspaceId": ID},
        "field.workspace-id-string",
        "workspaceId",
    ),
]


@pytest.mark.parametrize(
    ("model", "document", "changes", "rule", "path"),
    COUNTEREXAMPLES,
    ids=[f"{case[3]}-{case[4]}" for case in COUNTEREXAMPLES],
)
def test_a_rule_is_broken_by_its_counterexample(model, document, changes, rule, path):
    """The change breaks that rule at that path; construction refuses it, and reading does not."""
    wrong = changed(document, changes)

    assert (rule, path) in [(found.rule, found.path) for found in model.violations_of(wrong)]
    with pytest.raises(ValidationError):
        model(**wrong)
    assert wrong == model.load(wrong).to_document()


def test_what_is_only_worth_knowing_is_told_and_refuses_nothing():
    """An organization without an address is made, and the application will ask for one."""
    wanting = changed(ORGANIZATION, {"addressCity": " "})
    (found,) = better_auth.Organization.violations_of(wanting)

    assert [] == better_auth.Organization.violations_of(ORGANIZATION)
    assert ("organization.company-guard", "addressCity", Severity.INFO) == (
        *(found.rule, found.path),
        found.severity,
    )
    assert wanting.items() <= better_auth.Organization(**wanting).to_document().items()


def test_every_rule_across_fields_is_broken_by_one_of_the_counterexamples():
    """A rule that is declared without one fails here."""
    shown = {rule for *_, rule, _ in COUNTEREXAMPLES} | {"organization.company-guard"}
    declared = {
        rule.id
        for document in DOCUMENTS
        for rule in all_rules(document)
        if isinstance(rule, DocumentRule)
    }

    assert set() == declared - shown


@pytest.mark.parametrize(
    ("moment", "year"),
    [
        (datetime(2024, 12, 31, 22, 59), 2024),  # noqa: DTZ001
        (datetime(2024, 12, 31, 23, 30), 2025),  # noqa: DTZ001
    ],
)
def test_the_year_of_issue_is_that_in_france(moment, year):
    """Half past eleven in the evening of UTC's New Year's Eve is next year in Paris."""
    invoice = {**INVOICE, "issueDate": moment, "issueYear": year, "dueDate": None}

    assert [] == billing.Invoice.violations_of(invoice)


def test_a_draft_needs_no_number():
    """Only an invoice that is out of draft must have a number."""
    assert [] == billing.Invoice.violations_of(
        {**changed(INVOICE, {"number": ...}), "status": "DRAFT"}
    )


@pytest.mark.parametrize(
    ("model", "document"),
    [(banking.Transaction, OLD_TRANSACTION), (signatures.EmailSignature, OLD_SIGNATURE)],
    ids=["transaction", "signature"],
)
def test_an_older_shape_breaks_one_rule(model, document):
    """A document of its own time is told from one of today and held to its own rules."""
    (found,) = model.violations_of(document)

    assert ("field.current-shape", Severity.WARNING) == (found.rule, found.severity)
    assert bson.encode(document) == bson.encode(model.load(document).to_document())


def test_an_old_transaction_keeps_its_shape_after_a_migration():
    """A workspace written as text into a row of the old shape is no critical violation."""
    (found,) = banking.Transaction.violations_of({**OLD_TRANSACTION, "workspaceId": str(ID)})

    assert "field.current-shape" == found.rule


def test_an_edge_case_is_read_and_given_back():
    """Wrong types, unknown fields, nulls and order survive, and attributes show what is stored."""
    stored = {
        "status": 7,
        "_id": "not-an-id",
        "zz": {"b": 1, "a": [None, Int64(3)]},
        "client": {"name": None, "vatNumber": 5, "extra": [ADDRESS]},
        "created_by": "an unknown field that is named like an attribute",
        "createdBy": {"$oid": str(ID)},
        "items": "none",
        "__v": 0,
    }
    invoice = billing.Invoice.load(stored)

    assert list(stored) == list(invoice.to_document())
    assert bson.encode(stored) == bson.encode(invoice.to_document())
    assert ({"$oid": str(ID)}, "none", None) == (invoice.created_by, invoice.items, invoice.number)
    assert isinstance(invoice.client, snapshots.ClientSnapshot)


def test_a_changed_model_changes_that_field_alone():
    """Assigning and deleting work on a loaded document, and null is not absent."""
    invoice = billing.Invoice.load(INVOICE)
    invoice.number = None
    invoice.prefix = None
    invoice.client.name = "Autre"
    del invoice.due_date

    expected = changed(INVOICE, {"number": None, "client.name": "Autre", "dueDate": ...})
    assert expected == invoice.to_document()


def test_construction_adds_the_defaults_of_the_schema():
    """A new document is stored as the application would store it, without empty fields."""
    event = Event(**{key: value for key, value in EVENT.items() if key != "_id"}).to_document()

    assert {"allDay": False, "color": "sky", "type": "MANUAL"}.items() <= event.items()
    assert None not in event.values()


class _Sent(Required):
    """A rule of a host, which reads another field beside those of the rule it extends."""

    @property
    def reads(self):
        return (*super().reads, "heldBack")

    def broken(self, get):
        return ("heldBack",) if get("heldBack") else super().broken(get)


class _Parcel(DocumentModel):
    collection_name = "parcels"
    rules = (_Sent("parcel.sent", "A parcel has a sender, and is not held back.", ("sentBy",)),)

    sent_by: Text | None = None
    held_back: Text | None = None


class _Letter(DocumentModel):
    collection_name = "letters"
    rules = (Forbidden("letter.lost", "Nobody says when.", {"lostAt": There("lostAt")}),)

    lost_at: Text | None = None


@pytest.mark.parametrize(
    ("model", "given", "broken"),
    [
        (_Parcel, {"sentBy": "Zoé"}, []),
        (_Parcel, {"sentBy": " "}, ["parcel.sent"]),
        (_Parcel, {"sentBy": "Zoé", "heldBack": "yes"}, ["parcel.sent"]),
        (_Letter, {}, []),
        (_Letter, {"lostAt": None}, ["letter.lost"]),
    ],
)
def test_a_new_document_is_held_to_every_rule_of_a_host(model, given, broken):
    """Whatever a rule reads, and where null is told from absent, as for a stored one."""
    found = []
    try:
        model(**given)
    except ValidationError as error:
        found = [each["type"] for each in error.errors()]

    assert broken == found
    assert broken == [violation.rule for violation in model.violations_of({"_id": ID, **given})]


def test_no_secret_is_shown():
    """Hashes and links that open something are not part of a model's representation."""
    assert "$2b$" not in repr(legacy.LegacyUser(**LEGACY_USER)) + repr(
        better_auth.Account(**ACCOUNT)
    )
    with pytest.raises(ValidationError) as raised:
        legacy.LegacyUser(**{**LEGACY_USER, "password": "hunter2"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("spec", list(NEWBI), ids=lambda spec: spec.name)
def test_every_rule_has_an_id_and_a_sentence(spec):
    """Rules are values: unique ids in lower case, and one sentence for people."""
    rules = spec.model.declared_rules()

    assert len(rules) == len({rule.id for rule in rules})
    assert all(rule.id == rule.id.lower() and "." in rule.id for rule in rules)
    assert all(rule.sentence.endswith(".") for rule in rules)
