"""The library's front door: one object for a database, one method for each use-case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from bson import ObjectId

from newbi_migrate.backup.exporting import export_backup
from newbi_migrate.backup.writer import BackupResult, backup_database
from newbi_migrate.choices import Purpose
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import InterruptedRunError, UsageError
from newbi_migrate.migration.apply.migrate import migrate, plan_saved
from newbi_migrate.migration.checklist import Checklist, read_checklist
from newbi_migrate.migration.doctor import Diagnosis, diagnose
from newbi_migrate.migration.finalize.finalize import Finalize
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.plan_file import SavedPlan, refuse_other_database
from newbi_migrate.migration.planning.results import Plan, RunResult
from newbi_migrate.migration.planning.survey import Survey, survey
from newbi_migrate.migration.rehearsal.rehearse import rehearse
from newbi_migrate.migration.rehearsal.results import Rehearsal
from newbi_migrate.migration.restore.aside import DroppedAside, drop_aside
from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
from newbi_migrate.migration.rollback.rollback import preview_rollback, rollback
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.run.baseline import Baseline, provable_run
from newbi_migrate.migration.run.runner import Runner
from newbi_migrate.migration.run.throttle import ThrottleOptions
from newbi_migrate.migration.status import Status, read_status
from newbi_migrate.migration.validation.conservation import Conservation, check_conservation
from newbi_migrate.migration.validation.report import FailOn, FoundViolation, ValidationReport
from newbi_migrate.migration.validation.validate import ValidationRequest, validate
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.connection import Store, nothing_there, open_database
from newbi_migrate.store.faults import explained
from newbi_migrate.store.lease import LEASE_SECONDS, Lease, LeaseState
from newbi_migrate.store.runs import RunRecord, read_runs

__all__ = ["Migration", "run_sync"]

_LONGEST_LEASE: Final = 86_400
_T = TypeVar("_T")


class Migration:
    """A migration of one database, as an asynchronous context manager.

    Args:
        source: A connection string that names the database, or a database handle of the host
            application: PyMongo's ``AsyncDatabase`` or ``Database``, or Motor's.
        options: The choices.
        registry: The collections; Newbi's own unless another is given.
        progress: Told of what is going on; nothing is printed.
        lease_seconds: How long a run that died keeps others out.
        backup_guard: The backup a run is to be backed by, and what it records; nothing by default.
        throttle: What holds a run back, forward or backward; nothing by default.

    Raises:
        NewbiMigrateError: Every method raises one of its subclasses, with what happened and
            what to do next; errors of the driver do not get through.

    Example:
        >>> async with Migration("mongodb://localhost/newbi") as migration:
        ...     plan = await migration.plan()
        ...     result = await migration.apply(plan)
    """

    def __init__(
        self,
        source: Any,
        *,
        options: MigrationOptions | None = None,
        registry: Registry = NEWBI,
        progress: Progress | None = None,
        lease_seconds: float = LEASE_SECONDS,
        backup_guard: BackupGuard | None = None,
        throttle: ThrottleOptions | None = None,
    ) -> None:
        if not 0 < lease_seconds <= _LONGEST_LEASE:
            raise UsageError(
                f"A lease of {lease_seconds} seconds is out of range.",
                next_step=f"Take more than 0 and at most {_LONGEST_LEASE}; "
                f"{LEASE_SECONDS:.0f} suit most.",
            )
        self._source = source
        self._options = options or MigrationOptions()
        self._registry = registry
        self._progress = progress or NullProgress()
        self._lease_seconds = lease_seconds
        self._backup_guard = backup_guard or BackupGuard()
        self._throttle = throttle or ThrottleOptions()
        self._stack = AsyncExitStack()
        self._store: Store | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._store = await self._stack.enter_async_context(
            open_database(self._source, progress=self._progress)
        )
        return self

    async def __aexit__(self, *details: object) -> None:
        self._store = None
        await self._stack.aclose()

    @property
    def store(self) -> Store:
        """The open database.

        Raises:
            UsageError: The migration has not been entered.
        """
        if self._store is None:
            raise UsageError(
                "The migration is not open.", next_step="Use it as `async with Migration(…)`."
            )
        return self._store

    def stop(self) -> None:
        """Ask a run to stop at its next safe point; the same call finishes it later."""
        self._stopping = True

    async def survey(self) -> Survey:
        """Look at what is there."""
        with explained("reading the database"):
            return await survey(
                self.store.database, self._registry, source=self._options.legacy_collection
            )

    async def doctor(
        self,
        *,
        purpose: Purpose = Purpose.MIGRATE,
        backup: Path | None = None,
        watch: float = 3.0,
    ) -> Diagnosis:
        """Check whether everything is ready for a run; write nothing at all.

        See :func:`~newbi_migrate.migration.doctor.diagnosis.diagnose`.
        """
        with explained("looking at the database"):
            return await diagnose(
                self.store,
                self._registry,
                purpose=purpose,
                source=self._options.legacy_collection,
                backup=backup,
                watch=watch,
                progress=self._progress,
            )

    async def plan(self, *, documents_only: bool = False) -> Plan:
        """Decide everything a run would do; send no write command.

        Args:
            documents_only: Plan a backfill, which leaves users alone.
        """
        with explained("planning"):
            return await make_plan(
                self.store.database,
                self._registry,
                self._options,
                documents_only=documents_only,
                progress=self._progress,
            )

    async def apply(self, plan: Plan | None = None) -> RunResult:
        """Carry out a plan, or the one the database gives now.

        A run that was interrupted is finished first, by the same call. Where there is nothing
        to do, nothing is written, not even a record of the run.

        Raises:
            LeaseHeldError: Another run is under way.
            InterruptedRunError: :meth:`stop` was called.
            LeaseLostError: The lease was lost, for example because this process was suspended.
        """
        return await self._run("migrate", plan)

    async def backfill(self, plan: Plan | None = None) -> RunResult:
        """Stamp documents alone, for late documents or further collections."""
        return await self._run("backfill", plan)

    async def check_backup(self) -> None:
        """Verify the backup a run would be backed by, if any, and compare it; write nothing.

        See :meth:`~newbi_migrate.migration.run.backup_guard.BackupGuard.check`.
        """
        with explained("verifying the backup"):
            await self._backup_guard.check(self.store.database, self._registry, self._progress)

    async def backup(
        self,
        output_dir: Path,
        *,
        workers: int = 2,
        recipients: Sequence[Any] = (),
        exports: bool = True,
    ) -> BackupResult:
        """Write the whole database into a new folder, in mongodump's format.

        Interrupted while it exports, the backup is whole all the same. See
        :func:`~newbi_migrate.backup.writer.backup_database` and
        :func:`~newbi_migrate.backup.exporting.export_backup`.
        """
        made = await backup_database(
            self.store.database,
            output_dir,
            registry=self._registry,
            progress=self._progress,
            workers=workers,
            recipients=recipients,
            exports=exports,
        )
        if exports:
            await export_backup(
                made.path,
                registry=self._registry,
                progress=self._progress,
                recipients=recipients,
                identities=made.identities,
            )
        return made

    async def check_conservation(
        self, run: RunRecord | None = None, *, baseline: Baseline | None = None
    ) -> Conservation:
        """Prove that a run changed nothing but what its journal says; read only.

        See :func:`~newbi_migrate.migration.validation.conservation.check_conservation`.

        Args:
            run: The run; by default the last that recorded digests and was not rolled back.
            baseline: What was there before it, by default what its record holds.

        Raises:
            UsageError: There is no such run.
        """
        if run is None:
            with explained("reading the runs"):
                run = provable_run(await read_runs(self.store.database))
        return await check_conservation(
            self.store.database, self._registry, run, baseline=baseline, progress=self._progress
        )

    async def status(self) -> Status:
        """How the database stands."""
        with explained("reading the database"):
            return await read_status(self.store.database, self._registry, self._progress)

    async def runs(self) -> list[RunRecord]:
        """All runs, the newest first.

        Raises:
            DamagedRecordsError: The records of runs are not what this tool wrote.
        """
        with explained("reading the runs"):
            return await read_runs(self.store.database)

    async def checklist(
        self,
        *,
        backup: Path | None = None,
        rehearsed: Path | None = None,
        watch: float = 3.0,
        brief: bool = False,
        status: Status | None = None,
    ) -> Checklist:
        """The guide's checklist, each line ticked by what is recorded or can be seen.

        See :func:`~newbi_migrate.migration.checklist.read_checklist`.
        """
        with explained("looking at the database"):
            return await read_checklist(
                self.store,
                self._registry,
                self._options,
                backup=backup,
                rehearsed=rehearsed,
                watch=watch,
                brief=brief,
                status=status,
                progress=self._progress,
            )

    async def rehearse(
        self,
        backup: Path,
        *,
        work_dir: Path | None = None,
        identities: Sequence[Any] = (),
        source: str | None = None,
        keep: bool = False,
    ) -> Rehearsal:
        """Go through the whole run book here with a backup's copy, and drop this database.

        It must be an empty database on a server that may be lost: never the one that the backup
        was made of.

        See :func:`~newbi_migrate.migration.rehearsal.rehearse.rehearse`.
        """
        with self._runner() as runner:
            return await rehearse(
                runner,
                self._options,
                backup,
                work_dir=work_dir,
                identities=identities,
                source=source,
                keep=keep,
            )

    async def lease(self) -> LeaseState | None:
        """Who holds the lease or held it last; ``None`` if nobody ever did.

        Raises:
            UnsupportedError: The database holds nothing.
        """
        with explained("reading the lease"):
            lease = await Lease.current(self.store.database)
            if lease is None and not await collection_names(self.store.database):
                raise nothing_there(self.store.database.name)
            return lease

    async def unlock(self, seen: LeaseState | None = None) -> LeaseState | None:
        """End the lease of a run that is dead; return what was held, if anything was.

        A run that is alive after all stops before its next write.

        Args:
            seen: What :meth:`lease` gave to whoever decided; otherwise what is held now.

        Raises:
            LeaseHeldError: Somebody else holds it than was seen.
        """
        with explained("ending the lease"):
            return await Lease.break_(self.store.database, seen)

    async def validate(
        self,
        *,
        only: Sequence[str] = (),
        sample: int | None = None,
        fail_on: FailOn = FailOn.CRITICAL,
        unchanged: bool = False,
        detailed: bool = False,
        on_violation: Callable[[FoundViolation], None] | None = None,
    ) -> ValidationReport:
        """Ask every rule of the database; send no write command, need no lease.

        Args:
            only: Ids of rules, with ``*`` for any characters; by default all.
            sample: Ask the rules of the models of so many documents of each collection alone.
            fail_on: Which violations fail the validation.
            unchanged: Prove by digests, which reads the whole database, that nothing changed
                but what the journals say.
            detailed: Find every violation, not examples alone.
            on_violation: Told of each violation as it is found.

        Raises:
            UsageError: No rule has one of the ids.
            UnsupportedError: The database holds nothing.
        """
        with explained("validating"):
            return await validate(
                ValidationRequest(
                    database=self.store.database,
                    registry=self._registry,
                    options=self._options,
                    only=tuple(only),
                    sample=sample,
                    fail_on=fail_on,
                    unchanged=unchanged,
                    detailed=detailed,
                    on_violation=on_violation,
                    progress=self._progress,
                )
            )

    async def rollback(
        self,
        run_id: ObjectId | None = None,
        *,
        options: RollbackOptions | None = None,
        dry_run: bool = False,
        reviewed: RollbackResult | None = None,
    ) -> RollbackResult:
        """Take back exactly what a run wrote, and nothing else.

        Interrupted, the same call finishes it; done twice, it changes nothing.

        Args:
            run_id: The run; by default the last one.
            options: The choices.
            dry_run: Look only; sends no write command.
            reviewed: What the same call with ``dry_run`` gave and a person agreed to.

        Raises:
            UsageError: There is no such run, or it was taken back already and another was not
                named, later runs rest upon it, or what it came from is no longer there.
            DatabaseMovedOnError: It would do something else now than what was reviewed.
            DamagedRecordsError: The records of a run are not what this tool wrote.
            LeaseHeldError: A run is under way.
            InterruptedRunError: :meth:`stop` was called.
        """
        (result,) = await self._rollback(
            run_id, options, dry_run=dry_run, reviewed=None if reviewed is None else [reviewed]
        )
        return result

    async def rollback_all(
        self,
        *,
        options: RollbackOptions | None = None,
        dry_run: bool = False,
        reviewed: Sequence[RollbackResult] | None = None,
    ) -> list[RollbackResult]:
        """Take back all runs that are in place, the newest first; one result for each.

        All of them are looked at before anything is written: where somebody's changes are in the
        way of any, nothing is written at all, unless the options say otherwise. Where there is no
        run, the one result has none.

        Args:
            options: The choices.
            dry_run: Look only; sends no write command.
            reviewed: What the same call with ``dry_run`` gave and a person agreed to.

        Raises:
            NewbiMigrateError: See :meth:`rollback`.
        """
        return await self._rollback(
            None, options, everything=True, dry_run=dry_run, reviewed=reviewed
        )

    async def _rollback(
        self,
        run_id: ObjectId | None,
        options: RollbackOptions | None,
        *,
        everything: bool = False,
        dry_run: bool,
        reviewed: Sequence[RollbackResult] | None,
    ) -> list[RollbackResult]:
        choices = options or RollbackOptions()
        with self._runner() as runner:
            if dry_run:
                return await preview_rollback(runner, run_id, choices, everything=everything)
            return await rollback(runner, run_id, choices, everything=everything, reviewed=reviewed)

    async def drop_aside(
        self, *, dry_run: bool = False, reviewed: DroppedAside | None = None
    ) -> DroppedAside:
        """Drop what restores of single collections put aside; they can no longer be taken back.

        Args:
            dry_run: Look only; sends no write command.
            reviewed: What the same call with ``dry_run`` gave and a person agreed to.

        Raises:
            UsageError: A run has not come to its end.
            DatabaseMovedOnError: Something else is aside now than what was reviewed.
            LeaseHeldError: A run is under way.
        """
        with self._runner() as runner:
            return await drop_aside(runner, dry_run=dry_run, reviewed=reviewed)

    async def indexes(
        self, *, apply: bool = False, reviewed: FinalizeResult | None = None
    ) -> FinalizeResult:
        """Which indexes of the old structure are left; swaps them for the new if asked to.

        Args:
            apply: Drop those that can go, and build what is missing; otherwise no write command
                is sent.
            reviewed: What the same call without ``apply`` gave and a person agreed to.

        Raises:
            DatabaseMovedOnError: Other indexes are there now than what was reviewed.
            LeaseHeldError: A run is under way.
        """
        with self._runner() as runner:
            return await Finalize(runner, self._options).indexes(apply=apply, reviewed=reviewed)

    async def finalize(
        self,
        *,
        keep: bool = False,
        drop_journal: bool = False,
        dry_run: bool = False,
        reviewed: FinalizeResult | None = None,
    ) -> FinalizeResult:
        """Drop what the old structure left behind: obsolete indexes, and the legacy users.

        Args:
            keep: Rename their collection instead of dropping it.
            drop_journal: Drop the journal too; then no run can be taken back.
            dry_run: Say whether it could be done, and send no write command.
            reviewed: What the same call with ``dry_run`` gave and a person agreed to.

        Raises:
            ValidationFailedError: The database breaks a rule that must hold.
            UsageError: There is no migration, work is pending, or somebody was quarantined.
            DatabaseMovedOnError: A legacy user has come whom no migration accounts for, or
                something else would be done now than what was reviewed.
            LeaseHeldError: A run is under way.
        """
        with self._runner() as runner:
            return await Finalize(runner, self._options).finalize(
                keep=keep, drop_journal=drop_journal, dry_run=dry_run, reviewed=reviewed
            )

    @contextmanager
    def _runner(self) -> Iterator[Runner]:
        try:
            yield Runner(
                self.store,
                self._registry,
                self._progress,
                self._throttle,
                self._lease_seconds,
                lambda: self._stopping,
            )
        except InterruptedRunError:
            # Once it has been obeyed, the same call goes on.
            self._stopping = False
            raise

    async def plan_saved(self, saved: SavedPlan) -> Plan:
        """What :meth:`apply_saved` would still have to do; send no write command.

        Args:
            saved: What :func:`~newbi_migrate.migration.planning.plan_file.load_plan` gives.

        Raises:
            DatabaseMovedOnError: The database is no longer the one the plan was made for.
            UsageError: The plan is for another database, or a run was interrupted that it would
                not finish.
        """
        refuse_other_database(saved, self.store.database.name)
        with explained("planning"):
            return await plan_saved(
                self.store.database,
                self._registry,
                self._options,
                saved,
                progress=self._progress,
            )

    async def apply_saved(self, saved: SavedPlan) -> RunResult:
        """Carry out a plan that was saved, exactly, or refuse.

        A run of that very plan that was interrupted is finished; where one has been finished
        and nothing is pending, nothing is written.

        Args:
            saved: What :func:`~newbi_migrate.migration.planning.plan_file.load_plan` gives.

        Raises:
            DatabaseMovedOnError: The database is no longer the one the plan was made for.
            UsageError: The plan is for another database, or was made with other options than
                this migration has.
        """
        refuse_other_database(saved, self.store.database.name)
        return await self._run("migrate", None, saved=saved)

    async def _run(
        self, command: str, plan: Plan | None, *, saved: SavedPlan | None = None
    ) -> RunResult:
        with self._runner() as runner:
            return await migrate(
                runner,
                command,
                self._options,
                backup_guard=self._backup_guard,
                reviewed=plan,
                saved=saved,
            )


def run_sync(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, for scripts that are not asynchronous."""
    return asyncio.run(main)
