"""What all documents have in common: strict to make, tolerant to read, exact on the way back.

A document has two states. A **new** one is constructed or taken from JSON: strict, without unknown
fields, completed as the application would complete it. A **stored** one was read from MongoDB:
nothing is refused, coerced, dropped or reordered, and :meth:`DocumentModel.violations` says what is
wrong with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Generator, Iterator, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import bson
from bson import ObjectId, UuidRepresentation
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreConfig, InitErrorDetails, PydanticCustomError, SchemaSerializer

from newbi_migrate.documents.document_rules import ABSENT, Condition, DocumentRule
from newbi_migrate.documents.field_rules import DOCUMENT, UNKNOWN, FieldRule
from newbi_migrate.documents.scalars import DocumentId, EmbeddedId
from newbi_migrate.documents.shapes import (
    Embedded,
    ListOf,
    all_of,
    all_rules,
    embedded_in,
    fields_of,
    rules_of,
    schema_of,
    without_null,
)
from newbi_migrate.documents.stored import (
    AS_STORED,
    Stored,
    cross_field_rules_of,
    loader_of,
    rule_of,
    violations_in,
)
from newbi_migrate.rules import Rule, Severity, Violation

__all__ = [
    "CURRENT_SHAPE",
    "DocumentModel",
    "EmbeddedModel",
    "StoredModel",
    "document_key",
    "names_of",
]

CURRENT_SHAPE: Final = FieldRule(
    "field.current-shape",
    "The document has the fields the application writes today, not those of an older version.",
)
_BYTES: Final = bson.CodecOptions[dict[str, Any]](uuid_representation=UuidRepresentation.STANDARD)
_KEYS: Final = {"id": "_id", "version_key": "__v", "revision_id": "revision_id"}
_KEYS_OF_MACHINERY: Final = {"stored_as": AS_STORED}
# What was loaded is served on its own whatever it breaks, and checked as a part of what is made.
_PART_OF_NEW: Final = ContextVar("part of a new document", default=False)


def document_key(name: str) -> str:
    """The name of a field in documents, where its declaration gives no other."""
    key = _KEYS.get(name) or _KEYS_OF_MACHINERY.get(name)
    return key or re.sub("(Ht|Ttc|Vat)$", lambda found: found[0].upper(), to_camel(name))


@cache
def names_of(model: type[BaseModel]) -> Mapping[str, str]:
    """The attributes by the names of documents."""
    return {
        info.alias or name: name
        for name, info in model.model_fields.items()
        if info.alias != AS_STORED
    }


class StoredModel(BaseModel):
    """Base of documents and embedded documents.

    Of a stored document an attribute holds the stored value whatever its type. A field that is
    absent reads as the default of its schema, ``None`` where there is none; ``model_fields_set``
    tells which are there. Assigning what one that is absent reads as leaves it absent; ``del``
    takes a field out of the document.
    """

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        alias_generator=document_key,
        arbitrary_types_allowed=True,
        # Values may be personal or secret, and errors end up in logs.
        hide_input_in_errors=True,
    )
    rules: ClassVar[tuple[DocumentRule, ...]] = ()
    """Rules across fields that a class adds to those of its bases."""

    stored_as: SkipJsonSchema[InstanceOf[Stored] | None] = Field(
        default=None, init=False, exclude=True, repr=False
    )
    """The document as it was read, ``None`` for a new one."""

    # -- new ----------------------------------------------------------------------------------

    @model_validator(mode="wrap")
    @classmethod
    def _make(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if _PART_OF_NEW.get():
            model = handler(value)
            if model is value:
                return model
        elif type(value) is Stored and issubclass(cls, DocumentModel):
            return cls.load(value)
        elif isinstance(value, cls):
            return value  # FastAPI validates what a route answers with
        else:
            model = cls._make_whole(value, handler)
        values = model.__dict__
        if values.get("id", ABSENT) is None:
            model._without_id()  # noqa: SLF001  # of this very class
        across = cross_field_rules_of(cls)
        if across.years:
            across.complete(model)
        if across.rules and (broken := across.broken(model)):
            raise _refused(cls, broken)
        return model

    @classmethod
    def _make_whole(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        token = _PART_OF_NEW.set(True)
        try:
            return handler(value)
        except ValidationError as error:
            if isinstance(value, BaseModel) and not isinstance(value, cls):
                raise _refused(cls, [_of_another(cls, type(value))]) from None
            raise _explained(cls, error) from None
        finally:
            _PART_OF_NEW.reset(token)

    def _without_id(self) -> None:
        """Called where a new model was given no id."""

    # -- stored -------------------------------------------------------------------------------

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Self:
        """Reads a stored document; never raises on content and changes no value.

        Unknown fields and the order of fields are kept. Embedded documents become embedded
        models, loaded in the same way.
        """
        raw = document if isinstance(document, dict) else dict(document)
        loaded: Self = loader_of(cls).validate_python(raw)
        return loaded

    def to_document(self) -> dict[str, Any]:
        """The MongoDB document.

        A stored one that was not changed gives what was read, with the same order, types and
        nulls. A new one gives the fields that were set and the defaults of the schema; a field
        that is neither is left out.
        """
        return {key: _plain(value) for key, _, value in self._items()}

    def _items(self) -> Iterator[tuple[str, str, Any]]:
        """Each key, its attribute, and the value; unknown fields have the key for both."""
        names, there = names_of(type(self)), self.__pydantic_fields_set__
        stored: Mapping[str, Any] = self.stored_as or {}
        values = self.__dict__
        for key, value in stored.items():
            name = names.get(key)
            if name is None:
                yield key, key, value
            elif name in there and not (key == "_id" and values[name] is None is not value):
                yield key, name, values[name]
        for key, name in names.items():
            if key in stored:
                continue
            value = values[name]
            there_too = name in there and not (key == "_id" and value is None)
            if there_too or (self.stored_as is None and value is not None):
                yield key, name, value

    @classmethod
    def violations_inside(cls, document: Mapping[str, Any]) -> list[Violation]:
        """Every broken rule of a stored document of this very shape; never raises on content."""
        return violations_in(cls, document)

    # -- attributes ---------------------------------------------------------------------------

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        # Beanie's encoder asks for attributes, and writes what it gets in that order.
        fields = type(self).model_fields
        for key, name, value in self._items():
            if name == key and key in fields and (fields[key].alias or key) != key:
                raise ValueError(f"The unknown field {key} has the name of an attribute.")
            # As documents, for Beanie 1 asks embedded models in a way that pydantic deprecates.
            yield name, _plain(value)

    if not TYPE_CHECKING:  # else checkers let any name be assigned

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "stored_as" and value is not None:
                # Beanie merges what it read by assignment; this is the whole of it.
                loader_of(type(self)).validate_python(value, self_instance=self)
            elif name in type(self).model_fields:
                value = _completed(type(self), name, value)
                now = self.__dict__.get(name)
                same = type(value) is type(now) and value == now
                if not same or name in self.__pydantic_fields_set__:
                    super().__setattr__(name, value)
            elif name.startswith("_") or hasattr(type(self), name):
                super().__setattr__(name, value)
            else:
                raise _no_field(type(self), name)

        def __delattr__(self, name: str) -> None:
            if name not in type(self).model_fields:
                super().__delattr__(name)
                return
            self.__dict__[name] = None
            self.__pydantic_fields_set__.discard(name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with some attributes assigned.

        Args:
            update: Their values by their names.
            deep: Whether what is inside is copied too.

        Raises:
            AttributeError: No field has one of these names.
        """
        copied = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            if name not in type(self).model_fields:
                raise _no_field(type(self), name)
            setattr(copied, name, value)
        return copied

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredModel) or type(self) is not type(other):
            return NotImplemented
        return self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    # -- JSON ---------------------------------------------------------------------------------

    @model_serializer(mode="wrap")
    def _serve(self, handler: SerializerFunctionWrapHandler, info: Any):  # type: ignore[no-untyped-def] # noqa: ANN202, ARG002
        # Without a return annotation the JSON Schema of an answer stays that of the fields. The
        # handler would warn of every value of a type that was not declared.
        return _serializer_of(type(self)).to_python(
            self,
            mode=info.mode,
            by_alias=info.by_alias,
            include=info.include,
            exclude=info.exclude,
            exclude_unset=info.exclude_unset,
            exclude_defaults=info.exclude_defaults,
            exclude_none=info.exclude_none,
            round_trip=info.round_trip,
            serialize_as_any=info.serialize_as_any,
            context=info.context,
            warnings=False,
            fallback=str if info.mode == "json" else None,
        )


@cache
def _serializer_of(model: type[StoredModel]) -> SchemaSerializer:
    """What pydantic itself would serialize a model with, and the models inside it."""
    # Bytes where none are declared may be no text.
    config = CoreConfig(ser_json_bytes="base64")
    return SchemaSerializer(_without_serve(model.__pydantic_core_schema__), config)


def _without_serve(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_serve(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    serve = StoredModel._serve  # noqa: SLF001  # of this module
    return {
        key: _without_serve(part)
        for key, part in schema.items()
        if key != "serialization" or part.get("function") is not serve
    }


class EmbeddedModel(StoredModel):
    """Base of documents inside a document."""

    # An instance may have been loaded, and a loaded one promises nothing.
    model_config = ConfigDict(revalidate_instances="always")

    id: EmbeddedId | None = Field(default_factory=ObjectId)

    def _without_id(self) -> None:
        self.id = ObjectId()  # null is what is served where a stored one has none


class DocumentModel(StoredModel):
    """Base of top-level documents.

    Attributes:
        collection_name: The collection they are in.
        older_shapes: Models of documents that an older version of the application left in the
            same collection.
        shape: What tells a document of this older shape; only asked of models in `older_shapes`.
    """

    collection_name: ClassVar[str] = ""
    older_shapes: ClassVar[tuple[type[DocumentModel], ...]] = ()
    shape: ClassVar[Condition | None] = None

    id: DocumentId | None = None

    def _without_id(self) -> None:
        self.__pydantic_fields_set__.discard("id")

    @classmethod
    def violations_of(cls, document: Mapping[str, Any]) -> list[Violation]:
        """Every broken rule of a stored document; never raises on content.

        A document of an older shape breaks one rule by that, and is else held to the rules of
        its own time.
        """
        for older in cls.older_shapes:
            if older.shape is not None and older.shape.holds(document.get):
                return [CURRENT_SHAPE.broken_at(""), *older.violations_of(document)]
        return cls.violations_inside(document)

    def violations(self) -> list[Violation]:
        """Every rule that the document breaks as it is now, new or stored."""
        return self.violations_of(self.to_document())

    def differs_from_stored(self) -> bool:
        """Whether it is new, or was changed since it was read."""
        return self.stored_as is None or not _same(self.to_document(), self.stored_as)

    def new_violations(self) -> list[Violation]:
        """The rules it breaks that it did not break when it was read.

        What was wrong already and has the same value may stay, wherever in a list it stands now.
        What is only worth knowing (severity ``info``) is passed over.
        """
        document = self.to_document()
        found = [v for v in self.violations_of(document) if v.severity is not Severity.INFO]
        found += _unknown_inside(type(self), self, "")
        if not found or self.stored_as is None:
            return found
        if document.get("_id") != self.stored_as.get("_id"):  # a copy, to be another document
            return found
        before = Counter(_fault(v, self.stored_as) for v in self.violations_of(self.stored_as))
        fresh: list[Violation] = []
        for violation in found:
            fault = _fault(violation, document)
            if before[fault]:
                before[fault] -= 1
            else:
                fresh.append(violation)
        return fresh

    def check(self) -> None:
        """Refuses what breaks a rule that held when the document was read.

        Raises:
            pydantic.ValidationError: It names the paths and the rules.
        """
        found = self.new_violations() if self.differs_from_stored() else []
        if found:
            raise _refused(type(self), found)

    # -- rules as values ----------------------------------------------------------------------

    @classmethod
    def declared_rules(cls) -> tuple[Rule, ...]:
        """Every rule that :meth:`violations_of` may report, of fields and across fields."""
        return _declared_rules(cls)

    @classmethod
    def server_checkable_rules(cls) -> frozenset[str]:
        """Ids of the rules that a server can be asked, wherever in a document they stand."""
        return _server_checkable(cls)

    @classmethod
    def violators(cls, wanted: Container[str], *, skip: Container[str] = ()) -> dict[str, Any]:
        """The match expression that finds documents which break any of some rules.

        Args:
            wanted: Ids of rules; those that no server can be asked are passed over.
            skip: Top-level fields of which nothing is said.
        """
        return {"$or": list(_broken_ways(cls, wanted, skip)) or [{"$expr": False}]}


# -- errors -----------------------------------------------------------------------------------


def _refused(model: type[BaseModel], violations: list[Violation]) -> ValidationError:
    return ValidationError.from_exception_data(
        model.__name__,
        [
            InitErrorDetails(
                type=PydanticCustomError(found.rule, found.message),
                loc=tuple(int(part) if part.isdigit() else part for part in _parts(found.path)),
                input=None,
            )
            for found in violations
        ],
        hide_input=True,
    )


def _of_another(model: type[BaseModel], given: type[BaseModel]) -> Violation:
    # A Beanie document and the plain model beneath it have one name, in two modules.
    names = [f"{one.__module__}.{one.__qualname__}" for one in (given, model)]
    return Violation(DOCUMENT.id, "", f"This is a {names[0]}, and a {names[1]} is wanted.")


def _no_field(model: type[BaseModel], name: str) -> AttributeError:
    return AttributeError(
        f"{model.__name__} has no field {name}.{_meant(model, name, attribute=True)}"
    )


def _unknown_inside(model: type[BaseModel], held: object, path: str) -> Iterator[Violation]:
    """Unknown names in what was put into a list as a dictionary, past all assignment."""
    # All that was read is a model, and may have fields that nobody knows.
    if isinstance(held, dict):
        for key in held.keys() - fields_of(model).keys():
            message = f"{UNKNOWN.sentence}{_meant(model, key)}"
            yield Violation(UNKNOWN.id, f"{path}{key}", message)
    for key, field in embedded_in(model).items():
        value = held.get(key) if isinstance(held, dict) else getattr(held, field.name, None)
        if not field.listed:
            yield from _unknown_inside(field.model, value, f"{path}{key}.")
        elif isinstance(value, list):
            for index, element in enumerate(value):
                yield from _unknown_inside(field.model, element, f"{path}{key}.{index}.")


def _parts(path: str) -> list[str]:
    return path.split(".") if path else []


def _explained(model: type[StoredModel], error: ValidationError) -> ValidationError:
    """The same error with the names of documents for paths, and rules for types."""
    violations = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        loc = _as_stored(model, each["loc"])
        # Nobody but the loader gives a document the one it was read as.
        rule = UNKNOWN if "stored_as" in loc else rule_of(model, each["type"], loc)
        # What is inside was explained there.
        message = each["msg"] if each["type"] == rule.id else rule.sentence
        if each["type"] == "extra_forbidden":
            message = f"{rule.sentence}{_meant(_inside(model, loc[:-1]), str(loc[-1]))}"
        violations.append(Violation(rule.id, ".".join(map(str, loc)), message, rule.severity))
    return _refused(model, violations)


def _as_stored(model: type[StoredModel], loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A path by the names of documents, where it was given by those of attributes."""
    found: list[int | str] = []
    inside: type[BaseModel] | None = model
    for part in loc:
        name = "stored_as" if part in (AS_STORED, "stored_as") else part
        if isinstance(part, str) and inside is not None and name == part != "stored_as":
            info = inside.model_fields.get(part)
            if info is not None and part not in fields_of(inside):
                name = info.alias or part
            inside = _model_at(inside, str(name))
        found.append(name)
    return tuple(found)


def _inside(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    inside: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, str):
            inside = None if inside is None else _model_at(inside, part)
    return inside


def _model_at(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    shape = fields_of(model).get(key)
    value = None if shape is None else without_null(shape.value)
    while isinstance(value, ListOf):
        value = without_null(value.element)
    return value.model if isinstance(value, Embedded) else None


def _meant(model: type[BaseModel] | None, name: str, *, attribute: bool = False) -> str:
    """Which name was meant by a wrong one, in a sentence; nothing where none is like it."""
    if model is None:
        return ""
    # Whoever writes capitals writes the names of documents.
    in_python = attribute or name == name.lower()
    names: dict[str, str] = {}
    for key, shape in fields_of(model).items():
        names |= dict.fromkeys(map(_squashed, (key, shape.name)), shape.name if in_python else key)
    close = get_close_matches(_squashed(name), names, n=1)
    return f" Did you mean {names[close[0]]}?" if close else ""


def _squashed(name: str) -> str:
    return name.replace("_", "").lower()


def _fault(violation: Violation, document: Mapping[str, Any]) -> tuple[str, str, bytes]:
    """A violation without its position: rule, path without indexes, and the value there."""
    value: Any = document
    names = []
    for part in _parts(violation.path):
        if isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
            continue
        names.append(part)
        value = value.get(part) if isinstance(value, dict) else None
    return violation.rule, ".".join(names), _bytes_of({"": value})


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _bytes_of(one) == _bytes_of(other)


def _bytes_of(document: Mapping[str, Any]) -> bytes:
    # Bytes tell an integer from a double, and one order from another.
    try:
        return bson.encode(document, codec_options=_BYTES)
    except (bson.errors.InvalidDocument, OverflowError):
        # Nothing that was stored, but for types that Beanie alone knows how to store.
        return repr(document).encode()


def _completed(model: type[BaseModel], name: str, value: Any) -> Any:
    """What is assigned; a dictionary where an embedded document belongs is made one."""
    field = next((f for f in embedded_in(model).values() if f.name == name), None)
    if field is None:
        return value
    if isinstance(value, dict) and not field.listed:
        return field.model.model_validate(value)
    if type(value) is list and field.listed:
        make = field.model.model_validate
        return [make(each) if isinstance(each, dict) else each for each in value]
    return value


def _plain(value: Any) -> Any:
    # Containers are copied, so that whoever changes a document does not change the model.
    if isinstance(value, StoredModel):
        return value.to_document()
    if type(value) is list:
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {key: _plain(element) for key, element in value.items()}
    return value


# -- rules as values --------------------------------------------------------------------------


@cache
def _declared_rules(model: type[DocumentModel]) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {rule.id: rule for rule in all_rules(model)}
    if model.older_shapes:
        rules[CURRENT_SHAPE.id] = CURRENT_SHAPE
    for older in model.older_shapes:
        rules.update({rule.id: rule for rule in older.declared_rules()})
    return tuple(rules.values())


@cache
def _server_checkable(model: type[DocumentModel]) -> frozenset[str]:
    if any(older.shape is None for older in model.older_shapes):
        return frozenset()
    asked: set[str] = {CURRENT_SHAPE.id} if model.older_shapes else set()
    not_asked: set[str] = set()
    own = rules_of(model)
    for rule in all_rules(model):
        if isinstance(rule, FieldRule):
            can = not rule.python_only
        else:
            # A query can be asked of whole documents alone.
            can = rule.schema({}) is not None or (rule in own and rule.violators() is not None)
        (asked if can else not_asked).add(rule.id)
    for older in model.older_shapes:
        ids = {rule.id for rule in older.declared_rules()}
        asked |= ids & older.server_checkable_rules()
        not_asked |= ids - older.server_checkable_rules()
    return frozenset(asked - not_asked)


def _broken_ways(
    model: type[DocumentModel], wanted: Container[str], skip: Container[str]
) -> Iterator[dict[str, Any]]:
    """Match expressions, each of which finds documents that break some of the wanted rules."""
    older_ones: list[dict[str, Any]] = []
    for older in model.older_shapes:
        if older.shape is None:
            continue
        shape = older.shape.schema({})
        mine = all_of([shape, *({"not": one} for one in older_ones)])
        if CURRENT_SHAPE.id in wanted:
            yield {"$jsonSchema": mine}
        for way in _broken_ways(older, wanted, skip):
            yield {"$and": [{"$jsonSchema": mine}, way]}
        older_ones.append(shape)
    current = [{"$nor": [{"$jsonSchema": shape} for shape in older_ones]}] if older_ones else []
    schema = schema_of(model, wanted, skip=skip)
    ways: list[dict[str, Any]] = [{"$nor": [{"$jsonSchema": schema}]}] if schema else []
    for rule in rules_of(model):
        found = rule.violators() if rule.id in wanted else None
        if found is not None:
            ways.append(dict(found))
    for way in ways:
        yield {"$and": [*current, way]} if current else way
