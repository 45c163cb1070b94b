"""Metadata files: options and indexes of a collection, as any version of mongodump wrote them.

Since 4.0 they are canonical Extended JSON, and so is what a backup of ours holds; before, numbers
stood there bare. Only the canonical form of a value is taken for one: ``{"$regex": …}`` in a
validator or ``{"$date": …}`` in a view is what it is, a document.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeGuard

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

__all__ = ["Metadata", "MetadataError", "index_fault", "parse_metadata"]

_DEEPEST: Final = 200
"""Documents within documents, what a server takes at most."""
_INT32: Final = range(-(1 << 31), 1 << 31)
_INT64: Final = range(-(1 << 63), 1 << 63)
_INTEGER: Final = re.compile(r"-?\d{1,19}")
_FLAGS: Final = frozenset("ilmsux")
# Arguments of the command `create` that are no options of a collection.
_COMMAND: Final = frozenset(
    {
        "$db",
        "apiDeprecationErrors",
        "apiStrict",
        "apiVersion",
        "autocommit",
        "comment",
        "lsid",
        "maxTimeMS",
        "readConcern",
        "startTransaction",
        "txnNumber",
        "writeConcern",
    }
)


class MetadataError(ValueError):
    """A text is no metadata of a collection; the message says why, without a name."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metadata file says.

    Attributes:
        name: Name of the collection; empty in files of versions before 4.4.
        type: ``collection``, ``timeseries`` or ``view``; empty where the file does not say.
        options: As ``listCollections`` gave them.
        indexes: Specifications as ``listIndexes`` gave them.
    """

    name: str = ""
    type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        """What ``create`` makes of its options, whatever the file says."""
        if "timeseries" in self.options:
            return "timeseries"
        return "view" if "viewOn" in self.options else "collection"


def parse_metadata(text: str) -> Metadata:
    """Read the text of a metadata file.

    Raises:
        MetadataError: It is none, or holds what cannot be read for certain.
    """
    try:
        body = _read(text)
    except MetadataError:
        raise
    except RecursionError:
        raise MetadataError("it is nested too deeply") from None
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        raise MetadataError("it is not Extended JSON") from error
    name, kind = _text(body, "collectionName"), _text(body, "type")
    options, indexes = body.get("options"), body.get("indexes")
    options = {} if options is None else options
    indexes = [] if indexes is None else indexes
    if not isinstance(options, dict) or not isinstance(indexes, list):
        raise MetadataError("it holds no metadata of a collection")
    if kind not in {"", "collection", "timeseries", "view"}:
        raise MetadataError("it is of no kind of collection that is known")
    strange = sorted(key for key in options if key in _COMMAND)
    if strange:
        raise MetadataError(f"{', '.join(strange)} is not an option of a collection")
    for index in indexes:
        fault = index_fault(index)
        if fault:
            raise MetadataError(fault)
    return Metadata(name, kind, options, tuple(indexes))


def index_fault(index: Any) -> str:
    """Why something is no specification of an index, in words; empty if it is one."""
    if not isinstance(index, dict):
        return "an index is not a document"
    if not _is_text(index.get("name")) or not index["name"]:
        return "an index has no name"
    if not isinstance(index.get("key"), Mapping) or not index["key"]:
        return "an index has no keys"
    return ""


def _is_text(value: Any) -> TypeGuard[str]:
    # Code is a kind of str to the driver.
    return type(value) is str


def _text(body: Mapping[str, Any], key: str) -> str:
    found = body.get(key)
    if found is None:
        return ""
    if not _is_text(found):
        raise MetadataError(f"its {key} is not a text")
    return found


# -- Extended JSON ----------------------------------------------------------------------------


class _BareInt(int):
    """A number as only older versions of mongodump wrote it."""


class _BareFloat(float):
    """The same with a fraction."""


def _read(text: str) -> dict[str, Any]:
    body = json.loads(
        text,
        object_pairs_hook=_document,
        parse_int=_BareInt,
        parse_float=_BareFloat,
        parse_constant=_refuse_constant,
    )
    if not isinstance(body, dict):
        raise MetadataError("it holds no metadata of a collection")
    found = _Plain()
    plain: dict[str, Any] = found.of(body, 0)
    if found.bare and found.ambiguous:
        raise MetadataError(
            f"it was written by a version of mongodump before 4.0, and whether {found.ambiguous} "
            "in it is a value or a document cannot be told"
        )
    bson.encode(plain)
    return plain


def _refuse_constant(name: str) -> NoReturn:
    raise MetadataError(f"{name} is not a number in JSON")


def _document(pairs: Sequence[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MetadataError("a key stands in it twice")
    if not 1 <= len(found) <= 2 or not pairs[0][0].startswith("$"):
        return found
    for keys, convert in _CANONICAL.items():
        if found.keys() == keys:
            value = convert(*(found[key] for key in sorted(keys)))
            return found if value is None else value
    return found


class _Plain:
    """Takes the mark off bare numbers, and remembers what speaks for an older version."""

    def __init__(self) -> None:
        self.bare = False
        self.ambiguous = ""

    def of(self, value: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise MetadataError("it is nested too deeply")
        if isinstance(value, dict):
            self.ambiguous = self.ambiguous or _legacy_form(value)
            return {key: self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.of(inner, depth + 1) for inner in value]
        if isinstance(value, Code) and value.scope is not None:
            return Code(str(value), self.of(dict(value.scope), depth + 1))
        if isinstance(value, _BareFloat):
            self.bare = True
            return float(value)
        if isinstance(value, _BareInt):
            self.bare = True
            return int(value)
        return value


def _legacy_form(value: Mapping[str, Any]) -> str:
    """Names what older versions wrote for a value that has another form now."""
    if value.keys() == {"$date"} or value.keys() == {"$numberLong"}:
        return next(iter(value))
    return "$binary" if value.keys() == {"$binary", "$type"} else ""


# Each takes the values of its keys in the order of their names and gives None where they are not
# what the canonical form has there.


def _object_id(value: Any) -> ObjectId | None:
    return ObjectId(value) if _is_text(value) and ObjectId.is_valid(value) else None


def _integer(value: Any, within: range) -> int | None:
    if not _is_text(value) or not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if number in within else None


def _int32(value: Any) -> int | None:
    return _integer(value, _INT32)


def _int64(value: Any) -> Int64 | None:
    number = _integer(value, _INT64)
    return None if number is None else Int64(number)


def _double(value: Any) -> float | None:
    return float(value) if _is_text(value) else None


def _decimal(value: Any) -> Decimal128 | None:
    return Decimal128(value) if _is_text(value) else None


def _date(value: Any) -> DatetimeMS | None:
    return DatetimeMS(int(value)) if isinstance(value, Int64) else None


def _binary(value: Any) -> bytes | Binary | None:
    if not isinstance(value, dict) or value.keys() != {"base64", "subType"}:
        return None
    content, subtype = value["base64"], value["subType"]
    if not _is_text(content) or not _is_text(subtype):
        return None
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error:
        return None
    number = int(subtype, 16)
    return Binary(data, number) if number else data


def _regex(value: Any) -> Regex[str] | None:
    if not isinstance(value, dict) or value.keys() != {"pattern", "options"}:
        return None
    pattern, flags = value["pattern"], value["options"]
    if not _is_text(pattern) or not _is_text(flags) or set(flags) - _FLAGS:
        return None
    return Regex(pattern, flags)


def _timestamp(value: Any) -> Timestamp | None:
    if not isinstance(value, dict) or value.keys() != {"t", "i"}:
        return None
    time, increment = value["t"], value["i"]
    if not isinstance(time, _BareInt) or not isinstance(increment, _BareInt):
        return None
    return Timestamp(int(time), int(increment))


def _code(value: Any) -> Code | None:
    return Code(value) if _is_text(value) else None


def _code_with_scope(value: Any, scope: Any) -> Code | None:
    return Code(value, scope) if _is_text(value) and isinstance(scope, dict) else None


def _key(kind: type[MinKey | MaxKey]) -> Callable[[Any], MinKey | MaxKey | None]:
    return lambda value: kind() if isinstance(value, _BareInt) and value == 1 else None


def _no_longer(name: str) -> Callable[[Any], NoReturn]:
    def refuse(_: Any) -> NoReturn:
        raise MetadataError(f"it holds a {name}, which no driver writes any more")

    return refuse


_CANONICAL: Final[Mapping[frozenset[str], Callable[..., Any]]] = {
    frozenset({"$oid"}): _object_id,
    frozenset({"$numberInt"}): _int32,
    frozenset({"$numberLong"}): _int64,
    frozenset({"$numberDouble"}): _double,
    frozenset({"$numberDecimal"}): _decimal,
    frozenset({"$date"}): _date,
    frozenset({"$binary"}): _binary,
    frozenset({"$regularExpression"}): _regex,
    frozenset({"$timestamp"}): _timestamp,
    frozenset({"$code"}): _code,
    frozenset({"$code", "$scope"}): _code_with_scope,
    frozenset({"$minKey"}): _key(MinKey),
    frozenset({"$maxKey"}): _key(MaxKey),
    frozenset({"$symbol"}): _no_longer("symbol"),
    frozenset({"$undefined"}): _no_longer("value undefined"),
    frozenset({"$dbPointer"}): _no_longer("DBPointer"),
}
