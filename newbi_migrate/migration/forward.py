"""The use-cases ``migrate`` and ``backfill``: planned, compared and carried out under the lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from newbi_migrate.migration.apply import ApplyRequest, apply_plan
from newbi_migrate.migration.options import MigrationOptions
from newbi_migrate.migration.plan import (
    make_plan,
    refuse_if_moved_on,
    refuse_other_choices,
    refuse_other_plan,
)
from newbi_migrate.migration.restore.target import refuse_if_restoring
from newbi_migrate.migration.results import Plan, RunResult
from newbi_migrate.migration.run.backup_guard import Safeguard
from newbi_migrate.migration.run.baseline import Reference
from newbi_migrate.migration.run.leased import (
    Runner,
    refuse_while_rolling_back,
    unfinished_run,
)
from newbi_migrate.store.faults import explained
from newbi_migrate.store.runs import RunRecord, RunState
from newbi_migrate.store.session import LeasedSession

__all__ = ["migrate"]


async def migrate(
    runner: Runner,
    command: str,
    options: MigrationOptions,
    *,
    safeguard: Safeguard,
    reviewed: Plan | None = None,
    saved: Mapping[str, Any] | None = None,
) -> RunResult:
    """Carries out what the database gives, or exactly the plan that a person reviewed.

    A run that was interrupted is finished. Where there is nothing to do, nothing but the lease is
    written.

    Args:
        runner: What runs it.
        command: ``migrate`` or ``backfill``.
        options: The choices.
        safeguard: The backup it is backed by.
        reviewed: The plan that was shown to a person.
        saved: The saved plan to follow.

    Raises:
        DatabaseMovedOnError: The database gives another plan than the reviewed one.
        NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
    """
    with explained("verifying the backup"):
        backup = await safeguard.verified(
            runner.store.database.name, runner.registry, runner.progress
        )
    run = _Migrate(runner, command, options, safeguard, backup, reviewed, saved)
    return await runner.run(command, run.attempt)


@dataclass(slots=True)
class _Migrate:
    runner: Runner
    command: str
    options: MigrationOptions
    safeguard: Safeguard
    backup: Reference | None
    reviewed: Plan | None
    saved: Mapping[str, Any] | None

    async def attempt(self, session: LeasedSession, runs: Sequence[RunRecord]) -> RunResult:
        database, registry = session.database, self.runner.registry
        await refuse_if_restoring(database)
        refuse_while_rolling_back(runs)
        plan = await make_plan(
            database,
            registry,
            self.options,
            documents_only=self.command == "backfill",
            progress=session.progress,
        )
        if any(run.run_id == session.run_id and run.state is RunState.DONE for run in runs):
            # All was done, and only the answer to the very last write was lost.
            return replace(_nothing_done(plan), run_id=session.run_id)
        unfinished = unfinished_run(runs)
        if unfinished is not None:
            refuse_other_choices(unfinished, self.command, self.options)
            self.safeguard.refuse_other_backup(unfinished, self.backup)
            if self.saved is not None:
                refuse_other_plan(self.saved, unfinished)
            session = session.of_run(unfinished.run_id)
        await self._compare(plan, runs, unfinished)
        if unfinished is None and not plan.pending:
            return _nothing_done(plan)
        reference = None
        if unfinished is None:
            reference = await self.safeguard.reference(
                database, registry, self.backup, session.progress, comment=session.comment
            )
        return await apply_plan(
            ApplyRequest(
                session=session,
                registry=registry,
                plan=plan,
                command=self.command,
                resumed=unfinished is not None,
                version=version("newbi-migrate"),
                reference=reference,
            )
        )

    async def _compare(
        self, plan: Plan, runs: Sequence[RunRecord], unfinished: RunRecord | None
    ) -> None:
        """Compares what a person reviewed with what the database gives under the lease."""
        if self.reviewed is not None:
            refuse_if_moved_on({"digests": self.reviewed.digests}, plan)
        if (
            self.saved is not None
            and unfinished is None
            and not _was_followed(self.saved, runs, plan)
        ):
            refuse_if_moved_on(self.saved, plan)


def _was_followed(saved: Mapping[str, Any], runs: Sequence[RunRecord], plan: Plan) -> bool:
    """Whether a saved plan has been carried out already and nothing came after it."""
    digests = saved.get("digests")
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
