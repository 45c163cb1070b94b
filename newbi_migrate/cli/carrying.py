"""Carrying a plan out: asking first, running, and reporting, for every command that stamps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from newbi_migrate.cli.following import after_plan, after_run
from newbi_migrate.cli.planning import make_plan, warn_without_backup
from newbi_migrate.cli.running import Session, say, stopping_on_signals

if TYPE_CHECKING:
    from newbi_migrate.cli.reporting import ReportFiles
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import SavedPlan
    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.migration.run.backup_guard import BackupGuard
    from newbi_migrate.migration.run.throttle import ThrottleOptions

__all__ = ["carry_out"]


def carry_out(
    session: Session,
    options: MigrationOptions,
    *,
    command: str,
    confirmed: bool,
    verbose: bool,
    backup_guard: BackupGuard,
    throttle: ThrottleOptions,
    saved: SavedPlan | None = None,
    saved_in: Path | None = None,
    reports: ReportFiles | None = None,
) -> NoReturn:
    """Run ``migrate`` or ``backfill``, report, and end with the run's exit code.

    Without a confirmation the plan is shown on stderr and the database's name must be typed;
    what is carried out then is the plan that was shown.

    Raises:
        ConfirmationRequiredError: Nobody agreed.
        NewbiMigrateError: The run failed.
    """
    from newbi_migrate.migration.planning.plan_file import refuse_other_database
    from newbi_migrate.report.console import plan_report, result_report
    from newbi_migrate.report.json import result_to_json

    target = session.target
    if saved is not None:
        refuse_other_database(saved, target.database)
    shown: Plan | None = None
    if not confirmed:
        if saved is None:
            documents_only = command == "backfill"
            shown = make_plan(session, options, documents_only=documents_only)
            following = after_plan(
                shown,
                documents_only=documents_only,
                place=session.uri_arguments,
                backup=backup_guard.backup,
            )
            session.show(plan_report(shown, next_command=following, verbose=verbose), aside=True)
        else:
            say(f"The plan in {saved_in} is about to be carried out.")
        warn_without_backup(session, backup_guard, pending=shown is None or shown.pending)
        # Not inside the event loop: it would keep Ctrl-C from ending the wait for an answer.
        session.confirm(target.database, confirmed=False)
    result = session.run(
        lambda: _run(session, options, backup_guard, throttle, command, shown, saved)
    )
    session.log_end(_in_one_line(command, result))
    following = after_run(command, result, backup_guard, session.uri_arguments)
    code = result.exit_code
    if reports is not None:
        from newbi_migrate.report.migration_contents import result_contents

        code = reports.write(
            session,
            lambda emails: result_contents(
                result, command=command, next_command=following, emails=emails
            ),
            code,
            users_in=result.plan.source if result.plan.users else None,
        )
    session.answer(
        lambda: result_to_json(result),
        result_report(result, next_command=following, verbose=verbose),
    )
    raise typer.Exit(int(code))


def _in_one_line(command: str, result: RunResult) -> str:
    """How a run ended, for the log."""
    if result.run_id is None:
        return f"Nothing was left to do for {command}. Exit code {int(result.exit_code)}."
    stamped = sum(summary.stamped for summary in result.collections.values())
    created = sum(result.created.values())
    return (
        f"The run {result.run_id} of {command} is done: {created:,} documents created for users, "
        f"{stamped:,} stamped, {len(result.quarantine):,} left out. "
        f"Exit code {int(result.exit_code)}."
    )


async def _run(
    session: Session,
    options: MigrationOptions,
    backup_guard: BackupGuard,
    throttle: ThrottleOptions,
    command: str,
    plan: Plan | None,
    saved: SavedPlan | None,
) -> RunResult:
    from newbi_migrate.cli.progress import showing_progress
    from newbi_migrate.migration.facade import Migration

    with showing_progress(log=session.log) as progress:
        async with Migration(
            session.target,
            options=options,
            progress=progress,
            backup_guard=backup_guard,
            throttle=throttle,
        ) as migration:
            with stopping_on_signals(migration):
                if saved is not None:
                    return await migration.apply_saved(saved)
                if command == "backfill":
                    return await migration.backfill(plan)
                return await migration.apply(plan)
