"""A rule as a value, and a document that breaks it.

This module knows no document; rules are declared where the documents are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Rule", "Severity", "Violation"]


class Severity(StrEnum):
    """How much a violation matters; by default only ``critical`` ones fail a validation."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a document breaks.

    Attributes:
        rule: Id of the rule.
        path: Where in the document, in MongoDB's dotted notation; empty for the whole.
        message: One sentence for people; it quotes no value, since values may be personal.
        severity: Severity of the rule.
    """

    rule: str
    path: str
    message: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold.

    Attributes:
        id: Stable identifier, in lower case with hyphens.
        sentence: The rule in one sentence.
        severity: What a violation means.
    """

    id: str
    sentence: str
    severity: Severity = Severity.WARNING

    def broken_at(self, path: str) -> Violation:
        """The violation of this rule at a path."""
        return Violation(self.id, path, self.sentence, self.severity)
