"""Reading all collections as they were at one time, and telling whether they stayed so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bson import Timestamp
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from newbi_migrate.server_codes import SNAPSHOT_LOST
from newbi_migrate.store.connection import administration
from newbi_migrate.store.handles import Collection, Database
from newbi_migrate.store.reading import read_batches

__all__ = [
    "SnapshotLost",
    "WriteCounters",
    "committed",
    "latest_time",
    "snapshot_batches",
    "write_counters",
]

_CURSOR: Final = ("insert calls", "update calls", "modify calls", "remove calls")


class SnapshotLost(Exception):  # noqa: N818  # it says what happened, to whoever words it
    """A snapshot grew too old, or does not reach a collection that was altered since."""


class _SnapshotConcern(ReadConcern):
    """Reads a collection as it was at one cluster time, whatever is written meanwhile.

    Args:
        at: The cluster time. A snapshot session would let the server choose it, but serves one
            reader at a time.
    """

    def __init__(self, at: Timestamp) -> None:
        super().__init__("snapshot")
        self._at = at

    @property
    def document(self) -> dict[str, Any]:
        """As commands have it."""
        return {"level": "snapshot", "atClusterTime": self._at}


async def latest_time(database: Database) -> Timestamp | None:
    """Cluster time of the last write the server has applied; ``None`` on a standalone."""
    answer = await database.command("ping")
    time = answer.get("operationTime")
    return time if isinstance(time, Timestamp) else None


async def snapshot_batches(
    database: Database, name: str, at: Timestamp, *, comment: str
) -> AsyncGenerator[bytes]:
    """All documents of a collection as they were at a cluster time, in batches.

    Raises:
        SnapshotLost: The server no longer knows how they were.
    """
    collection = database.get_collection(name, read_concern=_SnapshotConcern(at))
    try:
        async for batch in read_batches(collection, comment=comment):
            yield batch
    except OperationFailure as error:
        if error.code not in SNAPSHOT_LOST:
            raise
        raise SnapshotLost from error


def committed(database: Database, name: str) -> Collection:
    """A collection from which nothing is read but what a majority of the members has."""
    return database.get_collection(name, read_concern=ReadConcern("majority"))


@dataclass(frozen=True, slots=True)
class WriteCounters:
    """How much was written to each collection since the server started.

    Attributes:
        process: The process that counted; a server that starts anew is another, and begins at 0.
            ``None`` where the server does not tell, or started anew meanwhile.
        counts: Collection to its counts; ``None`` where the server does not tell.
    """

    process: Any
    counts: Mapping[str, tuple[int, ...] | None]

    def written_since(self, before: WriteCounters, name: str) -> bool | None:
        """Whether a collection was written to since it was counted before; ``None`` if unknown."""
        counts = before.counts.get(name), self.counts.get(name)
        if self.process is None or self.process != before.process or None in counts:
            return None
        return counts[0] != counts[1]


async def write_counters(database: Database, names: Iterable[str]) -> WriteCounters:
    """Count what was written to each collection.

    Two counts, because either has a blind spot: operations of clients (``latencyStats``), and
    changes of the storage engine's table, which the server makes on its own account too, when
    documents expire. Both come with the role ``read``. Of a sharded cluster, the process is that
    of the router: a shard that starts anew is not noticed.
    """
    process = await _process(database)
    counters: dict[str, tuple[int, ...] | None] = {}
    for name in names:
        try:
            cursor = await database[name].aggregate(
                [{"$collStats": {"latencyStats": {}, "storageStats": {}}}]
            )
            async with cursor:
                found = [part async for part in cursor]
        except OperationFailure:
            counters[name] = None
            continue
        counters[name] = _counted(found)
    # The counts are of one process only if it is the same before and after them.
    same = process == await _process(database)
    return WriteCounters(process if same else None, counters)


async def _process(database: Database) -> Any:
    """What tells one process of the server from another, and from one of another member."""
    hello = await administration(database).command("hello")
    return hello.get("topologyVersion", {}).get("processId")


def _counted(parts: list[dict[str, Any]]) -> tuple[int, ...] | None:
    if not parts:
        return None
    totals = [0] * (1 + len(_CURSOR))
    for part in parts:
        try:
            table = part["storageStats"]["wiredTiger"]["cursor"]
            counts = [part["latencyStats"]["writes"]["ops"]]
        except (KeyError, TypeError):
            return None
        counts += [table.get(kind, 0) for kind in _CURSOR]
        totals = [total + int(count) for total, count in zip(totals, counts, strict=True)]
    return tuple(totals)
