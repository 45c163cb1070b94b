"""BSON scalars as annotations: text, numbers, flags, dates, ids.

Each is declared with pydantic's own constraints and is strict: a value of another BSON type is
refused and never coerced. Ids and dates alone are also understood as JSON writes them, where a
document is new; a stored one has to hold the BSON type itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_args

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema as cs

from newbi_migrate.documents.characters import BLANKS
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.rules import Severity

__all__ = [
    "DOCUMENT_ID",
    "STORED_ALWAYS",
    "BsonDate",
    "BsonType",
    "DocumentId",
    "EmbeddedId",
    "Flag",
    "NonEmptyText",
    "NonNegative",
    "NonPositive",
    "NonZero",
    "Number",
    "ObjectIdField",
    "OrganizationId",
    "OwnerId",
    "Percentage",
    "Positive",
    "Text",
    "WholeNumber",
    "WorkspaceId",
    "WorkspaceIdOfEitherType",
    "WorkspaceIdString",
    "WrittenDate",
    "choice",
    "now",
    "text",
    "whole",
]


def now() -> datetime:
    """This moment, to the millisecond as BSON holds it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class _StoredAlways:
    def __repr__(self) -> str:
        return "STORED_ALWAYS"


STORED_ALWAYS: Final = _StoredAlways()
"""In ``Annotated``: a stored document has to have the field, though a new one has a default."""


# -- ids and dates ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class BsonType:
    """A type of BSON: an instance of it where BSON comes in, and text where JSON does.

    Attributes:
        name: MongoDB's name of the type.
        kinds: Its classes in Python.
        text: How pydantic reads its text.
        json: The JSON Schema of its text.
    """

    name: str
    kinds: tuple[type[Any], ...]
    text: CoreSchema
    json: dict[str, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        stored = cs.is_instance_schema(self.kinds)
        made = cs.lax_or_strict_schema(
            lax_schema=cs.union_schema([stored, self.text], mode="left_to_right"),
            strict_schema=stored,
            serialization=cs.to_string_ser_schema(when_used="json")
            if ObjectId in self.kinds
            else None,
        )
        # Beanie reads the annotation of its id, which has to be a plain ``X | None``.
        return cs.nullable_schema(made) if type(None) in get_args(source) else made

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self.json)


_OBJECT_ID: Final = BsonType(
    "objectId",
    (ObjectId,),
    cs.no_info_after_validator_function(
        ObjectId, cs.str_schema(pattern="^[0-9a-fA-F]{24}$", strict=True)
    ),
    {"type": "string", "pattern": "^[0-9a-f]{24}$"},
)
_DATE: Final = BsonType(
    "date",
    (datetime, DatetimeMS),
    # A number in a text is no date, as pydantic would have it.
    cs.chain_schema([cs.str_schema(strict=True, pattern="^[0-9]{4}-"), cs.datetime_schema()]),
    {"type": "string", "format": "date-time"},
)

ObjectIdField = Annotated[
    ObjectId, _OBJECT_ID, FieldRule("field.object-id", "The value is an ObjectId.")
]
DOCUMENT_ID: Final = (
    _OBJECT_ID,
    FieldRule("field.document-id", "The _id of a document is an ObjectId.", Severity.CRITICAL),
)
DocumentId = Annotated[ObjectId, _OBJECT_ID, DOCUMENT_ID[1]]
EmbeddedId = Annotated[
    ObjectId,
    _OBJECT_ID,
    FieldRule("field.embedded-id", "The _id of an embedded document is an ObjectId."),
]
OwnerId = Annotated[
    ObjectId,
    _OBJECT_ID,
    FieldRule("field.owner-id", "The id of a user is there and an ObjectId.", Severity.CRITICAL),
]
WorkspaceId = Annotated[
    ObjectId,
    _OBJECT_ID,
    FieldRule(
        "field.workspace-id", "The id of the workspace is there and an ObjectId.", Severity.CRITICAL
    ),
]
OrganizationId = Annotated[
    ObjectId,
    _OBJECT_ID,
    FieldRule(
        "field.organization-id",
        "The id of an organization is there and an ObjectId.",
        Severity.CRITICAL,
    ),
]
BsonDate = Annotated[datetime, _DATE, FieldRule("field.date", "The value is a date.")]
WrittenDate = Annotated[BsonDate, STORED_ALWAYS]
"""A date the application always writes: a new document has a default for it."""
Flag = Annotated[bool, Strict(), FieldRule("field.boolean", "The value is true or false.")]


# -- numbers ----------------------------------------------------------------------------------

# JavaScript has one kind of number, and a driver may store a whole one as a double.
_MOST: Final = 2**63 - 1

Number = Annotated[
    Annotated[int, Strict(), Ge(-_MOST - 1), Le(_MOST)] | Annotated[float, Strict()],
    FieldRule("field.number", "The value is a number."),
]
NonNegative = Annotated[
    Annotated[int, Strict(), Ge(0), Le(_MOST)] | Annotated[float, Strict(), Ge(0)],
    FieldRule("field.number-min-0", "The value is a number, 0 or more."),
]
NonPositive = Annotated[
    Annotated[int, Strict(), Ge(-_MOST - 1), Le(0)] | Annotated[float, Strict(), Le(0)],
    FieldRule("field.number-max-0", "The value is a number, 0 or less."),
]
Positive = Annotated[
    Annotated[int, Strict(), Gt(0), Le(_MOST)] | Annotated[float, Strict(), Gt(0)],
    FieldRule("field.number-positive", "The value is a number greater than 0."),
]
NonZero = Annotated[
    Annotated[int, Strict(), Gt(0), Le(_MOST)]
    | Annotated[int, Strict(), Ge(-_MOST - 1), Lt(0)]
    | Annotated[float, Strict(), Gt(0)]
    | Annotated[float, Strict(), Lt(0)],
    FieldRule("field.number-not-0", "The value is a number other than 0."),
]
Percentage = Annotated[
    Annotated[int, Strict(), Ge(0), Le(100)] | Annotated[float, Strict(), Ge(0), Le(100)],
    FieldRule("field.number-0-100", "The value is a number from 0 to 100."),
]


@dataclass(frozen=True, slots=True)
class WholeDouble:
    """A double that is a whole number, as a server sees it: rounded to 15 digits."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return cs.no_info_after_validator_function(_whole, handler(source))


def _whole(value: float) -> float:
    if float(f"{value:.15g}") % 1:
        raise ValueError
    return value


WholeNumber = Annotated[
    Annotated[int, Strict(), Gt(-(10**15)), Lt(10**15)]
    | Annotated[float, Strict(), Gt(-(10**15)), Lt(10**15), WholeDouble()],
    FieldRule("field.number-whole", "The value is a whole number of at most 15 digits."),
]


# -- text -------------------------------------------------------------------------------------


def whole(
    pattern: str, *, min_length: int | None = None, max_length: int | None = None
) -> StringConstraints:
    """Text of which the whole matches a pattern.

    Args:
        pattern: A regular expression without classes whose meaning differs from engine to engine,
            see :mod:`~newbi_migrate.documents.characters`.
        min_length: The least number of characters.
        max_length: The greatest.

    Raises:
        ValueError: The pattern holds such a class.
    """
    if re.search(r"\\[sSdDwWbBZzA]", pattern):
        raise ValueError(f"{pattern} means another thing in each engine")
    return StringConstraints(
        strict=True, pattern=f"^(?:{pattern})$", min_length=min_length, max_length=max_length
    )


@dataclass(frozen=True, slots=True)
class text(GroupedMetadata):  # noqa: N801  # read as a function, as pydantic's own are
    """Text of a number of characters; with a minimum, not of blanks alone.

    Constraints and rule in one, for the many fields that say no more than how long they are.
    """

    min_length: int = 0
    max_length: int | None = None

    def __iter__(self) -> Iterator[object]:
        yield from StringConstraints(
            strict=True,
            min_length=self.min_length or None,
            max_length=self.max_length,
            pattern=f"[^{BLANKS}]" if self.min_length else None,
        )
        yield FieldRule(*self._says())

    def _says(self) -> tuple[str, str]:
        low, high = self.min_length, self.max_length
        if high is not None and low:
            return f"field.text-{low}-{high}", f"The value is text of {low} to {high} characters."
        if high is not None:
            return f"field.text-max-{high}", f"The value is text of at most {high} characters."
        if low > 1:
            return f"field.text-min-{low}", f"The value is text of at least {low} characters."
        if low:
            return "field.text-not-blank", "The value is text that is not blank."
        return "field.text", "The value is text."


Text = Annotated[str, text()]
NonEmptyText = Annotated[str, text(1)]

_HEX_ID: Final = whole("[0-9a-f]{24}")

WorkspaceIdString = Annotated[
    str,
    _HEX_ID,
    FieldRule(
        "field.workspace-id-string",
        "The id of the workspace is there and a string of 24 hexadecimal digits.",
        Severity.CRITICAL,
    ),
]
WorkspaceIdOfEitherType = Annotated[
    Annotated[str, _HEX_ID] | Annotated[ObjectId, _OBJECT_ID],
    FieldRule(
        "field.workspace-id-of-either-type",
        "The id of the workspace is there, an ObjectId or a string of 24 hexadecimal digits.",
        Severity.CRITICAL,
    ),
]


def choice(name: str, values: Any) -> FieldRule:
    """The rule of a ``Literal`` of strings.

    Args:
        name: The rule's id without ``field.``.
        values: The ``Literal``.
    """
    return FieldRule(f"field.{name}", f"The value is one of {', '.join(get_args(values))}.")
