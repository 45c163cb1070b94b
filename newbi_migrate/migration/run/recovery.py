"""Recover what a process that stopped had left: find out what it had really written.

An entry of the journal that is still pending may have been carried out in full, in part, not at
all, or may yet be: a process that was suspended, or only seemed dead, can still send its statement.
What the documents show is marked as written; the rest stays in the entry as perhaps written.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DamagedRecordsError
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import (
    EntryKind,
    Journal,
    JournalEntry,
    JournalGroup,
    JournalReader,
    journaled_runs,
)
from newbi_migrate.store.runs import RunRecord, RunWriter, read_runs
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import holding
from newbi_migrate.store.statements import end_transaction
from newbi_migrate.store.user_documents import Presence, presence_of, set_zeros_left

__all__ = [
    "created_indexes",
    "read_whole_runs",
    "recover",
    "refuse_forged",
    "refuse_lost_records",
    "write_targets",
]


def write_targets(registry: Registry) -> frozenset[str]:
    """Names of the collections whose documents a run may write."""
    return frozenset({spec.name for spec in registry} | set(TARGET_COLLECTIONS))


async def recover(session: LeasedSession, run: RunRecord) -> None:
    """Take a run over from the process that worked on it, and correct its journal.

    Args:
        session: The leased session.
        run: A run that has not come to its end.

    Raises:
        DamagedRecordsError: Its records are not what this tool wrote.
        NewbiMigrateError: The session stopped it.
    """
    session = session.of_run(run.run_id)
    for entry in await JournalReader(session.database, run.run_id).pending():
        refuse_forged(entry, run, session.targets)
    record = RunWriter(session)
    await record.take_over()
    journal = await Journal.take_over(session)
    await record.note_journal(journal.next_seq)
    for entry in await journal.pending():
        await _recover(session, journal, entry)


def refuse_forged(entry: JournalEntry, run: RunRecord, targets: Iterable[str]) -> None:
    """Fail where an entry names a collection to which a run never writes in that way.

    Args:
        entry: An entry of its journal.
        run: The run.
        targets: Names of the collections whose documents a run may write.

    Raises:
        DamagedRecordsError: It does; somebody else wrote it.
    """
    named, allowed = {entry.collection}, set(targets)
    if entry.kind is EntryKind.TAKEOVER:
        return
    if entry.kind is EntryKind.USERS:
        named, allowed = {write.collection for write in entry.writes()}, set(TARGET_COLLECTIONS)
    elif entry.kind is EntryKind.COLLECTION:
        moved = entry.drops_collection or entry.renamed is not None
        allowed = {str(run.document.get("source"))} if moved else set(TARGET_COLLECTIONS)
    for name in sorted(named - allowed):
        raise DamagedRecordsError(
            f"The journal of run {run.run_id} names the collection {name!r}, with which this tool "
            f"never does what entry {entry.seq} says.",
            next_step="Nothing was written. Somebody changed the records; restore the backup if "
            "the database cannot be trusted.",
            collection=name,
        )


async def read_whole_runs(database: Database) -> list[RunRecord]:
    """All runs, the newest first, whose records and journals are whole.

    Raises:
        DamagedRecordsError: Somebody dropped or changed what runs left.
    """
    runs = await read_runs(database)
    await refuse_lost_records(database, runs)
    return runs


async def refuse_lost_records(database: Database, runs: Sequence[RunRecord]) -> None:
    """Fail where a run has a journal and no record, or a record and no whole journal.

    Raises:
        DamagedRecordsError: Somebody dropped or changed what runs left.
    """
    known = {run.run_id for run in runs}
    lost = [run_id for run_id in await journaled_runs(database) if run_id not in known]
    if lost:
        raise DamagedRecordsError(
            f"The journal holds entries of run {lost[0]}, and there is no record of that run: "
            "somebody dropped or changed the records.",
            next_step="Nothing was written. Restore the backup: newbi-migrate restore --drop "
            "BACKUP.",
        )
    for run in runs:
        if run.in_place and not run.document.get("journalDropped"):
            await JournalReader(database, run.run_id).require(run.journal_entries)


async def created_indexes(
    database: Database, collection: str, names: Container[str]
) -> dict[str, Any]:
    """What the journal says of indexes that were created: those that are there, as they are."""
    stored = [i for i in await read_indexes(database, collection) if i["name"] in names]
    return {"created": [index["name"] for index in stored], "specifications": stored}


async def _recover(session: LeasedSession, journal: Journal, entry: JournalEntry) -> None:
    database = session.database
    if entry.kind is EntryKind.WINDOW:
        groups = entry.groups()
        held = await holding(database[entry.collection], groups, comment=session.comment)
        await journal.recovered_window(entry.seq, [*held, *_perhaps(groups, held)])
    elif entry.kind is EntryKind.USERS:
        if entry.session_id is not None:
            await end_transaction(session, entry.session_id)
        else:
            await set_zeros_left(session, entry.writes())
        await journal.recovered(entry.seq, {"writes": await _writes(session, entry)})
    elif entry.kind is EntryKind.INDEX:
        await journal.recovered(entry.seq, await _indexes(database, entry))
    elif entry.kind is EntryKind.COLLECTION:
        await journal.recovered(entry.seq, await _created(session, entry))
    else:
        await journal.recovered(entry.seq, {})


async def _created(session: LeasedSession, entry: JournalEntry) -> dict[str, Any]:
    """Say that a collection is there; one that is not, or was to be renamed, may yet be."""
    if entry.drops_collection or entry.renamed is not None:
        return {}
    names = await collection_names(session.database, comment=session.comment)
    return {"created": [entry.collection]} if entry.collection in names else {}


def _perhaps(
    groups: Sequence[JournalGroup], held: Sequence[JournalGroup]
) -> Iterator[JournalGroup]:
    """The documents that do not hold what is written to them, and may yet."""
    here = {id_key(identifier) for group in held for identifier in group.ids}
    for group in groups:
        rest = [identifier for identifier in group.ids if id_key(identifier) not in here]
        if rest:
            yield replace(group, ids=rest, certain=False)


async def _indexes(database: Database, entry: JournalEntry) -> dict[str, Any]:
    """Add what is there already; any other index may yet be built, or dropped."""
    found = await created_indexes(database, entry.collection, entry.names("names"))
    return {**found, "created": list(entry.names("names"))}


async def _writes(session: LeasedSession, entry: JournalEntry) -> list[Mapping[str, Any]]:
    """Say which writes are there; any other may yet be made."""
    there = await presence_of(session.database, entry.writes(), comment=session.comment)
    return [
        {**stored, "certain": False} if presence is Presence.ABSENT else dict(stored)
        for stored, presence in zip(entry.stored_writes(), there, strict=True)
    ]
