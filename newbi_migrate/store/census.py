"""Counting documents by what they hold, with one example each: one pass, nothing per document.

It changes when validating needs to know more of a group of documents.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from pymongo.asynchronous.collection import AsyncCollection

from newbi_migrate.store.connection import EXACT
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.raw import split_documents
from newbi_migrate.store.windows import WindowGroup

__all__ = ["count_groups"]


async def count_groups(
    collection: AsyncCollection[dict[str, Any]], fields: Sequence[str], *, comment: str
) -> AsyncIterator[list[WindowGroup]]:
    """The documents of a collection by the values of some fields, in portions.

    A group holds the count and the smallest ``_id``. Values that are equal for the server, such
    as 1 and 1.0, are in one group; an absent field and an explicit null are not.

    Args:
        collection: The collection.
        fields: The fields.
        comment: Attached to every command.
    """
    names = {field: f"f{position}" for position, field in enumerate(fields)}
    pipeline = [
        {
            "$group": {
                "_id": {name: f"${field}" for field, name in names.items()},
                "n": {"$sum": 1},
                "first": {"$min": "$_id"},
            }
        }
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline, allowDiskUse=True, collation=EXACT, comment=comment
    )
    async with cursor:
        async for batch in cursor:
            groups = []
            for raw in split_documents(cast(bytes, batch)):
                document, readable = decode(raw)
                key = document["_id"]
                groups.append(
                    WindowGroup(
                        stored={field: key[name] for field, name in names.items() if name in key},
                        kinds={},
                        raw_key=b"",
                        ids=[document["first"]],
                        count=int(document["n"]),
                        readable=readable,
                    )
                )
            yield groups
