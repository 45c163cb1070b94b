"""The use-case ``backup``: a whole database into a new folder, or nothing that looks like one.

Reading is the event loop's work; digesting, compressing and writing are done by threads, one batch
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import bson
from bson import Timestamp, json_util

from newbi_migrate.backup import layout
from newbi_migrate.backup.compress import library
from newbi_migrate.backup.consistency import (
    judge,
    judged,
)
from newbi_migrate.backup.files import (
    FileSeal,
    OutputFile,
    explained_by_system,
    make_private_folder,
    sync_folder,
)
from newbi_migrate.backup.manifest import CollectionEntry, Consistency, Manifest, half_done
from newbi_migrate.backup.metadata import MetadataError, parse_metadata
from newbi_migrate.backup.reporting import report_text
from newbi_migrate.backup.sources import (
    critical_collections,
    list_sources,
    metadata_text,
    unfinished_work,
)
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import (
    DamagedRecordsError,
    InterruptedRunError,
    NewbiMigrateError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.connection import Store, Topology, open_database
from newbi_migrate.store.counting import estimated_counts
from newbi_migrate.store.digest import Digest, indexes_digest, options_digest
from newbi_migrate.store.faults import explained, task_group
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.reading import read_batches
from newbi_migrate.store.snapshots import (
    SnapshotLost,
    committed,
    latest_time,
    snapshot_batches,
    write_counters,
)

__all__ = ["BackupResult", "backup_database"]

_COMMENT: Final = "newbi-migrate backup"
_NOTHING_LEFT: Final = "Nothing that looks like a backup was left behind."
_AGAIN: Final = f"{_NOTHING_LEFT} Run it again."


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A finished backup.

    Attributes:
        path: Its folder.
        manifest: What it says of itself.
        identities: Keys of this process alone that open an encrypted one, to make its exports.
    """

    path: Path
    manifest: Manifest
    identities: tuple[Any, ...] = field(default=(), repr=False)


async def backup_database(
    database: Any,
    output_dir: Path,
    *,
    registry: Registry = NEWBI,
    progress: Progress | None = None,
    workers: int = 2,
    recipients: Sequence[Any] = (),
    exports: bool = True,
    now: datetime | None = None,
) -> BackupResult:
    """Writes a whole database into a new folder ``backup_YYYY-MM-DD_HH-MM-SS``.

    Args:
        database: A connection string that names the database, or a handle of PyMongo or Motor.
        output_dir: Folder in which the backup's folder is made; made itself where it is missing.
        registry: Says which collections are also to be written as Extended JSON, and which field
            a second digest of each collection leaves out.
        progress: Listener; nothing is said where none is given.
        workers: Collections that are read at once.
        recipients: Public keys in the age format, as
            :func:`~newbi_migrate.backup.encrypt.read_recipients` gives them; none to leave the
            files unencrypted.
        exports: Whether the critical collections are to be written as Extended JSON as well, as
            :func:`~newbi_migrate.backup.exporting.export_backup` does once this is whole.
        now: Time in the folder's name; by default this second, in UTC.

    Raises:
        UsageError: The folder cannot be written, the disk is full, or the backup is there already.
        UnreachableError: The server did not answer, or may not be read.
        InterruptedRunError: The server could not keep the snapshot.
        NewbiMigrateError: The server failed in another way. Nothing is left in each case.
    """
    begun = now or datetime.now(UTC)
    final = output_dir / layout.backup_name(begun)
    partial = final.with_name(final.name + layout.PARTIAL)
    if workers < 1:
        raise UsageError("A backup needs at least one worker.", next_step="Give 1 or more.")
    async with open_database(database) as store:
        with explained_by_system(
            output_dir,
            full=f"{_NOTHING_LEFT} Make room, or name another --output-dir.",
            refused=f"{_NOTHING_LEFT} Name another --output-dir.",
        ):
            if final.exists():
                raise UsageError(
                    f"The backup {str(final)!r} is there already.",
                    next_step="Wait a second, or name another --output-dir.",
                )
            make_private_folder(partial)
            try:
                run = _Backup(
                    store,
                    partial,
                    progress or NullProgress(),
                    workers,
                    recipients,
                    registry,
                    exports,
                )
                manifest = await run.run()
                # From here on it is whole; what happens between two renames leaves it whole.
                partial.rename(final)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            try:
                sync_folder(output_dir)
            except OSError:
                # Its name may be lost with the disk: nobody is to rely on it.
                shutil.rmtree(final, ignore_errors=True)
                raise
    return BackupResult(final, manifest, run.identities)


class _Backup:
    """One backup while it is being written."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        progress: Progress,
        workers: int,
        recipients: Sequence[Any],
        registry: Registry,
        exports: bool,
    ) -> None:
        self._store = store
        self._database = store.database
        self._folder = folder
        self._progress = progress
        self._workers = workers
        self._without = (registry.workspace_field,)
        self._critical = critical_collections(registry) if exports else frozenset()
        self._suffix = layout.ENCRYPTED if recipients else ""
        self._recipients = tuple(recipients)
        self.identities: tuple[Any, ...] = ()
        if recipients:
            from newbi_migrate.backup.encrypt import new_identity

            # The exports are made from the files that were written. This key opens them for that,
            # and is never stored.
            identity, public = new_identity()
            self.identities = (identity,)
            self._recipients += (public,)
        self._files: dict[str, FileSeal] = {}
        self._finished: list[OutputFile] = []
        self._alike: frozenset[str] = frozenset()
        self._snapshot: Timestamp | None = None
        self._notes: list[str] = []

    async def run(self) -> Manifest:
        started = datetime.now(UTC)
        data = self._folder / self._database.name
        data.mkdir(mode=0o700)
        with _failing("backing up"):
            sources, passed_over = await list_sources(self._database)
            for name in passed_over:
                self._note(f"The collection {name!r} is left out, as mongodump does.")
            self._alike = layout.alike({name for s in sources for name in (s.name, s.data)})
            unfinished = await self._unfinished_run()
            before = await write_counters(self._database, self._data_names(sources))
            if self._store.server.topology is not Topology.STANDALONE:
                self._snapshot = await latest_time(self._database)
            sizes = await estimated_counts(self._database, sources)
            self._progress.phase("backup", sum(sizes.values()))
            sources.sort(key=lambda source: (-sizes.get(source.name, 0), source.name))
            entries = await self._dump_all(sources)
            after = await write_counters(self._database, self._data_names(sources))
            there_now, _ = await list_sources(self._database)
            unfinished = unfinished or await self._unfinished_run()
        snapshot = self._snapshot is not None
        entries = [judged(entry, before, after, snapshot=snapshot) for entry in entries]
        consistency, notes = judge(
            entries,
            sources,
            there_now,
            snapshot=snapshot,
            restarted=after.process != before.process,
        )
        for note in notes:
            self._note(note)
        exports = sorted(e.name for e in entries if e.name in self._critical and e.data)
        manifest = Manifest(
            tool=f"{layout.TOOL} {version('newbi-migrate')}",
            database=self._database.name,
            server=".".join(map(str, self._store.server.version)),
            topology=self._store.server.topology.value,
            started=_stamp(started),
            finished=_stamp(datetime.now(UTC)),
            consistency=consistency,
            snapshot=None if self._snapshot is None else (self._snapshot.time, self._snapshot.inc),
            without=self._without,
            compression=library(),
            encrypted=bool(self._recipients),
            unfinished_run=unfinished,
            notes=tuple(self._notes),
            collections=tuple(sorted(entries, key=lambda entry: entry.name)),
            exports=tuple(exports),
            files={},
        )
        await asyncio.to_thread(self._complete, manifest)
        return replace(manifest, files=dict(sorted(self._files.items())))

    @staticmethod
    def _data_names(sources: Sequence[CollectionInfo]) -> list[str]:
        return [source.data for source in sources if source.kind != "view"]

    async def _unfinished_run(self) -> str | None:
        """The run that has begun and not come to its end, if there is one; that is noted."""
        try:
            found = await unfinished_work(self._database)
        except DamagedRecordsError as error:
            self._note(error.what)
            return None
        if found is not None:
            self._note(half_done(found))
        return found

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)
            self._progress.note(sentence)

    # -- writing ------------------------------------------------------------------------------

    async def _dump_all(self, sources: Sequence[CollectionInfo]) -> list[CollectionEntry]:
        waiting = iter(sources)
        entries: list[CollectionEntry] = []

        async def work() -> None:
            # Workers share the iterator, so that each collection is taken by one of them.
            for source in waiting:
                entry = await self._dump(source)
                entries.append(entry)

        # A task group waits for the other workers, and so for their threads, when one fails.
        async with task_group() as tasks:
            for _ in range(self._workers):
                tasks.create_task(work())
        return entries

    async def _dump(self, source: CollectionInfo) -> CollectionEntry:
        stem = self._stem(source.name)
        indexes: tuple[dict[str, Any], ...] = ()
        if source.kind != "view":
            indexes = await read_indexes(self._database, source.name, exact=True)
        metadata = stem + layout.METADATA + layout.GZIP + self._suffix
        text = metadata_text(source, indexes)
        _require_readable(source, indexes, text)
        self._files[metadata] = await asyncio.to_thread(
            self._write, metadata, text, gzip=True, recipients=self._recipients
        )
        digest, other, data = Digest(), Digest(self._without), ""
        consistency = Consistency.UNKNOWN
        if source.kind != "view":
            data = self._stem(source.data) + layout.DATA + layout.GZIP + self._suffix
            consistency = await self._dump_documents(source, data, digest, other)
        return CollectionEntry(
            name=source.name,
            type=source.kind,
            uuid=source.uuid,
            data=data,
            metadata=metadata,
            count=digest.count,
            bytes=digest.bytes,
            digest=digest.hexdigest(),
            digest_without=other.hexdigest(),
            bytes_without=other.bytes,
            options=options_digest(source.options),
            indexes=indexes_digest(indexes),
            consistency=consistency,
        )

    def _stem(self, name: str) -> str:
        escaped = layout.escape(name, suffix=self._suffix, apart=name in self._alike)
        return f"{self._database.name}/{escaped}"

    async def _dump_documents(
        self, source: CollectionInfo, name: str, digest: Digest, other: Digest
    ) -> Consistency:
        batches, consistency = self._batches(source)
        path = self._folder / name
        with OutputFile(path, gzip=True, recipients=self._recipients) as output:

            def take(batch: bytes) -> None:
                count = digest.count
                digest.add_to_both(other, batch)
                output.write(batch)
                counted.append(digest.count - count)

            counted: list[int] = []
            under_way: asyncio.Future[None] | None = None
            loop = asyncio.get_running_loop()
            try:
                with _snapshot_explained(source.name):
                    async with aclosing(batches):
                        async for batch in batches:
                            if under_way is not None:
                                await under_way
                                self._progress.advance(counted.pop(), source.name)
                            under_way = loop.run_in_executor(None, take, batch)
                if under_way is not None:
                    await under_way
                    self._progress.advance(counted.pop(), source.name)
            finally:
                # The file must not be closed under a thread that still writes to it.
                if under_way is not None:
                    await _ended(under_way)
            self._files[name] = await asyncio.to_thread(output.finish)
        self._finished.append(output)
        return consistency

    def _batches(self, source: CollectionInfo) -> tuple[AsyncGenerator[bytes], Consistency]:
        """The documents of a collection, and what is known of when they were read."""
        if self._snapshot is None:
            batches = read_batches(self._database[source.data], comment=_COMMENT)
            return batches, Consistency.UNKNOWN
        if source.capped:
            self._note(
                f"The server offers no snapshot of the capped collection {source.name!r}: writes "
                "to it were counted instead."
            )
            batches = read_batches(committed(self._database, source.data), comment=_COMMENT)
            return batches, Consistency.UNKNOWN
        batches = snapshot_batches(self._database, source.data, self._snapshot, comment=_COMMENT)
        return batches, Consistency.SNAPSHOT

    def _write(
        self, name: str, text: str, *, gzip: bool = False, recipients: Sequence[Any] = ()
    ) -> FileSeal:
        with OutputFile(self._folder / name, gzip=gzip, recipients=recipients) as output:
            output.write(text.encode("utf-8", "surrogatepass"))
            seal = output.finish()
        self._finished.append(output)
        return seal

    def _complete(self, manifest: Manifest) -> None:
        """Report and manifest, the files' names, and all of it on disk."""
        self._files[layout.REPORT] = self._write(layout.REPORT, report_text(manifest))
        manifest = replace(manifest, files=dict(sorted(self._files.items())))
        self._write(layout.MANIFEST, json_util.dumps(manifest.to_json(), indent=2) + "\n")
        folders = {self._folder}
        for output in self._finished:
            output.give_name()
            folders.add(output.path.parent)
        for folder in folders:
            sync_folder(folder)


def _require_readable(source: CollectionInfo, indexes: Sequence[dict[str, Any]], text: str) -> None:
    """Fail where a metadata file would be read as something else, as mongodump does.

    Extended JSON has no form for a document such as ``{"$numberInt": "5"}``.
    """
    if not source.exact:
        raise UnsupportedError(
            f"The options of {source.name!r} hold what the driver reads as something else, such as "
            "a symbol or text that is not UTF-8.",
            next_step=f"{_NOTHING_LEFT} Correct its validator or its pipeline (collMod).",
            collection=source.name,
        )
    try:
        read = parse_metadata(text)
    except MetadataError:
        same = False
    else:
        found = bson.encode({"options": read.options, "indexes": read.indexes})
        same = found == bson.encode({"options": source.options, "indexes": indexes})
    if not same:
        raise UnsupportedError(
            f"Options or indexes of {source.name!r} hold what Extended JSON, and so the format of "
            "a backup, cannot say.",
            next_step=f"{_NOTHING_LEFT} Look for documents in them whose only key is a type, such "
            "as $oid or $numberInt.",
            collection=source.name,
        )


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


async def _ended(future: asyncio.Future[Any]) -> None:
    """Waits for a thread's work, whatever becomes of it and whoever cancels meanwhile."""
    while not future.done():
        with contextlib.suppress(BaseException):
            await asyncio.shield(future)


@contextmanager
def _failing(doing: str) -> Iterator[None]:
    """Errors of the server, with what they mean for a backup."""
    try:
        with explained(doing):
            yield
    except UsageError:
        raise
    except NewbiMigrateError as error:
        if error.next_step.endswith("goes on where it stopped."):
            raise type(error)(error.what, next_step=_AGAIN) from error
        raise


@contextmanager
def _snapshot_explained(collection: str) -> Iterator[None]:
    try:
        yield
    except SnapshotLost as error:
        raise InterruptedRunError(
            f"The snapshot could not be kept until {collection!r} was read: it grew too old, or "
            "the collection was altered meanwhile.",
            next_step=f"{_NOTHING_LEFT} Run it again while fewer writes are made, or raise the "
            "server's minSnapshotHistoryWindowInSeconds.",
            collection=collection,
        ) from error
