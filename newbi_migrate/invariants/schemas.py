"""Schemas put together: MongoDB's ``$jsonSchema`` as values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["Schema", "all_of", "nullable"]

Schema = dict[str, Any]
"""A ``$jsonSchema``, or a part of one."""


def all_of(schemas: Iterable[Schema]) -> Schema:
    """A schema that is matched by what matches all of some."""
    merged: Schema = {}
    beside: list[Schema] = []
    for schema in schemas:
        if _can_be_one(merged, schema):
            merged.update(schema)
        else:
            beside.append(schema)
    return {**merged, "allOf": [*merged.get("allOf", []), *beside]} if beside else merged


# What one of them says depends on what the other names beside it.
_OF_FIELDS: Final = frozenset({"properties", "additionalProperties"})


def _can_be_one(schema: Schema, other: Schema) -> bool:
    of_fields = schema.keys() & _OF_FIELDS
    if of_fields and other.keys() & _OF_FIELDS not in (frozenset(), of_fields):
        return False
    return all(name not in schema or schema[name] == rest for name, rest in other.items())


_OF_ONE_TYPE: Final = frozenset(
    {"bsonType", "pattern", "minLength", "maxLength", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "properties", "required", "items"}
)


def nullable(schema: Schema) -> Schema:
    """A schema that is also matched by null."""
    if not schema:
        return schema
    if schema.keys() <= _OF_ONE_TYPE and isinstance(schema.get("bsonType"), list):
        # The other keywords say nothing about null.
        return {**schema, "bsonType": [*schema["bsonType"], "null"]}
    if schema.keys() <= {"properties", "required", "items"}:
        # These say nothing about null at all.
        return schema
    if schema.keys() == {"enum"}:
        return {"enum": [*schema["enum"], None]}
    return {"anyOf": [{"bsonType": "null"}, schema]}
