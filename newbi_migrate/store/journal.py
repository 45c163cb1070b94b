"""The write-ahead journal: what a run is about to write, and what stood there before.

An entry is stored, acknowledged by a majority and on disk, before the writes it describes, and
marked ``applied`` once they are confirmed. Entries of a run are numbered without a gap, and each
carries the number of the lease under which it was written. Whoever goes on after an interruption
begins with an entry of their own (:meth:`Journal.take_over`): the process before them, should it
still be alive, would need that very number for its next entry, and stops there.

An entry that was pending when its process stopped is never emptied. What the documents do not
show stays in it as perhaps written: a statement that is still on its way may write it later, and
a rollback then gives it back. Entries hold ids, prior values and digests; never a hash or a token.
Layout: docs/reference/run-records.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

import bson
import xxhash
from bson import CodecOptions, ObjectId
from bson.codec_options import DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError

from newbi_migrate.errors import DamagedRecordsError, LeaseLostError
from newbi_migrate.store.handles import Database
from newbi_migrate.store.raw import (
    MAX_DOCUMENT_BYTES,
    OBJECT_ID_SIZE,
    Element,
    ObjectIds,
    document_of,
    elements,
    elements_by_name,
    pack_ids,
    unpack_ids,
)
from newbi_migrate.store.session import LeasedSession

__all__ = [
    "JOURNAL",
    "MAX_ENTRY_BYTES",
    "MAX_PRIOR_BYTES",
    "EntryKind",
    "EntryState",
    "Journal",
    "JournalEntry",
    "JournalGroup",
    "JournalReader",
    "UserWrite",
    "digest_of_document",
    "digests_by_field",
    "digests_of_fields",
    "in_entries",
    "journaled_runs",
    "portions",
    "prior_list",
    "run_taken_over",
]

JOURNAL = "newbi_migrate_journal"

_DIGEST_BYTES: Final = 8
_T = TypeVar("_T")
_KINDS: Final = tuple(bytes([kind]) for kind in range(256))

MAX_ENTRY_BYTES: Final = 8 * 1024 * 1024
"""Bytes of groups, or of what is filled, in one entry: half of what a document may hold, since an
entry that turned out otherwise is written again with more groups of fewer ids."""

MAX_PRIOR_BYTES: Final = MAX_DOCUMENT_BYTES - 64 * 1024
"""Bytes of what stood in one document that an entry has room for, beside what it says of it."""

# What packed ids take beside themselves, and an element of an array beside its document.
_PACKED: Final = 32
# Greater than the number of any entry.
_NEVER: Final = 2**62

# Of a window. Whatever else stands there counts for nothing: reading it says what is wrong.
_DOCUMENTS: Final = {
    "$sum": {
        "$map": {
            "input": {"$cond": [{"$isArray": "$groups"}, "$groups", []]},
            "in": {
                "$switch": {
                    "branches": [
                        {
                            "case": {"$isArray": "$$this.ids"},
                            "then": {"$size": "$$this.ids"},
                        },
                        {
                            "case": {"$eq": [{"$type": "$$this.ids"}, "binData"]},
                            "then": {
                                "$trunc": {
                                    "$divide": [{"$binarySize": "$$this.ids"}, OBJECT_ID_SIZE]
                                }
                            },
                        },
                    ],
                    "default": 0,
                }
            },
        }
    }
}

# Read raw, so that prior values of any BSON type come back as they were stored.
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class EntryKind(StrEnum):
    """What an entry describes."""

    WINDOW = "window"
    USERS = "users"
    INDEX = "index"
    COLLECTION = "collection"
    TAKEOVER = "takeover"
    """A process begins to work on the run; nothing is written by this entry."""


class EntryState(StrEnum):
    """Whether the writes of an entry are known to have been made."""

    PENDING = "pending"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class JournalGroup:
    """Documents that are changed in the same way.

    Attributes:
        changes: Field to the value that is written.
        prior: What was read before it was decided, as a document whose elements are exactly
            what was stored; a field of ``changes`` that is not in it was absent.
        ids: The ids of the documents.
        certain: False where the documents did not hold the changes when a process that had
            stopped was looked after: its statement may still be on its way.
    """

    changes: Mapping[str, Any]
    prior: Mapping[str, Any]
    ids: Sequence[Any]
    certain: bool = True

    def prior_elements(self) -> dict[str, Element]:
        """Type and bytes of what stood there, by field; an absent field is not in it."""
        raw = (
            bytes(self.prior.raw)
            if isinstance(self.prior, RawBSONDocument)
            else bson.encode(self.prior)
        )
        return elements_by_name(raw)

    def to_document(self) -> dict[str, Any]:
        """The group as stored."""
        return {
            "set": dict(self.changes),
            "prior": self.prior,
            "ids": pack_ids(self.ids),
            **({} if self.certain else {"certain": False}),
        }

    def stored_size(self) -> int:
        """Bytes it takes in an entry, or a few more; found without packing the ids."""
        around = len(bson.encode({"set": dict(self.changes), "prior": self.prior}))
        if isinstance(self.ids, ObjectIds) or set(map(type, self.ids)) <= {ObjectId}:
            return around + _PACKED + OBJECT_ID_SIZE * len(self.ids)
        return around + _PACKED + len(bson.encode({"ids": self.ids}))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JournalGroup:
        """The group from its stored form.

        Raises:
            KeyError, TypeError, ValueError: It is not what this tool writes.
        """
        return cls(
            _mapping(document["set"]),
            _mapping(document["prior"]),
            unpack_ids(document["ids"]),
            document.get("certain", True) is not False,
        )


def portions(groups: Sequence[JournalGroup]) -> Iterator[list[JournalGroup]]:
    """The groups in their order, in portions that fit into one entry each.

    A group of too many ids is divided; what stood in a single document is not, so a portion of
    one document is as large as that.
    """
    return in_entries(_fitting(groups))


def in_entries(sized: Iterable[tuple[_T, int]]) -> Iterator[list[_T]]:
    """Items in their order, in portions that fit into one entry each, or of one item.

    Args:
        sized: Each item with the bytes that it takes in an entry.
    """
    portion: list[_T] = []
    held = 0
    for item, size in sized:
        if portion and held + size > MAX_ENTRY_BYTES:
            yield portion
            portion, held = [], 0
        portion.append(item)
        held += size
    if portion:
        yield portion


def _fitting(groups: Sequence[JournalGroup]) -> Iterator[tuple[JournalGroup, int]]:
    for group in groups:
        size = group.stored_size()
        if size > MAX_ENTRY_BYTES and len(group.ids) > 1:
            half = len(group.ids) // 2
            parts = [replace(group, ids=group.ids[:half]), replace(group, ids=group.ids[half:])]
            yield from _fitting(parts)
        else:
            yield group, size


def prior_list(stored: Mapping[str, Element]) -> list[RawBSONDocument]:
    """What stood in filled fields, in the form in which an entry for users holds it.

    Args:
        stored: Dotted path to BSON type and bytes.
    """
    return [
        document_of(*elements(bson.encode({"path": path})), ("value", *found))
        for path, found in stored.items()
    ]


@dataclass(frozen=True, slots=True)
class UserWrite:
    """One write to a Better Auth collection, as a ``users`` entry describes it.

    Attributes:
        op: ``insert`` or ``fill``.
        user: ``_id`` of the legacy user.
        collection: Where.
        id: ``_id`` of the document.
        digest: Digest of the document that was inserted.
        names: Names of its top-level fields, with a NUL between them, which no name holds.
        digests: Digests of the values of these fields, as :func:`digests_of_fields` makes them.
        values: Path to value of the fields that were filled.
        prior: Path to BSON type and bytes of what stood there; other paths were absent.
        certain: As for a :class:`JournalGroup`.
    """

    op: str
    user: Any
    collection: str
    id: Any
    digest: str = ""
    names: str = ""
    digests: bytes = b""
    values: Mapping[str, Any] = field(default_factory=dict)
    prior: Mapping[str, Element] = field(default_factory=dict)
    certain: bool = True

    @property
    def inserts(self) -> bool:
        """Whether a document was created, and not filled."""
        return self.op == "insert"

    @property
    def fields(self) -> dict[str, bytes]:
        """Name of each top-level field of the document that was inserted, to its digest."""
        return digests_by_field(self.names, self.digests)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> UserWrite:
        """The write from its stored form.

        Raises:
            KeyError, TypeError, ValueError: It is not what this tool writes.
        """
        names, digests = _text(stored.get("names", "")), stored.get("digests", b"")
        if not isinstance(digests, bytes):
            raise TypeError("bytes are expected")
        if len(digests) != (_DIGEST_BYTES * (names.count("\0") + 1) if names else 0):
            raise ValueError("a digest for each name is expected")
        return cls(
            op=_text(stored["op"]),
            user=stored["user"],
            collection=_text(stored["collection"]),
            id=stored["id"],
            digest=_text(stored.get("digest", "")),
            names=names,
            digests=digests,
            values={_text(path): value for path, value in stored.get("values", ())},
            prior=_prior_of(stored.get("prior", ())),
            certain=stored.get("certain", True) is not False,
        )


def digest_of_document(raw: bytes) -> str:
    """Digest of a document that was inserted: XXH3 of its bytes, 128 bits in hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(raw)


def digests_of_fields(raw: bytes) -> tuple[str, bytes]:
    """Names of the top-level fields of a document, and a digest of type and value of each.

    Raises:
        ValueError: The bytes are no BSON document.
    """
    names: list[str] = []
    digests: list[bytes] = []
    for name, kind, value in elements(raw):
        names.append(name)
        digests.append(xxhash.xxh3_64_digest(_KINDS[kind] + value))
    return "\0".join(names), b"".join(digests)


def digests_by_field(names: str, digests: bytes) -> dict[str, bytes]:
    """Each name to its digest, of what :func:`digests_of_fields` gives."""
    return {
        name: digests[_DIGEST_BYTES * at : _DIGEST_BYTES * (at + 1)]
        for at, name in enumerate(names.split("\0"))
    }


def _prior_of(stored: Sequence[RawBSONDocument]) -> dict[str, Element]:
    found: dict[str, Element] = {}
    for pair in stored:
        # Not decoded: an undefined would be a null.
        path, value = elements(bytes(pair.raw))
        found[bson.decode(document_of(path).raw)["path"]] = value[1:]
    return found


def _seq(identifier: Mapping[str, Any]) -> int:
    seq = identifier["seq"]
    if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq < _NEVER:
        raise TypeError("a number is expected")
    return int(seq)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("a document is expected")
    return value


def _list(value: Any) -> list[Any]:
    # Bytes and texts can be gone through as well.
    if not isinstance(value, list):
        raise TypeError("an array is expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry as read back.

    Attributes:
        run_id: The run.
        seq: Its number within the run, in order of writing.
        kind: What it describes.
        state: Whether its writes are known to have been made.
        collection: The collection written to; empty for ``users`` and ``takeover``.
        body: The rest of the document.
    """

    run_id: ObjectId
    seq: int
    kind: EntryKind
    state: EntryState
    collection: str
    body: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> JournalEntry:
        """The entry from its stored form.

        Raises:
            DamagedRecordsError: It is not what this tool writes.
        """
        with _readable(document.get("_id")):
            return cls(
                run_id=document["_id"]["run"],
                seq=_seq(document["_id"]),
                kind=EntryKind(document["kind"]),
                state=EntryState(document["state"]),
                collection=_text(document["collection"]),
                body=document,
            )

    def groups(self) -> tuple[JournalGroup, ...]:
        """The groups of a ``window`` entry.

        Raises:
            DamagedRecordsError: They are not what this tool writes, or name another number of
                documents than the entry counts.
        """
        with self._readable():
            found = tuple(map(JournalGroup.from_document, _list(self.body["groups"])))
            if sum(len(group.ids) for group in found) != self.body["count"]:
                raise ValueError("as many documents as are counted are expected")
            return found

    @property
    def is_repeat(self) -> bool:
        """Whether documents of a ``window`` may be in earlier entries of the run too."""
        return bool(self.body.get("repeat", False))

    def writes(self) -> tuple[UserWrite, ...]:
        """The writes of a ``users`` entry.

        Raises:
            DamagedRecordsError: They are not what this tool writes.
        """
        with self._readable():
            return tuple(map(UserWrite.of, _list(self.body["writes"])))

    def stored_writes(self) -> tuple[Mapping[str, Any], ...]:
        """The same in their stored form, to be stored again."""
        with self._readable():
            return tuple(_list(self.body["writes"]))

    def indexes(self, name: str) -> tuple[dict[str, Any], ...]:
        """Specifications of an ``index`` entry: ``specifications`` of those built, or ``dropped``.

        Raises:
            DamagedRecordsError: They are not what this tool writes.
        """
        with self._readable():
            stored = _list(self.body.get(name, []))
            found = tuple(bson.decode(bson.encode(index)) for index in stored)
            for index in found:
                _text(index["name"])
                _mapping(index["key"])
            return found

    def names(self, name: str) -> tuple[str, ...]:
        """Names that the entry holds under a name: ``names``, ``created``.

        Raises:
            DamagedRecordsError: They are not what this tool writes.
        """
        with self._readable():
            return tuple(map(_text, _list(self.body.get(name, []))))

    @property
    def renamed(self) -> str | None:
        """The name that a ``collection`` was given; ``None`` where it was not renamed."""
        with self._readable():
            return _text(self.body["renamed"]) if "renamed" in self.body else None

    @property
    def drops_collection(self) -> bool:
        """Whether a ``collection`` was dropped."""
        return self.kind is EntryKind.COLLECTION and "dropped" in self.body

    @property
    def session_id(self) -> Any:
        """The session of a ``users`` entry's transaction; ``None`` where there was none."""
        return self.body.get("session")

    def _readable(self) -> Any:
        return _readable({"run": self.run_id, "seq": self.seq})


@contextmanager
def _readable(identifier: Any) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, InvalidBSON) as error:
        raise DamagedRecordsError(
            f"An entry of the journal in {JOURNAL} is not what this tool wrote.",
            next_step="Nothing was written because of it. Restore the backup if the database "
            "cannot be trusted.",
            collection=JOURNAL,
            document_id=identifier,
        ) from error


class JournalReader:
    """The journal of one run, to read.

    Args:
        database: Where the run worked.
        run_id: The run.
    """

    def __init__(self, database: Database, run_id: ObjectId) -> None:
        self._stored = database.get_collection(JOURNAL, codec_options=_RAW)
        self._run_id = run_id

    async def length(self) -> int:
        """The number that the next entry gets."""
        last = await self._stored.find_one(self._mine(), {"_id": 1}, sort=[("_id", -1)])
        if last is None:
            return 0
        with _readable(last["_id"]):
            return _seq(last["_id"]) + 1

    async def require(self, entries: int) -> None:
        """Fail where the journal has a gap, or fewer entries than are known to have been written.

        Raises:
            DamagedRecordsError: It has.
        """
        least = max(entries, await self.length())
        found = await self._stored.count_documents(self._mine())
        if found < least:
            raise DamagedRecordsError(
                f"The journal of run {self._run_id} has {found} entries instead of {least}: "
                "somebody dropped or changed it.",
                next_step="Without it the run can be neither finished nor taken back completely. "
                "Restore the backup: newbi-migrate restore --drop BACKUP.",
                collection=JOURNAL,
            )

    async def count(self, kind: EntryKind) -> int:
        """How many entries of a kind there are."""
        return await self._stored.count_documents({**self._mine(), "kind": kind.value})

    async def count_documents(self, collections: Collection[str] | None = None) -> int:
        """How many documents the windows name, as often as they do.

        Args:
            collections: Only those of these collections.
        """
        query = {**self._mine(), "kind": EntryKind.WINDOW.value}
        if collections is not None:
            query["collection"] = {"$in": list(collections)}
        pipeline = [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": _DOCUMENTS}}}]
        async with await self._stored.aggregate(pipeline) as cursor:
            return sum([int(found["n"]) async for found in cursor])

    async def entries(self, *, backwards: bool = False) -> AsyncIterator[JournalEntry]:
        """All entries in order of writing, or in reverse.

        Raises:
            DamagedRecordsError: One is missing, or is not what this tool writes.
        """
        expected = await self.length() - 1 if backwards else 0
        step = -1 if backwards else 1
        async for entry in self._read(self._mine(), step):
            if entry.seq != expected:
                raise _missing(self._run_id, expected)
            expected += step
            yield entry
        if backwards and expected != -1:
            raise _missing(self._run_id, expected)

    async def some(self, seqs: Sequence[int]) -> AsyncIterator[JournalEntry]:
        """The entries of some numbers, in order of writing.

        Raises:
            DamagedRecordsError: One is not what this tool writes.
        """
        wanted = [{"run": self._run_id, "seq": seq} for seq in seqs]
        async for entry in self._read({"_id": {"$in": wanted}}, 1):
            yield entry

    async def pending(self) -> list[JournalEntry]:
        """The entries that are not known to have been carried out."""
        query = {**self._mine(), "state": EntryState.PENDING.value}
        return [entry async for entry in self._read(query, 1)]

    async def uncertain(self) -> list[JournalEntry]:
        """The entries that say of something that it was perhaps written, in order of writing."""
        perhaps = [
            {"state": EntryState.PENDING.value},
            {"groups.certain": False},
            {"writes.certain": False},
            # What it names and does not describe was not seen.
            {"kind": EntryKind.INDEX.value},
        ]
        return [entry async for entry in self._read({**self._mine(), "$or": perhaps}, 1)]

    def _mine(self) -> dict[str, Any]:
        # A range of _id values, so that the entries need no index of their own.
        low, high = {"run": self._run_id, "seq": 0}, {"run": self._run_id, "seq": _NEVER}
        return {"_id": {"$gte": low, "$lt": high}}

    async def _read(self, query: Mapping[str, Any], direction: int) -> AsyncIterator[JournalEntry]:
        async with self._stored.find(query, batch_size=1).sort("_id", direction) as cursor:
            async for document in cursor:
                yield JournalEntry.of(document)


class Journal(JournalReader):
    """The journal of one run, to write; made by :meth:`take_over`.

    Args:
        session: The leased session, working on that run.
        next_seq: Number of the next entry.
    """

    def __init__(self, session: LeasedSession, next_seq: int) -> None:
        super().__init__(session.database, session.run_id)
        self._session = session
        self._next = next_seq

    @classmethod
    async def take_over(cls, session: LeasedSession) -> Journal:
        """Take the journal of the session's run over from whoever wrote it before.

        From here on no other process can add an entry to it.
        """
        while True:
            journal = cls(session, await JournalReader(session.database, session.run_id).length())
            try:
                await journal._insert(EntryKind.TAKEOVER, "", {"state": EntryState.APPLIED.value})
            except DuplicateKeyError:
                # The process before us came first, once more.
                continue
            return journal

    @classmethod
    async def resume(cls, session: LeasedSession) -> Journal:
        """Go on with the journal of a run that this session has taken over and recovered.

        Raises:
            LeaseLostError: Another process has taken the run over since.
        """
        journal = cls(session, await JournalReader(session.database, session.run_id).length())
        last = {"_id": {"run": session.run_id, "seq": journal.next_seq - 1}}
        mine = {**last, "token": session.token}
        if await session.database[JOURNAL].find_one(mine, {"_id": 1}) is None:
            raise run_taken_over(session.run_id)
        return journal

    @property
    def next_seq(self) -> int:
        """Number of the next entry, which is how many there are."""
        return self._next

    async def append(self, kind: EntryKind, collection: str, body: Mapping[str, Any]) -> int:
        """Store an entry in state ``pending`` and return its number.

        Raises:
            LeaseLostError: Another process has taken the run over.
        """
        try:
            return await self._insert(kind, collection, body)
        except DuplicateKeyError as error:
            raise run_taken_over(self._run_id) from error

    async def _insert(self, kind: EntryKind, collection: str, body: Mapping[str, Any]) -> int:
        seq, self._next = self._next, self._next + 1
        await self._session.collection(JOURNAL).insert_one(
            {
                "_id": {"run": self._run_id, "seq": seq},
                "kind": kind.value,
                "state": EntryState.PENDING.value,
                "token": self._session.token,
                "collection": collection,
                **body,
            },
            comment=self._session.comment,
        )
        return seq

    async def append_window(
        self, collection: str, groups: Sequence[JournalGroup], *, repeat: bool
    ) -> int:
        """Store what is about to be written to documents of a window.

        Args:
            collection: Where.
            groups: What is written: one of the :func:`portions` of what is written to the window.
            repeat: Whether some of the documents may be in an earlier entry of this run.
        """
        body = _window(groups)
        if repeat:
            body["repeat"] = True
        return await self.append(EntryKind.WINDOW, collection, body)

    async def applied(self, seq: int, body: Mapping[str, Any] | None = None) -> None:
        """Mark an entry of this process as written; ``body`` corrects what turned out otherwise.

        Raises:
            LeaseLostError: Another process has taken the run over.
            DamagedRecordsError: The entry is gone.
        """
        await self._set(seq, EntryState.PENDING, body, {"token": self._session.token})

    async def applied_window(self, seq: int, groups: Sequence[JournalGroup] | None = None) -> None:
        """Mark a window as written; ``groups`` replaces them where not all was written."""
        await self.applied(seq, None if groups is None else _window(groups))

    async def recovered(self, seq: int, body: Mapping[str, Any]) -> None:
        """Mark an entry of a process that stopped as looked at; ``body`` says what was found.

        Raises:
            LeaseLostError: Another process has taken the run over.
            DamagedRecordsError: The entry is gone.
        """
        await self._set(seq, EntryState.PENDING, {**body, "token": self._session.token}, {})

    async def revise(self, seq: int, body: Mapping[str, Any]) -> None:
        """Correct what an entry of a process that stopped says, once it was looked at.

        Raises:
            LeaseLostError: Another process has taken the run over.
            DamagedRecordsError: The entry is gone.
        """
        await self._set(seq, EntryState.APPLIED, {**body, "token": self._session.token}, {})

    async def recovered_window(self, seq: int, groups: Sequence[JournalGroup]) -> None:
        """The same for a window."""
        await self.recovered(seq, _window(groups))

    async def _set(
        self,
        seq: int,
        state: EntryState,
        body: Mapping[str, Any] | None,
        mine: Mapping[str, Any],
    ) -> None:
        key = {"_id": {"run": self._run_id, "seq": seq}}
        done = await self._session.collection(JOURNAL).update_one(
            {**key, "state": state.value, **mine},
            {"$set": {"state": EntryState.APPLIED.value, **(body or {})}},
            comment=self._session.comment,
        )
        if done.matched_count == 0:
            there = await self._stored.find_one(key, {"_id": 1})
            raise _missing(self._run_id, seq) if there is None else run_taken_over(self._run_id)


async def journaled_runs(database: Database) -> list[ObjectId]:
    """The runs of which the journal holds entries, found without reading them.

    Raises:
        DamagedRecordsError: An entry has a key that this tool never writes.
    """
    found: list[ObjectId] = []
    query: dict[str, Any] = {}
    while True:
        first = await database[JOURNAL].find_one(query, {"_id": 1}, sort=[("_id", 1)])
        if first is None:
            return found
        with _readable(first["_id"]):
            run = first["_id"]["run"]
            # Any other would come after the bound below, and be found again and again.
            _seq(first["_id"])
            if not isinstance(run, ObjectId):
                raise TypeError("an ObjectId is expected")
        found.append(run)
        query = {"_id": {"$gt": {"run": run, "seq": _NEVER}}}


def _window(groups: Sequence[JournalGroup]) -> dict[str, Any]:
    return {
        "count": sum(len(group.ids) for group in groups),
        "groups": [group.to_document() for group in groups],
    }


def _missing(run_id: ObjectId, seq: int) -> DamagedRecordsError:
    return DamagedRecordsError(
        f"Entry {seq} of the journal of run {run_id} is missing: somebody dropped or changed "
        f"{JOURNAL}.",
        next_step="Without it the run cannot be taken back completely. Restore the backup: "
        "newbi-migrate restore --drop BACKUP.",
        collection=JOURNAL,
    )


def run_taken_over(run_id: ObjectId) -> LeaseLostError:
    """What to say where another process works on a run that this one was working on."""
    return LeaseLostError(
        f"Another process has taken over the run {run_id}; this one stopped.",
        next_step="See how that one ends: newbi-migrate status.",
    )
