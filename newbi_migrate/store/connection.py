"""Opening a database, and all that differs between the drivers a host application may use.

Inside, one driver talks to the server: PyMongo's asynchronous API, which comes with every
version of PyMongo that this package accepts. A handle of Motor or of synchronous PyMongo is
answered with a client of our own for the same deployment and the same credentials.

Read preference, read concern, write concern and codec options are given explicitly to all that
is opened here: those of a connection string or of a host's client are meant for the application.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymongo import AsyncMongoClient, MongoClient, ReadPreference
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.client_options import ClientOptions
from pymongo.client_session import TransactionOptions  # type: ignore[attr-defined]  # re-exported
from pymongo.errors import (
    ConfigurationError,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.synchronous.database import Database as SynchronousDatabase
from pymongo.write_concern import WriteConcern

from newbi_migrate.errors import (
    ExitCode,
    LocalFileError,
    NewbiMigrateError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.local_files import reason_of, short_of
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.faults import MAJORITY_SECONDS, explanation, name_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.redact import redact
from newbi_migrate.store.uri import ConnectionString, can_be_database

__all__ = [
    "DURABLE",
    "OLDEST_SERVER",
    "SERVERS_OWN",
    "SIMPLE_COLLATION",
    "ServerInfo",
    "Store",
    "Topology",
    "administration",
    "client_session",
    "nothing_there",
    "open_database",
]

OLDEST_SERVER: Final = (5, 0)
"""The oldest server this package works with: its ``$lookup`` joins and limits at once."""

DURABLE: Final = WriteConcern(w="majority", j=True, wtimeout=MAJORITY_SECONDS * 1000)
"""Acknowledged by a majority of the members and written to their journals."""

_LOCAL: Final = ReadConcern("local")

SIMPLE_COLLATION: Final = {"locale": "simple"}
"""The server's own collation: that of a collection may call different strings equal."""

SERVERS_OWN: Final = frozenset({"admin", "config", "local"})
"""Databases of the server itself."""

_APP_NAME: Final = "newbi-migrate"
# Where the connection string sets none: the driver's own 30 s are long for a mistyped host.
_SELECTION_SECONDS: Final = 10


class Topology(StrEnum):
    """How a deployment is made up."""

    STANDALONE = "standalone"
    REPLICA_SET = "replica set"
    SHARDED = "sharded cluster"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server says of itself.

    Attributes:
        version: Its version, such as ``(6, 0, 5)``.
        topology: How the deployment is made up.
    """

    version: tuple[int, ...]
    topology: Topology

    @property
    def has_transactions(self) -> bool:
        """Whether several documents can be written together or not at all."""
        return self.topology is not Topology.STANDALONE

    def __str__(self) -> str:
        return f"MongoDB {'.'.join(map(str, self.version))}, {self.topology.value}"


@dataclass(frozen=True, slots=True)
class Store:
    """An open database.

    Attributes:
        database: The database; it reads from the primary, writes durably, and decodes nothing
            into types of the host application.
        server: What the server says of itself.
    """

    database: Database
    server: ServerInfo


@asynccontextmanager
async def open_database(
    source: Any, *, name: str | None = None, progress: Progress | None = None
) -> AsyncIterator[Store]:
    """Open a database and close what it opened; build no index and no collection.

    Args:
        source: A :class:`ConnectionString` or its text, or a database handle: PyMongo's
            ``AsyncDatabase`` or ``Database``, or Motor's ``AsyncIOMotorDatabase``.
        name: Another database of the same server than the one the source names.
        progress: Told what is waited for, and how long at most until it is found.

    Raises:
        UsageError: The source is none of these, its client cannot be used, the database is
            one of the server's own, or the clock of this machine is wrong by decades.
        UnreachableError: No server answered in time, or it refused the credentials.
        UnsupportedError: The server is too old.
    """
    if isinstance(source, str):
        source = ConnectionString(source)
    _refuse_clock()
    if isinstance(source, AsyncDatabase):
        _refuse_deadline(source.client)
        place = _Place("the host application's client", name or source.name)
        place.refuse_servers_own()
        database = place.of(source.client)
        yield Store(database, await _server_info(database, place.where))
        return
    place, options = _reachable(source, name)
    place.refuse_servers_own()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_made(place, options))
        database = place.of(client)
        seconds = client.options.server_selection_timeout
        # Once it is found, its answers may take longer: the phase lasts until another begins.
        (progress or NullProgress()).phase(
            f"waiting for {place.where} ({seconds:g} s at most to find it)", None
        )
        server = await _server_info(database, place.where)
        if server.topology is Topology.STANDALONE and database.client.options.retry_writes:
            # The server has no retryable writes. Where connections break, the driver may take
            # it for one that has, and the server refuses the write.
            await stack.aclose()
            options = _changed(options, retryWrites=False)
            database = place.of(await stack.enter_async_context(_made(place, options)))
        # Asked once, before any lease: runs change neither version nor topology, and a failover
        # gives another primary of the same set.
        yield Store(database, server)


def _refuse_clock() -> None:
    """Fail where no ``ObjectId`` can be made: it holds the seconds since 1970 in four bytes."""
    if not 0 <= time.time() < 1 << 32:
        raise UsageError(
            "The clock of this machine shows a time before 1970 or after 2106.",
            next_step="Set it, and run the same command again.",
        )


def administration(database: Database) -> Database:
    """The database ``admin`` of the same server, as :class:`Store` has its own: all explicit."""
    return _plain(database.client.get_database("admin"))


def client_session(database: Database) -> AsyncClientSession:
    """A session whose transactions read from the primary and are written durably."""
    return database.client.start_session(
        # Transactions follow one another on the primary, which has seen what it has written.
        causal_consistency=False,
        default_transaction_options=TransactionOptions(
            read_concern=_LOCAL, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY
        ),
    )


def nothing_there(name: str) -> UnsupportedError:
    """What to say of a database without a collection, which mostly is another than was meant."""
    return UnsupportedError(
        f"The database {name!r} is empty or does not exist.",
        next_step="Check the database's name in the connection string.",
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a database is: its servers, for people, its name, and how people got there."""

    where: str
    name: str
    made_by: str = "The database handle"
    redact: Callable[[str], str] = redact

    def refuse_servers_own(self) -> None:
        """Fail for a database that holds the server's users, settings or its log."""
        if self.name.lower() in SERVERS_OWN:
            raise UsageError(
                f"The database {self.name!r} is the server's own.",
                next_step="Name the application's database.",
            )

    def of(self, client: AsyncMongoClient[Any]) -> Database:
        """The database."""
        if not can_be_database(self.name):
            raise UsageError(
                f"{self.name!r} is not a name that a database can have.",
                next_step="Name another database.",
            )
        return _plain(client.get_database(self.name))


def _reachable(source: Any, name: str | None) -> tuple[_Place, dict[str, Any]]:
    """Where the database is, and the options of a client of our own that reaches it."""
    if isinstance(source, ConnectionString):
        where = ", ".join(source.hosts)
        options = {"host": source.reveal(), **_defaults(source)}
        # A statement may take as long as it takes: an index that is given up is never built.
        by = f"The connection string from {source.source}"
        place = _Place(where, name or source.database, by, source.redactor)
        return place, _changed(options, timeoutMS=None)
    handle = _synchronous(source)
    made_with = getattr(handle.client, "_init_kwargs", None)
    if made_with is None:
        raise UsageError(
            "This version of PyMongo does not tell how its client was made.",
            next_step="Hand in the connection string instead of the handle.",
        )
    # Driver metadata of the wrapper, and nothing to connect before it is needed.
    options = {option: value for option, value in made_with.items() if option != "driver"}
    place = _Place("the host application's servers", name or handle.name)
    return place, _changed(options, connect=False, timeoutMS=None)


def _changed(options: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Options of a client with other values; their names are written in any case."""
    other = {option.lower() for option in changes}
    return {k: v for k, v in options.items() if k.lower() not in other} | changes


@asynccontextmanager
async def _made(
    place: _Place, options: Mapping[str, Any]
) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A client of our own."""
    try:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(**options)
    except OSError as error:
        raise LocalFileError(
            f"{place.made_by} names a file that cannot be read ({reason_of(error)}).",
            next_step="Correct its path; it must exist and be readable.",
        ) from None
    except (ConfigurationError, ValueError) as error:
        raise UsageError(
            f"{place.made_by} cannot be used: {place.redact(str(error))}.",
            next_step="Correct it; files it names must exist and be readable.",
        ) from None
    try:
        yield client
    finally:
        await client.close()


def _refuse_deadline(client: AsyncMongoClient[Any]) -> None:
    """Fail for a client that gives up every statement after a time, whatever it is."""
    if client.options.timeout:
        raise UsageError(
            "The database handle's client has timeoutMS, so that a statement that takes longer, "
            "such as building an index, would never come to its end.",
            next_step="Hand in a database of a client without timeoutMS, or a connection string.",
        )


def _defaults(target: ConnectionString) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    if "appname" not in target.options:
        defaults["appname"] = _APP_NAME
    if "serverselectiontimeoutms" not in target.options:
        defaults["serverSelectionTimeoutMS"] = _SELECTION_SECONDS * 1000
    return defaults


def _plain(database: AsyncDatabase[Any]) -> Database:
    # A host's codec options may drop or retype what is stored, and a secondary may lag behind.
    return database.with_options(
        codec_options=PLAIN,
        read_preference=ReadPreference.PRIMARY,
        write_concern=DURABLE,
        read_concern=_LOCAL,
    )


def _synchronous(handle: Any) -> SynchronousDatabase[Any]:
    """The synchronous database that a handle is, or, of Motor, that it stands for."""
    synchronous = handle
    # The type is asked before the attribute: PyMongo answers any attribute with a database or a
    # collection of that name.
    if not isinstance(handle, SynchronousDatabase | MongoClient):
        synchronous = getattr(handle, "delegate", None)
    if not isinstance(synchronous, SynchronousDatabase):
        raise UsageError(
            f"A {type(handle).__name__} is not a database handle.",
            next_step="Hand in a connection string, or a database of PyMongo or Motor.",
        )
    return synchronous


async def _server_info(database: Database, where: str) -> ServerInfo:
    admin = administration(database)
    try:
        hello = await admin.command("hello")
        build = await admin.command("buildInfo")
    except Exception as error:  # the driver asks others too, such as a service that gives tokens
        raise _no_answer(error, where, database.client.options) from error
    if database.client.topology_description.topology_type_name == "Single":
        _refuse_secondary(hello, where)
    version = tuple(int(part) for part in build["versionArray"][:3])
    if version < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise UnsupportedError(
            f"The server at {where} is MongoDB {'.'.join(map(str, version))}.",
            next_step=f"This tool works with {oldest} and later; upgrade the server first.",
        )
    topology = Topology.STANDALONE
    if hello.get("msg") == "isdbgrid":
        topology = Topology.SHARDED
    elif "setName" in hello:
        topology = Topology.REPLICA_SET
    return ServerInfo(version, topology)


def _refuse_secondary(hello: Mapping[str, Any], where: str) -> None:
    """Fail where the only server that is asked is one to which nothing can be written."""
    if hello.get("isWritablePrimary", True):
        return
    primary = f", which is {hello['primary']} now" if "primary" in hello else ""
    raise UnsupportedError(
        f"The server at {where} is no primary of its replica set: nothing can be written there.",
        next_step=f"Name the primary{primary}, or the whole set with replicaSet=… and without "
        "directConnection.",
    )


def _no_answer(error: Exception, where: str, options: ClientOptions) -> NewbiMigrateError:
    if (short := short_of(error)) is not None:
        return short
    told = explanation(error, "connecting")
    if isinstance(error, RuntimeError) and told is None:
        return UsageError(
            "The database handle's client cannot be used here: it belongs to another event loop.",
            next_step="Open it in the event loop that runs this, or hand in a connection string.",
        )
    cannot = f"The connection to {where} cannot be made as its options say"
    if told is None and isinstance(error, OSError):
        return LocalFileError(
            f"{cannot} ({type(error).__name__}).",
            next_step="Files they name must exist and be readable.",
        )
    if told is None or told.exit_code is ExitCode.UNEXPECTED:
        # What others say in an error may hold a secret.
        said = name_of(error) if isinstance(error, PyMongoError) else type(error).__name__
        return UnreachableError(
            f"{cannot}: {said}.",
            next_step="Check authMechanism, authSource and the other options of the connection "
            "string.",
        )
    # A server that answered and refused has been told of.
    if isinstance(error, ServerSelectionTimeoutError) and isinstance(told, UnreachableError):
        return UnreachableError(
            f"No MongoDB server answered at {where} in {options.server_selection_timeout:g} s.",
            next_step="Check host, port, network and TLS options of the connection string, "
            "and that a server runs there.",
        )
    return told
