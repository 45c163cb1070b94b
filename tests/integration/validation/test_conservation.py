"""The proof that a run changed nothing but what its journal says, and what a run is backed by."""

from __future__ import annotations

import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from fingerprints import changes, fingerprint
from leases import leased
from legacy_cases import build_dirty_database
from pymongo import AsyncMongoClient
from small_legacy import legacy_user

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.choices import AliasPolicy
from newbi_migrate.demo.legacy import build_legacy_database
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import (
    DamagedBackupError,
    DatabaseMovedOnError,
    ExitCode,
    InterruptedRunError,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.run.baseline import BaselineSource, baseline_of, take_baseline
from newbi_migrate.migration.validation.conservation import ConservationVerdict, check_conservation
from newbi_migrate.migration.validation.report import Origin, Proof
from newbi_migrate.store.runs import RunState, RunWriter, read_runs

WITH_DIGESTS = BackupGuard(digests=True)
# A few collections, because most of what a small migration takes is building indexes.
FEW = ("invoices", "quotes", "products")
CLEAN = MigrationOptions(collections=FEW)
EVERY_ALIAS = MigrationOptions(collections=FEW, aliases=AliasPolicy.ALL, batch_size=7)
RAW = CodecOptions(document_class=RawBSONDocument)


async def migrated(uri, *, backup_guard=WITH_DIGESTS, options=CLEAN):
    async with Migration(uri, backup_guard=backup_guard, options=options) as migration:
        return await migration.apply()


async def proof(database, **arguments):
    first = (await read_runs(database))[-1]
    return await check_conservation(database, NEWBI, first, **arguments)


def verdicts(conservation):
    return {one.collection: one.verdict for one in conservation.collections}


@pytest.fixture
def legacy(sync_database):
    build_legacy_database(
        sync_database, seed=21, users=4, documents_per_user=8, source="Users", collections=FEW
    )
    return sync_database


@pytest.fixture
def dirty(sync_database):
    build_dirty_database(sync_database, seed=22, users=4, documents_per_user=6)
    return sync_database


# -- the proof --------------------------------------------------------------------------------


async def test_a_migration_of_clean_data_changes_nothing_but_workspaces(uri, database, legacy):
    """Every collection of documents is equal; what was created for users is accounted for."""
    await migrated(uri)
    found = await proof(database)

    assert found.holds
    created = {"user", "account", "organization", "member"}
    expected = {
        n: ConservationVerdict.ACCOUNTED if n in created else ConservationVerdict.EQUAL
        for n in verdicts(found)
    }
    assert expected == verdicts(found)
    assert dict.fromkeys(created, 4) == {
        one.collection: one.created for one in found.collections if one.created
    }


async def test_rewritten_owners_are_accounted_for_one_by_one(uri, database, dirty):
    """Documents and users in which something else was written are set back, and then equal."""
    result = await migrated(uri, options=EVERY_ALIAS)
    found = await proof(database)

    assert [] == [str(one) for one in found.differing]
    rewritten = {n: s.owners_rewritten for n, s in result.collections.items() if s.owners_rewritten}
    assert rewritten
    counted = {one.collection: one.changed for one in found.collections if one.changed}
    assert rewritten == {n: c for n, c in counted.items() if n in NEWBI}
    assert result.filled["user"] == counted["user"]


@pytest.mark.slow
async def test_a_second_run_is_accounted_for_too(uri, database, dirty):
    """What a later run stamped is proven with what the first one recorded."""
    some = MigrationOptions(collections=("invoices",), aliases=AliasPolicy.ALL)
    await migrated(uri, options=some)
    await migrated(uri, options=EVERY_ALIAS, backup_guard=None)
    runs = await read_runs(database)

    assert 2 == len(runs)
    assert (await proof(database)).holds


async def test_the_last_run_that_recorded_digests_is_the_one_that_is_proven(uri, legacy):
    """People worked between it and the run before, and no journal tells of that."""
    await migrated(uri)
    legacy["invoices"].insert_one({"createdBy": legacy["Users"].find_one()["_id"], "number": "L"})
    legacy["Users"].insert_one(legacy_user(7))
    await migrated(uri)
    async with Migration(uri) as migration:
        proven = await migration.validate(unchanged=True)
        legacy["invoices"].insert_one({"number": "later"})
        changed = await migration.validate(unchanged=True, only=["run.*"])

    assert Proof.PROVEN is proven.unchanged.proof
    assert [(Proof.CHANGED, Origin.UNKNOWN)] == [
        (changed.unchanged.proof, result.origin) for result in changed.results
    ]
    assert ExitCode.VALIDATION_FAILED is changed.exit_code


async def test_an_interrupted_run_is_accounted_for_too(uri, database, dirty):
    """Whatever part of it was written when it stopped."""
    stopped = 0

    class Stop:
        def phase(self, name, total):
            nonlocal stopped
            if name == "documents":
                stopped += 1
                migration.stop()

        def advance(self, amount, detail=""):
            pass

        def note(self, sentence):
            pass

    async with Migration(
        uri, backup_guard=WITH_DIGESTS, options=EVERY_ALIAS, progress=Stop()
    ) as migration:
        with pytest.raises(InterruptedRunError):
            await migration.apply()

    assert 1 == stopped
    assert (await proof(database)).holds


@pytest.mark.parametrize("keep", [True, False])
async def test_what_finalizing_removed_is_accounted_for(uri, database, legacy, keep):
    """The legacy users are compared under their new name, or journaled as dropped."""
    async with Migration(uri, backup_guard=WITH_DIGESTS) as migration:
        await migration.apply()
        await migration.finalize(keep=keep)
    found = await proof(database)

    assert found.holds
    assert "Users" not in legacy.list_collection_names()
    users = next(one for one in found.collections if one.collection == "Users")
    expected = (ConservationVerdict.EQUAL, 4) if keep else (ConservationVerdict.ACCOUNTED, 0)
    assert expected == (users.verdict, users.now)
    if keep:
        (name,) = [n for n in legacy.list_collection_names() if n.startswith("Users")]
        legacy[name].delete_one({})
        assert ["Users"] == [one.collection for one in (await proof(database)).differing]


async def test_what_was_kept_and_then_dropped_is_accounted_for(uri, database, legacy):
    """Two runs, the second of which knows the legacy users by the name the first gave them."""
    async with Migration(uri, backup_guard=WITH_DIGESTS) as migration:
        await migration.apply()
        await migration.finalize(keep=True)
        await migration.finalize()
    found = await proof(database)
    users = next(one for one in found.collections if one.collection == "Users")

    assert found.holds
    assert (ConservationVerdict.ACCOUNTED, 0) == (users.verdict, users.now)


async def test_a_dropped_journal_ends_the_proof(uri, database, legacy):
    """What nobody knows any more is not called a difference."""
    async with Migration(uri, backup_guard=WITH_DIGESTS) as migration:
        await migration.apply()
        await migration.finalize(drop_journal=True)
    with pytest.raises(UsageError, match="journal was dropped"):
        await proof(database)


async def test_a_rolled_back_run_is_not_accounted_for(uri, database, legacy):
    """What it wrote would be a difference if it were still there."""
    await migrated(uri)
    run = (await read_runs(database))[0]
    async with leased(database, run_id=run.run_id) as session:
        record = RunWriter(session)
        await record.take_over()
        await record.rolled_back({}, whole=True)

    assert RunState.ROLLED_BACK is (await read_runs(database))[0].state
    assert {"user", "account", "organization", "member"} == {
        one.collection for one in (await proof(database)).differing
    }


async def test_the_proof_reads_only(uri, database, legacy):
    """Not a document and not an index is written."""
    await migrated(uri)
    before = fingerprint(legacy)
    await proof(database)

    assert [] == changes(before, fingerprint(legacy))


def change_total(database):
    database["invoices"].update_one({}, {"$set": {"total": -1}})


def change_type(database):
    one = database["invoices"].find_one({"createdBy": {"$type": "objectId"}})
    database["invoices"].update_one(
        {"_id": one["_id"]}, {"$set": {"createdBy": str(one["createdBy"])}}
    )


def reorder(database):
    one = database["invoices"].find_one()
    database["invoices"].replace_one({"_id": one["_id"]}, dict(reversed(one.items())))


def lose(database):
    database["invoices"].delete_one({})


def exchange(database):
    one = database["invoices"].find_one()
    database["invoices"].delete_one({"_id": one["_id"]})
    database["invoices"].insert_one({**one, "_id": ObjectId()})


def add(database):
    database["invoices"].insert_one({"number": "late"})


def stamp_a_legacy_user(database):
    database["Users"].update_one({}, {"$set": {"workspaceId": ObjectId()}})


def drop(database):
    database["quotes"].drop()


def make_one(database):
    database["unknown"].insert_one({})


CHANGES = {
    change_total: "invoices",
    change_type: "invoices",
    reorder: "invoices",
    lose: "invoices",
    exchange: "invoices",
    add: "invoices",
    stamp_a_legacy_user: "Users",
    drop: "quotes",
    make_one: "unknown",
}


async def test_anything_else_is_a_difference(uri, database, legacy):
    """One byte of one document, in one collection, which is named; the others stay equal."""
    await migrated(uri)
    for change, collection in CHANGES.items():
        raw = legacy[collection].with_options(codec_options=RAW)
        documents = list(raw.find())
        change(legacy)
        found = await proof(database)
        raw.delete_many({})
        if documents:
            raw.insert_many(documents)

        assert [collection] == [one.collection for one in found.differing], change.__name__
        assert not found.holds
    assert (await proof(database)).holds


async def test_a_journaled_field_that_somebody_changed_since_is_named(uri, database, dirty):
    """The document that cannot be set back is unexplained, with its id."""
    result = await migrated(uri, options=EVERY_ALIAS)
    name = next(n for n, s in result.collections.items() if s.owners_rewritten)
    entries = dirty["newbi_migrate_journal"].find({"collection": name, "kind": "window"})
    owners = [
        group
        for entry in entries
        for group in entry["groups"]
        if set(group["set"]) - {"workspaceId"}
    ]
    victim = ObjectId(bytes(owners[0]["ids"])[:12])
    changed = min(set(owners[0]["set"]) - {"workspaceId"})
    dirty[name].update_one({"_id": victim}, {"$set": {changed: ObjectId()}})
    found = await proof(database)

    (one,) = found.differing
    assert (name, (victim,)) == (one.collection, one.unexplained)


async def test_without_a_reference_there_is_no_proof(uri, database, legacy):
    """A run without --backup and without digests says so."""
    await migrated(uri, backup_guard=None)
    assert baseline_of((await read_runs(database))[0]) is None
    with pytest.raises(UsageError, match="recorded no digests"):
        await proof(database)


async def test_a_reference_may_be_handed_in(uri, database, legacy):
    """Taken by whoever wants the proof, before."""
    baseline = await take_baseline(database, NEWBI, comment="test")
    await migrated(uri, backup_guard=None)

    assert (await proof(database, baseline=baseline)).holds


# -- what a run is backed by ------------------------------------------------------------------


async def test_a_backup_is_recorded_and_proves_the_run(uri, database, legacy, tmp_path):
    """Its id and its digests go into the run record, and are the baseline."""
    backup = await backup_database(database, tmp_path)
    await migrated(uri, backup_guard=BackupGuard(backup.path))
    (run,) = await read_runs(database)
    baseline = baseline_of(run)

    assert (BaselineSource.BACKUP, backup.manifest.identity, backup.path.name) == (
        baseline.source,
        baseline.backup,
        baseline.name,
    )
    assert (await proof(database)).holds
    assert (await compare_backup(backup.path, database, without=["workspaceId"])).differences


async def test_a_backup_and_a_reading_at_the_start_know_the_same(database, legacy, tmp_path):
    """Whichever of them is taken, the proof is the same."""
    backup = await backup_database(database, tmp_path)
    read = await take_baseline(database, NEWBI, comment="test")
    of_backup = type(read).of_manifest(backup.manifest, NEWBI)

    assert dict(of_backup.collections) == dict(read.collections)


async def test_a_backup_of_another_database_is_refused(
    uri, database, legacy, servers, tmp_path, database_name
):
    """Nothing is written, whatever it holds."""
    other = f"{database_name}_o"
    try:
        legacy.client[other]["Users"].insert_one({"_id": 1})
        backup = await backup_database(database.client[other], tmp_path)
        before = fingerprint(legacy)
        with pytest.raises(UsageError, match="is of the database"):
            await migrated(uri, backup_guard=BackupGuard(backup.path))

        assert [] == changes(before, fingerprint(legacy))
    finally:
        servers.drop(other)


@pytest.mark.parametrize(
    "change", [change_total, add, make_one, lambda d: d["quotes"].drop_index("createdBy_1")]
)
async def test_a_stale_backup_is_refused(uri, database, legacy, tmp_path, change):
    """Whatever is no longer as it says is named, and nothing but the lease is written."""
    backup = await backup_database(database, tmp_path)
    change(legacy)
    before = fingerprint(legacy, run_records=False)
    with pytest.raises(DatabaseMovedOnError, match="is not as the backup"):
        await migrated(uri, backup_guard=BackupGuard(backup.path))

    assert [] == changes(before, fingerprint(legacy, run_records=False))
    assert [] == await read_runs(database)


async def test_a_damaged_backup_is_refused(uri, database, legacy, tmp_path):
    """A run is not backed by what could not be restored."""
    backup = await backup_database(database, tmp_path)
    next(backup.path.glob("*/invoices.bson.gz")).unlink()
    with pytest.raises(DamagedBackupError):
        await migrated(uri, backup_guard=BackupGuard(backup.path))

    assert [] == await read_runs(database)


async def test_an_interrupted_run_is_finished_with_its_own_backup(uri, database, legacy, tmp_path):
    """With the same or without; another one, or one where it had none, is refused."""
    backup = await backup_database(database, tmp_path / "a")
    other = await backup_database(database, tmp_path / "b")
    await migrated(uri, backup_guard=BackupGuard(backup.path))
    legacy["newbi_migrate_runs"].update_one({}, {"$set": {"state": "running"}})
    legacy["invoices"].update_one({}, {"$unset": {"workspaceId": ""}})
    with pytest.raises(UsageError, match="had the backup backup_"):
        await migrated(uri, backup_guard=BackupGuard(other.path))
    result = await migrated(uri, backup_guard=BackupGuard(backup.path))

    assert result.resumed
    assert (await proof(database)).holds
    legacy["newbi_migrate_runs"].update_one({}, {"$set": {"state": "running", "baseline": None}})
    with pytest.raises(UsageError, match="had no backup"):
        await migrated(uri, backup_guard=BackupGuard(backup.path))


async def test_a_half_restored_database_is_not_migrated(uri, database, legacy, tmp_path, servers):
    """Until the same restore has come to its end."""
    backup = await backup_database(database, tmp_path)

    class StopError(Exception):
        pass

    class Stop:
        def phase(self, name, total):
            if name == "restore":
                raise StopError

        def advance(self, amount, detail=""):
            pass

        def note(self, sentence):
            pass

    with pytest.raises(StopError):
        await restore_backup(backup.path, database, drop=True, progress=Stop())
    with pytest.raises(UsageError, match="half restored"):
        await migrated(uri)
    await restore_backup(backup.path, database)

    assert (await migrated(uri)).run_id is not None


async def test_who_may_only_read_can_prove(mongod_with_auth, servers, database_name):
    """The proof needs no more than the role read."""
    admin = servers.client(mongod_with_auth)[database_name]
    build_legacy_database(
        admin, seed=23, users=2, documents_per_user=5, source="Users", collections=FEW
    )
    writer = mongod_with_auth.add_user("w", "pw", database=database_name, roles=["readWrite"])
    await migrated(writer)
    uri = mongod_with_auth.add_user("r", "pw", database=database_name, roles=["read"])
    async with AsyncMongoClient(uri) as client:
        assert (await proof(client[database_name])).holds
