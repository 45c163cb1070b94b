"""The lease: one holder at a time, whatever happens to him."""

from __future__ import annotations

import asyncio

import pytest
from bson import ObjectId
from fingerprints import fingerprint

from newbi_migrate.errors import LeaseHeldError, LeaseLostError
from newbi_migrate.store.lease import Holder, Lease


def holder(pid=1):
    return Holder(run_id=ObjectId(), host="db-tools", pid=pid, command="migrate")


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


async def test_a_holder_whose_time_is_up_stops_by_himself(database):
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


async def test_a_holder_who_lost_his_lease_cannot_renew_it(database):
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
