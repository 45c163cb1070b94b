"""What a validation answers: findings, counts, and whether the database passed.

Values hold ids, paths and counts, no personal data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bson import ObjectId

from newbi_migrate.errors import ExitCode
from newbi_migrate.invariants.base import Severity
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import QuarantinedDocument

__all__ = ["EXAMPLES", "FailOn", "Finding", "RuleResult", "ValidationReport"]

EXAMPLES = 20
"""Findings that are kept for each rule and collection, unless all are asked for."""


class FailOn(StrEnum):
    """From which severity on a finding fails a validation."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    def covers(self, severity: Severity) -> bool:
        """Whether a finding of that severity fails the validation."""
        order = list(Severity)
        return order.index(severity) <= order.index(Severity(self.value))


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a document breaks.

    Attributes:
        rule: Id of the rule.
        severity: What it means.
        collection: Where.
        id: The document; ``None`` where it is about a whole collection or a run.
        path: The field, dotted; empty for the whole document.
        note: A fact that helps, without a stored value; empty mostly.
    """

    rule: str
    severity: Severity
    collection: str
    id: Any = None
    path: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON holds it, with the id as it is."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "collection": self.collection,
            "id": self.id,
            "path": self.path,
            "note": self.note,
        }


@dataclass(slots=True)
class RuleResult:
    """What came of one rule in one collection.

    Attributes:
        rule: Its id.
        sentence: The rule in one sentence.
        severity: What a violation means.
        next_step: What to do about one.
        collection: Where.
        violations: How many documents break it.
        examples: The first of them, or all where all were asked for.
    """

    rule: str
    sentence: str
    severity: Severity
    next_step: str
    collection: str
    violations: int = 0
    examples: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON holds it, without its examples."""
        return {
            "rule": self.rule,
            "collection": self.collection,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "nextStep": self.next_step,
            "violations": self.violations,
        }


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Whether a database keeps its rules.

    Attributes:
        database: Its name.
        run_id: The newest migration or backfill that was not rolled back; ``None`` if none was.
        under_way: Whether a run holds the lease, so that the answer may be out of date already.
        checked: How many rules were checked.
        documents: Collection to the number of documents that were looked at.
        results: The rules that are broken, by severity, with where and how often.
        quarantine: Users and documents that a run recorded as quarantined: how many for each
            collection and reason.
        quarantine_examples: Some of them.
        sampled: How many documents of each collection the rules of the models were asked of;
            ``None`` for all.
        notes: What a person should know beside.
        timings: Phase to seconds.
        fail_on: From which severity on a finding fails the validation.
        finalized: Whether the migration was ended, and nothing was begun since.
    """

    database: str
    run_id: ObjectId | None
    under_way: bool
    checked: int
    documents: Mapping[str, int]
    results: tuple[RuleResult, ...]
    quarantine: Mapping[str, Counter[Reason]]
    quarantine_examples: tuple[QuarantinedDocument, ...]
    sampled: int | None
    notes: tuple[str, ...]
    timings: Mapping[str, float]
    fail_on: FailOn = FailOn.CRITICAL
    finalized: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that were kept."""
        return tuple(finding for result in self.results for finding in result.examples)

    def count(self, severity: Severity) -> int:
        """How many violations of rules of that severity there are."""
        return sum(r.violations for r in self.results if r.severity is severity)

    @property
    def critical(self) -> int:
        """How many violations of critical rules there are."""
        return self.count(Severity.CRITICAL)

    @property
    def quarantined(self) -> int:
        """How many users and documents were quarantined as the run recorded."""
        return sum(sum(reasons.values()) for reasons in self.quarantine.values())

    @property
    def is_clean(self) -> bool:
        """Whether no critical rule is broken; what was quarantined and recorded breaks none."""
        return not self.critical

    @property
    def failed(self) -> bool:
        """Whether a rule is broken that is to fail the validation."""
        return any(r.violations and self.fail_on.covers(r.severity) for r in self.results)

    @property
    def exit_code(self) -> ExitCode:
        """4 if it failed, else 5 if something was quarantined, else 0."""
        if self.failed:
            return ExitCode.VALIDATION_FAILED
        return ExitCode.QUARANTINED if self.quarantined else ExitCode.DONE
