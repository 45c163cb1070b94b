"""Archives that ``mongodump --archive`` writes, plain or with ``--gzip``.

An archive is a magic number, a header, one document with the metadata of each collection, a
terminator; then blocks, each a document that names a namespace, followed by documents of it or, at
its end, by their CRC-64, and a terminator.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import bson
from bson.errors import BSONError

from newbi_migrate.backup.compress import gunzip
from newbi_migrate.backup.crc64 import Crc64Check
from newbi_migrate.backup.dump import (
    DumpedCollection,
    choose_database,
    parse_metadata,
    read_failures,
)
from newbi_migrate.backup.reading import LARGEST, DamagedDataError
from newbi_migrate.errors import DamagedBackupError

__all__ = ["ArchiveDump", "is_archive"]

MAGIC: Final = struct.pack("<I", 0x8199E26D)
TERMINATOR: Final = b"\xff\xff\xff\xff"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BUFFER: Final = 1 << 20
_BATCH: Final = 1 << 20
_INT32 = struct.Struct("<i")


def is_archive(path: Path) -> bool:
    """Whether a file begins like an archive of mongodump, or like a gzip file that may hold one.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        begins = file.read(len(MAGIC))
    return begins == MAGIC or begins.startswith(_GZIP_MAGIC)


class ArchiveDump:
    """One database in an archive.

    Args:
        path: The archive.
        source: Name of the database, where it holds several.

    Raises:
        UsageError: It holds several databases, or none.
        DamagedBackupError: Its beginning is damaged.
    """

    checked: Final = True
    manifest: Final = None
    readable: Final = True

    def __init__(self, path: Path, *, source: str | None = None) -> None:
        self.path = path
        try:
            with read_failures(), _opened(path) as stream:
                prelude = list(_prelude(stream))
        except DamagedDataError as error:
            raise DamagedBackupError(
                f"The archive {str(path)!r} is damaged: {error}.",
                next_step="Take another copy of the archive.",
            ) from error
        names = sorted({one.get("db", "") for one in prelude if one.get("db")})
        self.database = choose_database(names, source, where=repr(str(path)))
        self.collections: Sequence[DumpedCollection] = tuple(
            self._collection(one) for one in prelude if one.get("db") == self.database
        )

    def _collection(self, one: dict[str, Any]) -> DumpedCollection:
        name = one["collection"]
        parsed = DumpedCollection(name, one.get("type") or "collection")
        if one.get("metadata"):
            parsed = parse_metadata(one["metadata"], where=f"{self.path.name}, {name}")
        data = "" if parsed.type == "view" else name
        return DumpedCollection(name, parsed.type, parsed.options, parsed.indexes, data)

    def batches(self) -> Iterator[tuple[DumpedCollection, bytes]]:
        """All documents, in the order of the archive.

        Raises:
            DamagedDataError: It is damaged, or lacks the end of a namespace.
        """
        by_namespace = {c.namespace: c for c in self.collections if c.data}
        checks = {name: Crc64Check() for name in by_namespace}
        with read_failures(), _opened(self.path) as stream:
            for _ in _prelude(stream):
                pass
            while (header := _document(stream, at_end=True)) is not None:
                block = _decoded(header)
                collection = None
                if block.get("db") == self.database:
                    collection = by_namespace.get(block.get("collection", ""))
                for batch in _block(stream):
                    if collection is not None:
                        checks[collection.namespace].update(batch)
                        yield collection, batch
                if block.get("EOF") and collection is not None:
                    check = checks.pop(collection.namespace)
                    if not check.matches(int(block.get("CRC", 0))):
                        raise DamagedDataError(
                            f"the documents of {collection.name!r} do not have their checksum"
                        )
        if checks:
            raise DamagedDataError(f"it ends before {', '.join(sorted(checks))} does")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        begins = file.read(len(_GZIP_MAGIC))
        file.seek(0)
        plain = gunzip(file) if begins == _GZIP_MAGIC else file
        yield io.BufferedReader(plain, _BUFFER) if plain is not file else plain  # type: ignore[type-var]


def _prelude(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The metadata of each collection."""
    if stream.read(len(MAGIC)) != MAGIC:
        raise DamagedDataError("it does not begin like an archive")
    if _document(stream) is None:
        raise DamagedDataError("it has no header")
    while (document := _document(stream)) is not None:
        yield _decoded(document)


def _block(stream: IO[bytes]) -> Iterator[bytes]:
    """The documents of one block, in batches."""
    parts: list[bytes] = []
    size = 0
    while (document := _document(stream)) is not None:
        parts.append(document)
        size += len(document)
        if size >= _BATCH:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _document(stream: IO[bytes], *, at_end: bool = False) -> bytes | None:
    """The bytes of the next document, ``None`` at a terminator or, if allowed, at the end."""
    head = stream.read(4)
    if head == TERMINATOR:
        return None
    if not head and at_end:
        return None
    if len(head) < 4:
        raise DamagedDataError("it is cut off")
    size = _INT32.unpack(head)[0]
    if not 5 <= size <= LARGEST:
        raise DamagedDataError("it holds a document of impossible size")
    rest = stream.read(size - 4)
    if len(rest) < size - 4:
        raise DamagedDataError("it is cut off")
    return head + rest


def _decoded(document: bytes) -> dict[str, Any]:
    try:
        return bson.decode(document)
    except BSONError as error:
        raise DamagedDataError("it holds a block that cannot be read") from error
