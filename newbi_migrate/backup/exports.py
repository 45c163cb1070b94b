"""Collections as canonical Extended JSON, one document a line, for people and other programs.

The ``.bson`` file is the backup; this is a copy that any tool can read. BSON types that no driver
writes any more (symbol, undefined, DBPointer) appear as what PyMongo makes of them.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from bson.json_util import CANONICAL_JSON_OPTIONS, default as in_json

__all__ = ["REPLY", "REQUEST", "json_lines", "json_text"]

REQUEST: Final = struct.Struct("<Q")
"""Before a batch that is sent to a converting process: its bytes."""
REPLY: Final = struct.Struct("<QQ")
"""Before what it answers: lines and bytes."""


def _double(value: float) -> dict[str, Any]:
    if math.isnan(value):
        return {"$numberDouble": "NaN"}
    if math.isinf(value):
        return {"$numberDouble": "Infinity" if value > 0 else "-Infinity"}
    return {"$numberDouble": repr(value)}


def _binary(value: bytes, subtype: int = 0) -> dict[str, Any]:
    return {
        "$binary": {"base64": base64.b64encode(value).decode(), "subType": f"{subtype:02x}"},
    }


def _reference(value: DBRef) -> dict[str, Any]:
    # Its parts were decoded, and so converted, before it.
    return dict(value.as_doc())


def _code(value: Code) -> dict[str, Any]:
    scope = value.scope
    return {"$code": str(value)} if scope is None else {"$code": str(value), "$scope": scope}


def _usual(value: Any) -> Any:
    return in_json(value, CANONICAL_JSON_OPTIONS)


# The decoder calls one of these for each value, which leaves plain dictionaries, lists and
# strings to the fast encoder of the standard library: twice as fast as json_util.
_CONVERSIONS: Final[dict[type, Callable[[Any], Any]]] = {
    int: lambda value: {"$numberInt": str(value)},
    Int64: lambda value: {"$numberLong": str(int(value))},
    float: _double,
    ObjectId: lambda value: {"$oid": str(value)},
    DatetimeMS: lambda value: {"$date": {"$numberLong": str(int(value))}},
    bytes: _binary,
    Binary: lambda value: _binary(value, value.subtype),
    Decimal128: lambda value: {"$numberDecimal": str(value)},
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
    Regex: _usual,
    Code: _code,
    DBRef: _reference,
    MinKey: lambda _: {"$minKey": 1},
    MaxKey: lambda _: {"$maxKey": 1},
}


def _decoder(kind: type, convert: Callable[[Any], Any]) -> TypeDecoder:
    class Decoder(TypeDecoder):
        @property
        def bson_type(self) -> Any:
            return kind

        def transform_bson(self, value: Any) -> Any:
            return convert(value)

    return Decoder()


_OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="replace",
    type_registry=TypeRegistry([_decoder(*pair) for pair in _CONVERSIONS.items()]),
)

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def json_lines(batch: bytes) -> Iterator[str]:
    """One line for each document of a batch, without its line feed.

    Raises:
        bson.errors.InvalidBSON: The bytes are no documents.
    """
    for document in bson.decode_all(batch, _OPTIONS):
        yield _ENCODER.encode(document)


def json_text(batch: bytes) -> tuple[int, bytes]:
    """Number and text of the lines of a batch.

    Raises:
        bson.errors.InvalidBSON: The bytes are no documents.
    """
    lines = [line + "\n" for line in json_lines(batch)]
    return len(lines), "".join(lines).encode("utf-8", "replace")


def _serve() -> None:
    """Converts batches from standard input to standard output until that ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(REQUEST.size):
        lines, text = json_text(source.read(*REQUEST.unpack(head)))
        sink.write(REPLY.pack(lines, len(text)) + text)
        sink.flush()


if __name__ == "__main__":
    _serve()
