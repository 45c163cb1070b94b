"""What earlier runs of this tool left, and where the legacy users are.

It changes when a run records something else that keeps the next one from beginning.
"""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.backup.target import refuse_if_restoring
from newbi_migrate.checks import Check, Level
from newbi_migrate.errors import NewbiMigrateError, UnsupportedError, UsageError
from newbi_migrate.migration.survey import survey
from newbi_migrate.models.registry import Registry
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import RunState, read_runs

__all__ = ["look_at_runs", "look_at_source"]


async def look_at_source(
    database: AsyncDatabase[dict[str, Any]], registry: Registry, source: str | None
) -> list[Check]:
    """Whether there is one collection of legacy users."""
    try:
        found = await survey(database, registry, source=source)
    except (UsageError, UnsupportedError) as error:
        return [Check("legacy-users", Level.FAILED, error.what, error.next_step)]
    return [
        Check(
            "legacy-users",
            Level.OK,
            f"Legacy users are in {found.source}: {found.legacy_users:,}.",
        )
    ]


async def look_at_runs(database: AsyncDatabase[dict[str, Any]]) -> list[Check]:
    """Whether a run, or a restore, is under way or was interrupted."""
    try:
        await refuse_if_restoring(database)
        lease = await Lease.current(database)
    except NewbiMigrateError as error:
        return [Check("runs", Level.FAILED, error.what, error.next_step)]
    if lease is not None and lease.under_way:
        return [
            Check(
                "runs",
                Level.FAILED,
                f"A run is under way: {lease.holder}.",
                "Wait until it ends; if that process is dead, its lease ends by itself in "
                f"{lease.seconds_left:.0f} s.",
            )
        ]
    runs = await read_runs(database)
    unfinished = next((run for run in runs if run.state.unfinished), None)
    if unfinished is not None:
        back = unfinished.state is RunState.ROLLING_BACK
        command = "rollback" if back else unfinished.command
        ended = " Its process has ended." if lease is not None and lease.holder_ended else ""
        return [
            Check(
                "runs",
                Level.FAILED,
                f"The run {unfinished.run_id} of {command} has not come to its end.{ended}",
                f"Finish it with newbi-migrate {command}, with the options it was started with.",
            )
        ]
    if not runs:
        return [Check("runs", Level.OK, "No run of this tool has been here.")]
    return [Check("runs", Level.OK, f"Runs that are recorded: {len(runs):,}; all have ended.")]
