"""The use-case ``restore``: a verified dump into an empty database, documents before indexes.

A record in the target says whose restore is under way and which collections are whole, so that
the same call goes on after a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pymongo.errors import OperationFailure

from newbi_migrate.backup.archive import ArchiveDump
from newbi_migrate.backup.dump import DumpedCollection, FolderDump
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import open_dump, verify_dump
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import NewbiMigrateError, UsageError
from newbi_migrate.migration.restore.inserting import Inserter
from newbi_migrate.migration.restore.record import RestoreRecord
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
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import DURABLE, open_database
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.lease import LEASE, LEASE_SECONDS
from newbi_migrate.store.runs import RESTORE, restore_record
from newbi_migrate.store.session import LeasedSession

__all__ = [
    "RestoreResult",
    "restore_backup",
    "restore_identity",
]

# What `create` does not take back of what `listCollections` gives.
_NOT_CREATED: Final = frozenset({"uuid", "autoIndexId"})
# What this restore itself writes there.
_NOT_RESTORED: Final = frozenset({LEASE, RESTORE})


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A finished restore.

    Attributes:
        database: Name of the database that was written.
        verification: What reading the dump showed before.
        counts: Documents of each collection, by its name.
        views: Views that were created.
        indexes: Indexes that were built, without those on ``_id``.
        resumed: Whether it went on where another one had stopped.
        dropped: Collections that were dropped before.
    """

    database: str
    verification: Verification
    counts: Mapping[str, int]
    views: tuple[str, ...]
    indexes: int
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
) -> RestoreResult:
    """Bring back documents, indexes and options, byte for byte.

    Args:
        path: A backup of ours, or a folder or an archive of mongodump.
        database: The target, whatever its name; it must hold nothing, unless ``drop``. A
            connection string that names it, or a handle of PyMongo or Motor.
        drop: Drop every collection of the target first. Whoever calls has asked for this.
        only: Names of the collections to bring back; by default all. The whole dump is verified
            all the same.
        workers: Batches that are inserted at once.
        progress: Listener; nothing is said where none is given.
        identities: Secret keys for an encrypted backup.
        source: Name of the database in the dump, where it holds several.
        lease_seconds: How long a restore that died keeps others out.
        reviewed: What the target held when a person agreed to the restore.

    Raises:
        DamagedBackupError: The dump is damaged; the target was not touched.
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
    dump = await asyncio.to_thread(open_dump, path, identities, source=source)
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
    verification.require()
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
        restore = _Restore(dump, verification, workers, only, drop=drop, reviewed=reviewed)
        return await runner.replace("restore", restore.attempt)


class _Restore:
    """One call of :func:`restore_backup`, under the lease."""

    _session: LeasedSession
    _record: RestoreRecord
    _inserter: Inserter
    _there_before: set[str]

    def __init__(
        self,
        dump: FolderDump | ArchiveDump,
        verification: Verification,
        workers: int,
        only: Sequence[str],
        *,
        drop: bool,
        reviewed: RestoreTarget | None,
    ) -> None:
        self._dump = dump
        self._verification = verification
        self._workers = workers
        self._drop = drop
        self._reviewed = reviewed
        self._wanted = [
            c
            for c in dump.collections
            if c.name not in _NOT_RESTORED and (not only or c.name in only)
        ]
        self._counts = {one.name: one.count for one in verification.collections}
        self._identity = restore_identity(verification, only)
        self._resumed: bool | None = None
        self._dropped: set[str] = set()
        self._result: RestoreResult | None = None

    async def attempt(self, session: LeasedSession) -> RestoreResult:
        """Restores, or goes on where an earlier attempt, or another call, stopped."""
        self._session = session.writing_to(
            name for c in self._wanted for name in (c.name, c.namespace)
        )
        self._inserter = Inserter(self._session)
        if self._result is None:
            self._result = await self._restore()
        await self._session.collection(RESTORE).drop(comment=session.comment)
        return self._result

    async def _restore(self) -> RestoreResult:
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
        built = await self._indexes(kept)
        views = [c for c in self._wanted if c.type == "view"]
        for view in views:
            await self._create(view)
        return RestoreResult(
            self._session.database.name,
            self._verification,
            {c.name: self._counts.get(c.name, 0) for c in kept},
            tuple(view.name for view in views),
            built,
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
        names = await existing_collections(self._session.database) - {RESTORE}
        session = self._session.writing_to(names)
        for name in sorted(names):
            if name == "system.js":
                # The server drops none of its own.
                await session.collection(name).delete_many({}, comment=session.comment)
            else:
                await session.collection(name).drop(comment=session.comment)
            self._dropped.add(name)
        await self._record.dropped()

    # -- collections --------------------------------------------------------------------------

    async def _create(self, collection: DumpedCollection) -> None:
        if collection.name == "system.js" or collection.name in self._record.done:
            return
        there = collection.name in self._there_before
        if there and collection.options.get("capped"):
            # Documents of a capped collection keep their order, so it is filled from the start.
            session = self._session
            await session.collection(collection.name).drop(comment=session.comment)
            self._there_before.discard(collection.name)
            there = False
        options = {k: v for k, v in collection.options.items() if k not in _NOT_CREATED}
        try:
            await self._command({"create": collection.name, **options})
        except OperationFailure as error:
            # Left by the restore that goes on here; its options are those of the same dump.
            if error.code == Code.NAMESPACE_EXISTS and there:
                return
            raise NewbiMigrateError(
                f"The server would not create {collection.name!r} as it was ({_name_of(error)}).",
                next_step="Restore to a server of the version it was backed up from, or later.",
                collection=collection.name,
            ) from error

    async def _indexes(self, collections: Sequence[DumpedCollection]) -> int:
        self._session.progress.phase("indexes", sum(len(_buildable(c)) for c in collections))
        built = 0
        for collection in collections:
            specifications = _buildable(collection)
            if not specifications:
                continue
            try:
                # Nothing is done where an interrupted restore has built them.
                await self._command({"createIndexes": collection.name, "indexes": specifications})
            except OperationFailure as error:
                raise NewbiMigrateError(
                    f"The server would not build the indexes of {collection.name!r} "
                    f"({_name_of(error)}).",
                    next_step="All documents are there; build them by hand, or restore to a "
                    "server of the version it was backed up from.",
                    collection=collection.name,
                ) from error
            built += len(specifications)
            self._session.progress.advance(len(specifications), collection.name)
        return built

    async def _command(self, command: dict[str, Any]) -> None:
        """Send a write command whose first value is the name of a collection."""
        session = self._session
        name = next(iter(command.values()))
        # A collection that a failing primary forgot would be made anew, and plain, by an insert.
        durable = {"writeConcern": DURABLE.document, "comment": session.comment}
        session.collection(name)
        await session.database.command({**command, **durable})

    # -- documents ----------------------------------------------------------------------------

    async def _documents(self, waiting: Sequence[DumpedCollection]) -> None:
        """Insert what the dump has, and record each collection that is whole."""
        # An archive is one stream for all collections.
        together = isinstance(self._dump, ArchiveDump)
        for some in [waiting] if together else [[collection] for collection in waiting]:
            await self._insert(some)
            lost = await self._incomplete(some)
            if lost:
                # They were acknowledged, and went with a primary or a server that failed.
                self._there_before.update(collection.name for collection in lost)
                for collection in lost:
                    await self._create(collection)
                await self._insert(lost)
                lost = await self._incomplete(lost)
            if lost:
                raise _written_to(lost[0], await self._count(lost[0]), self._counts)

    async def _incomplete(self, inserted: Sequence[DumpedCollection]) -> list[DumpedCollection]:
        """Collections that lack documents; the others are recorded as whole.

        Raises:
            NewbiMigrateError: One holds more than the dump has.
        """
        await self._record.flush()
        lacking = []
        for collection in inserted:
            # Where a collection expires by itself, the server may have begun to delete.
            if "expireAfterSeconds" not in collection.options:
                now, expected = await self._count(collection), self._counts.get(collection.name, 0)
                if now > expected:
                    raise _written_to(collection, now, self._counts)
                if now < expected:
                    lacking.append(collection)
                    continue
            await self._record.whole(collection.name)
        return lacking

    async def _count(self, collection: DumpedCollection) -> int:
        return await self._session.database[collection.namespace].count_documents(
            {}, comment=self._session.comment
        )

    async def _insert(self, collections: Sequence[DumpedCollection]) -> None:
        if isinstance(self._dump, ArchiveDump):
            # Collections that keep an order are inserted one by one.
            ordered = any(c.options.get("capped") for c in collections)
            chosen = {c.name for c in collections}
            some = ((c, batch) for c, batch in self._dump.batches() if c.name in chosen)
            await self._insert_all(some, 1 if ordered else self._workers)
            return
        for collection in collections:
            if collection.data:
                batches = _labelled(collection, self._dump.batches_of(collection))
                one_by_one = bool(collection.options.get("capped"))
                await self._insert_all(batches, 1 if one_by_one else self._workers)

    async def _insert_all(
        self, batches: Iterator[tuple[DumpedCollection, bytes]], workers: int
    ) -> None:
        reading = asyncio.Lock()

        async def work() -> None:
            while True:
                # One reads, in a thread, while the others wait for the server.
                async with reading:
                    taken = await asyncio.to_thread(next, batches, None)
                if taken is None:
                    return
                collection, batch = taken
                count = await self._inserter.insert(
                    collection, batch, perhaps_there=collection.name in self._there_before
                )
                self._session.progress.advance(count, collection.name)

        try:
            async with task_group() as tasks:
                for _ in range(workers):
                    tasks.create_task(work())
        except DamagedDataError as error:
            raise NewbiMigrateError(
                f"The dump changed while it was read: {error}.",
                next_step="Verify it and run the same command again.",
            ) from error


def _labelled(
    collection: DumpedCollection, batches: Iterable[bytes]
) -> Iterator[tuple[DumpedCollection, bytes]]:
    for batch in batches:
        yield collection, batch


def _written_to(
    collection: DumpedCollection, now: int, counts: Mapping[str, int]
) -> NewbiMigrateError:
    return NewbiMigrateError(
        f"{collection.name!r} holds {now} documents after the restore instead of "
        f"{counts.get(collection.name, 0)}: somebody else writes to it.",
        next_step="Stop the application and run it again.",
        collection=collection.name,
    )


def restore_identity(verification: Verification, only: Sequence[str] = ()) -> str:
    """What tells one restore from another: the dump, and the choice of collections."""
    return " ".join([verification.identity, *sorted(only)])


def _require_all(dump: FolderDump | ArchiveDump, only: Sequence[str]) -> None:
    names = {collection.name for collection in dump.collections}
    lacking = sorted(set(only) - names)
    if lacking:
        raise UsageError(
            f"The backup has no {', '.join(lacking)}.",
            next_step=f"It has {first_names(sorted(names))}.",
        )


def _buildable(collection: DumpedCollection) -> list[dict[str, Any]]:
    """Indexes as ``createIndexes`` takes them; that on ``_id`` comes with the collection."""
    return [
        {option: value for option, value in index.items() if option != "ns"}
        for index in collection.indexes
        if index.get("name") != "_id_" and not index.get("clustered")
    ]


def _name_of(error: OperationFailure) -> str:
    # The server's message may quote documents; its name for the error does not.
    name = (error.details or {}).get("codeName")
    return f"{name}, code {error.code}" if name else f"code {error.code}"
