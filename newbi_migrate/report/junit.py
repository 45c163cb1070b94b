"""Documents as JUnit XML, the form in which pipelines show what failed.

There is a failure where a person has to do something, and it says what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from itertools import groupby

from newbi_migrate.printable import printable
from newbi_migrate.report.document import GENERATOR, Case, Document, State

__all__ = ["junit_report"]


def junit_report(document: Document, *, written_at: datetime) -> Iterator[str]:
    """The lines of an XML document.

    Args:
        document: What the report says.
        written_at: The time it is written, with its offset from UTC.
    """
    cases = sorted(document.cases, key=lambda case: case.suite)
    whole = {
        "name": f"newbi-migrate {document.command} {document.database}",
        **_counts(cases),
        "time": f"{sum(s for name, s in document.timings.items() if '.' not in name):.3f}",
    }
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<!-- {GENERATOR} -->\n"
    if document.checklist is not None:
        yield f"<!-- {document.checklist} -->\n"
    yield f"<testsuites{_attributes(whole)}>\n"
    time = written_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for suite, group in groupby(cases, key=lambda case: case.suite):
        found = list(group)
        seconds = sum(case.seconds for case in found)
        about = {
            "name": suite,
            **_counts(found),
            "skipped": str(sum(case.state is State.SKIPPED for case in found)),
            "time": f"{seconds:.3f}",
            "timestamp": time,
        }
        yield f"  <testsuite{_attributes(about)}>\n"
        for case in found:
            yield from _case(document, case)
        yield "  </testsuite>\n"
    yield "</testsuites>\n"


def _counts(cases: Iterable[Case]) -> dict[str, str]:
    found = list(cases)
    failed = sum(case.state is State.FAILED for case in found)
    return {"tests": str(len(found)), "failures": str(failed), "errors": "0"}


def _case(document: Document, case: Case) -> Iterator[str]:
    about = {
        "classname": f"{document.command}.{case.suite}",
        "name": case.name,
        "time": f"{case.seconds:.3f}",
    }
    lines = "\n".join(escape(printable(line)) for line in case.details)
    yield f"    <testcase{_attributes(about)}>"
    if case.state is State.FAILED:
        what = {"message": case.message, "type": case.kind}
        yield f"\n      <failure{_attributes(what)}>{lines}</failure>\n    "
    elif case.state is State.SKIPPED:
        yield f"\n      <skipped{_attributes({'message': case.message})}/>\n    "
    if lines and case.state is not State.FAILED:
        yield f"\n      <system-out>{lines}</system-out>\n    "
    yield "</testcase>\n"


def _attributes(values: dict[str, str]) -> str:
    # Escaped as in HTML: the five characters that mean something are the same, and what XML
    # cannot hold at all, control characters, is written out.
    return "".join(f' {name}="{escape(printable(value))}"' for name, value in values.items())
