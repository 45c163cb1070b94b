"""Documents that a run leaves in another workspace than the document they refer to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bson import ObjectId

from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.users import Finding
from newbi_migrate.migration.planning.codes import COMPANION_ELSEWHERE
from newbi_migrate.migration.planning.documents import DocumentPlane
from newbi_migrate.store.handles import Database
from newbi_migrate.store.questions import companions
from newbi_migrate.store.windows import WindowGroup

__all__ = ["companions_elsewhere"]


async def companions_elsewhere(
    database: Database, plane: DocumentPlane, specs: Sequence[CollectionSpec], *, comment: str
) -> AsyncIterator[Finding]:
    """Documents whose companion is in another workspace after the run.

    Args:
        database: Where.
        plane: Decides about both.
        specs: The collections that are stamped and exist.
        comment: Attached to every command.
    """
    known = {spec.name: spec for spec in specs}
    for spec in specs:
        for link in spec.companions if spec.scoped else ():
            other = known.get(link.collection)
            if other is None:
                continue
            async for mine, its, readable in companions(
                database[spec.name],
                link.field,
                other.name,
                fields=plane.fields(spec),
                unlike=_what_decides(plane, spec, other),
                comment=comment,
            ):
                one = await _workspace_after(plane, spec, mine, readable=readable)
                two = await _workspace_after(plane, other, its, readable=readable)
                if one is not None and two is not None and one != two:
                    yield Finding(COMPANION_ELSEWHERE, spec.name, mine["_id"], link.field)


def _what_decides(
    plane: DocumentPlane, spec: CollectionSpec, other: CollectionSpec
) -> list[tuple[str, str]]:
    """Fields that give both the same workspace where they are the same; none if nothing does."""
    alike = (spec.owner_field and other.owner_field) and not (spec.parent or other.parent)
    if not alike or spec.workspace_type != other.workspace_type:
        return []
    return [
        (plane.workspace_field, plane.workspace_field),
        (str(spec.owner_field), str(other.owner_field)),
    ]


async def _workspace_after(
    plane: DocumentPlane, spec: CollectionSpec, document: Mapping[str, Any], *, readable: bool
) -> str | None:
    """The workspace of a document after the run, as the server gives it as text."""
    stored = {name: document[name] for name in plane.fields(spec) if name in document}
    group = WindowGroup(stored, b"", [document["_id"]], 1, readable)
    ((_, resolution),) = await plane.decide(spec, [group])
    held = resolution.changes.get(plane.workspace_field, stored.get(plane.workspace_field))
    if isinstance(held, bool):
        return str(held).lower()
    return str(held) if isinstance(held, ObjectId | str | int) else None
