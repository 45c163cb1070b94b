"""Writing and deleting the documents of users, together where the server has transactions.

Elsewhere they are written in an order in which an interruption leaves nothing that refers to
something missing, and deleted in the other order.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import bson
import xxhash
from bson import Binary
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.users import Insert, SetMissing
from newbi_migrate.server_codes import Code
from newbi_migrate.store.connection import DURABLE, SIMPLE_COLLATION, client_session
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import UserWrite, digest_of_document, digests_of_fields
from newbi_migrate.store.raw import MAX_DOCUMENT_BYTES, Element, element_at, element_of
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import precondition
from newbi_migrate.store.undo import held_as_written, read_stored, update_back
from newbi_migrate.store.zero_timestamps import ZERO_ALONE, with_zeros, zeros_to_set

__all__ = [
    "BACKWARDS",
    "Deletion",
    "Presence",
    "Together",
    "WrittenUsers",
    "empty_fields",
    "presence_of",
    "set_zeros_left",
    "take_back",
    "writing_together",
]

BACKWARDS: Final = TARGET_COLLECTIONS[::-1]
"""The collections in which documents are created for users, in the order of their deletion."""

# Seconds between attempts of a transaction that the application's own writes got in the way of.
_CONFLICT_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
_ZERO_DIGEST: Final = digests_of_fields(ZERO_ALONE)[1]
_T = TypeVar("_T")


# -- writing -----------------------------------------------------------------------------------


@dataclass(slots=True)
class WrittenUsers:
    """What was written for some users.

    Attributes:
        created: Collection to the number of documents created.
        filled: Collection to the number of documents in which fields were filled.
        skipped: What was not filled, because the document was changed since it was read.
    """

    created: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    skipped: list[SetMissing] = field(default_factory=list)


class Together:
    """Writer of documents that are all there or none, where the server has transactions.

    Args:
        leased: The leased session.
        transactions: The client's session; ``None`` on a server without transactions.

    Attributes:
        created: Collection to how many documents the last write created there: the first ones, if
            one was refused.
    """

    def __init__(self, leased: LeasedSession, transactions: AsyncClientSession | None) -> None:
        self._leased = leased
        self._transactions = transactions
        self.created: Counter[str] = Counter()

    @property
    def id(self) -> Binary | None:
        """Id by which whoever resumes ends a transaction of a client that died; else ``None``."""
        return None if self._transactions is None else self._transactions.session_id["id"]

    async def write(self, writes: Sequence[Insert | SetMissing]) -> WrittenUsers | None:
        """Write; ``None`` if the server refused one of the documents.

        Then nothing is written in a transaction, and elsewhere perhaps a part.

        Raises:
            NewbiMigrateError: The session stopped it.
            pymongo.errors.PyMongoError: The server failed; what was written is unknown.
        """
        try:
            return await self._together(partial(self._send, writes))
        except DocumentTooLarge:
            return None
        except OperationFailure as error:
            if not refuses_documents(error):
                raise
            return None

    async def delete_unchanged(self, documents: Sequence[Deletion]) -> Counter[str] | None:
        """Delete documents; ``None``, and none, if one of them is no longer as it was read.

        One that is gone already is passed over. What refers to a document goes before it.

        Returns:
            Collection to the number of documents deleted.

        Raises:
            NewbiMigrateError: The session stopped it.
            pymongo.errors.PyMongoError: The server failed; what was deleted is unknown.
        """
        gone: list[tuple[Deletion, bytes]] = []
        try:
            return await self._together(
                partial(_delete, self._leased, documents, self._transactions, gone)
            )
        except _ChangedMeanwhileError:
            if self._transactions is None:
                await _put_back(self._leased, gone)
            return None

    async def _together(self, send: Callable[[], Awaitable[_T]]) -> _T:
        """Write in a transaction, where there are any; a few conflicts with others are sat out."""
        if self._transactions is None:
            return await send()
        pauses = iter(_CONFLICT_PAUSES)
        while True:
            try:
                async with await self._transactions.start_transaction(write_concern=DURABLE):
                    done = await send()
                    self._leased.safe_point()
            except OperationFailure as error:
                pause = next(pauses, None)
                if error.code != Code.WRITE_CONFLICT or pause is None:
                    raise
            else:
                return done
            await asyncio.sleep(pause)

    async def _send(self, writes: Sequence[Insert | SetMissing]) -> WrittenUsers:
        done = WrittenUsers()
        self.created = done.created
        for name in TARGET_COLLECTIONS:
            here = [write for write in writes if write.collection == name]
            inserts = [bson.encode(write.document) for write in here if isinstance(write, Insert)]
            if inserts:
                try:
                    await _insert(self._leased, name, inserts, self._transactions)
                except BulkWriteError as error:
                    # They are sent in order, and none after the one that is refused.
                    done.created[name] = (error.details or {}).get("nInserted", 0)
                    raise
                done.created[name] = len(inserts)
                await _set_zeros(self._leased, name, inserts, self._transactions)
            for write in here:
                if isinstance(write, SetMissing):
                    await self._fill(write, done)
        return done

    async def _fill(self, fill: SetMissing, done: WrittenUsers) -> None:
        as_read = {path: precondition(fill.stored.get(path)) for path in fill.values}
        result = await self._leased.collection(fill.collection).update_one(
            {"_id": {"$eq": fill.id}, **as_read},
            {"$set": dict(fill.values)},
            collation=SIMPLE_COLLATION,
            session=self._transactions,
            comment=self._leased.comment,
        )
        if result.modified_count:
            done.filled[fill.collection] += 1
        else:
            done.skipped.append(fill)


async def _insert(
    leased: LeasedSession,
    name: str,
    documents: Sequence[bytes],
    session: AsyncClientSession | None,
) -> None:
    """Insert documents, one after the other up to the first that is refused."""
    if max(map(len, documents)) > MAX_DOCUMENT_BYTES:
        # Driver and server would refuse it each in a way of its own.
        raise DocumentTooLarge(name)
    await leased.collection(name).insert_many(
        [RawBSONDocument(raw) for raw in documents], session=session, comment=leased.comment
    )


async def _set_zeros(
    leased: LeasedSession,
    name: str,
    documents: Sequence[bytes],
    session: AsyncClientSession | None,
) -> None:
    """Set the timestamps of zero of inserted documents: the server wrote the present for them."""
    zeros: list[UpdateOne] = []
    for raw in documents:
        # In a field that no update can name, the present stays.
        with suppress(ValueError):
            zeros += [UpdateOne(one["q"], one["u"]) for one in zeros_to_set(raw)]
    if zeros:
        await leased.collection(name).bulk_write(zeros, session=session, comment=leased.comment)


async def set_zeros_left(leased: LeasedSession, writes: Sequence[UserWrite]) -> None:
    """Set the timestamps of zero that a process that stopped after its insert had not set yet.

    Else the document would look as if somebody had changed it since.
    """
    created = [w for w in writes if w.inserts and _ZERO_DIGEST in w.fields.values()]
    stored = await _documents_of(leased.database, created, leased.comment)
    left: dict[str, list[bytes]] = defaultdict(list)
    for write, raw in zip(created, stored, strict=True):
        if raw is None or digest_of_document(raw) == write.digest:
            continue
        wanted = with_zeros(raw, {n for n, found in write.fields.items() if found == _ZERO_DIGEST})
        if digest_of_document(wanted) == write.digest:
            left[write.collection].append(wanted)
    for name, documents in left.items():
        await _set_zeros(leased, name, documents, None)


@asynccontextmanager
async def writing_together(leased: LeasedSession) -> AsyncIterator[Together]:
    """What writes documents together, where the server can."""
    if not leased.server.has_transactions:
        yield Together(leased, None)
        return
    async with client_session(leased.database) as transactions:
        yield Together(leased, transactions)


# -- what is there of what was written ---------------------------------------------------------


class Presence(Enum):
    """What is there of a write."""

    ABSENT = auto()
    """The document is not there, or lacks what was filled in."""
    CHANGED = auto()
    """A document was created, and one with its ``_id`` is there that holds something else."""
    INTACT = auto()
    """It is as it was written."""


async def presence_of(
    database: Database, writes: Sequence[UserWrite], *, comment: str
) -> list[Presence]:
    """What is there now of some writes, in their order."""
    return [
        Presence.ABSENT if raw is None else _presence(write, raw)
        for write, raw in zip(writes, await _documents_of(database, writes, comment), strict=True)
    ]


async def take_back(leased: LeasedSession, writes: Sequence[UserWrite]) -> None:
    """Delete what was created and empty what was filled, where it is as it was written.

    What refers to a document goes before it. A document that the server will not have without
    what was filled in stays as it is.
    """
    for name in BACKWARDS:
        here = [write for write in writes if write.collection == name]
        stored = await _documents_of(leased.database, here, leased.comment)
        operations = [
            _delete_as_read(write.id, raw) if write.inserts else _empty(write)
            for write, raw in zip(here, stored, strict=True)
            if raw is not None and _presence(write, raw) is Presence.INTACT
        ]
        if not operations:
            continue
        try:
            await leased.collection(name).bulk_write(
                operations, ordered=False, comment=leased.comment
            )
        except OperationFailure as error:
            if not refuses_documents(error):
                raise


def _presence(write: UserWrite, raw: bytes) -> Presence:
    if write.inserts:
        intact = digest_of_document(raw) == write.digest
        return Presence.INTACT if intact else Presence.CHANGED
    held = all(element_at(raw, path) == element_of(v) for path, v in write.values.items())
    return Presence.INTACT if held else Presence.ABSENT


async def _documents_of(
    database: Database, writes: Sequence[UserWrite], comment: str
) -> list[bytes | None]:
    found: dict[tuple[str, bytes], bytes] = {}
    for name in TARGET_COLLECTIONS:
        ids = [write.id for write in writes if write.collection == name]
        if ids:
            stored = await read_stored(database[name], ids, comment=comment)
            found.update({(name, key): raw for key, raw in stored.items()})
    return [found.get((write.collection, id_key(write.id))) for write in writes]


def _empty(write: UserWrite) -> UpdateOne:
    return UpdateOne(
        {"_id": {"$eq": write.id}, **held_as_written(write.values)},
        update_back(write.values, write.prior),
        collation=SIMPLE_COLLATION,
    )


# -- deleting ----------------------------------------------------------------------------------


class Deletion(Protocol):
    """A document that is to be deleted, if it is as it was read."""

    @property
    def collection(self) -> str:
        """Where it is."""
        ...

    @property
    def id(self) -> Any:
        """Its ``_id``."""
        ...

    @property
    def digest(self) -> bytes:
        """XXH3 of its bytes as they were read, 64 bits."""
        ...


class _ChangedMeanwhileError(Exception):
    """A document was changed between reading and deleting it."""


def _delete_as_read(identifier: Any, raw: bytes) -> DeleteOne:
    """The statement that deletes a document if it is, byte for byte, as it was read."""
    as_read = {"$eq": ["$$ROOT", {"$literal": RawBSONDocument(raw)}]}
    return DeleteOne({"_id": {"$eq": identifier}, "$expr": as_read}, collation=SIMPLE_COLLATION)


async def _delete(
    leased: LeasedSession,
    documents: Sequence[Deletion],
    session: AsyncClientSession | None,
    gone: list[tuple[Deletion, bytes]],
) -> Counter[str]:
    going: dict[str, list[tuple[Deletion, bytes]]] = {}
    for name in BACKWARDS:
        here = [document for document in documents if document.collection == name]
        stored = await _stored(leased, name, here)
        going[name] = [
            (document, raw)
            for document in here
            if (raw := stored.get(id_key(document.id))) is not None
        ]
        if any(xxhash.xxh3_64_digest(raw) != document.digest for document, raw in going[name]):
            raise _ChangedMeanwhileError
    deleted: Counter[str] = Counter()
    for name, here_and_raw in going.items():
        if not here_and_raw:
            continue
        result = await leased.collection(name).bulk_write(
            [_delete_as_read(document.id, raw) for document, raw in here_and_raw],
            ordered=False,
            session=session,
            comment=leased.comment,
        )
        gone += here_and_raw
        if result.deleted_count < len(here_and_raw):
            raise _ChangedMeanwhileError
        deleted[name] += result.deleted_count
    return deleted


async def _put_back(leased: LeasedSession, gone: Sequence[tuple[Deletion, bytes]]) -> None:
    # What is gone may have been deleted by whoever took this rollback over.
    await leased.lease.renew()
    for name in TARGET_COLLECTIONS:
        here = [(document, raw) for document, raw in gone if document.collection == name]
        there = await _stored(leased, name, [document for document, _ in here])
        lost = [raw for document, raw in here if id_key(document.id) not in there]
        if lost:
            await _insert(leased, name, lost, None)
            await _set_zeros(leased, name, lost, None)


async def _stored(
    leased: LeasedSession, name: str, documents: Sequence[Deletion]
) -> dict[bytes, bytes]:
    ids = [document.id for document in documents]
    return await read_stored(leased.database[name], ids, comment=leased.comment)


async def empty_fields(
    leased: LeasedSession,
    collection: str,
    identifier: Any,
    now: Mapping[str, Element | None],
    prior: Mapping[str, Element],
) -> bool | None:
    """Give fields that were filled their prior values, if they hold what they held when read.

    Args:
        leased: The leased session.
        collection: Where.
        identifier: ``_id`` of the document.
        now: Path to what it holds; ``None`` where the field is absent.
        prior: Path to what stood there; other paths were absent.

    Returns:
        Whether the document was changed; ``None`` if the server refused it.
    """
    held = {path: precondition(element) for path, element in now.items()}
    try:
        result = await leased.collection(collection).update_one(
            {"_id": {"$eq": identifier}, **held},
            update_back(now, prior),
            collation=SIMPLE_COLLATION,
            comment=leased.comment,
        )
    except OperationFailure as error:
        if not refuses_documents(error):
            raise
        return None
    return bool(result.modified_count)
