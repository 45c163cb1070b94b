"""The use-cases ``indexes`` and ``finalize``, decided and carried out under the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import DatabaseMovedOnError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.finalize.steps import (
    FinalizeRequest,
    carry_out,
    refuse_unless_ready,
    review_obsolete,
)
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.survey import kept_name
from newbi_migrate.migration.run.runner import Runner, refuse_while_rolling_back, unfinished_run
from newbi_migrate.migration.validation.validate import ValidationRequest, validate
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import explained
from newbi_migrate.store.runs import RunRecord
from newbi_migrate.store.session import LeasedSession

__all__ = ["Finalize"]


@dataclass(frozen=True, slots=True)
class Finalize:
    """What the end of a migration needs to know.

    Attributes:
        runner: What runs it.
        options: The choices of the migration.
    """

    runner: Runner
    options: MigrationOptions

    async def indexes(
        self, *, apply: bool, reviewed: FinalizeResult | None = None
    ) -> FinalizeResult:
        """Which indexes of the old structure are left; drops them if asked to.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        if not apply:
            with explained("reading the indexes"):
                return await self._look_at_indexes()

        async def look(runs: Sequence[RunRecord]) -> FinalizeResult | None:
            looked = await self._look_at_indexes()
            looked.dry_run = False
            return None if looked.dropped or unfinished_run(runs) is not None else looked

        if (nothing := await self.runner.look(look)) is not None:
            # Nothing can go, and nothing is written for it.
            return nothing

        async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> FinalizeResult:
            refuse_while_rolling_back(runs)
            if unfinished_run(runs) is None:
                _refuse_other_preview(reviewed, await self._look_at_indexes())
            return await carry_out(session, FinalizeRequest(self.runner.registry, "indexes"), runs)

        return await self.runner.run("indexes", attempt)

    async def finalize(
        self,
        *,
        keep: bool,
        drop_journal: bool,
        dry_run: bool,
        reviewed: FinalizeResult | None = None,
    ) -> FinalizeResult:
        """Drop what the old structure left behind, or say what that would be.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """
        request = FinalizeRequest(
            self.runner.registry, "finalize", keep=keep, drop_journal=drop_journal
        )

        async def look(runs: Sequence[RunRecord]) -> FinalizeResult | None:
            if dry_run or not any(run.in_place for run in runs):
                # Without a migration it refuses, and the lease is not taken for that.
                return await self._preview(request, runs)
            return None

        if (looked := await self.runner.look(look)) is not None:
            return looked

        async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> FinalizeResult:
            refuse_while_rolling_back(runs)
            unfinished = unfinished_run(runs)
            if unfinished is not None:
                source = unfinished.document.get("source")
                if source in await session.database.list_collection_names():
                    await self._plan(request, session.progress, asking=unfinished.run_id)
                return await carry_out(session, replace(request, source=source), runs)
            plan = await self._plan(request, session.progress, asking=session.run_id)
            _refuse_other_preview(reviewed, await self._describe(request, plan))
            return await carry_out(session, _of_plan(request, plan), runs)

        return await self.runner.run("finalize", attempt)

    @property
    def _database(self) -> AsyncDatabase[dict[str, Any]]:
        return self.runner.store.database

    async def _look_at_indexes(self) -> FinalizeResult:
        found = await review_obsolete(self._database, self.runner.registry)
        return FinalizeResult(
            database=self._database.name,
            run_id=None,
            command="indexes",
            dry_run=True,
            dropped=[(name, index["name"]) for name, index in found.to_drop],
            held=found.held,
            to_create=found.to_create,
        )

    async def _preview(self, request: FinalizeRequest, runs: Sequence[RunRecord]) -> FinalizeResult:
        unfinished = unfinished_run(runs)
        if unfinished is not None and unfinished.command == "finalize":
            result = await self._look_at_indexes()
            result.command, result.legacy = "finalize", unfinished.document.get("source")
            return result
        return await self._describe(request, await self._plan(request, self.runner.progress))

    async def _plan(
        self, request: FinalizeRequest, progress: Progress, *, asking: ObjectId | None = None
    ) -> Plan:
        """Plan and validate; fail unless nothing would be lost."""
        database, registry = self._database, self.runner.registry
        plan = await make_plan(database, registry, self.options, progress=progress)
        report = await validate(
            ValidationRequest(
                database=database,
                registry=registry,
                options=self.options,
                progress=progress,
                asking=asking,
            )
        )
        refuse_unless_ready(report, plan, keep=request.keep)
        return plan

    async def _describe(self, request: FinalizeRequest, plan: Plan) -> FinalizeResult:
        result = await self._look_at_indexes()
        result.command, result.legacy = "finalize", plan.source
        result.kept_as = kept_name(plan.source) if request.keep else None
        result.legacy_users = await self._database[plan.source].count_documents({})
        result.quarantined = _of_plan(request, plan).quarantined
        result.journal_dropped = request.drop_journal
        return result


def _of_plan(request: FinalizeRequest, plan: Plan) -> FinalizeRequest:
    quarantined = plan.outcomes.get(Outcome.QUARANTINED, 0)
    return replace(request, source=plan.source, quarantined=quarantined)


def _refuse_other_preview(reviewed: FinalizeResult | None, now: FinalizeResult) -> None:
    """Compare what was shown to a person with what would be done now.

    Raises:
        DatabaseMovedOnError: It differs.
    """
    if reviewed is not None and reviewed.to_json() != now.to_json():
        raise DatabaseMovedOnError(
            "The database is no longer as it was shown: something came between.",
            next_step="Nothing was written. Run the command again and look at what it shows.",
        )
