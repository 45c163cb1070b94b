"""Creating, dropping and renaming collections in a leased session.

The run need not be allowed to write documents to them: legacy users are moved and dropped, and
never written to. Whoever calls this has looked at what the collection is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final, NoReturn

from pymongo.errors import OperationFailure

from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import ExitCode, NotPermittedError, UnsupportedError
from newbi_migrate.server_codes import Code
from newbi_migrate.store.connection import DURABLE, administration
from newbi_migrate.store.faults import explanation, name_of
from newbi_migrate.store.session import LeasedSession

__all__ = [
    "EXPIRY",
    "TRIED",
    "Renamed",
    "create_as_described",
    "create_collection",
    "drop_collection",
    "empty_collection",
    "rename_collection",
    "set_expiry",
    "try_out",
]

EXPIRY: Final = "expireAfterSeconds"
"""The option of collections whose documents the server deletes after a time."""

TRIED: Final = f"{OWN_PREFIX}tried"
"""Name under which :func:`try_out` creates a collection; a killed process leaves it behind."""


async def create_collection(session: LeasedSession, name: str) -> bool:
    """Create a collection; false where somebody has made it meanwhile.

    Raises:
        NewbiMigrateError: The session stopped it.
        pymongo.errors.PyMongoError: The server failed; whether it is there is unknown.
    """
    session.safe_point()
    try:
        await session.database.create_collection(name, check_exists=False, comment=session.comment)
    except OperationFailure as error:
        if error.code != Code.NAMESPACE_EXISTS:
            raise
        return False
    return True


async def create_as_described(
    session: LeasedSession, name: str, options: Mapping[str, Any], *, shown: str = ""
) -> bool:
    """Create a collection or view with its options; false where one of that name is there.

    A collection that a failing primary forgot would be made anew, and plain, by an insert: so it
    is written durably.

    Args:
        session: The leased session.
        name: Its name.
        options: As ``create`` takes them.
        shown: Its name for people, where that is another.

    Raises:
        UnsupportedError: The server does not take the options.
        NewbiMigrateError: The session stopped it, or the run may not write to it.
        pymongo.errors.PyMongoError: The server failed in another way.
    """
    session.allow(name)
    session.safe_point()
    durable = {"writeConcern": DURABLE.document, "comment": session.comment}
    try:
        await session.database.command({"create": name, **options, **durable})
    except OperationFailure as error:
        if error.code == Code.NAMESPACE_EXISTS:
            return False
        _refuse_options(error, shown or name)
    return True


def _refuse_options(error: OperationFailure, name: str) -> NoReturn:
    """Say that the server does not take the options of a collection, where the error says that."""
    told = explanation(error, "creating a collection")
    if told is None or told.exit_code is not ExitCode.UNEXPECTED:
        raise error
    raise UnsupportedError(
        f"The server would not create {name!r} as it was: {name_of(error)}.",
        next_step="Restore to a server of the version it was backed up from, or later.",
        collection=name,
    ) from error


async def try_out(session: LeasedSession, name: str, options: Mapping[str, Any]) -> None:
    """Fail where the server, or this user's roles, would not take a collection as it was.

    It is created as :data:`TRIED`, which must not exist, and dropped.

    Args:
        session: The leased session.
        name: Its name, for people.
        options: As ``create`` takes them.

    Raises:
        UnsupportedError: The server does not take the options.
        NotPermittedError: This user may not write past a validator.
        pymongo.errors.PyMongoError: This user may not have documents expire, or the server failed.
        NewbiMigrateError: The session stopped it.
    """
    await create_as_described(session, TRIED, options, shown=name)
    try:
        if "validator" in options:
            await _write_past_the_validator(session, name)
        if EXPIRY in options:
            await set_expiry(session, TRIED, options[EXPIRY])
    finally:
        await drop_collection(session, TRIED)


async def _write_past_the_validator(session: LeasedSession, name: str) -> None:
    session.safe_point()
    try:
        await session.database.command(
            {"insert": TRIED, "documents": [{}], "bypassDocumentValidation": True}
        )
    except OperationFailure as error:
        if error.code != Code.UNAUTHORIZED:
            raise
        raise NotPermittedError(
            f"This user may not restore {name!r}: it has a validator, which its documents need "
            "not satisfy. Nothing was dropped.",
            next_step="Use a user whose roles hold bypassDocumentValidation, as dbAdmin and "
            "restore do.",
            collection=name,
        ) from error


async def set_expiry(session: LeasedSession, name: str, seconds: Any) -> None:
    """Have the server delete documents of a time series or clustered collection after a time.

    Args:
        session: The leased session.
        name: The collection.
        seconds: The time.

    Raises:
        UnsupportedError: The server does not take the time.
        NewbiMigrateError: The session stopped it, or the run may not write to it.
        pymongo.errors.PyMongoError: The server failed; what it does is unknown.
    """
    session.allow(name)
    session.safe_point()
    durable = {"writeConcern": DURABLE.document, "comment": session.comment}
    try:
        await session.database.command({"collMod": name, EXPIRY: seconds, **durable})
    except OperationFailure as error:
        _refuse_options(error, name)


async def empty_collection(session: LeasedSession, name: str) -> None:
    """Delete all documents of a collection that the server does not let anybody drop.

    Raises:
        NewbiMigrateError: The session stopped it, or the run may not write to it.
    """
    await session.collection(name).delete_many({}, comment=session.comment)


async def drop_collection(session: LeasedSession, name: str) -> None:
    """Drop a collection; one that is not there is as good as dropped.

    Raises:
        NewbiMigrateError: The session stopped it.
        pymongo.errors.PyMongoError: The server failed; whether it is there is unknown.
    """
    session.safe_point()
    await session.database.drop_collection(name, comment=session.comment)


class Renamed(Enum):
    """What became of renaming a collection."""

    DONE = auto()
    TAKEN = auto()
    """Another collection has that name."""
    GONE = auto()
    """There is no such collection."""


async def rename_collection(session: LeasedSession, name: str, to: str) -> Renamed:
    """Give a collection another name, in the same database.

    Raises:
        NewbiMigrateError: The session stopped it.
        pymongo.errors.PyMongoError: The server failed; under which name it is is unknown.
    """
    session.safe_point()
    database = session.database.name
    try:
        await administration(session.database).command(
            "renameCollection",
            f"{database}.{name}",
            to=f"{database}.{to}",
            writeConcern=DURABLE.document,
            comment=session.comment,
        )
    except OperationFailure as error:
        if error.code == Code.NAMESPACE_EXISTS:
            return Renamed.TAKEN
        if error.code == Code.NAMESPACE_NOT_FOUND:
            return Renamed.GONE
        raise
    return Renamed.DONE
