"""Taking back what a run wrote for users: created documents deleted, filled fields emptied.

What was created for one legacy user goes together or stays together, and it stays where
anything else refers to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import xxhash
from bson import ObjectId

from newbi_migrate.mapping.packed import InAnyOf
from newbi_migrate.migration.rollback.references import (
    Readings,
    Released,
    sessions_of,
)
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    Conflicts,
    Kept,
    KeptReason,
    RollbackResult,
)
from newbi_migrate.migration.rollback.units import (
    CreatedDocument,
    Going,
    IdSet,
    Unit,
    Units,
)
from newbi_migrate.progress import Progress
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import (
    EntryKind,
    EntryState,
    JournalReader,
    UserWrite,
    digest_of_document,
    digests_by_field,
    digests_of_fields,
)
from newbi_migrate.store.raw import Element, element_at, element_of, has_room_at, set_back
from newbi_migrate.store.reading import chunks
from newbi_migrate.store.runs import RunWriter
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.undo import read_stored
from newbi_migrate.store.user_documents import BACKWARDS, Together, empty_fields, writing_together

__all__ = ["UserRollback", "still_there"]

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
    values: dict[str, Element | None]
    prior: dict[str, Element]


@dataclass(slots=True)
class UserRollback:
    """Rollback of what a run wrote for users.

    Args:
        database: Where.
        run_id: The run.
        workspace_field: The field that scopes a document.
        chosen: Keys of the legacy users that are taken back; ``None`` for all.
        result: Told what happens.
        comment: Attached to every command.
    """

    database: Database
    run_id: ObjectId
    workspace_field: str
    chosen: frozenset[bytes] | None
    result: RollbackResult
    comment: str
    going: Going = field(default_factory=lambda: Going(Units()))
    """What can go, once it was decided."""
    ids_going: dict[str, IdSet] = field(default_factory=dict)
    """Collection to the ids of what can go."""
    tried: Sequence[Mapping[str, IdSet]] = ()
    """The same of earlier attempts of the same call, which may have deleted some of it."""
    _units: Units = field(default_factory=Units)
    _fills: dict[_Key, list[_Filled]] = field(default_factory=dict)
    _in_use: set[_Key] = field(default_factory=set)

    async def inspect(self, progress: Progress, newer: Sequence[UserRollback] = ()) -> None:
        """Compare what was created and filled with what is there; write nothing.

        Args:
            progress: Told of every entry of the journal that is about users.
            newer: Later runs that are taken back before this one, the newest first, decided.
        """
        journal = JournalReader(self.database, self.run_id)
        progress.phase("survey users", await journal.count(EntryKind.USERS))
        async for entry in journal.entries(backwards=True):
            if entry.kind is EntryKind.USERS:
                progress.advance(1)
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
            newer: Other runs that are taken back, decided.
        """
        units, going = self._units, Going(self._units)
        for number in units.changed():
            unit = units.at(number)
            for document in unit.created:
                for kind, name in document.changed:
                    self.result.conflicts.add(
                        Conflict(kind, document.collection, document.id, name)
                    )
            if not self.result.options.discards:
                going.keep(number)
                self._keep(unit, KeptReason.CHANGED, Counter())
        deciding = len(going)
        here = {name: IdSet(units.ids(name, going)) for name in BACKWARDS}
        await self._keep_what_is_used(going, self._readings(here, newer), released)
        self.going = going
        if len(going) < deciding:
            here = {name: IdSet(units.ids(name, going)) for name in BACKWARDS}
        self.ids_going = here
        self.result.sessions = await sessions_of(
            self.database, self.ids_going["user"].packed, comment=self.comment
        )
        return going

    async def decide_again(
        self, progress: Progress, released: Sequence[Released], others: Sequence[UserRollback]
    ) -> UserRollback | None:
        """Decide once more about what was in use.

        What a run made anew after somebody had deleted it is used by what an earlier run wrote,
        and is free once that one is taken back too.

        Args:
            progress: Told of every entry of the journal that is about users.
            released: What documents name now and will not name afterwards.
            others: The other runs that are taken back, decided.

        Returns:
            The new decision; ``None`` where no less stays than before.
        """
        if not self._in_use:
            return None
        # The conflicts are told already.
        told = replace(self.result, kept=[], conflicts=Conflicts())
        again = replace(
            self,
            result=told,
            going=Going(Units()),
            ids_going={},
            _units=Units(),
            _fills={},
            _in_use=set(),
        )
        await again.inspect(progress, others)
        await again.decide(released, others)
        if len(told.kept) == len(self.result.kept):
            return None
        self.result.kept, self.result.sessions = told.kept, told.sessions
        return replace(again, result=self.result, _fills=self._fills)

    def _readings(self, here: Mapping[str, IdSet], newer: Sequence[UserRollback] = ()) -> Readings:
        """Reader of what refers to what may go, besides what goes with it or went before."""
        return Readings(
            self.database,
            here["organization"].packed,
            here["user"].packed,
            {
                name: InAnyOf(ids, *(run.ids_going[name] for run in newer if run.ids_going))
                for name, ids in here.items()
            },
            self.workspace_field,
            self.comment,
        )

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
        async with writing_together(session) as together:
            if together.id is not None and self.going:
                await RunWriter(session).note_rollback_session(together.id)
            for batch in chunks(self.going, session.throttle.window(_UNITS_TOGETHER)):
                await session.turn(sum(len(unit.created) for unit in batch))
                await self._delete(batch, together)
                session.progress.advance(len(batch))
        for fills in self._fills.values():
            for filled in fills:
                await session.turn(1)
                await self._empty(filled, session)
        session.progress.phase("find what refers to them", None)
        await self._name_what_came_into_use()
        # Whoever asks from now on finds it in the database.
        self.going, self.ids_going, self._fills = Going(Units()), {}, {}
        self.tried = ()
        if noted := self.result.came_into_use():
            await RunWriter(session).note_came_into_use(noted)

    async def _name_what_came_into_use(self) -> None:
        """Name what was deleted and something refers to all the same.

        No condition of a deletion can ask other collections, so what an application writes between
        the decision and the deletion is found afterwards.
        """
        found: dict[_Key, Conflict] = {}
        for ids in filter(None, (*self.tried, self.ids_going)):
            references = await self._readings(ids).all(())
            for name in ("organization", "user"):
                named = [identifier for identifier in references if identifier in ids[name]]
                there = await self._read(name, named)
                for identifier in named:
                    if (key := id_key(identifier)) not in there:
                        by = ", ".join(sorted(references[identifier]))
                        conflict = Conflict(ConflictKind.CAME_INTO_USE, name, identifier, by)
                        found.setdefault((name, key), conflict)
        for conflict in found.values():
            self.result.conflicts.add(conflict)

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
                anew = any(run.leaves(collection, write.id) for run in newer)
                if write.inserts:
                    self._inspect_created(write, raw, among, anew=anew)
                elif not anew:
                    self._inspect_filled(write, raw)

    def deletes(self, collection: str, identifier: Any) -> bool:
        """Whether a document goes with this run, once it was decided."""
        return collection in self.ids_going and identifier in self.ids_going[collection]

    def leaves(self, collection: str, identifier: Any) -> bool:
        """Whether a document that this run created stays because it is in use."""
        return (collection, id_key(identifier)) in self._in_use

    def emptied(self, collection: str, identifier: Any, raw: bytes) -> bytes:
        """A document as it is once what this run filled in it has been emptied."""
        for filled in self._fills.get((collection, id_key(identifier)), ()):
            for path, now in filled.values.items():
                if now is not None:
                    raw = set_back(raw, path.split("."), now, filled.prior.get(path)) or raw
        return raw

    def _inspect_created(self, write: UserWrite, raw: bytes, among: int, *, anew: bool) -> None:
        ours = digest_of_document(raw) == write.digest
        if not ours and not write.certain:
            # What was perhaps never written is not this run's where it looks otherwise.
            return
        # What a later run made anew for the same user goes, or stays, with what is left of this
        # one's; nobody changed it.
        ours = ours or anew
        known = self._units.find(write.user, write.collection, write.id, among)
        if known is not None:
            # Written twice, the second time because the first was not seen: either is ours.
            if ours:
                self._units.unchanged(known)
            return
        changed: tuple[tuple[ConflictKind, str], ...] = ()
        if not ours:
            written, now = write.fields, digests_by_field(*digests_of_fields(raw))
            changed = tuple(
                (ConflictKind.CHANGED if name in written else ConflictKind.ADDED, name)
                for name in sorted(written.keys() | now.keys())
                if written.get(name) != now.get(name)
            )
        self._units.add(
            write.user,
            CreatedDocument(write.collection, write.id, xxhash.xxh3_64_digest(raw), changed),
        )

    def _inspect_filled(self, write: UserWrite, raw: bytes) -> None:
        ours: dict[str, Element | None] = {}
        for path, value in write.values.items():
            now, written = element_at(raw, path), element_of(value)
            if now == written:
                ours[path] = written
            elif write.certain and now != write.prior.get(path):
                # Where the document around it became something else, it has no place any more.
                lost = not has_room_at(raw, path)
                kind = ConflictKind.REFUSED if lost else ConflictKind.CHANGED
                self.result.conflicts.add(Conflict(kind, write.collection, write.id, path))
                if self.result.options.discards and not lost:
                    ours[path] = now
        key = (write.collection, id_key(write.id))
        for known in self._fills.get(key, ()):
            # Written twice, the second time because the answer to the first was lost.
            for path in known.values.keys() & ours.keys():
                if known.prior.get(path) == write.prior.get(path):
                    del ours[path]
        if ours:
            was = {path: write.prior[path] for path in ours if path in write.prior}
            self._fills.setdefault(key, []).append(_Filled(write.collection, write.id, ours, was))

    async def _read(self, collection: str, ids: Sequence[Any]) -> dict[bytes, bytes]:
        return await read_stored(self.database[collection], ids, comment=self.comment)

    async def _delete(self, units: Sequence[Unit], together: Together) -> None:
        """Delete all that was created for some users, or, where one was changed meanwhile, none."""
        deleted = await together.delete_unchanged([d for unit in units for d in unit.created])
        if deleted is not None:
            self.result.deleted.update(deleted)
        elif len(units) == 1:
            self._changed_meanwhile(units[0])
        else:
            for unit in units:
                await self._delete([unit], together)

    def _changed_meanwhile(self, unit: Unit) -> None:
        for document in unit.created:
            self.result.conflicts.add(
                Conflict(ConflictKind.REFUSED, document.collection, document.id, "_id")
            )
        self._keep(unit, KeptReason.CHANGED, Counter())

    async def _empty(self, filled: _Filled, leased: LeasedSession) -> None:
        emptied = await empty_fields(
            leased, filled.collection, filled.id, filled.values, filled.prior
        )
        if emptied:
            self.result.unfilled[filled.collection] += 1
            return
        # It was refused, or somebody changed it since it was read.
        kind = ConflictKind.REFUSED if emptied is None else ConflictKind.CHANGED
        for path in filled.values:
            self.result.conflicts.add(Conflict(kind, filled.collection, filled.id, path))

    def _keep(self, unit: Unit, reason: KeptReason, references: Counter[str]) -> None:
        if reason is KeptReason.IN_USE:
            self._in_use.update((each.collection, id_key(each.id)) for each in unit.created)
        self.result.kept.append(
            Kept(
                unit.legacy_id,
                reason,
                {document.collection: document.id for document in unit.created},
                dict(references),
            )
        )


async def still_there(
    database: Database, kept: Sequence[Kept], going: Sequence[UserRollback], *, comment: str
) -> list[Kept]:
    """Those of whom a document stays, of what an earlier rollback had left.

    Args:
        database: Where.
        kept: What was left.
        going: Runs that would be taken back, decided.
        comment: Attached to every command.
    """
    there: set[_Key] = set()
    for name in BACKWARDS:
        ids = [each.documents[name] for each in kept if name in each.documents]
        stored = await read_stored(database[name], ids, comment=comment)
        there.update(
            (name, key)
            for identifier in ids
            if (key := id_key(identifier)) in stored
            and not any(run.deletes(name, identifier) for run in going)
        )
    return [
        each for each in kept if any((n, id_key(i)) in there for n, i in each.documents.items())
    ]
