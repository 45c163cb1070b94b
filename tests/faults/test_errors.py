"""Every command answered with every kind of error that passes: once, three times, for ever.

The server itself refuses, by its fail point ``failCommand``, and only to the tool's client.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count, product
from time import monotonic

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from losing import LosingAnswers
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener
from pymongo.server_description import ServerDescription
from traces import differences, expire_lease, trace

from newbi_migrate.errors import ExitCode, NewbiMigrateError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.run import retry
from newbi_migrate.progress import NullProgress
from newbi_migrate.server_codes import Code
from newbi_migrate.store import lease

READS = ("find", "getMore", "aggregate", "count", "listCollections", "listIndexes")
WRITES = ("insert", "update", "findAndModify", "create", "createIndexes", "commitTransaction")
ERRORS = {
    "connection closed": {"closeConnection": True},
    "not primary": {"errorCode": 10107},
    "stepped down": {"errorCode": 189},
    "interrupted": {"errorCode": 11601},
    "interrupted by a step-down": {"errorCode": 11602},
    "out of time": {"errorCode": 50},
    "shutting down": {"errorCode": 91},
}
APPLIED = {
    "applied, and not replicated in time": {"writeConcernError": {"code": 64, "errmsg": "slow"}},
    "applied, and shutting down": {"writeConcernError": {"code": 91, "errmsg": "bye"}},
}
# A cursor or snapshot lost, a client or transaction killed, a capped collection that rolled over.
BROKEN_OFF = {str(code): {"errorCode": code} for code in (43, 136, 237, 239, 246, 279, 290, 365)}
# A server that pretends not to be the primary does not tell the driver when it is again.
SOON = "heartbeatFrequencyMS=500&serverSelectionTimeoutMS=3000"
# Those after which the driver does not look for another primary.
QUICK = ("connection closed", "interrupted", "out of time")
LATER = 7  # commands of that kind that are answered before one fails for ever
MODES = {
    "once": {"times": 1},
    "three times": {"times": 3},
    "for ever": "alwaysOn",
    "later": {"skip": LATER},
}
PASSING = {"once", "three times"}
GIVEN_UP = {ExitCode.INTERRUPTED, ExitCode.UNREACHABLE}


def cells(*commands):
    """Every command with every error in every mode; a read cannot be applied and refused."""
    return [
        (command, error, mode)
        for command, error, mode in product(commands, (*ERRORS, *APPLIED), MODES)
        if not (command in READS and error in APPLIED)
    ]


CELLS = cells(*READS, *WRITES)
ROLLBACK_CELLS = cells(*READS, "update", "delete", "dropIndexes", "drop", "commitTransaction")


@contextmanager
def failing(client, command, error, mode):
    """The server fails a command of ours, in a database of ours."""
    answer = {**ERRORS, **APPLIED, **BROKEN_OFF}[error]
    data = {"failCommands": [command], "appName": "newbi-migrate", **answer}
    client.admin.command("configureFailPoint", "failCommand", mode=MODES[mode], data=data)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


def soon(uri):
    return uri + ("&" if "?" in uri else "?") + SOON


async def migrated(uri):
    source = soon(uri) if isinstance(uri, str) else uri
    async with Migration(source, options=MigrationOptions(workers=1)) as migration:
        return (await migration.apply()).exit_code


async def taken_back(uri):
    async with Migration(soon(uri)) as migration:
        return (await migration.rollback()).exit_code


async def validated(uri):
    async with Migration(soon(uri)) as migration:
        return (await migration.validate()).exit_code


async def planned(uri):
    async with Migration(soon(uri)) as migration:
        return (await migration.plan()).exit_code


async def outcome(call, uri):
    try:
        return await call(uri)
    except NewbiMigrateError as error:
        return error.exit_code


@pytest.fixture
def impatient(monkeypatch):
    """Pauses between attempts are shorter; their number is not."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "_PAUSES", (0.01, 0.01, 0.01))


@pytest.mark.parametrize(
    ("server", "size"), [("standalone", 4), ("replica set", 2)], indirect=["server"]
)
async def test_an_error_that_passes_is_passed_over_and_one_that_stays_is_told(
    server, size, servers, fresh, sample, impatient
):
    """Up to three times the run goes on by itself; else exit 7 or 9, and the same call resumes."""
    database, uri = fresh(server, little_legacy)
    assert ExitCode.QUARANTINED == await migrated(uri)
    expected = trace(database)
    wrong = {}
    for cell in sample.of("migrate: cells of the fail-point matrix", CELLS, size):
        database, uri = fresh(server, little_legacy)
        with failing(servers.client(server), *cell):
            ended = await outcome(migrated, uri)
        if ended is not ExitCode.QUARANTINED:
            if cell[2] in PASSING or ended not in GIVEN_UP:
                wrong[cell] = f"ended with {ended!r}"
            expire_lease(database)
            await outcome(migrated, uri)
        if found := differences(expected, trace(database)):
            wrong[cell] = [wrong.get(cell), found]
        servers.drop(database.name)

    assert not wrong, f"{sample}: {wrong}"


async def test_what_is_looked_at_before_the_lease_passes_over_errors_too(
    mongod, servers, fresh, impatient
):
    """The record collections have their indexes read; that fails as often as anything may."""
    _, uri = fresh(mongod, little_legacy)
    await migrated(uri)
    with failing(servers.client(mongod), "listIndexes", "connection closed", "three times"):
        ended = await outcome(taken_back, uri)

    assert ExitCode.DONE is ended


@pytest.mark.parametrize("command", [one for one in READS if one != "getMore"])
async def test_a_read_is_sent_once_more_where_a_connection_was_closed(
    mongod, servers, fresh, command
):
    """For whoever only reads too: the driver does so, and where it does not, we do."""
    _, uri = fresh(mongod, little_legacy)
    for call in (planned, validated):
        expected = await call(uri)
        with failing(servers.client(mongod), command, "connection closed", "once"):
            assert expected is await outcome(call, uri)


@pytest.mark.parametrize("error", BROKEN_OFF)
async def test_a_read_that_is_broken_off_is_told_and_no_defect(
    mongod, servers, fresh, impatient, error
):
    """Whoever only reads ends with 9; a run goes on by itself, or the same call finishes it."""
    _, uri = fresh(mongod, little_legacy)
    client = servers.client(mongod)
    for call in (planned, validated):
        with failing(client, "find", error, "for ever"):
            assert ExitCode.UNREACHABLE is await outcome(call, uri)
    with failing(client, "find", error, "later"):
        assert await outcome(migrated, uri) in GIVEN_UP
    with failing(client, "find", error, "three times"):
        assert ExitCode.QUARANTINED is await outcome(migrated, uri)


@pytest.mark.parametrize(
    ("server", "size"), [("standalone", 2), ("replica set", 1)], indirect=["server"]
)
async def test_a_rollback_passes_over_the_same_errors(
    server, size, servers, fresh, sample, impatient
):
    """Back to the byte, at once or by the same call again."""
    before = fingerprint(fresh(server, little_legacy)[0])
    wrong = {}
    for cell in sample.of("rollback: cells of the fail-point matrix", ROLLBACK_CELLS, size):
        database, uri = fresh(server, little_legacy)
        await migrated(uri)
        with failing(servers.client(server), *cell):
            ended = await outcome(taken_back, uri)
        if ended is not ExitCode.DONE:
            if cell[2] in PASSING or ended not in GIVEN_UP:
                wrong[cell] = f"ended with {ended!r}"
            expire_lease(database)
            await outcome(taken_back, uri)
        if found := changes(before, fingerprint(database, run_records=False)):
            wrong[cell] = [wrong.get(cell), found]
        servers.drop(database.name)

    assert not wrong, f"{sample}: {wrong}"


async def test_a_commit_that_fails_leaves_no_transaction_that_is_waited_for(
    replica_set, servers, fresh, impatient
):
    """A rollback ends what its failed attempt left open; the server would for a minute not."""
    _, uri = fresh(replica_set, little_legacy)
    await migrated(uri)
    began = monotonic()
    with failing(servers.client(replica_set), "commitTransaction", "connection closed", "for ever"):
        given_up = await outcome(taken_back, uri)
    ended = await outcome(taken_back, uri)

    assert (ExitCode.UNREACHABLE, ExitCode.DONE) == (given_up, ended)
    assert monotonic() - began < 40


@pytest.mark.parametrize("call", [validated, planned])
async def test_what_only_reads_says_that_the_server_failed(server, servers, fresh, sample, call):
    """One sentence and exit 9, whichever of the tasks that read at once was the first to fail."""
    _, uri = fresh(server, little_legacy)
    await migrated(uri)
    expected = await call(uri)
    wrong = {}
    kind = "plan and validate: reads that fail"
    for error, skip in sample.of(kind, product(QUICK, range(30)), 12):
        data = {
            "failCommands": ["find", "getMore", "aggregate"],
            "appName": "newbi-migrate",
            **ERRORS[error],
        }
        client = servers.client(server)
        fail_from = {"skip": skip}
        client.admin.command("configureFailPoint", "failCommand", mode=fail_from, data=data)
        try:
            ended = await outcome(call, uri)
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
        if ended not in {expected, ExitCode.UNREACHABLE}:
            wrong[error, skip] = ended

    assert not wrong, f"{sample}: {wrong}"


async def test_a_write_whose_answer_is_lost_is_not_made_twice(server, fresh, sample, impatient):
    """The server has done it and the connection is gone: the run looks, finds it and goes on."""
    database, uri = fresh(server, little_legacy)
    assert ExitCode.QUARANTINED == await migrated(uri)
    expected = trace(database)
    with LosingAnswers(server.port) as wire:
        database, _ = fresh(server, little_legacy)
        await migrated(wire.uri_for(database.name))
        everywhere = range(1, wire.writes + 1)
    wrong = {}
    for at in sample.of("migrate: answers lost", everywhere, 2):
        database, _ = fresh(server, little_legacy)
        with LosingAnswers(server.port, {at}) as wire:
            ended = await outcome(migrated, wire.uri_for(database.name))
        found = differences(expected, trace(database))
        if (ended, wire.lost, found) != (ExitCode.QUARANTINED, 1, []):
            wrong[at] = (ended, wire.lost, found)

    assert not wrong, f"{sample}: {wrong}"


class Beginnings(NullProgress):
    """Notes how many writes there were when each phase began."""

    def __init__(self, wire):
        self.wire, self.writes = wire, {}

    def phase(self, name, total):
        self.writes.setdefault(name, self.wire.writes)


@pytest.mark.slow
async def test_what_a_run_wrote_again_for_a_lost_answer_is_taken_back_once(
    server, fresh, impatient
):
    """Whatever was created or filled for users: no conflict that nobody made, and every byte."""
    database, _ = fresh(server, little_legacy)
    with LosingAnswers(server.port) as wire:
        begun = Beginnings(wire)
        async with Migration(wire.uri_for(database.name), progress=begun) as migration:
            filled = (await migration.apply()).filled
    wrong = {}
    for at in range(begun.writes["users"] + 1, begun.writes["documents"] + 1):
        database, uri = fresh(server, little_legacy)
        before = fingerprint(database, run_records=False)
        with LosingAnswers(server.port, {at}) as wire:
            await outcome(migrated, wire.uri_for(database.name))
        async with Migration(uri) as migration:
            shown = await migration.rollback_all(dry_run=True)
            back = await migration.rollback_all()
        codes = [result.exit_code for result in (*shown, *back)]
        found = changes(before, fingerprint(database, run_records=False))
        if (codes, found) != ([ExitCode.DONE] * 2, []):
            wrong[at] = codes, found

    assert {"user", "organization"} == filled.keys()
    assert not wrong


class Refusals(CommandListener):
    """The codes of what a server refused."""

    def __init__(self):
        self.codes = []

    def started(self, event):
        pass

    def succeeded(self, event):
        pass

    def failed(self, event):
        self.codes.append(event.failure["code"])


async def test_a_write_that_the_driver_numbered_for_a_standalone_is_sent_again(
    mongod, fresh, impatient, monkeypatch
):
    """Where connections break it takes the server for one of a set: "Transaction numbers …"."""
    database, uri = fresh(mongod, little_legacy)
    await migrated(uri)
    expected = trace(database)
    database, uri = fresh(mongod, little_legacy)
    writes = count()
    # At the lease, in the records, at users and at documents; the driver asks before each write.
    mistaken = property(lambda _: next(writes) in {0, 5, 12, 20, 30})
    monkeypatch.setattr(ServerDescription, "retryable_writes_supported", mistaken)
    refusals = Refusals()
    # A client of our own asks for no such writes of a standalone; that of a host may.
    async with AsyncMongoClient(uri, event_listeners=[refusals]) as client:
        ended = await migrated(client.get_default_database())

    assert ExitCode.QUARANTINED == ended
    # A renewal of the lease may come between, and what writes many documents is never numbered.
    assert {Code.ILLEGAL_OPERATION.value} == {*refusals.codes}
    assert len(refusals.codes) > 2
    assert [] == differences(expected, trace(database))
