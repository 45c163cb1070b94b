"""Building the indexes of restored collections: one that is refused does not stop the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import OperationFailure

from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.legacy_indexes import convert_legacy_indexes, legacy_parts
from newbi_migrate.store.codes import AUTHENTICATION, STABLE_API, Code
from newbi_migrate.store.faults import is_transient
from newbi_migrate.store.indexes import refusal

__all__ = ["RefusedIndex", "build_indexes", "specifications"]

_OPTION: Final = "--convert-legacy-indexes"
_TYPES: Final = frozenset({"2d", "2dsphere", "hashed", "text"})
# What the server would answer to any index.
_OF_NO_INDEX: Final = AUTHENTICATION | STABLE_API | {Code.UNAUTHORIZED, Code.OUT_OF_DISK_SPACE}


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

    That on ``_id`` comes with the collection.
    """
    found = [
        {option: value for option, value in index.items() if option != "ns"}
        for index in collection.indexes
        if index.get("name") != "_id_" and not index.get("clustered")
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
    command: Callable[[dict[str, Any]], Awaitable[None]],
    collection: DumpedCollection,
    indexes: Sequence[dict[str, Any]],
) -> list[RefusedIndex]:
    """Build indexes together or, where the server refuses one, one by one.

    Nothing is done for those that are there.

    Args:
        command: Sends a command.
        collection: The collection.
        indexes: As :func:`specifications` gives them.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    if not indexes:
        return []
    try:
        await command({"createIndexes": collection.name, "indexes": list(indexes)})
    except OperationFailure as error:
        if is_transient(error) or error.code in _OF_NO_INDEX:
            raise
        if len(indexes) > 1:
            refused = [await build_indexes(command, collection, [index]) for index in indexes]
            return [one for some in refused for one in some]
        (index,) = indexes
        return [RefusedIndex(collection.name, index["name"], _reason(index, error))]
    return []


def _reason(index: dict[str, Any], error: OperationFailure) -> str:
    types = sorted({key for key in index["key"].values() if isinstance(key, str) and key})
    if error.code == Code.CANNOT_CREATE_INDEX and set(types) - _TYPES:
        return f"The server knows no index of the type {', '.join(types)}."
    legacy = legacy_parts(index)
    if legacy:
        return f"Servers before 3.4 alone took {' and '.join(legacy)}; {_OPTION} converts it."
    return refusal(error)
