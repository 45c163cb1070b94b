"""The use-cases ``indexes`` and ``finalize``, decided and carried out under the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.answers import answer
from newbi_migrate.mapping.users import BARRED
from newbi_migrate.migration.finalize.legacy_users import count_legacy_users, refuse_made_anew
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.finalize.steps import (
    FinalizeRequest,
    carry_out,
    end_again,
    has_late_work,
    quarantined_users,
    refuse_other,
    refuse_taken_name,
    refuse_unless_ready,
    refuse_unmigrated,
)
from newbi_migrate.migration.finalize.swaps import review_indexes
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.survey import dropping_name, source_now
from newbi_migrate.migration.run.runner import (
    Runner,
    refuse_other_preview,
    refuse_while_rolling_back,
    run_to_resume,
)
from newbi_migrate.migration.validation.validate import (
    ValidationRequest,
    recorded_choices,
    validate,
)
from newbi_migrate.progress import Progress
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.journal import JOURNAL
from newbi_migrate.store.runs import RunRecord
from newbi_migrate.store.session import LeasedSession

__all__ = ["Finalize"]

_COMMENT: Final = "newbi-migrate finalize"


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
        """Which indexes of the old structure are left; swaps them for the new if asked to.

        Raises:
            NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
        """

        async def look(runs: Sequence[RunRecord]) -> FinalizeResult | None:
            refuse_unmigrated(runs)
            looked = await self._look_at_indexes(runs)
            something = looked.dropped or looked.created or run_to_resume(runs) is not None
            if apply and something:
                return None
            looked.dry_run = not apply
            return looked

        if (nothing := await self.runner.look(look)) is not None:
            # Nothing is to be written, or nothing can go.
            return nothing

        request = FinalizeRequest(self.runner.registry, self.options, "indexes")
        begun: list[ObjectId] = []

        async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> FinalizeResult:
            refuse_while_rolling_back(runs)
            refuse_unmigrated(runs)
            if (done := _done(runs, begun)) is not None:
                return await end_again(session, request, done, runs)
            unfinished = run_to_resume(runs)
            if unfinished is None and reviewed is not None:
                now = await self._look_at_indexes(runs)
                refuse_other_preview(answer(reviewed), answer(now))
            begun.append(session.run_id if unfinished is None else unfinished.run_id)
            return await carry_out(session, request, runs)

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
            self.runner.registry, self.options, "finalize", keep=keep, drop_journal=drop_journal
        )
        begun: list[ObjectId] = []

        async def look(runs: Sequence[RunRecord]) -> FinalizeResult | None:
            # Refuses what the attempt would refuse, before a person waits for the lease.
            refuse_while_rolling_back(runs)
            refuse_unmigrated(runs)
            if (unfinished := run_to_resume(runs)) is not None:
                refuse_other(unfinished, request)
            return await self._preview(request, runs) if dry_run else None

        if (looked := await self.runner.look(look)) is not None:
            return looked

        async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> FinalizeResult:
            refuse_while_rolling_back(runs)
            refuse_unmigrated(runs)
            if (done := _done(runs, begun)) is not None:
                return await end_again(session, request.of_run(done), done, runs)
            if (done := await self._journal_left(request, runs)) is not None:
                begun.append(done.run_id)
                if reviewed is not None:
                    refuse_other_preview(answer(reviewed), answer(self._left(done)))
                return await end_again(session, request.of_run(done), done, runs)
            unfinished = run_to_resume(runs)
            begun.append(session.run_id if unfinished is None else unfinished.run_id)
            if unfinished is not None:
                await self._check_again(request, session.progress, unfinished, runs)
                return await carry_out(session, request.of_run(unfinished), runs)
            ready = await self._ready(request, session.progress, runs, asking=session.run_id)
            now = await self._describe(ready, runs)
            if reviewed is not None:
                refuse_other_preview(answer(reviewed), answer(now))
            if now.nothing_left:
                now.dry_run = False
                return now
            return await carry_out(session, ready, runs)

        return await self.runner.run("finalize", attempt)

    @property
    def _database(self) -> Database:
        return self.runner.store.database

    async def _look_at_indexes(self, runs: Sequence[RunRecord]) -> FinalizeResult:
        options = recorded_choices(self.options, runs)
        found = await review_indexes(self._database, self.runner.registry, options)
        return FinalizeResult(
            database=self._database.name,
            run_id=None,
            command="indexes",
            dry_run=True,
            dropped=[(swap.spec.name, i["name"]) for swap in found.swaps for i in swap.dropped],
            created=[(swap.spec.name, i.name) for swap in found.swaps for i in swap.built],
            held=list(found.held),
            missing=list(found.missing),
        )

    async def _preview(self, request: FinalizeRequest, runs: Sequence[RunRecord]) -> FinalizeResult:
        if (done := await self._journal_left(request, runs)) is not None:
            return self._left(done)
        unfinished = run_to_resume(runs)
        if unfinished is not None and unfinished.command == "finalize":
            await self._check_again(request, self.runner.progress, unfinished, runs)
            return await self._describe(request.of_run(unfinished), runs, unfinished)
        return await self._describe(await self._ready(request, self.runner.progress, runs), runs)

    async def _journal_left(
        self, request: FinalizeRequest, runs: Sequence[RunRecord]
    ) -> RunRecord | None:
        """The run of the same choices that was stopped as it was about to drop the journal.

        All else is done. It is not validated again: the records say that the journal is gone, so
        nobody can tell any more what was broken before the migration.
        """
        last = next(iter(runs), None)
        if last is None or last.command != "finalize" or not last.stands:
            return None
        marked = request.drop_journal and last.document.get("journalDropped")
        if not marked or dict(last.policy) != request.policy:
            return None
        return last if JOURNAL in await collection_names(self._database) else None

    def _left(self, done: RunRecord) -> FinalizeResult:
        """What is left of a run that was stopped as it was about to drop the journal."""
        told = done.document["result"]
        return FinalizeResult(
            database=self._database.name,
            run_id=None,
            command="finalize",
            dry_run=True,
            kept_as=told["keptAs"],
            legacy_users=told["legacyUsers"],
            journal_dropped=True,
        )

    async def _check_again(
        self,
        request: FinalizeRequest,
        progress: Progress,
        unfinished: RunRecord,
        runs: Sequence[RunRecord],
    ) -> None:
        """Fail where an interrupted run cannot go on with what has come since."""
        source = unfinished.document.get("source")
        names = await collection_names(self._database)
        if source not in names:
            return
        refuse_made_anew(str(source), names)
        await self._ready(request, progress, runs, asking=unfinished.run_id, resumed=True)

    async def _ready(
        self,
        request: FinalizeRequest,
        progress: Progress,
        runs: Sequence[RunRecord],
        *,
        asking: ObjectId | None = None,
        resumed: bool = False,
    ) -> FinalizeRequest:
        """Plan and validate; fail unless nothing would be lost. Adds what was found out."""
        database, registry = self._database, self.runner.registry
        options = recorded_choices(self.options, runs)
        if (named := options.legacy_collection) is not None:
            # An earlier one renamed or dropped it, perhaps.
            now = await source_now(
                database, named, await collection_names(database), comment=_COMMENT
            )
            options = replace(options, legacy_collection=now or self.options.legacy_collection)
        plan = await make_plan(database, registry, options, progress=progress)
        report = await validate(
            ValidationRequest(
                database=database,
                registry=registry,
                options=self.options,
                progress=progress,
                asking=asking,
            )
        )
        late = bool(report.pending) or await has_late_work(database, runs, plan)
        refuse_unless_ready(report, plan, runs, late=late, keep=request.keep, resumed=resumed)
        if request.keep:
            await refuse_taken_name(database, plan.source)
        return replace(
            request,
            source=plan.source,
            quarantined=quarantined_users(plan),
            let_in=_let_in(plan),
            there_before=report.there_before,
        )

    async def _describe(
        self,
        request: FinalizeRequest,
        runs: Sequence[RunRecord],
        unfinished: RunRecord | None = None,
    ) -> FinalizeResult:
        result = await self._look_at_indexes(runs)
        source, names = str(request.source), await collection_names(self._database)
        result.command = "finalize"
        result.legacy, result.kept_as = request.moved(names, unfinished)
        then = result.kept_as or dropping_name(source)
        result.legacy_users = await count_legacy_users(self._database, source, then, unfinished)
        result.quarantined = request.quarantined
        result.let_in = request.let_in
        result.there_before = request.there_before
        result.journal_dropped = request.drop_journal and JOURNAL in names
        return result


def _done(runs: Sequence[RunRecord], begun: Sequence[ObjectId]) -> RunRecord | None:
    """The run that an earlier attempt carried out, where only its last answer was lost."""
    return next((r for r in runs if r.run_id in begun and r.stands), None)


def _let_in(plan: Plan) -> tuple[Any, ...]:
    codes = BARRED.values()
    return tuple(dict.fromkeys(f.id for f in plan.findings if f.code in codes))
