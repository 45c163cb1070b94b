"""A server that is paused or locked in the middle of a run, or whose administrator steps in.

One that is paused accepts what is sent and answers nothing.
"""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import mkdtemp

import pytest
from bson import ObjectId
from controlled_mongod import ControlledMongod
from fingerprints import changes, fingerprint
from little import little_legacy, without_quarantine
from pymongo import MongoClient
from small_legacy import USERS
from sweeps import THOROUGH
from traces import expire_lease

MIGRATE = ("migrate", "--confirm")
DONE, QUARANTINED, INTERRUPTED, UNREACHABLE = 0, 5, 7, 9
# The driver looks at its servers every ten seconds, and waits twenty; here it finds out sooner.
QUICK = "heartbeatFrequencyMS=500&connectTimeoutMS=500&serverSelectionTimeoutMS=500"


@pytest.fixture(scope="module")
def server():
    """A server that only these tests use; it may be paused."""
    with ControlledMongod() as paused:
        yield paused


@pytest.fixture
def empty(server):
    """A database of it, dropped afterwards."""
    with MongoClient(server.uri) as client:
        yield client["newbi"]
        server.resume()
        client.drop_database("newbi")


def uri_of(server):
    return f"{server.uri_for('newbi')}?{QUICK}"


def with_old_indexes(database):
    """A database that migrates with 0, and has an old text index."""
    little_legacy(database)
    without_quarantine(database)
    database["expenses"].create_index([("vendor", "text")], weights={"vendor": 3})
    expense = {"_id": ObjectId(f"64c1{0:020x}"), "createdBy": USERS[0], "vendor": "Papeterie"}
    database["expenses"].insert_one(expense)


def late(database):
    """A document that came after the migration."""
    database["invoices"].insert_one({"_id": "late", "createdBy": USERS[0], "number": "late"})


# Each with how a database is made ready for it, and what it is to end with.
COMMANDS = {
    "migrate": ((), ("migrate",), DONE),
    "backfill": ((MIGRATE, late), ("backfill",), DONE),
    "rollback": ((MIGRATE,), ("rollback",), DONE),
    "indexes": ((MIGRATE,), ("indexes", "--apply"), DONE),
    "finalize": ((MIGRATE,), ("finalize", "--keep"), DONE),
    "restore": ((), ("restore", "--drop", "BACKUP"), DONE),
    "restore in place": ((), ("restore", "--drop", "--collections", "invoices", "BACKUP"), DONE),
}


@pytest.fixture(scope="module")
def known():
    """For each command how many writes it sends, and what it leaves where nothing is in its way."""
    return {}


@pytest.fixture
def ready(server, empty, processes, tmp_path):
    """Makes a database ready for a command; gives the command and what it ends with."""

    def make(name):
        before, command, code = COMMANDS[name]
        with_old_indexes(empty)
        if "BACKUP" in command:
            # A folder of its own: two backups in one second would have one name.
            folder = mkdtemp(dir=tmp_path)
            ended = processes.run(uri_of(server), "backup", "--no-exports", "--output-dir", folder)
            assert DONE == ended.status, ended
            (path,) = Path(folder).iterdir()
            command = [str(path) if word == "BACKUP" else word for word in command]
            empty["invoices"].delete_one({})
        for step in before:
            if callable(step):
                step(empty)
            else:
                assert DONE == processes.run(uri_of(server), *step).status
        return [*command, "--confirm"], code

    return make


@pytest.fixture
def halfway(server, empty, ready, processes, known):
    """Starts a command and suspends it in its middle; gives it and what it ends with."""

    def start(name):
        if name not in known:
            command, code = ready(name)
            whole = processes.run(uri_of(server), *command)
            assert code == whole.status, whole
            known[name] = whole.writes, outcome(empty)
            empty.client.drop_database(empty.name)
        command, code = ready(name)
        run = processes.start(
            uri_of(server), *command, at=known[name][0] // 2, when="before", signal="SIGSTOP"
        )
        run.wait_until_suspended()
        return run, command, code

    return start


@pytest.fixture
def paused(server, halfway):
    """Starts a command and pauses the server in its middle; gives it and what it ends with."""

    def start(name):
        run, command, code = halfway(name)
        server.suspend()
        run.send("SIGCONT")
        return run, command, code

    return start


def outcome(database):
    """What there is, but records of runs."""
    return fingerprint(database, run_records=False)


# Waiting takes time: in the usual profile each command is paused once, in one of the two ways.
GO_ON, END = (COMMANDS, COMMANDS) if THOROUGH else (list(COMMANDS)[::2], list(COMMANDS)[1::2])


@pytest.mark.parametrize("name", GO_ON)
def test_a_server_that_is_paused_is_waited_for_and_the_run_goes_on(
    server, empty, paused, known, name
):
    """It says that it lost the server, looks at what was written, and ends as if nothing were."""
    run, _, code = paused(name)
    resumed = threading.Timer(2, server.resume)
    resumed.start()
    ended = run.wait()
    resumed.join()

    assert code == ended.status, ended
    assert "looking at what was written, and going on" in ended.stderr
    assert [] == changes(known[name][1], outcome(empty))


@pytest.mark.parametrize("name", END)
def test_a_server_that_stays_paused_ends_a_run_with_9_and_the_same_command_finishes(
    server, empty, paused, known, processes, name
):
    """In a time that is bounded, with what to do; whatever the server still does, it ends well."""
    run, command, code = paused(name)
    stopped = run.wait()
    server.resume()
    expire_lease(empty)
    again = processes.run(uri_of(server), *command)

    assert UNREACHABLE == stopped.status, stopped
    assert "same command" in stopped.stderr
    assert code == again.status, again
    assert [] == changes(known[name][1], outcome(empty))


def test_a_run_says_that_it_waits_for_a_server_that_does_not_answer(
    server, empty, ready, processes
):
    """Within some seconds, long before the driver finds out by itself."""
    command, _ = ready("migrate")
    run = processes.start(server.uri_for("newbi"), *command, at=30, when="before", signal="SIGSTOP")
    run.wait_until_suspended()
    server.suspend()
    run.send("SIGCONT")
    resumed = threading.Timer(12, server.resume)
    resumed.start()
    ended = run.wait()
    resumed.join()

    assert DONE == ended.status, ended
    assert "The server has not answered for some time. The run waits" in ended.stderr


@pytest.mark.parametrize("name", COMMANDS if THOROUGH else ["migrate", "rollback"])
def test_writes_that_an_administrator_locks_are_waited_for(server, empty, halfway, known, name):
    """The server answers and reads: only what is written waits, as while a disk is copied."""
    run, _, code = halfway(name)
    with MongoClient(server.uri) as client:
        client.admin.command("fsync", lock=True)
        unlocked = threading.Timer(2, client.admin.command, ["fsyncUnlock"])
        run.send("SIGCONT")
        unlocked.start()
        ended = run.wait()
        unlocked.join()

    assert code == ended.status, ended
    assert [] == changes(known[name][1], outcome(empty))


def test_a_run_whose_sessions_are_ended_again_and_again_is_finished_once_they_are_not(
    server, empty, halfway, known, processes
):
    """It gives up after some attempts in which nothing was achieved, and says what to do."""
    run, command, code = halfway("rollback")
    enough = threading.Event()

    def end_sessions():
        with MongoClient(server.uri) as client:
            while not enough.wait(0.005):
                client.admin.command("killAllSessions", [])

    ending = threading.Thread(target=end_sessions)
    ending.start()
    run.send("SIGCONT")
    stopped = run.wait()
    enough.set()
    ending.join()

    assert "An error that may pass" in stopped.stderr
    if stopped.status != code:
        assert INTERRUPTED == stopped.status, stopped
        again = processes.run(uri_of(server), *command)
        assert code == again.status, again
    assert [] == changes(known["rollback"][1], outcome(empty))


def test_what_a_validator_refuses_that_came_meanwhile_is_quarantined_until_it_goes(
    server, empty, halfway, known, processes
):
    """Nothing else is held up, and the next migration stamps what was refused."""
    run, command, code = halfway("migrate")
    names = ("boards", "columns", "expenses")
    for name in names:
        empty.command("collMod", name, validator={"$jsonSchema": {"required": ["nowhere"]}})
    run.send("SIGCONT")
    refused = run.wait()
    for name in names:
        empty.command("collMod", name, validator={})
    again = processes.run(uri_of(server), *command)

    assert QUARANTINED == refused.status, refused
    assert "write-refused" in refused.stdout
    assert code == again.status, again
    # The server keeps that a validator was taken away; documents and indexes are the same.
    assert [f"{name}: options changed" for name in names] == changes(
        known["migrate"][1], outcome(empty)
    )
