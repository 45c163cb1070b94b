"""Building the indexes of restored collections: one that is refused does not stop the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.legacy_indexes import convert_legacy_indexes, legacy_parts
from newbi_migrate.documents.indexes import ID_INDEX
from newbi_migrate.store.indexes import Refused, build_as_described
from newbi_migrate.store.session import LeasedSession

__all__ = ["RefusedIndex", "build_indexes", "specifications"]

_OPTION: Final = "--convert-legacy-indexes"
_TYPES: Final = frozenset({"2d", "2dsphere", "hashed", "text"})


@dataclass(frozen=True, slots=True)
class RefusedIndex:
    """An index that the server would not build.

    Attributes:
        collection: Its collection, whose documents are all there.
        name: Its name.
        reason: Why, in a sentence that quotes no document.
    """

    collection: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} of {self.collection}: {self.reason}"


def specifications(
    collection: DumpedCollection, *, convert: bool
) -> tuple[list[dict[str, Any]], list[RefusedIndex]]:
    """Indexes as ``createIndexes`` takes them, and those that became equal to another.

    That on ``_id`` comes with the collection, clustered or not.
    """
    found = [
        dict(index)
        for index in collection.indexes
        if list(index["key"]) != ["_id"]
        or not (index.get("name") == ID_INDEX or index.get("clustered"))
    ]
    for index in found:
        if "2dsphere" in index["key"].values():
            # The first version wrote none; without, the server would build the newest.
            index.setdefault("2dsphereIndexVersion", 1)
    if not convert:
        return found, []
    converted, equal = convert_legacy_indexes(found)
    reason = "Once its keys are converted, another index is the same."
    return converted, [RefusedIndex(collection.name, name, reason) for name in equal]


async def build_indexes(
    session: LeasedSession, collection: DumpedCollection, indexes: Sequence[dict[str, Any]]
) -> list[RefusedIndex]:
    """Build indexes; return those that the server refuses, and why.

    Nothing is done for those that are there.

    Args:
        session: The leased session.
        collection: The collection.
        indexes: As :func:`specifications` gives them.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    refused = await build_as_described(session, collection.target, indexes)
    return [
        RefusedIndex(collection.name, index["name"], _reason(index, found))
        for index, found in refused
    ]


def _reason(index: Mapping[str, Any], refused: Refused) -> str:
    types = sorted({key for key in index["key"].values() if isinstance(key, str) and key})
    if refused.impossible and set(types) - _TYPES:
        return f"The server knows no index of the type {', '.join(types)}."
    legacy = legacy_parts(index)
    if legacy:
        return f"Servers before 3.4 alone took {' and '.join(legacy)}; {_OPTION} converts it."
    return refused.reason
