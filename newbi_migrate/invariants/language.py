"""The language rules are written in: predicates on a value, each read in two ways.

:meth:`Predicate.holds` answers in Python, for any value a document can hold, and
:meth:`Predicate.schema` says the same in MongoDB's ``$jsonSchema``, so that the server answers
for millions of documents. A rule is written once. This module changes when rules have to say
something new; the property tests hold the two readings against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import count, groupby
from typing import Any, Final, Protocol

from bson import ObjectId
from bson.code import Code
from bson.datetime_ms import DatetimeMS

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

Schema = dict[str, Any]


class Predicate(Protocol):
    """Something that is so for a value, or not."""

    def holds(self, value: Any) -> bool:
        """Whether it is so; never raises, whatever the value."""
        ...

    def schema(self) -> Schema:
        """The ``$jsonSchema`` that a value matches if and only if it is so."""
        ...


# -- kinds of values --------------------------------------------------------------------------


def _is_string(value: object) -> bool:
    # JavaScript code is a string in Python, and none in BSON.
    return isinstance(value, str) and not isinstance(value, Code)


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
    "string": _is_string,
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


# -- texts ------------------------------------------------------------------------------------


def _ranges(code_points: Iterable[int]) -> Iterator[tuple[int, int]]:
    counter = count()
    for _, run in groupby(sorted(code_points), key=lambda point: point - next(counter)):
        points = list(run)
        yield points[0], points[-1]


# Where no character is assigned, or all are alike, the first is asked about: a million code points
# are not worth a second.
_CHARACTERS: Final = (range(0xD800), range(0xE000, 0x34000), range(0xE0000, 0xE01F0))
_ALIKE: Final = (
    (0x34000, 0xDFFFF),
    (0xE01F0, 0xEFFFF),
    (0xF0000, 0xFFFFD),
    (0xFFFFE, 0xFFFFF),
    (0x100000, 0x10FFFD),
    (0x10FFFE, 0x10FFFF),
)


def _class_of(allowed: Callable[[str], bool]) -> str:
    """The inside of a character class of all characters that are allowed."""
    single = (point for points in _CHARACTERS for point in points if allowed(chr(point)))
    runs = [(first, last) for first, last in _ALIKE if allowed(chr(first))]
    return "".join(
        f"\\x{{{first:x}}}" + (f"-\\x{{{last:x}}}" if last > first else "")
        for first, last in [*_ranges(single), *runs]
    )


@cache
def _blanks() -> str:
    # What Python's \s means for text; the server's means ASCII alone.
    return _class_of(str.isspace)


_ASCII: Final = {"s": r"\t\n\x{b}\f\r ", "d": "0-9", "w": "A-Za-z0-9_"}


def _server_pattern(pattern: str, *, ascii_only: bool) -> str:
    """The same pattern without classes whose meaning differs from engine to engine.

    Raises:
        ValueError: The pattern holds a class that has no fixed meaning outside ASCII.
    """
    written: list[str] = []
    in_class = False
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            letter = pattern[position + 1]
            position += 2
            if letter in _ASCII:
                if not ascii_only and letter != "s":
                    raise ValueError(f"\\{letter} means another thing in each engine")
                inside = _ASCII[letter] if ascii_only else _blanks()
                written.append(inside if in_class else f"[{inside}]")
            else:
                # The very end, which other engines write in lower case.
                written.append("\\z" if letter == "Z" else f"\\{letter}")
            continue
        if character == "[" and not in_class:
            in_class = True
        elif character == "]" and in_class:
            in_class = False
        written.append(character)
        position += 1
    return "".join(written)


@dataclass(frozen=True, slots=True)
class Matches:
    """Text of which the whole matches a regular expression.

    Attributes:
        pattern: The expression; case matters.
        ascii_only: Whether classes of words, digits and blanks mean ASCII characters alone; else
            only that of blanks may occur.
    """

    pattern: str
    ascii_only: bool = True

    def holds(self, value: Any) -> bool:
        """Whether it is text that matches."""
        return (
            _is_string(value)
            and _compiled(self.pattern, self.ascii_only).fullmatch(value) is not None
        )

    def schema(self) -> Schema:
        """``pattern``, from the first to the last character."""
        inner = _server_pattern(self.pattern, ascii_only=self.ascii_only)
        return {"bsonType": ["string"], "pattern": f"\\A(?:{inner})\\z"}


@cache
def _compiled(pattern: str, ascii_only: bool) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII if ascii_only else 0)


@dataclass(frozen=True, slots=True)
class Contains:
    """Text of which a part matches a regular expression, for blanks of any kind."""

    pattern: str

    def holds(self, value: Any) -> bool:
        """Whether it is text that contains it."""
        return _is_string(value) and _compiled(self.pattern, False).search(value) is not None

    def schema(self) -> Schema:
        """``pattern``."""
        return {
            "bsonType": ["string"],
            "pattern": _server_pattern(self.pattern, ascii_only=False),
        }


@dataclass(frozen=True, slots=True)
class Length:
    """Text of a number of characters."""

    minimum: int = 0
    maximum: int | None = None

    def holds(self, value: Any) -> bool:
        """Whether it is text of that length."""
        return (
            _is_string(value)
            and self.minimum <= len(value)
            and (self.maximum is None or len(value) <= self.maximum)
        )

    def schema(self) -> Schema:
        """``minLength`` and ``maxLength``, in code points."""
        limits: Schema = {"bsonType": ["string"]}
        if self.minimum:
            limits["minLength"] = self.minimum
        if self.maximum is not None:
            limits["maxLength"] = self.maximum
        return limits


@dataclass(frozen=True, slots=True, eq=False)
class BuiltFrom:
    """Text of a number of characters, each of which is allowed.

    The server is given the very characters, since engines know different versions of Unicode.
    """

    allowed: Callable[[str], bool]
    length: Length = Length()  # a value

    def holds(self, value: Any) -> bool:
        """Whether it is text of such characters."""
        return self.length.holds(value) and all(map(self.allowed, value))

    def schema(self) -> Schema:
        """``pattern`` with all characters that are allowed."""
        most = "" if self.length.maximum is None else self.length.maximum
        times = f"{{{self.length.minimum},{most}}}"
        return {"bsonType": ["string"], "pattern": f"\\A[{_alphabet(self)}]{times}\\z"}


@cache
def _alphabet(test: BuiltFrom) -> str:
    return _class_of(test.allowed)


@dataclass(frozen=True, slots=True)
class _Filled:
    def holds(self, value: Any) -> bool:
        return value is not None and not (_is_string(value) and not value.strip())

    def schema(self) -> Schema:
        # A pattern says nothing about what is no text.
        return {"not": {"bsonType": "null"}, "pattern": f"[^{_blanks()}]"}


FILLED: Final = _Filled()
"""A value that says anything: neither null nor blank text."""


BLANK: Final = Matches(r"\s*", ascii_only=False)
"""Text that says nothing."""


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


def all_of(schemas: Iterable[Schema]) -> Schema:
    """A schema that is matched by what matches all of some."""
    merged: Schema = {}
    beside: list[Schema] = []
    for schema in schemas:
        if all(name not in merged or merged[name] == rest for name, rest in schema.items()):
            merged.update(schema)
        else:
            beside.append(schema)
    return {**merged, "allOf": [*merged.get("allOf", []), *beside]} if beside else merged


_OF_ONE_TYPE: Final = frozenset(
    {"bsonType", "pattern", "minLength", "maxLength", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "properties", "required", "items"}
)


def nullable(schema: Schema) -> Schema:
    """A schema that is also matched by null."""
    if not schema:
        return schema
    if schema.keys() <= _OF_ONE_TYPE and isinstance(schema.get("bsonType"), list):
        # The other keywords say nothing about null.
        return {**schema, "bsonType": [*schema["bsonType"], "null"]}
    if schema.keys() <= {"properties", "required", "items"}:
        # These say nothing about null at all.
        return schema
    if schema.keys() == {"enum"}:
        return {"enum": [*schema["enum"], None]}
    return {"anyOf": [{"bsonType": "null"}, schema]}
