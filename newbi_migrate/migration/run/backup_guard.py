"""What a run is backed by: a backup that is whole, of this database and of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.verification import Verification
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.migration.run.baseline import Baseline, take_baseline
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.migration.run.runner import refuse_while_rolling_back, run_to_resume
from newbi_migrate.progress import Progress
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import RunRecord, read_runs

__all__ = ["BackupGuard"]

_NEW_ONE = (
    "Where no run was interrupted, make a new backup with newbi-migrate backup and name that one."
)


@dataclass(frozen=True, slots=True)
class BackupGuard:
    """What a run keeps, so that it can be proven and undone.

    Attributes:
        backup: Folder of a backup of ours; ``None`` for none.
        identities: Secret keys for an encrypted backup; without one, its bytes are checked alone.
        digests: Whether the digests of all collections are recorded without a backup too, which
            reads the whole database once more.
        copy: Whether the database is a copy, which may have another name than the backup's.
    """

    backup: Path | None = None
    identities: Sequence[Any] = ()
    digests: bool = False
    copy: bool = False

    async def verified(
        self, database: str, registry: Registry, progress: Progress
    ) -> Baseline | None:
        """Read the backup to its end; return what it knows of the database.

        Raises:
            DamagedBackupError: It is damaged.
            UsageError: It is no backup of ours, of another database, or of a half-migrated one.
        """
        if self.backup is None:
            return None
        path = self.backup
        verification: Verification = await verify_backup(
            path, identities=self.identities, progress=progress
        )
        if verification.manifest is None:
            raise UsageError(
                f"{str(path)!r} is a dump without a manifest, which cannot back a run.",
                next_step=_NEW_ONE,
            )
        verification.require()
        # Of a copy the rehearsal has said it.
        for note in () if self.copy else verification.notes:
            progress.note(note)
        if verification.database != database and not self.copy:
            raise UsageError(
                f"The backup {str(path)!r} is of the database {verification.database!r}, and the "
                f"run would be on {database!r}.",
                next_step=_NEW_ONE,
            )
        if verification.manifest.unfinished_run is not None:
            raise UsageError(
                f"The backup {str(path)!r} cannot back a run. {verification.manifest.half_done}",
                next_step="Name the one that was made before that run. Where there is none, finish "
                "the run or take it back (newbi-migrate status says how), then make one.",
            )
        return Baseline.of_manifest(verification.manifest, registry, name=path.resolve().name)

    async def baseline(
        self,
        database: Database,
        registry: Registry,
        verified: Baseline | None,
        progress: Progress,
        *,
        comment: str,
    ) -> Baseline | None:
        """What a new run records of the database before its first write.

        Raises:
            DatabaseMovedOnError: The database is not as its backup.
        """
        if verified is None:
            if not self.digests:
                return None
            return await take_baseline(database, registry, progress=progress, comment=comment)
        await self.compared(database, progress)
        return verified

    async def check(self, database: Database, registry: Registry, progress: Progress) -> None:
        """Ask of the backup what a run would ask; without one, nothing. Reads only.

        Where a run was interrupted, the backup must be its own.

        Raises:
            DamagedBackupError: It is damaged.
            DatabaseMovedOnError: The database is not as it says.
            UsageError: It is no backup of this database.
            InterruptedRunError: A rollback has not come to its end.
        """
        if self.backup is None:
            return
        runs = await read_runs(database)
        refuse_while_rolling_back(runs)
        unfinished = run_to_resume(runs)
        verified = await self.verified(database.name, registry, progress)
        if unfinished is not None:
            self.refuse_other_backup(unfinished, verified)
        else:
            await self.compared(database, progress)

    async def compared(self, database: Database, progress: Progress) -> None:
        """Compare the backup with the database as it is now.

        Raises:
            DatabaseMovedOnError: They differ.
        """
        if self.backup is None:
            return
        comparison = await compare_backup(
            self.backup, database, identities=self.identities, progress=progress, documents=False
        )
        if not comparison.equal:
            named = [str(difference) for difference in comparison.differences[:3]]
            more = len(comparison.differences) - len(named)
            raise DatabaseMovedOnError(
                f"The database is not as the backup {str(self.backup)!r} says: {'; '.join(named)}"
                f"{f'; and {more} more' if more else ''}. Nothing was written.",
                next_step="Stop the application, make a new backup with newbi-migrate backup, and "
                "name that one.",
            )

    def refuse_other_backup(self, unfinished: RunRecord, verified: Baseline | None) -> None:
        """Compare the backup with that of an interrupted run, which is finished with its own.

        Raises:
            UsageError: They are not the same.
        """
        if verified is None:
            return
        recorded = unfinished.document.get("baseline") or {}
        if recorded.get("backup") != verified.backup:
            begun = recorded.get("name")
            raise UsageError(
                f"The run {unfinished.run_id} was interrupted and had "
                f"{f'the backup {begun}' if begun else 'no backup'}.",
                next_step=f"Finish it first: {finishing(unfinished)}, "
                f"{'with that backup or none' if begun else 'without a backup'}.",
            )
