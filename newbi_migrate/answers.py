"""Results as JSON: what their types declare is the answer, its keys and its schema.

A result is a plain dataclass. Its fields are the keys, in camel case; a property is one too where
it is a :func:`pydantic.computed_field`. What a field means stands in the docstring of its class,
and what a property means in its own; the reference page takes both from the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from bson import ObjectId
from pydantic import AliasGenerator, ConfigDict, Field, PlainSerializer, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

__all__ = ["HIDDEN", "Instant", "RunId", "answer", "answers", "called", "schema_of", "told"]

_CONFIG: Final = ConfigDict(
    alias_generator=AliasGenerator(serialization_alias=to_camel), arbitrary_types_allowed=True
)

HIDDEN: Final[FieldInfo] = Field(exclude=True)
"""Annotates a field that is no part of the answer."""


def called(name: str) -> FieldInfo:
    """Annotates a field that has another name in the answer."""
    return Field(serialization_alias=name)  # type: ignore[no-any-return]  # as pydantic types it


def told(by: Callable[[Any], Any], kind: Any) -> PlainSerializer:
    """Annotates a field that the answer has in another form.

    Args:
        by: Gives that form.
        kind: Its type.
    """
    return PlainSerializer(by, return_type=kind)


def _instant(value: datetime) -> str:
    # PyMongo gives UTC without saying so.
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.isoformat(timespec="milliseconds")


RunId = Annotated[ObjectId, told(str, str)]
"""The id of a run, which is a text in an answer, as ``--run`` takes it."""

Instant = Annotated[datetime, told(_instant, str)]
"""A time, which is UTC in ISO 8601 in an answer."""


def answer(result: Any) -> dict[str, Any]:
    """What a result says, in values that JSON and BSON have; ids of documents are as they are."""
    kind: Any = type(result)
    # A warning would quote what a record holds that is not what it should be.
    (value,) = _adapter(kind).dump_python([result], by_alias=True, warnings=False)
    return _plain(value)  # type: ignore[no-any-return]  # a dataclass becomes a dict


def answers(results: Any) -> list[dict[str, Any]]:
    """What each of several results says."""
    return [answer(result) for result in results]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # A dataclass takes its configuration from what it stands in.
    return TypeAdapter(list[kind], config=_CONFIG)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of the answers of a type, with what each key means."""
    found = _adapter(kind).json_schema(mode="serialization", schema_generator=_Schema)
    return {"$defs": found["$defs"], "$ref": found["items"]["$ref"]}


class _Schema(GenerateJsonSchema):
    def is_instance_schema(self, schema: Any) -> dict[str, Any]:
        if schema["cls"] is ObjectId:
            return {"type": "object", "properties": {"$oid": {"type": "string"}}}
        return super().is_instance_schema(schema)

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        found = super().dataclass_schema(schema)
        sentence, meanings = _documented(schema["cls"].__doc__ or "")
        found["description"] = sentence
        keys = {
            each["name"]: each.get("serialization_alias", each["name"])
            for each in schema["schema"]["fields"]
        }
        for name, meaning in meanings:
            if (key := keys.get(name)) in found["properties"]:
                found["properties"][key]["description"] = meaning
        return found


def _documented(docstring: str) -> tuple[str, Iterator[tuple[str, str]]]:
    """The first line of a docstring, and what it says of each attribute."""
    head, _, attributes = docstring.partition("Attributes:\n")

    def each() -> Iterator[tuple[str, str]]:
        name, words = "", ""
        for line in attributes.splitlines():
            if line.startswith(" " * 8) and not line.startswith(" " * 9):
                if name:
                    yield name, words
                name, _, words = line.strip().partition(": ")
            elif line.strip():
                words += " " + line.strip()
        if name:
            yield name, words

    return head.strip().partition("\n")[0], each()
