"""Validations as the contents of report files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from newbi_migrate.invariants.base import Severity
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.validation.report import Finding, RuleResult, ValidationReport
from newbi_migrate.report.contents import (
    Badge,
    Case,
    Cell,
    Contents,
    Figure,
    Section,
    State,
    Tone,
    share,
    table_of,
    timings_section,
)
from newbi_migrate.report.migration_contents import left_out_cases, left_out_section
from newbi_migrate.report.validation import validation_to_json
from newbi_migrate.report.words import counted

__all__ = ["validation_contents"]

Findings = Callable[[], Iterable[Mapping[str, Any]]]
"""Gives every finding as JSON holds it, as often as it is asked."""

_EXAMPLES: Final = 5
_TONES: Final[Mapping[Severity, Tone]] = {
    Severity.CRITICAL: Tone.BAD,
    Severity.WARNING: Tone.ODD,
    Severity.INFO: Tone.PLAIN,
}


def validation_contents(
    report: ValidationReport, *, next_command: str = "", findings: Findings | None = None
) -> Contents:
    """What a report says of a validation.

    Args:
        report: The validation.
        next_command: What to run next.
        findings: Every finding, where more were asked for than the report keeps.
    """

    def all_findings() -> Iterable[Mapping[str, Any]]:
        if findings is not None:
            return findings()
        return (finding.to_json() for finding in report.findings)

    failed = "failed" if report.failed else "passed"
    return Contents(
        command="validate",
        database=report.database,
        title=f"Validation of the database {report.database}: {failed}.",
        exit_code=report.exit_code,
        next_command=next_command,
        run_id=None if report.run_id is None else str(report.run_id),
        figures=_figures(report),
        sections=_sections(report),
        cases=_cases(report),
        timings=report.timings,
        lines=lambda: _lines(report, all_findings()),
        value=lambda: {**validation_to_json(report), "findings": iter(all_findings())},
    )


def _figures(report: ValidationReport) -> tuple[Figure, ...]:
    violations = (
        Figure(count, f"{severity.value} violations", _TONES[severity] if count else Tone.GOOD)
        for severity in (Severity.CRITICAL, Severity.WARNING)
        for count in [report.count(severity)]
    )
    return (
        Figure(report.checked, "rules checked"),
        Figure(sum(report.documents.values()), "documents looked at"),
        *violations,
        Figure(
            report.quarantined, "left out, recorded", Tone.ODD if report.quarantined else Tone.GOOD
        ),
    )


def _sections(report: ValidationReport) -> tuple[Section, ...]:
    counts = {
        (collection, reason): number
        for collection, reasons in report.quarantine.items()
        for reason, number in reasons.items()
    }
    return (
        _rules(report),
        left_out_section(counts, report.quarantine_examples),
        Section(
            "What was looked at",
            tables=table_of(
                "Documents of each collection",
                ("collection", "documents"),
                report.documents.items(),
                lambda item: (item[0], item[1]),
            ),
        ),
        *timings_section(report.timings),
    )


def _rules(report: ValidationReport) -> Section:
    sentences = list(report.notes)
    if report.sampled is not None:
        sentences.insert(
            0,
            f"The rules of the models were asked of {report.sampled:,} documents of each "
            "collection, drawn at random.",
        )
    broken = [result for result in report.results if result.violations]
    if not broken:
        return Section("Broken rules", ("None.", *sentences))
    most = max(result.violations for result in broken)

    def row(result: RuleResult) -> tuple[Cell, ...]:
        tone = _TONES[result.severity]
        return (
            result.rule,
            Badge(result.severity.value, tone),
            result.collection,
            share(result.rule, result.violations, most, tone),
            f"{result.sentence} {result.next_step}".strip(),
            ", ".join(filter(None, map(_named, result.examples[:_EXAMPLES]))),
        )

    tables = table_of(
        "Rules that are broken, the worst first",
        ("rule", "severity", "collection", "violations", "the rule, and what to do", "the first"),
        broken,
        row,
    )
    return Section("Broken rules", tuple(sentences), tables=tables)


def _named(finding: Finding) -> str:
    parts = [str(finding.id) if finding.id is not None else "", finding.path, finding.note]
    return " ".join(filter(None, parts))


def _cases(report: ValidationReport) -> tuple[Case, ...]:
    broken = [result for result in report.results if result.violations]
    cases = [_case(report, result) for result in broken]
    failing = {result.collection for result in broken}
    cases += [
        Case(collection, "no rule is broken")
        for collection in report.documents
        if collection not in failing
    ]
    # What was left out and recorded breaks no rule: it waits for a person.
    counts: dict[tuple[str, Reason], int] = {
        (collection, reason): number
        for collection, reasons in report.quarantine.items()
        for reason, number in reasons.items()
    }
    return (*cases, *left_out_cases(counts, report.quarantine_examples, State.SKIPPED))


def _case(report: ValidationReport, result: RuleResult) -> Case:
    named = [_named(finding) for finding in result.examples]
    violations = counted(result.violations, f"{result.severity.value} violation")
    return Case(
        result.collection,
        result.rule,
        State.FAILED if report.fail_on.covers(result.severity) else State.PASSED,
        result.severity.value,
        f"{violations}: {result.sentence}",
        tuple(filter(None, [result.next_step, *named])),
    )


def _lines(
    report: ValidationReport, findings: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for collection, number in report.documents.items():
        yield {"type": "collection", "collection": collection, "documents": number}
    for result in report.results:
        yield {"type": "rule", **result.to_json()}
    for finding in findings:
        yield {"type": "violation", **finding}
    for collection, reasons in report.quarantine.items():
        for reason, number in sorted(reasons.items()):
            yield {
                "type": "left-out-count",
                "collection": collection,
                "reason": reason.value,
                "count": number,
            }
