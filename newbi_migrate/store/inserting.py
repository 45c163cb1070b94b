"""Inserting batches of raw documents, as fast as the server takes them, and never twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.write_concern import WriteConcern

from newbi_migrate.errors import DamagedBackupError, DatabaseMovedOnError, UnsupportedError
from newbi_migrate.masking import shown_id
from newbi_migrate.server_codes import Code
from newbi_migrate.store.decoding import ANSWER
from newbi_migrate.store.digest import spans, without_fields
from newbi_migrate.store.faults import codes_of, is_out_of_space, is_transient, name_of
from newbi_migrate.store.ids import decode_id, id_key_of, split_id
from newbi_migrate.store.raw import OBJECT_ID, Element, element, one_of_stored
from newbi_migrate.store.reading import MAX_IDS, chunks, matching
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.zero_timestamps import equal_but_for_zeros, zeros_to_set

__all__ = ["Batch", "Inserter", "Receiving", "how_to_leave_out", "with_ids"]

# Each collection is followed by a durable record, which waits for all that was written before it;
# then it is counted, and after an error all of it is looked at again.
_FAST: Final = WriteConcern(w=1)
# A message holds 48 MB and 100,000 documents; the driver takes a sequence for one document.
_MOST_BYTES: Final = 15 << 20
_MOST_DOCUMENTS: Final = 50_000
# What the server says of bytes that are no BSON, or nested deeper than it reads.
_UNREADABLE: Final = frozenset({Code.INVALID_BSON, Code.OVERFLOW})


class Receiving(Protocol):
    """A collection that receives the documents of a dump."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def namespace(self) -> str:
        """The collection its documents belong to: the buckets of a time series."""
        ...

    @property
    def restored_as(self) -> str:
        """The name it is filled under beside the collection it is to replace; else empty."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """As ``create`` takes them."""
        ...


class _Sequence(RawBSONDocument):
    """Documents that stand one after the other, as a message carries them.

    The driver copies what ``raw`` gives into the message. Handing it a whole batch spares it,
    and us, the work of taking the batch apart: most of what a restore costs the client.
    """

    # The base class would refuse bytes that hold more than one document.
    def __init__(self, batch: bytes) -> None:
        super().__init__(_EMPTY)
        self._batch = batch

    @property
    def raw(self) -> bytes:
        """All of them."""
        return self._batch


_EMPTY: Final = b"\x05\0\0\0\0"
_ID_NAME: Final = b"_id\0"


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents to insert, each with its ``_id``.

    Attributes:
        raw: One after the other.
        count: How many they are.
    """

    raw: bytes
    count: int


def with_ids(raw: bytes, collection: str, *, first: int) -> Batch:
    """A batch in which each document begins with an ``_id``, as a server of today stores it.

    Old servers kept documents without one. Theirs follow from their places in the dump, so that
    a restore that goes on knows them again.

    Args:
        raw: Whole documents, one after the other.
        collection: Name of their collection.
        first: How many documents of the collection stand before them in the dump.
    """
    found = list(spans(raw))
    if all(raw[start + 5 : start + 9] == _ID_NAME for start, _ in found):
        return Batch(raw, len(found))
    documents = [raw[start:end] for start, end in found]
    for number, document in enumerate(documents):
        if document[5:9] != _ID_NAME:
            name = f"{collection}/{first + number}".encode()
            derived = OBJECT_ID, hashlib.blake2b(name, digest_size=12).digest()
            kind, value = element(document, "_id") or derived
            body = bytes([kind]) + _ID_NAME + value + without_fields(document, ["_id"])[4:]
            documents[number] = (len(body) + 4).to_bytes(4, "little") + body
    return Batch(b"".join(documents), len(documents))


class Inserter:
    """Inserter of documents into collections that no one else writes to.

    Args:
        session: The leased session, allowed to write to them.
    """

    def __init__(self, session: LeasedSession) -> None:
        self._session = session

    async def insert(self, collection: Receiving, batch: Batch, *, perhaps_there: bool) -> None:
        """Insert a batch.

        Args:
            collection: The collection, as the dump has it.
            batch: Its documents.
            perhaps_there: Whether some may be there already, from a restore that was stopped.

        Raises:
            DamagedBackupError: A document is none that a server reads, or two have one ``_id``.
            DatabaseMovedOnError: A document with the same ``_id`` is there, with other bytes.
            LeaseLostError: The lease is no longer surely held; nothing was sent.
            pymongo.errors.PyMongoError: The server failed; what was written is unknown, and not
                only of this batch.
        """
        await self._insert(collection, batch, perhaps_there=perhaps_there)
        await self._set_zeros(collection, batch)

    async def _set_zeros(self, collection: Receiving, batch: Batch) -> None:
        """Put timestamps of zero back, in place of which the server wrote the present."""
        try:
            updates = zeros_to_set(batch.raw)
        except ValueError as error:
            raise _unable_to_set(collection, f"a timestamp of zero in the field {error}") from None
        if not updates:
            return
        answer = await self._send(
            collection, {"update": collection.namespace, "updates": updates, "ordered": False}
        )
        if answer.get("writeErrors"):
            raise _unable_to_set(collection, "timestamps of zero")

    async def _send(self, collection: Receiving, command: dict[str, Any]) -> Mapping[str, Any]:
        command |= {"comment": self._session.comment, "writeConcern": _FAST.document}
        if _needs_bypass(collection):
            command["bypassDocumentValidation"] = True
        self._session.allow(collection.namespace)
        self._session.safe_point()
        answer = await self._session.database.command(command, codec_options=ANSWER)
        failed = BulkWriteError({"writeErrors": [*answer.get("writeErrors", ())]})
        if is_transient(failed) or is_out_of_space(failed):
            # It is not about the documents.
            raise failed
        return answer

    async def _insert(self, collection: Receiving, batch: Batch, *, perhaps_there: bool) -> None:
        large = len(batch.raw) > _MOST_BYTES or batch.count > _MOST_DOCUMENTS
        if perhaps_there or large:
            await self._one_by_one(collection, batch, perhaps_there=perhaps_there)
            return
        command = {
            "insert": collection.namespace,
            "documents": [_Sequence(batch.raw)],
            "ordered": _keeps_order(collection),
        }
        try:
            answer = await self._send(collection, command)
        except OperationFailure as error:
            if error.code not in _UNREADABLE:
                raise
            raise DamagedBackupError(
                f"The backup holds a document of {collection.name!r} that no server reads: "
                f"{name_of(error)}.",
                next_step=how_to_leave_out(collection),
                collection=collection.name,
            ) from error
        if answer.get("n") != batch.count:
            _refuse_repeated(collection, _documents(batch))
            self._refuse(collection, answer)
            await self._one_by_one(collection, batch, perhaps_there=True)

    @staticmethod
    def _refuse(collection: Receiving, answer: Mapping[str, Any]) -> None:
        """Fail where the server refused documents for another reason than that they are there."""
        codes = {one.get("code") for one in answer.get("writeErrors", ())}
        if Code.DOCUMENT_VALIDATION_FAILURE in codes:
            raise UnsupportedError(
                f"A validator refuses documents of {collection.name!r}: somebody has put it there "
                "since the restore made the collection.",
                next_step="Stop whoever works there, take it off (collMod with validator: {}), and "
                "run the same command again.",
                collection=collection.name,
            )
        if codes - {Code.DUPLICATE_KEY} or (codes and _keeps_order(collection)):
            listed = ", ".join(sorted(map(str, codes)))
            raise UnsupportedError(
                f"The server refused documents of {collection.name!r} (code {listed}).",
                next_step="Restore to a server of the version it was backed up from, or later.",
                collection=collection.name,
            )

    async def _one_by_one(
        self, collection: Receiving, batch: Batch, *, perhaps_there: bool
    ) -> None:
        documents = _documents(batch)
        _refuse_repeated(collection, documents)
        if perhaps_there:
            documents = await self._absent(collection, documents)
        if not documents:
            return
        try:
            target = collection.namespace
            await (
                self._session.collection(target)
                .with_options(write_concern=_FAST)
                .insert_many(
                    documents,
                    ordered=_keeps_order(collection),
                    bypass_document_validation=True if _needs_bypass(collection) else None,
                    comment=self._session.comment,
                )
            )
        except BulkWriteError as error:
            if codes_of(error) != {Code.DUPLICATE_KEY} or _keeps_order(collection):
                if not is_transient(error) and not is_out_of_space(error):
                    self._refuse(collection, error.details or {})
                raise
            # They came meanwhile, by a statement whose answer was lost, or from somebody else.
            rest = await self._absent(collection, documents)
            if rest:
                raise _conflict(collection, rest[0]) from None

    async def _absent(
        self, collection: Receiving, documents: Sequence[RawBSONDocument]
    ) -> list[RawBSONDocument]:
        """Those that are not there yet; one that is there with other bytes is a conflict."""
        keys = {_key(document): document for document in documents}
        there = set()
        target = self._session.database[collection.namespace]
        for some in chunks(documents, MAX_IDS):
            # Asked for as they are: some ids the driver does not decode, or into others.
            query = {"_id": one_of_stored(_id_of(document) for document in some)}
            async for stored in matching(target, query, comment=self._session.comment):
                key = id_key_of(*split_id(stored)[:2])
                if not equal_but_for_zeros(stored, bytes(keys[key].raw)):
                    raise _conflict(collection, keys[key])
                there.add(key)
        return [document for key, document in keys.items() if key not in there]


def how_to_leave_out(collection: Receiving) -> str:
    """The next step where a collection can never be restored as the backup has it."""
    undo = "newbi-migrate rollback" if collection.restored_as else "db.dropDatabase() in mongosh"
    return (
        f"First remove what this restore has begun: {undo}. Then take another copy of the backup, "
        "or name all other collections with --collections."
    )


def _keeps_order(collection: Receiving) -> bool:
    return bool(collection.options.get("capped"))


def _needs_bypass(collection: Receiving) -> bool:
    # A role that may not bypass validation restores what needs no bypass.
    return "validator" in collection.options


def _documents(batch: Batch) -> list[RawBSONDocument]:
    return [RawBSONDocument(batch.raw[start:end]) for start, end in spans(batch.raw)]


def _id_of(document: RawBSONDocument) -> Element:
    return split_id(bytes(document.raw))[:2]


def _key(document: RawBSONDocument) -> bytes:
    return id_key_of(*_id_of(document))


def _refuse_repeated(collection: Receiving, documents: Sequence[RawBSONDocument]) -> None:
    """Fail where two documents have one ``_id``, of which a server keeps only one."""
    times = Counter(map(_key, documents))
    repeated = next((document for document in documents if times[_key(document)] > 1), None)
    if repeated is not None:
        identifier = decode_id(*_id_of(repeated))
        raise DamagedBackupError(
            f"The backup holds several documents of {collection.name!r} with the _id "
            f"{shown_id(identifier)}, of which a server keeps only one.",
            next_step=how_to_leave_out(collection),
            collection=collection.name,
            document_id=identifier,
        )


def _unable_to_set(collection: Receiving, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"The server replaces {what} of {collection.name!r} by the present, and does not take it "
        "back.",
        next_step=f"{how_to_leave_out(collection)} Restore that collection with mongorestore.",
        collection=collection.name,
    )


def _conflict(collection: Receiving, document: RawBSONDocument) -> DatabaseMovedOnError:
    identifier = decode_id(*_id_of(document))
    return DatabaseMovedOnError(
        f"{collection.name!r} holds another document with the _id {shown_id(identifier)}, which "
        "was not overwritten.",
        next_step="Stop whoever else writes there, and restore into an empty database; if nobody "
        f"does, the backup has that _id twice. {how_to_leave_out(collection)}",
        collection=collection.name,
        document_id=identifier,
    )
