"""The proof of conservation: nothing but what a run's journal says has changed in any document.

A baseline holds a digest of each collection from before the run: those of a backup, or taken when
the run began. Now each collection is digested again, without the workspace where the registry says
that a run stamps it. What a run created is taken out of that sum, and documents in which it changed
another field, such as the owner of an aliased user's invoice, are put in as the journal says they
were, one by one. If the sums are equal, every other byte is what it was.

Where they are not, an owner that a run left as text and that is the same id as an ObjectId by now
is put in as the text: that is the repair which a validation asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.values import IdForm, read_id
from newbi_migrate.migration.run.baseline import (
    Baseline,
    CollectionBaseline,
    baseline_of,
    fields_left_out,
    live_collections,
)
from newbi_migrate.migration.validation.request import COMMENT
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.counting import estimated_counts
from newbi_migrate.store.decoding import decode_element
from newbi_migrate.store.digest import Digest, digest_collection
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key, id_key_of
from newbi_migrate.store.journal import (
    EntryKind,
    JournalEntry,
    JournalReader,
)
from newbi_migrate.store.raw import NULL, Element, element, element_of, set_back
from newbi_migrate.store.reading import read_by_ids
from newbi_migrate.store.runs import RunRecord, RunState, read_runs

__all__ = [
    "Conservation",
    "ConservationVerdict",
    "ConservedCollection",
    "check_conservation",
]

_LISTED: Final = 100
"""Unexplained documents that are named for each collection."""

_NO_ID: Final[Element] = (NULL, b"")


class ConservationVerdict(StrEnum):
    """What became of a collection's documents."""

    EQUAL = "equal"
    """All that were there are as they were, but for the workspace."""
    ACCOUNTED = "accounted"
    """So are they but for what a run wrote, which its journal names document by document."""
    DIFFERS = "differs"
    """Something else changed, came or went."""


@dataclass(frozen=True, slots=True)
class ConservedCollection:
    """One collection compared with its baseline.

    Attributes:
        collection: Its name.
        verdict: What became of its documents.
        before: Documents in the baseline.
        now: Documents now.
        created: Of these, created by runs.
        changed: Documents in which runs changed a field beside the workspace, or whose owner was
            stored as an ObjectId since.
        unexplained: ``_id`` of documents whose journaled fields hold neither what was written nor
            what stood there before, or that are gone; at most a hundred.
    """

    collection: str
    verdict: ConservationVerdict
    before: int
    now: int
    created: int = 0
    changed: int = 0
    unexplained: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Conservation:
    """Every collection compared with what a baseline holds of it.

    Attributes:
        run_id: The first run that is accounted for.
        baseline: What it was compared with.
        collections: In order of their names.
    """

    run_id: ObjectId
    baseline: Baseline
    collections: tuple[ConservedCollection, ...]

    @property
    def differing(self) -> tuple[ConservedCollection, ...]:
        """Collections in which something changed that no journal accounts for."""
        return tuple(one for one in self.collections if one.verdict is ConservationVerdict.DIFFERS)

    @property
    def holds(self) -> bool:
        """Whether nothing changed but what the journals say."""
        return not self.differing


async def check_conservation(
    database: Database,
    registry: Registry,
    run: RunRecord,
    *,
    baseline: Baseline | None = None,
    progress: Progress | None = None,
) -> Conservation:
    """Compare every collection with what it was before a run. Reads only.

    The journals of that run and of all later ones that were not rolled back are taken into
    account. Documents that were created or changed by others since make a collection differ, so
    it proves most while the application is stopped. Memory grows with the documents the journals
    account for one by one, by some hundred bytes each, and not with the others.

    Args:
        database: The database.
        registry: Its collections.
        run: The run.
        baseline: What was there before it, by default what its record holds; a backup's comes
            from :meth:`Baseline.of_manifest`.
        progress: Told of each collection.

    Raises:
        UsageError: There is no baseline, or the journal was dropped.
        NewbiMigrateError: The server failed.
    """
    baseline = baseline or baseline_of(run)
    if baseline is None:
        raise UsageError(
            f"The run {run.run_id} recorded no digests of what was there before it.",
            next_step="Name the backup that was made before it.",
        )
    with explained("comparing with what was there before the run"):
        listener = progress or NullProgress()
        live = await live_collections(database, comment=COMMENT)
        journals = await _read_journals(database, run, registry, baseline)
        kept = {new for old, new in journals.removed.items() if old not in live}
        names = sorted({*baseline.collections, *live} - kept)
        there = await estimated_counts(database, live.values(), comment=COMMENT)
        listener.phase("conservation", sum(there.values()))
        found = []
        for name in names:
            then = baseline.collections.get(name) or CollectionBaseline(
                0, Digest().hexdigest(), fields_left_out(registry, name)
            )
            ledger = journals.ledgers.get(name, _Ledger())
            here: str | None = name
            # Kept by one run, it may have been dropped by the next.
            for _ in journals.removed:
                if here is not None and here not in live:
                    here = journals.removed.get(here, here)
            if here is None:
                found.append(
                    ConservedCollection(name, ConservationVerdict.ACCOUNTED, then.count, 0)
                )
            else:
                stored_in = live[here].data if here in live else here
                compared = await _compared(database, name, stored_in, then, ledger, listener)
                owner = registry[name].owner_field if name in registry else None
                if compared.verdict is ConservationVerdict.DIFFERS and owner is not None:
                    repaired = await _read_journals(database, run, registry, baseline, name)
                    ledger = repaired.ledgers.get(name, _Ledger())
                    again = NullProgress()
                    compared = await _compared(database, name, stored_in, then, ledger, again)
                found.append(compared)
    return Conservation(run.run_id, baseline, tuple(found))


# -- what the journals say ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """Fields of a document that were written together.

    Attributes:
        written: Path to the element that was written.
        prior: Path to the element that stood there; absent where the field was.
        certain: Whether they surely were written.
    """

    written: Mapping[tuple[str, ...], Element]
    prior: Mapping[tuple[str, ...], Element]
    certain: bool = True


@dataclass(slots=True)
class _Ledger:
    """What journals say of one collection.

    Attributes:
        created: Ids of documents that were created, by their keys.
        steps: Key of an id to what was written to that document, the newest first.
        ids: The same key to the id.
    """

    created: dict[bytes, Any] = field(default_factory=dict)
    steps: dict[bytes, list[_Step]] = field(default_factory=dict)
    ids: dict[bytes, Any] = field(default_factory=dict)

    def note(self, identifier: Any, step: _Step) -> None:
        key = id_key(identifier)
        self.ids[key] = identifier
        self.steps.setdefault(key, []).append(step)


@dataclass(slots=True)
class _Journals:
    """What all journals say.

    Attributes:
        ledgers: What they say of each collection.
        removed: Collections that a run dropped, to ``None``, or renamed, to their new name.
    """

    ledgers: dict[str, _Ledger] = field(default_factory=dict)
    removed: dict[str, str | None] = field(default_factory=dict)

    def of(self, collection: str) -> _Ledger:
        return self.ledgers.setdefault(collection, _Ledger())


async def _read_journals(
    database: Database,
    first: RunRecord,
    registry: Registry,
    baseline: Baseline,
    repaired: str | None = None,
) -> _Journals:
    """What all journals say; of one collection also which owners may have been repaired."""
    journals, workspace = _Journals(), registry.workspace_field
    for run in await read_runs(database):  # the newest first
        if run.number < first.number or run.state is RunState.ROLLED_BACK:
            continue
        if run.document.get("journalDropped"):
            raise UsageError(
                "The journal was dropped when the migration was finalized, so what it wrote can "
                "no longer be accounted for.",
                next_step="The proof was possible until then.",
            )
        journal = JournalReader(database, run.run_id)
        await journal.require(run.journal_entries)
        async for entry in journal.entries(backwards=True):
            if entry.kind is EntryKind.WINDOW:
                then = baseline.collections.get(entry.collection)
                ignored = {workspace} if then is None else {*then.without}
                ledger = journals.of(entry.collection)
                if entry.collection == repaired:
                    _note_repairs(ledger, entry, registry[repaired].owner_field or "")
                _note_window(ledger, entry, ignored)
            elif entry.kind is EntryKind.USERS:
                _note_users(journals, entry)
            elif entry.drops_collection:
                journals.removed.setdefault(entry.collection, None)
            elif entry.kind is EntryKind.COLLECTION and entry.renamed is not None:
                journals.removed.setdefault(entry.collection, entry.renamed)
    return journals


def _note_window(ledger: _Ledger, entry: JournalEntry, ignored: set[str]) -> None:
    for group in entry.groups():
        names = [name for name in group.changes if name not in ignored]
        if not names:
            continue
        prior = group.prior_elements()
        step = _Step(
            {(name,): element_of(group.changes[name]) for name in names},
            {(name,): prior[name] for name in names if name in prior},
            group.certain,
        )
        for identifier in group.ids:
            ledger.note(identifier, step)


def _note_repairs(ledger: _Ledger, entry: JournalEntry, owner: str) -> None:
    """Note the owners that a run left as text; the newest entry of a document says it."""
    for group in entry.groups():
        left = group.prior_elements().get(owner)
        if owner in group.changes:
            left = element_of(group.changes[owner])
        if left is None:
            continue
        meant = read_id(decode_element(left))
        if meant.value is None or meant.form is IdForm.OBJECT_ID:
            continue
        step = _Step({(owner,): element_of(meant.value)}, {(owner,): left}, certain=False)
        for identifier in group.ids:
            if id_key(identifier) not in ledger.ids:
                ledger.note(identifier, step)


def _note_users(journals: _Journals, entry: JournalEntry) -> None:
    for write in reversed(entry.writes()):
        ledger = journals.of(write.collection)
        if write.inserts:
            ledger.created[id_key(write.id)] = write.id
        else:
            step = _Step(
                {tuple(p.split(".")): element_of(value) for p, value in write.values.items()},
                {tuple(p.split(".")): found for p, found in write.prior.items()},
                write.certain,
            )
            ledger.note(write.id, step)


# -- setting back ------------------------------------------------------------------------------


async def _compared(
    database: Database,
    name: str,
    stored_in: str,
    then: CollectionBaseline,
    ledger: _Ledger,
    progress: Progress,
) -> ConservedCollection:
    digest = await digest_collection(
        database,
        stored_in,
        without=then.without,
        comment=COMMENT,
        advance=lambda count: progress.advance(count, name),
    )
    now, created, changed = digest.count, 0, 0
    unexplained: list[Any] = []
    collection = database[stored_in]
    async for raw in read_by_ids(collection, ledger.created.values(), comment=COMMENT):
        digest.remove(raw)
        created += 1
    gone = dict(ledger.ids)
    async for raw in read_by_ids(collection, ledger.ids.values(), comment=COMMENT):
        key = id_key_of(*element(raw, "_id") or _NO_ID)
        if key not in gone or key in ledger.created:
            continue
        identifier = gone.pop(key)
        before = _set_back(raw, ledger.steps[key])
        if before is None:
            unexplained.append(identifier)
        elif before != raw:
            digest.remove(raw)
            digest.add(before)
            changed += 1
    unexplained += [i for key, i in gone.items() if key not in ledger.created]
    equal = (digest.count, digest.hexdigest()) == (then.count, then.digest)
    verdict = ConservationVerdict.DIFFERS
    if equal:
        verdict = ConservationVerdict.ACCOUNTED if created or changed else ConservationVerdict.EQUAL
    return ConservedCollection(
        name, verdict, then.count, now, created, changed, tuple(unexplained[:_LISTED])
    )


def _set_back(raw: bytes, steps: Sequence[_Step]) -> bytes | None:
    """A document as it was before some steps; ``None`` if it holds something else by now."""
    for step in steps:
        for path, written in step.written.items():
            before = set_back(raw, path, written, step.prior.get(path))
            if before is not None:
                raw = before
            elif step.certain:
                return None
    return raw
