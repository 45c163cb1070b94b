"""Documents that share a key that is to be unique; the server groups them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import NoneType
from typing import Any, Final

from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.errors import OperationFailure

from newbi_migrate.documents.registry import UniqueKey
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.server_codes import REPLY_TOO_LARGE
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import documents_of
from newbi_migrate.store.faults import explanation, name_of
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.raw import Element, one_of, raw_documents, with_values

__all__ = ["Collision", "find_collisions"]

_MOST: Final = 1000
_LITERAL: Final = frozenset(
    {NoneType, bool, int, Int64, float, Decimal128, str, ObjectId, datetime, DatetimeMS, Binary}
)
"""Types whose values mean themselves in a query: not a pattern, an operator or undecodable."""
_SEVERAL: Final = {"$match": {"n": {"$gt": 1}}}


@dataclass(frozen=True, slots=True)
class Collision:
    """Documents that would share a key that is to be unique.

    Attributes:
        collection: Where.
        index: Name of the unique index.
        ids: The documents with the smallest and the greatest id.
        count: How many they are.
        in_no_workspace: Whether they have none, and so only stand in the way of each other.
        owners: Each document's id and stored owner, where these were asked for; of very many
            documents none.
    """

    collection: str
    index: str
    ids: tuple[Any, ...]
    count: int
    in_no_workspace: bool = False
    owners: tuple[tuple[Any, Any], ...] = field(default=(), compare=False)

    @property
    def every_id(self) -> Sequence[Any] | None:
        """Ids of all of them; ``None`` where they are not known."""
        if self.owners:
            return [identifier for identifier, _ in self.owners]
        return None if self.count > len(self.ids) else self.ids


async def find_collisions(
    collection: Collection,
    key: UniqueKey,
    *,
    workspace_field: str,
    comment: str,
    workspace: Any = None,
    among: Mapping[str, Any] | None = None,
    owner_field: str | None = None,
    users: Mapping[str, Any] | None = None,
    collation: Mapping[str, Any] | None = None,
    then: Sequence[tuple[Sequence[Any], Mapping[str, Element | None]]] = (),
) -> tuple[tuple[Collision, ...], tuple[Collision, ...]]:
    """Documents that share a unique key as they are, and once what they lack has been added.

    A field that is absent counts as null, as it does for the index.

    Args:
        collection: Where.
        key: The key.
        workspace_field: Name of the field that scopes a document.
        comment: Attached to every command.
        workspace: An expression for the workspace of a document; by default the one it holds.
        among: Only documents that match this; ``None`` for all.
        owner_field: Field that says whose a document is: then every document of a collision is
            named with what stands there.
        users: Expressions for fields that name users; by default what they hold.
        collation: How the index compares text; by default byte by byte.
        then: Ids of documents, no more than a command has room for twice, and field to the value
            that they will get, ``None`` for none; all others stay as they are.

    Raises:
        UsageError: The server does not take the key's filter or its derived values.
        pymongo.errors.PyMongoError: The server failed.
    """
    finder = _Finder(
        collection,
        key,
        f"${workspace_field}" if workspace is None else workspace,
        workspace_field,
        comment,
        among or {},
        owner_field,
        users or {},
        collation or SIMPLE_COLLATION,
        then,
    )
    try:
        return await finder.find()
    except OperationFailure as error:
        told = explanation(error, "comparing keys")
        # What else was asked is the same for every key, and no server refuses it.
        own = (key.index.partial or key.derived) and error.code not in REPLY_TOO_LARGE
        if not own or told is None or told.exit_code is not ExitCode.UNEXPECTED:
            raise
        raise UsageError(
            f"The server refused the partial filter or the derived values of the index "
            f"{key.index.name!r} of {collection.name!r}: {name_of(error)}.",
            next_step="Correct them in the registry.",
            collection=collection.name,
        ) from error


@dataclass(frozen=True, slots=True)
class _Finder:
    collection: Collection
    key: UniqueKey
    workspace: Any
    workspace_field: str
    comment: str
    among: Mapping[str, Any]
    owner_field: str | None
    users: Mapping[str, Any]
    collation: Mapping[str, Any]
    then: Sequence[tuple[Sequence[Any], Mapping[str, Element | None]]]

    async def find(self) -> tuple[tuple[Collision, ...], tuple[Collision, ...]]:
        derived = self.key.derived
        if not await self._any(without=derived):
            # Whatever collides in all fields collides in fewer: mostly one pass is enough.
            return (), ()
        now = await self._all({})
        later = await self._all(derived) if derived else ()
        known = set(map(_same, now))
        return now, tuple(each for each in later if _same(each) not in known)

    async def _any(self, *, without: Container[str]) -> bool:
        paths = [path for path in self._paths if path not in without]
        groups = {"_id": self._values(paths, {}), "n": {"$sum": 1}}
        found = await self._aggregate([{"$group": groups}, _SEVERAL, {"$limit": 1}])
        return bool(found)

    async def _all(self, derived: Mapping[str, Any]) -> tuple[Collision, ...]:
        key = self._values(self._paths, derived)
        found = await self._aggregate(_shared(key))
        owners = await self._owners(key, found, derived) if self.owner_field and found else {}
        return tuple(
            Collision(
                self.collection.name,
                self.key.index.name,
                (each["first"], each["last"]),
                each["n"],
                any(
                    path == self.workspace_field and each["_id"][f"k{n}"] is None
                    for n, path in enumerate(self._paths)
                ),
                owners.get(id_key(each["first"]), ()),
            )
            for each in found
        )

    async def _owners(
        self, key: Mapping[str, Any], found: Sequence[Mapping[str, Any]], derived: Container[str]
    ) -> dict[bytes, tuple[tuple[Any, Any], ...]]:
        """The documents of each collision with their owners, by the smallest of their ids."""
        document = {"id": "$_id", "owner": f"${self.owner_field}"}
        stages = [
            {"$match": self._stored(found, derived)},
            *_shared(key, documents={"$push": document}),
        ]
        try:
            groups = await self._aggregate(stages)
        except OperationFailure as error:
            if error.code not in REPLY_TOO_LARGE:
                raise
            return {}
        return {
            id_key(group["first"]): tuple(
                sorted(
                    ((each["id"], each.get("owner")) for each in group["documents"]),
                    key=lambda pair: id_key(pair[0]),
                )
            )
            for group in groups
        }

    def _stored(
        self, found: Sequence[Mapping[str, Any]], derived: Container[str]
    ) -> dict[str, Any]:
        """A query that leaves few documents to be grouped again, and every one of a collision."""
        query: dict[str, Any] = {}
        for n, path in enumerate(self._paths):
            values = [each["_id"][f"k{n}"] for each in found]
            as_stored = path not in derived and path not in self._written
            if as_stored and all(type(value) in _LITERAL for value in values):
                query[path] = {"$in": values}
        return query

    @property
    def _written(self) -> dict[str, Any]:
        """Expressions for the fields that a document may hold otherwise than they are stored."""
        return {self.workspace_field: self.workspace, **self.users}

    @property
    def _paths(self) -> list[str]:
        return [path for path, _ in self.key.index.keys]

    @property
    def _written_before_the_filter(self) -> dict[str, Any]:
        """What a run writes, where the index's filter reads it; else nothing."""
        index = self.key.index
        named = {*(index.partial or {}), *(self._paths if index.sparse else ())}
        written = {path: value for path, value in self._written.items() if value != f"${path}"}
        decides = any(name in written or name.startswith("$") for name in named)
        return written if decides else {}

    def _values(self, paths: Sequence[str], derived: Mapping[str, Any]) -> dict[str, Any]:
        expressions = {**self._written, **derived}
        return {
            f"k{n}": _as_indexed(expressions.get(path, f"${path}")) for n, path in enumerate(paths)
        }

    async def _aggregate(self, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        index = self.key.index
        match: dict[str, Any] = dict(index.partial or {})
        if index.sparse:
            match["$or"] = [{path: {"$exists": True}} for path in self._paths]
        written = self._written_before_the_filter
        cursor = await self.collection.aggregate_raw_batches(
            [
                *self._as_they_will_be(),
                {"$match": self.among},
                *([{"$set": written}] if written else []),
                {"$match": match},
                *stages,
            ],
            allowDiskUse=True,
            collation=self.collation,
            comment=self.comment,
        )
        return [found async for found in documents_of(raw_documents(cursor))]

    def _as_they_will_be(self) -> list[dict[str, Any]]:
        """Stages that give all documents, those that get other values with these."""
        if not self.then:
            return []
        others = {"$match": {"_id": {"$nin": [i for ids, _ in self.then for i in ids]}}}
        changed = (
            [{"$match": {"_id": one_of(ids)}}, with_values(values)] for ids, values in self.then
        )
        name = self.collection.name
        return [
            others,
            *({"$unionWith": {"coll": name, "pipeline": pipeline}} for pipeline in changed),
        ]


def _same(collision: Collision) -> tuple[tuple[bytes, ...], int]:
    """What two findings of the same documents have in common."""
    return tuple(map(id_key, collision.ids)), collision.count


def _as_indexed(value: Any) -> dict[str, Any]:
    """The value as an index holds it; a group would tell an absent field from a null."""
    if not isinstance(value, str):
        return {"$let": {"vars": {"value": value}, "in": _as_indexed("$$value")}}
    return {"$cond": [{"$eq": [{"$type": value}, "missing"]}, None, value]}


def _shared(key: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Stages that group documents by a key and leave the groups of several."""
    group = {"_id": key, "n": {"$sum": 1}, "first": {"$min": "$_id"}, "last": {"$max": "$_id"}}
    return [{"$group": {**group, **more}}, _SEVERAL, {"$sort": {"first": 1}}, {"$limit": _MOST}]
