"""``newbi-migrate doctor``."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.choices import Purpose
from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_diagnosis
from newbi_migrate.errors import NewbiMigrateError

if TYPE_CHECKING:
    from newbi_migrate.migration.doctor import Diagnosis
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.store.runs import RunRecord

__all__ = ["doctor"]


def doctor(
    *,
    purpose: Annotated[
        Purpose,
        typer.Option(
            "--before", help="The command to be run next; it decides which rights are needed."
        ),
    ] = Purpose.MIGRATE,
    backup: Annotated[
        Path | None,
        typer.Option(
            "--backup",
            metavar="DIR",
            help="Folder of the backup you rely on, to check that it is of this database as it is.",
        ),
    ] = None,
    watch: opt.Watch = 3.0,
    legacy_collection: opt.LegacyCollection = None,
    call: opt.Call,
) -> None:
    """Check that everything is ready for a run; writes nothing.

    Each check is ok, warning, failed or skipped, with what to do. A warning is something to know
    before going on, not a reason to stop. A run repairs most traces of an earlier attempt.
    """
    with call.session("doctor") as session:
        from newbi_migrate.answers import answer
        from newbi_migrate.checks import Level, worst
        from newbi_migrate.report.checks import checks_document

        options = values.migration_options(legacy_collection=legacy_collection)

        async def looking(migration: Migration) -> tuple[Diagnosis, list[RunRecord]]:
            found = await migration.doctor(purpose=purpose, backup=backup, watch=watch)
            # Where they cannot be read, a check has said so.
            with contextlib.suppress(NewbiMigrateError):
                return found, await migration.runs()
            return found, []

        found, runs = session.ask(looking, quiet=True, options=options)
        checks = tuple(replace(each, remedy=session.placed(each.remedy)) for each in found.checks)
        found = replace(found, checks=checks)
        following = ""
        if worst(found.checks) is not Level.FAILED:
            following = after_diagnosis(
                purpose.value, backup, legacy_collection, session.uri_arguments, runs
            )
        session.finish(
            checks_document(
                "doctor",
                found.database,
                f"Ready for {purpose.value} on the database {found.database}?",
                found.checks,
                found.exit_code,
                value=lambda: answer(found),
                next_command=following,
            )
        )
