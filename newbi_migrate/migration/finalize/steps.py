"""Drop what the old structure left behind, and build what takes its place, journaled.

Each of the two commands is a run of its own, with a record and a journal, so that a rollback can
take it back as far as that is possible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from newbi_migrate.answers import answer
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DatabaseMovedOnError, UsageError, ValidationFailedError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.finalize.legacy_users import LegacyUsers, refuse_unaccounted
from newbi_migrate.migration.finalize.results import FinalizeResult, HeldIndex, MissingIndex
from newbi_migrate.migration.finalize.swaps import (
    IndexReview,
    rebuild_old,
    review_indexes,
    swap_indexes,
)
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import chosen_collections
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.survey import dropping_name, kept_name
from newbi_migrate.migration.run.accounted import recorded_reasons
from newbi_migrate.migration.run.beginning import begin_run
from newbi_migrate.migration.run.finishing import finishing, late_work
from newbi_migrate.migration.run.runner import refuse_other_command, run_to_resume
from newbi_migrate.migration.validation.report import Origin, RuleResult, ValidationReport
from newbi_migrate.migration.validation.rules import INDEX_PRESENT
from newbi_migrate.migration.validation.validate import recorded_choices
from newbi_migrate.rules import Severity
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import JOURNAL, EntryKind, Journal
from newbi_migrate.store.runs import (
    RunRecord,
    RunWriter,
    quarantined_documents,
    unforeseen_refusals,
)
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import drop_collection

__all__ = [
    "FinalizeRequest",
    "carry_out",
    "end_again",
    "has_late_work",
    "quarantined_users",
    "refuse_other",
    "refuse_unless_ready",
    "refuse_unmigrated",
]


_SETTLE: Final = "Nothing was written. Settle them and migrate again"


@dataclass(frozen=True, slots=True)
class FinalizeRequest:
    """What ``indexes`` or ``finalize`` is to do.

    Attributes:
        registry: The collections.
        options: The choices of the migration.
        command: ``indexes`` or ``finalize``.
        source: The collection of legacy users, for ``finalize``.
        keep: Whether it is renamed and not dropped.
        drop_journal: Whether the journal of all runs goes too.
        quarantined: Legacy users who were quarantined.
        let_in: Legacy users who were disabled or banned, and whom Better Auth lets in.
        there_before: Broken rules that no run is the cause of.
    """

    registry: Registry
    options: MigrationOptions
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

    def touches(self, names: Collection[str], unfinished: RunRecord | None = None) -> bool:
        """Whether the collection of legacy users is to be renamed or dropped.

        Args:
            names: The collections that are there.
            unfinished: The run that goes on; it may have dropped the collection already.
        """
        if self.source is None or (self.keep and self.source == kept_name(self.source)):
            return False
        then = kept_name(self.source) if self.keep else dropping_name(self.source)
        gone = unfinished is not None and "legacyUsers" in unfinished.document
        return gone or self.source in names or then in names

    def moved(
        self, names: Collection[str], unfinished: RunRecord | None = None
    ) -> tuple[str | None, str | None]:
        """What becomes of the collection of legacy users.

        Args:
            names: As for :meth:`touches`.
            unfinished: As for :meth:`touches`.

        Returns:
            Its name, ``None`` if nothing happens to it; and the name that it is kept under,
            ``None`` if it is not kept.
        """
        touched = self.touches(names, unfinished)
        kept = self.keep and (touched or self.source in names)
        return self.source if touched else None, kept_name(str(self.source)) if kept else None

    def of_run(self, begun: RunRecord) -> FinalizeRequest:
        """The same, with what was found out when a run began that goes on now."""
        recorded = begun.document
        return replace(
            self,
            source=recorded.get("source"),
            quarantined=recorded.get("quarantinedUsers", 0),
        )


def refuse_unmigrated(runs: Iterable[RunRecord]) -> None:
    """Fail where no migration is in place: the old structure is all there is.

    Raises:
        UsageError: None is.
    """
    if not any(run.in_place and run.migrates for run in runs):
        raise UsageError(
            "No migration is in place in this database, so nothing of its old structure can go.",
            next_step="Nothing was written. Migrate it first, from the plan on: newbi-migrate "
            "plan.",
        )


async def has_late_work(database: Database, runs: Sequence[RunRecord], plan: Plan) -> bool:
    """Whether a plan has work that came since the last run, beside what the server refused then.

    Args:
        database: Where.
        runs: All runs, the newest first.
        plan: What a migration would still do. It cannot foresee all that the server refuses.
    """
    reasons = await recorded_reasons(database, runs) if plan.users.pending else {}
    refused = {user for user, reason in reasons.items() if reason == Reason.WRITE_REFUSED}
    if any(line.writes and id_key(line.legacy_id) not in refused for line in plan.users):
        return True
    for name, summary in plan.collections.items():
        if summary.pending <= unforeseen_refusals(runs, name):
            continue
        # Documents of users whom the server refused wait for these, and were quarantined too.
        left = summary.pending + summary.quarantined
        if not refused or left > quarantined_documents(runs, name):
            return True
    return False


def quarantined_users(plan: Plan) -> int:
    """How many legacy users are in their collection alone, where no work is late."""
    refused = sum(line.writes for line in plan.users) if plan.users.pending else 0
    return plan.outcomes.get(Outcome.QUARANTINED, 0) + refused


def refuse_unless_ready(
    report: ValidationReport,
    plan: Plan,
    runs: Sequence[RunRecord],
    *,
    late: bool,
    keep: bool,
    resumed: bool = False,
) -> None:
    """Fail unless nothing would be lost with the collection of legacy users.

    Args:
        report: What a validation of this database says now.
        plan: What a migration would still do.
        runs: All runs, the newest first.
        late: Whether part of that came since the last run.
        keep: Whether the collection is only renamed.
        resumed: Whether an interrupted run is to go on, and nothing else can until it has ended.

    Raises:
        ValidationFailedError: The migration broke a rule that must hold.
        UsageError: Work is pending, or users or documents are quarantined.
    """
    # Documents of users who came late wait for them, and a migration covers both.
    users = plan.users.pending or any(
        result.origin is Origin.PENDING and result.rule.startswith("legacy-user.")
        for result in report.results
    )
    missing = late_work("migrate" if users else "backfill", runs)
    if late and resumed:
        raise UsageError(
            "Users or documents have come since this was interrupted, or were put right, and are "
            "not migrated.",
            next_step="Nothing more was written. Take the interrupted run back (newbi-migrate "
            f"rollback), then migrate them: {missing}.",
        )
    # What is missing is built first of all.
    critical = report.critical - sum(
        result.count
        for result in report.results
        if result.rule == INDEX_PRESENT.id and result.origin not in (Origin.BEFORE, Origin.PENDING)
    )
    if critical:
        known = report.count(Severity.CRITICAL, Origin.RUN)
        which = "caused by the migration" if known else "of unknown origin, without the journal"
        raise ValidationFailedError(
            f"The database does not validate. Critical violations {which}: {critical:,}.",
            next_step="Nothing was written. Look at them: newbi-migrate validate --detailed.",
        )
    if late:
        raise UsageError(
            "Users or documents have come since the migration, or were put right, and are not "
            "migrated.",
            next_step=f"Nothing was written. Migrate them first: {missing}.",
        )
    if keep:
        return
    kept = plan.source == kept_name(plan.source)
    or_keep = "keep the collection under another name with --keep"
    next_step = f"{_SETTLE}; until then it stays." if kept else f"{_SETTLE}, or {or_keep}."
    quarantined = quarantined_users(plan)
    documents = sum(one.quarantined + one.pending for one in plan.collections.values())
    if documents and not quarantined:
        raise UsageError(
            f"Quarantined documents that may belong to somebody whom only {plan.source} names: "
            f"{documents:,}.",
            next_step=next_step,
        )
    if quarantined:
        raise UsageError(
            f"Legacy users in {plan.source} who are quarantined, and in no other collection: "
            f"{quarantined:,}.",
            next_step=next_step,
        )


async def carry_out(
    session: LeasedSession, request: FinalizeRequest, runs: Sequence[RunRecord]
) -> FinalizeResult:
    """Swap obsolete indexes and, to finalize, drop the collection of legacy users.

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
    unfinished = run_to_resume(runs)
    if unfinished is not None:
        refuse_other(unfinished, request)
        session = session.of_run(unfinished.run_id)
    request = replace(request, options=recorded_choices(request.options, runs))
    found = await review_indexes(session.database, request.registry, request.options)
    result = FinalizeResult(
        database=session.database.name,
        run_id=None if unfinished is None else unfinished.run_id,
        command=request.command,
        dry_run=False,
        held=list(found.held),
        missing=list(found.missing),
        quarantined=request.quarantined,
        let_in=request.let_in,
        there_before=request.there_before,
    )
    if unfinished is None and not found.swaps and await _nothing_left(session, request):
        return result
    result.run_id = session.run_id
    record = RunWriter(session)
    source = request.source
    if source is not None and source in await collection_names(
        session.database, comment=session.comment
    ):
        await refuse_unaccounted(session.database, source, runs, quarantined=request.keep)
    journal = await _begin(session, request, found, record, resumed=unfinished is not None)
    await _swap(session, request, found, journal, result)
    try:
        if request.command == "finalize" and request.source is not None:
            session.progress.phase("legacy users", None)
            names = await collection_names(session.database, comment=session.comment)
            result.legacy, result.kept_as = request.moved(names, unfinished)
            users = LegacyUsers(session, request.source, journal, runs, unfinished)
            await users.end(result, keep=request.keep)
    except DatabaseMovedOnError:
        # A user came in the very last moment: the indexes are dropped, the users stay.
        result.legacy = result.kept_as = None
        await _finish(record, journal, result)
        raise
    await _finish(record, journal, result)
    await _drop_journal(session, request, result)
    return result


async def _swap(
    session: LeasedSession,
    request: FinalizeRequest,
    found: IndexReview,
    journal: Journal,
    result: FinalizeResult,
) -> None:
    """Swap indexes, and put back what an attempt before this one dropped without a successor."""
    session.progress.phase("swap indexes", len(found.swaps))
    for swap in found.swaps:
        refused, held = await swap_indexes(session, journal, swap)
        result.missing += refused
        result.held += held
        session.progress.advance(1, swap.spec.name)
    entries = [entry async for entry in journal.entries() if entry.kind is EntryKind.INDEX]
    specs = {spec.name: spec for spec in chosen_collections(request.registry, request.options)}
    for entry in entries:
        if entry.collection in specs:
            await rebuild_old(session, specs[entry.collection], entry.indexes("dropped"))
    for name in dict.fromkeys(entry.collection for entry in entries):
        here = [entry for entry in entries if entry.collection == name]
        there = {index["name"] for index in await read_indexes(session.database, name)}
        gone = (i["name"] for e in here for i in e.indexes("dropped") if i["name"] not in there)
        made = (i for e in here for i in e.names("created") if i in there)
        result.dropped += [(name, index) for index in dict.fromkeys(gone)]
        result.created += [(name, index) for index in dict.fromkeys(made)]


async def end_again(
    session: LeasedSession, request: FinalizeRequest, done: RunRecord, runs: Sequence[RunRecord]
) -> FinalizeResult:
    """What a run did that is done, where only the answer to one of its last writes was lost.

    Of these writes the drop of the journal is made again.

    Args:
        session: The leased session.
        request: What was to be done.
        done: The run.
        runs: All runs, the newest first.

    Raises:
        DatabaseMovedOnError: The legacy users had to stay, and that was not told yet.
        NewbiMigrateError: The session stopped it.
    """
    session = session.of_run(done.run_id)
    told = done.document["result"]
    names = await collection_names(session.database, comment=session.comment)
    # The journal is marked only once nobody had to stay.
    marked = done.document.get("journalDropped")
    if told["legacyCollection"] is None and not marked and request.touches(names):
        source = str(request.source)
        await refuse_unaccounted(session.database, source, runs, quarantined=request.keep)
        raise DatabaseMovedOnError(
            f"The collection {source} was neither renamed nor dropped: somebody wrote to it, or "
            "took its name.",
            next_step="No user was dropped. The same command again goes on with what is there.",
            collection=source,
        )
    result = FinalizeResult(
        database=session.database.name,
        run_id=done.run_id,
        command=request.command,
        dry_run=False,
        dropped=[(collection, index) for collection, index in told["dropped"]],
        created=[(collection, index) for collection, index in told["created"]],
        held=[HeldIndex(**index) for index in told["held"]],
        missing=[MissingIndex(**index) for index in told["missing"]],
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
    return not (request.touches(names) or (request.drop_journal and JOURNAL in names))


async def _begin(
    session: LeasedSession,
    request: FinalizeRequest,
    found: IndexReview,
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
        indexed=[swap.spec.name for swap in found.swaps],
    )


async def refuse_taken_name(database: Database, source: str) -> None:
    """Fail where the name is taken under which the legacy users are to be kept.

    Args:
        database: Where.
        source: Name of their collection.

    Raises:
        UsageError: It is.
    """
    names = await collection_names(database)
    if source != kept_name(source) and {source, kept_name(source)} <= names:
        raise UsageError(
            f"The collection {kept_name(source)} is there already, so {source} cannot be kept "
            "under that name.",
            next_step=f"Nothing was written. Move the users of {source} into it, if they are not "
            f"there, and drop {source}.",
        )


def refuse_other(unfinished: RunRecord, request: FinalizeRequest) -> None:
    """Fail where a run was interrupted that this call would not finish.

    Raises:
        UsageError: It is of another command, or was begun with other choices.
    """
    refuse_other_command(unfinished, request.command)
    if dict(unfinished.policy) != request.policy:
        raise UsageError(
            f"The run {unfinished.run_id} was interrupted and had other choices.",
            next_step=f"Finish it first: {finishing(unfinished)}.",
        )


def _kept(result: FinalizeResult) -> dict[str, Any]:
    told = answer(result)
    indexes = ("dropped", "created", "held", "missing")
    return {name: told[name] for name in (*indexes, "legacyCollection", "keptAs", "legacyUsers")}
