"""Questions of a validation that the server answers by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded, documents_of
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import raw_documents
from newbi_migrate.store.reading import BATCH_DOCUMENTS
from newbi_migrate.store.stamping import NO_LIST
from newbi_migrate.store.windows import has_only_object_ids

__all__ = ["Companions", "Pair", "companions", "differing_companions"]

_PORTION: Final = 20_000
"""Documents whose companions are read at once, far below what 16 MiB hold."""

_TOGETHER: Final = 1000

# A query of the type alone meets a list that holds an id, and a list names no companion.
_ONE_ID: Final[Mapping[str, Any]] = {"$type": "objectId", **NO_LIST}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents that differ.

    Attributes:
        id: ``_id`` of the one.
        companion: ``_id`` of the other.
        holds: What the one holds in the field, as text.
        companion_holds: What the other does.
    """

    id: Any
    companion: Any
    holds: str
    companion_holds: str


async def differing_companions(
    collection: Collection,
    path: str,
    other: str,
    field: str,
    *,
    comment: str,
) -> AsyncIterator[list[Pair]]:
    """Documents whose companion in another collection holds something else in a field.

    Two values are the same if they are so as text. Where one of both holds nothing, the
    documents do not differ. Gives them in portions.

    Args:
        collection: Where the documents are.
        path: Names the companion, by its ObjectId.
        other: The collection of the companions.
        field: The field that both have.
        comment: Attached to every command.
    """

    def as_text(value: Any) -> dict[str, Any]:
        return {"$convert": {"input": value, "to": "string", "onError": None, "onNull": None}}

    pipeline: list[dict[str, Any]] = [
        {"$match": {path: _ONE_ID}},
        {"$project": {path: 1, field: 1}},
        {
            "$lookup": {
                "from": other,
                "localField": path,
                "foreignField": "_id",
                "as": "companion",
            }
        },
        {
            "$project": {
                "companion": f"${path}",
                "mine": as_text(f"${field}"),
                "its": as_text({"$first": f"$companion.{field}"}),
            }
        },
        {
            "$match": {
                "mine": {"$ne": None},
                "its": {"$ne": None},
                "$expr": {"$ne": ["$mine", "$its"]},
            }
        },
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline,
        allowDiskUse=True,
        batchSize=BATCH_DOCUMENTS,
        collation=SIMPLE_COLLATION,
        comment=comment,
    )
    pairs: list[Pair] = []
    async for found in documents_of(raw_documents(cursor)):
        pairs.append(Pair(found["_id"], found["companion"], found["mine"], found["its"]))
        if len(pairs) == _TOGETHER:
            yield pairs
            pairs = []
    if pairs:
        yield pairs


@dataclass(frozen=True, slots=True)
class Companions:
    """Documents that hold the same, and refer to companions that do so too.

    Attributes:
        stored: What the documents hold.
        other: What their companions hold.
        ids: The documents.
        readable: Whether all of that can be decoded.
    """

    stored: Mapping[str, Any]
    other: Mapping[str, Any]
    ids: list[Any]
    readable: bool


async def companions(
    collection: Collection,
    path: str,
    other: Collection,
    *,
    fields: Sequence[str],
    other_fields: Sequence[str],
    comment: str,
) -> AsyncIterator[Companions]:
    """All documents that have a companion in another collection.

    Of those whose ids are no ObjectIds the first 20,000. Both are grouped by the server: to look
    each up by ``$lookup`` takes several times as long.

    Args:
        collection: Where the documents are.
        path: Names the companion, by its ObjectId.
        other: The collection of the companions.
        fields: Top-level fields that the documents are grouped by.
        other_fields: Those that the companions are.
        comment: Attached to every command.
    """
    linked = {path: _ONE_ID}
    queries: list[dict[str, Any]] = [{"_id": {"$gte": ObjectId(bytes(12))}, **linked}]
    if not await has_only_object_ids(collection, comment=comment):
        queries.append({"_id": {"$not": {"$type": "objectId"}}, **linked})
    while queries:
        query = queries.pop()
        pushed = {"id": "$_id", "link": f"${path}"}
        groups = await _groups(collection, query, fields, pushed, comment=comment)
        documents = [each for group in groups for each in group.documents]
        links = list({each["link"] for each in documents})
        found: dict[Any, _Group] = {}
        for group in await _groups(
            other, {"_id": {"$in": links}}, other_fields, {"id": "$_id"}, comment=comment
        ):
            found.update(dict.fromkeys((each["id"] for each in group.documents), group))
        for group in groups:
            by_other: dict[int, tuple[_Group, list[Any]]] = {}
            for each in group.documents:
                companion = found.get(each["link"])
                if companion is not None:
                    by_other.setdefault(id(companion), (companion, []))[1].append(each["id"])
            for companion, ids in by_other.values():
                readable = group.readable and companion.readable
                yield Companions(group.stored, companion.stored, ids, readable)
        if len(documents) == _PORTION and all(isinstance(d["id"], ObjectId) for d in documents):
            queries.append({"_id": {"$gt": max(d["id"] for d in documents)}, **linked})


@dataclass(frozen=True, slots=True)
class _Group:
    stored: Mapping[str, Any]
    documents: list[dict[str, Any]]
    readable: bool


async def _groups(
    collection: Collection,
    query: Mapping[str, Any],
    fields: Sequence[str],
    pushed: Mapping[str, str],
    *,
    comment: str,
) -> list[_Group]:
    """The first documents that match a query in the order of their ids, grouped by some fields."""
    names = {f"f{position}": field for position, field in enumerate(fields)}
    key = {name: f"${field}" for name, field in names.items()}
    stages: list[dict[str, Any]] = [
        {"$match": query},
        {"$sort": {"_id": 1}},
        {"$limit": _PORTION},
        {"$group": {"_id": key, "documents": {"$push": pushed}}},
    ]
    cursor = await collection.aggregate_raw_batches(
        stages, allowDiskUse=True, collation=SIMPLE_COLLATION, comment=comment
    )
    return [
        _Group(
            {names[name]: value for name, value in group["_id"].items()},
            group["documents"],
            readable,
        )
        async for group, readable in decoded(raw_documents(cursor))
    ]
