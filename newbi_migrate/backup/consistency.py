"""What makes the parts of a backup fit together, or tells that they may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from newbi_migrate.backup.manifest import CollectionEntry, Consistency
from newbi_migrate.store.collections import CollectionInfo, data_namespace
from newbi_migrate.store.snapshots import WriteCounters

__all__ = [
    "judge",
    "judged",
]

_COUNTED: Final = {
    None: Consistency.UNKNOWN,
    False: Consistency.QUIET,
    True: Consistency.WRITTEN,
}


def judged(
    entry: CollectionEntry, before: WriteCounters, after: WriteCounters, *, snapshot: bool
) -> CollectionEntry:
    """A collection with what is known about writes to it, from counts before and after."""
    if entry.type == "view":
        return replace(entry, consistency=Consistency.SNAPSHOT if snapshot else Consistency.QUIET)
    if entry.consistency is Consistency.SNAPSHOT:
        return entry
    written = after.written_since(before, data_namespace(entry.name, entry.type))
    return replace(entry, consistency=_COUNTED[written])


def judge(
    entries: Sequence[CollectionEntry],
    sources: Sequence[CollectionInfo],
    there_now: Sequence[CollectionInfo],
    *,
    snapshot: bool,
    restarted: bool,
) -> tuple[Consistency, tuple[str, ...]]:
    """What is known about a whole backup, and sentences for people about it.

    Args:
        entries: Its collections, each judged.
        sources: What was there before.
        there_now: What is there after it.
        snapshot: Whether it was read at one cluster time.
        restarted: Whether the writes before and after it were counted by two processes.
    """
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
        if restarted:
            notes.append(
                "The server was started anew during the backup, or another member took its place. "
                "Run it again."
            )
        return Consistency.UNKNOWN, tuple(notes)
    # A capped collection without writes is as it was at the snapshot.
    return Consistency.SNAPSHOT if snapshot else Consistency.QUIET, ()
