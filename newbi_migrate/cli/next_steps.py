"""The command to run next, in the order of the run book (docs/run.md).

Each function gives a line that can be copied, with the connection string where the one before it
was; where something must be done first, that stands before it. Options that decide what is written
are repeated; those that only hold a run back are not.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from newbi_migrate.choices import OnConflict
from newbi_migrate.cli.values import as_arguments
from newbi_migrate.errors import ExitCode

if TYPE_CHECKING:
    from newbi_migrate.backup.compare import Comparison
    from newbi_migrate.backup.manifest import Manifest
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.migration.finalize.results import FinalizeResult
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.migration.restore.aside import DroppedAside
    from newbi_migrate.migration.restore.results import RestoreResult
    from newbi_migrate.migration.rollback.results import RollbackResult
    from newbi_migrate.migration.status import Status
    from newbi_migrate.migration.validation.report import ValidationReport
    from newbi_migrate.store.runs import RunRecord

__all__ = [
    "PLAN",
    "after_backup",
    "after_coming_late",
    "after_diagnosis",
    "after_dropping_aside",
    "after_finalize",
    "after_no_go",
    "after_other_decisions",
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


PLAN: Final = "plan.json"
"""Where the run book keeps the plan that is reviewed."""


def suggest(command: str, *arguments: str) -> str:
    """A command line that can be copied."""
    return shlex.join(["newbi-migrate", command, *arguments])


def after_diagnosis(
    purpose: str,
    backup: Path | None,
    legacy_collection: str | None,
    place: Sequence[str],
    runs: Sequence[RunRecord] = (),
) -> str:
    """What the diagnosis was for; what would write is looked at first.

    Args:
        purpose: What it was for.
        backup: The backup that is relied on.
        legacy_collection: Name of the legacy users' collection, if one was given.
        place: The arguments that name the connection string.
        runs: All runs, the newest first.
    """
    from newbi_migrate.store.runs import is_finalized

    chosen: list[str] = []
    if purpose == "migrate" and any(run.in_place for run in runs):
        # It has been migrated: its backup is of the database before that.
        return suggest("status", *place)
    if purpose == "finalize" and is_finalized(runs):
        return suggest("status", *place)
    if purpose in ("plan", "migrate", "validate") and legacy_collection is not None:
        chosen += ["--legacy-collection", legacy_collection]
    if purpose == "migrate" and backup is None:
        return suggest("backup", *place)
    if purpose == "migrate":
        return suggest("plan", "--output", PLAN, *chosen, "--backup", str(backup), *place)
    if purpose == "rollback":
        chosen.append("--dry-run")
    if purpose == "finalize":
        chosen += ["--keep", "--dry-run"]
    return suggest(purpose, *chosen, *place)


def after_backup(
    path: Path, manifest: Manifest, *, chosen: Sequence[str], place: Sequence[str]
) -> str:
    """A comparison with the database, or another backup while nobody writes.

    Args:
        path: The backup.
        manifest: What it says of itself.
        chosen: The arguments it was made with.
        place: The arguments that name the connection string.
    """
    from newbi_migrate.backup.manifest import Consistency

    if manifest.unfinished_run is not None:
        return suggest("status", *place)
    if manifest.consistency is Consistency.WRITTEN:
        return f"stop the application, then {suggest('backup', *chosen, *place)}"
    return suggest("verify-backup", "--compare", str(path), *place)


def after_verifying(
    path: Path,
    verification: Verification,
    comparison: Comparison | None,
    *,
    here: bool,
    chosen: Sequence[str] = (),
    place: Sequence[str],
) -> str:
    """A diagnosis, where the database is as the backup says; else what that asks for.

    A database that is newer than its backup is no reason to restore it.

    Args:
        path: The backup.
        verification: Whether it is whole.
        comparison: In what a database differs from it, if one was compared.
        here: Whether that is the database of the connection string.
        chosen: The arguments that open the backup.
        place: The arguments that name the connection string.
    """
    if not verification.intact:
        return "take another copy"
    manifest = verification.manifest
    if manifest is None:
        # A run is backed by a backup of ours alone, and nothing else can be compared.
        return suggest("restore", "--dry-run", *chosen, str(path), *place)
    if comparison is None:
        return suggest("verify-backup", "--compare", *chosen, str(path), *place)
    if not here:
        if comparison.equal:
            return _of_another(comparison.database)
        where = ["--database", comparison.database, "--drop", "--dry-run"]
        return suggest("restore", *where, *chosen, str(path), *place)
    if comparison.in_place or manifest.unfinished_run is not None:
        return suggest("status", *place)
    if comparison.equal and not comparison.without:
        diagnosis = suggest("doctor", "--backup", str(path), *place)
        # After the way back the proof is what was asked for.
        return f"start the old application, or {diagnosis}" if comparison.runs else diagnosis
    if comparison.equal:
        return suggest("verify-backup", "--compare", *chosen, str(path), *place)
    # No run is in place: it has gone on since, and whoever migrates it needs a backup of then.
    # Not beside the old one: the folder that the run book names holds one backup.
    again = f"stop the application, then {suggest('backup', *place)}"
    if comparison.runs:
        # After the way back the old application goes on, unless what differs speaks against it.
        return f"once what differs is settled, start the old application; to migrate again, {again}"
    return again


def after_restoring(
    path: Path,
    result: RestoreResult,
    elsewhere: str | None,
    *,
    whole: bool,
    chosen: Sequence[str] = (),
    place: Sequence[str],
    runs: Sequence[RunRecord] = (),
) -> str:
    """A comparison with what was restored, or a look at it where there is nothing to compare.

    Documents from before a migration get their workspaces first.

    Args:
        path: The backup.
        result: What the restore did.
        elsewhere: The database, where it is another than the connection string's.
        whole: Whether all collections were asked for: some of them equal no backup.
        chosen: The arguments that open the backup.
        place: The arguments that name the connection string.
        runs: All runs of a database in which collections were put in place, the newest first.
    """
    if result.without_workspace and elsewhere is None:
        return after_coming_late("backfill", runs, place)
    if result.verification.manifest is not None and whole:
        where = [] if elsewhere is None else ["--database", elsewhere]
        return suggest("verify-backup", "--compare", *where, *chosen, str(path), *place)
    return suggest("status", *place) if elsewhere is None else _of_another(elsewhere)


def _of_another(database: str) -> str:
    return f"newbi-migrate status, with a connection string that names {database}"


def after_plan(
    plan: Plan,
    *,
    documents_only: bool,
    place: Sequence[str],
    saved_in: Path | None = None,
    backed: Sequence[str] = (),
    kept: Sequence[str] = (),
    runs: Sequence[RunRecord] = (),
) -> str:
    """The command that carries a plan out, or the proof that nothing is left to do.

    Where no backup is named, making one comes first; but not of a database in which a run was
    interrupted, which is to be finished. Where something is quarantined, a person decides whether
    that may be.

    Args:
        plan: The plan.
        documents_only: Whether it is one of ``backfill``.
        place: The arguments that name the connection string.
        saved_in: File it is saved in.
        backed: The arguments that say what the run would be backed by.
        kept: Other arguments that are kept.
        runs: All runs, the newest first.
    """
    from newbi_migrate.migration.run.finishing import finishing
    from newbi_migrate.store.runs import unfinished_run

    if (unfinished := unfinished_run(runs)) is not None:
        return finishing(unfinished, place)
    migrated = any(run.in_place for run in runs)
    if documents_only and migrated and _wait_for_users(plan, runs):
        # A migration covers their documents too, and whatever else came late.
        return after_coming_late("migrate", runs, place)
    if not plan.pending and (plan.users or documents_only):
        return _proof(runs, place)
    if not plan.pending:
        return suggest("status", *place)
    if documents_only and not migrated:
        # Nobody has a workspace yet.
        return suggest("plan", *as_arguments(plan.options), *backed, *place)
    command = "backfill" if documents_only else "migrate"
    chosen = as_arguments(plan.options) if saved_in is None else ["--plan", str(saved_in)]
    writing = suggest(command, *chosen, *kept, *(backed or ["--backup", "DIR"]), *place)
    if not backed:
        writing = f"{suggest('backup', *place)} and, with its folder, {writing}"
    return _if_it_may_stay(writing, plan)


def _wait_for_users(plan: Plan, runs: Sequence[RunRecord]) -> bool:
    """Whether documents wait for their owners' migration that no run has quarantined yet."""
    from newbi_migrate.mapping.workspace import Reason
    from newbi_migrate.store.runs import quarantined_documents

    return any(
        reason in (Reason.OWNER_WITHOUT_WORKSPACE, Reason.OWNER_QUARANTINED)
        and plan.collections[name].quarantined > quarantined_documents(runs, name)
        for name, reason in plan.quarantine.counts()
    )


def after_other_decisions(
    options: MigrationOptions,
    *,
    output: Path,
    backup: Sequence[str],
    place: Sequence[str],
) -> str:
    """Another rehearsal, with the choices of the plan that is not as it was rehearsed.

    Args:
        options: The choices of the plan.
        output: File of the decisions that were compared, which the new ones replace.
        backup: The arguments that name a backup of the database as it is now, if there is one.
        place: The arguments that name the connection string.
    """
    if backup:
        return suggest("rehearse", *backup, *_of_rehearsal(options, output))
    again = suggest("rehearse", "DIR", *_of_rehearsal(options, output))
    return f"{suggest('backup', *place)} and, with its folder, {again}"


def after_no_go(options: MigrationOptions, *, output: Path | None, opening: Sequence[str]) -> str:
    """Another rehearsal with the same choices, of a backup of what was put right.

    Args:
        options: The choices of the rehearsal.
        output: File of its decisions, if they were saved.
        opening: The arguments that opened its backup, if it was encrypted.
    """
    backup = suggest("backup", *(["--recipient", "KEY"] if opening else []))
    again = suggest("rehearse", "DIR", *opening, *_of_rehearsal(options, output))
    return f"once that is put right, {backup} and, with its folder, {again}"


def _of_rehearsal(options: MigrationOptions, output: Path | None) -> list[str]:
    return [*as_arguments(options), *([] if output is None else ["--output", str(output)])]


def _proof(runs: Sequence[RunRecord], place: Sequence[str], *, now: bool = False) -> str:
    """A validation; with the proof of conservation where the last run took digests before.

    A late run takes none: people have long gone on writing by then.

    Args:
        runs: All runs, the newest first.
        place: The arguments that name the connection string.
        now: Whether that run has just ended, so that nobody can have changed anything since.
    """
    from newbi_migrate.migration.run.baseline import baseline_of

    last = next((run for run in runs if run.in_place), None)
    validated = suggest("validate", *place)
    if last is None or baseline_of(last) is None:
        return validated
    proved = suggest("validate", "--unchanged", *place)
    return proved if now else f"{proved}; or, where people work again, {validated}"


def after_coming_late(command: str, runs: Sequence[RunRecord], place: Sequence[str]) -> str:
    """A look at what came late, with the choices of the last migration."""
    from newbi_migrate.migration.run.finishing import late_work

    return late_work(command, runs, "--dry-run", *place)


def after_run(
    command: str, result: RunResult, runs: Sequence[RunRecord], place: Sequence[str]
) -> str:
    """A validation; where something is quarantined, a person decides whether that may be.

    So they do about an index that cannot be built. Documents whose owners have no workspace wait
    for a migration.

    Args:
        command: ``migrate`` or ``backfill``.
        result: What it did.
        runs: All runs as they are afterwards, the newest first.
        place: The arguments that name the connection string.
    """
    from newbi_migrate.mapping.workspace import Reason

    if result.exit_code is ExitCode.PENDING:
        return suggest(command, *as_arguments(result.plan.options), *place)
    if command == "backfill" and result.quarantine.of_reason(Reason.OWNER_WITHOUT_WORKSPACE):
        return after_coming_late("migrate", runs, place)
    proof = _proof(runs, place, now=result.run_id is not None)
    if not len(result.quarantine) and any(one.action.blocked for one in result.indexes):
        return f"{_put_right(place)}; or, if it may stay so, {proof}"
    return _if_it_may_stay(proof, result)


def _put_right(place: Sequence[str]) -> str:
    """What builds an index that could not be built."""
    return f"once nothing is in the way of an index, {suggest('indexes', '--apply', *place)}"


def _if_it_may_stay(command: str, found: Plan | RunResult) -> str:
    """A command; where something is quarantined, with the decision that it takes first."""
    if not len(found.quarantine):
        return command
    settled = "settle what is quarantined, and make a backup and a plan again"
    return f"{settled}; or, if it may stay so, {command}"


def after_validation(
    report: ValidationReport,
    place: Sequence[str],
    *,
    chosen: Sequence[str] = (),
    only: Sequence[str] = (),
    detailed: bool = False,
    runs: Sequence[RunRecord] = (),
) -> str:
    """The application, and the end of the migration; else what puts right what is broken.

    Where some rules alone were asked, and are kept, all of them come first. Where every violation
    is listed already, what is left is to put them right.

    Args:
        report: What was found.
        place: The arguments that name the connection string.
        chosen: The arguments that say what was asked, but for the rules.
        only: The rules that alone were asked; all if there are none.
        detailed: Whether every violation is listed already.
        runs: All runs, the newest first.
    """
    from newbi_migrate.migration.validation.report import Origin
    from newbi_migrate.migration.validation.rules import NOTHING_ELSE_CHANGED
    from newbi_migrate.rules import Severity

    caused = [result for result in report.results if result.origin is not Origin.BEFORE]
    if report.under_way or any(result.rule == "run.finished" for result in caused):
        return suggest("status", *place)
    if report.run_id is None:
        return suggest("plan", *place)
    rules = ["--only", ",".join(only)] if only else []
    if report.failed:
        broken = [found.rule for found in caused if found.severity is Severity.CRITICAL]
        users = any(rule.startswith("legacy-user.") for rule in broken)
        documents = any(
            rule.startswith(("document.workspace", "document.owner-follows")) for rule in broken
        )
        if users or documents:
            # Documents of users who came late wait for them, and a migration covers both.
            return after_coming_late("migrate" if users else "backfill", runs, place)
        if {*broken} == {NOTHING_ELSE_CHANGED.id}:
            shown = ["--compare", "--verbose", "--ignore-field", "workspaceId", "DIR"]
            compared = suggest("verify-backup", *shown, *place)
            validated = suggest("validate", *place)
            return f"{compared}, and if all of that is the work of people, {validated}"
        again = suggest("validate", "--detailed", *chosen, *rules, *place)
        if detailed:
            asked = suggest("validate", *chosen, *rules, *place)
            again = f"once what is listed is put right, {asked}"
        if report.finalized or not report.count(Severity.CRITICAL, Origin.RUN):
            return again
        return f"{again}, and to go back {suggest('rollback', '--all', '--dry-run', *place)}"
    if only:
        return _proof(runs, place)
    if report.finalized:
        return ""
    return f"start the application, then {_signing_in()}, and {after_smoke(place)}"


def _signing_in() -> str:
    """The test of the application, which is asked about itself and no database."""
    from newbi_migrate.migration.checklist import LineId
    from newbi_migrate.report.checklist import COMMANDS

    return suggest(*COMMANDS[LineId.TESTED])


def after_smoke(place: Sequence[str] = ()) -> str:
    """The end of the migration, which first keeps the legacy users under another name."""
    return f"days later {suggest('finalize', '--keep', '--dry-run', *place)}"


def after_status(found: Status, place: Sequence[str]) -> str:
    """What the database as it stands asks for."""
    from newbi_migrate.migration.run.finishing import finishing

    if found.lease is not None and found.lease.under_way:
        return suggest("status", *place)
    if found.restoring:
        return f"{suggest('restore', 'DIR', *place)} with the options it was started with"
    if found.damage is not None:
        return suggest("doctor", *place)
    if found.unfinished is not None:
        return finishing(found.unfinished, place)
    if not found.runs:
        return suggest("backup", *place)
    if not any(run.in_place and run.migrates for run in found.runs):
        return _all_back(found.runs, place)
    # Documents of users who came late wait for them, and a migration covers both.
    # What a run quarantined waits for a person; another run would quarantine it again.
    if found.late_users:
        return after_coming_late("migrate", found.runs, place)
    if found.quarantined != found.without_workspace:
        return after_coming_late("backfill", found.runs, place)
    return _proof(found.runs, place)


def after_rollback(
    results: Sequence[RollbackResult],
    *,
    everything: bool,
    runs: Sequence[RunRecord] = (),
    place: Sequence[str],
) -> str:
    """The same rollback after a look at it; then the proof or a plan, or what a part of one left.

    Args:
        results: One for each run.
        everything: Whether all runs were asked for.
        runs: All runs as they are afterwards, the newest first.
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
    left = next((result for result in results if result.unresolved and options.stops), None)
    if options.whole and left is not None:
        again = suggest("rollback", "--run", str(left.run_id), *place)
        return f"once nothing is in the way of what was left, {again}"
    if not options.whole or any(run.in_place for run in runs):
        return suggest("status", *place)
    taken_back = {result.run_id for result in results}
    return _all_back((run for run in runs if run.run_id in taken_back), place)


def _all_back(runs: Iterable[RunRecord], place: Sequence[str]) -> str:
    """A plan; where one of the runs that were taken back had a backup, first a comparison."""
    from newbi_migrate.migration.run.baseline import BaselineSource, baseline_of

    plan = suggest("plan", *place)
    found = [baseline for run in runs if (baseline := baseline_of(run)) is not None]
    names = {one.name for one in found if one.source is BaselineSource.BACKUP}
    if not names:
        return plan
    compared = suggest("verify-backup", "--compare", "DIR", *place)
    # Of several, a person knows which is from before what was taken back.
    name = names.pop() if len(names) == 1 else ""
    which = name or "from before"
    return f"compare with the backup {which}: {compared}; then start the old application, or {plan}"


def after_dropping_aside(result: DroppedAside, place: Sequence[str]) -> str:
    """What a look at it was for; then how the database stands."""
    if result.dry_run and (result.collections or result.runs):
        return suggest("drop-aside", *place)
    return suggest("status", *place)


def after_finalize(
    result: FinalizeResult, place: Sequence[str], runs: Sequence[RunRecord] = ()
) -> str:
    """What a look at it was for; indexes before the end, and after it a backup of what is new.

    Args:
        result: What was found or done.
        place: The arguments that name the connection string.
        runs: All runs, the newest first.
    """
    from newbi_migrate.migration.run.accounted import last_migration
    from newbi_migrate.migration.run.finishing import finishing
    from newbi_migrate.store.runs import unfinished_run

    if result.missing and not result.dry_run:
        then = f", and {suggest('backup', *place)}" if result.command == "finalize" else ""
        return f"{_put_right(place)}{then}"
    if result.command == "finalize":
        if result.nothing_left and result.kept_as is not None:
            then = suggest("finalize", "--dry-run", *place)
            last = last_migration(runs)
            waits = result.quarantined or (last is not None and last.quarantined)
            settled = " and the quarantined are settled" if waits else ""
            return f"once nobody wants to go back{settled}, {then}"
        if result.nothing_left:
            return ""
        if not result.dry_run:
            return suggest("backup", *place)
        chosen = ["--keep"] if result.kept_as is not None else []
        chosen += ["--drop-journal"] if result.journal_dropped else []
        return suggest("finalize", *chosen, *place)
    if (unfinished := unfinished_run(runs)) is not None:
        return finishing(unfinished, place)
    if result.dry_run and (result.dropped or result.created):
        return suggest("indexes", "--apply", *place)
    return suggest("validate", *place)


def night_commands(options: MigrationOptions, *, rehearsed: Path | None) -> list[str]:
    """The commands of the night, in order, after a rehearsal.

    Args:
        options: The choices that were rehearsed.
        rehearsed: File of the decisions, if they were saved.
    """
    from newbi_migrate.migration.planning.options import MigrationOptions

    usual = MigrationOptions()
    alone = replace(options, batch_size=usual.batch_size, workers=usual.workers)
    chosen = as_arguments(alone)
    size = as_arguments(replace(usual, batch_size=options.batch_size, workers=options.workers))
    scope = MigrationOptions(
        legacy_collection=options.legacy_collection,
        collections=options.collections,
        schema_day=options.schema_day,
    )
    same = [] if rehearsed is None else ["--rehearsed", str(rehearsed)]
    return [
        suggest("backup", "--output-dir", "backups"),
        suggest("verify-backup", "--compare", "DIR"),
        suggest("doctor", "--backup", "DIR"),
        suggest("plan", *chosen, "--output", PLAN, *same, "--backup", "DIR"),
        suggest("migrate", "--plan", PLAN, "--backup", "DIR", *size),
        suggest("validate", "--unchanged", *as_arguments(scope)),
        _signing_in(),
    ]
