"""Questions of a validation that the server answers by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import raw_documents

__all__ = ["companions", "differing_companions"]


async def differing_companions(
    collection: Collection, path: str, other: str, field: str, *, comment: str
) -> AsyncIterator[Any]:
    """Ids of documents whose companion in another collection holds something else in a field.

    Two values are the same if they are so as text. Where one of both holds nothing, the
    documents do not differ.

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
        {"$match": {path: {"$type": "objectId"}}},
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
        {"$project": {"_id": 1}},
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline, allowDiskUse=True, collation=SIMPLE_COLLATION, comment=comment
    )
    async for found, _ in decoded(raw_documents(cursor)):
        yield found["_id"]


async def companions(
    collection: Collection,
    path: str,
    other: str,
    *,
    fields: Iterable[str],
    unlike: Iterable[tuple[str, str]],
    comment: str,
) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Documents with their companions in another collection, and whether both can be decoded.

    Args:
        collection: Where the documents are.
        path: Names the companion, by its ObjectId.
        other: The collection of the companions.
        fields: Top-level fields that are read of the documents; of companions all are.
        unlike: Pairs of a field of the document and one of the companion: only where the two of
            some pair differ; none for all.
        comment: Attached to every command.
    """
    pipeline: list[dict[str, Any]] = [
        {"$match": {path: {"$type": "objectId"}}},
        {"$project": {path: 1, **dict.fromkeys(fields, 1)}},
        {
            "$lookup": {
                "from": other,
                "localField": path,
                "foreignField": "_id",
                "as": "companion",
            }
        },
        {"$unwind": "$companion"},
    ]
    differing = [{"$ne": [f"${mine}", f"$companion.{its}"]} for mine, its in unlike]
    if differing:
        pipeline.append({"$match": {"$expr": {"$or": differing}}})
    cursor = await collection.aggregate_raw_batches(
        pipeline, allowDiskUse=True, collation=SIMPLE_COLLATION, comment=comment
    )
    async for found, readable in decoded(raw_documents(cursor)):
        yield found, found.pop("companion"), readable
