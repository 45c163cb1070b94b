"""Reports as one HTML page, for people who would rather look than read.

The page is complete in itself: it asks for nothing, runs nothing, and its own policy forbids both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Final

from newbi_migrate.report.contents import (
    GENERATOR,
    Badge,
    Bar,
    Cell,
    Contents,
    Section,
    Table,
    Tone,
    verdict_of,
)
from newbi_migrate.report.forms import printable

__all__ = ["html_report"]

# Nothing is fetched and nothing is run, even if something of a stored name got through.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
# Characters from which on a cell needs room of its own.
_LONG: Final = 30
_MARKS: Final = {Tone.GOOD: "✓", Tone.ODD: "!", Tone.BAD: "✗"}


def html_report(contents: Contents, *, written_at: datetime) -> Iterator[str]:
    """The parts of an HTML page.

    Args:
        contents: What the report says.
        written_at: The time it is written, with its offset from UTC.
    """
    words, tone = verdict_of(contents)
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{GENERATOR} {_text(version("newbi-migrate"))}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{_text(contents.command)}: {_text(contents.database)}</title>\n"
        f"<style>\n{_style()}</style>\n</head>\n<body>\n"
    )
    yield (
        f'<header>\n<p class="above">newbi-migrate {_text(contents.command)}</p>\n'
        f"<h1>{_text(contents.title)}</h1>\n"
        f'<p class="verdict {tone}"><span aria-hidden="true">{_MARKS[tone]}</span> '
        f"{_text(words)} <small>Exit code {int(contents.exit_code)}</small></p>\n"
    )
    yield from _figures(contents)
    yield "</header>\n<main>\n"
    for number, section in enumerate(contents.sections):
        yield from _section(section, f"s{number}")
    yield "</main>\n<footer>\n"
    if contents.next_command:
        yield f"<p>Next: <code>{_text(contents.next_command)}</code></p>\n"
    moment = written_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    run = "" if contents.run_id is None else f", run {_text(contents.run_id)}"
    yield (
        f"<p>newbi-migrate {_text(version('newbi-migrate'))}, database "
        f"{_text(contents.database)}{run}, written {moment}.</p>\n</footer>\n</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return files("newbi_migrate.report").joinpath("page.css").read_text("utf-8")


def _text(value: object) -> str:
    return escape(printable(value))


def _figures(contents: Contents) -> Iterator[str]:
    if not contents.figures:
        return
    yield '<dl class="figures">\n'
    for figure in contents.figures:
        yield (
            f'<div class="{figure.tone}"><dt>{_text(figure.words)}</dt>'
            f"<dd>{figure.number:,}</dd></div>\n"
        )
    yield "</dl>\n"


def _section(section: Section, anchor: str) -> Iterator[str]:
    yield f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{_text(section.title)}</h2>\n'
    for sentence in section.sentences:
        yield f"<p>{_text(sentence)}</p>\n"
    for bar in section.bars:
        yield _bar(bar, "large") + "\n" + _legend(bar) + "\n"
    for number, table in enumerate(section.tables):
        yield from _table(table, f"{anchor}-{number}")
    yield "</section>\n"


# -- bars -------------------------------------------------------------------------------------


def _bar(bar: Bar, kind: str = "") -> str:
    """A bar for the eye alone; what it shows is always written beside it."""
    whole = bar.scale if bar.scale is not None else bar.total
    parts = "".join(
        f'<i class="{part.tone}" style="width:{100 * part.count / whole:.3f}%"></i>'
        for part in bar.parts
        if part.count and whole
    )
    return f'<span class="bar {kind}" aria-hidden="true">{parts}</span>'


def _number(count: float, unit: str = "") -> str:
    return f"{count:,.2f} {unit}" if unit else f"{count:,.0f}"


def _percent(count: float, total: float) -> str:
    percent = 100 * count / total
    # Nothing that exists is shown as nothing, and nothing but the whole as the whole.
    if 0 < percent < 1:
        return "&lt; 1 %"
    return "&gt; 99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def _legend(bar: Bar) -> str:
    items = "".join(
        f'<li><i class="{part.tone}" aria-hidden="true"></i><b>{_number(part.count)}</b> '
        f"{_text(part.words)} <small>{_percent(part.count, bar.total)}</small></li>"
        for part in bar.parts
    )
    return f'<ul class="legend">{items}</ul>'


def _beside(bar: Bar) -> str:
    """A small bar in a table, with its numbers."""
    said = (
        _number(bar.total, bar.unit)
        if bar.scale is not None
        else " ".join(
            f'<span class="key"><i class="{part.tone}" aria-hidden="true"></i>'
            f"{_number(part.count)} {_text(part.words)}{'' if part is bar.parts[-1] else ','}"
            "</span>"
            for part in bar.parts
        )
    )
    label = f"<em>{_text(bar.label)}</em>" if bar.label else ""
    kind = "share" if bar.scale is not None else "beside" if bar.label else "beside alone"
    return f'<div class="{kind}">{label}{_bar(bar)}<span class="said">{said}</span></div>'


# -- tables -----------------------------------------------------------------------------------


def _table(table: Table, anchor: str) -> Iterator[str]:
    # Wide tables scroll by themselves; whoever has no mouse can reach them.
    narrow = len(table.columns) <= 3 and not any(
        isinstance(cell, tuple) for row in table.rows for cell in row
    )
    kind = ' class="narrow"' if narrow else ""
    yield (
        f'<div class="wide" role="region" tabindex="0" aria-labelledby="{anchor}">\n<table{kind}>\n'
        f'<caption id="{anchor}">{_text(table.caption)}</caption>\n<thead><tr>'
    )
    first = table.rows[0] if table.rows else ()
    for position, column in enumerate(table.columns):
        number = position < len(first) and isinstance(first[position], int)
        kind = ' class="number"' if number else ""
        yield f'<th scope="col"{kind}>{_text(column)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in table.rows:
        name, *rest = row
        yield f'<tr><th scope="row">{_words(name)}</th>{"".join(map(_cell, rest))}</tr>\n'
    yield "</tbody>\n</table>\n"
    if table.more:
        yield f"<p><small>and {table.more:,} more, which an NDJSON report lists</small></p>\n"
    yield "</div>\n"


def _cell(cell: Cell) -> str:
    kind = ' class="number"' if isinstance(cell, int) else ""
    if isinstance(cell, str) and len(cell) > _LONG:
        kind = ' class="long"'
    return f"<td{kind}>{_words(cell)}</td>"


def _words(cell: Cell) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, Bar):
        return _beside(cell)
    if isinstance(cell, Badge):
        return f'<span class="badge {cell.tone}">{_text(cell.words)}</span>'
    if isinstance(cell, tuple):
        return "".join(map(_beside, cell))
    return _text(cell)
