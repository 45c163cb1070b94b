"""The use-cases ``migrate`` and ``backfill``: planned, compared and carried out under the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import UsageError
from newbi_migrate.migration.apply.steps import ApplyRequest, apply_plan
from newbi_migrate.migration.planning.digests import Digests, of_journal
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.plan_file import (
    SavedPlan,
    refuse_if_moved_on,
    refuse_other_choices,
    refuse_other_plan,
)
from newbi_migrate.migration.planning.results import Plan, RunResult
from newbi_migrate.migration.planning.survey import odd_target, survey
from newbi_migrate.migration.run.accounted import last_migration
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.run.baseline import Baseline
from newbi_migrate.migration.run.partly_written import take_back_partly_written
from newbi_migrate.migration.run.runner import (
    Runner,
    refuse_other_command,
    refuse_while_rolling_back,
    run_to_resume,
)
from newbi_migrate.migration.run.written import perhaps_written
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.journal import Journal
from newbi_migrate.store.runs import RunRecord, read_runs
from newbi_migrate.store.session import LeasedSession

__all__ = ["migrate", "plan_saved"]


async def plan_saved(
    database: Database,
    registry: Registry,
    options: MigrationOptions,
    saved: SavedPlan,
    *,
    progress: Progress,
) -> Plan:
    """What is left of a saved plan, by what the database gives now; sends no write command.

    Args:
        database: The database.
        registry: The collections.
        options: The choices of the plan.
        saved: The plan.
        progress: Told of what is going on.

    Raises:
        DatabaseMovedOnError: What was written of it and what is left are another plan.
        InterruptedRunError: A rollback has not come to its end.
        UsageError: A run was interrupted that this plan would not finish.
    """
    runs = await read_runs(database)
    refuse_while_rolling_back(runs)
    unfinished = run_to_resume(runs)
    if unfinished is not None:
        await _refuse_other_run(database, registry, unfinished, "migrate", options, saved)
    plan = await make_plan(database, registry, options, progress=progress)
    run = unfinished or next(iter(_followers(saved, runs)), None)
    written = Digests() if run is None else await of_journal(database, run.run_id)
    _refuse_other_than_saved(saved, runs, plan, plan.digests + written, unfinished)
    return plan


async def migrate(
    runner: Runner,
    command: str,
    options: MigrationOptions,
    *,
    backup_guard: BackupGuard,
    reviewed: Plan | None = None,
    saved: SavedPlan | None = None,
) -> RunResult:
    """Plan a run and carry it out, or carry out exactly the plan that a person reviewed.

    A run that was interrupted is finished. Where there is nothing to do, nothing is written.

    Args:
        runner: What runs it.
        command: ``migrate`` or ``backfill``.
        options: The choices.
        backup_guard: The backup it is backed by.
        reviewed: The plan that was shown to a person.
        saved: The saved plan to follow.

    Raises:
        DatabaseMovedOnError: The database gives another plan than the reviewed one.
        NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
    """
    run = _Migrate(runner, command, options, backup_guard, reviewed, saved)
    # No lease guards the files of a backup. Before a new run writes, they are compared with the
    # database under the lease.
    with explained("verifying the backup"):
        run.backup = await backup_guard.verified(
            runner.store.database.name, runner.registry, runner.progress
        )
    done = await runner.look(run.look)
    if done is not None:
        return done
    return await runner.run(command, run.attempt)


@dataclass(slots=True)
class _Migrate:
    runner: Runner
    command: str
    options: MigrationOptions
    backup_guard: BackupGuard
    reviewed: Plan | None
    saved: SavedPlan | None
    backup: Baseline | None = None
    agreed: Digests | None = None
    """What was reviewed of a run that had been interrupted, and what it had written before."""
    ended: RunResult | None = None
    """What the run did; set just before that is recorded."""

    async def look(self, runs: Sequence[RunRecord]) -> RunResult | None:
        """Return a result where there is nothing to do.

        Refuses what the lease would only be taken for to refuse.
        """
        refuse_while_rolling_back(runs)
        unfinished = run_to_resume(runs)
        if unfinished is not None and self.reviewed is not None:
            # Recovery may take some of it back, which is then to be written again. It authorises
            # nothing: under the lease, what is written and what is left must add up to it.
            written = await of_journal(self.runner.store.database, unfinished.run_id)
            self.agreed = self.reviewed.digests + written
        seen = await survey(
            self.runner.store.database,
            self.runner.registry,
            source=self.options.legacy_collection,
        )
        if (refusal := odd_target(seen.infos)) is not None:
            raise refusal
        if self.command == "backfill" and unfinished is None:
            _refuse_before_a_migration(runs)
        if unfinished is not None or not any(run.in_place for run in runs):
            return None
        plan = self.reviewed or await self._plan(self.runner.progress)
        if self.saved is not None and not _was_followed(self.saved, runs, plan):
            return None
        return None if plan.pending else _nothing_done(plan)

    async def _plan(self, progress: Progress) -> Plan:
        return await make_plan(
            self.runner.store.database,
            self.runner.registry,
            self.options,
            documents_only=self.command == "backfill",
            progress=progress,
        )

    async def attempt(self, session: LeasedSession, runs: Sequence[RunRecord]) -> RunResult:
        """Plan under the lease, compare, and carry out."""
        database, registry = session.database, self.runner.registry
        refuse_while_rolling_back(runs)
        if self.ended is not None and any(
            run.run_id == self.ended.run_id and run.stands for run in runs
        ):
            # All was done, and only the answer to the very last write was lost.
            return self.ended
        unfinished = run_to_resume(runs)
        if unfinished is not None:
            await _refuse_other_run(
                database, registry, unfinished, self.command, self.options, self.saved
            )
            self.backup_guard.refuse_other_backup(unfinished, self.backup)
            session = session.of_run(unfinished.run_id)
            await take_back_partly_written(session, await Journal.resume(session))
        plan = await self._compared(session, runs, unfinished)
        if unfinished is None and not plan.pending:
            return _nothing_done(plan)
        baseline = None
        if unfinished is None:
            baseline = await self.backup_guard.baseline(
                database, registry, self.backup, session.progress, comment=session.comment
            )
        return await apply_plan(
            ApplyRequest(
                session=session,
                registry=registry,
                plan=plan,
                command=self.command,
                resumed=unfinished is not None,
                ending=self._ending,
                baseline=baseline,
            )
        )

    def _ending(self, result: RunResult) -> None:
        self.ended = result

    async def _compared(
        self,
        session: LeasedSession,
        runs: Sequence[RunRecord],
        unfinished: RunRecord | None,
    ) -> Plan:
        """Plan under the lease, and compare with what a person reviewed.

        What a run has written already and what is left to write add up to what was reviewed.
        """
        if self.saved is None and self.reviewed is None:
            return await self._plan(session.progress)
        followers = [] if self.saved is None else _followers(self.saved, runs)
        # Where none is unfinished, what the server refused to write is still to be written.
        run = unfinished or next(iter(followers), None)
        plan, written = await self._at_one_moment(session, run)
        total = plan.digests + written
        if self.saved is not None:
            _refuse_other_than_saved(self.saved, runs, plan, total, unfinished)
        if self.reviewed is not None and unfinished is not None:
            agreed = self.agreed or self.reviewed.digests
            refuse_if_moved_on(agreed, total, unfinished=unfinished)
        elif self.reviewed is not None:
            refuse_if_moved_on(self.reviewed.digests, plan.digests, shown=self.saved is None)
        return plan

    async def _at_one_moment(
        self, session: LeasedSession, run: RunRecord | None
    ) -> tuple[Plan, Digests]:
        """What is left to write, and what a run has written, with nothing counted in both.

        A statement of a dead run that lands between the two readings would be. There is one for
        each process that died, so they come to an end.
        """
        if run is None:
            return await self._plan(session.progress), Digests()
        certain = not await perhaps_written(session.database, run.run_id)
        before = Digests()
        while True:
            plan = await self._plan(session.progress)
            written = await of_journal(session.database, run.run_id)
            if certain or written == before:
                return plan, written
            session.safe_point()
            before = written


def _refuse_before_a_migration(runs: Sequence[RunRecord]) -> None:
    """Fail where no migration is in place: a backfill completes what one began.

    Raises:
        UsageError: There is none.
    """
    if last_migration(runs) is None:
        raise UsageError(
            "No migration is in place in this database, and a backfill stamps what came after one.",
            next_step="Nothing was written. Migrate first: newbi-migrate plan.",
        )


async def _refuse_other_run(
    database: Database,
    registry: Registry,
    unfinished: RunRecord,
    command: str,
    options: MigrationOptions,
    saved: SavedPlan | None,
) -> None:
    refuse_other_command(unfinished, command)
    seen = await survey(database, registry, source=options.legacy_collection)
    refuse_other_choices(unfinished, options, seen.source)
    if saved is not None:
        refuse_other_plan(saved, unfinished)


def _refuse_other_than_saved(
    saved: SavedPlan,
    runs: Sequence[RunRecord],
    plan: Plan,
    total: Digests,
    unfinished: RunRecord | None,
) -> None:
    if not _was_followed(saved, runs, plan):
        refuse_if_moved_on(saved.digests, total, unfinished=unfinished)


def _was_followed(saved: SavedPlan, runs: Sequence[RunRecord], plan: Plan) -> bool:
    """Whether a saved plan has been carried out already and nothing came after it."""
    return not plan.pending and bool(_followers(saved, runs))


def _followers(saved: SavedPlan, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that began to follow a saved plan and are in place."""
    digests = saved.digests.to_json()
    return [run for run in runs if run.in_place and run.document.get("planDigests") == digests]


def _nothing_done(plan: Plan) -> RunResult:
    return RunResult(
        run_id=None,
        resumed=False,
        plan=plan,
        outcomes=plan.outcomes,
        collections=plan.collections,
        quarantine=plan.quarantine,
        findings=plan.findings,
        indexes=plan.indexes,
        created={},
        filled={},
        timings={},
    )
