"""Errors of the driver and the server, said in one sentence without anybody's data.

The server's own messages quote commands, documents and duplicate keys, so none is passed on:
an error is told by its code. It changes when another error deserves a sentence of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from newbi_migrate.errors import NewbiMigrateError, NotPermittedError, UnreachableError, UsageError

__all__ = ["codes_of", "explained", "is_transient", "name_of"]

_AGAIN: Final = "Nothing is half done: the same command again goes on where it stopped."
_ROLE: Final = "Reading takes the role read on the database, everything else readWrite."
_REFUSED_COMMAND: Final = re.compile(r"not authorized on (\S+) to execute command \{ ?(\w+)")

_UNAUTHORIZED: Final = 13
_AUTHENTICATION: Final = frozenset({18, 8000})
_NO_DISK: Final = 14031
_NO_SPACE: Final = "No space left on device"
_TIMED_OUT: Final = frozenset({50, 64, 262})
# The primary stepped down, is shutting down, or is not known yet; an operation was interrupted;
# a cursor, a lock or a transaction was lost with it.
_PASSING: Final = frozenset(
    {6, 7, 89, 91, 112, 189, 9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 63, 134, 150}
    | {24, 43, 46, 237, 246, 251, 276}
)
_PASSING_LABELS: Final = (
    "RetryableWriteError",
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
)


def codes_of(error: PyMongoError) -> frozenset[int]:
    """The server's error codes in an error of the driver."""
    if isinstance(error, BulkWriteError):
        details: Any = error.details or {}
        found = [e.get("code") for e in details.get("writeErrors", ())]
        found += [e.get("code") for e in details.get("writeConcernErrors", ())]
        return frozenset(code for code in found if isinstance(code, int))
    if isinstance(error, NotPrimaryError):
        code = error.details.get("code") if isinstance(error.details, dict) else None
        return frozenset({code}) if isinstance(code, int) else frozenset()
    if isinstance(error, OperationFailure) and error.code is not None:
        return frozenset({error.code})
    return frozenset()


def is_transient(error: PyMongoError) -> bool:
    """Whether the same call may succeed a little later; what it did is unknown."""
    if isinstance(error, ServerSelectionTimeoutError | ConfigurationError):
        return False
    if isinstance(error, ConnectionFailure):
        return True
    return bool(codes_of(error) & (_PASSING | _TIMED_OUT)) or any(
        error.has_error_label(label) for label in _PASSING_LABELS
    )


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns errors of the driver into errors that say what to do next.

    Args:
        doing: What was being done, to follow "while", for example ``"planning"``.

    Raises:
        NewbiMigrateError: In place of any error of PyMongo or of its BSON library.
    """
    try:
        yield
    except BSONError as error:
        raise NewbiMigrateError(
            f"A document could not be decoded while {doing} ({type(error).__name__}).",
            next_step="Nothing was written to it; its collection needs repair first.",
        ) from error
    except PyMongoError as error:
        raise _explanation(error, doing) from error


def _explanation(error: PyMongoError, doing: str) -> NewbiMigrateError:
    if isinstance(error, ServerSelectionTimeoutError):
        return UnreachableError(
            f"No MongoDB server could be reached while {doing}.", next_step=_AGAIN
        )
    if isinstance(error, NetworkTimeout | WaitQueueTimeoutError):
        return UnreachableError(
            f"The server took too long to answer while {doing}.", next_step=_AGAIN
        )
    if isinstance(error, ConnectionFailure) and not isinstance(error, NotPrimaryError):
        return UnreachableError(f"The connection was lost while {doing}.", next_step=_AGAIN)
    if isinstance(error, ConfigurationError):
        return UsageError(
            f"The connection's options do not fit the server ({type(error).__name__}).",
            next_step="Check the connection string.",
        )
    codes = codes_of(error)
    if codes & _AUTHENTICATION:
        return UnreachableError(
            f"The server refused the user name or the password while {doing}.",
            next_step="Check them, and authSource, in the connection string.",
        )
    if _UNAUTHORIZED in codes:
        return NotPermittedError(_not_permitted(error, doing), next_step=_ROLE)
    # Where the storage engine itself finds no room, the code says nothing.
    if _NO_DISK in codes or _NO_SPACE in str(error):
        return UnreachableError(
            f"The server has no disk space left; it refused to write while {doing}.",
            next_step=f"Make room on the server. {_AGAIN}",
        )
    if isinstance(error, WTimeoutError) or codes & _TIMED_OUT:
        return UnreachableError(f"The server ran out of time while {doing}.", next_step=_AGAIN)
    if isinstance(error, NotPrimaryError) or codes & _PASSING:
        return UnreachableError(
            f"The server was shutting down or changing its primary while {doing}.",
            next_step=_AGAIN,
        )
    return NewbiMigrateError(
        f"The server refused a command while {doing}: {name_of(error)}.", next_step=_AGAIN
    )


def _not_permitted(error: PyMongoError, doing: str) -> str:
    found = _REFUSED_COMMAND.search(str(error))
    if found is not None:
        return f"This user may not run {found.group(2)} on {found.group(1)}, needed for {doing}."
    return f"This user may not do what was needed while {doing}."


def name_of(error: PyMongoError) -> str:
    """An error by the server's name and code for it, or the driver's; nothing of its message."""
    listed = ", ".join(map(str, sorted(codes_of(error))))
    details = getattr(error, "details", None) or {}
    name = details.get("codeName") if isinstance(details, dict) else None
    shown = name if isinstance(name, str) and name.isalnum() else type(error).__name__
    return f"{shown} (code {listed})" if listed else shown
