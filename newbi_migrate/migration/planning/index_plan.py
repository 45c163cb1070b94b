"""Which indexes a run creates, and which documents would break the unique ones."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.indexes import LIST_BESIDE_TEXT, PARALLEL_LISTS
from newbi_migrate.documents.newbi import BETTER_AUTH_SPECS
from newbi_migrate.documents.registry import CollectionSpec, IdType, IndexSpec, UniqueKey
from newbi_migrate.mapping.values import read_id
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass, Workspaces
from newbi_migrate.migration.planning.documents import MOST_OWNERS, Surveyed
from newbi_migrate.migration.planning.results import IndexAction, IndexDecision, PlannedCollision
from newbi_migrate.progress import Progress
from newbi_migrate.store.collisions import Collision, find_collisions
from newbi_migrate.store.counting import count_by
from newbi_migrate.store.handles import Collection, Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import (
    key_pattern,
    plan_indexes,
    read_indexes,
)
from newbi_migrate.store.lookup import MAX_TREE_KEYS, search_tree

__all__ = [
    "collision_reason",
    "follows",
    "future_workspace",
    "id_in",
    "lists_in_the_way",
    "plan_index_changes",
]

_KEPT: Final = "Belongs to the old structure; it is kept until it is dropped on request."


async def plan_index_changes(
    database: Database,
    specs: Sequence[CollectionSpec],
    workspaces: Workspaces,
    surveyed: Mapping[str, Surveyed],
    *,
    workspace_field: str,
    with_users: bool,
    filled: Mapping[tuple[str, str], Sequence[Any]],
    collections: Mapping[str, int],
    odd_users: Mapping[bytes, Any],
    comment: str,
    progress: Progress,
) -> tuple[tuple[IndexDecision, ...], tuple[PlannedCollision, ...]]:
    """What happens to every index the registry wants or knows to be obsolete.

    Args:
        database: Where.
        specs: The collections that are stamped.
        workspaces: Who is who.
        surveyed: Collection to what was learned about its documents.
        workspace_field: Name of the field that scopes a document.
        with_users: Whether the Better Auth collections are part of the run.
        filled: Collection and path to the ids of documents in which the run fills that field.
        collections: The collections that exist.
        odd_users: Keys of quarantined users' ids that are no ObjectIds, to these ids.
        comment: Attached to every command.
        progress: Told of every collection.
    """
    decisions: list[IndexDecision] = []
    shared: list[PlannedCollision] = []
    wanted = [spec for spec in specs if spec.scoped]
    if with_users:
        wanted += BETTER_AUTH_SPECS
    progress.phase("plan indexes of collections", len(wanted))
    for spec in wanted:
        existing = await read_indexes(database, spec.name) if spec.name in collections else ()
        planned = plan_indexes(existing, spec)
        workspace = future_workspace(
            spec, workspaces, surveyed.get(spec.name), workspace_field=workspace_field
        )
        decisions.extend(IndexDecision(spec.name, i, IndexAction.PRESENT) for i in planned.present)
        decisions.extend(
            IndexDecision(spec.name, index, IndexAction.DEFERRED, reason)
            for index, reason in planned.deferred
        )
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
            if (
                key is not None
                and spec.name in collections
                and workspace is not None
                and not follows(key, existing, spec, surveyed.get(spec.name), workspace_field)
            ):
                now, later = await find_collisions(
                    database[spec.name],
                    key,
                    workspace_field=workspace_field,
                    workspace=workspace,
                    among=_but_for(filled, spec.name, key),
                    owner_field=spec.owner_field,
                    comment=comment,
                )
                whose = _Whose(workspaces, odd_users)
                shared += [whose.of(each, later=False) for each in now]
                shared += [whose.of(each, later=True) for each in later]
            seen = surveyed.get(spec.name)
            reason = collision_reason(now)
            if not now and seen is not None and workspace is not None and _keeps_lists(seen):
                reason = await lists_in_the_way(
                    database[spec.name],
                    index,
                    workspace_field=workspace_field,
                    workspace=workspace,
                    comment=comment,
                )
            action = IndexAction.COLLISION if reason else IndexAction.CREATE
            decisions.append(IndexDecision(spec.name, index, action, reason))
        progress.advance(1, spec.name)
    return tuple(decisions), tuple(shared)


def _keeps_lists(seen: Surveyed) -> bool:
    """Whether lists may stay where a workspace belongs: only what is quarantined keeps one."""
    return bool(seen.summary.classes[WorkspaceClass.DANGLING] and seen.summary.quarantined)


async def lists_in_the_way(
    collection: Collection,
    index: IndexSpec,
    *,
    workspace_field: str,
    workspace: Any,
    comment: str,
) -> str:
    """Why lists that stand where a workspace belongs hinder an index; empty if they do not.

    Args:
        collection: The collection.
        index: The index that is to be built.
        workspace_field: Name of the field that scopes a document.
        workspace: An expression for what is in it.
        comment: Attached to every command.
    """
    paths = [path for path, direction in index.keys if direction != "text"]
    values = [workspace if path == workspace_field else f"${path}" for path in paths]
    lists = {"$sum": [{"$cond": [{"$isArray": [value]}, 1, 0]} for value in values]}
    stages: list[Mapping[str, Any]] = [
        {"$match": {"$and": [{workspace_field: {"$type": "array"}}, index.partial or {}]}},
        {"$match": {"$expr": {"$gte": [lists, 1 if index.is_text else 2]}}},
        {"$count": "n"},
    ]
    if not await count_by(collection, stages, comment=comment):
        return ""
    return LIST_BESIDE_TEXT if index.is_text else PARALLEL_LISTS


def follows(
    key: UniqueKey,
    existing: Sequence[Mapping[str, Any]],
    spec: CollectionSpec,
    seen: Surveyed | None,
    workspace_field: str,
) -> bool:
    """Whether a key is unique in each workspace because an index keeps it so for each owner.

    So it is where every document gets its owner's workspace, and no two owners share one. Then
    nothing has to be read: a million keys take the server as long as half of the plan.
    """
    if seen is None or spec.parent is not None or spec.owner_field is None:
        return False
    if seen.odd_owners or seen.has_stored or seen.summary.quarantined:
        return False
    if len(seen.owners) >= MOST_OWNERS or len(set(seen.owners.values())) < len(seen.owners):
        return False
    paths = {spec.owner_field if p == workspace_field else p for p, _ in key.index.keys}
    written = {workspace_field, *(spec.user_fields if seen.summary.owners_rewritten else ())}
    return any(
        index.get("unique")
        and not index.get("sparse")
        and _covers(index.get("partialFilterExpression") or {}, key.index.partial or {}, written)
        and {path for path, _ in key_pattern(index)} <= paths - set(key.derived)
        for index in existing
        if "collation" not in index
    )


def _covers(wider: Mapping[str, Any], partial: Mapping[str, Any], written: Container[str]) -> bool:
    """Whether an index with one filter holds every document that a narrower filter lets through.

    Args:
        wider: The filter of an index that is there.
        partial: The narrower filter.
        written: Fields that a run writes: an index whose filter reads one of them does not hold
            yet what it will hold.
    """
    for path, condition in wider.items():
        if path.startswith("$") or path.partition(".")[0] in written:
            return False
        narrow = partial.get(path)
        typed = isinstance(narrow, Mapping) and "$type" in narrow
        if condition != narrow and not (typed and condition == {"$exists": True}):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Whose:
    workspaces: Workspaces
    odd_users: Mapping[bytes, Any]

    def of(self, found: Collision, *, later: bool) -> PlannedCollision:
        """The documents of a collision with the quarantined users they belong to."""
        documents = tuple((identifier, self._user(owner)) for identifier, owner in found.owners)
        return PlannedCollision(
            found.collection,
            found.index,
            found.count,
            documents or tuple((identifier, None) for identifier in found.ids),
            found.in_no_workspace,
            later,
        )

    def _user(self, owner: Any) -> Any:
        user = read_id(owner).value
        if user is None:
            return self.odd_users.get(id_key(owner)) if self.odd_users else None
        return user if self.workspaces.of_user(user) is Reason.OWNER_QUARANTINED else None


def _but_for(
    filled: Mapping[tuple[str, str], Sequence[Any]], collection: str, key: UniqueKey
) -> Mapping[str, Any]:
    """A query for the documents that hold the same key after the run as they do now.

    Where the run fills a field of the key, it does so with a value that nobody else has.
    """
    ids = [i for path, _ in key.index.keys for i in filled.get((collection, path), ())]
    return {"_id": {"$nin": ids}} if ids else {}


def collision_reason(found: Sequence[Collision]) -> str:
    """Why a unique index cannot be built, in one sentence; empty where nothing collides."""
    if not found:
        return ""
    documents = sum(collision.count for collision in found)
    keys = "a key" if len(found) == 1 else f"{len(found):,} keys"
    return f"{documents:,} documents share {keys} that would have to be unique."


def future_workspace(
    spec: CollectionSpec,
    workspaces: Workspaces,
    surveyed: Surveyed | None,
    *,
    workspace_field: str,
) -> Any:
    """An expression for the workspace a document has after the run, in the type it is stored in.

    A stored workspace that exists stays; any other gives way to the owner's. What is quarantined
    keeps what it has, of whatever type, which the index counts as well. ``None`` where
    there are too many organizations and users for one expression: then collisions are found
    when the index is built.
    """
    if not spec.scoped or spec.workspace_type is None:
        return f"${workspace_field}"

    owners = {} if surveyed is None else dict(surveyed.owners)
    # Of all users, not of those whose documents are still to be stamped: what a plan says must not
    # depend on how far its run has come.
    if len(workspaces.organizations) + len(workspaces.users) > MAX_TREE_KEYS * 2:
        return None
    stored: Any = None
    if workspaces.organizations and surveyed is not None and surveyed.has_stored:
        identity = {identifier: identifier for identifier in workspaces.organizations}
        stored = search_tree(identity, "$$stored")
    by_owner: Any = None
    if spec.owner_field is not None and owners:
        by_owner = search_tree(owners, "$$owner")
    variables = {"stored": id_in(f"${workspace_field}")}
    if spec.owner_field is not None:
        variables["owner"] = id_in(f"${spec.owner_field}")
    by_stored_user = _by_stored_user(spec, workspaces, surveyed)
    looked_up: dict[str, Any] = {"$ifNull": [stored, by_owner, by_stored_user]}
    if spec.workspace_type is IdType.STRING:
        looked_up = {"$toString": looked_up}
    return {"$let": {"vars": variables, "in": {"$ifNull": [looked_up, f"${workspace_field}"]}}}


def id_in(path: str) -> dict[str, Any]:
    """The id that a field holds, also as text or as Extended JSON writes it; else null."""
    text = {"$getField": {"field": {"$literal": "$oid"}, "input": path}}
    found = {"$cond": [{"$eq": [{"$type": path}, "object"]}, text, path]}
    return {"$convert": {"input": found, "to": "objectId", "onError": None, "onNull": None}}


def _by_stored_user(spec: CollectionSpec, workspaces: Workspaces, surveyed: Surveyed | None) -> Any:
    """The workspace of the user whose id stands where a workspace's should, if nobody owns it."""
    if surveyed is None or not surveyed.summary.classes[WorkspaceClass.USER_ID]:
        return None
    by_user: dict[ObjectId, ObjectId] = {}
    for user in workspaces.users:
        workspace = workspaces.of_user(user)
        if not isinstance(workspace, Reason):
            by_user[user] = workspace
        if len(by_user) > MAX_TREE_KEYS:
            return None
    if not by_user:
        return None
    tree = search_tree(by_user, "$$stored")
    if spec.owner_field is None:
        return tree
    nobody = {"$eq": [{"$ifNull": [f"${spec.owner_field}", None]}, None]}
    return {"$cond": [nobody, tree, None]}
