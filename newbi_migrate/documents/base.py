"""What all documents have in common: tolerant on read, exact on the way back, strict on purpose.

Stored data breaks the rules of the schema that wrote it, so :meth:`TolerantModel.load` accepts any
content and :meth:`TolerantModel.to_document` gives back exactly what was loaded. A rule that does
not hold is a :class:`~newbi_migrate.invariants.base.Violation`, found by
:meth:`DocumentModel.violations`. Construction is for documents that are new, and raises.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Final, Self

from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from newbi_migrate.documents.rules import REQUIRED, Leaf, Rule, ValueShape, predicated, shape_of
from newbi_migrate.invariants.base import Invariant, Severity, Violation
from newbi_migrate.invariants.language import Kind, Predicate, Schema, all_of

__all__ = [
    "DocumentModel",
    "EmbeddedModel",
    "FieldShape",
    "TolerantModel",
    "document_key",
    "fields_of",
    "rules_of",
]

_setattr = object.__setattr__

DOCUMENT_ID: Final = predicated(
    "field.document-id",
    "The _id of a document is an ObjectId.",
    Kind(("objectId",)),
    severity=Severity.CRITICAL,
    json_schema={"type": "string", "pattern": "^[0-9a-f]{24}$"},
    to_json=lambda value: str(value) if isinstance(value, ObjectId) else value,
)
EMBEDDED_ID: Final = predicated(
    "field.embedded-id",
    "The _id of an embedded document is an ObjectId.",
    Kind(("objectId",)),
    json_schema=DOCUMENT_ID.json_schema,
    to_json=DOCUMENT_ID.to_json,
)
CURRENT_SHAPE: Final = Rule(
    "field.current-shape",
    "The document has the fields the application writes today, not those of an older version.",
    lambda _: True,
)


def document_key(attribute: str) -> str:
    """The name a document uses for an attribute, where the model gives no other."""
    # Beanie writes its revision under this very name.
    return attribute if attribute == "revision_id" else to_camel(attribute)


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A declared field: its attribute, its key in a document, and what its value must be."""

    name: str
    key: str
    required: bool
    value: ValueShape

    @property
    def when_missing(self) -> Rule:
        """The rule that is broken where a required field is not there."""
        # Where the type itself is structural, so is being there.
        if isinstance(self.value, Leaf) and self.value.rule.severity is Severity.CRITICAL:
            return self.value.rule
        return REQUIRED


@cache
def fields_of(model: type[TolerantModel]) -> dict[str, FieldShape]:
    """The declared fields by the name a document uses."""
    shapes = [
        FieldShape(
            name=name,
            key=info.alias or name,
            required=info.is_required(),
            value=shape_of(info.annotation, tuple(info.metadata)),
        )
        for name, info in model.model_fields.items()
    ]
    return {shape.key: shape for shape in shapes}


class TolerantModel(BaseModel):
    """Base of documents and embedded documents.

    After :meth:`load` an attribute holds the stored value whatever its type; a field that is
    not there reads ``None``, and ``model_fields_set`` tells which are. Assigning ``None`` to an
    attribute that is not there leaves it so; ``del`` takes a field out of the document.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        alias_generator=document_key,
        arbitrary_types_allowed=True,
        # Values may be personal or secret, and errors end up in logs.
        hide_input_in_errors=True,
    )

    rules: ClassVar[tuple[Invariant, ...]] = ()
    """Rules across fields that a class adds to those of its bases."""

    # Keys of a loaded document in stored order.
    _order: tuple[str, ...] = PrivateAttr(default=())
    # Unknown fields whose names would hide an attribute or a method of the model.
    _hidden: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Self:
        """Reads a stored document; never raises on content and changes no value.

        Unknown fields and the order of fields are kept. Embedded documents become embedded
        models, loaded in the same way.
        """
        fields = fields_of(cls)
        values: dict[str, Any] = dict.fromkeys(cls.model_fields)
        extra: dict[str, Any] = {}
        hidden: dict[str, Any] = {}
        present: set[str] = set()
        for key, value in document.items():
            shape = fields.get(key)
            if shape is not None:
                values[shape.name] = shape.value.read(value)
                present.add(shape.name)
            elif key.startswith("_") or key in values or hasattr(cls, key):
                hidden[key] = value
            else:
                extra[key] = value
        model = cls.__new__(cls)
        _setattr(model, "__dict__", values)
        _setattr(model, "__pydantic_fields_set__", present)
        _setattr(model, "__pydantic_extra__", extra)
        _setattr(model, "__pydantic_private__", None)
        model.model_post_init(None)
        model._order = tuple(document)  # noqa: SLF001  # a model of this very class
        model._hidden = hidden  # noqa: SLF001
        return model

    def to_document(self) -> dict[str, Any]:
        """The MongoDB document.

        A loaded model that was not changed gives what was loaded, with the same order, types
        and nulls. A constructed one gives the fields that were set and the defaults of the
        schema; a field that is neither is left out.
        """
        fields = fields_of(type(self))
        present = self.__pydantic_fields_set__
        unknown = {**(self.__pydantic_extra__ or {}), **self._hidden}
        document: dict[str, Any] = {}
        for key in dict.fromkeys((*self._order, *fields, *unknown)):
            shape = fields.get(key)
            if shape is None:
                if key in unknown:
                    document[key] = _stored(unknown[key])
            elif shape.name in present:
                document[key] = _stored(self.__dict__[shape.name])
        return document

    @classmethod
    def all_rules(cls) -> Iterator[Rule | Invariant]:
        """Every rule that :meth:`broken` may report; the same one may come more than once."""
        yield from rules_of(cls)
        for shape in fields_of(cls).values():
            if shape.required:
                yield shape.when_missing
            yield from shape.value.rules()

    @classmethod
    def broken(cls, document: Mapping[str, Any], prefix: str = "") -> Iterator[Violation]:
        """Every broken rule of a document, fields first, with paths below ``prefix``."""
        for key, shape in fields_of(cls).items():
            path = prefix + key
            if key in document:
                yield from shape.value.broken(document[key], path)
            elif shape.required:
                yield shape.when_missing.broken_at(path)
        for rule in rules_of(cls):
            for path in rule.check(document):
                yield Violation(rule.id, (prefix + path).rstrip("."), rule.sentence, rule.severity)

    @classmethod
    def kept(
        cls, wanted: Container[str], *, embedded: bool = False, skip: Container[str] = ()
    ) -> Schema:
        """The ``$jsonSchema`` of documents that keep those of the wanted rules a server can test.

        Args:
            wanted: Ids of rules.
            embedded: Whether values that are no documents are to match too.
            skip: Fields of which nothing is said.
        """
        properties: Schema = {}
        required: list[str] = []
        for key, shape in fields_of(cls).items():
            if key in skip:
                continue
            if shape.required and shape.when_missing.id in wanted:
                required.append(key)
            value = shape.value.kept(wanted)
            if value:
                properties[key] = value
        own = all_of(
            [rule.test.schema() for rule in rules_of(cls) if rule.test and rule.id in wanted]
        )
        if own and embedded:
            own = {"anyOf": [{"not": {"bsonType": "object"}}, own]}
        parts: list[Schema] = [own]
        if required:
            parts.append({"required": required})
        if properties:
            parts.append({"properties": properties})
        return all_of(parts)

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        for name in type(self).model_fields:
            if self.__dict__.get(name) is not None:
                self.__pydantic_fields_set__.add(name)
        document = self.to_document()
        errors = [
            InitErrorDetails(
                type=PydanticCustomError(rule.id, rule.sentence),
                loc=tuple(int(part) if part.isdigit() else part for part in path.split(".")),
                input=None,
            )
            for rule in rules_of(type(self))
            if rule.severity is not Severity.INFO
            for path in rule.check(document)
        ]
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors, hide_input=True)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if (
            value is None
            and name in type(self).model_fields
            and name not in self.__pydantic_fields_set__
        ):
            return
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name not in type(self).model_fields:
            super().__delattr__(name)
            return
        self.__dict__[name] = None
        self.__pydantic_fields_set__.discard(name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TolerantModel) or type(self) is not type(other):
            return NotImplemented
        return self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]


class EmbeddedModel(TolerantModel):
    """Base of documents inside a document."""

    id: Annotated[ObjectId | None, EMBEDDED_ID] = Field(default=None, alias="_id")

    @model_validator(mode="before")
    @classmethod
    def _check_instances_too(cls, data: Any) -> Any:
        # An instance may have been loaded, and a loaded model promises nothing.
        return data.to_document() if isinstance(data, cls) else data


class DocumentModel(TolerantModel):
    """Base of top-level documents.

    Attributes:
        older_shapes: Models of documents that an older version of the application left in the
            same collection.
        shape: Whether a document is of this older shape; only asked of models in `older_shapes`.
    """

    older_shapes: ClassVar[tuple[type[DocumentModel], ...]] = ()
    shape: ClassVar[Predicate | None] = None

    id: Annotated[ObjectId | None, DOCUMENT_ID] = Field(default=None, alias="_id")

    @classmethod
    def describes(cls, document: Mapping[str, Any]) -> bool:
        """Whether a document is of this older shape, as :attr:`shape` says."""
        return cls.shape is not None and cls.shape.holds(document)

    @classmethod
    def violations(cls, document: Mapping[str, Any]) -> list[Violation]:
        """Every broken rule of a stored document; never raises on content.

        A document of an older shape breaks one rule by that, and is else held to the rules of
        its own time.
        """
        for older in cls.older_shapes:
            if older.describes(document):
                return [CURRENT_SHAPE.broken_at(""), *older.violations(document)]
        return list(cls.broken(document))

    @classmethod
    def invariants(cls) -> tuple[Invariant, ...]:
        """Every rule that :meth:`violations` may report, of fields and across fields.

        Where a server can tell, :attr:`~newbi_migrate.invariants.base.Invariant.violators` is
        the match expression that finds the very documents.
        """
        return _invariants(cls)

    @classmethod
    def served(cls) -> frozenset[str]:
        """Ids of the rules that a server can be asked, wherever in a document they stand."""
        return _served(cls)

    @classmethod
    def violators(cls, wanted: Container[str], *, skip: Container[str] = ()) -> dict[str, Any]:
        """The match expression that finds documents which break any of some rules.

        Args:
            wanted: Ids of rules; those that no server can be asked are passed over.
            skip: Top-level fields of which nothing is said.
        """
        return {"$or": list(_broken_ways(cls, wanted, skip)) or [{"$expr": False}]}


@cache
def rules_of(model: type[TolerantModel]) -> tuple[Invariant, ...]:
    """The rules across fields that a model and its bases declare."""
    found = [rule for base in reversed(model.__mro__) for rule in base.__dict__.get("rules", ())]
    return tuple({rule.id: rule for rule in found}.values())


@cache
def _invariants(model: type[DocumentModel]) -> tuple[Invariant, ...]:
    # A document of an older shape is not held to the rules of today.
    own = {} if model.older_shapes else {rule.id: rule for rule in rules_of(model)}
    lifted: dict[str, Rule | Invariant] = {rule.id: rule for rule in model.all_rules()}
    if model.older_shapes:
        lifted[CURRENT_SHAPE.id] = CURRENT_SHAPE
    for older in model.older_shapes:
        lifted.update({rule.id: rule for rule in older.invariants()})
    served = model.served()
    return tuple(
        own.get(id_)
        or Invariant(
            id_,
            rule.sentence,
            rule.severity,
            partial(_paths_of, model, id_),
            finder=partial(model.violators, {id_}) if id_ in served else None,
        )
        for id_, rule in lifted.items()
    )


@cache
def _served(model: type[DocumentModel]) -> frozenset[str]:
    if any(older.shape is None for older in model.older_shapes):
        return frozenset()
    asked: set[str] = {CURRENT_SHAPE.id} if model.older_shapes else set()
    not_asked: set[str] = set()
    declared = rules_of(model)
    for rule in model.all_rules():
        query = isinstance(rule, Invariant) and rule.query is not None and rule in declared
        (asked if rule.test is not None or query else not_asked).add(rule.id)
    for older in model.older_shapes:
        ids = {rule.id for rule in older.invariants()}
        asked |= ids & older.served()
        not_asked |= ids - older.served()
    return frozenset(asked - not_asked)


def _broken_ways(
    model: type[DocumentModel], wanted: Container[str], skip: Container[str]
) -> Iterator[dict[str, Any]]:
    """Match expressions, each of which finds documents that break some of the wanted rules."""
    older_ones: list[Schema] = []
    for older in model.older_shapes:
        if older.shape is None:
            continue
        shape = older.shape.schema()
        mine = all_of([shape, *({"not": one} for one in older_ones)])
        if CURRENT_SHAPE.id in wanted:
            yield {"$jsonSchema": mine}
        for way in _broken_ways(older, wanted, skip):
            yield {"$and": [{"$jsonSchema": mine}, way]}
        older_ones.append(shape)
    current = [{"$nor": [{"$jsonSchema": shape} for shape in older_ones]}] if older_ones else []
    schema = model.kept(wanted, skip=skip)
    ways = [{"$nor": [{"$jsonSchema": schema}]}] if schema else []
    ways += [
        dict(rule.query) for rule in rules_of(model) if rule.query is not None and rule.id in wanted
    ]
    for way in ways:
        yield {"$and": [*current, way]} if current else way


def _paths_of(model: type[DocumentModel], rule_id: str, document: Mapping[str, Any]) -> list[str]:
    return [found.path for found in model.violations(document) if found.rule == rule_id]


def _stored(value: Any) -> Any:
    # Containers are copied, so that whoever changes a document does not change the model.
    if isinstance(value, TolerantModel):
        return value.to_document()
    if type(value) is list:
        return [_stored(element) for element in value]
    if type(value) is dict:
        return {key: _stored(element) for key, element in value.items()}
    return value
