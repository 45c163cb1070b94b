"""The database of a demonstration: made up, counted, digested by the server, and looked into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from pymongo import MongoClient

from newbi_migrate.demo.dirty import dirty_documents
from newbi_migrate.demo.legacy import OLD_TEXT_INDEXES, build_legacy_database
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.store.decoding import PLAIN

__all__ = ["DemoDatabase"]

_SOURCE: Final = "Users"


class DemoDatabase:
    """A database that nobody else uses, as a context manager.

    Args:
        uri: Its connection string.
    """

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self._database = self._client.get_default_database()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._client.close()

    def build(self, *, users: int, documents: int, seed: int) -> None:
        """Make up a legacy database, with the dirt that years of production leave behind."""
        build_legacy_database(
            self._database,
            seed=seed,
            users=users,
            documents_per_user=max(1, documents // users),
            source=_SOURCE,
        )
        for name, models in OLD_TEXT_INDEXES.items():
            self._database[name].create_indexes(list(models))
        for name, dirty in dirty_documents(seed, _SOURCE).items():
            self._database[name].insert_many(dirty)

    def counts(self) -> dict[str, int]:
        """Documents of each collection, in order of their names."""
        return {name: self._database[name].count_documents({}) for name in self._names()}

    def hashes(self) -> Mapping[str, str]:
        """The server's own digest of each collection but the run records."""
        answer = self._database.command("dbHash", collections=self._names())
        hashes: Mapping[str, str] = answer["collections"]
        return hashes

    def find(
        self, name: str, query: Mapping[str, Any], *, limit: int = 1
    ) -> Iterator[dict[str, Any]]:
        """Documents as plain dictionaries."""
        return iter(self._database.get_collection(name, PLAIN).find(query).limit(limit))

    def _names(self) -> list[str]:
        names = self._database.list_collection_names(filter={"type": "collection"})
        return sorted(name for name in names if not name.startswith(("system.", OWN_PREFIX)))
