"""Numbers as the text that the application's own casting makes of them.

Where its schemas say ``String``, Mongoose casts a stored number by JavaScript's ``toString``.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from bson import Decimal128

from newbi_migrate.mapping.values import text

__all__ = ["cast_text", "number_text"]


def cast_text(value: object) -> str | None:
    """The trimmed text as the application reads it, of a string or a number; else ``None``."""
    return text(number_text(value) or value)


def number_text(value: object) -> str | None:
    """What JavaScript writes for a number; ``None`` for what is no number, and for no amount.

    An ``int`` is an int32 or an int64, which the driver reads as a number or a ``Long``.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal128):
        return str(value) if value.to_decimal().is_finite() else None
    if isinstance(value, float) and math.isfinite(value):
        return _double(value)
    return None


def _double(value: float) -> str:
    # ``Number::toString`` of ECMAScript: the shortest digits, as Python's, but laid out otherwise.
    sign, digits, exponent = _shortest(value)
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        return sign + digits + "0" * exponent
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _shortest(value: float) -> tuple[str, str, int]:
    if not value:
        return "", "0", 0
    negative, numbers, exponent = Decimal(repr(value)).as_tuple()
    shown: Any = exponent  # an int, of a finite number
    digits = "".join(map(str, numbers))
    bare = digits.rstrip("0")
    return "-" if negative else "", bare, shown + len(digits) - len(bare)
