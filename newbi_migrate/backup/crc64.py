"""CRC-64 (ECMA-182, reflected), the checksum of mongodump's archives, at the speed of a copy.

Python has no such function, but its ``lzma`` module checks one: data wrapped as an uncompressed XZ
block passes its decoder only if the checksum that follows it is right. The frame is that of the XZ
file format 1.1, sections 2 and 3.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Final

__all__ = ["Crc64Check"]

_LONGEST: Final = 1 << 16
_FLAGS: Final = b"\x00\x04"  # check: CRC64
_STREAM: Final = b"\xfd7zXZ\x00" + _FLAGS + struct.pack("<I", zlib.crc32(_FLAGS))
# Twelve bytes: one filter, LZMA2, with a dictionary of 64 KiB, and padding.
_BLOCK: Final = b"\x02\x00\x21\x01\x08\x00\x00\x00"
_HEADER: Final = _STREAM + _BLOCK + struct.pack("<I", zlib.crc32(_BLOCK))
_FIRST: Final = 0x01  # uncompressed, with a new dictionary
_NEXT: Final = 0x02


class Crc64Check:
    """Takes bytes in, and tells at the end whether they have a given checksum."""

    def __init__(self) -> None:
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        self._decoder.decompress(_HEADER)
        self._control = _FIRST
        self._framed = 0

    def update(self, data: bytes) -> None:
        """Takes in some bytes."""
        view = memoryview(data)
        for start in range(0, len(data), _LONGEST):
            piece = view[start : start + _LONGEST]
            head = struct.pack(">BH", self._control, len(piece) - 1)
            self._decoder.decompress(head + piece)
            self._control = _NEXT
            self._framed += len(head) + len(piece)

    def matches(self, checksum: int) -> bool:
        """Whether all bytes taken in have this checksum; nothing can be taken in afterwards."""
        self._framed += 1
        end = b"\x00" + bytes(-self._framed % 4)
        try:
            self._decoder.decompress(end + struct.pack("<Q", checksum & (1 << 64) - 1))
        except lzma.LZMAError:
            return False
        return True
