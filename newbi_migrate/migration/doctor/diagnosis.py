"""All checks of the doctor, in the order in which they are put right.

No check writes anything, and none that may not be made keeps the others from being made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import computed_field

from newbi_migrate.answers import called
from newbi_migrate.checks import Check, Level, worst
from newbi_migrate.choices import Purpose
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import ExitCode, NotPermittedError
from newbi_migrate.migration.doctor.backing import look_at_backup
from newbi_migrate.migration.doctor.leftovers import look_for_leftovers
from newbi_migrate.migration.doctor.machine import look_at_clock, look_at_disk, look_at_server
from newbi_migrate.migration.doctor.records import (
    look_at_collections,
    look_at_runs,
    look_at_source,
    look_for_late_work,
)
from newbi_migrate.migration.doctor.rights import (
    look_at_rights,
)
from newbi_migrate.migration.doctor.writers import look_for_writers
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.connection import Store
from newbi_migrate.store.faults import explained

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        database: Name of the database.
        purpose: What it was looked at for.
        checks: What was looked at, in order.
    """

    database: str
    purpose: Annotated[Purpose, called("for")]
    checks: tuple[Check, ...]

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 where a check failed, else 0: a warning is a note."""
        failed = worst(self.checks) is Level.FAILED
        return ExitCode.PENDING if failed else ExitCode.DONE


async def diagnose(
    store: Store,
    registry: Registry,
    *,
    purpose: Purpose = Purpose.MIGRATE,
    source: str | None = None,
    backup: Path | None = None,
    watch: float = 3.0,
    progress: Progress | None = None,
) -> Diagnosis:
    """Check whether a database is ready for a command; write nothing at all.

    Args:
        store: The open database.
        registry: The collections.
        purpose: What is to be run next; it decides which rights are needed.
        source: Name of the legacy users' collection; ``None`` to find out.
        backup: Folder of the backup that is to be relied on.
        watch: Seconds for which collections are watched for writes of others.
        progress: Told of what is being looked at.

    Raises:
        UsageError: The seconds to watch are no time, or more than an hour.
        NewbiMigrateError: The server cannot be asked at all.
    """
    database = store.database
    looks: list[tuple[str, Callable[[], Awaitable[list[Check]]]]] = [
        ("server", lambda: look_at_server(store)),
        ("rights", lambda: look_at_rights(database, registry, purpose)),
        ("clock", lambda: look_at_clock(database)),
        ("disk", lambda: look_at_disk(database, backup)),
        ("legacy users", lambda: look_at_source(database, registry, source)),
        ("collections", lambda: look_at_collections(database, registry)),
        ("runs", lambda: look_at_runs(database)),
        ("leftovers", lambda: look_for_leftovers(database, registry)),
        ("backup", lambda: look_at_backup(database, backup)),
    ]
    if purpose is Purpose.FINALIZE:
        looks.append(("late work", lambda: look_for_late_work(database, registry)))
    listener = progress or NullProgress()
    listener.phase("doctor", len(looks))
    looks.append(("writers", lambda: look_for_writers(database, watch)))
    checks: list[Check] = []
    for name, look in looks:
        if name == "writers":
            listener.phase(f"watch for writes, {watch:g} s", 1)
        try:
            with explained("looking at the database"):
                checks += await look()
        except NotPermittedError:
            lacking = any(one.id == "rights" and one.level is Level.FAILED for one in checks)
            checks.append(
                Check(
                    name.replace(" ", "-"),
                    Level.SKIPPED,
                    f"This user may not look at the {name}.",
                    "The check of rights says what is missing."
                    if lacking
                    else f"{purpose.value} itself does not need this right.",
                )
            )
        listener.advance(1, name)
    return Diagnosis(database.name, purpose, tuple(checks))
