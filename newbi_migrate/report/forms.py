"""The forms all reports for people are made of: headings, tables, lines, the next command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = [
    "and_more",
    "following",
    "heading",
    "indented",
    "line_of_counts",
    "plain",
    "printable",
    "table_of",
    "title",
]


def printable(value: object) -> str:
    """A stored value as text that cannot steer a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))


def line_of_counts(words: str, counts: Mapping[str, int]) -> Iterator[RenderableType]:
    """Counts by name on one line; nothing where all are zero."""
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    if listed:
        yield indented(f"{words}: {listed}")


def plain(value: object, style: str = "") -> Text:
    """Text that is taken literally, whatever it holds."""
    # A Text is taken literally: a name such as "[red]" is no markup.
    return Text(printable(value), style=style, overflow="fold")


def title(sentence: str) -> RenderableType:
    """The first line of a report."""
    return plain(sentence, style="bold")


def heading(words: str) -> Iterator[RenderableType]:
    """An empty line, and a heading."""
    yield ""
    yield plain(words, style="bold")


def indented(words: str, *, by: int = 2, style: str = "") -> RenderableType:
    """A line under a heading."""
    return Padding(plain(words, style=style), (0, 0, 0, by), expand=False)


def and_more(number: int) -> str:
    """What stands for the rest of a list that was cut short."""
    return f"and {number:,} more (--verbose lists all)"


def following(command: str) -> Iterator[RenderableType]:
    """What to run next, the last line of a report."""
    yield ""
    # In one piece, however long, so that it can be copied; a Text that is printed by itself
    # would be joined to others and wrapped with them.
    words = Text(f"Next: {printable(command)}", style="bold", no_wrap=True, overflow="ignore")
    yield Group(words)


def table_of(*columns: str) -> Table:
    """A table without lines: the first column and those with words to the left."""
    made = Table(box=None, pad_edge=True, header_style="dim", padding=(0, 1))
    for position, column in enumerate(columns):
        number = position and column not in ("command", "state", "started (UTC)", "")
        made.add_column(
            column,
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=not position,
        )
    return made
