"""Decoding stored documents: exactly where that is possible, readably where it is not.

It changes when PyMongo's decoder refuses, or changes, another kind of stored value.
"""

from __future__ import annotations

from typing import Any, Final

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON

__all__ = ["LENIENT", "PLAIN", "decode"]

PLAIN: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Dictionaries, no type of the host's registry, and dates that Python cannot hold as numbers."""

LENIENT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
"""The same, with a mark in place of text that is not UTF-8."""


def decode(raw: bytes) -> tuple[dict[str, Any], bool]:
    """A document, and whether every value of it could be decoded as it is."""
    try:
        return bson.decode(raw, PLAIN), True
    except InvalidBSON:
        return bson.decode(raw, LENIENT), False
