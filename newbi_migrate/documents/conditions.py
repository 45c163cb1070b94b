"""Building blocks of rules across fields.

Each takes a document as stored and never raises, whatever types it holds. A field that is absent
counts as the default of its schema, so a rule says the same before and after defaults are applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from newbi_migrate.invariants.base import Invariant, Severity
from newbi_migrate.invariants.language import (
    FILLED,
    NUMBER,
    AllOf,
    AnyOf,
    Has,
    HasNot,
    Not,
    OneOf,
    Predicate,
)

__all__ = [
    "Condition",
    "equals",
    "filled",
    "forbidden",
    "is_filled",
    "milliseconds",
    "not_before",
    "paris_year",
    "required",
    "rule",
    "year_of",
]

Document = Mapping[str, Any]
Condition = Predicate
"""Whether something is so for a document."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1: Final = -62_135_596_800_000
_YEAR_10000: Final = 253_402_300_800_000
_HOUR: Final = 3_600_000


def rule(
    id_: str,
    sentence: str,
    check: Callable[[Document], Sequence[str]],
    severity: Severity = Severity.WARNING,
    *,
    keeps: Predicate | None = None,
    query: Mapping[str, Any] | None = None,
) -> Invariant:
    """A rule across fields.

    Args:
        id_: Its id.
        sentence: It in one sentence.
        check: Gives the paths at which it is broken.
        severity: What a violation means.
        keeps: Whether a document keeps it, in the language a server understands too.
        query: For a rule of whole documents, the match expression that finds the violators,
            where the language cannot say it.
    """
    return Invariant(
        id_, sentence, severity, lambda document: list(check(document)), query, test=keeps
    )


def forbidden(
    id_: str,
    sentence: str,
    broken: Mapping[str, Condition],
    severity: Severity = Severity.WARNING,
) -> Invariant:
    """A rule that is broken at some paths, each under a condition."""
    return rule(
        id_,
        sentence,
        lambda document: [path for path, test in broken.items() if test.holds(document)],
        severity,
        keeps=AllOf(*map(Not, broken.values())),
    )


def required(
    id_: str,
    sentence: str,
    when: Condition,
    *names: str,
    severity: Severity = Severity.WARNING,
) -> Invariant:
    """A rule that fields are filled under a condition."""

    def check(document: Document) -> list[str]:
        empty = [name for name in names if not is_filled(document.get(name))]
        return empty if empty and when.holds(document) else []

    return rule(id_, sentence, check, severity, keeps=AnyOf(Not(when), AllOf(*map(filled, names))))


def equals(name: str, *values: str | bool, default: str | bool | None = None) -> Condition:
    """The condition that a field has one of the values."""
    there = Has(name, OneOf(values))
    return AnyOf(there, HasNot(name)) if default in values else there


def filled(name: str) -> Condition:
    """The condition that a field says anything."""
    return Has(name, FILLED)


def not_before(id_: str, sentence: str, later: str, earlier: str) -> Invariant:
    """A rule that one date does not come before another; what is no date is not compared."""

    def check(document: Document) -> list[str]:
        end, start = milliseconds(document.get(later)), milliseconds(document.get(earlier))
        return [later] if end is not None and start is not None and end < start else []

    both = [{"$eq": [{"$type": f"${name}"}, "date"]} for name in (later, earlier)]
    query = {"$expr": {"$and": [*both, {"$lt": [f"${later}", f"${earlier}"]}]}}
    return rule(id_, sentence, check, query=query)


def year_of(id_: str, sentence: str, year: str, day: str) -> Invariant:
    """A rule that a number is the year of a date in France, where both are there."""

    def check(document: Document) -> list[str]:
        stored, expected = document.get(year), paris_year(document.get(day))
        both = NUMBER.holds(stored) and expected is not None
        return [year] if both and stored != expected else []

    first, last = (DatetimeMS(limit - _HOUR) for limit in (_YEAR_1, _YEAR_10000))
    comparable = [
        {"$in": [{"$type": f"${year}"}, ["double", "int", "long"]]},
        {"$eq": [{"$type": f"${day}"}, "date"]},
        {"$gte": [f"${day}", first]},
        {"$lt": [f"${day}", last]},
    ]
    differs = {"$ne": [f"${year}", {"$year": {"$add": [f"${day}", _HOUR]}}]}
    # A year that is not there is told at less cost than an expression is computed.
    there = {year: {"$type": ["double", "int", "long"]}}
    query = {**there, "$expr": {"$cond": [{"$and": comparable}, differs, False]}}
    return rule(id_, sentence, check, query=query)


def is_filled(value: object) -> bool:
    """Whether a value says anything: it is neither absent, null nor blank text."""
    return FILLED.holds(value)


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
    local = moment + _HOUR
    if not _YEAR_1 <= local < _YEAR_10000:
        return None
    return (_EPOCH + timedelta(milliseconds=local)).year
