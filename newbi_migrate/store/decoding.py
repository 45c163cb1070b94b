"""Decoding stored documents: exactly where that is possible, value by value where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Self

import bson
from bson.binary import USER_DEFINED_SUBTYPE, Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from newbi_migrate.store.raw import ARRAY, DOCUMENT, Element, document_of, elements

__all__ = [
    "ANSWER",
    "PLAIN",
    "Undecodable",
    "decode",
    "decode_element",
    "decoded",
    "documents_of",
]

PLAIN: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Dictionaries, no type of the host's registry, and dates that Python cannot hold as numbers."""

ANSWER: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    RawBSONDocument, unicode_decode_error_handler="replace"
)
"""Answers of the server that may quote any stored value: their documents stay undecoded."""

_MARK: Final = b"newbi-migrate undecodable\0"


class Undecodable(Binary):
    """A stored value that the driver cannot decode, such as text that is not UTF-8.

    A record of ours holds it as a binary of the user-defined subtype; :meth:`of` knows that
    again.

    Args:
        kind: Type byte of the BSON specification.
        raw: The value's bytes.
    """

    __slots__ = ()

    def __new__(cls, kind: int, raw: bytes) -> Self:
        """Mark the bytes, so that nobody takes them for a stored binary."""
        return super().__new__(cls, _MARK + bytes([kind]) + raw, USER_DEFINED_SUBTYPE)

    @classmethod
    def of(cls, value: object) -> Undecodable | None:
        """The value that was meant, ``None`` if it is any other."""
        if isinstance(value, Undecodable):
            return value
        if (
            isinstance(value, Binary)
            and value.subtype == USER_DEFINED_SUBTYPE
            and value.startswith(_MARK)
            and len(value) > len(_MARK)
        ):
            return cls(value[len(_MARK)], value[len(_MARK) + 1 :])
        return None

    @property
    def kind(self) -> int:
        """Type byte of the BSON specification."""
        return self[len(_MARK)]

    @property
    def raw(self) -> bytes:
        """The value's bytes."""
        return bytes(self[len(_MARK) + 1 :])

    def __getnewargs__(self) -> Element:  # type: ignore[override]
        return self.kind, self.raw

    def __repr__(self) -> str:
        # Never the bytes: they may be anybody's name or password.
        return f"<undecodable value of BSON type {self.kind}, {len(self.raw)} bytes>"

    __str__ = __repr__


def decode(raw: bytes) -> tuple[dict[str, Any], bool]:
    """A document, and whether every name and value in it could be decoded as it is.

    A value that could not be is an :class:`Undecodable`. In a field's name a mark takes the place
    of what is not UTF-8.

    Raises:
        InvalidBSON: The bytes are no BSON document, which no server sends.
    """
    # The driver raises whatever the constructor of a value does.
    with suppress(Exception):
        return bson.decode(raw, PLAIN), True
    try:
        return dict(_values(raw)), False
    except ValueError as error:
        raise InvalidBSON(str(error)) from None


def decode_element(found: Element) -> Any:
    """A stored value by its type and bytes, as :func:`decode` gives it inside a document."""
    return decode(bytes(document_of(("", *found)).raw))[0][""]


def _values(raw: bytes) -> list[tuple[str, Any]]:
    return [
        (name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), _value(kind, value))
        for name, kind, value in elements(raw)
    ]


def _value(kind: int, raw: bytes) -> Any:
    with suppress(Exception):
        return bson.decode(document_of(("", kind, raw)).raw, PLAIN)[""]
    # No server nests as deeply as Python refuses to go; a file may.
    with suppress(ValueError, RecursionError):
        if kind == DOCUMENT:
            return dict(_values(raw))
        if kind == ARRAY:
            return [value for _, value in _values(raw)]
    return Undecodable(kind, raw)


async def decoded(documents: AsyncIterator[bytes]) -> AsyncIterator[tuple[dict[str, Any], bool]]:
    """Documents that are read as bytes, each decoded as :func:`decode` does."""
    async for raw in documents:
        yield decode(raw)


async def documents_of(raws: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The same for whoever reads on, whether or not all of a document could be decoded."""
    async for raw in raws:
        yield decode(raw)[0]
