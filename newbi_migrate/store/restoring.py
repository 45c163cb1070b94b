"""Taking back what was written to a window of documents: compare first, then restore.

A document is restored only where it still holds what was written; what somebody changed since
is a difference, told by id and field. It changes when a faster way back is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import document_of, elements, split_documents
from newbi_migrate.store.stamping import MAX_IDS, MAX_OPERATIONS, chunks

__all__ = ["Comparison", "Difference", "compare_groups", "overwrite", "restore"]

_Element = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that holds neither what was written nor what stood there before.

    Attributes:
        id: ``_id`` of the document.
        field: The field.
        group: What was written.
    """

    id: Any
    field: str
    group: JournalGroup


@dataclass(slots=True)
class Comparison:
    """How documents stand that were written to.

    Attributes:
        written: Groups of documents that hold everything that was written.
        partly: For a document that holds some of it, what that is, as a group of its own.
        differences: Fields somebody changed since.
        restored: Number of documents that hold what stood there before.
        gone: Number of documents that are no longer there.
    """

    written: list[JournalGroup] = field(default_factory=list)
    partly: list[JournalGroup] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    restored: int = 0
    gone: int = 0

    @property
    def to_restore(self) -> list[JournalGroup]:
        """Everything that can be taken back without touching anybody's change."""
        return [*self.written, *self.partly]


async def compare_groups(
    collection: AsyncCollection[dict[str, Any]], groups: Sequence[JournalGroup], *, comment: str
) -> Comparison:
    """Reads how the documents of a journal entry stand, compared byte for byte."""
    result = Comparison()
    written = [_elements_of(group.changes) for group in groups]
    prior = [group.prior_elements() for group in groups]
    group_of = {_id_element(i): n for n, group in enumerate(groups) for i in group.ids}
    projection = {"_id": 1, **dict.fromkeys((name for g in groups for name in g.changes), 1)}
    intact: list[list[Any]] = [[] for _ in groups]
    seen = 0
    for ids in chunks([i for group in groups for i in group.ids], MAX_IDS):
        cursor = collection.find_raw_batches(
            {"_id": {"$in": list(ids)}}, projection, batch_size=1000, comment=comment
        )
        async with cursor:
            async for batch in cursor:
                for raw in split_documents(cast(bytes, batch)):
                    seen += 1
                    stored = {name: (kind, value) for name, kind, value in elements(raw)}
                    identifier = stored.pop("_id")
                    position = group_of[identifier]
                    group = groups[position]
                    ours, changed = _states(stored, written[position], prior[position])
                    if len(ours) == len(group.changes):
                        intact[position].append(_id_value(identifier))
                        continue
                    if not ours and not changed:
                        result.restored += 1
                        continue
                    document_id = _id_value(identifier)
                    result.differences.extend(Difference(document_id, n, group) for n in changed)
                    if ours:
                        part = {name: group.changes[name] for name in ours}
                        result.partly.append(JournalGroup(part, group.prior, [document_id]))
    result.written = [
        JournalGroup(group.changes, group.prior, ids)
        for group, ids in zip(groups, intact, strict=True)
        if ids
    ]
    result.gone = len(group_of) - seen
    return result


async def restore(
    collection: AsyncCollection[dict[str, Any]], groups: Sequence[JournalGroup], *, comment: str
) -> int:
    """Takes back what groups of documents still hold; gives the number of documents written.

    Raises:
        pymongo.errors.BulkWriteError: The server refused a document, for example because a
            unique index stands in the way.
    """
    return await _send(
        collection,
        [
            UpdateMany(
                {"_id": {"$in": list(ids)}, **{n: {"$eq": v} for n, v in group.changes.items()}},
                _back(group, group.changes),
            )
            for group in groups
            for ids in chunks(group.ids, MAX_IDS)
        ],
        comment=comment,
    )


async def overwrite(
    collection: AsyncCollection[dict[str, Any]], differences: Sequence[Difference], *, comment: str
) -> int:
    """Puts back what stood there before over what somebody changed since."""
    return await _send(
        collection,
        [
            UpdateOne({"_id": {"$eq": found.id}}, _back(found.group, [found.field]))
            for found in differences
        ],
        comment=comment,
    )


async def _send(
    collection: AsyncCollection[dict[str, Any]],
    operations: Sequence[UpdateMany | UpdateOne],
    *,
    comment: str,
) -> int:
    modified = 0
    for chunk in chunks(operations, MAX_OPERATIONS):
        result = await collection.bulk_write(list(chunk), ordered=False, comment=comment)
        modified += result.modified_count
    return modified


def _back(group: JournalGroup, names: Iterable[str]) -> dict[str, Any]:
    """The update that gives fields of a group's documents their prior values."""
    prior = group.prior_elements()
    stood = [(name, *prior[name]) for name in names if name in prior]
    absent = dict.fromkeys((name for name in names if name not in prior), "")
    update: dict[str, Any] = {}
    if stood:
        update["$set"] = document_of(*stood)
    if absent:
        update["$unset"] = absent
    return update


def _states(
    stored: Mapping[str, _Element],
    written: Mapping[str, _Element],
    prior: Mapping[str, _Element],
) -> tuple[list[str], list[str]]:
    """The fields that hold what was written, and those somebody changed since."""
    ours = [name for name, value in written.items() if stored.get(name) == value]
    changed = [name for name in written if name not in ours and stored.get(name) != prior.get(name)]
    return ours, changed


def _elements_of(document: Mapping[str, Any]) -> dict[str, _Element]:
    return {name: (kind, value) for name, kind, value in elements(bson.encode(document))}


def _id_element(identifier: Any) -> _Element:
    return _elements_of({"_id": identifier})["_id"]


def _id_value(identifier: _Element) -> Any:
    return bson.decode(document_of(("_id", *identifier)).raw, PLAIN)["_id"]
