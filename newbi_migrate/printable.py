"""Text that can be shown: no control character, no half of a surrogate pair, no endless list."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["escaped", "is_utf8", "printable", "some_of"]


def printable(value: object) -> str:
    """A value as one line of text that can neither steer a terminal nor break an encoding."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(ord(c)) for c in text)


def escaped(code: int) -> str:
    """A character by its number, in characters that every encoding has."""
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def is_utf8(text: str) -> bool:
    """Whether a text can be sent: what the system gave as other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
