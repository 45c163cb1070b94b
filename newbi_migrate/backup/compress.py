"""Gzip streams, by isal where it is installed and by zlib everywhere else.

Both write the same format at their level 1, and let other threads run while they work.
"""

from __future__ import annotations

import gzip
import zlib
from typing import IO, Any, Final, Protocol, cast

igzip: Any
isal_zlib: Any
try:
    from isal import igzip, isal_zlib
except ImportError:  # no wheel for this platform
    igzip = isal_zlib = None

__all__ = ["GZIP_ERRORS", "GzipWriter", "Sink", "damage_of", "gunzip", "library"]

_LEVEL: Final = 1
# 15 bits of window, and 16 more for gzip's header and trailer.
_GZIP_WINDOW: Final = 31

GZIP_ERRORS: Final[tuple[type[Exception], ...]] = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    *(() if isal_zlib is None else (cast("type[Exception]", isal_zlib.error),)),
)
"""What reading a damaged gzip stream may raise."""


class _Compressor(Protocol):
    def compress(self, data: Any, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Sink(Protocol):
    """Something bytes are written to."""

    def write(self, data: Any, /) -> Any:
        """Takes the bytes."""
        ...


def library() -> str:
    """Which library compresses: ``isal`` or ``zlib``."""
    return "zlib" if isal_zlib is None else "isal"


def _compressor() -> _Compressor:
    if isal_zlib is None:
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return cast("_Compressor", isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW))


class GzipWriter:
    """Writes one gzip member, without a time, so that equal data makes equal files.

    Args:
        sink: Gets the compressed bytes; it stays open.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._compressor = _compressor()

    def write(self, data: bytes) -> None:
        """Compresses and passes on what is ready.

        Raises:
            OSError: The sink failed.
        """
        ready = self._compressor.compress(data)
        if ready:
            self._sink.write(ready)

    def finish(self) -> None:
        """Writes what is left, and the checksum.

        Raises:
            OSError: The sink failed.
        """
        self._sink.write(self._compressor.flush())


def gunzip(source: IO[bytes]) -> IO[bytes]:
    """The bytes that a gzip stream holds; reading them to the end checks each member's CRC.

    Reading raises one of :data:`GZIP_ERRORS` where the stream is cut or its bits are changed.
    """
    if isal_zlib is None:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb"))
    return cast("IO[bytes]", igzip.IGzipFile(fileobj=source, mode="rb"))


def damage_of(error: BaseException) -> str:
    """What is wrong with a gzip stream, in words."""
    if isinstance(error, EOFError):
        return "it is cut off"
    return "its compressed bytes or its checksum are changed"
