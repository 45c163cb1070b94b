"""Records of runs: what was asked, how it went, and who became who.

They are read by every later command: a resume, a status, a validation, a rollback. Layout:
docs/reference/run-records.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final

import bson
from bson import Binary, ObjectId
from pydantic import computed_field
from pymongo import DeleteOne, UpdateOne

from newbi_migrate.answers import HIDDEN, Instant, RunId
from newbi_migrate.errors import DamagedRecordsError, UsageError
from newbi_migrate.store.collections import CollectionInfo, collections
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import JOURNAL, run_taken_over
from newbi_migrate.store.lease import LEASE, RUNS
from newbi_migrate.store.reading import BATCH_DOCUMENTS, chunks
from newbi_migrate.store.record_shape import is_run, is_user_line
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import MAX_OPERATIONS

__all__ = [
    "MAX_RECORDED",
    "OWN_COLLECTIONS",
    "RESTORE_ID",
    "RunRecord",
    "RunState",
    "RunWriter",
    "fitting",
    "is_finalized",
    "migrated_users",
    "noted_outcomes",
    "quarantined_documents",
    "read_runs",
    "readable_collections",
    "recorded_run_ids",
    "refuse_altered_records",
    "refuse_if_restoring",
    "restore_record",
    "unfinished_run",
    "unforeseen_refusals",
    "users_gone_back",
]

USERS = "newbi_migrate_users"
RESTORE_ID: Final = {"_id": "restore"}
"""Record of a restore until it has come to its end; beside the lease, with which it goes."""
OWN_COLLECTIONS = (RUNS, USERS, JOURNAL, LEASE)
"""Collections of the run records."""


MAX_RECORDED: Final = 1000
MAX_RECORDED_BYTES: Final = 2 * 1024 * 1024
"""Of each list in a record of a run, which has several."""


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
        number: Number of the lease under which it began; a later run has a greater one.
        command: What it was: ``migrate``, ``backfill``, ``indexes``, ``finalize``, ``restore``.
        state: How far it has come.
        policy: The choices that decide what is written.
        document: The whole record.
    """

    run_id: RunId
    number: Annotated[int, HIDDEN]
    command: str
    state: RunState
    policy: Mapping[str, Any]
    document: Annotated[Mapping[str, Any], HIDDEN]

    @computed_field
    @property
    def version(self) -> Any:
        """Version of the program that began it."""
        return self.document.get("version")

    @computed_field
    @property
    def started_at(self) -> Instant | None:
        """When it began."""
        return _time(self.document.get("startedAt"))

    @computed_field
    @property
    def finished_at(self) -> Instant | None:
        """When it came to its end; ``None`` if it has not."""
        return _time(self.document.get("finishedAt"))

    @computed_field
    @property
    def exit_code(self) -> Any:
        """What it ended with."""
        return self.document.get("exitCode")

    @computed_field
    @property
    def quarantined(self) -> Any:
        """How many users and documents it quarantined."""
        return self.document.get("quarantined")

    @computed_field
    @property
    def timings(self) -> dict[str, Any]:
        """Phase to seconds."""
        return dict(self.document.get("timings") or {})

    @computed_field
    @property
    def partly_rolled_back(self) -> bool:
        """Whether a part of it was rolled back, or began to be, and the rest is in place."""
        begun = self.document.get("rollback") or self.document.get("partBegun")
        return self.stands and bool(begun)

    @property
    def last_lease(self) -> int:
        """Number of the last lease under which the run was carried out or taken back."""
        return max(self.number, self.document.get("token") or 0)

    @property
    def journal_entries(self) -> int:
        """How many entries its journal has at least."""
        return self.document.get("journalEntries") or 0

    @property
    def rollback_policy(self) -> Mapping[str, Any]:
        """The choices with which its last rollback as a whole began; empty if none did."""
        return self.document.get("rollbackPolicy") or {}

    @property
    def rollback_session(self) -> Binary | None:
        """Id of the server session in which its rollback deletes; ``None`` if it has none."""
        return self.document.get("rollbackSession")

    @property
    def migrates(self) -> bool:
        """Whether it is one that migrates users or documents."""
        return self.command in ("migrate", "backfill")

    @property
    def in_place(self) -> bool:
        """Whether anything it wrote may still be there, and can be taken back."""
        return self.state is not RunState.ROLLED_BACK and not self.aside_dropped

    @property
    def replaced(self) -> frozenset[str]:
        """Names of the collections that it put into the place of others."""
        return frozenset(entry["collection"] for entry in self.document.get("replaced", ()))

    @property
    def aside_dropped(self) -> bool:
        """Whether it put collections in place, and those before them were dropped since."""
        return bool(self.document.get("asideDropped"))

    @property
    def stands(self) -> bool:
        """Whether it came to its end and what it wrote is there."""
        return self.state is RunState.DONE

    def damaged(self) -> DamagedRecordsError:
        """What is raised where a part of it is not what this tool writes."""
        return _damaged(RUNS, self.run_id)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> RunRecord:
        """The record from its stored form.

        Raises:
            DamagedRecordsError: It is not what this tool writes.
        """
        if not is_run(document):
            raise _damaged(RUNS, document["_id"])
        return cls(
            document["_id"],
            int(document["number"]),
            document["command"],
            RunState(document["state"]),
            document["policy"],
            document,
        )


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _damaged(collection: str, identifier: Any) -> DamagedRecordsError:
    return DamagedRecordsError(
        f"A record in {collection} is not what this tool wrote.",
        next_step="Nothing was written because of it. Restore the backup if the database cannot "
        "be trusted.",
        collection=collection,
        document_id=identifier,
    )


def fitting(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first of some items, as many as a record has room for: 1,000, and 2 MB of them."""
    listed: list[Mapping[str, Any]] = []
    room = MAX_RECORDED_BYTES
    for item in islice(items, MAX_RECORDED):
        room -= len(bson.encode({"": item}))
        if room < 0:
            break
        listed.append(item)
    return listed


def quarantined_documents(
    runs: Iterable[RunRecord], collection: str, *, without_workspace: bool = False
) -> int:
    """How many documents of a collection the last run that looked at it quarantined.

    Args:
        runs: The newest first.
        collection: Its name.
        without_workspace: Only those that have no workspace.
    """
    return _of_last(runs, collection, "quarantinedWithout" if without_workspace else "quarantined")


def unforeseen_refusals(runs: Iterable[RunRecord], collection: str) -> int:
    """How many documents the server refused the last run that wrote to a collection, unforeseen.

    A plan takes them for documents that are still to be written; it names all others.

    Args:
        runs: The newest first.
        collection: Its name.
    """
    return _of_last(runs, collection, "unforeseen")


def _of_last(runs: Iterable[RunRecord], collection: str, name: str) -> int:
    for run in runs:
        summary = (run.document.get("collections") or {}).get(collection)
        if run.stands and summary is not None:
            return int(summary.get(name, 0))
    return 0


def is_finalized(runs: Iterable[RunRecord]) -> bool:
    """Whether a migration was ended, and no other was begun since.

    Args:
        runs: All runs, the newest first.
    """
    last = next((run for run in runs if run.in_place and run.command != "indexes"), None)
    return last is not None and last.stands and last.command == "finalize"


def unfinished_run(runs: Iterable[RunRecord]) -> RunRecord | None:
    """The run that has not come to its end, forward or backward, if there is one."""
    return next((run for run in runs if run.state.unfinished), None)


async def read_runs(database: Database) -> list[RunRecord]:
    """All runs, the newest first: by their numbers, not by anybody's clock.

    Raises:
        DamagedRecordsError: A record is not what this tool writes.
    """
    async with database[RUNS].find() as cursor:
        found = [RunRecord.of(document) async for document in cursor]
    return sorted(found, key=lambda run: run.number, reverse=True)


async def recorded_run_ids(database: Database) -> list[ObjectId]:
    """Ids of all runs, whatever else their records hold."""
    return await database[RUNS].distinct("_id", {"_id": {"$type": "objectId"}})


async def restore_record(database: Database) -> Mapping[str, Any] | None:
    """The record of a restore that has not come to its end, if there is one; read only."""
    return await database[LEASE].find_one(RESTORE_ID)


async def readable_collections(
    database: Database, *, comment: str | None = None
) -> dict[str, CollectionInfo]:
    """Everything in a database, as :func:`collections` gives it, for whoever reads the whole.

    Raises:
        UsageError: Part of what the database is to hold is not there yet.
    """
    await refuse_if_restoring(database)
    return await collections(database, comment=comment)


async def refuse_altered_records(database: Database, names: Iterable[str]) -> None:
    """Fail where somebody made a record collection take less than what this tool writes.

    Args:
        database: Where.
        names: Those of the record collections that are to be written.

    Raises:
        DamagedRecordsError: One is a view or a time series, has options or an index under which
            records are refused or go away.
    """
    there = await collections(database)
    for info in (there[name] for name in names if name in there):
        oddity = info.oddity and f"is {info.oddity}"
        # How strictly a validator works stays when it is taken away, and does nothing then.
        options = sorted(info.options.keys() - {"validationLevel", "validationAction"})
        if not oddity and options:
            oddity = f"has the options {', '.join(options)}"
        for index in () if oddity else await read_indexes(database, info.name):
            if index.get("unique") or "expireAfterSeconds" in index:
                oddity = f"has the index {index['name']}"
        if oddity:
            raise DamagedRecordsError(
                f"{info.name} is not as this tool makes it: it {oddity}.",
                next_step="Nothing was written. Take back what somebody did to it.",
                collection=info.name,
            )


async def refuse_if_restoring(database: Database) -> None:
    """Fail where a restore into a database has not come to its end; read only.

    Raises:
        UsageError: Part of what the database is to hold is not there yet.
    """
    if await restore_record(database) is not None:
        raise UsageError(
            f"The database {database.name!r} is half restored: a restore has not come to its end.",
            next_step="Finish it first: the same restore command goes on where it stopped.",
        )


async def migrated_users(
    database: Database, run_id: ObjectId, only: Mapping[str, Any] | None = None
) -> AsyncIterator[Mapping[str, Any]]:
    """Who became who in a run: one line for each legacy user.

    Args:
        database: Where.
        run_id: The run.
        only: Which lines; all by default.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    query = {**_lines_of(run_id), **(only or {})}
    async with database[USERS].find(query, batch_size=BATCH_DOCUMENTS) as cursor:
        async for document in cursor:
            if not is_user_line(document):
                raise _damaged(USERS, document["_id"])
            yield document


async def noted_outcomes(database: Database, run_id: ObjectId, *, comment: str) -> Counter[str]:
    """How many legacy users of a run have which outcome; who has a reason is quarantined."""
    decided = {"$eq": [{"$ifNull": ["$reason", None]}, None]}
    outcome = {"$cond": [decided, "$outcome", "quarantined"]}
    group = {"_id": outcome, "n": {"$sum": 1}}
    cursor = await database[USERS].aggregate(
        [{"$match": _lines_of(run_id)}, {"$group": group}], comment=comment
    )
    async with cursor:
        return Counter({found["_id"]: found["n"] async for found in cursor})


async def users_gone_back(database: Database, run_id: ObjectId, *, comment: str) -> set[bytes]:
    """Keys of the legacy users whom a run migrated and who went back with a part of it.

    Their lines stay. Those whose user or organization is gone are among them.
    """
    cursor = await database[USERS].aggregate(
        [{"$match": {**_lines_of(run_id), "userId": {"$ne": None}}}, *_GONE_BACK],
        collation=SIMPLE_COLLATION,
        comment=comment,
    )
    async with cursor:
        return {id_key(line["_id"]["legacy"]) async for line in cursor}


def _lookup(collection: str, field: str) -> dict[str, Any]:
    by_id = {"localField": field, "foreignField": "_id", "pipeline": [{"$project": {"_id": 1}}]}
    return {"$lookup": {"from": collection, "as": collection, **by_id}}


_GONE_BACK: Final[list[dict[str, Any]]] = [
    _lookup("user", "userId"),
    _lookup("organization", "organizationId"),
    {
        "$match": {
            "$or": [
                {"wentBack": True},
                {"user": []},
                {"organization": [], "organizationId": {"$ne": None}},
            ]
        }
    },
    {"$project": {"_id": 1}},
]
"""Of the lines of migrated legacy users, those who went back, or whose documents are gone."""


def _lines_of(run_id: ObjectId) -> dict[str, Any]:
    return {"_id": {"$gte": {"run": run_id}, "$lt": {"run": ObjectId(_after(run_id))}}}


class RunWriter:
    """Writer of the record of the session's run.

    Args:
        session: The leased session, working on that run.
    """

    def __init__(self, session: LeasedSession) -> None:
        self._session = session

    async def start(self, document: Mapping[str, Any]) -> None:
        """Record that the run begins."""
        number = self._session.token
        record = {
            "state": RunState.RUNNING.value,
            "number": number,
            "token": number,
            **document,
        }
        # The server's clock, not ours, and one statement: no record is without its beginning.
        await self._session.collection(RUNS).update_one(
            {"_id": self._session.run_id},
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
            comment=self._session.comment,
        )

    async def take_over(self) -> None:
        """Record that this session works on the run from now on.

        Raises:
            DamagedRecordsError: There is no record of it any more.
        """
        done = await self._session.collection(RUNS).update_one(
            {"_id": self._session.run_id, "token": {"$lte": self._session.token}},
            {"$set": {"token": self._session.token}},
            comment=self._session.comment,
        )
        await self._must_match(done.matched_count)

    async def note_journal(self, entries: int) -> None:
        """Record how many entries the run's journal has at least."""
        await self._set({"journalEntries": entries})

    async def note_legacy_users(self, count: int) -> None:
        """Record how many legacy users go with their collection."""
        await self._set({"legacyUsers": count})

    async def note_replaced(self, fields: Mapping[str, Any]) -> None:
        """Record that collections are whole and about to be put in place, and what they replace."""
        await self._set(fields)

    async def finish(self, document: Mapping[str, Any]) -> None:
        """Record that the run is done, and what came of it."""
        await self._set({"state": RunState.DONE.value, **document}, "finishedAt")

    async def rolling_back(
        self, policy: Mapping[str, Any], fields: Mapping[str, Any] | None = None
    ) -> None:
        """Record that the run begins to be rolled back as a whole.

        Args:
            policy: The choices it is rolled back with.
            fields: What was found for it.
        """
        begun = {"state": RunState.ROLLING_BACK.value, "rollbackPolicy": dict(policy)}
        await self._set({**begun, **(fields or {})}, "rollbackStartedAt")

    async def rolling_back_part(self) -> None:
        """Record that a part of the run begins to be rolled back; the run stays as it is.

        Whoever goes on without finishing it knows that some of the run may be gone.
        """
        await self._set({"partBegun": True})

    async def note_rollback_session(self, session_id: Binary) -> None:
        """Record in which session a rollback deletes: who goes on with it ends its transaction."""
        await self._set({"rollbackSession": session_id})

    async def note_came_into_use(self, conflicts: Sequence[Mapping[str, Any]]) -> None:
        """Record what came into use while a rollback deleted it: nobody finds it again."""
        await self._set({"cameIntoUse": list(conflicts)})

    async def rolled_back(self, document: Mapping[str, Any], *, whole: bool) -> None:
        """Record what came of a rollback; ``whole`` if nothing of the run is left."""
        state = {"state": RunState.ROLLED_BACK.value} if whole else {}
        fields = state | {"rollback": dict(document)}
        await self._set(fields, "rolledBackAt", unset="cameIntoUse")

    async def _set(
        self, fields: Mapping[str, Any], at: str | None = None, *, unset: str | None = None
    ) -> None:
        update: dict[str, Any] = {"$set": dict(fields)}
        if unset is not None:
            update["$unset"] = {unset: ""}
        if at is not None:
            update["$currentDate"] = {at: True}
        done = await self._session.collection(RUNS).update_one(
            {"_id": self._session.run_id, "token": self._session.token},
            update,
            comment=self._session.comment,
        )
        await self._must_match(done.matched_count)

    async def _must_match(self, matched: int) -> None:
        if matched:
            return
        run_id = self._session.run_id
        if await self._session.database[RUNS].find_one({"_id": run_id}, {"_id": 1}) is None:
            raise DamagedRecordsError(
                f"The record of run {run_id} in {RUNS} is missing: somebody dropped or changed it.",
                next_step="Without it the run cannot be taken back. Restore the backup: "
                "newbi-migrate restore --drop BACKUP.",
                collection=RUNS,
                document_id=run_id,
            )
        raise run_taken_over(run_id)

    async def note_dropped_index(self, collection: str, index: Mapping[str, Any]) -> None:
        """Record an index before it is dropped, with all that is needed to build it again."""
        done = await self._session.collection(RUNS).update_one(
            {"_id": self._session.run_id, "token": self._session.token},
            {"$addToSet": {"indexesDropped": {"collection": collection, "index": dict(index)}}},
            comment=self._session.comment,
        )
        await self._must_match(done.matched_count)

    async def journal_dropped(self) -> None:
        """Records of all runs that their journal is about to go, and with it the way back."""
        await self._session.collection(RUNS).update_many(
            {}, {"$set": {"journalDropped": True}}, comment=self._session.comment
        )

    async def aside_dropped(self, run_ids: Sequence[ObjectId]) -> None:
        """Record of runs that what they put aside is about to go, and with it the way back."""
        await self._session.collection(RUNS).update_many(
            {"_id": {"$in": list(run_ids)}},
            {"$set": {"asideDropped": True}},
            comment=self._session.comment,
        )

    async def note_users(self, lines: Iterable[tuple[Any, Mapping[str, Any]]]) -> None:
        """Record who becomes who: one document for each legacy user.

        Their id stands in it once: an id alone can be nearly as large as a document may be.
        A line that decides as the one that is there does leaves it alone: it was noted before
        an interruption, when it was known which documents had to be created for the user. Not so
        one of a user who went back since with a part of an earlier run.
        """
        run_id = self._session.run_id
        for some in chunks(lines, MAX_OPERATIONS):
            await self._session.collection(USERS).bulk_write(
                [
                    UpdateOne(
                        {"_id": {"run": run_id, "legacy": legacy_id}},
                        [{"$replaceWith": _unless_decided(line)}],
                        upsert=True,
                    )
                    for legacy_id, line in some
                ],
                ordered=False,
                comment=self._session.comment,
            )

    async def note_unfilled(self, legacy_ids: Iterable[Any]) -> None:
        """Record for which legacy users a fill was not made, so that a later run makes it.

        What was noted before an interruption counts no more: all that was missing was read again.
        """
        run_id = self._session.run_id
        await self._session.collection(USERS).update_many(
            {**_lines_of(run_id), "unfilled": True},
            {"$unset": {"unfilled": ""}},
            comment=self._session.comment,
        )
        for some in chunks(legacy_ids, MAX_OPERATIONS):
            await self._session.collection(USERS).bulk_write(
                [
                    UpdateOne(
                        {"_id": {"run": run_id, "legacy": legacy_id}}, {"$set": {"unfilled": True}}
                    )
                    for legacy_id in some
                ],
                ordered=False,
                comment=self._session.comment,
            )

    async def note_taken_back(self, runs: Iterable[RunRecord], legacy_ids: Sequence[Any]) -> None:
        """Record of legacy users that they go back with a part of a run.

        Their documents may not tell: user and organization may have been there before the run.

        Args:
            runs: All runs; what any of them noted of these users is so no more.
            legacy_ids: The users.
        """
        lines = ({"run": run.run_id, "legacy": user} for run in runs for user in legacy_ids)
        for some in chunks(lines, MAX_OPERATIONS):
            await self._session.collection(USERS).bulk_write(
                [UpdateOne({"_id": line}, {"$set": {"wentBack": True}}) for line in some],
                ordered=False,
                comment=self._session.comment,
            )

    async def forget_users(self, legacy_ids: Iterable[Any]) -> None:
        """Take out the lines of legacy users for whom nothing was written in the end."""
        run_id = self._session.run_id
        for some in chunks(legacy_ids, MAX_OPERATIONS):
            await self._session.collection(USERS).bulk_write(
                [DeleteOne({"_id": {"run": run_id, "legacy": legacy_id}}) for legacy_id in some],
                ordered=False,
                comment=self._session.comment,
            )


def _unless_decided(line: Mapping[str, Any]) -> dict[str, Any]:
    same = [
        {"$eq": [{"$ifNull": [f"${name}", None]}, {"$literal": line[name]}]}
        for name in ("userId", "organizationId", "reason")
    ]
    noted = {"$ne": [{"$type": "$outcome"}, "missing"]}
    stands = {"$ne": ["$wentBack", True]}
    new = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": dict(line)}]}
    return {"$cond": [{"$and": [noted, stands, *same]}, "$$ROOT", new]}


def _after(run_id: ObjectId) -> bytes:
    return (int.from_bytes(run_id.binary, "big") + 1).to_bytes(12, "big")
