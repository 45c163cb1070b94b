"""`indexes` and `finalize` as documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from newbi_migrate.answers import answer
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.finalize.results import FinalizeResult, HeldIndex
from newbi_migrate.migration.validation.rules import INDEX_OBSOLETE
from newbi_migrate.report.document import Document, Groups, Section
from newbi_migrate.report.text import counted
from newbi_migrate.report.validation import rule_groups
from newbi_migrate.rules import Severity

__all__ = ["finalize_document"]

_SHOWN: Final = 10
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
        sections=(*_indexes(result), *_legacy(result), *_journal(result)),
        value=lambda: answer(result),
    )


def _indexes(result: FinalizeResult) -> Iterator[Section]:
    dropped, built = ("to drop", "to build") if result.dry_run else ("dropped", "built")
    number = counted(len(result.dropped), "index", "indexes")
    title = f"{number} of the old structure {dropped}"
    names = _names(result.dropped)
    none = "can go" if result.held else "is left"
    yield Section(title if names else f"No index of the old structure {none}.", names)
    if result.created:
        number = counted(len(result.created), "index", "indexes")
        yield Section(f"{number} {built}", _names(result.created))
    if result.held:
        number = counted(len(result.held), "index", "indexes")
        stay = "stays" if len(result.held) == 1 else "stay"
        yield Section(f"{number} of the old structure {stay}", tuple(map(_why_held, result.held)))
    if result.missing:
        number = counted(len(result.missing), "index", "indexes")
        yield Section(
            f"{number} cannot be built",
            tuple(f"{one.collection}.{one.name}: {one.reason}" for one in result.missing),
        )


def _names(indexes: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{collection}.{name}" for collection, name in indexes)


def _why_held(index: HeldIndex) -> str:
    name = f"{index.collection}.{index.name}"
    if index.missing is None:
        return f"{name}: nothing is described that takes its place"
    return f"{name}: until {index.missing}, which takes its place, is there"


def _legacy(result: FinalizeResult) -> Iterator[Section]:
    done = not result.dry_run
    users = counted(result.legacy_users, "legacy user")
    what = f"{result.legacy} with {users}"
    if result.legacy is None and result.kept_as is None:
        return
    if result.legacy is None:
        title = f"Collection {result.kept_as} has the {users} already"
    elif result.kept_as is None:
        title = f"Collection {what} {'dropped' if done else 'to drop'}"
    else:
        title = f"Collection {what} {'is kept' if done else 'would be kept'} as {result.kept_as}"
    said = []
    if result.kept_as is None and not done:
        said.append("no run can be taken back after that; --keep leaves the way back open")
    if result.quarantined:
        alone = counted(result.quarantined, "legacy user is", "legacy users are")
        said.append(f"{alone} quarantined, and in no other collection")
    yield Section(title, tuple(said))
    # The indexes of the old structure are those that it swaps itself; what stays is listed above.
    there = [found for found in result.there_before if found.rule != INDEX_OBSOLETE.id]
    if there:
        number = sum(found.count for found in there)
        critical = [f for f in there if f.severity is Severity.CRITICAL]
        rest = [f for f in there if f.severity is not Severity.CRITICAL]
        yield Section(
            f"There before the migration, and no obstacle: {counted(number, 'violation')}",
            (
                Groups("Critical rules, broken before", "rule", rule_groups(critical)),
                Groups("Other rules, broken before", "rule", rule_groups(rest), brief=True),
            ),
        )
    if result.let_in:
        more = len(result.let_in) - _SHOWN
        users = f"{len(result.let_in):,}"
        yield Section(
            f"Users who were disabled or banned, and whom Better Auth lets in: {users}",
            (
                "Set banned to true in user, unless they may come back.",
                *map(shown_id, result.let_in[:_SHOWN]),
                *([f"and {more:,} more (--json lists all)"] if more > 0 else []),
            ),
        )


def _journal(result: FinalizeResult) -> Iterator[Section]:
    if result.journal_dropped:
        gone = "would go: no run could go back" if result.dry_run else "is gone: no run can go back"
        yield Section(f"The journal {gone}.")
