"""What every server refuses, told by a dump alone: so nothing is dropped for it first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.store.digest import spans
from newbi_migrate.store.raw import ARRAY, DOCUMENT, MAX_DOCUMENT_BYTES, Element, elements

__all__ = ["LENIENT", "refused_collections", "require_storable"]

LENIENT: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="replace",
)
"""What the server stores need not be what Python can hold."""

_DEEPEST: Final = 180
"""Documents and arrays within one another that a server stores."""
_SMALLEST_LEVEL: Final = 7  # type, a name of no bytes and its end, size, end
_ID: Final = b"_id\0"
_NO_ID: Final = {ARRAY: "an array", 0x06: "undefined", 0x0B: "a regular expression"}
_OF_REFERENCES: Final = frozenset({"$ref", "$id", "$db"})
_EXPIRY: Final = "expireAfterSeconds"


def require_storable(batch: bytes) -> None:
    """Fail where no server stores one of some documents.

    Two documents of one ``_id`` are not found: all ids would have to be kept in memory.

    Args:
        batch: Whole documents, one after the other.

    Raises:
        DamagedDataError: It is so.
    """
    for start, end in spans(batch):
        # Whether its form can be read is looked at elsewhere.
        with suppress(ValueError):
            if why := _refused(batch[start:end]):
                raise DamagedDataError(f"holds a document {why}, which no server stores")


def _refused(raw: bytes) -> str:
    if len(raw) > MAX_DOCUMENT_BYTES:
        return f"of {len(raw):,} bytes, more than {MAX_DOCUMENT_BYTES:,}"
    if _is_too_deep(raw):
        return f"nested more than {_DEEPEST} levels deep"
    ids = _ids(raw)
    if len(ids) > 1:
        return "with several fields _id"
    for kind, value in ids:
        if kind in _NO_ID:
            return f"whose _id is {_NO_ID[kind]}"
        if kind == DOCUMENT and _names_an_operator(value):
            return "with a name in its _id that begins with $"
    return ""


def _ids(raw: bytes) -> list[Element]:
    plain = raw[5:9] == _ID and raw[4] != DOCUMENT
    if plain and (raw.count(_ID) == 1 or not _has_id(raw[:5] + b"x" + raw[6:])):
        # Nearly all documents are so, and of their ids nothing matters but the type.
        return [(raw[4], b"")]
    return [(kind, value) for name, kind, value in elements(raw) if name == "_id"]


def _has_id(raw: bytes) -> bool:
    # Documents within it may have ids of their own. The driver passes over them, far faster than
    # all fields are walked here.
    try:
        return "_id" in RawBSONDocument(raw, LENIENT)
    except (InvalidBSON, ValueError):
        return True


def _names_an_operator(raw: bytes) -> bool:
    return any(
        (name.startswith("$") and name not in _OF_REFERENCES)
        or (kind == DOCUMENT and _names_an_operator(value))
        for name, kind, value in elements(raw)
    )


def _is_too_deep(raw: bytes) -> bool:
    if len(raw) < _DEEPEST * _SMALLEST_LEVEL or raw.count(b"\3") + raw.count(b"\4") <= _DEEPEST:
        return False
    level = [raw]
    for _ in range(_DEEPEST + 1):
        level = [v for one in level for _, kind, v in elements(one) if kind in (DOCUMENT, ARRAY)]
        if not level:
            return False
    return True


def refused_collections(collections: Sequence[DumpedCollection]) -> Iterator[tuple[str, str]]:
    """Names of collections and views that no server makes as they are, each with why."""
    reads = {one.name: list(_read_by(one.options)) for one in collections if one.type == "view"}
    for one in collections:
        if one.type == "collection" and _EXPIRY in one.options:
            if "clusteredIndex" not in one.options:
                yield one.name, f"has the option {_EXPIRY}, which a plain collection cannot have"
        elif one.type == "view" and _leads_back(one.name, reads):
            yield one.name, "is a view that reads itself, perhaps by way of other views"


def _leads_back(view: str, reads: Mapping[str, Sequence[str]]) -> bool:
    seen: set[str] = set()
    waiting = [*reads[view]]
    while waiting:
        name = waiting.pop()
        if name == view:
            return True
        if name not in seen:
            seen.add(name)
            waiting += reads.get(name, ())
    return False


def _read_by(options: Mapping[str, Any]) -> Iterator[str]:
    yield str(options.get("viewOn", ""))
    yield from _read_by_stages(options.get("pipeline"))


def _read_by_stages(pipeline: Any) -> Iterator[str]:
    """Collections and views that stages name; what is no stage is passed over."""
    for stage in pipeline if isinstance(pipeline, list) else ():
        for name, body in stage.items() if isinstance(stage, Mapping) else ():
            yield from _read_by_stage(name, body)


def _read_by_stage(name: str, body: Any) -> Iterable[str]:
    if name == "$unionWith" and isinstance(body, str):
        yield body
    if not isinstance(body, Mapping):
        return
    if name == "$facet":
        for pipeline in body.values():
            yield from _read_by_stages(pipeline)
    elif name in {"$lookup", "$graphLookup", "$unionWith"}:
        named = body.get("coll" if name == "$unionWith" else "from")
        if isinstance(named, str):
            yield named
        yield from _read_by_stages(body.get("pipeline"))
