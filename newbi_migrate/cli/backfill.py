"""``newbi-migrate backfill``."""

from __future__ import annotations

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.carrying import carry_out
from newbi_migrate.cli.planning import show_plan
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill")(backfill)


def backfill(
    *,
    dry_run: opt.DryRun = False,
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
) -> None:
    """Stamp documents alone, for late documents or further collections; users stay as they are.

    What was left out before is tried again; where nothing is left to write, nothing is written.
    """
    session = Session("backfill", as_json=as_json, uri_file=uri_file)
    with session.explained():
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        reports = ReportFiles(report, taken=[log_file, pause_file, uri_file])
        backed = values.backup_guard(backup, identity, digests=record_digests)
        throttle = values.throttle(max_rate, pause_file, max_lag)
        options = values.migration_options(
            legacy_collection=legacy_collection,
            duplicate_emails=duplicate_emails,
            aliases=aliases,
            alias_owners=alias_owners,
            collections=collections,
            schema_day=schema_day,
            batch_size=batch_size,
            workers=workers,
        )
        session.log_to(log_file, "backfill --dry-run" if dry_run else "backfill")
        if dry_run:
            show_plan(
                session,
                options,
                verbose=verbose,
                documents_only=True,
                backup_guard=backed,
                reports=reports,
                command="backfill",
            )
        carry_out(
            session,
            options,
            command="backfill",
            confirmed=confirm,
            verbose=verbose,
            backup_guard=backed,
            throttle=throttle,
            reports=reports,
        )
