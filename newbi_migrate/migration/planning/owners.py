"""Owner fields that are to hold an ObjectId, and what else stands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.documents.shapes import Leaf, fields_of, without_null
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.migration.planning.codes import OWNER_ABSENT, OWNER_NOT_OBJECT_ID

__all__ = ["Owner", "owner_of"]

_OWNER_RULES: Final = frozenset({"field.owner-id", "field.object-id"})
_OTHERWISE: Final = frozenset({IdForm.HEX_STRING, IdForm.OID_OBJECT, IdForm.MALFORMED})


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner field that is to hold an ObjectId."""

    name: str
    required: bool

    def oddity(self, stored: Mapping[str, Any]) -> str | None:
        """The code of what is odd about the owner of a document, ``None`` if nothing is.

        Args:
            stored: The document, or its field.
        """
        form = read_id(stored.get(self.name, ABSENT)).form
        if form in _OTHERWISE:
            return OWNER_NOT_OBJECT_ID
        if self.required and form in (IdForm.MISSING, IdForm.NULL):
            return OWNER_ABSENT
        return None


def owner_of(spec: CollectionSpec) -> Owner | None:
    """The owner field, where the model says that it is an ObjectId."""
    if spec.owner_field is None or spec.model is None or not spec.scoped:
        return None
    shape = fields_of(spec.model).get(spec.owner_field)
    if shape is None:
        return None
    value = without_null(shape.value)
    if isinstance(value, Leaf) and value.rule.id in _OWNER_RULES:
        return Owner(spec.owner_field, shape.required)
    return None
