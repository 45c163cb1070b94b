"""The command to run next, in the order of the run book (docs/run.md).

Each function gives a line that can be copied, with the connection string where the one before it
was; where something must be done first, that stands before it. Options that decide what is written
are repeated; those that only hold a run back are not.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from newbi_migrate.choices import OnConflict
from newbi_migrate.cli.values import as_arguments
from newbi_migrate.errors import ExitCode

if TYPE_CHECKING:
    from newbi_migrate.backup.compare import Comparison
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.migration.finalize.results import FinalizeResult
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.migration.restore.aside import DroppedAside
    from newbi_migrate.migration.restore.results import RestoreResult
    from newbi_migrate.migration.rollback.results import RollbackResult
    from newbi_migrate.migration.run.backup_guard import BackupGuard
    from newbi_migrate.migration.status import Status
    from newbi_migrate.migration.validation.report import ValidationReport

__all__ = [
    "after_backup",
    "after_diagnosis",
    "after_dropping_aside",
    "after_finalize",
    "after_plan",
    "after_restoring",
    "after_rollback",
    "after_run",
    "after_smoke",
    "after_status",
    "after_validation",
    "after_verifying",
    "night_commands",
    "suggest",
]


# Where the run book keeps the plan that is reviewed.
_PLAN: Final = "plan.json"


def suggest(command: str, *arguments: str) -> str:
    """A command line that can be copied."""
    return shlex.join(["newbi-migrate", command, *arguments])


def after_diagnosis(
    purpose: str, backup: Path | None, legacy_collection: str | None, place: Sequence[str]
) -> str:
    """What the diagnosis was for; what would write is looked at first."""
    chosen: list[str] = []
    if purpose in ("plan", "migrate", "validate") and legacy_collection is not None:
        chosen += ["--legacy-collection", legacy_collection]
    if purpose == "migrate":
        backed = [] if backup is None else ["--backup", str(backup)]
        return suggest("plan", "--output", _PLAN, *chosen, *backed, *place)
    if purpose == "rollback":
        chosen.append("--dry-run")
    if purpose == "finalize":
        chosen += ["--keep", "--dry-run"]
    return suggest(purpose, *chosen, *place)


def after_backup(path: Path, output_dir: Path, *, fits: bool, place: Sequence[str]) -> str:
    """A comparison with the database, or another backup while nobody writes.

    Args:
        path: The backup.
        output_dir: The folder it is in.
        fits: Whether its collections fit together.
        place: The arguments that name the connection string.
    """
    if not fits:
        again = suggest("backup", "--output-dir", str(output_dir), *place)
        return f"stop the application, then {again}"
    return suggest("verify-backup", "--compare", str(path), *place)


def after_verifying(
    path: Path,
    verification: Verification,
    comparison: Comparison | None,
    *,
    here: bool,
    place: Sequence[str],
) -> str:
    """A diagnosis, where the database is as the backup says; else a comparison or a restore.

    Args:
        path: The backup.
        verification: Whether it is whole.
        comparison: In what a database differs from it, if one was compared.
        here: Whether that is the database of the connection string.
        place: The arguments that name the connection string.
    """
    if not verification.intact:
        return "take another copy, or make a new backup while the database is what it should be"
    if comparison is not None and comparison.equal and not comparison.without and here:
        if verification.manifest is None:
            # A run is backed by a backup of ours alone.
            return suggest("backup", *place)
        return suggest("doctor", "--backup", str(path), *place)
    if comparison is None and verification.manifest is not None:
        return suggest("verify-backup", "--compare", str(path), *place)
    return suggest("restore", "--dry-run", str(path), *place)


def after_restoring(
    path: Path, result: RestoreResult, elsewhere: str | None, *, place: Sequence[str]
) -> str:
    """A comparison with what was restored, or a look at it where there is nothing to compare.

    Documents from before a migration get their workspaces first.

    Args:
        path: The backup.
        result: What the restore did.
        elsewhere: The database, where it is another than the connection string's.
        place: The arguments that name the connection string.
    """
    if result.without_workspace and elsewhere is None:
        return suggest("backfill", "--dry-run", *place)
    if result.verification.manifest is None or result.run_id is not None:
        return suggest("status", *place)
    where = [] if elsewhere is None else ["--database", elsewhere]
    return suggest("verify-backup", "--compare", *where, str(path), *place)


def after_plan(
    plan: Plan,
    *,
    documents_only: bool,
    place: Sequence[str],
    saved_in: Path | None = None,
    backup: Path | None = None,
) -> str:
    """The command that carries a plan out, or the proof that nothing is left to do.

    Where no backup is named for a migration, making one comes first.

    Args:
        plan: The plan.
        documents_only: Whether it is one of ``backfill``.
        place: The arguments that name the connection string.
        saved_in: File it is saved in.
        backup: What the run would be backed by.
    """
    if not plan.pending:
        return suggest("validate" if plan.users or documents_only else "status", *place)
    backed = [] if backup is None else ["--backup", str(backup)]
    if documents_only:
        return suggest("backfill", *as_arguments(plan.options), *backed, *place)
    chosen = as_arguments(plan.options) if saved_in is None else ["--plan", str(saved_in)]
    if backup is not None:
        return suggest("migrate", *chosen, *backed, *place)
    migrating = suggest("migrate", *chosen, "--backup", "DIR", *place)
    return f"{suggest('backup', *place)}, and with its folder {migrating}"


def after_run(
    command: str, result: RunResult, backup_guard: BackupGuard, place: Sequence[str]
) -> str:
    """A validation; where something was quarantined, what a person can do about it comes first.

    Args:
        command: ``migrate`` or ``backfill``.
        result: What it did.
        backup_guard: What it was backed by.
        place: The arguments that name the connection string.
    """
    again = suggest(command, *as_arguments(result.plan.options), *place)
    if result.exit_code is ExitCode.PENDING:
        return again
    if result.exit_code is ExitCode.QUARANTINED:
        return f"settle what is listed above, then {again}"
    # The proof of conservation is there for the asking where digests were taken before.
    digested = result.run_id is not None and (
        backup_guard.backup is not None or backup_guard.digests
    )
    return suggest("validate", *(["--unchanged"] if digested else []), *place)


def after_validation(report: ValidationReport, place: Sequence[str]) -> str:
    """The application, and the end of the migration; else what puts right what is broken."""
    from newbi_migrate.migration.validation.report import Origin

    caused = {result.rule for result in report.results if result.origin is not Origin.BEFORE}
    if "run.finished" in caused or report.under_way:
        return suggest("status", *place)
    if report.run_id is None:
        return suggest("plan", *place)
    detailed = suggest("validate", "--detailed", *place)
    if report.failed:
        pending = any(rule.startswith(("document.workspace", "legacy-user.")) for rule in caused)
        if pending or report.is_clean:
            return suggest("plan", *place) if pending else detailed
        return f"{detailed}, and to go back {suggest('rollback', '--all', '--dry-run', *place)}"
    return f"start the application, then {suggest('smoke')}, and {after_smoke(place)}"


def after_smoke(place: Sequence[str] = ()) -> str:
    """The end of the migration, which first keeps the legacy users under another name."""
    return f"days later {suggest('finalize', '--keep', '--dry-run', *place)}"


def after_status(found: Status, place: Sequence[str]) -> str:
    """What the database as it stands asks for."""
    from newbi_migrate.store.runs import RunState

    if found.lease is not None and found.lease.under_way:
        return suggest("status", *place)
    if found.damage is not None:
        return suggest("doctor", *place)
    if found.unfinished is not None:
        undoing = found.unfinished.state is RunState.ROLLING_BACK
        again = suggest("rollback" if undoing else found.unfinished.command, *place)
        return f"{again}, with the options it was started with"
    if all(run.state is RunState.ROLLED_BACK for run in found.runs):
        return suggest("plan", *place)
    # What a run quarantined waits for a person; another run would quarantine it again.
    if found.quarantined != found.without_workspace:
        return suggest("backfill", "--dry-run", *place)
    return suggest("validate", *place)


def after_rollback(
    results: Sequence[RollbackResult], *, everything: bool, place: Sequence[str]
) -> str:
    """The same rollback after a look at it; then a plan, or what a part of one left.

    Args:
        results: One for each run.
        everything: Whether all runs were asked for.
        place: The arguments that name the connection string.
    """
    last = results[-1]
    if last.run_id is None:
        return suggest("status", *place)
    options = last.options
    # The run that was looked at is named: another may be the last by then.
    chosen = ["--all"] if everything else ["--run", str(last.run_id)]
    if options.collections is not None:
        chosen += ["--collections", ",".join(options.collections)]
    if options.users is not None:
        chosen += ["--users", ",".join(map(str, options.users))]
    if any(result.refused for result in results):
        return suggest("rollback", *chosen, "--on-conflict", "keep", "--dry-run", *place)
    if last.dry_run:
        if options.on_conflict is not OnConflict.STOP:
            chosen += ["--on-conflict", options.on_conflict.value]
        return suggest("rollback", *chosen, *place)
    return suggest("plan" if options.whole else "status", *place)


def after_dropping_aside(result: DroppedAside, place: Sequence[str]) -> str:
    """What a look at it was for; then how the database stands."""
    if result.dry_run and (result.collections or result.runs):
        return suggest("drop-aside", *place)
    return suggest("status", *place)


def after_finalize(result: FinalizeResult, place: Sequence[str]) -> str:
    """What a look at it was for; indexes before the end, and after it a backup of what is new."""
    if result.command == "finalize":
        if not result.dry_run:
            return suggest("backup", *place)
        chosen = ["--keep"] if result.kept_as is not None else []
        chosen += ["--drop-journal"] if result.journal_dropped else []
        return suggest("finalize", *chosen, *place)
    if result.dry_run and result.dropped:
        return suggest("indexes", "--apply", *place)
    if result.to_create:
        return suggest("plan", *place)
    return suggest("validate", *place)


def night_commands(options: MigrationOptions, *, rehearsed: Path | None) -> list[str]:
    """The commands of the night, in order, after a rehearsal.

    Args:
        options: The choices that were rehearsed.
        rehearsed: File of the decisions, if they were saved.
    """
    chosen = as_arguments(options)
    same = [] if rehearsed is None else ["--rehearsed", str(rehearsed)]
    return [
        suggest("backup", "--output-dir", "backups"),
        suggest("verify-backup", "--compare", "DIR"),
        suggest("doctor", "--backup", "DIR"),
        suggest("plan", *chosen, *same, "--backup", "DIR"),
        suggest("migrate", *chosen, *same, "--backup", "DIR"),
        suggest("validate", "--unchanged"),
        suggest("smoke"),
        suggest("indexes", "--apply"),
        suggest("finalize", "--keep", "--dry-run"),
    ]
