"""Giving documents back what stood there before a run, window after window, last one first.

A document is written to only where it holds what the run wrote, unless somebody's change is to
be discarded.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from typing import Any

from bson import ObjectId
from xxhash import xxh3_64_intdigest

from newbi_migrate.documents.registry import UniqueKey
from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.migration.rollback.references import Released
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    DocumentsBack,
    RollbackResult,
)
from newbi_migrate.progress import Progress
from newbi_migrate.store.collections import CollectionInfo, collections
from newbi_migrate.store.collisions import find_collisions
from newbi_migrate.store.decoding import decode_element
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.journal import (
    EntryKind,
    EntryState,
    JournalEntry,
    JournalGroup,
    JournalReader,
)
from newbi_migrate.store.raw import Element
from newbi_migrate.store.reading import chunks
from newbi_migrate.store.session import LeasedSession, Throttle
from newbi_migrate.store.undo import (
    Chain,
    ChangedField,
    ComparedGroups,
    Undone,
    compare_groups,
    follow,
    overwrite,
    restore,
)
from newbi_migrate.store.validators import refused_with, refuses

__all__ = ["DocumentRollback", "UserScope", "values_afterwards"]

_CHAINS_TOGETHER = 10_000
# Far below what a command has room for: ids, and stages of a pipeline.
_MOST_FORESEEN = 100_000
_MOST_VALUES = 100
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class UserScope:
    """The legacy users whose documents are taken back.

    Attributes:
        legacy_ids: Their ids.
        users: Keys of these, and of the same ids in another form.
        workspaces: Their workspaces, which nobody else shares.
    """

    legacy_ids: tuple[Any, ...]
    users: frozenset[bytes]
    workspaces: frozenset[ObjectId]


@dataclass(frozen=True, slots=True)
class _Window:
    """Documents of one journal entry, and how they stand."""

    collection: str
    compared: ComparedGroups
    count: int


@dataclass(slots=True)
class DocumentRollback:
    """Rollback of what a run wrote to the documents of registered collections.

    Args:
        database: Where.
        run_id: The run.
        workspace_field: The field that scopes a document.
        collections: The collections; ``None`` for all.
        chosen: The users whose documents are taken back; ``None`` for all.
        result: Told what happens.
        comment: Attached to every command.
    """

    database: Database
    run_id: ObjectId
    workspace_field: str
    collections: Collection[str] | None
    chosen: UserScope | None
    result: RollbackResult
    comment: str
    released: Released = field(default_factory=Released)
    """Workspace to the number of documents, by collection, that no longer name it afterwards."""
    _unscoped: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """Collection to the documents of chosen users that have no workspace afterwards."""
    _infos: Mapping[str, CollectionInfo] = field(default_factory=dict)

    async def total(self) -> int:
        """How many documents there are to go through, as often as the run wrote to them."""
        if self.chosen is None:
            journal = JournalReader(self.database, self.run_id)
            return await journal.count_documents(self.collections)
        return sum([len(group.ids) async for _, groups in self.windows() for group in groups])

    async def survey(self, progress: Progress, newer: Sequence[DocumentRollback]) -> None:
        """Compare every document with what the run wrote; write nothing.

        Args:
            progress: Told of every window.
            newer: Later runs that are taken back before this one, the newest first.
        """
        self._infos = await collections(self.database, comment=self.comment)
        repeated = await self._repeated(newer)
        chains: dict[str, dict[bytes, list[JournalGroup]]] = defaultdict(dict)
        async for entry, groups in self.windows():
            name = entry.collection
            once = _apart(name, groups, repeated, chains[name]) if repeated else groups
            await self._compare(name, once)
            progress.advance(sum(len(group.ids) for group in groups), name)
        for name, found in chains.items():
            await self._follow(name, await _chains(name, found, newer))

    async def find_meetings(self, keys: Mapping[str, Sequence[UniqueKey]]) -> None:
        """Find documents of chosen users that would share a unique key, without a workspace.

        The indexes stay where only some users are taken back, and they keep apart only what has a
        workspace.

        Args:
            keys: Collection to its unique keys that an index enforces.
        """
        for name, ids in self._unscoped.items():
            if len(ids) > _MOST_FORESEEN:
                # The server refuses them when they are written.
                continue
            here: list[dict[str, Any]] = [{"_id": {"$in": ids}}, {self.workspace_field: None}]
            for key in keys.get(name, ()):
                found, _ = await find_collisions(
                    self.database[name],
                    replace(key, derived={}),
                    workspace_field=self.workspace_field,
                    workspace={"$literal": None},
                    among={"$or": here},
                    comment=self.comment,
                )
                for each in found:
                    self.result.conflicts.add(
                        Conflict(ConflictKind.REFUSED, name, each.ids[-1], each.index)
                    )

    async def _repeated(self, newer: Sequence[DocumentRollback]) -> frozenset[int]:
        """Hashes of the documents that were written to more than once, and perhaps of others.

        What a run goes through for the first time it writes to once. Only what it does again, and
        what later runs did, can name a document that was named before.
        """
        candidates = array("Q")
        for run in (*newer, self):
            async for entry, groups in run.windows():
                if run is not self or entry.is_repeat:
                    candidates.extend(_hashes(entry, groups))
        if not candidates:
            return frozenset()
        ordered = array("Q", sorted(candidates))
        found = {ordered[n] for n in range(1, len(ordered)) if ordered[n] == ordered[n - 1]}
        async for entry, groups in self.windows():
            if not entry.is_repeat:
                found.update(each for each in _hashes(entry, groups) if _holds(ordered, each))
        return frozenset(found)

    async def _compare(self, name: str, groups: Sequence[JournalGroup]) -> None:
        back = self._back(name)
        compared = await compare_groups(self.database[name], groups, comment=self.comment)
        to_restore = await self._accepted(name, compared.to_restore)
        self._release(name, to_restore)
        if self.result.options.discards:
            for one in compared.changed_fields:
                if one.field == self.workspace_field:
                    now = _id_in(one.now)
                    self._released(name, now, _stood(one.group, one.field), 1)
        back.restored += sum(len(group.ids) for group in to_restore)
        back.already += compared.restored
        back.gone += compared.gone
        self._conflicts(name, compared.changed_fields)

    async def _accepted(self, name: str, groups: list[JournalGroup]) -> list[JournalGroup]:
        """The groups without the documents that a validator refuses as they were before."""
        info = self._infos.get(name)
        if info is None or not refuses(info):
            return groups
        before = ((group.ids, _before(group)) for group in groups)
        refused = await refused_with(self.database[name], info, before, comment=self.comment)
        if not refused:
            return groups
        keys = {id_key(identifier) for identifier in refused}
        accepted = []
        for group in groups:
            path = next(iter(group.changes))
            ids = [identifier for identifier in group.ids if id_key(identifier) not in keys]
            accepted.append(replace(group, ids=ids))
            for identifier in group.ids:
                if id_key(identifier) in keys:
                    conflict = Conflict(ConflictKind.REFUSED, name, identifier, path)
                    self.result.conflicts.add(conflict)
        return accepted

    async def _follow(self, name: str, chains: Iterable[Chain]) -> None:
        back, path = self._back(name), self.workspace_field
        for some in chunks(chains, _CHAINS_TOGETHER):
            found = await follow(
                self.database[name],
                some,
                discard=self.result.options.discards,
                comment=self.comment,
            )
            back.gone += len(some) - len(found)
            for one in found:
                back.restored += one.restored
                back.already += not one.restored and not one.changed_fields
                self._conflicts(name, one.changed_fields)
                now, before, after = (e.get(path) for e in (one.now, one.before, one.after))
                # Where a later run wrote it, that one releases it.
                if now == before:
                    self._released(name, _id_in(now), _id_in(after), 1)

    async def apply(self, session: LeasedSession) -> None:
        """Take every window back, the last one first, and no more at once than it may.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        earlier = {
            name: back.restored + back.overwritten for name, back in self.result.documents.items()
        }
        queue: asyncio.Queue[_Window | None] = asyncio.Queue(maxsize=1)

        async def read() -> None:
            async for entry, groups in self.windows():
                session.allow(entry.collection)
                if entry.is_repeat:
                    # Its documents may be in other windows too, and what came last goes first.
                    await queue.join()
                collection = self.database[entry.collection]
                compared = await compare_groups(collection, groups, comment=self.comment)
                number = sum(len(group.ids) for group in groups)
                await queue.put(_Window(entry.collection, compared, number))
                if entry.is_repeat:
                    await queue.join()
            for _ in range(_WORKERS):
                await queue.put(None)

        async def work() -> None:
            while (window := await queue.get()) is not None:
                await self._give_back(session, window)
                queue.task_done()

        async with task_group() as tasks:
            tasks.create_task(read())
            for _ in range(_WORKERS):
                tasks.create_task(work())
        # What an earlier attempt of the same call wrote, this one found as it was before.
        for name, number in earlier.items():
            back = self.result.documents[name]
            back.already = max(back.already - number, 0)

    async def _give_back(self, session: LeasedSession, window: _Window) -> None:
        name, compared, throttle = window.collection, window.compared, session.throttle
        back = self._back(name)
        back.already += compared.restored
        back.gone += compared.gone
        changed_fields = [*compared.changed_fields]
        for part in _portions(compared.to_restore, throttle):
            number = sum(len(group.ids) for group in part)
            await session.turn(number)
            undone = await restore(session, name, part)
            self._refused(name, undone)
            if undone.written == number:
                back.restored += number
                continue
            # Somebody wrote to some of them since they were compared.
            now = await compare_groups(self.database[name], part, comment=self.comment)
            back.restored += now.restored
            back.gone += now.gone
            changed_fields += now.changed_fields
        self._list(name, changed_fields)
        if self.result.options.discards:
            for changed in chunks(changed_fields, throttle.window(max(len(changed_fields), 1))):
                await session.turn(len(changed))
                self._refused(name, await overwrite(session, name, changed))
        # An attempt that ends before it has overwritten them leaves them to the next one.
        self._count(name, changed_fields)
        session.progress.advance(window.count, name)

    async def windows(self) -> AsyncIterator[tuple[JournalEntry, list[JournalGroup]]]:
        """What the run wrote to documents that are taken back, the last window first."""
        journal = JournalReader(self.database, self.run_id)
        async for entry in journal.entries(backwards=True):
            if entry.kind is not EntryKind.WINDOW:
                continue
            if self.collections is not None and entry.collection not in self.collections:
                continue
            pending = entry.state is EntryState.PENDING
            groups = [
                replace(group, certain=False) if pending else group
                for group in entry.groups()
                if self._concerns(group)
            ]
            if groups:
                yield entry, groups

    def _concerns(self, group: JournalGroup) -> bool:
        if self.chosen is None:
            return True
        written = read_id(group.changes.get(self.workspace_field, ABSENT)).value
        if written in self.chosen.workspaces:
            return True
        stood = (_stood(group, path) for path in group.changes)
        return any(user is not None and id_key(user) in self.chosen.users for user in stood)

    def _release(self, name: str, groups: Sequence[JournalGroup]) -> None:
        for group in groups:
            written = read_id(group.changes.get(self.workspace_field, ABSENT)).value
            stood = _stood(group, self.workspace_field)
            self._released(name, written, stood, len(group.ids))
            if self.chosen is not None and written is not None and stood is None:
                self._unscoped[name] += group.ids

    def _released(
        self, name: str, now: ObjectId | None, then: ObjectId | None, number: int
    ) -> None:
        if now is not None and now != then:
            self.released.add(name, now, number)

    def _refused(self, name: str, undone: Undone) -> None:
        for identifier, path in undone.refused:
            self.result.conflicts.add(Conflict(ConflictKind.REFUSED, name, identifier, path))

    def _conflicts(self, name: str, changed_fields: Sequence[ChangedField]) -> None:
        self._count(name, changed_fields)
        self._list(name, changed_fields)

    def _count(self, name: str, changed_fields: Sequence[ChangedField]) -> None:
        back, documents = self._back(name), len({id_key(found.id) for found in changed_fields})
        if self.result.options.discards:
            back.overwritten += documents
        else:
            back.kept += documents

    def _list(self, name: str, changed_fields: Sequence[ChangedField]) -> None:
        for found in changed_fields:
            self.result.conflicts.add(Conflict(ConflictKind.CHANGED, name, found.id, found.field))

    def _back(self, name: str) -> DocumentsBack:
        return self.result.documents.setdefault(name, DocumentsBack())


def _portions(groups: Sequence[JournalGroup], throttle: Throttle) -> Iterator[list[JournalGroup]]:
    """The groups in their order, in portions of documents that may be written at once."""
    most = throttle.window(max(sum(len(group.ids) for group in groups), 1))
    portion: list[JournalGroup] = []
    held = 0
    for group in groups:
        for ids in chunks(group.ids, most):
            if held + len(ids) > most:
                yield portion
                portion, held = [], 0
            portion.append(replace(group, ids=ids))
            held += len(ids)
    if portion:
        yield portion


def _before(group: JournalGroup) -> dict[str, Element | None]:
    """The fields that were written, and what stood there before."""
    stood = group.prior_elements()
    return {name: stood.get(name) for name in group.changes}


def _stood(group: JournalGroup, path: str) -> ObjectId | None:
    """The id that stood in a field before; ``None`` if none did."""
    return _id_in(group.prior_elements().get(path))


def _id_in(element: Element | None) -> ObjectId | None:
    """The id that a stored value is; ``None`` if it is none, which may not even decode."""
    return None if element is None else read_id(decode_element(element)).value


def _hash(name: str, identifier: Any) -> int:
    return xxh3_64_intdigest(name.encode("utf-8", "surrogateescape") + b"\0" + id_key(identifier))


def _hashes(entry: JournalEntry, groups: Iterable[JournalGroup]) -> Iterator[int]:
    return (_hash(entry.collection, i) for group in groups for i in group.ids)


def _apart(
    name: str,
    groups: Sequence[JournalGroup],
    repeated: Container[int],
    chains: dict[bytes, list[JournalGroup]],
) -> list[JournalGroup]:
    """The groups without the documents that were written to repeatedly, which go to the chains."""
    once = []
    for group in groups:
        ids = []
        for identifier in group.ids:
            if _hash(name, identifier) in repeated:
                alone = replace(group, ids=[identifier])
                chains.setdefault(id_key(identifier), []).append(alone)
            else:
                ids.append(identifier)
        once.append(replace(group, ids=ids))
    return once


def _holds(ordered: Sequence[int], wanted: int) -> bool:
    position = bisect_left(ordered, wanted)
    return position < len(ordered) and ordered[position] == wanted


async def _chains(
    name: str, written: Mapping[bytes, list[JournalGroup]], newer: Sequence[DocumentRollback]
) -> Iterator[Chain]:
    """What was written to documents, together with what later runs wrote to them."""
    later: dict[bytes, list[JournalGroup]] = defaultdict(list)
    async for identifier, group in _writes(name, newer):
        if (key := id_key(identifier)) in written:
            later[key].append(replace(group, ids=[identifier]))
    return (Chain(groups[0].ids[0], later.get(key, ()), groups) for key, groups in written.items())


async def _writes(
    name: str, runs: Sequence[DocumentRollback]
) -> AsyncIterator[tuple[Any, JournalGroup]]:
    """What runs wrote to a collection, the last first: each document with its group."""
    for run in runs:
        async for entry, groups in run.windows():
            if entry.collection == name:
                for group in groups:
                    for identifier in group.ids:
                        yield identifier, group


async def values_afterwards(
    name: str, runs: Sequence[DocumentRollback], fields: Container[str] | None
) -> list[tuple[list[Any], Mapping[str, Element | None]]] | None:
    """Ids of documents, and field to the value that they hold once runs are taken back.

    Args:
        name: The collection.
        runs: The runs, the newest first.
        fields: Only documents of which a run wrote one of these; ``None`` for any.

    Returns:
        ``None`` where they are too many, or too different, for one query.
    """
    concerned: set[bytes] = set()
    async for identifier, group in _writes(name, runs):
        if fields is None or any(field in fields for field in group.changes):
            concerned.add(id_key(identifier))
            if len(concerned) > _MOST_FORESEEN:
                return None
    if not concerned:
        return []
    written: dict[bytes, list[JournalGroup]] = defaultdict(list)
    async for identifier, group in _writes(name, runs):
        if (key := id_key(identifier)) in concerned:
            written[key].append(replace(group, ids=[identifier]))
    found: dict[tuple[tuple[str, Element | None], ...], list[Any]] = defaultdict(list)
    chains = (Chain(groups[0].ids[0], (), groups) for groups in written.values())
    for some in chunks(chains, _CHAINS_TOGETHER):
        run = runs[0]
        followed = await follow(
            run.database[name],
            some,
            discard=run.result.options.discards,
            comment=run.comment,
        )
        for one in followed:
            identifier = one.now["_id"]
            names = {field for group in written[id_key_of(*identifier)] for field in group.changes}
            values = tuple((field, one.after.get(field)) for field in sorted(names))
            found[values].append(decode_id(*identifier))
    return None if len(found) > _MOST_VALUES else [(ids, dict(v)) for v, ids in found.items()]
