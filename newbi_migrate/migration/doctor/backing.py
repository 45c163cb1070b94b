"""Whether there is a backup to go back to: of this database, complete, and recent.

Files are looked at by size alone, which takes no time; ``verify-backup`` reads them to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.manifest import Consistency, Manifest
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.checks import Check, Level
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DamagedRecordsError, UsageError
from newbi_migrate.local_files import reason_of
from newbi_migrate.printable import some_of
from newbi_migrate.store.collections import collections
from newbi_migrate.store.counting import estimated_counts
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import RunRecord, read_runs, refuse_if_restoring, unfinished_run

__all__ = ["look_at_backup"]

_RECENT: Final = timedelta(hours=24)
_AGAIN: Final = "Stop the application, then make a new backup: newbi-migrate backup."
_NOT_NOW: Final = (
    "Make no new one now: it would be of a database that is half done. Finish what was begun, or "
    "take it back; name the backup it was begun with."
)


async def look_at_backup(database: Database, path: Path | None) -> list[Check]:
    """Look at a backup beside the database as it is now."""
    runs, half_done = await _runs(database)
    again = _NOT_NOW if half_done else _AGAIN
    if path is None:
        make_one = "Make one with newbi-migrate backup, and name its folder: doctor --backup DIR."
        advice = _NOT_NOW if half_done else make_one
        return [Check("backup", Level.WARNING, "No backup was named.", advice)]
    try:
        dump = Dump(path)
    except UsageError as error:
        return [Check("backup", Level.FAILED, error.what, error.next_step or again)]
    except OSError as error:
        return [
            Check(
                "backup",
                Level.FAILED,
                f"{str(path)!r} cannot be read ({reason_of(error)}).",
                "Name the folder of a backup.",
            )
        ]
    manifest = dump.manifest
    if manifest is None:
        return [
            Check(
                "backup",
                Level.WARNING,
                f"{str(path)!r} is a dump without a manifest; nothing can be said of it.",
                again,
            )
        ]
    failed = _damaged(dump, manifest) or _of_another(manifest, database.name) or manifest.half_done
    if failed:
        return [Check("backup", Level.FAILED, failed, again)]
    if warned := _doubts(manifest):
        return [Check("backup", Level.WARNING, warned, again)]
    if (run := _begun_with(runs, manifest)) is not None:
        before = f"It is the backup that the {run.command} run {run.run_id} was begun with."
        return [Check("backup", Level.OK, before)]
    if changed := await _moved_on(database, manifest):
        # A migration that names it would refuse it.
        return [Check("backup", Level.FAILED, changed, again)]
    return [
        Check(
            "backup",
            Level.OK,
            f"The backup of {manifest.finished[:16].replace('T', ' ')} UTC holds "
            f"{manifest.count:,} documents, as many as the database now.",
        )
    ]


async def _runs(database: Database) -> tuple[list[RunRecord], bool]:
    """The runs, and whether anything was begun here that has not come to its end."""
    try:
        await refuse_if_restoring(database)
        runs = await read_runs(database)
    except (UsageError, DamagedRecordsError):
        # The check of runs says what is wrong.
        return [], True
    return runs, unfinished_run(runs) is not None


def _begun_with(runs: Sequence[RunRecord], manifest: Manifest) -> RunRecord | None:
    """The run that is in place and was backed by this very backup."""
    return next(
        (
            run
            for run in runs
            if run.in_place
            and (run.document.get("baseline") or {}).get("backup") == manifest.identity
        ),
        None,
    )


def _damaged(dump: Dump, manifest: Manifest) -> str:
    for name, seal in manifest.files.items():
        try:
            size = dump.folder.size(name)
        except DamagedDataError as error:
            return f"The file {name} of the backup is damaged: {error}."
        if size != seal.bytes:
            return f"The file {name} of the backup has {size:,} bytes instead of {seal.bytes:,}."
    return ""


def _of_another(manifest: Manifest, database: str) -> str:
    if manifest.database == database:
        return ""
    return f"The backup is of the database {manifest.database!r}, not of {database!r}."


def _doubts(manifest: Manifest) -> str:
    if manifest.consistency is Consistency.WRITTEN:
        return "Somebody wrote to the database while the backup was made."
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.finished).astimezone(UTC)
    if age > _RECENT:
        return f"The backup is {age.total_seconds() / 3600:,.0f} hours old."
    return ""


async def _moved_on(database: Database, manifest: Manifest) -> str:
    """Which collections have another number of documents than the backup."""
    listed = await collections(database)
    now = await estimated_counts(database, [i for i in listed.values() if i.writable])
    then = {
        entry.name: entry.count
        for entry in manifest.collections
        if entry.type == "collection" and not entry.name.startswith(OWN_PREFIX)
    }
    changed = [
        f"{name} {then.get(name, 0):,} → {now.get(name, 0):,}"
        for name in sorted(now.keys() | then.keys())
        if now.get(name, 0) != then.get(name, 0)
    ]
    if not changed:
        return ""
    return f"The database has changed since the backup: {some_of(changed)}."
