"""Questions of a validation that the server answers by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import raw_documents

__all__ = ["differing_companions"]

_TOGETHER: Final = 1000


async def differing_companions(
    collection: Collection, path: str, other: str, field: str, *, comment: str
) -> AsyncIterator[list[tuple[Any, Any]]]:
    """Documents whose companion in another collection holds something else in a field.

    Two values are the same if they are so as text. Where one of both holds nothing, the
    documents do not differ. Gives the ids of both, in portions.

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
        {"$project": {"companion": 1}},
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline, allowDiskUse=True, collation=SIMPLE_COLLATION, comment=comment
    )
    pairs: list[tuple[Any, Any]] = []
    async for found, _ in decoded(raw_documents(cursor)):
        pairs.append((found["_id"], found["companion"]))
        if len(pairs) == _TOGETHER:
            yield pairs
            pairs = []
    if pairs:
        yield pairs
