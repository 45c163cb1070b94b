"""What many users cost: as much for each, however many they are."""

from __future__ import annotations

from collections import Counter

import pytest
from bson import ObjectId
from small_legacy import legacy_user

from newbi_migrate.migration.facade import Migration

READ = ("Users", "user", "account", "organization", "member")
MANY = 4000  # twenty batches


@pytest.fixture
def legacy(sync_database):
    """Many legacy users; the server notes how many documents each statement looked at."""
    template = legacy_user(0)
    sync_database["Users"].insert_many(
        [{**template, "_id": ObjectId(), "email": f"person.{n}@example.com"} for n in range(MANY)]
    )
    start_counting(sync_database)
    yield sync_database
    sync_database.command("profile", 0)


def start_counting(database):
    database.create_collection("system.profile", capped=True, size=2**26)
    database.command("profile", 2)


def examined(database):
    """Collection to the number of documents that were looked at since the last call."""
    database.command("profile", 0)
    found = Counter()
    for operation in database["system.profile"].find():
        found[operation["ns"].partition(".")[2]] += operation.get("docsExamined", 0)
    database["system.profile"].drop()
    start_counting(database)
    return found


@pytest.mark.slow
async def test_no_batch_of_users_reads_what_belongs_to_all(legacy, uri):
    """A migration, another plan and a rollback each read a few times what is there."""
    most = Counter()
    async with Migration(uri) as migration:
        for step in (migration.apply, migration.plan, migration.rollback):
            await step()
            most |= examined(legacy)

    assert {} == {name: n for name in READ if (n := most[name]) > 8 * MANY}
    assert all(most[name] >= MANY for name in READ)
