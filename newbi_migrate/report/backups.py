"""Backups, verifications and restores as documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import computed_field

from newbi_migrate.answers import answer
from newbi_migrate.backup.compare import Comparison, Difference
from newbi_migrate.backup.export_list import ExportEntry, Exports
from newbi_migrate.backup.manifest import CollectionEntry, Consistency, Manifest, half_done
from newbi_migrate.backup.verification import Problem, Verification
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import ExitCode
from newbi_migrate.extended_json import from_extended_json
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.restore.aside import DroppedAside
from newbi_migrate.migration.restore.results import RestoreResult, restore_identity
from newbi_migrate.migration.restore.target import RestoreTarget, is_restored
from newbi_migrate.report.document import (
    Badge,
    Block,
    Document,
    Each,
    Group,
    Groups,
    Section,
    Tone,
    table_of,
)
from newbi_migrate.report.text import counted
from newbi_migrate.store.lease import LEASE, RUNS

__all__ = [
    "BackupPreview",
    "RestorePreview",
    "backup_document",
    "backup_survey_document",
    "dropped_aside_document",
    "exports_document",
    "restore_document",
    "restore_plan_document",
    "verification_document",
]


@dataclass(frozen=True, slots=True)
class BackupPreview:
    """What a backup would hold.

    Attributes:
        database: Name of the database.
        output_dir: The folder that it would be written into.
        collections: Each collection with its documents, estimated.
        unfinished_run: Command and id of a run that has not come to its end; ``None`` if none has.
        dry_run: True.
        exit_code: 3 if there is such a run, else 0.
    """

    database: str
    output_dir: Path
    collections: Mapping[str, int]
    unfinished_run: str | None = None
    dry_run: bool = True

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 if a run has not come to its end, else 0."""
        return ExitCode.DONE if self.unfinished_run is None else ExitCode.PENDING


@dataclass(frozen=True, slots=True)
class RestorePreview:
    """What a restore would do.

    Attributes:
        path: The backup.
        database: The database that would be written.
        resumed: Whether it would go on where another one had stopped.
        dropped: Collections that would be dropped before.
        put_aside: Collections that would get another name, for a rollback.
        collections: Each collection with its documents.
        problems: What is damaged in the backup, and would not be restored.
        notes: What of the backup could not be checked, or would not be restored.
        dry_run: True.
        exit_code: 0.
    """

    path: Path
    database: str
    resumed: bool
    dropped: Sequence[str]
    put_aside: Sequence[str]
    collections: Mapping[str, int]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    dry_run: bool = True
    exit_code: ExitCode = ExitCode.DONE


# -- backup -----------------------------------------------------------------------------------


def backup_document(
    path: Path,
    manifest: Manifest,
    exports: Sequence[ExportEntry] = (),
    *,
    next_command: str = "",
) -> Document:
    """The document of a finished backup; 3 where it is none to go back to.

    That is one whose collections may not fit together, or of a half-migrated database.

    Args:
        path: Its folder.
        manifest: What it says of itself.
        exports: Those that were written of it.
        next_command: What to run next.
    """
    doubtful = manifest.consistency is Consistency.WRITTEN or manifest.half_done
    code = ExitCode.PENDING if doubtful else ExitCode.DONE
    notes = [f"Note: {note}" for note in manifest.notes if note != manifest.half_done]
    notes += _unsayable(exports)
    return Document(
        command="backup",
        database=manifest.database,
        title=f"Backup of the database {manifest.database}: {path}",
        exit_code=code,
        next_command=next_command,
        sections=(
            Section(
                "",
                (_facts(manifest), manifest.consistent, *_warning(manifest), *notes),
            ),
            *_collections(manifest.collections),
            *_exports(exports),
        ),
        value=lambda: {
            "path": str(path),
            **{name: held for name, held in manifest.to_json().items() if name != "files"},
            "exitCode": int(code),
        },
    )


def exports_document(exports: Exports, *, next_command: str = "") -> Document:
    """The document of the exports of a backup, once they are complete.

    Args:
        exports: All of them.
        next_command: What to run next.
    """
    made = counted(len(exports.entries), "collection")
    return Document(
        command="backup",
        database=exports.database,
        title=f"The backup {exports.path} has JSON exports of {made}.",
        exit_code=ExitCode.DONE,
        next_command=next_command,
        sections=(Section("", tuple(_unsayable(exports.entries))), *_exports(exports.entries)),
        value=lambda: {**answer(exports), "exitCode": int(ExitCode.DONE)},
    )


def _exports(exports: Sequence[ExportEntry]) -> list[Section]:
    if not exports:
        return []
    lines = [f"{one.file}: {one.lines:,} lines" for one in exports]
    return [Section("Exports", tuple(lines), detail=True)]


def _unsayable(exports: Sequence[ExportEntry]) -> list[str]:
    return [
        f"Note: {one.file} leaves out {counted(one.left_out, 'document')} that Extended JSON "
        "cannot say; the backup has all."
        for one in exports
        if one.left_out
    ]


def backup_survey_document(preview: BackupPreview, *, next_command: str = "") -> Document:
    """The document of what a backup would read, about."""
    counts = preview.collections
    title = (
        f"A backup of the database {preview.database} into {preview.output_dir} would hold about "
        f"{counted(sum(counts.values()), 'document')} in {counted(len(counts), 'collection')}. "
        "Nothing was written."
    )
    unfinished = preview.unfinished_run
    return Document(
        command="backup",
        database=preview.database,
        title=title,
        exit_code=preview.exit_code,
        next_command=next_command,
        dry_run=True,
        sections=(
            *_said([] if unfinished is None else [Badge(half_done(unfinished), Tone.BAD)]),
            Section(
                "",
                table_of(
                    "Collections", ("collection", "documents, about"), tuple(counts.items()), _same
                ),
            ),
        ),
        value=lambda: answer(preview),
    )


# -- verification -----------------------------------------------------------------------------


def verification_document(
    verification: Verification, comparison: Comparison | None = None, *, next_command: str = ""
) -> Document:
    """The document of what reading a backup showed; 10 where it is damaged, 3 where it differs.

    Args:
        verification: What reading it showed.
        comparison: What comparing it with a database showed, if it was compared.
        next_command: What to run next.
    """
    manifest, read = verification.manifest, verification.collections
    code = ExitCode.DONE
    if not verification.intact:
        code = ExitCode.LOCAL_FILE
    elif comparison is not None and not comparison.equal:
        code = ExitCode.PENDING
    state = "is whole" if verification.intact else "is damaged"
    said: list[Block] = []
    if manifest is not None:
        said += [_facts(manifest), manifest.consistent, *_warning(manifest)]
    else:
        documents = counted(sum(one.count for one in read), "document")
        said.append(f"A dump of mongodump: {documents} in {counted(len(read), 'collection')}.")
    said += [f"Note: {note}" for note in verification.notes]
    said += [Badge(str(problem), Tone.BAD) for problem in verification.problems]
    return Document(
        command="verify-backup",
        database=verification.database,
        title=f"The backup {verification.path} of the database {verification.database} {state}.",
        exit_code=code,
        next_command=next_command,
        sections=(
            Section("", tuple(said)),
            *([] if manifest is None else _collections(manifest.collections)),
            *([] if comparison is None else [_compared(verification, comparison)]),
        ),
        value=lambda: {
            **answer(verification),
            "comparison": None if comparison is None else answer(comparison),
            "exitCode": int(code),
        },
    )


def _compared(verification: Verification, comparison: Comparison) -> Section:
    manifest = verification.manifest
    held = {} if manifest is None else {entry.name: entry.count for entry in manifest.collections}
    left_out = [*comparison.without]
    if any(name.startswith(OWN_PREFIX) for name in held):
        left_out.append("what newbi-migrate itself keeps there")
    read = counted(comparison.collections, "collection")
    but_for = f", {' and '.join(left_out)} left out" if left_out else ""
    against = f"the database {comparison.database} ({read}{but_for})"
    if comparison.equal:
        return Section("", (f"It is equal to {against}.",))
    found: dict[str, list[Difference]] = {}
    for difference in comparison.differences:
        found.setdefault(difference.collection, []).append(difference)
    groups = (
        Group(
            name,
            len(differences),
            {},
            (whole := _whole(differences[0], held))
            or ", ".join(
                f"{kind} {count:,}" for kind, count in Counter(d.kind for d in differences).items()
            ),
            # Of a whole collection nothing is left to be named.
            ids=Each(() if whole else differences, _difference),
            tone=Tone.BAD,
        )
        for name, differences in found.items()
    )
    named = any(difference.document_id for difference in comparison.differences)
    return Section(
        f"It differs from {against}:",
        (
            *_newer(verification, comparison),
            Groups("Differences", "collection", tuple(groups)),
            *(["--verbose names each document."] if named else []),
        ),
    )


def _whole(difference: Difference, held: Mapping[str, int]) -> str:
    """What is said of a whole collection that one side lacks; empty of anything else."""
    if difference.document_id or difference.kind not in ("missing", "extra"):
        return ""
    count = held.get(difference.collection)
    documents = "" if count is None else f", with {counted(count, 'document')}"
    return f"the whole collection is {difference.kind}{documents}"


def _newer(verification: Verification, comparison: Comparison) -> Iterator[str]:
    """Why a database is not as a backup of it that is whole."""
    manifest = verification.manifest
    if manifest is None or manifest.database != comparison.database:
        return
    since = manifest.started[:19].replace("T", " ")
    yield (
        f"Nothing of the backup is damaged. The database is newer: it was changed after {since} "
        "UTC, when the backup was begun."
    )
    for run in comparison.in_place[:1]:
        yield (
            f"The {run.command} run {run.run_id} is in place, and what it wrote is among the "
            "differences."
        )


def _difference(difference: Difference) -> str:
    detail = f", {difference.detail}" if difference.detail else ""
    where = ""
    if difference.document_id:
        where = f"{shown_id(from_extended_json(difference.document_id))} "
    return f"{where}{difference.kind}{detail}"


# -- restore ----------------------------------------------------------------------------------


def restore_plan_document(
    verification: Verification,
    target: RestoreTarget,
    *,
    drop: bool,
    only: Sequence[str] = (),
    next_command: str = "",
) -> Document:
    """The document of what a restore would do.

    Args:
        verification: What reading the backup showed.
        target: What the database holds.
        drop: Whether that is dropped first.
        only: The collections that are restored; all where none is named.
        next_command: What to run next.
    """
    chosen = [one for one in verification.collections if is_restored(one.name, only)]
    documents = counted(sum(one.count for one in chosen), "document")
    resumes = target.unfinished == restore_identity(verification, only)
    in_place = drop and bool(only)
    dropped = list(target.existing) if drop and not (resumes or in_place) else []
    aside = sorted({*only} & {*target.existing}) if in_place else []
    counts = {one.name: one.count for one in chosen}
    preview = RestorePreview(
        verification.path,
        target.database,
        resumes,
        dropped,
        aside,
        counts,
        verification.problems,
        verification.notes,
    )
    said = []
    if aside:
        said.append(f"These would be put aside, for a rollback: {', '.join(aside)}.")
    if resumes:
        said.append("A restore of it was interrupted there, and would go on.")
    elif dropped:
        said.append(f"These would be dropped first: {', '.join(dropped)}.")
        if RUNS in dropped:
            said.append("The records of the runs are among them: no rollback is possible then.")
    return Document(
        command="restore",
        database=target.database,
        title=(
            f"The backup {verification.path}: {documents} in "
            f"{counted(len(chosen), 'collection')} would be restored into the database "
            f"{target.database}. Nothing was written."
        ),
        exit_code=ExitCode.DONE,
        next_command=next_command,
        dry_run=True,
        sections=(
            *_said([*said, *_reserved(verification, counts)]),
            _restored(counts),
        ),
        value=lambda: answer(preview),
    )


def restore_document(result: RestoreResult, *, next_command: str = "") -> Document:
    """The document of a finished restore; 3 where the server would not build an index of it.

    Args:
        result: What it did.
        next_command: What to run next.
    """
    how = "An interrupted restore was finished" if result.resumed else "Restored"
    verification = result.verification
    numbers = (
        f"{counted(sum(result.counts.values()), 'document')} in "
        f"{counted(len(result.counts), 'collection')}, "
        f"{counted(result.indexes, 'index', 'indexes')} beside those on _id, "
        f"{counted(len(result.views), 'view')}."
    )
    said: list[Block] = [numbers]
    if result.dropped:
        said.append(f"Dropped before: {', '.join(result.dropped)}.")
    for name, aside in result.put_aside.items():
        said.append(
            f"The collection {name} that was there is called {aside} now: rollback exchanges them "
            "again, drop-aside drops it."
        )
    for name, number in result.without_workspace.items():
        said.append(
            Badge(
                f"{name}: {counted(number, 'document')} without a workspace, as in the backup; "
                "backfill stamps those that it does not quarantine.",
                Tone.ODD,
            )
        )
    if result.refused:
        said.append(Badge("Not built, and everything else is there:", Tone.BAD))
        said += [str(index) for index in result.refused]
    return Document(
        command="restore",
        database=result.database,
        title=f"{how}: {verification.path} into the database {result.database}.",
        exit_code=result.exit_code,
        next_command=next_command,
        sections=(
            *_said([*said, *_reserved(verification, {*result.counts, *result.views})]),
            _restored(result.counts),
        ),
        value=lambda: answer(result),
    )


def dropped_aside_document(result: DroppedAside, *, next_command: str = "") -> Document:
    """The document of what restores put aside, and what becomes of it.

    Args:
        result: What was, or would be, dropped.
        next_command: What to run next.
    """
    number = counted(len(result.collections), "collection")
    if not (result.collections or result.runs):
        title = f"Nothing is put aside in the database {result.database}; nothing was written."
    elif result.dry_run:
        title = f"{number} put aside in the database {result.database}. Nothing was written."
    else:
        title = f"Dropped {number} that restores put aside in the database {result.database}."
    runs = ", ".join(map(str, result.runs))
    settled = "can no longer be taken back" if not result.dry_run else "could not be taken back"
    return Document(
        command="drop-aside",
        database=result.database,
        title=title,
        exit_code=ExitCode.DONE,
        next_command=next_command,
        dry_run=result.dry_run,
        sections=(
            Section(
                "", table_of("Collections", ("collection", "documents"), result.collections, _same)
            ),
            *_said([f"Restores that {settled}: {runs}."] if runs else []),
        ),
        value=lambda: answer(result),
    )


def _reserved(verification: Verification, restored: Container[str]) -> Iterator[Block]:
    """What is to be known of a dump before it is relied on, and what of it is not restored."""
    if verification.manifest is not None:
        yield from _warning(verification.manifest)
    for problem in verification.problems:
        yield Badge(f"Damaged, and not restored: {problem}.", Tone.BAD)
    for note in verification.notes:
        yield f"Note: {note}"
    left = {one.name for one in verification.collections if one.name not in restored}
    if left == {LEASE}:
        yield f"Not restored: {LEASE}, which says who held the lease when it was made."


def _said(blocks: Sequence[Block]) -> Iterator[Section]:
    if blocks:
        yield Section("", tuple(blocks))


# -- parts ------------------------------------------------------------------------------------


def _same(item: tuple[str, int]) -> tuple[str, int]:
    return item


def _restored(counts: Mapping[str, int]) -> Section:
    columns = ("collection", "documents")
    return Section("", table_of("Collections", columns, tuple(counts.items()), _same), detail=True)


def _warning(manifest: Manifest) -> list[Badge]:
    return [Badge(manifest.half_done, Tone.BAD)] if manifest.half_done else []


def _facts(manifest: Manifest) -> str:
    encrypted = ", encrypted" if manifest.encrypted else ""
    return (
        f"{counted(manifest.count, 'document')}, {manifest.bytes:,} bytes of BSON, "
        f"{counted(len(manifest.collections), 'collection')}, from MongoDB {manifest.server}, "
        f"{manifest.topology}, begun {manifest.started}{encrypted}; id {manifest.identity}."
    )


def _collections(entries: Sequence[CollectionEntry]) -> Iterator[Section]:
    table = table_of(
        "Collections",
        ("collection", "documents", "bytes", "digest"),
        entries,
        lambda entry: (
            (entry.name, "view", "", "")
            if entry.type == "view"
            else (entry.name, entry.count, entry.bytes, entry.digest)
        ),
    )
    yield Section("", table, detail=True)
