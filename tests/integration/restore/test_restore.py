"""What a backup brings back is what was there, to the byte."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from backups import fill, write_mongodump
from fingerprints import changes, fingerprint
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandListener

from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import (
    ConfirmationRequiredError,
    DamagedBackupError,
    DatabaseMovedOnError,
    NewbiMigrateError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.server_codes import Code


@pytest.fixture(scope="module")
def whole(mongod, servers):
    """A database with every kind of collection, which no test here changes."""
    database = servers.client(mongod)[f"newbi_test_{uuid.uuid4().hex[:16]}"]
    fill(database)
    yield database
    servers.drop(database.name)


@pytest.fixture(scope="module")
def made_once(whole, mongod, tmp_path_factory):
    """Its backup, as it was written."""

    async def make():
        async with AsyncMongoClient(mongod.uri) as client:
            folder = tmp_path_factory.mktemp("backups")
            return (await backup_database(client[whole.name], folder)).path

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


@pytest.fixture
def backup(made_once, tmp_path):
    """A copy of that backup, to be damaged at will."""
    return shutil.copytree(made_once, tmp_path / "backups" / made_once.name)


def assert_same(before, database):
    assert [] == changes(before, fingerprint(database))


async def test_a_restored_backup_is_the_database_it_was_made_of(whole, sync_other, other, backup):
    """Documents of every type, options and indexes of every kind come back byte for byte."""
    await restore_backup(backup, other)

    assert_same(fingerprint(whole), sync_other)


async def test_a_capped_collection_keeps_its_order(whole, sync_other, other, backup):
    """Insertion order is what a capped collection is for."""
    await restore_backup(backup, other, workers=4)

    order = [document["_id"] for document in sync_other["capped"].find()]
    assert [document["_id"] for document in whole["capped"].find()] == order


async def test_a_view_and_a_time_series_answer_as_before(whole, sync_other, other, backup):
    """Their definitions are restored, not only what they store."""
    await restore_backup(backup, other)

    for name in ("paid", "measures"):
        expected = sorted(map(str, whole[name].find()))
        assert expected == sorted(map(str, sync_other[name].find()))


@pytest.mark.parametrize("zipped", [True, False])
async def test_a_folder_of_mongodump_is_restored(whole, sync_other, other, tmp_path, zipped):
    """Compressed or not, with metadata in canonical Extended JSON and escaped file names."""
    folder = write_mongodump(whole, tmp_path / "dump", zipped=zipped)
    await restore_backup(folder, other)

    expected = {n: p for n, p in fingerprint(whole).items() if len(n) < 100}
    assert_same(expected, sync_other)


async def test_a_target_that_holds_something_is_refused(whole, database, backup):
    """Nothing is written beside or over what is there."""
    before = fingerprint(whole)
    with pytest.raises(ConfirmationRequiredError, match="is not empty"):
        await restore_backup(backup, database.client[whole.name])

    assert_same(before, whole)


async def test_with_drop_the_target_becomes_the_backup(whole, sync_other, other, backup):
    """Collections that the backup does not have go too."""
    sync_other["organization"].insert_one({"_id": 1})
    sync_other["invoices"].insert_one({"_id": 1})
    result = await restore_backup(backup, other, drop=True)

    assert ("invoices", "organization") == result.dropped
    assert_same(fingerprint(whole), sync_other)


async def test_some_collections_can_be_restored_alone(whole, sync_other, other, backup):
    """These and no others, whole, into an empty database; a name the dump lacks is refused."""
    result = await restore_backup(backup, other, only=["invoices", "paid"])
    expected = {n: p for n, p in fingerprint(whole).items() if n in {"invoices", "paid"}}

    assert {"invoices": 40} == result.counts
    assert_same(expected, sync_other)
    with pytest.raises(UsageError, match="has no nothing"):
        await restore_backup(backup, other, only=["nothing"])


# -- damage -----------------------------------------------------------------------------------


def flip(path, where):
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def damage(backup, kind):
    (data,) = backup.glob("*/invoices.bson*")
    (metadata,) = backup.glob("*/invoices.metadata.json*")
    if kind == "a changed bit":
        flip(data, 0.5)
    elif kind == "a changed checksum":
        flip(data, 0.999)
    elif kind == "a cut file":
        data.write_bytes(data.read_bytes()[:-20])
    elif kind == "an empty file":
        data.write_bytes(b"")
    elif kind == "a missing file":
        data.unlink()
    elif kind == "changed metadata":
        flip(metadata, 0.5)
    elif kind == "another collection's file":
        (other,) = backup.glob("*/Users.bson*")
        data.write_bytes(other.read_bytes())
    elif kind == "a changed manifest":
        manifest = backup / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"count": 40', '"count": 41', 1))
    elif kind == "an extra file":
        (data.parent / "extra.bson.gz").write_bytes(data.read_bytes())


@pytest.mark.parametrize(
    "kind",
    [
        "a changed bit",
        "a changed checksum",
        "a cut file",
        "an empty file",
        "a missing file",
        "changed metadata",
        "another collection's file",
        "a changed manifest",
        "an extra file",
    ],
)
async def test_a_damaged_backup_is_refused_before_anything_is_touched(
    sync_other, other, backup, kind
):
    """Whatever is wrong with it, the target stays as it was, even with --drop."""
    sync_other["kept"].insert_one({"_id": 1})
    before = fingerprint(sync_other)
    damage(backup, kind)
    with pytest.raises(UsageError):
        await restore_backup(backup, other, drop=True)

    assert_same(before, sync_other)


@pytest.mark.parametrize(
    "kind", ["a changed bit", "a changed checksum", "a cut file", "an empty file", "a missing file"]
)
async def test_a_damaged_folder_of_mongodump_is_refused(whole, other, tmp_path, kind):
    """Without a manifest, gzip's own checksums tell."""
    folder = write_mongodump(whole, tmp_path / "dump", zipped=True)
    damage(folder, kind)
    with pytest.raises(DamagedBackupError):
        await restore_backup(folder, other)


async def test_an_unfinished_backup_is_refused(other, backup):
    """What a killed backup leaves is not taken for a plain folder of mongodump."""
    left = backup.rename(backup.with_name(backup.name + ".partial"))
    for path in (left, next(p for p in left.iterdir() if p.name.startswith("newbi_test"))):
        with pytest.raises(DamagedBackupError, match="never finished"):
            await restore_backup(path, other)


async def test_a_whole_backup_is_read_whatever_the_folder_around_it_is_called(
    whole, sync_other, other, backup
):
    """The name of an unfinished backup says nothing of what people keep in such a folder."""
    around = backup.parent.rename(backup.parent.with_name("old.partial"))
    for path in (around / backup.name, around / backup.name / whole.name):
        await restore_backup(path, other)

        assert_same(fingerprint(whole), sync_other)
        sync_other.client.drop_database(sync_other.name)

    await restore_backup(write_mongodump(whole, around / "dump", zipped=True), other)
    assert whole["Users"].count_documents({}) == sync_other["Users"].count_documents({})


# -- interruptions ----------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for whatever ends a restore."""


class StopAfter:
    """A listener that ends the restore after so many reports."""

    def __init__(self, reports):
        self.left = reports

    def phase(self, name, total):
        self.restoring = name in {"restore", "indexes"}

    def advance(self, amount, detail=""):
        if self.restoring:
            self.left -= 1
            if not self.left:
                raise StoppedError

    def note(self, sentence):
        pass


@pytest.mark.parametrize("reports", [1, 3, 7, 12, 14])
async def test_an_interrupted_restore_goes_on(whole, sync_other, other, backup, reports):
    """The same call again ends in the same bytes, wherever the first one stopped."""
    with pytest.raises(StoppedError):
        await restore_backup(backup, other, progress=StopAfter(reports))
    result = await restore_backup(backup, other)

    assert result.resumed
    assert_same(fingerprint(whole), sync_other)


class When(StopAfter):
    """A listener that does something as a phase begins, for the first time."""

    def __init__(self, phase, act):
        super().__init__(0)
        self.name, self.act = phase, act

    def phase(self, name, total):
        super().phase(name, total)
        if name == self.name:
            self.name = None
            self.act()


INTERFERENCES = {
    "dropped": lambda collection: collection.drop(),
    "renamed": lambda collection: collection.rename("moved"),
    "altered": lambda collection: collection.database.command(
        "collMod", collection.name, changeStreamPreAndPostImages={"enabled": True}
    ),
}


@pytest.mark.parametrize("interfere", INTERFERENCES.values(), ids=INTERFERENCES)
@pytest.mark.parametrize("phase", ["restore", "indexes"])
async def test_a_collection_that_somebody_takes_away_meanwhile_is_not_called_restored(
    whole, sync_other, other, backup, interfere, phase
):
    """An insert makes it anew without its options; the same call again makes it as it was."""
    victim = sync_other["collated"]
    with pytest.raises(DatabaseMovedOnError, match="dropped, renamed or altered"):
        await restore_backup(backup, other, progress=When(phase, lambda: interfere(victim)))
    sync_other["moved"].drop()
    result = await restore_backup(backup, other)

    assert result.resumed
    assert_same(fingerprint(whole), sync_other)


@pytest.mark.parametrize("document", [{"_id": "of the application"}, None])
async def test_a_collection_that_was_counted_is_counted_again_at_the_end(
    whole, sync_other, other, backup, document
):
    """Documents that somebody inserts or deletes while others are filled are no restored ones."""
    victim = sync_other["Users"]

    def write():
        if document:
            victim.insert_one(document)
        else:
            victim.delete_one({})

    with pytest.raises(DatabaseMovedOnError, match="'Users' holds"):
        await restore_backup(backup, other, progress=When("indexes", write))
    victim.delete_one({"_id": "of the application"})
    result = await restore_backup(backup, other)

    assert result.resumed
    assert_same(fingerprint(whole), sync_other)


async def test_a_collection_that_somebody_makes_meanwhile_is_named(
    whole, sync_other, other, backup
):
    """It is no part of the backup, so the database is not what was backed up until it goes."""

    def make():
        sync_other["fresh"].insert_one({})

    for progress in (When("indexes", make), None):
        with pytest.raises(DatabaseMovedOnError, match="did not make fresh"):
            await restore_backup(backup, other, progress=progress)
    sync_other["fresh"].drop()
    await restore_backup(backup, other)

    assert_same(fingerprint(whole), sync_other)


async def test_a_validator_that_comes_meanwhile_is_named_until_it_goes(sync_other, other, backup):
    """Each time with the way to take it off, and not with the server's version."""

    def refuse():
        sync_other.command("collMod", "Users", validator={"never": 1})

    for progress in (When("restore", refuse), None):
        with pytest.raises(UnsupportedError, match="alidator") as refused:
            await restore_backup(backup, other, progress=progress)
        assert "collMod" in refused.value.next_step
    sync_other.command("collMod", "Users", validator={})
    restored = await restore_backup(backup, other)

    assert restored.counts["Users"] == sync_other["Users"].count_documents({})


async def test_a_restore_that_goes_on_overwrites_nothing(whole, sync_other, other, backup):
    """A document that somebody else put there meanwhile is named, and stays."""
    with pytest.raises(StoppedError):
        await restore_backup(backup, other, progress=StopAfter(1))
    victim = whole["Users"].find_one()
    sync_other["Users"].replace_one({"_id": victim["_id"]}, {"n": "autre"}, upsert=True)
    with pytest.raises(NewbiMigrateError, match="another document"):
        await restore_backup(backup, other)

    assert "autre" == sync_other["Users"].find_one({"_id": victim["_id"]})["n"]


@pytest.mark.parametrize("command", ["create", "insert", "createIndexes"])
async def test_a_full_disk_of_the_server_is_said_to_be_full(
    whole, sync_other, other, backup, command
):
    """Neither the backup nor the server's version is blamed; with room the same call goes on."""
    admin = sync_other.client.admin
    data = {
        "failCommands": [command],
        "errorCode": Code.OUT_OF_DISK_SPACE,
        "namespace": f"{sync_other.name}.invoices",
    }
    admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
    try:
        with pytest.raises(UnreachableError, match="no disk space left"):
            await restore_backup(backup, other)
    finally:
        admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    await restore_backup(backup, other)

    assert_same(fingerprint(whole), sync_other)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ({"code": 8, "errmsg": "No space left on device"}, "no disk space left"),
        ({"code": 11600, "errmsg": "bye"}, "interrupted the run 4 times"),
    ],
)
async def test_a_server_that_fails_at_a_document_does_not_refuse_it(
    other, backup, monkeypatch, refusal, said
):
    """It says so of single documents too, and they are as good as any."""
    sent = AsyncDatabase.command

    async def command(self, command, *arguments, **options):
        if isinstance(command, dict) and "insert" in command:
            return {"ok": 1, "n": 0, "writeErrors": [{"index": 0, **refusal}]}
        return await sent(self, command, *arguments, **options)

    monkeypatch.setattr(AsyncDatabase, "command", command)
    with pytest.raises(NewbiMigrateError, match=said):
        await restore_backup(backup, other)


async def test_an_answer_that_was_lost_is_no_error(whole, sync_other, other, backup, mongod):
    """The documents of an insert whose answer never came are found to be there."""
    sync_other.client.admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": {"skip": 2, "times": 1},
            "data": {
                "failCommands": ["insert"],
                "closeConnection": True,
                "blockConnection": False,
                "namespace": f"{sync_other.name}.invoices",
            },
        }
    )
    try:
        await restore_backup(backup, other)
    except NewbiMigrateError:
        await restore_backup(backup, other)
    finally:
        sync_other.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    assert_same(fingerprint(whole), sync_other)


@pytest.mark.slow
async def test_a_restore_works_on_a_replica_set(
    replica_database, sync_replica_database, database_name, servers, tmp_path
):
    """And the backup it is made of was read at one snapshot."""
    fill(sync_replica_database)
    result = await backup_database(replica_database, tmp_path)
    name = f"{database_name}_b"
    try:
        await restore_backup(result.path, replica_database.client[name])

        assert_same(fingerprint(sync_replica_database), sync_replica_database.client[name])
    finally:
        servers.drop(name)


class IndexBuilds(CommandListener):
    """For whom each index build waits."""

    def __init__(self):
        self.quorums = []

    def started(self, event):
        if event.command_name == "createIndexes":
            self.quorums.append(event.command.get("commitQuorum"))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


async def test_index_builds_of_a_restore_wait_for_a_majority_of_the_members(
    replica_uri, replica_database, sync_replica_database, servers, tmp_path
):
    """By default the server waits for every member, for ever where one is down."""
    sync_replica_database["invoices"].create_index("number")
    backup = (await backup_database(replica_database, tmp_path)).path
    builds, name = IndexBuilds(), f"{replica_database.name}_b"
    try:
        async with AsyncMongoClient(replica_uri, event_listeners=[builds]) as client:
            await restore_backup(backup, client[name])
    finally:
        servers.drop(name)

    assert ["majority"] == builds.quorums


class Expiring(CommandListener):
    """What counts documents or makes them expire, in order."""

    def __init__(self):
        self.order = []

    def started(self, event):
        command = event.command
        if "newbi_migrate_tried" in command.values():
            return
        if "expireAfterSeconds" in str(command):
            self.order.append("expires")
        elif event.command_name == "aggregate" and "'$sum': 1" in str(command["pipeline"]):
            self.order.append("counts")

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.mark.parametrize("drop", [False, True], ids=["empty target", "in place"])
async def test_nothing_expires_before_all_documents_are_counted(
    mongod, other_name, sync_database, database, tmp_path, drop
):
    """What is missing then was forgotten by the server, and not deleted for its age."""
    clustered = {"key": {"_id": 1}, "unique": True}
    sync_database.create_collection("first", clusteredIndex=clustered, expireAfterSeconds=3600)
    for name in ("first", "last"):
        sync_database[name].insert_one({"_id": 1})
    sync_database["last"].create_index("at", expireAfterSeconds=3600)
    path = (await backup_database(database, tmp_path)).path
    sent = Expiring()
    async with AsyncMongoClient(mongod.uri, event_listeners=[sent]) as client:
        only = ["first", "last"] if drop else []
        await restore_backup(path, client[other_name], drop=drop, only=only)

    assert ["counts", "counts", "expires", "expires"] == sent.order


async def test_a_user_with_readwrite_restores_what_has_no_validator(
    mongod_with_auth, database_name, tmp_path, sync_database, database
):
    """No more than that role is needed for ordinary collections."""
    sync_database["users"].insert_many([{"_id": n} for n in range(5)])
    sync_database["users"].create_index("n")
    path = (await backup_database(database, tmp_path)).path
    uri = mongod_with_auth.add_user("w", "pw", database=database_name, roles=["readWrite"])
    async with AsyncMongoClient(uri) as client:
        result = await restore_backup(path, client[database_name])

    assert {"users": 5} == result.counts


async def test_a_backup_that_verifies_has_no_problems(backup):
    """And tells what it read."""
    verification = await verify_backup(backup)

    assert verification.intact
    assert 40 == next(c.count for c in verification.collections if c.name == "invoices")
