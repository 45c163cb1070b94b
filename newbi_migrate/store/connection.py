"""Opening a database, and all that differs between the drivers a host application may use.

Inside, one driver talks to the server: PyMongo's asynchronous API, which comes with every
version of PyMongo that this package accepts. A handle of Motor or of synchronous PyMongo is
answered with a client of our own for the same deployment and the same credentials. This module
changes when a host may hand in another kind of handle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.synchronous.database import Database
from pymongo.write_concern import WriteConcern

from newbi_migrate.errors import UnreachableError, UnsupportedError, UsageError
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.faults import explained
from newbi_migrate.store.uri import ConnectionString

__all__ = [
    "DURABLE",
    "EXACT",
    "OLDEST_SERVER",
    "ServerInfo",
    "Store",
    "Topology",
    "nothing_there",
    "open_database",
]

OLDEST_SERVER: Final = (5, 0)
"""The oldest server this package works with: its ``$lookup`` joins and limits at once."""

DURABLE: Final = WriteConcern(w="majority", j=True)
"""Acknowledged by a majority of the members and written to their journals."""

EXACT: Final = {"locale": "simple"}
"""The server's own collation: that of a collection may call different strings equal."""

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

    database: AsyncDatabase[dict[str, Any]]
    server: ServerInfo


@asynccontextmanager
async def open_database(source: Any) -> AsyncIterator[Store]:
    """Opens a database and closes what it opened; builds no index and no collection.

    Args:
        source: A :class:`ConnectionString` or its text, or a database handle: PyMongo's
            ``AsyncDatabase`` or ``Database``, or Motor's ``AsyncIOMotorDatabase``.

    Raises:
        UsageError: The source is none of these, or its client cannot be used a second time.
        UnreachableError: No server answered in time, or it refused the credentials.
        UnsupportedError: The server is too old.
    """
    database, owned, where = _handle(source)
    try:
        with explained("connecting"):
            server = await _server_info(database, where)
        yield Store(database, server)
    finally:
        if owned:
            await database.client.close()


def nothing_there(name: str) -> UnsupportedError:
    """What to say of a database without a collection, which mostly is another than was meant."""
    return UnsupportedError(
        f"The database {name!r} is empty or does not exist.",
        next_step="Check the database's name in the connection string.",
    )


def _handle(source: Any) -> tuple[AsyncDatabase[dict[str, Any]], bool, str]:
    """The database, whether its client is ours to close, and where it is."""
    if isinstance(source, str):
        source = ConnectionString(source)
    if isinstance(source, ConnectionString):
        where = ", ".join(source.hosts)
        try:
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                source.reveal(), **_defaults(source)
            )
        except (ConfigurationError, ValueError, OSError) as error:
            raise UsageError(
                f"The connection string from {source.source} cannot be used: "
                f"{source.redactor(str(error))}.",
                next_step="Correct it; files it names must exist and be readable.",
            ) from None
        return _plain(client[source.database]), True, where
    if isinstance(source, AsyncDatabase):
        return _plain(source), False, "the host application's client"
    return _plain(_bridged(source)), True, "the host application's servers"


def _defaults(target: ConnectionString) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    if "appname" not in target.options:
        defaults["appname"] = _APP_NAME
    if "serverselectiontimeoutms" not in target.options:
        defaults["serverSelectionTimeoutMS"] = _SELECTION_SECONDS * 1000
    return defaults


def _plain(database: AsyncDatabase[Any]) -> AsyncDatabase[dict[str, Any]]:
    # A host's codec options may drop or retype what is stored, and a secondary may lag behind.
    return database.with_options(
        codec_options=PLAIN,
        read_preference=ReadPreference.PRIMARY,
        write_concern=DURABLE,
        read_concern=ReadConcern("local"),
    )


def _bridged(handle: Any) -> AsyncDatabase[Any]:
    """A client of our own for the deployment of a Motor or synchronous handle."""
    synchronous = handle
    # The type is asked before the attribute: a PyMongo database answers any attribute with a
    # collection of that name.
    if not isinstance(handle, Database):
        synchronous = getattr(handle, "delegate", None)
    if not isinstance(synchronous, Database):
        raise UsageError(
            f"A {type(handle).__name__} is no database handle.",
            next_step="Hand in a connection string, or a database of PyMongo or Motor.",
        )
    options = getattr(synchronous.client, "_init_kwargs", None)
    if options is None:
        raise UsageError(
            "This version of PyMongo does not tell how its client was made.",
            next_step="Hand in the connection string instead of the handle.",
        )
    # Driver metadata of the wrapper, and nothing to connect before it is needed.
    options = {name: value for name, value in options.items() if name != "driver"}
    client: AsyncMongoClient[Any] = AsyncMongoClient(**{**options, "connect": False})
    return client[synchronous.name]


async def _server_info(database: AsyncDatabase[dict[str, Any]], where: str) -> ServerInfo:
    admin = database.client.admin
    try:
        hello = await admin.command("hello")
        build = await admin.command("buildInfo")
    except ServerSelectionTimeoutError:
        raise UnreachableError(
            f"No MongoDB server answered at {where}.",
            next_step="Check host, port, network and TLS options of the connection string, "
            "and that a server runs there.",
        ) from None
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
