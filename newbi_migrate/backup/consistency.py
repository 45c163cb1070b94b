"""What makes the parts of a backup fit together, or tells that they may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from newbi_migrate.backup import layout
from newbi_migrate.backup.manifest import CollectionEntry, Consistency
from newbi_migrate.backup.sources import Source

__all__ = [
    "SnapshotConcern",
    "judge",
    "judged",
    "latest_time",
    "verdict",
    "write_counters",
]

Counters = Mapping[str, tuple[int, ...] | None]
"""How much was written to each collection so far; ``None`` where the server does not tell."""

_CURSOR: Final = ("insert calls", "update calls", "modify calls", "remove calls")


class SnapshotConcern(ReadConcern):
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


async def latest_time(database: AsyncDatabase[dict[str, Any]]) -> Timestamp | None:
    """Cluster time of the last write the server has applied; ``None`` on a standalone."""
    answer = await database.command("ping")
    time = answer.get("operationTime")
    return time if isinstance(time, Timestamp) else None


async def write_counters(
    database: AsyncDatabase[dict[str, Any]], names: Iterable[str]
) -> dict[str, tuple[int, ...] | None]:
    """How much was written to each collection since the server started.

    Two counts, because either has a blind spot: operations of clients (``latencyStats``), and
    changes of the storage engine's table, which the server makes on its own account too, when
    documents expire. Both come with the role ``read``.
    """
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
    return counters


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


def verdict(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> Consistency:
    """What two counts of one collection tell."""
    if before is None or after is None:
        return Consistency.UNKNOWN
    return Consistency.QUIET if before == after else Consistency.WRITTEN


def judged(
    entry: CollectionEntry, before: Counters, after: Counters, *, snapshot: bool
) -> CollectionEntry:
    """A collection with what is known about writes to it, from counts before and after."""
    if entry.type == "view":
        return replace(entry, consistency=Consistency.SNAPSHOT if snapshot else Consistency.QUIET)
    if entry.consistency is Consistency.SNAPSHOT:
        return entry
    name = layout.data_namespace(entry.name, entry.type)
    return replace(entry, consistency=verdict(before.get(name), after.get(name)))


def judge(
    entries: Sequence[CollectionEntry],
    sources: Sequence[Source],
    there_now: Sequence[Source],
    *,
    snapshot: bool,
) -> tuple[Consistency, tuple[str, ...]]:
    """What is known about a whole backup, and sentences for people about it."""
    notes = []
    changed = {source.identity for source in sources} ^ {source.identity for source in there_now}
    names = sorted({name for name, _, _ in changed})
    if names:
        notes.append(
            f"Collections were created, dropped or altered during the backup: {', '.join(names)}."
        )
    written = [e.name for e in entries if e.consistency is Consistency.WRITTEN]
    if written:
        notes.append(
            "There were writes during the backup, so collections may not fit together: "
            f"{', '.join(sorted(written))}. Stop the application and run it again."
        )
    if written or names:
        return Consistency.WRITTEN, tuple(notes)
    if Consistency.UNKNOWN in {entry.consistency for entry in entries}:
        notes.append("Whether there were writes during the backup is not known.")
        return Consistency.UNKNOWN, tuple(notes)
    # A capped collection without writes is as it was at the snapshot.
    return Consistency.SNAPSHOT if snapshot else Consistency.QUIET, ()
