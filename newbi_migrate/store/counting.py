"""Counting documents on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pymongo.errors import OperationFailure

from newbi_migrate.errors import UnsupportedError
from newbi_migrate.mapping.values import BLANKS
from newbi_migrate.server_codes import Code
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.faults import is_transient, name_of
from newbi_migrate.store.handles import Collection, Database
from newbi_migrate.store.stamping import NO_LIST

__all__ = [
    "blank",
    "count",
    "count_by",
    "count_shown",
    "estimated_count",
    "estimated_counts",
    "has_any",
]

_BLANK_TEXT: Final = {"$regex": f"\\A[{BLANKS}]*\\z"}


def blank(field: str) -> dict[str, Any]:
    """Query for documents in which a field says nothing: absent, null or blank text.

    A plan counts the same documents, see :func:`~newbi_migrate.mapping.values.is_missing`. A list
    is never among them.
    """
    nothing = [
        {field: None},
        # Ids begin with a digit or a letter, and blank texts with a character before or after
        # these: so an index leaves the ids out.
        {field: {"$lt": "!", **_BLANK_TEXT}},
        {field: {"$gt": "~", **_BLANK_TEXT}},
    ]
    return {field: NO_LIST, "$or": nothing}


async def estimated_count(collection: Collection, *, comment: str | None = None) -> int:
    """The number of documents by the server's own bookkeeping, at once."""
    return await collection.estimated_document_count(comment=comment)


async def estimated_counts(
    database: Database, infos: Iterable[CollectionInfo], *, comment: str | None = None
) -> dict[str, int]:
    """Documents of each collection by the server's own bookkeeping; views are left out.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    return {
        info.name: await estimated_count(database[info.data], comment=comment)
        for info in infos
        if info.kind != "view"
    }


async def count(
    collection: Collection, query: Mapping[str, Any] | None = None, *, comment: str
) -> int:
    """How many documents match a query, or how many there are; counted, not estimated."""
    # A view takes no collation but its own, and where all are counted nothing is compared.
    options: dict[str, Any] = {"collation": SIMPLE_COLLATION} if query else {}
    return await collection.count_documents(query or {}, comment=comment, **options)


async def count_shown(database: Database, info: CollectionInfo, *, comment: str) -> int:
    """How many documents a view or a time series shows.

    Raises:
        UnsupportedError: The server cannot carry out what a view is defined by.
    """
    try:
        return await count(database[info.name], comment=comment)
    except OperationFailure as error:
        if info.kind != "view" or is_transient(error) or error.code == Code.UNAUTHORIZED:
            raise
        raise UnsupportedError(
            f"The view {info.name!r} cannot be read: {name_of(error)}.",
            next_step="Repair or drop it first; a collection of the application is expected there.",
            collection=info.name,
        ) from error


async def has_any(collection: Collection, *, comment: str) -> bool:
    """Whether there is any document at all."""
    return bool(await collection.count_documents({}, limit=1, comment=comment))


async def count_by(
    collection: Collection, pipeline: Sequence[Mapping[str, Any]], *, comment: str
) -> int:
    """The number ``n`` that a pipeline gives; 0 where it gives nothing."""
    cursor = await collection.aggregate(list(pipeline), collation=SIMPLE_COLLATION, comment=comment)
    async with cursor:
        async for found in cursor:
            return int(found["n"])
    return 0
