"""Errors of the driver and the server, said in one sentence without anybody's data.

The server's own messages quote commands, documents and duplicate keys, so none is passed on:
an error is told by its code. What is taken out of a message is a name of the server's own
(a command, a database, a parameter) or of a package of the driver.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bson.errors import BSONError, InvalidDocument, InvalidStringData
from dns.exception import DNSException
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from newbi_migrate.errors import (
    NewbiMigrateError,
    NotPermittedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.local_files import short_of
from newbi_migrate.server_codes import (
    AUTHENTICATION,
    CHANGING,
    CURSOR_LOST,
    ONE_DOCUMENT,
    SNAPSHOT_LOST,
    STABLE_API,
    TIMED_OUT,
    TRANSIENT,
    Code,
)

__all__ = [
    "MAJORITY_SECONDS",
    "PassingError",
    "codes_of",
    "explained",
    "explanation",
    "first_error",
    "is_out_of_space",
    "is_transient",
    "name_of",
    "passing_error",
    "refuses_documents",
    "task_group",
]

MAJORITY_SECONDS: Final = 60
"""How long a write waits for a majority of the members; without one it would wait for ever."""

_AGAIN: Final = "Nothing is half done: the same command again goes on where it stopped."
_ROLE: Final = (
    "Reading takes the role read on the database, everything else readWrite; restoring collections "
    "that have a validator, or whose documents expire, takes dbAdmin too."
)
_REFUSED_COMMAND: Final = re.compile(r"not authorized on (\S+) to execute command \{ ?(\w+)")
_OTHER_CASE: Final = re.compile(r"already have: \[([^\]\s]{1,63})\]")
_ANSWERED_CODE: Final = re.compile(r"'code': (\d{1,6})\b")
_EXTRA: Final = re.compile(r"pymongo\[(\w+)\]")

_NO_SPACE: Final = "No space left on device"
_NO_USER: Final = "requires authentication"
# Where connections break, the driver may take a standalone for what it was not asked about yet.
_NOT_NUMBERED: Final = "Transaction numbers"
_TRANSIENT_LABELS: Final = (
    "RetryableWriteError",
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
)


# -- what an error is --------------------------------------------------------------------------


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


def refuses_documents(error: PyMongoError) -> bool:
    """Whether the server refused single documents, and nothing else failed."""
    codes = codes_of(error)
    return bool(codes) and codes <= ONE_DOCUMENT


def is_transient(error: PyMongoError) -> bool:
    """Whether the same call may succeed a little later; what it did is unknown."""
    if isinstance(error, ServerSelectionTimeoutError | ConfigurationError):
        return False
    if isinstance(error, ConnectionFailure):
        return True
    codes = codes_of(error)
    if Code.ILLEGAL_OPERATION in codes and _NOT_NUMBERED in str(error):
        return True
    return bool(codes & TRANSIENT) or any(
        error.has_error_label(label) for label in _TRANSIENT_LABELS
    )


@dataclass(frozen=True, slots=True)
class PassingError:
    """An error after which the same may succeed a little later.

    Attributes:
        name: The server's name for it, or the driver's.
        unreachable: Whether the server could not be reached, so that it said nothing at all.
    """

    name: str
    unreachable: bool


def passing_error(error: BaseException) -> PassingError | None:
    """What may pass of an error, also of one that has been explained; ``None`` if nothing may."""
    found = error.__cause__ if isinstance(error, NewbiMigrateError) else error
    if not isinstance(found, PyMongoError):
        return None
    # A set whose primary has died elects another within some twelve seconds.
    if is_transient(found) or isinstance(found, ServerSelectionTimeoutError):
        return PassingError(name_of(found), isinstance(found, ConnectionFailure))
    return None


def name_of(error: PyMongoError) -> str:
    """An error by the server's name and code for it, or the driver's; nothing of its message."""
    listed = ", ".join(map(str, sorted(codes_of(error))))
    details = getattr(error, "details", None)
    name = details.get("codeName") if isinstance(details, Mapping) else None
    shown = name if isinstance(name, str) and name.isalnum() else type(error).__name__
    return f"{shown} (code {listed})" if listed else shown


# -- errors of several tasks -------------------------------------------------------------------


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks; the others were only cancelled."""
    leaves = list(_leaves(group))
    return next((e for e in leaves if not isinstance(e, asyncio.CancelledError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """An ``asyncio.TaskGroup`` that raises the error of the task that failed, not a group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = first_error(group)
        # Its own cause tells whether it is transient.
        raise error from error.__cause__


# -- what is said of it ------------------------------------------------------------------------


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn errors of the driver into errors that say what to do next.

    Args:
        doing: What was being done, to follow "while", for example ``"planning"``.

    Raises:
        NewbiMigrateError: In place of any error of PyMongo or of its BSON library, also of one
            that ended a group of tasks.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error = first_error(group)
        told = explanation(error, doing)
        if told is None:
            raise error from error.__cause__
        raise told from error
    except (BSONError, PyMongoError, OverflowError) as error:
        raise explanation(error, doing) or error from error


def explanation(error: BaseException, doing: str) -> NewbiMigrateError | None:
    """What to say of an error; ``None`` where it is not one of the driver's.

    Args:
        error: The error.
        doing: What was being done, to follow "while".
    """
    if isinstance(error, InvalidDocument | InvalidStringData | OverflowError):
        return NewbiMigrateError(
            f"A value could not be written as BSON while {doing} ({type(error).__name__}).",
            next_step="Nothing was written to its document; please report it.",
        )
    if isinstance(error, BSONError):
        return UnsupportedError(
            f"A document could not be decoded while {doing} ({type(error).__name__}).",
            next_step="Its collection needs repair first.",
        )
    if not isinstance(error, PyMongoError):
        return None
    return _of_the_driver(error, doing) or _of_the_server(error, doing)


def _of_the_driver(error: PyMongoError, doing: str) -> NewbiMigrateError | None:
    """What the driver itself says: of the connection and of how it was called."""
    if isinstance(error, ConnectionFailure) and (told := short_of(error)) is not None:
        return told
    if isinstance(error, ServerSelectionTimeoutError):
        return _not_selected(error, doing)
    if isinstance(error, NetworkTimeout | WaitQueueTimeoutError):
        return UnreachableError(
            f"The server took too long to answer while {doing}.", next_step=_AGAIN
        )
    if isinstance(error, ConnectionFailure) and not isinstance(error, NotPrimaryError):
        return UnreachableError(f"The connection was lost while {doing}.", next_step=_AGAIN)
    if isinstance(error, ConfigurationError):
        return _misconfigured(error, doing)
    if isinstance(error, InvalidName):
        return UsageError(
            f"A database or collection has a name that MongoDB does not allow, while {doing}.",
            next_step="Correct the name.",
        )
    if isinstance(error, InvalidOperation):
        return UsageError(
            f"The driver refused a call while {doing}: the client is closed, or cannot be used "
            "in that way.",
            next_step="Hand in a database of an open client, or a connection string.",
        )
    return None


def _not_selected(error: ServerSelectionTimeoutError, doing: str) -> NewbiMigrateError:
    # Servers that answer and refuse count as not found, and the text alone says why.
    answered = {int(code) for code in _ANSWERED_CODE.findall(str(error))}
    return _stable_api(answered, doing) or UnreachableError(
        f"No MongoDB server could be reached while {doing}.", next_step=_AGAIN
    )


def _stable_api(codes: AbstractSet[int], doing: str) -> NewbiMigrateError | None:
    if not codes & STABLE_API:
        return None
    if Code.API_VERSION_REQUIRED in codes:
        return UnsupportedError(
            f"The server answered and refused while {doing}: it takes no client that names no "
            "version of the Stable API (its parameter requireApiVersion).",
            next_step="Turn the parameter off for the time of the migration: "
            "db.adminCommand({setParameter: 1, requireApiVersion: false}).",
        )
    return UnsupportedError(
        f"The client keeps to a version of the Stable API, which has not what is needed for "
        f"{doing}.",
        next_step="Hand in a database of a client without server_api, or a connection string.",
    )


def _misconfigured(error: ConfigurationError, doing: str) -> NewbiMigrateError:
    if isinstance(error.__cause__, DNSException):
        return UnreachableError(
            f"The DNS lookup of the host failed while {doing} "
            f"({type(error.__cause__).__name__}): it has no SRV record that can be read.",
            next_step="Check the host's name after mongodb+srv:// and this machine's DNS.",
        )
    if "wire version" in str(error):
        return UnsupportedError(
            f"The server and this version of PyMongo do not understand each other while {doing}.",
            next_step="Upgrade whichever is the older.",
        )
    extra = _EXTRA.search(str(error))
    if extra is not None:
        package = f"pymongo[{extra.group(1)}]"
        return UsageError(
            f"The connection string asks for something that needs the package {package}, which "
            "is not installed.",
            next_step=f"Install it: pip install '{package}'.",
        )
    return UsageError(
        f"The connection's options do not fit the server ({type(error).__name__}).",
        next_step="Check the connection string.",
    )


def is_out_of_space(error: PyMongoError) -> bool:
    """Whether the server's disk is full; where the storage engine finds that, no code says so."""
    return Code.OUT_OF_DISK_SPACE in codes_of(error) or _NO_SPACE in str(error)


def _of_the_server(error: PyMongoError, doing: str) -> NewbiMigrateError:
    """What the server answered, by its code."""
    codes = codes_of(error)
    if codes & AUTHENTICATION:
        return UnreachableError(
            f"The server refused the user name or the password while {doing}.",
            next_step="Check them, and authSource, in the connection string.",
        )
    if Code.UNAUTHORIZED in codes and _NO_USER in str(error):
        return NotPermittedError(
            "The server asks for a user, and the connection string names none.",
            next_step="Put user and password before the host, and authSource=admin among the "
            "options if the user was created in the database admin.",
        )
    if Code.UNAUTHORIZED in codes:
        return NotPermittedError(_not_permitted(error, doing), next_step=_ROLE)
    if is_out_of_space(error):
        return UnreachableError(
            f"The server has no disk space left; it refused to write while {doing}.",
            next_step=f"Make room on the server. {_AGAIN}",
        )
    if isinstance(error, WTimeoutError) or Code.WRITE_CONCERN_TIMEOUT in codes:
        return UnreachableError(
            f"A write was not acknowledged by a majority of the replica set's members in time, "
            f"while {doing}: too many of them are down, or far behind.",
            next_step=f"rs.status() in mongosh says which. {_AGAIN}",
        )
    if codes & TIMED_OUT:
        return UnreachableError(f"The server ran out of time while {doing}.", next_step=_AGAIN)
    if isinstance(error, NotPrimaryError) or is_transient(error):
        return _interrupted(error, codes, doing)
    return _by_configuration(error, codes, doing) or NewbiMigrateError(
        f"The server refused a command while {doing}: {name_of(error)}.", next_step=_AGAIN
    )


def _interrupted(error: PyMongoError, codes: frozenset[int], doing: str) -> NewbiMigrateError:
    """What got between; the same may succeed a little later."""
    next_step = _AGAIN
    if isinstance(error, NotPrimaryError) or codes & CHANGING:
        what = f"The server was shutting down or changing its primary while {doing}."
    elif codes & CURSOR_LOST:
        what = (
            f"The server closed a cursor that was being read while {doing}: somebody killed it or "
            "its session, or it was left too long."
        )
    elif Code.CAPPED_POSITION_LOST in codes:
        what = f"Writes to a capped collection overtook what was being read while {doing}."
        next_step = f"Stop what writes to it until then. {_AGAIN}"
    elif codes & SNAPSHOT_LOST:
        what = f"The server no longer had the data of the moment that was read while {doing}."
    else:
        what = f"The server broke an operation off while {doing}: {name_of(error)}."
    return UnreachableError(what, next_step=next_step)


def _by_configuration(
    error: PyMongoError, codes: frozenset[int], doing: str
) -> NewbiMigrateError | None:
    """What the server refuses because of how it, or its client, is set up."""
    if codes & STABLE_API:
        return _stable_api(codes, doing)
    if Code.NO_QUERY_EXECUTION_PLANS in codes and "notablescan" in str(error):
        return UnsupportedError(
            f"The server's parameter notablescan forbids reading whole collections, which is "
            f"needed for {doing}.",
            next_step="Turn it off for the time of the migration: "
            "db.adminCommand({setParameter: 1, notablescan: false}).",
        )
    if Code.DOCUMENT_VALIDATION_FAILURE in codes:
        return UnsupportedError(
            f"A validator refused a document while {doing}.",
            next_step="db.getCollectionInfos() in mongosh says which collection has one since; "
            f"take it off with collMod. {_AGAIN}",
        )
    if Code.DATABASE_DIFFER_CASE in codes:
        found = _OTHER_CASE.search(str(error))
        other = f"the database {found.group(1)!r}" if found is not None else "another database"
        return UsageError(
            f"The server has {other} already, whose name differs only in upper and lower case; "
            "it takes no second one.",
            next_step="Write the database's name in the connection string as the server has it.",
        )
    return None


def _not_permitted(error: PyMongoError, doing: str) -> str:
    found = _REFUSED_COMMAND.search(str(error))
    if found is not None:
        return f"This user may not run {found.group(2)} on {found.group(1)}, needed for {doing}."
    return f"This user may not do what was needed while {doing}."
