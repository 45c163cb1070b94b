"""The use-case ``rollback``: previewed, compared and carried out under the lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from newbi_migrate.answers import answer
from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
from newbi_migrate.migration.rollback.steps import (
    RollbackRequest,
    Tried,
    choose_runs,
    left_before,
    preview,
    roll_back,
)
from newbi_migrate.migration.run.runner import Runner, refuse_other_preview
from newbi_migrate.progress import Progress
from newbi_migrate.store.runs import RunRecord
from newbi_migrate.store.session import LeasedSession

__all__ = ["preview_rollback", "rollback"]


async def preview_rollback(
    runner: Runner, run_id: ObjectId | None, options: RollbackOptions, *, everything: bool
) -> list[RollbackResult]:
    """What a rollback would do, one result for each run; sends no write command.

    Raises:
        NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
    """

    async def look(runs: Sequence[RunRecord]) -> list[RollbackResult]:
        request = await _request(runner, runner.progress, runs, run_id, options, everything)
        return await preview(request) if request.chosen else await _nothing(request, dry_run=True)

    return await runner.look(look)


async def rollback(
    runner: Runner,
    run_id: ObjectId | None,
    options: RollbackOptions,
    *,
    everything: bool,
    reviewed: Sequence[RollbackResult] | None = None,
) -> list[RollbackResult]:
    """Take runs back, the newest first; one result for each.

    Args:
        runner: What runs it.
        run_id: The run; by default the last one.
        options: The choices.
        everything: Take back all runs that are in place.
        reviewed: What was shown to a person.

    Raises:
        DatabaseMovedOnError: What would be done now is not what was shown.
        NewbiMigrateError: See :class:`~newbi_migrate.migration.facade.Migration`.
    """

    async def look(runs: Sequence[RunRecord]) -> list[RollbackResult]:
        request = await _request(runner, runner.progress, runs, run_id, options, everything)
        return [] if request.chosen else await _nothing(request, dry_run=False)

    if found := await runner.look(look):
        # Nothing is there to be taken back, and nothing is written for it.
        return found
    begun: list[ObjectId] = []
    tried = Tried()

    async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> list[RollbackResult]:
        # After an error the same runs are taken back, not those before them.
        request = await _request(runner, session.progress, runs, run_id, options, everything, begun)
        if not request.chosen:
            return await _nothing(request, dry_run=False)
        if not begun and reviewed is not None:
            now = await preview(request)
            refuse_other_preview([*map(_comparable, reviewed)], [*map(_comparable, now)])
        begun.extend(run.run_id for run in request.chosen if run.run_id not in begun)
        return await roll_back(request, session, tried)

    return await runner.run("rollback", attempt)


async def _request(
    runner: Runner,
    progress: Progress,
    runs: Sequence[RunRecord],
    run_id: ObjectId | None,
    options: RollbackOptions,
    everything: bool,
    begun: Sequence[ObjectId] = (),
) -> RollbackRequest:
    chosen = [run for run in runs if run.run_id in begun]
    if not begun:
        chosen = await choose_runs(
            runner.store.database, runs, run_id, options, everything=everything
        )
    return RollbackRequest(
        runner.store, runner.registry, runs, chosen, options, everything, progress
    )


async def _nothing(request: RollbackRequest, *, dry_run: bool) -> list[RollbackResult]:
    nothing = RollbackResult(request.database.name, None, "", dry_run, request.options)
    return [*await left_before(request, dry_run=dry_run), nothing]


def _comparable(result: RollbackResult) -> dict[str, Any]:
    # Sessions come and go with every sign-in, and stay where they are.
    ignored = {"timings", "sessionsLeft", "dryRun"}
    return {name: value for name, value in answer(result).items() if name not in ignored}
