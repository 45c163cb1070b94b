"""A validation as text for people and as JSON.

Both name documents by collection and id, never by a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from newbi_migrate.invariants.base import Severity
from newbi_migrate.migration.validation.report import Finding, RuleResult, ValidationReport
from newbi_migrate.report.console import printable
from newbi_migrate.report.words import REASONS, counted

__all__ = ["finding_line", "validation_report", "validation_to_json"]

_FIRST: Final = 3
_STYLES: Final = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "dim",
}


def validation_report(
    report: ValidationReport, *, next_command: str, detailed: bool = False
) -> Iterator[RenderableType]:
    """What a validation found.

    Args:
        report: The validation.
        next_command: What to run next; the report ends with it.
        detailed: Each finding was shown already; name no examples.
    """
    documents = sum(report.documents.values())
    yield _text(
        f"Validation of the database {report.database}: {counted(report.checked, 'rule')}, "
        f"{counted(documents, 'document')} in {counted(len(report.documents), 'collection')}. "
        "Nothing was written.",
        "bold",
    )
    if report.sampled is not None:
        yield _indented(
            f"The rules of the models were asked of {report.sampled:,} documents of each "
            "collection, drawn at random."
        )
    for note in report.notes:
        yield _indented(f"note: {note}")
    by_rule = groupby(report.results, key=lambda result: (result.severity, result.rule))
    for (severity, rule), results in by_rule:
        here = list(results)
        yield ""
        yield Group(
            Text.assemble((f"{severity.value} ", _STYLES[severity]), (rule, "bold")),
            _indented(here[0].sentence),
        )
        for result in here:
            yield _indented(_where(result, detailed=detailed), by=4)
        yield _indented(f"→ {here[0].next_step}", style="dim")
    yield from _left_out(report)
    yield ""
    yield _text(_verdict(report), "bold")
    yield ""
    # In one piece, however long, so that it can be copied.
    yield Group(Text(f"Next: {next_command}", style="bold", no_wrap=True, overflow="ignore"))


def finding_line(finding: Finding) -> str:
    """One finding on one line."""
    where = printable(finding.collection)
    if finding.id is not None:
        where += f" {printable(finding.id)}"
    if finding.path:
        where += f" {printable(finding.path)}"
    note = f" ({printable(finding.note)})" if finding.note else ""
    return f"{finding.severity.value} {finding.rule} {where}{note}"


def validation_to_json(report: ValidationReport) -> dict[str, Any]:
    """What a validation found, without its findings, which may be very many."""
    return {
        "database": report.database,
        "runId": None if report.run_id is None else str(report.run_id),
        "underWay": report.under_way,
        "exitCode": int(report.exit_code),
        "failOn": report.fail_on.value,
        "clean": report.is_clean,
        "checked": report.checked,
        "sampled": report.sampled,
        "documents": dict(report.documents),
        "violations": {severity.value: report.count(severity) for severity in Severity},
        "rules": [result.to_json() for result in report.results],
        "leftOut": {
            name: {reason.value: number for reason, number in sorted(reasons.items())}
            for name, reasons in report.quarantine.items()
        },
        "notes": list(report.notes),
        "timings": dict(report.timings),
    }


def _where(result: RuleResult, *, detailed: bool) -> str:
    said = f"{printable(result.collection)}: {result.violations:,}"
    if detailed:
        return said
    named = [_named(finding) for finding in result.examples[:_FIRST]]
    shown = [name for name in named if name]
    if not shown:
        return said
    more = result.violations - len(shown)
    tail = f" and {more:,} more (--detailed lists all)" if more > 0 else ""
    return f"{said}, {', '.join(shown)}{tail}"


def _named(finding: Finding) -> str:
    parts = [] if finding.id is None else [printable(finding.id)]
    if finding.path:
        parts.append(printable(finding.path))
    if finding.note:
        parts.append(f"({printable(finding.note)})")
    return " ".join(parts)


def _left_out(report: ValidationReport) -> Iterator[RenderableType]:
    if not report.quarantined:
        return
    yield ""
    yield _text(f"Left out as the run recorded, no violation: {report.quarantined:,}", "bold")
    for name, reasons in report.quarantine.items():
        for reason, number in sorted(reasons.items()):
            yield _indented(f"{printable(name)}: {number:,} {reason.value}")
            yield _indented(REASONS[reason], by=4, style="dim")


def _verdict(report: ValidationReport) -> str:
    counts = [
        f"{report.count(severity):,} {severity.value}"
        for severity in Severity
        if report.count(severity)
    ]
    found = ", ".join(counts) if counts else "nothing"
    if report.failed:
        return f"Failed. Found: {found}."
    if report.quarantined:
        return f"Passed, with documents or users left out. Found: {found}."
    return f"Passed. Found: {found}."


def _text(words: str, style: str = "") -> Text:
    return Text(words, style=style, overflow="fold")


def _indented(words: str, *, by: int = 2, style: str = "") -> RenderableType:
    return Padding(_text(words, style), (0, 0, 0, by), expand=False)
