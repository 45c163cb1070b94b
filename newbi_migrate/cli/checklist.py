"""``newbi-migrate checklist``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from newbi_migrate.choices import Language
from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import PLAN, after_coming_late, after_status, suggest

__all__ = ["checklist"]


def checklist(
    *,
    backup: Annotated[
        Path | None,
        typer.Option("--backup", metavar="DIR", help="Folder of the backup you rely on."),
    ] = None,
    rehearsed: opt.Rehearsed = None,
    watch: opt.Watch = 3.0,
    lang: Annotated[
        Language, typer.Option("--lang", help="Language of the lines.")
    ] = Language.ENGLISH,
    legacy_collection: opt.LegacyCollection = None,
    call: opt.Call,
) -> None:
    """Tick the guide's checklist by what is recorded or can be seen; writes nothing.

    Each line is done, open, failed, or asked of you, where nothing here can tell; below them
    stands the command of each open line that has one. After a migration it validates, which reads
    the database.
    """
    with call.session("checklist") as session:
        from newbi_migrate.migration.checklist import LineId
        from newbi_migrate.report.checklist import COMMANDS, checklist_document

        values.rehearsal(rehearsed)
        found = session.ask(
            lambda migration: migration.checklist(backup=backup, rehearsed=rehearsed, watch=watch),
            options=values.migration_options(legacy_collection=legacy_collection),
        )

        # What was begun is finished, as it was begun, before anything else.
        finishing = ""
        if found.status.restoring:
            finishing = suggest("restore", "DIR", *session.uri_arguments)
        elif found.status.half_done:
            finishing = after_status(found.status, session.uri_arguments)

        def command(line: LineId) -> str:
            if line in (LineId.BACKUP, LineId.MIGRATED) and finishing:
                # It is too late for a backup.
                return finishing
            chosen = values.as_arguments(found.planned)
            if line is LineId.REHEARSED:
                decisions = "rehearsed.json" if rehearsed is None else str(rehearsed)
                dump = "DIR" if backup is None else str(backup)
                return suggest("rehearse", dump, *chosen, "--output", decisions)
            if line is LineId.NEW_DOCUMENTS:
                return after_coming_late("backfill", found.status.runs, session.uri_arguments)
            if line not in COMMANDS:
                return ""
            words = [*COMMANDS[line]]
            if line is LineId.PLANNED:
                words += ["--output", PLAN, *chosen]
                words += [] if rehearsed is None else ["--rehearsed", str(rehearsed)]
            if line is LineId.MIGRATED:
                words += ["--plan", PLAN]
            if line in (LineId.PLANNED, LineId.MIGRATED):
                words += [] if backup is None else ["--backup", str(backup)]
            # The application is asked about itself, and no database.
            words += [] if words[0] == "smoke" else session.uri_arguments
            return suggest(*words)

        document = checklist_document(found, command=command, language=lang)
        session.finish(replace(document, next_command=finishing or document.next_command))
