"""Documents that share a key that is to be unique; the server groups them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from newbi_migrate.documents.registry import UniqueKey
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import raw_documents

__all__ = ["Collision", "find_collisions"]

_MOST: Final = 1000
_SEVERAL: Final = {"$match": {"n": {"$gt": 1}}}


@dataclass(frozen=True, slots=True)
class Collision:
    """Documents that would share a key that is to be unique.

    Attributes:
        collection: Where.
        index: Name of the unique index.
        ids: The documents with the smallest and the greatest id.
        count: How many they are.
    """

    collection: str
    index: str
    ids: tuple[Any, ...]
    count: int

    def to_json(self) -> dict[str, Any]:
        """The collision as JSON holds it."""
        return {
            "collection": self.collection,
            "index": self.index,
            "ids": list(self.ids),
            "count": self.count,
        }


async def find_collisions(
    collection: Collection,
    key: UniqueKey,
    *,
    workspace_field: str,
    comment: str,
    workspace: Any = None,
    among: Mapping[str, Any] | None = None,
) -> tuple[tuple[Collision, ...], tuple[Collision, ...]]:
    """Documents that share a unique key as they are, and once what they lack has been added.

    A document that has no workspace counts as one without it, as it will for the index.

    Args:
        collection: Where.
        key: The key.
        workspace_field: Name of the field that scopes a document.
        comment: Attached to every command.
        workspace: An expression for the workspace of a document; by default the one it holds.
        among: Only documents that match this; ``None`` for all.
    """
    finder = _Finder(
        collection,
        key,
        f"${workspace_field}" if workspace is None else workspace,
        workspace_field,
        comment,
        among or {},
    )
    return await finder.find()


@dataclass(frozen=True, slots=True)
class _Finder:
    collection: Collection
    key: UniqueKey
    workspace: Any
    workspace_field: str
    comment: str
    among: Mapping[str, Any] = field(default_factory=dict)

    async def find(self) -> tuple[tuple[Collision, ...], tuple[Collision, ...]]:
        derived = self.key.derived
        if derived and not await self._any(without=derived):
            # Whatever collides in all fields collides in fewer: mostly one pass is enough.
            return (), ()
        now = await self._all({})
        later = await self._all(derived) if derived else ()
        return now, tuple(collision for collision in later if collision not in now)

    async def _any(self, *, without: Container[str]) -> bool:
        paths = [path for path in self._paths if path not in without]
        groups = {"_id": self._values(paths, {}), "n": {"$sum": 1}}
        found = await self._aggregate([{"$group": groups}, _SEVERAL, {"$limit": 1}])
        return bool(found)

    async def _all(self, derived: Mapping[str, Any]) -> tuple[Collision, ...]:
        groups = {
            "_id": self._values(self._paths, derived),
            "n": {"$sum": 1},
            "first": {"$min": "$_id"},
            "last": {"$max": "$_id"},
        }
        found = await self._aggregate(
            [{"$group": groups}, _SEVERAL, {"$sort": {"first": 1}}, {"$limit": _MOST}]
        )
        return tuple(
            Collision(
                self.collection.name, self.key.index.name, (each["first"], each["last"]), each["n"]
            )
            for each in found
        )

    @property
    def _paths(self) -> list[str]:
        return [path for path, _ in self.key.index.keys]

    def _values(self, paths: Sequence[str], derived: Mapping[str, Any]) -> dict[str, Any]:
        expressions = {self.workspace_field: self.workspace, **derived}
        return {f"k{n}": expressions.get(path, f"${path}") for n, path in enumerate(paths)}

    async def _aggregate(self, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        index = self.key.index
        match: dict[str, Any] = dict(index.partial or {})
        if index.sparse:
            match["$or"] = [{path: {"$exists": True}} for path in self._paths]
        cursor = await self.collection.aggregate_raw_batches(
            [{"$match": {"$and": [match, self.among]}}, *stages],
            allowDiskUse=True,
            collation=SIMPLE_COLLATION,
            comment=self.comment,
        )
        return [found async for found, _ in decoded(raw_documents(cursor))]
