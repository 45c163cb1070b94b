"""``newbi-migrate restore`` and ``newbi-migrate drop-aside``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_dropping_aside, after_restoring, suggest
from newbi_migrate.cli.running import interruptible
from newbi_migrate.report.text import counted

if TYPE_CHECKING:
    from newbi_migrate.backup.verification import Verification
    from newbi_migrate.cli.running import Session
    from newbi_migrate.migration.restore.aside import DroppedAside
    from newbi_migrate.migration.restore.results import RestoreResult
    from newbi_migrate.migration.restore.target import RestoreTarget
    from newbi_migrate.report.document import Document
    from newbi_migrate.store.runs import RunRecord

__all__ = ["drop_aside", "restore"]


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
            "--drop",
            help="Drop every collection of the target first. With --collections, put these in the "
            "place of those of the same names, which are kept aside.",
        ),
    ] = False,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collections",
            metavar="A,B",
            help="Restore only these, into an empty database or, with --drop, in their own places; "
            "may be repeated.",
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
            help="Convert index keys and options that only servers before 3.4 took, as "
            "mongorestore does; otherwise such indexes are skipped and listed.",
        ),
    ] = False,
    workers: opt.AtOnce = 4,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every collection.")] = False,
    call: opt.LoggedCall,
) -> None:
    """Restore a backup or a mongodump folder, byte for byte. Run it again to resume.

    It is verified first, and a damaged one is refused before anything is touched; --collections
    restores the collections that are whole. The target must be empty, unless --drop is given. With
    both, nothing is dropped: rollback puts what was there in its place again, until drop-aside.
    """
    with call.session("restore") as session:
        from newbi_migrate.backup.dump import Dump
        from newbi_migrate.backup.encrypt import read_identities
        from newbi_migrate.migration.restore.results import restore_identity
        from newbi_migrate.migration.restore.run import preview_restore, restore_backup
        from newbi_migrate.migration.restore.target import look_at_target
        from newbi_migrate.report.backups import restore_document, restore_plan_document
        from newbi_migrate.store.runs import read_runs
        from newbi_migrate.store.session import Begun

        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        session.elsewhere = database
        name = database or session.target.database
        session.log_to(
            call.log_file, "restore --dry-run" if dry_run else "restore", on=f"{path} into {name}"
        )
        only = values.names(collections, "--collections") or ()
        identities = read_identities(identity or ())
        # What is not there is said before the server is asked.
        manifest = Dump(path, identities, source=source_database).manifest
        asked = None if manifest is None else restore_identity(manifest, only)
        opening = values.opening(identity, source_database)
        elsewhere = ["--database", name] if name != session.target.database else []

        async def looking() -> RestoreTarget:
            with session.progress(quiet=True):
                async with session.database(name) as there:
                    return await look_at_target(there, in_place=drop and bool(only))

        async def previewing() -> tuple[Verification, RestoreTarget]:
            with (
                interruptible("The verification was interrupted."),
                session.progress() as progress,
            ):
                async with session.database(name) as there:
                    return await preview_restore(
                        path,
                        there,
                        drop=drop,
                        only=only,
                        progress=progress,
                        identities=identities,
                        source=source_database,
                    )

        begun = Begun()

        async def restoring() -> tuple[RestoreResult, list[RunRecord]]:
            with (
                interruptible(
                    "The restore was interrupted.",
                    "The same command again goes on where it stopped.",
                    begun=begun,
                ),
                session.progress() as progress,
            ):
                async with session.database(name) as there:
                    done = await restore_backup(
                        path,
                        there,
                        drop=drop,
                        only=only,
                        workers=workers,
                        progress=progress,
                        identities=identities,
                        source=source_database,
                        reviewed=None if confirm else target,
                        convert_legacy_indexes=convert_legacy_indexes,
                        begun=begun,
                    )
                    return done, [] if done.run_id is None else await read_runs(there)

        target = session.run(looking)
        target.require_empty(drop=drop, identity=asked)
        if dry_run:
            verification, target = session.run(previewing)
            arguments = [*elsewhere, *["--drop"] * drop]
            arguments += ["--collections", ",".join(only)] if only else []
            arguments += ["--convert-legacy-indexes"] * convert_legacy_indexes
            arguments += opening
            following = suggest("restore", *arguments, str(path), *session.uri_arguments)
            document = restore_plan_document(
                verification, target, drop=drop, only=only, next_command=following
            )
            session.finish(document, verbose=verbose)
        if not confirm:
            does = _does(path, target, asked, drop=drop, only=only)
            session.confirm(does, database=target.database)
        result, runs = session.run(restoring)
        following = after_restoring(
            path,
            result,
            name if elsewhere else None,
            whole=not only,
            chosen=opening,
            place=session.uri_arguments,
            runs=runs,
        )
        session.finish(restore_document(result, next_command=following), verbose=verbose)


def _does(
    path: Path,
    target: RestoreTarget,
    asked: str | None,
    *,
    drop: bool,
    only: Sequence[str],
) -> str:
    """What a restore would do, in numbers.

    Args:
        path: The dump.
        target: What its target holds.
        asked: Identity of the restore; ``None`` for a dump that has to be read first for it.
        drop: Whether what is there is dropped.
        only: Names of the collections; all where none is named.
    """
    if target.unfinished and (asked == target.unfinished or (asked is None and not drop)):
        return f"goes on with the restore of {path}"
    if drop and only:
        replaced = ", ".join(sorted({*only} & {*target.existing}))
        kept = f", and keeps the present {replaced} aside" if replaced else ""
        does = f"puts {', '.join(only)} of {path} in place{kept}"
    elif drop and target.existing:
        number = counted(len(target.existing), "collection")
        does = f"drops {number} ({', '.join(target.existing)}) and restores {path}"
    else:
        does = f"restores {path}"
    if target.unfinished and asked is None:
        return f"goes on with the interrupted restore if it was of {path}, else {does}"
    return does


def drop_aside(
    *,
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    call: opt.LoggedCall,
) -> None:
    """Drop what restore --collections --drop, or a rollback of one, put aside.

    What was restored stays, and those restores can no longer be taken back.
    """
    with call.session("drop-aside") as session:
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        session.log_to(call.log_file, "drop-aside --dry-run" if dry_run else "drop-aside")
        looked = None
        if not (dry_run or confirm):
            looked = session.review(
                lambda m: m.drop_aside(dry_run=True),
                partial(_dropped_document, session),
                lambda found: (
                    f"drops {counted(len(found.collections), 'collection')} that restores put aside"
                    if found.collections or found.runs
                    else ""
                ),
            )
        done = session.ask(
            lambda m: m.drop_aside(dry_run=dry_run, reviewed=looked), writes=not dry_run
        )
        session.finish(_dropped_document(session, done))


def _dropped_document(session: Session, result: DroppedAside) -> Document:
    from newbi_migrate.report.backups import dropped_aside_document

    following = after_dropping_aside(result, session.uri_arguments)
    return dropped_aside_document(result, next_command=following)
