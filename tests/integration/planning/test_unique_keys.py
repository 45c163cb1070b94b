"""Keys that are unique for each owner, and have to be in each workspace."""

from __future__ import annotations

import pytest
from bson import ObjectId
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.documents.registry import (
    CollectionSpec,
    IdType,
    IndexSpec,
    Registry,
    UniqueKey,
)
from newbi_migrate.errors import UsageError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning import index_plan
from newbi_migrate.migration.planning.results import IndexAction

NAME = "number_workspaceId_issueYear_unique"
OWNED = [("number", 1), ("createdBy", 1)]
EXISTING = {"unique": True, "partialFilterExpression": {"number": {"$exists": True}}}


@pytest.fixture
def legacy(sync_database):
    """Two legacy users with three invoices each, numbered alike."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(
            [{**one, "number": str(n)} for n, one in enumerate(invoices(user, 3))]
        )
    return sync_database["invoices"]


@pytest.fixture
def asked(monkeypatch):
    """The collections whose documents were grouped by a key."""
    found = []
    find = index_plan.find_collisions

    async def finding(collection, key, **options):
        found.append(key.index.name)
        return await find(collection, key, **options)

    monkeypatch.setattr(index_plan, "find_collisions", finding)
    return found


async def action_of_index(uri):
    async with Migration(uri) as migration:
        plan = await migration.plan()
    return {index.spec.name: index.action for index in plan.indexes}[NAME]


@pytest.mark.parametrize(
    "index",
    [
        EXISTING,
        {"unique": True},
        {"unique": True, "partialFilterExpression": {"number": {"$type": "string"}}},
    ],
)
async def test_what_is_unique_for_each_owner_is_not_looked_for_in_workspaces(
    legacy, uri, asked, index
):
    """Every owner has a workspace of their own."""
    legacy.create_index(OWNED, **index)

    assert IndexAction.CREATE == await action_of_index(uri)
    assert NAME not in asked


@pytest.mark.parametrize(
    ("keys", "index"),
    [
        (OWNED, {"unique": False}),
        (OWNED, {"unique": True, "sparse": True}),
        (OWNED, {"unique": True, "partialFilterExpression": {"number": {"$gt": "9"}}}),
        (OWNED, {"unique": True, "partialFilterExpression": {"kind": {"$exists": True}}}),
        ([*OWNED, ("kind", 1)], {"unique": True}),
        ([*OWNED, ("issueYear", 1)], {"unique": True}),
        (OWNED, {"unique": True, "collation": {"locale": "fr"}}),
    ],
)
async def test_an_index_that_keeps_less_unique_is_no_reason_not_to_look(
    legacy, uri, asked, keys, index
):
    """It holds other documents, other fields, or texts that only look different."""
    legacy.create_index(keys, **index)

    assert IndexAction.CREATE == await action_of_index(uri)
    assert NAME in asked


def owner_as_text(legacy):
    legacy.update_one(
        {"createdBy": USERS[0], "number": "1"},
        {"$set": {"createdBy": str(USERS[0]), "number": "0"}},
    )


def stored_workspace(legacy):
    organization = ObjectId()
    legacy.database["organization"].insert_one(
        {"_id": organization, "name": "An organization", "slug": "one", "createdAt": None}
    )
    # Both work there, so that nobody's document is quarantined.
    legacy.database["member"].insert_many(
        [{"organizationId": organization, "userId": user, "role": "member"} for user in USERS[:2]]
    )
    legacy.update_many({"number": "0"}, {"$set": {"workspaceId": organization}})


def unknown_owners(legacy):
    for owner in (ObjectId(), ObjectId()):
        legacy.insert_one({"_id": ObjectId(), "createdBy": owner, "number": "9"})


@pytest.mark.parametrize("breaking", [owner_as_text, stored_workspace, unknown_owners])
async def test_documents_that_share_a_workspace_share_its_numbers(legacy, uri, breaking):
    """Two owners as the index counts them may be one, or stay in none."""
    legacy.create_index(OWNED, **EXISTING)
    breaking(legacy)

    assert IndexAction.COLLISION == await action_of_index(uri)


async def test_two_owners_of_one_workspace_are_no_two_workspaces(legacy, uri):
    """A legacy user became another user, and both own invoices."""
    legacy.create_index(OWNED, **EXISTING)
    user = ObjectId()
    legacy.database["user"].insert_one(
        {"_id": user, "email": legacy_user(0)["email"], "emailVerified": True, "name": "One"}
    )
    legacy.insert_one({**invoices(user, 1)[0], "number": "1"})

    assert IndexAction.COLLISION == await action_of_index(uri)


@pytest.mark.parametrize(
    ("partial", "derived"),
    [
        ({"number": {"$foo": 1}}, {}),
        (None, {"number": {"$foo": 1}}),
        (None, {"number": {"$year": "x"}}),
    ],
)
async def test_an_expression_of_a_registry_that_no_server_takes_names_its_index(
    legacy, uri, partial, derived
):
    """The plan, the run and the validation end with 2; nobody has to search a whole registry."""
    index = IndexSpec((("workspaceId", 1), ("number", 1)), unique=True, partial=partial)
    spec = CollectionSpec(
        "invoices", "createdBy", IdType.OBJECT_ID, unique_keys=(UniqueKey(index, derived),)
    )
    async with Migration(uri, registry=Registry([spec])) as migration:
        for call in (migration.plan, migration.apply, migration.validate):
            with pytest.raises(UsageError, match="'workspaceId_1_number_1' of 'invoices'"):
                await call()
