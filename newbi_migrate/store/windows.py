"""Reading a collection in windows, grouped by the server.

A window is the next documents in the order of ``_id``. The server groups them by the values a
resolution depends on, so that the client sees one row for each combination and the ids packed
behind it: a million documents cost a few seconds and a few megabytes. It changes when a
resolution depends on further fields.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from newbi_migrate.store.connection import EXACT
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.raw import document_of, element, elements, split_documents

__all__ = ["ABSENT_KIND", "Window", "WindowGroup", "WindowReader"]

ABSENT_KIND: Final = "missing"
"""What MongoDB's ``$type`` answers for a field that is not there."""

# Types whose equal values are equal bytes. Others (numbers, documents, …) can be equal for the
# server and differ in bytes, so their documents are not grouped.
_EXACT_TYPES: Final = ("missing", "null", "objectId", "string", "bool", "date")
# The server's reply or a single group is too large.
_TOO_LARGE: Final = frozenset({10334, 17419, 17420, 146, 292})


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Documents of a window that hold the same values.

    Attributes:
        stored: Field to decoded value; a field that is absent in the documents is not in it.
        kinds: Field to MongoDB's name of the type of its value.
        raw_key: The same values as the server sent them.
        ids: The documents' ids, in order; empty in a census.
        count: How many documents they are.
        readable: False where an id or value cannot be decoded.
    """

    stored: Mapping[str, Any]
    kinds: Mapping[str, str]
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
        stored = {name: (kind, value) for name, kind, value in elements(self.raw_key)}
        return document_of(
            *[(field, *stored[name]) for field in fields if (name := names[field]) in stored]
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The next documents of a collection.

    Attributes:
        groups: The documents by what they hold.
        first: Smallest id.
        last: Greatest id; the next window begins after it.
        count: Number of documents.
        names: Field to the name it has in a group's key.
    """

    groups: Sequence[WindowGroup]
    first: Any
    last: Any
    count: int
    names: Mapping[str, str]


class WindowReader:
    """Reads windows of a collection.

    Args:
        collection: The collection to read.
        fields: The fields to group by; the first is the workspace field where there is one.
        size: Documents in a window.
        comment: Attached to every command, for ``$currentOp``.
    """

    def __init__(
        self,
        collection: AsyncCollection[dict[str, Any]],
        fields: Sequence[str],
        *,
        size: int,
        comment: str,
    ) -> None:
        self._collection = collection
        self._fields = tuple(fields)
        self._names = {field: f"f{position}" for position, field in enumerate(self._fields)}
        self._size = size
        self._comment = comment

    async def windows(self) -> AsyncIterator[Window]:
        """All windows, in order of ``_id`` and across all types an ``_id`` can have."""
        uniform = await self._has_only_object_ids()
        after: Any = None
        begun = False
        size = self._size
        while True:
            try:
                window = await self._read(after if begun else None, begun, uniform, size)
            except OperationFailure as error:
                if error.code in _TOO_LARGE and size > 1:
                    size = max(1, size // 8)
                    continue
                raise
            if window is None:
                return
            yield window
            after, begun, size = window.last, True, self._size

    async def census(self) -> AsyncIterator[list[WindowGroup]]:
        """All documents of the collection by what they hold, counted and without their ids.

        Gives the groups in portions, so that a collection of many owners does not fill memory.
        """
        pipeline: list[dict[str, Any]] = [{"$group": {"_id": self._key(), "n": {"$sum": 1}}}]
        async for batch in self._batches(pipeline):
            yield [self._group(raw) for raw in split_documents(batch)]

    async def _has_only_object_ids(self) -> bool:
        # Ids are ordered by type first: if both ends are ObjectIds, all are.
        for direction in (1, -1):
            end = await self._collection.find_one(
                {}, {"_id": 1}, sort=[("_id", direction)], comment=self._comment
            )
            if end is not None and not isinstance(end["_id"], ObjectId):
                return False
        return True

    async def _read(self, after: Any, begun: bool, uniform: bool, size: int) -> Window | None:
        match: dict[str, Any] = {}
        if begun:
            # A plain $gt sees values of its own type alone.
            match = (
                {"_id": {"$gt": after}}
                if uniform
                else {"$expr": {"$gt": ["$_id", {"$literal": after}]}}
            )
        pipeline: list[dict[str, Any]] = [
            {"$match": match},
            {"$sort": {"_id": 1}},
            {"$limit": size},
            {"$group": {"_id": self._key(), "ids": {"$push": "$_id"}}},
        ]
        groups = [
            self._group(raw)
            async for batch in self._batches(pipeline, hint={"_id": 1})
            for raw in split_documents(batch)
        ]
        if not groups:
            return None
        if uniform:
            first = min(group.ids[0] for group in groups)
            last = max(group.ids[-1] for group in groups)
        else:
            first, last = None, await self._last(after, begun, size)
        return Window(groups, first, last, sum(g.count for g in groups), self._names)

    async def _batches(
        self, pipeline: list[dict[str, Any]], **options: Any
    ) -> AsyncIterator[bytes]:
        cursor = await self._collection.aggregate_raw_batches(
            pipeline,
            allowDiskUse=True,
            collation=EXACT,
            comment=self._comment,
            **options,
        )
        async with cursor:
            async for batch in cursor:
                yield cast(bytes, batch)

    async def _last(self, after: Any, begun: bool, size: int) -> Any:
        match = {"$expr": {"$gt": ["$_id", {"$literal": after}]}} if begun else {}
        cursor = await self._collection.aggregate(
            [
                {"$match": match},
                {"$sort": {"_id": 1}},
                {"$limit": size},
                {"$group": {"_id": None, "last": {"$last": "$_id"}}},
            ],
            hint={"_id": 1},
            comment=self._comment,
        )
        async with cursor:
            async for document in cursor:
                return document["last"]
        return after

    def _key(self) -> dict[str, Any]:
        key: dict[str, Any] = {}
        inexact = []
        for field, name in self._names.items():
            kind = {"$type": f"${field}"}
            key[name] = f"${field}"
            key[f"{name}t"] = kind
            inexact.append({"$not": [{"$in": [kind, list(_EXACT_TYPES)]}]})
        if inexact:
            key["x"] = {"$cond": [{"$or": inexact}, "$_id", "$$REMOVE"]}
        return key

    def _group(self, raw: bytes) -> WindowGroup:
        document, readable = decode(raw)
        key = document["_id"]
        found = element(raw, "_id")
        return WindowGroup(
            stored={f: key[n] for f, n in self._names.items() if n in key},
            kinds={f: key[f"{n}t"] for f, n in self._names.items()},
            raw_key=b"" if found is None else found[1],
            ids=document.get("ids", []),
            count=document.get("n", 0) or len(document["ids"]),
            readable=readable,
        )
