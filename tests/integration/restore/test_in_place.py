"""Single collections of a backup take the place of those that are there, and give it back."""

from __future__ import annotations

import gzip

import pytest
from backups import fill
from fingerprints import changes, fingerprint
from interrupting import When
from little import little_legacy
from losing import losing_the_answer_to
from pymongo.errors import AutoReconnect

from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import (
    DamagedBackupError,
    DatabaseMovedOnError,
    InterruptedRunError,
    NewbiMigrateError,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.restore.in_place import RestoreInPlace
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.restore.target import look_at_target
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.runs import RunWriter

RUNS = "newbi_migrate_runs"
ASIDE = "newbi_migrate_aside_1_invoices"


@pytest.fixture
def everything(sync_database):
    fill(sync_database)
    # The marker of a backup's own records, which is none of a run.
    sync_database["newbi_migrate_runs"].drop()
    return sync_database


@pytest.fixture
async def backup(everything, database, tmp_path):
    """A backup of a database with every kind of collection."""
    return (await backup_database(database, tmp_path)).path


def data(database):
    """What the application sees."""
    return fingerprint(database, run_records=False)


def spoil(database, name="invoices"):
    """Other documents, another index, other options: all that a way back has to bring back."""
    database[name].delete_many({"total": {"$gt": 10}})
    database[name].update_many({}, {"$set": {"spoilt": True}})
    database[name].drop_indexes()
    database[name].create_index("spoilt")
    database.command("collMod", name, validator={"spoilt": True}, validationLevel="moderate")


async def test_one_collection_takes_its_place_and_nothing_else_changes(
    everything, database, backup
):
    """Documents, indexes and options are those of the backup; what was there is kept aside."""
    whole = data(everything)
    spoil(everything)
    everything["types"].insert_one({"_id": "since"})
    spoilt = data(everything)
    result = await restore_backup(backup, database, drop=True, only=["invoices"])
    after = fingerprint(everything)

    assert {"invoices": 40} == result.counts
    assert {"invoices": ASIDE} == result.put_aside
    assert [] == changes({**spoilt, "invoices": whole["invoices"]}, data(everything))
    assert spoilt["invoices"] == after[ASIDE]
    assert not result.dropped


@pytest.mark.parametrize("name", ["invoices", "capped", "collated", "strict", "clustered", "empty"])
async def test_taking_it_back_ends_in_the_bytes_from_before(
    everything, uri, database, backup, name
):
    """Indexes, options and validators too, of every kind of collection that can be renamed."""
    everything[name].insert_one({"_id": 99, "since": "the backup", "n": 1})
    before = data(everything)
    await restore_backup(backup, database, drop=True, only=[name])
    async with Migration(uri) as migration:
        looked = await migration.rollback(dry_run=True)
        back = await migration.rollback(reviewed=looked)

    aside = f"newbi_migrate_aside_1_{name}"
    assert [(aside, name)] == back.collections_renamed
    assert [(name, aside)] == [(was, now) for was, now, _ in back.put_aside]
    assert [] == changes(before, data(everything))


async def test_a_way_back_whose_last_answer_is_lost_tells_what_it_renamed(
    everything, uri, database, backup, monkeypatch
):
    """As the look beforehand did, and never that there was nothing to take back."""
    await restore_backup(backup, database, drop=True, only=["invoices"])
    real, failed = RunWriter.rolled_back, []

    async def lost(self, document, *, whole):
        await real(self, document, whole=whole)
        if not failed:
            failed.append(whole)
            raise AutoReconnect("closed")

    monkeypatch.setattr(RunWriter, "rolled_back", lost)
    async with Migration(uri) as migration:
        shown = await migration.rollback(dry_run=True)
        done = await migration.rollback()

    assert [True] == failed
    assert [(ASIDE, "invoices")] == done.collections_renamed
    assert [("invoices", ASIDE, 40)] == shown.put_aside == done.put_aside


async def test_what_people_did_since_is_kept_when_it_is_taken_back(
    everything, uri, database, backup
):
    """Nothing that ever stood in place is dropped but by the command that says so."""
    before = data(everything)
    await restore_backup(backup, database, drop=True, only=["invoices"])
    everything["invoices"].insert_one({"_id": "since"})
    async with Migration(uri) as migration:
        back = await migration.rollback()
        again = await migration.rollback(back.run_id)
        kept = everything[ASIDE].count_documents({"_id": "since"})
        dropped = await migration.drop_aside()

    assert 1 == kept
    assert [("invoices", ASIDE, 41)] == back.put_aside
    assert ([], []) == (again.put_aside, again.collections_renamed)
    assert ((ASIDE, 41),) == dropped.collections
    assert [] == changes(before, data(everything))


class Intruding(NullProgress):
    """Inserts into the collection that is filled beside the present one, for the first time."""

    def __init__(self, database):
        self.database = database
        self.done = False

    def phase(self, name, total):
        if name == "restore" and not self.done:
            self.done = True
            self.database["newbi_migrate_restoring_1_invoices"].insert_one({"_id": "intruder"})


async def test_what_somebody_put_beside_it_is_gone_with_the_next_call(everything, database, backup):
    """The name is the tool's own: the collection is filled anew, and no rollback is needed."""
    spoil(everything)
    with pytest.raises(DatabaseMovedOnError, match="somebody else writes to it"):
        await restore_backup(
            backup, database, drop=True, only=["invoices"], progress=Intruding(everything)
        )
    result = await restore_backup(backup, database, drop=True, only=["invoices"])

    assert {"invoices": 40} == result.counts
    assert 40 == everything["invoices"].count_documents({})


async def test_a_collection_that_was_not_there_is_absent_again(everything, uri, database, backup):
    """Nothing is put aside, and a rollback leaves no collection of that name."""
    everything["invoices"].drop()
    before = data(everything)
    result = await restore_backup(backup, database, drop=True, only=["invoices"])
    async with Migration(uri) as migration:
        await migration.rollback()

    assert {} == result.put_aside
    assert [] == changes(before, data(everything))


async def test_what_was_put_aside_goes_by_a_command_alone_and_the_way_back_with_it(
    everything, uri, database, backup
):
    """Afterwards the restore is settled, and runs before it can be taken back."""
    await restore_backup(backup, database, drop=True, only=["invoices"])
    restored = data(everything)
    async with Migration(uri) as migration:
        looked = await migration.drop_aside(dry_run=True)
        stood = ASIDE in everything.list_collection_names()
        done = await migration.drop_aside(reviewed=looked)
        nothing = await migration.rollback()
        with pytest.raises(UsageError, match="was dropped"):
            await migration.rollback(done.runs[0])
        again = await migration.drop_aside()

    assert stood
    assert looked.collections == done.collections == ((ASIDE, 40),)
    assert ASIDE not in everything.list_collection_names()
    assert nothing.run_id is None
    assert ((), ()) == (again.collections, again.runs)
    assert [] == changes(restored, data(everything))


@pytest.mark.parametrize("name", ["paid", "measures", "newbi_migrate_runs"])
async def test_what_cannot_be_renamed_is_refused_before_anything_is_written(
    everything, database, tmp_path, name
):
    """Views, time series and the tool's own; so is a collection where one of these stands."""
    everything["newbi_migrate_runs"].insert_one({"_id": 1})
    path = (await backup_database(database, tmp_path)).path
    everything["newbi_migrate_runs"].drop()
    before = fingerprint(everything)
    with pytest.raises(UsageError, match="cannot be put in the place"):
        await restore_backup(path, database, drop=True, only=[name])

    assert [] == changes(before, fingerprint(everything))


@pytest.mark.parametrize("spare", [0, -1])
async def test_a_name_that_leaves_no_room_for_another_is_refused_before_anything_is_written(
    everything, database, tmp_path, spare
):
    """A restored collection has a longer name until it is whole, and the other one afterwards."""
    room = 255 - len(f"{database.name}.newbi_migrate_restoring_1000000000_") - spare
    everything["x" * room].insert_one({"_id": 1})
    path = (await backup_database(database, tmp_path)).path
    before = data(everything)
    if spare < 0:
        with pytest.raises(UsageError, match="a very long name"):
            await restore_backup(path, database, drop=True, only=["x" * room])
    else:
        await restore_backup(path, database, drop=True, only=["x" * room])

    assert before == data(everything)


async def test_a_view_of_that_name_is_refused(everything, database, backup):
    """What stands there now counts, too."""
    everything["invoices"].drop()
    everything.create_collection("invoices", viewOn="Users")
    before = fingerprint(everything)
    with pytest.raises(UsageError, match="invoices is a view"):
        await restore_backup(backup, database, drop=True, only=["invoices"])

    assert [] == changes(before, fingerprint(everything))


async def test_what_came_since_a_person_agreed_stops_it(everything, database, backup):
    """Nothing is written where the database is no longer as it was shown."""
    reviewed = await look_at_target(database)
    everything["late"].insert_one({})
    before = data(everything)
    with pytest.raises(DatabaseMovedOnError, match="no longer as it was shown"):
        await restore_backup(backup, database, drop=True, only=["invoices"], reviewed=reviewed)

    assert [] == changes(before, data(everything))


async def test_the_end_is_told_where_the_answer_to_its_last_write_is_lost(
    everything, database, backup, monkeypatch
):
    """One run and one copy aside, and nothing is done twice."""
    whole = data(everything)
    losing_the_answer_to(monkeypatch, RestoreInPlace, "attempt")
    result = await restore_backup(backup, database, drop=True, only=["invoices"])

    assert {"invoices": ASIDE} == result.put_aside
    assert [] == changes(whole, data(everything))
    assert 1 == everything[RUNS].count_documents({})


# -- on a migrated database -------------------------------------------------------------------


@pytest.fixture
def legacy(sync_database):
    little_legacy(sync_database)
    return sync_database


@pytest.mark.slow
async def test_documents_from_before_the_migration_are_counted_and_stamped_by_backfill(
    legacy, uri, database, tmp_path
):
    """They get the very workspaces they had, for ids are derived; then all of it goes back."""
    path = (await backup_database(database, tmp_path)).path
    legacy_bytes = data(legacy)
    async with Migration(uri) as migration:
        await migration.apply()
        migrated = data(legacy)
        result = await restore_backup(path, database, drop=True, only=["invoices"])
        await migration.backfill()
        stamped = data(legacy)
        with pytest.raises(UsageError, match="put collections of a backup in place"):
            await migration.rollback_all(dry_run=True)
        for run in (await migration.runs())[:2]:
            await migration.rollback(run.run_id)
        back = data(legacy)
        await migration.rollback_all()

    assert {"invoices": 12} == result.without_workspace
    assert migrated["invoices"]["documents"] == stamped["invoices"]["documents"]
    assert [] == changes(migrated, back)
    assert [] == changes(legacy_bytes, data(legacy))


async def test_a_settled_restore_stands_in_nobodys_way(legacy, uri, database, tmp_path):
    """All runs before it go back, and leave the restored documents as the backup has them."""
    path = (await backup_database(database, tmp_path)).path
    before = data(legacy)
    async with Migration(uri) as migration:
        await migration.apply()
        await restore_backup(path, database, drop=True, only=["invoices"])
        await migration.drop_aside()
        await migration.rollback_all()

    assert [] == changes(before, data(legacy))


async def test_a_part_of_a_restore_is_not_taken_back(everything, uri, database, backup):
    """Its collections went in together."""
    await restore_backup(backup, database, drop=True, only=["invoices", "types"])
    before = data(everything)
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match="whole collections"):
            await migration.rollback(options=RollbackOptions(collections=("invoices",)))

    assert [] == changes(before, data(everything))


async def test_a_copy_that_somebody_dropped_is_missed(everything, uri, database, backup):
    """Nothing is taken back into nothing."""
    await restore_backup(backup, database, drop=True, only=["invoices"])
    everything[ASIDE].drop()
    before = data(everything)
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match="no longer there"):
            await migration.rollback()

    assert [] == changes(before, data(everything))


async def test_a_collection_put_aside_that_somebody_renamed_still_gets_its_place_back(
    everything, uri, database, backup
):
    """It is known by its identity, not by its name."""
    spoil(everything)
    before = data(everything)
    await restore_backup(backup, database, drop=True, only=["invoices"])
    everything[ASIDE].rename("invoices_old")
    async with Migration(uri) as migration:
        looked = await migration.rollback(dry_run=True)
        back = await migration.rollback(reviewed=looked)

    assert [("invoices_old", "invoices")] == back.collections_renamed
    assert [("invoices", ASIDE, 40)] == back.put_aside
    assert [] == changes(before, data(everything))


async def test_what_somebody_put_back_by_hand_stays_in_its_place(everything, uri, database, backup):
    """Nothing is left to exchange, and the report does not say that anything was."""
    spoil(everything)
    before = data(everything)
    await restore_backup(backup, database, drop=True, only=["invoices"])
    everything["invoices"].rename("invoices_restored")
    everything[ASIDE].rename("invoices")
    async with Migration(uri) as migration:
        back = await migration.rollback()
    after = data(everything)

    assert 40 == len(after.pop("invoices_restored")["documents"])
    assert ([], []) == (back.collections_renamed, back.put_aside)
    assert [] == changes(before, after)


@pytest.mark.slow
async def test_a_restored_database_can_still_take_it_back(
    everything, uri, database, sync_other, other, backup, tmp_path
):
    """A backup holds what was put aside too; identities are new there, and names tell."""
    before = data(everything)
    spoil(everything)
    spoilt = data(everything)
    await restore_backup(backup, database, drop=True, only=["invoices"])
    folder = tmp_path / "later"
    folder.mkdir()
    later = (await backup_database(database, folder)).path
    await restore_backup(later, other)
    async with Migration(other) as migration:
        await migration.rollback()

    assert [] == changes(before, data(everything))
    assert [] == changes(spoilt, data(sync_other))


async def test_a_collection_made_anew_in_the_last_moment_stops_it(
    everything, uri, database, backup, monkeypatch
):
    """Nothing is lost, the sentence says where all three are, and the same call goes on."""
    real = RunWriter.note_replaced

    async def anew(self, fields):
        await real(self, fields)
        everything["invoices"].drop()
        everything["invoices"].insert_one({"_id": "anew"})

    monkeypatch.setattr(RunWriter, "note_replaced", anew)
    whole = data(everything)
    with pytest.raises(DatabaseMovedOnError, match="while it was replaced"):
        await restore_backup(backup, database, drop=True, only=["invoices"])
    async with Migration(uri) as migration:
        with pytest.raises((InterruptedRunError, NewbiMigrateError)):
            await migration.backfill()
    everything["invoices"].rename("meanwhile")
    result = await restore_backup(backup, database, drop=True, only=["invoices"])
    after = data(everything)

    assert result.resumed
    assert "meanwhile" in after
    assert whole["invoices"] == after["invoices"]


async def test_of_a_backup_that_changes_the_copy_alone_is_dropped(everything, database, backup):
    """And nobody is told that what stands was."""
    before = data(everything)
    (file,) = backup.glob("*/invoices.bson.gz")
    act = When("restore", lambda: file.write_bytes(gzip.compress(b"")))
    with pytest.raises(DamagedBackupError) as caught:
        await restore_backup(backup, database, drop=True, only=["invoices"], progress=act)

    assert [] == changes(before, data(everything))
    assert caught.value.next_step.startswith("The copy that is to take the place of 'invoices' was")


async def test_whoever_takes_the_copy_away_is_not_told_to_drop_what_stands(
    everything, database, backup
):
    """What stands is the way back."""
    copy = "newbi_migrate_restoring_1_invoices"

    def anew():
        everything[copy].drop()
        everything.create_collection(copy)

    # All documents are counted by then.
    act = When("indexes", anew)
    with pytest.raises(DatabaseMovedOnError) as caught:
        await restore_backup(backup, database, drop=True, only=["invoices"], progress=act)

    assert caught.value.what.startswith("The copy that is to take the place of 'invoices' is no")
    assert "drop" not in caught.value.next_step
