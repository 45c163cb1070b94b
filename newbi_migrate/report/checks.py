"""Checks as documents: one line each, with its remedy below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from newbi_migrate.checks import Check, Level
from newbi_migrate.errors import ExitCode
from newbi_migrate.report.document import Badge, Document, Figure, Section, Table, Tone
from newbi_migrate.report.text import counted

__all__ = ["checks_document"]

_TONES: Final = {
    Level.OK: Tone.GOOD,
    Level.SKIPPED: Tone.PLAIN_3,
    Level.WARNING: Tone.ODD,
    Level.FAILED: Tone.BAD,
}


def checks_document(
    command: str,
    database: str,
    title: str,
    checks: Sequence[Check],
    code: ExitCode,
    *,
    value: Callable[[], Mapping[str, Any]],
    next_command: str = "",
) -> Document:
    """The document of some checks, in their order.

    Args:
        command: The command that made them.
        database: The database, or the application, that was looked at.
        title: What was looked at.
        checks: The checks.
        code: What the command ends with.
        value: Gives them as JSON holds them.
        next_command: What to run next.
    """
    rows: list[tuple[Badge | str, str]] = []
    for check in checks:
        rows.append((Badge(check.level.value, _TONES[check.level]), check.sentence))
        if check.remedy:
            rows.append(("", f"→ {check.remedy}"))
    failed = sum(check.level is Level.FAILED for check in checks)
    warned = sum(check.level is Level.WARNING for check in checks)
    said = [f"{failed:,} failed"] * bool(failed) + [counted(warned, "warning")] * bool(warned)
    return Document(
        command=command,
        database=database,
        title=title,
        exit_code=code,
        next_command=next_command,
        figures=(Figure(failed, "failed"), Figure(warned, "warnings")),
        sections=(Section("", (Table("Checks", (), tuple(rows)),)),),
        summary=(f"{', '.join(said)}." if said else "All is well.",),
        value=value,
    )
