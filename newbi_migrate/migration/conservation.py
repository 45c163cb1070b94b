"""The proof of conservation: nothing but what a run's journal says has changed in any document.

A reference holds a digest of each collection from before the run: those of a backup, or taken
when the run began. Now each collection is digested again, without the workspace where the
registry says that a run stamps it. What a run created is taken out of that sum, and documents in
which it changed another field, such as the owner of an aliased user's invoice, are put in as the
journal says they were, one by one. If the sums are equal, every other byte is what it was. It
changes when a run writes something that has to be accounted for otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

import bson
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.backup.layout import data_namespace, dumped
from newbi_migrate.backup.manifest import Manifest
from newbi_migrate.errors import UsageError
from newbi_migrate.migration.progress import Progress, Silent
from newbi_migrate.models.registry import Registry
from newbi_migrate.store.digest import BATCH_DOCUMENTS, Digest, digest_collection
from newbi_migrate.store.faults import explained
from newbi_migrate.store.journal import EntryKind, Journal, JournalEntry, JournalGroup
from newbi_migrate.store.raw import document_of, element, elements, split_documents
from newbi_migrate.store.runs import OWN_PREFIX, RunRecord, RunRecords, RunState
from newbi_migrate.store.stamping import MAX_IDS, chunks

__all__ = [
    "Conservation",
    "ConservedCollection",
    "Known",
    "Reference",
    "ReferenceSource",
    "Verdict",
    "check_conservation",
    "provable_run",
    "reference_of",
    "take_reference",
]

_COMMENT: Final = "newbi-migrate validate"
_LISTED: Final = 100
"""Unexplained documents that are named for each collection."""

_Element = tuple[int, bytes]


class ReferenceSource(StrEnum):
    """Where the digests of a reference come from."""

    BACKUP = "backup"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Known:
    """What a collection held.

    Attributes:
        count: Documents.
        digest: As :class:`~newbi_migrate.store.digest.Digest` defines it.
        without: Top-level fields the digest leaves out.
    """

    count: int
    digest: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """What a database held before a run.

    Attributes:
        source: Where the digests come from.
        backup: Identity of the backup; empty where they were taken when the run began.
        name: Name of the backup's folder, for people.
        taken: When, UTC, ISO 8601.
        collections: What each collection held; views and the tool's own are left out.
    """

    source: ReferenceSource
    backup: str = ""
    name: str = ""
    taken: str = ""
    collections: Mapping[str, Known] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, manifest: Manifest, registry: Registry, *, name: str = "") -> Self:
        """The digests of a backup.

        Raises:
            UsageError: The backup left out other fields than the registry's workspace.
        """
        if tuple(manifest.without) != (registry.workspace_field,):
            raise UsageError(
                f"The backup has no digests without {registry.workspace_field!r}, so it cannot "
                "prove what a run changed.",
                next_step="Make a backup with newbi-migrate backup and name that one.",
            )
        known = {}
        for entry in manifest.collections:
            if entry.type != "view" and not entry.name.startswith(OWN_PREFIX):
                without = _left_out(registry, entry.name)
                digest = entry.digest_without if without else entry.digest
                known[entry.name] = Known(entry.count, digest, without)
        return cls(
            ReferenceSource.BACKUP,
            manifest.identity,
            name,
            taken=manifest.started,
            collections=known,
        )

    def to_document(self) -> dict[str, Any]:
        """As a run record holds it."""
        return {
            "source": self.source.value,
            "backup": self.backup,
            "name": self.name,
            "taken": self.taken,
            # A list: names of collections may hold dots.
            "collections": [
                {
                    "collection": name,
                    "count": known.count,
                    "digest": known.digest,
                    "without": list(known.without),
                }
                for name, known in self.collections.items()
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """From its form in a run record."""
        return cls(
            ReferenceSource(document["source"]),
            document["backup"],
            document["name"],
            document["taken"],
            {
                one["collection"]: Known(one["count"], one["digest"], tuple(one["without"]))
                for one in document["collections"]
            },
        )


class Verdict(StrEnum):
    """What became of a collection's documents."""

    EQUAL = "equal"
    """All that were there are as they were, but for the workspace."""
    ACCOUNTED = "accounted"
    """So are they but for what a run wrote, which its journal names document by document."""
    DIFFERS = "differs"
    """Something else changed, came or went."""


@dataclass(frozen=True, slots=True)
class ConservedCollection:
    """One collection compared with its reference.

    Attributes:
        collection: Its name.
        verdict: What became of its documents.
        before: Documents in the reference.
        now: Documents now.
        created: Of these, created by runs.
        changed: Documents in which runs changed a field beside the workspace.
        unexplained: ``_id`` of documents whose journaled fields hold neither what was written nor
            what stood there before, or that are gone; at most a hundred.
    """

    collection: str
    verdict: Verdict
    before: int
    now: int
    created: int = 0
    changed: int = 0
    unexplained: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Conservation:
    """Every collection compared with what a reference knows of it.

    Attributes:
        run_id: The first run that is accounted for.
        reference: What it was compared with.
        collections: In order of their names.
    """

    run_id: ObjectId
    reference: Reference
    collections: tuple[ConservedCollection, ...]

    @property
    def differing(self) -> tuple[ConservedCollection, ...]:
        """Collections in which something changed that no journal accounts for."""
        return tuple(one for one in self.collections if one.verdict is Verdict.DIFFERS)

    @property
    def holds(self) -> bool:
        """Whether nothing changed but what the journals say."""
        return not self.differing


def reference_of(run: RunRecord) -> Reference | None:
    """What was known of the database when a run began, if it was recorded."""
    recorded = run.document.get("reference")
    return None if recorded is None else Reference.from_document(recorded)


def provable_run(runs: Sequence[RunRecord]) -> RunRecord:
    """The first run that recorded what was there before it and was not rolled back.

    Raises:
        UsageError: There is none.
    """
    for run in reversed(runs):
        if run.state is not RunState.ROLLED_BACK and run.document.get("reference") is not None:
            return run
    raise UsageError(
        "No run recorded what was there before it, so nothing can be proven.",
        next_step="Migrate with --backup DIR or --record-digests.",
    )


async def take_reference(
    database: AsyncDatabase[dict[str, Any]],
    registry: Registry,
    *,
    progress: Progress | None = None,
    comment: str = _COMMENT,
) -> Reference:
    """Digests every collection as it is now, which reads the whole database once.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    listener = progress or Silent()
    taken = datetime.now(UTC).isoformat(timespec="milliseconds")
    known = {}
    live = await _live(database)
    listener.phase("digests", len(live))
    for name, kind in live.items():
        without = _left_out(registry, name)
        digest = await digest_collection(
            database, data_namespace(name, kind), without=without, comment=comment
        )
        known[name] = Known(digest.count, digest.hexdigest(), without)
        listener.advance(1, name)
    return Reference(ReferenceSource.RUN, taken=taken, collections=known)


async def check_conservation(
    database: AsyncDatabase[dict[str, Any]],
    registry: Registry,
    run: RunRecord,
    *,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> Conservation:
    """Compares every collection with what it was before a run. Reads only.

    The journals of that run and of all later ones that were not rolled back are taken into
    account. Documents that were created or changed by others since make a collection differ, so
    it proves most while the application is stopped. Memory grows with the documents the journals
    account for one by one, by some hundred bytes each, and not with the others.

    Args:
        database: The database.
        registry: Its collections.
        run: The run.
        reference: What was there before it, by default what its record holds; a backup's comes
            from :meth:`Reference.of_manifest`.
        progress: Told of each collection.

    Raises:
        UsageError: There is no reference.
        NewbiMigrateError: The server failed.
    """
    known = reference or reference_of(run)
    if known is None:
        raise UsageError(
            f"The run {run.run_id} recorded no digests of what was there before it.",
            next_step="Name the backup that was made before it.",
        )
    with explained("comparing with what was there before the run"):
        listener = progress or Silent()
        live = await _live(database)
        accounts = await _accounts(database, run, registry.workspace_field, known)
        names = sorted({*known.collections, *live})
        listener.phase("conservation", len(names))
        found = []
        for name in names:
            then = known.collections.get(name) or Known(
                0, Digest().hexdigest(), _left_out(registry, name)
            )
            stored_in = data_namespace(name, live.get(name, "collection"))
            account = accounts.get(name, _Account())
            found.append(await _compared(database, name, stored_in, then, account))
            listener.advance(1, name)
    return Conservation(run.run_id, known, tuple(found))


def _left_out(registry: Registry, name: str) -> tuple[str, ...]:
    """The workspace may change where it is stamped, and nowhere else."""
    scoped = name in registry and registry[name].scoped
    return (registry.workspace_field,) if scoped else ()


async def _live(database: AsyncDatabase[dict[str, Any]]) -> dict[str, str]:
    """Name and type of each collection that counts, in order."""
    cursor = await database.list_collections(comment=_COMMENT)
    async with cursor:
        found = {info["name"]: info.get("type", "collection") async for info in cursor}
    return {
        name: kind
        for name, kind in sorted(found.items())
        if kind != "view" and dumped(name) and not name.startswith(OWN_PREFIX)
    }


# -- what the journals say ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """Fields of a document that were written together.

    Attributes:
        written: Path to the element that was written.
        prior: Path to the element that stood there; absent where the field was.
    """

    written: Mapping[tuple[str, ...], _Element]
    prior: Mapping[tuple[str, ...], _Element]


@dataclass(slots=True)
class _Account:
    """What journals say of one collection.

    Attributes:
        created: Ids of documents that were created.
        steps: Element of an id to what was written to that document, the newest first.
        ids: The same element to the id.
    """

    created: dict[_Element, Any] = field(default_factory=dict)
    steps: dict[_Element, list[_Step]] = field(default_factory=dict)
    ids: dict[_Element, Any] = field(default_factory=dict)

    def note(self, identifier: Any, step: _Step) -> None:
        key = _element_of(identifier)
        self.ids[key] = identifier
        self.steps.setdefault(key, []).append(step)


async def _accounts(
    database: AsyncDatabase[dict[str, Any]], first: RunRecord, workspace: str, known: Reference
) -> dict[str, _Account]:
    accounts: dict[str, _Account] = {}
    for run in await RunRecords(database).all():  # the newest first
        if run.run_id < first.run_id or run.state is RunState.ROLLED_BACK:
            continue
        journal = await Journal.open(database, run.run_id)
        async for entry in journal.entries(backwards=True):
            if entry.kind is EntryKind.WINDOW:
                then = known.collections.get(entry.collection)
                ignored = {workspace} if then is None else {*then.without}
                account = accounts.setdefault(entry.collection, _Account())
                _note_window(account, entry, ignored)
            elif entry.kind is EntryKind.USERS:
                _note_users(accounts, entry)
    return accounts


def _note_window(account: _Account, entry: JournalEntry, ignored: set[str]) -> None:
    for stored in entry.body.get("groups", ()):
        names = [name for name in stored["set"] if name not in ignored]
        if not names:
            continue  # most of them: ids of documents that were only stamped are not looked at
        group = JournalGroup.from_document(stored)
        prior = group.prior_elements()
        step = _Step(
            {(name,): _element_of(group.changes[name]) for name in names},
            {(name,): prior[name] for name in names if name in prior},
        )
        for identifier in group.ids:
            account.note(identifier, step)


def _note_users(accounts: dict[str, _Account], entry: JournalEntry) -> None:
    for write in reversed(list(entry.body.get("writes", ()))):
        account = accounts.setdefault(write["collection"], _Account())
        if write["op"] == "insert":
            account.created[_element_of(write["id"])] = write["id"]
        else:
            step = _Step(
                {tuple(path.split(".")): _element_of(value) for path, value in write["values"]},
                {tuple(path.split(".")): _element_of(value) for path, value in write["prior"]},
            )
            account.note(write["id"], step)


def _element_of(value: Any) -> _Element:
    found = element(bson.encode({"v": value}), "v")
    assert found is not None  # noqa: S101  # it was just put there
    return found


# -- setting back ------------------------------------------------------------------------------


async def _compared(
    database: AsyncDatabase[dict[str, Any]],
    name: str,
    stored_in: str,
    then: Known,
    account: _Account,
) -> ConservedCollection:
    digest = await digest_collection(database, stored_in, without=then.without, comment=_COMMENT)
    now, created, changed = digest.count, 0, 0
    unexplained: list[Any] = []
    async for raw in _documents(database, stored_in, account.created.values()):
        digest.remove(raw)
        created += 1
    gone = dict(account.ids)
    async for raw in _documents(database, stored_in, account.ids.values()):
        key = _id_of(raw)
        if key not in gone or key in account.created:
            continue
        identifier = gone.pop(key)
        before = _set_back(raw, account.steps[key])
        if before is None:
            unexplained.append(identifier)
        elif before != raw:
            digest.remove(raw)
            digest.add(before)
            changed += 1
    unexplained += [i for key, i in gone.items() if key not in account.created]
    equal = (digest.count, digest.hexdigest()) == (then.count, then.digest)
    verdict = Verdict.DIFFERS
    if equal:
        verdict = Verdict.ACCOUNTED if created or changed else Verdict.EQUAL
    return ConservedCollection(
        name, verdict, then.count, now, created, changed, tuple(unexplained[:_LISTED])
    )


async def _documents(
    database: AsyncDatabase[dict[str, Any]], name: str, ids: Iterable[Any]
) -> AsyncIterator[bytes]:
    for some in chunks(list(ids), MAX_IDS):
        collection: Any = database[name]
        cursor = collection.find_raw_batches(
            {"_id": {"$in": list(some)}}, batch_size=BATCH_DOCUMENTS, comment=_COMMENT
        )
        async with cursor:
            async for batch in cursor:
                for raw in split_documents(batch):
                    yield raw


def _id_of(raw: bytes) -> _Element:
    found = element(raw, "_id")
    return (0x0A, b"") if found is None else found


def _set_back(raw: bytes, steps: Sequence[_Step]) -> bytes | None:
    """A document as it was before some steps; ``None`` if it holds something else by now."""
    for step in steps:
        for path, written in step.written.items():
            before = _field_set_back(raw, path, written, step.prior.get(path))
            if before is None:
                return None
            raw = before
    return raw


def _field_set_back(
    raw: bytes, path: tuple[str, ...], written: _Element, prior: _Element | None
) -> bytes | None:
    name, rest = path[0], path[1:]
    parts = list(elements(raw))
    position = next((n for n, part in enumerate(parts) if part[0] == name), None)
    if position is None:
        return raw if prior is None else None
    kind, value = parts[position][1:]
    if rest:
        inner = _field_set_back(value, rest, written, prior) if kind == 0x03 else None
        if inner is None:
            return None
        parts[position] = (name, kind, inner)
    elif (kind, value) == written:
        parts[position : position + 1] = [] if prior is None else [(name, *prior)]
    elif (kind, value) != prior:
        return None
    return bytes(document_of(*parts).raw)
