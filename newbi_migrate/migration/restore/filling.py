"""Filling collections from a dump: created, inserted, counted, and only then recorded as whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.errors import (
    DamagedBackupError,
    DatabaseMovedOnError,
    InterruptedRunError,
    LeaseLostError,
    UnreachableError,
    UnsupportedError,
)
from newbi_migrate.migration.restore.indexes import RefusedIndex, build_indexes, specifications
from newbi_migrate.store.collections import collections as list_collections
from newbi_migrate.store.counting import count, estimated_count
from newbi_migrate.store.faults import passing_error, task_group
from newbi_migrate.store.inserting import Inserter, how_to_leave_out, with_ids
from newbi_migrate.store.restores import RestoreRecord
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import (
    EXPIRY,
    create_as_described,
    drop_collection,
    empty_collection,
    set_expiry,
)

__all__ = ["Filler"]


class Filler:
    """Filler of collections that no one else writes to.

    Args:
        session: The leased session, allowed to write to them.
        dump: Where their documents come from.
        record: Told which collections are whole.
        counts: Collection to the number of its documents in the dump.
        there_before: What is there by now, perhaps from a restore that was stopped.
        workers: Batches that are inserted at once.
        convert: Whether indexes of servers before 3.4 are converted.
    """

    def __init__(
        self,
        session: LeasedSession,
        dump: Dump,
        record: RestoreRecord,
        counts: Mapping[str, int],
        there_before: set[str],
        *,
        workers: int,
        convert: bool,
    ) -> None:
        self._session = session
        self._dump = dump
        self._record = record
        self._counts = counts
        self._there_before = there_before
        self._workers = workers
        self._convert = convert
        self._inserter = Inserter(session)
        self._made: dict[str, tuple[str, str, str]] = {}

    async def fill(self, collections: Sequence[DumpedCollection]) -> tuple[int, list[RefusedIndex]]:
        """Bring collections to what the dump has; return how many indexes there are.

        Those that the server would not build are returned too, each with its reason.

        Raises:
            DamagedBackupError: The dump changed, or holds what no server takes.
            DatabaseMovedOnError: Somebody else writes there.
            NewbiMigrateError: The session stopped it; the same call goes on.
        """
        for collection in collections:
            await self.create(collection)
        self._made = await self._identities(collections)
        waiting = [c for c in collections if c.name not in self._record.done]
        self._session.progress.phase("restore", sum(self._counts.get(c.name, 0) for c in waiting))
        await self._documents(waiting)
        for collection in collections:
            if EXPIRY in collection.options:
                await set_expiry(self._session, collection.target, collection.options[EXPIRY])
        indexes = await self._indexes(collections)
        await self._require_same(collections)
        await self._require_as_many(collections)
        return indexes

    async def _identities(
        self, collections: Sequence[DumpedCollection]
    ) -> dict[str, tuple[str, str, str]]:
        """What changes where somebody drops, renames or alters a collection meanwhile."""
        session = self._session
        infos = await list_collections(session.database, comment=session.comment)
        found = {}
        for collection in collections:
            if (info := infos.get(collection.target)) is not None:
                options = {name: v for name, v in info.options.items() if name != EXPIRY}
                found[collection.name] = replace(info, options=options).identity
        return found

    async def _require_same(self, collections: Sequence[DumpedCollection]) -> None:
        """Fail where one of some collections is no longer the one that was made here.

        An insert makes one anew that somebody dropped or renamed, without its options. It is
        dropped, so that the same call fills it as it has to be.

        Raises:
            DatabaseMovedOnError: It is another one.
        """
        there = await self._identities(collections)
        for collection in collections:
            now = there.get(collection.name)
            if collection.target == "system.js" or now == self._made.get(collection.name):
                continue
            await self._record.lost(collection.name)
            if now is not None:
                await drop_collection(self._session, collection.target)
            drop = "" if collection.restored_as else " drop what is not of the backup,"
            raise DatabaseMovedOnError(
                f"{_filled(collection)} is no longer the collection that the restore made: "
                "somebody dropped, renamed or altered it.",
                next_step=f"Stop whoever works there,{drop} and run the same command again: it "
                "makes this collection anew.",
                collection=collection.name,
            )

    async def _require_as_many(self, collections: Sequence[DumpedCollection]) -> None:
        """Fail where one that was whole holds more or fewer documents by now.

        The server's own bookkeeping is believed where it agrees. After a crash it may be wrong, so
        the documents are counted before anybody is accused.

        Raises:
            DatabaseMovedOnError: Somebody inserted or deleted some.
        """
        session = self._session
        for collection in collections:
            data = session.database[collection.namespace]
            expected = self._counts.get(collection.name, 0)
            if await estimated_count(data, comment=session.comment) == expected:
                continue
            now = await self._count(collection)
            if now > expected or (now < expected and not _expires(collection)):
                await self._record.lost(collection.name)
                raise await self._written_to(collection, now, expected)

    async def create(self, collection: DumpedCollection) -> bool:
        """Create a collection or view, unless it is there from a restore that was stopped.

        Returns:
            Whether it was created.

        Raises:
            UnsupportedError: The server does not take its options, or somebody made another.
            NewbiMigrateError: The session stopped it.
        """
        target = collection.target
        if target == "system.js" or collection.name in self._record.done:
            return False
        there = target in self._there_before
        if there and collection.options.get("capped"):
            # Documents of a capped collection keep their order, so it is filled from the start.
            await drop_collection(self._session, target)
            self._there_before.discard(target)
            there = False
        options = collection.created_with
        # Set once all documents are there: until then the server deletes none that can be missed.
        options.pop(EXPIRY, None)
        created = await create_as_described(self._session, target, options)
        # One that is there was left by the restore that goes on here, with the same options.
        if not created and not there:
            raise UnsupportedError(
                f"The server would not create {target!r}: somebody made it meanwhile.",
                next_step="Stop whoever else writes there, and run the same command again.",
                collection=target,
            )
        return created

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
            await self._insert_verified(collection)
            if await self._whole(collection):
                continue
            # They were acknowledged, and went with a primary or a server that failed.
            self._there_before.add(collection.target)
            if await self.create(collection):
                self._made |= await self._identities([collection])
            await self._insert_verified(collection)
            if not await self._whole(collection):
                raise _lacking(
                    collection, await self._count(collection), self._counts[collection.name]
                )

    async def _whole(self, collection: DumpedCollection) -> bool:
        """Whether all documents are there, durably; then that is recorded.

        Raises:
            DatabaseMovedOnError: There are more than the dump has.
        """
        await self._record.flush()
        now, expected = await self._count(collection), self._counts.get(collection.name, 0)
        if now > expected:
            raise await self._written_to(collection, now, expected)
        if now < expected:
            return False
        await self._require_same([collection])
        await self._record.whole(collection.name)
        return True

    async def _written_to(
        self, collection: DumpedCollection, now: int, expected: int
    ) -> DatabaseMovedOnError:
        advice = "Stop the application"
        if now > expected:
            if collection.restored_as:
                # A name of our own, under which nobody else keeps anything.
                await drop_collection(self._session, collection.target)
            else:
                advice += ", drop this collection or what in it is not of the backup"
        return DatabaseMovedOnError(
            f"{_filled(collection)} holds {now} documents after the restore instead of {expected}: "
            "somebody else writes to it.",
            next_step=f"{advice}, and run the same command again.",
            collection=collection.name,
        )

    async def _count(self, collection: DumpedCollection) -> int:
        session = self._session
        return await count(session.database[collection.namespace], comment=session.comment)

    async def _insert_verified(self, collection: DumpedCollection) -> None:
        """Insert what was verified; drop the collection again where the dump has changed since.

        Raises:
            DamagedBackupError: It has changed.
        """
        try:
            await self._insert(collection)
        except DamagedDataError as damage:
            raise await self._dropped(collection, damage) from damage
        except Exception as error:
            if _about_the_run(error):
                raise
            # Two documents of one id, or bytes that are none of BSON: perhaps of another dump.
            try:
                await asyncio.to_thread(self._dump.reread, collection)
            except DamagedDataError as damage:
                raise await self._dropped(collection, damage) from error
            raise

    async def _dropped(
        self, collection: DumpedCollection, damage: DamagedDataError
    ) -> DamagedBackupError:
        """Drop what nobody verified, so that the same call can fill the collection anew."""
        if collection.target == "system.js":
            await empty_collection(self._session, collection.target)
        else:
            await drop_collection(self._session, collection.target)
        return DamagedBackupError(
            f"The backup {str(self._dump.path)!r} is no longer what was verified: "
            f"{collection.data}: {damage}.",
            next_step=f"{_filled(collection)} was dropped again, for it is not whole. Put the "
            "backup back as it was, or take another copy of it, and run the same command again.",
            collection=collection.name,
        )

    async def _insert(self, collection: DumpedCollection) -> None:
        batches = self._dump.batches_of(collection)
        # What a capped collection keeps is the order of insertion.
        workers = 1 if collection.options.get("capped") else self._workers
        reading = asyncio.Lock()
        read = 0

        async def work() -> None:
            nonlocal read
            try:
                while not failed:
                    # One reads, in a thread, while the others wait for the server.
                    async with reading:
                        taken = await asyncio.to_thread(next, batches, None)
                        if taken is None:
                            return
                        batch = with_ids(taken, collection.name, first=read)
                        read += batch.count
                    await self._inserter.insert(
                        collection, batch, perhaps_there=collection.target in self._there_before
                    )
                    self._session.progress.advance(batch.count, collection.name)
            except Exception as error:  # noqa: BLE001  # raised below
                failed.append(error)

        # Where one fails the others are not cancelled: what they have sent would land later.
        failed: list[Exception] = []
        async with task_group() as tasks:
            for _ in range(workers):
                tasks.create_task(work())
        if failed:
            # After an error of the run it is not known what was written, whatever else failed.
            raise next(filter(_about_the_run, failed), failed[0])


def _filled(collection: DumpedCollection) -> str:
    """What is filled, to begin a sentence: in place it is not yet the collection of that name."""
    name = repr(collection.name)
    return f"The copy that is to take the place of {name}" if collection.restored_as else name


def _about_the_run(error: Exception) -> bool:
    """Whether an error says that the run has to stop or to wait, and nothing of documents."""
    stopped = isinstance(error, InterruptedRunError | LeaseLostError | UnreachableError)
    return stopped or passing_error(error) is not None


def _expires(collection: DumpedCollection) -> bool:
    """Whether the server deletes documents of it by itself once its indexes are there."""
    return any(EXPIRY in one for one in (collection.options, *collection.indexes))


def _lacking(collection: DumpedCollection, now: int, expected: int) -> DatabaseMovedOnError:
    return DatabaseMovedOnError(
        f"{_filled(collection)} holds {now} documents after the restore instead of {expected}: "
        "somebody deletes them, or the backup has some of them twice, and a server keeps one "
        "document for each _id.",
        next_step="Stop the application and run the same command again. If nobody writes there: "
        f"{how_to_leave_out(collection)}",
        collection=collection.name,
    )
