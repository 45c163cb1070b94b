"""Reading documents as bytes: all in the order of their ids, some by their ids, or in batches.

Strings are compared as they are, whatever the collation of a collection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Final, TypeVar, cast

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import (
    Element,
    document_of,
    element,
    elements,
    one_of,
    one_of_stored,
    raw_documents,
    repeats_a_name,
    split_documents,
)

__all__ = [
    "BATCH_DOCUMENTS",
    "MAX_IDS",
    "chunks",
    "matching",
    "read_batches",
    "read_by_ids",
    "read_whole",
    "sample",
    "scan",
]

BATCH_DOCUMENTS: Final = 1000
"""Documents in a raw batch: larger replies cost page faults, smaller ones round trips."""

MAX_IDS: Final = 10_000
"""Ids named in one query, far below what 16 MiB hold."""

_T = TypeVar("_T")


def chunks(items: Iterable[_T], size: int) -> Iterator[Sequence[_T]]:
    """The items in portions of ``size``, the last one as long as it happens to be.

    Portions of a sequence are slices of it: what is packed stays so.
    """
    if isinstance(items, Sequence):
        for at in range(0, len(items), size):
            yield items[at : at + size]
        return
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion


def scan(
    collection: Collection,
    query: Mapping[str, Any] | None = None,
    fields: Sequence[str] | None = None,
    *,
    comment: str,
) -> AsyncGenerator[bytes]:
    """Documents in the order of their ids.

    Args:
        collection: The collection.
        query: What they match; ``None`` for all.
        fields: Their fields that are read beside ``_id``; ``None`` for whole documents.
        comment: Attached to every command.
    """
    cursor = collection.find_raw_batches(
        query or {},
        fields,
        sort=[("_id", 1)],
        batch_size=BATCH_DOCUMENTS,
        collation=SIMPLE_COLLATION,
        comment=comment,
    )
    return _with_all(fields, raw_documents(cursor), collection, comment=comment)


def read_by_ids(
    collection: Collection,
    ids: Iterable[Any],
    fields: Sequence[str] | None = None,
    *,
    comment: str,
) -> AsyncGenerator[bytes]:
    """Those of some documents that are there, in no order.

    Args:
        collection: The collection.
        ids: Their ids, any number of them.
        fields: Their fields that are read beside ``_id``; ``None`` for whole documents.
        comment: Attached to every command.
    """
    cursors = (
        collection.find_raw_batches(
            {"_id": one_of(some)},
            fields,
            batch_size=BATCH_DOCUMENTS,
            collation=SIMPLE_COLLATION,
            comment=comment,
        )
        for some in chunks(ids, MAX_IDS)
    )
    return _with_all(fields, _documents(_ahead(cursors)), collection, comment=comment)


async def read_whole(
    collection: Collection, identifier: Element, fields: Sequence[str], *, comment: str
) -> bytes | None:
    """The ``_id`` and some fields of one document, each as the server reads it; ``None`` if gone.

    A field can be there several times. The server reads and writes the first; and once it has
    shown as many fields as were asked for, whichever they are, it shows no other. So the document
    is read as a whole.

    Args:
        collection: The collection.
        identifier: Type byte and bytes of its ``_id``.
        fields: The fields, or dotted paths into them.
        comment: Attached to the command.
    """
    names = {"_id", *(field.partition(".")[0] for field in fields)}
    found = None
    query = {"_id": one_of_stored([identifier])}
    cursor = collection.find_raw_batches(query, collation=SIMPLE_COLLATION, comment=comment)
    async for raw in raw_documents(cursor):
        first: dict[str, tuple[str, int, bytes]] = {}
        for part in elements(raw):
            first.setdefault(part[0], part)
        found = bytes(document_of(*[first[name] for name in first if name in names]).raw)
    return found


async def _with_all(
    fields: Sequence[str] | None,
    documents: AsyncGenerator[bytes],
    collection: Collection,
    *,
    comment: str,
) -> AsyncGenerator[bytes]:
    """Documents of which some fields were read, also where the server hid some of them."""
    # Of one field it shows the first, and nothing is left to hide.
    perhaps_hidden = len(fields or ()) > 1
    async with aclosing(documents):
        async for raw in documents:
            if not perhaps_hidden or not repeats_a_name(raw):
                yield raw
                continue
            identifier = element(raw, "_id")
            whole = None
            if identifier is not None:
                whole = await read_whole(collection, identifier, fields or (), comment=comment)
            if whole is not None:
                yield whole


async def _next(batches: AsyncIterator[Any]) -> Any:
    return await anext(batches, None)


def read_batches(
    collection: Collection,
    projection: Any = None,
    *,
    query: Mapping[str, Any] | None = None,
    batch_size: int = BATCH_DOCUMENTS,
    comment: str | None,
) -> AsyncGenerator[bytes]:
    """All documents of a collection or view, in batches and in natural order.

    The server prepares the next batch while the caller works on this one. No collation is said:
    nothing is compared, and a view takes none but its own.

    Args:
        collection: The collection.
        projection: Fields to read, or to leave out, as ``find`` takes them; by default all.
        query: Those that it matches alone; it compares no texts.
        batch_size: Documents in a batch.
        comment: Attached to every command.
    """
    cursor = collection.find_raw_batches(
        query or {}, projection, batch_size=batch_size, comment=comment
    )
    return _ahead([cursor])


async def _ahead(cursors: Iterable[Any]) -> AsyncGenerator[bytes]:
    """Batches of one cursor after the other; the server prepares the next while one is used."""

    async def in_turn() -> AsyncGenerator[bytes]:
        for cursor in cursors:
            async with cursor:
                async for batch in cursor:
                    yield cast(bytes, batch)

    async with aclosing(in_turn()) as batches:
        coming = asyncio.create_task(_next(batches))
        try:
            while (batch := await coming) is not None:
                coming = asyncio.create_task(_next(batches))
                # The request is sent before the caller has its turn.
                await asyncio.sleep(0)
                yield batch
        finally:
            coming.cancel()
            # Whatever became of it, nobody asks any more.
            await asyncio.gather(coming, return_exceptions=True)


async def _documents(batches: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(batches):
        async for batch in batches:
            for raw in split_documents(batch):
                yield raw


def matching(
    collection: Collection,
    query: Mapping[str, Any],
    fields: Sequence[str] | None = None,
    *,
    natural: bool = False,
    comment: str,
) -> AsyncGenerator[bytes]:
    """Documents that match a query, in no order.

    Args:
        collection: The collection.
        query: The query.
        fields: Their fields that are read beside ``_id``; ``None`` for whole documents.
        natural: Pass over the whole collection in its own order, whatever indexes there are.
        comment: Attached to every command.
    """
    cursor = collection.find_raw_batches(
        query,
        fields,
        batch_size=BATCH_DOCUMENTS,
        collation=SIMPLE_COLLATION,
        hint=[("$natural", 1)] if natural else None,
        comment=comment,
    )
    return _with_all(fields, raw_documents(cursor), collection, comment=comment)


async def sample(collection: Collection, size: int, *, comment: str) -> AsyncGenerator[bytes]:
    """So many documents, drawn at random by the server."""
    cursor = await collection.aggregate_raw_batches([{"$sample": {"size": size}}], comment=comment)
    async for raw in raw_documents(cursor):
        yield raw
