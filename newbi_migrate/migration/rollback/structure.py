"""Indexes and collections as they were before a run.

What a run built is dropped before documents are restored, for a unique index on workspaces
would refuse them; what it dropped is built again afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import bson

from newbi_migrate.documents.indexes import ID_INDEX, fields_read, unique_key
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DamagedRecordsError, UnsupportedError, UsageError
from newbi_migrate.migration.planning.survey import dropping_name, kept_name, odd_target
from newbi_migrate.migration.rollback.documents import DocumentRollback, values_afterwards
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    RollbackResult,
)
from newbi_migrate.migration.run.recovery import refuse_forged
from newbi_migrate.store.collections import CollectionInfo, collection_names, collections
from newbi_migrate.store.collisions import find_collisions
from newbi_migrate.store.counting import count, has_any
from newbi_migrate.store.handles import Database
from newbi_migrate.store.indexes import drop_index, read_indexes, rebuild_index
from newbi_migrate.store.journal import EntryKind, JournalEntry, JournalReader
from newbi_migrate.store.runs import RunRecord, RunWriter
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import Renamed, drop_collection, rename_collection

__all__ = ["StructureRollback"]


@dataclass(slots=True)
class StructureRollback:
    """Rollback of what a run did to indexes and collections.

    Args:
        database: Where.
        run: The run.
        workspace_field: The field that scopes a document.
        collections: The collections; ``None`` for all.
        result: Told what happens.
        comment: Attached to every command.
        targets: Names of the collections whose documents a run may write.

    It reads every entry before anything is written, so it is the one that refuses forged ones.
    """

    database: Database
    run: RunRecord
    workspace_field: str
    collections: Collection[str] | None
    result: RollbackResult
    comment: str
    targets: Collection[str]
    renaming_back: list[tuple[str, str]] = field(default_factory=list)
    """Name each collection had, and the one it has, of those that get their names back."""
    _to_drop: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _in_the_way: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _to_rebuild: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _created: list[str] = field(default_factory=list)
    _renamed: list[tuple[str, str]] = field(default_factory=list)
    _taken: set[tuple[str, str]] = field(default_factory=set)

    async def inspect(self, newer: Sequence[StructureRollback] = ()) -> None:
        """Find out what there is to take back; write nothing.

        Args:
            newer: Later runs that are taken back before this one, the newest first, inspected.

        Raises:
            UnsupportedError: What the run wrote to has become a view, or the like.
            DamagedRecordsError: The journal is not what this tool wrote.
        """
        built: dict[str, dict[str, Mapping[str, Any] | None]] = {}
        dropped: dict[tuple[str, str], Mapping[str, Any]] = {}
        infos = await collections(self.database, comment=self.comment)
        journal = JournalReader(self.database, self.run.run_id)
        async for entry in journal.entries(backwards=True):
            refuse_forged(entry, self.run, self.targets)
            if self.collections is not None and entry.collection not in self.collections:
                continue
            self._refuse_odd(entry, infos)
            if entry.kind is EntryKind.INDEX:
                known = {index["name"]: index for index in entry.indexes("specifications")}
                # One that is pending may have built what it names.
                for name in entry.names("created" if "created" in entry.body else "names"):
                    # The last entry knows best: one before it may only say what was meant.
                    built.setdefault(entry.collection, {}).setdefault(name, known.get(name))
                for index in entry.indexes("dropped"):
                    dropped[entry.collection, index["name"]] = index
            elif entry.kind is EntryKind.COLLECTION and not entry.drops_collection:
                self._note_collection(entry)
        # To build an index would create a collection again that somebody dropped.
        self._to_rebuild = [(name, index) for (name, _), index in dropped.items() if name in infos]
        before = {
            pair["collection"]: {index["name"]: index for index in pair["indexes"]}
            for pair in self.run.document.get("indexesBefore", ())
        }
        names = infos.keys()
        self._look_at_names(names, newer)
        gone = {key for run in newer for key in run.dropped_indexes()}
        for collection in sorted((built.keys() | before.keys()) & names):
            if self.collections is not None and collection not in self.collections:
                continue
            await self._compare(
                collection, built.get(collection, {}), before.get(collection, {}), gone
            )

    def _refuse_odd(self, entry: JournalEntry, infos: Mapping[str, CollectionInfo]) -> None:
        """Fail where what a run wrote to has become something that cannot be written to so."""
        if entry.kind is EntryKind.USERS and (refusal := odd_target(infos)) is not None:
            raise refusal
        info = infos.get(entry.collection)
        if info is not None and not info.holds_documents:
            raise UnsupportedError(
                f"{info.name!r} is {info.oddity} now, so what the run {self.run.run_id} wrote to "
                "the collection of that name cannot be taken back.",
                next_step="Nothing was written. Give the collection its name back, and run the "
                "same rollback again.",
                collection=info.name,
            )

    def _note_collection(self, entry: JournalEntry) -> None:
        name, renamed = entry.collection, entry.renamed
        if renamed is not None:
            if name != self.run.document.get("source") or renamed not in (
                kept_name(name),
                dropping_name(name),
            ):
                raise DamagedRecordsError(
                    f"The journal of run {self.run.run_id} says that {name} was renamed to "
                    f"{renamed}, which this tool never does.",
                    next_step="Nothing was written. Somebody changed the records; restore the "
                    "backup if the database cannot be trusted.",
                )
            if (name, renamed) not in self._renamed:
                self._renamed.append((name, renamed))
        elif name not in self.run.document.get("collectionsBefore", ()) and (
            "created" not in entry.body or entry.names("created")
        ):
            self._created.append(name)

    def _look_at_names(self, names: AbstractSet[str], newer: Sequence[StructureRollback]) -> None:
        then = {*names}
        for run in newer:
            for was, now in run.renaming_back:
                then = then - {now} | {was}
        for was, now in self._renamed:
            if {was, now} <= then:
                # Somebody made a collection of that name since.
                self._taken.add((was, now))
                self._conflict(ConflictKind.COLLECTION_IN_USE, was, now)
            elif now in then:
                self.renaming_back.append((was, now))

    def refuse_taken_names(self) -> None:
        """Fail where a collection cannot get its name back.

        Raises:
            UsageError: Somebody made one of that name.
        """
        for was, now in sorted(self._taken):
            raise UsageError(
                f"{was} was renamed to {now} when the migration was finalized, and somebody has "
                f"made {was} anew, so {now} cannot get its name back.",
                next_step=f"Nothing was written. If {was} is empty, drop it; else move its users "
                f"into {now} first. Then run the same rollback again.",
                collection=was,
            )

    async def find_refused_indexes(self, runs: Sequence[DocumentRollback]) -> None:
        """Find the unique indexes that are to be built again and that documents share a key of.

        Args:
            runs: What is taken back of documents before, the newest run first.
        """
        for collection, index in self._to_rebuild:
            key = unique_key(index)
            if key is None:
                continue
            then = await values_afterwards(collection, runs, fields_read(key.index))
            if then is None:
                # The server says so when it builds the index.
                continue
            found, _ = await find_collisions(
                self.database[collection],
                key,
                workspace_field=self.workspace_field,
                collation=index.get("collation"),
                comment=self.comment,
                then=then,
            )
            if found:
                self._conflict(ConflictKind.REFUSED, collection, index["name"], found[0].ids[-1])

    def dropped_indexes(self) -> set[tuple[str, str]]:
        """Collection and name of each index that is dropped."""
        return set(self._dropped())

    def _dropped(self) -> Iterator[tuple[str, str]]:
        foreign = self._in_the_way if self.result.options.discards else ()
        return ((name, index["name"]) for name, index in (*self._to_drop, *foreign))

    async def _compare(
        self,
        collection: str,
        built: Mapping[str, Mapping[str, Any] | None],
        before: Mapping[str, Mapping[str, Any]],
        gone: Collection[tuple[str, str]],
    ) -> None:
        for index in await read_indexes(self.database, collection):
            name = index["name"]
            if name == ID_INDEX or name in before or (collection, name) in gone:
                continue
            if name in built:
                known = built[name]
                if known is None or bson.encode(index) == bson.encode(known):
                    self._to_drop.append((collection, index))
                else:
                    self._conflict(ConflictKind.INDEX_CHANGED, collection, name)
            elif index.get("unique") and self.workspace_field in index["key"]:
                self._in_the_way.append((collection, index))
                self._conflict(ConflictKind.INDEX_IN_THE_WAY, collection, name)

    def preview(self) -> None:
        """Tell what would be dropped and built again."""
        self.result.indexes_dropped.extend(self._dropped())
        self.result.indexes_rebuilt.extend((n, index["name"]) for n, index in self._to_rebuild)
        self.result.collections_renamed.extend((now, was) for was, now in self.renaming_back)

    async def drop(self, session: LeasedSession) -> None:
        """Drop what the run built, and what refuses documents as they were.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        for collection, index in self._to_drop:
            await drop_index(session, collection, index["name"])
            self.result.indexes_dropped.append((collection, index["name"]))
            session.progress.advance(1, collection)
        if not self.result.options.discards:
            return
        for collection, index in self._in_the_way:
            await RunWriter(session).note_dropped_index(collection, index)
            await drop_index(session, collection, index["name"])
            self.result.indexes_dropped.append((collection, index["name"]))
            session.progress.advance(1, collection)

    async def rebuild(self, session: LeasedSession) -> None:
        """Build what the run dropped, as it was.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        session.progress.phase("build indexes again", len(self._to_rebuild))
        for collection, index in self._to_rebuild:
            stored = {i["name"]: i for i in await read_indexes(self.database, collection)}
            if index["name"] in stored:
                if bson.encode(stored[index["name"]]) != bson.encode(index):
                    self._conflict(ConflictKind.INDEX_CHANGED, collection, index["name"])
            elif await rebuild_index(session, collection, index):
                self.result.indexes_rebuilt.append((collection, index["name"]))
            else:
                self._conflict(ConflictKind.REFUSED, collection, index["name"])
            session.progress.advance(1, collection)

    async def rename_back(self, session: LeasedSession) -> None:
        """Give collections their names back.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        for was, now in self._renamed:
            names = await collection_names(self.database, comment=self.comment)
            if now not in names or (was, now) in self._taken:
                continue
            if await rename_collection(session, now, was) is Renamed.TAKEN:
                self._conflict(ConflictKind.COLLECTION_IN_USE, was, now)
            else:
                self.result.collections_renamed.append((now, was))

    async def drop_collections(self, session: LeasedSession) -> None:
        """Drop the collections the run had created, where they are empty again.

        One that somebody has written to, built an index on or given an option to, like a validator,
        stays.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        for name in self._created:
            session.allow(name)
            emptied = _emptied_name(name)
            names = await collection_names(self.database, comment=self.comment)
            if emptied not in names:
                if name not in names or not await self._is_bare(name):
                    continue
                # Out of everybody's reach first: what is written to it until now is seen then.
                await rename_collection(session, name, emptied)
            if await self._is_bare(emptied):
                await drop_collection(session, emptied)
                self.result.collections_dropped.append(name)
            elif await rename_collection(session, emptied, name) is Renamed.TAKEN:
                self._conflict(ConflictKind.COLLECTION_IN_USE, name, emptied)

    async def preview_collections(self, deleted: Mapping[str, int]) -> None:
        """Tell which collections would be dropped if nothing but the runs wrote to them.

        Args:
            deleted: Collection to the number of documents that are deleted before.
        """
        names = await collection_names(self.database, comment=self.comment)
        for name in self._created:
            # A rollback that is interrupted while it looks at it leaves it under this name.
            emptied = _emptied_name(name)
            here = emptied if emptied in names else name
            if here not in names:
                continue
            number = await count(self.database[here], comment=self.comment)
            if number == deleted.get(name, 0) and await self._is_as_created(here):
                self.result.collections_dropped.append(name)

    async def _is_bare(self, name: str) -> bool:
        some = await has_any(self.database[name], comment=self.comment)
        return not some and await self._is_as_created(name)

    async def _is_as_created(self, name: str) -> bool:
        """Whether it has neither options, for a run creates it plain, nor anybody's index."""
        infos = await collections(self.database, comment=self.comment)
        if name in infos and infos[name].options:
            return False
        ours = {index["name"] for n, index in self._to_drop if n == name}
        stored = await read_indexes(self.database, name)
        return all(i["name"] == ID_INDEX or i["name"] in ours for i in stored)

    def _conflict(
        self, kind: ConflictKind, collection: str, name: str, identifier: Any = None
    ) -> None:
        self.result.conflicts.add(Conflict(kind, collection, identifier, name))


def _emptied_name(name: str) -> str:
    """Name a collection has while it is looked at for the last time, before it is dropped."""
    return f"{OWN_PREFIX}emptied_{name}"
