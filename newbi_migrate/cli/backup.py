"""``newbi-migrate backup`` and ``newbi-migrate verify-backup``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.next_steps import after_backup, after_verifying, suggest
from newbi_migrate.cli.running import Session, interruptible
from newbi_migrate.cli.values import opening
from newbi_migrate.errors import DamagedRecordsError, UsageError

if TYPE_CHECKING:
    from newbi_migrate.backup.compare import Comparison
    from newbi_migrate.backup.export_list import Exports
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.backup.writer import BackupResult
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.progress import Progress
    from newbi_migrate.store.collections import CollectionInfo
    from newbi_migrate.store.handles import Database

__all__ = ["backup", "verify_backup"]


# -- backup -----------------------------------------------------------------------------------


def backup(
    *,
    output_dir: Annotated[
        Path,
        typer.Option(
            "--output-dir",
            metavar="DIR",
            help="Folder in which the backup gets a folder of its own, named after the time.",
        ),
    ] = Path("backups"),
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="KEY",
            help="Encrypt for this public key (age1… or an SSH key); may be repeated.",
        ),
    ] = None,
    exports: Annotated[
        bool,
        typer.Option(
            "--exports/--no-exports",
            help="Write the critical collections as Extended JSON as well, once the backup is "
            "whole; nothing has to wait for them.",
        ),
    ] = True,
    exports_only: Annotated[
        Path | None,
        typer.Option(
            "--exports-only",
            metavar="BACKUP",
            help="Make no backup: write what is missing of the exports of this one. No server is "
            "asked.",
        ),
    ] = None,
    identity: opt.Identities = None,
    dry_run: opt.DryRun = False,
    workers: opt.AtOnce = 2,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List every collection with its digest.")
    ] = False,
    call: opt.LoggedCall,
) -> None:
    """Back up the whole database into a folder, in mongodump's format.

    The role read on the database is enough. A replica set is read as of one moment, whatever is
    written meanwhile; stop the application before you back up a standalone. A backup that fails
    leaves nothing behind. It is whole before its JSON exports are begun, and a migration can begin
    then.
    """
    with call.session("backup") as session:
        from newbi_migrate.backup.encrypt import read_identities, read_recipients
        from newbi_migrate.backup.writer import backup_database
        from newbi_migrate.report.backups import backup_document

        recipients = read_recipients(recipient or ())
        encrypting = [part for key in recipient or () for part in ("--recipient", key)]
        if exports_only is not None:
            if dry_run or not exports:
                raise UsageError(
                    "The options --dry-run and --no-exports are about a backup, and with "
                    "--exports-only none is made.",
                    next_step="Leave them out.",
                )
            session.log_to(call.log_file, "backup --exports-only", on=str(exports_only))
            again = [*encrypting, *opening(identity)]
            keys = read_identities(identity or ())
            _complete(session, exports_only, again, recipients, keys)
        if identity:
            raise UsageError(
                "The option --identity opens a backup, and none is read.",
                next_step="Leave it out, or add --exports-only BACKUP.",
            )
        chosen = ["--output-dir", str(output_dir), *encrypting]
        chosen += [] if exports else ["--no-exports"]
        session.log_to(call.log_file, "backup --dry-run" if dry_run else "backup")
        if dry_run:
            _survey(session, output_dir, chosen)

        async def backing_up() -> tuple[BackupResult, Exports | None]:
            left = "The backup was interrupted; nothing that looks like one was left behind."
            with session.progress() as progress:
                with interruptible(left):
                    async with session.database() as database:
                        await _sources(database)
                        made = await backup_database(
                            database,
                            output_dir,
                            progress=progress,
                            workers=workers,
                            recipients=recipients,
                            exports=exports,
                        )
                if not made.manifest.exports:
                    return made, None
                # What is half migrated is finished with the backup from before.
                begin = "" if made.manifest.unfinished_run else ", and a migration can begin"
                progress.note(f"The backup {made.path} is whole{begin}; its JSON exports follow.")
                again = [*encrypting, *(["--identity", "FILE"] if recipients else [])]
                return made, await _export(made.path, progress, again, recipients, made.identities)

        result, exported = session.run(backing_up)
        following = after_backup(
            result.path, result.manifest, chosen=chosen, place=session.uri_arguments
        )
        document = backup_document(
            result.path,
            result.manifest,
            exported.entries if exported else (),
            next_command=following,
        )
        session.finish(document, verbose=verbose)


def _complete(
    session: Session,
    path: Path,
    again: Sequence[str],
    recipients: Sequence[Any],
    identities: Sequence[Any],
) -> NoReturn:
    from newbi_migrate.report.backups import exports_document

    async def exporting() -> Exports:
        with session.progress() as progress:
            return await _export(path, progress, again, recipients, identities)

    exported = session.run(exporting)
    following = suggest("verify-backup", str(path))
    session.finish(exports_document(exported, next_command=following))


async def _export(
    path: Path,
    progress: Progress,
    again: Sequence[str],
    recipients: Sequence[Any],
    identities: Sequence[Any],
) -> Exports:
    from newbi_migrate.backup.exporting import export_backup

    left = f"The exports were interrupted; the backup {str(path)!r} is whole without them."
    further = f"{suggest('backup', '--exports-only', str(path), *again)} writes what is missing."
    with interruptible(left, further):
        return await export_backup(
            path, progress=progress, recipients=recipients, identities=identities
        )


def _survey(session: Session, output_dir: Path, chosen: Sequence[str]) -> NoReturn:
    from newbi_migrate.report.backups import BackupPreview, backup_survey_document

    async def looking(migration: Migration) -> BackupPreview:
        from newbi_migrate.backup.sources import unfinished_work
        from newbi_migrate.store.counting import estimated_counts
        from newbi_migrate.store.faults import explained

        database = migration.store.database
        sources = await _sources(database)
        with explained("reading the database"):
            counts = dict(sorted((await estimated_counts(database, sources)).items()))
            # A backup is made beside damaged records too, and says so.
            with contextlib.suppress(DamagedRecordsError):
                return BackupPreview(
                    database.name, output_dir, counts, await unfinished_work(database)
                )
        return BackupPreview(database.name, output_dir, counts)

    preview = session.ask(looking, quiet=True)
    words = ["backup", *chosen] if preview.unfinished_run is None else ["status"]
    following = suggest(*words, *session.uri_arguments)
    session.finish(backup_survey_document(preview, next_command=following))


async def _sources(database: Database) -> list[CollectionInfo]:
    """What there is to back up: a backup of nothing would be taken for one of something."""
    from newbi_migrate.backup.sources import list_sources
    from newbi_migrate.store.connection import nothing_there
    from newbi_migrate.store.faults import explained

    with explained("reading the database"):
        sources, _ = await list_sources(database)
    if not sources:
        raise nothing_there(database.name)
    return sources


# -- verify-backup ----------------------------------------------------------------------------


def verify_backup(
    path: opt.Dump,
    *,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Compare it with the database of the connection string as well."
        ),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore-field",
            metavar="FIELD",
            help="Top-level field that --compare ignores, such as workspaceId, but not _id; may be "
            "repeated.",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="Compare with this database of the server; otherwise with the one the connection "
            "string names.",
        ),
    ] = None,
    identity: opt.Identities = None,
    source_database: opt.SourceDatabase = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "--detailed", help="List every collection and every difference."),
    ] = False,
    call: opt.LoggedCall,
) -> None:
    """Check that a backup is whole; with --compare, that the database equals it.

    A dump of mongodump can be checked too, but not compared. Of an encrypted backup the bytes of
    every file are checked without its key, and --compare works as long as nothing differs.
    """
    with call.session("verify-backup") as session:
        from newbi_migrate.backup.compare import compare_backup, fields_to_ignore
        from newbi_migrate.backup.encrypt import read_identities
        from newbi_migrate.backup.verify import verify_backup as verify
        from newbi_migrate.report.backups import verification_document

        if (without or database) and not compare:
            raise UsageError(
                "The options --ignore-field and --database are about a comparison, and none was "
                "asked for.",
                next_step="Add --compare, or leave them out.",
            )
        ignored = fields_to_ignore(without or ())
        session.log_to(call.log_file, "verify-backup", on=str(path))
        session.elsewhere = database
        if compare:
            _ = session.target  # a missing connection string is said before anything is read
        keys = read_identities(identity or ())

        async def verifying() -> tuple[Verification, Comparison | None]:
            with (
                interruptible("The verification was interrupted."),
                session.progress() as progress,
            ):
                verification = await verify(
                    path, identities=keys, progress=progress, source=source_database
                )
                if not compare or not verification.intact:
                    return verification, None
                async with session.database(database) as live:
                    return verification, await compare_backup(
                        path,
                        live,
                        identities=keys,
                        progress=progress,
                        without=ignored,
                        source=source_database,
                    )

        verification, comparison = session.run(verifying)
        here = comparison is not None and comparison.database == session.target.database
        following = after_verifying(
            path,
            verification,
            comparison,
            here=here,
            chosen=opening(identity, source_database),
            place=session.uri_arguments,
        )
        document = verification_document(verification, comparison, next_command=following)
        session.finish(document, verbose=verbose)
