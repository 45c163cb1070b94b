"""What the end of a migration answers, the same for the console, JSON and a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.validation.report import RuleResult

__all__ = ["FinalizeResult", "HeldIndex", "ObsoleteIndexes"]


@dataclass(frozen=True, slots=True)
class HeldIndex:
    """An index of the old structure that cannot go yet.

    Attributes:
        collection: Where.
        name: Its name.
        missing: The unique index that has to take its place and is not there.
    """

    collection: str
    name: str
    missing: str


@dataclass(frozen=True, slots=True)
class ObsoleteIndexes:
    """The indexes of the old structure that are still there.

    Attributes:
        to_drop: Collection and specification of those that can go.
        held: Those that cannot go yet.
        to_create: Collection and name of wanted indexes that are missing.
    """

    to_drop: tuple[tuple[str, dict[str, Any]], ...]
    held: tuple[HeldIndex, ...]
    to_create: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class FinalizeResult:
    """What ``indexes --apply`` or ``finalize`` does, or did.

    Attributes:
        database: Name of the database.
        run_id: The run; ``None`` where nothing was written.
        command: ``indexes`` or ``finalize``.
        dry_run: Whether nothing was to be written.
        dropped: Collection and name of each index that is dropped.
        held: Indexes that cannot go yet.
        to_create: Collection and name of wanted indexes that are missing.
        legacy: Name the collection of legacy users had; ``None`` if it is not touched.
        kept_as: Name it is kept under; ``None`` if it is dropped.
        legacy_users: How many documents it holds, or held.
        journal_dropped: Whether the journal is gone, and with it the way back.
        quarantined: Legacy users who were quarantined and are in the kept collection alone.
        let_in: Legacy users who were disabled or banned there, and whom Better Auth lets in.
        there_before: Broken rules that no run is the cause of; they hold nothing back.
    """

    database: str
    run_id: ObjectId | None
    command: str
    dry_run: bool
    dropped: list[tuple[str, str]] = field(default_factory=list)
    held: tuple[HeldIndex, ...] = ()
    to_create: tuple[tuple[str, str], ...] = ()
    legacy: str | None = None
    kept_as: str | None = None
    legacy_users: int = 0
    journal_dropped: bool = False
    quarantined: int = 0
    let_in: tuple[Any, ...] = ()
    there_before: tuple[RuleResult, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """3 if indexes are missing or could still be dropped, else 0."""
        pending = self.held or self.to_create or (self.dry_run and self.dropped)
        return ExitCode.PENDING if self.command == "indexes" and pending else ExitCode.DONE

    def to_json(self) -> dict[str, Any]:
        """The result as JSON holds it."""
        return {
            "database": self.database,
            "runId": None if self.run_id is None else str(self.run_id),
            "command": self.command,
            "dryRun": self.dry_run,
            "dropped": [list(pair) for pair in self.dropped],
            "held": [
                {"collection": h.collection, "name": h.name, "missing": h.missing}
                for h in self.held
            ],
            "toCreate": [list(pair) for pair in self.to_create],
            "legacyCollection": self.legacy,
            "keptAs": self.kept_as,
            "legacyUsers": self.legacy_users,
            "journalDropped": self.journal_dropped,
            "quarantinedUsers": self.quarantined,
            "letInUsers": list(self.let_in),
            "thereBefore": [found.to_json() for found in self.there_before],
            "exitCode": int(self.exit_code),
        }
