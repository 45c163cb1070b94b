"""Reading the bytes of a backup's files: in clear, as streams of whole documents."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Final

from newbi_migrate.backup import layout
from newbi_migrate.backup.compress import GZIP_ERRORS, damage_of, gunzip
from newbi_migrate.backup.encrypt import DecryptingReader, Undecryptable
from newbi_migrate.local_files import reason_of

__all__ = ["DamagedDataError", "in_clear", "read_failures", "whole_documents"]

_CHUNK: Final = 1 << 20
_INT32 = struct.Struct("<i")
_SMALLEST: Final = 5
# What the server stores at most: 16 MiB, and 16 KiB for what it adds itself.
_LARGEST: Final = (1 << 24) + (1 << 14)


class DamagedDataError(Exception):
    """A file is not what it has to be; the message follows the file's name."""


@contextmanager
def in_clear(
    file: io.BufferedReader, identities: Sequence[Any] = (), *, name: str
) -> Iterator[IO[bytes]]:
    """An open file, decrypted and decompressed as its name says.

    Args:
        file: The file; it stays open.
        identities: Secret keys for encrypted files.
        name: Its final name.

    Raises:
        DamagedDataError: It is empty where compressed bytes have to be.
    """
    with ExitStack() as stack:
        stream = file
        if name.endswith(layout.ENCRYPTED):
            reader = stack.enter_context(DecryptingReader(stream, identities))
            stream = io.BufferedReader(reader, _CHUNK)
            name = name.removesuffix(layout.ENCRYPTED)
        if not name.endswith(layout.GZIP):
            yield stream
            return
        if not stream.peek(1):
            raise DamagedDataError("it is cut off")
        yield gunzip(stream)


@contextmanager
def read_failures() -> Iterator[None]:
    """Turn whatever reading a damaged file raises into one error.

    Raises:
        DamagedDataError: The message says what is wrong with the file.
    """
    try:
        yield
    except GZIP_ERRORS as error:
        raise DamagedDataError(damage_of(error)) from error
    except FileNotFoundError as error:
        raise DamagedDataError("it is missing") from error
    except OSError as error:
        raise DamagedDataError(f"it cannot be read ({reason_of(error)})") from error
    except Undecryptable as error:
        raise DamagedDataError("no key opens it, or its bytes are changed") from error


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
        if not _SMALLEST <= size <= _LARGEST:
            raise DamagedDataError("holds a document of impossible size")
        if position + size > end:
            break
        position += size
    return position
