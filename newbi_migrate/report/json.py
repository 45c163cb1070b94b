"""Documents as JSON, written as they come: a list may be longer than memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bson import json_util

__all__ = ["as_json", "json_parts"]

_INDENT: Final = 2
_ENCODER: Final = json.JSONEncoder(indent=_INDENT, allow_nan=False)


def json_parts(value: Mapping[str, Any]) -> Iterator[str]:
    """A JSON document, part by part, with its end of line.

    Args:
        value: The document; a list that may be very long may be an iterator.
    """
    separator = "{"
    for name, part in value.items():
        yield f"{separator}\n{' ' * _INDENT}{json.dumps(as_json(name))}: "
        separator = ","
        yield from _listed(part) if isinstance(part, Iterator) else _nested(part, _INDENT)
    yield "{}\n" if separator == "{" else "\n}\n"


def _listed(values: Iterator[Any]) -> Iterator[str]:
    separator = "["
    for value in values:
        yield f"{separator}\n{' ' * 2 * _INDENT}"
        yield from _nested(value, 2 * _INDENT)
        separator = ","
    yield "[]" if separator == "[" else f"\n{' ' * _INDENT}]"


def _nested(value: Any, depth: int) -> Iterator[str]:
    # A line ends between values alone: one inside of a text is escaped.
    for written in _ENCODER.iterencode(as_json(value)):
        yield written.replace("\n", "\n" + " " * depth)


def as_json(value: Any) -> Any:
    """A value as any reader of JSON takes it.

    Half a surrogate pair becomes a replacement character. What JSON has no form for, an ObjectId,
    a date, a number that is none, is relaxed Extended JSON, so that no two ids look alike.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _extended(value)
    if isinstance(value, Mapping):
        return {as_json(str(name)): as_json(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [as_json(part) for part in value]
    return _extended(value)


def _extended(value: Any) -> Any:
    try:
        return json_util.default(value, json_util.RELAXED_JSON_OPTIONS)
    except TypeError:
        return str(value)
