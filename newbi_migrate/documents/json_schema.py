"""The ``$jsonSchema`` of a collection, generated from its model.

For a server that is to refuse what the model refuses, as far as a ``$jsonSchema`` can say it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from newbi_migrate.documents.base import CURRENT_SHAPE, DocumentModel
from newbi_migrate.documents.better_auth import Account, Invitation, Member, Organization, User
from newbi_migrate.documents.document_rules import DocumentRule, Schema
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import Registry
from newbi_migrate.documents.shapes import all_of, all_rules, schema_of
from newbi_migrate.rules import Rule, Severity

__all__ = ["json_schema_of", "models_of", "rules_left_out", "rules_said", "validator_of"]

_BETTER_AUTH: tuple[type[DocumentModel], ...] = (Account, Invitation, Member, Organization, User)


def models_of(registry: Registry = NEWBI) -> dict[str, type[DocumentModel]]:
    """Each collection that has a model, with it: the registry's and Better Auth's, by name."""
    found = {spec.name: spec.model for spec in registry if spec.model is not None}
    for model in _BETTER_AUTH:
        found[model.collection_name] = model
    return dict(sorted(found.items()))


@cache
def rules_said(model: type[DocumentModel]) -> frozenset[str]:
    """Ids of the rules that :func:`json_schema_of` says.

    A rule is said everywhere or not at all. What is only worth knowing (severity ``info``) is
    not said: a server can but refuse.
    """
    said: set[str] = set()
    unsaid: set[str] = set()
    for rule in all_rules(model):
        (said if _can_be_said(rule) else unsaid).add(rule.id)
    if model.older_shapes and all(older.shape is not None for older in model.older_shapes):
        said.add(CURRENT_SHAPE.id)
    return frozenset(said - unsaid)


def _can_be_said(rule: FieldRule | DocumentRule) -> bool:
    if rule.severity is Severity.INFO:
        return False
    return not rule.python_only if isinstance(rule, FieldRule) else rule.schema({}) is not None


def rules_left_out(model: type[DocumentModel]) -> tuple[Rule, ...]:
    """The rules of documents of today's shape that a ``$jsonSchema`` does not say."""
    said = rules_said(model)
    own = {rule.id for rule in all_rules(model)}
    return tuple(rule for rule in model.declared_rules() if rule.id in own and rule.id not in said)


def json_schema_of(model: type[DocumentModel]) -> Schema:
    """The ``$jsonSchema`` that a document matches if and only if it keeps the rules that are said.

    Unknown fields are allowed, as the model allows them. A document of an older shape does not
    match: the application writes none any more.

    Args:
        model: The model.
    """
    said = rules_said(model)
    older = [one.shape.schema({}) for one in model.older_shapes if one.shape is not None]
    parts = [schema_of(model, said)]
    if CURRENT_SHAPE.id in said:
        parts.append({"not": older[0] if len(older) == 1 else {"anyOf": older}})
    return all_of([{"bsonType": "object"}, *parts])


def validator_of(model: type[DocumentModel]) -> dict[str, Any]:
    """The same as ``collMod`` and ``createCollection`` take it for ``validator``."""
    return {"$jsonSchema": json_schema_of(model)}
