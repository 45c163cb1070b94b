"""What a migration decided and wrote stays so for the runs after it."""

from __future__ import annotations

import pytest
from bson import ObjectId
from interrupting import When
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.choices import AliasPolicy
from newbi_migrate.errors import ExitCode, InterruptedRunError, UsageError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.migration.apply.users import UserWriter
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.progress import NullProgress

STRANGER = ObjectId("65f000000000000000000001")
ATELIER, STUDIO = (ObjectId(f"65f1000000000000000000{n:02x}") for n in (1, 2))


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


def outcomes(plan):
    return {outcome: number for outcome, number in plan.outcomes.items() if number}


def joins(database, identifier, user, *, role="owner"):
    """Somebody becomes a member of an organization, which is made if it is not there."""
    slug = str(identifier)
    database["organization"].update_one(
        {"_id": identifier}, {"$setOnInsert": {"name": slug, "slug": slug}}, upsert=True
    )
    database["member"].insert_one({"organizationId": identifier, "userId": user, "role": role})


async def migrate_up_to(uri, phase):
    """A migration that is stopped where a phase begins."""

    class StopAt(NullProgress):
        def phase(self, name, total):
            if name == phase:
                stopping.stop()

    async with Migration(uri, progress=StopAt()) as stopping:
        with pytest.raises(InterruptedRunError):
            await stopping.apply()


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


async def test_an_alias_whose_documents_followed_it_stays_though_a_fill_was_refused(
    migration, sync_database
):
    """Their documents name the other user by now, so they are that user."""
    signed_up_anew(sync_database)
    sync_database["Users"].update_one({}, {"$set": {"profile.profilePicture": PICTURE}})
    joins(sync_database, ATELIER, STRANGER)
    sync_database.command("collMod", "user", validator={"image": {"$exists": False}})
    first = await migration.apply()
    sync_database["user"].update_one({"_id": STRANGER}, {"$set": {"email": "neuve@exemple.fr"}})
    sync_database.command("collMod", "user", validator={})
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    await migration.apply()

    assert 1 == first.outcomes[Outcome.QUARANTINED]
    assert [STRANGER] == sync_database["user"].distinct("_id")
    assert [STRANGER] == sync_database["invoices"].distinct("createdBy")
    assert [ATELIER] == sync_database["invoices"].distinct("workspaceId")
    assert PICTURE == sync_database["user"].find_one()["image"]


async def test_who_could_not_become_another_user_is_decided_about_anew(migration, sync_database):
    """The server refused their organization, so no document of theirs names the other user."""
    signed_up_anew(sync_database)
    sync_database.create_collection("organization", validator={"companyName": {"$exists": False}})
    await migration.apply()
    sync_database["user"].update_one({"_id": STRANGER}, {"$set": {"email": "neuve@exemple.fr"}})
    sync_database.command("collMod", "organization", validator={})
    plan = await migration.plan()

    assert [USERS[0]] == sync_database["invoices"].distinct("createdBy")
    assert {Outcome.CREATED: 1} == outcomes(plan)


@pytest.mark.parametrize(
    ("phase", "people"), [("rescan", [STRANGER]), ("users", [USERS[0], STRANGER])]
)
async def test_who_became_another_user_before_an_interruption_stays_that_user(
    uri, sync_database, phase, people
):
    """Some of their documents name that user; before the first one does, nothing is settled."""
    signed_up_anew(sync_database)
    await migrate_up_to(uri, phase)
    sync_database["user"].update_one({"_id": STRANGER}, {"$set": {"email": "neuve@exemple.fr"}})
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    async with Migration(uri) as migration:
        done = await migration.apply()

    assert people == sync_database["user"].distinct("_id")
    assert [people[0]] == sync_database["invoices"].distinct("createdBy")
    assert [organization_id(people[0])] == sync_database["invoices"].distinct("workspaceId")
    assert ExitCode.DONE is done.exit_code


# -- who went back with a part of a run ----------------------------------------------------------


@pytest.mark.parametrize("known", ["present", "aliased"])
async def test_who_was_there_before_and_went_back_with_a_part_is_not_migrated_yet(
    migration, sync_database, known
):
    """As status says, and as of somebody whom the run created; a migration settles it."""
    if known == "aliased":
        signed_up_anew(sync_database)
    else:
        sync_database["Users"].insert_one(legacy_user(0))
        there(sync_database, 0)
        sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    rules = ["legacy-user.*", "document.*", "user.belongs"]
    await migration.apply()
    await migration.rollback(options=RollbackOptions(users=(USERS[0],)))
    status, report = await migration.status(), await migration.validate(only=rules)
    await migration.apply()
    again = await migration.validate(only=rules)

    assert 1 == status.late_users
    assert "user.belongs" in {result.rule for result in report.results}
    assert {Origin.PENDING} == {result.origin for result in report.results}
    assert (ExitCode.PENDING, ExitCode.DONE) == (report.exit_code, again.exit_code)


@pytest.mark.parametrize("of", ["the only run", "the last run", "the first run"])
async def test_an_alias_with_a_home_of_their_own_who_was_taken_back_is_decided_about_anew(
    migration, uri, sync_database, of
):
    """User and organization stay, since no run made them; status counts them until a run did."""
    signed_up_anew(sync_database)
    home = {"_id": ObjectId(), "name": "Atelier", "slug": "atelier"}
    sync_database["organization"].insert_one(home)
    sync_database["member"].insert_one(
        {"organizationId": home["_id"], "userId": STRANGER, "role": "owner"}
    )
    first = last = (await migration.apply()).run_id
    if of != "the only run":
        sync_database["Users"].insert_one(legacy_user(1))
        last = (await migration.apply()).run_id
    part = RollbackOptions(users=(USERS[0],))
    await migration.rollback(first if of == "the first run" else last, options=part)
    async with Migration(uri, options=MigrationOptions(aliases=AliasPolicy.REFUSE)) as other:
        decided = outcomes(await other.plan())
    late = (await migration.status()).late_users
    await migration.apply()

    assert 1 == decided[Outcome.QUARANTINED]
    assert Outcome.ALIASED not in decided
    assert (1, 0) == (late, (await migration.status()).late_users)


# -- what was filled ----------------------------------------------------------------------------

PICTURE = "https://exemple.fr/jeanne.png"


def complete(position):
    """A legacy user with all that people may empty later."""
    user = legacy_user(position)
    user["profile"] |= {"phone": f"06{position}", "profilePicture": PICTURE}
    user["company"]["website"] = "https://atelier.fr"
    return user


def there(database, position):
    """A user of the application with nothing but an address."""
    user = {"_id": USERS[position], "email": f"jeanne{position}@exemple.fr"}
    database["user"].insert_one(user)


def picture(database, position):
    return database["user"].find_one({"_id": USERS[position]}).get("image")


@pytest.mark.parametrize("created", [True, False], ids=["created", "there-before"])
@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("user", {"$unset": {"phoneNumber": ""}}),
        ("user", {"$set": {"image": None}}),
        ("organization", {"$set": {"website": ""}}),
    ],
)
async def test_what_people_emptied_since_is_no_late_work_and_stays_empty(
    migration, sync_database, created, collection, change
):
    """Plan, status, validation and the end of the migration say the same."""
    sync_database["Users"].insert_one(complete(0))
    if not created:
        there(sync_database, 0)
    await migration.apply()
    assert 1 == sync_database[collection].update_one({}, change).modified_count
    emptied = sync_database[collection].find_one()
    plan, status = await migration.plan(), await migration.status()
    report = await migration.validate(only=["legacy-user.*"])
    ending = await migration.finalize(keep=True, dry_run=True)
    again = await migration.apply()

    assert (False, 0, ExitCode.DONE) == (plan.pending, status.late_users, report.exit_code)
    assert ("Users_before_migration", None) == (ending.kept_as, again.run_id)
    assert emptied == sync_database[collection].find_one()


async def test_who_comes_late_is_filled_and_who_was_filled_before_is_not(migration, sync_database):
    """They are in one batch."""
    sync_database["Users"].insert_one(complete(0))
    there(sync_database, 0)
    await migration.apply()
    sync_database["user"].update_one({}, {"$set": {"image": ""}})
    sync_database["Users"].insert_one(complete(1))
    there(sync_database, 1)
    result = await migration.apply()

    assert 1 == result.filled["user"]
    assert ["", PICTURE] == [picture(sync_database, n) for n in range(2)]


async def test_a_fill_that_was_taken_back_is_made_again_once(migration, sync_database):
    """What a run filled went back with a part of it, and nobody emptied it."""
    sync_database["Users"].insert_many([complete(0), complete(1)])
    there(sync_database, 0)
    await migration.apply()
    await migration.rollback(options=RollbackOptions(users=(USERS[0],)))
    taken_back = picture(sync_database, 0)
    await migration.apply()
    again = picture(sync_database, 0)
    sync_database["user"].update_many({}, {"$set": {"image": None}})
    plan = await migration.plan()

    assert (None, PICTURE) == (taken_back, again)
    assert not plan.pending


async def test_users_of_a_backup_that_took_their_place_are_filled(
    migration, sync_database, database, tmp_path
):
    """What a run had filled in the collection before is not there any more."""
    sync_database["Users"].insert_one(complete(0))
    there(sync_database, 0)
    made = await migration.backup(tmp_path)
    await migration.apply()
    await restore_backup(made.path, database, drop=True, only=["user"])
    before = picture(sync_database, 0)
    await migration.apply()

    assert (None, PICTURE) == (before, picture(sync_database, 0))


async def test_a_fill_that_the_server_refused_is_tried_again(migration, sync_database):
    """Who was quarantined for it was not filled."""
    sync_database["Users"].insert_one(complete(0))
    there(sync_database, 0)
    sync_database.command("collMod", "user", validator={"image": {"$exists": False}})
    first = await migration.apply()
    sync_database.command("collMod", "user", validator={})
    second = await migration.apply()

    assert (1, 0) == tuple(each.outcomes[Outcome.QUARANTINED] for each in (first, second))
    assert PICTURE == picture(sync_database, 0)


def changed_before_its_turn(patch, collection, query, field):
    """Somebody writes to a document between its reading and its writing."""
    real = UserWriter._batch

    async def after_a_change(self, batch):
        collection.update_one(query, {"$set": {field: "Jeanne"}})
        return await real(self, batch)

    patch.setattr(UserWriter, "_batch", after_a_change)


@pytest.mark.parametrize("collection", ["user", "organization"])
async def test_a_fill_that_somebody_came_before_is_made_by_the_next_migration(
    migration, sync_database, monkeypatch, collection
):
    """They changed one field between its reading and its writing; others are missing still."""
    sync_database["Users"].insert_many([complete(0), complete(1)])
    for n, organization in enumerate((ATELIER, STUDIO)):
        there(sync_database, n)
        joins(sync_database, organization, USERS[n])
    changed = {
        "user": ({"_id": USERS[0]}, "name"),
        "organization": ({"_id": ATELIER}, "companyEmail"),
    }
    query, field = changed[collection]
    with monkeypatch.context() as patch:
        changed_before_its_turn(patch, sync_database[collection], query, field)
        first = await migration.apply()
    sync_database["user"].update_one({"_id": USERS[1]}, {"$set": {"image": ""}})
    with pytest.raises(UsageError):
        await migration.finalize(keep=True, dry_run=True)
    second = await migration.apply()
    last = await migration.plan()

    assert "changed-meanwhile" in {finding.code for finding in first.findings}
    assert ({collection: 1}, False) == (second.filled, last.pending)
    assert "Jeanne" == sync_database[collection].find_one(query)[field]
    assert [PICTURE, ""] == [picture(sync_database, n) for n in range(2)]
    assert "https://atelier.fr" == sync_database["organization"].find_one(ATELIER)["website"]


async def test_a_fill_that_the_same_run_made_after_an_interruption_is_made_once(
    uri, sync_database, monkeypatch
):
    """What people emptied after the run stays empty."""
    sync_database["Users"].insert_one(complete(0))
    there(sync_database, 0)
    with monkeypatch.context() as patch:
        changed_before_its_turn(patch, sync_database["user"], {}, "name")
        await migrate_up_to(uri, "rescan")
    skipped = picture(sync_database, 0)
    async with Migration(uri) as second:
        await second.apply()
        filled = picture(sync_database, 0)
        sync_database["user"].update_one({}, {"$set": {"image": ""}})
        plan = await second.plan()

    assert (None, PICTURE) == (skipped, filled)
    assert not plan.pending


async def test_an_organization_that_no_migration_filled_is_filled_once(migration, sync_database):
    """Its owner owned two, and so got neither filled, until one of them went."""
    sync_database["Users"].insert_one(complete(0))
    there(sync_database, 0)
    joins(sync_database, ATELIER, USERS[0])
    joins(sync_database, STUDIO, USERS[0])
    first = await migration.apply()
    sync_database["user"].update_one({}, {"$set": {"image": ""}})
    sync_database["member"].delete_one({"organizationId": STUDIO})
    sync_database["organization"].delete_one({"_id": STUDIO})
    second = await migration.apply()
    filled = sync_database["organization"].find_one()
    sync_database["organization"].update_one({}, {"$set": {"website": ""}})
    plan = await migration.plan()

    assert "several-organizations-owned" in {finding.code for finding in first.findings}
    assert {"organization": 1} == second.filled
    assert ("Atelier 0", "https://atelier.fr") == (filled["companyName"], filled["website"])
    assert ("", False) == (picture(sync_database, 0), plan.pending)


# -- whose documents wait -------------------------------------------------------------------------


def workspaces_of(database, user):
    return set(database["invoices"].distinct("workspaceId", {"createdBy": user}))


async def test_a_backfill_moves_no_document_of_whom_a_migration_gives_a_home_of_their_own(
    migration, sync_database
):
    """Their organization was deleted, and they are a colleague elsewhere."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    sync_database["invoices"].insert_many(
        [*invoices(USERS[0], 2), *invoices(USERS[1], 1, number="B1")]
    )
    await migration.apply()
    own, other = organization_id(USERS[0]), organization_id(USERS[1])
    joins(sync_database, other, USERS[0], role="member")
    sync_database["organization"].delete_one({"_id": own})
    sync_database["member"].delete_many({"organizationId": own})
    sync_database["invoices"].insert_one({"createdBy": USERS[1], "number": "late"})
    planned = (await migration.plan()).workspaces.of_user(USERS[0])
    await migration.backfill()
    after_backfill = workspaces_of(sync_database, USERS[0])
    await migration.apply()

    assert own == planned
    assert {own} == after_backfill
    assert {own} == workspaces_of(sync_database, USERS[0])
    assert {other} == workspaces_of(sync_database, USERS[1])


async def test_documents_of_who_could_not_be_given_a_home_wait_for_it(migration, sync_database):
    """The server refused their organization, and validation asks for nothing else than the run."""
    sync_database["Users"].insert_one(legacy_user(0))
    there(sync_database, 0)
    sync_database["user"].insert_one({"_id": STRANGER, "email": "x@exemple.fr"})
    joins(sync_database, ATELIER, USERS[0], role="member")
    joins(sync_database, ATELIER, STRANGER)
    sync_database.command("collMod", "organization", validator={"companyName": {"$exists": False}})
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    await migration.apply()
    report = await migration.validate(only=["document.*"])
    await migration.backfill()

    assert ExitCode.DONE is report.exit_code
    assert {None} == {one.get("workspaceId") for one in sync_database["invoices"].find()}


async def test_who_goes_back_with_a_part_of_a_backfill_stays_migrated(migration, sync_database):
    """Only documents that came later went back."""
    sync_database["Users"].insert_one(legacy_user(0))
    await migration.apply()
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    backfill = (await migration.backfill()).run_id
    await migration.rollback(backfill, options=RollbackOptions(users=(USERS[0],)))

    assert 0 == (await migration.status()).late_users


async def test_who_went_back_while_a_later_run_was_interrupted_counts_once_that_has_ended(
    migration, uri, sync_database
):
    """It makes them again, so its own line of them is decided anew."""
    sync_database["Users"].insert_one(legacy_user(0))
    first = (await migration.apply()).run_id
    sync_database["Users"].insert_one(legacy_user(1))
    async with Migration(uri, progress=(stop := When("users", None))) as second:
        stop.act = second.stop
        with pytest.raises(InterruptedRunError):
            await second.apply()
    await migration.rollback(first, options=RollbackOptions(users=(USERS[0],)))
    await migration.apply()

    assert 0 == (await migration.status()).late_users
    assert set(USERS[:2]) == set(sync_database["user"].distinct("_id"))


def two_owners(database):
    """Two partners of one company, who both own its organization already."""
    company = {"name": "Atelier", "email": "a@exemple.fr", "website": "https://atelier.fr"}
    for n in range(2):
        database["Users"].insert_one(complete(n) | {"company": company})
        there(database, n)
        joins(database, ATELIER, USERS[n])


async def test_what_was_filled_for_one_of_two_owners_goes_back(migration, sync_database):
    """The fill of the other one is the same, and was not made."""
    two_owners(sync_database)
    before = sync_database["organization"].find_one()
    first = await migration.apply()
    filled = sync_database["organization"].find_one()
    await migration.rollback()

    assert 1 == first.filled["organization"]
    assert "https://atelier.fr" == filled["website"]
    assert before == sync_database["organization"].find_one()


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(("collection", "field"), [("user", "image"), ("organization", "website")])
async def test_what_one_of_two_owners_emptied_stays_empty(
    migration, sync_database, position, collection, field
):
    """Nobody wrote to the organization but the run, which filled it for the first of them."""
    two_owners(sync_database)
    first = await migration.apply()
    which = {"_id": USERS[position] if collection == "user" else ATELIER}
    sync_database[collection].update_one(which, {"$set": {field: ""}})
    plan = await migration.plan()

    assert "changed-meanwhile" not in {finding.code for finding in first.findings}
    assert not plan.pending


async def test_what_people_emptied_stays_empty_after_a_part_of_a_backfill(migration, sync_database):
    """A backfill fills nothing, so nothing that a migration filled went back with it."""
    sync_database["Users"].insert_many([complete(0), complete(1)])
    await migration.apply()
    sync_database["user"].update_one({"_id": USERS[1]}, {"$set": {"image": ""}})
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    backfill = (await migration.backfill()).run_id
    await migration.rollback(backfill, options=RollbackOptions(users=(USERS[0],)))
    await migration.apply()

    assert "" == picture(sync_database, 1)


async def test_a_look_at_the_end_refuses_who_went_back_as_the_end_does(migration, sync_database):
    """A backfill stamps their documents again, and records nobody."""
    signed_up_anew(sync_database)
    joins(sync_database, ATELIER, STRANGER)
    await migration.apply()
    await migration.rollback(options=RollbackOptions(users=(USERS[0],)))
    await migration.backfill()
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="not migrated"):
            await migration.finalize(keep=True, dry_run=dry_run)
    await migration.apply()

    assert (await migration.finalize(keep=True, dry_run=True)).dry_run
