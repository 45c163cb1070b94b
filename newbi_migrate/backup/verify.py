"""The use-case ``verify-backup``: whether a backup is what was written.

Comparing with a database is in :mod:`~newbi_migrate.backup.compare`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from newbi_migrate.backup import layout
from newbi_migrate.backup.archive import ArchiveDump, is_archive
from newbi_migrate.backup.dump import Dump, DumpedCollection, FolderDump
from newbi_migrate.backup.files import FileSeal, seal_of
from newbi_migrate.backup.manifest import CollectionEntry, Manifest
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verification import CheckedCollection, Problem, Verification
from newbi_migrate.errors import DamagedBackupError, UsageError
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.digest import Digest, indexes_digest, options_digest, spans
from newbi_migrate.store.faults import task_group

__all__ = [
    "open_dump",
    "verify_backup",
    "verify_dump",
]

_WORKERS: Final = 2
# What the server stores need not be what Python can hold.
_LENIENT: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="replace",
)


def open_dump(
    path: Path, identities: Sequence[Any] = (), *, source: str | None = None
) -> FolderDump | ArchiveDump:
    """A backup of ours, a folder of mongodump, or an archive of mongodump.

    Raises:
        UsageError: It is none of these, or holds several databases.
        DamagedBackupError: It is one, and damaged.
    """
    if path.is_file():
        if not is_archive(path):
            raise UsageError(
                f"{str(path)!r} is no archive of mongodump.",
                next_step="Name the folder of a backup, or what mongodump --archive wrote.",
            )
        return ArchiveDump(path, source=source)
    return FolderDump(path, identities, source=source)


async def verify_backup(
    path: Path,
    *,
    identities: Sequence[Any] = (),
    progress: Progress | None = None,
    source: str | None = None,
) -> Verification:
    """Reads a backup to its end and compares it with what it says of itself.

    Of an encrypted backup without a key, the bytes of the files are checked and no more.

    Args:
        path: The backup, or a folder or archive of mongodump.
        identities: Secret keys, as :func:`~newbi_migrate.backup.encrypt.read_identities` gives
            them.
        progress: Listener; nothing is said where none is given.
        source: Name of the database, where a dump holds several.

    Raises:
        UsageError: It is no backup.
        DamagedBackupError: It is damaged so that it cannot even be listed.
    """
    dump = await asyncio.to_thread(open_dump, path, identities, source=source)
    return await verify_dump(dump, progress=progress)


async def verify_dump(
    dump: FolderDump | ArchiveDump, *, progress: Progress | None = None
) -> Verification:
    """The same for a dump that is open already."""
    listener = progress or NullProgress()
    manifest = dump.manifest
    counting = _Counting()
    listener.phase("verify", manifest.count if manifest else None)
    if isinstance(dump, FolderDump) and manifest is not None:
        work = asyncio.ensure_future(_manifested(dump, manifest, counting))
    else:
        work = asyncio.ensure_future(_plain(dump, counting))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=0.2)
            counting.tell(listener)
    finally:
        if not work.done():
            counting.stop()
            await asyncio.wait({work})
    checked, problems, notes = work.result()
    return Verification(
        dump.path,
        dump.database,
        manifest,
        tuple(sorted(checked, key=lambda one: one.name)),
        tuple(problems),
        tuple(notes),
    )


class _Counting:
    """Documents read by threads, told to the listener by the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._stopped = False

    def add(self, name: str, count: int) -> None:
        with self._lock:
            if self._stopped:
                raise _Stopped
            self._waiting[name] = self._waiting.get(name, 0) + count

    def tell(self, listener: Progress) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for name, count in waiting.items():
            listener.advance(count, name)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True


class _Stopped(Exception):  # noqa: N818  # ends a thread
    """Nobody waits for the result any more."""


_Found = tuple[list[CheckedCollection], list[Problem], list[str]]


async def _plain(dump: Dump, counting: _Counting) -> _Found:
    """A dump without a manifest: its own checksums, and where it has none, its structure."""
    return await asyncio.to_thread(_read_plain, dump, counting)


def _read_plain(dump: Dump, counting: _Counting) -> _Found:
    digests: dict[str, Digest] = {c.name: Digest() for c in dump.collections if c.type != "view"}
    problems: list[Problem] = []
    notes: list[str] = []
    if not dump.checked:
        notes.append("Files that are not compressed have no checksum; only their form was checked.")
    check = None if dump.checked else _check_form
    parts: Iterator[tuple[str, Iterator[tuple[DumpedCollection, bytes]]]]
    if isinstance(dump, FolderDump):
        parts = ((c.data, _labelled(dump, c)) for c in dump.collections if c.data)
    else:
        parts = iter([(dump.path.name, dump.batches())])
    for where, batches in parts:
        try:
            for collection, batch in batches:
                before = digests[collection.name].count
                digests[collection.name].add_batch(batch)
                if check:
                    check(batch)
                counting.add(collection.name, digests[collection.name].count - before)
        except DamagedDataError as error:
            problems.append(Problem(where, str(error)))
    checked = [_checked(name, digest) for name, digest in digests.items()]
    return checked, problems, notes


def _labelled(
    dump: FolderDump, collection: DumpedCollection
) -> Iterator[tuple[DumpedCollection, bytes]]:
    for batch in dump.batches_of(collection):
        yield collection, batch


def _check_form(batch: bytes) -> None:
    """Fails where documents could not be read; strings need not be UTF-8."""
    for start, end in spans(batch):
        try:
            # Reading a field walks the document's elements.
            RawBSONDocument(batch[start:end], _LENIENT).get("_id")
        except (InvalidBSON, ValueError) as error:
            raise DamagedDataError("holds a document that cannot be read") from error


def _checked(name: str, digest: Digest) -> CheckedCollection:
    return CheckedCollection(name, digest.count, digest.bytes, digest.hexdigest())


# -- a backup of ours -------------------------------------------------------------------------


async def _manifested(dump: FolderDump, manifest: Manifest, counting: _Counting) -> _Found:
    by_file = {entry.data: entry for entry in manifest.collections if entry.data}
    notes = []
    if not dump.readable:
        notes.append("It is encrypted and no key was given: only the files' bytes were checked.")
    gate = asyncio.Semaphore(_WORKERS)
    found: list[tuple[CheckedCollection | None, list[Problem]]] = []

    async def one(job: Callable[[], tuple[CheckedCollection | None, list[Problem]]]) -> None:
        async with gate:
            found.append(await asyncio.to_thread(job))

    async with task_group() as tasks:
        for name, seal in manifest.files.items():
            entry = by_file.get(name)
            if entry is not None and dump.readable:
                job = _job(_read_data, dump, entry, seal, counting)
            else:
                job = _job(_read_file, dump, name, seal)
            tasks.create_task(one(job))
        tasks.create_task(one(_job(_read_metadata, dump, manifest)))
    checked = [one for one, _ in found if one is not None]
    problems = sorted((p for _, some in found for p in some), key=lambda p: (p.where, p.what))
    return checked, [*problems, *_strangers(dump, manifest)], notes


def _job(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _read_file(dump: FolderDump, name: str, seal: FileSeal) -> tuple[None, list[Problem]]:
    """A file that is compared byte by byte alone."""
    try:
        with (dump.path / name).open("rb") as file:
            now = seal_of(file)
    except OSError as error:
        return None, [Problem(name, _unreadable(error))]
    return None, [] if now == seal else [Problem(name, _changed(seal, now))]


def _read_data(
    dump: FolderDump, entry: CollectionEntry, seal: FileSeal, counting: _Counting
) -> tuple[CheckedCollection | None, list[Problem]]:
    """A file of documents: its bytes, its checksums, and what it holds."""
    _, problems = _read_file(dump, entry.data, seal)
    if problems and problems[0].what == _MISSING:
        return None, problems
    digest = Digest()
    collection = DumpedCollection(entry.name, entry.type, data=entry.data)
    try:
        for batch in dump.batches_of(collection):
            before = digest.count
            digest.add_batch(batch)
            counting.add(entry.name, digest.count - before)
    except DamagedDataError as error:
        return None, [*problems, Problem(entry.data, str(error))]
    for what, now, then in (
        ("documents", digest.count, entry.count),
        ("bytes", digest.bytes, entry.bytes),
        ("digest", digest.hexdigest(), entry.digest),
    ):
        if now != then:
            problems.append(Problem(entry.name, f"{what} {now} instead of {then}"))
    return _checked(entry.name, digest), problems


def _read_metadata(dump: FolderDump, manifest: Manifest) -> tuple[None, list[Problem]]:
    """Options and indexes against their digests."""
    if not dump.readable:
        return None, []
    problems = []
    try:
        collections = {c.name: c for c in dump.collections}
    except DamagedBackupError as error:
        return None, [Problem(layout.METADATA, error.what)]
    for entry in manifest.collections:
        found = collections.get(entry.name)
        if found is None:
            problems.append(Problem(entry.metadata, "it is missing"))
            continue
        if options_digest(found.options) != entry.options:
            problems.append(Problem(entry.metadata, "its options are not those of the manifest"))
        if indexes_digest(found.indexes) != entry.indexes:
            problems.append(Problem(entry.metadata, "its indexes are not those of the manifest"))
    return None, problems


def _strangers(dump: FolderDump, manifest: Manifest) -> list[Problem]:
    """Files in the database's folder that mongorestore would take for part of the backup."""
    folder = dump.path / manifest.database
    if not folder.is_dir():
        return []
    known = set(manifest.files)
    names = [f"{folder.name}/{file.name}" for file in sorted(folder.iterdir())]
    return [Problem(name, "it is no part of the backup") for name in names if name not in known]


_MISSING: Final = "it is missing"


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _MISSING
    return f"it cannot be read ({error.strerror or type(error).__name__})"


def _changed(seal: FileSeal, now: FileSeal) -> str:
    if now.bytes != seal.bytes:
        return f"{now.bytes} bytes instead of {seal.bytes}"
    return "its bytes were changed"
