"""The throw-away server of a rehearsal, and the room it needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from newbi_migrate.backup import layout
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.checks import bytes_text
from newbi_migrate.errors import (
    LocalFileError,
    NewbiMigrateError,
    UnreachableError,
    UnsupportedError,
)
from newbi_migrate.local_files import is_there
from newbi_migrate.testing import EmbeddedMongod

__all__ = ["bytes_of_documents", "refuse_full_disk", "refuse_without_room", "scratch_server"]

_MB: Final = 1_000_000
_OPLOG_MB: Final = 512
# Files of the server before any document: journal, oplog, caches of indexes.
_SERVER_BYTES: Final = 1_200 * _MB
# Documents in the server's files, with indexes, stamped pages and the journal of the run: at most.
_TIMES: Final = 2
# What gzip and zstd make of documents, at most.
_UNPACKED: Final = 8
# With less than this a server may end at any write.
_FULL: Final = 64 << 20
_LEAST_MEMORY: Final = 512 * _MB
_LEAST_CACHE_GB: Final = 0.25


def bytes_of_documents(dump: Dump) -> int:
    """Bytes of BSON that a dump holds; at most, where its files are compressed and say nothing."""
    if dump.manifest is not None:
        return dump.manifest.bytes
    sizes = 0
    for collection in dump.collections:
        if collection.data:
            # What is gone, or is no file, takes no room; the first step names it.
            with suppress(DamagedDataError):
                size = dump.folder.size(collection.data)
                sizes += size * (_UNPACKED if collection.data.endswith(layout.GZIP) else 1)
    return sizes


def refuse_without_room(work_dir: Path, documents: int, *, backup: bool, server: bool) -> None:
    """Look at disk and memory before anything is begun.

    Args:
        work_dir: Where the files are to be.
        documents: Bytes of BSON.
        backup: Whether a backup of the copy is written there.
        server: Whether the files of a server are.

    Raises:
        LocalFileError: There is no such folder, or not enough room on its disk.
        UnsupportedError: There is not enough memory for a server.
    """
    another = "Name another with --work-dir."
    if not is_there(work_dir, next_step=another) or not work_dir.is_dir():
        raise LocalFileError(f"The folder {str(work_dir)!r} is not there.", next_step=another)
    needed = documents * backup + (_SERVER_BYTES + _TIMES * documents) * server
    free = shutil.disk_usage(work_dir).free
    if free < needed:
        raise LocalFileError(
            f"A rehearsal of this backup takes up to {bytes_text(needed)} in {str(work_dir)!r}, "
            f"whose disk has {bytes_text(free)} free.",
            next_step="Name a folder on another disk with --work-dir, or a server of your own with "
            "--scratch-uri-file.",
        )
    memory = _available_memory()
    if server and memory is not None and memory < _LEAST_MEMORY:
        raise UnsupportedError(
            f"A server for the rehearsal takes at least {bytes_text(_LEAST_MEMORY)} of memory, and "
            f"{bytes_text(memory)} are available.",
            next_step="End other programs, or name a server of your own with --scratch-uri-file.",
        )


def refuse_full_disk(work_dir: Path, error: NewbiMigrateError) -> None:
    """Fail where the disk has no room: then the error, whatever it says, is that of the disk.

    Raises:
        LocalFileError: It has none.
    """
    if shutil.disk_usage(work_dir).free < _FULL:
        raise LocalFileError(
            f"The disk of {str(work_dir)!r} is full.",
            next_step="Everything of the rehearsal is removed. Name a folder on another disk with "
            "--work-dir.",
        ) from error


@contextmanager
def scratch_server(work_dir: Path) -> Iterator[EmbeddedMongod]:
    """A server of its own, a replica set as in production, that is gone with its files afterwards.

    Raises:
        UnsupportedError: No ``mongod`` that runs was found.
        UnreachableError: It did not start, or died.
        LocalFileError: It did because the disk is full.
    """
    memory = _available_memory()
    cache = [] if memory is None else ["--wiredTigerCacheSizeGB", _cache(memory)]
    with tempfile.TemporaryDirectory(prefix="newbi-rehearsal-", dir=work_dir) as folder:
        data = Path(folder) / "data"
        options = ["--oplogSize", str(_OPLOG_MB), *cache]
        try:
            with EmbeddedMongod(replica_set=True, dbpath=data, extra_args=options) as server:
                yield server
        except UnreachableError as error:
            refuse_full_disk(work_dir, error)
            raise


def _cache(memory: int) -> str:
    """Half of what is available, and no more than the server takes by itself."""
    return f"{max(_LEAST_CACHE_GB, min(memory / 2, memory - _LEAST_MEMORY) / 1e9):.2f}"


def _available_memory() -> int | None:
    """Bytes that programs may still take; ``None`` where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None
