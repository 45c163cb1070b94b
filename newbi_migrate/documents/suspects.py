"""A cheap question that no document which breaks a rule escapes.

Asking a server exactly which rules a document keeps costs many times what reading it does, for
``$jsonSchema`` looks every field up several times. This module asks less: a match expression of
plain comparisons, one or two for each field, that every violator matches and hardly anything else.
Who is suspected is then looked at closely.

Comparisons of a match look into lists. Where a model says that a field is no list, one that is
a list is suspected for that alone, so nothing is missed by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from bson.regex import Regex

from newbi_migrate.documents.base import DocumentModel, TolerantModel, fields_of, rules_of
from newbi_migrate.documents.rules import Embedded, Leaf, ListOf, Nullable, ValueShape
from newbi_migrate.invariants import language as say
from newbi_migrate.invariants.language import Predicate

__all__ = [
    "FILLED_TEXT",
    "NOT_NULL",
    "CannotSayError",
    "Match",
    "comparisons",
    "elements_of",
    "exactly",
    "is_no_list",
    "kinds_of",
    "limits_of",
    "maybe",
    "model_of",
    "not_of",
    "older_ways",
    "pattern_of",
    "suspects",
    "ways_of",
]

Match = dict[str, Any]

_TYPES: Final = (
    *("double", "string", "object", "array", "binData", "undefined", "objectId", "bool", "date"),
    *("null", "regex", "dbPointer", "javascript", "symbol", "javascriptWithScope", "int"),
    *("timestamp", "long", "decimal", "minKey", "maxKey"),
)
_ALL: Final[Match] = {}
_NONE: Final[Match] = {"$expr": False}
_TEXTUAL: Final = say.Matches | say.Contains | say.Length | say.BuiltFrom


FILLED_TEXT: Final = say.Not(say.Not(say.FILLED))
"""The same as :data:`~newbi_migrate.invariants.language.FILLED`, of fields that hold text alone."""

NOT_NULL: Final = say.Not(say.Kind(("null",)))
"""The same, of fields that never hold text."""


class CannotSayError(Exception):
    """There is no cheap form."""


def suspects(model: type[DocumentModel], *, skip: Collection[str] = ()) -> Match:
    """The match expression of every document that breaks a rule a server can be asked.

    Args:
        model: The model.
        skip: Top-level fields of which nothing is asked.
    """
    ways = [*older_ways(model), *_document(model, "", skip)]
    ways += [dict(rule.query) for rule in rules_of(model) if rule.query is not None]
    return {"$or": ways or [_NONE]}


def older_ways(model: type[DocumentModel]) -> list[Match]:
    """How a document may be of an older shape."""
    return [_described(older.shape) for older in model.older_shapes if older.shape is not None]


def _described(shape: Predicate) -> Match:
    try:
        return maybe(shape, "", frozenset(), so=True)
    except CannotSayError:
        return {"$jsonSchema": shape.schema()}


def _document(
    model: type[TolerantModel], prefix: str, skip: Collection[str] = (), guard: Match = _ALL
) -> Iterator[Match]:
    """How a document, or one inside a document, may break a rule.

    Args:
        model: Its model.
        prefix: Path of what is inside.
        skip: Fields of which nothing is asked.
        guard: That the document is there, where it need not be.
    """
    for key, field in fields_of(model).items():
        if key not in skip:
            yield from ways_of(field.value, prefix + key, field.required, guard)
    # A field that may be a list, or of which nothing is said, is compared exactly.
    known = frozenset(key for key, field in fields_of(model).items() if is_no_list(field.value))
    for rule in rules_of(model):
        if rule.test is None:
            continue
        try:
            yield _both(guard, maybe(rule.test, prefix, known.difference(skip), so=False))
        except CannotSayError:
            schema = rule.test.schema()
            if prefix:
                schema = {"anyOf": [{"not": {"bsonType": "object"}}, schema]}
            yield exactly(prefix.rstrip("."), schema)


def is_no_list(shape: ValueShape) -> bool:
    """Whether a value of a model is no list, by what the model says."""
    inner = shape.inner if isinstance(shape, Nullable) else shape
    if isinstance(inner, Leaf):
        kinds = None if inner.rule.test is None else kinds_of(inner.rule.test)
        return kinds is not None and "array" not in kinds
    return isinstance(inner, Embedded)


def _both(one: Match, other: Match) -> Match:
    return other if one == _ALL else {"$and": [one, other]}


def exactly(path: str, schema: say.Schema) -> Match:
    """A match of every document that has no such value at a path, and of no other."""
    for name in reversed(path.split(".") if path else []):
        schema = {"properties": {name: schema}}
    return {"$nor": [{"$jsonSchema": schema}]}


def ways_of(
    shape: ValueShape,
    path: str,
    required: bool,
    guard: Match = _ALL,
    *,
    null: bool = False,
) -> Iterator[Match]:
    """How a value may break a rule.

    Args:
        shape: What the model says of it.
        path: Where it stands.
        required: Whether it must be there.
        guard: That the document around it is there, where it need not be.
        null: Whether it may be null.
    """
    missing = _both(guard, {path: {"$exists": False}})
    if isinstance(shape, Nullable):
        yield from ways_of(shape.inner, path, required, guard, null=True)
        return
    if isinstance(shape, Leaf) and shape.rule.test is not None:
        yield from _leaf(shape.rule.test, path, required, guard, null=null)
        return
    if required:
        yield missing
    if isinstance(shape, Embedded):
        yield not_of(path, {"object"}, null=null)
        if required and not null and guard == _ALL:
            yield from _document(model_of(shape), f"{path}.")
        else:
            inside = _document(model_of(shape), f"{path}.", guard={path: {"$type": "object"}})
            # The server asks the first of the two first, and mostly no more than that: it would
            # ask an $or before.
            yield {path: {"$exists": True}, "$nor": [{"$nor": list(inside)}]}
    elif isinstance(shape, ListOf):
        # The types of a list are those of its elements too.
        wrong = {"$exists": True, "$not": {"$type": ["array", "null"] if null else "array"}}
        yield {path: wrong}
        yield from elements_of(shape.element, path)


def model_of(shape: Embedded) -> type[TolerantModel]:
    """The model of an embedded document."""
    model: Any = shape.model
    return model  # type: ignore[no-any-return]


def elements_of(element: ValueShape, path: str) -> Iterator[Match]:
    """How the elements of a list may break a rule."""
    inner, null = (element.inner, True) if isinstance(element, Nullable) else (element, False)
    if isinstance(inner, Embedded):
        wrong = not_of("", {"object"}, null=null)[""]
        yield {path: {"$elemMatch": wrong}}
        ways = list(_document(model_of(inner), ""))
        if ways:
            yield {path: {"$elemMatch": {"$or": ways}}}
    elif not isinstance(inner, Leaf) or inner.rule.test is not None:
        # What is in a list of plain values is seldom much.
        yield exactly(path, {"items": element.kept(_EVERY_RULE)})


class _EveryRule:
    def __contains__(self, name: object) -> bool:
        return True


_EVERY_RULE: Final = _EveryRule()


def not_of(path: str, kinds: Collection[str], *, null: bool) -> Match:
    """A match of values of other types; null is one unless it is allowed too."""
    allowed = {*kinds, "null"} if null else set(kinds)
    return {path: {"$type": [name for name in _TYPES if name not in allowed]}}


def _leaf(
    predicate: Predicate, path: str, required: bool, guard: Match, *, null: bool
) -> Iterator[Match]:
    missing = _both(guard, {path: {"$exists": False}})
    try:
        kinds = kinds_of(predicate)
        right: list[Any] = list(predicate.values) if isinstance(predicate, say.OneOf) else []
        pattern = None if right else pattern_of(predicate)
        if pattern is not None:
            right.append(Regex(pattern))
        if right:
            # All that is neither absent nor null nor right, but for lists with that in them.
            may = [None] if null or not required else []
            wanted = {path: {"$nin": [*may, *right]}}
            yield wanted if may else _both(guard, wanted)
            yield {path: {"$type": ["array"] if null or required else ["array", "null"]}}
            if required and may:
                yield missing
            return
        limits = list(limits_of(predicate, path))
    except CannotSayError:
        schema = predicate.schema()
        yield exactly(path, say.nullable(schema) if null else schema)
        if required:
            yield missing
        return
    if required:
        yield missing
    if kinds is not None:
        yield not_of(path, kinds, null=null)
    yield from limits


def kinds_of(predicate: Predicate) -> set[str] | None:
    """The types a value may be of; ``None`` for any."""
    if isinstance(predicate, say.Kind):
        return set(predicate.names)
    if isinstance(predicate, _TEXTUAL):
        return {"string"}
    if isinstance(predicate, say.Within | say.Whole):
        return set(say.NUMBER.names)
    if isinstance(predicate, say.OneOf):
        return {"bool" if isinstance(value, bool) else "string" for value in predicate.values}
    if isinstance(predicate, say.AllOf):
        each = [kinds for part in predicate.tests if (kinds := kinds_of(part)) is not None]
        return set.intersection(*each) if each else None
    if isinstance(predicate, say.AnyOf):
        any_of = [kinds_of(part) for part in predicate.tests]
        return None if None in any_of else {kind for kinds in any_of if kinds for kind in kinds}
    return None


def pattern_of(predicate: Predicate) -> str | None:
    """The one pattern a text must have; ``None`` where it is about something else.

    Raises:
        CannotSayError: Some of it is about something else.
    """
    patterns = list(_patterns(predicate))
    if patterns[1:]:
        return "".join(f"(?={pattern})" for pattern in patterns)
    return patterns[0] if patterns else None


def _patterns(predicate: Predicate) -> Iterator[str]:
    """The patterns a text must have; none where it is about something else.

    Raises:
        CannotSayError: Some of it is about something else.
    """
    if isinstance(predicate, say.AllOf):
        parts = [list(_patterns(part)) for part in predicate.tests]
        if any(parts) and not all(parts):
            raise CannotSayError
        for part in parts:
            yield from part
    elif isinstance(predicate, say.Not) and isinstance(predicate.test, say.Contains):
        yield f"(?s)\\A(?!.*?(?:{predicate.test.schema()['pattern']}))"
    elif isinstance(predicate, say.Matches | say.BuiltFrom):
        yield predicate.schema()["pattern"]
    elif isinstance(predicate, say.Contains):
        yield f"(?s)\\A.*?(?:{predicate.schema()['pattern']})"
    elif isinstance(predicate, say.Length) and (predicate.minimum or predicate.maximum is not None):
        most = "" if predicate.maximum is None else predicate.maximum
        yield f"(?s)\\A.{{{predicate.minimum},{most}}}\\z"


def limits_of(predicate: Predicate, path: str) -> Iterator[Match]:
    """What a value of the right type that is there must not be."""
    if isinstance(predicate, say.Within):
        yield {path: {"$not": comparisons(predicate), "$type": list(say.NUMBER.names)}}
    elif isinstance(predicate, say.Whole):
        # Drivers of JavaScript store whole numbers as integers.
        yield {path: {"$type": ["double"]}}
        yield {path: {"$not": {"$gt": -(10**15), "$lt": 10**15}, "$type": ["int", "long"]}}
    elif isinstance(predicate, say.Length | say.Kind):
        return
    else:
        raise CannotSayError


def comparisons(predicate: say.Within) -> Match:
    """The limits of a number, as a match expression compares with them."""
    limits = {
        "$gte": predicate.low,
        "$lte": predicate.high,
        "$gt": predicate.above,
        "$lt": predicate.below,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def maybe(predicate: Predicate, prefix: str, known: Collection[str], *, so: bool) -> Match:
    """A match of every document of which something is so, or is not so.

    Raises:
        CannotSayError: There is no cheap one.
    """
    if isinstance(predicate, say.Not):
        return maybe(predicate.test, prefix, known, so=not so)
    if isinstance(predicate, say.AllOf | say.AnyOf):
        parts = [maybe(part, prefix, known, so=so) for part in predicate.tests]
        if so is isinstance(predicate, say.AllOf):
            parts = [part for part in parts if part != _ALL]
            return {"$and": parts} if len(parts) > 1 else parts[0] if parts else _ALL
        return _ALL if _ALL in parts else {"$or": parts} if len(parts) > 1 else parts[0]
    if isinstance(predicate, say.HasNot):
        return {prefix + predicate.name: {"$exists": not so}}
    if isinstance(predicate, say.Has):
        of_any_type = predicate.test in (say.ANYTHING, FILLED_TEXT, NOT_NULL) or isinstance(
            predicate.test, say.NoLongerThan
        )
        if not of_any_type and predicate.name not in known:
            raise CannotSayError
        return _field(predicate.test, prefix + predicate.name, so=so)
    if predicate is say.ANYTHING:
        return _ALL if so else _NONE
    raise CannotSayError


def _field(predicate: Predicate, path: str, *, so: bool) -> Match:
    if predicate is say.ANYTHING:
        return {path: {"$exists": so}}
    if predicate is FILLED_TEXT:
        # Nearly all begin with a letter of ASCII or one that comes soon after it: no blanks.
        letters = [{"$gte": "!", "$lt": "\x7f"}, {"$gte": "\xc0", "$lt": "\u1680"}]
        return {path: {"$ne": None}} if so else {"$nor": [{path: some} for some in letters]}
    if predicate is NOT_NULL:
        return {path: {"$ne": None} if so else None}
    if isinstance(predicate, say.OneOf):
        return {path: {"$in" if so else "$nin": list(predicate.values)}}
    if predicate is say.FILLED:
        blank = Regex(say.BLANK.schema()["pattern"])
        return {path: {"$nin" if so else "$in": [None, blank]}}
    if isinstance(predicate, say.Matches):
        return {path: {"$in" if so else "$nin": [Regex(predicate.schema()["pattern"])]}}
    if isinstance(predicate, say.NoLongerThan) and predicate.elements == 0 and so:
        return {path: {"$size": 0}}
    if isinstance(predicate, say.Kind):
        return {path: {"$type": list(predicate.names)} if so else _other_than(predicate)}
    if isinstance(predicate, say.Within):
        limits = comparisons(predicate)
        return {path: limits if so else {"$not": limits}}
    raise CannotSayError


def _other_than(kind: say.Kind) -> Match:
    return {"$not": {"$type": list(kind.names)}}
