"""Single collections of a dump, put into the place of those that are there.

Such a restore is a run of its own, which a rollback takes back: see
:mod:`newbi_migrate.store.replacements`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.verification import Verification
from newbi_migrate.documents.registry import OWN_PREFIX, Registry
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.migration.restore.filling import Filler
from newbi_migrate.migration.restore.indexes import RefusedIndex
from newbi_migrate.migration.restore.results import RestoreResult, restore_identity
from newbi_migrate.migration.restore.target import RestoreTarget, interrupted_restore, read_target
from newbi_migrate.migration.run.beginning import begin_run
from newbi_migrate.migration.run.runner import refuse_other_preview
from newbi_migrate.store.collections import CollectionInfo, collections
from newbi_migrate.store.counting import blank, count
from newbi_migrate.store.replacements import (
    RESTORE,
    Replacement,
    put_in_place,
    replacements_of,
)
from newbi_migrate.store.restores import RestoreRecord
from newbi_migrate.store.runs import RunRecord, RunWriter
from newbi_migrate.store.session import LeasedSession

__all__ = ["RestoreInPlace", "refuse_unreplaceable"]


_MAX_NAMESPACE: Final = 255
"""Bytes that a server allows for the names of a database and a collection, with the dot."""
_HIGHEST_NUMBER: Final = 10**9
"""A number that no run reaches, in the name that a collection has meanwhile."""


def refuse_unreplaceable(
    database: str, wanted: Sequence[DumpedCollection], infos: Mapping[str, CollectionInfo]
) -> None:
    """Fail where what is to be put in place, or what is there, cannot be renamed.

    Args:
        database: Name of the target.
        wanted: Collections of the dump.
        infos: What is in the target, by name.

    Raises:
        UsageError: One is a view, a time series, the server's or this tool's own, or has a name
            that is too long to be given another.
    """
    for one in wanted:
        there = infos.get(one.name)
        kinds = {one.type} | ({there.kind} if there is not None else set())
        if one.name.startswith(("system.", OWN_PREFIX)):
            oddity = "the server's, or this tool's own"
        elif odd := sorted(kinds - {"collection"}):
            oddity = {"view": "a view", "timeseries": "a time series"}.get(odd[0], odd[0])
        elif (
            len(f"{database}.{Replacement(_HIGHEST_NUMBER, one.name).restoring}".encode())
            > _MAX_NAMESPACE
        ):
            oddity = "a collection of a very long name"
        else:
            continue
        raise UsageError(
            f"{one.name} is {oddity}, which cannot be put in the place of another.",
            next_step="Nothing was written. Restore it into another, empty database.",
        )


@dataclass(slots=True)
class RestoreInPlace:
    """One call of a restore of single collections in place, under the lease.

    Attributes:
        dump: Where they come from.
        verification: What reading it showed.
        registry: The collections, for a word on workspaces.
        only: Names of the collections.
        workers: Batches that are inserted at once.
        convert: Whether indexes of servers before 3.4 are converted.
        reviewed: What the target held when a person agreed.
    """

    dump: Dump
    verification: Verification
    registry: Registry
    only: Sequence[str]
    workers: int
    convert: bool
    reviewed: RestoreTarget | None
    _run_id: ObjectId | None = None
    _resumed: bool | None = None
    _wanted: list[DumpedCollection] = field(default_factory=list)

    async def attempt(self, session: LeasedSession, runs: Sequence[RunRecord]) -> RestoreResult:
        """Put the collections in place, or go on where an earlier attempt, or call, stopped.

        Raises:
            UsageError: Another run was interrupted, or one of them cannot be replaced.
            DatabaseMovedOnError: The target is no longer as it was reviewed, or somebody made a
                collection in between.
            NewbiMigrateError: The session stopped it; the same call goes on.
        """
        identity = restore_identity(self.verification, self.only)
        unfinished = interrupted_restore(runs, identity)
        self._wanted = [one for one in self.dump.collections if one.name in self.only]
        ours = next((run for run in runs if run.run_id == self._run_id), None)
        if ours is not None and ours.stands:
            # Only the answer to the very last write was lost.
            return await self._result(session.of_run(ours.run_id), ours.document, runs)
        if self._resumed is None:
            self._resumed = unfinished is not None
            if unfinished is not None:
                session.progress.note("An interrupted restore of this backup goes on.")
        if unfinished is None:
            number = session.token
            await self._begin(session)
            replaced = [Replacement(number, name) for name in self.only]
        else:
            session = session.of_run(unfinished.run_id)
            replaced = replacements_of(unfinished)
        self._run_id = session.run_id
        written: Mapping[str, Any] = {} if unfinished is None else unfinished.document
        if not all(one.restored for one in replaced):
            written = await self._fill(session, replaced, unfinished)
            replaced = [_noted(written, one) for one in replaced]
        for one in replaced:
            await put_in_place(session, one)
        code = ExitCode.PENDING if written["refusedIndexes"] else ExitCode.DONE
        await RunWriter(session).finish({"exitCode": int(code)})
        return await self._result(session, written, runs)

    async def _begin(self, session: LeasedSession) -> None:
        target = await read_target(session.database, None, next_lease=session.token)
        if self.reviewed is not None:
            refuse_other_preview(self.reviewed, target)
        infos = await collections(session.database, comment=session.comment)
        refuse_unreplaceable(session.database.name, self._wanted, infos)
        await begin_run(
            session,
            RunWriter(session),
            {
                "command": RESTORE,
                "policy": {
                    "collections": sorted(self.only),
                    "convertLegacyIndexes": self.convert,
                },
                "backup": restore_identity(self.verification, self.only),
                "replaced": [Replacement(session.token, n).to_record() for n in self.only],
            },
            collections=sorted(infos),
            indexed=(),
        )

    async def _fill(
        self,
        session: LeasedSession,
        replaced: Sequence[Replacement],
        unfinished: RunRecord | None,
    ) -> Mapping[str, Any]:
        """Fill a collection beside each present one; record what is to change its place."""
        infos = await collections(session.database, comment=session.comment)
        names = {one.collection: one.restoring for one in replaced}
        filler = Filler(
            session,
            self.dump,
            RestoreRecord.of_run(session, unfinished),
            {one.name: one.count for one in self.verification.collections},
            set(infos),
            workers=self.workers,
            convert=self.convert,
        )
        wanted = [replace(one, restored_as=names[one.name]) for one in self._wanted]
        built, refused = await filler.fill(wanted)
        infos = await collections(session.database, comment=session.comment)
        refuse_unreplaceable(session.database.name, self._wanted, infos)
        noted = {
            "replaced": [
                replace(
                    one,
                    before=infos[one.collection].uuid if one.collection in infos else "",
                    restored=infos[one.restoring].uuid,
                ).to_record()
                for one in replaced
            ],
            "restoredIndexes": built,
            "refusedIndexes": [[each.collection, each.name, each.reason] for each in refused],
        }
        await RunWriter(session).note_replaced(noted)
        return noted

    async def _result(
        self, session: LeasedSession, written: Mapping[str, Any], runs: Sequence[RunRecord]
    ) -> RestoreResult:
        counts = {one.name: one.count for one in self.verification.collections}
        number = next((r.number for r in runs if r.run_id == session.run_id), session.token)
        lacking: dict[str, int] = {}
        if any(run.stands and run.migrates for run in runs):
            scoped = {spec.name for spec in self.registry.scoped}
            field_name = self.registry.workspace_field
            for name in sorted(scoped & {*self.only}):
                lacking[name] = await count(
                    session.database[name], blank(field_name), comment=session.comment
                )
        return RestoreResult(
            database=session.database.name,
            verification=self.verification,
            counts={name: counts.get(name, 0) for name in self.only},
            views=(),
            indexes=int(written["restoredIndexes"]),
            refused=tuple(RefusedIndex(*each) for each in written["refusedIndexes"]),
            resumed=bool(self._resumed),
            dropped=(),
            run_id=session.run_id,
            put_aside={
                entry["collection"]: Replacement(number, entry["collection"]).aside
                for entry in written["replaced"]
                if entry["before"]
            },
            without_workspace={name: number for name, number in lacking.items() if number},
        )


def _noted(written: Mapping[str, Any], one: Replacement) -> Replacement:
    entry = next(e for e in written["replaced"] if e["collection"] == one.collection)
    return replace(one, before=entry["before"], restored=entry["restored"])
