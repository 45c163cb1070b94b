"""The journal is dropped last of all, and only once all else is done."""

from __future__ import annotations

import pytest
from bson import ObjectId
from losing import losing_the_answer_to
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.cli.next_steps import after_finalize
from newbi_migrate.errors import (
    DatabaseMovedOnError,
    InterruptedRunError,
    ValidationFailedError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.finalize import steps
from newbi_migrate.migration.finalize.legacy_users import LegacyUsers
from newbi_migrate.report.finalize import finalize_document
from newbi_migrate.store.journal import JOURNAL
from newbi_migrate.store.runs import RunWriter


@pytest.fixture
def legacy(sync_database):
    """Two users with two invoices each."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 2))
    return sync_database


@pytest.fixture
def broken_before(legacy):
    """A membership of nobody in nothing, which hindered nothing before the migration."""
    nobody = {"organizationId": ObjectId(), "userId": ObjectId(), "role": "member"}
    legacy["member"].insert_one(nobody)
    return legacy


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


async def stopped_before_the_drop(migration, monkeypatch, **choices):
    """Finalize as far as the journal is marked, and no further."""

    async def stopped(*_):
        raise InterruptedRunError("Stopped.", next_step="Go on.")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "drop_collection", stopped)
        with pytest.raises(InterruptedRunError):
            await migration.finalize(drop_journal=True, **choices)


def said(result):
    return repr(finalize_document(result).sections)


@pytest.mark.parametrize("keep", [True, False])
async def test_stopped_before_it_drops_the_journal_the_same_command_finishes_it(
    broken_before, migration, monkeypatch, keep
):
    """Though nobody can tell any more that what is broken was broken before."""
    await migration.apply()
    await stopped_before_the_drop(migration, monkeypatch, keep=keep)
    runs = await migration.runs()
    shown = await migration.finalize(keep=keep, drop_journal=True, dry_run=True)
    there = JOURNAL in broken_before.list_collection_names()
    losing_the_answer_to(monkeypatch, steps, "drop_collection")
    done = await migration.finalize(keep=keep, drop_journal=True, reviewed=shown)
    chosen = "--keep --drop-journal" if keep else "--drop-journal"

    assert (True, True, True) == (shown.journal_dropped, there, done.journal_dropped)
    assert f"newbi-migrate finalize {chosen}" == after_finalize(shown, [], runs)
    assert runs[0].run_id == done.run_id
    assert JOURNAL not in broken_before.list_collection_names()


async def test_without_the_journal_nothing_broken_is_called_caused_by_the_migration(
    broken_before, migration
):
    """It is refused all the same: nobody can tell."""
    await migration.apply()
    await migration.finalize(keep=True, drop_journal=True)
    with pytest.raises(ValidationFailedError, match="of unknown origin, without the journal"):
        await migration.finalize()

    assert 2 == broken_before["Users_before_migration"].count_documents({})


@pytest.mark.parametrize("how", ["a sign-up", "a name that is taken"])
async def test_legacy_users_who_have_to_stay_are_told_though_the_answer_is_lost(
    legacy, migration, monkeypatch, how
):
    """It ends with 3, and keeps the journal, as without the lost answer."""
    await migration.apply()
    rename, keep = LegacyUsers._rename, how != "a sign-up"

    async def rename_after(self, now, then):
        if keep:
            legacy.create_collection(then)
        else:
            legacy[now].insert_one(legacy_user(2))
        await rename(self, now, then)

    monkeypatch.setattr(LegacyUsers, "_rename", rename_after)
    losing_the_answer_to(monkeypatch, RunWriter, "finish")
    told = "took its name" if keep else "not migrated: 1"
    with pytest.raises(DatabaseMovedOnError, match=told):
        await migration.finalize(keep=keep, drop_journal=True)

    assert JOURNAL in legacy.list_collection_names()
    assert USERS[: 2 if keep else 3] == legacy["Users"].distinct("_id")


async def test_dropped_later_it_is_shown_beforehand_and_nothing_else_is_called_dropped(
    legacy, migration
):
    """The legacy users are gone already; once the journal is gone too, nothing is left."""
    await migration.apply()
    await migration.finalize()
    looked = await migration.finalize(drop_journal=True, dry_run=True)
    named = after_finalize(looked, [], await migration.runs())
    done = await migration.finalize(drop_journal=True, reviewed=looked)
    again = await migration.finalize(drop_journal=True, dry_run=True)

    assert "newbi-migrate finalize --drop-journal" == named
    assert "The journal would go" in said(looked)
    assert "The journal is gone" in said(done)
    assert "legacy user" not in said(looked) + said(done)
    assert (None, None) == (looked.legacy, done.legacy)
    assert (True, True) == (done.journal_dropped, again.nothing_left)


async def test_a_legacy_collection_made_anew_does_not_keep_the_journal_for_ever(
    legacy, migration, monkeypatch
):
    """The application makes an empty one when it starts; nobody in it had to stay."""
    await migration.apply()
    await migration.finalize()
    await stopped_before_the_drop(migration, monkeypatch)
    legacy.create_collection("Users")
    done = await migration.finalize(drop_journal=True)

    assert done.journal_dropped
    assert JOURNAL not in legacy.list_collection_names()
