"""What may be filled into an existing document, and so journaled."""

from __future__ import annotations

import pytest
from bson import Binary, Code, DBRef, ObjectId

from newbi_migrate.documents.better_auth import Account, Organization, User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.mapping.fillable import FILLABLE, only_fillable
from newbi_migrate.mapping.merge import Merge
from newbi_migrate.mapping.organization import company_fields
from newbi_migrate.mapping.user import NOT_CARRIED

ONE = ObjectId("64b000000000000000000001")
FIELDS = {"name": None, "company": {"name": None, "address": {"city": None}}}

CASES = {
    "a listed field": ({"name": "Léa"}, {"name": "Léa"}, ()),
    "another field": ({"secret": "x"}, {}, ("secret",)),
    "a listed path": ({"company.address.city": "Lyon"}, {"company.address.city": "Lyon"}, ()),
    "a path beside it": ({"company.apiToken": "x"}, {}, ("company.apiToken",)),
    "a path below another field": ({"tokens.abc": "x"}, {}, ("tokens",)),
    "a path below a value": ({"name.token": "x"}, {}, ("name.token",)),
    "a document in part": (
        {"company": {"name": "A", "apiToken": "x", "address": {"city": "Lyon", "code": 1}}},
        {"company": {"name": "A", "address": {"city": "Lyon"}}},
        ("company.apiToken", "company.address.code"),
    ),
    "a document of which nothing is listed": (
        {"company": {"address": {"code": 1}, "token": "x"}},
        {},
        ("company.address.code", "company.token"),
    ),
    "a document in place of a value": ({"name": {"token": "x"}}, {}, ("name",)),
    "a value in place of a document": ({"company": "x"}, {}, ("company",)),
    "a list": ({"name": ["x"]}, {}, ("name",)),
    "bytes": ({"name": Binary(b"x")}, {}, ("name",)),
    "code": ({"name": Code("x", {"token": "x"})}, {}, ("name",)),
    "a reference": ({"name": DBRef("x", 1, token="x")}, {}, ("name",)),
    "a name that looks like a path": (
        {"company": {"address.city": "x"}},
        {},
        ("company.address.city",),
    ),
    "an empty document": ({"company": {}}, {"company": {}}, ()),
    "what says nothing": ({"company": {"name": None, "x": None}}, {"company": {"name": None}}, ()),
    "the id of an embedded document": (
        {"company": {"_id": ONE, "name": "A"}},
        {"company": {"_id": ONE, "name": "A"}},
        (),
    ),
    "an id that is none": (
        {"company": {"_id": "x", "name": "A"}},
        {"company": {"name": "A"}},
        ("company._id",),
    ),
}


@pytest.mark.parametrize(("values", "kept", "left"), CASES.values(), ids=CASES)
def test_what_is_not_listed_is_left_out_and_named(values, kept, left):
    """Every case: what is filled, and the paths of what is not."""
    prior = dict.fromkeys(values)
    merge, not_carried = only_fillable(Merge(values, prior, ("conflict",)), FIELDS)

    assert kept == merge.values
    assert left == not_carried
    assert dict.fromkeys(kept) == merge.prior
    assert ("conflict",) == merge.conflicts


def leaves(fields):
    for name, below in fields.items():
        yield name
        if below is not None:
            yield from leaves(below)


def test_no_secret_is_listed():
    """Neither what a new user is not given either, nor what the models do not print."""
    hidden = {
        field.alias
        for model in (User, Account, Organization, LegacyUser)
        for field in model.model_fields.values()
        if not field.repr
    }

    assert {"password", "accessToken", "resetPasswordToken"} <= hidden
    for fields in FILLABLE.values():
        assert set() == {*leaves(fields)} & (hidden | NOT_CARRIED)


@pytest.mark.parametrize(("collection", "model"), [("user", User), ("organization", Organization)])
def test_what_is_listed_is_a_field_of_its_model(collection, model):
    """But for two that only legacy users of some months have."""
    known = {field.alias for field in model.model_fields.values()}

    assert FILLABLE[collection].keys() - {"bridgeWorkspaceId", "bridgeCreatedAt"} <= known


def test_whatever_a_company_becomes_is_listed():
    """All company fields can be filled."""
    company = {
        **dict.fromkeys(("name", "email", "phone", "website", "logo", "siret", "vatNumber"), "x"),
        **dict.fromkeys(("rcs", "capitalSocial", "companyStatus"), "x"),
        "transactionCategory": "GOODS",
        "address": dict.fromkeys(("street", "city", "postalCode", "country"), "x"),
        "bankDetails": dict.fromkeys(("iban", "bic", "bankName"), "x"),
    }

    assert FILLABLE["organization"].keys() == company_fields({"company": company}).keys()
