"""Dropping what the old structure left behind, journaled.

Each of the two commands is a run of its own, with a record and a journal, so that a rollback can
take it back as far as that is possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DatabaseMovedOnError, UsageError, ValidationFailedError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.migration.finalize.legacy_users import LegacyUsers, refuse_unaccounted
from newbi_migrate.migration.finalize.results import FinalizeResult, HeldIndex, ObsoleteIndexes
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.survey import kept_name
from newbi_migrate.migration.run.beginning import begin_run
from newbi_migrate.migration.run.runner import unfinished_run
from newbi_migrate.migration.validation.report import RuleResult, ValidationReport
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.indexes import drop_index, plan_indexes, read_indexes
from newbi_migrate.store.journal import JOURNAL, EntryKind, Journal
from newbi_migrate.store.runs import RunRecord, RunWriter, readable_collections
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import drop_collection

__all__ = [
    "FinalizeRequest",
    "carry_out",
    "end_again",
    "refuse_other",
    "refuse_unless_ready",
    "refuse_unmigrated",
    "review_obsolete",
]

_COMMENT: Final = "newbi-migrate indexes"


@dataclass(frozen=True, slots=True)
class FinalizeRequest:
    """What is to be closed.

    Attributes:
        registry: The collections.
        command: ``indexes`` or ``finalize``.
        source: The collection of legacy users, for ``finalize``.
        keep: Whether it is renamed and not dropped.
        drop_journal: Whether the journal of all runs goes too.
        quarantined: Legacy users who were quarantined.
        let_in: Legacy users who were disabled or banned, and whom Better Auth lets in.
        there_before: Broken rules that no run is the cause of.
    """

    registry: Registry
    command: str
    source: str | None = None
    keep: bool = False
    drop_journal: bool = False
    quarantined: int = 0
    let_in: tuple[Any, ...] = ()
    there_before: tuple[RuleResult, ...] = ()

    @property
    def policy(self) -> dict[str, Any]:
        """The choices that decide what is written."""
        return {"keep": self.keep, "dropJournal": self.drop_journal}

    def of_run(self, begun: RunRecord) -> FinalizeRequest:
        """The same, with what was found out when a run began that goes on now."""
        recorded = begun.document
        return replace(
            self,
            source=recorded.get("source"),
            quarantined=recorded.get("quarantinedUsers", 0),
        )


async def review_obsolete(database: Database, registry: Registry) -> ObsoleteIndexes:
    """Which indexes of the old structure are there, and whether they can go; reads only.

    One that keeps something unique stays until the unique indexes that are to take its place
    are all there: between the two nothing would be unique.
    """
    infos = await readable_collections(database, comment=_COMMENT)
    names = {name for name, info in infos.items() if info.holds_documents}
    to_drop: list[tuple[str, dict[str, Any]]] = []
    held: list[HeldIndex] = []
    to_create: list[tuple[str, str]] = []
    for spec in registry:
        if spec.name not in names:
            continue
        stored = await read_indexes(database, spec.name)
        planned = plan_indexes(stored, spec)
        absent = list(planned.to_create) + [i for i, _ in planned.conflicts]
        to_create += [(spec.name, index.name) for index in absent]
        missing = next((index.name for index in absent if index.unique), None)
        by_name = {index["name"]: index for index in stored}
        for index in planned.obsolete_present:
            if index.unique and missing is not None:
                held.append(HeldIndex(spec.name, index.name, missing))
            else:
                to_drop.append((spec.name, by_name[index.name]))
    return ObsoleteIndexes(tuple(to_drop), tuple(held), tuple(to_create))


def refuse_unmigrated(runs: Iterable[RunRecord]) -> None:
    """Fail where no migration is in place: the old structure is all there is.

    Raises:
        UsageError: None is.
    """
    if not any(run.in_place and run.migrates for run in runs):
        raise UsageError(
            "No run has migrated this database, so nothing of its old structure can go.",
            next_step="Nothing was written. Migrate it first: newbi-migrate plan.",
        )


def refuse_unless_ready(
    report: ValidationReport, plan: Plan, *, keep: bool, resumed: bool = False
) -> None:
    """Fail unless nothing would be lost with the collection of legacy users.

    Args:
        report: What a validation of this database says now.
        plan: What a migration would still do.
        keep: Whether the collection is only renamed.
        resumed: Whether an interrupted run is to go on, and nothing else can until it has ended.

    Raises:
        ValidationFailedError: The migration broke a rule that must hold.
        UsageError: Work is pending, or users or documents are quarantined.
    """
    pending = any(line.writes for line in plan.users) or any(
        summary.pending for summary in plan.collections.values()
    )
    if pending and resumed:
        raise UsageError(
            "Users or documents have come since this was interrupted, and are not migrated.",
            next_step="Nothing more was written. Take the interrupted run back (newbi-migrate "
            "rollback), then migrate them: newbi-migrate migrate.",
        )
    if not report.is_clean:
        raise ValidationFailedError(
            "The database does not validate. Critical violations that were not there before the "
            f"migration: {report.critical:,}.",
            next_step="Nothing was written. Look at them: newbi-migrate validate --detailed.",
        )
    if pending:
        raise UsageError(
            "Users or documents have come since the migration and are not migrated.",
            next_step="Nothing was written. Migrate them first: newbi-migrate migrate.",
        )
    quarantined = plan.outcomes.get(Outcome.QUARANTINED, 0)
    documents = sum(summary.quarantined for summary in plan.collections.values())
    if documents and not quarantined and not keep:
        raise UsageError(
            f"{documents:,} documents are quarantined, and may belong to somebody whom only "
            f"{plan.source} names.",
            next_step="Nothing was written. Settle them and migrate again, or keep the "
            "collection under another name with --keep.",
        )
    if quarantined and not keep:
        raise UsageError(
            f"{quarantined} legacy users were quarantined and are in {plan.source} alone.",
            next_step="Nothing was written. Settle them and migrate again, or keep the "
            "collection under another name with --keep.",
        )


async def carry_out(
    session: LeasedSession, request: FinalizeRequest, runs: Sequence[RunRecord]
) -> FinalizeResult:
    """Drop obsolete indexes and, to finalize, the collection of legacy users.

    Interrupted, the same call finishes it.

    Args:
        session: The leased session.
        request: What to drop.
        runs: All runs, the newest first.

    Raises:
        UsageError: Another command, or other choices, were interrupted, or the name the
            collection is to be kept under is taken.
        DatabaseMovedOnError: A legacy user came that no run accounts for.
        NewbiMigrateError: The session stopped it.
    """
    unfinished = unfinished_run(runs)
    if unfinished is not None:
        refuse_other(unfinished, request)
        session = session.of_run(unfinished.run_id)
    found = await review_obsolete(session.database, request.registry)
    result = FinalizeResult(
        database=session.database.name,
        run_id=None if unfinished is None else unfinished.run_id,
        command=request.command,
        dry_run=False,
        held=found.held,
        to_create=found.to_create,
        quarantined=request.quarantined,
        let_in=request.let_in,
        there_before=request.there_before,
    )
    if unfinished is None and not found.to_drop and await _nothing_left(session, request):
        return result
    result.run_id = session.run_id
    record = RunWriter(session)
    source = request.source
    if source is not None and source in await collection_names(
        session.database, comment=session.comment
    ):
        await refuse_unaccounted(session.database, source, runs, quarantined=request.keep)
    if request.command == "finalize" and request.keep:
        await _refuse_taken_name(session, request)
    journal = await _begin(session, request, found, record, resumed=unfinished is not None)
    session.progress.phase("drop indexes", len(found.to_drop))
    for collection, index in found.to_drop:
        seq = await journal.append(EntryKind.INDEX, collection, {"dropped": [index]})
        await drop_index(session, collection, index["name"])
        await journal.applied(seq)
        session.progress.advance(1, collection)
    result.dropped += [
        (entry.collection, index["name"])
        async for entry in journal.entries()
        if entry.kind is EntryKind.INDEX
        for index in entry.indexes("dropped")
    ]
    try:
        if request.command == "finalize" and request.source is not None:
            session.progress.phase("legacy users", None)
            users = LegacyUsers(session, request.source, journal, runs, unfinished)
            await users.end(result, keep=request.keep)
    except DatabaseMovedOnError:
        # A user came in the very last moment: the indexes are dropped, the users stay.
        result.legacy = None
        await _finish(record, journal, result)
        raise
    await _finish(record, journal, result)
    await _drop_journal(session, request, result)
    return result


async def end_again(
    session: LeasedSession, request: FinalizeRequest, done: RunRecord
) -> FinalizeResult:
    """What a run did that is done, where only the answer to one of its last writes was lost.

    Args:
        session: The leased session.
        request: What was to be closed.
        done: The run.

    Raises:
        NewbiMigrateError: The session stopped it.
    """
    session = session.of_run(done.run_id)
    found = await review_obsolete(session.database, request.registry)
    told = done.document["result"]
    result = FinalizeResult(
        database=session.database.name,
        run_id=done.run_id,
        command=request.command,
        dry_run=False,
        dropped=[(collection, index) for collection, index in told["dropped"]],
        held=found.held,
        to_create=found.to_create,
        legacy=told["legacyCollection"],
        kept_as=told["keptAs"],
        legacy_users=told["legacyUsers"],
        quarantined=request.quarantined,
        let_in=request.let_in,
        there_before=request.there_before,
    )
    await _drop_journal(session, request, result)
    return result


async def _drop_journal(
    session: LeasedSession, request: FinalizeRequest, result: FinalizeResult
) -> None:
    if request.drop_journal:
        await RunWriter(session).journal_dropped()
        await drop_collection(session, JOURNAL)
        result.journal_dropped = True


async def _finish(record: RunWriter, journal: Journal, result: FinalizeResult) -> None:
    await journal.require(journal.next_seq)
    await record.finish(
        {
            "journalEntries": journal.next_seq,
            "exitCode": int(result.exit_code),
            "result": _kept(result),
        }
    )


async def _nothing_left(session: LeasedSession, request: FinalizeRequest) -> bool:
    """Whether, but for indexes, the command would change nothing."""
    if request.command == "indexes":
        return True
    names = await collection_names(session.database, comment=session.comment)
    source = request.source
    kept = source is not None and request.keep and source == kept_name(source)
    return (source not in names or kept) and not (request.drop_journal and JOURNAL in names)


async def _begin(
    session: LeasedSession,
    request: FinalizeRequest,
    found: ObsoleteIndexes,
    record: RunWriter,
    *,
    resumed: bool,
) -> Journal:
    if resumed:
        return await Journal.resume(session)
    return await begin_run(
        session,
        record,
        {
            "command": request.command,
            "policy": request.policy,
            "source": request.source,
            "quarantinedUsers": request.quarantined,
        },
        collections=sorted(await collection_names(session.database, comment=session.comment)),
        indexed=dict.fromkeys(name for name, _ in found.to_drop),
    )


async def _refuse_taken_name(session: LeasedSession, request: FinalizeRequest) -> None:
    source = request.source or ""
    names = await collection_names(session.database, comment=session.comment)
    if source != kept_name(source) and {source, kept_name(source)} <= names:
        raise UsageError(
            f"The collection {kept_name(source)} is there already, so {source} cannot be kept "
            "under that name.",
            next_step="Rename or drop that one first.",
        )


def refuse_other(unfinished: RunRecord, request: FinalizeRequest) -> None:
    """Fail where a run was interrupted that this call would not finish.

    Raises:
        UsageError: It is of another command, or was begun with other choices.
    """
    if unfinished.command != request.command:
        raise UsageError(
            f"The {unfinished.command} run {unfinished.run_id} was interrupted.",
            next_step=f"Finish it first: newbi-migrate {unfinished.command}.",
        )
    if dict(unfinished.policy) != request.policy:
        raise UsageError(
            f"The run {unfinished.run_id} was interrupted and had other choices.",
            next_step="Finish it first, with the choices it was started with.",
        )


def _kept(result: FinalizeResult) -> dict[str, Any]:
    told = result.to_json()
    return {name: told[name] for name in ("dropped", "legacyCollection", "keptAs", "legacyUsers")}
