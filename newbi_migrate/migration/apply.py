"""Carrying a plan out: users first, then documents, then indexes, each journaled beforehand.

Interrupted at any point, the same call finishes the run: what exists is read again, and only
what is missing is written. It changes when a run gets a further phase.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Directory, Reason
from newbi_migrate.migration.documents import DocumentPlane
from newbi_migrate.migration.options import AliasOwners
from newbi_migrate.migration.pacing import Pacer, Pacing
from newbi_migrate.migration.plan import chosen_collections, findings_to_json
from newbi_migrate.migration.reference import Reference
from newbi_migrate.migration.results import (
    CollectionSummary,
    IndexAction,
    IndexDecision,
    Plan,
    Quarantine,
    RunResult,
    UserLine,
)
from newbi_migrate.migration.settle import created_indexes
from newbi_migrate.migration.survey import TARGET_COLLECTIONS
from newbi_migrate.migration.user_writer import UserWriter
from newbi_migrate.models.registry import CollectionSpec, Registry
from newbi_migrate.progress import Progress
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import ServerInfo
from newbi_migrate.store.indexes import Created, Refused, create_indexes, read_indexes
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.runs import OWN_PREFIX, RunRecords

__all__ = ["ApplyRequest", "apply_plan"]

_RESCANS = 3


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """A run to carry out.

    Attributes:
        database: Where.
        server: What the server is.
        registry: The collections.
        plan: What to do.
        command: ``migrate`` or ``backfill``.
        run_id: Id of the run.
        resumed: Whether it was interrupted before; then it has a record and a journal.
        timings: Phase to seconds, of what was done before.
        version: Version of this package, for the record.
        progress: Told of everything.
        safe_point: Called before every write; raises to stop the run there.
        pacing: What holds the run back.
        pacer: Waited for before users, documents and indexes are written.
        reference: What a new run records of the database before it, if anything.
    """

    database: AsyncDatabase[dict[str, Any]]
    server: ServerInfo
    registry: Registry
    plan: Plan
    command: str
    run_id: ObjectId
    resumed: bool
    timings: Mapping[str, float]
    version: str
    progress: Progress
    safe_point: Callable[[], None]
    pacing: Pacing
    pacer: Pacer
    reference: Reference | None = None


@dataclass(slots=True)
class _State:
    created: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    quarantine: Quarantine = field(default_factory=Quarantine)
    collections: dict[str, CollectionSummary] = field(default_factory=dict)
    refused: dict[str, Quarantine] = field(default_factory=dict)
    left: dict[str, Quarantine] = field(default_factory=dict)
    indexes: list[IndexDecision] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


async def apply_plan(request: ApplyRequest) -> RunResult:
    """Carries a plan out; the lease must be held, and an interrupted run must be settled.

    Raises:
        InterruptedRunError, LeaseLostError: The run stopped at a safe point.
    """
    run_id, comment = request.run_id, str(request.run_id)
    records = RunRecords(request.database)
    state = _State(findings=list(request.plan.findings), timings=dict(request.timings))
    if not request.resumed:
        await _begin(request, records, run_id)
    journal = await Journal.open(request.database, run_id)

    directory = request.plan.directory
    if request.command == "migrate":
        async with _timed(state, "users"):
            directory = await _users(request, state, journal, records, run_id)
    async with _timed(state, "documents"):
        await _documents(request, state, journal, directory, comment)
    async with _timed(state, "rescan"):
        await _rescan(request, state, journal, directory, comment)
    async with _timed(state, "indexes"):
        await _indexes(request, state, journal, comment)
    if request.resumed:
        await _count_all(request, state, journal)

    result = RunResult(
        run_id=run_id,
        resumed=request.resumed,
        plan=request.plan,
        collections=state.collections,
        quarantine=state.quarantine,
        findings=tuple(state.findings),
        indexes=tuple(state.indexes),
        created=dict(state.created),
        filled=dict(state.filled),
        timings=state.timings,
    )
    request.safe_point()
    await records.finish(
        run_id,
        {
            "timings": state.timings,
            "created": dict(state.created),
            "filled": dict(state.filled),
            "collections": {n: s.to_json() for n, s in state.collections.items()},
            "quarantined": len(state.quarantine),
            "findings": findings_to_json(state.findings[:1000]),
            "exitCode": int(result.exit_code),
        },
    )
    return result


@asynccontextmanager
async def _timed(state: _State, phase: str) -> AsyncIterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        state.timings[phase] = round(time.perf_counter() - begun, 3)


async def _count_all(request: ApplyRequest, state: _State, journal: Journal) -> None:
    """Counts what the whole run wrote, its attempts before the interruption included."""
    tally = await journal.tally(request.registry.workspace_field)
    state.created, state.filled = tally.created, tally.filled
    for name, summary in state.collections.items():
        touched = tally.touched[name]
        state.collections[name] = replace(
            summary,
            stamped=tally.stamped[name],
            owners_rewritten=tally.owners_rewritten[name],
            kept=max(0, summary.documents - summary.quarantined - touched),
        )


async def _begin(request: ApplyRequest, records: RunRecords, run_id: ObjectId) -> None:
    plan = request.plan
    names = [
        info["name"]
        async for info in await request.database.list_collections(comment=str(run_id))
        if info.get("type", "collection") == "collection"
        and not info["name"].startswith(("system.", OWN_PREFIX))
    ]
    before = {
        name: list(await read_indexes(request.database, name))
        for name in names
        if name in plan.collections or name in TARGET_COLLECTIONS
    }
    request.safe_point()
    await records.start(
        run_id,
        {
            "command": request.command,
            "policy": {**plan.options.policy(), "legacyCollection": plan.source},
            "version": request.version,
            "server": ".".join(map(str, request.server.version)),
            "database": plan.database,
            "source": plan.source,
            "planDigests": dict(plan.digests),
            "collectionsBefore": sorted(names),
            # A list of pairs: names of collections may hold dots.
            "indexesBefore": [{"collection": n, "indexes": i} for n, i in before.items()],
            "reference": None if request.reference is None else request.reference.to_document(),
        },
    )


async def _users(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    records: RunRecords,
    run_id: ObjectId,
) -> Directory:
    """Creates and fills the users' documents; gives the directory as it turned out."""
    plan, comment = request.plan, str(run_id)
    await _create_collections(request, journal, comment)
    writer = UserWriter(
        request.database,
        plan.source,
        journal,
        transactions=request.server.has_transactions,
        safe_point=request.safe_point,
        pace=request.pacer.before,
        comment=comment,
    )
    # Noted beforehand: after an interruption a user who was created is no longer to be created.
    request.safe_point()
    await records.note_users(
        run_id, [_line(line) for line in plan.users if line.writes or line.reason is not None]
    )
    request.progress.phase("users", len(plan.users))
    failed = await writer.write(plan, request.progress)
    state.created.update(writer.created)
    state.filled.update(writer.filled)
    state.findings.extend(writer.findings)
    for line in plan.users:
        if line.reason is not None:
            state.quarantine.add(plan.source, "_id", line.reason, [line.legacy_id])
    for legacy_id, reason in failed.items():
        state.quarantine.add(plan.source, "_id", reason, [legacy_id])
    request.safe_point()
    await records.note_users(
        run_id,
        [_line(line, failed[line.legacy_id]) for line in plan.users if line.legacy_id in failed],
    )
    if not failed:
        return plan.directory
    return _without(plan, failed)


def _line(line: UserLine, failed: Reason | None = None) -> dict[str, Any]:
    return {
        "legacyUserId": line.legacy_id,
        "userId": line.user_id,
        "organizationId": line.workspace,
        "accountId": line.creates.get("account"),
        "memberId": line.creates.get("member"),
        "outcome": line.outcome.value,
        "reason": failed or line.reason,
    }


def _without(plan: Plan, failed: Mapping[Any, Reason]) -> Directory:
    """The directory where some users turned out not to be writable."""
    directory = plan.directory
    homes = dict(directory.homes)
    organizations = set(directory.organizations)
    for line in plan.users:
        if line.legacy_id in failed and line.user_id is not None:
            homes[line.user_id] = Reason.OWNER_QUARANTINED
            if line.workspace is not None and "organization" in line.creates:
                organizations.discard(line.workspace)
    return Directory(
        frozenset(organizations),
        directory.users,
        {a: b for a, b in directory.aliases.items() if a not in failed},
        homes,
        directory.members,
    )


async def _create_collections(request: ApplyRequest, journal: Journal, comment: str) -> None:
    names = set(await request.database.list_collection_names(comment=comment))
    for name in TARGET_COLLECTIONS:
        if name in names:
            continue
        request.safe_point()
        seq = await journal.append(EntryKind.COLLECTION, name, {}, comment=comment)
        request.safe_point()
        created = [name]
        try:
            await request.database.create_collection(name, check_exists=False, comment=comment)
        except OperationFailure as error:
            if error.code != Code.NAMESPACE_EXISTS:
                raise
            # The application made it at this very moment; it is not ours to drop.
            created = []
        request.safe_point()
        await journal.applied(seq, {"created": created}, comment=comment)


def _plane(request: ApplyRequest, directory: Directory, comment: str) -> DocumentPlane:
    return DocumentPlane(
        request.database,
        request.registry,
        directory,
        rewrite_owners=request.plan.options.alias_owners is AliasOwners.REWRITE,
        comment=comment,
    )


async def _stamp(
    request: ApplyRequest, plane: DocumentPlane, spec: CollectionSpec, journal: Journal
) -> tuple[CollectionSummary, Quarantine, Quarantine]:
    options = request.plan.options
    return await plane.apply(
        spec,
        journal,
        request.progress,
        batch_size=request.pacing.window(options.batch_size),
        workers=options.workers,
        begun=request.run_id.generation_time,
        safe_point=request.safe_point,
        pace=request.pacer.before,
    )


async def _documents(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    directory: Directory,
    comment: str,
) -> None:
    plan, options = request.plan, request.plan.options
    plane = _plane(request, directory, comment)
    request.progress.phase("documents", sum(s.documents for s in plan.collections.values()))
    for spec in chosen_collections(request.registry, options):
        planned = plan.collections.get(spec.name)
        if planned is None:
            continue
        if not planned.pending and directory is plan.directory:
            # Nothing to write: what the plan found is what is there.
            state.collections[spec.name] = planned
            state.left[spec.name] = plan.quarantine.of(spec.name)
            state.refused[spec.name] = Quarantine()
            request.progress.advance(planned.documents, spec.name)
            continue
        begun = time.perf_counter()
        summary, refused, left = await _stamp(request, plane, spec, journal)
        state.collections[spec.name] = summary
        state.refused[spec.name], state.left[spec.name] = refused, left
        state.timings[f"documents.{spec.name}"] = round(time.perf_counter() - begun, 3)


async def _rescan(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    directory: Directory,
    comment: str,
) -> None:
    """Looks at every collection once more, for documents written during the run.

    What is counted must be what the run left; only where it is not are the documents
    themselves read again.
    """
    options = request.plan.options
    plane = _plane(request, directory, comment)
    request.progress.phase("rescan", sum(s.documents for s in state.collections.values()))
    for spec in chosen_collections(request.registry, options):
        if spec.name not in state.collections:
            continue
        left, refused = state.left[spec.name], state.refused[spec.name]
        census = await plane.census(spec)
        for _ in range(_RESCANS):
            if census.pending <= len(refused):
                break
            late, refused, left = await _stamp(request, plane, spec, journal)
            state.collections[spec.name].stamped += late.stamped
            state.collections[spec.name].documents = late.documents
            census = await plane.census(spec)
        if census.quarantined != len(left):
            left = (await plane.survey(spec, request.progress)).quarantine
        state.quarantine.extend(left)
        state.quarantine.extend(refused)
        request.progress.advance(census.documents, spec.name)


async def _indexes(request: ApplyRequest, state: _State, journal: Journal, comment: str) -> None:
    planned = request.plan.indexes
    request.progress.phase("indexes", len(planned))
    outcomes: dict[tuple[str, str], Created | Refused] = {}
    for name in dict.fromkeys(decision.collection for decision in planned):
        here = [decision for decision in planned if decision.collection == name]
        wanted = [d.spec for d in here if d.action is IndexAction.CREATE]
        if wanted:
            await request.pacer.before(0)
            request.safe_point()
            names = [spec.name for spec in wanted]
            seq = await journal.append(EntryKind.INDEX, name, {"names": names}, comment=comment)
            made = await create_indexes(
                request.database, name, wanted, comment=comment, safe_point=request.safe_point
            )
            created = [i for i, outcome in made.items() if isinstance(outcome, Created)]
            request.safe_point()
            body = await created_indexes(request.database, name, created)
            await journal.applied(seq, body, comment=comment)
            outcomes |= {(name, index): outcome for index, outcome in made.items()}
        request.progress.advance(len(here), name)
    for decision in planned:
        outcome = outcomes.get((decision.collection, decision.spec.name))
        state.indexes.append(
            IndexDecision(decision.collection, decision.spec, IndexAction.COLLISION, outcome.reason)
            if isinstance(outcome, Refused)
            else decision
        )
