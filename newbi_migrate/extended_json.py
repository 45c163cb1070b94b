"""Extended JSON read back, whatever its values are."""

from __future__ import annotations

from typing import Any, Final

from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

__all__ = ["from_extended_json"]

_OPTIONS: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Dates that Python cannot hold are numbers, as where documents are decoded."""


def from_extended_json(text: str) -> Any:
    """A value from its text in Extended JSON, relaxed or canonical.

    Raises:
        ValueError: It is none.
    """
    try:
        return json_util.loads(text, json_options=_OPTIONS)
    except (TypeError, ArithmeticError, BSONError) as error:
        raise ValueError("it is not Extended JSON") from error
