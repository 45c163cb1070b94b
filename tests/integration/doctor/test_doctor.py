"""The doctor: what it sees of a server, a database and a backup, and that it touches nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from bson import ObjectId
from fingerprints import fingerprint
from leases import leased
from pymongo import MongoClient, monitoring
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate import Migration
from newbi_migrate.answers import answer
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.checks import Level
from newbi_migrate.choices import Purpose
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.migration.doctor import (
    diagnose,
    machine,
)
from newbi_migrate.migration.doctor.leftovers import TRACES
from newbi_migrate.store.connection import open_database
from newbi_migrate.store.lease import Holder, Lease
from newbi_migrate.store.runs import RunWriter
from newbi_migrate.store.server import Room, bytes_held, disk_room
from newbi_migrate.testing import EmbeddedMongod

STRANGER = ObjectId("65f0000000000000000000aa")
NOBODY = ObjectId("65f0000000000000000000bb")
BCRYPT = "$2b$10$" + "a" * 53


async def look(uri, *, watch=0, **options):
    """The checks of a database, by id."""
    async with open_database(uri) as store:
        found = await diagnose(store, NEWBI, watch=watch, **options)
    return found, {check.id: check for check in found.checks}


async def migrated(uri):
    async with Migration(uri) as migration:
        return await migration.apply()


@pytest.fixture
def legacy(sync_database):
    """Three legacy users with two invoices each."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for owner in USERS[:3]:
        sync_database["invoices"].insert_many(invoices(owner, 2))
    return sync_database


@pytest.fixture(scope="module")
def lonely():
    """A server to which nobody is connected but who is looked at."""
    with EmbeddedMongod() as server:
        yield server


@pytest.fixture
def lonely_uri(lonely):
    uri = lonely.uri_for("newbi")
    with MongoClient(uri) as client:
        database = client["newbi"]
        database["Users"].insert_many([legacy_user(n) for n in range(3)])
        database["invoices"].insert_many(invoices(USERS[0], 4))
    yield uri
    with MongoClient(uri) as client:
        client.drop_database("newbi")


# -- as a whole -------------------------------------------------------------------------------


async def test_where_nothing_is_left_to_do_every_check_is_ok(lonely_uri, tmp_path):
    """A reachable server, rights, room, a backup, no trace and no other client: exit code 0."""
    made = await backup_database(lonely_uri, tmp_path)
    found, _ = await look(lonely_uri, watch=1, backup=made.path)

    assert {Level.OK} == {check.level for check in found.checks}, found.checks
    assert ExitCode.DONE == found.exit_code


async def test_the_code_is_three_where_a_check_failed(lonely_uri, tmp_path):
    """A warning is a note: that no backup was named, say. One that is none is a failure."""
    warned, checks = await look(lonely_uri, watch=1)
    failed, _ = await look(lonely_uri, backup=tmp_path / "nowhere")

    assert (ExitCode.DONE, Level.WARNING) == (warned.exit_code, checks["backup"].level)
    assert ["backup"] == [check.id for check in warned.checks if check.level is not Level.OK]
    assert ExitCode.PENDING == failed.exit_code


async def test_looking_changes_nothing_and_sends_no_command_that_writes(legacy, uri):
    """Documents, indexes, options and the list of collections are the same afterwards."""
    reading = {
        "aggregate", "buildInfo", "connectionStatus", "count", "dbStats", "endSessions", "find",
        "getMore", "hello", "killCursors", "listCollections", "replSetGetStatus",
    }  # fmt: skip
    sent = set()

    class Listener(monitoring.CommandListener):
        def started(self, event):
            sent.add(event.command_name)

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    from pymongo import AsyncMongoClient

    before = fingerprint(legacy)
    async with AsyncMongoClient(uri, event_listeners=[Listener()]) as client:
        await look(client.get_default_database())

    assert before == fingerprint(legacy)
    assert sent - reading == set()


@pytest.mark.parametrize("kind", ["clean", "dirty"])
async def test_what_a_run_made_is_no_trace_of_an_earlier_attempt(legacy, uri, kind):
    """After a migration nothing is left to complain of, whatever was there before."""
    if kind == "dirty":
        legacy["invoices"].update_many({}, {"$set": {"workspaceId": NOBODY}})
    await migrated(uri)
    _, checks = await look(uri)

    assert Level.OK is checks["leftovers"].level
    assert Level.OK is checks["runs"].level


# -- the server -------------------------------------------------------------------------------


async def test_a_standalone_and_a_replica_set_are_told_apart(uri, replica_uri):
    """What a standalone lacks is said; a replica set tells how its members are."""
    _, alone = await look(uri)
    _, together = await look(replica_uri)

    assert "standalone" in alone["server"].sentence
    assert "members" not in alone
    assert "replica set" in together["server"].sentence
    assert Level.OK is together["members"].level


async def test_a_clock_that_differs_is_a_warning(uri, monkeypatch):
    """Eleven seconds apart are said; those of the way there and back are not."""
    _, same = await look(uri)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + timedelta(seconds=11)

    monkeypatch.setattr(machine, "datetime", Later)
    _, apart = await look(uri)

    assert (Level.OK, Level.WARNING) == (same["clock"].level, apart["clock"].level)
    assert "11 s apart" in apart["clock"].sentence


@pytest.mark.parametrize(("free", "level"), [(10**15, "ok"), (10**6, "warning"), (10, "failed")])
async def test_a_disk_too_small_for_a_backup_is_seen_before_it_is_made(
    legacy, uri, monkeypatch, free, level
):
    """Room for all the data is fine, for compressed data a warning, for less a failure."""
    data = legacy.command("dbStats")["dataSize"]
    free = {"ok": free, "warning": data * 0.7, "failed": free}[level]
    usage = shutil.disk_usage(".")._replace(free=free)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    _, checks = await look(uri)

    assert level == checks["backup-disk"].level


@pytest.mark.parametrize(
    ("used", "level"), [(0, Level.OK), (999_000, Level.WARNING), (1_000_000, Level.WARNING)]
)
def test_a_server_without_room_for_a_run_is_a_warning(used, level):
    """What is free must hold the stamped pages beside the old ones, and the journal."""
    room = Room(documents=10, data=20_000, storage=5_000, free=1_000_000 - used)
    (check,) = machine._room_on_server(room)

    assert level is check.level


async def test_what_was_just_written_counts_before_it_is_in_the_servers_files(uri, sync_database):
    """They grow at the next checkpoint, and a rehearsal has ended by then."""
    sync_database["lines"].insert_many([{"text": "x" * 1_000} for _ in range(200)])
    async with open_database(uri) as store:
        held = await bytes_held(store.database, ["lines"])

    assert 200_000 < held < 300_000


async def test_a_database_that_does_not_exist_says_nothing_of_its_disk(uri, database_name):
    """The server says that its disk has no bytes at all, which is no answer."""
    async with open_database(uri, name=f"{database_name}_none") as store:
        room = await disk_room(store.database)

    assert room.free is None


def test_a_sharded_cluster_says_nothing_of_its_disks():
    """Where the server names no disk there is no check, and no guess."""
    assert [] == machine._room_on_server(Room(documents=1, data=1, storage=1, free=None))


# -- rights -----------------------------------------------------------------------------------


@asynccontextmanager
async def as_user(server, name, *roles, custom=None):
    """The connection string of a new user of a database with legacy users."""
    with MongoClient(server.uri) as client:
        client[name]["Users"].replace_one({"_id": USERS[0]}, legacy_user(0), upsert=True)
        user = f"user{ObjectId()}"
        if custom is not None:
            client[name].command("createRole", f"role{user}", privileges=custom, roles=[])
            roles = (*roles, f"role{user}")
    yield server.add_user(user, "a-password", database=name, roles=roles)


@pytest.mark.parametrize(
    ("role", "purpose", "level"),
    [
        ("read", Purpose.PLAN, Level.OK),
        ("read", Purpose.BACKUP, Level.OK),
        ("read", Purpose.MIGRATE, Level.FAILED),
        ("read", Purpose.ROLLBACK, Level.FAILED),
        ("readWrite", Purpose.MIGRATE, Level.OK),
        ("readWrite", Purpose.ROLLBACK, Level.OK),
        ("dbAdmin", Purpose.PLAN, Level.FAILED),
        ("readWriteAnyDatabase@admin", Purpose.MIGRATE, Level.OK),
        ("root@admin", Purpose.ROLLBACK, Level.OK),
        ("read", Purpose.VALIDATE, Level.OK),
        ("readWrite", Purpose.FINALIZE, Level.OK),
    ],
)
async def test_the_rights_of_a_user_are_held_against_what_is_run_next(
    mongod_with_auth, database_name, role, purpose, level
):
    """What is missing is named, with the role that grants it."""
    async with as_user(mongod_with_auth, database_name, role) as uri:
        _, checks = await look(uri, purpose=purpose)

    assert level is checks["rights"].level
    assert (level is Level.OK) is (not checks["rights"].remedy)


async def test_a_server_that_asks_for_a_user_is_not_well_without_one(
    mongod_with_auth, database_name
):
    """No other check could look, so the one of rights has failed, and says what is missing."""
    found, checks = await look(f"mongodb://127.0.0.1:{mongod_with_auth.port}/{database_name}")

    assert ExitCode.PENDING == found.exit_code
    assert Level.FAILED is checks["rights"].level
    assert "names none" in checks["rights"].sentence
    assert "The check of rights says what is missing." == checks["legacy-users"].remedy


async def test_a_right_that_the_command_does_not_need_is_not_called_missing(
    mongod_with_auth, database_name
):
    """A user who may do all that is asked may not look at everything all the same."""
    actions = ["find", "listIndexes", "collStats", "listCollections"]
    custom = [{"resource": {"db": database_name, "collection": ""}, "actions": actions}]
    async with as_user(mongod_with_auth, database_name, custom=custom) as uri:
        _, checks = await look(uri, purpose=Purpose.PLAN)
    skipped = [check for check in checks.values() if check.level is Level.SKIPPED]

    assert Level.OK is checks["rights"].level
    assert {"plan itself does not need this right."} == {check.remedy for check in skipped}


async def test_a_role_of_ones_own_counts_as_much_as_a_built_in_one(mongod_with_auth, database_name):
    """Privileges are compared, not names; and one that is missing is named."""
    everything = ["find", "listIndexes", "collStats", "insert", "update", "remove"]
    everything += ["createCollection", "createIndex", "listCollections"]
    resource = {"db": database_name, "collection": ""}

    async def rights(actions):
        custom = [{"resource": resource, "actions": actions}]
        async with as_user(mongod_with_auth, database_name, custom=custom) as uri:
            return (await look(uri))[1]["rights"]

    assert Level.OK is (await rights(everything)).level
    lacking = await rights([action for action in everything if action != "createIndex"])
    assert Level.FAILED is lacking.level
    assert "createIndex is missing" in lacking.sentence


async def test_a_user_who_may_not_look_gets_the_other_checks_all_the_same(
    mongod_with_auth, database_name
):
    """What may not be looked at is skipped, not taken for an error or for fine."""
    async with as_user(mongod_with_auth, database_name, "dbAdmin") as uri:
        found, checks = await look(uri)

    assert Level.SKIPPED is checks["legacy-users"].level
    assert Level.OK is checks["server"].level
    assert ExitCode.PENDING == found.exit_code


async def test_connections_that_may_not_be_seen_are_said_not_to_be(mongod_with_auth, database_name):
    """With readWrite alone the counters tell; who is connected stays unknown."""
    async with as_user(mongod_with_auth, database_name, "readWrite") as uri:
        _, checks = await look(uri, watch=0.1)

    assert Level.OK is checks["writers"].level
    assert "may not see" in checks["writers"].sentence


# -- others -----------------------------------------------------------------------------------


async def test_an_application_that_writes_is_caught(legacy, uri):
    """One insert while it watches is enough, in whichever collection."""

    async def write():
        await asyncio.sleep(0.3)
        await asyncio.to_thread(legacy["quotes"].insert_one, {"createdBy": USERS[0]})

    writing = asyncio.create_task(write())
    _, checks = await look(uri, watch=1)
    await writing

    assert Level.FAILED is checks["writers"].level
    assert "quotes" in checks["writers"].sentence


async def test_a_server_that_is_started_anew_meanwhile_tells_nothing_of_writers(servers):
    """It counts from 0 again, so equal counts say nothing of what was written between them."""
    with servers.run() as server, MongoClient(server.uri) as client:
        client["newbi"]["quotes"].insert_one({"createdBy": USERS[0]})
        server.restart()

        async def write_and_restart():
            await asyncio.sleep(0.5)
            client["newbi"]["quotes"].update_many({}, {"$set": {"n": 1}})
            await asyncio.to_thread(server.restart)

        writing = asyncio.create_task(write_and_restart())
        _, checks = await look(server.uri_for("newbi"), watch=5)
        await writing

    assert Level.WARNING is checks["writers"].level
    assert "does not tell" in checks["writers"].sentence


@pytest.mark.timeout(60)
@pytest.mark.parametrize("watch", [float("nan"), float("inf"), -1, 1e9])
async def test_writers_are_watched_for_a_time_that_ends(legacy, uri, watch):
    """Whoever asks for what is no time is told so, and waits for nothing."""
    with pytest.raises(UsageError, match="cannot be watched"):
        await look(uri, watch=watch)


async def test_an_idle_application_is_a_warning(lonely, lonely_uri):
    """Nobody writes at night, and yet the application is there: it is named."""
    with MongoClient(lonely.uri, appname="newbi-api") as client:
        client.admin.command("ping")
        _, checks = await look(lonely_uri)

    assert Level.WARNING is checks["writers"].level
    assert "newbi-api on 127.0.0.1" in checks["writers"].sentence


# -- runs and users ---------------------------------------------------------------------------


async def test_a_run_under_way_and_one_that_was_interrupted_are_named(legacy, uri, database):
    """Neither may be crossed by another; each has its own way out."""
    run = ObjectId()
    lease = await Lease.acquire(database, Holder(run, "machine", 7, "migrate"), seconds=30)
    _, held = await look(uri)
    await lease.release()
    async with leased(database, run_id=run) as session:
        await RunWriter(session).start({"command": "backfill", "policy": {}})
    _, left = await look(uri)

    assert (Level.FAILED, Level.FAILED) == (held["runs"].level, left["runs"].level)
    assert "process 7 on machine" in held["runs"].sentence
    assert "newbi-migrate backfill" in left["runs"].remedy


async def test_a_database_that_is_half_restored_is_not_ready(legacy, uri):
    """A restore that was interrupted comes first; the doctor says so."""
    legacy["newbi_migrate_lease"].insert_one({"_id": "restore", "backup": "x"})
    _, checks = await look(uri)

    assert Level.FAILED is checks["runs"].level
    assert "half restored" in checks["runs"].sentence


async def test_legacy_users_in_two_places_must_be_told_apart(legacy, uri):
    """`Users` and `users` with documents: the doctor asks which, and takes the answer."""
    legacy["users"].insert_one(legacy_user(4))
    _, asked = await look(uri)
    _, told = await look(uri, source="Users")

    assert (Level.FAILED, Level.OK) == (asked["legacy-users"].level, told["legacy-users"].level)
    assert "--legacy-collection" in asked["legacy-users"].remedy


# -- leftovers --------------------------------------------------------------------------------

LEFT = {
    "metadata-objects": ("organization", {"metadata": {"companyName": "X"}}),
    "text-ids": ("user", {"_id": "65f0000000000000000000cc"}),
    "text-organizations": ("organization", {"_id": "65f0000000000000000000cc"}),
    "text-members": ("member", {"userId": str(STRANGER), "organizationId": str(NOBODY)}),
    "text-accounts": ("account", {"userId": str(STRANGER)}),
    "members-of-nothing": ("member", {"userId": STRANGER, "organizationId": NOBODY}),
    "members-without-user": ("member", {"userId": NOBODY, "organizationId": STRANGER}),
    "organizations-without-members": ("organization", {"name": "Empty"}),
    "several-organizations": (
        "member",
        {"userId": STRANGER, "organizationId": NOBODY, "role": "owner"},
    ),
    "passwords-without-account": ("user", {"email": "x@exemple.fr", "password": BCRYPT}),
    "pointers-to-organizations": ("user", {"workspaceId": str(STRANGER)}),
    "keys-of-users": ("jwks", {"_id": STRANGER, "privateKey": "clear"}),
}


def test_every_trace_has_an_example():
    """A trace without one would be a sentence nobody has tried."""
    assert {trace.id for trace in TRACES} == LEFT.keys()


@pytest.mark.parametrize("trace", LEFT)
async def test_each_trace_of_an_earlier_attempt_is_found(legacy, uri, trace):
    """A sound organization shows none; one document of an earlier attempt shows its trace."""
    legacy["user"].insert_one({"_id": STRANGER, "email": "a@exemple.fr"})
    legacy["organization"].insert_one({"_id": STRANGER, "name": "Sound", "metadata": "{}"})
    legacy["member"].insert_one({"userId": STRANGER, "organizationId": STRANGER, "role": "owner"})
    _, sound = await look(uri)
    collection, document = LEFT[trace]
    legacy[collection].insert_one(dict(document))
    _, checks = await look(uri)
    found = checks[f"leftover-{trace}"]

    assert Level.OK is sound["leftovers"].level
    assert Level.WARNING is found.level
    assert found.sentence.endswith(": 1.")
    assert found.remedy


async def test_documents_in_workspaces_that_do_not_exist_are_counted(legacy, uri):
    """As ObjectId or as text; those of an organization that is there do not count."""
    legacy["organization"].insert_one({"_id": STRANGER})
    legacy["member"].insert_one({"userId": USERS[0], "organizationId": STRANGER})
    legacy["user"].insert_one({"_id": USERS[0]})
    for stored in (STRANGER, str(STRANGER), NOBODY, str(NOBODY), "", None):
        legacy["quotes"].insert_one({"createdBy": USERS[0], "workspaceId": stored})
    _, checks = await look(uri)

    assert "2 (quotes 2)" in checks["leftover-lost-workspaces"].sentence


# -- the backup -------------------------------------------------------------------------------


async def backup_check(uri, path):
    return (await look(uri, backup=path))[1]["backup"]


async def test_a_backup_of_another_state_fails(legacy, uri, tmp_path):
    """What has been written since is not in it, and is named: a migration would refuse it."""
    made = await backup_database(uri, tmp_path)
    fresh = await backup_check(uri, made.path)
    legacy["invoices"].insert_one({"number": "late"})
    stale = await backup_check(uri, made.path)

    assert (Level.OK, Level.FAILED) == (fresh.level, stale.level)
    assert "invoices 6 → 7" in stale.sentence
    assert "make a new backup" in stale.remedy


async def test_a_backup_that_is_old_is_a_warning(legacy, uri, tmp_path, monkeypatch):
    """After a day a backup is looked at twice."""
    from newbi_migrate.migration.doctor import backing

    made = await backup_database(uri, tmp_path)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + timedelta(hours=30)

    monkeypatch.setattr(backing, "datetime", Tomorrow)
    check = await backup_check(uri, made.path)

    assert Level.WARNING is check.level
    assert "hours old" in check.sentence


async def test_a_backup_of_another_database_or_with_a_hole_fails(
    legacy, uri, mongod, servers, tmp_path
):
    """Neither could bring this database back."""
    made = await backup_database(uri, tmp_path)
    elsewhere = f"{legacy.name}_b"
    servers.client(mongod)[elsewhere]["Users"].insert_one(legacy_user(0))
    other = await backup_check(mongod.uri_for(elsewhere), made.path)
    servers.drop(elsewhere)
    data = next(made.path.rglob("invoices.bson.gz"))
    data.write_bytes(data.read_bytes()[:-1])
    cut = await backup_check(uri, made.path)
    data.unlink()
    gone = await backup_check(uri, made.path)

    assert {Level.FAILED} == {other.level, cut.level, gone.level}
    assert (True, True) == ("bytes instead of" in cut.sentence, "is missing" in gone.sentence)


async def test_a_folder_that_is_no_backup_fails(legacy, uri, tmp_path):
    """Neither an empty folder nor none is something to go back to."""
    empty = await backup_check(uri, tmp_path)
    none = await backup_check(uri, tmp_path / "none")

    assert (Level.FAILED, Level.FAILED) == (empty.level, none.level)


# -- the command ------------------------------------------------------------------------------


async def test_the_diagnosis_as_json_has_every_check(lonely_uri):
    """Database, purpose, checks and exit code, in plain values."""
    found, checks = await look(lonely_uri)
    told = json.loads(json.dumps(answer(found)))

    assert ("newbi", "migrate", 0) == (told["database"], told["for"], told["exitCode"])
    assert list(checks) == [check["id"] for check in told["checks"]]


async def test_what_came_late_is_told_before_the_end_of_a_migration(uri, legacy):
    """As the end itself would refuse it, with the command that sees to it."""
    await migrated(uri)
    _, ready = await look(uri, purpose=Purpose.FINALIZE)
    legacy["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    _, document = await look(uri, purpose=Purpose.FINALIZE)
    legacy["Users"].insert_one(legacy_user(5))
    found, user = await look(uri, purpose=Purpose.FINALIZE)
    _, other = await look(uri)

    assert Level.OK is ready["late-work"].level
    assert "backfill" in document["late-work"].remedy
    assert "newbi-migrate migrate" in user["late-work"].remedy
    assert ExitCode.PENDING is found.exit_code
    assert "late-work" not in other
