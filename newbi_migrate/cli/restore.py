"""``newbi-migrate restore``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_restoring, suggest
from newbi_migrate.cli.running import Session, interruptible
from newbi_migrate.report.text import counted

if TYPE_CHECKING:
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.migration.restore.run import RestoreResult
    from newbi_migrate.migration.restore.target import RestoreTarget

__all__ = ["restore"]


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
    call: opt.LoggedCall,
) -> None:
    """Restore a backup or a mongodump folder, byte for byte. Run it again to resume.

    It is verified first, and a damaged one is refused before anything is touched; --collections
    brings back what is whole of it. The target must be empty, unless --drop is given.
    """
    session = Session("restore", as_json=call.as_json, uri_file=call.uri_file)
    with session.explained():
        from newbi_migrate.backup.encrypt import read_identities

        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        database = database or session.target.database
        session.log_to(
            call.log_file,
            "restore --dry-run" if dry_run else "restore",
            on=f"{path} into {database}",
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
            values.opening(identity, source_database),
        )
        target = session.run(restoring.look)
        if dry_run:
            restoring.preview(target)
        reviewed = None
        if not confirm:
            reviewed = target
            session.confirm(_does(path, target, drop=drop), database=target.database)
        restoring.report(session.run(lambda: restoring.restore(reviewed)))


def _does(path: Path, target: RestoreTarget, *, drop: bool) -> str:
    """What a restore would do, in numbers."""
    if target.unfinished:
        return f"goes on with the restore of {path}"
    if drop and target.existing:
        number = counted(len(target.existing), "collection")
        return f"drops {number} ({', '.join(target.existing)}) and restores {path}"
    return f"restores {path}"


@dataclass(frozen=True, slots=True)
class _Restoring:
    """One call of ``restore``."""

    session: Session
    path: Path
    database: str
    drop: bool
    only: Sequence[str]
    identities: Any
    source: str | None
    workers: int
    verbose: bool
    convert: bool
    opening: Sequence[str]

    async def look(self) -> RestoreTarget:
        """What the target holds; fails where it holds something that may not be dropped."""
        from newbi_migrate.migration.restore.target import look_at_target

        with self.session.progress(quiet=True):
            async with self.session.database(self.database) as target:
                found = await look_at_target(target)
        found.require_empty(drop=self.drop)
        return found

    def preview(self, target: RestoreTarget) -> NoReturn:
        """Show what a restore would do."""
        from newbi_migrate.migration.restore.run import restore_identity
        from newbi_migrate.report.backups import restore_plan_document

        verification = self.session.run(self._verified)
        target.require_empty(drop=self.drop, identity=restore_identity(verification, self.only))
        arguments = ["--database", self.database] if self._elsewhere else []
        arguments += ["--drop"] if self.drop else []
        arguments += ["--collections", ",".join(self.only)] if self.only else []
        arguments += ["--convert-legacy-indexes"] if self.convert else []
        arguments += self.opening
        following = suggest("restore", *arguments, str(self.path), *self.session.uri_arguments)
        self.session.finish(
            restore_plan_document(
                verification, target, drop=self.drop, only=self.only, next_command=following
            ),
            verbose=self.verbose,
        )

    async def _verified(self) -> Verification:
        from newbi_migrate.backup.verify import verify_backup as verify

        with (
            interruptible("The verification was interrupted."),
            self.session.progress() as progress,
        ):
            verification = await verify(
                self.path, identities=self.identities, progress=progress, source=self.source
            )
            verification.require(self.only)
            return verification

    async def restore(self, reviewed: RestoreTarget | None) -> RestoreResult:
        """Restores; ``reviewed`` is the target as a person agreed to it."""
        from newbi_migrate.migration.restore.run import restore_backup

        with (
            interruptible(
                "The restore was interrupted.", "The same command again goes on where it stopped."
            ),
            self.session.progress() as progress,
        ):
            async with self.session.database(self.database) as target:
                return await restore_backup(
                    self.path,
                    target,
                    drop=self.drop,
                    only=self.only,
                    workers=self.workers,
                    progress=progress,
                    identities=self.identities,
                    source=self.source,
                    reviewed=reviewed,
                    convert_legacy_indexes=self.convert,
                )

    def report(self, result: RestoreResult) -> NoReturn:
        """Show what was restored."""
        from newbi_migrate.report.backups import restore_document

        following = after_restoring(
            self.path,
            self.database if self._elsewhere else None,
            ours=result.verification.manifest is not None,
            chosen=self.opening,
            place=self.session.uri_arguments,
        )
        document = restore_document(result, next_command=following)
        self.session.finish(document, verbose=self.verbose)

    @property
    def _elsewhere(self) -> bool:
        return self.database != self.session.target.database
