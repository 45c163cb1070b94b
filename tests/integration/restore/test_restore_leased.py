"""A restore holds the lease of its target, and writes nothing it decided without it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest
from backups import fill, write_mongodump
from bson import ObjectId
from fingerprints import changes, fingerprint
from leases import leased
from little import little_legacy
from losing import losing_the_answer_to

from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import (
    DatabaseMovedOnError,
    LeaseHeldError,
    LeaseLostError,
    NewbiMigrateError,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.restore import run, target
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.restore.target import look_at_target
from newbi_migrate.store.lease import LEASE, Holder, Lease
from newbi_migrate.store.runs import RESTORE_ID

RUNS = "newbi_migrate_runs"


@pytest.fixture
def legacy(sync_database):
    little_legacy(sync_database)
    return sync_database


@pytest.fixture
async def backup(legacy, database, tmp_path):
    """A backup of a little legacy database."""
    return (await backup_database(database, tmp_path)).path


class At:
    """A listener that does something once: when a phase begins, or a collection is reported."""

    def __init__(self, act, phase, detail=None):
        self.act, self.wanted, self.detail = act, phase, detail
        self.here = False

    def phase(self, name, total):
        self.here = name == self.wanted
        if self.detail is None:
            self.advance(0)

    def advance(self, amount, detail=None):
        if self.here and self.act is not None and detail == self.detail:
            act, self.act = self.act, None
            act()

    def note(self, sentence):
        pass


async def test_a_finished_restore_leaves_no_lease_and_no_record(legacy, sync_other, other, backup):
    """The target holds what the backup holds and nothing else."""
    await restore_backup(backup, other)

    assert set(legacy.list_collection_names()) == set(sync_other.list_collection_names())


async def test_a_database_that_is_refused_does_not_get_a_lease(sync_other, other, backup):
    """What is to stay as it is stays as it is."""
    sync_other["kept"].insert_one({})
    with pytest.raises(NewbiMigrateError, match="is not empty"):
        await restore_backup(backup, other)

    assert ["kept"] == sync_other.list_collection_names()


async def test_a_lease_alone_makes_no_database_that_is_not_empty(legacy, sync_other, other, backup):
    """It is the tool's own, and goes in the end."""
    async with leased(other):
        pass
    await restore_backup(backup, other)

    assert [] == changes(fingerprint(legacy), fingerprint(sync_other))


async def test_the_lease_in_a_backup_is_not_restored(legacy, uri, other, sync_other, tmp_path):
    """A backup of a migrated database brings its runs back, and no lease."""
    async with Migration(uri) as migration:
        await migration.apply()
        path = (await migration.backup(tmp_path)).path
    await restore_backup(path, other, drop=True)
    there = set(sync_other.list_collection_names())

    assert {LEASE} == set(legacy.list_collection_names()) - there
    assert list(legacy[RUNS].find()) == list(sync_other[RUNS].find())


@pytest.mark.parametrize("workers", [1, 4])
async def test_of_two_restores_into_one_target_one_wins(
    legacy, sync_other, other, backup, workers, monkeypatch
):
    """Both found it empty; the other is told that it is held, and writes nothing."""
    both = asyncio.Barrier(2)
    look = run._target

    async def looks(*args, **options):
        seen = await look(*args, **options)
        await both.wait()
        return seen

    monkeypatch.setattr(run, "_target", looks)
    ended = await asyncio.gather(
        *(restore_backup(backup, other, workers=workers) for _ in range(2)), return_exceptions=True
    )
    lost = [each for each in ended if isinstance(each, LeaseHeldError)]

    assert 1 == len(lost), ended
    assert "restore" in lost[0].what
    assert [] == changes(fingerprint(legacy), fingerprint(sync_other))


async def test_a_database_that_another_run_fills_meanwhile_is_held_and_not_full(
    sync_other, other, backup, monkeypatch
):
    """Nobody is told to drop what another restore has just begun to write."""
    read = target.existing_collections
    async with AsyncExitStack() as another:

        async def reads(database):
            await another.enter_async_context(leased(other))
            sync_other["clients"].insert_one({})
            return await read(database)

        monkeypatch.setattr(target, "existing_collections", reads)
        with pytest.raises(LeaseHeldError):
            await restore_backup(backup, other)


async def test_a_restore_beside_a_run_is_refused(legacy, database, backup):
    """Whatever it is to drop, and though nobody looked before."""
    before = fingerprint(legacy)
    async with leased(database):
        with pytest.raises(LeaseHeldError):
            await restore_backup(backup, database, drop=True)

    assert [] == [c for c in changes(before, fingerprint(legacy)) if LEASE not in c]


@pytest.mark.parametrize("state", ["running", "rolling-back", "restoring"])
async def test_a_restore_in_place_beside_a_live_run_is_told_that_it_is_held(
    legacy, database, uri, backup, state
):
    """What is under way was not interrupted: nobody is to finish it, or to take it back."""
    async with Migration(uri) as migration:
        await migration.apply()
    if state != "restoring":
        legacy[RUNS].update_one({}, {"$set": {"state": state}})
    async with leased(database):
        if state == "restoring":
            legacy[LEASE].insert_one({"_id": "restore", "backup": "x", "done": []})
        with pytest.raises(LeaseHeldError):
            await look_at_target(database, in_place=True)
        with pytest.raises(LeaseHeldError):
            await restore_backup(backup, database, drop=True, only=["invoices"])


async def test_a_run_beside_a_restore_is_refused(database, uri, backup):
    """A migration finds the lease held, and by whom."""
    told = []

    async def migrate():
        async with Migration(uri) as migration:
            with pytest.raises(LeaseHeldError) as refused:
                await migration.apply()
            told.append(refused.value.what)

    def beside():
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrate()).result()

    await restore_backup(backup, database, drop=True, progress=At(beside, "restore", "invoices"))

    assert 1 == len(told)
    assert "(restore, process " in told[0]


async def test_what_came_since_a_person_agreed_is_not_dropped(legacy, database, uri, backup):
    """A migration between the look and the confirmation: the restore stops and drops nothing."""
    reviewed = await look_at_target(database)
    async with Migration(uri) as migration:
        await migration.apply()
    before = fingerprint(legacy, run_records=False)
    with pytest.raises(DatabaseMovedOnError, match="no longer as it was shown"):
        await restore_backup(backup, database, drop=True, reviewed=reviewed)

    assert [] == changes(before, fingerprint(legacy, run_records=False))
    assert 1 == legacy[RUNS].count_documents({})


async def test_a_run_that_makes_no_collection_is_noticed_too(legacy, database, uri, backup):
    """Names alone do not tell that a database is as it was."""
    async with Migration(uri) as migration:
        await migration.apply()
        legacy["invoices"].insert_one({"createdBy": legacy["Users"].find_one()["_id"]})
        reviewed = await look_at_target(database)
        await migration.backfill()
    with pytest.raises(DatabaseMovedOnError):
        await restore_backup(backup, database, drop=True, reviewed=reviewed)

    assert 2 == legacy[RUNS].count_documents({})


@pytest.mark.parametrize("state", ["empty", "whole", "half restored"])
async def test_what_is_as_it_was_shown_is_restored(legacy, sync_other, other, backup, state):
    """The look under the lease finds the same, whatever it is."""
    if state == "whole":
        await restore_backup(backup, other)
    if state == "half restored":
        with pytest.raises(ZeroDivisionError):
            await restore_backup(backup, other, progress=At(lambda: 1 / 0, "restore", "clients"))
    reviewed = await look_at_target(other)
    result = await restore_backup(backup, other, drop=True, reviewed=reviewed)

    assert (state == "half restored") == result.resumed
    assert [] == changes(fingerprint(legacy), fingerprint(sync_other))


@pytest.mark.parametrize("at", [("restore",), ("restore", "clients"), ("indexes",)], ids=str)
async def test_unlocked_while_it_runs_a_restore_stops(sync_other, other, backup, at):
    """Before its next write, wherever that is."""
    written = []

    def unlock():
        sync_other[LEASE].update_one({"_id": "lease"}, {"$set": {"token": None}})
        written.append(fingerprint(sync_other))
        time.sleep(0.6)

    with pytest.raises(LeaseLostError):
        await restore_backup(backup, other, workers=1, lease_seconds=0.5, progress=At(unlock, *at))

    assert [] == changes(written[0], fingerprint(sync_other))


async def test_a_restore_has_ended_where_the_answer_to_its_last_write_is_lost(
    legacy, sync_other, other, backup, monkeypatch
):
    """The lease is gone by then, and nobody else's is there."""
    losing_the_answer_to(monkeypatch, Lease, "drop")
    result = await restore_backup(backup, other)

    assert not result.resumed
    assert [] == changes(fingerprint(legacy), fingerprint(sync_other))


async def test_a_holder_that_was_replaced_does_not_say_what_is_whole(sync_other, other, backup):
    """The record's number is another's: nothing is recorded under it."""

    def take_over():
        sync_other[LEASE].update_one(RESTORE_ID, {"$set": {"token": 99}})

    with pytest.raises(LeaseLostError, match="taken over this restore"):
        await restore_backup(backup, other, progress=At(take_over, "restore", "clients"))

    assert "clients" not in sync_other[LEASE].find_one(RESTORE_ID)["done"]


@pytest.mark.parametrize(
    "damage",
    [{"state": "??"}, {"number": "x"}, {"number": None}, {"policy": []}, {"token": {"a": 1}}],
    ids=str,
)
async def test_damaged_records_of_runs_do_not_keep_a_database_from_being_replaced(
    legacy, database, uri, backup, damage
):
    """The way back from them is the backup."""
    before = fingerprint(legacy)
    async with Migration(uri) as migration:
        await migration.apply()
    legacy[RUNS].update_one({}, {"$set": damage})
    await restore_backup(backup, database, drop=True)

    assert [] == changes(before, fingerprint(legacy))


async def test_what_a_dead_run_left_can_be_replaced(legacy, database, backup):
    """A run that never came to its end, whose lease has run out."""
    before = fingerprint(legacy)
    holder = Holder(ObjectId(), "elsewhere", 7, "rollback")
    await Lease.acquire(database, holder, seconds=0.1)
    legacy[RUNS].insert_one({"_id": ObjectId(), "state": "rolling-back", "number": 1})
    await asyncio.sleep(0.15)
    await restore_backup(backup, database, drop=True)

    assert [] == changes(before, fingerprint(legacy))


async def test_stored_functions_are_replaced_too(legacy, database, backup):
    """The server drops no collection of its own; it is emptied."""
    legacy["system.js"].insert_one({"_id": "f", "value": 1})
    await restore_backup(backup, database, drop=True)

    assert 0 == legacy["system.js"].count_documents({})


# -- what was not durable ---------------------------------------------------------------------


async def test_documents_that_a_server_forgot_are_inserted_again(
    legacy, sync_other, other, tmp_path
):
    """Acknowledged and lost, as in a failover: the count tells, also where a TTL index deletes."""
    legacy["invoices"].create_index("at", expireAfterSeconds=3600)
    path = write_mongodump(legacy, tmp_path / "dump", zipped=False)
    forgotten = []

    def forget():
        forgotten.append(sync_other["invoices"].find_one_and_delete({}))

    await restore_backup(path, other, progress=At(forget, "restore", "invoices"))

    assert forgotten[0] is not None
    assert [] == changes(fingerprint(legacy), fingerprint(sync_other))


async def test_a_lost_answer_is_retried_without_another_call(
    sync_database, database, sync_other, other, tmp_path
):
    """Every collection that is not whole is looked at again, and capped ones are filled anew."""
    fill(sync_database)
    path = (await backup_database(database, tmp_path)).path
    admin = sync_other.client.admin
    data = {
        "failCommands": ["insert"],
        "closeConnection": True,
        "namespace": f"{sync_other.name}.invoices",
    }
    admin.command("configureFailPoint", "failCommand", mode={"times": 2}, data=data)
    try:
        result = await restore_backup(path, other)
    finally:
        admin.command("configureFailPoint", "failCommand", mode="off")

    assert not result.resumed
    assert [] == changes(fingerprint(sync_database), fingerprint(sync_other))


@pytest.mark.parametrize("command", ["plan", "backup", "validate", "apply", "indexes"])
async def test_what_is_half_restored_is_read_by_no_other_command(
    other, sync_other, backup, tmp_path, command
):
    """What it would say, or keep, would be of a part; it names the restore and writes nothing."""
    with pytest.raises(ZeroDivisionError):
        await restore_backup(backup, other, progress=At(lambda: 1 / 0, "restore", "invoices"))
    stood = fingerprint(sync_other)
    folder = tmp_path / "again"
    folder.mkdir()
    async with Migration(other) as migration:
        arguments = (folder,) if command == "backup" else ()
        with pytest.raises(UsageError, match="half restored"):
            await getattr(migration, command)(*arguments)

    assert [] == list(folder.iterdir())
    assert [] == changes(stood, fingerprint(sync_other))
