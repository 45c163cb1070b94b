"""Hypothesis strategies for Newbi's documents: valid ones, wild ones, and who is who.

Plain functions; each says what it draws. What is valid follows from the rules on the models, so
this module changes when there is a new kind of rule, and not when a model changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import assume, strategies as st

from newbi_migrate.documents.base import DocumentModel, TolerantModel, fields_of
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.rules import (
    Embedded,
    Foreign,
    Leaf,
    ListOf,
    Nullable,
    Rule,
    ValueShape,
)
from newbi_migrate.invariants.base import Severity
from newbi_migrate.mapping.workspace import Directory, Membership, home_of

__all__ = [
    "bson_documents",
    "bson_values",
    "directories",
    "documents",
    "legacy_users",
    "memberships",
    "object_ids",
    "values_of",
    "wild_documents",
]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéèàçÉ"
_INT64: Final = 2**63
_REPAIRS: Final = 8
_GONE: Final = object()


def object_ids() -> st.SearchStrategy[ObjectId]:
    """Any ObjectId."""
    return st.binary(min_size=12, max_size=12).map(ObjectId)


def dates() -> st.SearchStrategy[datetime]:
    """A date as PyMongo reads it: without a zone, to the millisecond, from 2015 to 2035."""
    first, last = datetime(2015, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
    return st.integers(int(first.timestamp() * 1000), int(last.timestamp() * 1000)).map(
        lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(
            tzinfo=None, microsecond=ms % 1000 * 1000
        )
    )


def _texts() -> st.SearchStrategy[str]:
    # BSON strings are UTF-8, which has no surrogates.
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def _keys() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def _scalars(*, nan: bool) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-_INT64, _INT64 - 1).map(Int64),
        st.floats(allow_nan=nan),
        _texts(),
        object_ids(),
        dates(),
        st.integers(-_INT64, _INT64 - 1).map(DatetimeMS),
        st.binary(max_size=12),
        st.builds(Binary, st.binary(max_size=12), st.sampled_from([3, 5, 128])),
        st.sampled_from(["0", "1.10", "-7E+3", "NaN", "Infinity"]).map(Decimal128),
        st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
        st.sampled_from([Regex("^a", "i"), Code("f()"), MinKey(), MaxKey()]),
        # What has an id somewhere is often found as text or as Extended JSON.
        object_ids().map(str),
        object_ids().map(lambda value: {"$oid": str(value)}),
    )


# Building a strategy costs more than drawing from it; those that are asked for often are kept.
@cache
def bson_values(*, nested: bool = True, nan: bool = True) -> st.SearchStrategy[Any]:
    """Any value that BSON can hold.

    Args:
        nested: Draw lists and documents too.
        nan: Draw doubles that are no numbers; they differ from themselves.
    """
    if not nested:
        return _scalars(nan=nan)
    return st.recursive(
        _scalars(nan=nan),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(_keys(), inner, max_size=3)
        ),
        max_leaves=6,
    )


def bson_documents(*, nan: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Any small document, with an ``_id`` of any type but a list, first as the server has it."""
    return st.builds(
        lambda id_, rest: {"_id": id_, **{k: v for k, v in rest.items() if k != "_id"}},
        _scalars(nan=nan),
        st.dictionaries(_keys(), bson_values(nan=nan), max_size=5),
    )


_IDS: Final = frozenset(
    f"field.{name}"
    for name in (
        "document-id",
        "embedded-id",
        "object-id",
        "owner-id",
        "workspace-id",
        "workspace-id-of-either-type",
    )
)
_BCRYPT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PARTICULAR: Final[Mapping[str, Any]] = {
    "field.boolean": st.booleans,
    "field.date": dates,
    "field.json-text": lambda: st.sampled_from(["{}", "null", '{"companyName": "Newbi"}']),
    "field.normal-email": lambda: st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.(fr|com)", fullmatch=True),
    "field.url": lambda: st.from_regex(
        r"(https://)?[a-z]{1,8}\.(fr|com)(/[a-z]{1,8})?", fullmatch=True
    ),
    "field.bcrypt-hash": lambda: st.builds(
        "${}$10${}".format,
        st.sampled_from(["2a", "2b", "2y"]),
        st.text(_BCRYPT_ALPHABET, min_size=53, max_size=53),
    ),
    "field.password-hash": lambda: st.one_of(
        st.text(_BCRYPT_ALPHABET, min_size=53, max_size=53).map("$2b$10${}".format),
        st.builds(
            lambda salt, key: f"{salt.hex()}:{key.hex()}",
            st.binary(min_size=16, max_size=16),
            st.binary(min_size=64, max_size=64),
        ),
    ),
}


@cache
def _values_of_rule(rule: Rule) -> st.SearchStrategy[Any]:
    if rule.id in _IDS:
        return object_ids()
    particular = _PARTICULAR.get(rule.id)
    if particular is not None:
        found: st.SearchStrategy[Any] = particular()
        return found
    schema = rule.json_schema
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:
        pattern = schema["pattern"].removeprefix("^").removesuffix("$")
        return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    if schema.get("type") == "number":
        return _numbers(schema).filter(rule.holds)
    low = max(schema.get("minLength", 0), 2 if schema.get("minLength") else 0)
    high = min(schema.get("maxLength", low + 20), low + 20)
    return st.text(_LETTERS, min_size=low, max_size=high).filter(rule.holds)


def _numbers(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    low = schema.get("minimum", 0 if "exclusiveMinimum" in schema else -(2**31))
    high = schema.get("maximum", 2**31 - 1)
    # JavaScript has one kind of number, which is stored as either of two.
    return st.one_of(
        st.integers(-int(-low // 1), int(high // 1)), st.floats(low, high, allow_nan=False)
    )


@cache
def values_of(shape: ValueShape) -> st.SearchStrategy[Any]:
    """A value that keeps the rules of a field; never null.

    Raises:
        NotImplementedError: The field has a type of a host application, without a rule of ours.
    """
    if isinstance(shape, Leaf):
        return _values_of_rule(shape.rule)
    if isinstance(shape, Nullable):
        return values_of(shape.inner)
    if isinstance(shape, ListOf):
        return st.lists(values_of(shape.element), min_size=1, max_size=2)
    if isinstance(shape, Embedded):
        model: Any = shape.model
        return _valid(model, holes=True)
    if isinstance(shape, Foreign):
        raise NotImplementedError("A type of a host application has no strategy here.")
    return bson_values(nan=False)


@st.composite
def _valid(draw: st.DrawFn, model: type[TolerantModel], *, holes: bool) -> dict[str, Any]:
    fields = fields_of(model)
    document: dict[str, Any] = {}
    for key, field in fields.items():
        if field.required or key == "_id" or (holes and draw(st.booleans())):
            document[key] = draw(values_of(field.value))
    rules = [rule for base in model.__mro__ for rule in base.__dict__.get("rules", ())]
    for _ in range(_REPAIRS):
        # A rule may point into a field whose inside the model does not declare.
        broken = {
            path.partition(".")[0]
            for rule in rules
            if rule.severity is not Severity.INFO
            for path in rule.check(document)
        }
        if not broken:
            break
        for path in sorted(broken):
            field = fields[path]
            if path in document and not field.required:
                del document[path]
            elif path == "accountId":
                # Only its relation to another field makes this text right.
                document[path] = str(document["userId"])
            else:
                document[path] = draw(values_of(field.value))
    assume(not any(v.severity is not Severity.INFO for v in model.broken(document)))
    return document


def documents(
    model: type[DocumentModel], *, unknown_fields: bool = False
) -> st.SearchStrategy[dict[str, Any]]:
    """A document that keeps every rule of its model, with any of its optional fields.

    Args:
        model: The model.
        unknown_fields: Add fields the model does not declare.
    """
    valid = _valid(model, holes=True)
    if not unknown_fields:
        return valid
    return st.builds(lambda known, more: {**more, **known}, valid, _unknown_fields(model))


def _unknown_fields(model: type[DocumentModel]) -> st.SearchStrategy[dict[str, Any]]:
    taken = {*fields_of(model), *model.model_fields}
    return st.dictionaries(
        _keys().filter(lambda key: key not in taken and not hasattr(model, key)),
        bson_values(),
        max_size=2,
    )


@st.composite
def wild_documents(
    draw: st.DrawFn,
    model: type[DocumentModel],
    *,
    unknown_fields: bool = True,
    attribute_names: bool = False,
) -> dict[str, Any]:
    """Any subset of a model's fields, each with a valid or with any BSON value, in any order.

    Args:
        draw: Given by Hypothesis.
        model: The model.
        unknown_fields: Add fields the model does not declare.
        attribute_names: Add fields named like an attribute of the model in Python, which is not
            the name of a field of the document.
    """
    found: dict[str, Any] = {}
    for key, field in fields_of(model).items():
        kind = draw(st.sampled_from(("absent", "valid", "valid", "null", "any")))
        if kind == "valid":
            found[key] = draw(values_of(field.value))
        elif kind == "null":
            found[key] = None
        elif kind == "any":
            found[key] = draw(bson_values())
    if unknown_fields:
        found.update(draw(_unknown_fields(model)))
    if attribute_names:
        for name in model.model_fields:
            if name not in fields_of(model) and draw(st.booleans()):
                found[name] = draw(bson_values(nested=False))
        found.update(draw(st.dictionaries(st.sampled_from(["load", "rules"]), bson_values())))
    order = draw(st.permutations(list(found)))
    return {key: found[key] for key in order}


def _worn(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**document, **changes}
    return {key: value for key, value in merged.items() if value is not _GONE}


def legacy_users(*, dirty: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """A legacy user.

    Args:
        dirty: Draw what a real database holds as well: e-mail addresses in upper case, with
            blanks, invalid or missing; no company, null or blank texts; hashes of other kinds
            or none; flags of other types; codes that are null; unknown fields.
    """
    clean = documents(LegacyUser)
    if not dirty:
        return clean
    address = values_of(fields_of(LegacyUser)["email"].value)
    changes = st.fixed_dictionaries(
        {},
        optional={
            "email": st.one_of(
                address.map(str.upper),
                address.map(" {} ".format),
                address.map(lambda value: value.replace("@", "+facture@")),
                st.sampled_from(["", "   ", "personne", "moi@newbi.online", None, _GONE, 7]),
            ),
            "password": st.sampled_from(["", "secret", None, _GONE, "0" * 32 + ":" + "0" * 128]),
            "company": st.sampled_from(
                [None, _GONE, {}, {"companyStatus": "AUTRE"}, {"name": "", "siret": " "}, "Newbi"]
            ),
            "profile": st.sampled_from([None, _GONE, {}, {"firstName": " "}, {"phone": 7}]),
            "isEmailVerified": st.sampled_from([None, _GONE, "true", 1]),
            "isDisabled": st.sampled_from([None, _GONE, "false", 0]),
            "createdAt": st.sampled_from([None, _GONE, "2024-05-01"]),
            "referralCode": st.sampled_from([None, "", _GONE]),
            "workspaceId": object_ids().map(str),
            "unknown": bson_values(),
        },
    )
    return st.builds(_worn, clean, changes)


def memberships(
    users: st.SearchStrategy[ObjectId], organizations: st.SearchStrategy[ObjectId]
) -> st.SearchStrategy[Membership]:
    """A membership, in one or more roles.

    Args:
        users: Who.
        organizations: Where.
    """
    roles = st.frozensets(
        st.sampled_from(["owner", "admin", "member", "viewer", "accountant"]),
        min_size=1,
        max_size=2,
    )
    return st.builds(Membership, organizations, users, roles)


@st.composite
def directories(draw: st.DrawFn, *, aliases: bool = True) -> Directory:
    """Who is who after a users' migration: a few users, organizations and memberships.

    Some users have no workspace, some several. Homes follow from the memberships.

    Args:
        draw: Given by Hypothesis.
        aliases: Draw legacy users whose place was taken by others.
    """
    few = st.lists(object_ids(), min_size=1, max_size=4, unique=True)
    users, organizations = draw(few), draw(few)
    seen = draw(
        st.lists(memberships(st.sampled_from(users), st.sampled_from(organizations)), max_size=6)
    )
    replaced: dict[ObjectId, ObjectId] = {}
    if aliases:
        legacy = draw(st.lists(object_ids().filter(lambda i: i not in users), max_size=2))
        replaced = {old: draw(st.sampled_from(users)) for old in legacy}
    return Directory(
        organizations=frozenset(organizations),
        users=frozenset(users) | frozenset(replaced),
        aliases=replaced,
        homes={user: home_of(m for m in seen if m.user_id == user) for user in users},
        members={
            user: frozenset(m.organization_id for m in seen if m.user_id == user) for user in users
        },
    )
