"""`indexes` and `finalize` as documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from newbi_migrate.invariants.base import Severity
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.report.document import Document, Groups, Section
from newbi_migrate.report.ids import shown_id
from newbi_migrate.report.text import counted
from newbi_migrate.report.validation import rule_groups

__all__ = ["finalize_document"]

_TITLES: Final = {
    "indexes": "Indexes of the old structure",
    "finalize": "The end of the migration",
}


def finalize_document(result: FinalizeResult, *, next_command: str = "") -> Document:
    """The document of what the end of a migration drops, or would drop.

    Args:
        result: The result.
        next_command: What to run next.
    """
    words, database = _TITLES[result.command], result.database
    if result.dry_run:
        title = f"{words} in the database {database}: nothing was written."
    elif result.run_id is None:
        title = f"Nothing is left to drop in the database {database}; nothing was written."
    else:
        title = f"{words} in the database {database}: run {result.run_id}."
    return Document(
        command=result.command,
        database=database,
        title=title,
        exit_code=result.exit_code,
        next_command=next_command,
        run_id=None if result.run_id is None else str(result.run_id),
        dry_run=result.dry_run,
        sections=(*_indexes(result), *_legacy(result)),
        value=result.to_json,
    )


def _indexes(result: FinalizeResult) -> Iterator[Section]:
    dropped = "to drop" if result.dry_run else "dropped"
    number = counted(len(result.dropped), "index", "indexes")
    names = [f"{collection}.{name}" for collection, name in result.dropped]
    held = [
        f"{one.collection}.{one.name} stays until {one.missing}, which takes its place, is there"
        for one in result.held
    ]
    title = f"{number} of the old structure {dropped}"
    yield Section(title if names else "No index of the old structure can go.", (*names, *held))
    if result.to_create:
        missing = ", ".join(f"{collection}.{name}" for collection, name in result.to_create)
        yield Section(
            f"Missing: {counted(len(result.to_create), 'index', 'indexes')}",
            (f"migrate builds what it can of {missing}",),
        )


def _legacy(result: FinalizeResult) -> Iterator[Section]:
    if result.legacy is None:
        return
    done = not result.dry_run
    what = f"{result.legacy} with {counted(result.legacy_users, 'legacy user')}"
    if result.kept_as is None:
        title = f"Collection {what} {'dropped' if done else 'to drop'}"
    else:
        title = f"Collection {what} {'is kept' if done else 'would be kept'} as {result.kept_as}"
    said = []
    if result.quarantined:
        quarantined = counted(result.quarantined, "legacy user")
        said.append(f"{quarantined} quarantined there alone")
    if result.journal_dropped:
        gone = "is gone: no run can be taken back" if done else "would go: no run could go back"
        said.append(f"the journal {gone}")
    yield Section(title, tuple(said))
    if result.there_before:
        number = sum(found.violations for found in result.there_before)
        critical = [f for f in result.there_before if f.severity is Severity.CRITICAL]
        rest = [f for f in result.there_before if f.severity is not Severity.CRITICAL]
        yield Section(
            f"There before the migration, and holds nothing back: {counted(number, 'violation')}",
            (
                Groups("Critical rules, broken before", "rule", rule_groups(critical)),
                Groups("Other rules, broken before", "rule", rule_groups(rest), brief=True),
            ),
        )
    if result.let_in:
        yield Section(
            f"Users who were kept out there, and whom Better Auth lets in: {len(result.let_in):,}",
            (
                "Set banned to true in user, unless they may come back.",
                *map(shown_id, result.let_in),
            ),
        )
