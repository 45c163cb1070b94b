"""Records of runs: what was asked, how it went, and who became who.

They are read by every later command: a resume, a status, a validation, a rollback. It changes
when one of these needs to know more. Layout: docs/reference/run-records.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.store.connection import DURABLE

__all__ = ["OWN_COLLECTIONS", "RunRecord", "RunRecords", "RunState", "left_out"]

RUNS = "newbi_migrate_runs"
USERS = "newbi_migrate_users"
OWN_PREFIX = "newbi_migrate_"
OWN_COLLECTIONS = (RUNS, USERS, "newbi_migrate_journal", "newbi_migrate_lease")
"""Collections of the run records."""


class RunState(StrEnum):
    """How far a run has come; an interrupted one stays what it was."""

    RUNNING = "running"
    DONE = "done"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"

    @property
    def unfinished(self) -> bool:
        """Whether something was begun and has not come to its end."""
        return self in (RunState.RUNNING, RunState.ROLLING_BACK)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as recorded.

    Attributes:
        run_id: The run.
        command: ``migrate`` or ``backfill``.
        state: How far it has come.
        policy: The choices that decide what is written.
        document: The whole record.
    """

    run_id: ObjectId
    command: str
    state: RunState
    policy: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def stands(self) -> bool:
        """Whether it came to its end and what it wrote is there."""
        return self.state not in (RunState.RUNNING, RunState.ROLLING_BACK, RunState.ROLLED_BACK)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> RunRecord:
        """The record from its stored form."""
        return cls(
            document["_id"],
            document["command"],
            RunState(document["state"]),
            document["policy"],
            document,
        )


def left_out(runs: Iterable[RunRecord], collection: str) -> int:
    """How many documents of a collection the last run that looked at it left out and recorded.

    Args:
        runs: The newest first.
        collection: Its name.
    """
    for run in runs:
        summary = (run.document.get("collections") or {}).get(collection)
        if run.stands and summary is not None:
            return int(summary.get("quarantined", 0))
    return 0


class RunRecords:
    """The run records of a database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._runs = database.get_collection(RUNS, write_concern=DURABLE)
        self._users = database.get_collection(USERS, write_concern=DURABLE)

    async def all(self) -> list[RunRecord]:
        """All runs, the newest first."""
        cursor = self._runs.find().sort("_id", -1)
        async with cursor:
            return [RunRecord.of(document) async for document in cursor]

    async def start(self, run_id: ObjectId, document: Mapping[str, Any]) -> None:
        """Records that a run begins."""
        record = {"state": RunState.RUNNING.value, **document}
        # The server's clock, not ours, and one statement: no record is without its beginning.
        await self._runs.update_one(
            {"_id": run_id},
            [
                {
                    "$replaceWith": {
                        "$mergeObjects": [
                            {"_id": "$_id"},
                            {"$literal": record},
                            {"startedAt": "$$NOW"},
                        ]
                    }
                }
            ],
            upsert=True,
            comment=str(run_id),
        )

    async def finish(self, run_id: ObjectId, document: Mapping[str, Any]) -> None:
        """Records that a run is done, and what came of it."""
        await self._runs.update_one(
            {"_id": run_id},
            {
                "$set": {"state": RunState.DONE.value, **document},
                "$currentDate": {"finishedAt": True},
            },
            comment=str(run_id),
        )

    async def rolling_back(self, run_id: ObjectId) -> None:
        """Records that a run begins to be rolled back as a whole."""
        await self._runs.update_one(
            {"_id": run_id},
            {
                "$set": {"state": RunState.ROLLING_BACK.value},
                "$currentDate": {"rollbackStartedAt": True},
            },
            comment=str(run_id),
        )

    async def rolled_back(
        self, run_id: ObjectId, document: Mapping[str, Any], *, whole: bool
    ) -> None:
        """Records what came of a rollback; ``whole`` if nothing of the run is left."""
        state = {"state": RunState.ROLLED_BACK.value} if whole else {}
        await self._runs.update_one(
            {"_id": run_id},
            {
                "$set": state | {"rollback": dict(document)},
                "$currentDate": {"rolledBackAt": True},
            },
            comment=str(run_id),
        )

    async def note_dropped_index(
        self, run_id: ObjectId, collection: str, index: Mapping[str, Any]
    ) -> None:
        """Records an index before it is dropped, with all that is needed to build it again."""
        await self._runs.update_one(
            {"_id": run_id},
            {"$addToSet": {"indexesDropped": {"collection": collection, "index": dict(index)}}},
            comment=str(run_id),
        )

    async def journal_dropped(self, *, comment: str) -> None:
        """Records of all runs that their journal is about to go, and with it the way back."""
        await self._runs.update_many({}, {"$set": {"journalDropped": True}}, comment=comment)

    async def note_users(self, run_id: ObjectId, lines: Sequence[Mapping[str, Any]]) -> None:
        """Records who becomes who: one document for each legacy user.

        A line that decides as the one that is there does leaves it alone: it was noted before
        an interruption, when it was known which documents had to be created for him.
        """
        if lines:
            await self._users.bulk_write(
                [
                    UpdateOne(
                        {"_id": {"run": run_id, "legacy": line["legacyUserId"]}},
                        [{"$replaceWith": _unless_decided(line)}],
                        upsert=True,
                    )
                    for line in lines
                ],
                ordered=False,
                comment=str(run_id),
            )

    async def users(self, run_id: ObjectId) -> AsyncIterator[Mapping[str, Any]]:
        """Who became who in a run."""
        cursor = self._users.find(
            {"_id": {"$gte": {"run": run_id}, "$lt": {"run": ObjectId(_after(run_id))}}}
        )
        async with cursor:
            async for document in cursor:
                yield document


def _unless_decided(line: Mapping[str, Any]) -> dict[str, Any]:
    same = [
        {"$eq": [{"$ifNull": [f"${name}", None]}, {"$literal": line[name]}]}
        for name in ("userId", "organizationId", "reason")
    ]
    noted = {"$ne": [{"$type": "$outcome"}, "missing"]}
    new = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": dict(line)}]}
    return {"$cond": [{"$and": [noted, *same]}, "$$ROOT", new]}


def _after(run_id: ObjectId) -> bytes:
    return (int.from_bytes(run_id.binary, "big") + 1).to_bytes(12, "big")
