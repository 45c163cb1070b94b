"""Whether anybody else writes: the application must be stopped before a run.

Two ways of looking, because either has a blind spot: the server's counters of each collection,
watched for some seconds, show every write but only while somebody writes; the list of connections
shows an idle application too, but takes a privilege.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.backup.consistency import write_counters
from newbi_migrate.checks import Check, Level
from newbi_migrate.store.codes import Code
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import administration

__all__ = ["look_for_writers"]

_STOP: Final = (
    "Stop the application and every job that writes (pm2 stop, docker compose stop), then look "
    "again."
)
_SHOWN: Final = 5


async def look_for_writers(database: AsyncDatabase[dict[str, Any]], watch: float) -> list[Check]:
    """Watch for writes of others, and list who else is connected.

    Args:
        database: The database.
        watch: For how many seconds.
    """
    first = await _others(database)
    before = await _counters(database)
    await asyncio.sleep(watch)
    after = await _counters(database)
    second = await _others(database)
    # The server takes half a second to notice that a client has gone.
    clients = None if first is None or second is None else first & second
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    blind = [name for name, count in after.items() if count is None]
    if changed:
        return [
            Check(
                "writers",
                Level.FAILED,
                f"Somebody wrote to {_some(changed)} within {watch:g} s.",
                _STOP,
            )
        ]
    quiet = f"Nobody wrote within {watch:g} s"
    if blind:
        return [
            Check(
                "writers",
                Level.WARNING,
                f"The server does not tell whether anybody writes to {_some(blind)}.",
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
                f"{quiet}, but others are connected to the server: {_some(listed)}.",
                f"If one of them is the application: {_STOP[0].lower()}{_STOP[1:]}",
            )
        ]
    return [Check("writers", Level.OK, f"{quiet}, and nobody else is connected.")]


async def _counters(
    database: AsyncDatabase[dict[str, Any]],
) -> dict[str, tuple[int, ...] | None]:
    listed = (await collections(database)).values()
    return await write_counters(
        database, [info.name for info in listed if info.holds_documents and not info.internal]
    )


async def _others(database: AsyncDatabase[dict[str, Any]]) -> Counter[str] | None:
    """Who else is connected, by program and machine; ``None`` where that may not be asked."""
    mark = f"newbi-migrate doctor {uuid.uuid4().hex}"
    pipeline: list[Mapping[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True, "idleSessions": False}},
        {"$match": {"clientMetadata": {"$exists": True}}},
        {
            "$project": {
                "client": {"$ifNull": ["$client", "$client_s"]},
                "clientMetadata": 1,
                "comment": "$command.comment",
            }
        },
    ]
    try:
        cursor = await administration(database).aggregate(pipeline, comment=mark)
        async with cursor:
            found = [operation async for operation in cursor]
    except OperationFailure as error:
        if error.code != Code.UNAUTHORIZED:
            raise
        return None
    # Each client has several connections, so ours are known by what they say of themselves.
    ours = [_identity(one) for one in found if one.get("comment") == mark]
    others: Counter[str] = Counter()
    for one in found:
        if _identity(one) not in ours and not _is_server(one):
            others[_name(one)] += 1
    return others


def _identity(operation: Mapping[str, Any]) -> tuple[str, Any]:
    # Of one client the connections that watch the server and those that work name the driver
    # in two ways: "PyMongo|c" and "PyMongo|c|async".
    said = {key: value for key, value in operation["clientMetadata"].items() if key != "driver"}
    return _host(operation), said


def _host(operation: Mapping[str, Any]) -> str:
    return str(operation.get("client") or "").rpartition(":")[0]


def _is_server(operation: Mapping[str, Any]) -> bool:
    """Whether it is another member of the deployment."""
    driver = operation["clientMetadata"].get("driver", {})
    return str(driver.get("name", "")).startswith(("NetworkInterfaceTL", "MongoDB Internal"))


def _name(operation: Mapping[str, Any]) -> str:
    metadata = operation["clientMetadata"]
    program = metadata.get("application", {}).get("name") or metadata.get("driver", {}).get("name")
    return f"{program or 'a client'} on {_host(operation) or 'this machine'}"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
