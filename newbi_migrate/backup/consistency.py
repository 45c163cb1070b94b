"""What makes the parts of a backup fit together, or tells that they may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from newbi_migrate.backup.manifest import CollectionEntry, Consistency
from newbi_migrate.store.collections import CollectionInfo, data_namespace

__all__ = [
    "judge",
    "judged",
    "verdict",
]

Counters = Mapping[str, tuple[int, ...] | None]
"""How much was written to each collection so far; ``None`` where the server does not tell."""


def verdict(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> Consistency:
    """What two counts of one collection tell."""
    if before is None or after is None:
        return Consistency.UNKNOWN
    return Consistency.QUIET if before == after else Consistency.WRITTEN


def judged(
    entry: CollectionEntry, before: Counters, after: Counters, *, snapshot: bool
) -> CollectionEntry:
    """A collection with what is known about writes to it, from counts before and after."""
    if entry.type == "view":
        return replace(entry, consistency=Consistency.SNAPSHOT if snapshot else Consistency.QUIET)
    if entry.consistency is Consistency.SNAPSHOT:
        return entry
    name = data_namespace(entry.name, entry.type)
    return replace(entry, consistency=verdict(before.get(name), after.get(name)))


def judge(
    entries: Sequence[CollectionEntry],
    sources: Sequence[CollectionInfo],
    there_now: Sequence[CollectionInfo],
    *,
    snapshot: bool,
) -> tuple[Consistency, tuple[str, ...]]:
    """What is known about a whole backup, and sentences for people about it."""
    notes = []
    changed = {source.identity for source in sources} ^ {source.identity for source in there_now}
    names = sorted({name for name, _, _ in changed})
    if names:
        notes.append(
            f"Collections were created, dropped or altered during the backup: {', '.join(names)}."
        )
    written = [e.name for e in entries if e.consistency is Consistency.WRITTEN]
    if written:
        notes.append(
            "There were writes during the backup, so collections may not fit together: "
            f"{', '.join(sorted(written))}. Stop the application and run it again."
        )
    if written or names:
        return Consistency.WRITTEN, tuple(notes)
    if Consistency.UNKNOWN in {entry.consistency for entry in entries}:
        notes.append("Whether there were writes during the backup is not known.")
        return Consistency.UNKNOWN, tuple(notes)
    # A capped collection without writes is as it was at the snapshot.
    return Consistency.SNAPSHOT if snapshot else Consistency.QUIET, ()
