"""What a report file says, whatever its format: figures, sections, cases, lines.

Each use-case's result is turned into :class:`Contents` once, and each format writes these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final, TypeVar

from newbi_migrate.errors import ExitCode

__all__ = [
    "FORMAT",
    "GENERATOR",
    "SHOWN",
    "Badge",
    "Bar",
    "Case",
    "Cell",
    "Contents",
    "Figure",
    "Part",
    "Section",
    "State",
    "Table",
    "Tone",
    "header",
    "share",
    "table_of",
    "timings_section",
    "verdict_of",
]

GENERATOR: Final = "newbi-migrate report"
"""By this a file is known to be a report; each format has it among its first characters."""

FORMAT: Final = 1
"""Version of what NDJSON and JSON reports hold."""

SHOWN: Final = 100
"""Rows of a table for people; the others are counted, and NDJSON has them all."""

_R = TypeVar("_R")


class Tone(StrEnum):
    """What a number means to the reader; a format may show it as a colour."""

    GOOD = "good"
    NEW = "new"
    PLAIN = "plain"
    PLAIN_2 = "plain-2"
    PLAIN_3 = "plain-3"
    ODD = "odd"
    ODD_2 = "odd-2"
    ODD_3 = "odd-3"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole, with what it is called."""

    words: str
    count: float
    tone: Tone


@dataclass(frozen=True, slots=True)
class Bar:
    """A whole and its parts.

    Attributes:
        parts: The parts, in order.
        label: What this bar is among several; empty where it is alone.
        scale: The length of the longest bar beside it; ``None`` where each whole is full length.
        unit: ``s`` for seconds; empty for a number of things.
    """

    parts: tuple[Part, ...]
    label: str = ""
    scale: float | None = None
    unit: str = ""

    @property
    def total(self) -> float:
        """The whole."""
        return sum(part.count for part in self.parts)


@dataclass(frozen=True, slots=True)
class Badge:
    """Words that matter to a degree."""

    words: str
    tone: Tone


Cell = str | int | Bar | tuple[Bar, ...] | Badge
"""A value in a table: words, a number, bars, or words that matter to a degree."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people; the first cell of each names it.

    Attributes:
        caption: What the table is of.
        columns: Their names.
        rows: The first rows.
        more: How many rows there are beside.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report with a title.

    Attributes:
        title: Its title.
        sentences: What is said first.
        bars: Wholes and their parts, each shown large with the numbers beside.
        tables: Tables.
    """

    title: str
    sentences: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is looked at first."""

    number: int
    words: str
    tone: Tone = Tone.PLAIN


class State(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was asked, for a pipeline that counts tests.

    Attributes:
        suite: What it belongs to: a collection, mostly.
        name: What was asked.
        state: How it ended.
        kind: Of what kind a failure is, in lower case with hyphens.
        message: What happened, in one sentence.
        details: Lines that help: what to do next, and where it happened.
        seconds: How long it took, where that is known.
    """

    suite: str
    name: str
    state: State = State.PASSED
    kind: str = ""
    message: str = ""
    details: tuple[str, ...] = ()
    seconds: float = 0.0


def _nothing() -> Iterator[Mapping[str, Any]]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Contents:
    """What a report says.

    Attributes:
        command: The command it is of.
        database: Name of the database.
        title: What it is of, in one sentence.
        exit_code: What the command ends with.
        next_command: What to run next.
        run_id: The run, where there is one.
        dry_run: Whether nothing was to be written.
        figures: What is looked at first.
        sections: What people read.
        cases: What a pipeline counts.
        timings: Phase to seconds.
        lines: Gives everything that is listed, one value each.
        value: Gives the answer as ``--json`` gives it; a list that may be very long may be an
            iterator.
    """

    command: str
    database: str
    title: str
    exit_code: ExitCode
    next_command: str = ""
    run_id: str | None = None
    dry_run: bool = False
    figures: tuple[Figure, ...] = ()
    sections: tuple[Section, ...] = ()
    cases: tuple[Case, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    lines: Callable[[], Iterator[Mapping[str, Any]]] = _nothing
    value: Callable[[], Mapping[str, Any]] = dict


def header(contents: Contents, written_at: datetime) -> dict[str, Any]:
    """What every report for programs begins with."""
    return {
        "generator": GENERATOR,
        "format": FORMAT,
        "command": contents.command,
        "database": contents.database,
        "runId": contents.run_id,
        "dryRun": contents.dry_run,
        "exitCode": int(contents.exit_code),
        "writtenAt": written_at.isoformat(timespec="seconds"),
    }


def table_of(
    caption: str,
    columns: tuple[str, ...],
    found: Iterable[_R],
    row: Callable[[_R], tuple[Cell, ...]],
    *,
    count: int | None = None,
) -> tuple[Table, ...]:
    """A table of the first things that were found; no table where nothing was.

    Args:
        caption: What the table is of.
        columns: Their names.
        found: The things.
        row: A row for one of them.
        count: How many they are, where more exist than are given.
    """
    iterator = iter(found)
    rows = tuple(row(one) for one in islice(iterator, SHOWN))
    total = len(rows) + sum(1 for _ in iterator) if count is None else count
    return (Table(caption, columns, rows, total - len(rows)),) if rows else ()


def share(words: str, count: int, of: int, tone: Tone) -> Bar:
    """One number as a bar beside others of which the greatest is ``of``."""
    return Bar((Part(words, count, tone),), scale=of)


def timings_section(timings: Mapping[str, float]) -> tuple[Section, ...]:
    """How long each phase took, and then each collection of one, the longest first."""
    if not timings:
        return ()
    longest = max(timings.values())
    ordered = sorted(timings.items(), key=lambda item: -item[1] if "." in item[0] else -math.inf)

    def row(item: tuple[str, float]) -> tuple[Cell, ...]:
        name, seconds = item
        return name, Bar((Part(name, seconds, Tone.PLAIN),), scale=longest, unit="s")

    tables = table_of("Seconds for each phase", ("phase", "seconds"), ordered, row)
    return (Section("Time", tables=tables),)


_VERDICTS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "Nothing is left to settle.",
    ExitCode.PENDING: "Work is pending.",
    ExitCode.VALIDATION_FAILED: "Rules are broken that must hold.",
    ExitCode.QUARANTINED: "Something was left as it is, and a person has to decide.",
    ExitCode.ROLLBACK_CONFLICTS: "Somebody changed what the run wrote.",
}


def verdict_of(contents: Contents) -> tuple[str, Tone]:
    """What the exit code means, and how much it matters."""
    code = contents.exit_code
    if code is ExitCode.QUARANTINED and contents.dry_run:
        return "Something would be left as it is, and a person has to decide.", Tone.ODD
    words = _VERDICTS.get(code, "It did not come to its end.")
    mild = {ExitCode.DONE: Tone.GOOD, ExitCode.QUARANTINED: Tone.ODD, ExitCode.PENDING: Tone.ODD}
    return words, mild.get(code, Tone.BAD)
