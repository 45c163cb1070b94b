"""Validations as documents.

They name documents by collection and id, never by a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from newbi_migrate.answers import answer
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.planning.results import QuarantinedDocument
from newbi_migrate.migration.validation.report import (
    FoundViolation,
    Origin,
    Proof,
    RuleResult,
    Unchanged,
    ValidationReport,
)
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
from newbi_migrate.report.migration import quarantined_cases, quarantined_groups
from newbi_migrate.report.text import counted
from newbi_migrate.rules import Severity

__all__ = ["rule_groups", "validation_document"]

Violations = Callable[[], Iterable[Mapping[str, Any]]]
"""Gives every violation as an answer has it, as often as it is asked."""

_EXAMPLES: Final = 5
_TONES: Final[Mapping[Severity, Tone]] = {
    Severity.CRITICAL: Tone.BAD,
    Severity.WARNING: Tone.ODD,
    Severity.INFO: Tone.PLAIN,
}
_ORIGINS: Final[Mapping[Origin, str]] = {
    Origin.RUN: "caused by the migration",
    Origin.PENDING: "not migrated yet",
    Origin.UNKNOWN: "of unknown origin",
    Origin.BEFORE: "there before",
}
_APART: Final = frozenset({Origin.PENDING, Origin.BEFORE})
"""Origins that the name of a JUnit case says, since one rule may be broken by several."""
_ADVICE: Final[Mapping[Origin, str]] = {
    Origin.RUN: "What somebody edited since, in documents that the run wrote, counts here too.",
    Origin.BEFORE: "No reason to go back. Cure it as it says; after a migration, once --unchanged "
    "has given its proof, unless the cure says that --unchanged allows for it.",
}


def validation_document(
    report: ValidationReport, *, next_command: str = "", violations: Violations | None = None
) -> Document:
    """The document of a validation.

    Args:
        report: The validation.
        next_command: What to run next.
        violations: Every violation, where more were asked for than the report keeps.
    """

    def all_violations() -> Iterable[Mapping[str, Any]]:
        if violations is not None:
            return violations()
        return map(answer, report.violations)

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
        sections=_sections(report, violations),
        summary=tuple(_summary(report)),
        cases=_cases(report),
        timings=report.timings,
        lines=lambda: _lines(report, all_violations()),
        value=lambda: {**answer(report), "violations": iter(all_violations())},
    )


def _figures(report: ValidationReport) -> tuple[Figure, ...]:
    critical = report.critical + report.pending
    before = sum(result.count for result in report.there_before)
    return (
        Figure(report.checked, "rules checked"),
        Figure(sum(report.documents.values()), "documents looked at"),
        Figure(critical, "critical, not there before", Tone.BAD if critical else Tone.GOOD),
        Figure(before, "violations there before", Tone.ODD if before else Tone.GOOD),
        Figure(
            report.quarantined,
            "quarantined, recorded",
            Tone.ODD if report.quarantined else Tone.GOOD,
        ),
    )


def _sections(report: ValidationReport, violations: Violations | None) -> tuple[Section, ...]:
    sections = [
        _every(report, violations),
        _notes(report),
        *(section for origin in Origin for section in _broken(report, origin)),
        _quarantined(report),
        _looked_at(report),
        *timings_section(report.timings),
    ]
    return tuple(section for section in sections if section is not None)


def _every(report: ValidationReport, violations: Violations | None) -> Section | None:
    if violations is None:
        return None
    every = Listing(
        lambda: (_line(report, violation) for violation in violations()),
        sum(result.count for result in report.results),
    )
    return Section("", (every,), detail=True)


def _line(report: ValidationReport, violation: Mapping[str, Any]) -> str:
    """One violation on one line."""
    identifier = "" if violation["id"] is None else shown_id(violation["id"])
    where = " ".join(filter(None, [violation["collection"], identifier, violation["path"]]))
    note = f" ({violation['note']})" if violation["note"] else ""
    origin = _words(report, Origin(violation["origin"]))
    return f"{violation['severity']} {violation['rule']} {where}{note}, {origin}"


def _notes(report: ValidationReport) -> Section | None:
    notes = [f"note: {note}" for note in report.notes]
    if report.sampled is not None:
        notes.insert(
            0,
            f"The rules of the models were asked of {counted(report.sampled, 'document')} of each "
            "collection, drawn at random.",
        )
    return Section("", tuple(notes)) if notes else None


def _broken(report: ValidationReport, origin: Origin) -> Iterator[Section]:
    """What comes from the same: critical rules, and what fails, with the cure; then the others."""
    found = [result for result in report.results if result.origin is origin]
    told = {r.severity for r in found if report.fail_on.covers(r.severity, origin)}
    told.add(Severity.CRITICAL)
    rest = [severity for severity in Severity if severity not in told]
    advice: tuple[str, ...] = (_ADVICE[origin],) if origin in _ADVICE else ()
    for severities in (*([severity] for severity in Severity if severity in told), rest):
        groups = rule_groups(result for result in found if result.severity in severities)
        if not groups:
            continue
        violations = sum(group.count for group in groups)
        names = " and ".join(severities)
        words = _words(report, origin)
        yield Section(
            f"{words.capitalize()}, {names}: {counted(violations, 'violation')} of "
            f"{counted(len(groups), 'rule')}",
            (
                *advice,
                Groups(
                    f"Rules that are broken, {words}, {names}",
                    "rule",
                    groups,
                    brief=severities is rest,
                ),
            ),
        )
        advice = ()


def _words(report: ValidationReport, origin: Origin) -> str:
    """Where violations come from; without a migration there is nothing to tell apart."""
    if origin is Origin.UNKNOWN and report.run_id is None:
        return "found"
    return _ORIGINS[origin]


def rule_groups(results: Iterable[RuleResult]) -> tuple[Group, ...]:
    """Broken rules, each with where it is broken and what cures it.

    Args:
        results: What came of each rule in each collection.
    """
    rules: dict[str, list[RuleResult]] = {}
    for result in results:
        if result.count:
            rules.setdefault(result.rule, []).append(result)
    return tuple(_rule(found) for found in rules.values())


def _rule(found: Sequence[RuleResult]) -> Group:
    first = found[0]
    where: Counter[str] = Counter()
    for result in found:
        where[result.collection] += result.count
    several = len(where) > 1

    def named(violation: FoundViolation) -> str:
        return (
            f"{violation.collection} {_named(violation)}".rstrip() if several else _named(violation)
        )

    return Group(
        first.rule,
        where.total(),
        where,
        f"{first.sentence} {first.next_step}".strip(),
        first.next_step,
        Each(tuple(chain.from_iterable(result.examples for result in found)), named),
        Tone.ODD if first.origin is Origin.BEFORE else _TONES[first.severity],
    )


def _quarantined(report: ValidationReport) -> Section | None:
    if not report.quarantined:
        return None

    def known(reason: Reason) -> list[QuarantinedDocument]:
        return [document for document in report.quarantine_examples if document.reason is reason]

    since = report.quarantined_since
    return Section(
        f"Quarantined, {since:,} more than the run recorded: {report.quarantined:,}"
        if since
        else f"Quarantined as the run recorded, no violation: {report.quarantined:,}",
        (
            Groups(
                "Users and documents that are quarantined, by reason",
                "reason",
                quarantined_groups(_quarantined_counts(report), known, report.options),
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
        f"the {counted(len(report.documents), 'collection')} that they are about."
    )
    if report.quarantined:
        left = counted(report.quarantined, "user or document", "users or documents")
        since = report.quarantined_since
        yield (
            f"Quarantined: {left}, {since:,} more than the run recorded."
            if since
            else f"Quarantined: {left}, all of them recorded by the run."
        )
    if report.unchanged is not None:
        yield _proof(report.unchanged)
    yield f"{'Failed' if report.failed else 'Passed'}. {_found(report)}."


def _proof(unchanged: Unchanged) -> str:
    if unchanged.proof is Proof.UNPROVEN:
        return f"Unchanged: not proven. {unchanged.reason}"
    collections = counted(unchanged.collections, "collection")
    if unchanged.proof is Proof.PROVEN:
        return f"Unchanged: proven of {collections}, but for what the journal says."
    return (
        f"Unchanged: no. What the journal does not say changed in "
        f"{', '.join(unchanged.differing)}, of {collections}."
    )


def _found(report: ValidationReport) -> str:
    """How much comes from where: "Caused by the migration: 0; there before: 96, of which …"."""
    said = []
    for origin in Origin:
        counts = {severity: report.count(severity, origin) for severity in Severity}
        number = sum(counts.values())
        # Without a migration nothing was caused by it, or was there before it.
        always = report.run_id is not None and origin in (Origin.RUN, Origin.BEFORE)
        if not number and not always:
            continue
        which = ", ".join(f"{n:,} {severity.value}" for severity, n in counts.items() if n)
        text = f"{number:,}, of which {which}" if number else "0"
        if number and origin is not Origin.BEFORE and not counts[Severity.CRITICAL]:
            text = f"0 critical, {which}"
        said.append(f"{_words(report, origin)}: {text}")
    found = "; ".join(said) or "found: nothing"
    return f"{found[0].upper()}{found[1:]}"


def _named(violation: FoundViolation) -> str:
    identifier = "" if violation.id is None else shown_id(violation.id)
    note = f"({violation.note})" if violation.note else ""
    return " ".join(filter(None, [identifier, violation.path, note]))


def _cases(report: ValidationReport) -> tuple[Case, ...]:
    broken = [result for result in report.results if result.count]
    cases = [_case(report, result) for result in broken]
    failing = {result.collection for result in broken}
    cases += [
        Case(collection, "no rule is broken")
        for collection in report.documents
        if collection not in failing
    ]
    # What was quarantined and recorded breaks no rule: it waits for a person.
    left = quarantined_cases(
        _quarantined_counts(report), report.quarantine_examples, report.options, State.SKIPPED
    )
    return (*cases, *left)


def _case(report: ValidationReport, result: RuleResult) -> Case:
    named = [_named(violation) for violation in result.examples]
    violations = counted(result.count, f"{result.severity.value} violation")
    origin = _words(report, result.origin)
    failed = report.fail_on.covers(result.severity, result.origin)
    return Case(
        result.collection,
        f"{result.rule} ({origin})" if result.origin in _APART else result.rule,
        State.FAILED if failed else State.PASSED,
        result.severity.value,
        f"{violations}, {origin}: {result.sentence}",
        tuple(filter(None, [result.next_step, *named])),
    )


def _lines(
    report: ValidationReport, violations: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for collection, number in report.documents.items():
        yield {"type": "collection", "collection": collection, "documents": number}
    for result in report.results:
        yield {"type": "rule", **answer(result)}
    for violation in violations:
        yield {"type": "violation", **violation}
    for collection, reasons in report.quarantine.items():
        for reason, number in sorted(reasons.items()):
            yield {
                "type": "quarantined-count",
                "collection": collection,
                "reason": reason.value,
                "count": number,
            }
