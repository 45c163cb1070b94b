"""Newbi's collections as data, and what a registry refuses and derives."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest

from newbi_migrate.documents.newbi import BETTER_AUTH_INDEXES, NEWBI
from newbi_migrate.documents.registry import (
    CollectionSpec,
    IdType,
    IndexSpec,
    ParentLink,
    Registry,
    UniqueKey,
)
from newbi_migrate.errors import UsageError

MIGRATION = date(2025, 9, 17)
EARLY = {
    "invoices",
    "quotes",
    "creditnotes",
    "clients",
    "expenses",
    "events",
    "transactions",
    "accounts_bankings",
    "api_metrics",
    "ocr_documents",
    "emailsignatures",
    "documentsettings",
    "boards",
    "columns",
    "tasks",
    "bridgeaccounts",
}


def unique_paths(name):
    return {tuple(path for path, _ in key.index.keys) for key in NEWBI[name].unique_keys}


def test_sixteen_collections_were_scoped_at_the_migration():
    """Products and file transfers came later, and are named with their day."""
    assert {spec.name for spec in NEWBI.as_of(MIGRATION).scoped} == EARLY
    assert EARLY | {"products", "filetransfers"} == {spec.name for spec in NEWBI.scoped}


def test_a_later_scope_still_follows_an_alias_before_its_day():
    """As of an earlier day a collection keeps its owner and loses its workspace and indexes."""
    products = NEWBI.as_of(MIGRATION)["products"]

    assert (None, ("createdBy",), ()) == (
        products.workspace_type,
        products.user_fields,
        products.indexes,
    )


@pytest.mark.parametrize(
    ("collection", "fields"),
    [
        ("integrations", ("userId",)),
        ("stripeconnectaccounts", ("userId",)),
        ("referralevents", ("referrerId", "referredUserId")),
        ("accessgrants", ("buyerId",)),
    ],
)
def test_shared_records_without_a_workspace_follow_an_alias(collection, fields):
    """What names a user and no workspace is registered for its user fields."""
    spec = NEWBI[collection]

    assert (False, fields) == (spec.scoped, spec.user_fields)


def test_banking_and_transfers_store_the_workspace_as_text():
    """Four collections store a string, all others an ObjectId."""
    assert {"transactions", "accounts_bankings", "api_metrics", "filetransfers"} == {
        spec.name for spec in NEWBI.scoped if spec.workspace_type is IdType.STRING
    }


def test_columns_and_tasks_follow_their_board():
    """Boards come before what inherits their workspace."""
    names = [spec.name for spec in NEWBI]

    assert {"columns": "boards", "tasks": "boards"} == {
        spec.name: spec.parent.collection for spec in NEWBI if spec.parent
    }
    assert names.index("boards") < min(names.index("columns"), names.index("tasks"))


def test_only_the_metrics_name_no_owner():
    """Everything else can be resolved through somebody."""
    assert ["api_metrics"] == [spec.name for spec in NEWBI if spec.owner_field is None]


def test_the_guides_critical_collections_are_marked():
    """These are exported as Extended JSON too."""
    assert {"invoices", "quotes", "expenses", "clients"} == {
        spec.name for spec in NEWBI if spec.critical
    }


@pytest.mark.parametrize("collection", ["invoices", "quotes", "creditnotes"])
def test_numbers_are_unique_in_a_workspace_and_a_year(collection):
    """Drafts without a number do not collide, and the year follows the date in France."""
    (key,) = NEWBI[collection].unique_keys

    assert {("number", "workspaceId", "issueYear")} == unique_paths(collection)
    assert {"number": {"$type": "string"}} == key.index.partial
    assert {"issueYear"} == set(key.derived)
    assert "'timezone': 'Europe/Paris'" in str(key.derived)


def test_other_natural_keys_are_unique_as_well():
    """The uniqueness after the repair of the indexes is complete."""
    assert {("email", "workspaceId")} == unique_paths("clients")
    assert {("workspaceId", "documentType")} == unique_paths("documentsettings")
    assert {("provider", "externalId"), ("idempotencyKey",)} == unique_paths("transactions")
    assert {("provider", "externalId")} == unique_paths("accounts_bankings")
    assert {("provider", "endpoint", "method", "workspaceId", "date")} == unique_paths(
        "api_metrics"
    )


def test_old_transactions_do_not_collide_on_fields_they_lack():
    """Only rows with an external id are held to its uniqueness."""
    key = next(k for k in NEWBI["transactions"].unique_keys if len(k.index.keys) == 2)

    assert {"externalId": {"$type": "string"}} == key.index.partial


@pytest.mark.parametrize("spec", list(NEWBI), ids=lambda spec: spec.name)
def test_nothing_wanted_is_obsolete(spec):
    """The old structure's indexes have other keys, so that one is never taken for the other."""
    wanted = [key.index for key in spec.unique_keys] + list(spec.indexes)

    assert set() == {i.keys for i in wanted} & {i.keys for i in spec.obsolete}
    assert len(wanted) == len({i.name for i in wanted})
    assert sum(i.is_text for i in wanted) <= 1


def test_obsolete_unique_and_text_indexes_are_known():
    """What hinders the new structure is described."""
    found = {(s.name, i.name) for s in NEWBI for i in s.obsolete}

    assert {
        ("invoices", "number_1_createdBy_1"),
        ("quotes", "number_1_createdBy_1"),
        ("quotes", "workspaceId_1_number_1"),
        ("creditnotes", "number_1_createdBy_1"),
        ("clients", "email_1_createdBy_1"),
        ("documentsettings", "createdBy_1_documentType_1"),
        ("transactions", "bridgeTransactionId_1"),
        ("expenses", "vendor_text"),
        ("emailsignatures", "name_text"),
        ("emailsignatures", "workspaceId_1_name_text"),
    } == found


@pytest.mark.parametrize("spec", list(NEWBI), ids=lambda spec: spec.name)
def test_every_collection_has_its_model(spec):
    """The model is that of the very collection, and declares owner and user fields."""
    keys = {field.alias for field in spec.model.model_fields.values()}

    assert spec.name == spec.model.collection_name
    assert set(spec.user_fields) <= keys
    assert not spec.scoped or NEWBI.workspace_field in keys
    assert spec.parent is None or spec.parent.field in keys


def test_better_auth_finds_its_indexes_under_its_own_names():
    """Names, keys and uniqueness are those it would build itself; the pair is ours."""
    assert {
        "user_email_uidx": ("email",),
        "organization_slug_uidx": ("slug",),
        "member_organizationId_userId_uidx": ("organizationId", "userId"),
    } == {
        i.name: tuple(path for path, _ in i.keys)
        for indexes in BETTER_AUTH_INDEXES.values()
        for i in indexes
        if i.unique
    }
    assert {"account_userId_idx", "member_userId_idx", "member_organizationId_idx"} == {
        i.name for indexes in BETTER_AUTH_INDEXES.values() for i in indexes if not i.unique
    }


def spec(name, parent=None):
    link = None if parent is None else ParentLink("p", parent)
    return CollectionSpec(name, "o", IdType.STRING, parent=link)


def test_a_collection_is_described_once():
    """Two descriptions of one collection are refused."""
    with pytest.raises(UsageError, match="a more than once"):
        Registry([spec("a"), spec("a")])


@pytest.mark.parametrize(
    "specs", [[spec("a", "z")], [spec("a", "b"), spec("b", "a")]], ids=["unknown", "circle"]
)
def test_parents_are_registered_and_form_no_circle(specs):
    """A child whose parent can never come first is refused."""
    with pytest.raises(UsageError, match="not registered or form a circle"):
        Registry(specs)


ON_A, ON_B = IndexSpec((("a", 1),), name="n"), IndexSpec((("b", 1),), name="n")


def with_indexes(*indexes, unique=None, derived=None):
    keys = () if unique is None else (UniqueKey(replace(unique, unique=True), derived or {}),)
    return CollectionSpec("a", "o", IdType.STRING, indexes=indexes, unique_keys=keys)


@pytest.mark.parametrize(
    ("collections", "said"),
    [
        ([spec("c", "b"), spec("b", "a"), spec("a")], "'b', which has a parent itself"),
        ([spec("b", "a"), CollectionSpec("a", "o", None)], "'a', whose documents get no workspace"),
        ([CollectionSpec("", "o", IdType.STRING)], "no collection can have that name"),
        ([CollectionSpec("a$b", "o", IdType.STRING)], "no collection can have that name"),
        ([spec("member")], "one of Better Auth's"),
        ([spec("session")], "one of Better Auth's"),
        ([spec("system.js")], "one of the server's own"),
        ([spec("newbi_migrate_runs")], "one of this tool's own"),
        ([spec("users")], "may hold the legacy users"),
        ([CollectionSpec("a", "", IdType.STRING)], "owner_field of 'a' is '', which is empty"),
        ([CollectionSpec("a", "$o", IdType.STRING)], "is not a name that a field can have"),
        ([CollectionSpec("a", "by.id", IdType.STRING)], "is a path into an embedded document"),
        ([CollectionSpec("a", "_id", IdType.STRING)], "can never be changed"),
        (
            [CollectionSpec("a", "o", IdType.STRING, alias_fields=("x", "y.z"))],
            "alias_fields of 'a' is 'y.z', which is a path",
        ),
        (
            [spec("a"), CollectionSpec("b", "o", IdType.STRING, parent=ParentLink("a.id", "a"))],
            "parent of 'b' is 'a.id', which is a path",
        ),
        ([CollectionSpec("a", "workspaceId", IdType.STRING)], "'workspaceId' of 'a' has two roles"),
        (
            [CollectionSpec("a", "o", IdType.STRING, alias_fields=("o",))],
            "'o' of 'a' has two roles",
        ),
        (
            [CollectionSpec("a", "o", IdType.STRING, alias_fields=("x", "x"))],
            "'x' of 'a' has two roles",
        ),
        ([with_indexes(ON_A, ON_B)], "The index 'n' of 'a' has the name of another one"),
        ([with_indexes(ON_B, unique=ON_A)], "The index 'n' of 'a' has the name of another one"),
        ([with_indexes(ON_A, replace(ON_A, name="m"))], "'m' of 'a' is another one under a second"),
        (
            [with_indexes(IndexSpec((("a", "text"),)), IndexSpec((("b", "text"),)))],
            "'b_text' of 'a' is a second text index",
        ),
        ([with_indexes(IndexSpec((("a", 1),), name="_id_"))], "each collection has by itself"),
        ([with_indexes(IndexSpec(()))], "The index '' of 'a' has no keys"),
        (
            [with_indexes(IndexSpec((("a", 1),), partial={"$or": 1}))],
            "The index 'a_1' of 'a' has a partial filter that is none",
        ),
        (
            [with_indexes(IndexSpec((("a", 1),), partial={"$foo": [{"a": 1}]}))],
            "The index 'a_1' of 'a' has a partial filter that is none",
        ),
        (
            [with_indexes(unique=ON_A, derived={"b": 1})],
            "The index 'n' of 'a' derives b, which is none of its keys",
        ),
    ],
)
def test_what_a_migration_cannot_do_is_refused_at_once(collections, said):
    """A registry that asks for it is never made, and the sentence names collection and field."""
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        Registry(collections)

    assert "" != refused.value.next_step


@pytest.mark.parametrize("field", ["", "$w", "scope.tenant", "_id"])
def test_the_workspace_is_a_top_level_field(field):
    """A workspace field that cannot be set and unset by itself is refused."""
    with pytest.raises(UsageError, match="workspace_field is"):
        Registry([spec("a")], workspace_field=field)


@pytest.mark.parametrize("name", ["", "user", "system.users", "newbi_migrate_runs"])
def test_legacy_users_are_in_no_reserved_collection(name):
    """A run never reads legacy users where it, or the server, writes."""
    with pytest.raises(UsageError, match="legacy users cannot be in"):
        Registry([spec("a")], legacy_candidates=(name,))


def test_a_parent_link_may_be_the_id():
    """A child may share the id of its parent, for the link itself is never written."""
    child = CollectionSpec("b", "o", IdType.STRING, parent=ParentLink("_id", "a"))

    assert child == Registry([spec("a"), child])["b"]


def test_a_child_follows_its_owner_until_its_parent_is_scoped():
    """As of a day before its parent's, a child keeps its workspace and loses the links."""
    link = ParentLink("p", "a")
    whole = Registry(
        [
            replace(spec("a"), scoped_since=date(2026, 1, 1)),
            CollectionSpec("b", "o", IdType.STRING, parent=link, companions=(link,)),
        ]
    )

    child = whole.as_of(MIGRATION)["b"]

    assert (True, None, ()) == (child.scoped, child.parent, child.companions)


def test_every_day_of_newbi_is_a_registry():
    """Newbi's registry as of any day asks for nothing a migration cannot do."""
    days = {spec.scoped_since for spec in NEWBI if spec.scoped_since} | {date(2020, 1, 1)}

    assert {len(NEWBI)} == {len(NEWBI.as_of(day)) for day in days}


def test_parents_come_first_whatever_the_order():
    """Documents of a parent are stamped before its children ask for their workspace."""
    assert ["a", "c", "b"] == [
        s.name for s in Registry([spec("c", "a"), spec("b", "a"), spec("a")])
    ]


def test_a_part_of_a_registry_keeps_its_links():
    """A child can be migrated alone; its parent is read and not written."""
    only = NEWBI.only(["tasks"])

    assert ["tasks"] == [s.name for s in only]
    assert "boards" == only["tasks"].parent.collection


def test_an_unknown_name_is_refused_with_those_known():
    """A typing mistake ends in a sentence that helps."""
    with pytest.raises(UsageError, match="no collection 'invoice'"):
        NEWBI.only(["invoice"])


def test_a_host_replaces_and_adds():
    """An extension wins over what is known under its name."""
    mine = spec("invoices")
    extended = NEWBI.extended(mine, spec("orders"))

    assert mine == extended["invoices"]
    assert len(NEWBI) + 1 == len(extended)


def test_an_index_is_named_as_mongodb_would():
    """Without a name of its own an index has the server's default name."""
    index = IndexSpec((("a", 1), ("b.c", -1), ("d", "text")))

    assert "a_1_b.c_-1_d_text" == index.name
    assert index.is_text
