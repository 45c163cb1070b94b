"""Every command answered with every kind of error that passes: once, three times, for ever.

The server itself refuses, by its fail point ``failCommand``, and only to the tool's client.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import product

import pytest
from little import little_legacy
from losing import LosingAnswers
from pymongo import MongoClient
from traces import differences, expire_lease, trace

from newbi_migrate.errors import ExitCode, NewbiMigrateError
from newbi_migrate.migration import retrying
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.options import MigrationOptions
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
CELLS = [
    (command, error, mode)
    for command, error, mode in product(
        (*READS, *WRITES), (*ERRORS, *APPLIED), ("once", "three times", "for ever", "later")
    )
    if not (command in READS and error in APPLIED)
]
MODES = {"once": {"times": 1}, "three times": {"times": 3}, "for ever": "alwaysOn"}
LATER = 7  # commands of that kind that are answered before one fails for ever


@contextmanager
def failing(client, command, error, mode):
    """The server fails a command of ours, in a database of ours."""
    data = {"failCommands": [command], "appName": "newbi-migrate", **{**ERRORS, **APPLIED}[error]}
    modes = {**MODES, "later": {"skip": LATER}}
    client.admin.command("configureFailPoint", "failCommand", mode=modes[mode], data=data)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


# A server that pretends not to be the primary does not tell the driver when it is again.
SOON = "heartbeatFrequencyMS=500&serverSelectionTimeoutMS=3000"


async def migrated(uri):
    uri += ("&" if "?" in uri else "?") + SOON
    async with Migration(uri, options=MigrationOptions(workers=1)) as migration:
        return (await migration.apply()).exit_code


async def outcome(uri):
    try:
        return await migrated(uri)
    except NewbiMigrateError as error:
        return error.exit_code


@pytest.fixture
def impatient(monkeypatch):
    """Pauses between attempts are shorter; their number is not."""
    monkeypatch.setattr(retrying, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "_PAUSES", (0.01, 0.01, 0.01))


@pytest.mark.parametrize(("kind", "size"), [("standalone", 12), ("replica set", 6)])
async def test_an_error_that_passes_is_passed_over_and_one_that_stays_is_told(
    kind, size, mongod, replica_set, servers, database_name, sample, impatient
):
    """Up to three times the run goes on by itself; else exit 7 or 9, and the same call resumes."""
    server = mongod if kind == "standalone" else replica_set
    client: MongoClient = servers.client(server)

    def fresh(label):
        name = f"{database_name}_{label}"
        little_legacy(client[name])
        return client[name], server.uri_for(name)

    database, uri = fresh("whole")
    assert ExitCode.QUARANTINED == await migrated(uri)
    expected = trace(database)
    wrong = {}
    for cell in sample.of(CELLS, size):
        database, uri = fresh("again")
        with failing(client, *cell):
            ended = await outcome(uri)
        passes = cell[2] in {"once", "three times"}
        if ended is not ExitCode.QUARANTINED:
            if passes or ended not in {ExitCode.INTERRUPTED, ExitCode.UNREACHABLE}:
                wrong[cell] = f"ended with {ended!r}"
            expire_lease(database)
            await outcome(uri)
        if found := differences(expected, trace(database)):
            wrong[cell] = [wrong.get(cell), found]
        servers.drop(database.name)
    servers.drop(f"{database_name}_whole")

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
    for at in sample.of(everywhere, 4):
        database, _ = fresh(server, little_legacy)
        with LosingAnswers(server.port, {at}) as wire:
            ended = await outcome(wire.uri_for(database.name))
        found = differences(expected, trace(database))
        if (ended, wire.lost, found) != (ExitCode.QUARANTINED, 1, []):
            wrong[at] = (ended, wire.lost, found)

    assert not wrong, f"{sample}: {wrong}"
