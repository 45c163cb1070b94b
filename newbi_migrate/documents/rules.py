"""A rule for the value of one field, and the walk that finds where rules are broken.

A :class:`Rule` stands in the annotation of a field. Strict construction runs it through pydantic,
the tolerant walk of this module runs it on stored documents, so both refuse the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Final, Protocol, Union, get_args, get_origin

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from newbi_migrate.invariants.base import Severity, Violation
from newbi_migrate.invariants.language import (
    ANYTHING,
    ARRAY,
    OBJECT,
    Predicate,
    Schema,
    all_of,
    nullable,
)

__all__ = [
    "DOCUMENT",
    "LIST",
    "REQUIRED",
    "TYPE",
    "Anything",
    "Documented",
    "Embedded",
    "Foreign",
    "Leaf",
    "ListOf",
    "Nullable",
    "Rule",
    "ValueShape",
    "predicated",
    "shape_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What one value must be; nothing is coerced, the value is kept as it is.

    Attributes:
        id: Stable identifier, ``field.<rule>`` in lower case with hyphens.
        sentence: The rule in one sentence.
        holds: Whether a value, of whatever type, keeps the rule; never raises.
        severity: What a violation means.
        json_schema: The rule in JSON Schema, as far as that can say it.
        to_json: How the value is written as JSON, where pydantic does not know it.
        test: What ``holds`` asks, where a server can be asked the same; see :func:`predicated`.
    """

    id: str
    sentence: str
    holds: Callable[[object], bool]
    severity: Severity = Severity.WARNING
    json_schema: Mapping[str, Any] = field(default_factory=dict)
    to_json: Callable[[Any], Any] | None = None
    test: Predicate | None = None

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def validated(value: object) -> object:
            if self.holds(value):
                return value
            raise PydanticCustomError(self.id, self.sentence)

        serialization = None
        if self.to_json is not None:
            serialization = core_schema.plain_serializer_function_ser_schema(
                self.to_json, when_used="json"
            )
        return core_schema.no_info_plain_validator_function(validated, serialization=serialization)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**self.json_schema, "description": self.sentence}

    def broken_at(self, path: str) -> Violation:
        """The violation of this rule at a path."""
        return Violation(rule=self.id, path=path, message=self.sentence, severity=self.severity)


def predicated(
    id_: str,
    sentence: str,
    test: Predicate,
    *,
    severity: Severity = Severity.WARNING,
    json_schema: Mapping[str, Any] | None = None,
    to_json: Callable[[Any], Any] | None = None,
) -> Rule:
    """A rule that is said once and asked in Python and of a server."""
    return Rule(id_, sentence, test.holds, severity, json_schema or {}, to_json, test)


REQUIRED: Final = predicated("field.required", "The field must be there.", ANYTHING)
DOCUMENT: Final = predicated("field.document", "The value is an embedded document.", OBJECT)
LIST: Final = predicated("field.list", "The value is a list.", ARRAY)
TYPE: Final = Rule("field.type", "The value is of the declared type.", lambda _: True)


class Documented(Protocol):
    """A model that can be read from a document and can tell which rules it breaks."""

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Any:
        """Reads a document tolerantly."""
        ...

    @classmethod
    def broken(cls, document: Mapping[str, Any], prefix: str = "") -> Iterator[Violation]:
        """Every broken rule, with paths below ``prefix``."""
        ...

    @classmethod
    def all_rules(cls) -> Iterator[Any]:
        """Every rule that :meth:`broken` may report."""
        ...

    @classmethod
    def kept(cls, wanted: Container[str], *, embedded: bool) -> Schema:
        """The ``$jsonSchema`` of documents that keep the wanted rules."""
        ...


class ValueShape(Protocol):
    """What the annotation of a field says about its value; a value itself, and hashable."""

    def __hash__(self) -> int: ...

    def read(self, value: Any) -> Any:
        """The value as the attribute holds it; a value of another type is kept as it is."""
        ...

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """The rules that the value at ``path`` breaks."""
        ...

    def rules(self) -> Iterator[Any]:
        """Every rule that :meth:`broken` may report."""
        ...

    def kept(self, wanted: Container[str]) -> Schema:
        """The ``$jsonSchema`` of values that keep those of the wanted rules a server can test."""
        ...


def _said(rule: Rule, wanted: Container[str]) -> Schema:
    return rule.test.schema() if rule.test is not None and rule.id in wanted else {}


@dataclass(frozen=True, slots=True)
class Anything:
    """A value without a rule."""

    def read(self, value: Any) -> Any:
        """The value itself."""
        return value

    def broken(self, value: Any, path: str) -> Iterator[Violation]:  # noqa: ARG002  # no rule
        """Nothing."""
        return iter(())

    def rules(self) -> Iterator[Any]:
        """Nothing."""
        return iter(())

    def kept(self, wanted: Container[str]) -> Schema:  # noqa: ARG002  # no rule
        """Anything."""
        return {}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value with a rule of its own."""

    rule: Rule

    def read(self, value: Any) -> Any:
        """The value itself."""
        return value

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """The rule, if it is broken."""
        if not self.rule.holds(value):
            yield self.rule.broken_at(path)

    def rules(self) -> Iterator[Any]:
        """The rule."""
        yield self.rule

    def kept(self, wanted: Container[str]) -> Schema:
        """What the rule says."""
        return _said(self.rule, wanted)


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded document."""

    model: type[Documented]

    def read(self, value: Any) -> Any:
        """The loaded model; what is no document stays what it is."""
        return self.model.load(value) if isinstance(value, Mapping) else value

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """Every rule the document breaks, or that it is none."""
        if isinstance(value, Mapping):
            yield from self.model.broken(value, f"{path}.")
        else:
            yield DOCUMENT.broken_at(path)

    def rules(self) -> Iterator[Any]:
        """The rules of the embedded model."""
        yield DOCUMENT
        yield from self.model.all_rules()

    def kept(self, wanted: Container[str]) -> Schema:
        """What the rules of the embedded model say."""
        return all_of([_said(DOCUMENT, wanted), self.model.kept(wanted, embedded=True)])


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one shape."""

    element: ValueShape

    def read(self, value: Any) -> Any:
        """The list with its elements read."""
        # A subclass of list is the caller's own type and is kept.
        return [self.element.read(v) for v in value] if type(value) is list else value

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """Every rule an element breaks, or that it is no list."""
        if not isinstance(value, list):
            yield LIST.broken_at(path)
            return
        for index, element in enumerate(value):
            yield from self.element.broken(element, f"{path}.{index}")

    def rules(self) -> Iterator[Any]:
        """The rules of the elements."""
        yield LIST
        yield from self.element.rules()

    def kept(self, wanted: Container[str]) -> Schema:
        """What the rules of the elements say."""
        element = self.element.kept(wanted)
        return all_of([_said(LIST, wanted), {"items": element} if element else {}])


@dataclass(frozen=True, slots=True)
class Nullable:
    """A value that may be null."""

    inner: ValueShape

    def read(self, value: Any) -> Any:
        """Null, or the value as read without it."""
        return value if value is None else self.inner.read(value)

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """The rules a value that is not null breaks."""
        return iter(()) if value is None else self.inner.broken(value, path)

    def rules(self) -> Iterator[Any]:
        """The rules of the value."""
        return self.inner.rules()

    def kept(self, wanted: Container[str]) -> Schema:
        """What the rules of the value say, or null."""
        return nullable(self.inner.kept(wanted))


@dataclass(frozen=True, slots=True)
class Foreign:
    """A type without a rule of ours, of a host application: pydantic decides."""

    adapter: TypeAdapter[Any]

    def read(self, value: Any) -> Any:
        """The value itself."""
        return value

    def broken(self, value: Any, path: str) -> Iterator[Violation]:
        """That the value is of another type."""
        try:
            self.adapter.validate_python(value)
        except ValidationError:
            yield TYPE.broken_at(path)

    def rules(self) -> Iterator[Any]:
        """The rule of the type."""
        yield TYPE

    def kept(self, wanted: Container[str]) -> Schema:  # noqa: ARG002  # pydantic alone can tell
        """Anything: no server knows the type."""
        return {}


def shape_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> ValueShape:
    """What an annotation says about a value.

    Args:
        annotation: The type of a field or of the elements of a list.
        metadata: What ``Annotated`` says beside the type.
    """
    for item in metadata:
        if isinstance(item, Rule):
            return Leaf(item)
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return shape_of(inner, tuple(more))
    if get_origin(annotation) in (Union, UnionType):
        # A union has two members at least: where one is left, the other was null.
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return Nullable(shape_of(members[0]))
    if get_origin(annotation) is list:
        return ListOf(shape_of(*get_args(annotation)))
    if isinstance(annotation, type) and hasattr(annotation, "all_rules"):
        return Embedded(annotation)
    if annotation is Any:
        return Anything()
    whole: Any = Annotated[(annotation, *metadata)] if metadata else annotation
    return Foreign(TypeAdapter(whole, config=ConfigDict(arbitrary_types_allowed=True)))
