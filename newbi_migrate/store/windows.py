"""Reading a collection in windows, grouped by the server.

A window is the next documents in the order of ``_id``. The server groups them by the values a
resolution depends on, so that the client sees one row for each combination and the ids packed
behind it: a million documents cost a few seconds and a few megabytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from newbi_migrate.store.codes import REPLY_TOO_LARGE
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import Undecodable, decode
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import decode_id
from newbi_migrate.store.raw import (
    document_of,
    element,
    elements,
    elements_by_name,
    raw_documents,
    split_documents,
)
from newbi_migrate.store.reading import read_batches

__all__ = [
    "Window",
    "WindowGroup",
    "WindowReader",
    "has_only_object_ids",
    "id_ranges",
    "read_singly",
]

# Types whose equal values are equal bytes. Others (numbers, documents, …) can be equal for the
# server and differ in bytes, so their documents are not grouped.
_EXACT_TYPES: Final = ("missing", "null", "objectId", "string", "bool", "date")
_OBJECT_ID: Final = 0x07

# Ids that are drawn for each range that is wanted.
_DRAWN: Final = 500

_Element = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Documents of a window that hold the same values.

    Attributes:
        stored: Field to decoded value; a field that is absent in the documents is not in it.
        raw_key: The same values as the server sent them.
        ids: The documents' ids, in order; of counted documents one example.
        count: How many documents they are.
        readable: False where an id or value cannot be decoded.
    """

    stored: Mapping[str, Any]
    raw_key: bytes
    ids: list[Any]
    count: int
    readable: bool = True

    def prior(self, fields: Sequence[str], names: Mapping[str, str]) -> RawBSONDocument:
        """The stored values of some fields, byte for byte.

        Args:
            fields: Names of the fields.
            names: Field to the name it has in the group's key.
        """
        stored = elements_by_name(self.raw_key)
        return document_of(
            *[(field, *stored[name]) for field in fields if (name := names[field]) in stored]
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The next documents of a collection.

    Attributes:
        groups: The documents by what they hold.
        last: Greatest id of a window of ObjectIds; ``None`` where ids are of other types.
        count: Number of documents.
        names: Field to the name it has in a group's key.
    """

    groups: Sequence[WindowGroup]
    last: ObjectId | None
    count: int
    names: Mapping[str, str]


async def read_singly(
    collection: Collection, fields: Sequence[str], *, comment: str
) -> AsyncIterator[list[WindowGroup]]:
    """All documents, each a group of its own, in portions and in no order.

    For views and time series, whose ids may be missing or there twice, so that no window begins
    after the last id of another.

    Args:
        collection: What to read.
        fields: The fields the groups hold.
        comment: Attached to every command.
    """
    async for batch in read_batches(collection, ["_id", *fields], comment=comment):
        groups = []
        for raw in split_documents(batch):
            document, readable = decode(raw)
            stored = {field: document[field] for field in fields if field in document}
            groups.append(WindowGroup(stored, raw, [document.get("_id")], 1, readable))
        yield groups


class WindowReader:
    """Reader of the windows of a collection.

    Args:
        collection: The collection to read.
        fields: The fields to group by.
        size: Documents in a window.
        comment: Attached to every command, for ``$currentOp``.
    """

    def __init__(
        self,
        collection: Collection,
        fields: Sequence[str],
        *,
        size: int,
        comment: str,
    ) -> None:
        self._collection = collection
        self._names = {field: f"f{position}" for position, field in enumerate(fields)}
        self._size = size
        self._comment = comment

    async def windows(self) -> AsyncIterator[Window]:
        """All windows, in order of ``_id`` and across all types an ``_id`` can have.

        A document that comes or goes meanwhile makes no other be passed over or given twice.
        """
        uniform = await has_only_object_ids(self._collection, comment=self._comment)
        after: _Element | None = None
        size = self._size
        while True:
            try:
                read = self._of_object_ids if uniform else self._of_any_ids
                groups, last = await read(after, size)
            except OperationFailure as error:
                if error.code in REPLY_TOO_LARGE and size > 1:
                    size = max(1, size // 8)
                    continue
                raise
            if last is None:
                return
            if groups:
                greatest = ObjectId(last[1]) if uniform else None
                yield Window(groups, greatest, sum(g.count for g in groups), self._names)
            after, size = last, self._size

    async def _of_object_ids(
        self, after: _Element | None, size: int
    ) -> tuple[list[WindowGroup], _Element | None]:
        # What is no ObjectId came in since, and no such comparison meets it.
        following = {"$gte": ObjectId(bytes(12))} if after is None else {"$gt": ObjectId(after[1])}
        stages: list[dict[str, Any]] = [
            {"$match": {"_id": following}},
            {"$sort": {"_id": 1}},
            {"$limit": size},
        ]
        groups = [self._group(raw) async for raw in self._grouped(stages)]
        if not groups:
            return [], None
        return groups, (_OBJECT_ID, max(group.ids[-1] for group in groups).binary)

    async def _of_any_ids(
        self, after: _Element | None, size: int
    ) -> tuple[list[WindowGroup], _Element | None]:
        # The range is fixed before it is read: whatever comes or goes, the next one begins there.
        last = await self._end_of(after, size)
        if last is None:
            return [], None
        within = {"$and": [*_compared("$gt", after), *_compared("$lte", last)]}
        stages: list[dict[str, Any]] = [{"$match": {"$expr": within}}, {"$sort": {"_id": 1}}]
        groups = [
            group async for raw in self._grouped(stages) for group in _by_ids(self._group(raw), raw)
        ]
        return groups, last

    async def _end_of(self, after: _Element | None, size: int) -> _Element | None:
        """The id of the last of the next documents; ``None`` if there is no next one."""
        query = {"$expr": {"$and": _compared("$gt", after)}}
        for direction, skip in ((1, size - 1), (-1, 0)):
            found = await _first_id(
                self._collection,
                direction,
                comment=self._comment,
                filter=query,
                skip=skip,
                hint={"_id": 1},
                collation=SIMPLE_COLLATION,
                allow_disk_use=True,
            )
            if found is not None:
                return found
        return None

    async def _grouped(self, stages: list[dict[str, Any]]) -> AsyncIterator[bytes]:
        cursor = await self._collection.aggregate_raw_batches(
            [*stages, {"$group": {"_id": self._key(), "ids": {"$push": "$_id"}}}],
            allowDiskUse=True,
            hint={"_id": 1},
            collation=SIMPLE_COLLATION,
            comment=self._comment,
        )
        async for raw in raw_documents(cursor):
            yield raw

    def _key(self) -> dict[str, Any]:
        key: dict[str, Any] = {}
        inexact = []
        for field, name in self._names.items():
            key[name] = f"${field}"
            inexact.append({"$not": [{"$in": [{"$type": f"${field}"}, list(_EXACT_TYPES)]}]})
        if inexact:
            key["x"] = {"$cond": [{"$or": inexact}, "$_id", "$$REMOVE"]}
        return key

    def _group(self, raw: bytes) -> WindowGroup:
        document, readable = decode(raw)
        key, ids = document["_id"], document["ids"]
        return WindowGroup(
            stored={field: key[name] for field, name in self._names.items() if name in key},
            raw_key=_value_of(raw, "_id"),
            ids=ids,
            count=len(ids),
            readable=readable,
        )


async def has_only_object_ids(collection: Collection, *, comment: str) -> bool:
    """Whether every ``_id`` of a collection is an ObjectId; so it is where there is none.

    Args:
        collection: The collection.
        comment: Attached to every command.
    """
    # Ids are ordered by type first, under any collation: if both ends are ObjectIds, all are.
    for direction in (1, -1):
        end = await _first_id(collection, direction, comment=comment)
        if end is not None and end[0] != _OBJECT_ID:
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


async def _first_id(collection: Collection, direction: int, **options: Any) -> _Element | None:
    cursor = collection.find_raw_batches(
        projection={"_id": 1}, sort=[("_id", direction)], limit=1, **options
    )
    found = None
    async for raw in raw_documents(cursor):
        found = element(raw, "_id")
    return found


def _compared(operator: str, identifier: _Element | None) -> list[dict[str, Any]]:
    """An expression that compares ids of all types; a plain $gt sees one type alone."""
    if identifier is None:
        return []
    return [{operator: ["$_id", document_of(("$literal", *identifier))]}]


def _by_ids(group: WindowGroup, raw: bytes) -> Iterator[WindowGroup]:
    """The documents of a group that can be named, and apart from them those that cannot."""
    ids = [decode_id(kind, value) for _, kind, value in elements(_value_of(raw, "ids"))]
    named = [i for i in ids if not isinstance(i, Undecodable)]
    _, readable = decode(group.raw_key)
    if named:
        yield replace(group, ids=named, count=len(named), readable=readable)
    if len(named) < len(ids):
        others = [i for i in ids if isinstance(i, Undecodable)]
        yield replace(group, ids=others, count=len(others), readable=False)


def _value_of(raw: bytes, name: str) -> bytes:
    found = element(raw, name)
    return b"" if found is None else found[1]
