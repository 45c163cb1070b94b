"""The server itself: what it is, its members, its clock and its disk."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from newbi_migrate.checks import Check, Level, bytes_text
from newbi_migrate.local_files import reason_of
from newbi_migrate.store.connection import Store, Topology
from newbi_migrate.store.handles import Database
from newbi_migrate.store.server import Room, disk_room, members, server_time

__all__ = ["look_at_clock", "look_at_disk", "look_at_server"]

_CLOCK_SECONDS: Final = 10.0

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


async def _members(database: Database) -> list[Check]:
    found = await members(database)
    if found is None:
        return [
            Check(
                "members",
                Level.SKIPPED,
                "This user may not ask how the members of the replica set are.",
                "With the role clusterMonitor it may.",
            )
        ]
    down = [member.name for member in found if not member.healthy]
    if not down:
        said = "its only member is" if len(found) == 1 else f"all {len(found)} members are"
        return [Check("members", Level.OK, f"The replica set is complete: {said} up.")]
    enough = len(found) - len(down) > len(found) / 2
    return [
        Check(
            "members",
            Level.WARNING if enough else Level.FAILED,
            f"{len(down)} of {len(found)} members are not up: {', '.join(down)}.",
            "Every write waits for a majority of the members; bring them back first.",
        )
    ]


async def look_at_clock(database: Database) -> list[Check]:
    """The difference between the server's clock and ours, less the way there and back."""
    begun = time.perf_counter()
    theirs = await server_time(database)
    way = time.perf_counter() - begun
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


async def look_at_disk(database: Database, backup: Path | None) -> list[Check]:
    """Room on the server for what a run adds, and here for a backup, where there is none yet."""
    room = await disk_room(database)
    checks = _room_on_server(room)
    if backup is None:
        checks.append(_room_here(room.data))
    return checks


def _room_on_server(room: Room) -> list[Check]:
    if room.free is None:
        return []
    # Stamped pages are written anew before the old ones are given back.
    needed = room.storage + _BYTES_A_DOCUMENT * room.documents
    said = (
        f"The server has {bytes_text(room.free)} free; a run may take up to {bytes_text(needed)}."
    )
    if room.free >= needed:
        return [
            Check(
                "disk",
                Level.OK,
                said,
            )
        ]
    return [
        Check(
            "disk",
            Level.WARNING,
            said,
            "Make room: a run that finds none stops, and goes on when there is some.",
        )
    ]


def _room_here(data: float) -> Check:
    try:
        free = float(shutil.disk_usage(Path.cwd()).free)
    except OSError as error:
        return Check(
            "backup-disk",
            Level.WARNING,
            f"This folder, where a backup is written, cannot be looked at ({reason_of(error)}).",
            "Go to another folder, or name one: newbi-migrate backup --output-dir DIR.",
        )
    said = (
        f"This folder's disk has {bytes_text(free)} free; a backup takes about "
        f"{bytes_text(data * _COMPRESSED)}"
    )
    if free >= data:
        return Check("backup-disk", Level.OK, f"{said}.")
    level = Level.WARNING if free >= data * _COMPRESSED else Level.FAILED
    return Check(
        "backup-disk",
        level,
        f"{said}, and {bytes_text(data)} if nothing can be compressed.",
        "Write it to another disk: newbi-migrate backup --output-dir DIR.",
    )
