"""What the options of the command line say to the engine.

Nothing of the engine is imported until a command runs.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newbi_migrate.errors import UsageError

if TYPE_CHECKING:
    from newbi_migrate.cli.options import Pacing
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.run.backup_guard import BackupGuard
    from newbi_migrate.migration.run.throttle import ThrottleOptions

__all__ = ["as_arguments", "backup_guard", "migration_options", "names", "opening", "throttle"]


def migration_options(
    *,
    legacy_collection: str | None = None,
    duplicate_emails: StrEnum | None = None,
    aliases: StrEnum | None = None,
    alias_owners: StrEnum | None = None,
    collections: list[str] | None = None,
    as_of: datetime | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
) -> MigrationOptions:
    """The engine's options from those of the command line; ``None`` is the engine's default.

    Raises:
        UsageError: A value is out of its range, or a list of collections names none.
    """
    from newbi_migrate.mapping.decisions import AliasPolicy, DuplicatePolicy
    from newbi_migrate.migration.planning.options import AliasOwners as Owners, MigrationOptions

    given: dict[str, Any] = {
        "legacy_collection": legacy_collection,
        "duplicate_emails": duplicate_emails and DuplicatePolicy(duplicate_emails.value),
        "aliases": aliases and AliasPolicy(aliases.value),
        "alias_owners": alias_owners and Owners(alias_owners.value),
        "collections": names(collections, "--collections"),
        "schema_day": as_of and as_of.date(),
        "batch_size": batch_size,
        "workers": workers,
    }
    return MigrationOptions(**{name: value for name, value in given.items() if value is not None})


def backup_guard(
    backup: Path | None, identities: list[Path] | None, *, digests: bool = False
) -> BackupGuard:
    """What a run is to be backed by, from the options of the command line.

    Raises:
        UsageError: A file holds no secret key, or there is nothing that it could open.
    """
    from newbi_migrate.backup.encrypt import read_identities
    from newbi_migrate.migration.run.backup_guard import BackupGuard

    if identities and backup is None:
        raise UsageError(
            "The option --identity opens a backup, and none was named.",
            next_step="Name it with --backup DIR, or leave --identity out.",
        )
    return BackupGuard(backup, read_identities(identities or ()), digests)


def opening(identities: list[Path] | None, source: str | None = None) -> list[str]:
    """The arguments that open a backup, for a command that is suggested.

    Args:
        identities: Files with secret keys.
        source: The database of a dump that holds several.
    """
    keys = [part for path in identities or () for part in ("--identity", str(path))]
    return keys if source is None else [*keys, "--source-database", source]


def throttle(pacing: Pacing) -> ThrottleOptions:
    """What is to hold a run back, from the options of the command line.

    Raises:
        UsageError: A number is out of its range.
    """
    from newbi_migrate.migration.run.throttle import ThrottleOptions

    return ThrottleOptions(pacing.max_rate, pacing.pause_file, pacing.max_lag)


def names(given: list[str] | None, option: str) -> tuple[str, ...] | None:
    """What an option lists, separated by commas or by repeating it; ``None`` if not given.

    Raises:
        UsageError: It was given and names nothing.
    """
    if not given:
        return None
    listed = tuple(
        dict.fromkeys(name.strip() for part in given for name in part.split(",") if name.strip())
    )
    if not listed:
        raise UsageError(
            f"The option {option} names nothing.", next_step=f"Name some: {option} first,second."
        )
    return listed


def as_arguments(options: MigrationOptions) -> list[str]:
    """The arguments that ask for these options, for a command that is suggested."""
    from newbi_migrate.migration.planning.options import MigrationOptions

    usual = MigrationOptions()
    arguments: list[str] = []
    asked = {
        "--legacy-collection": (options.legacy_collection, usual.legacy_collection),
        "--duplicate-emails": (options.duplicate_emails, usual.duplicate_emails),
        "--aliases": (options.aliases, usual.aliases),
        "--alias-owners": (options.alias_owners, usual.alias_owners),
        "--collections": (options.collections, usual.collections),
        "--as-of": (options.schema_day, usual.schema_day),
        "--batch-size": (options.batch_size, usual.batch_size),
        "--workers": (options.workers, usual.workers),
    }
    for name, (value, default) in asked.items():
        if value != default:
            arguments += [name, ",".join(value) if isinstance(value, tuple) else str(value)]
    return arguments
