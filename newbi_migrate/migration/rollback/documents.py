"""Giving documents back what stood there before a run, window after window, last one first.

A document is written to only where it holds what the run wrote, unless somebody's change is to
be discarded. It changes when the journal's windows do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.migration.pacing import Pacer
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    DocumentsBack,
    OnConflict,
    RollbackResult,
)
from newbi_migrate.progress import Progress
from newbi_migrate.store.connection import DURABLE
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.journal import EntryKind, Journal, JournalEntry, JournalGroup
from newbi_migrate.store.raw import document_of
from newbi_migrate.store.restoring import (
    Difference,
    Outcome,
    compare_groups,
    confirmed,
    id_element,
    overwrite,
    restore,
)
from newbi_migrate.store.stamping import chunks

__all__ = ["Chosen", "DocumentRollback"]

_MAX_SUSPECTS = 100_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The legacy users whose documents are taken back.

    Attributes:
        users: Their ids.
        workspaces: Their workspaces, which nobody else shares.
    """

    users: frozenset[Any]
    workspaces: frozenset[ObjectId]


@dataclass(slots=True)
class DocumentRollback:
    """Takes back what a run wrote to the documents of registered collections.

    Args:
        database: Where.
        journal: Journal of the run.
        workspace_field: The field that scopes a document.
        collections: The collections; ``None`` for all.
        chosen: The users whose documents are taken back; ``None`` for all.
        result: Told what happens.
        comment: Attached to every command.
    """

    database: AsyncDatabase[dict[str, Any]]
    journal: Journal
    workspace_field: str
    collections: Collection[str] | None
    chosen: Chosen | None
    result: RollbackResult
    comment: str
    released: dict[ObjectId, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Workspace to the number of documents, by collection, that no longer name it afterwards."""

    async def survey(self, progress: Progress) -> None:
        """Compares every document with what the run wrote; writes nothing."""
        suspects: dict[str, dict[tuple[int, bytes], list[Difference]]] = defaultdict(dict)
        count = 0
        async for entry, groups in self._windows():
            back = self._back(entry.collection)
            compared = await compare_groups(
                self.database[entry.collection], groups, comment=self.comment
            )
            self._release(entry.collection, compared.to_restore)
            back.restored += sum(len(group.ids) for group in compared.to_restore)
            back.already += compared.restored
            back.gone += compared.gone
            count += len(compared.differences)
            if count > _MAX_SUSPECTS:
                self._conflicts(entry.collection, compared.differences)
            else:
                for found in compared.differences:
                    suspects[entry.collection].setdefault(id_element(found.id), []).append(found)
            progress.advance(sum(len(group.ids) for group in groups), entry.collection)
        for name, by_id in suspects.items():
            chains: dict[tuple[int, bytes], list[JournalGroup]] = {key: [] for key in by_id}
            async for entry, groups in self._windows():
                if entry.collection == name:
                    for group in groups:
                        for identifier in group.ids:
                            if (key := id_element(identifier)) in chains:
                                chains[key].append(group)
            # What a later window takes back may be what an earlier one had written.
            self._conflicts(
                name,
                await confirmed(self.database[name], chains, by_id, comment=self.comment),
            )

    async def apply(self, safe_point: Callable[[], None], progress: Progress, pacer: Pacer) -> None:
        """Takes every window back, the last one first, and no more at once than it may.

        Raises:
            NewbiMigrateError: ``safe_point`` stopped it; the same call finishes it.
        """
        discard = self.result.options.on_conflict is OnConflict.DISCARD
        async for entry, groups in self._windows():
            name = entry.collection
            back = self._back(name)
            collection = self.database.get_collection(name, write_concern=DURABLE)
            compared = await compare_groups(collection, groups, comment=self.comment)
            back.already += compared.restored
            back.gone += compared.gone
            for part in _portions(compared.to_restore, pacer):
                await pacer.before(sum(len(group.ids) for group in part))
                outcome = await restore(
                    collection, part, comment=self.comment, safe_point=safe_point
                )
                back.restored += outcome.written
                self._refused(name, outcome)
            self._conflicts(name, compared.differences)
            if discard:
                differences = compared.differences
                for changed in chunks(differences, pacer.window(max(len(differences), 1))):
                    await pacer.before(len(changed))
                    self._refused(
                        name,
                        await overwrite(
                            collection, changed, comment=self.comment, safe_point=safe_point
                        ),
                    )
            progress.advance(sum(len(group.ids) for group in groups), name)

    async def _windows(self) -> AsyncIterator[tuple[JournalEntry, list[JournalGroup]]]:
        async for entry in self.journal.entries(backwards=True):
            if entry.kind is not EntryKind.WINDOW:
                continue
            if self.collections is not None and entry.collection not in self.collections:
                continue
            groups = [group for group in entry.groups() if self._concerns(group)]
            if groups:
                yield entry, groups

    def _concerns(self, group: JournalGroup) -> bool:
        if self.chosen is None:
            return True
        written = read_id(group.changes.get(self.workspace_field, ABSENT)).value
        if written in self.chosen.workspaces:
            return True
        return any(_stood(group, path) in self.chosen.users for path in group.changes)

    def _release(self, name: str, groups: Sequence[JournalGroup]) -> None:
        for group in groups:
            written = read_id(group.changes.get(self.workspace_field, ABSENT)).value
            if written is not None and written != _stood(group, self.workspace_field):
                self.released[written][name] += len(group.ids)

    def _refused(self, name: str, outcome: Outcome) -> None:
        for identifier, path in outcome.refused:
            self.result.conflicts.add(Conflict(ConflictKind.REFUSED, name, identifier, path))

    def _conflicts(self, name: str, differences: Sequence[Difference]) -> None:
        back, documents = self._back(name), len({id_element(found.id) for found in differences})
        if self.result.options.on_conflict is OnConflict.DISCARD:
            back.overwritten += documents
        else:
            back.kept += documents
        for found in differences:
            self.result.conflicts.add(Conflict(ConflictKind.CHANGED, name, found.id, found.field))

    def _back(self, name: str) -> DocumentsBack:
        return self.result.documents.setdefault(name, DocumentsBack())


def _portions(groups: Sequence[JournalGroup], pacer: Pacer) -> Iterator[list[JournalGroup]]:
    """The groups in their order, in portions of documents that may be written at once."""
    most = pacer.window(max(sum(len(group.ids) for group in groups), 1))
    portion: list[JournalGroup] = []
    held = 0
    for group in groups:
        for ids in chunks(group.ids, most):
            if held + len(ids) > most:
                yield portion
                portion, held = [], 0
            portion.append(replace(group, ids=list(ids)))
            held += len(ids)
    if portion:
        yield portion


def _stood(group: JournalGroup, path: str) -> ObjectId | None:
    """The id that stood in a field before; ``None`` if none did."""
    found = group.prior_elements().get(path)
    if found is None:
        return None
    # What stood there may be anything, also what does not decode.
    document, _ = decode(bytes(document_of((path, *found)).raw))
    return read_id(document[path]).value
