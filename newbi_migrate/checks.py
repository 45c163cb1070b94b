"""One thing that was looked at, and how it stands: what ``doctor`` and ``smoke`` answer with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "Level", "bytes_text", "worst"]


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    SKIPPED = "skipped"
    """It could not be looked at: something before it failed, or this user may not."""
    WARNING = "warning"
    """Somebody should know it before they go on."""
    FAILED = "failed"
    """It has to be put right first."""


_ORDER = (Level.OK, Level.SKIPPED, Level.WARNING, Level.FAILED)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        id: A name that stays, for programs.
        level: How it came out.
        sentence: What was seen; no secret and no personal data.
        remedy: What to do about it; empty where nothing is to be done.
    """

    id: str
    level: Level
    sentence: str
    remedy: str = ""


def worst(checks: Iterable[Check]) -> Level:
    """The worst level among some checks; ``ok`` where there are none."""
    return max((check.level for check in checks), key=_ORDER.index, default=Level.OK)


def bytes_text(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:  # the step from one unit to the next
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
