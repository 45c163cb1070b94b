"""The end of a migration: looked at, leased, and carried out attempt by attempt.

It changes when that begins, resumes or gives up in another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.backup.target import refuse_if_restoring
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.migration.closing.results import ClosingResult
from newbi_migrate.migration.closing.run import (
    ClosingRequest,
    close,
    kept_name,
    review_obsolete,
)
from newbi_migrate.migration.forward import settle_run
from newbi_migrate.migration.results import Plan
from newbi_migrate.migration.rollback.run import refuse_while_rolling_back
from newbi_migrate.migration.working import Work
from newbi_migrate.store.faults import explained
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import RunRecord, RunRecords, RunState

__all__ = ["Closing"]


@dataclass(slots=True)
class Closing:
    """What the end of a migration needs to know.

    Attributes:
        work: The database and the way to work on it.
        source: The collection of legacy users, once it is known.
        quarantined: How many of them were left out.
    """

    work: Work
    source: str | None = None
    quarantined: int = 0

    def found(self, plan: Plan) -> None:
        """Takes over what a plan knows about the legacy users."""
        self.source = plan.source
        self.quarantined = plan.outcomes.get(Outcome.QUARANTINED, 0)

    async def unfinished(self) -> RunRecord | None:
        """The ``finalize`` that was interrupted, if one was.

        Raises:
            LeaseHeldError: A run is under way.
        """
        with explained("looking for other runs"):
            await Lease.refuse_if_held(self._database)
            runs = await RunRecords(self._database).all()
        begun = _begun(runs, "finalize")
        if begun is not None:
            self.source = begun.document["source"]
        return begun

    async def indexes(self, *, apply: bool) -> ClosingResult:
        """Which indexes of the old structure are left; drops them if asked to.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        if apply:
            return await self._close(self._request("indexes"))
        with explained("reading the indexes"):
            found = await review_obsolete(self._database, self.work.registry)
        return ClosingResult(
            database=self._database.name,
            run_id=None,
            command="indexes",
            dry_run=True,
            dropped=[(name, index["name"]) for name, index in found.to_drop],
            held=found.held,
            to_create=found.to_create,
        )

    async def finalize(self, *, keep: bool, drop_journal: bool, dry_run: bool) -> ClosingResult:
        """Drops what the old structure left behind, or says what that would be.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        if not dry_run:
            return await self._close(
                self._request("finalize", keep=keep, drop_journal=drop_journal)
            )
        source = self.source or ""
        result = await self.indexes(apply=False)
        result.command, result.legacy = "finalize", source
        result.kept_as = kept_name(source) if keep else None
        with explained("counting the legacy users"):
            result.legacy_users = await self._database[source].count_documents({})
        result.quarantined, result.journal_dropped = self.quarantined, drop_journal
        return result

    @property
    def _database(self) -> AsyncDatabase[dict[str, Any]]:
        return self.work.store.database

    def _request(
        self, command: str, *, keep: bool = False, drop_journal: bool = False
    ) -> ClosingRequest:
        return ClosingRequest(
            self._database,
            self.work.registry,
            command,
            ".".join(map(str, self.work.store.server.version)),
            source=self.source,
            keep=keep,
            drop_journal=drop_journal,
            quarantined=self.quarantined,
        )

    async def _close(self, request: ClosingRequest) -> ClosingResult:
        records = RunRecords(self._database)
        with explained(f"running {request.command}"):
            await Lease.refuse_if_held(self._database)
            await refuse_if_restoring(self._database)
            refuse_while_rolling_back(await records.all())
            async with self.work.leased(request.command, ObjectId()) as (lease, safe_point):

                async def attempt() -> ClosingResult:
                    runs = await records.all()
                    begun = _begun(runs, request.command)
                    if begun is not None:
                        await settle_run(self.work.store, begun, self.work.progress, safe_point)
                    return await close(request, runs, safe_point)

                return await self.work.persist(lease, attempt)


def _begun(runs: list[RunRecord], command: str) -> RunRecord | None:
    return next(
        (run for run in runs if run.state is RunState.RUNNING and run.command == command), None
    )
