"""Counting documents by what they hold, with one example each: one pass, nothing per document."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import decode_id
from newbi_migrate.store.raw import elements_by_name, split_documents
from newbi_migrate.store.reading import BATCH_DOCUMENTS
from newbi_migrate.store.windows import WindowGroup

__all__ = ["count_groups"]


async def count_groups(
    collection: Collection,
    fields: Sequence[str],
    *,
    holding: Counter[str] | None = None,
    comment: str,
) -> AsyncIterator[list[WindowGroup]]:
    """The documents of a collection by the values of some fields, in portions.

    A group holds the count and the smallest ``_id``. Values that are equal for the server, such
    as 1 and 1.0, are in one group; an absent field and an explicit null are not.

    Args:
        collection: The collection.
        fields: The fields.
        holding: Further fields, each with a number, to which is added how many documents have it.
        comment: Attached to every command.
    """
    holding = Counter() if holding is None else holding
    names = {field: f"f{position}" for position, field in enumerate(fields)}
    numbers = {f"h{position}": path for position, path in enumerate(holding)}
    pipeline = [
        {
            "$group": {
                "_id": {name: f"${field}" for field, name in names.items()},
                "n": {"$sum": 1},
                "first": {"$min": "$_id"},
                **{number: {"$sum": _has(path)} for number, path in numbers.items()},
            }
        }
    ]
    cursor = await collection.aggregate_raw_batches(
        pipeline,
        allowDiskUse=True,
        batchSize=BATCH_DOCUMENTS,
        collation=SIMPLE_COLLATION,
        comment=comment,
    )
    async with cursor:
        async for batch in cursor:
            groups = []
            for raw in split_documents(cast(bytes, batch)):
                counted = decode(raw)[0]
                for number, path in numbers.items():
                    holding[path] += counted[number]
                groups.append(_group(raw, names, counted["n"]))
            yield groups


def _has(path: str) -> dict[str, Any]:
    return {"$cond": [{"$eq": [{"$type": f"${path}"}, "missing"]}, 0, 1]}


def _group(raw: bytes, names: Mapping[str, str], count: int) -> WindowGroup:
    found = elements_by_name(raw)
    raw_key = found["_id"][1]
    key, readable = decode(raw_key)
    return WindowGroup(
        stored={field: key[name] for field, name in names.items() if name in key},
        raw_key=raw_key,
        ids=[decode_id(*found["first"])],
        count=count,
        readable=readable,
    )
