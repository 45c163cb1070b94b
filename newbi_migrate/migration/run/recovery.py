"""Recover what a process that stopped had left: find out what it had really written.

An entry of the journal that is still pending may have been carried out in full, in part, not at
all, or may yet be: a process that was suspended, or only seemed dead, can still send its statement.
What the documents show is marked as written; the rest stays in the entry as perhaps written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DamagedRecordsError
from newbi_migrate.progress import Progress
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import administration
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

__all__ = [
    "created_indexes",
    "read_whole_runs",
    "recover",
    "refuse_forged",
    "refuse_lost_records",
    "wait_for_statements",
    "write_targets",
]

_LOOK_EVERY: Final = 0.5


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


def refuse_forged(entry: JournalEntry, run: RunRecord, targets: Collection[str]) -> None:
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


async def read_whole_runs(database: AsyncDatabase[dict[str, Any]]) -> list[RunRecord]:
    """All runs, the newest first, whose records and journals are whole.

    Raises:
        DamagedRecordsError: Somebody dropped or changed what runs left.
    """
    runs = await read_runs(database)
    await refuse_lost_records(database, runs)
    return runs


async def refuse_lost_records(
    database: AsyncDatabase[dict[str, Any]], runs: Sequence[RunRecord]
) -> None:
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
    database: AsyncDatabase[dict[str, Any]], collection: str, names: Collection[str]
) -> dict[str, Any]:
    """What the journal says of indexes that were created: those that are there, as they are."""
    stored = [i for i in await read_indexes(database, collection) if i["name"] in names]
    return {"created": [index["name"] for index in stored], "specifications": stored}


async def wait_for_statements(
    database: AsyncDatabase[dict[str, Any]],
    runs: Collection[ObjectId],
    progress: Progress,
    safe_point: Callable[[], None],
) -> None:
    """Wait until the server has finished what dead clients had asked for.

    A server goes on with the statement of a client that was killed. Statements are found by
    their comment; only the current user's own operations can be seen without a privilege.

    Args:
        database: The database.
        runs: The runs whose statements are waited for, whatever became of them.
        progress: Told if there is something to wait for.
        safe_point: Called before each further look; what it raises ends the waiting.
    """
    comments = [str(run_id) for run_id in runs]
    told = False
    while await _statement_running(database, comments):
        if not told:
            progress.note("The server is still finishing a statement of a run that stopped.")
            told = True
        safe_point()
        await asyncio.sleep(_LOOK_EVERY)


async def _statement_running(
    database: AsyncDatabase[dict[str, Any]], comments: Sequence[str]
) -> bool:
    pipeline: list[Mapping[str, Any]] = [
        {"$currentOp": {"allUsers": False, "idleConnections": False}},
        {"$match": {"command.comment": {"$in": comments}, "active": True}},
        {"$match": {"command.aggregate": {"$ne": 1}}},
        {"$limit": 1},
    ]
    try:
        async with await administration(database).aggregate(pipeline) as cursor:
            return bool([operation async for operation in cursor])
    except OperationFailure as error:
        if error.code == Code.UNAUTHORIZED:
            # Without that privilege nobody can look; statements are guarded all the same, and
            # what they may still write stays in the journal.
            return False
        raise


async def _recover(session: LeasedSession, journal: Journal, entry: JournalEntry) -> None:
    database = session.database
    if entry.kind is EntryKind.WINDOW:
        groups = entry.groups()
        held = await holding(database[entry.collection], groups, comment=session.comment)
        await journal.recovered_window(entry.seq, [*held, *_perhaps(groups, held)])
    elif entry.kind is EntryKind.USERS:
        await _end_transaction(session, entry)
        await journal.recovered(entry.seq, {"writes": await _writes(database, entry)})
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
    there = await session.database.list_collection_names(
        filter={"name": entry.collection}, comment=session.comment
    )
    return {"created": list(there)} if there else {}


def _perhaps(
    groups: Sequence[JournalGroup], held: Sequence[JournalGroup]
) -> Iterator[JournalGroup]:
    """The documents that do not hold what is written to them, and may yet."""
    here = {id_key(identifier) for group in held for identifier in group.ids}
    for group in groups:
        rest = [identifier for identifier in group.ids if id_key(identifier) not in here]
        if rest:
            yield replace(group, ids=rest, certain=False)


async def _end_transaction(session: LeasedSession, entry: JournalEntry) -> None:
    """End a transaction that its client left open, and wait for one that is being committed.

    The server would keep it for a minute, and the documents it wrote locked.
    """
    if entry.session_id is not None:
        session.safe_point()
        admin = administration(session.database)
        await admin.command("killSessions", [{"id": entry.session_id}])


async def _indexes(database: AsyncDatabase[dict[str, Any]], entry: JournalEntry) -> dict[str, Any]:
    """Add what is there already; any other index may yet be built, or dropped."""
    if "dropped" in entry.body:
        return {}
    found = await created_indexes(database, entry.collection, entry.names("names"))
    return {**found, "created": list(entry.names("names"))}


async def _writes(
    database: AsyncDatabase[dict[str, Any]], entry: JournalEntry
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for write, stored in zip(entry.writes(), entry.stored_writes(), strict=True):
        query: dict[str, Any] = {"_id": write.id}
        query.update({path: {"$eq": value} for path, value in write.values.items()})
        there = await database[write.collection].find_one(query, {"_id": 1})
        found.append(dict(stored) if there is not None else {**stored, "certain": False})
    return found
