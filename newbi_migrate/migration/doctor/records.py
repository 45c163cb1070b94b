"""What earlier runs of this tool left, and where the legacy users are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from newbi_migrate.checks import Check, Level
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DamagedRecordsError, NewbiMigrateError
from newbi_migrate.migration.planning.late import late_documents, late_users
from newbi_migrate.migration.planning.survey import odd_target, refusing_index, survey
from newbi_migrate.migration.run.accounted import last_migration
from newbi_migrate.migration.run.finishing import finishing, late_work
from newbi_migrate.migration.run.recovery import refuse_lost_records
from newbi_migrate.store.collections import CollectionInfo, collections, unopenable_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import RunState, read_runs, refuse_if_restoring, unfinished_run

__all__ = ["look_at_collections", "look_at_runs", "look_at_source", "look_for_late_work"]

_COMMENT: Final = "newbi-migrate doctor"


async def look_at_source(database: Database, registry: Registry, source: str | None) -> list[Check]:
    """Whether there is one collection of legacy users."""
    try:
        found = await survey(database, registry, source=source)
    except NewbiMigrateError as error:
        return [Check("legacy-users", Level.FAILED, error.what, error.next_step)]
    return [
        Check(
            "legacy-users",
            Level.OK,
            f"Legacy users are in {found.source}: {found.legacy_users:,}.",
        )
    ]


async def look_at_collections(database: Database, registry: Registry) -> list[Check]:
    """Whether what a run writes to are plain collections."""
    infos = await collections(database, comment=_COMMENT)
    refusal = odd_target(infos) or await refusing_index(database, infos)
    targets = Check("target-collections", Level.OK, "Users are written to plain collections.")
    if refusal is not None:
        targets = Check(targets.id, Level.FAILED, refusal.what, refusal.next_step)
    present = [infos[spec.name] for spec in registry if spec.name in infos]
    return [
        targets,
        _registered([info for info in present if info.oddity]),
        *_named(await unopenable_names(database)),
    ]


async def look_for_late_work(database: Database, registry: Registry) -> list[Check]:
    """Whether anything came after the migration, which its end waits for."""
    try:
        runs = await read_runs(database)
    except DamagedRecordsError:
        # The check of the runs says it.
        return []
    infos = await collections(database, comment=_COMMENT)
    users = await late_users(database, runs, infos, comment=_COMMENT)
    documents = await late_documents(database, registry, runs, infos, comment=_COMMENT)
    if not users and not documents:
        said = "Nothing has come since the migration."
        last = last_migration(runs)
        if last is not None and last.quarantined:
            said += (
                f" It quarantined {last.quarantined:,}; validate tells whether any was put right."
            )
        return [Check("late-work", Level.OK, said)]
    command = "migrate" if users or last_migration(runs) is None else "backfill"
    return [
        Check(
            "late-work",
            Level.FAILED,
            f"Legacy users who are not migrated yet: {users:,}; documents without a "
            f"workspace that no run has recorded: {documents:,}.",
            f"Migrate them first: {late_work(command, runs)}.",
        )
    ]


def _named(unopenable: Sequence[str]) -> Iterator[Check]:
    if unopenable:
        yield Check(
            "collection-names",
            Level.FAILED,
            f"The driver opens no collection of these names, so no backup can hold them: "
            f"{', '.join(map(repr, unopenable))}.",
            "Give them other names, with the command renameCollection in mongosh, or drop them.",
        )


def _registered(odd: Sequence[CollectionInfo]) -> Check:
    unwritable = [info for info in odd if not info.holds_documents]
    listed = ", ".join(f"{info.name} is {info.oddity}" for info in unwritable or odd)
    if unwritable:
        return Check(
            "registered-collections",
            Level.FAILED,
            f"Documents that cannot be updated: {listed}.",
            "Register the collection that holds the documents; a run leaves these out.",
        )
    if odd:
        return Check(
            "registered-collections",
            Level.WARNING,
            f"A workspace makes documents larger: {listed}.",
            "Give it more room first: the server removes its oldest documents once it is full.",
        )
    return Check("registered-collections", Level.OK, "All registered collections are plain ones.")


async def look_at_runs(database: Database) -> list[Check]:
    """Whether a run, or a restore, is under way or was interrupted."""
    try:
        await refuse_if_restoring(database)
        lease = await Lease.current(database)
        runs = await read_runs(database)
        await refuse_lost_records(database, runs)
    except NewbiMigrateError as error:
        return [Check("runs", Level.FAILED, error.what, error.next_step)]
    if lease is not None and lease.under_way:
        return [
            Check(
                "runs",
                Level.FAILED,
                f"A run is under way: {lease.holder}.",
                "Wait until it ends; if that process is dead, its lease ends by itself in "
                f"{lease.seconds_left:.0f} s.",
            )
        ]
    unfinished = unfinished_run(runs)
    if unfinished is not None:
        back = unfinished.state is RunState.ROLLING_BACK
        command = "rollback" if back else unfinished.command
        ended = " Its process has ended." if lease is not None and lease.holder_ended else ""
        return [
            Check(
                "runs",
                Level.FAILED,
                f"The run {unfinished.run_id} of {command} has not come to its end.{ended}",
                f"Finish it: {finishing(unfinished)}.",
            )
        ]
    if not runs:
        return [Check("runs", Level.OK, "No run of this tool has been here.")]
    return [Check("runs", Level.OK, f"Runs that are recorded: {len(runs):,}; all have ended.")]
