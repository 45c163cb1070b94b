"""The use-case ``drop-aside``: dropping what restores of single collections put aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import computed_field

from newbi_migrate.answers import RunId, told
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.migration.run.runner import Runner, refuse_other_preview
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.counting import count
from newbi_migrate.store.handles import Database
from newbi_migrate.store.replacements import RESTORE, replacements_of
from newbi_migrate.store.runs import RunRecord, RunWriter, unfinished_run
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import drop_collection

__all__ = ["DroppedAside", "drop_aside"]


@dataclass(frozen=True, slots=True)
class DroppedAside:
    """What was put aside, and is dropped.

    Attributes:
        database: Name of the database.
        dry_run: Whether nothing was to be written.
        collections: Name of each collection, and how many documents it holds.
        runs: The restores that can no longer be taken back.
    """

    database: str
    dry_run: bool
    collections: Annotated[tuple[tuple[str, int], ...], told(dict, dict[str, int])]
    runs: tuple[RunId, ...]

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """0."""
        return ExitCode.DONE


async def drop_aside(
    runner: Runner, *, dry_run: bool, reviewed: DroppedAside | None = None
) -> DroppedAside:
    """Drop what restores, and rollbacks of restores, put aside; the same call finishes it.

    Args:
        runner: What runs it.
        dry_run: Look only; sends no write command.
        reviewed: What the same call with ``dry_run`` gave and a person agreed to.

    Raises:
        UsageError: A run has not come to its end.
        DatabaseMovedOnError: Something else is aside now than what was reviewed.
        NewbiMigrateError: The session stopped it.
    """
    database = runner.store.database

    async def look(runs: Sequence[RunRecord]) -> DroppedAside:
        return await _aside(database, runs)

    # What is dropped is found again under the lease.
    found = await runner.look(look)
    if dry_run or not (found.collections or found.runs):
        return found
    dropped: DroppedAside | None = None

    async def attempt(session: LeasedSession, runs: Sequence[RunRecord]) -> DroppedAside:
        nonlocal dropped
        now = await _aside(database, runs)
        if dropped is None:
            if reviewed is not None:
                refuse_other_preview(reviewed, now)
            dropped = DroppedAside(database.name, False, now.collections, now.runs)
        await RunWriter(session).aside_dropped(now.runs)
        for name, _ in now.collections:
            await drop_collection(session, name)
        return dropped

    return await runner.run("drop-aside", attempt)


async def _aside(database: Database, runs: Sequence[RunRecord]) -> DroppedAside:
    unfinished = unfinished_run(runs)
    if unfinished is not None:
        raise UsageError(
            f"The {unfinished.command} run {unfinished.run_id} has not come to its end.",
            next_step=f"Nothing was dropped. Finish it first: {finishing(unfinished)}.",
        )
    restores = [run for run in runs if run.command == RESTORE]
    names = await collection_names(database)
    # No run is unfinished: what is still filled is of a process that another has overtaken.
    replaced = (one for run in restores for one in replacements_of(run))
    aside = sorted({name for one in replaced for name in (one.aside, one.restoring)} & names)
    return DroppedAside(
        database.name,
        True,
        tuple(
            [
                (name, await count(database[name], comment="newbi-migrate drop-aside"))
                for name in aside
            ]
        ),
        tuple(run.run_id for run in restores if run.in_place),
    )
