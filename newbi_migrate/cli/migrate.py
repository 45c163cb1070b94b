"""``newbi-migrate migrate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.carrying import carry_out
from newbi_migrate.cli.planning import show_plan
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session
from newbi_migrate.errors import UsageError

if TYPE_CHECKING:
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import SavedPlan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    *,
    dry_run: opt.DryRun = False,
    plan: opt.PlanFile = None,
    confirm: opt.Confirm = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
    batch_size: opt.BatchSize = None,
    workers: opt.Workers = None,
    legacy_collection: opt.LegacyCollection = None,
    duplicate_emails: opt.DuplicateEmails = None,
    aliases: opt.Aliases = None,
    alias_owners: opt.AliasOwners = None,
    collections: opt.Collections = None,
    schema_day: opt.SchemaDay = None,
    backup: opt.Backup = None,
    identity: opt.Identities = None,
    record_digests: opt.RecordDigests = False,
    max_rate: opt.MaxRate = None,
    pause_file: opt.PauseFile = None,
    max_lag: opt.MaxLag = None,
    log_file: opt.LogFile = None,
    report: opt.Reports = None,
    show_personal_data: opt.ShowPersonalData = False,
) -> None:
    """Migrate users and stamp their documents; again, it finishes what was interrupted.

    A backup that is named is verified, must be of this database, and must equal it, before the
    first write; so must a plan that is named. A plan brings its own choices. Where nothing is
    left to write, nothing is written.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        reports = ReportFiles(
            report, personal=show_personal_data, taken=[plan, log_file, pause_file, uri_file]
        )
        backed = values.backup_guard(backup, identity, digests=record_digests)
        throttle = values.throttle(max_rate, pause_file, max_lag)
        choices: dict[str, Any] = {
            "legacy_collection": legacy_collection,
            "duplicate_emails": duplicate_emails,
            "aliases": aliases,
            "alias_owners": alias_owners,
            "collections": collections,
            "schema_day": schema_day,
        }
        session.log_to(log_file, "migrate --dry-run" if dry_run else "migrate")
        saved: SavedPlan | None = None
        if plan is None:
            options = values.migration_options(**choices, batch_size=batch_size, workers=workers)
        else:
            saved, options = _of_saved(plan, choices, batch_size, workers)
        if dry_run:
            show_plan(
                session,
                options,
                verbose=verbose,
                saved=saved,
                saved_in=plan,
                backup_guard=backed,
                reports=reports,
                command="migrate",
            )
        carry_out(
            session,
            options,
            command="migrate",
            confirmed=confirm,
            verbose=verbose,
            backup_guard=backed,
            throttle=throttle,
            saved=saved,
            saved_in=plan,
            reports=reports,
        )


def _of_saved(
    path: Path, choices: Mapping[str, Any], batch_size: int | None, workers: int | None
) -> tuple[SavedPlan, MigrationOptions]:
    """A saved plan and its choices; others given beside it would only contradict it."""
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import load_plan

    given = [f"--{name.replace('_', '-')}" for name, value in choices.items() if value]
    if given:
        raise UsageError(
            f"A plan brings its own choices, so {', '.join(given)} cannot be given beside --plan.",
            next_step="Leave them out, or make a new plan with them.",
        )
    saved = load_plan(path)
    usual = values.migration_options(batch_size=batch_size, workers=workers)
    options = MigrationOptions.from_policy(
        saved.policy, batch_size=usual.batch_size, workers=usual.workers
    )
    return saved, options
