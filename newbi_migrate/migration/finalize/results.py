"""What the end of a migration answers, the same for the console, JSON and a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import computed_field

from newbi_migrate.answers import RunId, called
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
        kept_as: Name it is kept under, also where an earlier command gave it that; ``None`` if it
            is dropped.
        legacy_users: How many documents it holds, or held.
        journal_dropped: Whether the journal is gone, and with it the way back.
        quarantined: Legacy users who were quarantined and are in the kept collection alone.
        let_in: Legacy users who were disabled or banned there, and whom Better Auth lets in.
        there_before: Broken rules that no run is the cause of; they hold nothing back.
    """

    database: str
    run_id: RunId | None
    command: str
    dry_run: bool
    dropped: list[tuple[str, str]] = field(default_factory=list)
    created: list[tuple[str, str]] = field(default_factory=list)
    held: list[HeldIndex] = field(default_factory=list)
    missing: list[MissingIndex] = field(default_factory=list)
    legacy: Annotated[str | None, called("legacyCollection")] = None
    kept_as: str | None = None
    legacy_users: int = 0
    journal_dropped: bool = False
    quarantined: Annotated[int, called("quarantinedUsers")] = 0
    let_in: Annotated[tuple[Any, ...], called("letInUsers")] = ()
    there_before: tuple[RuleResult, ...] = ()

    @property
    def nothing_left(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.dropped or self.created or self.legacy or self.journal_dropped)

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 if an index cannot be built, or one of the old structure cannot go; else 0."""
        return ExitCode.PENDING if self.held or self.missing else ExitCode.DONE
