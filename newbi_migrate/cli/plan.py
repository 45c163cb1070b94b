"""``newbi-migrate plan``."""

from __future__ import annotations

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.planning import show_plan
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    *,
    output: opt.Output = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
    legacy_collection: opt.LegacyCollection = None,
    duplicate_emails: opt.DuplicateEmails = None,
    aliases: opt.Aliases = None,
    alias_owners: opt.AliasOwners = None,
    collections: opt.Collections = None,
    schema_day: opt.SchemaDay = None,
    backup: opt.Backup = None,
    identity: opt.Identities = None,
    log_file: opt.LogFile = None,
    report: opt.Reports = None,
    show_personal_data: opt.ShowPersonalData = False,
) -> None:
    """Decide everything a migration would do, and show it; writes nothing.

    One decision for each user with its reason, what is stamped in each collection, which indexes
    are created, and what is left out and why. The exit code is the one the migration would have.
    A backup that is named is verified and must equal the database, as for the migration.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        reports = ReportFiles(
            report, personal=show_personal_data, taken=[output, log_file, uri_file]
        )
        options = values.migration_options(
            legacy_collection=legacy_collection,
            duplicate_emails=duplicate_emails,
            aliases=aliases,
            alias_owners=alias_owners,
            collections=collections,
            schema_day=schema_day,
        )
        backed = values.backup_guard(backup, identity)
        session.log_to(log_file, "plan")
        show_plan(
            session,
            options,
            verbose=verbose,
            save_to=output,
            backup_guard=backed,
            reports=reports,
        )
