"""Writing to a window of documents: short statements that only change what they expect.

Every statement names the value it expects beside the value it sets, so that running it again
changes nothing and a document that somebody changed meanwhile is left alone. It changes when
a faster way to write is found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final, TypeVar

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, OperationFailure

from newbi_migrate.store.codes import ONE_DOCUMENT, TOO_LARGE, Code
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import document_of

__all__ = [
    "MAX_IDS",
    "MAX_OPERATIONS",
    "MAX_TREE_OWNERS",
    "OwnerStamp",
    "Refusal",
    "WindowOutcome",
    "chunks",
    "expecting",
    "holding",
    "search_tree",
    "unexpected",
    "write_groups",
    "write_owner_stamps",
]

MAX_TREE_OWNERS: Final = 20_000
"""Owners in one statement: more would make it slow to parse, 90,000 exceed 16 MiB."""

MAX_IDS: Final = 10_000
"""Ids named in one query, far below what 16 MiB hold."""

MAX_OPERATIONS: Final = 1000
"""Operations in one bulk write."""

_T = TypeVar("_T")

_UNDEFINED: Final = 0x06
_NULL: Final = 0x0A


@dataclass(frozen=True, slots=True)
class OwnerStamp:
    """Documents of one owner that lack the field, and the value they get.

    Attributes:
        owner: The owner as stored, an ObjectId.
        value: The value to set.
        ids: The ids of the documents.
    """

    owner: ObjectId
    value: Any
    ids: list[Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document the server would not let us write.

    Attributes:
        id: Its ``_id``.
        code: MongoDB's error code.
    """

    id: Any
    code: int

    @property
    def too_large(self) -> bool:
        """Whether the new field does not fit into 16 MiB."""
        return self.code in TOO_LARGE

    @property
    def duplicate(self) -> bool:
        """Whether a unique index has the new value already."""
        return self.code == Code.DUPLICATE_KEY


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """What became of a window.

    Attributes:
        written: Number of documents that now hold the new values.
        groups: The groups as they turned out, where that is not as intended; else ``None``.
        refused: Documents the server refused.
        changed: Ids of documents that no longer held what was expected, or are gone.
    """

    written: int
    groups: tuple[JournalGroup, ...] | None = None
    refused: tuple[Refusal, ...] = ()
    changed: tuple[Any, ...] = ()


def search_tree(
    values: Mapping[ObjectId, Any],
    path: Any,
    *,
    weights: Mapping[ObjectId, int] | None = None,
    otherwise: Any = "$$REMOVE",
) -> dict[str, Any]:
    """An aggregation expression that looks a value up by an ObjectId.

    A balanced tree of comparisons: the server evaluates about log2(n) of them for a document,
    fewer for a key with a great weight, where a list of alternatives would cost n.

    Args:
        values: Key to value; at least one.
        path: Expression that gives the key.
        weights: How often each key is expected.
        otherwise: What an unknown key gives.
    """
    keys = sorted(values)
    heights = list(accumulate((weights[k] if weights else 1 for k in keys), initial=0))

    def leaf(key: ObjectId) -> dict[str, Any]:
        return {"$cond": [{"$eq": [path, key]}, values[key], otherwise]}

    def branch(low: int, high: int) -> dict[str, Any]:
        if high - low == 1:
            return leaf(keys[low])
        half = (heights[low] + heights[high]) / 2
        cut = bisect_left(heights, half, low + 1, high - 1)
        if cut > low + 1 and half - heights[cut - 1] < heights[cut] - half:
            cut -= 1
        return {"$cond": [{"$lt": [path, keys[cut]]}, branch(low, cut), branch(cut, high)]}

    return branch(0, len(keys))


async def write_owner_stamps(
    collection: AsyncCollection[dict[str, Any]],
    field: str,
    owner_field: str,
    stamps: Sequence[OwnerStamp],
    *,
    known: Callable[[], Iterable[Any]],
    comment: str,
    safe_point: Callable[[], None],
) -> WindowOutcome:
    """Sets a field that is absent, by the owner, on a range of ``_id`` in one statement.

    A document in the range whose owner is not among the stamps is left alone; so is one that
    holds the field, whatever its value. ``known`` gives the ids of all documents that were
    read in the range, stamped or not; it is asked only where counts do not add up.
    ``safe_point`` is called before every statement and raises to stop there.
    """
    expected = sum(len(stamp.ids) for stamp in stamps)
    ordered = sorted(stamps, key=lambda stamp: stamp.owner)
    modified = 0
    for start in range(0, len(ordered), MAX_TREE_OWNERS):
        part = ordered[start : start + MAX_TREE_OWNERS]
        tree = search_tree(
            {stamp.owner: stamp.value for stamp in part},
            f"${owner_field}",
            weights={stamp.owner: len(stamp.ids) for stamp in part},
        )
        query = {
            "_id": {
                "$gte": min(stamp.ids[0] for stamp in part),
                "$lte": max(stamp.ids[-1] for stamp in part),
            },
            field: {"$exists": False},
        }
        update = [{"$set": {field: RawBSONDocument(bson.encode(tree))}}]
        safe_point()
        try:
            result = await collection.update_many(query, update, hint={"_id": 1}, comment=comment)
        except OperationFailure as error:
            if error.code not in ONE_DOCUMENT:
                raise
            # Some document stands in the way: find out which, one by one.
            return await _one_by_one(
                collection, _as_groups(stamps, field), comment=comment, safe_point=safe_point
            )
        modified += result.modified_count
    if modified == expected:
        return WindowOutcome(modified)
    return await _look_again(
        collection, _as_groups(stamps, field), (), comment=comment, known=known
    )


def _as_groups(stamps: Sequence[OwnerStamp], field: str) -> list[JournalGroup]:
    return [JournalGroup({field: stamp.value}, {}, stamp.ids) for stamp in stamps]


async def write_groups(
    collection: AsyncCollection[dict[str, Any]],
    groups: Sequence[JournalGroup],
    *,
    comment: str,
    safe_point: Callable[[], None],
) -> WindowOutcome:
    """Makes the changes of each group, on the documents that still hold its prior values.

    ``safe_point`` is called before every statement and raises to stop there.
    """
    expected = sum(len(group.ids) for group in groups)
    operations = [
        UpdateMany({"_id": {"$in": list(ids)}, **guard}, {"$set": dict(group.changes)})
        for group in groups
        for guard in (_guard(group),)
        for ids in chunks(group.ids, MAX_IDS)
    ]
    modified = 0
    for chunk in chunks(operations, MAX_OPERATIONS):
        safe_point()
        try:
            result = await collection.bulk_write(chunk, ordered=False, comment=comment)
        except BulkWriteError as error:
            codes = {e.get("code") for e in error.details.get("writeErrors", ())}
            if not codes or not codes <= ONE_DOCUMENT:
                raise
            return await _one_by_one(collection, groups, comment=comment, safe_point=safe_point)
        modified += result.modified_count
    if modified == expected:
        return WindowOutcome(modified)
    return await _look_again(collection, groups, (), comment=comment)


async def holding(
    collection: AsyncCollection[dict[str, Any]], group: JournalGroup, *, comment: str
) -> tuple[Any, ...]:
    """The ids of a group whose documents hold its new values now."""
    found: list[Any] = []
    wanted = {name: {"$eq": value} for name, value in group.changes.items()}
    for ids in chunks(group.ids, MAX_IDS):
        cursor = collection.find({"_id": {"$in": list(ids)}, **wanted}, {"_id": 1}, comment=comment)
        async with cursor:
            found.extend([document["_id"] async for document in cursor])
    return tuple(found)


def _guard(group: JournalGroup) -> dict[str, Any]:
    """A query for documents that still hold what the group found there."""
    stored = group.prior_elements()
    return {name: expecting(stored.get(name)) for name in group.changes}


def expecting(stored: tuple[int, bytes] | None) -> Any:
    """The condition on a field that it holds a value, given as type and bytes, or is absent."""
    if stored is None:
        return {"$exists": False}
    kind, value = stored
    # Neither would match itself alone: null equals what is absent, undefined cannot be asked for.
    if kind == _NULL:
        return {"$type": "null"}
    if kind == _UNDEFINED:
        return {"$type": "undefined"}
    return document_of(("$eq", kind, value))


async def _one_by_one(
    collection: AsyncCollection[dict[str, Any]],
    groups: Sequence[JournalGroup],
    *,
    comment: str,
    safe_point: Callable[[], None],
) -> WindowOutcome:
    refused: list[Refusal] = []
    singles = [
        (identifier, UpdateOne({"_id": {"$eq": identifier}, **guard}, {"$set": changes}))
        for group in groups
        for guard, changes in ((_guard(group), dict(group.changes)),)
        for identifier in group.ids
    ]
    for chunk in chunks(singles, MAX_OPERATIONS):
        safe_point()
        try:
            await collection.bulk_write(
                [operation for _, operation in chunk], ordered=False, comment=comment
            )
        except BulkWriteError as error:
            for write_error in error.details.get("writeErrors", ()):
                code = write_error.get("code")
                if code not in ONE_DOCUMENT:
                    raise
                refused.append(Refusal(chunk[write_error["index"]][0], code))
            if error.details.get("writeConcernErrors"):
                raise
    return await _look_again(collection, groups, refused, comment=comment)


async def _look_again(
    collection: AsyncCollection[dict[str, Any]],
    groups: Sequence[JournalGroup],
    refused: Sequence[Refusal],
    *,
    comment: str,
    known: Callable[[], Iterable[Any]] | None = None,
) -> WindowOutcome:
    """Reads which documents hold the new values, since counts did not add up."""
    turned_out: list[JournalGroup] = []
    changed: list[Any] = []
    not_written = {refusal.id for refusal in refused}
    written = 0
    for group in groups:
        held = await holding(collection, group, comment=comment)
        written += len(held)
        if held:
            turned_out.append(replace(group, ids=list(held)))
        here = set(held)
        changed.extend(i for i in group.ids if i not in here and i not in not_written)
    if known is not None:
        extra = await unexpected(collection, groups, set(known()), comment=comment)
        written += sum(len(group.ids) for group in extra)
        turned_out.extend(extra)
    return WindowOutcome(written, tuple(turned_out), tuple(refused), tuple(changed))


async def unexpected(
    collection: AsyncCollection[dict[str, Any]],
    groups: Sequence[JournalGroup],
    known: Collection[Any],
    *,
    comment: str,
) -> list[JournalGroup]:
    """What a statement over a range stamped besides the documents it was meant for.

    A document that came into the range between reading and writing was stamped too. It lacked
    the field, so its prior state is known, and the journal must name it.

    Args:
        collection: Where.
        groups: What was to be stamped.
        known: Ids of all documents that were read in the range, stamped or passed over.
        comment: Attached to every command.
    """
    (field,) = groups[0].changes
    values = list({bson.encode({"v": g.changes[field]}): g.changes[field] for g in groups}.values())
    cursor = collection.find(
        {
            "_id": {"$gte": min(known), "$lte": max(known)},
            field: {"$in": values},
        },
        {"_id": 1, field: 1},
        comment=comment,
    )
    found: list[JournalGroup] = []
    async with cursor:
        found.extend(
            [
                JournalGroup({field: document[field]}, {}, [document["_id"]])
                async for document in cursor
                if document["_id"] not in known
            ]
        )
    return found


def chunks(items: Sequence[_T], size: int) -> Iterable[Sequence[_T]]:
    """The items in portions of ``size``, the last one as long as it happens to be."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
