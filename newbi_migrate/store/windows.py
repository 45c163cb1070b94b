"""Reading a collection by what its documents hold, a portion at a time.

Whoever decides about documents reads a few small fields of each. Documents that hold the same
bytes in these fields are one group, so a decision is made once for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import Undecodable, decode
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import decode_id, split_id
from newbi_migrate.store.raw import (
    OBJECT_ID,
    Element,
    ObjectIds,
    document_from,
    document_of,
    element,
    element_of,
    elements_by_name,
    one_of,
    raw_documents,
    repeats_a_name,
    split_documents,
)
from newbi_migrate.store.reading import read_batches, read_whole

__all__ = [
    "WindowGroup",
    "has_only_object_ids",
    "id_ranges",
    "larger_of",
    "larger_than",
    "read_portions",
    "read_windows",
]


# Documents of a few small fields in one reply.
_FEW_FIELDS: Final = 5_000

# Groups at once: of very many owners each document is a group, and takes a kilobyte or two.
_MOST_GROUPS: Final = 5_000

# Ids that are drawn for each range that is wanted.
_DRAWN: Final = 500


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Documents that hold the same values.

    Attributes:
        stored: Field to decoded value; a field that is absent in the documents is not in it.
        raw_key: The same values as the server sent them, a document of its own.
        ids: The documents' ids; of counted documents one example.
        count: How many documents they are.
        readable: False where an id or value cannot be decoded.
    """

    stored: Mapping[str, Any]
    raw_key: bytes
    ids: Sequence[Any]
    count: int
    readable: bool = True

    def prior(self, fields: Sequence[str]) -> RawBSONDocument:
        """The stored values of some fields, byte for byte."""
        stored = elements_by_name(self.raw_key)
        return document_of(*[(field, *stored[field]) for field in fields if field in stored])


def larger_than(size: int) -> dict[str, Any]:
    """A query for the documents that take more than so many bytes of BSON."""
    return {"$expr": {"$gt": [{"$bsonSize": "$$ROOT"}, size]}}


async def larger_of(
    collection: Collection, ids: Sequence[Any], size: int, *, comment: str
) -> list[Any]:
    """Those of some ids whose documents take more than so many bytes of BSON."""
    cursor = collection.find(
        {"_id": one_of(ids), **larger_than(size)},
        ["_id"],
        collation=SIMPLE_COLLATION,
        comment=comment,
    )
    async with cursor:
        return [document["_id"] async for document in cursor]


async def read_portions(
    collection: Collection,
    fields: Sequence[str],
    *,
    query: Mapping[str, Any] | None = None,
    size: int,
    comment: str,
) -> AsyncIterator[list[WindowGroup]]:
    """All documents of a collection, view or time series, in natural order.

    A document that comes or goes meanwhile makes no other be passed over or given twice.

    Args:
        collection: What to read.
        fields: The fields the groups hold.
        query: Those that it matches alone; it compares no texts.
        size: Documents in a portion, or a few more; fewer where few are alike.
        comment: Attached to every command.
    """
    gathered = _Gathered(size)
    async for batch in read_batches(
        collection, ["_id", *fields], query=query, batch_size=_FEW_FIELDS, comment=comment
    ):
        for raw in split_documents(batch):
            gathered.add(raw)
        if gathered.is_full:
            yield await gathered.groups(collection, fields, comment=comment)
            gathered = _Gathered(size)
    if gathered.count:
        yield await gathered.groups(collection, fields, comment=comment)


async def read_windows(
    collection: Collection, fields: Sequence[str], *, size: int, comment: str
) -> AsyncIterator[list[WindowGroup]]:
    """All documents of a collection in the order of their ids, across all types these can have.

    A document that comes or goes meanwhile makes no other be passed over or given twice.

    Args:
        collection: What to read; no view.
        fields: The fields the groups hold.
        size: Documents in a window, at most; fewer where few are alike.
        comment: Attached to every command.
    """
    uniform = await has_only_object_ids(collection, comment=comment)
    after: Element | None = None
    while True:
        gathered = _Gathered(size)
        batches = _read(
            collection,
            _following(after, uniform=uniform),
            ["_id", *fields],
            limit=size,
            batch_size=min(size, _FEW_FIELDS),
            comment=comment,
        )
        raw: bytes | None = None
        async with aclosing(batches):
            async for batch in batches:
                for raw in split_documents(batch):
                    gathered.add(raw)
                if gathered.is_full:
                    break
        if raw is None:
            return
        yield await gathered.groups(collection, fields, comment=comment)
        after = element(raw, "_id")


def _following(after: Element | None, *, uniform: bool) -> dict[str, Any]:
    """A query for the documents whose ids come after one."""
    if uniform:
        # What is no ObjectId came in since, and no such comparison meets it.
        return {
            "_id": {"$gte": ObjectId(bytes(12))} if after is None else {"$gt": ObjectId(after[1])}
        }
    if after is None:
        return {}
    # An expression compares ids of all types; a plain $gt sees one type alone.
    return {"$expr": {"$gt": ["$_id", document_of(("$literal", *after))]}}


async def _read(
    collection: Collection, query: Mapping[str, Any], projection: Sequence[str], **options: Any
) -> AsyncGenerator[bytes]:
    """Some fields of documents, in the order of ids, in batches."""
    cursor = collection.find_raw_batches(
        query,
        projection,
        sort=[("_id", 1)],
        hint={"_id": 1},
        collation=SIMPLE_COLLATION,
        allow_disk_use=True,
        **options,
    )
    async with cursor:
        async for batch in cursor:
            yield cast(bytes, batch)


class _Gathered:
    """Documents, by what they hold beside their ids.

    Args:
        size: How many are enough.

    Attributes:
        count: How many they are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.count = 0
        # What follows the id to the packed ids; a million of them take twelve megabytes.
        self._packed: dict[bytes, bytearray] = {}
        # The same for ids of other types, those that cannot be named apart from the others.
        self._others: dict[tuple[bytes, bool], list[Any]] = {}

    @property
    def is_full(self) -> bool:
        """Whether these are enough documents, or groups, to be decided about at once."""
        return self.count >= self._size or len(self._packed) + len(self._others) >= _MOST_GROUPS

    def add(self, raw: bytes) -> None:
        """Add a document of which ``_id`` and some fields were read."""
        self.count += 1
        kind, value, rest = split_id(raw)
        if kind == OBJECT_ID:
            ids = self._packed.get(rest)
            if ids is None:
                self._packed[rest] = bytearray(value)
            else:
                ids += value
            return
        # A view may show documents without one.
        identifier = decode_id(kind, value) if kind else None
        named = not isinstance(identifier, Undecodable)
        self._others.setdefault((rest, named), []).append(identifier)

    async def groups(
        self, collection: Collection, fields: Sequence[str], *, comment: str
    ) -> list[WindowGroup]:
        """The groups of all that was added; what the server hid of a document is read again."""
        for rest in [one for one in self._packed if repeats_a_name(document_from(one))]:
            for identifier in ObjectIds(bytes(self._packed.pop(rest))).rows():
                await self._again(collection, (OBJECT_ID, identifier), fields, comment=comment)
        odd = [one for one in self._others if one[1] and repeats_a_name(document_from(one[0]))]
        for key in odd:
            for identifier in self._others.pop(key):
                value = element_of(identifier)
                await self._again(collection, value, fields, comment=comment)
        packed = [_group(r, ObjectIds(bytes(i)), named=True) for r, i in self._packed.items()]
        others = [_group(r, ids, named=named) for (r, named), ids in self._others.items()]
        return packed + others

    async def _again(
        self, collection: Collection, identifier: Element, fields: Sequence[str], *, comment: str
    ) -> None:
        self.count -= 1
        raw = await read_whole(collection, identifier, fields, comment=comment)
        if raw is not None:
            self.add(raw)


def _group(rest: bytes, ids: Sequence[Any], *, named: bool) -> WindowGroup:
    raw = document_from(rest)
    stored, readable = decode(raw)
    return WindowGroup(stored, raw, ids, len(ids), readable and named)


async def has_only_object_ids(collection: Collection, *, comment: str) -> bool:
    """Whether every ``_id`` of a collection is an ObjectId; so it is where there is none.

    Args:
        collection: The collection.
        comment: Attached to every command.
    """
    # Ids are ordered by type first, under any collation: if both ends are ObjectIds, all are.
    for direction in (1, -1):
        end = await _first_id(collection, direction, comment=comment)
        if end is not None and end[0] != OBJECT_ID:
            return False
    return True


async def id_ranges(
    collection: Collection, parts: int, *, comment: str
) -> AsyncIterator[dict[str, Any]]:
    """Queries for ranges of ids that hold about as many documents each; together they hold all.

    Where some ids are no ObjectIds, there is one range.
    """
    splits: list[Any] = []
    if parts > 1 and await has_only_object_ids(collection, comment=comment):
        cursor = await collection.aggregate(
            [{"$sample": {"size": _DRAWN * parts}}, {"$project": {"_id": 1}}], comment=comment
        )
        async with cursor:
            ids = sorted([found["_id"] async for found in cursor])
        splits = sorted({ids[len(ids) * n // parts] for n in range(1, parts) if ids})
    for low, high in zip([None, *splits], [*splits, None], strict=True):
        limits = {} if low is None else {"$gte": low}
        if high is not None:
            limits["$lt"] = high
        yield {"_id": limits} if limits else {}


async def _first_id(collection: Collection, direction: int, *, comment: str) -> Element | None:
    cursor = collection.find_raw_batches(
        projection={"_id": 1}, sort=[("_id", direction)], limit=1, comment=comment
    )
    found = None
    async for raw in raw_documents(cursor):
        found = element(raw, "_id")
    return found
