"""Timestamps of zero, in place of which a server that inserts a document writes the present.

It leaves them alone where they are set by an update, and within subdocuments.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Final

from newbi_migrate.store.digest import spans, without_fields
from newbi_migrate.store.raw import DOCUMENT, document_of, element, elements

__all__ = ["ZERO_ALONE", "equal_but_for_zeros", "with_zeros", "zeros_to_set"]

_TIMESTAMP: Final = 0x11
_ZERO: Final = bytes(8)
ZERO_ALONE: Final = bytes(document_of(("", _TIMESTAMP, _ZERO)).raw)
"""A document of one field, a timestamp of zero."""
# Whatever matches is looked at; what does not need not be taken apart.
_PERHAPS: Final = re.compile(rb"\x11[^\0]+\0{9}")


def zeros_to_set(batch: bytes) -> list[dict[str, Any]]:
    """The statements of an ``update`` that put back what inserting a batch replaced.

    Raises:
        ValueError: A field has a name that no update can be told; the message is that name.
    """
    if _PERHAPS.search(batch) is None:
        return []
    documents = (batch[start:end] for start, end in spans(batch))
    return [_statement(raw, names) for raw in documents if (names := _zeros(raw))]


def equal_but_for_zeros(stored: bytes, wanted: bytes) -> bool:
    """Whether a stored document is the wanted one, as it was or with the present in it."""
    if stored == wanted:
        return True
    names = _zeros(wanted) if _PERHAPS.search(wanted) else []
    return bool(names) and without_fields(stored, names) == without_fields(wanted, names)


def with_zeros(stored: bytes, names: Container[str]) -> bytes:
    """A stored document with zero in those of its timestamps that have some names."""
    fields = (
        (name, kind, _ZERO if kind == _TIMESTAMP and name in names else value)
        for name, kind, value in elements(stored)
    )
    return bytes(document_of(*fields).raw)


def _zeros(raw: bytes) -> list[str]:
    return [
        name
        for name, kind, value in elements(raw)
        if kind == _TIMESTAMP and value == _ZERO and name != "_id"
    ]


def _statement(raw: bytes, names: list[str]) -> dict[str, Any]:
    for name in names:
        if "." in name or name.startswith("$"):
            raise ValueError(name)
    found = element(raw, "_id")
    assert found is not None  # noqa: S101  # a batch has them all
    fields = document_of(*((name, _TIMESTAMP, _ZERO) for name in names))
    same = document_of(("$eq", *found))
    return {
        "q": document_of(("_id", DOCUMENT, bytes(same.raw))),
        "u": document_of(("$set", DOCUMENT, bytes(fields.raw))),
    }
