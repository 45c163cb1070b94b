"""Laws of what becomes of users, for any legacy users and anything that is there already."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import bson
from bson import ObjectId
from hypothesis import event, given, strategies as st
from small_worlds import (
    IDS,
    LEGACY_FIELDS,
    USER_FIELDS,
    Database,
    legacy_documents,
    policies,
    small_worlds,
)

from newbi_migrate.documents.better_auth import Account, Member, Organization, User
from newbi_migrate.mapping.decisions import (
    LegacyKey,
    Outcome,
    decide_users,
    workspaces_after,
)
from newbi_migrate.mapping.email import is_accepted, is_normalised, normalise_email
from newbi_migrate.mapping.fillable import FILLABLE
from newbi_migrate.mapping.user import NOT_CARRIED, PLUGIN_FIELDS
from newbi_migrate.mapping.users import BARRED, Insert, SetMissing
from newbi_migrate.mapping.values import is_missing, legacy_flag, text
from newbi_migrate.rules import Severity
from newbi_migrate.testing import strategies

legacy_users = legacy_documents()


def writes_of(planned):
    return [write for writes in planned for write in writes.writes]


def inserted(planned, collection):
    found = (w for w in writes_of(planned) if isinstance(w, Insert))
    return [write.document for write in found if write.collection == collection]


def more_than_once(values):
    return {value for value, number in Counter(values).items() if number > 1}


@given(world=small_worlds(), policy=policies)
def test_every_legacy_user_is_accounted_for_once(world, policy):
    """Users in = created + merged + aliased + quarantined, and each outcome is complete."""
    legacy, database = world
    planned = database.plan(legacy, **policy)
    decisions = [writes.decision for writes in planned]

    assert [d["_id"] for d in legacy] == [decision.legacy_id for decision in decisions]
    for writes, decision in zip(planned, decisions, strict=True):
        quarantined = decision.outcome is Outcome.QUARANTINED
        assert quarantined == (decision.reason is not None) == (decision.user_id is None)
        assert not (quarantined and (writes.writes or decision.workspace))
        assert quarantined or (decision.workspace is None) == (
            decision.no_workspace_reason is not None
        )
        assert (decision.outcome is Outcome.ALIASED) == (
            decision.user_id not in (None, decision.legacy_id)
        )


@given(world=small_worlds(), policy=policies)
def test_the_same_question_has_the_same_answer(world, policy):
    """A plan depends on nothing but what is there."""
    legacy, database = world
    assert database.plan(legacy, **policy) == deepcopy(database).plan(deepcopy(legacy), **policy)


@given(world=small_worlds(), policy=policies)
def test_migrating_again_writes_nothing(world, policy):
    """Once carried out, the same decisions lead to no write, and created users are merged."""
    legacy, database = world
    before = database.plan(legacy, **policy)
    database.carry_out(before)
    again = database.plan(legacy, **policy)

    assert [] == writes_of(again)
    for first, second in zip(before, again, strict=True):
        expected = replace(first.decision, slug=None)
        if expected.outcome is Outcome.CREATED:
            expected = replace(expected, outcome=Outcome.PRESENT)
        assert replace(expected, keep_email=True, keep_phone=True, keep_referral_code=True) == (
            replace(second.decision, keep_email=True, keep_phone=True, keep_referral_code=True)
        )


@given(world=small_worlds(), policy=policies, data=st.data())
def test_an_interruption_after_any_write_is_made_up_for(world, policy, data):
    """Stopped after any number of writes, a second run ends in the same documents."""
    legacy, database = world
    whole, broken = database, deepcopy(database)
    planned = whole.plan(legacy, **policy)
    number = data.draw(st.integers(0, len(writes_of(planned))))
    whole.carry_out(planned)
    left = number
    for writes in planned:
        broken.carry_out([replace(writes, writes=writes.writes[:left])])
        left = max(0, left - len(writes.writes))
    broken.carry_out(broken.plan(legacy, **policy))

    assert whole.collections == broken.collections


@given(world=small_worlds(), policy=policies)
def test_no_value_that_must_be_unique_is_given_to_a_second_user(world, policy):
    """E-mails, phones, codes, slugs and accounts that are twice afterwards were twice before."""
    legacy, database = world

    def twice():
        users, organizations = database.every("user"), database.every("organization")
        return {
            "email": more_than_once(
                e for d in users if (e := normalise_email(d.get("email"))) is not None
            ),
            "phone": more_than_once(p for d in users if (p := text(d.get("phoneNumber")))),
            "code": more_than_once(c for d in users if (c := text(d.get("referralCode")))),
            "slug": more_than_once(s for d in organizations if (s := text(d.get("slug")))),
            "account": more_than_once(
                (d["providerId"], d["accountId"]) for d in database.every("account")
            ),
        }

    before = twice()
    database.carry_out(database.plan(legacy, **policy))

    assert before == twice()


@given(world=small_worlds(), policy=policies)
def test_whoever_has_a_workspace_is_a_member_of_it(world, policy):
    """A decision's user exists afterwards, and so do their organization and their membership."""
    legacy, database = world
    planned = database.plan(legacy, **policy)
    database.carry_out(planned)

    for decision in (writes.decision for writes in planned):
        if decision.user_id is not None:
            assert decision.user_id in database.collections["user"]
        if decision.workspace is not None:
            existing = database.existing(decision.user_id, decision.workspace)
            assert existing.organization is not None
            assert existing.is_member


@given(world=small_worlds(), policy=policies)
def test_created_documents_are_what_better_auth_reads(world, policy):
    """Created accounts, organizations and members keep every rule, users the critical ones."""
    legacy, database = world
    planned = database.plan(legacy, **policy)

    for collection, model, least in (
        ("user", User, (Severity.CRITICAL,)),
        ("account", Account, (Severity.CRITICAL, Severity.WARNING)),
        ("organization", Organization, (Severity.CRITICAL, Severity.WARNING)),
        ("member", Member, (Severity.CRITICAL, Severity.WARNING)),
    ):
        for document in inserted(planned, collection):
            assert [] == [v for v in model.violations_of(document) if v.severity in least]
            assert type(document["_id"]) is ObjectId
            assert bson.encode(document)
    for document in inserted(planned, "user"):
        keys = {"name", "email", "emailVerified", "createdAt", "updatedAt", "role", "isActive"}
        assert keys <= document.keys()
    for document in inserted(planned, "account"):
        assert str(document["userId"]) == document["accountId"]


@given(world=small_worlds(), policy=policies)
def test_nothing_blank_is_written(world, policy):
    """No field of a created document and no filled field is null or a blank text."""
    legacy, database = world
    for write in writes_of(database.plan(legacy, **policy)):
        values = write.values if isinstance(write, SetMissing) else write.document

        assert [] == [name for name, value in values.items() if is_missing(value)]


@given(world=small_worlds(), policy=policies)
def test_secrets_and_stale_pointers_stay_behind(world, policy):
    """No hash, token, old pointer or privilege reaches a user, and no fill carries a hash."""
    legacy, database = world
    for write in writes_of(database.plan(legacy, **policy)):
        values = write.values if isinstance(write, SetMissing) else write.document
        names = {path.partition(".")[0] for path in values}

        if write.collection == "user":
            assert set() == names & NOT_CARRIED
            assert names & PLUGIN_FIELDS <= {"role", "stripeCustomerId"}
            assert values.get("role", "owner") == "owner"
        assert not (isinstance(write, SetMissing) and "password" in names)


@given(world=small_worlds(), policy=policies)
def test_a_hash_is_carried_unchanged_and_only_to_its_owner(world, policy):
    """An account has the legacy user's very hash; another user gets it from a verified one."""
    legacy, database = world
    planned = database.plan(legacy, **policy)

    for document, writes in zip(legacy, planned, strict=True):
        for account in inserted([writes], "account"):
            event(f"an account for somebody {writes.decision.outcome.value}")
            assert document["password"] == account["password"]
            assert writes.decision.user_id == account["userId"]
            assert writes.decision.outcome is not Outcome.ALIASED or document.get(
                "isEmailVerified"
            ) in (True, 1, "true")


@given(world=small_worlds(), policy=policies)
def test_what_is_carried_over_keeps_its_bytes(world, policy):
    """Fields a new user has no rule for are those of the legacy user, byte for byte."""
    legacy, database = world
    planned = database.plan(legacy, **policy)

    for document, writes in zip(legacy, planned, strict=True):
        for user in inserted([writes], "user"):
            for name in ("company", "profile", "subscription", "unknown"):
                stored = document.get(name)
                expected = {} if is_missing(stored) else {name: stored}
                found = {name: user[name]} if name in user else {}
                assert bson.encode(expected) == bson.encode(found)


@given(world=small_worlds(), policy=policies, data=st.data())
def test_the_order_of_users_decides_only_who_gets_what_is_wanted_twice(world, policy, data):
    """Outcome, reason, id and workspace of a user do not depend on the order of the others."""
    legacy, database = world
    shuffled = data.draw(st.permutations(legacy))

    def fates(documents):
        decisions = decide_users(map(LegacyKey.of, documents), database.target(), **policy)
        return {
            d.legacy_id: (d.outcome, d.reason, d.user_id, d.workspace, d.no_workspace_reason)
            for d in decisions
        }

    assert fates(legacy) == fates(shuffled)


@given(world=small_worlds(), policy=policies)
def test_the_directory_foresees_what_the_database_says_afterwards(world, policy):
    """Workspaces of migrated users are the same from the plan and from the documents."""
    legacy, database = world
    target = database.target()
    planned = database.plan(legacy, **policy)
    ids = [document["_id"] for document in legacy]
    foreseen = workspaces_after(ids, [writes.decision for writes in planned], target)
    database.carry_out(planned)
    again = [writes.decision for writes in database.plan(legacy, **policy)]

    assert foreseen == workspaces_after(ids, again, database.target())


@given(legacy=legacy_users, policy=policies)
def test_into_an_empty_database_nobody_is_merged_or_aliased(legacy, policy):
    """Where nothing is there yet, a user is created or quarantined."""
    outcomes = {writes.decision.outcome for writes in Database().plan(legacy, **policy)}

    assert outcomes <= {Outcome.CREATED, Outcome.QUARANTINED}


@given(world=small_worlds(), policy=policies)
def test_whoever_cannot_sign_in_or_should_not_is_named_and_nobody_else(world, policy):
    """What a plan says of addresses and of those kept out is what is so once it is carried out."""
    legacy, database = world
    planned = database.plan(legacy, **policy)
    database.carry_out(planned)

    for document, writes in zip(legacy, planned, strict=True):
        codes = {finding.code for finding in writes.findings}
        user = database.collections["user"].get(writes.decision.user_id)
        if user is None:
            assert () == writes.findings
            continue
        email = user.get("email")
        usable = is_accepted(email) and is_normalised(email)
        assert (not is_missing(email) and not usable) == ("email-refused" in codes)
        kept_out = {code for name, code in BARRED.items() if legacy_flag(document.get(name))}
        let_in = set() if user.get("banned") is True else kept_out
        assert let_in == codes & {*BARRED.values()}


EXTRA = st.dictionaries(
    st.one_of(
        st.sampled_from(["passwordHistory", "twoFactorSecret", "company.email", "address.city"]),
        st.sampled_from(["name", "image", "profile", "company", "address", "subscription"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    ),
    st.deferred(lambda: st.one_of(st.just("secret"), EXTRA, st.lists(st.just("secret")))),
    max_size=4,
)


def listed_leaves(fields, *above):
    for name, below in fields.items():
        if below is None:
            yield (*above, name)
        else:
            yield from listed_leaves(below, *above, name)


def leaves(value, *above):
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, *above, name)
    else:
        yield above, value


@given(
    legacy=LEGACY_FIELDS,
    extra=EXTRA,
    wild=st.dictionaries(st.sampled_from([*FILLABLE["user"]]), strategies.bson_values()),
    existing=USER_FIELDS,
    first=st.booleans(),
)
def test_a_fill_holds_listed_fields_alone(legacy, extra, wild, existing, first):
    """Whatever else a legacy user holds, and wherever, no value of it is in a fill."""
    database = Database()
    database.add("user", {"_id": IDS[0], **existing})
    more = {**extra, **wild}
    stored = {**more, **legacy} if first else {**legacy, **more}
    for fill in writes_of(database.plan([{**stored, "_id": IDS[0]}])):
        if not isinstance(fill, SetMissing):
            continue
        allowed = {*listed_leaves(FILLABLE[fill.collection])}
        for path, value in fill.values.items():
            for leaf, inner in leaves(value, *path.split(".")):
                # What holds nothing holds no secret.
                empty = inner is None or (inner == {} and leaf not in allowed)
                is_id = leaf[-1] == "_id" and isinstance(inner, ObjectId)

                assert leaf in allowed or is_id or empty
                assert not isinstance(inner, list | bytes)
