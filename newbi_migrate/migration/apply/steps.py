"""Carry a plan out: users, documents, indexes, each journaled beforehand.

Interrupted at any point, the same call finishes the run: what exists is read again, and only
what is missing is written.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from bson import ObjectId

from newbi_migrate.answers import answer, answers
from newbi_migrate.choices import AliasOwners
from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import CollectionSpec, Registry
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.packed import PackedIds
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.apply.documents import DocumentWriter
from newbi_migrate.migration.apply.users import UserWriter
from newbi_migrate.migration.planning.codes import with_rules
from newbi_migrate.migration.planning.documents import DocumentPlane
from newbi_migrate.migration.planning.plan import chosen_collections
from newbi_migrate.migration.planning.refusals import REFUSALS
from newbi_migrate.migration.planning.results import (
    CollectionSummary,
    Findings,
    IndexAction,
    IndexDecision,
    Plan,
    Quarantine,
    RunResult,
    UserLine,
)
from newbi_migrate.migration.run.baseline import Baseline
from newbi_migrate.migration.run.beginning import begin_run
from newbi_migrate.migration.run.recovery import created_indexes
from newbi_migrate.migration.run.written import tally
from newbi_migrate.progress import timed
from newbi_migrate.store.collections import Identities, collection_names, collections
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import Created, Refused, build_wanted
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.runs import (
    MAX_RECORDED,
    RunWriter,
    fitting,
    migrated_users,
    noted_outcomes,
)
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import create_collection

__all__ = ["ApplyRequest", "apply_plan"]

# A legacy user's id, and what became of them.
_Line = tuple[Any, dict[str, Any]]

# What makes the workspace of a user.
_GIVES_WORKSPACE = frozenset({"user", "organization", "member"})

_RESCANS = 3
_TOLD_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """A run to carry out.

    Attributes:
        session: The leased session, working on the run.
        registry: The collections.
        plan: What to do, made under the lease.
        command: ``migrate`` or ``backfill``.
        resumed: Whether it was interrupted before; then it has a record and a journal.
        ending: Told what the run did, before that is recorded.
        baseline: What a new run records of the database before it, if anything.
    """

    session: LeasedSession
    registry: Registry
    plan: Plan
    command: str
    resumed: bool
    ending: Callable[[RunResult], None]
    baseline: Baseline | None = None


@dataclass(slots=True)
class _State:
    """What a run has done so far.

    Attributes:
        outcomes: How many legacy users for each outcome.
        created: Collection to the number of documents created for users.
        filled: Collection to the number of documents with filled fields.
        findings: What is worth knowing, of the plan and of the run.
        quarantine: What stays as it is, users and documents.
        collections: Collection to what happened to its documents.
        refused: Collection to the documents that the server refused.
        left: Collection to the documents that cannot be resolved.
        built: Collection and name of an index to what the server made of it.
        indexes: What became of each index.
        pending: Collection to the number of documents that came too late.
        timings: Phase to seconds.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    quarantine: Quarantine = field(default_factory=Quarantine)
    collections: dict[str, CollectionSummary] = field(default_factory=dict)
    refused: dict[str, Quarantine] = field(default_factory=dict)
    left: dict[str, Quarantine] = field(default_factory=dict)
    built: dict[tuple[str, str], Created | Refused] = field(default_factory=dict)
    indexes: list[IndexDecision] = field(default_factory=list)
    pending: dict[str, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


async def apply_plan(request: ApplyRequest) -> RunResult:
    """Carry a plan out.

    Raises:
        InterruptedRunError, LeaseLostError: The run stopped at a safe point.
        DamagedRecordsError: Its record or its journal disappeared meanwhile.
    """
    session = request.session
    record = RunWriter(session)
    state = _State(Counter(request.plan.outcomes), findings=Findings(request.plan.findings))
    journal = await _begin(request, record)

    workspaces = request.plan.workspaces
    if request.command == "migrate":
        with timed(state.timings, "users"):
            workspaces = await _users(request, state, journal, record)
    with timed(state.timings, "documents"):
        await _documents(request, state, journal, workspaces)
    with timed(state.timings, "rescan"):
        await _rescan(request, state, journal, workspaces)
    with timed(state.timings, "indexes"):
        await _indexes(request, state, journal)
    if request.resumed:
        await _count_all(request, state)

    await journal.require(journal.next_seq)
    result = RunResult(
        run_id=session.run_id,
        resumed=request.resumed,
        plan=request.plan,
        outcomes={outcome: state.outcomes[outcome] for outcome in Outcome},
        collections=state.collections,
        quarantine=state.quarantine,
        findings=state.findings,
        indexes=tuple(state.indexes),
        created=dict(state.created),
        filled=dict(state.filled),
        timings=state.timings,
        pending=dict(state.pending),
    )
    request.ending(result)
    await record.finish(
        {
            "journalEntries": journal.next_seq,
            "timings": state.timings,
            "created": dict(state.created),
            "filled": dict(state.filled),
            "collections": {
                name: {
                    **answer(summary),
                    "quarantinedWithout": summary.quarantined_without,
                    "unforeseen": _unforeseen(request.plan, state, name),
                }
                for name, summary in state.collections.items()
            },
            "quarantined": len(state.quarantine),
            "pending": [{"collection": n, "documents": d} for n, d in state.pending.items()],
            "findings": fitting(answers(with_rules(state.findings[:MAX_RECORDED]))),
            "exitCode": int(result.exit_code),
        },
    )
    return result


def _unforeseen(plan: Plan, state: _State, name: str) -> int:
    """How many documents of a collection were refused that the plan did not name as refused."""
    counts = plan.quarantine.counts()
    return max(0, len(state.refused[name]) - sum(counts[name, reason] for reason in REFUSALS))


async def _count_all(request: ApplyRequest, state: _State) -> None:
    """Count what the whole run wrote, its attempts before the interruption included."""
    session = request.session
    if request.command == "migrate":
        noted = await noted_outcomes(session.database, session.run_id, comment=session.comment)
        state.outcomes = Counter({outcome: noted[outcome.value] for outcome in Outcome})
    counted = await tally(session.database, session.run_id, request.registry.workspace_field)
    state.indexes = [
        replace(decision, action=IndexAction.CREATE)
        if decision.action is IndexAction.PRESENT
        and decision.name in counted.indexes[decision.collection]
        else decision
        for decision in state.indexes
    ]
    state.created, state.filled = counted.created, counted.filled
    for name, summary in state.collections.items():
        touched = counted.touched[name]
        state.collections[name] = replace(
            summary,
            stamped=counted.stamped[name],
            owners_rewritten=counted.owners_rewritten[name],
            kept=max(0, summary.documents - summary.quarantined - touched),
        )


async def _begin(request: ApplyRequest, record: RunWriter) -> Journal:
    session, plan = request.session, request.plan
    if request.resumed:
        return await Journal.resume(session)
    listed = await collections(session.database, comment=session.comment)
    names = [i.name for i in listed.values() if i.writable]
    return await begin_run(
        session,
        record,
        {
            "command": request.command,
            "policy": {**plan.options.policy(), "legacyCollection": plan.source},
            "source": plan.source,
            "planDigests": plan.digests.to_json(),
            "baseline": None if request.baseline is None else request.baseline.to_document(),
        },
        collections=names,
        indexed=[n for n in names if n in plan.collections or n in TARGET_COLLECTIONS],
    )


async def _users(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    record: RunWriter,
) -> Workspaces:
    """Create and fill the users' documents; return the workspaces as they turned out."""
    plan, session = request.plan, request.session
    await _create_collections(session, journal)
    first = [decision for decision in plan.indexes if _finds_documents_of_users(decision)]
    session.progress.phase("indexes", len(first))
    await _build(session, state, journal, first)
    identities = await Identities.now(session.database, comment=session.comment)
    writer = UserWriter(session, plan.source, journal, identities)
    # Noted beforehand: after an interruption a user who was created is no longer to be created.
    # All are noted, also those nothing is written for: a user of whom no run in place holds a
    # line has come since, and their document must not be dropped.
    session.progress.phase("record users", len(plan.users))
    await record.note_users(_told(session, map(_line, plan.users)))
    if request.resumed:
        await record.forget_users(await _gone(session, plan, journal))
    session.progress.phase("users", len(plan.users))
    failed = await writer.write(plan)
    state.created.update(writer.created)
    state.filled.update(writer.filled)
    state.findings.extend(writer.findings)
    if request.resumed or writer.unfilled:
        await record.note_unfilled(writer.unfilled)
    for line in plan.users:
        if line.reason is not None:
            state.quarantine.add(plan.source, "_id", line.reason, [line.legacy_id])
    for legacy_id, reason in failed.items():
        state.quarantine.add(plan.source, "_id", reason, [legacy_id])
    if not failed:
        return plan.workspaces
    # Those for whom something is written have ids that can be keys.
    refused = [line for line in plan.users if line.writes and line.legacy_id in failed]
    await record.note_users(_line(line, failed[line.legacy_id]) for line in refused)
    state.outcomes.subtract(line.outcome for line in refused)
    state.outcomes[Outcome.QUARANTINED] += len(refused)
    return _workspaces_without(plan, failed)


def _told(session: LeasedSession, lines: Iterable[_Line]) -> Iterator[_Line]:
    """The same lines; the listener is told of them by the thousand."""
    number = 0
    for number, line in enumerate(lines, 1):
        yield line
        if not number % _TOLD_AT_ONCE:
            session.progress.advance(_TOLD_AT_ONCE)
    session.progress.advance(number % _TOLD_AT_ONCE)


async def _gone(session: LeasedSession, plan: Plan, journal: Journal) -> list[Any]:
    """Legacy users whom the interrupted run noted, and who were deleted before it wrote for them.

    Where their user is gone as well, nothing of what it wrote is left.
    """
    gone: list[Any] = []
    unwritten: dict[bytes, Any] = {}
    async for line in migrated_users(session.database, session.run_id):
        legacy_id = line["_id"]["legacy"]
        if plan.users.decisions.position(legacy_id) >= 0:
            continue
        if line["userId"] in plan.workspaces.users:
            unwritten[id_key(legacy_id)] = legacy_id
        else:
            gone.append(legacy_id)
    if unwritten:
        async for entry in journal.entries():
            if entry.kind is EntryKind.WINDOW:
                # Documents come after all users: nobody left before their turn.
                return gone
            if entry.kind is EntryKind.USERS:
                for write in entry.writes():
                    unwritten.pop(id_key(write.user), None)
    return [*gone, *unwritten.values()]


def _line(line: UserLine, failed: Reason | None = None) -> _Line:
    return line.legacy_id, {
        "userId": line.user_id,
        "organizationId": line.workspace,
        "accountId": line.creates.get("account"),
        "memberId": line.creates.get("member"),
        "outcome": line.outcome.value,
        "reason": failed or line.reason,
    }


def _workspaces_without(plan: Plan, failed: Mapping[Any, Reason]) -> Workspaces:
    """The workspaces where some users turned out not to be writable.

    Whoever already had user, organization and membership keeps the workspace: a refused account,
    or a refused fill, does not concern documents.
    """
    workspaces = plan.workspaces
    by_user: dict[ObjectId, ObjectId | Reason] = {}
    gone: set[ObjectId] = set()
    nowhere: set[Any] = set()
    for line in plan.users:
        if line.user_id is None or line.legacy_id not in failed:
            continue
        if not _GIVES_WORKSPACE.isdisjoint(line.creates):
            nowhere.add(line.legacy_id)
            by_user[line.user_id] = Reason.OWNER_QUARANTINED
            if line.workspace is not None and "organization" in line.creates:
                gone.add(line.workspace)
    return Workspaces(
        PackedIds(i for i in workspaces.organizations if i not in gone),
        workspaces.users,
        {a: b for a, b in workspaces.aliases.items() if a not in nowhere},
        # What is said first counts: no copy of a million workspaces for a few that are different.
        ChainMap(by_user, cast("dict[ObjectId, ObjectId | Reason]", workspaces.by_user)),
        workspaces.members,
    )


async def _create_collections(session: LeasedSession, journal: Journal) -> None:
    names = await collection_names(session.database, comment=session.comment)
    for name in TARGET_COLLECTIONS:
        if name not in names:
            seq = await journal.append(EntryKind.COLLECTION, name, {})
            # One that the application made at this very moment is not ours to drop.
            created = [name] if await create_collection(session, name) else []
            await journal.applied(seq, {"created": created})


def _plane(request: ApplyRequest, workspaces: Workspaces) -> DocumentPlane:
    return DocumentPlane(
        request.session.database,
        request.registry,
        workspaces,
        rewrite_owners=request.plan.options.alias_owners is AliasOwners.REWRITE,
        comment=request.session.comment,
        unwritable=request.plan.unwritable,
        odd_users=request.plan.users.odd_users,
    )


async def _stamp(
    request: ApplyRequest,
    plane: DocumentPlane,
    spec: CollectionSpec,
    journal: Journal,
    *,
    repeat: bool,
) -> tuple[CollectionSummary, Quarantine, Quarantine]:
    options, session = request.plan.options, request.session
    writer = DocumentWriter(session, journal, plane)
    return await writer.write(
        spec,
        batch_size=session.throttle.window(options.batch_size),
        workers=options.workers,
        repeat=repeat or request.resumed,
    )


async def _documents(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    workspaces: Workspaces,
) -> None:
    plan, options = request.plan, request.plan.options
    plane = _plane(request, workspaces)
    request.session.progress.phase("documents", sum(s.documents for s in plan.collections.values()))
    for spec in chosen_collections(request.registry, options):
        planned = plan.collections.get(spec.name)
        if planned is None:
            continue
        if not planned.pending and workspaces is plan.workspaces:
            # Nothing to write: what the plan found is what is there.
            state.collections[spec.name] = planned
            state.left[spec.name] = plan.quarantine.of(spec.name)
            state.refused[spec.name] = Quarantine()
            request.session.progress.advance(planned.documents, spec.name)
            continue
        with timed(state.timings, f"documents.{spec.name}"):
            summary, refused, left = await _stamp(request, plane, spec, journal, repeat=False)
        state.collections[spec.name] = summary
        state.refused[spec.name], state.left[spec.name] = refused, left


async def _rescan(
    request: ApplyRequest,
    state: _State,
    journal: Journal,
    workspaces: Workspaces,
) -> None:
    """Look at every collection once more, for documents written during the run.

    What is counted must be what the run left; only where it is not are the documents
    themselves read again.
    """
    options = request.plan.options
    plane = _plane(request, workspaces)
    request.session.progress.phase("rescan", sum(s.documents for s in state.collections.values()))
    for spec in chosen_collections(request.registry, options):
        if spec.name not in state.collections:
            continue
        left, refused = state.left[spec.name], state.refused[spec.name]
        written = state.collections[spec.name].pending
        census = await plane.census(spec)
        for _ in range(_RESCANS):
            if census.pending <= len(refused):
                break
            more, refused, left = await _stamp(request, plane, spec, journal, repeat=True)
            summary = state.collections[spec.name]
            state.collections[spec.name] = replace(
                summary,
                stamped=summary.stamped + more.stamped,
                owners_rewritten=summary.owners_rewritten + more.owners_rewritten,
            )
            written += more.pending
            census = await plane.census(spec)
        late = max(0, census.pending - len(refused))
        if late:
            state.pending[spec.name] = late
        # A census counts documents that the server refuses as pending.
        state.collections[spec.name] = replace(
            state.collections[spec.name],
            documents=census.documents - late,
            kept=max(0, census.kept - written),
            quarantined=census.quarantined + census.pending - late,
            quarantined_without=max(0, census.without_workspace - late),
        )
        state.refused[spec.name] = refused
        if census.quarantined != len(left):
            left = (await plane.survey(spec, request.session.progress)).quarantine
        state.quarantine.extend(left)
        state.quarantine.extend(refused)
        request.session.progress.advance(census.documents, spec.name)


async def _indexes(request: ApplyRequest, state: _State, journal: Journal) -> None:
    planned, session = request.plan.indexes, request.session
    left = [decision for decision in planned if not _finds_documents_of_users(decision)]
    session.progress.phase("indexes", len(left))
    await _build(session, state, journal, left)
    for decision in planned:
        outcome = state.built.get((decision.collection, decision.spec.name))
        state.indexes.append(
            IndexDecision(decision.collection, decision.spec, IndexAction.COLLISION, outcome.reason)
            if isinstance(outcome, Refused)
            else decision
        )


def _finds_documents_of_users(decision: IndexDecision) -> bool:
    """Whether an index finds what a user has already; without it each batch reads everybody's."""
    return decision.collection in TARGET_COLLECTIONS and not decision.spec.unique


async def _build(
    session: LeasedSession, state: _State, journal: Journal, planned: Sequence[IndexDecision]
) -> None:
    identities = await Identities.now(session.database, comment=session.comment)
    for name in dict.fromkeys(decision.collection for decision in planned):
        here = [decision for decision in planned if decision.collection == name]
        wanted = [d.spec for d in here if d.action is IndexAction.CREATE]
        if wanted:
            await session.turn(0)
            # An index would make a collection anew that somebody dropped or renamed.
            await identities.check(name)
            names = [spec.name for spec in wanted]
            seq = await journal.append(EntryKind.INDEX, name, {"names": names})
            made = await build_wanted(session, name, wanted)
            created = [i for i, outcome in made.items() if isinstance(outcome, Created)]
            await journal.applied(seq, await created_indexes(session.database, name, created))
            state.built |= {(name, index): outcome for index, outcome in made.items()}
        session.progress.advance(len(here), name)
