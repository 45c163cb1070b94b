"""What the application adds while a run is under way is stamped with its journal, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from small_legacy import USERS, legacy_user

from newbi_migrate.errors import InterruptedRunError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.journal import EntryKind, Journal, JournalReader


@pytest.fixture(params=[0, 2], ids=["young", "old"])
def days(request):
    """How old the ids are; a window of old ones is stamped by a range."""
    return request.param


@pytest.fixture
def late(sync_database, monkeypatch, days):
    """Between the journal and the write, a document comes with an id among those of the window."""
    now = datetime.now(UTC) - timedelta(days=days)
    before, between, after = (
        ObjectId.from_datetime(now - timedelta(seconds=seconds)) for seconds in (40, 30, 20)
    )
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["invoices"].insert_many(
        [{"_id": i, "createdBy": USERS[0], "number": str(i)} for i in (before, after)]
    )
    append = Journal.append_window

    async def append_and_be_overtaken(self, collection, groups, **options):
        seq = await append(self, collection, groups, **options)
        if not sync_database["invoices"].count_documents({"_id": between}):
            sync_database["invoices"].insert_one({"_id": between, "createdBy": USERS[0]})
        return seq

    monkeypatch.setattr(Journal, "append_window", append_and_be_overtaken)
    return between


async def journaled(migration, run_id):
    journal = JournalReader(migration.store.database, run_id)
    return {
        identifier
        async for entry in journal.entries()
        if entry.kind is EntryKind.WINDOW
        for group in entry.groups()
        for identifier in group.ids
    }


def stamped(database):
    return set(database["invoices"].distinct("_id", {"workspaceId": {"$exists": True}}))


async def test_a_document_that_comes_late_is_stamped_and_journaled(uri, sync_database, late):
    """The second look finds it, and the journal names every document that was stamped."""
    async with Migration(uri) as migration:
        result = await migration.apply()
        named = await journaled(migration, result.run_id)

    assert late in stamped(sync_database)
    assert stamped(sync_database) == named


async def test_a_run_killed_over_a_late_document_leaves_nothing_unjournaled(
    uri, sync_database, late, days, monkeypatch
):
    """Where the journal does not name it, nothing was written to it, or whoever resumes sees it."""

    async def die(self, *args, **options):
        raise InterruptedRunError("Killed.")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "applied_window", die)
        async with Migration(uri) as migration:
            with pytest.raises(InterruptedRunError):
                await migration.apply()
            (run,) = (await migration.status()).runs
            named = await journaled(migration, run.run_id)

    assert late not in named
    assert stamped(sync_database) <= named | ({late} if days else set())

    async with Migration(uri) as migration:
        result = await migration.apply()
        named = await journaled(migration, result.run_id)

    assert result.resumed
    assert late in stamped(sync_database)
    assert stamped(sync_database) == named
