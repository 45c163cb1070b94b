"""The collections of a database, as ``listCollections`` tells of them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from bson import CodecOptions, encode
from pymongo.errors import PyMongoError

from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DatabaseMovedOnError
from newbi_migrate.store.decoding import ANSWER, decode
from newbi_migrate.store.digest import options_digest
from newbi_migrate.store.faults import is_transient
from newbi_migrate.store.handles import Database

__all__ = [
    "BUCKETS",
    "CollectionInfo",
    "Identities",
    "collection_names",
    "collections",
    "data_namespace",
    "listed",
    "opens",
    "unopenable_names",
    "views_on",
]

BUCKETS: Final = "system.buckets."
"""What stands before a time series collection's name in that of the collection with its data."""

_IN_WORDS: Final = {"view": "a view", "timeseries": "a time series"}


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection, view or time series.

    Attributes:
        name: Its name.
        kind: ``collection``, ``view`` or ``timeseries``.
        options: As ``create`` takes them.
        uuid: 32 hexadecimal digits, other ones once it was dropped and made again; empty for a
            view.
        exact: Whether what is held here is, to the byte, what the server holds.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    uuid: str
    exact: bool = True

    @property
    def internal(self) -> bool:
        """Whether it is the server's own or this tool's own."""
        return self.name.startswith(("system.", OWN_PREFIX))

    @property
    def holds_documents(self) -> bool:
        """Whether single documents of it can be updated; not those of views and time series."""
        return self.kind == "collection"

    @property
    def writable(self) -> bool:
        """Whether it is the application's, and single documents of it can be updated."""
        return self.holds_documents and not self.internal

    @property
    def data(self) -> str:
        """The collection that holds its documents."""
        return data_namespace(self.name, self.kind)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What changes when it is dropped, made anew or altered."""
        return self.name, self.uuid, options_digest(self.options)

    @property
    def capped(self) -> bool:
        """Whether the server removes its oldest documents by itself."""
        return bool(self.options.get("capped"))

    @property
    def oddity(self) -> str:
        """What it is, in words, unless it is a plain collection; then empty."""
        if self.capped:
            return "a capped collection"
        return "" if self.holds_documents else _IN_WORDS.get(self.kind, f"a {self.kind}")


async def collections(
    database: Database, *, comment: str | None = None
) -> dict[str, CollectionInfo]:
    """Everything in a database by name, in order, the server's and the tool's own included.

    What no driver opens is left out: see :func:`unopenable_names`.

    Args:
        database: The database.
        comment: Attached to the command.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    found: dict[str, CollectionInfo] = {}
    for info, exact in await listed(database, {"listCollections": 1}, comment=comment):
        if not opens(info["name"]):
            continue
        uuid = info.get("info", {}).get("uuid")
        found[info["name"]] = CollectionInfo(
            info["name"],
            info.get("type", "collection"),
            info.get("options", {}),
            bytes(uuid).hex() if uuid else "",
            exact,
        )
    return dict(sorted(found.items()))


async def listed(
    database: Database, command: Mapping[str, Any], *, comment: str | None = None
) -> list[tuple[dict[str, Any], bool]]:
    """What a command lists, and whether the driver would send each back to the byte.

    The driver's own methods end at a date beyond the year 9999, and at text that is not UTF-8:
    validators, views and filters of indexes may hold these.

    Args:
        database: Where.
        command: ``listCollections`` or ``listIndexes``.
        comment: Attached to the command.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    try:
        found = await _undecoded(database, command, comment)
    except PyMongoError as error:
        # Every other read the driver sends once more by itself.
        if not is_transient(error) or not database.client.options.retry_reads:
            raise
        found = await _undecoded(database, command, comment)
    return [(info, encode(info) == raw) for raw in found for info, _ in [decode(raw)]]


async def _undecoded(
    database: Database, command: Mapping[str, Any], comment: str | None
) -> list[bytes]:
    asked = {**command, "cursor": {}, **({} if comment is None else {"comment": comment})}
    # The batches after the first are decoded as the database is set.
    undecoded: Any = database.with_options(codec_options=cast("CodecOptions[Any]", ANSWER))
    cursor = await undecoded.cursor_command(asked, codec_options=ANSWER)
    async with cursor:
        return [bytes(document.raw) async for document in cursor]


def views_on(infos: Mapping[str, CollectionInfo], names: Container[str]) -> frozenset[str]:
    """The views that show documents of some collections, through other views or not.

    Args:
        infos: Everything in a database.
        names: The collections.
    """

    def source_of(info: CollectionInfo) -> str:
        name = str(info.options.get("viewOn"))
        behind = infos.get(name)
        return name if behind is None or behind.kind != "view" else source_of(behind)

    return frozenset(
        name for name, info in infos.items() if info.kind == "view" and source_of(info) in names
    )


async def collection_names(database: Database, *, comment: str | None = None) -> frozenset[str]:
    """The names of everything in a database that a driver opens.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    return frozenset(filter(opens, await database.list_collection_names(comment=comment)))


async def unopenable_names(database: Database) -> list[str]:
    """Names of collections that the server holds and PyMongo refuses to open.

    Commands of another client make them; nothing here reads or writes them.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    names = await database.list_collection_names()
    return sorted(name for name in names if not opens(name))


def opens(name: str) -> bool:
    """Whether the driver opens a collection of a name that a server takes."""
    return ".." not in name and not name.endswith(".")


def data_namespace(name: str, kind: str) -> str:
    """The collection that holds the documents of another, which for a time series are its buckets.

    Args:
        name: Name of the collection.
        kind: ``collection``, ``view`` or ``timeseries``.
    """
    return BUCKETS + name if kind == "timeseries" else name


class Identities:
    """The identities of collections, by which one is noticed that was dropped or renamed.

    Args:
        database: The database.
        known: Name to what the collection was.
        comment: Attached to every command.
    """

    def __init__(
        self, database: Database, known: Mapping[str, CollectionInfo], comment: str
    ) -> None:
        self._database = database
        self._known = known
        self._comment = comment

    @classmethod
    async def now(cls, database: Database, *, comment: str) -> Self:
        """Those that the collections of a database have now."""
        return cls(database, await collections(database, comment=comment), comment)

    async def check(self, *names: str) -> None:
        """Fail where a collection is no longer the one it was, before something is written to it.

        Between this look and the write that follows it may still be dropped.

        Raises:
            DatabaseMovedOnError: It was dropped or renamed, and perhaps made anew.
        """
        there = await collections(self._database, comment=self._comment)
        for name in names:
            known = self._known.get(name)
            if name not in there or known is None or there[name].uuid != known.uuid:
                raise DatabaseMovedOnError(
                    f"The collection {name!r} was dropped or renamed while the run wrote to it.",
                    next_step="Nothing more was written. Find out who did it; the same command "
                    "then goes on with what is there, and rollback takes the rest back.",
                    collection=name,
                )
