"""Users who cannot sign in, or should not: named before anything is written, and after."""

from __future__ import annotations

import pytest
from bson import ObjectId
from small_legacy import BCRYPT, USERS, legacy_user

from newbi_migrate.answers import answer
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.facade import Migration

REFUSED = ["zoé@b.fr", "camille 65", "a@localhost", "a@b_c.fr", "a\ufeff@b.fr"]
ACCOUNT = ObjectId("65b000000000000000000001")


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


def named(findings, *codes):
    """The findings of these codes, as code, collection, id and path."""
    return {(f.code, f.collection, f.id, f.path) for f in findings if f.code in codes}


def broken(report, rule):
    return {(f.collection, f.id, f.path) for f in report.violations if f.rule == rule}


async def test_addresses_that_better_auth_refuses_are_named_before_and_after(
    migration, sync_database
):
    """Their users are created like every other; once the address is corrected nothing is said."""
    addresses = [*REFUSED, "\ufeffbom@b.fr"]
    sync_database["Users"].insert_many(
        [legacy_user(n, email=email) for n, email in enumerate(addresses)]
    )
    refused = USERS[: len(REFUSED)]
    expected = {("email-refused", "Users", user, "email") for user in refused}
    plan = await migration.plan()
    before = await migration.validate(only=["user.email-accepted"])
    result = await migration.apply()
    after = await migration.validate(only=["user.email-accepted"])
    for number, user in enumerate(refused):
        email = {"email": f"corrected{number}@exemple.fr"}
        sync_database["user"].update_one({"_id": user}, {"$set": email})
    corrected = await migration.validate(only=["user.email-accepted"])

    assert expected == named(plan.findings, "email-refused")
    assert expected == named(result.findings, "email-refused")
    assert (ExitCode.DONE, ExitCode.DONE) == (plan.exit_code, result.exit_code)
    assert {("Users", user, "email") for user in refused} == broken(before, "user.email-accepted")
    assert {("user", user, "email") for user in refused} == broken(after, "user.email-accepted")
    assert set() == broken(corrected, "user.email-accepted")
    assert {*USERS[: len(addresses)]} == {user["_id"] for user in sync_database["user"].find()}
    assert 1 == sync_database["user"].count_documents({"email": "bom@b.fr"})


async def test_whoever_was_kept_out_is_named_until_better_auth_keeps_them_out(
    migration, sync_database
):
    """In the plan, in a validation and before the end; banning them in Better Auth settles it."""
    sync_database["Users"].insert_many(
        [
            legacy_user(0, isDisabled=True),
            legacy_user(1, banned=True, banReason="fraude", role="admin"),
            legacy_user(2, isDisabled=False, banned=False),
        ]
    )
    codes = ("user-disabled", "user-banned")
    expected = {
        ("user-disabled", "Users", USERS[0], "isDisabled"),
        ("user-banned", "Users", USERS[1], "banned"),
    }
    plan = await migration.plan()
    await migration.apply()
    told = await migration.validate(only=["legacy-user.kept-out"])
    preview = await migration.finalize(dry_run=True)
    sync_database["user"].update_many({"_id": {"$in": USERS[:2]}}, {"$set": {"banned": True}})
    settled = await migration.finalize()

    assert expected == named(plan.findings, *codes)
    assert {item[1:] for item in expected} == broken(told, "legacy-user.kept-out")
    assert (USERS[0], USERS[1]) == preview.let_in
    assert [USERS[0], USERS[1]] == answer(preview)["letInUsers"]
    assert () == settled.let_in
    banned = sync_database["user"].find_one({"_id": USERS[1]})
    assert ("owner", False) == (banned["role"], "banReason" in banned)


async def test_an_end_that_lets_users_in_names_them(migration, sync_database):
    """Whoever confirms it sees them, and so does whoever reads what was done."""
    sync_database["Users"].insert_one(legacy_user(0, isDisabled=True))
    await migration.apply()
    done = await migration.finalize()

    assert (USERS[0],) == done.let_in


FORMS = {
    "text": str,
    "upper": lambda user: str(user).upper(),
    "mixed": lambda user: str(user)[:-1] + str(user)[-1].upper(),
    "extended": lambda user: {"$oid": str(user)},
    "extended, mixed": lambda user: {"$oid": str(user)[:-1] + str(user)[-1].upper()},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=[*FORMS])
async def test_an_account_that_names_its_user_otherwise_gets_no_second(
    migration, sync_database, form
):
    """Both would have one accountId; the plan and a validation name the one that is there."""
    user = ObjectId("64b0000000000000000000ab")
    sync_database["Users"].insert_one(legacy_user(0, _id=user))
    sync_database["user"].insert_one({"_id": user, "email": "jeanne0@exemple.fr"})
    account = {"providerId": "credential", "accountId": str(user), "password": BCRYPT}
    sync_database["account"].insert_one({"_id": ACCOUNT, "userId": form(user), **account})
    plan = await migration.plan()
    result = await migration.apply()
    told = await migration.validate(only=["account.ids", "legacy-user.one-credential"])
    sync_database["account"].update_one({"_id": ACCOUNT}, {"$set": {"userId": user}})
    again = await migration.apply()

    expected = {("account-user-id-text", "account", ACCOUNT, "userId")}
    assert expected == named(plan.findings, "account-user-id-text")
    assert expected == named(result.findings, "account-user-id-text")
    assert [ACCOUNT] == [found["_id"] for found in sync_database["account"].find()]
    assert {("account", ACCOUNT, "userId")} == broken(told, "account.ids")
    assert set() == broken(told, "legacy-user.one-credential")
    assert set() == named(again.findings, "account-user-id-text")
