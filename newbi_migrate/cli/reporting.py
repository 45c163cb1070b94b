"""The report files of a command: checked before it begins, written when it has its result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from newbi_migrate.cli.running import Session, say, say_failure
from newbi_migrate.errors import ExitCode, NewbiMigrateError, UsageError

if TYPE_CHECKING:
    from newbi_migrate.migration.checklist import LineId, LineState
    from newbi_migrate.report.checklist import ShortForm
    from newbi_migrate.report.document import Document

__all__ = ["ReportFiles"]

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class ReportFiles:
    """The reports that a command was asked for.

    Args:
        paths: Where they are to be; the end of each name is its format.
        personal: Whether they may show personal data in full.
        taken: Other files that the command reads or writes.

    Raises:
        UsageError: One of them could not or should not be written, or personal data is to be
            shown and no report was asked for.
    """

    def __init__(
        self,
        paths: Sequence[Path] | None,
        *,
        personal: bool = False,
        taken: Sequence[Path | None] = (),
    ) -> None:
        self._paths = tuple(dict.fromkeys(paths or ()))
        self._personal = personal
        if personal and not self._paths:
            raise UsageError(
                "The option --show-personal-data is about reports, and none was asked for.",
                next_step="Name one with --report FILE, or leave it out.",
            )
        if self._paths:
            from newbi_migrate.report.writing import refuse_as_report

            for path in self._paths:
                refuse_as_report(path, taken)

    def finish(
        self,
        session: Session,
        document: Callable[[Mapping[str, str] | None], Document],
        *,
        users_in: str | None = None,
        verbose: bool = False,
        seen: Mapping[LineId, LineState] = _NOTHING,
    ) -> NoReturn:
        """Write all reports, give the answer, and end with its exit code.

        Args:
            session: The call.
            document: Gives the answer, with the users' e-mails as reports may show them.
            users_in: The collection of legacy users whose e-mails belong in the reports.
            verbose: Everything that is listed, not what fits on a screen.
            seen: What the command itself has seen of the checklist.
        """
        answer = document(None)
        code = self.write(session, document, answer.exit_code, users_in=users_in, seen=seen)
        session.finish(answer, verbose=verbose, code=code)

    def write(
        self,
        session: Session,
        document: Callable[[Mapping[str, str] | None], Document],
        code: ExitCode,
        *,
        users_in: str | None = None,
        seen: Mapping[LineId, LineState] | None = _NOTHING,
    ) -> ExitCode:
        """Write all reports, and return the exit code.

        What was done is done, whether or not it can be reported: where a report cannot be
        written, that is said, and only a code that would have been 0 becomes 10.

        Args:
            session: The call.
            document: Gives what they say, with the users' e-mails as they may be shown.
            code: What the command would end with.
            users_in: The collection of legacy users whose e-mails belong in the report.
            seen: What the command itself has seen of the checklist; ``None`` where the database
                is not to be asked about it.
        """
        if not self._paths:
            return code
        from newbi_migrate.report.writing import write_report

        try:
            emails = None if users_in is None else self._emails(session, users_in)
            short = None if seen is None else _checklist(session, seen)
            said = replace(document(emails), checklist=short)
            for path in self._paths:
                write_report(path, said, written_at=datetime.now(UTC))
                say(f"The report was written to {path}.")
        except NewbiMigrateError as error:
            return _not_written(session, error.what, error.next_step, code or _code_of(error))
        except Exception as error:  # noqa: BLE001  # the answer must not be lost for a report
            what = f"{type(error).__name__}: {error}"
            advice = "Please report it; --json has the answer."
            return _not_written(session, what, advice, code or ExitCode.UNEXPECTED)
        return code

    def _emails(self, session: Session, collection: str) -> dict[str, str]:
        from newbi_migrate.masking import masked_email
        from newbi_migrate.store.emails import read_emails

        found = session.read(
            lambda migration: read_emails(migration.store.database, collection), quiet=True
        )
        if self._personal:
            return found
        return {user: masked_email(email) for user, email in found.items()}


def _checklist(session: Session, seen: Mapping[LineId, LineState]) -> ShortForm | None:
    """How far the checklist is; ``None`` where the database cannot be asked."""
    from newbi_migrate.report.checklist import short_form

    with contextlib.suppress(NewbiMigrateError):
        found = session.read(lambda migration: migration.checklist(brief=True), quiet=True)
        return short_form(found, seen)
    return None


def _code_of(error: NewbiMigrateError) -> ExitCode:
    # What a call was refused for before the work is about a file after it.
    return ExitCode.LOCAL_FILE if isinstance(error, UsageError) else error.exit_code


def _not_written(session: Session, what: str, next_step: str, code: ExitCode) -> ExitCode:
    say_failure(
        f"The report was not written: {what}",
        session.placed(next_step),
        code,
        as_json=False,
        redact=session.redact,
    )
    return code
