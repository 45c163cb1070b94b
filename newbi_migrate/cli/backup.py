"""``newbi-migrate backup``, ``verify-backup`` and ``restore``.

They change together, when a backup can be made, checked or brought back in another way.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.planning import suggest
from newbi_migrate.cli.running import Session, say
from newbi_migrate.errors import ExitCode, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

    from newbi_migrate.backup.compare import Comparison
    from newbi_migrate.backup.manifest import Manifest
    from newbi_migrate.backup.restore import RestoreResult, RestoreTarget
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.backup.writer import BackupResult

__all__ = ["register"]

_SERVERS_OWN = frozenset({"admin", "config", "local"})

Backup = Annotated[
    Path,
    typer.Argument(
        metavar="BACKUP",
        help="Folder of a backup, or a folder or archive that mongodump wrote.",
        show_default=False,
    ),
]
SourceDatabase = Annotated[
    str | None,
    typer.Option(
        "--source-database", metavar="NAME", help="Which one, where a dump holds several databases."
    ),
]
AtOnce = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=64, help="How much is under way at once."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("backup")(backup)
    app.command("verify-backup")(verify_backup)
    app.command("restore")(restore)


# -- backup -----------------------------------------------------------------------------------


def backup(
    *,
    output_dir: Annotated[
        Path,
        typer.Option(
            "--output-dir",
            metavar="DIR",
            help="Folder in which the backup gets a folder of its own, named by the time.",
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
    dry_run: opt.DryRun = False,
    workers: AtOnce = 2,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List every collection with its digest.")
    ] = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
) -> None:
    """Write the whole database into a folder in mongodump's format, or nothing at all.

    Ends with 3 where there were writes meanwhile, so that collections may not fit together.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.backup.encrypt import read_recipients
        from newbi_migrate.backup.manifest import Consistency
        from newbi_migrate.report.backups import backup_exit_code, backup_report, backup_to_json

        recipients = read_recipients(recipient or ())
        if dry_run:
            _survey(session, output_dir)
        result = session.run(lambda: _back_up(session, output_dir, recipients, workers))
        place = session.uri_arguments
        following = suggest("migrate", "--dry-run", "--backup", str(result.path), *place)
        if result.manifest.consistency is Consistency.WRITTEN:
            again = suggest("backup", "--output-dir", str(output_dir), *place)
            following = f"stop the application, then {again}"
        session.answer(
            lambda: backup_to_json(result.path, result.manifest),
            backup_report(result.path, result.manifest, next_command=following, verbose=verbose),
        )
        raise typer.Exit(int(backup_exit_code(result.manifest)))


async def _back_up(
    session: Session, output_dir: Path, recipients: Any, workers: int
) -> BackupResult:
    from newbi_migrate.backup.writer import backup_database
    from newbi_migrate.cli.progress import showing_progress

    with (
        _interrupted("The backup was interrupted; nothing that looks like one was left behind."),
        showing_progress() as progress,
    ):
        return await backup_database(
            session.target, output_dir, progress=progress, workers=workers, recipients=recipients
        )


def _survey(session: Session, output_dir: Path) -> None:
    from newbi_migrate.report.backups import backup_survey_report, backup_survey_to_json

    counts = session.run(lambda: _counts(session))
    database = session.target.database
    following = suggest("backup", "--output-dir", str(output_dir), *session.uri_arguments)
    session.answer(
        lambda: backup_survey_to_json(database, output_dir, counts),
        backup_survey_report(database, output_dir, counts, next_command=following),
    )
    raise typer.Exit(int(ExitCode.DONE))


async def _counts(session: Session) -> dict[str, int]:
    from newbi_migrate.backup.sources import estimated_counts, list_sources
    from newbi_migrate.store.connection import open_database
    from newbi_migrate.store.faults import explained

    with explained("reading the database"):
        async with open_database(session.target) as store:
            sources, _ = await list_sources(store.database)
            counts = await estimated_counts(store.database, sources)
    return dict(sorted(counts.items()))


# -- verify-backup ----------------------------------------------------------------------------


def verify_backup(
    path: Backup,
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
            "--without",
            metavar="FIELD",
            help="Top-level field to leave out on both sides of --compare, for example "
            "workspaceId; may be repeated.",
        ),
    ] = None,
    identity: opt.Identities = None,
    source_database: SourceDatabase = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "--detailed", help="List every collection and every difference."),
    ] = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
) -> None:
    """Read a backup to its end and say what is damaged, and with --compare what differs.

    Ends with 4 where it is damaged, with 3 where the database differs from it, else with 0.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.report.backups import (
            verification_exit_code,
            verification_report,
            verification_to_json,
        )

        if without and not compare:
            raise UsageError(
                "The option --without is about a comparison, and none was asked for.",
                next_step="Add --compare, or leave it out.",
            )
        if compare:
            _ = session.target  # a missing connection string is said before anything is read
        verification, comparison = session.run(
            lambda: _verify(session, path, compare, without or [], identity, source_database)
        )
        following = _after_verifying(session, path, verification, comparison)
        session.answer(
            lambda: verification_to_json(verification, comparison),
            verification_report(verification, comparison, next_command=following, verbose=verbose),
        )
        raise typer.Exit(int(verification_exit_code(verification, comparison)))


async def _verify(
    session: Session,
    path: Path,
    compare: bool,
    without: list[str],
    identity: list[Path] | None,
    source: str | None,
) -> tuple[Verification, Comparison | None]:
    from newbi_migrate.backup.compare import compare_backup
    from newbi_migrate.backup.encrypt import read_identities
    from newbi_migrate.backup.verify import verify_backup as verify
    from newbi_migrate.cli.progress import showing_progress

    identities = read_identities(identity or ())
    with _interrupted("The verification was interrupted."), showing_progress() as progress:
        verification = await verify(path, identities=identities, progress=progress, source=source)
        if not compare or not verification.intact:
            return verification, None
        comparison = await compare_backup(
            path, session.target, identities=identities, progress=progress, without=without
        )
        return verification, comparison


def _after_verifying(
    session: Session, path: Path, verification: Verification, comparison: Comparison | None
) -> str:
    if not verification.intact:
        return "take another copy, or make a new backup while the database is what it should be"
    if comparison is not None and comparison.equal and not comparison.without:
        return suggest("migrate", "--backup", str(path), *session.uri_arguments)
    if comparison is None and verification.manifest is not None:
        return suggest("verify-backup", "--compare", str(path), *session.uri_arguments)
    return suggest("restore", "--dry-run", str(path), *session.uri_arguments)


# -- restore ----------------------------------------------------------------------------------


def restore(
    path: Backup,
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
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    identity: opt.Identities = None,
    source_database: SourceDatabase = None,
    workers: AtOnce = 2,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every collection.")] = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
) -> None:
    """Bring a backup or a dump of mongodump back, byte for byte; again, it finishes.

    It is verified first; a damaged one, or a target that holds something, is refused.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.backup.encrypt import read_identities

        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        restoring = _Restoring(
            session,
            path,
            _named(database or session.target.database),
            drop,
            read_identities(identity or ()),
            source_database,
            workers,
            verbose,
        )
        target = session.run(restoring.look)
        if dry_run:
            restoring.preview(target)
        if not confirm:
            if drop and target.existing and not target.unfinished:
                say(f"These collections will be dropped: {', '.join(target.existing)}.")
            session.confirm(target.database, confirmed=False)
        restoring.report(session.run(restoring.restore))


class _Restoring:
    """One call of ``restore``."""

    def __init__(
        self,
        session: Session,
        path: Path,
        database: str,
        drop: bool,
        identities: Any,
        source: str | None,
        workers: int,
        verbose: bool,
    ) -> None:
        self._session = session
        self._path = path
        self._database = database
        self._drop = drop
        self._identities = identities
        self._source = source
        self._workers = workers
        self._verbose = verbose

    async def look(self) -> RestoreTarget:
        """What the target holds; fails where it holds something that may not be dropped."""
        from newbi_migrate.backup.restore import look_at_target

        async with self._open() as target:
            found = await look_at_target(target)
        found.require_empty(drop=self._drop)
        return found

    def preview(self, target: RestoreTarget) -> None:
        """Shows what a restore would do."""
        from newbi_migrate.report.backups import restore_plan_report, restore_plan_to_json

        verification = self._session.run(self._verified)
        target.require_empty(drop=self._drop, identity=verification.identity)
        arguments = ["--database", self._database] if self._elsewhere else []
        arguments += ["--drop"] if self._drop else []
        following = suggest("restore", *arguments, str(self._path), *self._session.uri_arguments)
        self._session.answer(
            lambda: restore_plan_to_json(verification, target, drop=self._drop),
            restore_plan_report(
                verification,
                target,
                drop=self._drop,
                next_command=following,
                verbose=self._verbose,
            ),
        )
        raise typer.Exit(int(ExitCode.DONE))

    async def _verified(self) -> Verification:
        from newbi_migrate.backup.verify import verify_backup as verify
        from newbi_migrate.cli.progress import showing_progress

        with _interrupted("The verification was interrupted."), showing_progress() as progress:
            verification = await verify(
                self._path, identities=self._identities, progress=progress, source=self._source
            )
            verification.require()
            return verification

    async def restore(self) -> RestoreResult:
        """Restores."""
        from newbi_migrate.backup.restore import restore_backup
        from newbi_migrate.cli.progress import showing_progress

        with (
            _interrupted(
                "The restore was interrupted.", "The same command again goes on where it stopped."
            ),
            showing_progress() as progress,
        ):
            async with self._open() as target:
                return await restore_backup(
                    self._path,
                    target,
                    drop=self._drop,
                    workers=self._workers,
                    progress=progress,
                    identities=self._identities,
                    source=self._source,
                )

    def report(self, result: RestoreResult) -> None:
        """Shows what was restored."""
        from newbi_migrate.report.backups import restore_report, restore_to_json

        place = self._session.uri_arguments
        following = suggest("status", *place)
        manifest: Manifest | None = result.verification.manifest
        if manifest is not None and not self._elsewhere:
            following = suggest("verify-backup", "--compare", str(self._path), *place)
        self._session.answer(
            lambda: restore_to_json(result),
            restore_report(result, next_command=following, verbose=self._verbose),
        )
        raise typer.Exit(int(ExitCode.DONE))

    @property
    def _elsewhere(self) -> bool:
        return self._database != self._session.target.database

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
        from pymongo.errors import InvalidName

        from newbi_migrate.store.connection import open_database
        from newbi_migrate.store.faults import explained

        with explained("restoring"):
            async with open_database(self._session.target) as store:
                try:
                    target = store.database.client.get_database(self._database)
                except InvalidName as error:
                    raise UsageError(
                        f"{self._database!r} is no name a database can have.",
                        next_step="Give another one to --database.",
                    ) from error
                yield target


def _named(database: str) -> str:
    """A name a restore may write to."""
    if database in _SERVERS_OWN:
        raise UsageError(
            f"The database {database!r} is the server's own.",
            next_step="Restore into another one with --database.",
        )
    return database


@contextmanager
def _interrupted(what: str, next_step: str = "Run the same command again.") -> Iterator[None]:
    """Ends tidily on Ctrl-C, and on SIGTERM as well, and says what was left behind."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # commands run in one
    loop = asyncio.get_running_loop()
    # Windows has no signal handlers in its event loop; Ctrl-C raises there.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        raise InterruptedRunError(what, next_step=next_step) from None
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
