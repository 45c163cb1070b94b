"""Building blocks of rules across fields.

Each takes a document as stored and never raises, whatever types it holds. A field that is
absent counts as the default of its schema, so a rule says the same before and after defaults
are applied. This module changes when rules need another way to be put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from newbi_migrate.invariants.base import Invariant, Severity

__all__ = [
    "Condition",
    "equals",
    "is_filled",
    "milliseconds",
    "not_before",
    "paris_year",
    "required",
    "rule",
    "unless",
]

Document = Mapping[str, Any]
Condition = Callable[[Document], bool]
"""Whether something is so for a document."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1: Final = -62_135_596_800_000
_YEAR_10000: Final = 253_402_300_800_000


def rule(
    id_: str,
    sentence: str,
    check: Callable[[Document], Sequence[str]],
    severity: Severity = Severity.WARNING,
) -> Invariant:
    """A rule across fields; ``check`` gives the paths at which it is broken."""
    return Invariant(id_, sentence, severity, lambda document: list(check(document)))


def required(
    id_: str,
    sentence: str,
    when: Condition,
    *names: str,
    severity: Severity = Severity.WARNING,
) -> Invariant:
    """A rule that fields are filled under a condition."""
    return rule(
        id_,
        sentence,
        lambda d: [name for name in names if not is_filled(d.get(name))] if when(d) else [],
        severity,
    )


def equals(name: str, *values: object, default: object = None) -> Condition:
    """The condition that a field has one of the values."""

    def holds(document: Document) -> bool:
        stored = document.get(name, default)
        return any(type(stored) is type(value) and stored == value for value in values)

    return holds


def unless(condition: Condition) -> Condition:
    """The condition that another does not hold."""
    return lambda document: not condition(document)


def not_before(later: str, earlier: str) -> Callable[[Document], list[str]]:
    """The check that one date does not come before another; what is no date is not compared."""

    def check(document: Document) -> list[str]:
        end, start = milliseconds(document.get(later)), milliseconds(document.get(earlier))
        return [later] if end is not None and start is not None and end < start else []

    return check


def is_filled(value: object) -> bool:
    """Whether a value says anything: it is neither absent, null nor blank text."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def milliseconds(value: object) -> int | None:
    """A stored date in milliseconds since 1970, ``None`` where the value is no date."""
    if isinstance(value, DatetimeMS):
        return int(value)
    if not isinstance(value, datetime):
        return None
    # PyMongo gives dates without a zone; they are UTC.
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def paris_year(value: object) -> int | None:
    """The year of a stored date in France, ``None`` where the value is no date of a year.

    France is one hour ahead of UTC at every turn of the year since 1946, so no time zone
    database is needed.
    """
    moment = milliseconds(value)
    if moment is None:
        return None
    local = moment + 3_600_000
    if not _YEAR_1 <= local < _YEAR_10000:
        return None
    return (_EPOCH + timedelta(milliseconds=local)).year
