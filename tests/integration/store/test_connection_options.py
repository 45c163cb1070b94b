"""Options of a connection string, or of a host's client, that are meant for the application."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from pymongo import AsyncMongoClient, MongoClient

from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.connection import client_session, open_database

OPTIONS = [
    "readConcernLevel=linearizable",
    "readConcernLevel=available",
    "readConcernLevel=snapshot",
    "readConcernLevel=majority",
    "readPreference=secondary&maxStalenessSeconds=90",
    "readPreference=secondaryPreferred&readPreferenceTags=dc:paris",
    "readPreference=nearest&readPreferenceTags=dc:paris",
    "w=0",
    "w=1&journal=false&wtimeoutMS=1",
    "retryWrites=true&retryReads=false",
    "maxPoolSize=1&waitQueueTimeoutMS=20000&socketTimeoutMS=20000",
]
DOCTOR = {ExitCode.DONE, ExitCode.PENDING}


async def whole_story(source):
    """Everything that a run asks of a server: exit codes of plan, migrate and rollback."""
    async with Migration(source) as migration:
        planned = await migration.plan()
        assert (await migration.doctor(watch=0)).exit_code in DOCTOR
        done = await migration.apply()
        await migration.status()
        await migration.validate()
        back = await migration.rollback()
        return planned.exit_code, done.exit_code, back.exit_code


@pytest.fixture(params=["mongod", "replica_set"])
def server(request):
    """A server without transactions, and one with them."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def legacy(server, servers, database_name):
    database = servers.client(server)[database_name]
    little_legacy(database)
    return database


def with_options(server, database, options):
    uri = server.uri_for(database.name)
    return uri + ("&" if "?" in uri else "?") + options


@asynccontextmanager
async def handle_of_a_host(kind, uri):
    if kind == "asynchronous":
        async with AsyncMongoClient(uri) as client:
            yield client.get_default_database()
    else:
        with MongoClient(uri) as client:
            yield client.get_default_database()


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
async def test_a_run_is_the_same_whatever_the_connection_string_says(server, legacy, options):
    """Read preference, concerns and retries of the application change no answer and no byte."""
    before = fingerprint(legacy)
    ended = await whole_story(with_options(server, legacy, options))

    assert (ExitCode.QUARANTINED, ExitCode.QUARANTINED, ExitCode.DONE) == ended
    assert [] == changes(before, fingerprint(legacy, run_records=False))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[2], OPTIONS[5], OPTIONS[7]])
async def test_a_run_is_the_same_whatever_the_client_of_a_host_says(server, legacy, options, kind):
    """The options of a handle's client hold for the host alone."""
    before = fingerprint(legacy)
    async with handle_of_a_host(kind, with_options(server, legacy, options)) as handle:
        ended = await whole_story(handle)

    assert (ExitCode.QUARANTINED, ExitCode.QUARANTINED, ExitCode.DONE) == ended
    assert [] == changes(before, fingerprint(legacy, run_records=False))


async def test_a_standalone_is_never_asked_for_retryable_writes(server, legacy):
    """It has none; where connections break, the driver would ask for them all the same."""
    async with open_database(with_options(server, legacy, "retryWrites=true")) as store:
        retries = store.database.client.options.retry_writes

    assert store.server.has_transactions is retries


async def test_transactions_say_what_they_read_and_how_they_are_written(
    replica_set, servers, database_name
):
    """A read concern that a transaction cannot have is not taken from the connection string."""
    uri = with_options(replica_set, servers.client(replica_set)[database_name], OPTIONS[0])
    async with open_database(uri) as store, client_session(store.database) as session:
        async with await session.start_transaction():
            await store.database["a"].insert_one({"_id": 1}, session=session)
        found = await store.database["a"].find_one()

    assert {"_id": 1} == found


async def test_a_deadline_for_every_statement_is_left_out(server, legacy):
    """An index that takes longer than timeoutMS would never be built."""
    async with open_database(with_options(server, legacy, "timeoutMS=1")) as store:
        slow = store.database["Users"].find({"$where": "sleep(20) || true"})
        found = await slow.to_list()

    assert legacy["Users"].count_documents({}) == len(found)


async def test_a_handle_with_a_deadline_is_refused(uri):
    """The client of a host cannot be changed."""
    async with AsyncMongoClient(uri, timeoutMS=1000) as client:
        with pytest.raises(UsageError, match="timeoutMS"):
            async with open_database(client.get_default_database()):
                pass


async def test_a_synchronous_handle_with_a_deadline_is_bridged_without(mongod, database_name):
    """The client that is made in its place has none, however its name was written."""
    with MongoClient(mongod.uri, timeoutms=1000) as client:
        async with open_database(client[database_name]) as store:
            assert store.database.client.options.timeout is None


@pytest.mark.parametrize("now", [-1.0, 2.0**32])
async def test_a_clock_that_no_object_id_can_hold_is_refused(now, monkeypatch):
    """Nothing is asked of a server: the first record of a run could not be made."""
    monkeypatch.setattr("time.time", lambda: now)

    with pytest.raises(UsageError, match="clock of this machine"):
        async with open_database("mongodb://localhost:1/newbi"):
            pass
