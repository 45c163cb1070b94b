"""Which indexes a run creates, and which documents would break the unique ones.

It changes when the index policy does: new indexes are created after the documents have been
stamped, a unique one only where nothing collides, and nothing is ever dropped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.mapping.workspace import Directory
from newbi_migrate.migration.results import Collision, IndexAction, IndexDecision
from newbi_migrate.models.newbi import BETTER_AUTH_INDEXES
from newbi_migrate.models.registry import CollectionSpec, UniqueKey
from newbi_migrate.store.indexes import plan_indexes, read_indexes
from newbi_migrate.store.stamping import MAX_TREE_OWNERS, search_tree

__all__ = ["find_collisions", "future_workspace", "plan_index_changes"]

_MOST: Final = 1000
_KEPT: Final = "Belongs to the old structure; it is kept until it is dropped on request."


async def plan_index_changes(
    database: AsyncDatabase[dict[str, Any]],
    specs: Sequence[CollectionSpec],
    directory: Directory,
    owners: Mapping[str, Mapping[ObjectId, ObjectId]],
    *,
    workspace_field: str,
    with_users: bool,
    collections: Mapping[str, int],
    comment: str,
) -> tuple[tuple[IndexDecision, ...], tuple[Collision, ...]]:
    """What happens to every index the registry wants or knows to be obsolete.

    Args:
        database: Where.
        specs: The collections that are stamped.
        directory: Who is who.
        owners: Collection to the workspace each owner's documents get.
        workspace_field: Name of the field that scopes a document.
        with_users: Whether the Better Auth collections are part of the run.
        collections: The collections that exist.
        comment: Attached to every command.
    """
    decisions: list[IndexDecision] = []
    collisions: list[Collision] = []
    wanted = [spec for spec in specs if spec.scoped]
    if with_users:
        wanted += [
            CollectionSpec(
                name,
                None,
                None,
                unique_keys=tuple(UniqueKey(i) for i in indexes if i.unique),
                indexes=tuple(i for i in indexes if not i.unique),
            )
            for name, indexes in BETTER_AUTH_INDEXES.items()
        ]
    for spec in wanted:
        existing = await read_indexes(database, spec.name) if spec.name in collections else ()
        planned = plan_indexes(existing, spec)
        workspace = future_workspace(
            spec, directory, owners.get(spec.name, {}), workspace_field=workspace_field
        )
        decisions.extend(IndexDecision(spec.name, i, IndexAction.PRESENT) for i in planned.present)
        decisions.extend(
            IndexDecision(spec.name, index, IndexAction.CONFLICT, reason)
            for index, reason in planned.conflicts
        )
        decisions.extend(
            IndexDecision(spec.name, index, IndexAction.OBSOLETE, _KEPT)
            for index in planned.obsolete_present
        )
        unique = {key.index.name: key for key in spec.unique_keys}
        for index in planned.to_create:
            key = unique.get(index.name)
            now: tuple[Collision, ...] = ()
            if key is not None and spec.name in collections:
                now, later = [
                    await find_collisions(
                        database,
                        spec.name,
                        key,
                        workspace,
                        workspace_field,
                        derive=derive,
                        comment=comment,
                    )
                    if key.derived or not derive
                    else ()
                    for derive in (False, True)
                ]
                collisions.extend(now)
                collisions.extend(collision for collision in later if collision not in now)
            decisions.append(
                IndexDecision(
                    spec.name,
                    index,
                    IndexAction.COLLISION if now else IndexAction.CREATE,
                    _collision_reason(now),
                )
            )
    return tuple(decisions), tuple(collisions)


def _collision_reason(found: Sequence[Collision]) -> str:
    if not found:
        return ""
    documents = sum(collision.count for collision in found)
    return f"{documents} documents share {len(found)} keys that would have to be unique."


def _value(key: UniqueKey, path: str, workspace: Any, workspace_field: str, derive: bool) -> Any:
    if path == workspace_field:
        return workspace
    return key.derived.get(path, f"${path}") if derive else f"${path}"


def future_workspace(
    spec: CollectionSpec,
    directory: Directory,
    owners: Mapping[ObjectId, ObjectId],
    *,
    workspace_field: str,
) -> Any:
    """An expression for the workspace a document has after the run, as an ObjectId.

    A stored workspace that exists stays; any other gives way to the owner's.
    """
    if not spec.scoped or spec.workspace_type is None:
        return f"${workspace_field}"

    def as_id(path: str) -> dict[str, Any]:
        return {"$convert": {"input": path, "to": "objectId", "onError": None, "onNull": None}}

    stored: Any = None
    if 0 < len(directory.organizations) <= MAX_TREE_OWNERS:
        stored = search_tree(
            {identifier: identifier for identifier in directory.organizations},
            "$$stored",
            otherwise=None,
        )
    by_owner: Any = None
    if spec.owner_field is not None and 0 < len(owners) <= MAX_TREE_OWNERS:
        by_owner = search_tree(dict(owners), "$$owner", otherwise=None)
    variables = {"stored": as_id(f"${workspace_field}")}
    if spec.owner_field is not None:
        variables["owner"] = as_id(f"${spec.owner_field}")
    return {"$let": {"vars": variables, "in": {"$ifNull": [stored, by_owner]}}}


async def find_collisions(
    database: AsyncDatabase[dict[str, Any]],
    collection: str,
    key: UniqueKey,
    workspace: Any,
    workspace_field: str,
    *,
    derive: bool,
    comment: str,
) -> tuple[Collision, ...]:
    """Documents that share the values of a unique key, found by the server.

    A document that has no workspace after the run counts as one without it, as it will for
    the index. With ``derive``, fields that legacy documents lack count as the application
    would write them.
    """
    index = key.index
    fields = [path for path, _ in index.keys]
    names = {path: f"k{position}" for position, path in enumerate(fields)}
    values: dict[str, Any] = {
        names[path]: _value(key, path, workspace, workspace_field, derive) for path in fields
    }
    match: dict[str, Any] = dict(index.partial or {})
    if index.sparse:
        match["$or"] = [{path: {"$exists": True}} for path in fields]
    pipeline: list[dict[str, Any]] = [
        {"$match": match},
        {
            "$group": {
                "_id": values,
                "n": {"$sum": 1},
                "first": {"$min": "$_id"},
                "last": {"$max": "$_id"},
            }
        },
        {"$match": {"n": {"$gt": 1}}},
        {"$sort": {"first": 1}},
        {"$limit": _MOST},
    ]
    cursor = await database[collection].aggregate(pipeline, allowDiskUse=True, comment=comment)
    async with cursor:
        return tuple(
            [
                Collision(collection, index.name, (group["first"], group["last"]), group["n"])
                async for group in cursor
            ]
        )
