"""A run forward, ``migrate`` or ``backfill``: planned, leased, and carried out attempt by attempt.

An attempt looks at the run records first: it settles what a dead run, or the attempt before it,
had written, decides anew and goes on. It changes when a run begins, resumes or gives up in
another way.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from newbi_migrate.backup.target import refuse_if_restoring
from newbi_migrate.errors import DatabaseMovedOnError, NewbiMigrateError
from newbi_migrate.migration.apply import ApplyRequest, apply_plan
from newbi_migrate.migration.options import MigrationOptions
from newbi_migrate.migration.pacing import Pacer, Pacing, replica_lag
from newbi_migrate.migration.plan import make_plan
from newbi_migrate.migration.plan_file import (
    SavedPlan,
    refuse_if_moved_on,
    refuse_other_choices,
    refuse_other_plan,
)
from newbi_migrate.migration.results import Plan, RunResult
from newbi_migrate.migration.retrying import persist, renewing
from newbi_migrate.migration.rollback.run import refuse_while_rolling_back
from newbi_migrate.migration.safeguard import Safeguard
from newbi_migrate.migration.settle import settle, wait_for_statements
from newbi_migrate.models.registry import Registry
from newbi_migrate.progress import Progress
from newbi_migrate.store.connection import Store
from newbi_migrate.store.faults import explained
from newbi_migrate.store.journal import Journal
from newbi_migrate.store.lease import Holder, Lease
from newbi_migrate.store.runs import RunRecord, RunRecords, RunState

__all__ = ["Forward", "release", "settle_run"]


@dataclass(slots=True)
class Forward:
    """What a run forward needs to know; :meth:`run` carries it out.

    Attributes:
        store: The open database.
        registry: The collections.
        options: The choices.
        progress: Told of everything.
        safeguard: The backup it is backed by.
        pacing: What holds it back.
        command: ``migrate`` or ``backfill``.
        lease_seconds: How long the lease lasts unless it is renewed.
        safe_point: Gives what is called before every write.
        plan: What to do, if somebody has reviewed it; later what is being done.
        saved: The saved plan to follow, if there is one.
    """

    store: Store
    registry: Registry
    options: MigrationOptions
    progress: Progress
    safeguard: Safeguard
    pacing: Pacing
    command: str
    lease_seconds: float
    safe_point: Callable[[Lease], Callable[[], None]]
    plan: Plan | None = None
    saved: SavedPlan | None = None
    _run_id: ObjectId = field(default_factory=ObjectId)
    _before: Sequence[RunRecord] = ()
    _backed: Any = None
    _reviewed: bool = False
    _confirmed: int = 0

    async def run(self) -> RunResult:
        """Does what there is to do; where there is nothing, nothing is written.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        self._reviewed = self.plan is not None or self.saved is not None
        database = self.store.database
        nothing = await persist(self._look, self.progress)
        if nothing is not None:
            return nothing
        with explained(f"running {self.command}"):
            holder = Holder(
                run_id=self._run_id, host=platform.node(), pid=os.getpid(), command=self.command
            )
            lease = await Lease.acquire(database, holder, seconds=self.lease_seconds)
            try:
                async with lease.renewing():
                    return await persist(
                        renewing(lease, lambda: self._attempt(lease)),
                        self.progress,
                        achieved=lambda: self._confirmed,
                    )
            finally:
                await release(lease)

    async def _look(self) -> RunResult | None:
        """Decides what there is to do, before the lease is taken; reads only."""
        database = self.store.database
        with explained("looking for other runs"):
            await Lease.refuse_if_held(database)
            await refuse_if_restoring(database)
            if self.pacing.max_lag is not None:
                # Whether it can be asked at all shows before the first write.
                await self._lag()
            self._before = await RunRecords(database).all()
            refuse_while_rolling_back(self._before)
        with explained("verifying the backup"):
            self._backed = await self.safeguard.verified(
                database.name, self.registry, self.progress
            )
        if _unfinished(self._before) is not None:
            return None
        self.plan = self.plan or await self._planned()
        if self.saved is not None and not _was_followed(self.saved, self._before, self.plan):
            refuse_if_moved_on(self.saved, self.plan)
        return None if self.plan.pending else _nothing_done(self.plan)

    async def _planned(self) -> Plan:
        with explained("planning"):
            return await make_plan(
                self.store.database,
                self.registry,
                self.options,
                documents_only=self.command == "backfill",
                progress=self.progress,
            )

    async def _lag(self) -> float:
        return await replica_lag(self.store.database, self.store.server.topology)

    async def _attempt(self, lease: Lease) -> RunResult:
        database = self.store.database
        safe_point = self.safe_point(lease)
        now = await RunRecords(database).all()
        if any(run.run_id == self._run_id and run.state is RunState.DONE for run in now):
            # All was done, and only the answer to the very last write was lost.
            return replace(_nothing_done(await self._planned()), run_id=self._run_id)
        unfinished = _unfinished(now)
        settled = 0.0
        if unfinished is not None:
            refuse_other_choices(unfinished, self.command, self.options)
            self.safeguard.refuse_other_backup(unfinished, self._backed)
            if self.saved is not None:
                refuse_other_plan(self.saved, unfinished)
            settled = await self._settle(unfinished, safe_point)
        moved = [run.run_id for run in self._before] != [run.run_id for run in now]
        if self.plan is None or unfinished is not None or (moved and not self._reviewed):
            self.plan = await self._planned()
            if unfinished is None and not self.plan.pending:
                # Another run came first, and did it all.
                return _nothing_done(self.plan)
        elif moved:
            raise DatabaseMovedOnError(
                "Another run came between the plan and this one.",
                next_step="Nothing was written. Make a new plan and review it.",
            )
        reference = None
        if unfinished is None:
            reference = await self.safeguard.reference(
                database, self.registry, self._backed, self.progress, comment=str(self._run_id)
            )
        return await apply_plan(
            ApplyRequest(
                database=database,
                server=self.store.server,
                registry=self.registry,
                plan=self.plan,
                command=self.command,
                run_id=self._run_id if unfinished is None else unfinished.run_id,
                resumed=unfinished is not None,
                timings={} if unfinished is None else {"settle": settled},
                version=version("newbi-migrate"),
                progress=self.progress,
                safe_point=safe_point,
                pacing=self.pacing,
                pacer=Pacer(self.pacing, self.progress, safe_point, lag=self._lag),
                reference=reference,
            )
        )

    async def _settle(self, unfinished: RunRecord, safe_point: Callable[[], None]) -> float:
        begun = time.perf_counter()
        journal = await settle_run(self.store, unfinished, self.progress, safe_point)
        self._confirmed = await journal.confirmed()
        return round(time.perf_counter() - begun, 3)


async def settle_run(
    store: Store, run: RunRecord, progress: Progress, safe_point: Callable[[], None]
) -> Journal:
    """Finds out what a run that died had written, and gives its journal, corrected."""
    database, comment = store.database, str(run.run_id)
    await wait_for_statements(database, comment, progress, safe_point=safe_point)
    journal = await Journal.open(database, run.run_id)
    await settle(database, journal, comment=comment, safe_point=safe_point)
    return journal


async def release(lease: Lease) -> None:
    """Gives the lease back if the server lets us; else it runs out by itself."""
    try:
        await lease.release()
    except (PyMongoError, NewbiMigrateError):
        # The error that brought us here matters more.
        return


def _unfinished(runs: Sequence[RunRecord]) -> RunRecord | None:
    return next((run for run in runs if run.state is RunState.RUNNING), None)


def _was_followed(saved: SavedPlan, runs: Sequence[RunRecord], plan: Plan) -> bool:
    """Whether a saved plan has been carried out already and nothing came after it."""
    digests = saved.digests.to_json()
    return not plan.pending and any(run.document.get("planDigests") == digests for run in runs)


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
