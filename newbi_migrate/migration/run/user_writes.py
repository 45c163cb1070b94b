"""What an entry of the journal for users wrote: what is there of it, and how it is taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import xxhash
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from newbi_migrate.models.better_auth import TARGET_COLLECTIONS
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import EntryKind, Journal, JournalEntry, UserWrite
from newbi_migrate.store.raw import element_at, element_of
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.undo import read_stored, update_back

__all__ = ["Presence", "presence_of", "take_back", "take_back_partly_written"]


class Presence(Enum):
    """What is there of a write."""

    ABSENT = auto()
    """The document is not there, or lacks what was filled in."""
    CHANGED = auto()
    """A document was created, and one with its ``_id`` is there that holds something else."""
    INTACT = auto()
    """It is as it was written."""


async def presence_of(
    database: AsyncDatabase[dict[str, Any]], writes: Sequence[UserWrite], *, comment: str
) -> list[Presence]:
    """What is there now of some writes, in their order."""
    return [
        Presence.ABSENT if raw is None else _presence(write, raw)
        for write, raw in zip(writes, await _stored(database, writes, comment), strict=True)
    ]


async def take_back(session: LeasedSession, writes: Sequence[UserWrite]) -> None:
    """Delete what was created and empty what was filled, where it is as it was written.

    What refers to a document goes before it.
    """
    for name in reversed(TARGET_COLLECTIONS):
        here = [write for write in writes if write.collection == name]
        stored = await _stored(session.database, here, session.comment)
        operations = [
            _delete(write, raw) if write.inserts else _empty(write)
            for write, raw in zip(here, stored, strict=True)
            if raw is not None and _presence(write, raw) is Presence.INTACT
        ]
        if not operations:
            continue
        try:
            await session.collection(name).bulk_write(
                operations, ordered=False, comment=session.comment
            )
        except BulkWriteError as error:
            # A document that the server will not have without what was filled in stays as it is.
            if not refuses_documents(error):
                raise


async def take_back_partly_written(session: LeasedSession, journal: Journal) -> None:
    """Take back the users of whom a process that stopped had written a part.

    What was written in a transaction is all there or none. Elsewhere the server may have refused
    the rest, and the process died before it took the beginning back. A user of whom somebody
    changed a document since stays, to be completed.
    """
    for entry in await journal.uncertain():
        if entry.kind is EntryKind.USERS and entry.session_id is None:
            await _take_back_partly_written(session, journal, entry)


async def _take_back_partly_written(
    session: LeasedSession, journal: Journal, entry: JournalEntry
) -> None:
    writes = entry.writes()
    presences = await presence_of(session.database, writes, comment=session.comment)
    of_user: dict[bytes, list[int]] = defaultdict(list)
    for position, write in enumerate(writes):
        of_user[id_key(write.user)].append(position)
    partly = {
        position
        for positions in of_user.values()
        if {presences[position] for position in positions} == {Presence.ABSENT, Presence.INTACT}
        and not all(writes[position].certain for position in positions)
        for position in positions
    }
    if not partly:
        return
    # Noted first: what is to be deleted is not to be taken for what somebody else deleted.
    stored = [
        {**write, "certain": False} if position in partly else write
        for position, write in enumerate(entry.stored_writes())
    ]
    await journal.revise(entry.seq, {"writes": stored})
    await take_back(session, [writes[position] for position in sorted(partly)])


def _presence(write: UserWrite, raw: bytes) -> Presence:
    if write.inserts:
        intact = xxhash.xxh3_128_hexdigest(raw) == write.digest
        return Presence.INTACT if intact else Presence.CHANGED
    held = all(element_at(raw, path) == element_of(v) for path, v in write.values.items())
    return Presence.INTACT if held else Presence.ABSENT


async def _stored(
    database: AsyncDatabase[dict[str, Any]], writes: Sequence[UserWrite], comment: str
) -> list[bytes | None]:
    found: dict[tuple[str, bytes], bytes] = {}
    for name in TARGET_COLLECTIONS:
        ids = [write.id for write in writes if write.collection == name]
        if ids:
            stored = await read_stored(database[name], ids, comment=comment)
            found.update({(name, key): raw for key, raw in stored.items()})
    return [found.get((write.collection, id_key(write.id))) for write in writes]


def _delete(write: UserWrite, raw: bytes) -> DeleteOne:
    as_read = {"$eq": ["$$ROOT", {"$literal": RawBSONDocument(raw)}]}
    return DeleteOne({"_id": {"$eq": write.id}, "$expr": as_read}, collation=SIMPLE_COLLATION)


def _empty(write: UserWrite) -> UpdateOne:
    held = {path: {"$eq": value} for path, value in write.values.items()}
    return UpdateOne(
        {"_id": {"$eq": write.id}, **held},
        update_back(write.values, write.prior),
        collation=SIMPLE_COLLATION,
    )
