"""Migrate Newbi's MongoDB from legacy users to organizations and workspaces.

Names are imported when they are first asked for, so that ``import newbi_migrate`` costs nothing and
loads no driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newbi_migrate.backup.compare import compare_backup as compare_backup
    from newbi_migrate.backup.verify import verify_backup as verify_backup
    from newbi_migrate.backup.writer import backup_database as backup_database
    from newbi_migrate.documents.newbi import NEWBI as NEWBI
    from newbi_migrate.documents.registry import (
        CollectionSpec as CollectionSpec,
        IdType as IdType,
        IndexSpec as IndexSpec,
        ParentLink as ParentLink,
        Registry as Registry,
        UniqueKey as UniqueKey,
    )
    from newbi_migrate.errors import (
        ConfirmationRequiredError as ConfirmationRequiredError,
        DamagedBackupError as DamagedBackupError,
        DamagedRecordsError as DamagedRecordsError,
        DatabaseMovedOnError as DatabaseMovedOnError,
        ExitCode as ExitCode,
        InterruptedRunError as InterruptedRunError,
        LeaseHeldError as LeaseHeldError,
        LeaseLostError as LeaseLostError,
        NewbiMigrateError as NewbiMigrateError,
        NothingBegunError as NothingBegunError,
        NotPermittedError as NotPermittedError,
        UnreachableError as UnreachableError,
        UnsupportedError as UnsupportedError,
        UsageError as UsageError,
        ValidationFailedError as ValidationFailedError,
    )
    from newbi_migrate.mapping.models import (
        MigratedUser as MigratedUser,
        migrated_user as migrated_user,
    )
    from newbi_migrate.migration.facade import (
        Migration as Migration,
        run_sync as run_sync,
    )
    from newbi_migrate.migration.planning.options import MigrationOptions as MigrationOptions
    from newbi_migrate.migration.planning.rehearsed import (
        SinceRehearsal as SinceRehearsal,
        since_rehearsal as since_rehearsal,
    )
    from newbi_migrate.migration.rehearsal.results import Rehearsal as Rehearsal, Verdict as Verdict
    from newbi_migrate.migration.restore.run import restore_backup as restore_backup
    from newbi_migrate.migration.run.backup_guard import BackupGuard as BackupGuard
    from newbi_migrate.migration.run.throttle import ThrottleOptions as ThrottleOptions
    from newbi_migrate.migration.validation.report import (
        FailOn as FailOn,
        FoundViolation as FoundViolation,
        ValidationReport as ValidationReport,
    )
    from newbi_migrate.rules import (
        Rule as Rule,
        Severity as Severity,
        Violation as Violation,
    )
    from newbi_migrate.store.connection import open_database as open_database
    from newbi_migrate.store.uri import ConnectionString as ConnectionString

    __version__: str

_HOMES = {
    "newbi_migrate.backup.compare": ("compare_backup",),
    "newbi_migrate.migration.restore.run": ("restore_backup",),
    "newbi_migrate.backup.verify": ("verify_backup",),
    "newbi_migrate.backup.writer": ("backup_database",),
    "newbi_migrate.errors": (
        "ConfirmationRequiredError",
        "DamagedBackupError",
        "DamagedRecordsError",
        "DatabaseMovedOnError",
        "ExitCode",
        "InterruptedRunError",
        "LeaseHeldError",
        "LeaseLostError",
        "NewbiMigrateError",
        "NothingBegunError",
        "NotPermittedError",
        "UnreachableError",
        "UnsupportedError",
        "UsageError",
        "ValidationFailedError",
    ),
    "newbi_migrate.rules": ("Rule", "Severity", "Violation"),
    "newbi_migrate.mapping.models": ("MigratedUser", "migrated_user"),
    "newbi_migrate.migration.facade": ("Migration", "run_sync"),
    "newbi_migrate.migration.planning.options": ("MigrationOptions",),
    "newbi_migrate.migration.run.throttle": ("ThrottleOptions",),
    "newbi_migrate.migration.run.backup_guard": ("BackupGuard",),
    "newbi_migrate.migration.validation.report": ("FailOn", "FoundViolation", "ValidationReport"),
    "newbi_migrate.documents.newbi": ("NEWBI",),
    "newbi_migrate.documents.registry": (
        "CollectionSpec",
        "IdType",
        "IndexSpec",
        "ParentLink",
        "Registry",
        "UniqueKey",
    ),
    "newbi_migrate.migration.planning.rehearsed": ("SinceRehearsal", "since_rehearsal"),
    "newbi_migrate.migration.rehearsal.results": ("Rehearsal", "Verdict"),
    "newbi_migrate.store.connection": ("open_database",),
    "newbi_migrate.store.uri": ("ConnectionString",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # the same list twice would drift apart


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("newbi-migrate")
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
