"""A field that a document has several times hides no other, whatever the server shows of it.

Once a server has shown as many fields as were asked for, whichever they are, it shows no other.
"""

from __future__ import annotations

import bson
import pytest
from bson import ObjectId
from small_legacy import USERS, legacy_user

from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.raw import document_of, elements, split_documents

ANNA, CARL = USERS[:2]
# Somebody else had this address, verified, before Carl's was migrated.
CARL_NOW = ObjectId("65b000000000000000000001")
NULL = ("workspaceId", 0x0A, b"")


def owner(identifier):
    return ("createdBy", 0x07, identifier.binary)


def workspace(identifier):
    return ("workspaceId", 0x07, identifier.binary)


def stored(database):
    return sorted(split_documents(b"".join(database["invoices"].find_raw_batches())))


@pytest.fixture
def repeating(sync_database):
    """Fills the database with users, and with an invoice of each of some lists of fields."""

    def fill(*documents, odd):
        sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
        sync_database["user"].insert_many(
            [
                {"_id": ANNA, "email": "jeanne0@exemple.fr"},
                {"_id": CARL_NOW, "email": "jeanne1@exemple.fr", "emailVerified": True},
            ]
        )
        sync_database["organization"].insert_one({"_id": organization_id(ANNA)})
        sync_database["member"].insert_one(
            {"userId": ANNA, "organizationId": organization_id(ANNA), "role": "owner"}
        )
        ids = [number if odd else ObjectId() for number in range(len(documents))]
        for identifier, fields in zip(ids, documents, strict=True):
            first = {"_id": identifier, "number": str(identifier)}
            named = document_of(*elements(bson.encode(first)), *fields)
            sync_database.command({"insert": "invoices", "documents": [named]})
        return stored(sync_database)

    return fill


@pytest.mark.parametrize("odd", [False, True], ids=["ObjectIds", "numbers"])
async def test_an_owner_who_is_named_twice_hides_no_workspace(uri, sync_database, repeating, odd):
    """It is stamped where it has none, left where it has one, and comes back to the byte."""
    theirs = workspace(organization_id(ANNA))
    before = repeating(
        [owner(ANNA)] * 2,
        [owner(ANNA)] * 7,
        [*[owner(ANNA)] * 2, theirs],
        [*[owner(ANNA)] * 2, NULL, NULL],
        [owner(CARL)] * 2,
        [*[owner(CARL)] * 2, NULL],
        odd=odd,
    )
    async with Migration(uri) as migration:
        done = await migration.apply()
        again = await migration.plan()
        without = sync_database["invoices"].count_documents({"workspaceId": None})
        taken_back = await migration.rollback()

    assert ExitCode.DONE == done.exit_code
    assert {} == done.pending
    assert not again.pending
    assert 0 == without
    assert ExitCode.DONE == taken_back.exit_code
    assert before == stored(sync_database)
