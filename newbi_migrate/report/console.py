"""Documents as text for people at a terminal.

What is shown is given part by part, so that a list of a million lines is never one text. Every
text is taken literally: neither Rich's markup nor a control character does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final, TextIO

from rich.console import Console, ConsoleOptions, Group as Parts, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from newbi_migrate.printable import printable
from newbi_migrate.report.document import (
    Badge,
    Bar,
    Block,
    Cell,
    Document,
    Group,
    Groups,
    Listing,
    Row,
    Section,
    Table,
    Tone,
)

__all__ = ["console_report", "plain", "print_parts"]

# As many groups of a document have room for whole sentences and examples on a screen.
_FEW: Final = 6
_FIRST: Final = 3
_ID: Final = 24
"""Characters of an id."""
_STYLES: Final = {
    Tone.GOOD: "green",
    Tone.ODD: "yellow",
    Tone.BAD: "bold red",
    Tone.PLAIN_3: "dim",
}


def print_parts(parts: Iterable[RenderableType], file: TextIO) -> None:
    """Print parts of a document one after the other.

    Args:
        parts: What :func:`console_report` gives.
        file: Where; a terminal, or anything else that takes text.
    """
    console = Console(
        file=file,
        highlight=False,
        markup=False,
        emoji=False,
        # Without colours there is no bold either.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    for part in parts:
        if console.is_terminal:
            console.print(part, crop=False)
            continue
        # A table fills its columns with blanks, which nobody wants in a file.
        with console.capture() as shown:
            console.print(part, crop=False)
        file.write("\n".join(line.rstrip(" ") for line in shown.get().split("\n")))
    file.flush()


def console_report(document: Document, *, verbose: bool = False) -> Iterator[RenderableType]:
    """The parts of a document, to be printed one after the other.

    Args:
        document: The document.
        verbose: Everything that is listed, not what fits on a screen.
    """
    yield plain(document.title, "bold")
    shown = [section for section in document.sections if verbose or not section.detail]
    blocks = [block for section in shown for block in section.blocks]
    groups = sum(len(block.groups) for block in blocks if isinstance(block, Groups))
    for section in shown:
        yield from _section(section, verbose=verbose, roomy=groups <= _FEW)
    if document.last_sentences:
        yield ""
        yield from map(plain, document.last_sentences)
    if document.next_command:
        yield ""
        # In one piece, however long, so that it can be copied; a Text that is printed by itself
        # would be joined to others and wrapped with them.
        command = f"Next: {printable(document.next_command)}"
        yield Parts(Text(command, style="bold", no_wrap=True, overflow="ignore"))


def plain(value: object, style: str = "") -> Text:
    """Text that is taken literally, whatever it holds."""
    return Text(printable(value), style=style, overflow="fold")


def _section(section: Section, *, verbose: bool, roomy: bool) -> Iterator[RenderableType]:
    if section.title:
        yield ""
        yield plain(section.title, "bold")
    for block in section.blocks:
        yield from _block(block, verbose=verbose, roomy=roomy)


def _indented(part: RenderableType, by: int = 2) -> RenderableType:
    return Padding(part, (0, 0, 0, by), expand=False)


def _block(block: Block, *, verbose: bool, roomy: bool) -> Iterator[RenderableType]:
    if isinstance(block, str):
        yield _indented(plain(block))
    elif isinstance(block, Badge):
        yield _indented(plain(block.words, _style(block.tone)))
    elif isinstance(block, Bar):
        yield from _bar(block)
    elif isinstance(block, Table):
        yield from _table(block, verbose=verbose)
    elif isinstance(block, Listing):
        yield from _lines(block.lines())
    else:
        yield from _groups(block, verbose=verbose, roomy=roomy)


def _lines(lines: Iterable[str]) -> Iterator[RenderableType]:
    # Each in one piece, so that one line of output is one thing, for grep and for sort.
    for line in lines:
        yield Parts(Text(printable(line), no_wrap=True, overflow="ignore"))


def _style(tone: Tone) -> str:
    return _STYLES.get(tone, "")


def _grid(rows: Iterable[tuple[str, Text]]) -> RenderableType:
    grid = RichTable.grid(padding=(0, 1))
    grid.add_column(justify="right", min_width=5)
    grid.add_column(overflow="fold")
    for number, words in rows:
        grid.add_row(number, words)
    return grid


def _bar(bar: Bar) -> Iterator[RenderableType]:
    yield _grid((_number(part.count, bar.unit), plain(part.words)) for part in bar.parts)


def _number(count: float, unit: str = "") -> str:
    return f"{count:,.2f} {unit}" if unit else f"{count:,.0f}"


# -- lists grouped by reason ------------------------------------------------------------------


def _groups(groups: Groups, *, verbose: bool, roomy: bool) -> Iterator[RenderableType]:
    found = groups.groups
    if verbose or (roomy and groups.examples and not groups.brief):
        for group in found:
            yield _grid([(f"{group.count:,}", _one_line(group, whole=True, everywhere=verbose))])
            yield from _ids(group, verbose=verbose)
    elif groups.brief and len(found) > _FIRST:
        yield _indented(plain(", ".join(f"{g.name} {g.count:,}" for g in found)))
    else:
        yield _grid((f"{g.count:,}", _one_line(g)) for g in found)


def _one_line(group: Group, *, whole: bool = False, everywhere: bool = False) -> Text:
    said = (group.meaning if whole else "") or group.cure or group.meaning
    words = plain(group.name, f"bold {_style(group.tone)}".strip())
    where = group.places if everywhere else group.brief_places
    places = f" ({where})" if where else ""
    return words.append(printable(f"{places}: {said}" if said else places), "not bold default")


def _ids(group: Group, *, verbose: bool) -> Iterator[RenderableType]:
    if verbose:
        for line in group.ids:
            yield _indented(plain(line, "dim"), 6)
        return
    shown = list(islice(group.ids, _FIRST))
    if shown and group.count > len(shown):
        shown.append(f"and {group.count - len(shown):,} more (--verbose lists all)")
    if shown:
        yield _indented(plain(", ".join(shown), "dim"), 6)


# -- tables -----------------------------------------------------------------------------------


def _table(table: Table, *, verbose: bool) -> Iterator[RenderableType]:
    if table.more and verbose and table.every is not None:
        yield from _lines(map(_row, table.every()))
        return
    yield _Fitting(table)
    if table.more:
        yield _indented(plain(f"and {table.more:,} more (--verbose lists all)"))


def _row(row: Row) -> str:
    return "  ".join(map(_words, row)).rstrip()


class _Fitting:
    """A table; where it is wider than the terminal, its rows as text, so that no id is cut."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        heads = self._table.columns or [""] * len(self._table.rows[0])
        cells = zip(*self._table.rows, strict=True)
        least = (
            max(len(head), *map(_longest, each)) for head, each in zip(heads, cells, strict=True)
        )
        if sum(width + 1 for width in least) <= options.max_width:
            yield _indented(_columns(self._table), 1)
        else:
            yield from (_indented(plain(_row(row)), 1) for row in self._table.rows)


def _longest(cell: Cell) -> int:
    # What is longer than an id, a digest say, may be folded.
    return min(max(map(len, _words(cell).split()), default=0), _ID)


def _columns(table: Table) -> RichTable:
    # On 80 columns there is one blank between columns, and none at the end.
    made = RichTable(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    made.collapse_padding = True
    for position, column in enumerate(table.columns):
        cells = [row[position] for row in table.rows]
        number = all(isinstance(cell, int) or cell == "" for cell in cells)
        made.add_column(
            plain(column),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=all(" " not in (words := _words(cell)) and len(words) <= _ID for cell in cells),
            # Where padding collapses, Rich takes a column for narrower than its head.
            min_width=len(column),
        )
    for row in table.rows:
        made.add_row(*(plain(_words(cell), _cell_style(cell)) for cell in row))
    return made


def _cell_style(cell: Cell) -> str:
    return _style(cell.tone) if isinstance(cell, Badge) else ""


def _words(cell: Any) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, Badge):
        return cell.words
    if isinstance(cell, Bar):
        if cell.scale is not None:
            return _number(cell.total, cell.unit)
        said = ", ".join(f"{_number(part.count)} {part.words}" for part in cell.parts)
        return f"{cell.label}: {said}" if cell.label else said
    if isinstance(cell, tuple):
        return "; ".join(chain(map(_words, cell)))
    return str(cell)
