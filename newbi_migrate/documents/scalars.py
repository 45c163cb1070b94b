"""Rules for BSON scalars: text, numbers, flags, dates, ids, and how to make more of them.

None coerces: a value of another BSON type breaks the rule and stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, get_args

from bson import ObjectId

from newbi_migrate.documents.rules import Rule, predicated
from newbi_migrate.invariants.base import Severity
from newbi_migrate.invariants.language import (
    NUMBER,
    AllOf,
    AnyOf,
    BuiltFrom,
    Contains,
    Kind,
    Length,
    Matches,
    OneOf,
    Predicate,
    Whole,
    Within,
)

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


def matching(name: str, sentence: str, pattern: str, *, ascii_only: bool = True) -> Rule:
    """A string of which the whole matches a regular expression."""
    return predicated(
        f"field.{name}",
        sentence,
        Matches(pattern, ascii_only=ascii_only),
        json_schema={"type": "string", "pattern": f"^(?:{pattern})$"},
    )


def made_of(
    name: str, sentence: str, minimum: int, maximum: int, allowed: Callable[[str], bool]
) -> Rule:
    """A string of a number of characters, each of which is allowed."""
    return predicated(
        f"field.{name}",
        sentence,
        BuiltFrom(allowed, Length(minimum, maximum)),
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
    length = Length(minimum, maximum)
    return predicated(
        f"field.{name}",
        f"The value is text{extent}.",
        AllOf(length, Contains(r"[^\s]")) if minimum else length,
        json_schema=schema,
    )


def between(low: float, high: float) -> Rule:
    """A number from ``low`` to ``high``, both included."""
    return predicated(
        f"field.number-{low}-{high}",
        f"The value is a number from {low} to {high}.",
        Within(low, high),
        json_schema={"type": "number", "minimum": low, "maximum": high},
    )


def choice(name: str, values: Any) -> Rule:
    """One of the strings of a ``Literal``."""
    allowed = get_args(values)
    return predicated(
        f"field.{name}",
        f"The value is one of {', '.join(allowed)}.",
        OneOf(allowed),
        json_schema={"type": "string", "enum": list(allowed)},
    )


OBJECT_ID: Final = Kind(("objectId",))


def _object_id(name: str, sentence: str, severity: Severity) -> Rule:
    return predicated(
        f"field.{name}",
        sentence,
        OBJECT_ID,
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
WorkspaceIdString = Annotated[
    str,
    predicated(
        "field.workspace-id-string",
        "The id of the workspace is there and a string of 24 hexadecimal digits.",
        Matches("[0-9a-f]{24}"),
        severity=Severity.CRITICAL,
        json_schema={"type": "string", "pattern": "^[0-9a-f]{24}$"},
    ),
]

Flag = Annotated[
    bool,
    predicated(
        "field.boolean",
        "The value is true or false.",
        Kind(("bool",)),
        json_schema={"type": "boolean"},
    ),
]
BsonDate = Annotated[
    datetime,
    predicated(
        "field.date",
        "The value is a date.",
        Kind(("date",)),
        json_schema={"type": "string", "format": "date-time"},
    ),
]


def _number(name: str, sentence: str, test: Predicate, **schema: object) -> Rule:
    return predicated(f"field.{name}", sentence, test, json_schema={"type": "number", **schema})


Number = Annotated[int | float, _number("number", "The value is a number.", NUMBER)]
NonNegative = Annotated[
    int | float,
    _number("number-min-0", "The value is a number, 0 or more.", Within(low=0), minimum=0),
]
NonPositive = Annotated[
    int | float,
    _number("number-max-0", "The value is a number, 0 or less.", Within(high=0), maximum=0),
]
Positive = Annotated[
    int | float,
    _number(
        "number-positive",
        "The value is a number greater than 0.",
        Within(above=0),
        exclusiveMinimum=0,
    ),
]
NonZero = Annotated[
    int | float,
    _number(
        "number-not-0",
        "The value is a number other than 0.",
        AnyOf(Within(above=0), Within(below=0)),
    ),
]
# JavaScript has one kind of number, and a driver may store a whole one as a double.
WholeNumber = Annotated[
    int | float,
    _number("number-whole", "The value is a whole number of at most 15 digits.", Whole()),
]
Percentage = Annotated[int | float, between(0, 100)]

Text = Annotated[str, text()]
NonEmptyText = Annotated[str, text(1)]
