"""Collections as canonical Extended JSON, one document a line, for people and other programs.

The ``.bson`` file is the backup; this is a copy that any tool can read. BSON types that no driver
writes any more (symbol, undefined, DBPointer) appear as what PyMongo makes of them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from json.encoder import encode_basestring as quoted
from typing import Any, Final

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.json_util import CANONICAL_JSON_OPTIONS, default as in_json

from newbi_migrate.store.digest import spans

__all__ = ["json_lines"]

# No document of Python's own is built: its text is, in half the time of json_util and less.
_OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
)


def _document(value: dict[str, Any]) -> str:
    fields = [f"{quoted(name)}:{_TEXTS[type(held)](held)}" for name, held in value.items()]
    return f"{{{','.join(fields)}}}"


def _array(value: list[Any]) -> str:
    return f"[{','.join([_TEXTS[type(held)](held) for held in value])}]"


def _double(value: float) -> str:
    if math.isfinite(value):
        return f'{{"$numberDouble":"{value!r}"}}'
    name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return f'{{"$numberDouble":"{name}"}}'


def _binary(value: bytes, subtype: int = 0) -> str:
    text = base64.b64encode(value).decode()
    return f'{{"$binary":{{"base64":"{text}","subType":"{subtype:02x}"}}}}'


def _code(value: Code) -> str:
    scope = "" if value.scope is None else f',"$scope":{_document(dict(value.scope))}'
    return f'{{"$code":{quoted(value)}{scope}}}'


def _reference(value: DBRef) -> str:
    return _document(dict(value.as_doc()))


def _usual(value: Any) -> str:
    return _document(in_json(value, CANONICAL_JSON_OPTIONS))


_TEXTS: Final[dict[type, Callable[[Any], str]]] = {
    dict: _document,
    list: _array,
    str: quoted,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    int: lambda value: f'{{"$numberInt":"{value}"}}',
    Int64: lambda value: f'{{"$numberLong":"{int(value)}"}}',
    float: _double,
    ObjectId: lambda value: f'{{"$oid":"{value}"}}',
    DatetimeMS: lambda value: f'{{"$date":{{"$numberLong":"{int(value)}"}}}}',
    bytes: _binary,
    Binary: lambda value: _binary(value, value.subtype),
    Decimal128: lambda value: f'{{"$numberDecimal":"{value}"}}',
    Timestamp: lambda value: f'{{"$timestamp":{{"t":{value.time:d},"i":{value.inc:d}}}}}',
    Regex: _usual,
    Code: _code,
    DBRef: _reference,
    MinKey: lambda _: '{"$minKey":1}',
    MaxKey: lambda _: '{"$maxKey":1}',
}


def json_lines(batch: bytes) -> Iterator[str]:
    """One line for each document of a batch, without its line feed.

    Those that hold a value which the driver cannot decode, and Extended JSON not say, are missing.
    """
    # The driver raises whatever the constructor of a value does.
    with suppress(Exception):
        yield from [_document(document) for document in bson.decode_all(batch, _OPTIONS)]
        return
    for start, end in spans(batch):
        with suppress(Exception):
            yield _document(bson.decode(batch[start:end], _OPTIONS))
