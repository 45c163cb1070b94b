"""Indexes the application never made, and that do not take every document."""

from __future__ import annotations

import pytest
from fingerprints import changes, fingerprint
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration


async def test_a_document_that_an_index_does_not_take_is_quarantined(uri, sync_database):
    """A geospatial index on the workspace refuses each, and no other collection's."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].insert_many(invoices(USERS[0], 3))
    sync_database["quotes"].insert_many(invoices(USERS[0], 3))
    sync_database["invoices"].create_index([("workspaceId", "2dsphere")])
    before = fingerprint(sync_database)

    async with Migration(uri) as migration:
        result = await migration.apply()
        await migration.rollback()

    assert ExitCode.QUARANTINED == result.exit_code
    assert {("invoices", Reason.WRITE_REFUSED): 3} == result.quarantine.counts()
    assert 3 == result.collections["quotes"].stamped
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


@pytest.mark.parametrize(
    ("index", "fields"),
    [
        ([("tags", 1), ("roles", 1)], {"tags": ["a", "b"], "roles": ["c", "d"]}),
        ([("tags", "hashed")], {"tags": ["a", "b"]}),
        ([("name", "text")], {"language": "fr-FR"}),
        ([("name", "text")], {"language": 33}),
        ([("place", "2dsphere")], {"place": "Paris"}),
        ([("place", "2d")], {"place": [1]}),
        ([("place", "2d")], {"place": [999, 999]}),
        ([("place", "2d")], {"place": [[1, 2], ["x", 1]]}),
        ([("place", "2d")], {"place": {"x": "y"}}),
    ],
)
async def test_a_user_whom_an_index_does_not_take_is_quarantined(uri, sync_database, index, fields):
    """Others are migrated, and a rollback takes them back."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, **fields)])
    sync_database["user"].create_index(index)
    before = fingerprint(sync_database)

    async with Migration(uri) as migration:
        result = await migration.apply()
        await migration.rollback()

    assert ExitCode.QUARANTINED == result.exit_code
    assert 1 == result.created["user"]
    assert [] == changes(before, fingerprint(sync_database, run_records=False))
