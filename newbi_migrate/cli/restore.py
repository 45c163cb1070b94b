"""``newbi-migrate restore``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.following import after_restoring, suggest
from newbi_migrate.cli.running import Session, interruptible, say
from newbi_migrate.errors import ExitCode

if TYPE_CHECKING:
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.migration.restore.run import RestoreResult
    from newbi_migrate.migration.restore.target import RestoreTarget

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)


def restore(
    path: opt.Dump,
    *,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="Restore into this database of the server; otherwise into the one the "
            "connection string names.",
        ),
    ] = None,
    drop: Annotated[
        bool,
        typer.Option(
            "--drop", help="Drop every collection of the target first; its name is asked for."
        ),
    ] = False,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collections",
            metavar="A,B",
            help="Restore only these, into an empty database; may be repeated.",
        ),
    ] = None,
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    identity: opt.Identities = None,
    source_database: opt.SourceDatabase = None,
    convert_legacy_indexes: Annotated[
        bool,
        typer.Option(
            "--convert-legacy-indexes",
            help="Make keys and options of indexes that only servers before 3.4 took into what "
            "they stood for, as mongorestore does; otherwise such indexes are left out and listed.",
        ),
    ] = False,
    workers: opt.AtOnce = 4,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every collection.")] = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
    log_file: opt.LogFile = None,
) -> None:
    """Bring a backup or a dump of mongodump back, byte for byte; again, it finishes.

    It is verified first, and a damaged one is refused before anything is touched; --collections
    brings back what is whole of it. The target must be empty, unless --drop is given.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.backup.encrypt import read_identities

        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        database = database or session.target.database
        session.log_to(
            log_file, "restore --dry-run" if dry_run else "restore", on=f"{path} into {database}"
        )
        restoring = _Restoring(
            session,
            path,
            database,
            drop,
            values.names(collections, "--collections") or (),
            read_identities(identity or ()),
            source_database,
            workers,
            verbose,
            convert_legacy_indexes,
        )
        target = session.run(restoring.look)
        if dry_run:
            restoring.preview(target)
        reviewed = None
        if not confirm:
            reviewed = target
            if drop and target.existing and not target.unfinished:
                say(f"These collections will be dropped: {', '.join(target.existing)}.")
            session.confirm(target.database, confirmed=False)
        restoring.report(session.run(lambda: restoring.restore(reviewed)))


class _Restoring:
    """One call of ``restore``."""

    def __init__(
        self,
        session: Session,
        path: Path,
        database: str,
        drop: bool,
        only: Sequence[str],
        identities: Any,
        source: str | None,
        workers: int,
        verbose: bool,
        convert: bool,
    ) -> None:
        self._convert = convert
        self._session = session
        self._path = path
        self._database = database
        self._drop = drop
        self._only = only
        self._identities = identities
        self._source = source
        self._workers = workers
        self._verbose = verbose

    async def look(self) -> RestoreTarget:
        """What the target holds; fails where it holds something that may not be dropped."""
        from newbi_migrate.migration.restore.target import look_at_target

        async with self._session.database(self._database) as target:
            found = await look_at_target(target)
        found.require_empty(drop=self._drop)
        return found

    def preview(self, target: RestoreTarget) -> None:
        """Show what a restore would do."""
        from newbi_migrate.migration.restore.run import restore_identity
        from newbi_migrate.report.backups import restore_plan_report, restore_plan_to_json

        verification = self._session.run(self._verified)
        target.require_empty(drop=self._drop, identity=restore_identity(verification, self._only))
        arguments = ["--database", self._database] if self._elsewhere else []
        arguments += ["--drop"] if self._drop else []
        arguments += ["--collections", ",".join(self._only)] if self._only else []
        arguments += ["--convert-legacy-indexes"] if self._convert else []
        following = suggest("restore", *arguments, str(self._path), *self._session.uri_arguments)
        self._session.answer(
            lambda: restore_plan_to_json(verification, target, drop=self._drop, only=self._only),
            restore_plan_report(
                verification,
                target,
                drop=self._drop,
                only=self._only,
                next_command=following,
                verbose=self._verbose,
            ),
        )
        raise typer.Exit(int(ExitCode.DONE))

    async def _verified(self) -> Verification:
        from newbi_migrate.backup.verify import verify_backup as verify
        from newbi_migrate.cli.progress import showing_progress

        with (
            interruptible("The verification was interrupted."),
            showing_progress(log=self._session.log) as progress,
        ):
            verification = await verify(
                self._path, identities=self._identities, progress=progress, source=self._source
            )
            verification.require(self._only)
            return verification

    async def restore(self, reviewed: RestoreTarget | None) -> RestoreResult:
        """Restores; ``reviewed`` is the target as a person agreed to it."""
        from newbi_migrate.cli.progress import showing_progress
        from newbi_migrate.migration.restore.run import restore_backup

        with (
            interruptible(
                "The restore was interrupted.", "The same command again goes on where it stopped."
            ),
            showing_progress(log=self._session.log) as progress,
        ):
            async with self._session.database(self._database) as target:
                return await restore_backup(
                    self._path,
                    target,
                    drop=self._drop,
                    only=self._only,
                    workers=self._workers,
                    progress=progress,
                    identities=self._identities,
                    source=self._source,
                    reviewed=reviewed,
                    convert_legacy_indexes=self._convert,
                )

    def report(self, result: RestoreResult) -> None:
        """Show what was restored."""
        from newbi_migrate.report.backups import (
            restore_exit_code,
            restore_report,
            restore_to_json,
        )

        following = after_restoring(
            self._path,
            self._database if self._elsewhere else None,
            ours=result.verification.manifest is not None,
            place=self._session.uri_arguments,
        )
        self._session.answer(
            lambda: restore_to_json(result),
            restore_report(result, next_command=following, verbose=self._verbose),
        )
        raise typer.Exit(int(restore_exit_code(result)))

    @property
    def _elsewhere(self) -> bool:
        return self._database != self._session.target.database
