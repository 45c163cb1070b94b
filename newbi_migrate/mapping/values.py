"""Careful reading of stored values: what counts as text, a flag, a date, an id.

Stored data breaks the rules of the schema that wrote it, so every reader here accepts any BSON
value and answers ``None`` for what it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON

__all__ = [
    "ABSENT",
    "BLANKS",
    "Absent",
    "IdForm",
    "StoredId",
    "date_of",
    "flag",
    "get_path",
    "is_missing",
    "legacy_flag",
    "read_id",
    "text",
    "trim",
    "write_id",
]

_HEX_ID = re.compile(r"\A[0-9a-fA-F]{24}\Z")
BLANKS: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
)
"""What JavaScript's ``trim()`` takes away: white space and ends of lines of ECMAScript.

A byte order mark is one, U+001C to U+001F and U+0085 are none, the other way round than in Python.
"""
# In milliseconds since 1970. Newbi stored nothing before 2000: a smaller number counts seconds.
_MILLENNIUM, _YEAR_10000 = 946_684_800_000, 253_402_300_800_000


class Absent:
    """Type of :data:`ABSENT`, the value of a field that a document does not have."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        # A copy would be another object, and whoever looks for this one would not see it.
        return "ABSENT"


ABSENT: Final = Absent()
"""Stands for a field that is not there, which in MongoDB is not the same as ``null``."""


def trim(value: str) -> str:
    """The text without the blanks around it, as JavaScript's ``trim()`` leaves it."""
    return value.strip(BLANKS)


def text(value: object) -> str | None:
    """The trimmed text, or ``None`` where the value is no string or has nothing but blanks."""
    if not isinstance(value, str):
        return None
    return trim(value) or None


def flag(value: object) -> bool | None:
    """The boolean, or ``None`` where the value is of another type; nothing is coerced."""
    return value if isinstance(value, bool) else None


def legacy_flag(value: object) -> bool | None:
    """The boolean the legacy application reads, which is more than what is one.

    Mongoose casts the values of ``mongoose.Schema.Types.Boolean.convertToTrue`` and
    ``convertToFalse``: somebody disabled by a script that wrote ``1`` was disabled indeed.
    """
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float | str):
        return None
    if value in (1, "1", "true", "yes"):
        return True
    return False if value in (0, "0", "false", "no") else None


def is_missing(value: object) -> bool:
    """Whether a stored value says nothing: absent, null or a blank string."""
    return value is ABSENT or value is None or (isinstance(value, str) and not trim(value))


def get_path(document: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of nested documents, :data:`ABSENT` where the path ends early."""
    current: Any = document
    for name in path:
        # A dictionary is told at once, any other mapping by a look at its classes.
        if not isinstance(current, (dict, Mapping)) or name not in current:
            return ABSENT
        current = current[name]
    return current


def date_of(value: object) -> datetime | None:
    """A UTC date with millisecond precision, from a BSON date, an ISO 8601 string or a number.

    A number counts the milliseconds since 1970, as Mongoose casts it. Numbers that would be dates
    before the year 2000 answer ``None``, for they count something else (seconds), and so do dates
    outside the years 1 to 9999, which Python cannot hold.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not _MILLENNIUM <= value < _YEAR_10000:
            return None
        value = DatetimeMS(int(value))
    if isinstance(value, DatetimeMS):
        try:
            value = value.as_datetime()
        except (InvalidBSON, OverflowError, ValueError):
            return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(trim(value))
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return None
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


class IdForm(StrEnum):
    """The forms in which a user's or an organization's id is found in stored documents."""

    OBJECT_ID = "objectId"
    HEX_STRING = "hex-string"
    OID_OBJECT = "oid-object"
    NULL = "null"
    MISSING = "missing"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class StoredId:
    """A stored reference.

    Attributes:
        value: The id it means; ``None`` if it means none.
        form: The form it is stored in.
    """

    value: ObjectId | None
    form: IdForm


def read_id(value: object) -> StoredId:
    """Understand an ObjectId, a string of 24 hexadecimal digits, and a ``{"$oid": …}`` object.

    The last is what a careless import of Extended JSON leaves in a database.
    """
    if isinstance(value, ObjectId):
        return StoredId(value, IdForm.OBJECT_ID)
    if value is ABSENT:
        return StoredId(None, IdForm.MISSING)
    if value is None:
        return StoredId(None, IdForm.NULL)
    if isinstance(value, str) and _HEX_ID.match(value):
        return StoredId(ObjectId(value), IdForm.HEX_STRING)
    if isinstance(value, Mapping) and len(value) == 1:
        inner = value.get("$oid")
        if isinstance(inner, str) and _HEX_ID.match(inner):
            return StoredId(ObjectId(inner), IdForm.OID_OBJECT)
    return StoredId(None, IdForm.MALFORMED)


def write_id(identifier: ObjectId, form: IdForm) -> Any:
    """The id in the given form, so that rewriting a reference does not change its type.

    Raises:
        ValueError: The form holds no id.
    """
    if form is IdForm.OBJECT_ID:
        return identifier
    if form is IdForm.HEX_STRING:
        return str(identifier)
    if form is IdForm.OID_OBJECT:
        return {"$oid": str(identifier)}
    raise ValueError(f"a reference in the form {form.value!r} holds no id")
