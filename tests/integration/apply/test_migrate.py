"""A legacy database migrates: clean and dirty, whatever the batch size and the topology."""

from __future__ import annotations

from collections import Counter

import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from fingerprints import changes, fingerprint
from legacy_cases import build_dirty_database
from little import little_legacy
from losing import losing_the_answer_to
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.demo.legacy import build_legacy_database
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import (
    DatabaseMovedOnError,
    ExitCode,
    InterruptedRunError,
    LeaseHeldError,
    UsageError,
)
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.users import FOLLOWS_MEMBERSHIP
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning import index_plan
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan_file import SavedPlan
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.lease import Holder, Lease
from newbi_migrate.store.raw import elements
from newbi_migrate.store.runs import RunWriter

RAW = CodecOptions(document_class=RawBSONDocument)


def documents_of(database, names):
    return {
        name: {
            bytes(d.raw[4:21]): bytes(d.raw)
            for d in database[name].with_options(codec_options=RAW).find()
        }
        for name in names
    }


def without_workspace(raw):
    return [part for part in elements(raw) if part[0] != "workspaceId"]


async def migrated(uri, **options):
    async with Migration(uri, options=MigrationOptions(**options)) as migration:
        return await migration.apply()


@pytest.mark.parametrize("source", ["Users", "users"])
async def test_a_clean_database_migrates_whole(uri, sync_database, source):
    """Every user is created, every document of every scoped collection is stamped, exit 0."""
    build_legacy_database(sync_database, seed=3, users=6, documents_per_user=20, source=source)
    users = sync_database[source].count_documents({})
    result = await migrated(uri)

    assert ExitCode.DONE == result.exit_code
    assert dict.fromkeys(("user", "account", "organization", "member"), users) == result.created
    for spec in NEWBI.scoped:
        wrong = {"workspaceId": {"$not": {"$type": spec.workspace_type.value}}}
        assert 0 == sync_database[spec.name].count_documents(wrong), spec.name


async def test_nothing_but_the_workspace_changes(uri, sync_database):
    """Every other byte of every document stays, and so does the order of fields."""
    build_legacy_database(sync_database, seed=4, users=5, documents_per_user=20, source="Users")
    names = [spec.name for spec in NEWBI.scoped] + ["Users"]
    before = documents_of(sync_database, names)
    await migrated(uri)
    after = documents_of(sync_database, names)

    assert before["Users"] == after["Users"]
    assert before.keys() == after.keys()
    for name, documents in before.items():
        assert documents.keys() == after[name].keys()
        for key, raw in documents.items():
            assert without_workspace(raw) == without_workspace(after[name][key])


async def test_planning_changes_nothing(uri, sync_database):
    """The dry run leaves every document, index and collection as it is."""
    build_dirty_database(sync_database, seed=5, users=5, documents_per_user=10)
    before = fingerprint(sync_database)
    async with Migration(uri) as migration:
        await migration.plan()

    assert [] == changes(before, fingerprint(sync_database))


async def test_a_role_that_may_only_read_is_enough_for_a_plan(
    mongod_with_auth, servers, database_name
):
    """So no write command is sent: the server would refuse it."""
    database = servers.client(mongod_with_auth)[database_name]
    build_dirty_database(database, seed=5, users=5, documents_per_user=10)
    reader = mongod_with_auth.add_user("r", "pw", database=database_name, roles=["read"])
    async with Migration(reader) as migration:
        plan = await migration.plan()

    assert plan.pending


async def test_the_plan_names_what_the_run_writes(uri, sync_database):
    """Ids, counts and quarantine of the plan are those of the run."""
    build_dirty_database(sync_database, seed=6, users=5, documents_per_user=10)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)
    named = {
        collection: {line.creates[collection] for line in plan.users if collection in line.creates}
        for collection in ("user", "account", "organization", "member")
    }

    assert {name: len(ids) for name, ids in named.items()} == result.created
    for collection, ids in named.items():
        assert len(ids) == sync_database[collection].count_documents({"_id": {"$in": [*ids]}})
    assert sorted(map(str, plan.quarantine)) == sorted(map(str, result.quarantine))
    for name, summary in plan.collections.items():
        assert summary.stamped == result.collections[name].stamped, name


@pytest.mark.slow
async def test_users_and_documents_are_conserved(uri, sync_database):
    """Whoever and whatever comes in comes out: written, right already, or quarantined."""
    build_dirty_database(sync_database, seed=7, users=8, documents_per_user=15)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)

    assert sync_database[plan.source].count_documents({}) == sum(plan.outcomes.values())
    for name, summary in result.collections.items():
        assert sync_database[name].count_documents({}) == summary.documents
        touched = summary.documents - summary.kept - summary.quarantined
        assert touched == max(summary.stamped, summary.owners_rewritten), name


async def test_a_user_whom_the_server_refuses_is_counted_as_quarantined(uri, sync_database):
    """Created and quarantined add up to all, in one go and where the run was interrupted."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    sync_database.create_collection("user", validator={"email": {"$ne": "jeanne1@exemple.fr"}})
    await stopped_at_rescan(uri)
    resumed = await migrated(uri)
    async with Migration(uri) as migration:
        await migration.rollback()
    result = await migrated(uri)

    assert {Outcome.CREATED: 2, Outcome.QUARANTINED: 1} == +Counter(result.outcomes)
    assert resumed.outcomes == result.outcomes


def account_refused(database):
    """They sign in with Google, and somebody lets nobody have two accounts."""
    google = {"userId": USERS[0], "providerId": "google", "accountId": "1"}
    database["account"].insert_one(google)
    database["account"].create_index("userId", unique=True)


def fill_refused(database):
    database.command("collMod", "user", validator={"role": {"$exists": False}})


@pytest.mark.parametrize(
    ("user", "refused"),
    [(USERS[0], account_refused), (USERS[0], fill_refused), (USERS[5], fill_refused)],
    ids=["account", "fill", "fill-of-alias"],
)
async def test_documents_of_a_member_are_stamped_whatever_else_of_them_is_refused(
    uri, sync_database, user, refused
):
    """Their workspace was there before, and is named by plan, run and validation alike."""
    home = ObjectId()
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one(
        {"_id": user, "email": "jeanne0@exemple.fr", "name": "Jeanne", "emailVerified": True}
    )
    sync_database["organization"].insert_one({"_id": home, "name": "Atelier", "slug": "atelier"})
    sync_database["member"].insert_one({"organizationId": home, "userId": user, "role": "owner"})
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    refused(sync_database)
    async with Migration(uri) as migration:
        plan, result = await migration.plan(), await migration.apply()
        report = await migration.validate(only=["document.*", "legacy-user.*"])
        ending = await migration.finalize(keep=True, dry_run=True)
        again = await migration.apply()

    assert [2, 2, 0] == [each.collections["invoices"].stamped for each in (plan, result, again)]
    assert {(home, user)} == {
        (each["workspaceId"], each["createdBy"]) for each in sync_database["invoices"].find()
    }
    assert {("Users", Reason.WRITE_REFUSED): 1} == result.quarantine.counts()
    assert (ExitCode.DONE, 1) == (report.exit_code, ending.quarantined)


async def stopped_at(wanted, uri, call=Migration.apply, **options):
    """Stop a run when a phase of it begins; what it raised."""

    class StopAt(NullProgress):
        def phase(self, name, total):
            if name == wanted:
                stopping.stop()

    chosen = MigrationOptions(**options)
    async with Migration(uri, options=chosen, progress=StopAt()) as stopping:
        with pytest.raises(InterruptedRunError) as caught:
            await call(stopping)
    return caught.value


async def stopped_at_rescan(uri):
    """Begin a migration, and stop it once all documents are written."""
    await stopped_at("rescan", uri)


async def test_an_interrupted_run_is_finished_with_its_own_legacy_users(uri, sync_database):
    """Another collection of them is another choice, whether it is named or found."""
    sync_database["comptes"].insert_many([legacy_user(0), legacy_user(1)])
    sync_database["Users"].insert_one(legacy_user(2))
    await stopped_at("users", uri, legacy_collection="comptes")
    refused = []
    for other in (None, "Users"):
        with pytest.raises(UsageError, match="legacyCollection was comptes") as caught:
            await migrated(uri, legacy_collection=other)
        refused.append(caught.value)
    result = await migrated(uri, legacy_collection="comptes")

    assert all("migrate --legacy-collection comptes" in error.next_step for error in refused)
    assert {Outcome.CREATED: 2} == +Counter(result.outcomes)
    assert {*USERS[:2]} == {user["_id"] for user in sync_database["user"].find()}


@pytest.mark.parametrize("names", [(None, "Users"), ("Users", None)])
async def test_legacy_users_that_are_found_and_named_are_the_same_choice(uri, sync_database, names):
    """A run that found their collection is finished by a call that names it, and the reverse."""
    sync_database["Users"].insert_one(legacy_user(0))
    begun, finished = names
    await stopped_at("users", uri, legacy_collection=begun)
    result = await migrated(uri, legacy_collection=finished)

    assert result.resumed


@pytest.mark.parametrize("phase", ["plan users", "plan indexes of collections"])
async def test_a_run_that_is_stopped_before_its_first_write_has_not_begun(
    uri, sync_database, phase
):
    """It says so and ends with 2: there is nothing that the same command would finish."""
    build_legacy_database(sync_database, seed=7, users=3, documents_per_user=5)
    before = fingerprint(sync_database, run_records=False)
    stopped = await stopped_at(phase, uri)
    await migrated(uri)
    back = await stopped_at("survey users", uri, Migration.rollback_all)
    async with Migration(uri) as migration:
        await migration.rollback_all()

    assert [(ExitCode.USAGE, "Interrupted; nothing was written.")] * 2 == [
        (error.exit_code, error.what) for error in (stopped, back)
    ]
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


async def test_a_resumed_run_that_is_stopped_before_its_first_write_is_still_unfinished(
    uri, sync_database
):
    """The same command finishes it: 7, and not 2."""
    build_legacy_database(sync_database, seed=7, users=3, documents_per_user=5)
    first = await stopped_at("rescan", uri)
    again = await stopped_at("plan users", uri)

    assert [ExitCode.INTERRUPTED] * 2 == [first.exit_code, again.exit_code]
    assert "finishes it" in again.next_step


async def test_a_run_that_was_asked_to_stop_is_finished_by_the_same_call(uri, sync_database):
    """The same migration goes on: that it was asked to stop counts once, whenever that was."""
    sync_database["Users"].insert_many([legacy_user(0)])
    async with Migration(uri) as migration:
        migration.stop()
        with pytest.raises(InterruptedRunError):
            await migration.apply()
        result = await migration.apply()

    assert 1 == result.outcomes[Outcome.CREATED]


@pytest.mark.slow
async def test_a_resumed_run_tells_the_numbers_of_its_plan(uri, sync_database):
    """Of users, documents and indexes, as a run that nothing interrupted does."""
    build_dirty_database(sync_database, seed=7, users=8, documents_per_user=15)
    async with Migration(uri) as migration:
        plan = await migration.plan()
    await stopped_at_rescan(uri)
    resumed = await migrated(uri)
    async with Migration(uri) as migration:
        await migration.rollback()
    whole = await migrated(uri)

    def numbers(result):
        documents = {
            name: (one.documents, one.stamped, one.owners_rewritten, one.kept, one.quarantined)
            for name, one in result.collections.items()
        }
        indexes = Counter((one.collection, one.name, one.action) for one in result.indexes)
        return dict(result.outcomes), result.created, result.filled, documents, indexes

    assert (True, False) == (resumed.resumed, whole.resumed)
    assert plan.outcomes == resumed.outcomes
    assert numbers(whole) == numbers(resumed)


async def test_a_dirty_database_ends_with_5(uri, sync_database):
    """What cannot be resolved is listed, and the exit code says so."""
    build_dirty_database(sync_database, seed=8, users=5, documents_per_user=10)
    result = await migrated(uri)

    assert ExitCode.QUARANTINED == result.exit_code
    assert len(result.quarantine) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dirty", [False, True])
async def test_a_second_run_writes_nothing(uri, sync_database, dirty):
    """Not a document, not an index, not even a record of the run."""
    build = build_dirty_database if dirty else build_legacy_database
    build(sync_database, seed=9, users=6, documents_per_user=15)
    await migrated(uri)
    before = fingerprint(sync_database)
    again = await migrated(uri)

    assert again.run_id is None
    assert [] == changes(before, fingerprint(sync_database))


@pytest.mark.slow
async def test_every_batch_size_and_number_of_workers_ends_in_the_same_bytes(
    mongod, servers, database_name
):
    """One document at a time, a few, or all at once: no difference."""
    found = []
    for size, workers in ((1, 1), (3, 4), (50, 2), (50_000, 2)):
        name = f"{database_name}_{size}"
        database = servers.client(mongod)[name]
        build_dirty_database(database, seed=10, users=4, documents_per_user=12)
        await migrated(mongod.uri_for(name), batch_size=size, workers=workers)
        found.append(fingerprint(database, run_records=False))
        servers.drop(name)

    assert [[]] * 3 == [changes(found[0], other) for other in found[1:]]


@pytest.mark.slow
async def test_a_replica_set_ends_in_the_same_bytes(
    uri, replica_uri, sync_database, sync_replica_database
):
    """With transactions or without: no difference."""
    for database in (sync_database, sync_replica_database):
        build_dirty_database(database, seed=11, users=6, documents_per_user=12)
    await migrated(uri)
    await migrated(replica_uri)
    alone, together = (
        fingerprint(database, run_records=False)
        for database in (sync_database, sync_replica_database)
    )

    assert [] == changes(alone, together)


@pytest.mark.slow
async def test_a_child_follows_its_board(uri, sync_database):
    """Columns and tasks are in the workspace of their board, whoever made them."""
    build_legacy_database(sync_database, seed=12, users=6, documents_per_user=30)
    await migrated(uri)
    boards = {b["_id"]: b["workspaceId"] for b in sync_database["boards"].find()}

    for name in ("columns", "tasks"):
        for child in sync_database[name].find():
            assert boards[child["boardId"]] == child["workspaceId"]


@pytest.mark.slow
async def test_a_saved_plan_is_applied_exactly_or_refused(uri, sync_database):
    """Once a user has signed up, the plan is no longer what would be done."""
    build_legacy_database(sync_database, seed=13, users=3, documents_per_user=5, source="Users")
    async with Migration(uri) as migration:
        saved = SavedPlan.of(await migration.plan())
        late = sync_database["Users"].insert_one({"email": "late@exemple.fr"}).inserted_id
        with pytest.raises(DatabaseMovedOnError, match="users"):
            await migration.apply_saved(saved)
        sync_database["Users"].delete_one({"_id": late})
        done = await migration.apply_saved(saved)
        again = await migration.apply_saved(saved)

    assert done.run_id is not None
    assert again.run_id is None


async def test_a_second_run_at_once_is_refused(uri, sync_database, database):
    """While somebody holds the lease, nothing is planned and nothing is written."""
    build_legacy_database(sync_database, seed=14, users=2, documents_per_user=3, source="Users")
    await Lease.acquire(database, Holder(ObjectId(), "elsewhere", 1, "migrate"))
    before = fingerprint(sync_database)
    with pytest.raises(LeaseHeldError):
        await migrated(uri)

    assert [] == changes(before, fingerprint(sync_database))


async def test_backfill_stamps_late_documents_alone(uri, sync_database):
    """A document of a migrated user that came late gets their workspace; users are left alone."""
    build_legacy_database(sync_database, seed=15, users=3, documents_per_user=5, source="Users")
    await migrated(uri)
    owner = sync_database["member"].find_one()
    late = {"createdBy": owner["userId"], "name": "late"}
    sync_database["products"].insert_one(late)
    async with Migration(uri) as migration:
        result = await migration.backfill()
    found = sync_database["products"].find_one({"_id": late["_id"]})

    assert {} == dict(result.created)
    assert owner["organizationId"] == found["workspaceId"]


async def test_a_backfill_before_a_migration_is_refused(uri, sync_database):
    """Also where an organization is there already: a run of it would pass for the migration."""
    little_legacy(sync_database)
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match="No migration is in place"):
            await migration.backfill()
        await migration.apply()
        await migration.rollback()
        with pytest.raises(UsageError, match="No migration is in place"):
            await migration.backfill()

    assert 0 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.parametrize("command", ["migrate", "backfill"])
async def test_whose_documents_would_follow_a_membership_is_named_beforehand(
    uri, sync_database, command
):
    """Only who left the organization made for them, and only while their documents would go."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    await migrated(uri)
    left, host, idle = USERS[:3]
    members = sync_database["member"]
    workspace = members.find_one({"userId": host})["organizationId"]
    for user in (left, idle):
        members.update_one({"userId": user}, {"$set": {"userId": ObjectId()}})
        members.insert_one({"userId": user, "organizationId": workspace, "role": "viewer"})
    sync_database["invoices"].insert_many(invoices(left, 2) + invoices(host, 1, number="9"))
    documents_only = command == "backfill"
    async with Migration(uri) as migration:
        plan = await migration.plan(documents_only=documents_only)
        await (migration.backfill() if documents_only else migration.apply())
        after = await migration.plan(documents_only=documents_only)

    assert [("user", left)] == [
        (finding.collection, finding.id)
        for finding in plan.findings
        if finding.code == FOLLOWS_MEMBERSHIP
    ]
    assert workspace == plan.workspaces.of_user(left)
    assert {workspace} == set(sync_database["invoices"].distinct("workspaceId"))
    assert FOLLOWS_MEMBERSHIP not in {finding.code for finding in after.findings}


async def test_a_saved_plan_of_which_a_write_was_refused_can_be_carried_out_again(
    uri, sync_database
):
    """What the journal says was written and what is left are that plan still."""
    sync_database["Users"].insert_many([legacy_user(0)])
    sync_database["invoices"].insert_many(invoices(USERS[0], 2, twice=True))
    sync_database["invoices"].create_index(
        [("workspaceId", 1), ("twice", 1)],
        unique=True,
        partialFilterExpression={"workspaceId": {"$exists": True}},
    )
    async with Migration(uri) as migration:
        saved = SavedPlan.of(await migration.plan())
        done = await migration.apply_saved(saved)
        again = await migration.apply_saved(saved)

    assert 1 == done.collections["invoices"].stamped
    assert ExitCode.QUARANTINED == done.exit_code == again.exit_code


async def test_a_saved_plan_stays_the_same_where_users_are_many_and_numbers_collide(
    uri, sync_database, monkeypatch
):
    """Whether collisions are looked for does not depend on how many documents are stamped."""
    monkeypatch.setattr(index_plan, "MAX_TREE_KEYS", 1)
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["invoices"].insert_many(
        [*invoices(USERS[0], 2, prefix="F"), *invoices(USERS[0], 2, prefix="F")]
    )

    class StopAt(NullProgress):
        def phase(self, name, total):
            if name == "rescan":
                stopping.stop()

    async with Migration(uri, progress=StopAt()) as stopping:
        saved = SavedPlan.of(await stopping.plan())
        with pytest.raises(InterruptedRunError):
            await stopping.apply_saved(saved)
    async with Migration(uri) as migration:
        result = await migration.apply_saved(saved)

    assert 4 == result.collections["invoices"].stamped


async def test_resumed_and_done_with_the_answer_lost_is_done(uri, sync_database, monkeypatch):
    """The last write of an interrupted run that a person reviewed again is looked at again."""
    sync_database["Users"].insert_many([legacy_user(0)])
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))

    await stopped_at_rescan(uri)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        losing_the_answer_to(monkeypatch, RunWriter, "finish")
        result = await migration.apply(plan)
        (run,) = (await migration.status()).runs

    assert run.run_id == result.run_id
    assert ExitCode.DONE == result.exit_code
