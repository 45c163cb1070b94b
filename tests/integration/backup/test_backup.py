"""What a backup holds, what it says of itself, and what is left when it fails."""

from __future__ import annotations

import asyncio
import errno
import gc
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import unquote_plus

import bson
import pytest
from backups import FIRST, data_name, dumped_infos, fill, metadata_of, raw_documents
from bson import ObjectId
from bulk import bulk_invoices, bulk_owners
from fingerprints import changes, fingerprint
from pymongo import AsyncMongoClient

from newbi_migrate.backup import verify, writer
from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.encrypt import new_identity, read_identities, read_recipients
from newbi_migrate.backup.layout import escape
from newbi_migrate.backup.manifest import Consistency
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import (
    DamagedBackupError,
    ExitCode,
    LocalFileError,
    NewbiMigrateError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.server_codes import Code
from newbi_migrate.store.digest import Digest, digest_collection


def command(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True)


def mounted(path):
    """Whether a file system of one megabyte could be mounted there."""
    try:
        command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def killed_in_the_middle(uri, folder):
    """Starts a backup in a process of its own and kills it when a file is there."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, uri, folder]) as process:
        until = time.monotonic() + 30
        while not list(folder.glob("*/*/*")) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)


NOW = datetime(2025, 9, 17, 8, 5, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def still(mongod, servers):
    """The same, for tests that change nothing in it."""
    database = servers.client(mongod)[f"newbi_test_{uuid.uuid4().hex[:16]}"]
    fill(database)
    yield database
    servers.drop(database.name)


@pytest.fixture
def still_database(still, database):
    """Through PyMongo's asynchronous API."""
    return database.client[still.name]


@pytest.fixture
def whole(sync_database):
    """A database with every kind of collection."""
    fill(sync_database)
    return sync_database


# -- the format -------------------------------------------------------------------------------


async def test_data_files_hold_the_documents_as_the_server_sends_them(
    still, still_database, tmp_path
):
    """Byte for byte and in natural order, as mongodump writes them."""
    result = await backup_database(still_database, tmp_path, now=NOW)

    folder = tmp_path / "backup_2025-09-17_08-05-09" / still_database.name
    assert folder.parent == result.path
    for info in dumped_infos(still):
        if info["type"] != "view":
            name = data_name(info)
            stored = gzip.decompress((folder / f"{escape(name)}.bson.gz").read_bytes())
            assert b"".join(raw_documents(still, name)) == stored


async def test_metadata_files_are_those_of_mongodump(still, still_database, tmp_path):
    """The same keys in the same order, in canonical Extended JSON; a view has no other file."""
    result = await backup_database(still_database, tmp_path)

    folder = result.path / still_database.name
    for info in dumped_infos(still):
        path = folder / f"{escape(info['name'])}.metadata.json.gz"
        expected = json.loads(metadata_of(still, info))
        found = json.loads(gzip.decompress(path.read_bytes()))
        assert list(expected.items()) == list(found.items())
    assert not (folder / "paid.bson.gz").exists()


async def test_nothing_else_is_in_the_databases_folder(still, still_database, tmp_path):
    """Mongorestore takes every file there for a part of the dump."""
    result = await backup_database(still_database, tmp_path)
    expected = set()
    for info in dumped_infos(still):
        expected.add(f"{escape(info['name'])}.metadata.json.gz")
        if info["type"] != "view":
            expected.add(f"{escape(data_name(info))}.bson.gz")

    assert expected == {file.name for file in (result.path / still_database.name).iterdir()}


async def test_the_manifest_tells_count_bytes_and_digest(still, still_database, tmp_path):
    """Of each collection; and the digest is the one the database has now."""
    result = await backup_database(still_database, tmp_path)

    for entry in result.manifest.collections:
        if entry.type == "collection":
            digest = await digest_collection(still_database, entry.name, without=())
            assert (digest.count, digest.bytes) == (entry.count, entry.bytes)
            assert digest.hexdigest() == entry.digest
            without = await digest_collection(still_database, entry.name)
            assert without.hexdigest() == entry.digest_without
    assert still_database.name == result.manifest.database


async def test_a_backup_is_for_its_owners_eyes_alone(still, still_database, tmp_path):
    """Folders 0700, files 0600, whatever the umask."""
    old = os.umask(0)
    try:
        result = await backup_database(still_database, tmp_path)
    finally:
        os.umask(old)

    paths = [result.path, *result.path.rglob("*")]
    wrong = [p for p in paths if p.stat().st_mode & 0o777 != (0o700 if p.is_dir() else 0o600)]
    assert [] == wrong


async def test_a_backup_changes_nothing_and_needs_the_role_read(
    mongod_with_auth, servers, database_name, tmp_path
):
    """It sends no write; who may only read can make one, and learns whether all was quiet."""
    admin = servers.client(mongod_with_auth)[database_name]
    admin["users"].insert_many([{"_id": n} for n in range(5)])
    admin["users"].create_index("n")
    before = fingerprint(admin)
    uri = mongod_with_auth.add_user("r", "pw", database=database_name, roles=["read"])
    async with AsyncMongoClient(uri) as client:
        result = await backup_database(client[database_name], tmp_path)

    assert Consistency.QUIET is result.manifest.consistency
    assert [] == changes(before, fingerprint(admin))


async def test_an_empty_database_has_a_backup_too(database, tmp_path):
    """With nothing in it."""
    result = await backup_database(database, tmp_path)

    assert 0 == result.manifest.count
    assert (await verify_backup(result.path)).intact


@pytest.mark.parametrize("exports", [True, False])
async def test_a_database_that_is_called_like_the_folder_of_exports_is_refused(
    database, servers, tmp_path, exports
):
    """Its backup could be written, and nothing could read it."""
    taken = database.client["json_exports"]
    await taken["a"].insert_one({})
    try:
        with pytest.raises(UsageError, match="'json_exports'"):
            await backup_database(taken, tmp_path, exports=exports)
    finally:
        servers.drop("json_exports")

    assert [] == list(tmp_path.iterdir())


async def test_a_backup_that_is_there_is_not_written_over(database, tmp_path):
    """Two in one second do not mix."""
    await backup_database(database, tmp_path, now=NOW)
    with pytest.raises(UsageError, match="is there already"):
        await backup_database(database, tmp_path, now=NOW)


# -- consistency ------------------------------------------------------------------------------


class Writer:
    """A listener that writes when the first documents have been read."""

    def __init__(self, write):
        self.write, self.begun = write, False

    def phase(self, name, total):
        pass

    def advance(self, amount, detail=""):
        if not self.begun:
            self.begun = True
            self.write()

    def note(self, sentence):
        pass


def writes(database):
    database["a"].insert_one({"_id": "new"})
    database["b"].update_many({}, {"$set": {"x": 1}})
    database["c"].delete_many({})


def three(database):
    for name in "abc":
        database[name].insert_many([{"_id": n, "text": "x" * 500} for n in range(3000)])


async def test_on_a_replica_set_all_is_read_at_one_moment(
    replica_database, sync_replica_database, tmp_path
):
    """What is written meanwhile is not in the backup, in no collection."""
    three(sync_replica_database)
    expected = {n: await digest_collection(replica_database, n, without=()) for n in "abc"}
    result = await backup_database(
        replica_database, tmp_path, progress=Writer(lambda: writes(sync_replica_database))
    )

    assert Consistency.SNAPSHOT is result.manifest.consistency
    assert "All collections are as they were at one moment." == result.manifest.consistent
    found = {e.name: e.digest for e in result.manifest.collections}
    assert {n: digest.hexdigest() for n, digest in expected.items()} == found


async def test_a_capped_collection_to_which_nobody_wrote_is_of_the_same_moment(
    replica_database, sync_replica_database, tmp_path
):
    """The server offers no snapshot of it, but counts the writes; the report says both."""
    three(sync_replica_database)
    sync_replica_database.create_collection("log", capped=True, size=4096)
    made = await backup_database(replica_database, tmp_path)
    report = (made.path / "backup_report.txt").read_text()

    assert "All collections are as they were at one moment." in report
    assert "no snapshot of the capped collection 'log': writes to it were counted" in report


@pytest.mark.parametrize("code", [Code.SNAPSHOT_TOO_OLD, Code.SNAPSHOT_UNAVAILABLE])
async def test_a_snapshot_that_is_lost_interrupts_a_backup(
    replica_database, sync_replica_database, tmp_path, code
):
    """It is no defect: the same command again makes one, and nothing is left of this."""
    three(sync_replica_database)
    admin = sync_replica_database.client.admin
    data = {"failCommands": ["find"], "errorCode": code.value}
    data["namespace"] = f"{sync_replica_database.name}.b"
    admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        with pytest.raises(NewbiMigrateError, match="until 'b' was read") as caught:
            await backup_database(replica_database, tmp_path)
    finally:
        admin.command("configureFailPoint", "failCommand", mode="off")

    assert ExitCode.INTERRUPTED == caught.value.exit_code
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("collection", ["a", "b", "c"])
async def test_on_a_standalone_writes_are_noticed(database, sync_database, tmp_path, collection):
    """And named, in the manifest and in the report."""
    three(sync_database)
    result = await backup_database(
        database,
        tmp_path,
        progress=Writer(
            lambda: sync_database[collection].update_one({"_id": 5}, {"$inc": {"n": 1}})
        ),
    )

    assert Consistency.WRITTEN is result.manifest.consistency
    (entry,) = (one for one in result.manifest.collections if one.name == collection)
    assert Consistency.WRITTEN is entry.consistency
    assert "There were writes" in (result.path / "backup_report.txt").read_text()


async def test_on_a_standalone_silence_is_noticed_too(database, sync_database, tmp_path):
    """Reading is no write."""
    three(sync_database)
    result = await backup_database(database, tmp_path)

    assert Consistency.QUIET is result.manifest.consistency
    assert () == result.manifest.notes


async def test_a_server_that_is_started_anew_during_a_backup_is_not_called_quiet(servers, tmp_path):
    """It counts from 0 again, so equal counts say nothing of what was written between them."""
    with servers.run() as server:
        database = servers.client(server)["newbi"]
        for name in "ab":
            database[name].insert_one({"_id": 1})
        server.restart()

        def write_and_restart():
            for name in "ab":
                database[name].update_one({}, {"$set": {"n": 1}})
            server.restart()

        result = await backup_database(
            server.uri_for("newbi"), tmp_path, workers=1, progress=Writer(write_and_restart)
        )

    assert Consistency.UNKNOWN is result.manifest.consistency
    assert any("started anew" in note for note in result.manifest.notes)


async def test_a_collection_that_appears_meanwhile_is_told(database, sync_database, tmp_path):
    """It is not in the backup, and the backup says that it may not be whole."""
    three(sync_database)
    result = await backup_database(
        database, tmp_path, progress=Writer(lambda: sync_database["new"].insert_one({}))
    )

    assert Consistency.WRITTEN is result.manifest.consistency
    assert any("new" in note for note in result.manifest.notes)


# -- failures ---------------------------------------------------------------------------------


async def test_a_lost_connection_leaves_nothing(database, sync_database, tmp_path):
    """In the middle of a collection: one sentence, and no folder."""
    three(sync_database)
    admin = sync_database.client.admin
    admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": "alwaysOn",
            "data": {"failCommands": ["getMore"], "closeConnection": True},
        }
    )
    try:
        with pytest.raises(UnreachableError, match="lost"):
            await backup_database(database, tmp_path)
    finally:
        admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    assert [] == list(tmp_path.iterdir())


async def test_a_cancelled_backup_leaves_nothing(database, sync_database, tmp_path):
    """As Ctrl-C does."""
    three(sync_database)
    task = None

    def cancel():
        task.cancel()

    task = asyncio.ensure_future(backup_database(database, tmp_path, progress=Writer(cancel)))
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == list(tmp_path.iterdir())


async def test_a_file_that_may_not_grow_leaves_nothing(database, sync_database, tmp_path):
    """The system's refusal is one sentence."""
    sync_database["random"].insert_many([{"x": os.urandom(900)} for _ in range(4000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(UsageError, match="cannot be written"):
            await backup_database(database, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [] == list(tmp_path.iterdir())


async def test_a_full_disk_leaves_nothing(database, sync_database, tmp_path):
    """On a real file system without space."""
    if not mounted(tmp_path):
        pytest.skip("mounting a small file system takes rights that this user does not have")
    try:
        sync_database["random"].insert_many([{"x": os.urandom(900)} for _ in range(4000)])
        with pytest.raises(UsageError, match="no space left"):
            await backup_database(database, tmp_path)

        assert [] == list(tmp_path.iterdir())
    finally:
        command("umount", tmp_path)


async def test_a_disk_that_fails_at_the_last_name_leaves_nothing(
    database, sync_database, tmp_path, monkeypatch
):
    """It was about to be called whole, and its name may be lost."""
    sync_database["one"].insert_one({"_id": 1})
    real = writer.sync_folder

    def failing(folder):
        if folder == tmp_path:
            raise OSError(errno.EIO, "Input/output error")
        real(folder)

    monkeypatch.setattr(writer, "sync_folder", failing)
    with pytest.raises(LocalFileError, match=r"cannot be written \(Input/output error\)"):
        await backup_database(database, tmp_path)

    assert [] == list(tmp_path.iterdir())


PROGRAM = """
import asyncio, pathlib, sys
from pymongo import AsyncMongoClient
from newbi_migrate.backup.writer import backup_database
async def main():
    async with AsyncMongoClient(sys.argv[1]) as client:
        await backup_database(client.get_default_database(), pathlib.Path(sys.argv[2]))
asyncio.run(main())
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1])
"""


@pytest.mark.slow
async def test_a_killed_backup_is_not_taken_for_one(uri, sync_database, tmp_path):
    """What kill -9 leaves has another name, no manifest and no file with its final name."""
    for name in ("one", "two"):
        for batch in bulk_invoices(30_000, bulk_owners(10)):
            sync_database[name].insert_many(batch)
    killed_in_the_middle(uri, tmp_path)

    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    assert all(f.name.endswith(".partial") for f in left.rglob("*") if f.is_file())
    with pytest.raises(UsageError, match="never finished"):
        await verify_backup(left)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(uri, sync_database, tmp_path):
    """Less than the data takes."""
    for batch in bulk_invoices(40_000, bulk_owners(10), size=4096):
        sync_database["bulk"].insert_many(batch, ordered=False)
    done = command(sys.executable, "-c", PROGRAM, uri, tmp_path)

    assert int(done.stdout) * 1024 < 130_000_000


# -- encryption -------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path):
    """A key as age-keygen writes it; the file and the recipient."""
    identity, public = new_identity()
    path = tmp_path / "key.txt"
    path.write_text(f"# public key: {public}\n{identity}\n")
    return path, str(public)


async def test_an_encrypted_backup_comes_back_with_its_key(
    still, still_database, sync_database, servers, tmp_path, key
):
    """No file of documents or metadata can be read without it."""
    path, recipient = key
    result = await backup_database(
        still_database, tmp_path / "b", recipients=read_recipients([recipient])
    )
    names = {str(f.relative_to(result.path)) for f in result.path.rglob("*") if f.is_file()}
    clear = {name for name in names if not name.endswith(".age")}
    assert {"manifest.json", "backup_report.txt"} == clear
    sealed = {
        name for name in names if b"age-encryption.org/v1" in (result.path / name).read_bytes()
    }
    assert names - clear == sealed

    identities = read_identities([path])
    assert (await verify_backup(result.path, identities=identities)).intact
    other = f"{still_database.name}_b"
    try:
        await restore_backup(result.path, still_database.client[other], identities=identities)
        assert [] == changes(fingerprint(still), fingerprint(sync_database.client[other]))
    finally:
        servers.drop(other)


def test_a_key_file_may_begin_with_a_byte_order_mark(key):
    """Editors on Windows write one."""
    path, _ = key
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().partition(b"\n")[2])

    assert 1 == len(read_identities([path]))


async def test_without_its_key_the_files_of_an_encrypted_backup_are_checked(
    still, still_database, tmp_path, key
):
    """A changed bit is found all the same; restoring is refused."""
    result = await backup_database(
        still_database, tmp_path / "b", recipients=read_recipients([key[1]])
    )
    verification = await verify_backup(result.path)
    assert verification.intact
    assert "no key" in verification.notes[0]

    target = still_database.client[f"{still_database.name}_b"]
    with pytest.raises(UsageError, match="encrypted"):
        await restore_backup(result.path, target)

    file = next(result.path.rglob("invoices.bson*"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert not (await verify_backup(result.path)).intact


async def test_an_encrypted_backup_without_its_manifest_is_told_by_its_report(
    still, still_database, tmp_path, key
):
    """It is in clear, for people too, and says that age comes first."""
    result = await backup_database(
        still_database, tmp_path / "b", recipients=read_recipients([key[1]])
    )
    (result.path / "manifest.json").unlink()
    with pytest.raises(DamagedBackupError, match="has lost its file") as lost:
        await verify_backup(result.path)

    assert "decrypt each file with age" in lost.value.next_step


async def test_a_key_of_another_backup_is_not_taken_for_damage(
    still, still_database, tmp_path, key
):
    """One file that is surely whole tells them apart; a damaged one beside it changes nothing."""
    result = await backup_database(
        still_database, tmp_path / "b", recipients=read_recipients([key[1]])
    )
    stranger, _ = new_identity()
    first = result.path / result.manifest.collections[0].metadata
    whole = first.read_bytes()
    for data in (whole, whole[:-1] + bytes([whole[-1] ^ 1])):
        first.write_bytes(data)
        with pytest.raises(UsageError, match="encrypted for other keys"):
            await verify_backup(result.path, identities=[stranger])

    assert not (await verify_backup(result.path, identities=read_identities([key[0]]))).intact


@pytest.mark.parametrize("other", ["", "\udcff"])
def test_a_secret_key_is_not_taken_for_a_recipient(key, other):
    """And the error does not repeat it; nor are bytes that are no text taken."""
    secret = key[0].read_text().splitlines()[1] + other
    with pytest.raises(UsageError) as failed:
        read_recipients([secret])

    assert secret not in str(failed.value)


# -- against a database -----------------------------------------------------------------------


async def test_a_database_that_has_not_changed_equals_its_backup(whole, database, tmp_path):
    """Collections of this tool's own do not count."""
    result = await backup_database(database, tmp_path)
    whole["newbi_migrate_runs"].insert_one({"_id": 2})

    assert () == (await compare_backup(result.path, database)).differences


async def test_every_difference_is_named(whole, database, tmp_path):
    """Documents by their id, indexes by their name."""
    result = await backup_database(database, tmp_path)
    ids = [document["_id"] for document in whole["invoices"].find({}, {"_id": 1}).limit(3)]
    new = ObjectId()
    whole["invoices"].delete_one({"_id": ids[0]})
    whole["invoices"].update_one({"_id": ids[1]}, {"$set": {"total": "free"}})
    whole["invoices"].insert_one({"_id": new, "number": "x"})
    whole["invoices"].drop_index("épars")
    whole["empty"].drop()
    whole["created"].insert_one({})
    whole.command("collMod", "strict", validationLevel="strict")
    comparison = await compare_backup(result.path, database)

    def shown(identifier):
        return json.dumps({"$oid": str(identifier)})

    found = {(d.kind, d.collection, d.document_id) for d in comparison.differences}
    assert {
        ("missing", "invoices", shown(ids[0])),
        ("content", "invoices", shown(ids[1])),
        ("extra", "invoices", shown(new)),
        ("indexes", "invoices", ""),
        ("missing", "empty", ""),
        ("extra", "created", ""),
        ("options", "strict", ""),
    } == found
    assert "épars is missing" in " ".join(d.detail for d in comparison.differences)


async def test_a_stamped_collection_equals_its_backup_without_the_stamp(whole, database, tmp_path):
    """The proof that a migration has changed nothing else, whatever was there before."""
    result = await backup_database(database, tmp_path)
    whole["invoices"].update_many({}, {"$set": {"workspaceId": FIRST}})
    whole["types"].update_one({}, {"$set": {"workspaceId": FIRST}})

    assert (await compare_backup(result.path, database, without=["workspaceId"])).equal
    assert not (await compare_backup(result.path, database)).equal
    whole["invoices"].update_one({}, {"$set": {"total": -1}})
    assert not (await compare_backup(result.path, database, without=["workspaceId"])).equal


@pytest.mark.parametrize("name", ["", "$client", "client.name", "_id", "\udcff"])
async def test_only_a_top_level_field_can_be_left_out(whole, database, tmp_path, name):
    """Neither a path nor the id: what is said to be left out must be."""
    result = await backup_database(database, tmp_path)

    with pytest.raises(UsageError, match="cannot ignore the field"):
        await compare_backup(result.path, database, without=[name])


async def test_many_differences_are_counted_beyond_the_listed_ones(
    database, sync_database, tmp_path, monkeypatch
):
    """Memory stays flat when everything differs."""
    monkeypatch.setattr("newbi_migrate.backup.compare._HELD", 20)
    sync_database["x"].insert_many([{"_id": n} for n in range(500)])
    result = await backup_database(database, tmp_path)
    sync_database["x"].update_many({}, {"$set": {"a": 1}})
    differences = (await compare_backup(result.path, database)).differences

    assert "more" == differences[-1].kind
    assert len(differences) < 30


async def test_the_server_leaves_fields_out_as_the_client_does(database, sync_database):
    """Its projection keeps order and bytes of the rest."""
    sync_database["x"].insert_many([{"b": n, "workspaceId": n, "a": [n]} for n in range(50)])
    client = Digest(["workspaceId"])
    for document in sync_database["x"].find():
        client.add(bson.encode(document))

    assert client == await digest_collection(database, "x")


# -- the real programs ------------------------------------------------------------------------


async def test_names_that_differ_by_case_are_never_one_file(
    database, sync_database, servers, tmp_path
):
    """On a disk that ignores case a file would take the other's place; so each has its own name."""
    names = ["Users", "users", "uSers", "Clients", "quotes", "Quotes"]
    for name in names:
        sync_database[name].insert_one({"_id": name})
    before = fingerprint(sync_database)
    result = await backup_database(database, tmp_path / "ours")
    files = [str(f.relative_to(result.path)) for f in result.path.rglob("*") if f.is_file()]

    assert len(files) == len({file.lower() for file in files})
    stems = {unquote_plus(f.name.split(".")[0]) for f in result.path.glob("newbi*/*.bson.gz")}
    assert set(names) == stems
    assert (result.path / database.name / "Clients.bson.gz").is_file()
    copy = f"{database.name}_c"
    try:
        await restore_backup(result.path, database.client[copy])
        assert [] == changes(before, fingerprint(sync_database.client[copy]))
        # The same without a manifest, as mongorestore reads it.
        (result.path / "manifest.json").unlink()
        await restore_backup(result.path / database.name, database.client[copy], drop=True)
        assert [] == changes(before, fingerprint(sync_database.client[copy]))
    finally:
        servers.drop(copy)


async def test_a_backup_without_its_manifest_is_not_taken_for_whole(
    database, sync_database, tmp_path
):
    """Nothing tells what else is missing; its folder is still a dump, to be restored as one."""
    sync_database["one"].insert_one({"_id": 1})
    sync_database["two"].insert_one({"_id": 1})
    result = await backup_database(database, tmp_path)
    (result.path / "manifest.json").unlink()
    (result.path / database.name / "two.bson.gz").unlink()

    with pytest.raises(DamagedBackupError, match=r"has lost its file manifest\.json"):
        await verify_backup(result.path)
    dump = await verify_backup(result.path / database.name)
    assert dump.manifest is None


async def test_operators_that_look_like_values_are_backed_up(
    database, sync_database, servers, tmp_path
):
    """``{"$regex": …}`` in a validator and ``{"$date": …}`` in a view are documents."""
    sync_database.create_collection(
        "named", validator={"name": {"$regex": "^a", "$ne": "ab"}}, validationLevel="off"
    )
    sync_database.create_collection(
        "shown", viewOn="named", pipeline=[{"$addFields": {"d": {"$literal": {"$date": "2020"}}}}]
    )
    before = fingerprint(sync_database)
    result = await backup_database(database, tmp_path)
    copy = f"{database.name}_c"
    try:
        await restore_backup(result.path, database.client[copy])
        assert [] == changes(before, fingerprint(sync_database.client[copy]))
    finally:
        servers.drop(copy)


async def test_options_that_the_format_cannot_say_are_refused(database, sync_database, tmp_path):
    """Now and not when they are restored, and nothing that looks like a backup is left."""
    literal = {"$literal": {"$numberInt": "5"}}
    sync_database.create_collection("odd", validator={"$expr": {"$eq": ["$n", literal]}})
    with pytest.raises(UnsupportedError, match="'odd' hold what Extended JSON"):
        await backup_database(database, tmp_path)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(
    not (shutil.which("mongodump") and shutil.which("mongorestore")),
    reason="mongodump and mongorestore are not installed",
)
async def test_mongodump_and_mongorestore_read_each_other(
    whole, database, sync_database, servers, mongod, tmp_path
):
    """Our backup restored by mongorestore, and mongodump's restored by us, equal the original."""
    before = fingerprint(whole)
    result = await backup_database(database, tmp_path / "ours")
    theirs, ours = f"{database.name}_t", f"{database.name}_o"
    name = database.name
    try:
        port = f"--port={mongod.port}"
        renamed = [f"--nsInclude={name}.*", f"--nsFrom={name}.*", f"--nsTo={theirs}.*"]
        command("mongorestore", "--quiet", "--gzip", port, *renamed, result.path)
        assert [] == changes(before, fingerprint(sync_database.client[theirs]))
        dump = tmp_path / "dump"
        command("mongodump", "--quiet", "--gzip", port, f"--db={name}", f"--out={dump}")
        await restore_backup(dump, database.client[ours])
        assert [] == changes(before, fingerprint(sync_database.client[ours]))
    finally:
        servers.drop(theirs)
        servers.drop(ours)


async def test_a_verification_that_is_cancelled_leaves_no_error_behind(
    whole, database, tmp_path, monkeypatch
):
    """Its threads end at their next batch, and what ended them is told to nobody."""
    path = (await backup_database(database, tmp_path)).path
    said, reading, add = [], threading.Event(), verify._Counting.add

    def slowly(counting, name, count):
        reading.set()
        time.sleep(0.3)
        add(counting, name, count)

    monkeypatch.setattr(verify._Counting, "add", slowly)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    verifying = asyncio.create_task(verify_backup(path))
    await asyncio.to_thread(reading.wait)
    verifying.cancel()
    await asyncio.wait({verifying})
    cancelled = verifying.cancelled()
    del verifying
    gc.collect()
    await asyncio.sleep(0)

    assert cancelled
    assert [] == said
