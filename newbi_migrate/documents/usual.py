"""A question cheaper still, for documents that are like most others of their collection.

:func:`~newbi_migrate.documents.suspects.suspects` asks of every field all that its rule allows.
Of a collection of a million documents a sample tells which fields there are, which of them are
always there, and which are null at times. Whoever differs from the sample is unusual, and so is
whoever breaks a rule; the rest keeps every rule, which takes a third of the comparisons to say.
A sample that misleads costs time, and hides nothing.

Two things make a comparison dear: that the server goes through a document from its beginning to
find a field, and that it goes through an embedded document again for each of its fields. So an
embedded document is found once, by ``$_internalSchemaObjectMatch``, into which the server itself
translates ``properties`` of a ``$jsonSchema``. It is no documented operator: :data:`DESCENDING`
tells whether a server knows it as it is meant here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bson.regex import Regex

from newbi_migrate.documents.base import (
    DocumentModel,
    FieldShape,
    TolerantModel,
    fields_of,
    rules_of,
)
from newbi_migrate.documents.rules import Embedded, Leaf, ListOf, Nullable, ValueShape
from newbi_migrate.documents.seen import Seen, SeenField
from newbi_migrate.documents.suspects import (
    FILLED_TEXT,
    NOT_NULL,
    CannotSayError,
    Match,
    comparisons,
    elements_of,
    exactly,
    is_no_list,
    kinds_of,
    limits_of,
    maybe,
    model_of,
    not_of,
    older_ways,
    pattern_of,
    ways_of,
)
from newbi_migrate.invariants import language as say
from newbi_migrate.invariants.language import Predicate

__all__ = ["DESCENDING", "unusual"]

_DESCEND: Final = "$_internalSchemaObjectMatch"
# Comparisons with these mean nothing else than they seem to.
_PLAIN: Final = ("double", "string", "object", "objectId", "bool", "date", "null", "int", "long")
# From so many fields on it is quicker to go through a document once.
_MANY: Final = 5
_ALIKE: Final = 3

DESCENDING: Final[tuple[list[dict[str, Any]], Match, list[int]]] = (
    [
        {"_id": 0, "a": {"b": "x"}},
        {"_id": 1, "a": {"b": 1}},
        {"_id": 2, "a": {}},
        {"_id": 3, "a": [{"b": "x"}]},
        {"_id": 4, "a": "x"},
        {"_id": 5},
        {"_id": 6, "a": {"b": None}},
        {"_id": 7, "a": {"b": ["x"]}},
    ],
    {"a": {_DESCEND: {"$nor": [{"b": {"$nin": [None, "x"]}}, {"b": {"$type": "array"}}]}}},
    [0, 2, 6],
)
"""Documents, a question, and the ids of those it finds where a server understands it."""


@dataclass(slots=True)
class _Known:
    """What is so of a document that none of the other comparisons finds.

    Attributes:
        absent: Fields that are not there.
        there: Fields that are there and not null.
        text: Fields that hold text, where they are there and not null.
        never_blank: Fields that hold no blank text.
        no_lists: Fields that are no lists.
    """

    absent: frozenset[str] = frozenset()
    there: set[str] = field(default_factory=set)
    text: set[str] = field(default_factory=set)
    never_blank: set[str] = field(default_factory=set)
    no_lists: frozenset[str] = frozenset()


def unusual(model: type[DocumentModel], seen: Seen, *, skip: Collection[str] = ()) -> Match:
    """A match expression of every document that breaks a rule, and of few others.

    Args:
        model: The model.
        seen: What was seen of some of the documents; of none, all are unusual.
        skip: Top-level fields of which nothing is asked.
    """
    if not seen.documents:
        return {}
    ways = [*older_ways(model), *_document(model, seen, frozenset(skip), top=True)]
    return {"$or": ways}


def _asks_for(query: Mapping[str, Any], absent: Collection[str]) -> bool:
    """Whether a query finds no document without one of some fields."""
    return any(
        key in absent and isinstance(asked, Mapping) and "$type" in asked
        for key, asked in query.items()
    )


def _document(
    model: type[TolerantModel], seen: Seen, skip: frozenset[str] = frozenset(), *, top: bool = False
) -> Iterator[Match]:
    """How a document may break a rule, or be another than those that were seen."""
    fields = {key: shape for key, shape in fields_of(model).items() if key not in skip}
    absent = [key for key in fields if key not in seen.fields]
    known = _Known(
        frozenset(absent),
        no_lists=frozenset(key for key, shape in fields.items() if is_no_list(shape.value)),
    )
    yield from _strangers(seen, absent, top=top)
    for key in absent:
        if fields[key].required:
            yield {key: {"$exists": False}}
    plain: list[str] = []
    together = dict(_together(fields, seen)) if top else {}
    yield from together.values()
    in_one = {key for keys in together for key in keys}
    for key, shape in fields.items():
        if key in seen.fields and key not in in_one:
            found = seen.fields[key]
            # Of some it matters to nobody whether they are there, and their type tells all.
            usually = found.times == seen.documents and not _only_typed(shape.value)
            always = shape.required or usually
            try:
                yield from _value(shape.value, key, found, plain, known, always=always, top=top)
            except CannotSayError:
                if not top:
                    raise
                yield from ways_of(shape.value, key, shape.required)
    yield from _odd(seen, plain, top=top)
    yield from _across(model, known, top=top)


def _across(model: type[TolerantModel], known: _Known, *, top: bool) -> Iterator[Match]:
    """How a rule across fields may be broken."""
    for rule in rules_of(model):
        # The server takes a query of whole documents alone.
        if top and rule.query is not None and not _asks_for(rule.query, known.absent):
            yield dict(rule.query)
        if rule.test is None:
            continue
        test = _given(rule.test, known)
        if test == say.ANYTHING:
            continue
        try:
            way = maybe(test, "", known.no_lists, so=False)
        except CannotSayError:
            if not top:
                raise
            way = exactly("", rule.test.schema())
        yield way


def _together(
    fields: Mapping[str, FieldShape], seen: Seen
) -> Iterator[tuple[tuple[str, ...], Match]]:
    """Fields that may be left out and hold values of one kind: all are compared in one go."""
    alike: dict[str, tuple[say.Schema, list[str]]] = {}
    for key, shape in fields.items():
        found = seen.fields.get(key)
        inner, null = shape.value, False
        if found is not None and isinstance(inner, Nullable):
            inner, null = inner.inner, found.null
        if found is None or shape.required or not found.plain or not isinstance(inner, Leaf):
            continue
        test = inner.rule.test
        if isinstance(test, say.Kind | say.Within):
            schema = say.nullable(test.schema()) if null else test.schema()
            alike.setdefault(repr(schema), (schema, []))[1].append(key)
    for schema, keys in alike.values():
        if len(keys) >= _ALIKE:
            others: say.Schema = {key: {} for key in seen.fields if key not in keys}
            of_all = {"properties": others, "additionalProperties": schema}
            yield tuple(keys), {"$nor": [{"$jsonSchema": of_all}]}


def _strangers(seen: Seen, absent: Collection[str], *, top: bool) -> Iterator[Match]:
    """Documents with a field of the model that was not seen."""
    if top and len(absent) >= _MANY:
        allowed: say.Schema = {key: {} for key in seen.fields}
        yield {"$nor": [{"$jsonSchema": {"properties": allowed, "additionalProperties": False}}]}
    else:
        yield from ({key: {"$exists": True}} for key in absent)


def _odd(seen: Seen, plain: Collection[str], *, top: bool) -> Iterator[Match]:
    """Documents that hold a value into which a comparison would look, or take for another."""
    if top and len(plain) >= _MANY:
        others: say.Schema = {key: {} for key in seen.fields if key not in plain}
        kinds = {"bsonType": list(_PLAIN)}
        yield {"$nor": [{"$jsonSchema": {"properties": others, "additionalProperties": kinds}}]}
    else:
        yield from (not_of(key, _PLAIN, null=True) for key in plain)


def _value(
    shape: ValueShape,
    key: str,
    seen: SeenField,
    plain: list[str],
    known: _Known,
    *,
    always: bool,
    top: bool,
) -> Iterator[Match]:
    """How the value of a field that was seen may break a rule, or be another than usual.

    Args:
        shape: What the model says of it.
        key: Its name.
        seen: What was seen of it.
        plain: Takes the names of the fields whose values are taken to be plain.
        known: Takes what is known then.
        always: Whether a document without it is unusual.
        top: Whether it is a field of the whole document.

    Raises:
        CannotSayError: It has to be compared exactly.
    """
    inner, nullable = (shape.inner, True) if isinstance(shape, Nullable) else (shape, False)
    null = nullable and seen.null
    if isinstance(inner, ListOf):
        wrong = {"$not": {"$type": ["array", "null"] if null else "array"}}
        yield {key: wrong if always else {"$exists": True, **wrong}}
        yield from _elements(inner.element, key, seen, top=top)
    elif isinstance(inner, Embedded) or (isinstance(inner, Leaf) and inner.rule.test is not None):
        strange = isinstance(inner, Embedded) and not (null or seen.inside.documents)
        if strange or not seen.plain:
            # Somebody has stored something else there; that is compared exactly.
            raise CannotSayError
        told = _only_typed(shape) and not always
        if not told and (null or not isinstance(inner, Embedded)):
            plain.append(key)
        yield from _one(inner, key, seen, known, null=null, always=always)
    elif always:
        yield {key: {"$exists": False}}
        return
    if always and not null:
        known.there.add(key)


def _only_typed(shape: ValueShape) -> bool:
    """Whether a rule says no more of a value than its type, and perhaps its limits."""
    inner = shape.inner if isinstance(shape, Nullable) else shape
    if not isinstance(inner, Leaf) or inner.rule.test is None:
        return False
    return isinstance(inner.rule.test, say.Kind | say.Whole)


def _one(
    shape: ValueShape, key: str, seen: SeenField, known: _Known, *, null: bool, always: bool
) -> Iterator[Match]:
    if isinstance(shape, Embedded):
        known.never_blank.add(key)
        if not seen.inside.documents:
            # Nothing but null was seen.
            yield {key: {"$ne": None}}
        else:
            inside = list(_document(model_of(shape), seen.inside))
            right = {key: {_DESCEND: {"$nor": inside} if inside else {}}}
            yield _none_of(right, key, null=null, always=always)
    elif isinstance(shape, Leaf) and shape.rule.test is not None:
        yield from _leaf(shape.rule.test, key, known, null=null, always=always)
    if null and always:
        # The comparison with null allows that there is nothing.
        yield {key: {"$exists": False}}


def _leaf(test: Predicate, key: str, known: _Known, *, null: bool, always: bool) -> Iterator[Match]:
    kinds = kinds_of(test)
    if isinstance(test, say.OneOf):
        known.never_blank.add(key)
        yield from _among(test.values, key, null=null, always=always)
        return
    pattern = test.usually() if isinstance(test, say.Matches) else pattern_of(test)
    if pattern is not None:
        blank = not (isinstance(test, say.Matches) and test.never_blank())
        (known.text if blank else known.never_blank).add(key)
        yield from _among([Regex(pattern)], key, null=null, always=always)
        return
    if kinds is None:
        raise CannotSayError
    (known.never_blank if "string" not in kinds else known.text).add(key)
    if isinstance(test, say.Within) and comparisons(test):
        yield _none_of({key: comparisons(test)}, key, null=null, always=always)
        return
    limits = list(limits_of(test, key))
    yield _other_than(kinds, key, null=null, always=always)
    yield from limits


def _among(right: Collection[Any], key: str, *, null: bool, always: bool) -> Iterator[Match]:
    if null or always:
        yield {key: {"$nin": [*right, *([None] if null else [])]}}
    else:
        yield _none_of({key: {"$in": list(right)}}, key, null=null, always=always)


def _none_of(right: Match, key: str, *, null: bool, always: bool) -> Match:
    """All that is not right, nor null or absent where that is usual."""
    if null:
        return {"$nor": [right, {key: None}]}
    return {"$nor": [right] if always else [right, {key: {"$exists": False}}]}


def _other_than(kinds: Collection[str], key: str, *, null: bool, always: bool) -> Match:
    if always:
        return {key: {"$not": {"$type": sorted({*kinds, "null"} if null else kinds)}}}
    return not_of(key, kinds, null=null)


def _elements(element: ValueShape, key: str, seen: SeenField, *, top: bool) -> Iterator[Match]:
    inner, null = (element.inner, True) if isinstance(element, Nullable) else (element, False)
    if not isinstance(inner, Embedded):
        if not top:
            # That may take a $jsonSchema, which the server knows of whole documents alone.
            raise CannotSayError
        yield from elements_of(element, key)
        return
    yield {key: {"$elemMatch": not_of("", {"object"}, null=null)[""]}}
    if not seen.inside.documents:
        yield {key: {"$elemMatch": {"$type": "object"}}}
        return
    ways = list(_document(model_of(inner), seen.inside))
    if ways:
        yield {key: {"$elemMatch": {"$or": ways}}}


def _given(test: Predicate, known: _Known) -> Predicate:
    """The same, for documents of which something is known already."""
    if isinstance(test, say.Not):
        inner = _given(test.test, known)
        return inner.test if isinstance(inner, say.Not) else say.Not(inner)
    if isinstance(test, say.AllOf | say.AnyOf):
        both = isinstance(test, say.AllOf)
        settles, neutral = (_NEVER, say.ANYTHING) if both else (say.ANYTHING, _NEVER)
        parts = [_given(part, known) for part in test.tests]
        if settles in parts:
            return settles
        parts = [part for part in parts if part != neutral]
        return (say.AllOf(*parts) if both else say.AnyOf(*parts)) if parts else neutral
    if isinstance(test, say.HasNot):
        if test.name in known.absent:
            return say.ANYTHING
        return _NEVER if test.name in known.there else test
    if isinstance(test, say.Has):
        if test.name in known.absent:
            return _NEVER
        inner = test.test
        if inner is say.FILLED and test.name in known.text:
            inner = FILLED_TEXT
        elif inner is say.FILLED and test.name in known.never_blank:
            inner = say.ANYTHING if test.name in known.there else NOT_NULL
        if inner is say.ANYTHING and test.name in known.there:
            return say.ANYTHING
        return say.Has(test.name, inner)
    return test


_NEVER: Final = say.Not(say.ANYTHING)
