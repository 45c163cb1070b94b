"""Rules across the fields of a document, each read in Python and by a MongoDB server.

A rule takes whatever is stored and never raises. A field that is absent counts as the default of
its schema, so that a rule says the same before and after defaults are applied. Names are those of
documents.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, Final

from bson.code import Code
from bson.datetime_ms import DatetimeMS

from newbi_migrate.documents.characters import BLANKS, server_pattern
from newbi_migrate.rules import Rule, Severity

__all__ = [
    "ABSENT",
    "All",
    "AnyOf",
    "Condition",
    "DocumentRule",
    "Filled",
    "FilledIffZero",
    "Fits",
    "Forbidden",
    "Get",
    "Is",
    "Not",
    "NotBefore",
    "Required",
    "Schema",
    "There",
    "ValuesWithin",
    "YearInFrance",
    "is_filled",
    "milliseconds",
    "year_in_france",
]

Schema = dict[str, Any]
"""A ``$jsonSchema``, or a part of one."""

Get = Callable[..., Any]
"""``get`` of the mapping that holds the fields."""

Names = Mapping[str, str]

Defaults = Mapping[str, Any]
"""The defaults of the schema, by the names of documents."""

ABSENT: Final = object()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_HOUR: Final = 3_600_000
_ONE_HOUR: Final = timedelta(milliseconds=_HOUR)
_YEAR_1, _YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000
_FILLED: Final[Schema] = {"not": {"bsonType": "null"}, "pattern": f"[^{BLANKS}]"}
_NUMBERS: Final = ["double", "int", "long"]


# -- values -----------------------------------------------------------------------------------


def is_filled(value: object) -> bool:
    """Whether a value says anything: it is neither absent, null nor blank text."""
    return value is not None and (type(value) is not str or bool(value.strip()))


def _is_number(value: object) -> bool:
    # A bool is a number in Python.
    return isinstance(value, (int, float)) and not isinstance(value, bool)  # fast


def milliseconds(value: object) -> int | None:
    """A stored date in milliseconds since 1970, ``None`` where the value is no date."""
    if isinstance(value, DatetimeMS):
        return int(value)
    if not isinstance(value, datetime):
        return None
    # PyMongo gives dates without a zone unless it is told otherwise; they are UTC.
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - _EPOCH) // _MS


def year_in_france(value: object) -> int | None:
    """The year of a stored date in France, ``None`` where the value is no date of a year.

    France is one hour ahead of UTC at every turn of the year since 1946, so no time zone
    database is needed.
    """
    if isinstance(value, datetime) and 1 < value.year < MAXYEAR:
        if 1 < value.month < 12:  # it is the same in every zone
            return value.year
        aware = value if value.tzinfo is None else value.astimezone(UTC)
        return (aware + _ONE_HOUR).year
    moment = milliseconds(value)
    if moment is None or not _YEAR_1 <= moment + _HOUR < _YEAR_10000:
        return None
    return (_EPOCH + timedelta(milliseconds=moment + _HOUR)).year


# -- conditions -------------------------------------------------------------------------------


class Condition(ABC):
    """Something that is so for a document, or not."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The fields it looks at."""

    @abstractmethod
    def holds(self, get: Get) -> bool:
        """Whether it is so; never raises."""

    @abstractmethod
    def schema(self, defaults: Defaults) -> Schema:
        """The ``$jsonSchema`` that a document matches if and only if it is so."""

    def renamed(self, names: Names) -> Condition | None:  # noqa: ARG002  # see below
        """The same of fields with other names; ``None`` where null is not as good as absent."""
        return None


@dataclass(frozen=True, slots=True, init=False)
class Is(Condition):
    """A field is one of some texts or flags."""

    name: str
    values: tuple[str | bool, ...]

    def __init__(self, name: str, *values: str | bool) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "values", values)

    @property
    def names(self) -> Sequence[str]:
        """The field."""
        return (self.name,)

    def holds(self, get: Get) -> bool:
        """Whether it is one of them, of the same type."""
        value = get(self.name)
        return value in self.values and type(value) in (str, bool)

    def schema(self, defaults: Defaults) -> Schema:
        """``enum``."""
        said: Schema = {"properties": {self.name: {"enum": list(self.values)}}}
        return said if defaults.get(self.name) in self.values else {**said, "required": [self.name]}

    def renamed(self, names: Names) -> Is:
        """Whether the field of the other name is one of them."""
        return Is(names[self.name], *self.values)


@dataclass(frozen=True, slots=True)
class There(Condition):
    """A field is there, be it null."""

    name: str

    @property
    def names(self) -> Sequence[str]:
        """The field."""
        return (self.name,)

    def holds(self, get: Get) -> bool:
        """Whether it is there."""
        return get(self.name, ABSENT) is not ABSENT

    def schema(self, defaults: Defaults) -> Schema:
        """``required``."""
        return {} if self.name in defaults else {"required": [self.name]}


@dataclass(frozen=True, slots=True, init=False)
class Filled(Condition):
    """At least one of some fields says anything."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def holds(self, get: Get) -> bool:
        """Whether one is neither absent, null nor blank."""
        return any(is_filled(get(name)) for name in self.names)

    def schema(self, defaults: Defaults) -> Schema:
        """``anyOf``."""
        return {"anyOf": [_all_filled([name], defaults) for name in self.names]}

    def renamed(self, names: Names) -> Filled:
        """Whether one of the other names says anything."""
        return Filled(*(names[name] for name in self.names))


def _all_filled(names: Sequence[str], defaults: Defaults) -> Schema:
    needed = [name for name in names if not is_filled(defaults.get(name))]
    said: Schema = {"properties": dict.fromkeys(names, _FILLED)}
    return {"required": needed, **said} if needed else said


@dataclass(frozen=True, slots=True)
class Fits(Condition):
    """A field holds a text of which the whole matches a pattern, or no text."""

    name: str
    pattern: str

    @property
    def names(self) -> Sequence[str]:
        """The field."""
        return (self.name,)

    def holds(self, get: Get) -> bool:
        """Whether it fits."""
        value = get(self.name)
        # JavaScript code is a string in Python, and none in BSON.
        if not isinstance(value, str) or isinstance(value, Code):
            return True
        return re.fullmatch(self.pattern, value) is not None

    def schema(self, defaults: Defaults) -> Schema:  # noqa: ARG002  # no default is misfit
        """``pattern``, which says nothing about what is no text."""
        return {"properties": {self.name: {"pattern": server_pattern(f"^(?:{self.pattern})$")}}}


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The opposite."""

    of: Condition

    @property
    def names(self) -> Sequence[str]:
        """The same fields."""
        return self.of.names

    def holds(self, get: Get) -> bool:
        """Whether it is not so."""
        return not self.of.holds(get)

    def schema(self, defaults: Defaults) -> Schema:
        """``not``."""
        return {"not": self.of.schema(defaults)}

    def renamed(self, names: Names) -> Not | None:
        """The opposite of the other."""
        of = self.of.renamed(names)
        return None if of is None else Not(of)


class _Several(Condition):
    __slots__ = ("of",)

    def __init__(self, *of: Condition) -> None:
        self.of = of

    @property
    def names(self) -> Sequence[str]:
        """The fields of all."""
        return [name for condition in self.of for name in condition.names]


class All(_Several):
    """Several things at once."""

    __slots__ = ()

    def holds(self, get: Get) -> bool:
        """Whether all are so."""
        return all(condition.holds(get) for condition in self.of)

    def schema(self, defaults: Defaults) -> Schema:
        """``allOf``."""
        return {"allOf": [condition.schema(defaults) for condition in self.of]} if self.of else {}

    def renamed(self, names: Names) -> All | None:
        """All of the others."""
        of = [condition.renamed(names) for condition in self.of]
        return None if None in of else All(*(condition for condition in of if condition))


class AnyOf(_Several):
    """At least one of several things."""

    __slots__ = ()

    def holds(self, get: Get) -> bool:
        """Whether one is so."""
        return any(condition.holds(get) for condition in self.of)

    def schema(self, defaults: Defaults) -> Schema:
        """``anyOf``."""
        return {"anyOf": [condition.schema(defaults) for condition in self.of]}


# -- rules ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DocumentRule(Rule, ABC):
    """A rule across fields.

    Attributes:
        id: Stable identifier, ``<model>.<rule>`` in lower case with hyphens.
        severity: What a violation means.
    """

    _: KW_ONLY
    severity: Severity = Severity.WARNING

    @property
    @abstractmethod
    def reads(self) -> Sequence[str]:
        """The fields it looks at."""

    @abstractmethod
    def broken(self, get: Get) -> Sequence[str]:
        """The paths at which a document breaks it; never raises, whatever the fields hold."""

    def schema(self, defaults: Defaults) -> Schema | None:  # noqa: ARG002  # see below
        """The ``$jsonSchema`` of documents that keep it, ``None`` where none can say it."""
        return None

    def violators(self) -> Mapping[str, Any] | None:
        """The match expression of whole documents that break it, where no schema can say it."""
        return None

    def renamed(self, names: Names) -> DocumentRule | None:  # noqa: ARG002  # see below
        """The same rule of fields with other names; ``None`` where null is not as good as absent.

        Args:
            names: The other names by those that it reads.
        """
        return None


@dataclass(frozen=True)
class Required(DocumentRule):
    """Some fields say something, under a condition."""

    names: tuple[str, ...]
    when: Condition = All()  # noqa: RUF009  # a value

    @property
    def reads(self) -> Sequence[str]:
        """Those fields, and those of the condition."""
        return (*self.names, *self.when.names)

    def broken(self, get: Get) -> Sequence[str]:
        """Those that are absent, null or blank."""
        if not self.when.holds(get):
            return ()
        for name in self.names:
            value = get(name)
            # As in is_filled, but this runs for every document there is.
            if value is None or (type(value) is str and not value.strip()):
                return [name for name in self.names if not is_filled(get(name))]
        return ()

    def schema(self, defaults: Defaults) -> Schema:
        """Not the condition, or all filled."""
        return {"anyOf": [{"not": self.when.schema(defaults)}, _all_filled(self.names, defaults)]}

    def renamed(self, names: Names) -> DocumentRule | None:
        """The fields of the condition have other names as well."""
        when = self.when.renamed(names)
        fields = tuple(names[name] for name in self.names)
        return None if when is None else replace(self, names=fields, when=when)


@dataclass(frozen=True)
class Forbidden(DocumentRule):
    """Something must not be so; it is told of one field."""

    fields: Mapping[str, Condition]

    @property
    def reads(self) -> Sequence[str]:
        """The fields of the conditions."""
        return [name for condition in self.fields.values() for name in condition.names]

    def broken(self, get: Get) -> Sequence[str]:
        """The fields whose condition holds."""
        return [name for name, condition in self.fields.items() if condition.holds(get)]

    def schema(self, defaults: Defaults) -> Schema:
        """None of the conditions."""
        return {"not": {"anyOf": [one.schema(defaults) for one in self.fields.values()]}}


@dataclass(frozen=True)
class FilledIffZero(DocumentRule):
    """A text is there if a number is 0, and only then."""

    name: str
    number: str

    @property
    def reads(self) -> Sequence[str]:
        """Both."""
        return (self.name, self.number)

    def broken(self, get: Get) -> Sequence[str]:
        """The text."""
        number = get(self.number)
        if not _is_number(number) or (number == 0) == is_filled(get(self.name)):
            return ()
        return (self.name,)

    def schema(self, defaults: Defaults) -> Schema:
        """No number, or both or neither."""
        number: Schema = {
            "required": [self.number],
            "properties": {self.number: {"bsonType": _NUMBERS}},
        }
        zero: Schema = {"properties": {self.number: {"minimum": 0, "maximum": 0}}}
        filled = _all_filled([self.name], defaults)
        neither: Schema = {"not": {"anyOf": [zero, filled]}}
        return {"anyOf": [{"not": number}, {"allOf": [zero, filled]}, neither]}

    def renamed(self, names: Names) -> DocumentRule:
        """Both have other names."""
        return replace(self, name=names[self.name], number=names[self.number])


@dataclass(frozen=True)
class ValuesWithin(DocumentRule):
    """The numbers among the values of an embedded document are between two limits."""

    name: str
    low: float
    high: float

    @property
    def reads(self) -> Sequence[str]:
        """The field with the embedded document."""
        return (self.name,)

    def broken(self, get: Get) -> Sequence[str]:
        """Each number beyond the limits."""
        inside = get(self.name)
        if not isinstance(inside, Mapping):
            return ()
        return [
            f"{self.name}.{key}"
            for key, value in inside.items()
            if _is_number(value) and not self.low <= value <= self.high
        ]

    def schema(self, defaults: Defaults) -> Schema:  # noqa: ARG002  # no default is a document
        """``additionalProperties``, which says nothing about what is no document."""
        within: Schema = {"bsonType": _NUMBERS, "minimum": self.low, "maximum": self.high}
        either: Schema = {"anyOf": [{"not": {"bsonType": _NUMBERS}}, within]}
        return {"properties": {self.name: {"additionalProperties": either}}}


@dataclass(frozen=True)
class NotBefore(DocumentRule):
    """A date does not come before another; what is no date is not compared."""

    later: str
    earlier: str

    @property
    def reads(self) -> Sequence[str]:
        """Both."""
        return (self.later, self.earlier)

    def broken(self, get: Get) -> Sequence[str]:
        """The one that should be later."""
        end, start = get(self.later), get(self.earlier)
        if end is None:
            return ()
        if type(end) is type(start) is datetime and end.tzinfo is start.tzinfo:
            return (self.later,) if end < start else ()
        last, first = milliseconds(end), milliseconds(start)
        return (self.later,) if last is not None and first is not None and last < first else ()

    def violators(self) -> Mapping[str, Any]:
        """``$expr``."""
        both = [_is_date(self.later), _is_date(self.earlier)]
        before = {"$lt": [f"${self.later}", f"${self.earlier}"]}
        # A date that is not there is told at less cost than an expression is computed.
        return {self.later: {"$type": "date"}, "$expr": {"$and": [*both, before]}}

    def renamed(self, names: Names) -> DocumentRule:
        """Both have other names."""
        return replace(self, later=names[self.later], earlier=names[self.earlier])


def _is_date(name: str) -> Mapping[str, Any]:
    return {"$eq": [{"$type": f"${name}"}, "date"]}


@dataclass(frozen=True)
class YearInFrance(DocumentRule):
    """A number is the year of a date in France, where both are there."""

    year: str
    day: str

    @property
    def reads(self) -> Sequence[str]:
        """Both."""
        return (self.year, self.day)

    def year_of(self, day: object) -> int | None:
        """The year of a date, ``None`` where it is none."""
        return year_in_france(day)

    def broken(self, get: Get) -> Sequence[str]:
        """The number."""
        stored = get(self.year)
        if not _is_number(stored):
            return ()
        expected = self.year_of(get(self.day))
        return () if expected is None or stored == expected else (self.year,)

    def violators(self) -> Mapping[str, Any]:
        """``$expr``."""
        day = f"${self.day}"
        comparable = [
            {"$in": [{"$type": f"${self.year}"}, _NUMBERS]},
            _is_date(self.day),
            {"$gte": [day, DatetimeMS(_YEAR_1 - _HOUR)]},
            {"$lt": [day, DatetimeMS(_YEAR_10000 - _HOUR)]},
        ]
        differs = {"$ne": [f"${self.year}", {"$year": {"$add": [day, _HOUR]}}]}
        return {
            self.year: {"$type": _NUMBERS},
            "$expr": {"$cond": [{"$and": comparable}, differs, False]},
        }

    def renamed(self, names: Names) -> DocumentRule:
        """Both have other names."""
        return replace(self, year=names[self.year], day=names[self.day])
