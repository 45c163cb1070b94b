"""Ids of another type than the application looks them up by, where no decision depends on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.users import Finding
from newbi_migrate.migration.planning.codes import DOCUMENT_ID, USER_FIELD_NOT_OBJECT_ID
from newbi_migrate.migration.planning.documents import Surveyed
from newbi_migrate.migration.planning.owners import owner_of
from newbi_migrate.store.decoding import documents_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.reading import matching
from newbi_migrate.store.windows import has_only_object_ids

__all__ = ["unusable_ids"]

_CODES: Final = {"field.document-id": DOCUMENT_ID, "field.owner-id": USER_FIELD_NOT_OBJECT_ID}


async def unusable_ids(
    database: Database,
    specs: Sequence[CollectionSpec],
    surveyed: Mapping[str, Surveyed],
    *,
    workspace_field: str,
    comment: str,
) -> AsyncIterator[Finding]:
    """Documents with an ``_id``, or the id of a user, that is no ObjectId.

    Args:
        database: Where.
        specs: Plain collections that exist.
        surveyed: What was learned about the documents of some.
        workspace_field: Name of the field that scopes a document.
        comment: Attached to every command.
    """
    for spec in specs:
        if spec.model is None:
            continue
        collection, owner, seen = database[spec.name], owner_of(spec), surveyed.get(spec.name)
        asked = set()
        if not await has_only_object_ids(collection, comment=comment):
            asked.add("field.document-id")
        if owner is None and (seen is None or seen.odd_owners):
            asked.add("field.owner-id")
        asked &= spec.model.server_checkable_rules()
        if not asked:
            continue
        skip = {workspace_field} if spec.scoped else set()
        if owner is not None:
            skip.add(owner.name)
        query = spec.model.violators(asked, skip=skip)
        async for document in documents_of(matching(collection, query, comment=comment)):
            for violation in spec.model.violations_of(document):
                if violation.rule in asked and violation.path.partition(".")[0] not in skip:
                    code = _CODES[violation.rule]
                    yield Finding(code, spec.name, document["_id"], violation.path)
