"""What can go wrong, as exceptions that carry what a person needs to act.

Every exception the package raises on purpose is a :class:`NewbiMigrateError`; anything else that
escapes is a defect.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "ConfirmationRequiredError",
    "DamagedBackupError",
    "DamagedRecordsError",
    "DatabaseMovedOnError",
    "ExitCode",
    "InterruptedRunError",
    "LeaseHeldError",
    "LeaseLostError",
    "LocalFileError",
    "NewbiMigrateError",
    "NotPermittedError",
    "NothingBegunError",
    "UnreachableError",
    "UnsupportedError",
    "UsageError",
    "ValidationFailedError",
    "refuse_no_whole_number",
]


class ExitCode(IntEnum):
    """Exit status of every command."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    PENDING = 3
    VALIDATION_FAILED = 4
    QUARANTINED = 5
    LEASE_HELD = 6
    INTERRUPTED = 7
    ROLLBACK_CONFLICTS = 8
    UNREACHABLE = 9
    LOCAL_FILE = 10

    @property
    def meaning(self) -> str:
        """What it says, in a few words."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "unexpected error: a defect, please report it",
    ExitCode.USAGE: (
        "nothing was done: a wrong option, no connection string, no confirmation, a step out of "
        "order, or Ctrl-C before the first write"
    ),
    ExitCode.PENDING: (
        "not what was expected: work is pending, the database has moved on, a check failed, a "
        "rehearsal says no-go, a rollback had to leave something, or run records are damaged"
    ),
    ExitCode.VALIDATION_FAILED: "a rule is broken, or a step of smoke failed",
    ExitCode.QUARANTINED: "done, but something is quarantined",
    ExitCode.LEASE_HELD: "another run holds the lease",
    ExitCode.INTERRUPTED: (
        "interrupted: the same command again finishes it; finish an interrupted rollback first"
    ),
    ExitCode.ROLLBACK_CONFLICTS: "a rollback found conflicts, and nothing was written",
    ExitCode.UNREACHABLE: "server unreachable, not permitted, or unsupported",
    ExitCode.LOCAL_FILE: "a file or disk here: damaged, not readable, not writable, or full",
}


class NewbiMigrateError(Exception):
    """Base of all errors of this package.

    Attributes:
        what: One sentence that says what happened and where; never a secret.
        next_step: One sentence that says what to do next.
        collection: The MongoDB collection concerned, if one is.
        document_id: The ``_id`` of the document concerned, if one is.
        exit_code: The status the command line ends with.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(
        self,
        what: str,
        *,
        next_step: str = "",
        collection: str | None = None,
        document_id: object = None,
    ) -> None:
        self.what = what
        self.next_step = next_step
        self.collection = collection
        self.document_id = document_id
        super().__init__(f"{what} {next_step}".strip())


class UsageError(NewbiMigrateError):
    """The call itself is wrong: an option, a missing URI, a file that is not what it should be."""

    exit_code = ExitCode.USAGE


class ConfirmationRequiredError(UsageError):
    """A command that writes was neither confirmed nor able to ask."""


class LocalFileError(UsageError):
    """A file or a disk here is damaged, not readable, not writable, or full."""

    exit_code = ExitCode.LOCAL_FILE


class DamagedBackupError(LocalFileError):
    """A backup is not as it was written, or no longer as it was verified."""


class DatabaseMovedOnError(NewbiMigrateError):
    """The database is no longer what a plan, a preview or a backup says of it."""

    exit_code = ExitCode.PENDING


class DamagedRecordsError(NewbiMigrateError):
    """The records of runs (run, lease or journal) are missing, or not what this tool wrote."""

    exit_code = ExitCode.PENDING


class ValidationFailedError(NewbiMigrateError):
    """The database breaks a rule that must hold before the next step."""

    exit_code = ExitCode.VALIDATION_FAILED


class LeaseHeldError(NewbiMigrateError):
    """Another run holds the lease."""

    exit_code = ExitCode.LEASE_HELD


class LeaseLostError(NewbiMigrateError):
    """This run lost its lease and stopped before its next write."""

    exit_code = ExitCode.INTERRUPTED


class InterruptedRunError(NewbiMigrateError):
    """The run stopped at a safe point; the same command again finishes it."""

    exit_code = ExitCode.INTERRUPTED


class NothingBegunError(InterruptedRunError):
    """The run was stopped before its first write, and no interrupted one waits to be finished."""

    exit_code = ExitCode.USAGE

    def __init__(self, what: str = "Interrupted; nothing was written.") -> None:
        super().__init__(what, next_step="Run the command again.")


class UnreachableError(NewbiMigrateError):
    """The server cannot be reached or refused the credentials."""

    exit_code = ExitCode.UNREACHABLE


class NotPermittedError(UnreachableError):
    """The server answered that this user may not do that."""


class UnsupportedError(NewbiMigrateError):
    """The server or the database is not one this tool can work on."""

    exit_code = ExitCode.UNREACHABLE


def refuse_no_whole_number(**numbers: object) -> None:
    """Fail where a number of documents or workers has a fraction, or is none at all.

    The driver would refuse it only once a run has begun.

    Args:
        numbers: Each by its name.

    Raises:
        UsageError: One is no ``int``.
    """
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError(
                f"{number!r} is no whole number, as {name} is.", next_step="Give a whole number."
            )
