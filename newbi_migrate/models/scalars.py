"""Rules for BSON scalars: text, numbers, flags, dates, ids, and how to make more of them.

None coerces: a value of another BSON type breaks the rule and stays what it is. This module
changes when Newbi stores another kind of scalar; what a text must look like is in
:mod:`newbi_migrate.models.fields`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, get_args

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate.invariants.base import Severity
from newbi_migrate.models.rules import Rule

__all__ = [
    "BsonDate",
    "Flag",
    "NonEmptyText",
    "NonNegative",
    "NonPositive",
    "NonZero",
    "Number",
    "ObjectIdField",
    "OwnerId",
    "Percentage",
    "Positive",
    "Text",
    "WholeNumber",
    "WorkspaceId",
    "WorkspaceIdString",
    "between",
    "choice",
    "made_of",
    "matching",
    "text",
]


def _is_number(value: object) -> bool:
    # BSON integers have at most 64 bits; a bool is no number in BSON, though one in Python.
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def matching(name: str, sentence: str, pattern: str, flags: int = re.ASCII) -> Rule:
    """A string of which the whole matches a regular expression."""
    compiled = re.compile(pattern, flags)
    return Rule(
        f"field.{name}",
        sentence,
        lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None,
        json_schema={"type": "string", "pattern": f"^(?:{pattern})$"},
    )


def made_of(
    name: str, sentence: str, minimum: int, maximum: int, allowed: Callable[[str], bool]
) -> Rule:
    """A string of a number of characters, each of which is allowed."""
    return Rule(
        f"field.{name}",
        sentence,
        lambda value: (
            isinstance(value, str)
            and minimum <= len(value) <= maximum
            and all(allowed(character) for character in value)
        ),
        json_schema={"type": "string", "minLength": minimum, "maxLength": maximum},
    )


def text(minimum: int = 0, maximum: int | None = None) -> Rule:
    """A string with a number of characters; with a minimum, not of blanks alone."""
    if maximum is None:
        name, extent = (f"text-min-{minimum}", f" of at least {minimum} characters")
        if minimum == 0:
            name, extent = ("text", "")
        elif minimum == 1:
            name, extent = ("text-not-blank", " that is not blank")
    elif minimum == 0:
        name, extent = (f"text-max-{maximum}", f" of at most {maximum} characters")
    else:
        name, extent = (f"text-{minimum}-{maximum}", f" of {minimum} to {maximum} characters")
    schema: dict[str, Any] = {"type": "string"}
    if minimum:
        schema["minLength"] = minimum
    if maximum is not None:
        schema["maxLength"] = maximum
    return Rule(
        f"field.{name}",
        f"The value is text{extent}.",
        lambda value: (
            isinstance(value, str)
            and minimum <= len(value)
            and (maximum is None or len(value) <= maximum)
            and (minimum == 0 or bool(value.strip()))
        ),
        json_schema=schema,
    )


def between(low: float, high: float) -> Rule:
    """A number from ``low`` to ``high``, both included."""
    return Rule(
        f"field.number-{low}-{high}",
        f"The value is a number from {low} to {high}.",
        lambda value: _is_number(value) and low <= value <= high,  # type: ignore[operator]
        json_schema={"type": "number", "minimum": low, "maximum": high},
    )


def choice(name: str, values: Any) -> Rule:
    """One of the strings of a ``Literal``."""
    allowed = get_args(values)
    return Rule(
        f"field.{name}",
        f"The value is one of {', '.join(allowed)}.",
        lambda value: isinstance(value, str) and value in allowed,
        json_schema={"type": "string", "enum": list(allowed)},
    )


def _object_id(name: str, sentence: str, severity: Severity) -> Rule:
    return Rule(
        f"field.{name}",
        sentence,
        lambda value: isinstance(value, ObjectId),
        severity=severity,
        json_schema={"type": "string", "pattern": "^[0-9a-f]{24}$"},
        to_json=lambda value: str(value) if isinstance(value, ObjectId) else value,
    )


ObjectIdField = Annotated[
    ObjectId, _object_id("object-id", "The value is an ObjectId.", Severity.WARNING)
]
OwnerId = Annotated[
    ObjectId,
    _object_id("owner-id", "The id of a user is there and an ObjectId.", Severity.CRITICAL),
]
WorkspaceId = Annotated[
    ObjectId,
    _object_id(
        "workspace-id", "The id of the workspace is there and an ObjectId.", Severity.CRITICAL
    ),
]
_HEX_ID: Final = re.compile(r"[0-9a-f]{24}")
WorkspaceIdString = Annotated[
    str,
    Rule(
        "field.workspace-id-string",
        "The id of the workspace is there and a string of 24 hexadecimal digits.",
        lambda value: isinstance(value, str) and _HEX_ID.fullmatch(value) is not None,
        severity=Severity.CRITICAL,
        json_schema={"type": "string", "pattern": "^[0-9a-f]{24}$"},
    ),
]

Flag = Annotated[
    bool,
    Rule(
        "field.boolean",
        "The value is true or false.",
        lambda value: isinstance(value, bool),
        json_schema={"type": "boolean"},
    ),
]
BsonDate = Annotated[
    datetime,
    Rule(
        "field.date",
        "The value is a date.",
        lambda value: isinstance(value, datetime | DatetimeMS),
        json_schema={"type": "string", "format": "date-time"},
    ),
]


def _number(name: str, sentence: str, holds: Callable[[Any], bool], **schema: object) -> Rule:
    return Rule(
        f"field.{name}",
        sentence,
        lambda value: _is_number(value) and holds(value),
        json_schema={"type": "number", **schema},
    )


Number = Annotated[int | float, _number("number", "The value is a number.", lambda _: True)]
NonNegative = Annotated[
    int | float,
    _number("number-min-0", "The value is a number, 0 or more.", lambda n: n >= 0, minimum=0),
]
NonPositive = Annotated[
    int | float,
    _number("number-max-0", "The value is a number, 0 or less.", lambda n: n <= 0, maximum=0),
]
Positive = Annotated[
    int | float,
    _number(
        "number-positive",
        "The value is a number greater than 0.",
        lambda n: n > 0,
        exclusiveMinimum=0,
    ),
]
NonZero = Annotated[
    int | float,
    _number("number-not-0", "The value is a number other than 0.", lambda n: n < 0 or n > 0),
]
# JavaScript has one kind of number, and a driver may store a whole one as a double.
WholeNumber = Annotated[
    int | float,
    _number("number-whole", "The value is a whole number.", lambda n: n % 1 == 0),
]
Percentage = Annotated[int | float, between(0, 100)]

Text = Annotated[str, text()]
NonEmptyText = Annotated[str, text(1)]
