"""What an administrator, a shell, a network or a small machine does to a run in its middle.

The run suspends itself with a write about to be sent; then it happens, and the run goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from controlled_mongod import ControlledMongod
from cutting import CuttingWire
from fingerprints import changes, fingerprint
from hanging import statements_hanging
from little import little_legacy
from processes import suspended, woken
from pymongo import MongoClient
from sweeps import THOROUGH
from traces import differences, expire_lease, trace

MIGRATE = ("migrate", "--confirm")
ROLLBACK = ("rollback", "--confirm")
DONE, PENDING, QUARANTINED, INTERRUPTED, UNREACHABLE = 0, 3, 5, 7, 9
# Its first writes take the lease and make the record of the run; from then on there is a run.
FIRST = 4


@pytest.fixture(scope="module")
def whole(mongod, servers, processes):
    """The write commands of a run that nobody disturbs, and what it leaves."""
    database = servers.client(mongod)["newbi_test_undisturbed"]
    little_legacy(database)
    commands = processes.run(mongod.uri_for(database.name), *MIGRATE).commands
    left = trace(database)
    servers.drop(database.name)
    return commands, left


def finished(processes, database, uri):
    """How the same command ends once nobody is in its way."""
    expire_lease(database)
    return processes.run(uri, *MIGRATE)


# -- signals, streams and limits --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ends"),
    [("SIGTERM", INTERRUPTED), ("SIGINT", INTERRUPTED), ("SIGHUP", -1), ("SIGPIPE", QUARANTINED)],
)
def test_whatever_signal_comes_the_same_command_finishes(
    mongod, whole, fresh, processes, sample, name, ends
):
    """Two are obeyed at the next safe point, one ends the process at once, and one is nothing."""
    commands, expected = whole
    wrong = {}
    for at in sample.of(f"{name} at a write", range(FIRST, len(commands) - 3), 1):
        database, uri = fresh(mongod, little_legacy)
        ended = processes.run(uri, *MIGRATE, at=at, when="after", signal=name)
        again = finished(processes, database, uri)
        found = differences(expected, trace(database)) if ended.status != QUARANTINED else []
        if (again.status, found) != (QUARANTINED, []) or ended.status not in {ends, QUARANTINED}:
            wrong[at] = (ended, again, found)

    assert not wrong, sample


STREAMS = [">&- 2>&- <&-", "2>&1 >/dev/full", "| true", ">&-", "2>&-"]


@pytest.mark.parametrize("streams", STREAMS if THOROUGH else STREAMS[:2])
def test_a_run_whose_streams_are_closed_or_full_does_its_work(mongod, whole, fresh, streams):
    """Nobody listens, or the reader has gone: the documents are migrated all the same."""
    _, expected = whole
    database, uri = fresh(mongod, little_legacy)
    subprocess.run(
        f'"{sys.executable}" -m newbi_migrate migrate --confirm {streams}',
        shell=True,
        env={**os.environ, "MONGODB_URI": uri},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert [] == differences(expected, trace(database))


LIMITS = [{"files": 16}, {"memory": 24}, {"files": 9}, {"memory": 1}]


@pytest.mark.parametrize("limit", LIMITS if THOROUGH else LIMITS[:2])
def test_a_run_that_lacks_files_or_memory_leaves_nothing_that_cannot_be_finished(
    mongod, whole, fresh, processes, limit
):
    """However it ends, the same command without the limit ends as if there had been none."""
    _, expected = whole
    database, uri = fresh(mongod, little_legacy)
    ended = processes.run(uri, *MIGRATE, limit=limit)
    again = finished(processes, database, uri)

    assert QUARANTINED == again.status, again
    assert [] == differences(expected, trace(database)), ended


# -- the server -------------------------------------------------------------------------------


def test_a_statement_that_an_administrator_kills_is_sent_again(server, servers, fresh, processes):
    """``killOp`` ends it on the server; the run looks at what was written, and goes on."""
    database, uri = fresh(server, little_legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    database, uri = fresh(server, little_legacy)
    client: MongoClient = servers.client(server)
    stages = [
        {"$currentOp": {}},
        {"$match": {"op": "update", "ns": f"{database.name}.invoices"}},
    ]
    with statements_hanging(client, database):
        run = processes.start(uri, *MIGRATE)
        while not (found := list(client.admin.aggregate(stages))):
            time.sleep(0.02)
        client.admin.command("killOp", op=found[0]["opid"])
    ended = run.wait()

    assert QUARANTINED == ended.status, ended
    assert [] == differences(expected, trace(database))


@pytest.mark.parametrize("command", [MIGRATE, ROLLBACK], ids=lambda command: command[0])
def test_a_server_killed_or_paused_at_any_write_loses_nothing(processes, sample, command):
    """Killed, the run ends with 9 and the same command finishes; paused, it waits and goes on."""
    wrong = {}
    with ControlledMongod() as server, MongoClient(server.uri) as client:

        def ready(name):
            little_legacy(client[name])
            uri = server.uri_for(name) + "?serverSelectionTimeoutMS=300"
            if command is ROLLBACK:
                processes.run(uri, *MIGRATE)
            return client[name], uri

        database, uri = ready("whole")
        whole = processes.run(uri, *command)
        expected = fingerprint(database, run_records=False)
        kind = f"{command[0]}: server killed, and server paused"
        for at in sample.of(kind, range(FIRST, whole.writes), 1):
            for way in (killed_and_back, paused):
                database, uri = ready(f"{way.__name__}_{at}")
                run = suspended(processes, uri, command, at)
                ended = way(server, run)
                again = ended
                if ended.status == UNREACHABLE:
                    expire_lease(database)
                    again = processes.run(uri, *command)
                found = changes(expected, fingerprint(database, run_records=False))
                if again.status != whole.status or found:
                    wrong[at, way.__name__] = (ended, again, found)
                client.drop_database(database.name)

    assert not wrong, sample


def killed_and_back(server, run):
    """How a run ends whose server dies, and is started again afterwards."""
    server.kill()
    ended = woken(run)
    server.restart()
    return ended


def paused(server, run):
    """How a run ends whose server answers nothing for a while."""
    server.suspend()
    run.send("SIGCONT")
    time.sleep(0.3)
    server.resume()
    return run.wait()


def test_connections_cut_after_any_number_of_bytes_lose_nothing(
    mongod, whole, fresh, processes, sample
):
    """Slow ones in pieces of any size; the run goes on by itself, or the same command does."""
    _, expected = whole
    wrong = {}
    cut = 0
    for number in sample.of("runs over a wire that is cut six times", range(100), 1):
        database, uri = fresh(mongod, little_legacy)
        with CuttingWire(mongod.port, f"{sample.seed} {number}") as wire:
            ended = processes.run(wire.uri_for(database.name), *MIGRATE)
            cut += wire.cut
        again = ended
        if ended.status != QUARANTINED:
            again = finished(processes, database, uri)
        found = differences(expected, trace(database))
        known = ended.status in {QUARANTINED, INTERRUPTED, UNREACHABLE}
        if not known or again.status != QUARANTINED or found:
            wrong[number] = (ended, again, found)
        database.client.drop_database(database.name)

    assert not wrong, sample
    assert cut > 0


# -- collections and indexes ------------------------------------------------------------------


def before_the_invoices(commands):
    """The write that stamps the invoices: what comes before them is done."""
    return commands.index("update invoices") + 1


def missed(ended, name):
    """Whether a run said that a collection has gone, or began anew and found it no longer there."""
    if ended.status == QUARANTINED:
        return "looking at what was written" in ended.stderr
    return ended.status == PENDING and f"{name!r} was dropped or renamed" in ended.stderr


@pytest.mark.parametrize("name", ["invoices", "clients"])
def test_a_collection_renamed_while_running_is_not_made_again_and_keeps_its_bytes(
    mongod, whole, fresh, processes, name
):
    """Renamed back, the same command finishes as if nobody had touched it, or a rollback does."""
    commands, expected = whole
    for way in ("finished", "taken back"):
        database, uri = fresh(mongod, little_legacy)
        before = fingerprint(database)
        run = suspended(processes, uri, MIGRATE, before_the_invoices(commands))
        database[name].rename("elsewhere")
        ended = woken(run)
        there = database.list_collection_names()
        database["elsewhere"].rename(name)
        expire_lease(database)
        again = processes.run(uri, *(MIGRATE if way == "finished" else ROLLBACK))
        data = fingerprint(database, run_records=False)

        assert missed(ended, name)
        assert name not in there
        if way == "finished":
            assert (QUARANTINED, []) == (again.status, changes(expected["data"], data)), again
        else:
            assert (DONE, []) == (again.status, changes(before, data)), again


def test_a_collection_dropped_while_running_is_not_made_again(mongod, whole, fresh, processes):
    """The run says so and ends with 3; the same command goes on with what is there."""
    commands, _ = whole
    database, uri = fresh(mongod, little_legacy)
    run = suspended(processes, uri, MIGRATE, before_the_invoices(commands))
    database["invoices"].drop()
    ended = woken(run)
    expire_lease(database)
    again = processes.run(uri, *MIGRATE)
    back = processes.run(uri, *ROLLBACK)

    assert missed(ended, "invoices")
    assert (QUARANTINED, DONE) == (again.status, back.status), again
    assert "invoices" not in database.list_collection_names()


@pytest.mark.parametrize("name", ["newbi_migrate_journal", "newbi_migrate_runs"])
@pytest.mark.parametrize("how", ["dropped", "renamed"])
def test_records_lost_while_running_are_missed(mongod, whole, fresh, processes, name, how):
    """The run does not say that it is done, and nothing is built on what is lost."""
    commands, _ = whole
    database, uri = fresh(mongod, little_legacy)
    run = suspended(processes, uri, MIGRATE, before_the_invoices(commands))
    if how == "dropped":
        database[name].drop()
    else:
        database[name].rename(f"{name}_elsewhere")
    ended = woken(run)
    stood = fingerprint(database, run_records=False)
    expire_lease(database)
    again = processes.run(uri, *MIGRATE)

    assert ended.status in {PENDING, INTERRUPTED}, ended
    assert PENDING == again.status, again
    assert [] == changes(stood, fingerprint(database, run_records=False))


def wanted_index(expected):
    """Name and keys of an index of the invoices that a run builds."""
    return next(name for name in expected["data"]["invoices"]["indexes"] if name != "_id_")


INDEXES = ["other keys", "another name", "the same", "another index"]


@pytest.mark.parametrize("what", INDEXES if THOROUGH else INDEXES[:2])
def test_an_index_made_while_running_stays_and_hinders_nobody(
    mongod, whole, fresh, processes, what
):
    """The run ends, and after its rollback that index is there and everything else as before."""
    commands, expected = whole
    database, uri = fresh(mongod, little_legacy)
    before = fingerprint(database)
    run = suspended(processes, uri, MIGRATE, before_the_invoices(commands))
    name = wanted_index(expected)
    keys = [("workspaceId", 1)] if what in {"the same", "another name"} else [("other", 1)]
    database["invoices"].create_index(
        keys, name={"other keys": name, "another name": "mine"}.get(what)
    )
    made = fingerprint(database, run_records=False)["invoices"]["indexes"]
    ended = woken(run)
    back = processes.run(uri, *ROLLBACK)
    before["invoices"]["indexes"] = made

    assert QUARANTINED == ended.status, ended
    assert DONE == back.status, back
    assert [] == changes(before, fingerprint(database, run_records=False))


def test_an_index_dropped_while_running_is_nobodys_concern(mongod, whole, fresh, processes):
    """The run ends; a rollback does not bring back what somebody else took away."""
    commands, _ = whole

    def with_an_index(database):
        little_legacy(database)
        database["invoices"].create_index([("note", 1)])

    database, uri = fresh(mongod, with_an_index)
    run = suspended(processes, uri, MIGRATE, before_the_invoices(commands))
    database["invoices"].drop_index("note_1")
    ended = woken(run)
    back = processes.run(uri, *ROLLBACK)

    assert (QUARANTINED, DONE) == (ended.status, back.status), back
    assert {"_id_"} == set(database["invoices"].index_information())
