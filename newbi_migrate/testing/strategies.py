"""Hypothesis strategies for documents: valid ones, just invalid ones, wild ones, and who is who.

Plain functions; each says what it draws. What is valid follows from the declarations of the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import assume, strategies as st

from newbi_migrate.documents.base import DocumentModel, StoredModel
from newbi_migrate.documents.document_rules import (
    DocumentRule,
    FilledIffZero,
    NotBefore,
    Required,
    YearInFrance,
    is_filled,
    year_in_france,
)
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.shapes import (
    Embedded,
    Leaf,
    ListOf,
    Nullable,
    Shape,
    defaults_of,
    fields_of,
    rules_of,
    without_null,
)
from newbi_migrate.mapping.workspace import Membership, Workspaces, workspace_of
from newbi_migrate.rules import Severity
from newbi_migrate.testing.field_values import accepted, dates, object_ids, refused

__all__ = [
    "bson_documents",
    "bson_values",
    "dates",
    "documents",
    "documents_breaking_one_rule",
    "legacy_users",
    "memberships",
    "object_ids",
    "values_of",
    "wild_documents",
    "workspaces",
]

_INT64: Final = 2**63
_REPAIRS: Final = 3
_KINDS: Final = ("absent", "value", "null")
_GONE: Final = object()


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
        st.sampled_from([Regex("^a", "i"), MinKey(), MaxKey()]),
        # No code: in Python it is a kind of text, and pydantic takes it for one.
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


@cache
def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """A value that keeps the rules of a field; never null.

    Raises:
        NotImplementedError: The field has a type of a host application, without a rule of ours.
    """
    if isinstance(shape, Leaf):
        return accepted(shape)
    if isinstance(shape, Nullable):
        return values_of(shape.inner)
    if isinstance(shape, ListOf):
        return st.lists(values_of(shape.element), min_size=max(shape.least, 1), max_size=2)
    if isinstance(shape, Embedded):
        return _valid(shape.model)
    return bson_values(nan=False)


@st.composite
def _valid(draw: st.DrawFn, model: type[StoredModel]) -> dict[str, Any]:
    fields = fields_of(model)
    document: dict[str, Any] = {}
    for key, field in fields.items():
        # Absent, there and null are three things, as far as the field allows them.
        kind = "value" if field.required or key == "_id" else draw(st.sampled_from(_KINDS))
        if kind == "null" and isinstance(field.value, Nullable):
            document[key] = None
        elif kind != "absent":
            document[key] = draw(values_of(field.value))
    for _ in range(_REPAIRS):
        for rule in rules_of(model):
            get = {**defaults_of(model), **document}.get
            if rule.severity is not Severity.INFO:
                for path in rule.broken(get):
                    _mend(draw, model, document, rule, path)
    assume(not any(v.severity is not Severity.INFO for v in model.violations_inside(document)))
    return document


def _mend(
    draw: st.DrawFn,
    model: type[StoredModel],
    document: dict[str, Any],
    rule: DocumentRule,
    path: str,
) -> None:
    """Make a rule across fields hold."""
    key = path.partition(".")[0]
    field = fields_of(model).get(key)
    if isinstance(rule, YearInFrance):
        document[key] = year_in_france(document[rule.day])
    elif isinstance(rule, NotBefore):
        document[key] = document[rule.earlier]
    elif key == "accountId":
        # Only its relation to another field makes this text right.
        document[key] = str(document["userId"])
    elif field is None or (not field.required and not isinstance(rule, Required | FilledIffZero)):
        document.pop(key, None)
    elif isinstance(rule, FilledIffZero) and is_filled(document.get(key)):
        document.pop(key)
    else:
        document[key] = draw(values_of(field.value).filter(is_filled))
        for name in rule.reads:
            # What is there without need may be what the field must agree with.
            if (
                not isinstance(rule, Required | FilledIffZero)
                and not fields_of(model)[name].required
            ):
                document.pop(name, None)


@st.composite
def documents_breaking_one_rule(draw: st.DrawFn, model: type[StoredModel]) -> dict[str, Any]:
    """A document that keeps every rule of its model but one, and that one only just.

    Args:
        draw: Given by Hypothesis.
        model: The model.
    """
    document = draw(_valid(model))
    holder, key, shape = draw(st.sampled_from(list(_places(model, document))))
    if shape is None:
        del holder[key]
    else:
        holder[key] = draw(refused(shape))
    broken = {violation.rule for violation in model.violations_inside(document)}
    assume(len(broken) == 1)
    return document


def _places(
    model: type[StoredModel], document: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], str, Leaf | None]]:
    """The values of a document, each with its holder; ``None`` for taking it out."""
    for key, field in fields_of(model).items():
        if key not in document:
            continue
        if field.required:
            yield document, key, None
        value = without_null(field.value)
        if isinstance(value, Leaf):
            yield document, key, value
            continue
        inside = without_null(value.element) if isinstance(value, ListOf) else value
        if isinstance(inside, Embedded):
            held = document[key] if isinstance(value, ListOf) else [document[key]]
            for one in held or ():
                if isinstance(one, dict):
                    yield from _places(inside.model, one)


def documents(
    model: type[DocumentModel], *, unknown_fields: bool = False
) -> st.SearchStrategy[dict[str, Any]]:
    """A document that keeps every rule of its model, with any of its optional fields.

    Args:
        model: The model.
        unknown_fields: Add fields the model does not declare.
    """
    valid = _valid(model)
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
def workspaces(draw: st.DrawFn, *, aliases: bool = True) -> Workspaces:
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
    return Workspaces(
        organizations=frozenset(organizations),
        users=frozenset(users) | frozenset(replaced),
        aliases=replaced,
        by_user={user: workspace_of(m for m in seen if m.user_id == user) for user in users},
        members={
            user: frozenset(m.organization_id for m in seen if m.user_id == user) for user in users
        },
    )
