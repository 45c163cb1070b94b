"""`indexes` and `finalize` as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType

from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.report.forms import following, heading, indented, printable, title
from newbi_migrate.report.words import counted

__all__ = ["finalize_report"]

_TITLES: Final = {
    "indexes": "Indexes of the old structure",
    "finalize": "The end of the migration",
}


def finalize_report(result: FinalizeResult, *, next_command: str) -> Iterator[RenderableType]:
    """What the end of a migration drops, or would drop.

    Args:
        result: The result.
        next_command: What to run next; the report ends with it.
    """
    database, done = printable(result.database), not result.dry_run
    words = _TITLES[result.command]
    if result.dry_run:
        yield title(f"{words} in the database {database}: nothing was written.")
    elif result.run_id is None:
        yield title(f"Nothing is left to drop in the database {database}; nothing was written.")
    else:
        yield title(f"{words} in the database {database}: run {result.run_id}.")
    if result.dropped:
        dropped = "dropped" if done else "to drop"
        number = counted(len(result.dropped), "index", "indexes")
        yield from heading(f"{number} of the old structure {dropped}")
    else:
        yield from heading("No index of the old structure can go.")
    for collection, name in result.dropped:
        yield indented(f"{printable(collection)}.{printable(name)}", by=4)
    for held in result.held:
        yield indented(
            f"{held.collection}.{held.name} stays until {held.missing}, which takes its place, "
            "is there"
        )
    if result.to_create:
        missing = ", ".join(f"{collection}.{name}" for collection, name in result.to_create)
        yield from heading(f"Missing: {counted(len(result.to_create), 'index', 'indexes')}")
        yield indented(f"migrate builds what it can of {missing}")
    yield from _legacy(result, done=done)
    yield from following(next_command)


def _legacy(result: FinalizeResult, *, done: bool) -> Iterator[RenderableType]:
    if result.legacy is None:
        return
    what = f"{result.legacy} with {counted(result.legacy_users, 'legacy user')}"
    if result.kept_as is None:
        yield from heading(f"Collection {what} {'dropped' if done else 'to drop'}")
    else:
        yield from heading(
            f"Collection {what} {'is kept' if done else 'would be kept'} as {result.kept_as}"
        )
    if result.quarantined:
        yield indented(
            f"{counted(result.quarantined, 'legacy user')} left out of the migration there alone"
        )
    if result.let_in:
        yield from heading(
            f"Users who were kept out there, and whom Better Auth lets in: {len(result.let_in):,}"
        )
        for identifier in result.let_in:
            yield indented(printable(identifier), by=4)
        yield indented("Set banned to true in user, unless they may come back.")
    if result.journal_dropped:
        gone = "is gone: no run can be taken back" if done else "would go: no run could go back"
        yield indented(f"the journal {gone}")
