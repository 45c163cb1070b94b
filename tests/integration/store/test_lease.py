"""The lease: one holder at a time, whatever happens to them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import bson
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from fingerprints import fingerprint
from pymongo import AsyncMongoClient
from traces import expire_lease

from newbi_migrate.errors import DamagedRecordsError, LeaseHeldError, LeaseLostError
from newbi_migrate.store import lease as lease_module
from newbi_migrate.store.lease import Holder, Lease

CHILD = """
import asyncio, sys, time
from bson import ObjectId
from pymongo import AsyncMongoClient
from newbi_migrate.store.lease import Holder, Lease

async def hold():
    async with AsyncMongoClient(sys.argv[1]) as client:
        holder = Holder.this_process(ObjectId(), "migrate")
        await Lease.acquire(client.get_default_database(), holder)
        print("held", flush=True)
        await asyncio.sleep(120)

asyncio.run(hold())
"""


def holder(pid=1):
    return Holder(run_id=ObjectId(), host="db-tools", pid=pid, command="migrate")


def this_process():
    return Holder.this_process(ObjectId(), "migrate")


@asynccontextmanager
async def holding(uri):
    """Another process that holds the lease and does nothing else."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, uri, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert b"held\n" == await child.stdout.readline()
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.fixture
def zombie(uri):
    """The id of a process that held the lease and was killed, and for which nobody has waited."""
    with subprocess.Popen([sys.executable, "-c", CHILD, uri], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        yield child.pid


async def stopped(lease, seconds=2.5):
    """How long it takes until a holder stops before its next write."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        await asyncio.sleep(0.02)
        try:
            lease.check()
        except LeaseLostError:
            break
    return time.monotonic() - begun


async def test_a_lease_is_held_by_one(database):
    """Whoever comes second is told who holds it, and since when."""
    await Lease.acquire(database, holder(pid=4242))
    with pytest.raises(LeaseHeldError, match=r"process 4242 on db-tools\) holds the lease since"):
        await Lease.acquire(database, holder())


async def test_of_many_who_come_at_once_one_gets_it(database):
    """Twenty takers at the same instant: one winner, nineteen refusals, no other error."""
    results = await asyncio.gather(
        *(Lease.acquire(database, holder(pid)) for pid in range(20)), return_exceptions=True
    )

    assert 1 == sum(isinstance(result, Lease) for result in results)
    assert 19 == sum(isinstance(result, LeaseHeldError) for result in results)


async def test_a_released_lease_is_free(database):
    """The next run begins at once."""
    lease = await Lease.acquire(database, holder())
    await lease.release()
    await Lease.refuse_if_held(database)

    assert isinstance(await Lease.acquire(database, holder()), Lease)


async def test_a_lease_that_is_not_renewed_runs_out(database):
    """A dead holder keeps nobody out for longer than the lease lasts."""
    await Lease.acquire(database, holder(), seconds=0.2)
    await asyncio.sleep(0.25)

    assert isinstance(await Lease.acquire(database, holder()), Lease)


async def test_a_renewed_lease_goes_on(database):
    """As long as the holder lives, nobody else gets it."""
    lease = await Lease.acquire(database, holder(), seconds=0.4)
    async with lease.renewing():
        await asyncio.sleep(0.9)
        lease.check()
        with pytest.raises(LeaseHeldError):
            await Lease.refuse_if_held(database)


async def test_a_holder_whose_time_is_up_stops_without_being_told(database):
    """The check asks no server: a holder that was suspended finds out at once."""
    lease = await Lease.acquire(database, holder(), seconds=0.2)
    lease.check()
    await asyncio.sleep(0.25)
    with pytest.raises(LeaseLostError):
        lease.check()


async def test_a_lease_that_ran_out_and_that_nobody_took_can_be_renewed(database):
    """A server that was away for longer than the lease lasts does not end a run."""
    lease = await Lease.acquire(database, holder(), seconds=0.5)
    await asyncio.sleep(0.55)
    await lease.renew()
    lease.check()

    assert (await Lease.current(database)).held


async def test_a_holder_that_lost_its_lease_cannot_renew_it(database):
    """A late renewal does not take the lease away from whoever has it by then."""
    late = await Lease.acquire(database, holder(), seconds=0.2)
    await asyncio.sleep(0.25)
    await Lease.acquire(database, holder(pid=2))
    with pytest.raises(LeaseLostError):
        await late.renew()
    await late.release()
    state = await Lease.current(database)

    assert state.held
    assert 2 == state.holder.pid


async def test_a_broken_lease_is_free_and_its_holder_stops(database):
    """Unlocking says who held it; that holder's next renewal fails."""
    lease = await Lease.acquire(database, holder(pid=7))
    broken = await Lease.break_(database)
    with pytest.raises(LeaseLostError):
        await lease.renew()
    with pytest.raises(LeaseLostError):
        lease.check()

    assert 7 == broken.holder.pid
    assert not (await Lease.current(database)).held


async def test_breaking_or_looking_where_nobody_held_a_lease_writes_nothing(
    database, sync_database
):
    """Questions leave no trace."""
    sync_database["users"].insert_one({"_id": 1})
    before = fingerprint(sync_database)

    assert await Lease.break_(database) is None
    assert await Lease.current(database) is None
    assert before == fingerprint(sync_database)


# -- numbers ----------------------------------------------------------------------------------


async def test_numbers_increase_whatever_the_clocks_of_clients_say(database, uri, monkeypatch):
    """A client an hour behind gets a greater number than the one before it, and a smaller id."""
    first = await Lease.acquire(database, this_process())
    await first.release()
    behind, real = time.time() - 3600, lease_module._now
    monkeypatch.setattr(time, "time", lambda: behind)
    monkeypatch.setattr(lease_module, "_now", lambda: real() - 3600)
    late = this_process()
    async with AsyncMongoClient(uri) as client:
        second = await Lease.acquire(client.get_default_database(), late)

    assert (1, 2) == (first.number, second.number)
    assert late.run_id < first._holder.run_id


@pytest.mark.slow
@pytest.mark.parametrize(("number", "token"), [(7, 3), (3, 7), (7, None), (None, 7.0)])
async def test_a_number_exceeds_those_of_all_records(database, sync_database, number, token):
    """Also where the lease's own collection was dropped."""
    runs = sync_database["newbi_migrate_runs"]
    runs.insert_many([{"number": 1}, {"number": number, "token": token}, {"token": 2}, {}])
    lease = await Lease.acquire(database, holder())

    assert 8 == lease.number
    assert 8 == (await Lease.current(database)).number
    assert 8 == sync_database["newbi_migrate_lease"].find_one()["number"]


@pytest.mark.parametrize("again", [False, True])
async def test_whoever_is_cancelled_while_they_take_the_lease_gives_it_back(
    database, monkeypatch, again
):
    """The server had given it to them already, and nobody would renew it; also cancelled twice."""
    greatest, insisting = lease_module._greatest_number, lease_module._insisting
    taken, giving, given = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(runs, **how):
        if await Lease.current(database) is not None:
            taken.set()
            await asyncio.sleep(60)
        return await greatest(runs, **how)

    async def late(work):
        if not taken.is_set():
            return await insisting(work)
        giving.set()
        await asyncio.sleep(0.05)
        done = await insisting(work)
        given.set()
        return done

    monkeypatch.setattr(lease_module, "_greatest_number", slow)
    monkeypatch.setattr(lease_module, "_insisting", late)
    taking = asyncio.create_task(Lease.acquire(database, holder()))
    await taken.wait()
    held = await Lease.current(database)
    taking.cancel()
    await giving.wait()
    if again:
        taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    async with asyncio.timeout(5):
        await given.wait()
    left = await Lease.current(database)

    assert (True, False) == (held.held, left.held)


async def test_a_run_recorded_while_the_lease_was_taken_is_exceeded_too(
    database, sync_database, monkeypatch
):
    """Whoever held a lease whose document was deleted may begin a run until they notice."""
    greatest, asked = lease_module._greatest_number, []

    async def slow(runs, **how):
        found = await greatest(runs, **how)
        if len(asked) == 1:
            sync_database["newbi_migrate_runs"].insert_one({"number": 5})
        asked.append(found)
        return found

    monkeypatch.setattr(lease_module, "_greatest_number", slow)
    lease = await Lease.acquire(database, holder())
    await lease.renew()

    assert 6 == lease.number
    assert 6 == (await Lease.current(database)).number


@pytest.mark.parametrize("field", ["number", "token"])
@pytest.mark.parametrize("value", ["7", {"a": 1}, True, 0.5, 2.0**60])
async def test_a_number_of_another_type_in_a_record_is_told(database, sync_database, field, value):
    """No number is guessed; the sentence names the collection."""
    sync_database["newbi_migrate_runs"].insert_many([{field: 3}, {field: value}])
    if value == 0.5:
        sync_database["newbi_migrate_runs"].delete_one({field: 3})
    with pytest.raises(DamagedRecordsError, match="newbi_migrate_runs"):
        await Lease.acquire(database, holder())


async def test_a_repeated_taking_keeps_the_number(database):
    """An attempt that reaches the server late takes nothing away from the one that succeeded."""
    lease = await Lease.acquire(database, holder())
    again = await lease._take(database["newbi_migrate_runs"], None)
    await lease.renew()

    assert again
    assert 1 == lease.number


# -- the dead ---------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="Nothing is known of processes elsewhere")
class TestTheDead:
    """Holders on this machine whose process has ended."""

    async def test_a_killed_holder_is_succeeded_at_once(self, database, uri):
        """Its lease is taken over within a second, and the new holder knows from whom."""
        async with holding(uri) as child:
            child.kill()
            await child.wait()
            state = await Lease.current(database)
            begun = time.monotonic()
            lease = await Lease.acquire(database, this_process())
            took = time.monotonic() - begun

        assert (True, True, False) == (state.held, state.holder_ended, state.under_way)
        assert child.pid == lease.succeeded.pid
        assert 2 == lease.number
        assert took < 1

    async def test_a_holder_nobody_has_waited_for_is_dead_too(self, database, zombie):
        """A zombie writes nothing more."""
        lease = await Lease.acquire(database, this_process())

        assert zombie == lease.succeeded.pid

    async def test_a_suspended_holder_is_not_dead(self, database, uri):
        """It may go on at any moment, so its lease must run out."""
        async with holding(uri) as child:
            child.send_signal(signal.SIGSTOP)
            with pytest.raises(LeaseHeldError, match=f"process {child.pid} on"):
                await Lease.acquire(database, this_process())

    async def test_a_later_process_with_the_same_id_is_another(self, database):
        """The holder that began at another time has ended."""
        alive = this_process()
        origin = replace(alive.origin, started=alive.origin.started - 1)
        await Lease.acquire(database, replace(alive, origin=origin))
        lease = await Lease.acquire(database, this_process())

        assert os.getpid() == lease.succeeded.pid

    async def test_this_process_is_not_dead(self, database):
        """One process may take a lease twice; the second time it is held."""
        await Lease.acquire(database, this_process())
        with pytest.raises(LeaseHeldError):
            await Lease.acquire(database, this_process())

    @pytest.mark.parametrize(
        "changes",
        [{"boot_id": "another"}, {"namespaces": "pid:[1] time:[1]"}, None],
        ids=["boot", "namespace", "unknown"],
    )
    async def test_a_holder_from_elsewhere_is_not_dead(self, database, uri, changes):
        """Nothing is known of another boot, another namespace or another machine."""
        async with holding(uri) as child:
            child.kill()
            await child.wait()
            dead = (await Lease.current(database)).holder
        await Lease.break_(database)
        origin = None if changes is None else replace(dead.origin, **changes)
        await Lease.acquire(database, replace(dead, origin=origin))
        with pytest.raises(LeaseHeldError):
            await Lease.acquire(database, this_process())

    async def test_of_many_successors_one_wins(self, database, uri):
        """Twenty find the same dead holder at the same instant; nineteen are refused."""
        async with holding(uri) as child:
            child.kill()
            await child.wait()
        results = await asyncio.gather(
            *(Lease.acquire(database, this_process()) for _ in range(20)), return_exceptions=True
        )
        (winner,) = [result for result in results if isinstance(result, Lease)]

        assert child.pid == winner.succeeded.pid
        assert 2 == winner.number
        assert 19 == sum(isinstance(result, LeaseHeldError) for result in results)

    async def test_the_lease_of_a_dead_holder_ends_at_once(self, database, uri):
        """Nobody has to notice."""
        async with holding(uri) as child:
            child.kill()
            await child.wait()
        await Lease.break_(database)
        begun = time.monotonic()
        lease = await Lease.acquire(database, this_process())

        assert time.monotonic() - begun < 1
        assert lease.succeeded is None


# -- taken away -------------------------------------------------------------------------------


@pytest.mark.slow
async def test_an_unlocked_holder_stops_before_anybody_else_begins(database):
    """It notices within about two seconds; whoever comes next waits for that."""
    lease = await Lease.acquire(database, this_process())
    async with lease.renewing():
        await Lease.break_(database)
        stopping = asyncio.create_task(stopped(lease))
        following = await Lease.acquire(database, this_process())

        assert stopping.done()
        assert await stopping < 2
        following.check()


@pytest.mark.parametrize("way", ["deleted", "dropped"])
async def test_a_holder_whose_lease_is_deleted_stops(database, sync_database, way):
    """Within about two seconds, and a renewal does not bring the document back."""
    leases = sync_database["newbi_migrate_lease"]
    lease = await Lease.acquire(database, this_process())
    async with lease.renewing():
        leases.delete_many({}) if way == "deleted" else leases.drop()

        assert await stopped(lease) < 2
    with pytest.raises(LeaseLostError):
        await lease.renew()

    assert 0 == leases.count_documents({})


@pytest.mark.slow
async def test_whoever_finds_a_deleted_lease_waits_until_its_holder_has_stopped(
    database, sync_database
):
    """The records say that there were runs, so somebody deleted it."""
    lease = await Lease.acquire(database, this_process())
    sync_database["newbi_migrate_runs"].insert_one({"number": lease.number})
    async with lease.renewing():
        sync_database["newbi_migrate_lease"].drop()
        following = await Lease.acquire(database, this_process())
        with pytest.raises(LeaseLostError):
            lease.check()

    assert 2 == following.number


async def test_a_lease_taken_since_it_was_shown_is_not_broken(database):
    """Who decided to end another's lease is told who holds it now."""
    shown = await Lease.acquire(database, holder(pid=7), seconds=0.3)
    seen = await Lease.current(database)
    await shown.release()
    lease = await Lease.acquire(database, holder(pid=8))
    with pytest.raises(LeaseHeldError, match="process 8 on"):
        await Lease.break_(database, seen)
    await lease.renew()

    assert 7 == seen.holder.pid


async def test_a_number_of_another_lease_is_not_renewed(database, sync_database):
    """Where somebody changed the document, the holder stops."""
    lease = await Lease.acquire(database, holder())
    sync_database["newbi_migrate_lease"].update_one({}, {"$inc": {"number": 1}})
    with pytest.raises(LeaseLostError):
        await lease.renew()


# -- what is stored ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        *({"expiresAt": value} for value in ("tomorrow", None, 7, DatetimeMS(2**60))),
        *({"since": value} for value in ([], None, DatetimeMS(2**60))),
        *({"number": value} for value in ("x", -1, 0.5, float("nan"), True)),
        *({"pid": value} for value in ("x", None, 1.5)),
        *({"run": 7}, {"host": None}, {"command": {}}, {"token": "x"}),
        *({"predecessors": value} for value in (None, {}, ["x"])),
        {"token": None, "expiresAt": datetime(2999, 1, 1, tzinfo=UTC)},
    ],
    ids=str,
)
async def test_a_lease_of_another_form_is_told(database, sync_database, damage):
    """Whoever looks at it or wants it gets a sentence that names the document."""
    await Lease.acquire(database, holder())
    leases = sync_database["newbi_migrate_lease"]
    leases.update_one({}, {"$set": damage})
    for look in (Lease.current, Lease.refuse_if_held, Lease.break_):
        with pytest.raises(DamagedRecordsError, match="'lease' in newbi_migrate_lease"):
            await look(database)
    with pytest.raises(DamagedRecordsError, match="'lease' in newbi_migrate_lease"):
        await Lease.acquire(database, holder())


async def test_holders_for_whose_statements_nobody_has_waited_are_handed_on(
    database, sync_database
):
    """Whoever ends before having waited for them leaves them, and themselves, to the next one."""
    first, second, third, fourth = (holder(pid) for pid in range(1, 5))
    for each in (first, second):
        await Lease.acquire(database, each)
        expire_lease(sync_database)
    lease = await Lease.acquire(database, third)
    left = set(lease.predecessors)
    lease.predecessors = ()
    await lease.renew()
    seen = (await Lease.current(database)).predecessors
    await lease.release()
    last = await Lease.acquire(database, fourth)

    assert {first.run_id, second.run_id} == left
    assert () == seen
    assert (third.run_id,) == last.predecessors


@pytest.mark.parametrize("field", ["bootId", "namespaces", "processStarted"])
@pytest.mark.parametrize("value", [None, {}])
async def test_a_holder_of_which_too_little_is_stored_is_not_dead(
    database, sync_database, field, value
):
    """As one that an editor's hand was on."""
    alive = this_process()
    origin = None if alive.origin is None else replace(alive.origin, started=1)
    await Lease.acquire(database, replace(alive, origin=origin))
    sync_database["newbi_migrate_lease"].update_one({}, {"$set": {field: value}})
    with pytest.raises(LeaseHeldError):
        await Lease.acquire(database, this_process())


def test_a_holder_cannot_steer_a_terminal():
    """Whoever may write to the database chooses what is shown of them."""
    shown = str(replace(holder(), host="a\x1b[2Jb", command="c\n"))

    assert shown.isprintable()
    assert shown.startswith("c\\x0a, ")


async def test_a_host_name_that_is_no_text_is_shown_all_the_same(database, sync_database):
    """Bytes that are not UTF-8 become marks."""
    await Lease.acquire(database, replace(holder(), host="XXXX"))
    stored = sync_database["newbi_migrate_lease"]
    changed = RawBSONDocument(bson.encode(stored.find_one()).replace(b"XXXX", b"X\xff\xfeX"))
    stored.delete_one({})
    stored.insert_one(changed)

    assert (await Lease.current(database)).held
