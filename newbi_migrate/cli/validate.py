"""``newbi-migrate validate``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_validation
from newbi_migrate.cli.reporting import ReportFiles

if TYPE_CHECKING:
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.validation.report import FoundViolation, ValidationReport
    from newbi_migrate.store.runs import RunRecord

__all__ = ["validate"]


class FailOnChoice(StrEnum):
    """Choices of ``--fail-on``."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    ANY_CRITICAL = "any-critical"
    ANY_WARNING = "any-warning"
    ANY = "any"


def validate(
    *,
    detailed: Annotated[
        bool,
        typer.Option(
            "--detailed", "--verbose", help="List every violation, not only what fits on a screen."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="RULE,RULE",
            help="Check only these rules; * stands for any characters, as in document.*; may be "
            "repeated.",
            show_default="all",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            min=1,
            help="Check the rules of the models on N random documents of each collection; the "
            "structural rules are checked on all.",
            show_default="all",
        ),
    ] = None,
    fail_on: Annotated[
        FailOnChoice,
        typer.Option(
            "--fail-on",
            help="Fail on what the migration caused, or has not migrated yet, of this severity "
            "or a higher one; with any, on what was there before too.",
        ),
    ] = FailOnChoice.CRITICAL,
    unchanged: Annotated[
        bool,
        typer.Option(
            "--unchanged",
            help="Prove by digests that nothing changed except what the run's journal says; best "
            "while the application is stopped.",
        ),
    ] = False,
    scope: opt.Scope,
    workers: opt.Workers = None,
    call: opt.LoggedCall,
    report: opt.Reports = None,
) -> None:
    """Check that the database keeps every rule; writes nothing.

    A role that may only read is enough. The answer is certain while the application is stopped or
    at rest; where a run is under way or unfinished, it says so. What a run quarantined and recorded
    breaks no rule; more than that does. By the journal it tells what the migration caused (4) and
    what is not migrated yet (3) from what was there before, which is listed with what to do about
    it.
    """
    with (
        call.session("validate") as session,
        tempfile.TemporaryFile("w+", encoding="utf-8") as found,
    ):
        from bson import json_util

        from newbi_migrate.answers import answer
        from newbi_migrate.extended_json import from_extended_json
        from newbi_migrate.migration.checklist import LineId, LineState
        from newbi_migrate.migration.validation.report import FailOn
        from newbi_migrate.report.validation import validation_document

        options = values.migration_options(**asdict(scope), workers=workers)
        rules = values.names(only, "--only") or ()

        def keep(violation: FoundViolation) -> None:
            found.write(json_util.dumps(answer(violation)) + "\n")

        reports = ReportFiles(report, taken=[call.uri_file, call.log_file])
        session.log_to(call.log_file, "validate")

        async def validating(migration: Migration) -> tuple[ValidationReport, list[RunRecord]]:
            validation = await migration.validate(
                only=rules,
                sample=sample,
                fail_on=FailOn(fail_on.value),
                unchanged=unchanged,
                detailed=detailed,
                # Millions of violations are kept on disk and not in memory.
                on_violation=keep if detailed else None,
            )
            return validation, await migration.runs()

        validation, runs = session.ask(validating, options=options)
        session.log_end(_in_one_line(validation))
        chosen = [*values.as_arguments(options), *(["--unchanged"] if unchanged else [])]
        document = validation_document(
            validation,
            next_command=after_validation(
                validation,
                session.uri_arguments,
                chosen=chosen,
                only=rules,
                detailed=detailed,
                runs=runs,
            ),
            violations=(lambda: map(from_extended_json, _lines(found))) if detailed else None,
        )
        seen: dict[LineId, LineState] = {}
        if validation.failed:
            seen[LineId.VALIDATED] = LineState.FAILED
        elif not (rules or sample or scope.collections):
            seen[LineId.VALIDATED] = LineState.DONE
        code = reports.write(session, lambda _: document, validation.exit_code, seen=seen)
        session.finish(document, verbose=detailed, code=code)


def _in_one_line(report: ValidationReport) -> str:
    """How it ended, for the log."""
    from newbi_migrate.rules import Severity

    found = ", ".join(f"{report.count(severity):,} {severity.value}" for severity in Severity)
    before = sum(result.count for result in report.there_before)
    return (
        f"Checked {report.checked:,} rules: {found}, of which {before:,} there before; "
        f"{report.quarantined:,} quarantined. "
        f"Exit code {int(report.exit_code)}."
    )


def _lines(found: IO[str]) -> Iterator[str]:
    found.seek(0)
    for line in found:
        yield line.rstrip("\n")
