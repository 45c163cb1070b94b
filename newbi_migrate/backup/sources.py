"""What there is to back up: the collections and views of a database, and how they are described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import json_util

from newbi_migrate.backup import layout
from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import UsageError
from newbi_migrate.store.collections import CollectionInfo, unopenable_names
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import (
    RunState,
    read_runs,
    readable_collections,
    unfinished_run,
)

__all__ = ["critical_collections", "list_sources", "metadata_text", "unfinished_work"]


async def list_sources(
    database: Database,
) -> tuple[list[CollectionInfo], tuple[str, ...]]:
    """What mongodump would read, and names of what it would pass over.

    Raises:
        UsageError: The database is half restored, has a name under which no backup could be
            read, or holds a collection that cannot be read.
        pymongo.errors.PyMongoError: The server failed.
    """
    if not layout.database_folder(database.name):
        raise UsageError(
            f"No backup can hold a database of the name {database.name!r}: the folder of this name "
            "is that of the exports; nothing was written.",
            next_step="Back it up with mongodump.",
        )
    listed = await readable_collections(database)
    if unopenable := await unopenable_names(database):
        raise UsageError(
            f"The driver opens no collection of the name {unopenable[0]!r}, so no backup can hold "
            "it; nothing was written.",
            next_step="Give it another name, with the command renameCollection in mongosh, or drop "
            "it.",
            collection=unopenable[0],
        )
    found = [info for info in listed.values() if layout.dumped(info.name)]
    return found, tuple(name for name in listed if "$" in name and not layout.dumped(name))


async def unfinished_work(database: Database) -> str | None:
    """Command and id of a run that has begun and not come to its end, such as ``migrate ID``.

    Raises:
        DamagedRecordsError: A record of a run is not what this tool wrote.
    """
    run = unfinished_run(await read_runs(database))
    if run is None:
        return None
    command = "rollback" if run.state is RunState.ROLLING_BACK else run.command
    return f"{command} {run.run_id}"


def critical_collections(registry: Registry) -> frozenset[str]:
    """Collections that are also written as Extended JSON: people, and what the registry says."""
    marked = (spec.name for spec in registry if spec.critical)
    return frozenset({*registry.legacy_candidates, *TARGET_COLLECTIONS, *marked})


def metadata_text(source: CollectionInfo, indexes: Sequence[Mapping[str, Any]]) -> str:
    """The text of a metadata file, with the keys mongodump gives it, in its order."""
    body: dict[str, Any] = {}
    if source.options:
        body["options"] = source.options
    body["indexes"] = list(indexes)
    if source.uuid:
        body["uuid"] = source.uuid
    body["collectionName"] = source.name
    body["type"] = source.kind
    return json_util.dumps(
        body, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":")
    )
