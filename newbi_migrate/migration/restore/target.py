"""What lies in the way of a restore: what its target holds, and one that was stopped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from newbi_migrate.errors import ConfirmationRequiredError, UsageError
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.migration.run.recovery import read_whole_runs
from newbi_migrate.migration.run.runner import (
    refuse_other_command,
    refuse_while_rolling_back,
    run_to_resume,
)
from newbi_migrate.printable import some_of
from newbi_migrate.store.collections import collection_names, unopenable_names
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.lease import LEASE, Lease
from newbi_migrate.store.replacements import RESTORE
from newbi_migrate.store.runs import RunRecord, refuse_if_restoring, restore_record
from newbi_migrate.store.structure import TRIED

__all__ = [
    "RestoreTarget",
    "existing_collections",
    "interrupted_restore",
    "is_restored",
    "look_at_target",
    "read_target",
]


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """What a database holds before a restore.

    Attributes:
        database: Its name.
        existing: Its collections and views, but for the server's own and the lease; in order.
        unfinished: Identity of a restore that was interrupted; empty if none was.
        next_lease: The number that the lease of a restore gets, unless another run comes first.
    """

    database: str
    existing: tuple[str, ...]
    unfinished: str = ""
    next_lease: int = 0

    def require_empty(self, *, drop: bool, identity: str | None = None) -> None:
        """Fail where something would be written over.

        Args:
            drop: Whether whoever calls has asked for that.
            identity: The restore; if it was interrupted, it goes on. ``None`` where it is not
                known yet, so that any may be it.

        Raises:
            ConfirmationRequiredError: The database holds something.
        """
        goes_on = bool(self.unfinished) and identity in {None, self.unfinished}
        if self.existing and not drop and not goes_on:
            raise ConfirmationRequiredError(
                f"The database {self.database!r} is not empty: it holds "
                f"{some_of(self.existing)}; nothing was written.",
                next_step="Restore into another name with --database, or take the place of what is "
                "there with --drop.",
            )


async def look_at_target(
    database: Database, *, in_place: bool = False, identity: str | None = None
) -> RestoreTarget:
    """What a restore would find; reads only.

    Args:
        database: The target.
        in_place: Whether it is to put collections into the place of others.
        identity: The restore; ``None`` where it is not known yet.

    Raises:
        LeaseHeldError: A migration or another restore is under way there.
        UsageError: It is to put collections in place, and something else is half done.
        InterruptedRunError: The same, and that is a rollback.
        DamagedRecordsError: The same, and the records of earlier runs are damaged.
        NewbiMigrateError: The server failed.
    """
    with explained("looking at the target"):
        if in_place:
            # What a run that is under way has half done was not interrupted.
            await Lease.refuse_if_held(database)
            await refuse_if_restoring(database)
            run = interrupted_restore(await read_whole_runs(database), identity)
            record = None if run is None else run.document
        else:
            record = await restore_record(database)
        next_lease = await Lease.next_number(database)
        target = await read_target(database, record, next_lease=next_lease)
        # Asked last: what another run was writing while we read is no database that is not empty.
        await Lease.refuse_if_held(database)
        return target


def interrupted_restore(runs: Sequence[RunRecord], identity: str | None) -> RunRecord | None:
    """The restore in place that was interrupted, if one was.

    Args:
        runs: All runs, the newest first.
        identity: The restore that is to go on; ``None`` where it is not known yet.

    Raises:
        UsageError: A run of another command was, or a restore of another backup or of other
            collections.
        InterruptedRunError: A rollback was.
    """
    refuse_while_rolling_back(runs)
    if (unfinished := run_to_resume(runs)) is None:
        return None
    refuse_other_command(unfinished, RESTORE)
    if identity not in {None, unfinished.document.get("backup")}:
        raise UsageError(
            f"A restore of another backup, or of other collections, was interrupted (run "
            f"{unfinished.run_id}).",
            next_step=f"Finish it first, with its own backup: {finishing(unfinished)}. Or take "
            "it back: newbi-migrate rollback.",
        )
    return unfinished


async def read_target(
    database: Database, record: Mapping[str, Any] | None, *, next_lease: int
) -> RestoreTarget:
    """What a restore finds, whoever holds the lease; reads only.

    Args:
        database: The target.
        record: What is recorded of a restore that was interrupted there.
        next_lease: See :class:`RestoreTarget`.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    existing = await existing_collections(database)
    unfinished = "" if record is None else str(record.get("backup", ""))
    return RestoreTarget(database.name, tuple(sorted(existing)), unfinished, next_lease)


def is_restored(name: str, only: Collection[str]) -> bool:
    """Whether a collection of a backup is restored; a lease is of the database it was taken in.

    Args:
        name: Its name.
        only: The collections that are asked for; all where none is named.
    """
    return name != LEASE and (not only or name in only)


async def existing_collections(database: Database) -> set[str]:
    """Names of collections and views, but for the server's own and those a restore itself makes.

    With those that the driver does not open: a restore that passed them over would call a database
    empty that is not, and its copy whole.
    """
    names = {*await collection_names(database), *await unopenable_names(database)}
    return {
        name
        for name in names
        if name == "system.js" or not (name in {LEASE, TRIED} or name.startswith("system."))
    }
