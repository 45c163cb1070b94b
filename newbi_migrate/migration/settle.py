"""After an interruption: finding out what the dead run had really written.

An entry of the journal that is still pending may have been carried out in full, in part or not
at all. The documents tell, and the entry is corrected to say what is true. It changes when the
journal gets a further kind of entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.progress import Progress
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import administration
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import EntryKind, EntryState, Journal, JournalGroup
from newbi_migrate.store.stamping import holding, unexpected

__all__ = ["created_indexes", "settle", "wait_for_statements"]

_LOOK_EVERY: Final = 0.5


async def wait_for_statements(
    database: AsyncDatabase[dict[str, Any]],
    comment: str,
    progress: Progress,
    *,
    safe_point: Callable[[], None] = lambda: None,
) -> None:
    """Waits until the server has finished what a dead client had asked for.

    A server goes on with the statement of a client that was killed. Statements are found by
    their comment; only the current user's own operations can be seen without a privilege.
    ``safe_point`` is called while waiting and raises to stop.
    """
    told = False
    while True:
        pipeline: list[Mapping[str, Any]] = [
            {"$currentOp": {"allUsers": False, "idleConnections": False}},
            {"$match": {"command.comment": comment, "active": True}},
            {"$match": {"command.aggregate": {"$ne": 1}}},
            {"$limit": 1},
        ]
        try:
            cursor = await administration(database).aggregate(pipeline)
            async with cursor:
                running = [operation async for operation in cursor]
        except OperationFailure as error:
            if error.code == Code.UNAUTHORIZED:
                # Without that privilege we cannot look; statements are guarded all the same.
                return
            raise
        if not running:
            return
        if not told:
            progress.note("The server is still finishing a statement of the interrupted run.")
            told = True
        safe_point()
        await asyncio.sleep(_LOOK_EVERY)


async def settle(
    database: AsyncDatabase[dict[str, Any]],
    journal: Journal,
    *,
    comment: str,
    safe_point: Callable[[], None] = lambda: None,
) -> int:
    """Corrects every pending entry to what was really written; gives their number.

    Args:
        database: Where the run worked.
        journal: Its journal.
        comment: Attached to every command.
        safe_point: Called before every write; raises to stop there.
    """
    pending = [entry async for entry in journal.entries(EntryState.PENDING)]
    for entry in pending:
        safe_point()
        if entry.kind is EntryKind.WINDOW:
            collection = database[entry.collection]
            written: list[JournalGroup] = []
            for group in entry.groups():
                held = await holding(collection, group, comment=comment)
                if held:
                    written.append(JournalGroup(group.changes, group.prior, list(held)))
            beside = entry.beside()
            if beside is not None:
                groups = entry.groups()
                known = beside.union(*(group.ids for group in groups))
                written += await unexpected(collection, groups, known, comment=comment)
            await journal.applied_window(entry.seq, written, comment=comment)
        elif entry.kind is EntryKind.USERS:
            await _end_transaction(database, entry.body)
            await journal.applied(
                entry.seq, {"writes": await _users(database, entry.body)}, comment=comment
            )
        elif entry.kind is EntryKind.INDEX:
            await journal.applied(
                entry.seq, await _indexes(database, entry.collection, entry.body), comment=comment
            )
        else:
            there = await database.list_collection_names(
                filter={"name": entry.collection}, comment=comment
            )
            await journal.applied(entry.seq, {"created": list(there)}, comment=comment)
    return len(pending)


async def _end_transaction(
    database: AsyncDatabase[dict[str, Any]], body: Mapping[str, Any]
) -> None:
    """Ends a transaction that its client left open, and waits for one that is being committed.

    The server would keep it for a minute, and the documents it wrote locked.
    """
    if "session" in body:
        await administration(database).command("killSessions", [{"id": body["session"]}])


async def created_indexes(
    database: AsyncDatabase[dict[str, Any]], collection: str, names: Collection[str]
) -> dict[str, Any]:
    """What the journal says of indexes that were created: those that are there, as they are."""
    stored = [i for i in await read_indexes(database, collection) if i["name"] in names]
    return {"created": [index["name"] for index in stored], "specifications": stored}


async def _indexes(
    database: AsyncDatabase[dict[str, Any]], collection: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    if "dropped" not in body:
        return await created_indexes(database, collection, body["names"])
    present = {index["name"] for index in await read_indexes(database, collection)}
    return {"dropped": [index for index in body["dropped"] if index["name"] not in present]}


async def _users(
    database: AsyncDatabase[dict[str, Any]], body: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    for write in body["writes"]:
        query: dict[str, Any] = {"_id": write["id"]}
        if write["op"] == "fill":
            query.update({path: {"$eq": value} for path, value in write["values"]})
        if await database[write["collection"]].find_one(query, {"_id": 1}) is not None:
            kept.append(write)
    return kept
