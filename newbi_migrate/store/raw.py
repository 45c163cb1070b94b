"""Reading BSON without decoding it: sizes of elements, documents in a batch, packed ids.

Decoding and encoding again would change some types (undefined, symbol, decimals with trailing
zeros), so values that a rollback must restore exactly are carried as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, overload

import bson
from bson import ObjectId
from bson.binary import Binary
from bson.raw_bson import RawBSONDocument

__all__ = [
    "ARRAY",
    "DOCUMENT",
    "ID_FIRST",
    "MAX_DOCUMENT_BYTES",
    "NULL",
    "OBJECT_ID",
    "OBJECT_ID_SIZE",
    "Element",
    "ObjectIds",
    "document_from",
    "document_of",
    "element",
    "element_at",
    "element_of",
    "elements",
    "elements_by_name",
    "has_room_at",
    "in_order",
    "join_ids",
    "one_of",
    "one_of_stored",
    "pack_ids",
    "raw_documents",
    "repeats_a_name",
    "set_back",
    "split_documents",
    "unpack_ids",
    "with_ids",
    "with_values",
]

Element: TypeAlias = tuple[int, bytes]
"""Type byte and bytes of a stored value."""

# Type bytes of the BSON specification 1.1 that are looked for in more than one place.
DOCUMENT: Final = 0x03
ARRAY: Final = 0x04
OBJECT_ID: Final = 0x07
NULL: Final = 0x0A

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
"""Bytes of BSON that a document takes at most (MongoDB's manual, "BSON Documents")."""

OBJECT_ID_SIZE: Final = 12
"""Bytes of an ObjectId."""

ID_FIRST: Final = b"\x07_id\0"
"""What a document begins with, after its size, whose first element is an ObjectId named _id."""

_INT32 = struct.Struct("<i")

# Sizes of values whose type alone tells them, by type byte of the BSON specification 1.1.
_FIXED: Final = {
    0x01: 8,  # double
    0x06: 0,  # undefined
    0x07: 12,  # ObjectId
    0x08: 1,  # boolean
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal128
    0x7F: 0,  # max key
    0xFF: 0,  # min key
}


# The others say their size in an int32: what comes on top of it, and the least it can say.
_COUNTED: Final = {
    0x02: (4, 1),  # string
    0x03: (0, 5),  # document
    0x04: (0, 5),  # array
    0x05: (5, 0),  # binary
    0x0C: (16, 1),  # DBPointer
    0x0D: (4, 1),  # code
    0x0E: (4, 1),  # symbol
    0x0F: (0, 14),  # code with scope
}
_REGEX: Final = 0x0B
_NO_SIZE: Final = -1


def _value_size(kind: int, raw: bytes, start: int) -> int:
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed
    if kind == _REGEX:  # two C strings; one without an end gives a negative size
        return raw.find(b"\0", raw.find(b"\0", start) + 1) + 1 - start
    if kind not in _COUNTED:
        raise ValueError(f"unknown BSON type 0x{kind:02x}")
    if len(raw) - start < _INT32.size:
        return _NO_SIZE
    more, least = _COUNTED[kind]
    said = int(_INT32.unpack_from(raw, start)[0])
    return said + more if said >= least else _NO_SIZE


def elements(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, type byte and value bytes of each top-level element of a document, in order.

    Raises:
        ValueError: The bytes are no BSON document.
    """
    position, end = 4, len(raw) - 1
    if end < position or _INT32.unpack_from(raw)[0] != len(raw) or raw[end] != 0:
        raise ValueError("not a BSON document: its length is not what it says")
    while position < end:
        kind = raw[position]
        stop = raw.index(b"\0", position + 1)
        name = raw[position + 1 : stop].decode("utf-8", "surrogateescape")
        size = _value_size(kind, raw, stop + 1)
        # A size that leads backwards would be read for ever.
        if not 0 <= size <= end - stop - 1:
            raise ValueError(f"not a BSON document: element {name!r} has no end in it")
        yield name, kind, raw[stop + 1 : stop + 1 + size]
        position = stop + 1 + size


def elements_by_name(raw: bytes) -> dict[str, Element]:
    """Type byte and value bytes of the top-level elements; of several of one name the last.

    Raises:
        ValueError: The bytes are no BSON document.
    """
    return {name: (kind, value) for name, kind, value in elements(raw)}


def repeats_a_name(raw: bytes) -> bool:
    """Whether a document has several top-level elements of one name.

    Raises:
        ValueError: The bytes are no BSON document.
    """
    names = [name for name, _, _ in elements(raw)]
    return len({*names}) < len(names)


def element(raw: bytes, name: str) -> Element | None:
    """Type byte and value bytes of the first element of that name, ``None`` if there is none."""
    for found, kind, value in elements(raw):
        if found == name:
            return kind, value
    return None


def element_of(value: Any) -> Element:
    """Type byte and value bytes of a value, as the driver encodes it."""
    ((_, kind, content),) = elements(bson.encode({"": value}))
    return kind, content


def element_at(raw: bytes, path: str) -> Element | None:
    """Type and bytes of the value at a dotted path, ``None`` where the path ends early."""
    *parents, last = path.split(".")
    for name in parents:
        found = element(raw, name)
        if found is None or found[0] != DOCUMENT:
            return None
        raw = found[1]
    return element(raw, last)


def has_room_at(raw: bytes, path: str) -> bool:
    """Whether an update can set a dotted path: what it leads through is documents, or absent."""
    for name in path.split(".")[:-1]:
        found = element(raw, name)
        if found is None:
            return True
        if found[0] != DOCUMENT:
            return False
        raw = found[1]
    return True


def document_of(*parts: tuple[str, int, bytes]) -> RawBSONDocument:
    """A document made of elements as they are, which is encoded without being decoded."""
    body = b"".join(
        [
            b"%c%b\0%b" % (kind, name.encode("utf-8", "surrogateescape"), value)
            for name, kind, value in parts
        ]
    )
    return RawBSONDocument(document_from(body))


def document_from(body: bytes) -> bytes:
    """The document of some elements that stand one after the other."""
    return _INT32.pack(len(body) + 5) + body + b"\0"


def set_back(
    raw: bytes,
    path: Sequence[str],
    written: Element,
    prior: Element | None,
) -> bytes | None:
    """A document as it was before a field was written; ``None`` if it holds something else by now.

    Args:
        raw: The document.
        path: Names that lead to the field.
        written: Type and bytes that were written.
        prior: Type and bytes that stood there before; ``None`` where the field was absent.
    """
    name, rest = path[0], path[1:]
    parts = list(elements(raw))
    position = next((n for n, part in enumerate(parts) if part[0] == name), None)
    if position is None:
        return raw if prior is None else None
    kind, value = parts[position][1:]
    if rest:
        inner = set_back(value, rest, written, prior) if kind == DOCUMENT else None
        if inner is None:
            return None
        parts[position] = (name, kind, inner)
    elif (kind, value) == written:
        parts[position : position + 1] = [] if prior is None else [(name, *prior)]
    elif (kind, value) != prior:
        return None
    return bytes(document_of(*parts).raw)


def split_documents(batch: bytes) -> Iterator[bytes]:
    """The documents of a raw batch, which stand one after the other.

    Raises:
        ValueError: The bytes are no sequence of BSON documents.
    """
    position, end = 0, len(batch)
    while position < end:
        size = int(_INT32.unpack_from(batch, position)[0]) if end - position >= 5 else 0
        if not 5 <= size <= end - position or batch[position + size - 1] != 0:
            raise ValueError("not a batch of BSON documents: one has no end in it")
        yield batch[position : position + size]
        position += size


async def raw_documents(cursor: Any) -> AsyncGenerator[bytes]:
    """The bytes of each document of a cursor of raw batches, which is closed at the end."""
    async with cursor:
        async for batch in cursor:
            for raw in split_documents(batch):
                yield raw


class ObjectIds(Sequence[ObjectId]):
    """ObjectIds in order, packed to twelve bytes each.

    Args:
        packed: Their bytes, one after the other.

    Raises:
        ValueError: The bytes are no whole number of ObjectIds.
    """

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        if len(packed) % OBJECT_ID_SIZE:
            raise ValueError("not packed ids: the last one is cut off")
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed) // OBJECT_ID_SIZE

    @overload
    def __getitem__(self, index: int) -> ObjectId: ...
    @overload
    def __getitem__(self, index: slice) -> ObjectIds: ...
    def __getitem__(self, index: int | slice) -> ObjectId | ObjectIds:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                size = OBJECT_ID_SIZE
                return ObjectIds(self.packed[start * size : max(start, stop) * size])
            return ObjectIds(b"".join(self.rows()[index]))
        start = range(len(self))[index] * OBJECT_ID_SIZE
        return ObjectId(self.packed[start : start + OBJECT_ID_SIZE])

    def __iter__(self) -> Iterator[ObjectId]:
        return map(ObjectId, self.rows())

    def rows(self) -> list[bytes]:
        """The twelve bytes of each."""
        size = OBJECT_ID_SIZE
        return [self.packed[at : at + size] for at in range(0, len(self.packed), size)]


def with_ids(ids: ObjectIds, rest: bytes) -> list[bytes]:
    """Documents that hold the same beside their ids, as the server shows them.

    Args:
        ids: The ids.
        rest: What stands beside them: a document.
    """
    start, end = _INT32.pack(len(ID_FIRST) + OBJECT_ID_SIZE + len(rest)) + ID_FIRST, rest[4:]
    return [start + row + end for row in ids.rows()]


def join_ids(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Ids of several groups, packed where all of them are."""
    packed = [part.packed for part in parts if isinstance(part, ObjectIds)]
    if len(packed) == len(parts):
        return ObjectIds(b"".join(packed))
    return [identifier for part in parts for identifier in part]


def in_order(ids: Sequence[Any]) -> Sequence[Any]:
    """Packed ids in the order in which the server keeps them, so that it reads in one direction."""
    return ObjectIds(b"".join(sorted(ids.rows()))) if isinstance(ids, ObjectIds) else ids


def one_of(ids: Sequence[Any]) -> Mapping[str, Any]:
    """The condition that a value is one of some ids; of packed ids no objects are made."""
    if not isinstance(ids, ObjectIds):
        return {"$in": list(ids)}
    body = b"".join([b"\x07%d\0%b" % row for row in enumerate(ids.rows())])
    return document_of(("$in", ARRAY, document_from(body)))


def with_values(values: Mapping[str, Element | None]) -> dict[str, Any]:
    """The stage of a pipeline in which fields get other values, byte for byte.

    Args:
        values: Field to its value, ``None`` where it gets none.
    """
    expressions = {
        name: "$$REMOVE" if value is None else document_of(("$literal", *value))
        for name, value in values.items()
    }
    return {"$set": expressions}


def one_of_stored(ids: Iterable[Element]) -> Mapping[str, Any]:
    """The same condition for ids as they are stored, which the driver need not decode.

    Args:
        ids: Type byte and bytes of each; together far below 16 MiB.
    """
    listed = document_of(*((str(n), *one) for n, one in enumerate(ids)))
    return document_of(("$in", ARRAY, bytes(listed.raw)))


def pack_ids(ids: Sequence[Any]) -> Binary | list[Any]:
    """Ids in the form in which the journal stores them.

    ObjectIds are packed to twelve bytes each; ids of any other type are kept as they are.
    """
    if isinstance(ids, ObjectIds):
        return Binary(ids.packed)
    if all(type(identifier) is ObjectId for identifier in ids):
        return Binary(b"".join(identifier.binary for identifier in ids))
    return list(ids)


def unpack_ids(packed: Binary | bytes | list[Any]) -> Sequence[Any]:
    """The ids of :func:`pack_ids`, in order.

    Raises:
        ValueError: The bytes are no whole number of ObjectIds.
    """
    return ObjectIds(packed) if isinstance(packed, bytes) else packed
