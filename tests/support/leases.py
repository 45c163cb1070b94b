"""A leased session for tests of what is written in one."""

from __future__ import annotations

from contextlib import asynccontextmanager

from bson import ObjectId

from newbi_migrate.migration.run.throttle import RunThrottle, ThrottleOptions
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.connection import open_database
from newbi_migrate.store.lease import Holder, Lease
from newbi_migrate.store.session import LeasedSession


@asynccontextmanager
async def leased(database, *, targets=(), run_id=None):
    """Hold the lease of a database, and give a session that may write to some collections."""
    async with open_database(database) as store:
        holder = Holder.this_process(run_id or ObjectId(), "test")
        # Nobody renews it, and a property takes its time.
        lease = await Lease.acquire(store.database, holder, seconds=3600)
        try:
            yield LeasedSession(
                store=store,
                lease=lease,
                run_id=holder.run_id,
                progress=NullProgress(),
                throttle=RunThrottle(ThrottleOptions(), NullProgress(), lag=_none),
                targets=frozenset(targets),
            )
        finally:
            await lease.release()


async def _none():
    return 0.0
