"""The use-case ``restore``: a verified dump into an empty database, documents before indexes.

A record in the target says whose restore is under way and which collections are whole, so that
the same call goes on after a stop. Single collections can take the place of those that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import verify_dump
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.migration.restore.filling import Filler
from newbi_migrate.migration.restore.in_place import RestoreInPlace, refuse_unreplaceable
from newbi_migrate.migration.restore.results import RestoreResult, restore_identity
from newbi_migrate.migration.restore.target import (
    RestoreTarget,
    existing_collections,
    is_restored,
    look_at_target,
    read_target,
)
from newbi_migrate.migration.run.runner import Runner, refuse_other_preview
from newbi_migrate.migration.run.throttle import ThrottleOptions
from newbi_migrate.printable import some_of
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import open_database
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.lease import LEASE_SECONDS
from newbi_migrate.store.restores import RestoreRecord
from newbi_migrate.store.runs import restore_record
from newbi_migrate.store.session import Begun, LeasedSession
from newbi_migrate.store.structure import TRIED, drop_collection, empty_collection, try_out

__all__ = ["preview_restore", "restore_backup"]


async def preview_restore(
    path: Path,
    database: Any,
    *,
    drop: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    identities: Sequence[Any] = (),
    source: str | None = None,
) -> tuple[Verification, RestoreTarget]:
    """What a restore would find in a dump and in its target; it refuses what a restore would.

    The arguments and what is raised are those of :func:`restore_backup`.
    """
    dump, verification = await _verified(path, only, progress or NullProgress(), identities, source)
    async with open_database(database) as store:
        return verification, await _target(store.database, dump, verification, only, drop=drop)


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
    begun: Begun | None = None,
) -> RestoreResult:
    """Bring back documents, indexes and options, byte for byte.

    Args:
        path: A backup of ours, or a folder of mongodump.
        database: The target, whatever its name; it must hold nothing, unless ``drop``. A
            connection string that names it, or a handle of PyMongo or Motor.
        drop: Drop every collection of the target first. Whoever calls has asked for this. With
            ``only``, nothing is dropped: the collections of these names are put aside, as a run
            that a rollback takes back.
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
        begun: Is told once anything is written; for whoever cancels the call.

    Raises:
        DamagedBackupError: What is to be restored is damaged; the target was not touched. Or it
            changed after it was verified; the collection it belongs to was dropped again.
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
    # No lease guards the files of a dump. What is read of them again, to be inserted, is compared
    # with what is verified here.
    dump, verification = await _verified(path, only, listener, identities, source)
    async with open_database(database) as store:
        # Looked at again under the lease; a database that is refused does not get even that.
        await _target(store.database, dump, verification, only, drop=drop)
        runner = Runner(
            store=store,
            registry=NEWBI,
            progress=listener,
            throttle=ThrottleOptions(),
            lease_seconds=lease_seconds,
            stop_requested=lambda: False,
            begun=begun or Begun(),
        )
        if drop and only:
            in_place = RestoreInPlace(
                dump, verification, NEWBI, only, workers, convert_legacy_indexes, reviewed
            )
            return await runner.run("restore", in_place.attempt)
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


async def _verified(
    path: Path,
    only: Sequence[str],
    progress: Progress,
    identities: Sequence[Any],
    source: str | None,
) -> tuple[Dump, Verification]:
    """A dump that can be restored, and what reading it showed."""
    dump = await asyncio.to_thread(Dump, path, identities, source=source)
    if not dump.readable:
        raise UsageError(
            f"The backup {str(path)!r} is encrypted.",
            next_step="Give its secret key with --identity.",
        )
    _require_all(dump, only)
    verification = await verify_dump(dump, progress=progress)
    verification.require(only)
    return dump, verification


async def _target(
    database: Database, dump: Dump, verification: Verification, only: Sequence[str], *, drop: bool
) -> RestoreTarget:
    """What the target holds, where a restore may write there."""
    in_place = drop and bool(only)
    identity = restore_identity(verification, only)
    target = await look_at_target(database, in_place=in_place, identity=identity)
    target.require_empty(drop=drop, identity=identity)
    if in_place:
        wanted = [one for one in dump.collections if one.name in only]
        with explained("looking at the target"):
            refuse_unreplaceable(database.name, wanted, await collections(database))
    return target


class _Restore:
    """One call of :func:`restore_backup`, under the lease."""

    _session: LeasedSession
    _record: RestoreRecord

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
        self._wanted = [c for c in dump.collections if is_restored(c.name, only)]
        self._counts = {one.name: one.count for one in verification.collections}
        self._identity = restore_identity(verification, only)
        self._resumed: bool | None = None
        self._dropped: set[str] = set()

    async def attempt(self, session: LeasedSession) -> RestoreResult:
        """Restores, or goes on where an earlier attempt, or another call, stopped."""
        self._session = session.writing_to(
            name for c in self._wanted for name in (c.name, c.namespace)
        )
        await self._begin()
        if self._record.dropping:
            await self._drop_everything()
        filler = Filler(
            self._session,
            self._dump,
            self._record,
            self._counts,
            await existing_collections(self._session.database),
            workers=self._workers,
            convert=self._convert,
        )
        kept = [c for c in self._wanted if c.type != "view"]
        built, refused = await filler.fill(kept)
        views = [c for c in self._wanted if c.type == "view"]
        for view in views:
            await filler.create(view)
        await self._require_no_others()
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
        # What may refuse is asked while everything is still there, and before anything is made.
        await drop_collection(session, TRIED)
        for collection in self._wanted:
            if collection.created_with:
                await try_out(session, collection.name, collection.created_with)
        self._record = await RestoreRecord.start(
            session, self._identity, found, dropping=bool(target.existing)
        )

    async def _require_no_others(self) -> None:
        """Fail where the database holds what the restore did not make.

        Raises:
            DatabaseMovedOnError: Somebody else made a collection or a view.
        """
        there = await existing_collections(self._session.database)
        # Of stored functions the server keeps the empty collection.
        others = sorted(there - {c.target for c in self._wanted} - {"system.js"})
        if others:
            raise DatabaseMovedOnError(
                f"The restore did not make {some_of(others)}: somebody else writes there.",
                next_step="Stop the application, drop what is not of the backup, and run the same "
                "command again.",
                collection=others[0],
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


def _require_all(dump: Dump, only: Sequence[str]) -> None:
    names = {collection.name for collection in dump.collections}
    names |= {problem.collection for problem in dump.problems}
    lacking = sorted(set(only) - names)
    if lacking:
        raise UsageError(
            f"The backup has no {', '.join(lacking)}.",
            next_step=f"It has {some_of(sorted(names))}.",
        )
