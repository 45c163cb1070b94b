"""What has come after a migration is counted beside what the migration left."""

from __future__ import annotations

import pytest
from bson import ObjectId
from small_legacy import USERS, legacy_user

from newbi_migrate.mapping.values import BLANKS, is_missing
from newbi_migrate.migration.facade import Migration

STORED = [
    *(None, "", *BLANKS, f"\n{BLANKS}", f"{BLANKS}x", "x ", "\x85", "\x1f", "undefined", "!", "~"),
    *([], [None], [""], [" "], [None, "x"], {}, {"a": None}, 0, False, str(ObjectId()), ObjectId()),
]


@pytest.mark.parametrize(("name", "owner"), [("invoices", "createdBy"), ("transactions", "userId")])
async def test_documents_lack_a_workspace_alike_for_all_who_count_them(
    uri, sync_database, name, owner
):
    """A blank text is none, and a list is something; who came late is none of who was left."""
    sync_database["Users"].insert_one(legacy_user(0))
    documents = [{owner: "nobody", "workspaceId": stored} for stored in STORED]
    sync_database[name].insert_many([*documents, {owner: "nobody"}])
    left = 1 + sum(map(is_missing, STORED))
    async with Migration(uri) as migration:
        await migration.apply()
        before = await migration.status()
        late = [{owner: USERS[0]}, {owner: USERS[0], "workspaceId": " "}]
        sync_database[name].insert_many(late)
        during = await migration.status()
        await migration.backfill()
        after = await migration.status()

    found = [
        (one.without_workspace[name], one.quarantined[name]) for one in (before, during, after)
    ]
    assert [(left, left), (left + 2, left), (left, left)] == found
