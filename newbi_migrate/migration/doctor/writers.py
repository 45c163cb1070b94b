"""Whether anybody else writes: the application must be stopped before a run.

Two ways of looking, because either has a blind spot: the server's counters of each collection,
watched for some seconds, show every write but only while somebody writes; the list of connections
shows an idle application too, but takes a privilege.
"""

from __future__ import annotations

import asyncio
from typing import Final

from newbi_migrate.checks import Check, Level
from newbi_migrate.errors import UsageError
from newbi_migrate.printable import some_of
from newbi_migrate.store.collections import collections
from newbi_migrate.store.handles import Database
from newbi_migrate.store.server import other_clients
from newbi_migrate.store.snapshots import WriteCounters, write_counters

__all__ = ["LONGEST_WATCH", "look_for_writers"]

LONGEST_WATCH: Final = 3600
"""Seconds for which collections are watched at most."""

_STOP: Final = (
    "Stop the application and every job that writes (pm2 stop, docker compose stop), then look "
    "again."
)


async def look_for_writers(database: Database, watch: float) -> list[Check]:
    """Watch for writes of others, and list who else is connected.

    Args:
        database: The database.
        watch: For how many seconds.

    Raises:
        UsageError: That is no time: negative, longer than an hour or no number.
    """
    if not 0 <= watch <= LONGEST_WATCH:
        raise UsageError(
            f"Writers cannot be watched for {watch} seconds.",
            next_step=f"Give from 0 to {LONGEST_WATCH} seconds.",
        )
    first = await other_clients(database)
    before = await _counters(database)
    await asyncio.sleep(watch)
    after = await _counters(database)
    second = await other_clients(database)
    # The server takes half a second to notice that a client has gone.
    clients = None if first is None or second is None else first & second
    told = {name: after.written_since(before, name) for name in after.counts}
    came_or_went = before.counts.keys() ^ after.counts.keys()
    changed = sorted({name for name, written in told.items() if written} | came_or_went)
    blind = [name for name, written in told.items() if written is None]
    if changed:
        return [
            Check(
                "writers",
                Level.FAILED,
                f"Somebody wrote to {some_of(changed)} within {watch:g} s.",
                _STOP,
            )
        ]
    quiet = f"Nobody wrote within {watch:g} s"
    if blind:
        return [
            Check(
                "writers",
                Level.WARNING,
                f"The server does not tell whether anybody writes to {some_of(blind)}.",
                "Make sure yourself that the application is stopped.",
            )
        ]
    if clients is None:
        return [
            Check(
                "writers",
                Level.OK,
                f"{quiet}. Who else is connected, this user may not see (role clusterMonitor).",
            )
        ]
    if clients:
        listed = [f"{name} ({n})" if n > 1 else name for name, n in sorted(clients.items())]
        return [
            Check(
                "writers",
                Level.WARNING,
                f"{quiet}, but others are connected to the server: {some_of(listed)}.",
                f"If one of them is the application: {_STOP[0].lower()}{_STOP[1:]}",
            )
        ]
    return [Check("writers", Level.OK, f"{quiet}, and nobody else is connected.")]


async def _counters(database: Database) -> WriteCounters:
    listed = (await collections(database)).values()
    return await write_counters(database, [info.name for info in listed if info.writable])
