"""Rollbacks as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.console import RenderableType

from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    KeptReason,
    OnConflict,
    RollbackResult,
)
from newbi_migrate.report.forms import (
    and_more,
    following,
    heading,
    indented,
    line_of_counts,
    plain,
    printable,
    table_of,
    title,
)
from newbi_migrate.report.words import counted

__all__ = ["CONFLICT_KINDS", "KEPT_REASONS", "SETTLED", "rollback_report"]

_FIRST: Final = 5
CONFLICT_KINDS: Final = {
    ConflictKind.CHANGED: "somebody changed what the run wrote",
    ConflictKind.ADDED: "somebody added to a document the run created",
    ConflictKind.REFUSED: "the server refuses it as it was",
    ConflictKind.INDEX_CHANGED: "an index of the run's name that is another one now",
    ConflictKind.INDEX_IN_THE_WAY: "a unique index that was built since",
    ConflictKind.COLLECTION_IN_USE: "a collection that was written to meanwhile",
}
KEPT_REASONS: Final = {
    KeptReason.IN_USE: "in use",
    KeptReason.CHANGED: "changed since",
}
SETTLED: Final = {
    OnConflict.STOP: "Nothing was written. Settle them by hand, or choose --on-conflict keep to "
    "leave them, or discard to overwrite them.",
    OnConflict.KEEP: "They were left as they are.",
    OnConflict.DISCARD: "These changes were overwritten.",
}


def rollback_report(
    result: RollbackResult, *, next_command: str = "", verbose: bool = False
) -> Iterator[RenderableType]:
    """What a rollback did, or would do.

    Args:
        result: The result.
        next_command: What to run next; the report ends with it, if there is one.
        verbose: Everything that is listed, not the first few.
    """
    database = printable(result.database)
    if result.run_id is None:
        yield title(f"No run is in place in the database {database}; nothing was written.")
        yield from following(next_command)
        return
    what = f"the {result.command} run {result.run_id} in the database {database}"
    if result.dry_run:
        yield title(f"Rollback of {what}: what it would do. Nothing was written.")
    elif result.refused:
        yield title(f"Rollback of {what}: refused, nothing was written.")
    elif result.options.whole:
        yield title(f"Rolled back {what}.")
    else:
        yield title(f"Rolled back a part of {what}.")
    done = not (result.dry_run or result.refused)
    yield from _documents(result, done=done)
    deleted = "deleted" if done else "to delete"
    yield from heading(f"Documents created for users: {result.deleted.total():,} {deleted}")
    yield from line_of_counts(deleted, result.deleted)
    emptied = "fields emptied again in" if done else "fields to empty again in"
    yield from line_of_counts(emptied, result.unfilled)
    if result.sessions:
        yield indented(f"{counted(result.sessions, 'session')} of deleted users are left alone")
    yield from _structure(result, verbose=verbose, done=done)
    yield from _kept(result, verbose=verbose)
    yield from _conflicts(result, verbose=verbose)
    if result.timings:
        listed = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.timings.items())
        yield from heading(f"Time: {listed}")
    if next_command:
        yield from following(next_command)


def _documents(result: RollbackResult, *, done: bool) -> Iterator[RenderableType]:
    total = sum(back.restored for back in result.documents.values())
    restored = "restored" if done else "to restore"
    yield from heading(
        f"Documents: {total:,} {restored} in {counted(len(result.documents), 'collection')}"
    )
    if not result.documents:
        return
    table = table_of("collection", restored, "as it was", "gone", "kept", "overwritten")
    for name, back in sorted(result.documents.items()):
        table.add_row(
            plain(name),
            f"{back.restored:,}",
            f"{back.already:,}",
            f"{back.gone:,}",
            f"{back.kept:,}",
            f"{back.overwritten:,}",
        )
    yield table


def _structure(result: RollbackResult, *, verbose: bool, done: bool) -> Iterator[RenderableType]:
    dropped, rebuilt = ("dropped", "built again") if done else ("to drop", "to build again")
    yield from heading(
        f"Indexes: {len(result.indexes_dropped):,} {dropped}, {len(result.indexes_rebuilt):,} "
        f"{rebuilt}"
    )
    if verbose:
        for words, pairs in (
            (dropped, result.indexes_dropped),
            (rebuilt, result.indexes_rebuilt),
        ):
            for collection, name in pairs:
                yield indented(f"{collection}.{name}: {words}", by=4, style="dim")
    if result.collections_dropped:
        names = ", ".join(result.collections_dropped)
        yield indented(f"collections that did not exist before, {dropped}: {names}")
    for now, was in result.collections_renamed:
        again = "is called" if done else "would be called"
        yield indented(f"collection {now} {again} {was} again")


def _kept(result: RollbackResult, *, verbose: bool) -> Iterator[RenderableType]:
    if not result.kept:
        return
    yield from heading(f"Users whose documents stay, all of them: {len(result.kept):,}")
    for kept in result.kept if verbose else result.kept[:_FIRST]:
        names = ", ".join(f"{name} {i}" for name, i in kept.documents.items())
        by = ", ".join(f"{name} {number:,}" for name, number in kept.references.items())
        yield indented(
            f"{printable(kept.legacy_id)}: {KEPT_REASONS[kept.reason]}{f' by {by}' if by else ''}"
        )
        yield indented(names, by=4, style="dim")
    yield from _more(len(result.kept), verbose=verbose)


def _conflicts(result: RollbackResult, *, verbose: bool) -> Iterator[RenderableType]:
    if not len(result.conflicts):
        return
    yield from heading(f"Conflicts: {len(result.conflicts):,}")
    ordered = sorted(result.conflicts, key=lambda c: (c.kind, c.collection, c.path))
    for (kind, collection), group in groupby(ordered, key=lambda c: (c.kind, c.collection)):
        found = list(group)
        yield indented(f"{collection}: {len(found):,}, {CONFLICT_KINDS[kind]}", style="bold")
        yield from _listed(found, verbose=verbose)
    if not result.dry_run:
        yield indented(SETTLED[result.options.on_conflict])


def _listed(found: Sequence[Conflict], *, verbose: bool) -> Iterator[RenderableType]:
    for conflict in found if verbose else found[:_FIRST]:
        where = "" if conflict.id is None else f"{printable(conflict.id)} "
        yield indented(f"{where}{printable(conflict.path)}", by=4, style="dim")
    yield from _more(len(found), verbose=verbose)


def _more(number: int, *, verbose: bool) -> Iterator[RenderableType]:
    if not verbose and number > _FIRST:
        yield indented(and_more(number - _FIRST), by=4, style="dim")
