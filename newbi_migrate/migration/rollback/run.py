"""A rollback from its first look to its last write, in the order that leaves nothing dangling.

Indexes, documents, then what was created for users: memberships, organizations, accounts,
users. It needs no journal of its own, because what holds its prior value is done. It changes
when a run does something else that must be taken back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import InterruptedRunError, UsageError
from newbi_migrate.mapping.values import read_id
from newbi_migrate.migration.pacing import Pacer
from newbi_migrate.migration.rollback.documents import Chosen, DocumentRollback
from newbi_migrate.migration.rollback.indexes import StructureRollback
from newbi_migrate.migration.rollback.results import (
    OnConflict,
    RollbackOptions,
    RollbackResult,
)
from newbi_migrate.migration.rollback.users import UserRollback
from newbi_migrate.migration.users import id_key
from newbi_migrate.models.registry import Registry
from newbi_migrate.progress import Progress
from newbi_migrate.store.connection import ServerInfo
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.runs import RunRecord, RunRecords, RunState

__all__ = ["RollbackRequest", "choose_run", "refuse_while_rolling_back", "roll_back"]


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """A rollback to carry out.

    Attributes:
        database: Where.
        server: What the server is.
        registry: The collections.
        runs: All runs, the newest first.
        run: The one to take back.
        options: The choices.
        progress: Told of everything.
        pacer: Waited for before anything is written.
    """

    database: AsyncDatabase[dict[str, Any]]
    server: ServerInfo
    registry: Registry
    runs: Sequence[RunRecord]
    run: RunRecord
    options: RollbackOptions
    progress: Progress
    pacer: Pacer


def choose_run(
    runs: Sequence[RunRecord], run_id: ObjectId | None, options: RollbackOptions
) -> RunRecord | None:
    """The run to take back: the one named, or the last that is still in place.

    Args:
        runs: All runs, the newest first.
        run_id: The run that was named, if one was.
        options: The choices.

    Raises:
        UsageError: There is no such run, later runs rest upon it, its journal is gone, or only
            a part of a run that has not come to its end is to be taken back.
    """
    in_place = [run for run in runs if run.state is not RunState.ROLLED_BACK]
    if run_id is None:
        chosen = next(iter(in_place), None)
    else:
        chosen = next((run for run in runs if run.run_id == run_id), None)
        if chosen is None:
            raise UsageError(
                f"There is no run {run_id} in this database.",
                next_step="See status for the runs there are.",
            )
        later = [run for run in in_place if run.run_id > run_id]
        # A part can go while later runs are in place: what they refer to stays.
        if later and options.whole:
            raise UsageError(
                f"The {later[0].command} run {later[0].run_id} came after run {run_id} and is "
                "still in place.",
                next_step="Take the later runs back first, or all of them with --all.",
            )
    if chosen is not None and chosen.document.get("journalDropped"):
        raise UsageError(
            f"The journal of run {chosen.run_id} was dropped when the migration was finalized, "
            "so it cannot be taken back.",
            next_step="Restore the backup instead: newbi-migrate restore.",
        )
    if chosen is not None and chosen.state.unfinished and not options.whole:
        raise UsageError(
            f"The {chosen.command} run {chosen.run_id} has not come to its end; a part of it "
            "cannot be taken back.",
            next_step="Finish it, or take all of it back.",
        )
    return chosen


def refuse_while_rolling_back(runs: Sequence[RunRecord]) -> None:
    """Fails while a rollback has begun and not come to its end.

    Raises:
        InterruptedRunError: One has; what it left must not be built upon.
    """
    for run in runs:
        if run.state is RunState.ROLLING_BACK:
            raise InterruptedRunError(
                f"The rollback of run {run.run_id} was interrupted and is not finished.",
                next_step="Finish it first: newbi-migrate rollback.",
            )


async def roll_back(
    request: RollbackRequest, safe_point: Callable[[], None] | None
) -> RollbackResult:
    """Takes a run back; the lease must be held, and the run must be settled.

    Args:
        request: What to take back.
        safe_point: Called before every write, raises to stop there; ``None`` for a dry run.

    Raises:
        UsageError: A collection is not registered, or what is to be taken back is not there or
            cannot be told apart.
        NewbiMigrateError: ``safe_point`` stopped it; the same call finishes it.
    """
    for name in request.options.collections or ():
        _ = request.registry[name]
    chosen = await _chosen(request)
    await _refuse_without_source(request)
    timings: dict[str, float] = {}
    if safe_point is None or request.options.on_conflict is OnConflict.STOP:
        # A look first: where somebody's changes are in the way, nothing at all is written.
        looked = await _Attempt.begin(request, chosen)
        looked.result.dry_run = safe_point is None
        await looked.look(request)
        if safe_point is None or looked.result.refused:
            return looked.result
        timings = looked.result.timings
    attempt = await _Attempt.begin(request, chosen)
    attempt.result.timings.update(timings)
    await attempt.carry_out(request, safe_point)
    return attempt.result


@dataclass(slots=True)
class _Attempt:
    """One pass over everything a run wrote, with what came of it."""

    result: RollbackResult
    structure: StructureRollback
    documents: DocumentRollback
    users: UserRollback | None

    @classmethod
    async def begin(cls, request: RollbackRequest, chosen: Chosen | None) -> _Attempt:
        database, run, options = request.database, request.run, request.options
        comment = str(run.run_id)
        journal = await Journal.open(database, run.run_id)
        result = RollbackResult(
            database=database.name,
            run_id=run.run_id,
            command=run.command,
            dry_run=False,
            options=options,
        )
        field = request.registry.workspace_field
        # Indexes serve all users, so they stay where only some are taken back.
        of_structure = options.collections if chosen is None else ()
        structure = StructureRollback(database, run, journal, field, of_structure, result, comment)
        documents = DocumentRollback(
            database, journal, field, options.collections, chosen, result, comment
        )
        users = None
        if options.collections is None:
            keys = None if chosen is None else frozenset(map(id_key, chosen.users))
            users = UserRollback(
                database,
                journal,
                field,
                keys,
                request.server.has_transactions,
                result,
                comment,
            )
        return cls(result, structure, documents, users)

    async def look(self, request: RollbackRequest) -> None:
        async with _timed(self.result, "survey"):
            request.progress.phase("survey", None)
            await self.structure.inspect()
            await self.documents.survey(request.progress)
            if self.users is not None:
                await self.users.inspect()
                self.users.foresee(await self.users.decide(self.documents.released))
            self.structure.foresee()
            if self.users is not None:
                await self.structure.foresee_collections()

    async def carry_out(self, request: RollbackRequest, safe_point: Callable[[], None]) -> None:
        result, progress, pacer = self.result, request.progress, request.pacer
        records = RunRecords(request.database)
        run_id, whole = request.run.run_id, request.options.whole
        if whole and request.run.state is not RunState.ROLLED_BACK:
            safe_point()
            await records.rolling_back(run_id)
        async with _timed(result, "indexes"):
            progress.phase("indexes", None)
            await self.structure.inspect()
            await pacer.before(0)
            await self.structure.drop(records, safe_point)
            await self.structure.rename_back(safe_point)
        async with _timed(result, "documents"):
            progress.phase("documents", None)
            await self.documents.apply(safe_point, progress, pacer)
        if self.users is not None:
            async with _timed(result, "users"):
                await self.users.inspect()
                units = await self.users.decide({})
                progress.phase("users", len(units))
                await self.users.apply(units, safe_point, progress, pacer)
        async with _timed(result, "structure"):
            await pacer.before(0)
            await self.structure.rebuild(safe_point)
            if whole:
                await self.structure.drop_collections(safe_point)
        safe_point()
        await records.rolled_back(run_id, _record(result), whole=whole)


def _record(result: RollbackResult) -> dict[str, Any]:
    """What the run's record keeps of a rollback."""
    kept = result.to_json()
    return {
        **{name: kept[name] for name in ("onConflict", "deleted", "unfilled", "sessionsLeft")},
        "conflicts": kept["conflicts"][:1000],
        "conflictCount": kept["conflictCount"],
        "kept": kept["kept"][:1000],
        "documents": [{"collection": n, **counts} for n, counts in kept["documents"].items()],
        "indexesDropped": kept["indexesDropped"],
        "exitCode": kept["exitCode"],
    }


async def _chosen(request: RollbackRequest) -> Chosen | None:
    """The legacy users that were named, with workspaces they share with nobody else.

    Raises:
        UsageError: One is unknown, or shares his workspace with somebody who was not named.
    """
    if request.options.users is None:
        return None
    records = RunRecords(request.database)
    workspaces: dict[bytes, ObjectId] = {}
    legacy: dict[str, Any] = {}
    sharing: dict[ObjectId, set[bytes]] = defaultdict(set)
    for run in reversed(request.runs):
        if run.run_id > request.run.run_id:
            continue
        async for line in records.users(run.run_id):
            key = id_key(line["legacyUserId"])
            legacy[str(line["legacyUserId"])] = line["legacyUserId"]
            if line["organizationId"] is not None:
                workspaces[key] = line["organizationId"]
                sharing[line["organizationId"]].add(key)
    unknown = [str(user) for user in request.options.users if str(user) not in legacy]
    if unknown:
        raise UsageError(
            f"No run migrated the legacy user {unknown[0]}.",
            next_step="Name legacy users by their _id, as migrate --verbose lists them.",
        )
    named = {id_key(legacy[str(user)]): legacy[str(user)] for user in request.options.users}
    mine = frozenset(workspaces[key] for key in named if key in workspaces)
    names = {id_key(user): name for name, user in legacy.items()}
    for workspace in mine:
        others = sharing[workspace] - named.keys()
        if others:
            raise UsageError(
                f"The legacy user {names[min(others)]} has the same workspace {workspace}.",
                next_step="Name all who share it, so that they go back together.",
            )
    users = {read_id(user).value for user in named.values()} | set(named.values())
    return Chosen(frozenset(users - {None}), mine)


async def _refuse_without_source(request: RollbackRequest) -> None:
    """Fails where the legacy users are no longer there: users would be deleted for good.

    Raises:
        UsageError: They are not.
    """
    run, database = request.run, request.database
    names = set(await database.list_collection_names(comment=str(run.run_id)))
    wanted = run.document.get("source")
    renamed: set[str] = set()
    journal = await Journal.open(database, run.run_id)
    if run.command == "finalize":
        renamed = {
            entry.body["renamed"]
            async for entry in journal.entries()
            if entry.kind is EntryKind.COLLECTION and "renamed" in entry.body
        }
    if wanted is not None and wanted not in names and not renamed & names:
        raise UsageError(
            f"The legacy users in {wanted} are no longer there, so nothing can be taken back.",
            next_step=f"Restore {wanted} from the backup first: newbi-migrate restore.",
        )


@asynccontextmanager
async def _timed(result: RollbackResult, phase: str) -> AsyncIterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        result.timings[phase] = round(time.perf_counter() - begun, 3)
