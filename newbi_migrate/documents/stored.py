"""Stored documents: how they are checked and how they are loaded, derived from the models.

A stored document may hold anything. Its checker is the model's declaration once more, as a
``TypedDict`` in strict mode that passes over unknown fields; its loader takes any content. Both run
inside pydantic, without a callback into Python but for embedded documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
)

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticUndefined, SchemaValidator, core_schema as cs
from typing_extensions import TypedDict

from newbi_migrate.documents.document_rules import DocumentRule, Get, YearInFrance
from newbi_migrate.documents.field_rules import NATIVE, TYPE, FieldRule
from newbi_migrate.documents.shapes import (
    Embedded,
    ListOf,
    all_rules,
    defaults_of,
    embedded_in,
    fields_of,
    rules_of,
    without_null,
)
from newbi_migrate.rules import Severity, Violation

if TYPE_CHECKING:
    from newbi_migrate.documents.base import StoredModel

__all__ = [
    "AS_STORED",
    "Stored",
    "checker_of",
    "cross_field_rules_of",
    "loader_of",
    "rule_of",
    "violations_in",
]

Broken = Callable[[Get], Sequence[str]]

AS_STORED: Final = "\0stored"
"""Under this key a loader finds the document itself; no key of BSON holds a NUL."""


class Stored(dict[str, Any]):
    """A document as the driver read it, told by its type from what a caller made up."""

    __slots__ = ()


# -- the checker ------------------------------------------------------------------------------


def _mapped(annotation: Any, change: Any) -> Any:
    """An annotation with its models changed."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_mapped(args[0], change), *args[1:])]
    if origin in (Union, UnionType):
        return Union[tuple(_mapped(arg, change) for arg in args)]  # noqa: UP007
    if origin is list:
        return list[_mapped(args[0], change)]  # type: ignore[misc]
    return change(annotation) if _is_model(annotation) else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and hasattr(annotation, "violations_inside")


@cache
def stored_type(model: type[StoredModel]) -> Any:
    """The ``TypedDict`` of stored documents: the same fields and constraints, nothing coerced."""
    fields: dict[str, Any] = {}
    for key, shape in fields_of(model).items():
        info = model.model_fields[shape.name]
        annotation: Any = info.annotation
        if key == "_id":  # of a new document alone it may be null
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        kind = _mapped(annotation, stored_type)
        if info.metadata:
            kind = Annotated[(kind, *info.metadata)]
        fields[key] = Required[kind] if shape.required else NotRequired[kind]
    made: Any = TypedDict(f"Stored{model.__name__}", fields)  # type: ignore[misc]
    config: Any = made
    config.__pydantic_config__ = ConfigDict(
        strict=True, extra="ignore", arbitrary_types_allowed=True, hide_input_in_errors=True
    )
    return made


@cache
def checker_of(model: type[StoredModel]) -> Any:
    """What tells which rules of its fields a stored document breaks."""
    return TypeAdapter(stored_type(model)).validator


# -- the loader -------------------------------------------------------------------------------


@cache
def loader_of(model: type[StoredModel]) -> SchemaValidator:
    """What makes a model of a stored document, whatever it holds."""
    return SchemaValidator(_loading(model))


def _with_itself(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {**raw, AS_STORED: raw if type(raw) is Stored else Stored(raw)}
    raise ValueError


def _loading(model: type[StoredModel]) -> cs.CoreSchema:
    def field(name: str) -> cs.ModelField:
        info = model.model_fields[name]
        value = _loading_value(info.annotation)
        default = None if info.default is PydanticUndefined else info.default
        return cs.model_field(
            cs.with_default_schema(value, default=default),
            validation_alias=info.alias or name,
        )

    fields = cs.model_fields_schema({name: field(name) for name in model.model_fields})
    made = cs.model_schema(model, fields, post_init=getattr(model, "__pydantic_post_init__", None))
    return cs.no_info_before_validator_function(_with_itself, made)


def _loading_value(annotation: Any) -> cs.CoreSchema:
    """Any value as it is, but embedded documents as their models."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in (Union, UnionType):
        inner = [some for some in map(_loading_value, args) if some["type"] != "any"]
        return inner[0] if inner else cs.any_schema()
    if origin is list and (element := _loading_value(args[0]))["type"] != "any":
        some: cs.CoreSchema = cs.list_schema(element, strict=True)
    elif _is_model(annotation):
        some = _loading(annotation)
    else:
        return cs.any_schema()
    return cs.union_schema([some, cs.any_schema()], mode="left_to_right")


# -- rules across fields ----------------------------------------------------------------------


class CrossFieldRules:
    """The rules across fields of a model and of the models inside it.

    Attributes:
        rules: Its own.
        reads: The attributes they read, by the names of documents.
        defaults: What these fields count as where they are absent.
        quick: What tells whether a model breaks any, by its attributes; ``None`` where a rule asks
            for more.
        years: The rules that say a year, with the attributes of the year and of the day.
        children: The names of embedded documents, their rules, and whether they are in a list.
    """

    __slots__ = ("children", "defaults", "quick", "reads", "rules", "years")

    def __init__(self, model: type[StoredModel]) -> None:
        fields = fields_of(model)
        self.rules = rules_of(model)
        read = {name for rule in self.rules for name in rule.reads}
        self.reads = [(key, fields[key].name) for key in fields if key in read]
        self.quick = _quick(self.rules, dict(self.reads))
        self.years = [
            (rule, fields[rule.year].name, fields[rule.day].name)
            for rule in self.rules
            if isinstance(rule, YearInFrance)
        ]
        self.defaults = {k: v for k, v in defaults_of(model).items() if k in read}
        inside = {key: cross_field_rules_of(f.model) for key, f in embedded_in(model).items()}
        self.children: list[tuple[str, CrossFieldRules, bool]] = [
            (key, across, embedded_in(model)[key].listed)
            for key, across in inside.items()
            if across.rules or across.children
        ]

    def complete(self, model: StoredModel) -> None:
        """Sets the years that a new model was not given."""
        values = model.__dict__
        for rule, year, day in self.years:
            if values[year] is None and (is_in := rule.year_of(values[day])) is not None:
                values[year] = is_in
                model.__pydantic_fields_set__.add(year)

    def broken(self, model: StoredModel) -> list[Violation]:
        """The rules that a new model breaks, none where they are only worth knowing."""
        values = model.__dict__
        if self.quick is not None:
            get = values.get
            for broken in self.quick:  # a generator costs more than all the rules
                if broken(get):
                    break
            else:
                return []
        there = model.__pydantic_fields_set__
        # What has a default is there.
        get = {
            key: value
            for key, name in self.reads
            if (value := values[name]) is not None or name in there
        }.get
        found = [rule.broken_at(path) for rule in self.rules for path in rule.broken(get)]
        return found if any(v.severity is not Severity.INFO for v in found) else []

    def getter(self, document: Mapping[str, Any]) -> Get:
        """What gives the fields of a document to a rule."""
        if self.defaults.keys() <= document.keys():
            return document.get
        return {**self.defaults, **document}.get


def _quick(rules: Iterable[DocumentRule], names: Mapping[str, str]) -> list[Broken] | None:
    found: list[Broken] = []
    for rule in rules:
        known = names.keys() >= set(rule.reads)
        renamed = rule.renamed(names) if known else None
        # A class of a host application may read more than the one it extends.
        if renamed is None or list(renamed.reads) != [names[name] for name in rule.reads]:
            return None
        found.append(renamed.broken)
    return found


@cache
def cross_field_rules_of(model: type[StoredModel]) -> CrossFieldRules:
    """The rules across fields of a model and of the models inside it."""
    return CrossFieldRules(model)


def _walk(
    across: CrossFieldRules, document: Mapping[str, Any], path: str, found: list[Violation]
) -> None:
    if across.rules:
        get = across.getter(document)
        for rule in across.rules:
            if names := rule.broken(get):
                found += [rule.broken_at(path + name) for name in names]
    for key, child, listed in across.children:
        value = document.get(key)
        if isinstance(value, dict) and not listed:
            _walk(child, value, f"{path}{key}.", found)
        elif isinstance(value, list) and listed:
            for index, element in enumerate(value):
                if isinstance(element, dict):
                    _walk(child, element, f"{path}{key}.{index}.", found)


# -- violations -------------------------------------------------------------------------------


@cache
def _rules_by_id(model: type[StoredModel]) -> Mapping[str, FieldRule | DocumentRule]:
    own = {rule.id: rule for rule in all_rules(model)}
    return {**{rule.id: rule for rule in (*NATIVE.values(), TYPE)}, **own}


def rule_of(
    model: type[StoredModel], kind: str, loc: tuple[int | str, ...]
) -> FieldRule | DocumentRule:
    """The rule that an error of pydantic is about.

    Args:
        model: The model that was validated.
        kind: The type of the error.
        loc: Where it is, by the names of documents.
    """
    known = _rules_by_id(model).get(kind)
    if known is not None:
        return known
    if kind != "missing":
        return NATIVE.get(kind, TYPE)
    inside = model
    for part in loc[:-1]:
        if isinstance(part, str):
            value = without_null(fields_of(inside)[part].value)
            while isinstance(value, ListOf):
                value = without_null(value.element)
            if not isinstance(value, Embedded):
                return NATIVE[kind]
            inside = value.model
    return fields_of(inside)[str(loc[-1])].when_missing


def violations_in(model: type[StoredModel], document: Mapping[str, Any]) -> list[Violation]:
    """Every broken rule of a stored document: of fields first, then across fields."""
    raw = document if isinstance(document, dict) else dict(document)
    found: list[Violation] = []
    try:
        checker_of(model).validate_python(raw)
    except ValueError as error:
        found = [
            rule_of(model, e["type"], e["loc"]).broken_at(".".join(map(str, e["loc"])))
            for e in error.errors(include_url=False, include_context=False, include_input=False)  # type: ignore[attr-defined]  # pydantic's
        ]
    _walk(cross_field_rules_of(model), raw, "", found)
    return found
