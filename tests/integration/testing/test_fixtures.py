"""The fixtures that every other test trusts."""

from __future__ import annotations

import pytest
from bson.int64 import Int64
from fingerprints import changes, fingerprint


async def test_the_two_handles_of_a_test_are_one_database(database, sync_database):
    """What a test arranges synchronously, the code under test finds asynchronously."""
    sync_database["users"].insert_one({"_id": 1})
    found = await database["users"].find_one({})

    assert {"_id": 1} == found


def test_a_test_starts_with_an_empty_database(sync_database):
    """No test sees what another one wrote."""
    assert [] == sync_database.list_collection_names()


async def test_the_replica_set_has_transactions(replica_database):
    """The replica set's fixture has what the standalone server lacks."""
    client = replica_database.client
    async with client.start_session() as session, await session.start_transaction():
        await replica_database["users"].insert_one({"_id": 1}, session=session)
    found = await replica_database["users"].find_one({})

    assert {"_id": 1} == found


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda users: users.insert_one({"_id": 2}), "users: document 2 added"),
        (lambda users: users.delete_one({"_id": 1}), "users: document 1 removed"),
        (lambda users: users.replace_one({}, {"b": 1, "a": 1}), "users: document 1 changed"),
        (lambda users: users.replace_one({}, {"a": Int64(1), "b": 1}), "users: document 1 changed"),
        (lambda users: users.create_index("a", unique=True), "users: index a_1 added"),
        (lambda users: users.database.create_collection("new"), "new: appeared"),
    ],
)
def test_a_fingerprint_notices(sync_database, change, line):
    """An order of fields, a number's type, an index, an empty collection: each is a change."""
    users = sync_database["users"]
    users.insert_one({"_id": 1, "a": 1, "b": 1})
    before = fingerprint(sync_database)
    change(users)
    found = changes(before, fingerprint(sync_database))

    assert [line] == found
