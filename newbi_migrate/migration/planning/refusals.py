"""What the server would refuse of a run: too large, against a validator, or a key that is taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from newbi_migrate.documents.indexes import fields_read, unique_key
from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.documents import DocumentPlane, Surveyed
from newbi_migrate.migration.planning.index_plan import follows, future_workspace, id_in
from newbi_migrate.migration.planning.results import Quarantine
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.collisions import find_collisions
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.lookup import MAX_TREE_KEYS, search_tree

__all__ = ["REFUSALS", "foresee_refusals"]

REFUSALS: Final = (Reason.WRITE_REFUSED, Reason.DOCUMENT_TOO_LARGE, Reason.UNIQUE_KEY)
"""Why a server refuses to write a document."""


async def foresee_refusals(
    database: Database,
    spec: CollectionSpec,
    info: CollectionInfo,
    plane: DocumentPlane,
    seen: Surveyed,
    *,
    comment: str,
) -> tuple[Surveyed, Quarantine]:
    """What a run does with documents, but for those that the server refuses; and these.

    Args:
        database: Where.
        spec: The collection.
        info: The same as it is in the database.
        plane: Decides about its documents.
        seen: What was learned about them.
        comment: Attached to every command.
    """
    refused = Quarantine()
    if not seen.summary.pending:
        return seen, refused
    large = _by_key(await plane.too_large(spec))
    shared = _by_key(await _refused_by_indexes(database, spec, plane, seen, comment=comment))
    invalid: list[Any] = []
    # A server asks the validator before the index: of what both refuse, it says that.
    async for ids in plane.refused_by_validator(spec, info):
        found = _by_key(ids)
        invalid += [identifier for key, identifier in found.items() if key not in large]
        shared = {key: i for key, i in shared.items() if key not in found}
    shared = {key: i for key, i in shared.items() if key not in large}
    counts = plane.counts(spec)
    for reason, ids in (
        (Reason.WRITE_REFUSED, invalid),
        (Reason.DOCUMENT_TOO_LARGE, [*large.values()]),
        (Reason.UNIQUE_KEY, [*shared.values()]),
    ):
        refused.add(spec.name, plane.workspace_field, reason, ids)
        for group, resolution in await plane.written_among(spec, ids):
            counts.add(group, resolution)
            counts.add_changes(resolution.changes, group.count)
    return seen.without(counts.summary), refused


def _by_key(ids: Iterable[Any]) -> dict[bytes, Any]:
    return {id_key(identifier): identifier for identifier in ids}


async def _refused_by_indexes(
    database: Database,
    spec: CollectionSpec,
    plane: DocumentPlane,
    surveyed: Surveyed,
    *,
    comment: str,
) -> list[Any]:
    """Ids of documents that a unique index refuses, which is there, with what a run would write.

    Documents that are not written to keep the key; where all are, whichever is written first gets
    it, and the first by its id stands for it here.

    Args:
        database: Where.
        spec: The collection.
        plane: Decides about its documents.
        surveyed: What was learned about them.
        comment: Attached to every command.
    """
    field = plane.workspace_field
    existing = await read_indexes(database, spec.name)
    users = _future_users(spec, plane.workspaces) if surveyed.summary.owners_rewritten else {}
    written = {*users, *([field] if surveyed.summary.stamped else [])}
    keys = [
        (key, index.get("collation"))
        for index in existing
        if (key := unique_key(index)) is not None
        and ((read := fields_read(key.index)) is None or not read.isdisjoint(written))
        # An owner's keys are known to differ byte by byte; another collation calls some equal.
        and (
            index.get("collation") is not None or not follows(key, existing, spec, surveyed, field)
        )
    ]
    if not keys:
        return []
    workspace = future_workspace(spec, plane.workspaces, surveyed, workspace_field=field)
    if workspace is None:
        return []
    shared: list[Sequence[Any]] = []
    for key, collation in keys:
        found, _ = await find_collisions(
            database[spec.name],
            key,
            workspace_field=field,
            workspace=workspace,
            owner_field=spec.owner_field or "_id",
            users=users,
            collation=collation,
            comment=comment,
        )
        shared += [collision.every_id or collision.ids for collision in found]
    of_a_key = [identifier for ids in shared for identifier in ids]
    written_to = {
        id_key(identifier)
        for group, _ in await plane.written_among(spec, of_a_key)
        for identifier in group.ids
    }
    refused: dict[bytes, Any] = {}
    for ids in shared:
        late = [identifier for identifier in ids if id_key(identifier) in written_to]
        first = 1 if len(late) == len(ids) else 0
        refused.update((id_key(identifier), identifier) for identifier in late[first:])
    return list(refused.values())


def _future_users(spec: CollectionSpec, workspaces: Workspaces) -> dict[str, Any]:
    """Expressions for the users whom a document names after the run, in the type they are in.

    Empty where there are no aliases, or too many for one expression.
    """
    if not 0 < len(workspaces.aliases) <= MAX_TREE_KEYS:
        return {}

    def expression(path: str) -> dict[str, Any]:
        kind = {"$type": path}
        text = {"$toString": "$$now"}
        in_its_type = {
            "$switch": {
                "branches": [
                    {"case": {"$eq": ["$$now", None]}, "then": path},
                    {"case": {"$eq": [kind, "string"]}, "then": text},
                    {"case": {"$eq": [kind, "object"]}, "then": _as_extended_json(text)},
                ],
                "default": "$$now",
            }
        }
        now = search_tree(workspaces.aliases, "$$user")
        looked_up = {"$let": {"vars": {"now": now}, "in": in_its_type}}
        return {"$let": {"vars": {"user": id_in(path)}, "in": looked_up}}

    return {name: expression(f"${name}") for name in spec.user_fields}


def _as_extended_json(text: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"$literal": {}}
    return {"$setField": {"field": {"$literal": "$oid"}, "input": empty, "value": text}}
