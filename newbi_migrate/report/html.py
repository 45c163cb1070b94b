"""Documents as one HTML page, for people who would rather look than read.

The page is complete in itself: it asks for nothing, runs nothing, and its own policy forbids both.
Everything in it is escaped by the template engine, and made printable before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from newbi_migrate.printable import printable
from newbi_migrate.report.document import (
    GENERATOR,
    Badge,
    Bar,
    Block,
    Document,
    Groups,
    Listing,
    Table,
    Tone,
    share,
    verdict_of,
)

__all__ = ["html_report"]

# Characters from which on a cell needs room of its own.
_LONG: Final = 30
_EXAMPLES: Final = 5
_MARKS: Final = {Tone.GOOD: "✓", Tone.ODD: "!", Tone.BAD: "✗"}


def html_report(document: Document, *, written_at: datetime) -> Iterator[str]:
    """The parts of an HTML page.

    Args:
        document: What the report says.
        written_at: The time it is written, with its offset from UTC.
    """
    words, tone = verdict_of(document)
    return _page().generate(
        document=document,
        sections=[
            (section.title, [shown for block in section.blocks for shown in _shown(block)])
            for section in document.sections
        ],
        verdict=words,
        tone=tone,
        mark=_MARKS[tone],
        generator=GENERATOR,
        version=version("newbi-migrate"),
        written=written_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        # Ours, and not to be escaped.
        style=Markup(_resource("page.css")),  # noqa: S704
    )


def _resource(name: str) -> str:
    return files("newbi_migrate.report").joinpath(name).read_text("utf-8")


@cache
def _page() -> Template:
    page = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever a template prints passes here; only what it says itself is markup.
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    page.filters |= {"kind": _kind, "number": _number, "percent": _percent, "long": _is_long}
    return page.from_string(_resource("page.html.j2"))


def _shown(block: Block) -> Iterator[Any]:
    """A block in the forms a page has for it: lists that are grouped by reason are tables."""
    if isinstance(block, Groups):
        most = max((group.count for group in block.groups), default=0)
        rows = tuple(
            (
                group.name,
                share(group.name, group.count, most, group.tone),
                group.places,
                group.meaning,
                ", ".join(islice(group.ids, _EXAMPLES)),
            )
            for group in block.groups
        )
        columns = (block.kind, "how many", "where", "what it means", "the first of them")
        yield Table(block.caption, columns, rows)
    elif not isinstance(block, Listing):
        yield block
    elif block.whole:
        # Of others a page shows the first of each group, and NDJSON has them all.
        yield from block.lines()


def _kind(value: object) -> str:
    """What the template has a form for."""
    if isinstance(value, tuple):
        return "bars"
    if isinstance(value, Bar):
        return "bar"
    if isinstance(value, Badge):
        return "badge"
    if isinstance(value, Table):
        return "table"
    return "number" if isinstance(value, int) else "words"


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _LONG


def _number(count: float, unit: str = "") -> str:
    return f"{count:,.2f} {unit}" if unit else f"{count:,.0f}"


def _percent(count: float, total: float) -> str:
    percent = 100 * count / total
    # Nothing that exists is shown as nothing, and nothing but the whole as the whole.
    if 0 < percent < 1:
        return "< 1 %"
    return "> 99 %" if 99 < percent < 100 else f"{percent:.0f} %"
