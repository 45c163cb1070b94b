"""What there is to back up: the collections and views of a database, and how they are described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import json_util
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.backup import layout
from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import Registry
from newbi_migrate.store.digest import options_digest
from newbi_migrate.store.runs import readable_collections

__all__ = ["Source", "critical_collections", "estimated_counts", "list_sources", "metadata_text"]


@dataclass(frozen=True, slots=True)
class Source:
    """A collection or view as ``listCollections`` tells of it.

    Attributes:
        name: Its name.
        type: ``collection``, ``timeseries`` or ``view``.
        options: As ``create`` takes them.
        uuid: 32 hexadecimal digits; empty if it has none.
    """

    name: str
    type: str
    options: Mapping[str, Any]
    uuid: str

    @property
    def data(self) -> str:
        """The collection that holds its documents."""
        return layout.data_namespace(self.name, self.type)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What changes when it is dropped, made anew or altered."""
        return self.name, self.uuid, options_digest(self.options)


async def list_sources(
    database: AsyncDatabase[dict[str, Any]],
) -> tuple[list[Source], tuple[str, ...]]:
    """What mongodump would read, and names of what it would pass over.

    Raises:
        UsageError: The database is half restored.
        pymongo.errors.PyMongoError: The server failed.
    """
    listed = await readable_collections(database)
    found = [
        Source(info.name, info.kind, info.options, info.uuid)
        for info in listed.values()
        if layout.dumped(info.name)
    ]
    return found, tuple(name for name in listed if "$" in name and not layout.dumped(name))


async def estimated_counts(
    database: AsyncDatabase[dict[str, Any]], sources: Sequence[Source]
) -> dict[str, int]:
    """Documents of each collection by the server's own bookkeeping.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    return {
        source.name: await database[source.data].estimated_document_count()
        for source in sources
        if source.type != "view"
    }


def critical_collections(registry: Registry) -> frozenset[str]:
    """Collections that are also written as Extended JSON: people, and what the registry says."""
    marked = (spec.name for spec in registry if spec.critical)
    return frozenset({*registry.legacy_candidates, *TARGET_COLLECTIONS, *marked})


def metadata_text(source: Source, indexes: Sequence[Mapping[str, Any]]) -> str:
    """The text of a metadata file, with the keys mongodump gives it, in its order."""
    body: dict[str, Any] = {}
    if source.options:
        body["options"] = source.options
    body["indexes"] = list(indexes)
    if source.uuid:
        body["uuid"] = source.uuid
    body["collectionName"] = source.name
    body["type"] = source.type
    return json_util.dumps(
        body, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":")
    )
