"""A rule as a value: id, sentence, severity, a check, and where possible a question to a server.

This module knows no document; rules are declared where the documents are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Rule", "Severity", "Violation"]


class Severity(StrEnum):
    """How much a violation matters: only ``critical`` ones fail a validation."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold for a document.

    Attributes:
        rule: Id of the rule that is broken.
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
    """A rule that must hold for every document of a model.

    Attributes:
        id: Stable identifier, ``<model>.<rule>`` in lower case with hyphens.
        sentence: The rule in one sentence.
        severity: What a violation means.
        check: Given the document as a mapping, tells the paths at which the rule is broken;
            it never raises, whatever types the document holds.
        finder: Makes the match expression that finds the violators, where a server can tell.
        next_step: What to do about a violation, in one sentence.
    """

    id: str
    sentence: str
    severity: Severity
    check: Callable[[Mapping[str, Any]], list[str]]
    finder: Callable[[], Mapping[str, Any]] | None = None
    next_step: str = ""

    @property
    def violators(self) -> Mapping[str, Any] | None:
        """The match expression that finds the violators, ``None`` where the server cannot tell."""
        return None if self.finder is None else self.finder()

    def violations(self, document: Mapping[str, Any]) -> list[Violation]:
        """The violations of this rule in one document."""
        return [
            Violation(rule=self.id, path=path, message=self.sentence, severity=self.severity)
            for path in self.check(document)
        ]
