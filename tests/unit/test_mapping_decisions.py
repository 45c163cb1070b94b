"""What becomes of each legacy user, given all of them and all that is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bson import ObjectId

from newbi_migrate.choices import AliasPolicy, DuplicatePolicy
from newbi_migrate.mapping.decisions import (
    LegacyKey,
    Outcome,
    Target,
    TargetUser,
    UserDecision,
    decide_users,
    workspaces_after,
)
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Membership, Reason, Workspaces

# The last eight digits of the first two are the same, and with them the application's slug.
LEA = ObjectId("64b0000000000001aaaaaaaa")
HUGO = ObjectId("64b0000000000002aaaaaaaa")
ZOE = ObjectId("64b0000000000003bbbbbbbb")
OTHER = ObjectId("64b00000000000ff00000001")
ANOTHER = ObjectId("64b00000000000ff00000002")
ATELIER, STUDIO = (ObjectId(f"65a00000000000000000000{n}") for n in (1, 2))


def key(id_, email="lea@newbi.fr", **more):
    return LegacyKey(id_, email, **more)


def target(*users, organizations=None, members=(), unusable=()):
    return Target(
        users={user.id: user for user in users},
        organizations=organizations or {},
        memberships=tuple(Membership(o, u, frozenset(r.split(","))) for o, u, r in members),
        unusable_emails=frozenset(unusable),
    )


def decide(*keys, there=None, **policies):
    return list(decide_users(keys, there or Target(), **policies))


def created(id_, slug, **more):
    workspace = organization_id(id_)
    return UserDecision(id_, Outcome.CREATED, user_id=id_, workspace=workspace, slug=slug, **more)


def quarantined(id_, reason):
    return UserDecision(id_, Outcome.QUARANTINED, reason=reason)


# -- keys ---------------------------------------------------------------------------------------


def test_a_legacy_user_is_known_by_five_values():
    """Id, normal address and how it is stored, phone number and referral code."""
    document = {
        "_id": LEA,
        "email": " Lea@newbi.fr",
        "profile": {"phone": " 06 "},
        "referralCode": " A1 ",
    }

    assert LegacyKey(LEA, "lea@newbi.fr", False, "06", "A1") == LegacyKey.of(document)
    assert LegacyKey.of({"_id": LEA, "email": "lea@newbi.fr"}).normalized
    assert LegacyKey(None, None, False) == LegacyKey.of({})


@pytest.mark.parametrize(
    ("verified", "expected"),
    [(True, True), (False, False), (None, False), (1, False), ("true", False)],
)
def test_an_existing_user_is_verified_only_by_a_boolean(verified, expected):
    """Better Auth stores nothing else, and what it does not understand proves nothing."""
    document = {
        "_id": OTHER,
        "email": " Lea@newbi.fr",
        "emailVerified": verified,
        "phoneNumber": " 06 ",
        "referralCode": " A1 ",
    }

    assert TargetUser(OTHER, "lea@newbi.fr", expected, "06", "A1") == TargetUser.of(document)


@pytest.mark.parametrize("id_", ["user-1", str(OTHER), 7, None])
def test_an_existing_user_without_an_object_id_is_none(id_):
    """No document can refer to them."""
    assert TargetUser.of({"_id": id_, "email": "lea@newbi.fr"}) is None
    assert TargetUser(OTHER, None) == TargetUser.of({"_id": OTHER})


# -- outcomes -----------------------------------------------------------------------------------


def test_a_new_user_is_created_with_an_organization_of_their_own():
    """The user's id stays, the organization's id follows from it, the slug is the application's."""
    assert [created(LEA, "org-aaaaaaaa")] == decide(key(LEA))


def test_a_user_who_is_there_already_is_merged():
    """The same id is the same person, whatever their address says today."""
    there = target(TargetUser(LEA, "other@newbi.fr"))
    expected = replace(created(LEA, "org-aaaaaaaa"), outcome=Outcome.PRESENT)

    assert [expected] == decide(key(LEA), there=there)
    assert [expected] == decide(key(LEA, None), there=there)


@pytest.mark.parametrize(
    ("verified", "policy", "expected"),
    [
        (True, AliasPolicy.VERIFIED, Outcome.ALIASED),
        (False, AliasPolicy.VERIFIED, Reason.ALIAS_UNVERIFIED),
        (True, AliasPolicy.ALL, Outcome.ALIASED),
        (False, AliasPolicy.ALL, Outcome.ALIASED),
        (True, AliasPolicy.REFUSE, Reason.ALIAS_REFUSED),
        (False, AliasPolicy.REFUSE, Reason.ALIAS_REFUSED),
    ],
)
def test_a_user_becomes_another_only_as_the_policy_has_it(verified, policy, expected):
    """Whoever registered a stranger's address must not inherit what is theirs."""
    there = target(TargetUser(OTHER, "lea@newbi.fr", verified))
    (found,) = decide(key(LEA), there=there, aliases=policy)

    if expected is Outcome.ALIASED:
        workspace = organization_id(OTHER)
        assert UserDecision(LEA, expected, None, OTHER, workspace, slug="org-00000001") == found
    else:
        assert quarantined(LEA, expected) == found


def test_an_unverified_address_is_no_alias_by_default():
    """The safe policy is the one without asking."""
    there = target(TargetUser(OTHER, "lea@newbi.fr"))

    assert [quarantined(LEA, Reason.ALIAS_UNVERIFIED)] == decide(key(LEA), there=there)


@pytest.mark.parametrize(
    ("legacy", "there", "reason"),
    [
        (key("user-1"), Target(), Reason.ID_NOT_OBJECT_ID),
        (key(str(LEA)), Target(), Reason.ID_NOT_OBJECT_ID),
        (key(None, readable=False), Target(), Reason.ID_NOT_OBJECT_ID),
        (key(LEA, None, readable=False), Target(), Reason.UNREADABLE),
        (key(LEA, None, readable=False), target(TargetUser(LEA, None)), Reason.UNREADABLE),
        (key(LEA, None), Target(), Reason.EMAIL_MISSING),
        (key(LEA), target(unusable=["lea@newbi.fr"]), Reason.ALIAS_AMBIGUOUS),
        (
            key(LEA),
            target(TargetUser(OTHER, "lea@newbi.fr", verified=True), unusable=["lea@newbi.fr"]),
            Reason.ALIAS_AMBIGUOUS,
        ),
        (
            key(LEA),
            target(
                TargetUser(OTHER, "lea@newbi.fr", verified=True),
                TargetUser(ANOTHER, "lea@newbi.fr", verified=True),
            ),
            Reason.ALIAS_AMBIGUOUS,
        ),
    ],
)
def test_who_cannot_be_told_is_quarantined(legacy, there, reason):
    """Without a usable id, readable bytes or an address of theirs alone, nothing is written."""
    assert [quarantined(legacy.id, reason)] == decide(legacy, there=there)


def test_an_address_of_a_user_migrated_before_is_a_duplicate():
    """That user is another legacy user, so they are two people and not one."""
    there = target(TargetUser(HUGO, "lea@newbi.fr", verified=True))
    found = decide(key(LEA), key(HUGO, "hugo@newbi.fr"), there=there)

    assert [quarantined(LEA, Reason.DUPLICATE_EMAIL), Outcome.PRESENT] == [
        found[0],
        found[1].outcome,
    ]


def test_who_became_another_user_stays_that_user():
    """Neither the addresses of today nor the choices take the decision again."""
    there = target(TargetUser(OTHER, "new@newbi.fr"))
    expected = UserDecision(
        LEA, Outcome.ALIASED, None, OTHER, organization_id(OTHER), slug="org-00000001"
    )

    assert [expected] == decide(key(LEA), there=there, became={LEA: OTHER})
    assert [expected] == decide(key(LEA, None), there=there, became={LEA: OTHER})
    assert [expected] == decide(
        key(LEA), there=there, became={LEA: OTHER}, aliases=AliasPolicy.REFUSE
    )


@pytest.mark.parametrize(
    ("there", "outcome"),
    [
        (Target(), Outcome.CREATED),
        (target(TargetUser(LEA, None)), Outcome.PRESENT),
        (target(TargetUser(LEA, None), TargetUser(OTHER, None)), Outcome.PRESENT),
    ],
)
def test_who_became_another_user_is_decided_about_anew_where_that_one_is_gone(there, outcome):
    """Or where somebody is there who has the id they had."""
    (found,) = decide(key(LEA), there=there, became={LEA: OTHER})

    assert (outcome, LEA) == (found.outcome, found.user_id)


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_who_became_another_user_keeps_the_address(policy):
    """As who was created does: the one who came late is the duplicate."""
    there = target(TargetUser(OTHER, "lea@newbi.fr", verified=True))
    found = decide(key(LEA), key(HUGO), there=there, duplicates=policy, became={LEA: OTHER})

    assert (Outcome.ALIASED, OTHER) == (found[0].outcome, found[0].user_id)
    assert quarantined(HUGO, Reason.DUPLICATE_EMAIL) == found[1]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([key(LEA), key(HUGO, "hugo@newbi.fr")], quarantined(HUGO, Reason.DUPLICATE_EMAIL)),
        # Of the first only the record is left.
        (
            [key(HUGO, "hugo@newbi.fr")],
            UserDecision(
                HUGO, Outcome.ALIASED, None, OTHER, organization_id(OTHER), slug="org-00000001"
            ),
        ),
    ],
)
def test_nobody_becomes_a_user_whom_another_legacy_user_became(keys, expected):
    """They are two people and not one, whatever address that user has today."""
    there = target(TargetUser(OTHER, "hugo@newbi.fr", verified=True))

    assert expected == decide(*keys, there=there, became={LEA: OTHER})[-1]


def test_who_became_another_user_shares_no_slug_with_anybody():
    """The slug ends with the id of the user they became."""
    there = target(TargetUser(HUGO, "hugo@newbi.fr"))
    found = decide(key(LEA), key(ZOE, "zoe@newbi.fr"), there=there, became={ZOE: HUGO})

    assert [LEA, HUGO] == [decision.user_id for decision in found]
    assert "org-aaaaaaaa" == found[0].slug
    assert found[1].slug not in (None, "org-aaaaaaaa")


# -- duplicates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "normalized", "kept"),
    [
        (DuplicatePolicy.QUARANTINE, (True, False, False), ()),
        (DuplicatePolicy.KEEP_NORMALIZED, (True, False, False), (0,)),
        (DuplicatePolicy.KEEP_NORMALIZED, (False, False, True), (2,)),
        (DuplicatePolicy.KEEP_NORMALIZED, (True, True, False), ()),
        (DuplicatePolicy.KEEP_NORMALIZED, (False, False, False), ()),
    ],
)
def test_of_users_with_one_address_only_a_single_normalized_one_is_kept(policy, normalized, kept):
    """Only that one could sign in before; where it is nobody or not one alone, all go."""
    ids = (LEA, HUGO, ZOE)
    keys = [key(i, normalized=r) for i, r in zip(ids, normalized, strict=True)]
    found = decide(*keys, duplicates=policy)

    for position, decision in enumerate(found):
        if position in kept:
            assert Outcome.CREATED is decision.outcome
        else:
            assert quarantined(ids[position], Reason.DUPLICATE_EMAIL) == decision


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize("normalized", [(True, False), (False, True), (True, True)])
def test_who_was_migrated_before_keeps_the_address(policy, normalized):
    """A decision that was carried out is not taken again."""
    there = target(TargetUser(HUGO, "lea@newbi.fr"))
    found = decide(
        key(LEA, normalized=normalized[0]),
        key(HUGO, normalized=normalized[1]),
        there=there,
        duplicates=policy,
    )

    assert quarantined(LEA, Reason.DUPLICATE_EMAIL) == found[0]
    assert Outcome.PRESENT is found[1].outcome


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_two_who_were_migrated_before_are_both_merged(policy):
    """Refusing one of them now would leave their documents behind."""
    there = target(TargetUser(LEA, "lea@newbi.fr"), TargetUser(HUGO, "lea@newbi.fr"))
    found = decide(key(LEA), key(HUGO), key(ZOE), there=there, duplicates=policy)

    assert [Outcome.PRESENT, Outcome.PRESENT, Outcome.QUARANTINED] == [d.outcome for d in found]


def test_an_address_of_ones_own_does_not_hide_the_duplicates_of_others():
    """Whoever comes first, every address is looked at."""
    found = decide(key(ZOE, "zoe@newbi.fr"), key(LEA), key(HUGO))

    assert Outcome.CREATED is found[0].outcome
    assert [quarantined(i, Reason.DUPLICATE_EMAIL) for i in (LEA, HUGO)] == found[1:]


def test_an_id_of_another_type_makes_no_duplicate():
    """The user is quarantined for the id, and takes nobody's address."""
    found = decide(key("user-1"), key(LEA))

    assert [quarantined("user-1", Reason.ID_NOT_OBJECT_ID), created(LEA, "org-aaaaaaaa")] == found


def test_no_address_is_no_duplicate():
    """Two users without an address are each told so."""
    found = decide(key(LEA, None), key(HUGO, None))

    assert [quarantined(i, Reason.EMAIL_MISSING) for i in (LEA, HUGO)] == found


def test_duplicates_are_quarantined_by_default():
    """Which of two people an address belongs to is for a person to say."""
    found = decide(key(LEA), key(HUGO, normalized=False))

    assert [quarantined(i, Reason.DUPLICATE_EMAIL) for i in (LEA, HUGO)] == found


# -- workspaces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "member,owner"])
def test_who_owns_an_organization_keeps_it(role):
    """No second one is made for them."""
    there = target(
        TargetUser(LEA, None), organizations={ATELIER: None}, members=[(ATELIER, LEA, role)]
    )
    expected = UserDecision(LEA, Outcome.PRESENT, user_id=LEA, workspace=ATELIER)

    assert [expected] == decide(key(LEA), there=there)


@pytest.mark.parametrize("role", ["member", "admin", "viewer", "admin,member"])
def test_who_is_only_a_member_gets_an_organization_of_their_own(role):
    """Their documents do not move into the workspace of whoever invited them."""
    there = target(
        TargetUser(LEA, None), organizations={ATELIER: None}, members=[(ATELIER, LEA, role)]
    )
    expected = replace(created(LEA, "org-aaaaaaaa"), outcome=Outcome.PRESENT)

    assert [expected] == decide(key(LEA), there=there)


def test_who_owns_several_has_no_single_workspace():
    """Nobody but that user knows which one their old documents belong to."""
    there = target(
        TargetUser(LEA, None),
        organizations={ATELIER: None, STUDIO: None},
        members=[(ATELIER, LEA, "owner"), (STUDIO, LEA, "owner")],
    )
    expected = UserDecision(
        LEA, Outcome.PRESENT, user_id=LEA, no_workspace_reason=Reason.OWNER_AMBIGUOUS
    )

    assert [expected] == decide(key(LEA), there=there)


@pytest.mark.parametrize(
    ("members", "workspace", "no_workspace_reason"),
    [
        ([], organization_id(LEA), None),
        ([(organization_id(LEA), LEA, "member")], organization_id(LEA), None),
        ([(organization_id(LEA), HUGO, "owner")], None, Reason.OWNER_WITHOUT_WORKSPACE),
        (
            [(organization_id(LEA), HUGO, "owner"), (organization_id(LEA), LEA, "admin")],
            organization_id(LEA),
            None,
        ),
    ],
)
def test_an_organization_that_was_made_for_a_user_is_theirs_unless_they_left_it(
    members, workspace, no_workspace_reason
):
    """Where others are in it and not the user, nobody brings them back; no second one is made."""
    there = target(organizations={organization_id(LEA): "org-aaaaaaaa"}, members=members)
    expected = UserDecision(
        LEA,
        Outcome.CREATED,
        user_id=LEA,
        workspace=workspace,
        no_workspace_reason=no_workspace_reason,
    )

    assert [expected] == decide(key(LEA), there=there)


def test_a_slug_is_given_once():
    """Neither one that is there nor one that was just given to somebody else is given again."""
    there = target(organizations={ATELIER: "org-bbbbbbbb", STUDIO: None})
    found = decide(key(LEA, "a@b.fr"), key(HUGO, "c@d.fr"), key(ZOE, "e@f.fr"), there=there)

    assert ["org-aaaaaaaa", "org-0002aaaaaaaa", "org-0003bbbbbbbb"] == [d.slug for d in found]


# -- what must be unique ------------------------------------------------------------------------

UNIQUE = {
    "phone": ("phone", "06", "keep_phone"),
    "referral code": ("referral_code", "A1", "keep_referral_code"),
}
unique = pytest.mark.parametrize(("name", "value", "keep"), UNIQUE.values(), ids=UNIQUE)


@unique
def test_what_must_be_unique_goes_to_the_first_who_has_it(name, value, keep):
    """The second user is created without it."""
    found = decide(
        key(LEA, "a@b.fr", **{name: value}),
        key(HUGO, "c@d.fr", **{name: value}),
        key(ZOE, "e@f.fr", **{name: value + "2"}),
    )

    assert [True, False, True] == [getattr(decision, keep) for decision in found]
    assert [True] * 3 == [decision.keep_email for decision in found]


@unique
def test_what_an_existing_user_has_is_not_given_away(name, value, keep):
    """Whoever is there already has it, migrated or not."""
    there = target(replace(TargetUser(OTHER, None), **{name: value}))
    (found,) = decide(key(LEA, **{name: value}), there=there)

    flags = ("keep_email", "keep_phone", "keep_referral_code")

    assert [keep] == [flag for flag in flags if not getattr(found, flag)]


@unique
def test_who_has_a_value_claims_no_other(name, value, keep):
    """What an existing user has is never written over, so a second one may get the legacy's."""
    there = target(replace(TargetUser(LEA, "a@b.fr"), **{name: "other"}))
    found = decide(
        key(LEA, "a@b.fr", **{name: value}), key(HUGO, "c@d.fr", **{name: value}), there=there
    )

    assert [True, True] == [getattr(decision, keep) for decision in found]


@unique
def test_who_has_the_value_already_keeps_it(name, value, keep):
    """Being merged again is no collision with oneself."""
    there = target(replace(TargetUser(LEA, "a@b.fr"), **{name: value}))
    found = decide(
        key(LEA, "a@b.fr", **{name: value}), key(HUGO, "c@d.fr", **{name: value}), there=there
    )

    assert [True, False] == [getattr(decision, keep) for decision in found]


@unique
def test_an_existing_user_without_the_value_may_get_it(name, value, keep):
    """It is theirs as long as nobody else has it."""
    there = target(TargetUser(LEA, "a@b.fr"), replace(TargetUser(OTHER, None), **{name: value}))
    free = target(TargetUser(LEA, "a@b.fr"))
    legacy = key(LEA, "a@b.fr", **{name: value})

    assert [False] == [getattr(d, keep) for d in decide(legacy, there=there)]
    assert [True] == [getattr(d, keep) for d in decide(legacy, there=free)]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (target(TargetUser(LEA, None)), True),
        (target(TargetUser(LEA, "other@newbi.fr"), TargetUser(OTHER, "lea@newbi.fr")), True),
        (target(TargetUser(LEA, None), TargetUser(OTHER, "lea@newbi.fr")), False),
        (target(TargetUser(LEA, None), unusable=["lea@newbi.fr"]), False),
    ],
)
def test_an_address_is_filled_only_where_nobody_has_it(there, expected):
    """A user who was migrated without an address gets it unless it is another's by now."""
    (found,) = decide(key(LEA), there=there)

    assert expected is found.keep_email


def test_an_address_is_filled_into_one_user_alone():
    """Two who were migrated before, without an address, cannot both get the same one."""
    there = target(TargetUser(LEA, None), TargetUser(HUGO, None))
    found = decide(key(LEA), key(HUGO), there=there)

    assert [True, False] == [decision.keep_email for decision in found]


def test_a_quarantined_user_claims_nothing():
    """What they have is free for somebody who is migrated."""
    found = decide(key("user-1", phone="06"), key(LEA, "a@b.fr", phone="06"))

    assert [True, True] == [decision.keep_phone for decision in found]


def test_decisions_are_taken_in_the_order_of_the_users():
    """One for each, whatever becomes of them."""
    keys = [key(i, f"{n}@newbi.fr") for n, i in enumerate((ZOE, "user-1", LEA, HUGO))]

    assert [ZOE, "user-1", LEA, HUGO] == [decision.legacy_id for decision in decide(*keys)]
    assert [] == decide()


# -- who is who afterwards ----------------------------------------------------------------------


def test_a_directory_names_everybody_after_the_decisions():
    """Created, merged and aliased users with their workspaces, and why others have none."""
    there = target(
        TargetUser(HUGO, "hugo@newbi.fr"),
        TargetUser(OTHER, "zoe@newbi.fr", verified=True),
        TargetUser(ANOTHER, "x@newbi.fr"),
        organizations={ATELIER: None, STUDIO: None},
        members=[
            (ATELIER, HUGO, "owner"),
            (STUDIO, HUGO, "member"),
            (STUDIO, ANOTHER, "member"),
        ],
    )
    keys = [
        key(LEA),
        key(HUGO, "hugo@newbi.fr"),
        key(ZOE, "zoe@newbi.fr"),
        key("user-1", "y@newbi.fr"),
        key(STUDIO, None),
    ]
    found = workspaces_after([k.id for k in keys], decide_users(keys, there), there)
    expected = Workspaces(
        organizations=frozenset({ATELIER, STUDIO, organization_id(LEA), organization_id(OTHER)}),
        users=frozenset({LEA, HUGO, ZOE, STUDIO, OTHER, ANOTHER}),
        aliases={ZOE: OTHER},
        by_user={
            LEA: organization_id(LEA),
            HUGO: ATELIER,
            OTHER: organization_id(OTHER),
            ANOTHER: STUDIO,
            STUDIO: Reason.OWNER_QUARANTINED,
        },
        members={
            LEA: frozenset({organization_id(LEA)}),
            HUGO: frozenset({ATELIER, STUDIO}),
            OTHER: frozenset({organization_id(OTHER)}),
            ANOTHER: frozenset({STUDIO}),
        },
    )

    assert expected == found


@pytest.mark.parametrize(
    ("there", "workspace"),
    [
        (Target(), Reason.OWNER_QUARANTINED),
        # The user was never migrated: memberships of that id are nobody's.
        (
            target(organizations={ATELIER: None}, members=[(ATELIER, LEA, "owner")]),
            Reason.OWNER_QUARANTINED,
        ),
        (target(TargetUser(LEA, None)), Reason.OWNER_QUARANTINED),
        (
            target(
                TargetUser(LEA, None),
                organizations={ATELIER: None},
                members=[(ATELIER, LEA, "owner")],
            ),
            ATELIER,
        ),
    ],
)
def test_a_quarantined_user_has_a_workspace_only_from_before(there, workspace):
    """One who was migrated before, and cannot be read today, stays where they are."""
    workspaces = workspaces_after([LEA], [quarantined(LEA, Reason.UNREADABLE)], there)

    assert workspace == workspaces.of_user(LEA)


@pytest.mark.parametrize(
    ("members", "workspace"),
    [
        ([], Reason.OWNER_WITHOUT_WORKSPACE),
        ([(ATELIER, OTHER, "member")], ATELIER),
        ([(ATELIER, OTHER, "member"), (STUDIO, OTHER, "member")], Reason.OWNER_AMBIGUOUS),
    ],
)
def test_a_user_nobody_decides_about_keeps_what_their_memberships_give_them(members, workspace):
    """Somebody who signed up after the application changed is no legacy user."""
    there = target(
        TargetUser(OTHER, None), organizations={ATELIER: None, STUDIO: None}, members=members
    )
    workspaces = workspaces_after([], [], there)

    assert workspace == workspaces.of_user(OTHER)
    assert {ATELIER, STUDIO} == workspaces.organizations


def test_a_user_who_owns_several_has_no_home_afterwards():
    """Their documents are told why."""
    there = target(
        TargetUser(LEA, None),
        organizations={ATELIER: None, STUDIO: None},
        members=[(ATELIER, LEA, "owner"), (STUDIO, LEA, "owner")],
    )
    workspaces = workspaces_after([LEA], decide_users([key(LEA)], there), there)

    assert Reason.OWNER_AMBIGUOUS is workspaces.of_user(LEA)
    assert workspaces.is_member(LEA, STUDIO)


def test_a_legacy_id_of_another_type_is_nobody():
    """No document can be theirs by it."""
    workspaces = workspaces_after(
        ["user-1", 7], [quarantined("user-1", Reason.ID_NOT_OBJECT_ID)], Target()
    )

    assert Workspaces() == workspaces


@pytest.mark.parametrize(
    "decisions", [[], [quarantined(LEA, Reason.UNREADABLE)]], ids=["none", "unreadable"]
)
def test_documents_follow_who_became_another_user_though_nothing_is_decided_about_them(decisions):
    """Their legacy user cannot be read today, or is gone."""
    there = target(
        TargetUser(OTHER, None), organizations={ATELIER: None}, members=[(ATELIER, OTHER, "owner")]
    )
    ids = [decision.legacy_id for decision in decisions]
    workspaces = workspaces_after(ids, decisions, there, {LEA: OTHER, HUGO: ANOTHER})

    assert {LEA: OTHER} == workspaces.aliases
    assert {LEA, OTHER} == workspaces.users
    assert (ATELIER, Reason.OWNER_UNKNOWN) == (workspaces.of_user(LEA), workspaces.of_user(HUGO))
