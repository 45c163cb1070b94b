"""The language rules are written in: predicates on a value, each read in two ways.

:meth:`Predicate.holds` answers in Python, for any value a document can hold, and
:meth:`Predicate.schema` says the same in MongoDB's ``$jsonSchema``, so that the server answers for
millions of documents. A rule is written once. What is said of texts is in
:mod:`newbi_migrate.invariants.texts`, and can be had from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate.invariants.schemas import Schema, all_of, nullable
from newbi_migrate.invariants.texts import (
    BLANK,
    FILLED,
    BuiltFrom,
    Contains,
    Length,
    Matches,
    is_string,
)

__all__ = [
    "ANYTHING",
    "ARRAY",
    "BLANK",
    "FILLED",
    "NUMBER",
    "OBJECT",
    "STRING",
    "AllOf",
    "AnyOf",
    "BuiltFrom",
    "Contains",
    "Has",
    "HasNot",
    "Kind",
    "Length",
    "Matches",
    "NoLongerThan",
    "Not",
    "OneOf",
    "Predicate",
    "Schema",
    "ValuesAre",
    "Whole",
    "Within",
    "all_of",
    "nullable",
]


class Predicate(Protocol):
    """Something that is so for a value, or not."""

    def holds(self, value: Any) -> bool:
        """Whether it is so; never raises, whatever the value."""
        ...

    def schema(self) -> Schema:
        """The ``$jsonSchema`` that a value matches if and only if it is so."""
        ...


# -- kinds of values --------------------------------------------------------------------------


def _is_integer(value: object) -> bool:
    # A bool is a number in Python, and BSON integers have at most 64 bits.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "array": lambda value: isinstance(value, list),
    "bool": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, datetime | DatetimeMS),
    "double": lambda value: isinstance(value, float),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, Mapping),
    "objectId": lambda value: isinstance(value, ObjectId),
    "string": is_string,
    # Python does not tell the two apart, and JavaScript writes either.
    "int": _is_integer,
    "long": _is_integer,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A value of one of some BSON types, by MongoDB's names."""

    names: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether it is of one of the types."""
        return any(_KINDS[name](value) for name in self.names)

    def schema(self) -> Schema:
        """``bsonType``."""
        return {"bsonType": list(self.names)}


STRING: Final = Kind(("string",))
NUMBER: Final = Kind(("double", "int", "long"))
OBJECT: Final = Kind(("object",))
ARRAY: Final = Kind(("array",))


@dataclass(frozen=True, slots=True)
class _Anything:
    def holds(self, value: Any) -> bool:  # noqa: ARG002  # everything is something
        return True

    def schema(self) -> Schema:
        return {}


ANYTHING: Final = _Anything()
"""Any value."""


# -- other values -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Within:
    """A number between two limits, each of which is included unless it is said otherwise."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: Any) -> bool:
        """Whether it is a number between them."""
        # Written so that what is no number, NaN, is between no limits.
        return (
            NUMBER.holds(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def schema(self) -> Schema:
        """``minimum`` and ``maximum``."""
        limits = NUMBER.schema()
        if self.low is not None:
            limits["minimum"] = self.low
        if self.high is not None:
            limits["maximum"] = self.high
        if self.above is not None:
            limits |= {"minimum": self.above, "exclusiveMinimum": True}
        if self.below is not None:
            limits |= {"maximum": self.below, "exclusiveMaximum": True}
        return limits


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of at most 15 digits; the server rounds a double to as many."""

    def holds(self, value: Any) -> bool:
        """Whether it is whole."""
        if not NUMBER.holds(value) or not -(10**15) < value < 10**15:
            return False
        return float(f"{value:.15g}") % 1 == 0

    def schema(self) -> Schema:
        """``multipleOf`` one."""
        return {
            **Within(above=-(10**15), below=10**15).schema(),
            "multipleOf": 1,
        }


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some texts or flags."""

    values: tuple[str | bool, ...]

    def holds(self, value: Any) -> bool:
        """Whether it is one of them, of the same type."""
        return any(type(value) is type(known) and value == known for known in self.values)

    def schema(self) -> Schema:
        """``pattern`` for texts, which is compared once and not value by value, else ``enum``."""
        if all(isinstance(value, str) for value in self.values):
            known = "|".join(re.escape(str(value)) for value in self.values)
            return {"bsonType": ["string"], "pattern": f"\\A(?:{known})\\z"}
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class NoLongerThan:
    """A list of at most so many elements."""

    elements: int

    def holds(self, value: Any) -> bool:
        """Whether it is such a list."""
        return isinstance(value, list) and len(value) <= self.elements

    def schema(self) -> Schema:
        """``maxItems``."""
        return {"bsonType": ["array"], "maxItems": self.elements}


# -- documents --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Has:
    """A document with a field of which something is so."""

    name: str
    test: Predicate = field(default=ANYTHING)

    def holds(self, value: Any) -> bool:
        """Whether it is there and so."""
        return (
            isinstance(value, Mapping) and self.name in value and self.test.holds(value[self.name])
        )

    def schema(self) -> Schema:
        """``required`` and ``properties``."""
        inner = self.test.schema()
        found: Schema = {"bsonType": ["object"], "required": [self.name]}
        if inner:
            found["properties"] = {self.name: inner}
        return found


@dataclass(frozen=True, slots=True)
class HasNot:
    """A document without a field."""

    name: str

    def holds(self, value: Any) -> bool:
        """Whether it is not there."""
        return isinstance(value, Mapping) and self.name not in value

    def schema(self) -> Schema:
        """The opposite of ``required``."""
        return {"bsonType": ["object"], "not": {"required": [self.name]}}


@dataclass(frozen=True, slots=True)
class ValuesAre:
    """A document of whose every field something is so."""

    test: Predicate

    def holds(self, value: Any) -> bool:
        """Whether it is so of all."""
        return isinstance(value, Mapping) and all(map(self.test.holds, value.values()))

    def schema(self) -> Schema:
        """``additionalProperties``."""
        return {"bsonType": ["object"], "additionalProperties": self.test.schema()}


# -- combinations -----------------------------------------------------------------------------


class AllOf:
    """Several things at once."""

    __slots__ = ("tests",)

    def __init__(self, *tests: Predicate) -> None:
        self.tests = tests

    def holds(self, value: Any) -> bool:
        """Whether all are so."""
        return all(test.holds(value) for test in self.tests)

    def schema(self) -> Schema:
        """One schema where that says the same, else ``allOf``."""
        return all_of([test.schema() for test in self.tests])


class AnyOf:
    """At least one of several things."""

    __slots__ = ("tests",)

    def __init__(self, *tests: Predicate) -> None:
        self.tests = tests

    def holds(self, value: Any) -> bool:
        """Whether one is so."""
        return any(test.holds(value) for test in self.tests)

    def schema(self) -> Schema:
        """``anyOf``."""
        return {"anyOf": [test.schema() for test in self.tests]}


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    test: Predicate

    def holds(self, value: Any) -> bool:
        """Whether it is not so."""
        return not self.test.holds(value)

    def schema(self) -> Schema:
        """``not``."""
        return {"not": self.test.schema()}
