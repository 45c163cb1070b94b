"""The library's front door: one object for a database, one method for each use-case.

It changes when a use-case is added or the way to open a database does.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any, Self, TypeVar

from bson import ObjectId
from pymongo.errors import PyMongoError

from newbi_migrate.errors import InterruptedRunError, NewbiMigrateError, UsageError
from newbi_migrate.migration.apply import ApplyRequest, apply_plan
from newbi_migrate.migration.options import MigrationOptions
from newbi_migrate.migration.plan import make_plan
from newbi_migrate.migration.progress import Progress, Silent
from newbi_migrate.migration.results import Plan, RunResult
from newbi_migrate.migration.status import Status, read_status
from newbi_migrate.migration.survey import Survey, survey
from newbi_migrate.models.newbi import NEWBI
from newbi_migrate.models.registry import Registry
from newbi_migrate.store.connection import Store, open_database
from newbi_migrate.store.faults import explained
from newbi_migrate.store.lease import Holder, Lease
from newbi_migrate.store.runs import RunRecords

__all__ = ["Migration", "run_sync"]

_T = TypeVar("_T")


class Migration:
    """A migration of one database, as an asynchronous context manager.

    Args:
        source: A connection string that names the database, or a database handle of the host
            application: PyMongo's ``AsyncDatabase`` or ``Database``, or Motor's.
        options: The choices.
        registry: The collections; Newbi's own unless another is given.
        progress: Told of what is going on; nothing is printed.

    Raises:
        NewbiMigrateError: Every method raises one of its subclasses, with what happened and
            what to do next; errors of the driver do not get through.

    Example:
        >>> async with Migration("mongodb://localhost/newbi") as migration:
        ...     plan = await migration.plan()
        ...     result = await migration.apply(plan)
    """

    def __init__(
        self,
        source: Any,
        *,
        options: MigrationOptions | None = None,
        registry: Registry = NEWBI,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._options = options or MigrationOptions()
        self._registry = registry
        self._progress = progress or Silent()
        self._stack = AsyncExitStack()
        self._store: Store | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        with explained("connecting"):
            self._store = await self._stack.enter_async_context(open_database(self._source))
        return self

    async def __aexit__(self, *details: object) -> None:
        self._store = None
        await self._stack.aclose()

    @property
    def store(self) -> Store:
        """The open database.

        Raises:
            UsageError: The migration has not been entered.
        """
        if self._store is None:
            raise UsageError(
                "The migration is not open.", next_step="Use it as `async with Migration(…)`."
            )
        return self._store

    def stop(self) -> None:
        """Asks a run to stop at its next safe point; the same call finishes it later."""
        self._stopping = True

    async def survey(self) -> Survey:
        """Looks at what is there."""
        with explained("reading the database"):
            return await survey(
                self.store.database, self._registry, source=self._options.legacy_collection
            )

    async def plan(self, *, documents_only: bool = False) -> Plan:
        """Decides everything a run would do; sends no write command.

        Args:
            documents_only: Plan a backfill, which leaves users alone.
        """
        with explained("planning"):
            return await make_plan(
                self.store.database,
                self._registry,
                self._options,
                documents_only=documents_only,
                progress=self._progress,
            )

    async def apply(self, plan: Plan | None = None) -> RunResult:
        """Carries out a plan, or the one the database gives now.

        A run that was interrupted is finished first, by the same call. Where there is nothing
        to do, nothing is written, not even a record of the run.

        Raises:
            LeaseHeldError: Another run is under way.
            InterruptedRunError: :meth:`stop` was called.
            LeaseLostError: The lease was lost, for example because this process was suspended.
        """
        return await self._run("migrate", plan)

    async def backfill(self, plan: Plan | None = None) -> RunResult:
        """Stamps documents alone, for late documents or further collections."""
        return await self._run("backfill", plan)

    async def status(self) -> Status:
        """How the database stands."""
        with explained("reading the database"):
            return await read_status(self.store.database, self._registry)

    async def _run(self, command: str, plan: Plan | None) -> RunResult:
        database = self.store.database
        records = RunRecords(database)
        with explained("looking for other runs"):
            await Lease.refuse_if_held(database)
            runs = [run.run_id for run in await records.all()]
        only_documents = command == "backfill"
        plan = plan or await self.plan(documents_only=only_documents)
        with explained(f"running {command}"):
            if not plan.pending and await records.unfinished() is None:
                return _nothing_done(plan)
            run_id = ObjectId()
            holder = Holder(run_id=run_id, host=platform.node(), pid=os.getpid(), command=command)
            lease = await Lease.acquire(database, holder)
            try:
                async with lease.renewing():
                    if runs != [run.run_id for run in await records.all()]:
                        # Somebody else's run came between the plan and the lease.
                        plan = await self.plan(documents_only=only_documents)
                    request = ApplyRequest(
                        database=database,
                        server=self.store.server,
                        registry=self._registry,
                        plan=plan,
                        command=command,
                        run_id=run_id,
                        version=version("newbi-migrate"),
                        progress=self._progress,
                        safe_point=self._safe_point(lease),
                    )
                    return await apply_plan(request, await records.unfinished())
            finally:
                await _release(lease)

    def _safe_point(self, lease: Lease) -> Callable[[], None]:
        def check() -> None:
            if self._stopping:
                raise InterruptedRunError(
                    "The run stopped at a safe point, as asked.",
                    next_step="The same command again finishes it.",
                )
            lease.check()

        return check


async def _release(lease: Lease) -> None:
    try:
        await lease.release()
    except (PyMongoError, NewbiMigrateError):
        # The lease runs out by itself; the error that brought us here matters more.
        return


def _nothing_done(plan: Plan) -> RunResult:
    return RunResult(
        run_id=None,
        resumed=False,
        plan=plan,
        collections=plan.collections,
        quarantine=plan.quarantine,
        findings=plan.findings,
        indexes=plan.indexes,
        created={},
        filled={},
        timings={},
    )


def run_sync(main: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine to its end, for scripts that are not asynchronous."""
    return asyncio.run(main)
