"""What a validation answers: violations, where they come from, and whether the database passed.

Values hold ids, paths and counts, no personal data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import computed_field

from newbi_migrate.answers import HIDDEN, RunId, called, told
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.results import QuarantinedDocument
from newbi_migrate.migration.validation.rules import QUARANTINED_AS_RECORDED
from newbi_migrate.rules import Severity

__all__ = [
    "EXAMPLES",
    "FailOn",
    "FoundViolation",
    "Origin",
    "Proof",
    "RuleResult",
    "Unchanged",
    "ValidationReport",
]

EXAMPLES = 20
"""Violations that are kept for each rule, collection and origin, unless all are asked for."""


class Origin(StrEnum):
    """Where a violation comes from."""

    RUN = "run"
    """Its rule reads a field that a run wrote, or a document that a run created."""
    PENDING = "pending"
    """It lacks what a migration writes, and no run that stands has written to it: it came since,
    was left out, or was taken back with a part of a run."""
    UNKNOWN = "unknown"
    """No migration is recorded, or its journal is gone: it counts like one of a run."""
    BEFORE = "before"
    """No run wrote what its rule reads: it was there before."""


class FailOn(StrEnum):
    """Which violations fail a validation.

    The first three ask for what a run caused or has not migrated yet, from that severity on; the
    others for whatever is there.
    """

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    ANY_CRITICAL = "any-critical"
    ANY_WARNING = "any-warning"
    ANY = "any"

    def covers(self, severity: Severity, origin: Origin) -> bool:
        """Whether a violation of that severity and origin fails the validation."""
        whatever, least = _COVERED[self]
        order = list(Severity)
        counts = whatever or origin is not Origin.BEFORE
        return counts and order.index(severity) <= order.index(least)


_COVERED: Final = {
    FailOn.CRITICAL: (False, Severity.CRITICAL),
    FailOn.WARNING: (False, Severity.WARNING),
    FailOn.INFO: (False, Severity.INFO),
    FailOn.ANY_CRITICAL: (True, Severity.CRITICAL),
    FailOn.ANY_WARNING: (True, Severity.WARNING),
    FailOn.ANY: (True, Severity.INFO),
}


class Proof(StrEnum):
    """What became of the proof that nothing else changed."""

    PROVEN = "proven"
    CHANGED = "changed"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The verdict of ``validate --unchanged``.

    Attributes:
        proof: What became of the proof.
        collections: How many collections were compared.
        differing: Names of those in which something else changed.
        reason: Why nothing could be proven; empty if it could.
    """

    proof: Annotated[Proof, called("verdict")]
    collections: int = 0
    differing: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FoundViolation:
    """A violation found in a database: in which document, and where it comes from.

    Attributes:
        rule: Id of the rule.
        severity: What it means.
        collection: Where.
        id: The document; ``None`` where it is about a whole collection or a run.
        path: The field, dotted; empty for the whole document.
        note: A fact that helps, without a stored value; empty mostly.
        origin: Where it comes from.
    """

    rule: str
    severity: Severity
    collection: str
    id: Any = None
    path: str = ""
    note: str = ""
    origin: Origin = Origin.UNKNOWN


@dataclass(slots=True)
class RuleResult:
    """What came of one rule in one collection, of violations that come from the same.

    Attributes:
        rule: Its id.
        sentence: The rule in one sentence.
        severity: What a violation means.
        next_step: What to do about one.
        collection: Where.
        origin: Where the violations come from.
        count: How many documents break it.
        examples: The first of them, or all where all were asked for.
    """

    rule: str
    sentence: str
    severity: Severity
    next_step: str
    collection: str
    origin: Origin = Origin.UNKNOWN
    count: int = 0
    examples: Annotated[list[FoundViolation], HIDDEN] = field(default_factory=list)


def _by_reason(found: Mapping[str, Counter[Reason]]) -> dict[str, dict[Reason, int]]:
    return {name: dict(sorted(reasons.items())) for name, reasons in found.items()}


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Whether a database keeps its rules.

    Attributes:
        database: Its name.
        run_id: The newest migration or backfill that was not rolled back; ``None`` if none was.
        under_way: Whether a run holds the lease, so that the answer may be out of date already.
        checked: How many rules were checked.
        documents: Collection to the number of documents that were looked at.
        results: The rules that are broken, by origin and severity, with where and how often.
        quarantine: Users and documents that a run recorded as quarantined: how many for each
            collection and reason.
        quarantine_examples: Some of them.
        sampled: How many documents of each collection the rules of the models were asked of;
            ``None`` for all.
        notes: What else a person should know.
        timings: Phase to seconds.
        fail_on: Which violations fail the validation.
        unchanged: Whether nothing else changed; ``None`` where that was not asked.
        finalized: Whether the migration was ended, and nothing was begun since.
        options: The choices it was asked for, or those of the migration.
    """

    database: str
    run_id: RunId | None
    under_way: bool
    checked: int
    documents: Mapping[str, int]
    results: Annotated[tuple[RuleResult, ...], called("rules")]
    quarantine: Annotated[
        Mapping[str, Counter[Reason]],
        called("quarantined"),
        told(_by_reason, dict[str, dict[Reason, int]]),
    ]
    quarantine_examples: Annotated[tuple[QuarantinedDocument, ...], HIDDEN]
    sampled: int | None
    notes: tuple[str, ...]
    timings: Mapping[str, float]
    fail_on: FailOn = FailOn.CRITICAL
    unchanged: Unchanged | None = None
    finalized: Annotated[bool, HIDDEN] = False
    options: Annotated[MigrationOptions, HIDDEN] = field(default_factory=MigrationOptions)

    @property
    def violations(self) -> tuple[FoundViolation, ...]:
        """The violations that were kept."""
        return tuple(violation for result in self.results for violation in result.examples)

    def count(self, severity: Severity, *origins: Origin) -> int:
        """How many violations of that severity come from one of some origins, else from any."""
        return sum(
            result.count
            for result in self.results
            if result.severity is severity and (not origins or result.origin in origins)
        )

    @property
    def critical(self) -> int:
        """How many violations of critical rules a run caused, or perhaps did."""
        return self.count(Severity.CRITICAL, Origin.RUN, Origin.UNKNOWN)

    @property
    def pending(self) -> int:
        """How many violations of critical rules are about what is not migrated yet."""
        return self.count(Severity.CRITICAL, Origin.PENDING)

    @property
    def there_before(self) -> tuple[RuleResult, ...]:
        """The broken rules of which no run wrote what they read."""
        return tuple(result for result in self.results if result.origin is Origin.BEFORE)

    @property
    def quarantined(self) -> int:
        """How many users and documents are quarantined, as far as a run recorded their kind."""
        return sum(sum(reasons.values()) for reasons in self.quarantine.values())

    @property
    def quarantined_since(self) -> int:
        """How many of them are more than the run recorded."""
        rule = QUARANTINED_AS_RECORDED.id
        return sum(result.count for result in self.results if result.rule == rule)

    @computed_field
    @property
    def counts(self) -> dict[Origin, dict[Severity, int]]:
        """How many violations there are, by origin and severity."""
        return {o: {s: self.count(s, o) for s in Severity} for o in Origin}

    @computed_field(alias="clean")
    @property
    def is_clean(self) -> bool:
        """Whether no run broke a critical rule; what no run has written to does not count."""
        return not self.critical

    @property
    def failed(self) -> bool:
        """Whether a rule is broken that is to fail the validation."""
        return bool(self._failing)

    @property
    def _failing(self) -> frozenset[Origin]:
        covers = self.fail_on.covers
        return frozenset(r.origin for r in self.results if r.count and covers(r.severity, r.origin))

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """4 if it failed, but 3 if all that fails it is not migrated yet; else 3 or 0.

        3 is also that of a proof that was asked for and was impossible.
        """
        if self._failing - {Origin.PENDING}:
            return ExitCode.VALIDATION_FAILED
        unproven = self.unchanged is not None and self.unchanged.proof is Proof.UNPROVEN
        return ExitCode.PENDING if unproven or self._failing else ExitCode.DONE
