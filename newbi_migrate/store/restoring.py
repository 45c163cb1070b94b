"""Taking back what was written to a window of documents: compare first, then restore.

A document is restored only where it still holds what was written; what somebody changed since
is a difference, told by id and field. It changes when a faster way back is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from newbi_migrate.store.codes import ONE_DOCUMENT
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.faults import codes_of
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import document_of, element, elements, split_documents
from newbi_migrate.store.stamping import MAX_IDS, MAX_OPERATIONS, chunks

__all__ = [
    "Comparison",
    "Difference",
    "Outcome",
    "compare_groups",
    "confirmed",
    "id_element",
    "overwrite",
    "read_stored",
    "restore",
]

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt to write.

    Attributes:
        written: Number of documents written.
        refused: Id and field of each document the server refused.
    """

    written: int
    refused: tuple[tuple[Any, str], ...] = ()


async def compare_groups(
    collection: AsyncCollection[dict[str, Any]], groups: Sequence[JournalGroup], *, comment: str
) -> Comparison:
    """Reads how the documents of a journal entry stand, compared byte for byte."""
    result = Comparison()
    written = [_elements_of(group.changes) for group in groups]
    prior = [group.prior_elements() for group in groups]
    group_of = {id_element(i): n for n, group in enumerate(groups) for i in group.ids}
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
    collection: AsyncCollection[dict[str, Any]],
    groups: Sequence[JournalGroup],
    *,
    comment: str,
    safe_point: Callable[[], None],
) -> Outcome:
    """Takes back what groups of documents still hold.

    Args:
        collection: Where.
        groups: What was written, as :func:`compare_groups` found it there.
        comment: Attached to every command.
        safe_point: Called before every write; raises to stop there.
    """
    statements = [
        (UpdateMany({"_id": {"$in": list(ids)}, **_held(group)}, _back(group, group.changes)), ids)
        for group in groups
        for ids in chunks(group.ids, MAX_IDS)
    ]
    written = 0
    for chunk in chunks(statements, MAX_OPERATIONS):
        safe_point()
        try:
            result = await collection.bulk_write(
                [statement for statement, _ in chunk], ordered=False, comment=comment
            )
        except BulkWriteError as error:
            if not codes_of(error) or not codes_of(error) <= ONE_DOCUMENT:
                raise
            # A statement ends at the first document that is refused: one by one, it shows which.
            singles = [
                (UpdateOne({"_id": {"$eq": i}, **_held(group)}, _back(group, group.changes)), i, n)
                for group in groups
                for n in (next(iter(group.changes)),)
                for i in group.ids
            ]
            rest = await _one_by_one(collection, singles, comment=comment, safe_point=safe_point)
            expected = sum(len(group.ids) for group in groups)
            return Outcome(expected - len(rest.refused), rest.refused)
        written += result.modified_count
    return Outcome(written)


async def overwrite(
    collection: AsyncCollection[dict[str, Any]],
    differences: Sequence[Difference],
    *,
    comment: str,
    safe_point: Callable[[], None],
) -> Outcome:
    """Puts back what stood there before over what somebody changed since.

    Args:
        collection: Where.
        differences: What somebody changed, as :func:`compare_groups` found it.
        comment: Attached to every command.
        safe_point: Called before every write; raises to stop there.
    """
    singles = [
        (UpdateOne({"_id": {"$eq": d.id}}, _back(d.group, [d.field])), d.id, d.field)
        for d in differences
    ]
    return await _one_by_one(collection, singles, comment=comment, safe_point=safe_point)


async def _one_by_one(
    collection: AsyncCollection[dict[str, Any]],
    singles: Sequence[tuple[UpdateOne, Any, str]],
    *,
    comment: str,
    safe_point: Callable[[], None],
) -> Outcome:
    modified = 0
    refused: list[tuple[Any, str]] = []
    for chunk in chunks(singles, MAX_OPERATIONS):
        safe_point()
        try:
            result = await collection.bulk_write(
                [statement for statement, _, _ in chunk], ordered=False, comment=comment
            )
        except BulkWriteError as error:
            if not codes_of(error) <= ONE_DOCUMENT:
                raise
            details = error.details or {}
            modified += int(details.get("nModified", 0))
            refused += [chunk[e["index"]][1:] for e in details.get("writeErrors", ())]
        else:
            modified += result.modified_count
    return Outcome(modified, tuple(refused))


async def confirmed(
    collection: AsyncCollection[dict[str, Any]],
    chains: Mapping[_Element, Sequence[JournalGroup]],
    suspects: Mapping[_Element, Sequence[Difference]],
    *,
    comment: str,
) -> list[Difference]:
    """The differences that remain when a document's windows are taken back one after another.

    A document that a run wrote to more than once holds what was written last; seen from an
    earlier window, that looks like somebody's change.

    Args:
        collection: Where.
        chains: Id of each document to what was written to it, last first.
        suspects: Id of each document to its differences.
        comment: Attached to every command.
    """
    found: list[Difference] = []
    stored = await read_stored(
        collection,
        [_id_value(key) for key in suspects if len(chains[key]) > 1],
        comment=comment,
    )
    for key, differences in suspects.items():
        if len(chains[key]) < 2:
            found.extend(differences)
            continue
        if key not in stored:
            continue
        state = {name: (kind, value) for name, kind, value in elements(stored[key])}
        for group in chains[key]:
            written, prior = _elements_of(group.changes), group.prior_elements()
            _, changed = _states(state, written, prior)
            found.extend(Difference(_id_value(key), name, group) for name in changed)
            for name in written:
                if name in changed:
                    continue
                state.pop(name, None)
                if name in prior:
                    state[name] = prior[name]
    return found


async def read_stored(
    collection: AsyncCollection[dict[str, Any]], ids: Sequence[Any], *, comment: str
) -> dict[_Element, bytes]:
    """The bytes of documents by their ``_id`` as type and bytes; what is gone is not in it."""
    found: dict[_Element, bytes] = {}
    for part in chunks(ids, MAX_IDS):
        cursor = collection.find_raw_batches({"_id": {"$in": list(part)}}, comment=comment)
        async with cursor:
            async for batch in cursor:
                for raw in split_documents(cast(bytes, batch)):
                    identifier = element(raw, "_id")
                    if identifier is not None:
                        found[identifier] = raw
    return found


def _held(group: JournalGroup) -> dict[str, Any]:
    return {name: {"$eq": value} for name, value in group.changes.items()}


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


def id_element(identifier: Any) -> tuple[int, bytes]:
    """An ``_id`` as type and bytes: a key that tells ids apart as the server stores them."""
    return _elements_of({"_id": identifier})["_id"]


def _id_value(identifier: _Element) -> Any:
    return bson.decode(document_of(("_id", *identifier)).raw, PLAIN)["_id"]
