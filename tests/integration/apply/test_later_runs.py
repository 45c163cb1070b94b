"""What a migration decided and wrote stays so for the runs after it."""

from __future__ import annotations

import pytest
from bson import ObjectId
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.choices import AliasPolicy
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.rollback.results import RollbackOptions

STRANGER = ObjectId("65f000000000000000000001")


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


def outcomes(plan):
    return {outcome: number for outcome, number in plan.outcomes.items() if number}


# -- who became whom ----------------------------------------------------------------------------


def signed_up_anew(database, *, verified=True):
    """A legacy user with two invoices who signed up anew, under another id."""
    database["Users"].insert_one(legacy_user(0))
    database["user"].insert_one(
        {"_id": STRANGER, "email": "jeanne0@exemple.fr", "name": "J", "emailVerified": verified}
    )
    database["invoices"].insert_many(invoices(USERS[0], 2))


async def test_who_became_another_user_stays_that_user_whatever_their_address_is(
    migration, sync_database
):
    """Nobody has come since, as plan, validation, status and the end of the migration say."""
    signed_up_anew(sync_database)
    await migration.apply()
    sync_database["user"].update_one({"_id": STRANGER}, {"$set": {"email": "neuve@exemple.fr"}})
    plan, report = await migration.plan(), await migration.validate(only=["legacy-user.*"])
    status = await migration.status()

    assert ({Outcome.ALIASED: 1}, False) == (outcomes(plan), plan.pending)
    assert (ExitCode.DONE, 0) == (report.exit_code, status.late_users)
    assert (await migration.finalize(keep=True, dry_run=True)).dry_run


async def test_late_documents_of_who_became_another_user_go_to_that_user(migration, sync_database):
    """Validation asks for a backfill, and the backfill stamps them."""
    signed_up_anew(sync_database)
    await migration.apply()
    sync_database["user"].update_one({"_id": STRANGER}, {"$set": {"email": "neuve@exemple.fr"}})
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    before = await migration.validate(only=["document.*"])
    await migration.backfill()
    after = await migration.validate(only=["document.*", "run.*"])

    late = sync_database["invoices"].find_one({"number": "late"})
    assert (organization_id(STRANGER), STRANGER) == (late.get("workspaceId"), late["createdBy"])
    assert (ExitCode.PENDING, ExitCode.DONE) == (before.exit_code, after.exit_code)


async def test_a_later_migration_with_the_usual_choices_takes_no_alias_back(uri, sync_database):
    """The first one linked everybody, and the second is for who came late."""
    signed_up_anew(sync_database, verified=False)
    async with Migration(uri, options=MigrationOptions(aliases=AliasPolicy.ALL)) as first:
        await first.apply()
    sync_database["Users"].insert_one(legacy_user(1))
    async with Migration(uri) as second:
        result = await second.apply()
        report = await second.validate(only=["legacy-user.*", "document.*"])

    assert {Outcome.CREATED: 1, Outcome.ALIASED: 1} == outcomes(result)
    assert (ExitCode.DONE, 0) == (report.exit_code, report.quarantined)


async def test_who_comes_late_with_the_address_of_an_alias_is_the_duplicate(
    migration, sync_database
):
    """As with the address of a user who was created."""
    signed_up_anew(sync_database)
    await migration.apply()
    sync_database["Users"].insert_one(legacy_user(1, email="JEANNE0@exemple.fr"))
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    result = await migration.apply()
    report = await migration.validate(only=["document.*", "legacy-user.*"])

    assert [USERS[1]] == [one.id for one in result.quarantine if one.collection == "Users"]
    assert {Outcome.ALIASED: 1, Outcome.QUARANTINED: 1} == outcomes(result)
    assert ExitCode.DONE is report.exit_code


async def test_an_alias_that_was_taken_back_is_decided_about_anew(migration, uri, sync_database):
    """With a whole run, or with that user's part of one."""
    signed_up_anew(sync_database)
    refuse = MigrationOptions(aliases=AliasPolicy.REFUSE)
    decided = []
    for options in (RollbackOptions(users=(USERS[0],)), RollbackOptions()):
        await migration.apply()
        await migration.rollback(options=options)
        async with Migration(uri, options=refuse) as other:
            decided.append(outcomes(await other.plan()))

    assert [{Outcome.QUARANTINED: 1}] * 2 == decided
