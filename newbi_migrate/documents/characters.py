r"""Classes of characters that mean the same in every regular expression engine.

Engines differ in what ``\s``, ``\d``, ``\w`` and ``$`` mean, and know different versions of
Unicode; so a class is spelled out here, character by character, for Python's pydantic and for the
server alike.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

__all__ = ["BLANKS", "LETTERS", "PRINTABLE", "WORD", "class_of", "server_pattern"]

BLANKS: Final = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Every blank of Unicode."""

LETTERS: Final = "A-Za-zÀ-ÖØ-öø-ÿ"
"""Letters of Latin-1, without its multiplication and division signs."""

WORD: Final = "[A-Za-z0-9_]"

_SPECIAL: Final = r"\]^-[&~|"


def _escaped(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character


PRINTABLE: Final = f"{LETTERS}0-9{''.join(map(_escaped, string.punctuation))}{BLANKS}"
"""Letters, digits, ASCII punctuation and blanks."""

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


def class_of(allowed: Callable[[str], bool]) -> str:
    """The inside of a character class of all characters that are allowed."""
    runs = [*_runs(allowed), *((a, b) for a, b in _ALIKE if allowed(chr(a)))]
    return "".join(
        _escaped(chr(first)) + (f"-{_escaped(chr(last))}" if last > first else "")
        for first, last in runs
    )


def _runs(allowed: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    points = [point for part in _CHARACTERS for point in part if allowed(chr(point))]
    for _, run in groupby(enumerate(points), key=lambda pair: pair[1] - pair[0]):
        found = [point for _, point in run]
        yield found[0], found[-1]


def server_pattern(pattern: str) -> str:
    """The same pattern for the server, whose ``$`` is before a last line end too."""
    if pattern.startswith("^(?:") and pattern.endswith(")$"):
        return f"\\A{pattern[1:-1]}\\z"
    return pattern
