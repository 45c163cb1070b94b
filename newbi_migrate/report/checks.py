"""Checks as lines for people and as JSON: one line each, with its remedy below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from newbi_migrate.checks import Check, Level
from newbi_migrate.report.words import counted

__all__ = ["checks_report"]

_STYLES: Final = {
    Level.OK: "green",
    Level.SKIPPED: "dim",
    Level.WARNING: "yellow",
    Level.FAILED: "bold red",
}


def checks_report(
    title: str, checks: Sequence[Check], *, next_command: str = ""
) -> Iterator[RenderableType]:
    """Some checks, in order.

    Args:
        title: What was looked at.
        checks: The checks.
        next_command: What to run next; the report ends with it.
    """
    yield Text(title, style="bold")
    yield ""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row(Text(check.level.value, style=_STYLES[check.level]), Text(check.sentence))
        if check.remedy:
            table.add_row("", Text(f"→ {check.remedy}", style="dim"))
    yield table
    yield ""
    yield Text(_summary(checks))
    if next_command:
        yield ""
        # In one piece, however long, so that it can be copied.
        yield Group(Text(f"Next: {next_command}", style="bold", no_wrap=True, overflow="ignore"))


def _summary(checks: Sequence[Check]) -> str:
    failed = sum(check.level is Level.FAILED for check in checks)
    warned = sum(check.level is Level.WARNING for check in checks)
    if not failed and not warned:
        return "All is well."
    parts = [f"{failed:,} failed"] * bool(failed) + [counted(warned, "warning")] * bool(warned)
    return f"{', '.join(parts)}."
