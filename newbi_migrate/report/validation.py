"""Validations as documents.

They name documents by collection and id, never by a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from newbi_migrate.invariants.base import Severity
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import QuarantinedDocument
from newbi_migrate.migration.validation.report import Finding, RuleResult, ValidationReport
from newbi_migrate.report.document import (
    Case,
    Document,
    Each,
    Figure,
    Group,
    Groups,
    Listing,
    Section,
    State,
    Tone,
    table_of,
    timings_section,
)
from newbi_migrate.report.ids import shown_id
from newbi_migrate.report.migration import quarantined_cases, quarantined_groups
from newbi_migrate.report.text import counted

__all__ = ["validation_document", "validation_to_json"]

Findings = Callable[[], Iterable[Mapping[str, Any]]]
"""Gives every finding as its ``to_json`` does, as often as it is asked."""

_EXAMPLES: Final = 5
_TONES: Final[Mapping[Severity, Tone]] = {
    Severity.CRITICAL: Tone.BAD,
    Severity.WARNING: Tone.ODD,
    Severity.INFO: Tone.PLAIN,
}


def validation_document(
    report: ValidationReport, *, next_command: str = "", findings: Findings | None = None
) -> Document:
    """The document of a validation.

    Args:
        report: The validation.
        next_command: What to run next.
        findings: Every finding, where more were asked for than the report keeps.
    """

    def all_findings() -> Iterable[Mapping[str, Any]]:
        if findings is not None:
            return findings()
        return (finding.to_json() for finding in report.findings)

    return Document(
        command="validate",
        database=report.database,
        title=(
            f"Validation of the database {report.database}: "
            f"{'failed' if report.failed else 'passed'}. Nothing was written."
        ),
        exit_code=report.exit_code,
        next_command=next_command,
        run_id=None if report.run_id is None else str(report.run_id),
        figures=_figures(report),
        sections=_sections(report, findings),
        summary=tuple(_summary(report)),
        cases=_cases(report),
        timings=report.timings,
        lines=lambda: _lines(report, all_findings()),
        value=lambda: {**validation_to_json(report), "findings": iter(all_findings())},
    )


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
        "quarantined": {
            name: {reason.value: number for reason, number in sorted(reasons.items())}
            for name, reasons in report.quarantine.items()
        },
        "notes": list(report.notes),
        "timings": dict(report.timings),
    }


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
            report.quarantined,
            "quarantined, recorded",
            Tone.ODD if report.quarantined else Tone.GOOD,
        ),
    )


def _sections(report: ValidationReport, findings: Findings | None) -> tuple[Section, ...]:
    sections = [
        _every(report, findings),
        _notes(report),
        *(_broken(report, severity) for severity in Severity),
        _quarantined(report),
        _looked_at(report),
        *timings_section(report.timings),
    ]
    return tuple(section for section in sections if section is not None)


def _every(report: ValidationReport, findings: Findings | None) -> Section | None:
    if findings is None:
        return None
    every = Listing(
        lambda: map(_line, findings()), sum(result.violations for result in report.results)
    )
    return Section("", (every,), detail=True)


def _line(finding: Mapping[str, Any]) -> str:
    """One finding on one line."""
    identifier = "" if finding["id"] is None else shown_id(finding["id"])
    where = " ".join(filter(None, [finding["collection"], identifier, finding["path"]]))
    note = f" ({finding['note']})" if finding["note"] else ""
    return f"{finding['severity']} {finding['rule']} {where}{note}"


def _notes(report: ValidationReport) -> Section | None:
    notes = [f"note: {note}" for note in report.notes]
    if report.sampled is not None:
        notes.insert(
            0,
            f"The rules of the models were asked of {report.sampled:,} documents of each "
            "collection, drawn at random.",
        )
    return Section("", tuple(notes)) if notes else None


def _broken(report: ValidationReport, severity: Severity) -> Section | None:
    rules: dict[str, list[RuleResult]] = {}
    for result in report.results:
        if result.severity is severity and result.violations:
            rules.setdefault(result.rule, []).append(result)
    if not rules:
        return None
    groups = tuple(_rule(found) for found in rules.values())
    violations = sum(group.count for group in groups)
    return Section(
        f"{severity.value.capitalize()}: {counted(violations, 'violation')} of "
        f"{counted(len(groups), 'rule')}",
        (
            Groups(
                f"Rules of the severity {severity.value} that are broken",
                "rule",
                groups,
                brief=not report.fail_on.covers(severity),
            ),
        ),
    )


def _rule(found: Sequence[RuleResult]) -> Group:
    first = found[0]
    where: Counter[str] = Counter()
    for result in found:
        where[result.collection] += result.violations
    several = len(where) > 1

    def named(finding: Finding) -> str:
        return f"{finding.collection} {_named(finding)}".rstrip() if several else _named(finding)

    return Group(
        first.rule,
        where.total(),
        where,
        f"{first.sentence} {first.next_step}".strip(),
        first.next_step,
        Each(tuple(chain.from_iterable(result.examples for result in found)), named),
        _TONES[first.severity],
    )


def _quarantined(report: ValidationReport) -> Section | None:
    if not report.quarantined:
        return None

    def known(reason: Reason) -> list[QuarantinedDocument]:
        return [document for document in report.quarantine_examples if document.reason is reason]

    return Section(
        f"Quarantined as the run recorded, no violation: {report.quarantined:,}",
        (
            Groups(
                "Users and documents that are quarantined, by reason",
                "reason",
                quarantined_groups(_quarantined_counts(report), known),
                brief=True,
            ),
        ),
    )


def _looked_at(report: ValidationReport) -> Section:
    return Section(
        "What was looked at",
        table_of(
            "Documents of each collection",
            ("collection", "documents"),
            tuple(report.documents.items()),
            lambda item: (item[0], item[1]),
        ),
        detail=True,
    )


def _quarantined_counts(report: ValidationReport) -> dict[tuple[str, Reason], int]:
    return {
        (collection, reason): number
        for collection, reasons in report.quarantine.items()
        for reason, number in reasons.items()
    }


def _summary(report: ValidationReport) -> Iterator[str]:
    documents = sum(report.documents.values())
    yield (
        f"Checked: {counted(report.checked, 'rule')}, {counted(documents, 'document')} in "
        f"{counted(len(report.documents), 'collection')}."
    )
    if report.quarantined:
        left = counted(report.quarantined, "user or document", "users or documents")
        yield f"Quarantined: the same {left} as the run recorded."
    yield _verdict(report)


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
        return f"Passed, with documents or users quarantined. Found: {found}."
    return f"Passed. Found: {found}."


def _named(finding: Finding) -> str:
    identifier = "" if finding.id is None else shown_id(finding.id)
    note = f"({finding.note})" if finding.note else ""
    return " ".join(filter(None, [identifier, finding.path, note]))


def _cases(report: ValidationReport) -> tuple[Case, ...]:
    broken = [result for result in report.results if result.violations]
    cases = [_case(report, result) for result in broken]
    failing = {result.collection for result in broken}
    cases += [
        Case(collection, "no rule is broken")
        for collection in report.documents
        if collection not in failing
    ]
    # What was quarantined and recorded breaks no rule: it waits for a person.
    left = quarantined_cases(_quarantined_counts(report), report.quarantine_examples, State.SKIPPED)
    return (*cases, *left)


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
                "type": "quarantined-count",
                "collection": collection,
                "reason": reason.value,
                "count": number,
            }
