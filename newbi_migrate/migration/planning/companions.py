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
            alike = _what_decides(plane, spec, other)
            async for found in companions(
                database[spec.name],
                link.field,
                database[other.name],
                fields=plane.fields(spec),
                other_fields=plane.fields(other),
                comment=comment,
            ):
                mine, its = found.stored, found.other
                if alike and all(mine.get(one) == its.get(two) for one, two in alike):
                    continue
                first = await _workspace_after(plane, spec, mine, readable=found.readable)
                second = await _workspace_after(plane, other, its, readable=found.readable)
                if first is not None and second is not None and first != second:
                    for identifier in found.ids:
                        yield Finding(COMPANION_ELSEWHERE, spec.name, identifier, link.field)


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
    plane: DocumentPlane, spec: CollectionSpec, stored: Mapping[str, Any], *, readable: bool
) -> str | None:
    """The workspace of documents after the run, as the server gives it as text."""
    group = WindowGroup(stored, b"", [None], 1, readable)
    ((_, resolution),) = await plane.decide(spec, [group])
    held = resolution.changes.get(plane.workspace_field, stored.get(plane.workspace_field))
    if isinstance(held, bool):
        return str(held).lower()
    return str(held) if isinstance(held, ObjectId | str | int) else None
