"""A rollback from its first look to its last write, in the order that leaves nothing dangling.

Indexes, documents, then what was created for users: memberships, organizations, accounts,
users; the newest run first. It needs no journal of its own, because what holds its prior value is
done.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from newbi_migrate.documents.registry import Registry, UniqueKey
from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.values import read_id
from newbi_migrate.migration.planning.survey import kept_name
from newbi_migrate.migration.rollback.documents import DocumentRollback, UserScope
from newbi_migrate.migration.rollback.references import Released
from newbi_migrate.migration.rollback.replaced import preview_replaced, put_replaced_back
from newbi_migrate.migration.rollback.results import (
    RollbackOptions,
    RollbackResult,
)
from newbi_migrate.migration.rollback.structure import StructureRollback
from newbi_migrate.migration.rollback.users import UserRollback, still_there
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.migration.run.recovery import write_targets
from newbi_migrate.progress import Progress, timed
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.connection import Store
from newbi_migrate.store.counting import count
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import EntryKind, JournalReader
from newbi_migrate.store.reading import MAX_IDS
from newbi_migrate.store.replacements import RESTORE
from newbi_migrate.store.runs import RunRecord, RunState, RunWriter, migrated_users
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.statements import end_transaction

__all__ = ["RollbackRequest", "Tried", "choose_runs", "left_before", "preview", "roll_back"]


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """A rollback to carry out.

    Attributes:
        store: The open database.
        registry: The collections.
        runs: All runs, the newest first.
        chosen: Those to take back, the newest first.
        options: The choices.
        everything: Whether all runs that are in place are taken back.
        progress: Told of everything.
    """

    store: Store
    registry: Registry
    runs: Sequence[RunRecord]
    chosen: Sequence[RunRecord]
    options: RollbackOptions
    everything: bool
    progress: Progress

    @property
    def policy(self) -> dict[str, Any]:
        """The choices of a rollback of whole runs, as the records of these keep them."""
        return {"all": self.everything, "onConflict": self.options.on_conflict.value}

    @property
    def database(self) -> Database:
        """The database, to read from."""
        return self.store.database


async def choose_runs(
    database: Database,
    runs: Sequence[RunRecord],
    run_id: ObjectId | None,
    options: RollbackOptions,
    *,
    everything: bool,
) -> list[RunRecord]:
    """The runs to take back: the one named, the last one, or all that are in place.

    Args:
        database: The database.
        runs: All runs, the newest first.
        run_id: The run that was named, if one was.
        options: The choices.
        everything: Whether all runs that are in place are taken back.

    Raises:
        UsageError: There is no such run, the last one was taken back already, later runs rest upon
            the one named, its journal or what it put aside is gone, or a part is to be taken back
            of a run that has not come to its end, that wrote to what is aside, or that is one of
            several and was not named.
    """
    in_place = [run for run in runs if run.in_place]
    chosen = in_place if everything else in_place[:1]
    if run_id is None and options.whole and not everything:
        _refuse_the_run_before(runs, in_place)
    if run_id is None and not options.whole:
        # A part is one of what a run wrote to documents and users.
        chosen = [run for run in in_place if run.migrates] or in_place[:1]
        if len(chosen) > 1:
            holding = await _runs_of(database, chosen, options.users or ())
            raise UsageError(
                f"{len(chosen)} runs that wrote to users or documents are in place, and a part can "
                "be taken back of one run only.",
                next_step=f"Name that run with --run; status lists them.{holding}",
            )
    if run_id is not None:
        chosen = [run for run in runs if run.run_id == run_id]
        if not chosen:
            raise UsageError(
                f"There is no run {run_id} in this database.",
                next_step="See status for the runs there are.",
            )
        later = [run for run in in_place if run.number > chosen[0].number]
        # A part can go while later runs are in place: what they refer to stays.
        if later and options.whole:
            raise UsageError(
                f"The {later[-1].command} run {later[-1].run_id} came after run {run_id} and is "
                "still in place.",
                next_step="Take the later runs back first"
                f"{'' if chosen[0].command == RESTORE else ', or all of them with --all'}.",
            )
    replaced = next((run for run in chosen if run.command == RESTORE), None)
    if replaced is not None and len(chosen) > 1:
        raise UsageError(
            f"The run {replaced.run_id} put collections of a backup in place. What runs before it "
            "wrote can be looked at only once it is taken back, or settled.",
            next_step="Take the runs from the last one to that one back, each by its own id "
            "(newbi-migrate rollback --run ID), and then all of them; or drop what it put aside, "
            "to keep what it restored: newbi-migrate drop-aside.",
        )
    _refuse_while_aside(in_place, chosen, options)
    for run in chosen:
        if run.aside_dropped:
            raise UsageError(
                f"What the run {run.run_id} put aside was dropped, so it cannot be taken back.",
                next_step="Restore those collections from another backup: newbi-migrate restore "
                "--collections A,B --drop BACKUP.",
            )
        if run.document.get("journalDropped") and run.command != RESTORE:
            raise UsageError(
                f"The journal of run {run.run_id} was dropped when the migration was finalized, "
                "so it cannot be taken back.",
                next_step="The way back is the backup, and what was written since is lost with it: "
                "newbi-migrate restore --drop BACKUP.",
            )
        if run.state.unfinished and not options.whole:
            raise UsageError(
                f"The {run.command} run {run.run_id} has not come to its end; a part of it "
                "cannot be taken back.",
                next_step=f"Finish it ({finishing(run)}), or take all of it back: newbi-migrate "
                "rollback.",
            )
    return chosen


def _refuse_while_aside(
    in_place: Sequence[RunRecord], chosen: Sequence[RunRecord], options: RollbackOptions
) -> None:
    """Fail where a part of a run is to be taken back, and what the run wrote to is aside.

    Any collection that is aside may refer to users and organizations.
    """
    if options.whole:
        return
    collections = frozenset(options.collections or ())
    for run in in_place:
        later = run.command == RESTORE and any(run.number > one.number for one in chosen)
        if later and (options.users is not None or run.replaced & collections):
            raise UsageError(
                f"The run {run.run_id} put collections of a backup in place, and what earlier runs "
                "wrote to is put aside. No part of an earlier run can be taken back before that is "
                "settled.",
                next_step=f"Take it back first (newbi-migrate rollback --run {run.run_id}); or "
                "drop what it put aside, to keep what it restored: newbi-migrate drop-aside.",
            )


async def _runs_of(database: Database, runs: Sequence[RunRecord], users: Sequence[object]) -> str:
    """Which runs created the users that were named, in a sentence; empty where none did."""
    named = {str(user) for user in users}
    found = []
    for run in runs:
        async for line in migrated_users(database, run.run_id):
            if line["outcome"] == Outcome.CREATED and str(line["_id"]["legacy"]) in named:
                found.append(str(run.run_id))
                break
    return f" The users named were created by the run {' and '.join(found)}." if found else ""


def _refuse_the_run_before(runs: Sequence[RunRecord], in_place: Sequence[RunRecord]) -> None:
    """Fail where the last run went back: who asks again after an interruption means no other."""
    back = next((run for run in runs if run.in_place or run.state is RunState.ROLLED_BACK), None)
    if back is None or back.in_place or not in_place:
        return
    before = in_place[0]
    if before.state is RunState.ROLLING_BACK:
        # A rollback of several was interrupted, and this is what is left of it.
        return
    raise UsageError(
        f"The last run ({back.command}, {back.run_id}) was taken back already. The one before it "
        f"({before.command}, {before.run_id}) is in place.",
        next_step=f"Name it if it is to go back as well: newbi-migrate rollback --run "
        f"{before.run_id}.",
    )


async def preview(request: RollbackRequest) -> list[RollbackResult]:
    """What taking the chosen runs back would do, one result for each; writes nothing.

    Raises:
        UsageError: A collection is not registered, or what is to be taken back is not there or
            cannot be told apart.
        DamagedRecordsError: The records of a run are not what this tool wrote.
    """
    if (replaced := _replaced(request)) is not None:
        back = await preview_replaced(request.database, replaced, request.options)
        return [*await left_before(request, dry_run=True), back]
    looked = await _look(request)
    before = await left_before(request, looked, dry_run=True)
    return [*before, *(back.result for back in looked)]


async def _look(request: RollbackRequest) -> list[_RunBack]:
    for name in request.options.collections or ():
        _ = request.registry[name]
    looked: list[_RunBack] = []
    for run in request.chosen:
        scope = await _users_chosen(request, run)
        await _refuse_without_source(request, run, scope)
        back = _RunBack.of(request, run, scope)
        await back.look(request, looked)
        back.structure.refuse_taken_names()
        looked.append(back)
    await _look_again(looked, lambda back: back.look_again(request, looked))
    for number, back in enumerate(looked, 1):
        await back.preview(looked[:number])
    # One run that must not be taken back holds all of them back.
    if any(back.result.refused for back in looked):
        for back in looked:
            back.result.held_back = True
    return looked


async def _look_again(
    backs: Sequence[_RunBack], look: Callable[[_RunBack], Awaitable[bool]]
) -> bool:
    """Look again at what is in use, once the earlier runs were looked at or are back.

    Args:
        backs: The runs, the newest first.
        look: Looks at one; whether less of it stays than before.

    Returns:
        Whether less stays than before.
    """
    waiting, freed = backs[:-1], False
    while any([await look(back) for back in reversed(waiting)]):
        # What goes now may have been what another run's is in use by.
        waiting, freed = backs, True
    return freed


async def left_before(
    request: RollbackRequest, going: Sequence[_RunBack] = (), *, dry_run: bool
) -> list[RollbackResult]:
    """What the rollbacks of other runs had to leave, where all runs are to be taken back.

    A rollback of all that was killed after it took some back is finished by taking back the rest:
    what it left of the first ones is told too, as far as it is still there.

    Args:
        request: The rollback.
        going: The runs that would be taken back, looked at.
        dry_run: Whether nothing is to be written.
    """
    if not request.everything:
        return []
    found = []
    for run in request.runs:
        if run in request.chosen:
            continue
        left = RollbackResult.earlier_of(
            request.database.name, run, request.options, dry_run=dry_run
        )
        if left is None:
            continue
        left.kept = await still_there(
            request.database, left.kept, _users_of(going), comment=str(run.run_id)
        )
        if left.kept or left.kept_unlisted or left.unresolved:
            found.append(left)
    return found


async def roll_back(
    request: RollbackRequest, session: LeasedSession, tried: Tried
) -> list[RollbackResult]:
    """Take the chosen runs back, one after the other; return one result for each.

    Where somebody's changes are in the way of any of them, nothing at all is written. Once an
    earlier attempt has begun to write, changes that were made since are kept and listed instead.

    Args:
        request: The rollback.
        session: The leased session.
        tried: What earlier attempts of the same call did; this one adds what it does.

    Raises:
        UsageError: See :func:`preview`.
        NewbiMigrateError: The session stopped it; the same call finishes it.
    """
    if (replaced := _replaced(request)) is not None:
        found = await preview_replaced(request.database, replaced, request.options)
        # What an earlier attempt has renamed, this one finds in its place.
        tried.replaced = tried.replaced or found
        of_run = session.of_run(replaced.run_id)
        await put_replaced_back(of_run, replaced, tried.replaced, request.policy)
        return [*await left_before(request, dry_run=False), tried.replaced]
    looked = await _look(request)
    if not tried.runs and any(back.result.refused for back in looked):
        for back in looked:
            back.result.dry_run = False
        before = await left_before(request, looked, dry_run=False)
        return [*before, *(back.result for back in looked)]
    backs: list[_RunBack] = []
    for run, seen in zip(request.chosen, looked, strict=True):
        back = _RunBack.of(request, run, await _users_chosen(request, run))
        back.begin_with(tried.runs.get(run.run_id))
        tried.runs[run.run_id] = back
        back.result.timings.update(seen.result.timings)
        await back.carry_out(request, session.of_run(run.run_id), backs)
        backs.append(back)
    if await _look_again(
        backs, lambda back: back.carry_out_again(session.of_run(back.run.run_id), backs)
    ):
        for back in backs:
            await back.structure.drop_collections(session.of_run(back.run.run_id))
    before = await left_before(request, dry_run=False)
    return [*before, *(back.result for back in backs)]


def _replaced(request: RollbackRequest) -> RunRecord | None:
    """The run that put collections in place, where it is the one to be taken back."""
    return next((run for run in request.chosen if run.command == RESTORE), None)


@dataclass(slots=True)
class _RunBack:
    """One run on its way back, with what came of it."""

    run: RunRecord
    result: RollbackResult
    structure: StructureRollback
    documents: DocumentRollback
    users: UserRollback | None

    @classmethod
    def of(cls, request: RollbackRequest, run: RunRecord, chosen: UserScope | None) -> _RunBack:
        database, options = request.database, request.options
        comment = str(run.run_id)
        result = RollbackResult(
            database=database.name,
            run_id=run.run_id,
            command=run.command,
            dry_run=True,
            options=options,
        )
        field = request.registry.workspace_field
        # Indexes serve all users, so they stay where only some are taken back.
        of_structure = options.collections if chosen is None else ()
        structure = StructureRollback(
            database, run, field, of_structure, result, comment, write_targets(request.registry)
        )
        documents = DocumentRollback(
            database, run.run_id, field, options.collections, chosen, result, comment
        )
        users = None
        if options.collections is None:
            keys = None if chosen is None else chosen.users
            users = UserRollback(
                database,
                run.run_id,
                field,
                keys,
                result,
                comment,
            )
        return cls(run, result, structure, documents, users)

    async def look(self, request: RollbackRequest, newer: Sequence[_RunBack]) -> None:
        with timed(self.result.timings, "survey"):
            progress = request.progress
            progress.phase("read the journal", None)
            runs = (*newer, self)
            await self.structure.inspect([run.structure for run in newer])
            await self.structure.find_refused_indexes([run.documents for run in runs])
            progress.phase("survey documents", await self.documents.total())
            await self.documents.survey(progress, [run.documents for run in newer])
            if self.documents.chosen is not None:
                await self.documents.find_meetings(await _enforced(request))
            if self.users is not None:
                before = _users_of(newer)
                await self.users.inspect(progress, before)
                progress.phase("find what refers to them", None)
                await self.users.decide([run.documents.released for run in runs], before)

    async def look_again(self, request: RollbackRequest, backs: Sequence[_RunBack]) -> bool:
        released = [back.documents.released for back in backs]
        return await self._decide_again(request.progress, released, backs)

    async def preview(self, runs: Sequence[_RunBack]) -> None:
        """Tell what was found, of this run and those taken back before it."""
        self.structure.preview()
        if self.users is not None:
            self.users.preview()
            deleted: Counter[str] = Counter()
            for run in runs:
                deleted += run.result.deleted
            await self.structure.preview_collections(deleted)

    def begin_with(self, earlier: _RunBack | None) -> None:
        """Go on from where an earlier attempt of the same call ended, if there was one."""
        self.result.begin_with(self.run, None if earlier is None else earlier.result)
        if self.users is not None and earlier is not None and earlier.users is not None:
            self.users.tried = (*earlier.users.tried, earlier.users.ids_going)

    async def carry_out(
        self, request: RollbackRequest, session: LeasedSession, newer: Sequence[_RunBack]
    ) -> None:
        result, progress = self.result, session.progress
        result.dry_run, result.written = False, True
        record = RunWriter(session)
        whole = request.options.whole
        await record.take_over()
        if self.run.rollback_session is not None:
            await end_transaction(session, self.run.rollback_session)
        if not whole:
            await record.rolling_back_part()
            scope = self.documents.chosen
            # Who goes back with a part of a backfill stays who a migration made of them.
            if scope is not None and self.run.command == "migrate":
                await record.note_taken_back(request.runs, scope.legacy_ids)
        elif self.run.state is not RunState.ROLLED_BACK:
            await record.rolling_back(request.policy)
        with timed(result.timings, "indexes"):
            await self.structure.inspect()
            progress.phase("drop indexes", len(self.structure.dropped_indexes()))
            await session.turn(0)
            await self.structure.drop(session)
            await self.structure.rename_back(session)
        with timed(result.timings, "documents"):
            progress.phase("documents", await self.documents.total())
            await self.documents.apply(session)
        if self.users is not None:
            with timed(result.timings, "users"):
                await self.users.inspect(progress, _users_of(newer))
                units = await self.users.decide()
                progress.phase("users", len(units))
                await self.users.apply(session)
        with timed(result.timings, "structure"):
            await session.turn(0)
            await self.structure.rebuild(session)
            if whole:
                await self.structure.drop_collections(session)
        # What was done by a journal that somebody dropped meanwhile may be a part of it.
        await JournalReader(request.database, self.run.run_id).require(self.run.journal_entries)
        await record.rolled_back(result.to_record(), whole=whole)

    async def carry_out_again(self, session: LeasedSession, backs: Sequence[_RunBack]) -> bool:
        if not await self._decide_again(session.progress, (), backs) or self.users is None:
            return False
        session.progress.phase("users", len(self.users.going))
        await self.users.apply(session)
        await RunWriter(session).rolled_back(self.result.to_record(), whole=True)
        return True

    async def _decide_again(
        self, progress: Progress, released: Sequence[Released], backs: Sequence[_RunBack]
    ) -> bool:
        if self.users is None:
            return False
        others = _users_of(back for back in backs if back is not self)
        again = await self.users.decide_again(progress, released, others)
        self.users = again or self.users
        return again is not None


@dataclass(slots=True)
class Tried:
    """What attempts of one call did before an error ended them.

    Attributes:
        runs: For each run, what the last attempt to take it back did.
        replaced: For a restore, what the first attempt was to do.
    """

    runs: dict[ObjectId, _RunBack] = field(default_factory=dict)
    replaced: RollbackResult | None = None


def _users_of(backs: Iterable[_RunBack]) -> list[UserRollback]:
    return [back.users for back in backs if back.users is not None]


async def _enforced(request: RollbackRequest) -> dict[str, list[UniqueKey]]:
    """Collection to the unique keys of the registry that an index there enforces."""
    found: dict[str, list[UniqueKey]] = {}
    for spec in request.registry.scoped:
        names = {index["name"] for index in await read_indexes(request.database, spec.name)}
        found[spec.name] = [key for key in spec.unique_keys if key.index.name in names]
    return found


async def _users_chosen(request: RollbackRequest, of: RunRecord) -> UserScope | None:
    """The legacy users that were named, with workspaces they share with nobody else.

    Raises:
        UsageError: One is unknown, or shares their workspace with somebody who was not named.
    """
    if request.options.users is None:
        return None
    workspaces: dict[bytes, ObjectId] = {}
    legacy: dict[str, Any] = {}
    for run in reversed(request.runs):
        if run.number > of.number:
            continue
        async for line in migrated_users(request.database, run.run_id):
            user = line["_id"]["legacy"]
            key = id_key(user)
            legacy[str(user)] = user
            if line["organizationId"] is not None:
                workspaces[key] = line["organizationId"]
    unknown = [str(user) for user in request.options.users if str(user) not in legacy]
    if unknown:
        raise UsageError(
            f"No run migrated the legacy user {unknown[0]}.",
            next_step="Name legacy users by their _id, as migrate --verbose lists them.",
        )
    named = {id_key(legacy[str(user)]): legacy[str(user)] for user in request.options.users}
    mine = frozenset(workspaces[key] for key in named if key in workspaces)
    names = {id_key(user): name for name, user in legacy.items()}
    # By the newest line of each: an older one may be of a run that was taken back.
    others = [key for key, home in workspaces.items() if home in mine and key not in named]
    if others:
        other = min(others)
        raise UsageError(
            f"The legacy user {names[other]} has the same workspace {workspaces[other]}.",
            next_step="Name all who share it, so that they go back together.",
        )
    # As text an id names the same user.
    meant = {value for user in named.values() if (value := read_id(user).value) is not None}
    users = frozenset([*named, *map(id_key, meant)])
    return UserScope(tuple(named.values()), users, mine)


async def _refuse_without_source(
    request: RollbackRequest, run: RunRecord, scope: UserScope | None
) -> None:
    """Fail where the legacy users are no longer there: users would be deleted for good.

    Raises:
        UsageError: They are not.
    """
    database = request.database
    names = await collection_names(database, comment=str(run.run_id))
    known = await _names_of_source(request, run)
    if not known:
        return
    # What a finalize renamed comes back first, by its own rollback or by one before this; a part
    # of an earlier run goes back while it has its new name.
    new_names = [
        (one.number, entry.collection, entry.renamed)
        for one in request.runs
        if one.command == "finalize" and one.in_place
        async for entry in JournalReader(database, one.run_id).entries()
        if entry.kind is EntryKind.COLLECTION and entry.renamed is not None
    ]
    renamed = [now for number, _, now in new_names if number >= run.number]
    # Users of a collection made anew were moved to the kept ones, as refuse_taken_names asks.
    joined = names.isdisjoint((*known, *renamed))
    if joined:
        renamed = [now for _, was, now in new_names if was == known[0]]
    wanted = next((name for name in (*known, *renamed) if name in names), known[-1])
    if wanted not in names:
        raise UsageError(
            f"The legacy users in {wanted} are no longer there, so nothing can be taken back.",
            next_step=_put_back(database.name, known[-1], wanted),
        )
    migration = run
    if joined and run.command != "migrate":
        # The kept collection is there, with the users of the last migration or without them.
        earlier = (one for one in request.runs if one.in_place and one.number < run.number)
        migration = next((one for one in earlier if one.command == "migrate"), run)
    if migration.command == "migrate":
        here, gone = await _legacy_users(request, migration, wanted, scope)
        # The application makes an empty collection anew, and deletes a user now and then.
        expected = wanted in renamed and not joined
        moved = not expected and await _moved_away(request, migration, names)
        if gone and (moved or not here):
            kept = kept_name(wanted)
            raise UsageError(
                f"{gone:,} legacy users whom the run {migration.run_id} migrated are no longer in "
                f"{wanted}, so nothing can be taken back.",
                next_step=f"If they are in {kept}, give it the name {wanted} again, and run the "
                "same rollback again."
                if kept in names and kept != wanted
                else _put_back(database.name, known[-1], wanted),
            )


def _put_back(database: str, source: str, into: str) -> str:
    """How legacy users come back from a backup into a database that is in use."""
    rescue = f"{database}_rescue"
    restoring = shlex.join(
        ["newbi-migrate", "restore", "--database", rescue, "--collections", source, "BACKUP"]
    )
    merging = json.dumps(
        [
            {
                "$merge": {
                    "into": {"db": database, "coll": into},
                    "on": "_id",
                    "whenMatched": [],
                }
            }
        ]
    )
    return (
        f"Restore them beside it ({restoring}), copy them back (in mongosh, in {rescue}: "
        f"db[{json.dumps(source)}].aggregate({merging})), build their indexes again (there too: "
        f"db.getSiblingDB({json.dumps(database)}).runCommand({{createIndexes: {json.dumps(into)}, "
        f"indexes: db[{json.dumps(source)}].getIndexes()}})), and run the same rollback again."
    )


async def _names_of_source(request: RollbackRequest, run: RunRecord) -> list[str]:
    """Names of the collection of a run's legacy users: its own, and the one before each rename.

    A backup from before a ``finalize --keep`` has it under its first name.
    """
    source = run.document.get("source")
    if source is None:
        return []
    known = [source]
    for earlier in request.runs:
        # Where the finalize was taken back, they have that name again.
        if earlier.number < run.number and earlier.command == "finalize":
            async for entry in JournalReader(request.database, earlier.run_id).entries():
                if entry.kind is EntryKind.COLLECTION and entry.renamed == known[-1]:
                    known.append(entry.collection)
    return known


async def _legacy_users(
    request: RollbackRequest, run: RunRecord, name: str, scope: UserScope | None
) -> tuple[int, int]:
    """How many of the legacy users whom a run migrated are in a collection, and are not."""
    source = request.database[name]
    migrated = here = 0
    ids: list[Any] = []

    async def count_here() -> int:
        return await count(source, {"_id": {"$in": ids}}, comment=str(run.run_id))

    async for line in migrated_users(request.database, run.run_id):
        identifier = line["_id"]["legacy"]
        if line.get("userId") is None or (scope and id_key(identifier) not in scope.users):
            continue
        migrated += 1
        ids.append(identifier)
        if len(ids) == MAX_IDS:
            here += await count_here()
            ids.clear()
    here += await count_here() if ids else 0
    return here, migrated - here


async def _moved_away(request: RollbackRequest, run: RunRecord, names: Collection[str]) -> bool:
    """Whether a later ``finalize`` dropped the legacy users, or they are under another name."""
    for later in request.runs:
        if later.number > run.number and later.command == "finalize":
            async for entry in JournalReader(request.database, later.run_id).entries():
                if entry.drops_collection or entry.renamed in names:
                    return True
    return False
