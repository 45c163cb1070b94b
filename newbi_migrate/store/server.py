"""What the server says of itself: its members, clock and disk, who is connected, and rights."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pymongo.errors import OperationFailure

from newbi_migrate.errors import NotPermittedError, UsageError
from newbi_migrate.server_codes import Code
from newbi_migrate.store.connection import Topology, administration
from newbi_migrate.store.handles import Database

__all__ = [
    "Grants",
    "ReplicaMember",
    "Room",
    "bytes_held",
    "collection_hashes",
    "disk_room",
    "granted",
    "members",
    "other_clients",
    "replica_lag",
    "server_time",
]

_PRIMARY: Final = 1
_SECONDARY: Final = 2
_ARBITER: Final = 7


@dataclass(frozen=True, slots=True)
class ReplicaMember:
    """A member of a replica set, as the primary sees it.

    Attributes:
        name: Its host and port.
        state: Its state by the server's number.
        reachable: Whether it answers.
        written: Time of the last write it has applied, in UTC and without a zone.
    """

    name: str
    state: int
    reachable: bool
    written: datetime | None

    @property
    def healthy(self) -> bool:
        """Whether it is what a member should be: primary, secondary or arbiter."""
        return self.state in (_PRIMARY, _SECONDARY, _ARBITER)


async def members(database: Database) -> list[ReplicaMember] | None:
    """The members of the replica set; ``None`` where this user may not ask."""
    try:
        status = await administration(database).command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != Code.UNAUTHORIZED:
            raise
        return None
    return [
        ReplicaMember(one["name"], one["state"], one.get("health") == 1, one.get("optimeDate"))
        for one in status["members"]
    ]


async def replica_lag(database: Database, topology: Topology) -> float:
    """Seconds by which the slowest secondary that is up is behind the primary.

    A standalone has none, and 0 is given; so it is where every secondary is down, for then
    there is nobody to wait for.

    Raises:
        NotPermittedError: This user may not ask.
        UsageError: The shards of a cluster cannot be asked from here.
    """
    if topology is Topology.STANDALONE:
        return 0.0
    if topology is Topology.SHARDED:
        raise UsageError(
            "The lag of a sharded cluster's secondaries cannot be read through its router.",
            next_step="Leave --max-lag out; every write waits for a majority of its shard.",
        )
    found = await members(database)
    if found is None:
        raise NotPermittedError(
            "This user may not ask how far the secondaries are behind.",
            next_step="Grant them the role clusterMonitor on admin, or leave --max-lag out.",
        )
    newest = next((member.written for member in found if member.state == _PRIMARY), None)
    if newest is None:
        # There is no primary to be behind; a write is going to find that out.
        return 0.0
    behind = [
        (newest - member.written).total_seconds()
        for member in found
        if member.state == _SECONDARY and member.reachable and member.written is not None
    ]
    return max(behind, default=0.0)


async def server_time(database: Database) -> datetime:
    """The time on the server's clock."""
    hello = await administration(database).command("hello")
    # PyMongo gives dates without a zone; they are in UTC.
    told: datetime = hello["localTime"].replace(tzinfo=UTC)
    return told


@dataclass(frozen=True, slots=True)
class Room:
    """What a database takes, and what is left, in bytes.

    Attributes:
        documents: Number of documents.
        data: What they take, uncompressed.
        storage: What their files take.
        free: What the server's disk has left; ``None`` for a sharded cluster, where none of the
            shards tells the room of the others.
    """

    documents: int
    data: float
    storage: float
    free: float | None


async def disk_room(database: Database) -> Room:
    """Room on the server's disk."""
    stats = await database.command("dbStats")
    free = None
    # Of a database that does not exist the server says that its disk has 0 bytes.
    if stats.get("fsTotalSize"):
        free = float(stats["fsTotalSize"]) - float(stats["fsUsedSize"])
    return Room(int(stats["objects"]), float(stats["dataSize"]), float(stats["storageSize"]), free)


async def bytes_held(database: Database, names: Iterable[str]) -> int:
    """What some collections hold, uncompressed, and their indexes, in bytes.

    What they take in the server's files is known only after its next checkpoint, a minute later.
    """
    taken = 0
    for name in names:
        cursor = await database[name].aggregate([{"$collStats": {"storageStats": {}}}])
        async for stats in cursor:
            found = stats["storageStats"]
            taken += int(found["size"]) + int(found["totalIndexSize"])
    return taken


async def collection_hashes(database: Database) -> dict[str, str]:
    """The server's own digest of each collection; a sharded cluster has none.

    Raises:
        pymongo.errors.PyMongoError: The server failed, or may not be asked.
    """
    answer = await database.command("dbHash")
    hashes: dict[str, str] = answer["collections"]
    return hashes


# -- rights ------------------------------------------------------------------------------------


class Grants:
    """What a user may do on each collection of one database.

    Args:
        database: Its name.
        privileges: As the server lists them, so that custom roles count as well as built-in ones.
    """

    def __init__(self, database: str, privileges: Iterable[Mapping[str, Any]]) -> None:
        self._everywhere: set[str] = set()
        self._by_name: dict[str, set[str]] = {}
        for privilege in privileges:
            resource = privilege["resource"]
            actions = set(privilege["actions"])
            if resource.get("anyResource"):
                self._everywhere |= actions
            elif resource.get("db") in ("", database) and "collection" in resource:
                if resource["collection"] == "":
                    self._everywhere |= actions
                else:
                    self._by_name.setdefault(resource["collection"], set()).update(actions)

    def on(self, name: str) -> set[str]:
        """The actions that are allowed on a collection, or with an empty name on all."""
        return self._everywhere | self._by_name.get(name, set())


async def granted(database: Database) -> Grants | None:
    """What the user of the connection may do; ``None`` where it names none."""
    answer = await administration(database).command("connectionStatus", showPrivileges=True)
    auth = answer["authInfo"]
    if not auth["authenticatedUsers"]:
        return None
    return Grants(database.name, auth["authenticatedUserPrivileges"])


# -- connections -------------------------------------------------------------------------------


async def other_clients(database: Database) -> Counter[str] | None:
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
