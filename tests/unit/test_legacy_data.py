"""The pretended legacy data: the same from a seed, and as odd or as good as they say."""

from __future__ import annotations

from collections import Counter

import bson
import pytest
from bson import ObjectId
from bulk import bulk_invoices, bulk_owners
from dirty_people import password_of
from hypothesis import given, strategies as st
from legacy_cases import CASES, HUGE_CASE, LegacyCases

from newbi_migrate.demo.documents import FACTORIES
from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.demo.people import PASSWORDS
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.account import PasswordKind, password_kind
from newbi_migrate.mapping.workspace import Action, Reason


def _bytes(legacy):
    names = (legacy.source, *legacy.collections)
    return {name: [bson.encode(d) for d in legacy.documents(name)] for name in names}


def _raw(document):
    return document.raw if hasattr(document, "raw") else bson.encode(document)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 30))
def test_a_seed_decides_every_byte(seed, users, documents):
    """Two databases of one seed and size are equal to the byte."""
    first = _bytes(LegacyDatabase(seed, users, documents))
    second = _bytes(LegacyDatabase(seed, users, documents))

    assert first == second


def test_another_seed_is_another_database():
    """No document is the same under another seed."""
    first, second = _bytes(LegacyDatabase(1)), _bytes(LegacyDatabase(2))

    assert not any(set(first[name]) & set(second[name]) for name in first)


@given(st.integers(0, 2**32))
def test_a_document_does_not_depend_on_the_selection_of_collections(seed):
    """Asking for fewer collections changes none of their documents."""
    whole = LegacyDatabase(seed, 4, 30)
    part = LegacyDatabase(seed, 4, 30, collections=["creditnotes", "tasks"])

    assert list(whole.documents("creditnotes")) == list(part.documents("creditnotes"))
    assert list(whole.documents("tasks")) == list(part.documents("tasks"))
    assert list(part.documents("invoices")) == []


def test_every_collection_of_the_registry_can_be_made():
    """What the registry describes, the legacy database has."""
    described = {spec.name for spec in NEWBI}

    assert set() == described - FACTORIES.keys()


@given(st.integers(0, 2**32))
def test_clean_documents_break_no_rule_but_that_of_the_workspace(seed):
    """Apart from the workspace they lack, clean documents are what the application demands."""
    legacy = LegacyDatabase(seed, 3, 40)
    broken = [
        (spec.name, violation)
        for spec in NEWBI
        for document in legacy.documents(spec.name)
        for violation in spec.model.violations_of(document)
        if violation.path != "workspaceId"
    ]
    broken += [("users", v) for user in legacy.users for v in LegacyUser.violations_of(user)]

    assert [] == broken


@given(st.integers(0, 2**32))
def test_every_clean_document_has_a_user_for_an_owner(seed):
    """Nothing in a clean database belongs to nobody, and no document has a workspace."""
    legacy = LegacyDatabase(seed, 5, 40)
    users = {user["_id"] for user in legacy.users}
    for spec in NEWBI:
        for document in legacy.documents(spec.name):
            assert "workspaceId" not in document
            for field in spec.user_fields:
                assert ObjectId(document[field]) in users


@given(st.integers(0, 2**32))
def test_children_have_the_owner_of_what_they_refer_to(seed):
    """A clean credit note, event, column or task belongs to the owner of its invoice or board."""
    legacy = LegacyDatabase(seed, 5, 60)
    invoices = {d["_id"]: d for d in legacy.documents("invoices")}
    boards = {d["_id"]: d for d in legacy.documents("boards")}
    columns = {str(d["_id"]): d for d in legacy.documents("columns")}

    for note in legacy.documents("creditnotes"):
        invoice = invoices[note["originalInvoice"]]
        assert (invoice["createdBy"], invoice["number"]) == (
            note["createdBy"],
            note["originalInvoiceNumber"],
        )
    for event in legacy.documents("events"):
        if "invoiceId" in event:
            assert invoices[event["invoiceId"]]["createdBy"] == event["userId"]
    for child in (*legacy.documents("columns"), *legacy.documents("tasks")):
        assert boards[child["boardId"]]["userId"] == child["userId"]
    for task in legacy.documents("tasks"):
        assert columns[task["columnId"]]["boardId"] == task["boardId"]


def test_the_first_users_own_most():
    """Documents are spread over their owners by Zipf's law."""
    legacy = LegacyDatabase(0, 20, 100)
    owners = Counter(document["createdBy"] for document in legacy.documents("invoices"))

    assert legacy.users[0]["_id"] == owners.most_common(1)[0][0]
    assert 10 < len(owners)


def test_numbers_are_stored_as_doubles_and_as_integers():
    """The same field holds both of JavaScript's ways to store a number."""
    legacy = LegacyDatabase(0, 10, 40)
    kinds = {type(i["quantity"]) for d in legacy.documents("invoices") for i in d["items"]}

    assert {int, float} == kinds


def test_embedded_documents_have_ids_of_their_own():
    """Mongoose gives every embedded document an id, and no two are the same."""
    legacy = LegacyDatabase(0, 10, 40)
    ids = [
        part["_id"]
        for document in legacy.documents("invoices")
        for part in (*document["items"], document["companyInfo"], document["client"])
    ]

    assert len(ids) == len(set(ids))


def test_the_stored_hashes_are_hashes_of_the_passwords():
    """A sign-in can be tried with the passwords that are published."""
    bcrypt = pytest.importorskip("bcrypt")

    for clear, stored in PASSWORDS.items():
        assert PasswordKind.BCRYPT == password_kind(stored)
        assert bcrypt.checkpw(clear.encode(), stored.encode())
    assert {"$2a$10$", "$2b$10$"} == {stored[:7] for stored in PASSWORDS.values()}


def test_a_users_password_is_known():
    """Every clean user can sign in with one of the passwords."""
    for user in LegacyDatabase(0, 7).users:
        assert PASSWORDS[password_of(user)] == user["password"]


def test_every_case_says_what_is_odd():
    """A case has a name that can be typed and a sentence for people."""
    for name, case in CASES.items():
        assert name == name.lower().replace(" ", "-").replace("_", "-")
        assert case.sentence.endswith(".")


@pytest.mark.parametrize("name", sorted(CASES.keys() - {HUGE_CASE}))
def test_a_case_is_the_same_alone_and_among_the_others(name):
    """A selection of cases changes none of their documents."""
    alone = LegacyCases(3, names=[name])
    everything = LegacyCases(3)

    assert sum(map(len, alone.documents.values())) > 0
    for collection, documents in alone.documents.items():
        among = {_raw(document) for document in everything.documents[collection]}
        assert {_raw(document) for document in documents} <= among
    assert set(map(repr, alone.expected)) <= set(map(repr, everything.expected))


def test_the_cases_reach_every_reason_but_those_of_a_run():
    """Each reason for quarantine has a case; the rest come of options or of the server."""
    cases = LegacyCases(names=CASES)
    reached = {e.reason for e in cases.expected} | {e.reason for e in cases.users}
    others = {Reason.ALIAS_REFUSED, Reason.OWNER_WITHOUT_WORKSPACE}
    others |= {Reason.UNIQUE_KEY, Reason.WRITE_REFUSED, Reason.NOT_A_PLAIN_COLLECTION}

    assert set(Reason) - others == reached - {None}
    assert set(Action) == {e.action for e in cases.expected}


def test_the_huge_document_is_near_the_limit_and_not_over_it():
    """The server takes it as it is, and not with a workspace more."""
    (document,) = LegacyCases(names=[HUGE_CASE]).documents["expenses"]
    size = len(bson.encode(document))

    assert size <= 16 * 1024 * 1024 < size + len(bson.encode({"workspaceId": ObjectId()})) - 5


def test_an_unknown_collection_is_refused():
    """A mistyped name of a collection is an error that lists the known ones."""
    with pytest.raises(UsageError, match="ocr_documents"):
        LegacyDatabase(collections=["ocrdocuments"])


@given(st.integers(0, 300), st.integers(1, 70), st.integers(0, 2**32))
def test_bulk_invoices_are_as_many_as_asked_for_and_all_different(count, batch, seed):
    """Whatever the batch size, the count holds, and ids and numbers are unique and ascend."""
    owners = bulk_owners(5, seed=seed)
    batches = list(bulk_invoices(count, owners, seed=seed, batch=batch))
    documents = [bson.decode(document.raw) for part in batches for document in part]

    assert count == len(documents)
    assert all(len(part) <= batch for part in batches)
    assert sorted({d["_id"] for d in documents}) == [d["_id"] for d in documents]
    assert count == len({d["number"] for d in documents})
    assert {d["createdBy"] for d in documents} <= set(owners)


@pytest.mark.parametrize("size", [1024, 2048, 8192])
def test_bulk_invoices_have_the_size_asked_for(size):
    """The mean size of a document is within a tenth of what was asked."""
    documents = [d for part in bulk_invoices(500, bulk_owners(3), size=size) for d in part]
    mean = sum(len(document.raw) for document in documents) / len(documents)

    assert size * 0.9 <= mean <= size * 1.1
