"""What a rehearsal answers: plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import computed_field

from newbi_migrate.checks import Check, Level
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.validation.report import ValidationReport

__all__ = ["Rehearsal", "RoomTaken", "Step", "StepName", "Verdict"]


class StepName(StrEnum):
    """The steps of a rehearsal, in order."""

    VERIFY = "verify the backup"
    RESTORE = "restore it"
    BACKUP = "back the copy up"
    DOCTOR = "doctor"
    PLAN = "plan"
    MIGRATE = "migrate"
    VALIDATE = "validate"
    INDEXES = "indexes"
    ROLLBACK = "roll back"
    COMPARE = "compare with the backup"
    AGAIN = "migrate again"
    SAME = "compare with the first time"
    FINALIZE = "finalize, looked at"


class Verdict(StrEnum):
    """Whether the night can come."""

    GO = "go"
    DECIDE = "go, once a person has decided"
    NO_GO = "no-go"


_CODES: Final = {
    Verdict.GO: ExitCode.DONE,
    Verdict.DECIDE: ExitCode.QUARANTINED,
    Verdict.NO_GO: ExitCode.PENDING,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as it went.

    Attributes:
        name: What was done.
        seconds: How long it took, on this server.
        exit_code: What the command would end with.
        sentence: What came of it.
        failed: Whether the night must not come before this is put right.
    """

    name: StepName
    seconds: float
    exit_code: ExitCode
    sentence: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RoomTaken:
    """Room that a migration takes, in bytes.

    Attributes:
        documents: Documents of the database, uncompressed.
        backup: Files of the backup.
        records: Journal and records of the run, uncompressed, with their indexes.
    """

    documents: int
    backup: int
    records: int


@dataclass(slots=True)
class Rehearsal:
    """How a rehearsal went.

    Attributes:
        backup: What was rehearsed with.
        database: The database that the backup is of.
        server: The server it ran on, which is not production.
        steps: The steps, in order; the last one failed where not all are there.
        plan: What was decided; ``None`` if it did not get that far.
        validation: What validation found after the migration.
        checks: What doctor saw of the data.
        room: Room that was taken; ``None`` if it did not get that far.
    """

    backup: Path
    database: str
    server: str
    steps: list[Step] = field(default_factory=list)
    plan: Plan | None = None
    validation: ValidationReport | None = None
    checks: tuple[Check, ...] = ()
    room: RoomTaken | None = None

    @property
    def failures(self) -> Iterator[Step]:
        """The steps that keep the night from coming."""
        return (step for step in self.steps if step.failed)

    @computed_field
    @property
    def reasons(self) -> list[str]:
        """What speaks against the night, each step with what came of it."""
        return [f"{step.name.value}: {step.sentence}" for step in self.failures]

    @property
    def to_look_at(self) -> tuple[Check, ...]:
        """What doctor saw of the data that somebody should know."""
        return tuple(c for c in self.checks if c.level in (Level.WARNING, Level.FAILED))

    @property
    def blocked_indexes(self) -> int:
        """How many indexes cannot be built before documents are put right."""
        indexes = () if self.plan is None else self.plan.indexes
        return sum(decision.action.blocked for decision in indexes)

    @computed_field
    @property
    def verdict(self) -> Verdict:
        """Go or no-go."""
        if any(self.failures):
            return Verdict.NO_GO
        undecided = self.plan is not None and bool(len(self.plan.quarantine))
        return Verdict.DECIDE if undecided or self.blocked_indexes else Verdict.GO

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """0 for go, 5 where a person has to decide, 3 for no-go, whichever step failed."""
        return _CODES[self.verdict]
