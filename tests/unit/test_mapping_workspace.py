"""Which workspace a document belongs to: every class of stored value, owner and parent."""

from __future__ import annotations

import pytest
from bson import Int64, MinKey, ObjectId
from bson.code import Code

from newbi_migrate.documents.registry import CollectionSpec, IdType, ParentLink
from newbi_migrate.mapping.values import ABSENT
from newbi_migrate.mapping.workspace import (
    Action,
    Membership,
    Reason,
    Resolution,
    WorkspaceClass,
    Workspaces,
    resolve,
    workspace_of,
)

LEA, HUGO, ZOE, TOM, INES, LOU = (ObjectId(f"64b00000000000000000000{n}") for n in range(1, 7))
OLD_LEA = ObjectId("64b0000000000000000000a1")
OLD_TOM = ObjectId("64b0000000000000000000a4")
NOBODY = ObjectId("64b0000000000000000000ff")
ATELIER, STUDIO, SHARED = (ObjectId(f"65a00000000000000000000{n}") for n in range(1, 4))
GONE = ObjectId("65a0000000000000000000ff")
WHO = Workspaces(
    organizations=frozenset({ATELIER, STUDIO, SHARED}),
    users=frozenset({LEA, HUGO, ZOE, TOM, INES, OLD_LEA, OLD_TOM}),
    aliases={OLD_LEA: LEA, OLD_TOM: TOM},
    by_user={
        LEA: ATELIER,
        HUGO: STUDIO,
        ZOE: Reason.OWNER_AMBIGUOUS,
        INES: Reason.OWNER_QUARANTINED,
    },
    members={LEA: frozenset({ATELIER, SHARED}), HUGO: frozenset({STUDIO}), ZOE: frozenset()},
)
NOTES = CollectionSpec("notes", "owner", IdType.OBJECT_ID)
PAYMENTS = CollectionSpec("payments", "owner", IdType.STRING)
METRICS = CollectionSpec("metrics", None, IdType.OBJECT_ID)
CARDS = CollectionSpec("cards", "owner", IdType.OBJECT_ID, parent=ParentLink("board", "boards"))
GRANTS = CollectionSpec("grants", "giver", None, alias_fields=("taker",))

KEEP, STAMP, QUARANTINE = Action.KEEP, Action.STAMP, Action.QUARANTINE
by_type = pytest.mark.parametrize(
    ("spec", "written"), [(NOTES, lambda i: i), (PAYMENTS, str)], ids=["ObjectId", "string"]
)


def resolved(spec, stored, owner=..., **options):
    users = {} if owner is ... else {"owner": owner}
    return resolve(spec, WHO, stored=stored, users=users, **options)


@by_type
@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (ABSENT, WorkspaceClass.MISSING),
        (None, WorkspaceClass.NULL),
        ("", WorkspaceClass.BLANK),
        (" \t", WorkspaceClass.BLANK),
        (GONE, WorkspaceClass.DANGLING),
        (str(GONE), WorkspaceClass.DANGLING),
        ("default", WorkspaceClass.DANGLING),
        (0, WorkspaceClass.DANGLING),
        (False, WorkspaceClass.DANGLING),
        (Int64(7), WorkspaceClass.DANGLING),
        ([ATELIER], WorkspaceClass.DANGLING),
        ({}, WorkspaceClass.DANGLING),
        (MinKey(), WorkspaceClass.DANGLING),
        (LEA, WorkspaceClass.USER_ID),
        (str(LEA), WorkspaceClass.USER_ID),
        (HUGO, WorkspaceClass.USER_ID),
        (OLD_LEA, WorkspaceClass.USER_ID),
        ({"$oid": str(OLD_LEA)}, WorkspaceClass.USER_ID),
    ],
)
def test_what_names_no_organization_is_replaced_by_the_owners(spec, written, stored, found):
    """Missing, null, blank, dangling and user ids become the owner's workspace in its own type."""
    expected = Resolution(found, STAMP, {"workspaceId": written(ATELIER)})

    assert expected == resolved(spec, stored, LEA)


@by_type
def test_a_workspace_of_the_owner_in_the_right_type_is_kept(spec, written):
    """Any organization the owner is in is valid, also one that is not their own."""
    for organization in (ATELIER, SHARED):
        expected = Resolution(WorkspaceClass.VALID, KEEP)

        assert expected == resolved(spec, written(organization), LEA)


@pytest.mark.parametrize(
    ("spec", "stored", "expected"),
    [
        (NOTES, str(SHARED), SHARED),
        (NOTES, str(SHARED).upper(), SHARED),
        (NOTES, {"$oid": str(SHARED)}, SHARED),
        (NOTES, Code(str(SHARED)), SHARED),
        (PAYMENTS, SHARED, str(SHARED)),
        (PAYMENTS, str(SHARED).upper(), str(SHARED)),
        (PAYMENTS, {"$oid": str(SHARED)}, str(SHARED)),
        (PAYMENTS, Code(str(SHARED)), str(SHARED)),
    ],
)
def test_the_right_workspace_in_the_wrong_type_is_retyped(spec, stored, expected):
    """The organization stays, though the owner has another workspace; only its type changes."""
    expected = Resolution(WorkspaceClass.WRONG_TYPE, STAMP, {"workspaceId": expected})

    assert expected == resolved(spec, stored, LEA)


@by_type
@pytest.mark.parametrize("stored", [STUDIO, str(STUDIO), {"$oid": str(STUDIO)}])
@pytest.mark.parametrize("owner", [LEA, OLD_LEA, str(LEA), ZOE, TOM, INES, NOBODY, "undefined", 7])
def test_somebody_elses_workspace_is_left_and_reported(spec, written, stored, owner):
    """An organization that exists and that the owner is not in is never written over."""
    expected = Resolution(WorkspaceClass.FOREIGN, QUARANTINE, reason=Reason.FOREIGN_WORKSPACE)

    assert expected == resolved(spec, stored, owner)


@pytest.mark.parametrize("owner", [..., ABSENT, None])
@pytest.mark.parametrize("spec", [NOTES, METRICS])
def test_without_an_owner_nothing_contradicts_a_workspace(spec, owner):
    """Some collections name no owner, and in others the field is optional."""
    assert Resolution(WorkspaceClass.VALID, KEEP) == resolved(spec, STUDIO, owner)


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        (..., Reason.OWNER_MISSING),
        (ABSENT, Reason.OWNER_MISSING),
        (None, Reason.OWNER_MISSING),
        ("undefined", Reason.OWNER_MALFORMED),
        ("", Reason.OWNER_MALFORMED),
        (42, Reason.OWNER_MALFORMED),
        ([LEA], Reason.OWNER_MALFORMED),
        (NOBODY, Reason.OWNER_UNKNOWN),
        (str(NOBODY), Reason.OWNER_UNKNOWN),
        ({"$oid": str(NOBODY)}, Reason.OWNER_UNKNOWN),
        (ATELIER, Reason.OWNER_UNKNOWN),
        (TOM, Reason.OWNER_WITHOUT_WORKSPACE),
        (OLD_TOM, Reason.OWNER_WITHOUT_WORKSPACE),
        (ZOE, Reason.OWNER_AMBIGUOUS),
        (INES, Reason.OWNER_QUARANTINED),
    ],
)
@pytest.mark.parametrize("stored", [ABSENT, None, "", GONE, "default"])
def test_a_document_without_a_clear_owner_is_left_and_reported(stored, owner, reason):
    """Who cannot be found, or has no single workspace, decides nothing; the reason is told."""
    found = resolved(NOTES, stored, owner)

    assert (QUARANTINE, {}, reason) == (found.action, found.changes, found.reason)


@pytest.mark.parametrize("owner", [LEA, str(LEA), str(LEA).upper(), {"$oid": str(LEA)}])
def test_an_owner_is_understood_in_three_forms(owner):
    """An ObjectId, 24 hexadecimal digits and Extended JSON name the same owner."""
    expected = Resolution(WorkspaceClass.MISSING, STAMP, {"workspaceId": ATELIER})

    assert expected == resolved(NOTES, ABSENT, owner)


@pytest.mark.parametrize("owner", [..., ABSENT, None])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (LEA, ATELIER),
        (str(HUGO), STUDIO),
        (OLD_LEA, ATELIER),
        (ZOE, Reason.OWNER_AMBIGUOUS),
        (TOM, Reason.OWNER_WITHOUT_WORKSPACE),
    ],
)
def test_a_user_written_as_workspace_is_the_owner_where_there_is_no_other(owner, stored, expected):
    """The application once fell back to the user's id: it tells whose the document is."""
    found = resolved(NOTES, stored, owner)

    assert WorkspaceClass.USER_ID is found.stored
    assert expected == (found.changes.get("workspaceId") or found.reason)


def test_a_stated_owner_counts_before_a_user_written_as_workspace():
    """The owner field is what the application wrote on purpose."""
    assert {"workspaceId": STUDIO} == resolved(NOTES, LEA, HUGO).changes
    assert Reason.OWNER_MALFORMED is resolved(NOTES, LEA, "undefined").reason


def test_a_collection_without_owner_and_parent_can_only_be_right_already():
    """There is nobody to ask, also where something like an owner is stored."""
    expected = Resolution(WorkspaceClass.MISSING, QUARANTINE, reason=Reason.OWNER_MISSING)

    assert expected == resolved(METRICS, ABSENT, LEA)
    assert {"workspaceId": ATELIER} == resolved(METRICS, LEA, HUGO).changes


# -- children -----------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [LEA, HUGO, ZOE, NOBODY, None, ..., "undefined"])
@pytest.mark.parametrize("stored", [ABSENT, None, "", GONE, HUGO, "default"])
def test_a_child_follows_its_board(stored, owner):
    """Whoever made a card, and whatever it held, it is where its board is."""
    found = resolved(CARDS, stored, owner, parent_workspace=STUDIO)

    assert (STAMP, {"workspaceId": STUDIO}) == (found.action, found.changes)


@pytest.mark.parametrize("owner", [LEA, ZOE, NOBODY, None, "undefined"])
def test_a_child_where_its_board_is_is_right(owner):
    """That somebody of another organization made it is no contradiction."""
    kept = resolved(CARDS, STUDIO, owner, parent_workspace=STUDIO)
    retyped = resolved(CARDS, str(STUDIO), owner, parent_workspace=STUDIO)

    assert Resolution(WorkspaceClass.VALID, KEEP) == kept
    assert Resolution(WorkspaceClass.WRONG_TYPE, STAMP, {"workspaceId": STUDIO}) == retyped


@pytest.mark.parametrize("stored", [ATELIER, str(ATELIER)])
def test_a_child_elsewhere_than_its_board_is_left_and_reported(stored):
    """It is its owner's workspace, and still not its board's."""
    expected = Resolution(WorkspaceClass.FOREIGN, QUARANTINE, reason=Reason.PARENT_ELSEWHERE)

    assert expected == resolved(CARDS, stored, LEA, parent_workspace=STUDIO)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (ABSENT, Resolution(WorkspaceClass.MISSING, STAMP, {"workspaceId": ATELIER})),
        (ATELIER, Resolution(WorkspaceClass.VALID, KEEP)),
        (STUDIO, Resolution(WorkspaceClass.FOREIGN, QUARANTINE, reason=Reason.FOREIGN_WORKSPACE)),
    ],
)
def test_a_child_without_a_board_follows_its_owner(stored, expected):
    """A board that is gone or unresolved decides nothing."""
    assert expected == resolved(CARDS, stored, LEA)


# -- aliases ------------------------------------------------------------------------------------


@by_type
@pytest.mark.parametrize(
    ("owner", "rewritten"),
    [
        (OLD_LEA, LEA),
        (str(OLD_LEA), str(LEA)),
        ({"$oid": str(OLD_LEA)}, {"$oid": str(LEA)}),
    ],
)
def test_the_owner_of_an_alias_is_rewritten_in_their_own_form(spec, written, owner, rewritten):
    """A document of a legacy id follows to the user who took its place, stamped or kept."""
    stamped = {"workspaceId": written(ATELIER), "owner": rewritten}
    expected = Resolution(WorkspaceClass.MISSING, STAMP, stamped)
    kept = Resolution(WorkspaceClass.VALID, STAMP, {"owner": rewritten})

    assert expected == resolved(spec, ABSENT, owner)
    assert kept == resolved(spec, written(SHARED), owner)


def test_an_alias_keeps_its_owner_where_that_is_wanted():
    """The workspace is found through the alias all the same."""
    found = resolved(NOTES, ABSENT, OLD_LEA, rewrite_owners=False)

    assert Resolution(WorkspaceClass.MISSING, STAMP, {"workspaceId": ATELIER}) == found
    assert Resolution(WorkspaceClass.VALID, KEEP) == resolved(
        NOTES, ATELIER, OLD_LEA, rewrite_owners=False
    )


@pytest.mark.parametrize(("stored", "owner"), [(STUDIO, OLD_LEA), (ABSENT, OLD_TOM)])
def test_a_quarantined_document_keeps_its_owner(stored, owner):
    """What is quarantined is left as it is, as a whole."""
    found = resolved(NOTES, stored, owner)

    assert (QUARANTINE, {}) == (found.action, found.changes)


@pytest.mark.parametrize(
    ("users", "changes"),
    [
        ({"giver": OLD_LEA, "taker": str(OLD_TOM)}, {"giver": LEA, "taker": str(TOM)}),
        ({"giver": LEA, "taker": OLD_TOM}, {"taker": TOM}),
        ({"giver": OLD_LEA, "other": OLD_TOM}, {"giver": LEA}),
        ({"giver": LEA, "taker": "undefined"}, {}),
        ({"giver": None}, {}),
        ({}, {}),
    ],
)
def test_a_collection_without_workspaces_follows_aliases_alone(users, changes):
    """Every field that names an aliased user is rewritten, and nothing else happens."""
    found = resolve(GRANTS, WHO, stored=ABSENT, users=users)

    assert Resolution(None, STAMP if changes else KEEP, changes) == found
    assert Resolution(None, KEEP) == resolve(
        GRANTS, WHO, stored=ABSENT, users=users, rewrite_owners=False
    )


def test_the_workspace_field_has_the_name_the_registry_gives_it():
    """An application may call it otherwise."""
    found = resolved(NOTES, ABSENT, LEA, workspace_field="tenantId")

    assert {"tenantId": ATELIER} == found.changes


# -- who is who ---------------------------------------------------------------------------------


def memberships(*found):
    return [Membership(where, LEA, frozenset(roles.split(","))) for where, roles in found]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], Reason.OWNER_WITHOUT_WORKSPACE),
        ([(ATELIER, "owner")], ATELIER),
        ([(ATELIER, "member")], ATELIER),
        ([(ATELIER, "viewer"), (STUDIO, "accountant,owner")], STUDIO),
        ([(STUDIO, "admin"), (ATELIER, "owner"), (SHARED, "admin")], ATELIER),
        ([(STUDIO, "admin"), (ATELIER, "member"), (SHARED, "member")], STUDIO),
        ([(STUDIO, "owner"), (ATELIER, "owner")], Reason.OWNER_AMBIGUOUS),
        ([(STUDIO, "owner"), (ATELIER, "owner"), (SHARED, "admin")], Reason.OWNER_AMBIGUOUS),
        ([(STUDIO, "admin"), (ATELIER, "admin"), (SHARED, "member")], Reason.OWNER_AMBIGUOUS),
        ([(STUDIO, "member"), (ATELIER, "member")], Reason.OWNER_AMBIGUOUS),
        ([(ATELIER, "owner"), (ATELIER, "admin"), (ATELIER, "owner,member")], ATELIER),
    ],
)
def test_a_home_is_owned_then_administered_then_the_only_one(seen, expected):
    """The first role in which there is a workspace decides, and several there are ambiguous."""
    assert expected == workspace_of(memberships(*seen))


def test_memberships_are_read_once():
    """They may come from something that can be gone through only once."""
    assert ATELIER == workspace_of(iter(memberships((ATELIER, "member"))))


@pytest.mark.parametrize(
    ("user", "current", "workspace"),
    [
        (LEA, LEA, ATELIER),
        (OLD_LEA, LEA, ATELIER),
        (OLD_TOM, TOM, Reason.OWNER_WITHOUT_WORKSPACE),
        (ZOE, ZOE, Reason.OWNER_AMBIGUOUS),
        (NOBODY, NOBODY, Reason.OWNER_UNKNOWN),
        (LOU, LOU, Reason.OWNER_UNKNOWN),
    ],
)
def test_a_user_is_known_by_their_present_id(user, current, workspace):
    """An alias leads to the user who took the place, and that user's workspace is theirs."""
    assert current == WHO.current(user)
    assert workspace == WHO.of_user(user)


@pytest.mark.parametrize(
    ("user", "organization", "expected"),
    [
        (LEA, SHARED, True),
        (OLD_LEA, SHARED, True),
        (LEA, STUDIO, False),
        (TOM, ATELIER, False),
        (NOBODY, ATELIER, False),
    ],
)
def test_membership_is_asked_under_the_present_id(user, organization, expected):
    """Somebody who became another user is a member where that user is."""
    assert expected is WHO.is_member(user, organization)


def test_where_nobody_is_known_nobody_has_a_workspace():
    """Nothing is shared between two workspaces, and none has anybody in it."""
    empty = Workspaces()

    assert Reason.OWNER_UNKNOWN is empty.of_user(LEA)
    assert LEA == empty.current(LEA)
    assert not empty.is_member(LEA, ATELIER)
