"""Writing the Extended JSON exports of a backup, from the files it has just written.

Converting takes ten times as long as reading, so it is done when the snapshot is no longer needed
and, where it is worth it, by processes of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from newbi_migrate.backup import layout
from newbi_migrate.backup.converting import Converter
from newbi_migrate.backup.files import FileSeal, OutputFile
from newbi_migrate.backup.manifest import CollectionEntry, ExportEntry
from newbi_migrate.backup.opening import BackupFolder
from newbi_migrate.backup.reading import whole_documents
from newbi_migrate.progress import Progress

__all__ = ["Exporter"]


class Exporter:
    """Makes the exports of one backup.

    Args:
        folder: The backup while it is being written.
        recipients: Public keys, none where files are not encrypted.
        identities: Secret keys that open the files just written.
        alike: Names of collections that differ from another's by case alone.
    """

    def __init__(
        self,
        folder: Path,
        recipients: Sequence[Any],
        identities: Sequence[Any],
        alike: Collection[str] = (),
    ) -> None:
        self._alike = alike
        self._folder = folder
        self._recipients = recipients
        self._source = BackupFolder(folder, identities)

    async def export(
        self, entries: Sequence[CollectionEntry], progress: Progress
    ) -> tuple[tuple[ExportEntry, ...], dict[str, FileSeal], list[OutputFile]]:
        """Converts collections; gives what was made, the files' seals, and files to settle."""
        if not entries:
            return (), {}, []
        (self._folder / layout.EXPORTS).mkdir(mode=0o700)
        progress.phase("exports", sum(entry.count for entry in entries))
        exports: list[ExportEntry] = []
        seals: dict[str, FileSeal] = {}
        outputs: list[OutputFile] = []
        told = _Told()
        with Converter(sum(entry.count for entry in entries)) as converter:
            for entry in sorted(entries, key=lambda entry: entry.name):
                work = asyncio.ensure_future(
                    asyncio.to_thread(self._convert, entry, converter, told)
                )
                await _finished(work, told, lambda done: progress.advance(done, entry.name))  # noqa: B023
                export, seal, output = work.result()
                exports.append(export)
                seals[export.file] = seal
                outputs.append(output)
        return tuple(exports), seals, outputs

    def _convert(
        self, entry: CollectionEntry, converter: Converter, told: _Told
    ) -> tuple[ExportEntry, FileSeal, OutputFile]:
        suffix = layout.ENCRYPTED if self._recipients else ""
        stem = layout.escape(entry.name, suffix=suffix, apart=entry.name in self._alike)
        name = f"{layout.EXPORTS}/{stem}.json{suffix}"
        # It has its name when the whole backup is on disk.
        source = layout.temporary(Path(entry.data)).as_posix()
        total = 0
        with (
            OutputFile(self._folder / name, gzip=False, recipients=self._recipients) as output,
            self._source.clear(source, written_as=entry.data) as stream,
        ):
            for lines, text in converter.convert(whole_documents(stream)):
                if told.stopped:
                    raise InterruptedError
                output.write(text)
                total += lines
                told.lines += lines
            seal = output.finish()
        return ExportEntry(entry.name, name, total), seal, output


class _Told:
    """What a thread tells the event loop, and the other way round."""

    def __init__(self) -> None:
        self.lines = 0
        self.stopped = False


async def _finished(work: asyncio.Future[Any], told: _Told, advance: Callable[[int], None]) -> None:
    """Waits for a thread and tells what it does; when cancelled, waits until it has stopped."""
    begun = told.lines
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=0.2)
            now = told.lines
            advance(now - begun)
            begun = now
    finally:
        if not work.done():
            told.stopped = True
            await asyncio.wait({work})
            work.exception()
