"""The use-case ``verify-backup``: whether a backup is what was written.

Comparing with a database is in :mod:`~newbi_migrate.backup.compare`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from newbi_migrate.backup import layout
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.export_list import whole_exports
from newbi_migrate.backup.files import FileSeal
from newbi_migrate.backup.manifest import CollectionEntry, Manifest
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.refused import LENIENT, refused_collections, require_storable
from newbi_migrate.backup.verification import CheckedCollection, Problem, Verification
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.digest import Digest, indexes_digest, options_digest, spans
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.raw import document_of, elements

__all__ = [
    "verify_backup",
    "verify_dump",
]

_WORKERS: Final = 2
_BINARY: Final = 0x05


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
        path: The backup, or a folder of mongodump.
        identities: Secret keys, as :func:`~newbi_migrate.backup.encrypt.read_identities` gives
            them.
        progress: Listener; nothing is said where none is given.
        source: Name of the database, where a dump holds several.

    Raises:
        UsageError: It is no backup.
        DamagedBackupError: It is damaged so that it cannot even be listed.
    """
    dump = await asyncio.to_thread(Dump, path, identities, source=source)
    return await verify_dump(dump, progress=progress)


async def verify_dump(dump: Dump, *, progress: Progress | None = None) -> Verification:
    """The same for a dump that is open already."""
    listener = progress or NullProgress()
    manifest = dump.manifest
    counting = _Counting()
    listener.phase("verify", manifest.count if manifest else None)
    if manifest is not None:
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
            # What ended it is nobody's concern any more.
            await asyncio.gather(work, return_exceptions=True)
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
    """A dump without a manifest: its checksums, or its structure, and what no server takes."""
    return await asyncio.to_thread(_read_plain, dump, counting)


def _read_plain(dump: Dump, counting: _Counting) -> _Found:
    checked: list[CheckedCollection] = []
    problems = list(dump.problems)
    problems += [Problem(name, why, name) for name, why in refused_collections(dump.collections)]
    notes = list(dump.notes)
    if not dump.checked:
        notes.append("Files that are not compressed have no checksum; only their form was checked.")
    for collection in dump.collections:
        if collection.type == "view":
            continue
        digest, without_id = Digest(), 0
        try:
            for batch in dump.batches_of(collection):
                before = digest.count
                digest.add_batch(batch)
                without_id += _without_id(batch)
                if not collection.data.endswith(layout.GZIP):
                    _check_form(batch)
                require_storable(batch)
                counting.add(collection.name, digest.count - before)
        except DamagedDataError as error:
            problems.append(Problem(collection.data, str(error), collection.name))
        else:
            checked.append(_checked(collection.name, digest))
        if without_id:
            notes.append(
                f"{collection.name}: {without_id:,} documents have no _id in the first place; the "
                "server will move it there, or make one."
            )
    return checked, problems, notes


def _without_id(batch: bytes) -> int:
    return sum(batch[start + 5 : start + 9] != b"_id\0" for start, _ in spans(batch))


def _check_form(batch: bytes) -> None:
    """Fails where documents could not be read; strings need not be UTF-8."""
    for start, end in spans(batch):
        raw = batch[start:end]
        try:
            # Of binaries the server looks at the outer length alone, and the driver at one within.
            if not _is_readable(raw) and not _is_readable(_without_binaries(raw)):
                raise DamagedDataError("holds a document that cannot be read")
        except ValueError as error:
            raise DamagedDataError("holds a document that cannot be read") from error


def _is_readable(raw: bytes) -> bool:
    try:
        # Reading a field walks the document's elements.
        RawBSONDocument(raw, LENIENT).get("_id")
    except (InvalidBSON, ValueError):
        return False
    return True


def _without_binaries(raw: bytes) -> bytes:
    return bytes(document_of(*[part for part in elements(raw) if part[1] != _BINARY]).raw)


def _checked(name: str, digest: Digest) -> CheckedCollection:
    return CheckedCollection(name, digest.count, digest.bytes, digest.hexdigest())


# -- a backup of ours -------------------------------------------------------------------------


async def _manifested(dump: Dump, manifest: Manifest, counting: _Counting) -> _Found:
    by_file = {entry.data: entry for entry in manifest.collections if entry.data}
    owners = {entry.metadata: entry.name for entry in manifest.collections}
    owners |= {file: entry.name for file, entry in by_file.items()}
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
                job = _job(_read_file, dump, name, seal, owners.get(name, ""))
            tasks.create_task(one(job))
        tasks.create_task(one(_job(_read_metadata, dump, manifest)))
        missing = tasks.create_task(asyncio.to_thread(_missing_exports, dump, manifest))
    notes += missing.result()
    checked = [one for one, _ in found if one is not None]
    strange, stray = _strangers(dump, manifest)
    problems = {problem for _, some in found for problem in some} | set(strange)
    return checked, sorted(problems, key=lambda p: (p.where, p.what)), [*notes, *stray]


def _job(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _read_file(
    dump: Dump, name: str, seal: FileSeal, collection: str
) -> tuple[None, list[Problem]]:
    """A file that is compared byte by byte alone."""
    try:
        now = dump.folder.seal(name, seal)
    except DamagedDataError as error:
        return None, [Problem(name, str(error), collection)]
    return None, [] if now == seal else [Problem(name, _changed(seal, now), collection)]


def _read_data(
    dump: Dump, entry: CollectionEntry, seal: FileSeal, counting: _Counting
) -> tuple[CheckedCollection | None, list[Problem]]:
    """A file of documents: its bytes, its checksums, and what it holds."""
    _, problems = _read_file(dump, entry.data, seal, entry.name)
    digest = Digest()
    collection = DumpedCollection(entry.name, entry.type, data=entry.data)
    try:
        for batch in dump.batches_of(collection):
            before = digest.count
            digest.add_batch(batch)
            counting.add(entry.name, digest.count - before)
    except DamagedDataError as error:
        damage = Problem(entry.data, str(error), entry.name)
        return None, problems if damage in problems else [*problems, damage]
    for what, now, then in (
        ("documents", digest.count, entry.count),
        ("bytes", digest.bytes, entry.bytes),
        ("digest", digest.hexdigest(), entry.digest),
    ):
        if now != then:
            problems.append(Problem(entry.name, f"{what} {now} instead of {then}", entry.name))
    return _checked(entry.name, digest), problems


def _read_metadata(dump: Dump, manifest: Manifest) -> tuple[None, list[Problem]]:
    """Options and indexes against their digests."""
    if not dump.readable:
        return None, []
    problems = list(dump.problems)
    entries = {entry.name: entry for entry in manifest.collections}
    for found in dump.collections:
        entry = entries[found.name]
        for what, now, then in (
            ("options", options_digest(found.options), entry.options),
            ("indexes", indexes_digest(found.indexes), entry.indexes),
        ):
            if now != then:
                changed = f"its {what} are not those of the manifest"
                problems.append(Problem(entry.metadata, changed, entry.name))
    return None, problems


def _missing_exports(dump: Dump, manifest: Manifest) -> list[str]:
    """What is to be said of a backup whose exports are not all there, or are damaged."""
    whole = {entry.collection for entry in whole_exports(dump.folder)}
    missing = [name for name in manifest.exports if name not in whole]
    if not missing:
        return []
    which = f"The JSON exports of {', '.join(missing)} are not there or not whole"
    return [f"{which}; no command needs them, and newbi-migrate backup --exports-only writes them."]


def _strangers(dump: Dump, manifest: Manifest) -> tuple[list[Problem], list[str]]:
    """Files in the database's folder that are not of the backup.

    What mongorestore would take for a part of it is a problem of that collection; the rest, such
    as what a file manager leaves behind, is a note.
    """
    known = set(manifest.files)
    try:
        names = [f"{manifest.database}/{name}" for name in dump.folder.entries(manifest.database)]
    except DamagedDataError as error:
        return [Problem(manifest.database, str(error))], []
    strange, stray = [], []
    for name in names:
        if name in known:
            continue
        collection = layout.collection_of(name.rpartition("/")[2])
        if collection is None:
            stray.append(name)
        else:
            strange.append(Problem(name, "it is not part of the backup", collection))
    note = f"Not read, as they are not part of it: {', '.join(stray)}."
    return strange, [note] if stray else []


def _changed(seal: FileSeal, now: FileSeal) -> str:
    if now.bytes != seal.bytes:
        return f"{now.bytes} bytes instead of {seal.bytes}"
    return "its bytes were changed"
