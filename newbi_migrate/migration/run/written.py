"""What a run has written: by its journal, and by the documents where the journal is not certain.

What a process that stopped had perhaps written may have come since, by a statement that was still
on its way. It is looked for where it would be, and counts once, whoever wrote it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import (
    EntryKind,
    EntryState,
    JournalEntry,
    JournalGroup,
    JournalReader,
    UserWrite,
)
from newbi_migrate.store.stamping import holding
from newbi_migrate.store.user_documents import Presence, presence_of

__all__ = ["Tally", "Written", "certainly_written", "perhaps_written", "tally", "written"]

_COMMENT: Final = "newbi-migrate written"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to a collection, or for users; ``collection`` is empty for these.

    Attributes:
        collection: Where.
        groups: Documents that were changed.
        writes: Documents that were created or filled for users.
        indexes: Names of indexes that were created.
    """

    collection: str
    groups: Sequence[JournalGroup] = ()
    writes: Sequence[UserWrite] = ()
    indexes: Sequence[str] = ()


def certainly_written(entry: JournalEntry) -> Written:
    """What an entry says was written beyond doubt."""
    if entry.state is EntryState.APPLIED:
        if entry.kind is EntryKind.WINDOW:
            groups = [group for group in entry.groups() if group.certain]
            return Written(entry.collection, groups=groups)
        if entry.kind is EntryKind.USERS:
            return Written("", writes=[write for write in entry.writes() if write.certain])
        if entry.kind is EntryKind.INDEX:
            # Those that were seen; one that was named and not seen may not be there.
            names = [index["name"] for index in entry.indexes("specifications")]
            return Written(entry.collection, indexes=names)
    return Written(entry.collection)


async def written(database: Database, run_id: ObjectId) -> AsyncIterator[Written]:
    """What a run has written; reads only.

    Args:
        database: Where.
        run_id: The run.

    Raises:
        DamagedRecordsError: An entry is missing, or is not what this tool writes.
    """
    doubtful = await perhaps_written(database, run_id)
    # What none of the entries says beyond doubt.
    unknown: dict[str, set[Any]] = defaultdict(set)
    for perhaps in doubtful:
        for collection, key in _keys(perhaps):
            unknown[collection].add(key)
    async for entry in JournalReader(database, run_id).entries():
        certain = certainly_written(entry)
        if unknown:
            for collection, key in _keys(certain):
                if collection in unknown:
                    unknown[collection].discard(key)
        yield certain
    for perhaps in doubtful:
        found = await _there(database, _only(perhaps, unknown))
        for collection, key in _keys(found):
            unknown[collection].discard(key)
        yield found


async def perhaps_written(database: Database, run_id: ObjectId) -> list[Written]:
    """What the journal of a run is not certain of; empty where it is certain of all.

    Args:
        database: Where.
        run_id: The run.

    Raises:
        DamagedRecordsError: An entry is not what this tool writes.
    """
    entries = await JournalReader(database, run_id).uncertain()
    return [
        perhaps
        for perhaps in map(_perhaps_written, entries)
        if perhaps.groups or perhaps.writes or perhaps.indexes
    ]


def _perhaps_written(entry: JournalEntry) -> Written:
    pending = entry.state is EntryState.PENDING
    if entry.kind is EntryKind.WINDOW:
        groups = [group for group in entry.groups() if pending or not group.certain]
        return Written(entry.collection, groups=groups)
    if entry.kind is EntryKind.USERS:
        return Written("", writes=[w for w in entry.writes() if pending or not w.certain])
    if entry.kind is EntryKind.INDEX:
        seen = certainly_written(entry).indexes
        names = entry.names("names" if pending else "created")
        return Written(entry.collection, indexes=[name for name in names if name not in seen])
    return Written(entry.collection)


def _keys(what: Written) -> Iterator[tuple[str, Any]]:
    """Where each thing was written, and what tells it from every other one there."""
    for group in what.groups:
        for identifier in group.ids:
            yield what.collection, id_key(identifier)
    for write in what.writes:
        yield write.collection, _key(write)
    for name in what.indexes:
        yield what.collection, name


def _key(write: UserWrite) -> Any:
    return id_key(write.id), write.op, tuple(sorted(write.values))


def _only(what: Written, unknown: dict[str, set[Any]]) -> Written:
    here = unknown[what.collection]
    groups = (
        replace(group, ids=[i for i in group.ids if id_key(i) in here]) for group in what.groups
    )
    return Written(
        what.collection,
        groups=[group for group in groups if group.ids],
        writes=[write for write in what.writes if _key(write) in unknown[write.collection]],
        indexes=[name for name in what.indexes if name in here],
    )


async def _there(database: Database, what: Written) -> Written:
    """That part of what was perhaps written that is there."""
    groups: Sequence[JournalGroup] = ()
    if what.groups:
        groups = await holding(database[what.collection], what.groups, comment=_COMMENT)
    presences = await presence_of(database, what.writes, comment=_COMMENT)
    there: set[str] = set()
    if what.indexes:
        there = {index["name"] for index in await read_indexes(database, what.collection)}
    return Written(
        what.collection,
        groups=groups,
        writes=[
            write
            for write, presence in zip(what.writes, presences, strict=True)
            if presence is Presence.INTACT
        ],
        indexes=[name for name in what.indexes if name in there],
    )


@dataclass(slots=True)
class Tally:
    """What a run has written, counted by collection.

    Attributes:
        created: Documents created for users.
        filled: Documents in which missing fields were filled.
        stamped: Documents that got a workspace.
        owners_rewritten: Documents of which another field was changed.
        touched: Documents of which anything was.
        indexes: Names of the indexes that were built.
    """

    created: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    stamped: Counter[str] = field(default_factory=Counter)
    owners_rewritten: Counter[str] = field(default_factory=Counter)
    touched: Counter[str] = field(default_factory=Counter)
    indexes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


async def tally(database: Database, run_id: ObjectId, workspace_field: str) -> Tally:
    """Count what a run has written.

    Args:
        database: Where.
        run_id: The run.
        workspace_field: Name of the field that scopes a document.
    """
    counted = Tally()
    async for part in written(database, run_id):
        for write in part.writes:
            kind = counted.created if write.inserts else counted.filled
            kind[write.collection] += 1
        counted.indexes[part.collection].update(part.indexes)
        for group in part.groups:
            number = len(group.ids)
            counted.touched[part.collection] += number
            if workspace_field in group.changes:
                counted.stamped[part.collection] += number
            if set(group.changes) - {workspace_field}:
                counted.owners_rewritten[part.collection] += number
    return counted
