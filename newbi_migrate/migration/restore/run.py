"""The use-case ``restore``: a verified dump into an empty database, documents before indexes.

A record in the target says whose restore is under way and which collections are whole, so that
the same call goes on after a stop. It changes when a restore takes another step, or goes on in
another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from newbi_migrate.backup.archive import ArchiveDump
from newbi_migrate.backup.dump import DumpedCollection, FolderDump
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import open_dump, verify_dump
from newbi_migrate.errors import NewbiMigrateError, UsageError
from newbi_migrate.migration.restore.inserting import Inserter
from newbi_migrate.migration.restore.target import (
    RECORD,
    RestoreTarget,
    existing_collections,
    first_names,
)
from newbi_migrate.progress import Progress, Silent
from newbi_migrate.store.codes import Code
from newbi_migrate.store.connection import DURABLE, open_database
from newbi_migrate.store.faults import explained, task_group
from newbi_migrate.store.lease import Lease

__all__ = [
    "RestoreResult",
    "restore_backup",
    "restore_identity",
]

_COMMENT: Final = "newbi-migrate restore"
# What `create` does not take back of what `listCollections` gives.
_NOT_CREATED: Final = frozenset({"uuid", "autoIndexId"})


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
) -> RestoreResult:
    """Brings back documents, indexes and options, byte for byte.

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

    Raises:
        DamagedBackupError: The dump is damaged; the target was not touched.
        UsageError: It is no dump, encrypted and no key was given, or it lacks a collection that
            was named.
        ConfirmationRequiredError: The target holds something, and ``drop`` was not given.
        LeaseHeldError: A migration is under way in the target.
        UnreachableError: The server did not answer; the same call goes on.
    """
    listener = progress or Silent()
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
        with explained("restoring"):
            await Lease.refuse_if_held(store.database)
            run = _Restore(dump, verification, store.database, listener, workers, only)
            return await run.run(drop=drop)


class _Restore:
    def __init__(
        self,
        dump: FolderDump | ArchiveDump,
        verification: Verification,
        database: AsyncDatabase[dict[str, Any]],
        progress: Progress,
        workers: int,
        only: Sequence[str],
    ) -> None:
        self._dump = dump
        self._verification = verification
        self._database = database
        self._progress = progress
        self._workers = workers
        self._inserter = Inserter(database, comment=_COMMENT)
        self._wanted = [
            c for c in dump.collections if c.name != RECORD and (not only or c.name in only)
        ]
        self._identity = restore_identity(verification, only)
        self._chosen = {c.name for c in self._wanted}
        self._record = database.get_collection(RECORD, write_concern=DURABLE)
        self._done: set[str] = set()
        self._there_before: set[str] = set()

    async def run(self, *, drop: bool) -> RestoreResult:
        resumed = await self._begin(drop=drop)
        dropped: list[str] = []
        if self._dropping:
            dropped = await self._drop_everything()
        self._there_before = set(await existing_collections(self._database))
        kept = [c for c in self._wanted if c.type != "view"]
        for collection in kept:
            await self._create(collection)
        counts = {one.name: one.count for one in self._verification.collections}
        left = sum(counts.get(c.name, 0) for c in kept if c.name not in self._done)
        self._progress.phase("restore", left)
        await self._documents(kept)
        built = await self._indexes(kept)
        views = [c for c in self._wanted if c.type == "view"]
        for view in views:
            await self._create(view)
        await self._check(kept, counts)
        await self._database.drop_collection(RECORD)
        return RestoreResult(
            self._database.name,
            self._verification,
            {c.name: counts.get(c.name, 0) for c in kept},
            tuple(view.name for view in views),
            built,
            resumed,
            tuple(dropped),
        )

    # -- where it stands ----------------------------------------------------------------------

    async def _begin(self, *, drop: bool) -> bool:
        """Finds or writes the record; whether there was one of this restore."""
        existing = await existing_collections(self._database)
        record = await self._record.find_one({"_id": "restore"}) if RECORD in existing else None
        if record is not None and record.get("backup") == self._identity:
            self._done = set(record.get("done", ()))
            self._dropping = bool(record.get("dropping"))
            self._progress.note("An interrupted restore of this backup goes on.")
            return True
        target = RestoreTarget(self._database.name, tuple(sorted(existing)))
        target.require_empty(drop=drop)
        self._dropping = bool(existing)
        await self._record.replace_one(
            {"_id": "restore"},
            {
                "backup": self._identity,
                "startedAt": datetime.now(UTC),
                "dropping": self._dropping,
                "done": [],
            },
            upsert=True,
        )
        return False

    async def _drop_everything(self) -> list[str]:
        names = sorted(
            name for name in await existing_collections(self._database) if name != RECORD
        )
        for name in names:
            await self._database.drop_collection(name, comment=_COMMENT)
        await self._record.update_one({"_id": "restore"}, {"$set": {"dropping": False}})
        return names

    # -- collections --------------------------------------------------------------------------

    async def _create(self, collection: DumpedCollection) -> None:
        if collection.name == "system.js" or collection.name in self._done:
            return
        there = collection.name in self._there_before
        if there and collection.options.get("capped"):
            # Documents of a capped collection keep their order, so it is filled from the start.
            await self._database.drop_collection(collection.name, comment=_COMMENT)
            self._there_before.discard(collection.name)
            there = False
        options = {k: v for k, v in collection.options.items() if k not in _NOT_CREATED}
        try:
            await self._database.command(
                {"create": collection.name, **options, "comment": _COMMENT}
            )
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
        waiting = [c for c in collections if c.name not in self._done]
        self._progress.phase("indexes", sum(len(_buildable(c)) for c in waiting))
        built = 0
        for collection in collections:
            specifications = _buildable(collection)
            if collection.name in self._done:
                built += len(specifications)
                continue
            if specifications:
                try:
                    await self._database.command(
                        "createIndexes", collection.name, indexes=specifications, comment=_COMMENT
                    )
                except OperationFailure as error:
                    raise NewbiMigrateError(
                        f"The server would not build the indexes of {collection.name!r} "
                        f"({_name_of(error)}).",
                        next_step="All documents are there; build them by hand, or restore to a "
                        "server of the version it was backed up from.",
                        collection=collection.name,
                    ) from error
                self._progress.advance(len(specifications), collection.name)
            built += len(specifications)
            await self._whole(collection)
        return built

    async def _whole(self, collection: DumpedCollection) -> None:
        await self._record.update_one({"_id": "restore"}, {"$addToSet": {"done": collection.name}})
        self._done.add(collection.name)

    async def _check(
        self, collections: Sequence[DumpedCollection], counts: Mapping[str, int]
    ) -> None:
        for collection in collections:
            if any("expireAfterSeconds" in index for index in collection.indexes):
                # The server may have begun to delete what has expired.
                continue
            now = await self._database[collection.namespace].count_documents({})
            if now != counts.get(collection.name, 0):
                raise NewbiMigrateError(
                    f"{collection.name!r} holds {now} documents after the restore instead of "
                    f"{counts.get(collection.name, 0)}: somebody else writes to it.",
                    next_step="Stop the application and run it again.",
                    collection=collection.name,
                )

    # -- documents ----------------------------------------------------------------------------

    async def _documents(self, collections: Sequence[DumpedCollection]) -> None:
        if isinstance(self._dump, ArchiveDump):
            # One stream for all collections: those that keep an order are inserted one by one.
            ordered = any(c.options.get("capped") for c in collections)
            await self._insert_all(self._dump.batches(), 1 if ordered else self._workers)
            return
        for collection in collections:
            if collection.name in self._done or not collection.data:
                continue
            one_by_one = bool(collection.options.get("capped"))
            batches = self._labelled(self._dump, collection)
            await self._insert_all(batches, 1 if one_by_one else self._workers)

    @staticmethod
    def _labelled(
        dump: FolderDump, collection: DumpedCollection
    ) -> Iterator[tuple[DumpedCollection, bytes]]:
        for batch in dump.batches_of(collection):
            yield collection, batch

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
                if collection.name in self._chosen and collection.name not in self._done:
                    count = await self._inserter.insert(
                        collection, batch, perhaps_there=collection.name in self._there_before
                    )
                    self._progress.advance(count, collection.name)

        try:
            async with task_group() as tasks:
                for _ in range(workers):
                    tasks.create_task(work())
        except DamagedDataError as error:
            raise NewbiMigrateError(
                f"The dump changed while it was read: {error}.",
                next_step="Verify it and run the same command again.",
            ) from error


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
