"""Working on a database under the lease: what every use-case but a run forward has in common.

It changes when the way in which a use-case holds the lease does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from bson import ObjectId

from newbi_migrate.migration.forward import release
from newbi_migrate.migration.retrying import persist, renewing
from newbi_migrate.models.registry import Registry
from newbi_migrate.progress import Progress
from newbi_migrate.store.connection import Store
from newbi_migrate.store.lease import Holder, Lease

__all__ = ["Work"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Work:
    """An open database and the way to work on it.

    Attributes:
        store: The open database.
        registry: The collections.
        progress: Told of everything.
        lease_seconds: How long the lease lasts unless it is renewed.
        safe_point: Gives what is called before every write.
    """

    store: Store
    registry: Registry
    progress: Progress
    lease_seconds: float
    safe_point: Callable[[Lease], Callable[[], None]]

    @asynccontextmanager
    async def leased(
        self, command: str, run_id: ObjectId
    ) -> AsyncIterator[tuple[Lease, Callable[[], None]]]:
        """Holds the lease, and gives it with what is to be called before every write.

        Raises:
            LeaseHeldError: A run is under way.
        """
        holder = Holder.this_process(run_id, command)
        lease = await Lease.acquire(self.store.database, holder, seconds=self.lease_seconds)
        try:
            async with lease.renewing():
                yield lease, self.safe_point(lease)
        finally:
            await release(lease)

    async def persist(
        self,
        lease: Lease,
        attempt: Callable[[], Awaitable[_T]],
        *,
        achieved: Callable[[], int] = lambda: 0,
    ) -> _T:
        """Makes attempts under the lease until one comes to its end.

        Args:
            lease: What :meth:`leased` gave.
            attempt: What to do; called again after an error that may pass.
            achieved: A number that grows whenever the attempts get anywhere.

        Raises:
            Exception: See :func:`~newbi_migrate.migration.retrying.persist`.
        """
        return await persist(renewing(lease, attempt), self.progress, achieved=achieved)
