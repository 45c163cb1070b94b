"""Taking back what was written to a window of documents: compare first, then restore.

A document is restored only where it still holds what was written; what somebody changed since
is a difference, told by id and field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import decode_id, id_key, id_key_of, id_keys, split_id
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import (
    Element,
    ObjectIds,
    document_from,
    document_of,
    element,
    elements_by_name,
    in_order,
    join_ids,
    one_of,
    with_ids,
)
from newbi_migrate.store.reading import MAX_IDS, chunks, read_by_ids
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import BY_ID, MAX_OPERATIONS, NO_LIST

__all__ = [
    "Chain",
    "ChangedField",
    "ComparedGroups",
    "Followed",
    "Undone",
    "compare_groups",
    "follow",
    "held_as_written",
    "overwrite",
    "read_stored",
    "restore",
    "update_back",
]


@dataclass(frozen=True, slots=True)
class ChangedField:
    """A field that holds neither what was written nor what stood there before.

    Attributes:
        id: ``_id`` of the document.
        field: The field.
        group: What was written.
        now: What it holds; ``None`` where it is absent.
    """

    id: Any
    field: str
    group: JournalGroup
    now: Element | None


@dataclass(slots=True)
class ComparedGroups:
    """How documents stand that were written to.

    Attributes:
        written: Groups of documents that hold everything that was written.
        partly: For documents that hold some of it, what that is.
        changed_fields: Fields somebody changed since.
        restored: Number of documents that hold what stood there before.
        gone: Number of documents that are no longer there.
    """

    written: list[JournalGroup] = field(default_factory=list)
    partly: list[JournalGroup] = field(default_factory=list)
    changed_fields: list[ChangedField] = field(default_factory=list)
    restored: int = 0
    gone: int = 0

    @property
    def to_restore(self) -> list[JournalGroup]:
        """Everything that can be taken back without touching anybody's change."""
        return [*self.written, *self.partly]


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of an attempt to put back what stood before.

    Attributes:
        written: Number of documents written; where some were refused, perhaps of more.
        refused: Id and field of each document the server refused.
    """

    written: int
    refused: tuple[tuple[Any, str], ...] = ()


async def compare_groups(
    collection: Collection, groups: Sequence[JournalGroup], *, comment: str
) -> ComparedGroups:
    """Read how the documents of a journal entry stand, compared byte for byte."""
    result = ComparedGroups()
    fields = list(dict.fromkeys(name for group in groups for name in group.changes))
    ids = in_order(join_ids([group.ids for group in groups]))
    # Most documents are as they were written, byte for byte, and need no second look.
    as_written = {
        raw: position
        for position, group in enumerate(groups)
        if isinstance(group.ids, ObjectIds)
        for raw in with_ids(group.ids, bson.encode(group.changes))
    }
    others = [
        raw
        async for raw in read_by_ids(collection, ids, fields, comment=comment)
        if as_written.pop(raw, None) is None
    ]
    not_met: dict[int, set[bytes]] = defaultdict(set)
    for raw, n in as_written.items():
        not_met[n].add(split_id(raw)[1])
    for n, group in enumerate(groups):
        if isinstance(group.ids, ObjectIds) and (met := _without(group.ids, not_met[n])):
            result.written.append(group if met is group.ids else replace(group, ids=met))
    group_of = {
        key: n for n, group in enumerate(groups if others else ()) for key in id_keys(group.ids)
    }
    # Documents of one group that hold the same bytes stand alike.
    alike: dict[tuple[int, bytes], list[Element]] = {}
    for raw in others:
        kind, value, rest = split_id(raw)
        position = group_of.get(id_key_of(kind, value))
        if position is None:
            # Another document has taken its place, under an id that is like it.
            continue
        alike.setdefault((position, rest), []).append((kind, value))
    found_as_written = sum(len(group.ids) for group in result.written)
    result.gone = len(ids) - found_as_written - sum(map(len, alike.values()))
    for (position, rest), found in alike.items():
        group, stored = groups[position], elements_by_name(document_from(rest))
        written, prior = elements_by_name(bson.encode(group.changes)), group.prior_elements()
        ours, changed = _states(stored, written, prior, certain=group.certain)
        if len(ours) == len(group.changes):
            whole = len(found) == len(group.ids)
            result.written.append(group if whole else replace(group, ids=_decoded(found)))
            continue
        if not ours and not changed:
            result.restored += len(found)
            continue
        result.changed_fields.extend(
            ChangedField(identifier, name, group, stored.get(name))
            for identifier in _decoded(found)
            for name in changed
        )
        if ours:
            part = {name: group.changes[name] for name in ours}
            result.partly.append(replace(group, changes=part, ids=_decoded(found)))
    return result


def _without(ids: ObjectIds, rows: AbstractSet[bytes]) -> ObjectIds:
    return ObjectIds(b"".join(row for row in ids.rows() if row not in rows)) if rows else ids


def _decoded(ids: Sequence[Element]) -> list[Any]:
    return [decode_id(kind, value) for kind, value in ids]


async def restore(
    session: LeasedSession, collection: str, groups: Sequence[JournalGroup]
) -> Undone:
    """Take back what groups of documents still hold.

    Args:
        session: The leased session.
        collection: Where.
        groups: What was written, as :func:`compare_groups` found it there.
    """
    statements = [
        UpdateMany(
            {"_id": one_of(ids), **held_as_written(group.changes)},
            _back(group, group.changes),
            collation=SIMPLE_COLLATION,
            hint=BY_ID,
        )
        for group in groups
        for ids in chunks(group.ids, MAX_IDS)
    ]
    written = 0
    for chunk in chunks(statements, MAX_OPERATIONS):
        try:
            result = await session.collection(collection).bulk_write(
                chunk, ordered=False, comment=session.comment
            )
        except BulkWriteError as error:
            if not refuses_documents(error):
                raise
            # A statement ends at the first document that is refused: one by one, it shows which.
            singles = [
                (_one(i, held_as_written(group.changes), _back(group, group.changes)), i, n)
                for group in groups
                for n in (next(iter(group.changes)),)
                for i in group.ids
            ]
            rest = await _one_by_one(session, collection, singles)
            expected = sum(len(group.ids) for group in groups)
            return Undone(expected - len(rest.refused), rest.refused)
        written += result.modified_count
    return Undone(written)


async def overwrite(
    session: LeasedSession, collection: str, changed_fields: Sequence[ChangedField]
) -> Undone:
    """Put back what stood there before over what somebody changed since.

    Args:
        session: The leased session.
        collection: Where.
        changed_fields: What somebody changed, as :func:`compare_groups` found it.
    """
    singles = [(_one(d.id, {}, _back(d.group, [d.field])), d.id, d.field) for d in changed_fields]
    return await _one_by_one(session, collection, singles)


def _one(identifier: Any, held: Mapping[str, Any], update: Mapping[str, Any]) -> UpdateOne:
    return UpdateOne({"_id": {"$eq": identifier}, **held}, update, collation=SIMPLE_COLLATION)


async def _one_by_one(
    session: LeasedSession, collection: str, singles: Sequence[tuple[UpdateOne, Any, str]]
) -> Undone:
    modified = 0
    refused: list[tuple[Any, str]] = []
    for chunk in chunks(singles, MAX_OPERATIONS):
        try:
            result = await session.collection(collection).bulk_write(
                [statement for statement, _, _ in chunk], ordered=False, comment=session.comment
            )
        except BulkWriteError as error:
            if not refuses_documents(error):
                raise
            details = error.details or {}
            modified += int(details.get("nModified", 0))
            refused += [chunk[e["index"]][1:] for e in details.get("writeErrors", ())]
        else:
            modified += result.modified_count
    return Undone(modified, tuple(refused))


@dataclass(frozen=True, slots=True)
class Chain:
    """What was written to one document, the last first.

    Attributes:
        id: ``_id`` of the document.
        later: By later runs, which are taken back before.
        groups: By the run that is looked at.
    """

    id: Any
    later: Sequence[JournalGroup]
    groups: Sequence[JournalGroup]


@dataclass(frozen=True, slots=True)
class Followed:
    """What happens to a document when a run is taken back, after later ones.

    Attributes:
        restored: Whether it is given anything back.
        changed_fields: Fields somebody changed since.
        now: Its elements, by name.
        before: The same once the later runs are taken back.
        after: The same once this run is, too.
    """

    restored: bool
    changed_fields: tuple[ChangedField, ...]
    now: Mapping[str, Element]
    before: Mapping[str, Element]
    after: Mapping[str, Element]


async def follow(
    collection: Collection,
    chains: Sequence[Chain],
    *,
    discard: bool,
    comment: str,
) -> list[Followed]:
    """How documents fare that were written to more than once, their writes taken back in turn.

    A document that was written to twice holds what was written last; seen from the first write,
    that may look like somebody's change, or like what was written first.

    Args:
        collection: Where.
        chains: What was written to each document.
        discard: Whether what somebody changed since is overwritten.
        comment: Attached to every command.

    Returns:
        One for each document that is still there.
    """
    stored = await read_stored(collection, [chain.id for chain in chains], comment=comment)
    found = []
    for chain in chains:
        if (raw := stored.get(id_key(chain.id))) is None:
            continue
        now = elements_by_name(raw)
        state = dict(now)
        _take_back(state, chain.id, chain.later, discard=discard)
        before = dict(state)
        restored, changed_fields = _take_back(state, chain.id, chain.groups, discard=discard)
        found.append(Followed(restored, tuple(changed_fields), now, before, state))
    return found


def _take_back(
    state: dict[str, Element], identifier: Any, groups: Sequence[JournalGroup], *, discard: bool
) -> tuple[bool, list[ChangedField]]:
    restored = False
    changed_fields: list[ChangedField] = []
    for group in groups:
        written, prior = elements_by_name(bson.encode(group.changes)), group.prior_elements()
        ours, changed = _states(state, written, prior, certain=group.certain)
        changed_fields += [
            ChangedField(identifier, name, group, state.get(name)) for name in changed
        ]
        restored = restored or bool(ours)
        for name in (*ours, *(changed if discard else ())):
            state.pop(name, None)
            if name in prior:
                state[name] = prior[name]
    return restored, changed_fields


async def read_stored(
    collection: Collection, ids: Sequence[Any], *, comment: str
) -> dict[bytes, bytes]:
    """The bytes of documents by the keys of their ids; what is gone is not in it."""
    found: dict[bytes, bytes] = {}
    async for raw in read_by_ids(collection, ids, comment=comment):
        identifier = element(raw, "_id")
        if identifier is not None:
            found[id_key_of(*identifier)] = raw
    return found


def held_as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """The condition that fields hold what was written: a list that holds it, too, is no such field.

    Args:
        values: Path to what was written there.
    """
    return {
        path: {"$eq": value} if isinstance(value, list) else {"$eq": value, **NO_LIST}
        for path, value in values.items()
    }


def _back(group: JournalGroup, names: Iterable[str]) -> dict[str, Any]:
    return update_back(names, group.prior_elements())


def update_back(names: Iterable[str], prior: Mapping[str, Element]) -> dict[str, Any]:
    """The update that gives fields their prior values, byte for byte.

    Args:
        names: Names of the fields, or dotted paths to them.
        prior: Name to type and bytes of what stood there; other fields were absent.
    """
    names = list(names)
    stood = [(name, *prior[name]) for name in names if name in prior]
    absent = dict.fromkeys((name for name in names if name not in prior), "")
    update: dict[str, Any] = {}
    if stood:
        update["$set"] = document_of(*stood)
    if absent:
        update["$unset"] = absent
    return update


def _states(
    stored: Mapping[str, Element],
    written: Mapping[str, Element],
    prior: Mapping[str, Element],
    *,
    certain: bool,
) -> tuple[list[str], list[str]]:
    """The fields that hold what was written, and those somebody changed since.

    What was perhaps never written cannot have been changed by somebody.
    """
    ours = [name for name, value in written.items() if stored.get(name) == value]
    if not certain:
        return ours, []
    changed = [name for name in written if name not in ours and stored.get(name) != prior.get(name)]
    return ours, changed
