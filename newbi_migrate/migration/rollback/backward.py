"""A run backward: looked at, leased, and carried out attempt by attempt.

It changes when a rollback begins, resumes or gives up in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bson import ObjectId

from newbi_migrate.backup.target import refuse_if_restoring
from newbi_migrate.errors import DatabaseMovedOnError
from newbi_migrate.migration.forward import settle_run
from newbi_migrate.migration.pacing import Pacer, Pacing, replica_lag
from newbi_migrate.migration.retrying import Furthest, persist
from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
from newbi_migrate.migration.rollback.run import RollbackRequest, choose_run, roll_back
from newbi_migrate.migration.working import Work
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import explained
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import RunRecord, RunRecords

__all__ = ["Backward"]


@dataclass(slots=True)
class Backward:
    """What a rollback needs to know; :meth:`run` carries it out.

    Attributes:
        work: The database and the way to work on it.
        options: The choices.
        pacing: What holds it back.
    """

    work: Work
    options: RollbackOptions
    pacing: Pacing

    async def run(self, run_id: ObjectId | None, *, dry_run: bool) -> RollbackResult:
        """Takes a run back, or looks at what that would do.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        database = self.work.store.database
        runs, run = await persist(lambda: self._look(run_id), self.work.progress)
        if run is None:
            return RollbackResult(database.name, None, "", dry_run, self.options)
        if dry_run:
            with explained("looking at what a rollback would do"):
                request = self._request(runs, run, self.work.progress, lambda: None)
                return await roll_back(request, None)
        known, chosen = [r.run_id for r in runs], run.run_id
        with explained("rolling back"):
            async with self.work.leased("rollback", chosen) as (lease, safe_point):
                reach = Furthest(self.work.progress)

                async def attempt() -> RollbackResult:
                    reach.again()
                    return await self._attempt(chosen, known, safe_point, reach)

                return await self.work.persist(lease, attempt, achieved=lambda: reach.furthest)

    async def _look(self, run_id: ObjectId | None) -> tuple[Sequence[RunRecord], RunRecord | None]:
        database = self.work.store.database
        with explained("looking at the runs"):
            await Lease.refuse_if_held(database)
            await refuse_if_restoring(database)
            if self.pacing.max_lag is not None:
                # Whether it can be asked at all shows before the first write.
                await self._lag()
            runs = await RunRecords(database).all()
            return runs, choose_run(runs, run_id, self.options)

    async def _attempt(
        self,
        chosen: ObjectId,
        known: Sequence[ObjectId],
        safe_point: Callable[[], None],
        progress: Progress,
    ) -> RollbackResult:
        runs = await RunRecords(self.work.store.database).all()
        run = choose_run(runs, chosen, self.options)
        if run is None or [r.run_id for r in runs] != list(known):
            raise DatabaseMovedOnError(
                "Another run came between.",
                next_step="Nothing was written. Look again with --dry-run.",
            )
        await settle_run(self.work.store, run, progress, safe_point)
        return await roll_back(self._request(runs, run, progress, safe_point), safe_point)

    async def _lag(self) -> float:
        return await replica_lag(self.work.store.database, self.work.store.server.topology)

    def _request(
        self,
        runs: Sequence[RunRecord],
        run: RunRecord,
        progress: Progress,
        safe_point: Callable[[], None],
    ) -> RollbackRequest:
        store = self.work.store
        return RollbackRequest(
            store.database,
            store.server,
            self.work.registry,
            runs,
            run,
            self.options,
            progress,
            Pacer(self.pacing, progress, safe_point, lag=self._lag),
        )
