"""What the annotations of a model say, taken apart once for all that is derived from them.

The list of a model's rules, its ``$jsonSchema``, the questions a server is asked and the strategies
of Hypothesis follow from these shapes. Nothing is validated here: that is pydantic's.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
)

from annotated_types import Ge, GroupedMetadata, Gt, Le, Len, Lt, MaxLen, MinLen
from bson import ObjectId
from pydantic import BaseModel, StringConstraints
from pydantic_core import PydanticUndefined

from newbi_migrate.documents.characters import server_pattern
from newbi_migrate.documents.document_rules import DocumentRule, Schema
from newbi_migrate.documents.field_rules import DOCUMENT, LIST, REQUIRED, TYPE, FieldRule
from newbi_migrate.documents.scalars import STORED_ALWAYS, WholeDouble
from newbi_migrate.rules import Severity

if TYPE_CHECKING:
    from newbi_migrate.documents.base import StoredModel

__all__ = [
    "Anything",
    "Constraints",
    "Embedded",
    "EmbeddedField",
    "FieldShape",
    "Leaf",
    "ListOf",
    "Nullable",
    "Shape",
    "all_of",
    "all_rules",
    "defaults_of",
    "embedded_in",
    "fields_of",
    "nullable",
    "rules_of",
    "schema_of",
    "shape_of",
    "without_null",
]


@dataclass(frozen=True, slots=True)
class Constraints:
    """A type of Python with pydantic's constraints on it; the same value may be of several.

    Attributes:
        kind: ``str``, ``int``, ``float``, ``bool``, ``ObjectId``, ``datetime``, or a type of a host
            application.
        values: The values of a ``Literal``.
        pattern: What a text matches, as it was declared.
        min_length: Its least number of characters.
        max_length: Its greatest.
        ge: The least number.
        gt: A lesser number.
        le: The greatest number.
        lt: A greater number.
        whole: Whether a double has to be a whole number.
    """

    kind: Any
    values: tuple[Any, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    whole: bool = False

    @property
    def bson_types(self) -> tuple[str, ...]:
        """MongoDB's names of the types it is stored as; none where the server knows no such."""
        if self.values:
            return ("string",) if all(isinstance(value, str) for value in self.values) else ()
        bases = getattr(self.kind, "__mro__", ())
        return next((_BSON_TYPES[base] for base in bases if base in _BSON_TYPES), ())

    def limits(self) -> Schema:
        """The constraints in ``$jsonSchema``, without the type."""
        if self.values:
            # Compared in one go, and not value by value.
            known = "|".join(re.escape(value) for value in self.values)
            return {"pattern": f"\\A(?:{known})\\z"}
        said: Schema = {}
        if self.min_length:
            said["minLength"] = self.min_length
        if self.max_length is not None:
            said["maxLength"] = self.max_length
        if self.pattern is not None:
            said["pattern"] = server_pattern(self.pattern)
        for key, limit, exclusive in (
            ("minimum", self.ge, False),
            ("minimum", self.gt, True),
            ("maximum", self.le, False),
            ("maximum", self.lt, True),
        ):
            # What no integer of 64 bits can pass needs no limit.
            if limit is not None and abs(limit) < _MOST:
                said[key] = limit
                if exclusive:
                    said[f"exclusive{key.capitalize()}"] = True
        if self.whole:
            said["multipleOf"] = 1
        return said


_MOST: Final = 2**63 - 1
_BSON_TYPES: Final[Mapping[Any, tuple[str, ...]]] = {
    str: ("string",),
    bool: ("bool",),
    int: ("int", "long"),
    float: ("double",),
    ObjectId: ("objectId",),
    datetime: ("date",),
}


class Shape:
    """What an annotation says about a value."""

    __slots__ = ()

    def rules(self) -> Iterator[FieldRule | DocumentRule]:
        """Every rule that the value may break, those inside it included."""
        return iter(())

    def schema(self, wanted: Container[str]) -> Schema:  # noqa: ARG002  # see below
        """The ``$jsonSchema`` of values that keep those of the wanted rules a server can test."""
        return {}


@dataclass(frozen=True, slots=True)
class Anything(Shape):
    """A value without a rule."""


@dataclass(frozen=True, slots=True)
class Leaf(Shape):
    """A value with a rule of its own: one of some types, with constraints.

    Attributes:
        rule: The rule.
        choices: What the value may be.
        annotation: What was declared.
    """

    rule: FieldRule
    choices: tuple[Constraints, ...]
    annotation: Any

    def rules(self) -> Iterator[FieldRule | DocumentRule]:
        """The rule."""
        yield self.rule

    def schema(self, wanted: Container[str]) -> Schema:
        """What the constraints say."""
        if self.rule.id not in wanted or self.rule.python_only:
            return {}
        alike: list[tuple[list[str], Schema]] = []
        for choice in self.choices:
            limits = choice.limits()
            for types, known in alike:
                if _as_wide(known, limits):
                    types += [name for name in choice.bson_types if name not in types]
                    known.update(limits)
                    break
            else:
                alike.append((list(choice.bson_types), limits))
        said: list[Schema] = [{"bsonType": types, **limits} for types, limits in alike]
        return said[0] if len(said) == 1 else {"anyOf": said}


def _as_wide(known: Schema, limits: Schema) -> bool:
    """Whether two ranges of numbers are the same; doubles alone are asked to be whole."""
    return {**known, "multipleOf": 1} == {**limits, "multipleOf": 1}


@dataclass(frozen=True, slots=True)
class Embedded(Shape):
    """An embedded document."""

    model: type[StoredModel]

    def rules(self) -> Iterator[FieldRule | DocumentRule]:
        """That it is a document, and the rules of its model."""
        yield DOCUMENT
        yield from all_rules(self.model)

    def schema(self, wanted: Container[str]) -> Schema:
        """What the rules of its model say."""
        own: Schema = {"bsonType": ["object"]} if DOCUMENT.id in wanted else {}
        return all_of([own, schema_of(self.model, wanted, embedded=True)])


@dataclass(frozen=True, slots=True)
class ListOf(Shape):
    """A list of values of one shape.

    Attributes:
        element: The shape.
        length: The rule of its length, ``None`` where any will do.
        least: How many elements it has at least.
        most: How many it has at most.
    """

    element: Shape
    length: FieldRule | None = None
    least: int = 0
    most: int | None = None

    def rules(self) -> Iterator[FieldRule | DocumentRule]:
        """That it is a list, and the rules of its length and its elements."""
        yield LIST
        if self.length is not None:
            yield self.length
        yield from self.element.rules()

    def schema(self, wanted: Container[str]) -> Schema:
        """What these rules say."""
        said: Schema = {"bsonType": ["array"]} if LIST.id in wanted else {}
        if self.length is not None and self.length.id in wanted:
            if self.least:
                said["minItems"] = self.least
            if self.most is not None:
                said["maxItems"] = self.most
        element = self.element.schema(wanted)
        return {**said, "items": element} if element else said


@dataclass(frozen=True, slots=True)
class Nullable(Shape):
    """A value that may be null."""

    inner: Shape

    def rules(self) -> Iterator[FieldRule | DocumentRule]:
        """The rules of the value."""
        return self.inner.rules()

    def schema(self, wanted: Container[str]) -> Schema:
        """What they say, or null."""
        return nullable(self.inner.schema(wanted))


def without_null(shape: Shape) -> Shape:
    """The shape of values that are not null."""
    return shape.inner if isinstance(shape, Nullable) else shape


# -- annotations ------------------------------------------------------------------------------


def shape_of(annotation: Any, metadata: Iterable[Any] = ()) -> Shape:
    """The shape of an annotation.

    Args:
        annotation: The type of a field or of the elements of a list.
        metadata: What ``Annotated`` says beside the type.
    """
    annotation, known = _apart(annotation, _flat(metadata))
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    if type(None) in members:
        rest: Any = Union[tuple(member for member in members if member is not type(None))]  # noqa: UP007
        return Nullable(shape_of(rest, known))
    rules = [item for item in known if isinstance(item, FieldRule)]
    if get_origin(annotation) is list:
        length = [item for item in known if isinstance(item, Len | MinLen | MaxLen)]
        return ListOf(
            shape_of(*get_args(annotation)),
            rules[-1] if rules else None,
            max((getattr(item, "min_length", 0) or 0 for item in length), default=0),
            min(
                (m for i in length if (m := getattr(i, "max_length", None)) is not None),
                default=None,
            ),
        )
    if isinstance(annotation, type) and hasattr(annotation, "violations_inside"):
        return Embedded(annotation)
    if annotation is Any and not rules:
        return Anything()
    return Leaf(
        rules[-1] if rules else TYPE,
        tuple(_choices(annotation, known)),
        Annotated[(annotation, *known)] if known else annotation,
    )


def _apart(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, list[Any]]:
    """A bare type, and all that is said beside it."""
    known = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        known = [*_flat(more), *known]
    return annotation, known


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, GroupedMetadata) and not isinstance(item, StringConstraints | Len):
            yield from _flat(item)
        else:
            yield item


def _choices(annotation: Any, metadata: Iterable[Any]) -> Iterator[Constraints]:
    annotation, known = _apart(annotation, metadata)
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _choices(member, known)
        return
    said: dict[str, Any] = {}
    for item in known:
        for name, kind in (("ge", Ge), ("gt", Gt), ("le", Le), ("lt", Lt)):
            if isinstance(item, kind):
                said[name] = getattr(item, name)
        for name in ("pattern", "min_length", "max_length"):
            value = getattr(item, name, None)
            if value is not None:
                said[name] = value
        if isinstance(item, WholeDouble):
            said["whole"] = True
    if get_origin(annotation) is Literal:
        said["values"] = get_args(annotation)
    yield Constraints(annotation, **said)


# -- models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A declared field.

    Attributes:
        name: Its attribute.
        key: Its name in a document.
        required: Whether a stored document has to have it.
        value: The shape of its value.
    """

    name: str
    key: str
    required: bool
    value: Shape

    @property
    def when_missing(self) -> FieldRule:
        """The rule that is broken where a required field is not there."""
        # Where the type itself is structural, so is being there.
        if isinstance(self.value, Leaf) and self.value.rule.severity is Severity.CRITICAL:
            return self.value.rule
        return REQUIRED


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, FieldShape]:
    """The declared fields by the names of documents."""
    found: dict[str, FieldShape] = {}
    for name, info in model.model_fields.items():
        if info.exclude:  # of the machinery, or Beanie's own
            continue
        key = info.alias or name
        shape = shape_of(info.annotation, info.metadata)
        required = info.is_required() or STORED_ALWAYS in info.metadata
        found[key] = FieldShape(name, key, required, without_null(shape) if key == "_id" else shape)
    return found


class EmbeddedField(NamedTuple):
    """A field of embedded documents: its attribute, their model, whether there is a list."""

    name: str
    model: type[StoredModel]
    listed: bool


@cache
def embedded_in(model: type[BaseModel]) -> Mapping[str, EmbeddedField]:
    """The fields of embedded documents by the names of documents."""
    found: dict[str, EmbeddedField] = {}
    for key, shape in fields_of(model).items():
        value = without_null(shape.value)
        inside = without_null(value.element) if isinstance(value, ListOf) else value
        if isinstance(inside, Embedded):
            found[key] = EmbeddedField(shape.name, inside.model, inside is not value)
    return found


@cache
def rules_of(model: type[BaseModel]) -> tuple[DocumentRule, ...]:
    """The rules across fields that a model and its bases declare."""
    found = [rule for base in reversed(model.__mro__) for rule in base.__dict__.get("rules", ())]
    return tuple({rule.id: rule for rule in found}.values())


@cache
def defaults_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """What a field that is absent counts as, where its schema has a default."""
    return {
        info.alias or name: info.default
        for name, info in model.model_fields.items()
        if info.default is not PydanticUndefined and info.default is not None
    }


def all_rules(model: type[BaseModel]) -> Iterator[FieldRule | DocumentRule]:
    """Every rule that a document of a model may break; the same one may come more than once."""
    yield from rules_of(model)
    for shape in fields_of(model).values():
        if shape.required:
            yield shape.when_missing
        yield from shape.value.rules()


def schema_of(
    model: type[BaseModel],
    wanted: Container[str],
    *,
    embedded: bool = False,
    skip: Container[str] = (),
) -> Schema:
    """The ``$jsonSchema`` of documents that keep those of the wanted rules it can say.

    Args:
        model: Their model.
        wanted: Ids of rules.
        embedded: Whether values that are no documents are to match too.
        skip: Fields of which nothing is said.
    """
    properties: Schema = {}
    required: list[str] = []
    for key, shape in fields_of(model).items():
        if key in skip:
            continue
        if shape.required and shape.when_missing.id in wanted:
            required.append(key)
        if value := shape.value.schema(wanted):
            properties[key] = value
    defaults = defaults_of(model)
    across = [rule.schema(defaults) for rule in rules_of(model) if rule.id in wanted]
    own = all_of([said for said in across if said is not None])
    if own and embedded:
        own = {"anyOf": [{"not": {"bsonType": "object"}}, own]}
    parts: list[Schema] = [own]
    if required:
        parts.append({"required": required})
    if properties:
        parts.append({"properties": properties})
    return all_of(parts)


# -- schemas ----------------------------------------------------------------------------------


def all_of(schemas: Iterable[Schema]) -> Schema:
    """A schema that is matched by what matches all of some."""
    merged: Schema = {}
    beside: list[Schema] = []
    for schema in schemas:
        if merged.keys() & schema.keys() or {*merged, *schema} >= _OF_FIELDS:
            beside.append(schema)
        else:
            merged.update(schema)
    return {**merged, "allOf": [*merged.get("allOf", []), *beside]} if beside else merged


# What one of them says depends on what the other names beside it.
_OF_FIELDS: Final = frozenset({"properties", "additionalProperties"})
_OF_ONE_TYPE: Final = frozenset(
    {"bsonType", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"}
    | {"exclusiveMinimum", "exclusiveMaximum", "properties", "required", "items"}
    | {"minItems", "maxItems"}
)


def nullable(schema: Schema) -> Schema:
    """A schema that is also matched by null."""
    if not schema:
        return schema
    if schema.keys() <= _OF_ONE_TYPE and "bsonType" in schema:
        # The other keywords say nothing about null.
        return {**schema, "bsonType": [*schema["bsonType"], "null"]}
    if schema.keys() <= _OF_ONE_TYPE:
        # These say nothing about null at all.
        return schema
    return {"anyOf": [{"bsonType": "null"}, schema]}
