"""Making a plan and showing it, for every command that has a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from newbi_migrate.cli.following import after_plan, suggest
from newbi_migrate.cli.running import Session, say

if TYPE_CHECKING:
    from newbi_migrate.cli.reporting import ReportFiles
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import SavedPlan
    from newbi_migrate.migration.planning.results import Plan
    from newbi_migrate.migration.run.backup_guard import BackupGuard

__all__ = ["make_plan", "show_plan", "warn_without_backup"]


def warn_without_backup(
    session: Session, backup_guard: BackupGuard | None, *, pending: bool = True
) -> None:
    """Say that a run would have nothing to go back to but its journal."""
    if pending and (backup_guard is None or backup_guard.backup is None):
        make_one = suggest("backup", *session.uri_arguments)
        say(f"warning: no backup is named. Make one ({make_one}) and migrate with --backup DIR.")


def make_plan(
    session: Session,
    options: MigrationOptions,
    *,
    documents_only: bool = False,
    backup_guard: BackupGuard | None = None,
) -> Plan:
    """The plan for the session's database, with progress on stderr.

    Raises:
        NewbiMigrateError: A backup that is to back the run does not.
    """
    from newbi_migrate.cli.progress import showing_progress
    from newbi_migrate.migration.facade import Migration

    async def planning() -> Plan:
        with showing_progress(log=session.log) as progress:
            async with Migration(
                target, options=options, progress=progress, backup_guard=backup_guard
            ) as migration:
                await migration.check_backup()
                return await migration.plan(documents_only=documents_only)

    target = session.target
    return session.run(planning)


def show_plan(
    session: Session,
    options: MigrationOptions,
    *,
    verbose: bool,
    documents_only: bool = False,
    save_to: Path | None = None,
    saved: SavedPlan | None = None,
    saved_in: Path | None = None,
    backup_guard: BackupGuard | None = None,
    reports: ReportFiles | None = None,
    command: str = "plan",
) -> NoReturn:
    """Make a plan, show it, and end with the exit code its run would have.

    Args:
        session: The call.
        options: The choices.
        verbose: Whether everything is listed.
        documents_only: Plan a backfill.
        save_to: File the plan is saved in.
        saved: A plan that must be the same.
        saved_in: Where that plan is.
        backup_guard: What the run would be backed by.
        reports: Report files that were asked for.
        command: The command it is a dry run of.

    Raises:
        DatabaseMovedOnError: The saved plan is another one, or the backup is not of now.
    """
    from newbi_migrate.migration.planning.plan_file import (
        plan_lines,
        refuse_if_moved_on,
        refuse_other_database,
    )
    from newbi_migrate.report.files import refuse_unwritable, write_privately
    from newbi_migrate.report.migration import plan_document

    if save_to is not None:
        refuse_unwritable(save_to)
        _refuse_other_file(save_to)
    if saved is not None:
        refuse_other_database(saved, session.target.database)
    plan = make_plan(session, options, documents_only=documents_only, backup_guard=backup_guard)
    if saved is not None:
        refuse_if_moved_on(saved.digests, plan.digests)
    if save_to is not None:
        replaced = save_to.exists()
        write_privately(save_to, plan_lines(plan))
        say(f"The plan was written to {save_to}{', in place of another' if replaced else ''}.")
    following = after_plan(
        plan,
        documents_only=documents_only,
        place=session.uri_arguments,
        saved_in=save_to or saved_in,
        backup=None if backup_guard is None else backup_guard.backup,
    )
    warn_without_backup(session, backup_guard, pending=plan.pending)
    code = plan.exit_code
    if reports is not None:
        code = reports.write(
            session,
            lambda emails: plan_document(
                plan, command=command, next_command=following, emails=emails
            ),
            code,
            users_in=plan.source if plan.users else None,
        )
    document = plan_document(plan, command=command, next_command=following)
    session.finish(document, verbose=verbose, code=code)


def _refuse_other_file(path: Path) -> None:
    """A plan may take the place of a plan, and of nothing else."""
    from newbi_migrate.errors import UsageError
    from newbi_migrate.migration.planning.plan_file import may_be_replaced

    if path.exists() and not may_be_replaced(path):
        raise UsageError(
            f"{str(path)!r} is there already and is no plan; it was left alone.",
            next_step="Name another file, or remove that one.",
        )
