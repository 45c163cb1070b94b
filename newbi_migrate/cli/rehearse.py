"""``newbi-migrate rehearse``: the whole run book on a copy that a backup gives."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_no_go, night_commands
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session, interruptible, say, wait_for_interruption

if TYPE_CHECKING:
    from newbi_migrate.backup.dump import Dump
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.rehearsal.results import Rehearsal

__all__ = ["rehearse"]


def rehearse(
    path: opt.Dump,
    *,
    scratch_uri_file: Annotated[
        Path | None,
        typer.Option(
            "--scratch-uri-file",
            metavar="FILE",
            help="File with the connection string of an empty database on a server that may be "
            "lost; it is dropped in the end. Otherwise a mongod is started here.",
        ),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir",
            metavar="DIR",
            help="Folder for the files of the rehearsal, which are removed in the end.",
            show_default="the system's folder for temporary files",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave the migrated copy in the end: its server runs until Ctrl-C; on a server of "
            "your own the copy stays until you drop it.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Save the decisions in this file, readable by its owner alone, for plan "
            "--rehearsed and migrate --rehearsed.",
        ),
    ] = None,
    identity: opt.Identities = None,
    source_database: opt.SourceDatabase = None,
    choices: opt.Choices,
    size: opt.Size,
    report: opt.Reports = None,
    verbose: opt.Verbose = False,
    call: opt.Answering,
    log_file: opt.LogFile = None,
) -> None:
    """Rehearse the night on a copy: every step there, back to the byte, and there again.

    It restores BACKUP on a throw-away server and never opens the database it came from: neither
    MONGODB_URI nor a file .env is looked at. The answer is go or no-go, what a person has to decide
    before, how long each step took here, and the commands to type on the night. It takes the extra
    embedded, a mongod on the search path or named by NEWBI_MONGOD, or --scratch-uri-file.
    """
    with call.session("rehearse", scratch_uri_file) as session:
        from newbi_migrate.backup.dump import Dump
        from newbi_migrate.backup.encrypt import read_identities
        from newbi_migrate.migration.planning.plan_file import plan_lines, refuse_other_file
        from newbi_migrate.migration.rehearsal.results import Verdict
        from newbi_migrate.report.files import refuse_unwritable, write_privately
        from newbi_migrate.report.rehearsal import rehearsal_document

        reports = ReportFiles(report, taken=[output, log_file, scratch_uri_file])
        if output is not None:
            refuse_unwritable(output)
            refuse_other_file(output)
        options = values.migration_options(**asdict(choices), **asdict(size))
        identities = read_identities(identity or ())
        session.log_to(log_file, "rehearse", on=str(path))
        dump = Dump(path, identities, source=source_database)
        folder = work_dir or Path(tempfile.gettempdir())

        async def rehearsing(migration: Migration) -> Rehearsal:
            with interruptible("The rehearsal was interrupted, and everything of it is removed."):
                return await migration.rehearse(
                    path,
                    work_dir=folder,
                    identities=identities,
                    source=source_database,
                    keep=keep,
                )

        with _scratch(session, dump, folder, own=scratch_uri_file is None) as scratch:
            found = session.ask(rehearsing, of=scratch, options=options)
            if output is not None and found.plan is not None:
                write_privately(output, plan_lines(found.plan))
                say(f"The decisions were saved in {output}.")
            # The night does not come before what failed is put right.
            no_go = any(found.failures)
            night = [] if no_go else night_commands(options, rehearsed=output)
            following = (
                after_no_go(options, output=output, opening=values.opening(identity))
                if no_go
                else night[0]
            )
            if found.verdict is Verdict.DECIDE:
                following = f"once a person has decided, {following}"
            document = rehearsal_document(found, night=night, next_command=following)
            # The database is never opened, not to look at its checklist either.
            code = reports.write(session, lambda _emails: document, found.exit_code, seen=None)
            if keep:
                session.answer(document, verbose=verbose)
                if scratch_uri_file is None:
                    wait_for_interruption(scratch)
                raise typer.Exit(int(code))
        session.finish(document, verbose=verbose, code=code)


@contextlib.contextmanager
def _scratch(session: Session, dump: Dump, folder: Path, *, own: bool) -> Iterator[Any]:
    """A connection string of an empty database: on a server of its own, or the one named."""
    from newbi_migrate.migration.rehearsal.scratch import (
        bytes_of_documents,
        refuse_without_room,
        scratch_server,
    )

    documents = bytes_of_documents(dump)
    refuse_without_room(folder, documents, backup=dump.manifest is None, server=own)
    if not own:
        yield session.target
        return
    say("Starting a MongoDB server of its own …")
    with scratch_server(folder) as server:
        yield server.uri_for(dump.database)
