"""The server itself: what it is, its members, its clock and its disk."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.checks import Check, Level
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import Store, Topology, administration

__all__ = ["look_at_clock", "look_at_disk", "look_at_server"]

_CLOCK_SECONDS: Final = 10.0
_HEALTHY: Final = (1, 2, 7)
"""Primary, secondary, arbiter."""

# A workspace id, its place in the journal, and its entry in two indexes.
_BYTES_A_DOCUMENT: Final = 100
# What gzip makes of BSON on its fastest level; measured on invoices.
_COMPRESSED: Final = 0.4


async def look_at_server(store: Store) -> list[Check]:
    """Version and topology, and whether a majority of a replica set is there to acknowledge."""
    server = store.server
    if server.topology is Topology.STANDALONE:
        return [
            Check(
                "server",
                Level.OK,
                f"{server}. It has no transactions: what belongs to one user is written one "
                "after the other, and finished by the same command after an interruption.",
            )
        ]
    checks = [Check("server", Level.OK, f"{server}.")]
    if server.topology is Topology.REPLICA_SET:
        checks += await _members(store.database)
    return checks


async def _members(database: AsyncDatabase[dict[str, Any]]) -> list[Check]:
    try:
        status = await administration(database).command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != Code.UNAUTHORIZED:
            raise
        return [
            Check(
                "members",
                Level.SKIPPED,
                "This user may not ask how the members of the replica set are.",
                "With the role clusterMonitor it may.",
            )
        ]
    members = status["members"]
    down = [member["name"] for member in members if member["state"] not in _HEALTHY]
    if not down:
        alone = len(members) == 1
        said = "its only member is" if alone else f"all {len(members)} members are"
        return [Check("members", Level.OK, f"The replica set is complete: {said} up.")]
    enough = len(members) - len(down) > len(members) / 2
    return [
        Check(
            "members",
            Level.WARNING if enough else Level.FAILED,
            f"{len(down)} of {len(members)} members are not up: {', '.join(down)}.",
            "Every write waits for a majority of the members; bring them back first.",
        )
    ]


async def look_at_clock(database: AsyncDatabase[dict[str, Any]]) -> list[Check]:
    """The difference between the server's clock and ours, less the way there and back."""
    begun = time.perf_counter()
    hello = await administration(database).command("hello")
    way = time.perf_counter() - begun
    # PyMongo gives dates without a zone; they are in UTC.
    theirs = hello["localTime"].replace(tzinfo=UTC)
    apart = abs((theirs - datetime.now(UTC)).total_seconds() + way / 2)
    if apart <= _CLOCK_SECONDS:
        return [Check("clock", Level.OK, f"The server's clock agrees with ours to {apart:.1f} s.")]
    return [
        Check(
            "clock",
            Level.WARNING,
            f"The server's clock and ours are {apart:,.0f} s apart.",
            "Runs go by the server's clock alone, but logs cannot be compared; let both follow "
            "NTP.",
        )
    ]


async def look_at_disk(database: AsyncDatabase[dict[str, Any]], backup: Path | None) -> list[Check]:
    """Room on the server for what a run adds, and here for a backup, where there is none yet."""
    stats = await database.command("dbStats")
    checks = _room_on_server(stats)
    if backup is None:
        checks.append(_room_here(float(stats["dataSize"])))
    return checks


def _room_on_server(stats: dict[str, Any]) -> list[Check]:
    # A sharded cluster answers for each shard; none tells the room of the others.
    if "fsTotalSize" not in stats:
        return []
    free = float(stats["fsTotalSize"]) - float(stats["fsUsedSize"])
    # Stamped pages are written anew before the old ones are given back.
    needed = float(stats["storageSize"]) + _BYTES_A_DOCUMENT * float(stats["objects"])
    if free >= needed:
        return [
            Check(
                "disk",
                Level.OK,
                f"The server has {_size(free)} free; a run may take up to {_size(needed)}.",
            )
        ]
    return [
        Check(
            "disk",
            Level.WARNING,
            f"The server has {_size(free)} free; a run may take up to {_size(needed)}.",
            "Make room: a run that finds none stops, and goes on when there is some.",
        )
    ]


def _room_here(data: float) -> Check:
    here = Path.cwd()
    free = float(shutil.disk_usage(here).free)
    said = (
        f"This folder's disk has {_size(free)} free; a backup takes about "
        f"{_size(data * _COMPRESSED)}"
    )
    if free >= data:
        return Check("backup-disk", Level.OK, f"{said}.")
    level = Level.WARNING if free >= data * _COMPRESSED else Level.FAILED
    return Check(
        "backup-disk",
        level,
        f"{said}, and {_size(data)} if nothing can be compressed.",
        "Write it to another disk: newbi-migrate backup --output-dir DIR.",
    )


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:  # the step from one unit to the next
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
