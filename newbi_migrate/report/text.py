"""Words for people, whoever wrote them: no control character, no surrogate, the right plural."""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["FOR_TERMINALS", "counted", "printable"]

FOR_TERMINALS: Final = "newbi-migrate-terminal"
"""Error handler of a stream: what its encoding lacks is written with characters it has."""

_PLAIN: Final = {"→": "->", "…": "...", "·": "-", "✓": "ok", "✗": "x"}


def counted(number: int, one: str, many: str = "") -> str:
    """A number with the word for what it counts, in the singular where it is one."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def printable(value: object) -> str:
    """A value as one line of text that can neither steer a terminal nor break an encoding."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  # registered for streams alone
    part = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or _escaped(ord(c)) for c in part), error.end


codecs.register_error(FOR_TERMINALS, _replace)
