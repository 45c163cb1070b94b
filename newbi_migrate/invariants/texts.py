"""What can be said of a text: predicates, each read in Python and by a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from bson.code import Code

from newbi_migrate.invariants.patterns import LAST, LATIN_1, blanks, class_of, server_pattern
from newbi_migrate.invariants.schemas import Schema

__all__ = ["BLANK", "FILLED", "BuiltFrom", "Contains", "Length", "Matches", "is_string"]


def is_string(value: object) -> bool:
    """Whether a value is a string in BSON."""
    # JavaScript code is a string in Python, and none in BSON.
    return isinstance(value, str) and not isinstance(value, Code)


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
            is_string(value)
            and _compiled(self.pattern, self.ascii_only).fullmatch(value) is not None
        )

    def schema(self) -> Schema:
        """``pattern``, from the first to the last character."""
        return {"bsonType": ["string"], "pattern": self._whole(LAST)}

    def never_blank(self) -> bool:
        """Whether blank text certainly does not match; some patterns are not looked into."""
        plain = re.sub(r"\\[^A-Za-vx-z]|\\w|\\d", "", self.pattern)
        outside = re.sub(r"\[[^\]]*\]", "", plain)
        sayable = plain.isascii() and plain.isprintable() and "\\" not in plain
        anything = " " in plain or "[^" in plain or "." in outside
        return sayable and self.ascii_only and not anything and not self.holds("")

    def usually(self) -> str:
        """A pattern that most of such texts match and no other text: blanks are of Latin-1."""
        # A class of all but blanks would match more with fewer of them.
        return self._whole(LAST if "[^" in self.pattern else LATIN_1)

    def _whole(self, last_blank: str) -> str:
        inner = server_pattern(self.pattern, ascii_only=self.ascii_only, last_blank=last_blank)
        return f"\\A(?:{inner})\\z"


@cache
def _compiled(pattern: str, ascii_only: bool) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII if ascii_only else 0)


@dataclass(frozen=True, slots=True)
class Contains:
    """Text of which a part matches a regular expression, for blanks of any kind."""

    pattern: str

    def holds(self, value: Any) -> bool:
        """Whether it is text that contains it."""
        return is_string(value) and _compiled(self.pattern, False).search(value) is not None

    def schema(self) -> Schema:
        """``pattern``."""
        return {
            "bsonType": ["string"],
            "pattern": server_pattern(self.pattern, ascii_only=False),
        }


@dataclass(frozen=True, slots=True)
class Length:
    """Text of a number of characters."""

    minimum: int = 0
    maximum: int | None = None

    def holds(self, value: Any) -> bool:
        """Whether it is text of that length."""
        return (
            is_string(value)
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
        """``pattern`` with all characters that are allowed, those of Latin-1 first.

        A server looks those up at once, and searches a list for any other.
        """
        most = "" if self.length.maximum is None else self.length.maximum
        classes = dict.fromkeys((_alphabet(self, LATIN_1), _alphabet(self)))
        ways = [f"[{one}]{{{self.length.minimum},{most}}}\\z" for one in classes]
        pattern = f"(?:{'|'.join(ways)})" if ways[1:] else ways[0]
        return {"bsonType": ["string"], "pattern": f"\\A{pattern}"}


@cache
def _alphabet(test: BuiltFrom, last: str = LAST) -> str:
    return class_of(lambda character: character <= last and test.allowed(character))


@dataclass(frozen=True, slots=True)
class _Filled:
    def holds(self, value: Any) -> bool:
        return value is not None and not (is_string(value) and not value.strip())

    def schema(self) -> Schema:
        # A pattern says nothing about what is no text.
        return {"not": {"bsonType": "null"}, "pattern": f"[^{blanks()}]"}


FILLED: Final = _Filled()
"""A value that says anything: neither null nor blank text."""


BLANK: Final = Matches(r"\s*", ascii_only=False)
"""Text that says nothing."""
