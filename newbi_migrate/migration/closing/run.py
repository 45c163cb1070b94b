"""Dropping what the old structure left behind, journaled.

Each of the two commands is a run of its own, with a record and a journal, so that a rollback can
take it back as far as that is possible. It changes when the old structure leaves something else
behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import bson
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import UsageError, ValidationFailedError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.migration.closing.results import ClosingResult, HeldIndex, ObsoleteIndexes
from newbi_migrate.migration.results import Plan
from newbi_migrate.migration.validation import ValidationReport
from newbi_migrate.models.registry import Registry
from newbi_migrate.store.collections import collections
from newbi_migrate.store.indexes import drop_index, plan_indexes, read_indexes
from newbi_migrate.store.journal import JOURNAL, EntryKind, Journal
from newbi_migrate.store.runs import RunRecord, RunRecords, RunState

__all__ = [
    "ClosingRequest",
    "close",
    "kept_name",
    "refuse_unless_ready",
    "review_obsolete",
]

_KEPT: Final = "_before_migration"
_COMMENT: Final = "newbi-migrate indexes"


@dataclass(frozen=True, slots=True)
class ClosingRequest:
    """What is to be closed.

    Attributes:
        database: Where.
        registry: The collections.
        command: ``indexes`` or ``finalize``.
        server: Version of the server, for the record.
        source: The collection of legacy users, for ``finalize``.
        keep: Whether it is renamed and not dropped.
        drop_journal: Whether the journal of all runs goes too.
        quarantined: Legacy users who were left out.
    """

    database: AsyncDatabase[dict[str, Any]]
    registry: Registry
    command: str
    server: str
    source: str | None = None
    keep: bool = False
    drop_journal: bool = False
    quarantined: int = 0

    @property
    def policy(self) -> dict[str, Any]:
        """The choices that decide what is written."""
        return {"keep": self.keep, "dropJournal": self.drop_journal}


async def review_obsolete(
    database: AsyncDatabase[dict[str, Any]], registry: Registry
) -> ObsoleteIndexes:
    """Which indexes of the old structure are there, and whether they can go; reads only.

    One that keeps something unique stays until the unique indexes that are to take its place
    are all there: between the two nothing would be unique.
    """
    infos = await collections(database, comment=_COMMENT)
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


def kept_name(source: str) -> str:
    """Name under which ``finalize --keep`` keeps the collection of legacy users.

    Its own, where it is kept already.
    """
    return source if source.endswith(_KEPT) else f"{source}{_KEPT}"


def refuse_unless_ready(report: ValidationReport, plan: Plan, *, keep: bool) -> None:
    """Fails unless nothing would be lost with the collection of legacy users.

    Args:
        report: What a validation of this database says now.
        plan: What a migration would still do.
        keep: Whether the collection is only renamed.

    Raises:
        ValidationFailedError: A rule that must hold does not.
        UsageError: There is no migration, work is pending, or somebody was left out.
    """
    if report.run_id is None:
        raise UsageError(
            "No run has migrated this database, so there is nothing to finalize.",
            next_step="Migrate it first: newbi-migrate plan.",
        )
    if not report.is_clean:
        raise ValidationFailedError(
            f"The database does not validate: {report.critical} critical findings.",
            next_step="Nothing was written. Look at them: newbi-migrate validate --detailed.",
        )
    if any(line.writes for line in plan.users) or any(
        summary.pending for summary in plan.collections.values()
    ):
        raise UsageError(
            "Users or documents have come since the migration and are not migrated.",
            next_step="Nothing was written. Migrate them first: newbi-migrate migrate.",
        )
    left_out = plan.outcomes.get(Outcome.QUARANTINED, 0)
    if left_out and not keep:
        raise UsageError(
            f"{left_out} legacy users were left out of the migration and are in {plan.source} "
            "alone.",
            next_step="Nothing was written. Settle them and migrate again, or keep the "
            "collection under another name with --keep.",
        )


async def close(
    request: ClosingRequest, runs: Sequence[RunRecord], safe_point: Callable[[], None]
) -> ClosingResult:
    """Drops obsolete indexes and, to finalize, the collection of legacy users.

    The lease must be held. Interrupted, the same call finishes it.

    Args:
        request: What is to be closed.
        runs: All runs, the newest first.
        safe_point: Called before every write; raises to stop there.

    Raises:
        UsageError: Another command, or other choices, were interrupted, or the name the
            collection is to be kept under is taken.
        NewbiMigrateError: ``safe_point`` stopped it.
    """
    database = request.database
    unfinished = next((run for run in runs if run.state is RunState.RUNNING), None)
    if unfinished is not None:
        _refuse_other(unfinished, request)
    found = await review_obsolete(database, request.registry)
    result = ClosingResult(
        database=database.name,
        run_id=None if unfinished is None else unfinished.run_id,
        command=request.command,
        dry_run=False,
        held=found.held,
        to_create=found.to_create,
        quarantined=request.quarantined,
    )
    if unfinished is None and not found.to_drop and await _nothing_left(request):
        return result
    records = RunRecords(database)
    run_id = result.run_id = result.run_id or ObjectId()
    comment = str(run_id)
    if request.command == "finalize" and request.keep:
        await _refuse_taken_name(request)
    if unfinished is None:
        await _begin(request, records, run_id, found, safe_point)
    journal = await Journal.open(database, run_id)
    for collection, index in found.to_drop:
        safe_point()
        seq = await journal.append(
            EntryKind.INDEX, collection, {"dropped": [index]}, comment=comment
        )
        safe_point()
        await drop_index(database, collection, index["name"], comment=comment)
        safe_point()
        await journal.applied(seq, comment=comment)
    result.dropped += [
        (entry.collection, index["name"])
        async for entry in journal.entries()
        if entry.kind is EntryKind.INDEX
        for index in _plain(entry.body["dropped"])
    ]
    if request.command == "finalize":
        await _legacy(request, result, journal, safe_point, comment)
    safe_point()
    await records.finish(run_id, {"exitCode": int(result.exit_code), "result": _kept(result)})
    if request.drop_journal:
        safe_point()
        await records.journal_dropped(comment=comment)
        safe_point()
        await database.drop_collection(JOURNAL, comment=comment)
        result.journal_dropped = True
    return result


async def _nothing_left(request: ClosingRequest) -> bool:
    """Whether, but for indexes, the command would change nothing."""
    if request.command == "indexes":
        return True
    names = await request.database.list_collection_names(comment=_COMMENT)
    source = request.source
    kept = source is not None and request.keep and source == kept_name(source)
    return (source not in names or kept) and not (request.drop_journal and JOURNAL in names)


async def _begin(
    request: ClosingRequest,
    records: RunRecords,
    run_id: ObjectId,
    found: ObsoleteIndexes,
    safe_point: Callable[[], None],
) -> None:
    database = request.database
    names = await database.list_collection_names(comment=str(run_id))
    concerned = dict.fromkeys(name for name, _ in found.to_drop)
    before = [
        {"collection": name, "indexes": list(await read_indexes(database, name))}
        for name in concerned
    ]
    safe_point()
    await records.start(
        run_id,
        {
            "command": request.command,
            "policy": request.policy,
            "version": version("newbi-migrate"),
            "server": request.server,
            "database": database.name,
            "source": request.source,
            "collectionsBefore": sorted(names),
            "indexesBefore": before,
        },
    )


async def _legacy(
    request: ClosingRequest,
    result: ClosingResult,
    journal: Journal,
    safe_point: Callable[[], None],
    comment: str,
) -> None:
    """Renames or drops the collection of legacy users; it may be done already."""
    database, source = request.database, request.source
    if source is None:
        return
    result.legacy = source
    result.kept_as = kept_name(source) if request.keep else None
    names = await database.list_collection_names(comment=comment)
    if source not in names or source == result.kept_as:
        if result.kept_as is not None:
            result.legacy_users = await database[result.kept_as].count_documents({})
        return
    result.legacy_users = await database[source].count_documents({}, comment=comment)
    body: dict[str, Any] = {"dropped": True}
    if result.kept_as is not None:
        body = {"renamed": result.kept_as}
    safe_point()
    seq = await journal.append(EntryKind.COLLECTION, source, body, comment=comment)
    safe_point()
    if result.kept_as is None:
        await database.drop_collection(source, comment=comment)
    else:
        await database[source].rename(result.kept_as, comment=comment)
    safe_point()
    await journal.applied(seq, comment=comment)


async def _refuse_taken_name(request: ClosingRequest) -> None:
    source = request.source or ""
    names = await request.database.list_collection_names(comment=_COMMENT)
    if source != kept_name(source) and {source, kept_name(source)} <= set(names):
        raise UsageError(
            f"The collection {kept_name(source)} is there already, so {source} cannot be kept "
            "under that name.",
            next_step="Rename or drop that one first.",
        )


def _refuse_other(unfinished: RunRecord, request: ClosingRequest) -> None:
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


def _plain(indexes: Any) -> list[dict[str, Any]]:
    return [bson.decode(bson.encode(index)) for index in indexes]


def _kept(result: ClosingResult) -> dict[str, Any]:
    told = result.to_json()
    return {name: told[name] for name in ("dropped", "legacyCollection", "keptAs", "legacyUsers")}
