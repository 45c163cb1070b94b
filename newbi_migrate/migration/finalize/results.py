"""What the end of a migration answers, the same for the console, JSON and a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.validation.report import RuleResult

__all__ = ["FinalizeResult", "HeldIndex", "MissingIndex"]


@dataclass(frozen=True, slots=True)
class HeldIndex:
    """An index of the old structure that cannot go yet.

    Attributes:
        collection: Where.
        name: Its name.
        missing: The index that has to take its place and cannot be built; ``None`` where the
            registry describes none.
    """

    collection: str
    name: str
    missing: str | None

    def to_json(self) -> dict[str, Any]:
        """The index as JSON holds it."""
        return {"collection": self.collection, "name": self.name, "missing": self.missing}


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """A wanted index that cannot be built.

    Attributes:
        collection: Where.
        name: Its name.
        reason: Why, in one sentence.
    """

    collection: str
    name: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The index as JSON holds it."""
        return {"collection": self.collection, "name": self.name, "reason": self.reason}


@dataclass(slots=True)
class FinalizeResult:
    """What ``indexes --apply`` or ``finalize`` does, or did.

    Attributes:
        database: Name of the database.
        run_id: The run; ``None`` where nothing was written.
        command: ``indexes`` or ``finalize``.
        dry_run: Whether nothing was to be written.
        dropped: Collection and name of each index that is dropped.
        created: Collection and name of each index that is built.
        held: Indexes of the old structure that cannot go yet.
        missing: Wanted indexes that cannot be built.
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
    created: list[tuple[str, str]] = field(default_factory=list)
    held: list[HeldIndex] = field(default_factory=list)
    missing: list[MissingIndex] = field(default_factory=list)
    legacy: str | None = None
    kept_as: str | None = None
    legacy_users: int = 0
    journal_dropped: bool = False
    quarantined: int = 0
    let_in: tuple[Any, ...] = ()
    there_before: tuple[RuleResult, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """3 if an index cannot be built, or one of the old structure cannot go; else 0."""
        return ExitCode.PENDING if self.held or self.missing else ExitCode.DONE

    def to_json(self) -> dict[str, Any]:
        """The result as JSON holds it."""
        return {
            "database": self.database,
            "runId": None if self.run_id is None else str(self.run_id),
            "command": self.command,
            "dryRun": self.dry_run,
            "dropped": [list(pair) for pair in self.dropped],
            "created": [list(pair) for pair in self.created],
            "held": [index.to_json() for index in self.held],
            "missing": [index.to_json() for index in self.missing],
            "legacyCollection": self.legacy,
            "keptAs": self.kept_as,
            "legacyUsers": self.legacy_users,
            "journalDropped": self.journal_dropped,
            "quarantinedUsers": self.quarantined,
            "letInUsers": list(self.let_in),
            "thereBefore": [found.to_json() for found in self.there_before],
            "exitCode": int(self.exit_code),
        }
