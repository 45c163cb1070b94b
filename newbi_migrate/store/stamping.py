"""Writing to a window of documents: each is named, and changed only if it is as it was read.

Every statement names its documents and what was read of them beside the values it sets. Running
it again changes nothing, and a document that somebody changed meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from newbi_migrate.server_codes import TOO_LARGE, Code
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import (
    ARRAY,
    NULL,
    Element,
    document_of,
    element,
    element_at,
    elements,
    elements_by_name,
    one_of,
)
from newbi_migrate.store.reading import MAX_IDS, chunks, read_by_ids
from newbi_migrate.store.session import LeasedSession

__all__ = [
    "BY_ID",
    "MAX_OPERATIONS",
    "NO_LIST",
    "Refusal",
    "WindowOutcome",
    "holding",
    "precondition",
    "write_groups",
]

MAX_OPERATIONS: Final = 1000
"""Operations in one bulk write."""

NO_LIST: Final = {"$not": {"$type": "array"}}
"""Part of a condition that no list meets."""

BY_ID: Final = {"_id": 1}
"""Hint of a statement that names its documents: without it the server tries out other indexes."""

_UNDEFINED: Final = 0x06


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
        groups: The groups as they turned out, where that is not as intended; else ``None``.
        refused: Documents the server refused.
        changed: Ids of documents that no longer held what was expected, or are gone.
    """

    groups: tuple[JournalGroup, ...] | None = None
    refused: tuple[Refusal, ...] = ()
    changed: tuple[Any, ...] = ()


async def write_groups(
    session: LeasedSession,
    collection: str,
    groups: Sequence[JournalGroup],
    *,
    read: Sequence[str] = (),
) -> WindowOutcome:
    """Write each group's changes to those of its documents that are still as they were read.

    Args:
        session: The leased session.
        collection: Where.
        groups: What is written, and what stood there.
        read: Fields that were read besides those that change. They too must hold what the
            groups' ``prior`` says of them, or be absent.
    """
    expected = sum(len(group.ids) for group in groups)
    operations = (
        UpdateMany(
            {"_id": one_of(ids), **condition},
            {"$set": dict(group.changes)},
            collation=SIMPLE_COLLATION,
            hint=BY_ID,
        )
        for group in groups
        for condition in (_condition(group, read),)
        for ids in chunks(group.ids, MAX_IDS)
    )
    modified = 0
    for chunk in chunks(operations, MAX_OPERATIONS):
        try:
            result = await session.collection(collection).bulk_write(
                chunk, ordered=False, comment=session.comment
            )
        except BulkWriteError as error:
            if not refuses_documents(error):
                raise
            return await _one_by_one(session, collection, groups, read)
        modified += result.modified_count
    if modified == expected:
        return WindowOutcome()
    return await _look_again(session, collection, groups, read, ())


async def holding(
    collection: Collection, groups: Sequence[JournalGroup], *, comment: str
) -> list[JournalGroup]:
    """Read which documents hold the new values now; return the groups with these ids alone."""
    wanted = [elements_by_name(bson.encode(group.changes)) for group in groups]
    place = {id_key(i): (n, i) for n, group in enumerate(groups) for i in group.ids}
    held: list[list[Any]] = [[] for _ in groups]
    fields = list(dict.fromkeys(name for group in groups for name in group.changes))
    ids = (identifier for group in groups for identifier in group.ids)
    async for raw in read_by_ids(collection, ids, fields, comment=comment):
        position, identifier = place[id_key_of(*(element(raw, "_id") or (NULL, b"")))]
        expected = wanted[position].items()
        if all(element_at(raw, name) == value for name, value in expected):
            held[position].append(identifier)
    return [replace(group, ids=some) for group, some in zip(groups, held, strict=True) if some]


def _condition(group: JournalGroup, read: Sequence[str]) -> dict[str, Any]:
    """A query for documents in which nothing changed since the group was read."""
    stored = group.prior_elements()
    # What is only read is not lost where somebody has put it into a list since.
    conditions = {
        name: precondition(stored.get(name), or_in_list=True)
        for name in read
        if name not in group.changes
    }
    return {name: precondition(stored.get(name)) for name in group.changes} | conditions


def precondition(stored: Element | None, *, or_in_list: bool = False) -> Any:
    """The condition on a field that it holds a value, or is absent.

    Args:
        stored: Type and bytes of the value; ``None`` where the field is absent.
        or_in_list: Whether a list that holds the value meets it too, as queries have it.
    """
    if stored is None:
        return {"$exists": False}
    kind, value = stored
    no_list = {} if or_in_list or kind == ARRAY else NO_LIST
    # Neither would match itself alone: null equals what is absent, undefined cannot be asked for.
    if kind == NULL:
        return {"$type": "null", **no_list}
    if kind == _UNDEFINED:
        return {"$type": "undefined", **no_list}
    return document_of(("$eq", kind, value), *elements(bson.encode(no_list)))


async def _one_by_one(
    session: LeasedSession,
    collection: str,
    groups: Sequence[JournalGroup],
    read: Sequence[str],
) -> WindowOutcome:
    refused: list[Refusal] = []
    singles = [
        (
            identifier,
            UpdateOne(
                {"_id": {"$eq": identifier}, **condition},
                {"$set": dict(group.changes)},
                collation=SIMPLE_COLLATION,
                hint=BY_ID,
            ),
        )
        for group in groups
        for condition in (_condition(group, read),)
        for identifier in group.ids
    ]
    for chunk in chunks(singles, MAX_OPERATIONS):
        try:
            await session.collection(collection).bulk_write(
                [operation for _, operation in chunk], ordered=False, comment=session.comment
            )
        except BulkWriteError as error:
            if not refuses_documents(error):
                raise
            refused += [
                Refusal(chunk[refusal["index"]][0], refusal["code"])
                for refusal in error.details.get("writeErrors", ())
            ]
    return await _look_again(session, collection, groups, read, refused)


async def _look_again(
    session: LeasedSession,
    collection: str,
    groups: Sequence[JournalGroup],
    read: Sequence[str],
    refused: Sequence[Refusal],
) -> WindowOutcome:
    """Read which documents hold the new values, since counts did not add up."""
    target = session.database[collection]
    held = await holding(target, groups, comment=session.comment)
    accounted = {id_key(i) for group in held for i in group.ids}
    accounted.update(id_key(refusal.id) for refusal in refused)
    rest = [
        replace(group, ids=[i for i in group.ids if id_key(i) not in accounted]) for group in groups
    ]
    unmet = await _unmet(target, rest, read, comment=session.comment)
    accounted.update(map(id_key, unmet))
    refused = [*refused, *(Refusal(i, Code.BAD_VALUE) for i in unmet)]
    changed = (i for group in rest for i in group.ids if id_key(i) not in accounted)
    return WindowOutcome(tuple(held), tuple(refused), tuple(changed))


async def _unmet(
    collection: Collection, groups: Sequence[JournalGroup], read: Sequence[str], *, comment: str
) -> list[Any]:
    """Documents that are as they were read, and were not met by a query for just that.

    The server numbers the items of a list anew in a query, so that it does not meet one whose
    items are numbered otherwise.
    """
    found = []
    for group in groups:
        stored = group.prior_elements()
        names = list(dict.fromkeys([*group.changes, *read]))
        async for raw in read_by_ids(collection, group.ids, names, comment=comment):
            now = elements_by_name(raw)
            if all(now.get(name) == stored.get(name) for name in names):
                found.append(decode_id(*now["_id"]))
    return found
