"""How a database stands: runs, lease, and what still lacks a workspace.

Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import computed_field

from newbi_migrate.answers import RunId, told
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DamagedRecordsError
from newbi_migrate.migration.planning.late import counted_collections, late_users
from newbi_migrate.migration.run.recovery import refuse_lost_records
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import nothing_there
from newbi_migrate.store.counting import blank, count, count_by
from newbi_migrate.store.handles import Database
from newbi_migrate.store.lease import Lease, LeaseState
from newbi_migrate.store.runs import (
    RunRecord,
    quarantined_documents,
    read_runs,
    restore_record,
    unfinished_run,
)

__all__ = ["Status", "read_status"]

_COMMENT: Final = "newbi-migrate status"

# Organizations without a member.
_NOBODYS: Final[list[dict[str, Any]]] = [
    {
        "$lookup": {
            "from": "member",
            "localField": "_id",
            "foreignField": "organizationId",
            "as": "members",
            "pipeline": [{"$limit": 1}, {"$project": {"_id": 1}}],
        }
    },
    {"$match": {"members": {"$size": 0}}},
    {"$count": "n"},
]


def _words(damage: DamagedRecordsError | None) -> str | None:
    return None if damage is None else damage.what


@dataclass(frozen=True, slots=True)
class Status:
    """How a database stands.

    Attributes:
        database: Its name.
        runs: All runs, the newest first.
        lease: Who holds the lease, or held it last; ``None`` if nobody ever did.
        without_workspace: Scoped collection to the number of documents whose workspace is
            absent, null or blank.
        organizations_without_members: How many organizations nobody belongs to.
        late_users: Legacy users of whom no migration that is in place holds a line, or who went
            back with a part of one. 0 where none is in place, or while one writes.
        restoring: Whether a restore into the database was begun and has not come to its end: then
            nothing else was looked at.
        damage: What is wrong with the records of runs or of the lease; ``None`` if nothing is.
            What cannot be read is left out.
    """

    database: str
    runs: tuple[RunRecord, ...]
    lease: LeaseState | None
    without_workspace: Mapping[str, int]
    organizations_without_members: int
    late_users: int = 0
    damage: Annotated[DamagedRecordsError | None, told(_words, str | None)] = None
    restoring: bool = False

    @property
    def unfinished(self) -> RunRecord | None:
        """The run that has not come to its end, if there is one."""
        return unfinished_run(self.runs)

    @computed_field(alias="unfinished")
    @property
    def unfinished_id(self) -> RunId | None:
        """The run that has not come to its end, or ``None``."""
        return None if self.unfinished is None else self.unfinished.run_id

    @property
    def half_done(self) -> bool:
        """Whether a run or a restore was begun and has not come to its end."""
        return self.restoring or self.unfinished is not None

    @property
    def quarantined(self) -> Mapping[str, int]:
        """Collection to how many of those documents the last run quarantined."""
        return {
            name: min(count, quarantined_documents(self.runs, name, without_workspace=True))
            for name, count in self.without_workspace.items()
        }


async def read_status(
    database: Database,
    registry: Registry,
    progress: Progress | None = None,
    *,
    counted: bool = True,
) -> Status:
    """Read how a database stands; send no write command.

    Args:
        database: The database.
        registry: The collections.
        progress: Told of every collection.
        counted: Whether documents without a workspace and organizations without members are
            counted, which reads whole collections.

    Raises:
        UnsupportedError: The database holds nothing.
    """
    listener = progress or NullProgress()
    if await restore_record(database) is not None:
        lease = await Lease.current(database)
        return Status(database.name, (), lease, {}, 0, restoring=True)
    infos = await collections(database, comment=_COMMENT)
    if not infos:
        raise nothing_there(database.name)
    runs: list[RunRecord] = []
    lease = damage = None
    try:
        lease = await Lease.current(database)
        runs = await read_runs(database)
        await refuse_lost_records(database, runs)
    except DamagedRecordsError as error:
        damage = error
    scoped = [spec.name for spec in counted_collections(registry, infos, runs) if counted]
    listener.phase("collections", len(scoped))
    lacking = blank(registry.workspace_field)
    without = {}
    for name in scoped:
        without[name] = await count(database[name], lacking, comment=_COMMENT)
        listener.advance(1, name)
    listener.phase("organizations and runs", None)
    orphans = 0
    if counted and "organization" in infos:
        orphans = await count_by(database["organization"], _NOBODYS, comment=_COMMENT)
    late = 0
    if counted and damage is None and (lease is None or not lease.under_way):
        late = await late_users(database, runs, infos, comment=_COMMENT)
    return Status(
        database=database.name,
        runs=tuple(runs),
        lease=lease,
        damage=damage,
        without_workspace=without,
        organizations_without_members=orphans,
        late_users=late,
    )
