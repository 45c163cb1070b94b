"""Rehearsals on the real server: there, back to the byte, and there again."""

from __future__ import annotations

import asyncio
import shutil
from collections import namedtuple

import pytest
from pymongo.errors import AutoReconnect
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.layout import MANIFEST, REPORT
from newbi_migrate.errors import (
    ExitCode,
    LocalFileError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.rehearsal import rehearse as rehearsing, scratch
from newbi_migrate.migration.rehearsal.results import StepName, Verdict
from newbi_migrate.progress import NullProgress
from newbi_migrate.testing import EmbeddedMongod

OF_OURS = [name for name in StepName if name is not StepName.BACKUP]


@pytest.fixture
async def backup(uri, sync_database, tmp_path):
    """A backup of three users with invoices; the database is dropped, so nobody can open it."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for owner in USERS[:3]:
        sync_database["invoices"].insert_many(invoices(owner, 4))
    async with Migration(uri) as migration:
        made = await migration.backup(tmp_path / "backups")
    sync_database.client.drop_database(sync_database.name)
    return made.path


async def rehearse(backup, uri, *, work_dir, progress=None, keep=False):
    """A rehearsal in the database of a connection string."""
    async with Migration(uri, progress=progress) as migration:
        return await migration.rehearse(backup, work_dir=work_dir, keep=keep)


def names(rehearsal):
    """The steps that were taken."""
    return [step.name for step in rehearsal.steps]


async def test_a_clean_backup_goes_all_the_way_and_back(uri, backup, tmp_path, sync_database):
    """Each step goes well, the way back gives every byte, and nothing is left behind."""
    found = await rehearse(backup, uri, work_dir=tmp_path)

    assert (Verdict.GO, ExitCode.DONE) == (found.verdict, found.exit_code)
    assert OF_OURS == names(found)
    assert 3 == len(found.plan.users)
    assert 0 < found.room.records
    said = {step.name: step.sentence for step in found.steps}
    written = said[StepName.PLAN].partition(", ")[2].removesuffix("documents to write")
    assert said[StepName.MIGRATE].endswith(f"{written}written")
    assert sync_database.name not in sync_database.client.list_database_names()


async def test_a_user_with_readwrite_rehearses_and_leaves_nothing_behind(
    mongod_with_auth, servers, database_name, backup, tmp_path
):
    """The role holds no dropDatabase, and an answer must not be lost for that."""
    name = f"{database_name}_scratch"
    scratch = mongod_with_auth.add_user("s", "pw", database=name, roles=["readWrite"])
    found = await rehearse(backup, scratch, work_dir=tmp_path)

    assert Verdict.GO == found.verdict
    assert [] == servers.client(mongod_with_auth)[name].list_collection_names()


def as_a_dump(backup):
    """A backup as mongodump would have written it."""
    for name in (MANIFEST, REPORT):
        (backup / name).unlink()
    return backup


@pytest.mark.slow
async def test_a_folder_without_a_manifest_is_backed_up_first(uri, backup, tmp_path):
    """What mongodump wrote backs no run, so the copy gets a backup of its own, which goes again."""
    dump = as_a_dump(backup)
    before = set(tmp_path.iterdir())

    found = await rehearse(dump, uri, work_dir=tmp_path)

    assert list(StepName) == names(found)
    assert Verdict.GO is found.verdict
    assert before == set(tmp_path.iterdir())


async def test_a_backup_with_a_lease_says_what_its_copy_lacks(uri, sync_database, tmp_path):
    """Nobody looks for a lost document where the numbers of two steps differ by the lease."""
    sync_database["Users"].insert_one(legacy_user(0))
    async with Migration(uri) as migration:
        await migration.apply()
        await migration.rollback()
        made = await migration.backup(tmp_path)
    sync_database.client.drop_database(sync_database.name)

    found = await rehearse(made.path, uri, work_dir=tmp_path)

    said = {step.name: step.sentence for step in found.steps}
    number = made.manifest.count
    assert said[StepName.VERIFY].startswith(f"{number} documents in ")
    assert f"{number - 1} documents (the lease is not restored)" in said[StepName.RESTORE]


async def test_a_backup_of_a_migrated_database_is_refused(uri, sync_database, tmp_path):
    """The way back in the copy would lead to before the backup; the sentence names the run."""
    sync_database["Users"].insert_one(legacy_user(0))
    async with Migration(uri) as migration:
        run = await migration.apply()
        made = await migration.backup(tmp_path)
    sync_database.client.drop_database(sync_database.name)

    with pytest.raises(UsageError, match=f"the migrate run {run.run_id} is in place"):
        await rehearse(made.path, uri, work_dir=tmp_path)

    assert sync_database.name not in sync_database.client.list_database_names()


async def test_who_is_quarantined_is_for_a_person_to_decide(uri, sync_database, tmp_path):
    """Two users with one e-mail: go, once somebody has decided about them.

    An index that cannot be built is told wherever a command of the night would tell it.
    """
    sync_database["Users"].insert_many(
        [legacy_user(0), legacy_user(1), legacy_user(2, email="JEANNE1@exemple.fr")]
    )
    for _ in range(2):
        sync_database["invoices"].insert_many(invoices(USERS[0], 1))
    async with Migration(uri) as migration:
        made = await migration.backup(tmp_path)
    sync_database.client.drop_database(sync_database.name)

    found = await rehearse(made.path, uri, work_dir=tmp_path)

    assert (Verdict.DECIDE, ExitCode.QUARANTINED) == (found.verdict, found.exit_code)
    assert 2 == len(found.plan.quarantine)
    assert {StepName.INDEXES, StepName.FINALIZE} == {
        step.name
        for step in found.steps
        if step.exit_code is ExitCode.PENDING and "new ones not built: 1" in step.sentence
    }


async def test_a_damaged_backup_is_no_go_and_touches_nothing(uri, backup, tmp_path, sync_database):
    """It ends with the first step, whose own code is that of a damaged file."""
    (data,) = backup.rglob("invoices.bson*")
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    data.write_bytes(damaged)

    found = await rehearse(backup, uri, work_dir=tmp_path)

    assert [(StepName.VERIFY, ExitCode.LOCAL_FILE)] == [
        (step.name, step.exit_code) for step in found.steps
    ]
    assert (Verdict.NO_GO, ExitCode.PENDING) == (found.verdict, found.exit_code)
    assert sync_database.name not in sync_database.client.list_database_names()


async def test_a_scratch_database_that_holds_something_is_left_alone(
    uri, backup, tmp_path, sync_database
):
    """It is dropped in the end, so it must have been empty in the beginning."""
    sync_database["precious"].insert_one({"_id": 1})

    with pytest.raises(UsageError, match="not empty"):
        await rehearse(backup, uri, work_dir=tmp_path)

    assert [{"_id": 1}] == list(sync_database["precious"].find())
    assert ["precious"] == sync_database.list_collection_names()


async def test_a_way_back_that_gives_other_bytes_is_no_go(
    uri, backup, tmp_path, sync_database, monkeypatch
):
    """Whoever writes into the copy meanwhile shows in the comparison with the backup."""
    compare = rehearsing.compare_backup

    async def meddling(*arguments, **options):
        sync_database["invoices"].update_one({}, {"$set": {"number": "X"}})
        return await compare(*arguments, **options)

    monkeypatch.setattr(rehearsing, "compare_backup", meddling)

    found = await rehearse(backup, uri, work_dir=tmp_path)

    assert StepName.COMPARE in [step.name for step in found.failures]
    assert (Verdict.NO_GO, ExitCode.PENDING) == (found.verdict, found.exit_code)


@pytest.mark.slow
@pytest.mark.parametrize("step", OF_OURS)
async def test_an_interruption_at_any_step_leaves_nothing(
    uri, backup, tmp_path, sync_database, step
):
    """Ctrl-C, whenever it comes, removes the copy and every file of the rehearsal."""
    before = set(tmp_path.iterdir())

    class Interrupting(NullProgress):
        def note(self, sentence):
            if sentence == f"Rehearsal: {step.value}.":
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rehearse(backup, uri, work_dir=tmp_path, progress=Interrupting())

    assert sync_database.name not in sync_database.client.list_database_names()
    assert before == set(tmp_path.iterdir())


@pytest.mark.slow
async def test_the_copy_can_be_kept(uri, backup, tmp_path, sync_database):
    """It is the migrated one."""
    await rehearse(backup, uri, work_dir=tmp_path, keep=True)

    assert 3 == sync_database["member"].count_documents({})


async def test_a_disk_that_fills_up_ends_it_and_leaves_nothing(
    uri, backup, tmp_path, sync_database, monkeypatch
):
    """An error while the disk has no room is that of the disk."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1, 1, 0))
    monkeypatch.setattr(rehearsing, "restore_backup", _fails)

    with pytest.raises(LocalFileError, match="full"):
        await rehearse(backup, uri, work_dir=tmp_path)

    assert sync_database.name not in sync_database.client.list_database_names()


@pytest.mark.parametrize("during", ["restore_backup", "collection_hashes"])
async def test_a_full_disk_is_named_where_the_server_dies_of_it(
    servers, backup, tmp_path, monkeypatch, during
):
    """Then the copy cannot be dropped either, which is not what somebody has to mend."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    with servers.run(replica_set=True) as server:

        async def dies(*_arguments, **_options):
            monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1, 1, 0))
            server.kill()
            raise AutoReconnect("The server died.")

        monkeypatch.setattr(rehearsing, during, dies)
        uri = f"{server.uri_for('newbi')}&serverSelectionTimeoutMS=500"
        with pytest.raises(LocalFileError, match="full"):
            await rehearse(backup, uri, work_dir=tmp_path)


def test_a_full_disk_is_named_where_no_server_starts(tmp_path, monkeypatch):
    """What the server says in its log is of no use to somebody whose disk is full."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1, 1, 0))

    class Dying(EmbeddedMongod):
        def start(self):
            raise UnreachableError("It did not start.")

    monkeypatch.setattr(scratch, "EmbeddedMongod", Dying)
    with pytest.raises(LocalFileError, match="full"), scratch.scratch_server(tmp_path):
        pass


async def _fails(*_arguments, **_options):
    raise UnsupportedError("No space left.")


def test_room_is_asked_before_anything_begins(tmp_path, monkeypatch):
    """What it takes is said beside what there is, and where."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1, 1, 5_000_000))

    with pytest.raises(LocalFileError, match=r"takes up to 1 GB .* has 5 MB free"):
        scratch.refuse_without_room(tmp_path, 1_000_000, backup=False, server=True)


def test_memory_is_asked_before_anything_begins(tmp_path, monkeypatch):
    """A server without memory would be killed in the middle."""
    monkeypatch.setattr(scratch, "_available_memory", lambda: 100_000_000)

    with pytest.raises(UnsupportedError, match="memory"):
        scratch.refuse_without_room(tmp_path, 1000, backup=False, server=True)


def test_a_file_that_vanishes_while_room_is_looked_at_is_damage_and_no_defect(backup):
    """The first step names it; what it would have taken is not counted."""
    dump = Dump(as_a_dump(backup))
    (data,) = backup.rglob("invoices.bson*")
    whole = scratch.bytes_of_documents(dump)
    data.unlink()

    assert 0 < scratch.bytes_of_documents(dump) < whole
