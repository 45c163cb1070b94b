"""Writing the Extended JSON exports of a backup, from the files it has just written.

Converting takes ten times as long as reading, so it is done when the snapshot is no longer needed
and, where it is worth it, by processes of their own. It changes when exports are made from
something else, or elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newbi_migrate.backup import layout
from newbi_migrate.backup.exports import json_lines
from newbi_migrate.backup.files import FileSeal, OutputFile
from newbi_migrate.backup.manifest import CollectionEntry, ExportEntry
from newbi_migrate.backup.reading import open_stream, whole_documents
from newbi_migrate.migration.progress import Progress

__all__ = ["Exporter"]


class Exporter:
    """Makes the exports of one backup.

    Args:
        folder: The backup while it is being written.
        recipients: Public keys, none where files are not encrypted.
        identities: Secret keys that open the files just written.
        workers: Collections that are converted at once.
    """

    def __init__(
        self,
        folder: Path,
        recipients: Sequence[Any],
        identities: Sequence[Any],
        workers: int,
    ) -> None:
        self._folder = folder
        self._recipients = recipients
        self._identities = identities
        self._workers = workers

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
        for entry in sorted(entries, key=lambda entry: entry.name):
            export, seal, output = await asyncio.to_thread(self._convert, entry)
            progress.advance(export.lines, entry.name)
            exports.append(export)
            seals[export.file] = seal
            outputs.append(output)
        return tuple(exports), seals, outputs

    def _convert(self, entry: CollectionEntry) -> tuple[ExportEntry, FileSeal, OutputFile]:
        suffix = layout.ENCRYPTED if self._recipients else ""
        name = f"{layout.EXPORTS}/{layout.escape(entry.name, suffix=suffix)}.json{suffix}"
        source = layout.temporary(self._folder / entry.data)
        lines = 0
        with (
            OutputFile(self._folder / name, gzip=False, recipients=self._recipients) as output,
            open_stream(source, self._identities, name=entry.data) as stream,
        ):
            for batch in whole_documents(stream):
                text = [line + "\n" for line in json_lines(batch)]
                output.write("".join(text).encode("utf-8", "replace"))
                lines += len(text)
            seal = output.finish()
        return ExportEntry(entry.name, name, lines), seal, output
