"""Rollbacks as the contents of report files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    DocumentsBack,
    Kept,
    KeptReason,
    OnConflict,
    RollbackResult,
)
from newbi_migrate.report.contents import (
    Badge,
    Bar,
    Case,
    Cell,
    Contents,
    Figure,
    Part,
    Section,
    State,
    Tone,
    share,
    table_of,
    timings_section,
)
from newbi_migrate.report.rollback import CONFLICT_KINDS, KEPT_REASONS, SETTLED
from newbi_migrate.report.words import counted

__all__ = ["rollback_contents"]

_EXAMPLES: Final = 5


def rollback_contents(results: Sequence[RollbackResult], *, next_command: str = "") -> Contents:
    """What a report says of a rollback.

    Args:
        results: What it did, or would do: one for each run, the last of them last.
        next_command: What to run next.
    """
    last = results[-1]
    # Of the last, as with --json; the codes of errors have the greater numbers.
    code = ExitCode(max(int(result.exit_code) for result in results))
    several = len(results) > 1

    def value() -> dict[str, Any]:
        earlier = [result.to_json() for result in results[:-1]]
        return {**last.to_json(), "before": earlier} if earlier else last.to_json()

    return Contents(
        command="rollback",
        database=last.database,
        title=(
            f"Rollback of {counted(len(results), 'run')} in the database {last.database}."
            if several
            else _title(last)
        ),
        exit_code=code,
        next_command=next_command,
        run_id=None if last.run_id is None else str(last.run_id),
        dry_run=last.dry_run,
        figures=_figures(results),
        sections=tuple(section for result in results for section in _sections(result, several)),
        cases=tuple(case for result in results for case in _cases(result)),
        timings=dict(sum((Counter(result.timings) for result in results), Counter())),
        lines=lambda: (line for result in results for line in _lines(result)),
        value=value,
    )


def _title(result: RollbackResult) -> str:
    if result.run_id is None:
        return f"No run is in place in the database {result.database}; nothing was written."
    what = f"the {result.command} run {result.run_id} in the database {result.database}"
    if result.dry_run:
        return f"Rollback of {what}: what it would do. Nothing was written."
    if result.refused:
        return f"Rollback of {what}: refused, nothing was written."
    part = "" if result.options.whole else "a part of "
    return f"Rolled back {part}{what}."


def _figures(results: Sequence[RollbackResult]) -> tuple[Figure, ...]:
    done = not any(result.dry_run or result.refused for result in results)
    conflicts = sum(len(result.conflicts) for result in results)
    kept = sum(len(result.kept) for result in results)
    return (
        Figure(
            sum(back.restored for result in results for back in result.documents.values()),
            "documents restored" if done else "documents to restore",
            Tone.NEW,
        ),
        Figure(
            sum(result.deleted.total() for result in results),
            "created ones deleted" if done else "created ones to delete",
        ),
        Figure(kept, "users whose documents stay", Tone.ODD if kept else Tone.GOOD),
        Figure(conflicts, "conflicts", Tone.BAD if conflicts else Tone.GOOD),
    )


# -- for people -------------------------------------------------------------------------------


def _sections(result: RollbackResult, several: bool) -> Iterator[Section]:
    if several:
        yield Section(_title(result))
    if result.conflicts:
        yield _conflicts(result)
    if result.documents:
        yield _documents(result)
    if result.kept:
        yield _kept(result)
    yield from _created(result)
    yield from _structure(result)
    yield from timings_section(result.timings)


def _conflicts(result: RollbackResult) -> Section:
    counts: Counter[tuple[ConflictKind, str]] = Counter()
    first: dict[tuple[ConflictKind, str], list[str]] = {}
    for conflict in result.conflicts:
        key = conflict.kind, conflict.collection
        counts[key] += 1
        known = first.setdefault(key, [])
        if len(known) < _EXAMPLES:
            known.append(_named(conflict))
    most = max(counts.values())

    def row(item: tuple[tuple[ConflictKind, str], int]) -> tuple[Cell, ...]:
        (kind, collection), count = item
        return (
            kind.value,
            collection,
            share(kind.value, count, most, Tone.BAD),
            CONFLICT_KINDS[kind],
            ", ".join(first[kind, collection]),
        )

    sentence = f"{counted(len(result.conflicts), 'conflict')}."
    if not result.dry_run:
        sentence += f" {SETTLED[result.options.on_conflict]}"
    listed = counts.total()
    if listed < len(result.conflicts):
        sentence += f" The first {listed:,} of them are listed."
    return Section(
        "Conflicts",
        (sentence,),
        tables=table_of(
            "What somebody changed since the run",
            ("kind", "collection", "how many", "what it is", "the first of them"),
            counts.most_common(),
            row,
        ),
    )


def _named(conflict: Conflict) -> str:
    return f"{'' if conflict.id is None else conflict.id} {conflict.path}".strip()


def _documents(result: RollbackResult) -> Section:
    done = not (result.dry_run or result.refused)

    def row(item: tuple[str, DocumentsBack]) -> tuple[Cell, ...]:
        name, back = item
        parts = (
            Part("restored" if done else "to restore", back.restored, Tone.NEW),
            Part("as it was", back.already, Tone.GOOD),
            Part("gone since", back.gone, Tone.PLAIN),
            Part("kept with somebody's change", back.kept, Tone.ODD),
            Part("overwritten", back.overwritten, Tone.BAD),
        )
        bar = Bar(tuple(part for part in parts if part.count))
        return name, sum(int(part.count) for part in parts), (bar,)

    return Section(
        "Documents",
        tables=table_of(
            "What becomes of the documents the run wrote to; each bar is all of a collection's",
            ("collection", "documents", "what becomes of them"),
            sorted(result.documents.items()),
            row,
        ),
    )


def _kept(result: RollbackResult) -> Section:
    def row(kept: Kept) -> tuple[Cell, ...]:
        by = ", ".join(f"{name} {number:,}" for name, number in kept.references.items())
        return (
            str(kept.legacy_id),
            Badge(KEPT_REASONS[kept.reason], Tone.ODD),
            by,
            ", ".join(f"{name} {i}" for name, i in kept.documents.items()),
        )

    return Section(
        "Users whose documents stay",
        ("What was created for them stays, all of it together, for something refers to it.",),
        tables=table_of(
            "Users whose documents stay",
            ("legacy user", "why", "referred to by", "what stays"),
            result.kept,
            row,
        ),
    )


def _created(result: RollbackResult) -> Iterator[Section]:
    deleted, emptied = result.deleted, result.unfilled
    names = sorted({*deleted, *emptied})
    if names:
        done = not (result.dry_run or result.refused)
        yield Section(
            "What the run created for users",
            tables=table_of(
                "Documents created, and completed, by the run",
                ("collection", "deleted" if done else "to delete", "fields emptied again in"),
                names,
                lambda name: (name, deleted[name], emptied[name]),
            ),
        )


def _structure(result: RollbackResult) -> Iterator[Section]:
    rows: list[tuple[str, str, str]] = [
        *((name, collection, "index that goes") for collection, name in result.indexes_dropped),
        *((name, collection, "index built again") for collection, name in result.indexes_rebuilt),
        *((name, name, "collection that goes") for name in result.collections_dropped),
        *((was, now, "collection called so again") for now, was in result.collections_renamed),
    ]
    if rows:
        yield Section(
            "Indexes and collections",
            tables=table_of(
                "Indexes and collections that are as they were",
                ("name", "collection", "what becomes of it"),
                rows,
                lambda row: row,
            ),
        )


# -- for pipelines and programs ---------------------------------------------------------------


def _cases(result: RollbackResult) -> Iterator[Case]:
    found: dict[str, dict[ConflictKind, list[str]]] = {name: {} for name in result.documents}
    counts: Counter[tuple[str, ConflictKind]] = Counter()
    for conflict in result.conflicts:
        listed = found.setdefault(conflict.collection, {}).setdefault(conflict.kind, [])
        counts[conflict.collection, conflict.kind] += 1
        if len(listed) < _EXAMPLES:
            listed.append(_named(conflict))
    for collection, kinds in found.items():
        if not kinds:
            yield Case(collection, "nothing is in the way")
        for kind, named in kinds.items():
            settled = result.options.on_conflict is OnConflict.DISCARD and kind.discardable
            yield Case(
                collection,
                f"no conflict: {kind.value}",
                State.PASSED if settled else State.FAILED,
                kind.value,
                f"{counted(counts[collection, kind], 'conflict')}: {CONFLICT_KINDS[kind]}.",
                (SETTLED[result.options.on_conflict], *named),
            )
    stays: Counter[KeptReason] = Counter(kept.reason for kept in result.kept)
    for reason, number in stays.items():
        yield Case(
            "users",
            f"nothing stays that is {KEPT_REASONS[reason]}",
            State.SKIPPED,
            reason.value,
            f"What was created for {counted(number, 'user')} stays: {KEPT_REASONS[reason]}.",
            tuple(str(kept.legacy_id) for kept in result.kept if kept.reason is reason)[:_EXAMPLES],
        )
    if not stays:
        yield Case("users", "nothing that was created for a user stays")


def _lines(result: RollbackResult) -> Iterator[Mapping[str, Any]]:
    run = {"runId": None if result.run_id is None else str(result.run_id)}
    for name, back in result.documents.items():
        yield {"type": "collection", **run, "collection": name, **back.to_json()}
    for kept in result.kept:
        yield {"type": "kept", **run, **kept.to_json()}
    for conflict in result.conflicts:
        yield {"type": "conflict", **run, **conflict.to_json()}
