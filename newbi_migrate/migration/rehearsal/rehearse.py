"""The use-case ``rehearse``: the whole run book, on a copy that a backup gives.

The database that the backup is of is never opened. What is to be seen on the night is seen here:
the same commands' use-cases, in their order, and then the way back and once more the way forth.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from newbi_migrate.backup.compare import Comparison, compare_backup
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import verify_dump
from newbi_migrate.backup.writer import BackupResult, backup_database
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import (
    ExitCode,
    InterruptedRunError,
    NewbiMigrateError,
    UnreachableError,
    UsageError,
)
from newbi_migrate.migration.apply.migrate import migrate
from newbi_migrate.migration.doctor import Diagnosis, diagnose
from newbi_migrate.migration.finalize.finalize import Finalize
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.results import Plan, RunResult
from newbi_migrate.migration.rehearsal.results import Rehearsal, RoomTaken, Step, StepName
from newbi_migrate.migration.rehearsal.scratch import refuse_full_disk
from newbi_migrate.migration.restore.results import RestoreResult
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.restore.target import look_at_target
from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
from newbi_migrate.migration.rollback.rollback import rollback
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.run.runner import Runner
from newbi_migrate.migration.validation.report import Origin, ValidationReport
from newbi_migrate.migration.validation.validate import ValidationRequest, validate
from newbi_migrate.progress import Progress
from newbi_migrate.rules import Severity
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.lease import LEASE
from newbi_migrate.store.runs import RunRecord, read_runs
from newbi_migrate.store.scratch import drop_scratch
from newbi_migrate.store.server import bytes_held, collection_hashes

__all__ = ["rehearse"]

_T = TypeVar("_T")

_Told = tuple[str, ExitCode, bool]
"""What came of a step: a sentence, the exit code, and whether it failed."""

# What doctor says of the data; the rest is about the server, which is not production's.
_OF_THE_DATA: Final = ("legacy-users", "registered-collections", "leftover-")


async def rehearse(
    runner: Runner,
    options: MigrationOptions,
    backup: Path,
    *,
    work_dir: Path | None = None,
    identities: Sequence[Any] = (),
    source: str | None = None,
    keep: bool = False,
) -> Rehearsal:
    """Go through the run book on a copy, back again, and forth once more.

    A step that fails is an answer and no error; those that rest upon it are not tried.

    Args:
        runner: Runs the use-cases in an empty database, on a server that may be lost. It is
            dropped in the end.
        options: The choices of the migration.
        backup: A backup of ours, or a folder of mongodump; it is only read.
        work_dir: A folder for a backup of the copy, where ``backup`` is not one of ours; by
            default the system's for temporary files.
        identities: Secret keys for an encrypted backup.
        source: Name of the database in the dump, where it holds several.
        keep: Leave the database as it is in the end: migrated.

    Raises:
        UsageError: It is no backup, or encrypted and no key was given, or one of a database in
            which a run is in place, or the scratch database holds something.
        UnreachableError: The scratch server did not answer, or does not any more.
        LocalFileError: The disk is full.
    """
    dump = await asyncio.to_thread(Dump, backup, identities, source=source)
    if not dump.readable:
        raise UsageError(
            f"The backup {str(backup)!r} is encrypted.",
            next_step="Give its secret key: --identity.",
        )
    database = runner.store.database
    with explained("looking at the scratch database"):
        target = await look_at_target(database)
    if target.existing or target.unfinished:
        raise UsageError(
            f"The scratch database {database.name!r} is not empty; nothing was written.",
            next_step="Name one that is not there yet: a rehearsal drops it in the end.",
        )
    found = Rehearsal(backup, dump.database, str(runner.store.server))
    try:
        with tempfile.TemporaryDirectory(prefix="newbi-rehearsal-", dir=work_dir) as folder:
            await _Rehearsing(found, dump, runner, Path(folder), options, identities).run()
    finally:
        if not keep:
            await _drop(database, runner.progress)
    return found


async def _drop(database: Database, progress: Progress) -> None:
    try:
        with explained("dropping the scratch database"):
            await drop_scratch(database)
    except NewbiMigrateError as error:
        # What was found out, or what went wrong, matters more.
        progress.note(f"The copy {database.name!r} was not dropped: {error.what}")


class _Rehearsing:
    """One call of :func:`rehearse`."""

    def __init__(
        self,
        found: Rehearsal,
        dump: Dump,
        runner: Runner,
        folder: Path,
        options: MigrationOptions,
        identities: Sequence[Any],
    ) -> None:
        self._found = found
        self._dump = dump
        self._runner = runner
        self._database = runner.store.database
        self._registry = runner.registry
        self._progress = runner.progress
        self._folder = folder
        self._options = options
        self._identities = identities
        # The backup a run is backed by: that of the copy, where the dump is not one of ours.
        self._backup = dump.path
        self._documents = 0
        self._hashes: dict[str, str] = {}

    async def run(self) -> None:
        """Take the steps, as far as they go."""
        steps: tuple[Callable[[], Awaitable[object]], ...] = (
            self._verify,
            self._restore,
            self._back_up,
            self._plan,
            self._migrate,
            self._validate,
            self._roll_back,
            self._once_more,
        )
        try:
            for step in steps:
                if await step() is None:
                    return
        except NewbiMigrateError as error:
            refuse_full_disk(self._folder.parent, error)
            raise

    # -- the steps ----------------------------------------------------------------------------

    async def _verify(self) -> Verification | None:
        verification = await self._step(
            StepName.VERIFY, lambda: verify_dump(self._dump, progress=self._progress), _verified
        )
        if verification is None or not verification.intact:
            return None
        for note in verification.notes:
            self._progress.note(note)
        self._documents = sum(one.bytes for one in verification.collections)
        return verification

    async def _restore(self) -> RestoreResult | None:
        result = await self._step(
            StepName.RESTORE,
            lambda: restore_backup(
                self._dump.path,
                self._database,
                identities=self._identities,
                source=None if self._dump.manifest else self._dump.database,
                progress=self._progress,
            ),
            _restored,
        )
        if result is not None:
            with explained("looking at the copy"):
                _refuse_migrated(await read_runs(self._database), self._dump.path)
        return result

    async def _back_up(self) -> object | None:
        if self._dump.manifest is not None:
            return self
        made = await self._step(
            StepName.BACKUP,
            lambda: backup_database(
                self._database,
                self._folder,
                registry=self._registry,
                progress=self._progress,
                exports=False,
            ),
            _backed_up,
        )
        if made is not None:
            self._backup = made.path
        return made

    async def _plan(self) -> Plan | None:
        diagnosis = await self._step(
            StepName.DOCTOR,
            lambda: diagnose(
                self._runner.store,
                self._registry,
                source=self._options.legacy_collection,
                watch=0,
                progress=self._progress,
            ),
            _diagnosed,
        )
        if diagnosis is not None:
            self._found.checks = tuple(
                one for one in diagnosis.checks if one.id.startswith(_OF_THE_DATA)
            )
        plan = await self._step(
            StepName.PLAN,
            lambda: make_plan(
                self._database, self._registry, self._options, progress=self._progress
            ),
            _planned,
        )
        self._found.plan = plan
        return plan

    async def _migrate(self) -> RunResult | None:
        result = await self._step(
            StepName.MIGRATE, lambda: self._migrated_by(self._found.plan), _migrated
        )
        if result is not None:
            with explained("looking at the copy"):
                self._found.room = await self._room()
        return result

    async def _validate(self) -> object:
        self._found.validation = await self._step(
            StepName.VALIDATE,
            lambda: validate(
                ValidationRequest(
                    database=self._database,
                    registry=self._registry,
                    options=self._options,
                    unchanged=True,
                    progress=self._progress,
                )
            ),
            _validated,
        )
        await self._step(
            StepName.INDEXES,
            lambda: Finalize(self._runner, self._options).indexes(apply=True),
            _swapped,
        )
        self._hashes = await self._hashed()
        return self

    async def _roll_back(self) -> list[RollbackResult] | None:
        back = await self._step(
            StepName.ROLLBACK,
            lambda: rollback(self._runner, None, RollbackOptions(), everything=True),
            _rolled_back,
        )
        if back is not None:
            await self._step(
                StepName.COMPARE,
                lambda: compare_backup(
                    self._backup,
                    self._database,
                    identities=self._identities,
                    progress=self._progress,
                ),
                _compared,
            )
        return back

    async def _once_more(self) -> RunResult | None:
        again = await self._step(StepName.AGAIN, self._migrated_by, _migrated)
        if again is None:
            return None
        await self._step(StepName.SAME, self._hashed, self._same)
        await self._step(
            StepName.FINALIZE,
            lambda: Finalize(self._runner, self._options).finalize(
                keep=True, drop_journal=False, dry_run=True
            ),
            _finalized,
        )
        return again

    async def _migrated_by(self, plan: Plan | None = None) -> RunResult:
        guard = BackupGuard(self._backup, self._identities, copy=True)
        return await migrate(
            self._runner, "migrate", self._options, backup_guard=guard, reviewed=plan
        )

    def _same(self, hashes: dict[str, str]) -> _Told:
        differing = sorted(
            name
            for name in hashes.keys() | self._hashes.keys()
            if hashes.get(name) != self._hashes.get(name)
        )
        if differing:
            return f"not the same: {', '.join(differing)}", ExitCode.VALIDATION_FAILED, True
        return "the same, byte for byte", ExitCode.DONE, False

    # -- how ----------------------------------------------------------------------------------

    async def _step(
        self, name: StepName, work: Callable[[], Awaitable[_T]], told: Callable[[_T], _Told]
    ) -> _T | None:
        """Take one step; what failed is said, and ``None`` returned."""
        self._progress.note(f"Rehearsal: {name.value}.")
        begun = time.perf_counter()
        result: _T | None = None
        try:
            with explained(name.value):
                result = await work()
            sentence, code, failed = told(result)
        except NewbiMigrateError as error:
            refuse_full_disk(self._folder.parent, error)
            if isinstance(error, (UnreachableError, InterruptedRunError)):
                raise
            sentence = f"{error.what} {error.next_step}".strip()
            code, failed = error.exit_code, True
        seconds = round(time.perf_counter() - begun, 3)
        self._found.steps.append(Step(name, seconds, code, sentence, failed))
        return result

    async def _hashed(self) -> dict[str, str]:
        with explained("comparing the copy"):
            hashes = await collection_hashes(self._database)
        return {
            name: digest
            for name, digest in hashes.items()
            if not name.startswith(("system.", OWN_PREFIX))
        }

    async def _room(self) -> RoomTaken:
        names = await collection_names(self._database)
        own = [name for name in names if name.startswith(OWN_PREFIX)]
        found = [
            Path(folder) / name for folder, _, names in os.walk(self._backup) for name in names
        ]
        sizes = [one.st_size for one in map(Path.lstat, found) if stat.S_ISREG(one.st_mode)]
        return RoomTaken(
            self._documents,
            sum(sizes),
            await bytes_held(self._database, own),
        )


def _refuse_migrated(runs: Sequence[RunRecord], backup: Path) -> None:
    """Fail where the copy is of a database with runs in place: its way back is not to the backup.

    Raises:
        UsageError: A run is in place.
    """
    run = next((run for run in runs if run.in_place), None)
    if run is not None:
        raise UsageError(
            f"The backup {str(backup)!r} is of a database in which the {run.command} run "
            f"{run.run_id} is in place, so there is no migration to rehearse.",
            next_step="Take a backup from before it; or, of a database to practise on, take all "
            "runs back (newbi-migrate rollback --all) and make a new backup.",
        )


# -- what came of them ----------------------------------------------------------------------------


def _verified(verification: Verification) -> _Told:
    if not verification.intact:
        problems = "; ".join(map(str, verification.problems[:3]))
        return f"damaged: {problems}", ExitCode.LOCAL_FILE, True
    documents = sum(one.count for one in verification.collections)
    collections = len(verification.collections)
    return f"{documents:,} documents in {collections:,} collections", ExitCode.DONE, False


def _restored(result: RestoreResult) -> _Told:
    # A backup of a database that was migrated and taken back holds one document more.
    left = any(one.name == LEASE for one in result.verification.collections)
    without = " (the lease is not restored)" if left else ""
    sentence = f"{sum(result.counts.values()):,} documents{without}, {result.indexes:,} indexes"
    if result.refused:
        refused = ", ".join(f"{one.collection}.{one.name}" for one in result.refused[:3])
        sentence += f"; this server refuses {len(result.refused):,} ({refused})"
    return sentence, ExitCode.DONE, False


def _backed_up(result: BackupResult) -> _Told:
    return f"{result.manifest.count:,} documents", ExitCode.DONE, False


def _diagnosed(diagnosis: Diagnosis) -> _Told:
    return f"{len(diagnosis.checks):,} checks", diagnosis.exit_code, False


def _planned(plan: Plan) -> _Told:
    pending = sum(summary.pending for summary in plan.collections.values())
    return f"{len(plan.users):,} users, {pending:,} documents to write", plan.exit_code, False


def _migrated(result: RunResult) -> _Told:
    written = sum(summary.pending for summary in result.collections.values())
    sentence = f"{sum(result.created.values()):,} documents created, {written:,} written"
    return sentence, result.exit_code, bool(result.pending)


def _validated(report: ValidationReport) -> _Told:
    caused = [r for r in report.results if r.origin is not Origin.BEFORE]
    counts = {
        level: sum(r.count for r in caused if r.severity is level)
        for level in (Severity.WARNING, Severity.INFO)
    }
    lesser = ", ".join(f"{count:,} {level.value}" for level, count in counts.items())
    sentence = f"caused: {report.critical + report.pending:,} critical, {lesser}"
    return sentence, report.exit_code, report.failed


def _swapped(result: FinalizeResult) -> _Told:
    done = f"{len(result.dropped):,} old ones dropped, {len(result.created):,} built"
    return f"{done}{_left(result)}", result.exit_code, False


def _rolled_back(results: list[RollbackResult]) -> _Told:
    restored = sum(back.restored for one in results for back in one.documents.values())
    deleted = sum(one.deleted.total() for one in results)
    code = next((one.exit_code for one in results if one.exit_code), ExitCode.DONE)
    return f"{restored:,} documents restored, {deleted:,} deleted", code, bool(code)


def _compared(comparison: Comparison) -> _Told:
    if comparison.equal:
        return "every byte is as in the backup", ExitCode.DONE, False
    shown = "; ".join(map(str, comparison.differences[:3]))
    return (
        f"{len(comparison.differences):,} differences: {shown}",
        ExitCode.PENDING,
        True,
    )


def _finalized(result: FinalizeResult) -> _Told:
    kept = f"{result.legacy_users:,} legacy users to keep aside"
    return f"{kept}{_left(result)}", result.exit_code, False


def _left(result: FinalizeResult) -> str:
    """The indexes that are not swapped."""
    said = ""
    if result.held:
        said += f", old indexes kept for want of a successor: {len(result.held):,}"
    if result.missing:
        said += f", new ones not built: {len(result.missing):,}"
    return said
