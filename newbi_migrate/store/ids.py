"""Keys of ids: equal where the server calls the ids equal, whatever their BSON type."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from bson import Decimal128, ObjectId

from newbi_migrate.store.decoding import Undecodable, decode
from newbi_migrate.store.raw import (
    ARRAY,
    DOCUMENT,
    ID_FIRST,
    OBJECT_ID,
    OBJECT_ID_SIZE,
    ObjectIds,
    document_of,
    element_of,
    elements,
)

__all__ = ["decode_id", "id_key", "id_key_of", "id_keys", "split_id"]

_DOUBLE: Final = 0x01
_STRING: Final = 0x02
_SYMBOL: Final = 0x0E
_CODE_WITH_SCOPE: Final = 0x0F
_INT32: Final = 0x10
_INT64: Final = 0x12
_DECIMAL: Final = 0x13

_NUMBERS: Final = {
    _DOUBLE: struct.Struct("<d"),
    _INT32: struct.Struct("<i"),
    _INT64: struct.Struct("<q"),
}
_SIZE: Final = struct.Struct("<i")
# The server compares a double with a decimal as far as a decimal goes.
_DIGITS: Final = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999)
_OBJECT_ID_MARK: Final = bytes([OBJECT_ID])

# Where the ObjectId stands that a document begins with.
_ID_START: Final = 4 + len(ID_FIRST)
_ID_END: Final = _ID_START + OBJECT_ID_SIZE


def id_key(identifier: Any) -> bytes:
    """A decoded id as a key of a set or a dictionary.

    Two keys are equal where the server compares the ids as equal under the simple collation: a
    number is one key whatever its type, a text is no other text, and a document's fields have
    their order. An :class:`~newbi_migrate.store.decoding.Undecodable` has the key of the value it
    stands for, also after it was read from a record.
    """
    if type(identifier) is ObjectId:
        return _OBJECT_ID_MARK + identifier.binary
    undecodable = Undecodable.of(identifier)
    if undecodable is not None:
        return id_key_of(undecodable.kind, undecodable.raw)
    return id_key_of(*element_of(identifier))


def id_key_of(kind: int, raw: bytes) -> bytes:
    """The same key for an id as it is stored.

    Args:
        kind: Type byte of the BSON specification.
        raw: The value's bytes.
    """
    if kind == OBJECT_ID:
        return _OBJECT_ID_MARK + raw
    if kind in (_STRING, _SYMBOL):
        return bytes([_STRING]) + raw
    if kind in _NUMBERS or kind == _DECIMAL:
        return bytes([_DOUBLE]) + _number(kind, raw).encode()
    if kind in (DOCUMENT, ARRAY):
        return bytes([kind]) + _fields(raw)
    if kind == _CODE_WITH_SCOPE:
        end = 2 * _SIZE.size + _SIZE.unpack_from(raw, _SIZE.size)[0]
        return bytes([kind]) + raw[_SIZE.size : end] + _fields(raw[end:])
    return bytes([kind]) + raw


def id_keys(ids: Iterable[Any]) -> list[bytes]:
    """The keys of decoded ids, in order."""
    if isinstance(ids, ObjectIds):
        return [_OBJECT_ID_MARK + row for row in ids.rows()]
    return [id_key(identifier) for identifier in ids]


def split_id(raw: bytes) -> tuple[int, bytes, bytes]:
    """Type byte and bytes of a document's ``_id``, and the elements beside it.

    What a view shows without an ``_id`` has type 0, which BSON gives to none.

    Raises:
        ValueError: The bytes are no BSON document.
    """
    if raw.startswith(ID_FIRST, 4):
        return OBJECT_ID, raw[_ID_START:_ID_END], raw[_ID_END:-1]
    parts = list(elements(raw))
    kind, value = next((part[1:] for part in parts if part[0] == "_id"), (0, b""))
    others = [part for part in parts if part[0] != "_id"]
    return kind, value, bytes(document_of(*others).raw)[4:-1]


def decode_id(kind: int, raw: bytes) -> Any:
    """An id by which the server finds the document again, else an ``Undecodable``.

    The driver decodes some ids into others, such as a DBPointer into a document.

    Args:
        kind: Type byte of the BSON specification.
        raw: The value's bytes.
    """
    if kind == OBJECT_ID:
        return ObjectId(raw)
    document, readable = decode(bytes(document_of(("_id", kind, raw)).raw))
    identifier = document["_id"]
    if readable and id_key(identifier) == id_key_of(kind, raw):
        return identifier
    return Undecodable(kind, raw)


def _fields(raw: bytes) -> bytes:
    parts = []
    for name, kind, value in elements(raw):
        key = id_key_of(kind, value)
        parts += [name.encode("utf-8", "surrogateescape"), b"\0", _SIZE.pack(len(key)), key]
    return b"".join(parts)


def _number(kind: int, raw: bytes) -> str:
    value = (
        Decimal128.from_bid(raw).to_decimal()
        if kind == _DECIMAL
        else Decimal(_NUMBERS[kind].unpack(raw)[0])
    )
    if value.is_nan():
        return "nan"
    exact = _DIGITS.create_decimal(value)
    return str(_DIGITS.normalize(exact)) if exact else "0"
