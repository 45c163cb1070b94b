"""Words for people: the right plural, and characters that every terminal has."""

from __future__ import annotations

import codecs
from typing import Final

from newbi_migrate.printable import escaped

__all__ = ["FOR_TERMINALS", "counted"]

FOR_TERMINALS: Final = "newbi-migrate-terminal"
"""Error handler of a stream: what its encoding lacks is written with characters it has."""

_PLAIN: Final = {"→": "->", "…": "...", "·": "-", "✓": "ok", "✗": "x"}


def counted(number: int, one: str, many: str = "") -> str:
    """A number with the word for what it counts, in the singular where it is one."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  # registered for streams alone
    part = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or escaped(ord(c)) for c in part), error.end


codecs.register_error(FOR_TERMINALS, _replace)
