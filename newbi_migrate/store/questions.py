"""Questions of a validation that the server answers by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import raw_documents

__all__ = ["Pair", "differing_companions"]

_TOGETHER: Final = 1000


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
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline, allowDiskUse=True, collation=SIMPLE_COLLATION, comment=comment
    )
    pairs: list[Pair] = []
    async for found, _ in decoded(raw_documents(cursor)):
        pairs.append(Pair(found["_id"], found["companion"], found["mine"], found["its"]))
        if len(pairs) == _TOGETHER:
            yield pairs
            pairs = []
    if pairs:
        yield pairs
