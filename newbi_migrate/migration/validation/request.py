"""What to validate and how, and where the violations go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.options import MigrationOptions, choose
from newbi_migrate.migration.planning.results import QuarantinedDocument
from newbi_migrate.migration.validation.origins import Origins
from newbi_migrate.migration.validation.report import (
    EXAMPLES,
    FailOn,
    FoundViolation,
    Origin,
    RuleResult,
    Unchanged,
)
from newbi_migrate.migration.validation.rules import NOTHING_ELSE_CHANGED, next_step_of
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.rules import Rule, Severity
from newbi_migrate.store.handles import Database

__all__ = ["COMMENT", "MAX_SAMPLE", "Collector", "State", "ValidationRequest"]

MAX_SAMPLE: Final = 2**31 - 1
"""Documents that are drawn of a collection, at most."""

COMMENT: Final = "newbi-migrate validate"
"""Attached to every command."""


@dataclass(frozen=True, slots=True)
class ValidationRequest:
    """What to validate, and how.

    Attributes:
        database: Where.
        registry: Its collections.
        options: The choices; those a run recorded take their place where nothing was chosen.
        only: Ids of rules, with ``*`` for any characters; empty for all.
        sample: Ask the rules of the models of so many documents of each collection, drawn at
            random; ``None`` for all documents.
        fail_on: Which violations fail the validation.
        unchanged: Prove by digests that nothing changed but what the journal says.
        detailed: Find every violation, not examples alone.
        on_violation: Told of each violation as it is found.
        progress: Told of what is going on.
        asking: The run that asks, under its own lease; ``None`` where no run does. It counts
            neither as under way nor as unfinished.

    Raises:
        UsageError: There is no such choice, or the sample is out of its range.
    """

    database: Database
    registry: Registry
    options: MigrationOptions = field(default_factory=MigrationOptions)
    only: tuple[str, ...] = ()
    sample: int | None = None
    fail_on: FailOn = FailOn.CRITICAL
    unchanged: bool = False
    detailed: bool = False
    on_violation: Callable[[FoundViolation], None] | None = None
    progress: Progress = field(default_factory=NullProgress)
    asking: ObjectId | None = None

    def __post_init__(self) -> None:
        choose(self, fail_on=FailOn)
        if self.sample is not None and not 1 <= self.sample <= MAX_SAMPLE:
            raise UsageError(
                f"A sample of {self.sample} documents is out of range.",
                next_step=f"Draw 1 to {MAX_SAMPLE}, or leave it out to ask all documents.",
            )

    def wants(self, rule_id: str) -> bool:
        """Whether a rule is to be checked."""
        if self.unchanged and rule_id == NOTHING_ELSE_CHANGED.id:
            return True
        return not self.only or any(fnmatchcase(rule_id, pattern) for pattern in self.only)

    def wants_any(self, rule_ids: Iterable[str]) -> bool:
        """Whether any of some rules is."""
        return any(map(self.wants, rule_ids))


class Collector:
    """Collector of violations: all are counted, the first few of each rule are kept.

    Args:
        request: What is validated.
        migrated: Whether a migration is in place and done; what helps depends on it.
        going_back: Whether a rollback was interrupted, which every other command waits for.
    """

    def __init__(
        self, request: ValidationRequest, *, migrated: bool, going_back: bool = False
    ) -> None:
        self._request = request
        self._migrated = migrated
        self._going_back = going_back
        self._results: dict[tuple[str, str, Origin], RuleResult] = {}

    def add(
        self,
        rule: Rule,
        collection: str,
        identifier: Any = None,
        path: str = "",
        note: str = "",
        *,
        origin: Origin,
        count: int = 1,
    ) -> None:
        """Count violations of a rule, of which one is named."""
        result = self._results.get((rule.id, collection, origin))
        if result is None:
            if not self._request.wants(rule.id):
                return
            advice = next_step_of(rule, migrated=self._migrated, going_back=self._going_back)
            result = RuleResult(rule.id, rule.sentence, rule.severity, advice, collection, origin)
            self._results[rule.id, collection, origin] = result
        result.count += count
        kept = len(result.examples) < EXAMPLES
        if not kept and self._request.on_violation is None:
            return
        violation = FoundViolation(
            rule.id, rule.severity, collection, identifier, path, note, origin
        )
        if self._request.on_violation is not None:
            self._request.on_violation(violation)
        if kept:
            result.examples.append(violation)

    def results(self) -> tuple[RuleResult, ...]:
        """The rules that are broken: what a run caused first, and of that the worst."""
        origins, severities = list(Origin), list(Severity)
        return tuple(
            sorted(
                self._results.values(),
                key=lambda r: (origins.index(r.origin), severities.index(r.severity)),
            )
        )


@dataclass(slots=True)
class State:
    """What a validation has found so far.

    Attributes:
        violations: The violations.
        origins: Where violations come from.
        documents: Collection to the number of documents that were looked at.
        holding: Collection to the number of those that have a field which a key derives.
        quarantine: Collection to what a run recorded as quarantined, by reason.
        examples: Some of that.
        notes: What else a person should know.
        timings: Phase to seconds.
        unchanged: Whether nothing else changed, where that was asked.
        workspaces: Who is who, once that is known.
    """

    violations: Collector
    origins: Origins
    documents: dict[str, int] = field(default_factory=dict)
    holding: dict[str, Counter[str]] = field(default_factory=dict)
    quarantine: dict[str, Counter[Reason]] = field(default_factory=lambda: defaultdict(Counter))
    examples: list[QuarantinedDocument] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    unchanged: Unchanged | None = None
    workspaces: Workspaces = field(default_factory=Workspaces)

    def add_quarantined(
        self, collection: str, path: str, reason: Reason, identifier: Any, count: int
    ) -> None:
        """Count documents that a run recorded as quarantined, of which one is named."""
        self.quarantine[collection][reason] += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(QuarantinedDocument(collection, identifier, path, reason))
