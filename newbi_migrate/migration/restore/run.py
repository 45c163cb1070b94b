"""The use-case ``restore``: a verified dump into an empty database, documents before indexes.

A record in the target says whose restore is under way and which collections are whole, so that
the same call goes on after a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import verify_dump
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import (
    DamagedBackupError,
    DatabaseMovedOnError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.restore.indexes import RefusedIndex, build_indexes, specifications
from newbi_migrate.migration.restore.target import (
    RestoreTarget,
    existing_collections,
    first_names,
    look_at_target,
    read_target,
)
from newbi_migrate.migration.run.runner import Runner, refuse_other_preview
from newbi_migrate.migration.run.throttle import ThrottleOptions
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.connection import open_database
from newbi_migrate.store.counting import count
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.inserting import Inserter
from newbi_migrate.store.lease import LEASE, LEASE_SECONDS
from newbi_migrate.store.restores import RestoreRecord
from newbi_migrate.store.runs import restore_record
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import create_as_described, drop_collection, empty_collection

__all__ = [
    "RestoreResult",
    "restore_backup",
    "restore_identity",
]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A finished restore.

    Attributes:
        database: Name of the database that was written.
        verification: What reading the dump showed before.
        counts: Documents of each collection, by its name.
        views: Views that were created.
        indexes: Indexes that are there, without those on ``_id``.
        refused: Indexes that the server would not build.
        resumed: Whether it went on where another one had stopped.
        dropped: Collections that were dropped before.
    """

    database: str
    verification: Verification
    counts: Mapping[str, int]
    views: tuple[str, ...]
    indexes: int
    refused: tuple[RefusedIndex, ...]
    resumed: bool
    dropped: tuple[str, ...]


async def restore_backup(
    path: Path,
    database: Any,
    *,
    drop: bool = False,
    only: Sequence[str] = (),
    workers: int = 4,
    progress: Progress | None = None,
    identities: Sequence[Any] = (),
    source: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    reviewed: RestoreTarget | None = None,
    convert_legacy_indexes: bool = False,
) -> RestoreResult:
    """Bring back documents, indexes and options, byte for byte.

    Args:
        path: A backup of ours, or a folder of mongodump.
        database: The target, whatever its name; it must hold nothing, unless ``drop``. A
            connection string that names it, or a handle of PyMongo or Motor.
        drop: Drop every collection of the target first. Whoever calls has asked for this.
        only: Names of the collections to bring back; by default all. The whole dump is verified
            all the same; damage of others is noted.
        workers: Batches that are inserted at once.
        progress: Listener; nothing is said where none is given.
        identities: Secret keys for an encrypted backup.
        source: Name of the database in the dump, where it holds several.
        lease_seconds: How long a restore that died keeps others out.
        reviewed: What the target held when a person agreed to the restore.
        convert_legacy_indexes: Whether keys and options of indexes that only servers before 3.4
            took are made into those that they stood for.

    Raises:
        DamagedBackupError: What is to be restored is damaged; the target was not touched.
        UsageError: It is no dump, encrypted and no key was given, or it lacks a collection that
            was named.
        ConfirmationRequiredError: The target holds something, and ``drop`` was not given.
        DatabaseMovedOnError: The target is no longer as it was reviewed; nothing was written.
        LeaseHeldError: A migration or another restore is under way in the target.
        LeaseLostError: The lease was lost, for example because this process was suspended.
        UnreachableError: The server did not answer; the same call goes on.
    """
    listener = progress or NullProgress()
    if workers < 1:
        raise UsageError("A restore needs at least one worker.", next_step="Give 1 or more.")
    dump = await asyncio.to_thread(Dump, path, identities, source=source)
    if not dump.readable:
        raise UsageError(
            f"The backup {str(path)!r} is encrypted.",
            next_step="Give its secret key with --identity.",
        )
    if drop and only:
        raise UsageError(
            "Some collections cannot take the place of a whole database.",
            next_step="Restore them into another, empty database.",
        )
    _require_all(dump, only)
    verification = await verify_dump(dump, progress=listener)
    verification.require(only)
    async with open_database(database) as store:
        # Looked at again under the lease; a database that is refused does not get even that.
        target = await look_at_target(store.database)
        target.require_empty(drop=drop, identity=restore_identity(verification, only))
        runner = Runner(
            store=store,
            registry=NEWBI,
            progress=listener,
            throttle=ThrottleOptions(),
            lease_seconds=lease_seconds,
            stop_requested=lambda: False,
        )
        restore = _Restore(
            dump,
            verification,
            workers,
            only,
            drop=drop,
            reviewed=reviewed,
            convert=convert_legacy_indexes,
        )
        return await runner.replace("restore", restore.attempt)


class _Restore:
    """One call of :func:`restore_backup`, under the lease."""

    _session: LeasedSession
    _record: RestoreRecord
    _inserter: Inserter
    _there_before: set[str]

    def __init__(
        self,
        dump: Dump,
        verification: Verification,
        workers: int,
        only: Sequence[str],
        *,
        drop: bool,
        reviewed: RestoreTarget | None,
        convert: bool,
    ) -> None:
        self._dump = dump
        self._convert = convert
        self._verification = verification
        self._workers = workers
        self._drop = drop
        self._reviewed = reviewed
        self._wanted = [
            c for c in dump.collections if c.name != LEASE and (not only or c.name in only)
        ]
        self._counts = {one.name: one.count for one in verification.collections}
        self._identity = restore_identity(verification, only)
        self._resumed: bool | None = None
        self._dropped: set[str] = set()

    async def attempt(self, session: LeasedSession) -> RestoreResult:
        """Restores, or goes on where an earlier attempt, or another call, stopped."""
        self._session = session.writing_to(
            name for c in self._wanted for name in (c.name, c.namespace)
        )
        self._inserter = Inserter(self._session)
        await self._begin()
        if self._record.dropping:
            await self._drop_everything()
        self._there_before = await existing_collections(self._session.database)
        kept = [c for c in self._wanted if c.type != "view"]
        for collection in kept:
            await self._create(collection)
        left = sum(self._counts.get(c.name, 0) for c in kept if c.name not in self._record.done)
        self._session.progress.phase("restore", left)
        await self._documents([c for c in kept if c.name not in self._record.done])
        built, refused = await self._indexes(kept)
        views = [c for c in self._wanted if c.type == "view"]
        for view in views:
            await self._create(view)
        return RestoreResult(
            self._session.database.name,
            self._verification,
            {c.name: self._counts.get(c.name, 0) for c in kept},
            tuple(view.name for view in views),
            built,
            tuple(refused),
            bool(self._resumed),
            tuple(sorted(self._dropped)),
        )

    # -- where it stands ----------------------------------------------------------------------

    async def _begin(self) -> None:
        """Find or write the record, by what is there under the lease."""
        session = self._session
        found = await restore_record(session.database)
        target = await read_target(session.database, found, next_lease=session.token)
        begun = found is not None and found.get("token") == session.token
        if not begun and self._reviewed is not None:
            refuse_other_preview(self._reviewed, target)
        if found is not None and found.get("backup") == self._identity:
            self._record = await RestoreRecord.take_over(session, found)
            if not begun:
                session.progress.note("An interrupted restore of this backup goes on.")
            if self._resumed is None:
                self._resumed = True
            return
        target.require_empty(drop=self._drop)
        self._resumed = False
        self._record = await RestoreRecord.start(
            session, self._identity, found, dropping=bool(target.existing)
        )

    async def _drop_everything(self) -> None:
        names = await existing_collections(self._session.database)
        session = self._session.writing_to(names)
        session.progress.phase("drop collections", len(names))
        for name in sorted(names):
            if name == "system.js":
                # The server drops none of its own.
                await empty_collection(session, name)
            else:
                await drop_collection(session, name)
            self._dropped.add(name)
            session.progress.advance(1, name)
        await self._record.dropped()

    # -- collections --------------------------------------------------------------------------

    async def _create(self, collection: DumpedCollection) -> None:
        if collection.name == "system.js" or collection.name in self._record.done:
            return
        there = collection.name in self._there_before
        if there and collection.options.get("capped"):
            # Documents of a capped collection keep their order, so it is filled from the start.
            await drop_collection(self._session, collection.name)
            self._there_before.discard(collection.name)
            there = False
        created = await create_as_described(self._session, collection.name, collection.created_with)
        # One that is there was left by the restore that goes on here, with the same options.
        if not created and not there:
            raise UnsupportedError(
                f"The server would not create {collection.name!r}: somebody made it meanwhile.",
                next_step="Stop whoever else writes there, and run the same command again.",
                collection=collection.name,
            )

    async def _indexes(
        self, collections: Sequence[DumpedCollection]
    ) -> tuple[int, list[RefusedIndex]]:
        wanted = [(c, *specifications(c, convert=self._convert)) for c in collections]
        self._session.progress.phase("indexes", sum(len(some) for _, some, _ in wanted))
        built, refused = 0, []
        for collection, indexes, equal in wanted:
            lacking = await build_indexes(self._session, collection, indexes)
            built += len(indexes) - len(lacking)
            refused += [*equal, *lacking]
            self._session.progress.advance(len(indexes), collection.name)
        return built, refused

    # -- documents ----------------------------------------------------------------------------

    async def _documents(self, waiting: Sequence[DumpedCollection]) -> None:
        """Insert what the dump has, and record each collection that is whole."""
        for collection in waiting:
            await self._insert(collection)
            if await self._whole(collection):
                continue
            # They were acknowledged, and went with a primary or a server that failed.
            self._there_before.add(collection.name)
            await self._create(collection)
            await self._insert(collection)
            if not await self._whole(collection):
                raise _written_to(collection, await self._count(collection), self._counts)

    async def _whole(self, collection: DumpedCollection) -> bool:
        """Whether all documents are there, durably; then that is recorded.

        Raises:
            DatabaseMovedOnError: There are more than the dump has.
        """
        await self._record.flush()
        # Where a collection expires by itself, the server may have begun to delete.
        if "expireAfterSeconds" not in collection.options:
            now, expected = await self._count(collection), self._counts.get(collection.name, 0)
            if now > expected:
                raise _written_to(collection, now, self._counts)
            if now < expected:
                return False
        await self._record.whole(collection.name)
        return True

    async def _count(self, collection: DumpedCollection) -> int:
        session = self._session
        return await count(session.database[collection.namespace], comment=session.comment)

    async def _insert(self, collection: DumpedCollection) -> None:
        batches = self._dump.batches_of(collection)
        # What a capped collection keeps is the order of insertion.
        workers = 1 if collection.options.get("capped") else self._workers
        reading = asyncio.Lock()

        async def work() -> None:
            while True:
                # One reads, in a thread, while the others wait for the server.
                async with reading:
                    taken = await asyncio.to_thread(next, batches, None)
                if taken is None:
                    return
                count = await self._inserter.insert(
                    collection, taken, perhaps_there=collection.name in self._there_before
                )
                self._session.progress.advance(count, collection.name)

        try:
            async with task_group() as tasks:
                for _ in range(workers):
                    tasks.create_task(work())
        except DamagedDataError as error:
            raise DamagedBackupError(
                f"The dump changed while it was read: {error}.",
                next_step="Verify it and run the same command again.",
            ) from error


def _written_to(
    collection: DumpedCollection, now: int, counts: Mapping[str, int]
) -> DatabaseMovedOnError:
    return DatabaseMovedOnError(
        f"{collection.name!r} holds {now} documents after the restore instead of "
        f"{counts.get(collection.name, 0)}: somebody else writes to it.",
        next_step="Stop the application and run it again.",
        collection=collection.name,
    )


def restore_identity(verification: Verification, only: Sequence[str] = ()) -> str:
    """What tells one restore from another: the dump, and the choice of collections."""
    return " ".join([verification.identity, *sorted(only)])


def _require_all(dump: Dump, only: Sequence[str]) -> None:
    names = {collection.name for collection in dump.collections}
    names |= {problem.collection for problem in dump.problems}
    lacking = sorted(set(only) - names)
    if lacking:
        raise UsageError(
            f"The backup has no {', '.join(lacking)}.",
            next_step=f"It has {first_names(sorted(names))}.",
        )
