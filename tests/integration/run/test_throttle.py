"""Holding a run back: rate, pause file, lag of the secondaries."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from controlled_mongod import ControlledMongod
from hypothesis import given, strategies as st
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate import Migration, MigrationOptions
from newbi_migrate.choices import OnConflict
from newbi_migrate.errors import (
    InterruptedRunError,
    LeaseLostError,
    NotPermittedError,
    UsageError,
)
from newbi_migrate.migration.rollback.results import (
    RollbackOptions,
)
from newbi_migrate.migration.run import throttle
from newbi_migrate.migration.run.throttle import RunThrottle, ThrottleOptions
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.connection import Topology, open_database
from newbi_migrate.store.server import replica_lag


class Notes(NullProgress):
    """Keeps what is said to people."""

    def __init__(self):
        self.said = []
        self.heard = asyncio.Event()

    def note(self, sentence):
        self.said.append(sentence)
        self.heard.set()


async def no_lag():
    return 0.0


def fill(database, *, count=40):
    database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for owner in USERS[:3]:
        database["invoices"].insert_many(invoices(owner, count))


def stamped(database):
    return database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.fixture
def legacy(sync_database):
    fill(sync_database)
    return sync_database


# -- choices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        {"max_rate": 0},
        {"max_rate": -3},
        *({"max_lag": number} for number in (0, -1.0, float("nan"), float("inf"))),
    ],
)
def test_a_choice_out_of_range_is_refused(choice):
    """A rate below one or a lag of nothing would be a run that never ends."""
    with pytest.raises(UsageError):
        ThrottleOptions(**choice)


@given(rate=st.none() | st.integers(1, 10**6), batch=st.integers(1, 200_000))
def test_no_window_is_longer_than_a_second(rate, batch):
    """A window is at most what one second allows, and never greater than was asked for."""
    window = ThrottleOptions(max_rate=rate).window(batch)

    assert 1 <= window <= batch
    assert rate is None or window <= rate


# -- rate -------------------------------------------------------------------------------------


@given(amounts=st.lists(st.integers(0, 500), max_size=20), rate=st.integers(1, 1000))
def test_the_rate_holds_over_any_stretch(amounts, rate):
    """Whatever is asked for, no more than one request beyond the rate gets through at any time."""
    now, passed = [0.0], []

    async def sleep(seconds, _):
        now[0] += seconds

    async def ask():
        throttle = RunThrottle(
            ThrottleOptions(max_rate=rate), NullProgress(), lag=no_lag, clock=lambda: now[0]
        )
        for amount in amounts:
            await throttle.before(amount, lambda: None)
            passed.append((now[0], amount))

    with patch.object(throttle, "_rest", sleep):
        asyncio.run(ask())

    for position, (moment, _) in enumerate(passed):
        earlier = sum(amount for _, amount in passed[:position])
        # A fifth of a second may be made up for at the beginning.
        assert earlier <= rate * (moment + 0.2) + 1e-6


async def test_a_run_is_held_to_its_rate_and_ends_in_the_same_documents(legacy, uri, servers):
    """A hundred documents a second take their time, whatever the workers, and change nothing."""
    throttle, options = ThrottleOptions(max_rate=100), MigrationOptions(workers=4)
    begun = time.monotonic()
    async with Migration(uri, options=options, throttle=throttle) as migration:
        result = await migration.apply()
    took = time.monotonic() - begun

    assert (0, 120) == (result.exit_code, stamped(legacy))
    # 12 documents of users, then 100 invoices; for the last 20 nobody waits any more.
    assert took >= 1.0


# -- pause ------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_run_waits_while_the_file_exists_and_keeps_its_lease(legacy, uri, tmp_path):
    """Nothing is stamped meanwhile, the lease outlives its time, and the run ends as usual."""
    file = tmp_path / "pause"
    file.touch()
    notes = Notes()
    migration = Migration(
        uri, throttle=ThrottleOptions(pause_file=file), progress=notes, lease_seconds=0.6
    )
    async with migration:
        running = asyncio.create_task(migration.apply())
        await asyncio.sleep(1.6)
        meanwhile = await asyncio.to_thread(stamped, legacy)
        with pytest.raises(Exception, match="holds the lease"):
            async with Migration(uri) as other:
                await other.apply()
        file.unlink()
        result = await running

    assert (0, 0, 120) == (meanwhile, result.exit_code, stamped(legacy))
    assert [said.split(":")[0] for said in notes.said] == ["Paused", "Going on"]


async def test_a_run_that_waits_can_be_stopped(legacy, uri, tmp_path):
    """Ctrl-C is heard while it waits; without the file the same call finishes what is left."""
    file = tmp_path / "pause"
    file.touch()
    async with Migration(uri, throttle=ThrottleOptions(pause_file=file)) as migration:
        running = asyncio.create_task(migration.apply())
        await asyncio.sleep(0.5)
        migration.stop()
        with pytest.raises(InterruptedRunError):
            await running
    async with Migration(uri) as migration:
        result = await migration.apply()

    assert (True, 120) == (result.resumed, stamped(legacy))


async def test_a_run_that_lost_its_lease_while_it_waited_stops(legacy, uri, tmp_path):
    """Somebody unlocked it: it does not go on when the file is removed."""
    file = tmp_path / "pause"
    file.touch()
    async with Migration(
        uri, throttle=ThrottleOptions(pause_file=file), lease_seconds=0.6
    ) as migration:
        running = asyncio.create_task(migration.apply())
        await asyncio.sleep(0.5)
        await migration.unlock()
        with pytest.raises(LeaseLostError):
            await running

    assert 0 == stamped(legacy)


# -- going back -------------------------------------------------------------------------------


async def forth(uri):
    async with Migration(uri, options=MigrationOptions(batch_size=1000)) as migration:
        await migration.apply()


@pytest.mark.slow
async def test_a_rollback_is_held_to_its_rate_and_gives_back_the_same_documents(legacy, uri):
    """A window larger than a second's worth is divided, and every byte comes back all the same."""
    before = list(legacy["invoices"].find())
    await forth(uri)
    begun = time.monotonic()
    async with Migration(uri, throttle=ThrottleOptions(max_rate=70)) as migration:
        result = await migration.rollback()
    took = time.monotonic() - begun

    assert (0, 120) == (result.exit_code, result.documents["invoices"].restored)
    assert before == list(legacy["invoices"].find())
    assert 12 == result.deleted.total()
    # 120 invoices; for the last 50 of them, and what was created for users, nobody waits.
    assert took >= 0.9


@pytest.mark.slow
async def test_a_rate_holds_where_a_change_is_discarded_too(legacy, uri):
    """What somebody changed is overwritten in portions like all the rest."""
    await forth(uri)
    legacy["invoices"].update_many({}, [{"$set": {"workspaceId": "$_id"}}])
    begun = time.monotonic()
    async with Migration(uri, throttle=ThrottleOptions(max_rate=70)) as migration:
        result = await migration.rollback(options=RollbackOptions(OnConflict.DISCARD))
    took = time.monotonic() - begun

    assert (0, 120) == (stamped(legacy), result.documents["invoices"].overwritten)
    assert took >= 0.9


async def test_a_rollback_waits_while_the_file_exists(legacy, uri, tmp_path):
    """Nothing is taken back meanwhile, and Ctrl-C is heard; without it the same call finishes."""
    file, notes = tmp_path / "pause", Notes()
    await forth(uri)
    file.touch()
    async with Migration(
        uri, throttle=ThrottleOptions(pause_file=file), progress=notes
    ) as migration:
        running = asyncio.create_task(migration.rollback())
        await notes.heard.wait()
        await asyncio.sleep(0.5)
        meanwhile = await asyncio.to_thread(stamped, legacy)
        migration.stop()
        with pytest.raises(InterruptedRunError):
            await running
    file.unlink()
    async with Migration(uri, throttle=ThrottleOptions(pause_file=file)) as migration:
        result = await migration.rollback()

    assert (120, 0, 0) == (meanwhile, result.exit_code, stamped(legacy))


async def test_a_rollback_that_cannot_ask_for_the_lag_says_so_before_it_writes(
    legacy, uri, monkeypatch
):
    """Whoever may not ask learns it while everything is still in place."""

    async def refuse(*_):
        raise NotPermittedError("no")

    await forth(uri)
    monkeypatch.setattr("newbi_migrate.migration.run.runner.replica_lag", refuse)
    async with Migration(uri, throttle=ThrottleOptions(max_lag=1)) as migration:
        with pytest.raises(NotPermittedError):
            await migration.rollback()

    assert 120 == stamped(legacy)
    assert "done" == legacy["newbi_migrate_runs"].find_one({})["state"]


# -- lag --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    """A replica set of two, of which the second has no vote and can be held back."""
    arguments = ("--replSet", "pair")
    with (
        ControlledMongod(extra_args=arguments, test_commands=True) as first,
        ControlledMongod(extra_args=arguments, test_commands=True) as second,
    ):
        members = [
            {"_id": 0, "host": f"127.0.0.1:{first.port}"},
            {"_id": 1, "host": f"127.0.0.1:{second.port}", "priority": 0, "votes": 0},
        ]
        with MongoClient(f"127.0.0.1:{first.port}", directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "pair", "members": members})
            until(lambda: states(client) == [1, 2])
        yield first, second


def states(client):
    return [member["state"] for member in client.admin.command("replSetGetStatus")["members"]]


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def held_back(server):
    """The secondary fetches nothing while the block runs."""
    with MongoClient(f"127.0.0.1:{server.port}", directConnection=True) as client:
        client.admin.command("configureFailPoint", "rsSyncApplyStop", mode="alwaysOn")
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "rsSyncApplyStop", mode="off")


@pytest.mark.slow
async def test_a_run_waits_for_a_secondary_that_is_behind(pair):
    """It says so, writes nothing meanwhile, and goes on once the secondary has caught up."""
    first, second = pair
    uri = f"mongodb://127.0.0.1:{first.port}/newbi?replicaSet=pair"
    notes = Notes()
    with MongoClient(uri) as client:
        database = client["newbi"]
        fill(database)
        marks = database.get_collection("marks", write_concern=WriteConcern(w=1))
        with held_back(second):
            stop = threading.Event()

            def busy():
                while not stop.is_set():
                    marks.insert_one({})
                    time.sleep(0.2)

            writer = threading.Thread(target=busy)
            writer.start()
            try:
                async with open_database(uri) as store:
                    deadline = time.monotonic() + 20
                    while await replica_lag(store.database, Topology.REPLICA_SET) < 3:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.2)
                throttle = ThrottleOptions(max_lag=1.5)
                migration = Migration(uri, throttle=throttle, progress=notes)
                async with migration:
                    running = asyncio.create_task(migration.apply())
                    await asyncio.sleep(2)
                    meanwhile = stamped(database)
                    stop.set()
                    await asyncio.to_thread(
                        client_command,
                        second,
                        {"configureFailPoint": "rsSyncApplyStop", "mode": "off"},
                    )
                    result = await running
            finally:
                stop.set()
                writer.join()

        assert (0, 0, 120) == (meanwhile, result.exit_code, stamped(database))
    assert any("is behind" in said or "s behind" in said for said in notes.said)
    assert "Going on: the secondaries have caught up." in notes.said


def client_command(server, command):
    with MongoClient(f"127.0.0.1:{server.port}", directConnection=True) as client:
        client.admin.command(command)


async def test_where_nobody_can_lag_nothing_is_waited_for(legacy, uri, replica_database):
    """A standalone and a set of one member have no secondary to wait for."""
    async with Migration(uri, throttle=ThrottleOptions(max_lag=0.001)) as migration:
        result = await migration.apply()

    assert 0 == result.exit_code
    assert 0 == await replica_lag(replica_database, Topology.REPLICA_SET)


async def test_a_sharded_cluster_is_refused_a_limit_that_cannot_be_kept(database):
    """A promise that cannot be kept is not made."""
    with pytest.raises(UsageError, match="sharded"):
        await replica_lag(database, Topology.SHARDED)


@pytest.fixture(scope="module")
def guarded():
    with ControlledMongod(replica_set=True, auth=True) as server:
        yield server


@pytest.mark.slow
async def test_a_user_who_may_not_ask_is_told_before_anything_is_written(guarded):
    """The limit needs the role clusterMonitor, and a run without it does not begin."""
    with MongoClient(guarded.uri_for("newbi")) as client:
        fill(client["newbi"], count=1)
        uri = guarded.add_user("u", "p", database="newbi", roles=["readWrite"])
        async with Migration(uri, throttle=ThrottleOptions(max_lag=5)) as migration:
            with pytest.raises(NotPermittedError, match="secondaries"):
                await migration.apply()

        assert {"Users", "invoices"} == set(client["newbi"].list_collection_names())
