"""Extended JSON exports: written once a backup is whole, resumable, and never a condition of it."""

from __future__ import annotations

import asyncio
import errno
import json
import struct

import pytest
from backups import fill
from bson import Binary, ObjectId, json_util
from small_legacy import USERS, legacy_user

from newbi_migrate.backup import exporting
from newbi_migrate.backup.encrypt import new_identity
from newbi_migrate.backup.exporting import export_backup
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import DamagedBackupError, LocalFileError, UsageError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.store.raw import document_of

BAD_BINARY = (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09")


@pytest.fixture
def filled(sync_database):
    """Collections of every kind, critical ones among them."""
    fill(sync_database)
    return sync_database


@pytest.fixture
async def backup(filled, database, tmp_path):
    """A whole backup without its exports."""
    return (await backup_database(database, tmp_path)).path


class Stopped(Exception):  # noqa: N818
    """Stands for the end of a process."""


def stopped_after(monkeypatch, batches):
    """Lets the exports end after some batches, as a process that is killed does."""
    convert, left = exporting.json_lines, [None] * batches

    def converting(batch):
        if not left:
            raise Stopped
        left.pop()
        return convert(batch)

    monkeypatch.setattr(exporting, "json_lines", converting)


async def lacking(backup):
    """Notes about exports."""
    found = await verify_backup(backup)
    found.require()
    return [note for note in found.notes if "JSON exports" in note]


async def test_critical_collections_are_also_extended_json(filled, backup):
    """One canonical document a line, and only for those."""
    made = await export_backup(backup)

    exports = backup / "json_exports"
    assert {"Users.json", "invoices.json", "exports.json", "exports.lock"} == {
        file.name for file in exports.iterdir()
    }
    assert ["Users", "invoices"] == [one.collection for one in made.entries]
    lines = (exports / "invoices.json").read_text("utf-8").splitlines()
    options = json_util.JSONOptions(tz_aware=False, tzinfo=None)
    read = [json_util.loads(line, json_options=options) for line in lines]
    assert list(filled["invoices"].find()) == read
    assert "élodie0@exemple.fr" in (exports / "Users.json").read_text("utf-8")
    assert [] == await lacking(backup)


async def test_a_backup_is_whole_before_its_exports_are_begun(backup):
    """It has its name and its manifest; that they are missing is a note."""
    (note,) = await lacking(backup)

    assert not (backup / "json_exports").exists()
    assert "exports of Users, invoices are not there" in note
    assert "--exports-only" in note


async def test_exports_that_were_stopped_go_on_where_they_were(backup, monkeypatch):
    """What is whole is not written again; what was half written is no export."""
    stopped_after(monkeypatch, 1)
    with pytest.raises(Stopped):
        await export_backup(backup)
    (note,) = await lacking(backup)
    before = (backup / "json_exports" / "Users.json").stat().st_ino
    (backup / "json_exports" / "0123456789abcdef.partial").write_bytes(b"left by a kill")
    monkeypatch.undo()
    await export_backup(backup)

    assert "exports of invoices are" in note
    assert before == (backup / "json_exports" / "Users.json").stat().st_ino
    assert {"Users.json", "invoices.json", "exports.json", "exports.lock"} == {
        file.name for file in (backup / "json_exports").iterdir()
    }
    assert [] == await lacking(backup)


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "list"])
async def test_damaged_exports_are_written_again(backup, damage):
    """Until then they are a note, for no command reads them."""
    await export_backup(backup)
    file = backup / "json_exports" / "invoices.json"
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "list":
        (backup / "json_exports" / "exports.json").write_bytes(b"[" * 100_000)
    else:
        file.write_bytes(whole[:-1] + (b"" if damage == "cut" else b" "))
    (note,) = await lacking(backup)
    await export_backup(backup)

    assert "invoices" in note
    assert whole == file.read_bytes()
    assert [] == await lacking(backup)


async def test_a_migration_can_begin_while_exports_are_written(
    uri, database, sync_database, tmp_path, monkeypatch
):
    """The backup is that of the run, and stays so when they are there."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    backup = (await backup_database(database, tmp_path)).path
    asked, going_on = asyncio.Event(), asyncio.Event()
    loop, convert = asyncio.get_running_loop(), exporting.json_lines

    def waiting(batch):
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result()
        return convert(batch)

    monkeypatch.setattr(exporting, "json_lines", waiting)
    exports = asyncio.create_task(export_backup(backup))
    await asked.wait()
    async with Migration(uri, backup_guard=BackupGuard(backup)) as migration:
        result = await migration.apply(await migration.plan())
        going_on.set()
        await exports
        await migration.check_conservation()

    assert 3 == result.created["user"]
    assert [] == await lacking(backup)


async def test_a_cancelled_export_leaves_a_whole_backup(backup, monkeypatch):
    """And nothing half written."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    convert = exporting.json_lines

    def slowly(batch):
        loop.call_soon_threadsafe(begun.set)
        return convert(batch)

    monkeypatch.setattr(exporting, "json_lines", slowly)
    task = asyncio.ensure_future(export_backup(backup))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == list(backup.rglob("*.partial"))
    assert 1 == len(await lacking(backup))


async def test_a_document_that_json_cannot_say_is_left_out(database, sync_database, tmp_path):
    """It is counted, the others are there, and the backup holds it."""
    good, bad = ObjectId(), ObjectId()
    sync_database["invoices"].insert_many(
        [{"_id": good}, document_of(("_id", 0x07, bad.binary), ("photo", *BAD_BINARY))]
    )
    backup = (await backup_database(database, tmp_path)).path
    (entry,) = (await export_backup(backup)).entries

    assert (1, 1) == (entry.lines, entry.left_out)
    text = (backup / "json_exports" / "invoices.json").read_text("utf-8")
    assert {"_id": {"$oid": str(good)}} == json.loads(text)
    assert [] == await lacking(backup)


async def test_exports_of_an_encrypted_backup_are_encrypted(filled, database, tmp_path):
    """By the process that made it without a key; later with one, and for whom is to be said."""
    identity, public = new_identity()
    made = await backup_database(database, tmp_path, recipients=[public])
    await export_backup(made.path, recipients=[public], identities=made.identities)
    files = {file.name: file for file in (made.path / "json_exports").iterdir()}
    files["invoices.json.age"].unlink()
    with pytest.raises(UsageError, match="encrypted"):
        await export_backup(made.path)
    await export_backup(made.path, recipients=[public], identities=[identity])

    assert {"Users.json.age", "invoices.json.age", "exports.json", "exports.lock"} == set(files)
    assert files["invoices.json.age"].read_bytes().startswith(b"age-encryption.org/v1")
    assert [] == await lacking(made.path)


async def test_a_damaged_backup_gets_no_exports(backup):
    """It is said what is damaged."""
    (data,) = backup.glob("*/invoices.bson.gz")
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DamagedBackupError, match=r"invoices\.bson\.gz"):
        await export_backup(backup)


async def test_exports_stay_in_the_folder_of_the_backup(backup, tmp_path):
    """A link where their folder has to be is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (backup / "json_exports").symlink_to(outside)
    with pytest.raises(DamagedBackupError, match="symbolic link"):
        await export_backup(backup)

    assert [] == list(outside.iterdir())
    assert 1 == len(await lacking(backup))


async def test_a_disk_that_fills_up_leaves_the_backup(backup, monkeypatch):
    """The next step is to go on with the exports, not to make another."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("newbi_migrate.backup.files.PrivateFile.write", full)
    with pytest.raises(LocalFileError) as caught:
        await export_backup(backup)
    monkeypatch.undo()

    assert "no space left" in caught.value.what
    assert "--exports-only" in caught.value.next_step
    assert "another --output-dir" not in caught.value.next_step
    assert 1 == len(await lacking(backup))


async def test_a_file_system_without_locks_has_exports_too(backup, monkeypatch):
    """Some network shares have none; there it is the person who starts no two."""

    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    await export_backup(backup)

    assert [] == await lacking(backup)


async def test_a_backup_made_without_exports_can_get_them(database, sync_database, tmp_path):
    """Until then nothing is missing."""
    sync_database["invoices"].insert_one({"_id": Binary(b"x"), "createdBy": USERS[0]})
    backup = (await backup_database(database, tmp_path, exports=False)).path

    assert [] == await lacking(backup)
    assert 1 == (await export_backup(backup)).entries[0].lines
