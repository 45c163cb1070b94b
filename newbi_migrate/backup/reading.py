"""Reading the files of a dump as streams of whole documents."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from newbi_migrate.backup import layout
from newbi_migrate.backup.compress import gunzip

__all__ = ["DamagedDataError", "open_stream", "whole_documents"]

_CHUNK: Final = 1 << 20
_INT32 = struct.Struct("<i")
_SMALLEST: Final = 5
# What the server stores at most: 16 MiB, and 16 KiB for what it adds itself.
LARGEST: Final = (1 << 24) + (1 << 14)


class DamagedDataError(Exception):
    """A file's bytes are not what they have to be; the message follows the file's name."""


@contextmanager
def open_stream(path: Path, identities: Sequence[Any] = (), *, name: str) -> Iterator[IO[bytes]]:
    """A file in clear, decrypted and decompressed as its name says.

    Args:
        path: Where it is.
        identities: Secret keys for encrypted files.
        name: Its final name, whatever that of ``path``.

    Raises:
        OSError: It cannot be read.
    """
    with ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        if name.endswith(layout.ENCRYPTED):
            from newbi_migrate.backup.encrypt import DecryptingReader

            reader = stack.enter_context(DecryptingReader(stream, identities))
            stream = cast("IO[bytes]", io.BufferedReader(reader, _CHUNK))
            name = name.removesuffix(layout.ENCRYPTED)
        if name.endswith(layout.GZIP):
            stream = gunzip(stream)
        yield stream


def whole_documents(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in batches of some megabyte that each hold a whole number of documents.

    Raises:
        DamagedDataError: A document has an impossible size, or the stream ends within one.
    """
    rest = b""
    while chunk := stream.read(_CHUNK):
        data = rest + chunk if rest else chunk
        end = _whole(data)
        if end:
            yield data[:end] if end < len(data) else data
        rest = data[end:]
    if rest:
        raise DamagedDataError("ends within a document")


def _whole(data: bytes) -> int:
    """Where the last whole document ends."""
    size_at, position, end = _INT32.unpack_from, 0, len(data)
    while end - position >= 4:
        size = size_at(data, position)[0]
        if not _SMALLEST <= size <= LARGEST:
            raise DamagedDataError("holds a document of impossible size")
        if position + size > end:
            break
        position += size
    return position
