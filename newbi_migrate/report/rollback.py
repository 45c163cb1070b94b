"""Rollbacks as documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from newbi_migrate.answers import answer, answers
from newbi_migrate.choices import OnConflict
from newbi_migrate.errors import ExitCode
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    DocumentsBack,
    Kept,
    KeptReason,
    RollbackResult,
)
from newbi_migrate.report.document import (
    Bar,
    Block,
    Case,
    Document,
    Each,
    Figure,
    Group,
    Groups,
    Part,
    Row,
    Section,
    State,
    Tone,
    table_of,
    timings_section,
)
from newbi_migrate.report.text import counted

__all__ = ["rollback_document"]

_EXAMPLES: Final = 5
_CONFLICT_KINDS: Final = {
    ConflictKind.CHANGED: "somebody changed what the run wrote",
    ConflictKind.ADDED: "somebody added to a document the run created",
    ConflictKind.REFUSED: "the server refuses it as it was",
    ConflictKind.INDEX_CHANGED: "an index of the run's name that is another one now",
    ConflictKind.INDEX_IN_THE_WAY: "a unique index that was built since",
    ConflictKind.COLLECTION_IN_USE: "a collection that was written to meanwhile",
    ConflictKind.CAME_INTO_USE: "deleted while something came to refer to it; migrate makes it "
    "again, with the same id",
}
_KEPT_REASONS: Final = {
    KeptReason.IN_USE: "in use",
    KeptReason.CHANGED: "changed since",
}
_SETTLED: Final = {
    OnConflict.STOP: "Nothing was written. Settle them by hand, or choose --on-conflict keep to "
    "leave them, or discard to overwrite them where possible.",
    OnConflict.KEEP: "They were left as they are.",
    OnConflict.DISCARD: "These changes were overwritten.",
}
_NOT_DISCARDED: Final = "They were left as they are: they cannot be discarded."


def rollback_document(results: Sequence[RollbackResult], *, next_command: str = "") -> Document:
    """The document of a rollback.

    Args:
        results: What it did, or would do: one for each run, the last of them last.
        next_command: What to run next.
    """
    last = results[-1]
    # Of the last, as with --json; the codes of errors have the greater numbers.
    code = ExitCode(max(int(result.exit_code) for result in results))
    several = len(results) > 1
    back = [result for result in results if not result.earlier]

    def value() -> dict[str, Any]:
        earlier = answers(results[:-1])
        return {**answer(last), "before": earlier} if earlier else answer(last)

    return Document(
        command="rollback",
        database=last.database,
        title=_title(last, counted(len(back), "run") if len(back) > 1 else _run(last)),
        exit_code=code,
        next_command=next_command,
        run_id=None if last.run_id is None else str(last.run_id),
        dry_run=last.dry_run,
        figures=_figures(results),
        sections=tuple(section for result in results for section in _sections(result, several)),
        summary=() if several else _numbers(last),
        cases=tuple(case for result in results for case in _cases(result)),
        timings=dict(sum((Counter(result.timings) for result in results), Counter())),
        lines=lambda: (line for result in results for line in _lines(result)),
        value=value,
    )


def _done(result: RollbackResult) -> bool:
    return result.earlier or not (result.dry_run or result.refused)


def _run(result: RollbackResult) -> str:
    return f"the {result.command} run {result.run_id}"


def _title(result: RollbackResult, runs: str) -> str:
    if result.run_id is None:
        return f"No run is in place in the database {result.database}; nothing was written."
    what = f"{runs} in the database {result.database}"
    if result.dry_run and result.refused:
        return (
            f"Rollback of {what}: it would be refused until the conflicts are settled. This is "
            "what it would do with --on-conflict keep. Nothing was written."
        )
    if result.dry_run:
        return f"Rollback of {what}: what it would do. Nothing was written."
    if result.refused:
        return (
            f"Rollback of {what}: refused, nothing was written. This is what it would do with "
            "--on-conflict keep."
        )
    part = "" if result.options.whole else "a part of "
    return f"Rolled back {part}{what}."


def _figures(results: Sequence[RollbackResult]) -> tuple[Figure, ...]:
    done = all(map(_done, results))
    conflicts = sum(len(result.conflicts) for result in results)
    kept = sum(len(result.kept) + result.kept_unlisted for result in results)
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
    # Where no run is in place, the title of the document has said so.
    if several and result.run_id is not None:
        # What becomes of all of them stands in the title of the document.
        left = "Left by the rollback of" if result.earlier else "In"
        yield Section(f"{left} {_run(result)}", _numbers(result))
    if result.conflicts:
        yield _conflicts(result)
    if result.kept:
        yield _kept(result)
    if result.documents:
        yield _documents(result)
    yield from _created(result)
    yield from _structure(result)
    yield from timings_section(result.timings)


def _numbers(result: RollbackResult) -> tuple[str, ...]:
    """What becomes of everything, a sentence for each kind of thing there is."""
    if result.earlier:
        return ()
    found = tuple(_kinds(result))
    return found or (() if result.run_id is None else ("There is nothing to take back.",))


def _kinds(result: RollbackResult) -> Iterator[str]:
    done = _done(result)
    restored = [back.restored for back in result.documents.values() if back.restored]
    if result.documents:
        yield (
            f"Documents: {sum(restored):,} {'restored' if done else 'to restore'} in "
            f"{counted(len(restored), 'collection')}."
        )
    counts = Counter[str]()
    for back in result.documents.values():
        counts["already as before"] += back.already
        counts["deleted since"] += back.gone
        counts["kept with somebody's change"] += back.kept
        counts["overwritten"] += back.overwritten
    if +counts:
        yield f"Other documents: {', '.join(f'{n:,} {words}' for words, n in counts.items() if n)}."
    deleted = "deleted" if done else "to delete"
    if result.deleted.total():
        yield f"Documents created for users: {result.deleted.total():,} {deleted}."
    if result.unfilled:
        emptied = "emptied again" if done else "to empty again"
        listed = ", ".join(f"{name} {count:,}" for name, count in result.unfilled.items())
        yield f"Fields {emptied} in: {listed}."
    dropped, rebuilt = ("dropped", "built again") if done else ("to drop", "to build again")
    indexes = {dropped: result.indexes_dropped, rebuilt: result.indexes_rebuilt}
    if said := [f"{len(names):,} {words}" for words, names in indexes.items() if names]:
        yield f"Indexes: {', '.join(said)}."
    if result.collections_dropped:
        names = ", ".join(result.collections_dropped)
        yield f"Collections that did not exist before, {dropped}: {names}."
    for now, was in result.collections_renamed:
        again = "is called" if done else "would be called"
        yield f"The collection {now} {again} {was} again."
    for name, aside, number in result.put_aside:
        kept = "is kept" if done else "would be kept"
        yield (
            f"The collection {name} that was restored, with {counted(number, 'document')}, {kept} "
            f"as {aside}; drop-aside drops it."
        )
    if result.sessions:
        yield f"Sessions of deleted users that are left alone: {result.sessions:,}."


def _conflicts(result: RollbackResult) -> Section:
    found: dict[ConflictKind, list[Conflict]] = {}
    for conflict in result.conflicts:
        found.setdefault(conflict.kind, []).append(conflict)
    groups = tuple(
        Group(
            kind.value,
            result.conflicts.kinds[kind],
            Counter(conflict.collection for conflict in found[kind]),
            f"{_CONFLICT_KINDS[kind]}.",
            ids=Each(found[kind], _named),
            tone=Tone.BAD,
        )
        for kind in ConflictKind
        if kind in found
    )
    blocks: list[Block] = [Groups("What somebody changed since the run", "kind", groups)]
    if not result.dry_run:
        blocks.append(_settled(result, result.unresolved, len(result.conflicts)))
    listed = sum(map(len, found.values()))
    if listed < len(result.conflicts):
        blocks.append(f"The first {listed:,} of them are listed.")
    return Section(f"Conflicts: {len(result.conflicts):,}", tuple(blocks))


def _settled(result: RollbackResult, left: int, number: int) -> str:
    """What became of so many conflicts, of which the choice about them did not settle some."""
    if result.written and result.options.stops:
        return (
            "They showed only while the rollback wrote, and were left as they are. Everything else "
            f"was taken back. Once nothing is in their way, rollback --run {result.run_id} takes "
            "them back too."
        )
    if not left or not result.options.discards:
        return _SETTLED[result.options.on_conflict]
    if left == number:
        return _NOT_DISCARDED
    return f"Overwritten: {number - left:,} of these changes; {left:,} cannot be discarded."


def _named(conflict: Conflict) -> str:
    identifier = "" if conflict.id is None else shown_id(conflict.id)
    return f"{conflict.collection} {identifier} {conflict.path}".replace("  ", " ").strip()


def _documents(result: RollbackResult) -> Section:
    done = _done(result)

    def row(item: tuple[str, DocumentsBack]) -> Row:
        name, back = item
        parts = (
            Part("restored" if done else "to restore", back.restored, Tone.NEW),
            Part("already as before", back.already, Tone.GOOD),
            Part("deleted since", back.gone, Tone.PLAIN),
            Part("kept with somebody's change", back.kept, Tone.ODD),
            Part("overwritten", back.overwritten, Tone.BAD),
        )
        bar = Bar(tuple(part for part in parts if part.count))
        return name, sum(int(part.count) for part in parts), (bar,)

    return Section(
        "Documents",
        table_of(
            "What becomes of the documents the run wrote to; each bar is all of a collection's",
            ("collection", "documents", "what becomes of them"),
            sorted(result.documents.items()),
            row,
        ),
        detail=True,
    )


def _kept(result: RollbackResult) -> Section:
    """Who keeps what was created for them, by why: something refers to it, or it was changed."""
    again = f"rollback --run {result.run_id}" if _done(result) else "the rollback"
    later = {
        KeptReason.IN_USE: " Documents of the collections named hold one of the ids listed, "
        f"mostly as workspaceId. Once nothing refers to it, {again} takes it back too.",
        KeptReason.CHANGED: "",
    }
    groups = tuple(
        Group(
            _KEPT_REASONS[reason],
            len(kept),
            sum((Counter(each.references) for each in kept), Counter()),
            "What was created for them stays, all of it together." + later[reason],
            ids=Each(kept, _stays),
        )
        for reason in KeptReason
        if (kept := [each for each in result.kept if each.reason is reason])
    )
    more = f"{result.kept_unlisted:,} more, whom the record of the rollback has no room to name."
    return Section(
        "Users left in place, with all that was created for them: "
        f"{len(result.kept) + result.kept_unlisted:,}",
        (
            Groups("Users of whom what was created stays", "reason", groups),
            *([more] if result.kept_unlisted else []),
        ),
    )


def _stays(kept: Kept) -> str:
    names = ", ".join(f"{name} {shown_id(i)}" for name, i in kept.documents.items())
    return f"{shown_id(kept.legacy_id)}: {names}"


def _created(result: RollbackResult) -> Iterator[Section]:
    deleted, emptied = result.deleted, result.unfilled
    names = sorted({*deleted, *emptied})
    if names:
        yield Section(
            "What the run created for users",
            table_of(
                "Documents created, and completed, by the run",
                (
                    "collection",
                    "deleted" if _done(result) else "to delete",
                    "fields emptied again in",
                ),
                names,
                lambda name: (name, deleted[name], emptied[name]),
            ),
            detail=True,
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
            table_of(
                "Indexes and collections, and what becomes of them",
                ("name", "collection", "what becomes of it"),
                rows,
                lambda row: row,
            ),
            detail=True,
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
            settled = kind.settled_by(result.options.on_conflict)
            number = counts[collection, kind]
            yield Case(
                collection,
                f"no conflict: {kind.value}",
                State.PASSED if settled else State.FAILED,
                kind.value,
                f"{counted(number, 'conflict')}: {_CONFLICT_KINDS[kind]}.",
                (_settled(result, 0 if settled else number, number), *named),
            )
    stays: Counter[KeptReason] = Counter(kept.reason for kept in result.kept)
    for reason, number in stays.items():
        yield Case(
            "users",
            f"nothing stays that is {_KEPT_REASONS[reason]}",
            State.SKIPPED,
            reason.value,
            f"What was created for {counted(number, 'user')} stays: {_KEPT_REASONS[reason]}.",
            tuple(shown_id(kept.legacy_id) for kept in result.kept if kept.reason is reason)[
                :_EXAMPLES
            ],
        )
    if not stays:
        yield Case("users", "nothing that was created for a user stays")


def _lines(result: RollbackResult) -> Iterator[Mapping[str, Any]]:
    run = {"runId": None if result.run_id is None else str(result.run_id)}
    for name, back in result.documents.items():
        yield {"type": "collection", **run, "collection": name, **answer(back)}
    for kept in result.kept:
        yield {"type": "kept", **run, **answer(kept)}
    for conflict in result.conflicts:
        yield {"type": "conflict", **run, **answer(conflict)}
