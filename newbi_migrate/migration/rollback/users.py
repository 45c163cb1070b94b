"""Taking back what a run wrote for users: created documents deleted, filled fields emptied.

What was created for one legacy user goes together or stays together, and it stays where
anything else refers to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import xxhash
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.migration.apply.users import field_digests
from newbi_migrate.migration.rollback.references import (
    Readings,
    Released,
    sessions_of,
)
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    Kept,
    KeptReason,
    OnConflict,
    RollbackResult,
)
from newbi_migrate.migration.rollback.units import BACKWARDS, Created, Going, IdSet, Unit, Units
from newbi_migrate.store.connection import DURABLE, client_session
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import EntryKind, EntryState, JournalReader, UserWrite
from newbi_migrate.store.raw import element_at, element_of, has_room_at, set_back
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import chunks, precondition
from newbi_migrate.store.undo import read_stored, update_back

__all__ = ["UserRollback"]

_UNITS_TOGETHER: Final = 100

_Key = tuple[str, bytes]


@dataclass(slots=True)
class _Filled:
    """Fields that a run filled and that are to be emptied.

    Attributes:
        collection: Where.
        id: ``_id`` of the document.
        values: Path to what it holds now: what the run wrote, or a change to be discarded;
            ``None`` where the field is absent.
        prior: Path to what stood there; other paths were absent.
    """

    collection: str
    id: Any
    values: dict[str, tuple[int, bytes] | None]
    prior: dict[str, tuple[int, bytes]]


class _ChangedMeanwhileError(Exception):
    """A document was changed between reading and deleting it."""


@dataclass(slots=True)
class UserRollback:
    """Rollback of what a run wrote for users.

    Args:
        database: Where.
        run_id: The run.
        workspace_field: The field that scopes a document.
        chosen: Keys of the legacy users that are taken back; ``None`` for all.
        transactions: Whether the server has them.
        result: Told what happens.
        comment: Attached to every command.
    """

    database: AsyncDatabase[dict[str, Any]]
    run_id: ObjectId
    workspace_field: str
    chosen: frozenset[bytes] | None
    transactions: bool
    result: RollbackResult
    comment: str
    going: Going = field(default_factory=lambda: Going(Units()))
    """What can go, once it was decided."""
    ids_going: dict[str, IdSet] = field(default_factory=dict)
    """Collection to the ids of what can go."""
    _units: Units = field(default_factory=Units)
    _fills: dict[_Key, list[_Filled]] = field(default_factory=dict)

    async def inspect(self, newer: Sequence[UserRollback] = ()) -> None:
        """Compare what was created and filled with what is there; write nothing.

        Args:
            newer: Later runs that are taken back before this one, the newest first, inspected.
        """
        async for entry in JournalReader(self.database, self.run_id).entries(backwards=True):
            if entry.kind is EntryKind.USERS:
                pending = entry.state is EntryState.PENDING
                await self._inspect(
                    [
                        replace(write, certain=False) if pending else write
                        for write in entry.writes()
                        if self.chosen is None or id_key(write.user) in self.chosen
                    ],
                    newer,
                )

    async def decide(
        self, released: Sequence[Released] = (), newer: Sequence[UserRollback] = ()
    ) -> Going:
        """What was created and can go; the rest is listed as kept.

        Args:
            released: What documents name now and will not name afterwards.
            newer: Later runs that are taken back before this one.
        """
        units, going = self._units, Going(self._units)
        discard = self.result.options.on_conflict is OnConflict.DISCARD
        for number in units.changed():
            unit = units.at(number)
            for document in unit.created:
                for kind, name in document.changed:
                    self.result.conflicts.add(
                        Conflict(kind, document.collection, document.id, name)
                    )
            if not discard:
                going.keep(number)
                self._keep(unit, KeptReason.CHANGED, Counter())
        deciding = len(going)
        here = {name: IdSet(units.ids(name, going)) for name in BACKWARDS}
        readings = Readings(
            self.database,
            here["organization"].packed,
            here["user"].packed,
            {
                name: _Any((ids, *(run.ids_going[name] for run in newer if run.ids_going)))
                for name, ids in here.items()
            },
            self.workspace_field,
            self.comment,
        )
        await self._keep_what_is_used(going, readings, released)
        self.going = going
        if len(going) < deciding:
            here = {name: IdSet(units.ids(name, going)) for name in BACKWARDS}
        self.ids_going = here
        self.result.sessions = await sessions_of(
            self.database, self.ids_going["user"].packed, comment=self.comment
        )
        return going

    async def _keep_what_is_used(
        self, going: Going, readings: Readings, released: Sequence[Released]
    ) -> None:
        """Keep the units to which something refers that stays itself."""
        references = await readings.all(released)
        while True:
            owners = self._units.owners(references.keys())
            staying: dict[int, Counter[str]] = defaultdict(Counter)
            for identifier, number in owners.items():
                if going.includes(number):
                    staying[number] += references[identifier]
            if not staying:
                return
            # What stays may itself refer to what another user's documents are.
            kept: dict[str, list[Any]] = defaultdict(list)
            for number, found in sorted(staying.items()):
                going.keep(number)
                unit = self._units.at(number)
                self._keep(unit, KeptReason.IN_USE, found)
                for document in unit.created:
                    kept[document.collection].append(document.id)
            for name, ids in kept.items():
                for identifier, counts in (await readings.of_documents(name, ids)).items():
                    references[identifier] += counts

    def preview(self) -> None:
        """Count what would be deleted and emptied."""
        self.result.deleted.update(self._units.counts(self.going))
        self.result.unfilled.update(
            filled.collection for fills in self._fills.values() for filled in fills
        )

    async def apply(self, session: LeasedSession) -> None:
        """Delete what can go and empty what was filled, no more at once than it may.

        Raises:
            NewbiMigrateError: The session stopped it; the same call finishes it.
        """
        for batch in chunks(self.going, session.throttle.window(_UNITS_TOGETHER)):
            await session.turn(sum(len(unit.created) for unit in batch))
            if self.transactions:
                await self._in_transaction(batch, session)
            else:
                await self._in_order(batch, session)
            session.progress.advance(len(batch))
        for fills in self._fills.values():
            for filled in fills:
                await session.turn(1)
                await self._empty(filled, session)

    async def _inspect(self, writes: Sequence[UserWrite], newer: Sequence[UserRollback]) -> None:
        among = len(self._units)
        for collection in BACKWARDS:
            here = [write for write in writes if write.collection == collection]
            stored = await self._read(collection, [write.id for write in here])
            for write in here:
                raw = stored.get(id_key(write.id))
                if raw is None or any(run.deletes(collection, write.id) for run in newer):
                    continue
                for run in newer:
                    raw = run.emptied(collection, write.id, raw)
                if write.inserts:
                    self._inspect_created(write, raw, among)
                else:
                    self._inspect_filled(write, raw)

    def deletes(self, collection: str, identifier: Any) -> bool:
        """Whether a document goes with this run, once it was decided."""
        return collection in self.ids_going and identifier in self.ids_going[collection]

    def emptied(self, collection: str, identifier: Any, raw: bytes) -> bytes:
        """A document as it is once what this run filled in it has been emptied."""
        for filled in self._fills.get((collection, id_key(identifier)), ()):
            for path, now in filled.values.items():
                if now is not None:
                    raw = set_back(raw, path.split("."), now, filled.prior.get(path)) or raw
        return raw

    def _inspect_created(self, write: UserWrite, raw: bytes, among: int) -> None:
        ours = xxhash.xxh3_128_hexdigest(raw) == write.digest
        if not ours and not write.certain:
            # What was perhaps never written is not this run's where it looks otherwise.
            return
        known = self._units.find(write.user, write.collection, write.id, among)
        if known is not None:
            # Written twice, the second time because the first was not seen: either is ours.
            if ours:
                self._units.unchanged(known)
            return
        changed: tuple[tuple[ConflictKind, str], ...] = ()
        if not ours:
            written = dict(write.fields)
            now = {name: int(value) for name, value in field_digests(raw)}
            changed = tuple(
                (ConflictKind.CHANGED if name in written else ConflictKind.ADDED, name)
                for name in sorted(written.keys() | now.keys())
                if written.get(name) != now.get(name)
            )
        self._units.add(
            write.user, Created(write.collection, write.id, xxhash.xxh3_64_digest(raw), changed)
        )

    def _inspect_filled(self, write: UserWrite, raw: bytes) -> None:
        ours: dict[str, tuple[int, bytes] | None] = {}
        for path, value in write.values.items():
            now, written = element_at(raw, path), element_of(value)
            if now == written:
                ours[path] = written
            elif write.certain and now != write.prior.get(path):
                # Where the document around it became something else, it has no place any more.
                lost = not has_room_at(raw, path)
                kind = ConflictKind.REFUSED if lost else ConflictKind.CHANGED
                self.result.conflicts.add(Conflict(kind, write.collection, write.id, path))
                if self.result.options.on_conflict is OnConflict.DISCARD and not lost:
                    ours[path] = now
        if ours:
            was = {path: write.prior[path] for path in ours if path in write.prior}
            key = (write.collection, id_key(write.id))
            self._fills.setdefault(key, []).append(_Filled(write.collection, write.id, ours, was))

    async def _read(self, collection: str, ids: Sequence[Any]) -> dict[bytes, bytes]:
        return await read_stored(self.database[collection], ids, comment=self.comment)

    async def _in_transaction(self, units: Sequence[Unit], leased: LeasedSession) -> None:
        async def delete(session: AsyncClientSession) -> Counter[str]:
            return await self._delete(units, session, leased, [])

        try:
            async with client_session(self.database) as session:
                done = await session.with_transaction(delete, write_concern=DURABLE)
        except _ChangedMeanwhileError:
            if len(units) == 1:
                self._changed_meanwhile(units[0])
                return
            for unit in units:
                await self._in_transaction([unit], leased)
            return
        self.result.deleted.update(done)

    async def _in_order(self, units: Sequence[Unit], leased: LeasedSession) -> None:
        """Delete without a transaction; put all back where a document was changed meanwhile."""
        gone: list[tuple[Created, bytes]] = []
        try:
            self.result.deleted.update(await self._delete(units, None, leased, gone))
        except _ChangedMeanwhileError:
            await self._put_back(gone, leased)
            if len(units) == 1:
                self._changed_meanwhile(units[0])
                return
            for unit in units:
                await self._in_order([unit], leased)

    async def _put_back(self, gone: Sequence[tuple[Created, bytes]], leased: LeasedSession) -> None:
        # What is gone may have been deleted by whoever took this rollback over.
        await leased.lease.renew()
        for name in reversed(BACKWARDS):
            here = [(document, raw) for document, raw in gone if document.collection == name]
            there = await self._read(name, [document.id for document, _ in here])
            lost = [raw for document, raw in here if id_key(document.id) not in there]
            if lost:
                await leased.collection(name).insert_many(
                    [RawBSONDocument(raw) for raw in lost], comment=self.comment
                )

    async def _delete(
        self,
        units: Sequence[Unit],
        session: AsyncClientSession | None,
        leased: LeasedSession,
        gone: list[tuple[Created, bytes]],
    ) -> Counter[str]:
        deleted: Counter[str] = Counter()
        stored: dict[str, dict[bytes, bytes]] = {}
        wanted: dict[str, list[Created]] = {}
        for name in BACKWARDS:
            wanted[name] = [document for unit in units for document in unit.of(name)]
            stored[name] = await self._read(name, [document.id for document in wanted[name]])
            for document in wanted[name]:
                raw = stored[name].get(id_key(document.id))
                if raw is not None and xxhash.xxh3_64_digest(raw) != document.digest:
                    raise _ChangedMeanwhileError
        for name in BACKWARDS:
            going = [
                (document, raw)
                for document in wanted[name]
                if (raw := stored[name].get(id_key(document.id))) is not None
            ]
            if not going:
                continue
            operations = [
                DeleteOne(
                    {
                        "_id": {"$eq": document.id},
                        "$expr": {"$eq": ["$$ROOT", {"$literal": RawBSONDocument(raw)}]},
                    }
                )
                for document, raw in going
            ]
            result = await leased.collection(name).bulk_write(
                operations, ordered=False, session=session, comment=self.comment
            )
            gone += going
            if result.deleted_count < len(going):
                raise _ChangedMeanwhileError
            deleted[name] += result.deleted_count
        return deleted

    def _changed_meanwhile(self, unit: Unit) -> None:
        for document in unit.created:
            self.result.conflicts.add(
                Conflict(ConflictKind.REFUSED, document.collection, document.id, "_id")
            )
        self._keep(unit, KeptReason.CHANGED, Counter())

    async def _empty(self, filled: _Filled, leased: LeasedSession) -> None:
        held = {path: precondition(now) for path, now in filled.values.items()}
        try:
            result = await leased.collection(filled.collection).update_one(
                {"_id": {"$eq": filled.id}, **held},
                update_back(filled.values, filled.prior),
                comment=self.comment,
            )
        except OperationFailure as error:
            if not refuses_documents(error):
                raise
            for path in filled.values:
                self.result.conflicts.add(
                    Conflict(ConflictKind.REFUSED, filled.collection, filled.id, path)
                )
            return
        self.result.unfilled[filled.collection] += result.modified_count

    def _keep(self, unit: Unit, reason: KeptReason, references: Counter[str]) -> None:
        self.result.kept.append(
            Kept(
                unit.legacy_id,
                reason,
                {document.collection: document.id for document in unit.created},
                dict(references),
            )
        )


@dataclass(frozen=True, slots=True)
class _Any:
    """What is in any of some sets."""

    sets: Sequence[Container[Any]]

    def __contains__(self, item: object) -> bool:
        return any(item in one for one in self.sets)
