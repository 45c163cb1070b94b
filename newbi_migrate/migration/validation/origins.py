"""Tell what a run caused from what was there before it, by the journals of the runs in place.

A violation is a run's where its rule reads a field that a run wrote, or a document that a run
created. Journals are read once, and only where something is broken. Of the documents of a window
the range of their ids is kept; the entry is read again where a violation may be in it, so memory
does not grow with the documents that were stamped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.errors import DamagedRecordsError
from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key, id_keys
from newbi_migrate.store.journal import EntryKind, JournalEntry, JournalReader
from newbi_migrate.store.runs import RunRecord

__all__ = ["Origins", "Read", "keeps_form"]

_ALL: Final = ""
"""Path that stands for every field: the document was created."""


@dataclass(frozen=True, slots=True)
class Read:
    """A field of a document that a rule reads.

    Attributes:
        collection: Where.
        id: The document.
        path: The field, dotted.
        holds: What stands in it, where the rule is about the form of an id.
    """

    collection: str
    id: Any
    path: str = "_id"
    holds: Any = ABSENT


@dataclass(frozen=True, slots=True)
class _Range:
    """Where in a journal documents of one collection are, between two keys of ids."""

    run_id: ObjectId
    seq: int
    fields: frozenset[str]
    first: bytes
    last: bytes


class Origins:
    """Where violations come from.

    Args:
        database: Where.
        runs: All runs.
    """

    def __init__(self, database: Database, runs: Sequence[RunRecord]) -> None:
        self._database = database
        # The oldest first, so that what a later run wrote takes the place of it.
        self._runs = sorted((r for r in runs if r.in_place), key=lambda run: run.number)
        self._migrated = any(run.migrates for run in self._runs)
        # What stood there before a restore is put aside, or gone.
        self._restored = {
            name: run.number
            for run in sorted(runs, key=lambda run: run.number)
            if run.stands
            for name in run.replaced
        }
        self._is_read = False
        self._lost = ""
        self._people: dict[str, dict[bytes, frozenset[str]]] = defaultdict(dict)
        self._built: set[tuple[str, str]] = set()
        self._windows: dict[str, list[_Range]] = defaultdict(list)

    @property
    def in_part(self) -> bool:
        """Whether a run is there in part: interrupted, or a part of it was taken back."""
        return any(
            run.migrates and (run.partly_rolled_back or run.state.unfinished) for run in self._runs
        )

    def went_through(self, collection: str) -> bool:
        """Whether a run went through a collection as it stands, and left it as it is to be.

        None did where ``--collections`` left it out, a part of a run was taken back, or a restore
        put another one into its place since.
        """
        if self.in_part or collection in self._restored:
            return False
        return any(
            (collection in TARGET_COLLECTIONS and run.command == "migrate")
            or collection in (run.document.get("collections") or {})
            for run in self._runs
            if run.migrates
        )

    def once_migrated(self, origin: Origin) -> Origin:
        """That origin where a migration stands: without one nobody knows any."""
        return origin if self._migrated else Origin.UNKNOWN

    @property
    def lost(self) -> str:
        """Why a journal that was asked could not tell; empty if it could."""
        return self._lost

    async def tells(self) -> bool:
        """Whether the journals say what runs wrote; without them every doubt counts."""
        if self._migrated:
            await self._read()
        return self._migrated and not self._lost

    async def of(self, *reads: Read) -> Origin:
        """Origin of a violation of a rule that reads some fields."""
        if not await self.tells():
            return Origin.UNKNOWN
        for read in reads:
            found = await self.written(read.collection, [read.id], read.path)
            if any(not keeps_form(changes, read.path, read.holds) for changes in found.values()):
                return Origin.RUN
        return Origin.BEFORE

    async def fields(self, collection: str) -> frozenset[str]:
        """Names of the fields that runs wrote in documents they did not create."""
        await self._read()
        return frozenset().union(*(one.fields for one in self._windows[collection]))

    def built(self, collection: str, index: str) -> bool:
        """Whether a run built an index of that name, or perhaps did."""
        return (collection, index) in self._built

    async def written(
        self, collection: str, ids: Iterable[Any], *paths: str
    ) -> dict[bytes, Mapping[str, Any]]:
        """What runs wrote to documents that they created, or of which they wrote some field.

        Args:
            collection: Where.
            ids: The documents.
            paths: The fields.

        Returns:
            Key of an id to field and value; to nothing where the document was created or filled.
        """
        await self._read()
        wanted = {id_key(identifier) for identifier in ids}
        people = self._people[collection]
        found: dict[bytes, Mapping[str, Any]] = {
            key: {} for key in wanted & people.keys() if _touch(people[key], paths)
        }
        places = self._places(collection, sorted(wanted - found.keys()), paths)
        for run_id, seqs in places.items():
            async for entry in JournalReader(self._database, run_id).some(seqs):
                for group in entry.groups():
                    if _touch(group.changes, paths):
                        for key in wanted.intersection(id_keys(group.ids)):
                            found[key] = {**found.get(key, {}), **group.changes}
        return found

    def _places(
        self, collection: str, wanted: Sequence[bytes], paths: Sequence[str]
    ) -> dict[ObjectId, list[int]]:
        places: dict[ObjectId, list[int]] = defaultdict(list)
        for one in self._windows[collection]:
            position = bisect_left(wanted, one.first)
            near = position < len(wanted) and wanted[position] <= one.last
            if near and _touch(one.fields, paths):
                places[one.run_id].append(one.seq)
        return places

    async def _read(self) -> None:
        if self._is_read:
            return
        self._is_read = True
        for run in self._runs:
            if run.document.get("journalDropped"):
                self._lost = "the journal was dropped when the migration was finalized"
                return
            try:
                journal = JournalReader(self._database, run.run_id)
                await journal.require(run.journal_entries)
                async for entry in journal.entries():
                    self._note(entry, run.number)
            except DamagedRecordsError as error:
                self._lost = f"{error.what[0].lower()}{error.what[1:].rstrip('.')}"
                return

    def _note(self, entry: JournalEntry, number: int) -> None:
        # What was perhaps written counts: a doubt is no proof that something was there before.
        if entry.kind is EntryKind.USERS:
            for write in entry.writes():
                if number < self._restored.get(write.collection, 0):
                    continue
                people, key = self._people[write.collection], id_key(write.id)
                paths = frozenset([_ALL]) if write.inserts else frozenset(write.values)
                people[key] = people.get(key, frozenset()) | paths
        elif number < self._restored.get(entry.collection, 0):
            return
        elif entry.kind is EntryKind.INDEX:
            names = entry.names("names")
            self._built |= {(entry.collection, name) for name in names}
        elif entry.kind is EntryKind.WINDOW:
            groups = entry.groups()
            keys = [key for group in groups for key in id_keys(group.ids)]
            if keys:
                fields = frozenset().union(*(group.changes for group in groups))
                found = _Range(entry.run_id, entry.seq, fields, min(keys), max(keys))
                self._windows[entry.collection].append(found)


def keeps_form(changes: Mapping[str, Any], path: str, holds: object) -> bool:
    """Whether an id still has the form in which a run wrote it, and so had it before the run.

    A run keeps the form of an id that it rewrites: what was text is text again.

    Args:
        changes: What the run wrote to the document.
        path: The field.
        holds: What stands in it now.
    """
    return path in changes and read_id(changes[path]).form is read_id(holds).form


def _touch(written: Iterable[str], paths: Iterable[str]) -> bool:
    """Whether one of some fields is, holds, or is inside one that was written."""
    return any(_same(one, path) for one in written for path in paths)


def _same(written: str, path: str) -> bool:
    if written in (_ALL, path):
        return True
    return path.startswith(f"{written}.") or written.startswith(f"{path}.")
