"""The one presentation of a command's result, which every renderer writes in its own way.

A result is turned into a :class:`Document` once: typed blocks for people, cases for a pipeline,
lines and a value for programs. Text in it is raw; each renderer cleans at its own edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from newbi_migrate.errors import ExitCode

if TYPE_CHECKING:
    from newbi_migrate.report.checklist import ShortForm

__all__ = [
    "FORMAT",
    "GENERATOR",
    "SHOWN",
    "Badge",
    "Bar",
    "Block",
    "Case",
    "Cell",
    "Document",
    "Each",
    "Figure",
    "Group",
    "Groups",
    "Listing",
    "Part",
    "Row",
    "Section",
    "State",
    "Table",
    "Tone",
    "header",
    "share",
    "sum_of",
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

_PLACES: Final = 3
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


Row = tuple[Cell, ...]
"""The cells of one row of a table."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people; the first cell of each names it.

    Attributes:
        caption: What the table is of.
        columns: Their names.
        rows: The first rows.
        more: How many rows there are beside.
        every: Gives all rows, as often as it is asked.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    more: int = 0
    every: Callable[[], Iterator[Row]] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Things that are listed together because they have the same reason.

    Attributes:
        name: The reason, the rule, the kind.
        count: How many things.
        where: Collection to how many of them are in it.
        meaning: A sentence or two: what it means and what helps.
        cure: What helps, in a few words; where there is none, a screen shows the sentence.
        ids: All of them, or the first where the others are only counted.
        tone: How much it matters.
    """

    name: str
    count: int
    where: Mapping[str, int]
    meaning: str = ""
    cure: str = ""
    ids: Iterable[str] = ()
    tone: Tone = Tone.ODD

    @property
    def places(self) -> str:
        """Where they are; how many in each where that is not said by the number of all."""
        return ", ".join(self._places())

    @property
    def brief_places(self) -> str:
        """The same for a screen: of several with their numbers the first, and how many more."""
        places = self._places()
        if self._one_each() or len(places) <= _PLACES:
            return self.places
        return ", ".join([*places[:_PLACES], f"and {len(places) - _PLACES} more"])

    def _places(self) -> list[str]:
        if self._one_each():
            return list(self.where)
        return [f"{name} {count:,}" for name, count in self.where.items()]

    def _one_each(self) -> bool:
        return len(self.where) == 1 or len(self.where) == sum(self.where.values())


@dataclass(frozen=True, slots=True)
class Groups:
    """A list that is grouped by reason, in a stable order, the cause before the symptom.

    Attributes:
        caption: What the list is of.
        kind: What a group's name is: ``reason``, ``rule``.
        groups: The groups; none is ever left out, only examples are.
        brief: Whether a screen shows the names and numbers alone where they are several.
        examples: Whether a screen shows the first of each group where there is room.
    """

    caption: str
    kind: str
    groups: tuple[Group, ...]
    brief: bool = False
    examples: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines that stand as they are, one for each thing, however many.

    Attributes:
        lines: Gives them.
        count: How many they are.
        whole: Whether a page shows them too; there are few, then.
    """

    lines: Callable[[], Iterable[str]]
    count: int
    whole: bool = False


Block = str | Badge | Bar | Table | Groups | Listing
"""A part of a section: a sentence, one that matters to a degree, a whole, a table, lists."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document with a title.

    Attributes:
        title: Its title; empty where what it says follows the document's title.
        blocks: What it says, in order.
        detail: Whether a screen shows it only where everything was asked for.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    detail: bool = False


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
class Document:
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
        summary: What became of everything, in numbers.
        why: Why it ends with its exit code, in a few words; empty where that needs none.
        cases: What a pipeline counts.
        timings: Phase to seconds.
        checklist: How far the checklist is, where a report says so.
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
    summary: tuple[str, ...] = ()
    why: str = ""
    cases: tuple[Case, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    checklist: ShortForm | None = None
    lines: Callable[[], Iterator[Mapping[str, Any]]] = _nothing
    value: Callable[[], Mapping[str, Any]] = dict

    @property
    def last_sentences(self) -> tuple[str, ...]:
        """The sentences a screen ends with."""
        why = f"Exit code {int(self.exit_code)}: {self.why}."
        return (*self.summary, why) if self.why else self.summary


def header(document: Document, written_at: datetime) -> dict[str, Any]:
    """What every report for programs begins with."""
    return {
        "generator": GENERATOR,
        "format": FORMAT,
        "command": document.command,
        "database": document.database,
        "runId": document.run_id,
        "dryRun": document.dry_run,
        "exitCode": int(document.exit_code),
        "checklist": None if document.checklist is None else asdict(document.checklist),
        "writtenAt": written_at.isoformat(timespec="seconds"),
    }


def table_of(
    caption: str, columns: tuple[str, ...], found: Iterable[_R], row: Callable[[_R], Row]
) -> tuple[Table, ...]:
    """A table of the things that were found; no table where nothing was.

    Args:
        caption: What the table is of.
        columns: Their names.
        found: The things, as often as they are asked for.
        row: A row for one of them.
    """
    iterator = iter(found)
    rows = tuple(row(one) for one in islice(iterator, SHOWN))
    more = sum(1 for _ in iterator)
    return (Table(caption, columns, rows, more, lambda: map(row, found)),) if rows else ()


@dataclass(frozen=True, slots=True)
class Each(Generic[_R]):
    """Words for each of many things, made when they are read, as often as they are.

    Attributes:
        things: The things.
        words: Words for one of them.
    """

    things: Iterable[_R]
    words: Callable[[_R], str]

    def __iter__(self) -> Iterator[str]:
        return map(self.words, self.things)


def sum_of(whole: str, parts: Mapping[str, int], *, more: str = "") -> str:
    """A sentence in which the parts add up to the whole; parts of nothing are left out.

    Args:
        whole: What it is a number of.
        parts: What becomes of them, with how many.
        more: What is said beside.
    """
    shown = " + ".join(f"{count:,} {words}" for words, count in parts.items() if count)
    total = f"{sum(parts.values()):,}"
    return f"{whole}: {total}{f' = {shown}' if shown else ''}{more}."


def share(words: str, count: int, of: int, tone: Tone) -> Bar:
    """One number as a bar beside others of which the greatest is ``of``."""
    return Bar((Part(words, count, tone),), scale=of)


def timings_section(timings: Mapping[str, float]) -> tuple[Section, ...]:
    """How long each phase took, and then each collection of one, the longest first."""
    if not timings:
        return ()
    longest = max(timings.values())
    ordered = sorted(timings.items(), key=lambda item: -item[1] if "." in item[0] else -math.inf)

    def row(item: tuple[str, float]) -> Row:
        name, seconds = item
        return name, Bar((Part(name, seconds, Tone.PLAIN),), scale=longest, unit="s")

    tables = table_of("Seconds for each phase", ("phase", "seconds"), ordered, row)
    return (Section("Time", tables, detail=True),)


_VERDICTS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "Everything is as expected.",
    ExitCode.PENDING: "Something is not as expected.",
    ExitCode.VALIDATION_FAILED: "Rules are broken that must hold.",
    ExitCode.QUARANTINED: "Something was left as it is, and a person has to decide.",
    ExitCode.ROLLBACK_CONFLICTS: "Somebody changed what the run wrote.",
}


def verdict_of(document: Document) -> tuple[str, Tone]:
    """What the exit code means, and how much it matters."""
    code = document.exit_code
    if code is ExitCode.QUARANTINED and document.dry_run:
        return "Something would be left as it is, and a person has to decide.", Tone.ODD
    words = _VERDICTS.get(code, "It did not come to its end.")
    mild = {ExitCode.DONE: Tone.GOOD, ExitCode.QUARANTINED: Tone.ODD, ExitCode.PENDING: Tone.ODD}
    return words, mild.get(code, Tone.BAD)
