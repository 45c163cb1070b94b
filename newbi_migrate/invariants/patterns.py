"""Regular expressions that mean the same in Python and in a MongoDB server.

The two engines differ in what their classes of characters mean, and know different versions of
Unicode; so a class is written out here, character by character.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import count, groupby
from typing import Final

__all__ = ["LAST", "LATIN_1", "blanks", "class_of", "server_pattern"]


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


LAST: Final = chr(sys.maxunicode)
"""The last character there is."""

LATIN_1: Final = "\xff"
"""Up to here a server looks a character up at once; others it searches in a list."""


def class_of(allowed: Callable[[str], bool]) -> str:
    """The inside of a character class of all characters that are allowed."""
    single = (point for points in _CHARACTERS for point in points if allowed(chr(point)))
    runs = [(first, last) for first, last in _ALIKE if allowed(chr(first))]
    return "".join(
        f"\\x{{{first:x}}}" + (f"-\\x{{{last:x}}}" if last > first else "")
        for first, last in [*_ranges(single), *runs]
    )


@cache
def blanks(last: str = LAST) -> str:
    """The inside of a class of blanks: of Unicode, where the server's own knows ASCII alone.

    Args:
        last: The last character that may be in it.
    """
    return class_of(lambda character: character <= last and character.isspace())


_ASCII: Final = {"s": r"\t\n\x{b}\f\r ", "d": "0-9", "w": "A-Za-z0-9_"}


def server_pattern(pattern: str, *, ascii_only: bool, last_blank: str = LAST) -> str:
    """The same pattern without classes whose meaning differs from engine to engine.

    Args:
        pattern: The pattern.
        ascii_only: Whether classes mean ASCII characters alone.
        last_blank: The last character that is taken for a blank.

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
                inside = _ASCII[letter] if ascii_only else blanks(last_blank)
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
