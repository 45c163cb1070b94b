"""What the options of the command line say to the engine.

Nothing of the engine is imported until a command runs.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newbi_migrate.errors import LocalFileError, UsageError

if TYPE_CHECKING:
    from newbi_migrate.cli.options import Throttling
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.run.backup_guard import BackupGuard
    from newbi_migrate.migration.run.throttle import ThrottleOptions

__all__ = ["as_arguments", "backup_guard", "migration_options", "names", "opening", "throttle"]


def migration_options(
    *, collections: list[str] | None = None, as_of: datetime | None = None, **others: Any
) -> MigrationOptions:
    """The engine's options from those of the command line; ``None`` is the engine's default.

    Raises:
        UsageError: A value is out of its range, or a list of collections names none.
    """
    from newbi_migrate.migration.planning.options import MigrationOptions

    given = {
        "collections": names(collections, "--collections"),
        "schema_day": as_of and as_of.date(),
        **others,
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


def rehearsal(path: Path | None) -> Path | None:
    """The decisions of a rehearsal, read once before the database is, which may take long.

    Raises:
        LocalFileError: They cannot be read.
    """
    from newbi_migrate.migration.planning.plan_file import load_plan

    if path is None:
        return None
    try:
        load_plan(path)
    except LocalFileError as error:
        make_one = "Make one with: newbi-migrate rehearse BACKUP --output FILE."
        raise LocalFileError(error.what, next_step=make_one) from error
    return path


def opening(identities: list[Path] | None, source: str | None = None) -> list[str]:
    """The arguments that open a backup, for a command that is suggested.

    Args:
        identities: Files with secret keys.
        source: The database of a dump that holds several.
    """
    keys = [part for path in identities or () for part in ("--identity", str(path))]
    return keys if source is None else [*keys, "--source-database", source]


def throttle(throttling: Throttling) -> ThrottleOptions:
    """What is to hold a run back, from the options of the command line.

    Raises:
        UsageError: A number is out of its range.
    """
    from newbi_migrate.migration.run.throttle import ThrottleOptions

    return ThrottleOptions(throttling.max_rate, throttling.pause_file, throttling.max_lag)


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
    from newbi_migrate.migration.run.finishing import chosen

    usual = MigrationOptions()
    # In the order in which they were given; a record keeps them sorted.
    arguments = chosen({**options.policy(), "collections": options.collections})
    for option, name in (("--batch-size", "batch_size"), ("--workers", "workers")):
        value = getattr(options, name)
        if value != getattr(usual, name):
            arguments += [option, str(value)]
    return arguments
