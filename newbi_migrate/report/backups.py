"""Backups, verifications and restores as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.console import RenderableType

from newbi_migrate.backup.compare import Comparison, Difference
from newbi_migrate.backup.manifest import CollectionEntry, Consistency, Manifest
from newbi_migrate.backup.verification import CheckedCollection, Problem, Verification
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.restore.run import RestoreResult, restore_identity
from newbi_migrate.migration.restore.target import RestoreTarget
from newbi_migrate.report.forms import following, indented, plain, table_of, title
from newbi_migrate.report.words import counted

__all__ = [
    "backup_exit_code",
    "backup_report",
    "backup_survey_report",
    "backup_survey_to_json",
    "backup_to_json",
    "restore_exit_code",
    "restore_plan_report",
    "restore_plan_to_json",
    "restore_report",
    "restore_to_json",
    "verification_exit_code",
    "verification_report",
    "verification_to_json",
]

_FIRST: Final = 10
_CONSISTENT: Final[Mapping[Consistency, str]] = {
    Consistency.SNAPSHOT: "All collections are as they were at one moment.",
    Consistency.QUIET: "The server counted no write while they were read.",
    Consistency.WRITTEN: "There were writes meanwhile: collections may not fit together.",
    Consistency.UNKNOWN: "Whether there were writes meanwhile is not known.",
}


# -- backup -----------------------------------------------------------------------------------


def backup_exit_code(manifest: Manifest) -> ExitCode:
    """3 where collections may not fit together because of writes, else 0."""
    return ExitCode.PENDING if manifest.consistency is Consistency.WRITTEN else ExitCode.DONE


def backup_report(
    path: Path, manifest: Manifest, *, next_command: str, verbose: bool = False
) -> Iterator[RenderableType]:
    """A finished backup.

    Args:
        path: Its folder.
        manifest: What it says of itself.
        next_command: What to run next; the report ends with it.
        verbose: Every collection with its digest, not the totals alone.
    """
    yield title(f"Backup of the database {manifest.database}: {path}")
    yield indented(_facts(manifest))
    yield indented(_CONSISTENT[manifest.consistency])
    for note in manifest.notes:
        yield indented(f"Note: {note}")
    if verbose:
        yield _collections(manifest.collections)
    for export in manifest.exports if verbose else ():
        yield indented(f"{export.file}: {export.lines:,} lines")
    yield from following(next_command)


def backup_to_json(path: Path, manifest: Manifest) -> dict[str, Any]:
    """A finished backup as JSON holds it."""
    return {
        "path": str(path),
        "id": manifest.identity,
        "database": manifest.database,
        "server": manifest.server,
        "topology": manifest.topology,
        "started": manifest.started,
        "finished": manifest.finished,
        "consistency": manifest.consistency.value,
        "encrypted": manifest.encrypted,
        "documents": manifest.count,
        "bytes": manifest.bytes,
        "collections": {entry.name: _entry_to_json(entry) for entry in manifest.collections},
        "exports": {export.collection: export.file for export in manifest.exports},
        "notes": list(manifest.notes),
        "exitCode": int(backup_exit_code(manifest)),
    }


def backup_survey_report(
    database: str, output_dir: Path, counts: Mapping[str, int], *, next_command: str
) -> Iterator[RenderableType]:
    """What a backup would read, about."""
    total = sum(counts.values())
    yield title(
        f"A backup of the database {database} into {output_dir} would hold about {total:,} "
        f"documents in {counted(len(counts), 'collection')}. Nothing was written."
    )
    table = table_of("collection", "documents, about")
    for name, count in counts.items():
        table.add_row(plain(name), f"{count:,}")
    yield table
    yield from following(next_command)


def backup_survey_to_json(
    database: str, output_dir: Path, counts: Mapping[str, int]
) -> dict[str, Any]:
    """The same as JSON holds it."""
    return {
        "dryRun": True,
        "database": database,
        "outputDir": str(output_dir),
        "collections": dict(counts),
        "exitCode": 0,
    }


# -- verification -----------------------------------------------------------------------------


def verification_exit_code(
    verification: Verification, comparison: Comparison | None = None
) -> ExitCode:
    """10 where the backup is damaged, 3 where a database differs from it, else 0."""
    if not verification.intact:
        return ExitCode.LOCAL_FILE
    if comparison is not None and not comparison.equal:
        return ExitCode.PENDING
    return ExitCode.DONE


def verification_report(
    verification: Verification,
    comparison: Comparison | None = None,
    *,
    next_command: str,
    verbose: bool = False,
) -> Iterator[RenderableType]:
    """What reading a backup, and comparing it, showed.

    Args:
        verification: What reading it showed.
        comparison: What comparing it with a database showed, if it was compared.
        next_command: What to run next; the report ends with it.
        verbose: Every collection and every difference, not the first few.
    """
    manifest = verification.manifest
    state = "is whole" if verification.intact else "is damaged"
    yield title(f"The backup {verification.path} of the database {verification.database} {state}.")
    if manifest is not None:
        yield indented(_facts(manifest))
        yield indented(_CONSISTENT[manifest.consistency])
    else:
        read = verification.collections
        yield indented(
            f"A dump of mongodump: {counted(sum(one.count for one in read), 'document')} in "
            f"{counted(len(read), 'collection')}."
        )
    for note in verification.notes:
        yield indented(f"Note: {note}")
    for problem in verification.problems:
        yield indented(str(problem), style="bold")
    if verbose and manifest is not None:
        yield _collections(manifest.collections)
    if comparison is not None:
        yield from _compared(comparison, verbose=verbose)
    yield from following(next_command)


def _compared(comparison: Comparison, *, verbose: bool) -> Iterator[RenderableType]:
    left_out = f", {', '.join(comparison.without)} left out" if comparison.without else ""
    read = counted(comparison.collections, "collection")
    against = f"the database {comparison.database} ({read}{left_out})"
    if comparison.equal:
        yield indented(f"It is equal to {against}.")
        return
    yield indented(f"It differs from {against}:")
    for name, group in groupby(comparison.differences, key=lambda d: d.collection):
        found = list(group)
        yield indented(f"{name}: {len(found):,}", by=4, style="bold")
        shown = found if verbose else found[:_FIRST]
        for difference in shown:
            yield indented(_difference(difference), by=6)
        if len(found) > len(shown):
            yield indented(f"and {len(found) - len(shown):,} more (--detailed lists all)", by=6)


def _difference(difference: Difference) -> str:
    detail = f", {difference.detail}" if difference.detail else ""
    where = f"{difference.document_id} " if difference.document_id else ""
    return f"{where}{difference.kind}{detail}"


def verification_to_json(
    verification: Verification, comparison: Comparison | None = None
) -> dict[str, Any]:
    """The same as JSON holds it."""
    manifest = verification.manifest
    compared = None
    if comparison is not None:
        compared = {
            "database": comparison.database,
            "collections": comparison.collections,
            "without": list(comparison.without),
            "equal": comparison.equal,
            "differences": [
                {
                    "kind": one.kind,
                    "collection": one.collection,
                    "id": one.document_id,
                    "detail": one.detail,
                }
                for one in comparison.differences
            ],
        }
    return {
        "path": str(verification.path),
        "id": None if manifest is None else manifest.identity,
        "database": verification.database,
        "consistency": None if manifest is None else manifest.consistency.value,
        "intact": verification.intact,
        "problems": [_problem_to_json(one) for one in verification.problems],
        "notes": list(verification.notes),
        "collections": {
            one.name: {"documents": one.count, "bytes": one.bytes, "digest": one.digest}
            for one in verification.collections
        },
        "comparison": compared,
        "exitCode": int(verification_exit_code(verification, comparison)),
    }


# -- restore ----------------------------------------------------------------------------------


def restore_plan_report(
    verification: Verification,
    target: RestoreTarget,
    *,
    drop: bool,
    next_command: str,
    only: Sequence[str] = (),
    verbose: bool = False,
) -> Iterator[RenderableType]:
    """What a restore would do."""
    chosen = _chosen(verification, only)
    documents = sum(one.count for one in chosen)
    yield title(
        f"The backup {verification.path}: {counted(documents, 'document')} in "
        f"{counted(len(chosen), 'collection')} would be restored into the "
        f"database {target.database}. Nothing was written."
    )
    if target.unfinished == restore_identity(verification, only):
        yield indented("A restore of it was interrupted there, and would go on.")
    elif target.existing and drop:
        yield indented(f"These would be dropped first: {', '.join(target.existing)}.")
    if verbose:
        table = table_of("collection", "documents")
        for one in chosen:
            table.add_row(plain(one.name), f"{one.count:,}")
        yield table
    yield from _left_out(verification)
    yield from following(next_command)


def _chosen(verification: Verification, only: Sequence[str]) -> list[CheckedCollection]:
    return [one for one in verification.collections if not only or one.name in only]


def restore_plan_to_json(
    verification: Verification, target: RestoreTarget, *, drop: bool, only: Sequence[str] = ()
) -> dict[str, Any]:
    """The same as JSON holds it."""
    resumes = target.unfinished == restore_identity(verification, only)
    return {
        "dryRun": True,
        "path": str(verification.path),
        "database": target.database,
        "resumed": resumes,
        "dropped": list(target.existing) if drop and not resumes else [],
        "collections": {one.name: one.count for one in _chosen(verification, only)},
        "problems": [_problem_to_json(one) for one in verification.problems],
        "notes": list(verification.notes),
        "exitCode": 0,
    }


def restore_exit_code(result: RestoreResult) -> ExitCode:
    """3 where the server would not build an index of the backup, else 0."""
    return ExitCode.PENDING if result.refused else ExitCode.DONE


def restore_report(
    result: RestoreResult, *, next_command: str, verbose: bool = False
) -> Iterator[RenderableType]:
    """A finished restore.

    Args:
        result: What it did.
        next_command: What to run next; the report ends with it.
        verbose: Every collection, not the totals alone.
    """
    how = "An interrupted restore was finished" if result.resumed else "Restored"
    yield title(f"{how}: {result.verification.path} into the database {result.database}.")
    yield indented(
        f"{counted(sum(result.counts.values()), 'document')} in "
        f"{counted(len(result.counts), 'collection')}, "
        f"{counted(result.indexes, 'index', 'indexes')} beside those on _id, "
        f"{counted(len(result.views), 'view')}."
    )
    if result.dropped:
        yield indented(f"Dropped before: {', '.join(result.dropped)}.")
    if result.refused:
        yield indented("Not built, and everything else is there:", style="bold")
        for index in result.refused:
            yield indented(str(index), by=4)
    yield from _left_out(result.verification)
    if verbose:
        table = table_of("collection", "documents")
        for name, count in result.counts.items():
            table.add_row(plain(name), f"{count:,}")
        yield table
    yield from following(next_command)


def restore_to_json(result: RestoreResult) -> dict[str, Any]:
    """The same as JSON holds it."""
    return {
        "path": str(result.verification.path),
        "database": result.database,
        "source": result.verification.database,
        "resumed": result.resumed,
        "dropped": list(result.dropped),
        "collections": dict(result.counts),
        "views": list(result.views),
        "indexes": result.indexes,
        "refusedIndexes": [
            {"collection": one.collection, "name": one.name, "reason": one.reason}
            for one in result.refused
        ],
        "problems": [_problem_to_json(one) for one in result.verification.problems],
        "notes": list(result.verification.notes),
        "exitCode": int(restore_exit_code(result)),
    }


def _left_out(verification: Verification) -> Iterator[RenderableType]:
    """What of a dump is not restored."""
    for problem in verification.problems:
        yield indented(f"Damaged, and not restored: {problem}.", style="bold")
    for note in verification.notes:
        yield indented(f"Note: {note}")


def _problem_to_json(problem: Problem) -> dict[str, Any]:
    return {
        "where": problem.where,
        "what": problem.what,
        "collection": problem.collection or None,
    }


# -- parts ------------------------------------------------------------------------------------


def _facts(manifest: Manifest) -> str:
    encrypted = ", encrypted" if manifest.encrypted else ""
    return (
        f"{manifest.count:,} documents, {manifest.bytes:,} bytes of BSON, "
        f"{counted(len(manifest.collections), 'collection')}, from MongoDB {manifest.server}, "
        f"{manifest.topology}, begun {manifest.started}{encrypted}; id {manifest.identity}."
    )


def _entry_to_json(entry: CollectionEntry) -> dict[str, Any]:
    return {
        "type": entry.type,
        "documents": entry.count,
        "bytes": entry.bytes,
        "digest": entry.digest,
        "consistency": entry.consistency.value,
    }


def _collections(entries: Sequence[CollectionEntry]) -> RenderableType:
    table = table_of("collection", "documents", "bytes")
    table.add_column("digest", overflow="fold")
    for entry in entries:
        if entry.type == "view":
            table.add_row(plain(entry.name), "view", "", "")
            continue
        table.add_row(plain(entry.name), f"{entry.count:,}", f"{entry.bytes:,}", entry.digest)
    return table
