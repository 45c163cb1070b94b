"""The write-ahead journal: what a run is about to write and what stood there before.

An entry is stored, acknowledged by a majority and on disk, before the writes it describes; it
is marked ``applied`` once they are confirmed. What is still ``pending`` when a run is resumed
is settled by looking. Entries hold ids, prior values and digests; never a hash or a token.

It changes when a rollback needs to know more. Layout: docs/reference/run-records.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import bson
from bson import CodecOptions, ObjectId
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.store.connection import DURABLE
from newbi_migrate.store.raw import document_of, elements, iter_ids, pack_ids

__all__ = [
    "JOURNAL",
    "MAX_ENTRY_BYTES",
    "MAX_PRIOR_BYTES",
    "EntryKind",
    "EntryState",
    "Journal",
    "JournalEntry",
    "JournalGroup",
    "Tally",
    "portions",
    "prior_list",
    "prior_of",
]

JOURNAL = "newbi_migrate_journal"

MAX_ENTRY_BYTES: Final = 8 * 1024 * 1024
"""Bytes of groups in one entry: half of what a document may hold, since an entry that turned out
otherwise is written again with more groups of fewer ids."""

MAX_PRIOR_BYTES: Final = 16 * 1024 * 1024 - 64 * 1024
"""Bytes of what stood in one document that an entry has room for, beside what it says of it."""

# What packed ids take beside themselves, and an element of an array beside its document.
_PACKED: Final = 32
_OBJECT_ID: Final = 12

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
    """

    changes: Mapping[str, Any]
    prior: Mapping[str, Any]
    ids: list[Any]

    def prior_elements(self) -> dict[str, tuple[int, bytes]]:
        """Type and bytes of what stood there, by field; an absent field is not in it."""
        raw = (
            bytes(self.prior.raw)
            if isinstance(self.prior, RawBSONDocument)
            else bson.encode(self.prior)
        )
        return {name: (kind, value) for name, kind, value in elements(raw)}

    def to_document(self) -> dict[str, Any]:
        """The group as stored."""
        return {"set": dict(self.changes), "prior": self.prior, "ids": pack_ids(self.ids)}

    def stored_size(self) -> int:
        """Bytes it takes in an entry, or a few more; found without packing the ids."""
        around = len(bson.encode({"set": dict(self.changes), "prior": self.prior}))
        if set(map(type, self.ids)) <= {ObjectId}:
            return around + _PACKED + _OBJECT_ID * len(self.ids)
        return around + _PACKED + len(bson.encode({"ids": self.ids}))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JournalGroup:
        """The group from its stored form."""
        return cls(document["set"], document["prior"], list(iter_ids(document["ids"])))


def portions(groups: Sequence[JournalGroup]) -> Iterator[list[JournalGroup]]:
    """The groups in their order, in portions that fit into one entry each.

    A group of too many ids is divided; what stood in a single document is not, so a portion of
    one document is as large as that.
    """
    portion: list[JournalGroup] = []
    held = 0
    for group, size in _fitting(groups):
        if portion and held + size > MAX_ENTRY_BYTES:
            yield portion
            portion, held = [], 0
        portion.append(group)
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


def prior_list(stored: Mapping[str, tuple[int, bytes]]) -> list[RawBSONDocument]:
    """What stood in filled fields, in the form in which an entry for users holds it.

    Args:
        stored: Dotted path to BSON type and bytes.
    """
    return [
        document_of(*elements(bson.encode({"path": path})), ("value", *found))
        for path, found in stored.items()
    ]


def prior_of(write: Mapping[str, Any]) -> dict[str, tuple[int, bytes]]:
    """BSON type and bytes of what stood in the fields that a write of an entry filled, by path."""
    found: dict[str, tuple[int, bytes]] = {}
    for pair in write["prior"]:
        # Not decoded: an undefined would be a null.
        path, value = elements(bytes(pair.raw))
        found[bson.decode(document_of(path).raw)["path"]] = value[1:]
    return found


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry as read back.

    Attributes:
        seq: Its number within the run, in order of writing.
        kind: What it describes.
        state: Whether its writes are known to have been made.
        collection: The collection written to; empty for ``users``.
        body: The rest of the document.
    """

    seq: int
    kind: EntryKind
    state: EntryState
    collection: str
    body: Mapping[str, Any]

    def groups(self) -> tuple[JournalGroup, ...]:
        """The groups of a ``window`` entry."""
        return tuple(JournalGroup.from_document(group) for group in self.body.get("groups", ()))


@dataclass(slots=True)
class Tally:
    """How much a run wrote, by collection.

    Attributes:
        created: Documents that were created for users.
        filled: Documents in which missing fields were filled.
        stamped: Documents that got a workspace.
        owners_rewritten: Documents of which another field was changed.
        touched: Documents of which anything was.
    """

    created: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    stamped: Counter[str] = field(default_factory=Counter)
    owners_rewritten: Counter[str] = field(default_factory=Counter)
    touched: Counter[str] = field(default_factory=Counter)


class Journal:
    """The journal of one run.

    Args:
        database: Where the run works.
        run_id: The run.
        next_seq: Number of the next entry; use :meth:`open` to continue after the last.
    """

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], run_id: ObjectId, next_seq: int = 0
    ) -> None:
        self._collection: AsyncCollection[dict[str, Any]] = database.get_collection(
            JOURNAL, write_concern=DURABLE
        )
        self._raw = self._collection.with_options(codec_options=_RAW)
        self._run_id = run_id
        self._next = next_seq

    @classmethod
    async def open(cls, database: AsyncDatabase[dict[str, Any]], run_id: ObjectId) -> Journal:
        """The journal of a run, ready to append after its last entry."""
        journal = cls(database, run_id)
        last = await journal._collection.find_one(journal._mine(), {"_id": 1}, sort=[("_id", -1)])
        journal._next = 0 if last is None else last["_id"]["seq"] + 1
        return journal

    def _mine(self) -> dict[str, Any]:
        # A range of _id values, so that the entries need no index of their own.
        low, high = {"run": self._run_id, "seq": 0}, {"run": self._run_id, "seq": 2**62}
        return {"_id": {"$gte": low, "$lt": high}}

    async def append(
        self, kind: EntryKind, collection: str, body: Mapping[str, Any], *, comment: str
    ) -> int:
        """Stores an entry in state ``pending`` and returns its number."""
        seq, self._next = self._next, self._next + 1
        await self._collection.insert_one(
            {
                "_id": {"run": self._run_id, "seq": seq},
                "kind": kind.value,
                "state": EntryState.PENDING.value,
                "collection": collection,
                **body,
            },
            comment=comment,
        )
        return seq

    async def append_window(
        self,
        collection: str,
        groups: Sequence[JournalGroup],
        *,
        comment: str,
    ) -> int:
        """Stores what is about to be written to documents of a window.

        The groups are one of the :func:`portions` of what is written to the window.

        Args:
            collection: Where.
            groups: What is written, and to which documents.
            comment: Attached to the command.
        """
        body: dict[str, Any] = {
            "count": sum(len(group.ids) for group in groups),
            "groups": [group.to_document() for group in groups],
        }
        return await self.append(EntryKind.WINDOW, collection, body, comment=comment)

    async def applied(
        self, seq: int, body: Mapping[str, Any] | None = None, *, comment: str
    ) -> None:
        """Marks an entry as written; ``body`` corrects what turned out otherwise."""
        update: dict[str, Any] = {"state": EntryState.APPLIED.value, **(body or {})}
        await self._collection.update_one(
            {"_id": {"run": self._run_id, "seq": seq}}, {"$set": update}, comment=comment
        )

    async def applied_window(
        self, seq: int, groups: Sequence[JournalGroup] | None = None, *, comment: str
    ) -> None:
        """Marks a window as written; ``groups`` replaces them where not all was written."""
        body: dict[str, Any] | None = None
        if groups is not None:
            body = {
                "count": sum(len(group.ids) for group in groups),
                "groups": [group.to_document() for group in groups],
            }
        await self.applied(seq, body, comment=comment)

    async def confirmed(self) -> int:
        """How many entries are known to have been carried out, if only in part."""
        nothing: list[Any] = []
        query = self._mine() | {
            "state": EntryState.APPLIED.value,
            "count": {"$ne": 0},
            "writes": {"$ne": nothing},
            "created": {"$ne": nothing},
        }
        return await self._collection.count_documents(query)

    async def tally(self, workspace_field: str) -> Tally:
        """Counts what the entries say was written.

        Args:
            workspace_field: Name of the field that scopes a document.
        """
        tally = Tally()
        async for entry in self.entries(EntryState.APPLIED):
            for write in entry.body.get("writes", ()):
                kind = tally.created if write["op"] == "insert" else tally.filled
                kind[write["collection"]] += 1
            for group in entry.groups():
                number = len(group.ids)
                tally.touched[entry.collection] += number
                if workspace_field in group.changes:
                    tally.stamped[entry.collection] += number
                if set(group.changes) - {workspace_field}:
                    tally.owners_rewritten[entry.collection] += number
        return tally

    async def entries(
        self, state: EntryState | None = None, *, backwards: bool = False
    ) -> AsyncIterator[JournalEntry]:
        """The entries in order of writing, or in reverse."""
        query = self._mine()
        if state is not None:
            query["state"] = state.value
        cursor = self._raw.find(query, batch_size=1).sort("_id", -1 if backwards else 1)
        async with cursor:
            async for document in cursor:
                yield JournalEntry(
                    seq=document["_id"]["seq"],
                    kind=EntryKind(document["kind"]),
                    state=EntryState(document["state"]),
                    collection=document["collection"],
                    body=document,
                )
