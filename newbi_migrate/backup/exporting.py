"""Writing the Extended JSON exports of a backup that is whole, from its files.

Converting takes ten times as long as reading, and nothing waits for it: a backup is one without
its exports, and what is missing of them can be written at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from newbi_migrate.backup import layout
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.export_list import (
    LIST,
    LOCK,
    ExportEntry,
    Exports,
    list_text,
    whole_exports,
)
from newbi_migrate.backup.exports import json_lines
from newbi_migrate.backup.files import OutputFile, explained_by_system, lock_file, sync_folder
from newbi_migrate.backup.manifest import CollectionEntry, Manifest
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.sources import critical_collections
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DamagedBackupError, LocalFileError, UsageError
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.digest import spans

__all__ = ["export_backup"]


async def export_backup(
    path: Path,
    *,
    registry: Registry = NEWBI,
    progress: Progress | None = None,
    recipients: Sequence[Any] = (),
    identities: Sequence[Any] = (),
) -> Exports:
    """Writes the critical collections of a backup as Extended JSON, as far as they are missing.

    Stopped at any time, the same call goes on with the collection it was in; the backup is whole
    before, meanwhile and afterwards.

    Args:
        path: A backup of ours.
        registry: Says which collections, where the backup was made without exports.
        progress: Listener; nothing is said where none is given.
        recipients: Public keys; an encrypted backup has no exports in clear.
        identities: Secret keys that open an encrypted backup.

    Raises:
        UsageError: It is no backup of ours, or encrypted and a key is missing.
        DamagedBackupError: Its files cannot be read.
        LocalFileError: The exports could not be written, or somebody else is writing them.
    """
    dump = await asyncio.to_thread(Dump, path, identities)
    if dump.manifest is None:
        raise UsageError(
            f"{str(path)!r} is a dump without a manifest, which gets no exports.",
            next_step="Name a backup made by newbi-migrate backup.",
        )
    if dump.manifest.encrypted and not (identities and recipients):
        raise UsageError(
            f"The backup {str(path)!r} is encrypted, and so are its exports.",
            next_step="Give --identity FILE, which opens it, and --recipient KEY for the exports.",
        )
    exporter = _Exporter(dump, dump.manifest, recipients, progress or NullProgress())
    opened = " --identity FILE --recipient KEY" if recipients else ""
    again = f"newbi-migrate backup --exports-only {str(path)!r}{opened}"
    left = f"The backup is whole without; {again} goes on"
    with explained_by_system(path / layout.EXPORTS, full=f"Make room. {left}.", refused=f"{left}."):
        entries = await exporter.export(critical_collections(registry))
    return Exports(dump.path, dump.database, entries)


class _Exporter:
    def __init__(
        self, dump: Dump, manifest: Manifest, recipients: Sequence[Any], progress: Progress
    ) -> None:
        self._dump = dump
        self._manifest = manifest
        self._recipients = recipients
        self._progress = progress
        self._folder = dump.path / layout.EXPORTS

    async def export(self, critical: Collection[str]) -> tuple[ExportEntry, ...]:
        wanted = self._manifest.exports or critical
        entries = [one for one in self._manifest.collections if one.name in wanted and one.data]
        if not entries:
            return ()
        with self._lock_folder():
            self._clear()
            return await self._export(entries)

    async def _export(self, entries: Sequence[CollectionEntry]) -> tuple[ExportEntry, ...]:
        alike = layout.alike(entry.name for entry in entries)
        whole = await asyncio.to_thread(whole_exports, self._dump.folder)
        made = {one.collection: one for one in whole}
        missing = [entry for entry in entries if entry.name not in made]
        self._progress.phase("exports", sum(entry.count for entry in missing))
        told = _Told()
        for entry in missing:
            apart = entry.name in alike
            work = asyncio.ensure_future(asyncio.to_thread(self._convert, entry, told, apart))
            await _finished(work, told, lambda done: self._progress.advance(done, entry.name))  # noqa: B023
            made[entry.name] = work.result()
            await asyncio.to_thread(self._write, LIST, list_text(list(made.values())))
        return tuple(made[name] for name in sorted(made))

    def _lock_folder(self) -> IO[bytes]:
        """Make the folder, or see that it is one, and keep others from writing to it."""
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        self._listed()
        try:
            return lock_file(self._dump.path / LOCK)
        except BlockingIOError as error:
            raise LocalFileError(
                f"Another process writes the exports of {str(self._dump.path)!r}.",
                next_step="Nothing was written here; wait until that process has ended.",
            ) from error

    def _clear(self) -> None:
        """Remove what was left half written by a process that has ended."""
        for name in self._listed():
            if name.endswith(layout.PARTIAL):
                (self._folder / name).unlink()

    def _listed(self) -> list[str]:
        try:
            return list(self._dump.folder.entries(layout.EXPORTS))
        except DamagedDataError as error:
            raise DamagedBackupError(
                f"The exports cannot be written to {str(self._folder)!r}: {error}.",
                next_step="Move it away; the backup is whole without.",
            ) from error

    def _convert(self, entry: CollectionEntry, told: _Told, apart: bool) -> ExportEntry:
        suffix = layout.ENCRYPTED if self._recipients else ""
        stem = layout.escape(entry.name, suffix=suffix, apart=apart)
        name = f"{layout.EXPORTS}/{stem}.json{suffix}"
        lines = documents = 0
        with OutputFile(self._dump.path / name, gzip=False, recipients=self._recipients) as output:
            try:
                for batch in self._dump.folder.documents(entry.data):
                    if told.stopped:
                        raise InterruptedError
                    text = [line + "\n" for line in json_lines(batch)]
                    output.write("".join(text).encode("utf-8", "replace"))
                    count = sum(1 for _ in spans(batch))
                    lines += len(text)
                    documents += count
                    told.documents += count
            except DamagedDataError as error:
                raise DamagedBackupError(
                    f"The backup {str(self._dump.path)!r} is damaged: {entry.data}: {error}.",
                    next_step="Take another copy of the backup.",
                ) from error
            seal = output.finish()
        output.give_name()
        sync_folder(self._folder)
        return ExportEntry(entry.name, name, lines, documents - lines, seal.bytes, seal.digest)

    def _write(self, name: str, text: bytes) -> None:
        with OutputFile(self._dump.path / name, gzip=False) as output:
            output.write(text)
            output.finish()
        output.give_name()
        sync_folder(self._folder)


class _Told:
    """What a thread tells the event loop, and the other way round."""

    def __init__(self) -> None:
        self.documents = 0
        self.stopped = False


async def _finished(work: asyncio.Future[Any], told: _Told, advance: Callable[[int], None]) -> None:
    """Waits for a thread and tells what it does; when cancelled, waits until it has stopped."""
    begun = told.documents
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=0.2)
            now = told.documents
            advance(now - begun)
            begun = now
    finally:
        if not work.done():
            told.stopped = True
            await asyncio.wait({work})
            work.exception()
