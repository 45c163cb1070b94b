"""The end of a migration: obsolete indexes and legacy users go once nothing is lost with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from losing import losing_the_answer_to
from pymongo.errors import AutoReconnect
from small_legacy import DAY, USERS, invoices, legacy_user

from newbi_migrate.choices import OnConflict
from newbi_migrate.cli.next_steps import after_rollback
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import IndexSpec
from newbi_migrate.errors import (
    DatabaseMovedOnError,
    ExitCode,
    InterruptedRunError,
    UsageError,
    ValidationFailedError,
)
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.finalize import legacy_users
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.rollback.documents import DocumentRollback
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.progress import NullProgress
from newbi_migrate.report.rollback import rollback_document
from newbi_migrate.store.journal import Journal
from newbi_migrate.store.runs import RunWriter
from newbi_migrate.store.session import LeasedSession

OLD = "number_1_createdBy_1"
WORKSPACES = [organization_id(user) for user in USERS]
NEW = "number_workspaceId_issueYear_unique"


def held(database):
    return fingerprint(database, run_records=False)


@pytest.fixture
async def migrated(uri, sync_database):
    """Two users with an invoice each and the old unique index, migrated."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 1))
    sync_database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    before = held(sync_database)
    async with Migration(uri) as migration:
        await migration.apply()
    return before


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


async def test_obsolete_indexes_are_shown_and_nothing_is_written(
    migrated, migration, sync_database
):
    """Looking sends no write command, and ends with 0: they wait for who asks for it."""
    stood = fingerprint(sync_database)
    looked = await migration.indexes()

    assert [("invoices", OLD)] == looked.dropped
    assert ExitCode.DONE == looked.exit_code
    assert [] == changes(stood, fingerprint(sync_database))


async def test_obsolete_indexes_are_dropped_and_come_back(migrated, migration, sync_database):
    """Dropping is a run; a rollback builds the index again as it was."""
    stood = held(sync_database)
    result = await migration.indexes(apply=True)
    gone = OLD not in sync_database["invoices"].index_information()
    back = await migration.rollback()

    assert gone
    assert ([("invoices", OLD)], ExitCode.DONE) == (result.dropped, result.exit_code)
    assert [("invoices", OLD)] == back.indexes_rebuilt
    assert [] == changes(stood, held(sync_database))


async def test_dropped_twice_writes_nothing(migrated, migration, sync_database):
    """Not even a record of a run."""
    await migration.indexes(apply=True)
    stood = fingerprint(sync_database)
    again = await migration.indexes(apply=True)

    assert again.run_id is None
    assert [] == changes(stood, {**fingerprint(sync_database), **_lease(stood)})


def _lease(stood):
    # Taking and giving back the lease is all that is written.
    return {"newbi_migrate_lease": stood["newbi_migrate_lease"]}


async def test_a_missing_successor_is_built_before_the_old_index_goes(
    migrated, migration, sync_database
):
    """No other command has to be run first, and a rollback takes back both."""
    sync_database["invoices"].drop_index(NEW)
    stood = held(sync_database)
    looked = await migration.indexes()
    result = await migration.indexes(apply=True)
    there = sync_database["invoices"].index_information()
    await migration.rollback()

    for each in (looked, result):
        assert ([("invoices", OLD)], [("invoices", NEW)]) == (each.dropped, each.created)
    assert (True, False) == (NEW in there, OLD in there)
    assert [] == changes(stood, held(sync_database))


async def test_an_index_stays_until_its_successor_is_there(migrated, migration, sync_database):
    """Between the two nothing would keep invoice numbers unique."""
    sync_database["invoices"].drop_index(NEW)
    twice = sync_database["invoices"].find_one({})
    sync_database["invoices"].insert_one({**twice, "_id": ObjectId(), "createdBy": USERS[2]})
    looked = await migration.indexes()
    stood = fingerprint(sync_database)
    result = await migration.indexes(apply=True)

    assert [] == changes(stood, fingerprint(sync_database))
    for each in (looked, result):
        assert [("invoices", OLD, NEW)] == [(h.collection, h.name, h.missing) for h in each.held]
        assert [(NEW, "2 documents share a key that would have to be unique.")] == [
            (index.name, index.reason) for index in each.missing
        ]
        assert ([], [], ExitCode.PENDING) == (each.dropped, each.created, each.exit_code)


@pytest.mark.parametrize("obsolete", [IndexSpec((("vendor", "text"),)), IndexSpec((("rank", 1),))])
async def test_nothing_goes_that_has_no_successor(uri, sync_database, obsolete):
    """A registry may call an index obsolete and describe none that takes its place."""
    sync_database["Users"].insert_one(legacy_user(0))
    spec = replace(NEWBI["expenses"], indexes=(), unique_keys=(), obsolete=(obsolete,))
    sync_database["expenses"].create_index(list(obsolete.keys))
    async with Migration(uri, registry=NEWBI.extended(spec)) as migration:
        await migration.apply()
        results = [await migration.indexes(apply=True), await migration.finalize(keep=True)]

    assert [[("expenses", obsolete.name, None)]] * 2 == [
        [(h.collection, h.name, h.missing) for h in result.held] for result in results
    ]
    assert obsolete.name in sync_database["expenses"].index_information()


async def test_a_collection_that_gets_workspaces_later_keeps_its_indexes(uri, sync_database):
    """The choices of the migration hold for its end, too."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["expenses"].create_index([("vendor", "text")])
    options = MigrationOptions(schema_day=date(2025, 8, 1))
    async with Migration(uri, options=options) as first:
        await first.apply()
    async with Migration(uri) as migration:
        result = await migration.indexes(apply=True)

    assert ([], [], None) == (result.dropped, result.created, result.run_id)
    assert {"_id_", "vendor_text"} == set(sync_database["expenses"].index_information())


def shares_the_old_key(database):
    """Another invoice of the same number and owner, which the new index lets through; both ids."""
    twice = database["invoices"].find_one({})
    other = {**twice, "_id": ObjectId(), "workspaceId": ObjectId()}
    return {twice["_id"], database["invoices"].insert_one(other).inserted_id}


async def test_an_index_that_cannot_be_built_again_is_a_conflict(
    migrated, migration, sync_database
):
    """Documents written since share its key: nothing is written until a person has decided.

    One of them is named, for it is what a person can settle.
    """
    await migration.indexes(apply=True)
    both = shares_the_old_key(sync_database)
    stood = held(sync_database)
    for dry_run in (True, False):
        (back, _) = await migration.rollback_all(dry_run=dry_run)
        assert (True, ExitCode.ROLLBACK_CONFLICTS) == (back.refused, back.exit_code)
        assert [("invoices", OLD, True)] == [
            (c.collection, c.path, c.id in both) for c in back.conflicts
        ]
    refused = changes(stood, held(sync_database))
    kept = await migration.rollback(options=RollbackOptions(OnConflict.KEEP))

    assert [] == refused
    assert ([("invoices", OLD)], ExitCode.DONE) == (
        [(c.collection, c.path) for c in kept.conflicts],
        kept.exit_code,
    )


async def test_an_index_that_documents_hinder_while_a_rollback_writes_is_told(
    migrated, uri, migration, sync_database
):
    """Everything else goes back, and the run can be named again once nothing is in the way."""
    await migration.indexes(apply=True)

    class Meanwhile(NullProgress):
        def phase(self, name, total):
            if name == "build indexes again":
                shares_the_old_key(sync_database)

    async with Migration(uri, progress=Meanwhile()) as other:
        back = await other.rollback()
    following = after_rollback([back], everything=False, place=["--uri-file", "x"])
    told = " ".join(str(rollback_document([back]).sections).split())
    sync_database["invoices"].delete_one({"workspaceId": {"$nin": [WORKSPACES[0], WORKSPACES[1]]}})
    again = await migration.rollback(back.run_id)

    named = f"rollback --run {back.run_id}"
    assert following.startswith("once nothing is in the way")
    assert following.endswith(f" newbi-migrate {named} --uri-file x")
    assert f"Once nothing is in their way, {named} takes them back too." in told
    assert ([("invoices", OLD)], ExitCode.DONE) == (again.indexes_rebuilt, again.exit_code)
    assert (ExitCode.PENDING, False) == (back.exit_code, back.refused)
    assert [("invoices", OLD)] == [(c.collection, c.path) for c in back.conflicts]


async def test_finalize_drops_legacy_users_and_obsolete_indexes(migrated, migration, sync_database):
    """Once everything validates, the old structure goes."""
    result = await migration.finalize()

    assert "Users" not in sync_database.list_collection_names()
    assert OLD not in sync_database["invoices"].index_information()
    assert ("Users", None, 2) == (result.legacy, result.kept_as, result.legacy_users)


async def test_finalize_keeps_under_another_name_and_can_be_taken_back(
    migrated, migration, sync_database
):
    """Every byte of the legacy users is there, and the way back stays open to the first run."""
    stood = held(sync_database)
    result = await migration.finalize(keep=True)
    names = sync_database.list_collection_names()
    await migration.rollback()
    after_one = changes(stood, held(sync_database))
    await migration.rollback_all()

    assert "Users_before_migration" == result.kept_as
    assert "Users_before_migration" in names
    assert "Users" not in names
    assert [] == after_one
    assert [] == changes(migrated, held(sync_database))


@pytest.fixture
async def migrated_after_the_end(migration, sync_database):
    """Run ids: a quarantined user was put right and migrated once the legacy users were kept."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, email=None)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 1))
    first = await migration.apply()
    await migration.finalize(keep=True)
    right = {"$set": {"email": "jeanne1@exemple.fr"}}
    sync_database["Users_before_migration"].update_one({"_id": USERS[1]}, right)
    return first.run_id, (await migration.apply()).run_id


async def test_whoever_a_run_after_the_end_left_goes_once_nothing_refers_to_them(
    migrated_after_the_end, migration, sync_database
):
    """The legacy users have their first name back by then, and are as much there as before."""
    _, late = migrated_after_the_end
    home = {"_id": ObjectId(), "workspaceId": WORKSPACES[1]}
    sync_database["quotes"].insert_one(home)
    left = await migration.rollback_all()
    sync_database["quotes"].drop()
    back = await migration.rollback(late)
    again = await migration.rollback_all()

    assert [ExitCode.PENDING, ExitCode.DONE, ExitCode.DONE] == [one.exit_code for one in left]
    assert (ExitCode.DONE, 1) == (back.exit_code, back.deleted["user"])
    assert [None] == [one.run_id for one in again]


async def test_a_transient_error_after_the_end_was_taken_back_ends_no_rollback_of_all(
    migrated_after_the_end, migration, monkeypatch
):
    """A later run is looked at again when the legacy users have their first name back."""
    first, _ = migrated_after_the_end
    real, failed = DocumentRollback.apply, []

    async def failing(rollback, session):
        if rollback.run_id == first and not failed:
            failed.append(first)
            raise AutoReconnect("closed")
        await real(rollback, session)

    monkeypatch.setattr(DocumentRollback, "apply", failing)
    back = await migration.rollback_all()

    assert [ExitCode.DONE] * 3 == [one.exit_code for one in back]


async def test_a_collection_that_somebody_dropped_since_stays_dropped(
    migrated, migration, sync_database
):
    """An old index is built again where its collection is, and nowhere else."""
    await migration.finalize(keep=True)
    sync_database["invoices"].drop()
    shown = await migration.rollback(dry_run=True)
    back = await migration.rollback(reviewed=shown)

    assert ([], []) == (shown.indexes_rebuilt, back.indexes_rebuilt)
    assert ExitCode.DONE == back.exit_code
    assert "invoices" not in sync_database.list_collection_names()


async def test_what_was_dropped_for_good_is_not_rolled_back(migrated, migration, sync_database):
    """It says what to restore first, and writes nothing."""
    await migration.finalize()
    stood = held(sync_database)
    with pytest.raises(UsageError, match="no longer there"):
        await migration.rollback()

    assert [] == changes(stood, held(sync_database))


async def test_a_restored_legacy_collection_opens_the_way_back(migrated, migration, sync_database):
    """With the users back from a backup the runs can be taken back."""
    users = list(sync_database["Users"].find())
    await migration.finalize()
    sync_database["Users"].insert_many(users)
    await migration.rollback_all()

    assert [] == changes(migrated, held(sync_database))


async def test_without_a_journal_there_is_no_way_back(migrated, migration, sync_database):
    """The rollback says so."""
    result = await migration.finalize(keep=True, drop_journal=True)
    with pytest.raises(UsageError, match="journal"):
        await migration.rollback()

    assert result.journal_dropped
    assert "newbi_migrate_journal" not in sync_database.list_collection_names()


async def test_finalize_refuses_a_database_that_does_not_validate(
    migrated, migration, sync_database
):
    """Nothing is dropped while a rule that must hold does not."""
    sync_database["member"].delete_one({})
    stood = held(sync_database)
    with pytest.raises((ValidationFailedError, UsageError)):
        await migration.finalize()

    assert [] == changes(stood, held(sync_database))


async def test_finalize_refuses_pending_work(migrated, migration, sync_database):
    """A document that came since the migration is migrated first."""
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    with pytest.raises((ValidationFailedError, UsageError)):
        await migration.finalize()

    assert 2 == sync_database["Users"].count_documents({})


async def test_finalize_does_not_drop_a_user_who_was_quarantined(uri, migration, sync_database):
    """The user is in the legacy collection alone; --keep is the way."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, email=None)])
    await migration.apply()
    with pytest.raises(UsageError, match="quarantined"):
        await migration.finalize()
    result = await migration.finalize(keep=True)

    assert 1 == result.quarantined
    assert 2 == sync_database["Users_before_migration"].count_documents({})


ENDING = {
    "indexes": Migration.indexes,
    "indexes --apply": lambda migration: migration.indexes(apply=True),
    "finalize --dry-run": lambda migration: migration.finalize(dry_run=True),
    "finalize": Migration.finalize,
    "finalize --keep": lambda migration: migration.finalize(keep=True),
}


@pytest.mark.parametrize("taken_back", [False, True])
@pytest.mark.parametrize("command", ENDING)
async def test_nothing_old_goes_unless_a_migration_is_in_place(
    migration, sync_database, command, taken_back
):
    """The old structure is all there is: its text index serves the application's search."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["expenses"].create_index([("vendor", "text")], name="vendor_text")
    if taken_back:
        await migration.apply()
        await migration.rollback()
    stood = held(sync_database)
    with pytest.raises(UsageError, match="No migration is in place in this database"):
        await ENDING[command](migration)

    assert [] == changes(stood, held(sync_database))


async def test_late_documents_are_stamped_after_finalize_too(migrated, migration, sync_database):
    """Owners are found among the members, whether or not the legacy users are still there."""
    await migration.finalize()
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    result = await migration.backfill()

    assert 1 == result.collections["clients"].stamped
    assert ExitCode.DONE == result.exit_code


async def test_a_finalized_database_validates(migrated, migration):
    """What was dropped on purpose is no violation."""
    await migration.finalize()
    report = await migration.validate()

    assert report.is_clean


async def test_interrupted_the_same_call_finishes_it(migrated, uri, sync_database, monkeypatch):
    """A finalize that stopped half-way goes on, and ends in the same bytes."""
    reals = LeasedSession.safe_point
    left = [6]

    def counted(session):
        left[0] -= 1
        if left[0] == 0:
            migration.stop()
        reals(session)

    with monkeypatch.context() as patch:
        patch.setattr(LeasedSession, "safe_point", counted)
        async with Migration(uri) as migration:
            with pytest.raises(InterruptedRunError):
                await migration.finalize(keep=True)
    async with Migration(uri) as migration:
        result = await migration.finalize(keep=True)

    assert "Users_before_migration" in sync_database.list_collection_names()
    assert [("invoices", OLD)] == result.dropped
    assert "Users" not in sync_database.list_collection_names()


async def test_finalized_twice_records_nothing(migrated, migration, sync_database):
    """Kept once, there is nothing left to do, and no record of a run says otherwise."""
    await migration.finalize(keep=True)
    runs = sync_database["newbi_migrate_runs"].count_documents({})
    again = await migration.finalize(keep=True)

    assert again.run_id is None
    assert runs == sync_database["newbi_migrate_runs"].count_documents({})


@pytest.mark.parametrize("name", ["clients", "user"])
async def test_what_the_server_refuses_waits_for_a_person_and_has_not_come_since(
    uri, migration, sync_database, name
):
    """A plan cannot foresee it; `--keep` goes on without it, as without all that is quarantined.

    Whoever comes later is told all the same.
    """
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["clients"].insert_one({"createdBy": USERS[0], "name": "Un", "createdAt": DAY})
    refusing = {"clients": {"workspaceId": None}, "user": {"_id": {"$ne": USERS[1]}}}[name]
    if name == "user":
        sync_database.create_collection("user")
    sync_database.command("collMod", name, validator=refusing)
    assert ExitCode.QUARANTINED == (await migration.apply()).exit_code
    with pytest.raises(UsageError, match=r"(?i)quarantined"):
        await migration.finalize(dry_run=True)
    kept = await migration.finalize(keep=True, dry_run=True)
    sync_database["Users"].insert_one(legacy_user(2))
    with pytest.raises(UsageError, match="have come since"):
        await migration.finalize(keep=True)

    assert "Users_before_migration" == kept.kept_as


async def test_what_comes_late_and_is_quarantined_is_recorded_by_the_next_run(
    migrated, migration, sync_database
):
    """A run with nothing to write records it, once; else nothing could ever be finalized."""
    sync_database["Users"].insert_one(legacy_user(2, email=None))
    sync_database["invoices"].insert_one({"createdBy": ObjectId(), "number": "late"})
    late = await migration.validate()
    first, again = await migration.apply(), await migration.apply()
    after = await migration.validate()
    kept = await migration.finalize(keep=True)

    assert (ExitCode.PENDING, ExitCode.DONE) == (late.exit_code, after.exit_code)
    assert (ExitCode.QUARANTINED, True, None) == (
        first.exit_code,
        first.run_id is not None,
        again.run_id,
    )
    assert (2, "Users_before_migration") == (after.quarantined, kept.kept_as)


async def test_a_collection_made_anew_and_migrated_is_told_before_anything_is_confirmed(
    migrated, migration, sync_database
):
    """The look refuses what the run would refuse; dropping takes one collection after the other."""
    await migration.finalize(keep=True)
    sync_database["Users"].insert_one(legacy_user(2))
    await migration.apply()
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="is there already"):
            await migration.finalize(keep=True, dry_run=dry_run)
    first, second = await migration.finalize(), await migration.finalize()

    assert [("Users", 1), ("Users_before_migration", 2)] == [
        (dropped.legacy, dropped.legacy_users) for dropped in (first, second)
    ]
    assert "Users_before_migration" not in sync_database.list_collection_names()


async def test_an_empty_collection_made_anew_is_not_the_one_that_is_dropped(
    migrated, migration, sync_database
):
    """The legacy users are those that were kept."""
    await migration.finalize(keep=True)
    sync_database.create_collection("Users")
    looked, again = await migration.finalize(dry_run=True), await migration.finalize(keep=True)
    dropped = await migration.finalize()

    assert ("Users_before_migration", 2) == (looked.legacy, looked.legacy_users)
    assert again.run_id is None
    assert ("Users_before_migration", 2) == (dropped.legacy, dropped.legacy_users)


@pytest.mark.parametrize(
    ("part", "restored"),
    [
        (RollbackOptions(users=(USERS[0],)), 1),
        (RollbackOptions(collections=("invoices",)), 2),
    ],
)
async def test_a_part_can_be_taken_back_once_the_legacy_users_were_set_aside(
    migrated, migration, part, restored
):
    """They are there, under another name."""
    await migration.finalize(keep=True)
    back = await migration.rollback(options=part)

    assert (ExitCode.DONE, restored) == (back.exit_code, back.documents["invoices"].restored)


async def test_a_user_whom_the_server_refuses_waits_for_a_person_with_their_documents(
    uri, migration, sync_database
):
    """Nothing has come since, so `--keep` goes on."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["invoices"].insert_many(invoices(USERS[1], 2))
    sync_database.create_collection("user", validator={"_id": {"$ne": USERS[1]}})
    assert ExitCode.QUARANTINED == (await migration.apply()).exit_code
    kept = await migration.finalize(keep=True, dry_run=True)
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    with pytest.raises(UsageError, match="have come since"):
        await migration.finalize(keep=True)

    assert "Users_before_migration" == kept.kept_as


@pytest.mark.parametrize("backfilled", [False, True])
async def test_a_legacy_user_in_a_collection_made_anew_has_come_late(
    migrated, migration, sync_database, backfilled
):
    """Whatever run came between, status, validation and the end say so; a migration helps."""
    await migration.finalize(keep=True)
    if backfilled:
        sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
        await migration.backfill()
    sync_database["Users"].insert_one(legacy_user(2))
    status, late = await migration.status(), await migration.validate(only=["legacy-user.*"])
    for keep in (True, False):
        with pytest.raises(UsageError, match="have come since"):
            await migration.finalize(keep=keep, dry_run=True)
    await migration.apply()
    after = await migration.validate(only=["legacy-user.*"])

    assert (1, 1, ExitCode.PENDING) == (status.late_users, late.pending, late.exit_code)
    assert (0, ExitCode.DONE) == ((await migration.status()).late_users, after.exit_code)


@pytest.mark.parametrize("came_back", [0, 1])
async def test_a_legacy_collection_made_anew_does_not_open_the_way_back(
    migrated, migration, sync_database, came_back
):
    """Applications make the collections of their models anew: the users in it are gone."""
    await migration.finalize()
    sync_database.create_collection("Users")
    sync_database["Users"].insert_many([legacy_user(n) for n in range(came_back)] or [{}])
    stood = held(sync_database)
    with pytest.raises(UsageError, match="no longer in Users"):
        await migration.rollback_all()

    assert [] == changes(stood, held(sync_database))


@pytest.mark.parametrize("left", [0, 1])
async def test_legacy_users_deleted_since_they_were_set_aside_hold_a_rollback_of_all(
    migrated, migration, sync_database, left
):
    """Where none is left, users would be deleted for good; one may have been deleted on purpose."""
    await migration.finalize(keep=True)
    kept = sync_database["Users_before_migration"]
    kept.delete_many({"_id": {"$ne": USERS[0]}} if left else {})
    stood = held(sync_database)
    if left:
        assert ExitCode.DONE == (await migration.rollback_all())[-1].exit_code
        return
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="no longer in Users_before_migration"):
            await migration.rollback_all(dry_run=dry_run)

    assert [] == changes(stood, held(sync_database))


async def test_a_legacy_user_deleted_since_does_not_stop_a_rollback(
    migrated, migration, sync_database
):
    """Somebody was deleted on purpose; the others go back."""
    sync_database["Users"].delete_one({"_id": USERS[0]})
    back = await migration.rollback()

    assert ExitCode.DONE == back.exit_code
    assert "user" not in sync_database.list_collection_names()


async def stopped_after_renaming(uri, database, monkeypatch, *, keep):
    """A finalize that stopped when the legacy users had been renamed."""
    real = LeasedSession.safe_point

    def checked(session):
        if "Users" not in database.list_collection_names():
            migration.stop()
        real(session)

    with monkeypatch.context() as patch:
        patch.setattr(LeasedSession, "safe_point", checked)
        async with Migration(uri) as migration:
            with pytest.raises(InterruptedRunError):
                await migration.finalize(keep=keep)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("anew", ["empty", "a user of before", "a new user"])
async def test_legacy_users_made_anew_while_it_is_interrupted_are_told_and_left(
    migrated, uri, migration, sync_database, monkeypatch, keep, anew
):
    """Neither the same call nor a rollback writes anything before a person has looked."""
    await stopped_after_renaming(uri, sync_database, monkeypatch, keep=keep)
    sync_database.create_collection("Users")
    if anew != "empty":
        sync_database["Users"].insert_one(legacy_user(0 if anew == "a user of before" else 5))
    stood = held(sync_database)
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="made it anew"):
            await migration.finalize(keep=keep, dry_run=dry_run)
    for rollback in (migration.rollback, migration.rollback_all):
        with pytest.raises(UsageError, match="has made Users anew"):
            await rollback(options=RollbackOptions(OnConflict.KEEP))

    assert [] == changes(stood, held(sync_database))


async def test_a_name_that_was_taken_is_free_again_once_the_empty_collection_is_dropped(
    migrated, migration, sync_database
):
    """Applications make the collections of their models at start; no choice skips the renaming."""
    await migration.finalize(keep=True)
    sync_database.create_collection("Users")
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="If Users is empty, drop it"):
            await migration.rollback_all(dry_run=dry_run)
    sync_database["Users"].drop()
    await migration.rollback_all()

    assert [] == changes(migrated, held(sync_database))


async def test_users_moved_out_of_a_collection_made_anew_open_the_way_back(
    migrated, migration, sync_database
):
    """As the refusal asks: they are moved, the collection is dropped, and the same call goes on."""
    await migration.finalize(keep=True)
    sync_database["Users"].insert_one(legacy_user(2))
    await migration.apply()
    with pytest.raises(UsageError, match="has made Users anew") as told:
        await migration.rollback_all()
    sync_database["Users_before_migration"].insert_many(list(sync_database["Users"].find()))
    sync_database["Users"].drop()
    back = await migration.rollback_all()
    sync_database["Users"].delete_one({"_id": USERS[2]})

    assert "move its users into Users_before_migration" in told.value.next_step
    assert [ExitCode.DONE] * 3 == [one.exit_code for one in back]
    assert [] == changes(migrated, held(sync_database))


@pytest.mark.parametrize("finalized", [False, True])
async def test_users_of_a_collection_made_anew_that_nobody_moved_hold_a_rollback(
    migrated, migration, sync_database, finalized
):
    """Where it was dropped, by hand or by another finalize, they would be deleted for good."""
    await migration.finalize(keep=True)
    sync_database["Users"].insert_one(legacy_user(2))
    await migration.apply()
    if finalized:
        await migration.finalize()
    else:
        sync_database["Users"].drop()
    stood = held(sync_database)
    for rollback in (migration.rollback, migration.rollback_all):
        with pytest.raises(UsageError, match="no longer"):
            await rollback()

    assert [] == changes(stood, held(sync_database))


@pytest.mark.parametrize("into", ["Users", "Users_before_migration"])
async def test_users_that_a_second_end_dropped_come_back_among_those_the_first_one_kept(
    migrated, migration, sync_database, into
):
    """Whether they are copied to where the refusal says, or moved there from where they were."""
    await migration.finalize(keep=True)
    sync_database["Users"].insert_one(legacy_user(2))
    await migration.apply()
    late = list(sync_database["Users"].find())
    await migration.finalize()
    with pytest.raises(UsageError, match="no longer in Users_before_migration") as told:
        await migration.rollback_all()
    sync_database[into].insert_many(late)
    if into == "Users":
        with pytest.raises(UsageError, match="has made Users anew"):
            await migration.rollback_all()
        sync_database["Users_before_migration"].insert_many(late)
        sync_database["Users"].drop()
    back = await migration.rollback_all()
    sync_database["Users"].delete_one({"_id": USERS[2]})

    assert '"coll": "Users_before_migration"' in told.value.next_step
    assert [ExitCode.DONE] * 4 == [one.exit_code for one in back]
    assert [] == changes(migrated, held(sync_database))


async def test_legacy_users_under_another_name_are_looked_for_there(
    migrated, migration, sync_database
):
    """A rollback of the end alone was interrupted by hand, and left them where they were kept."""
    await migration.finalize(keep=True)
    await migration.rollback()
    sync_database["Users"].rename("Users_before_migration")
    sync_database.create_collection("Users")
    with pytest.raises(UsageError, match="If they are in Users_before_migration"):
        await migration.rollback_all()


@pytest.mark.parametrize("how", ["removed the one", "made the other"])
async def test_a_name_that_somebody_takes_at_that_moment_is_told(
    migrated, migration, sync_database, monkeypatch, how
):
    """It is no defect of ours, and no user is dropped."""
    real = legacy_users.rename_collection

    async def taken(session, now, then):
        if how == "removed the one":
            sync_database[now].rename("elsewhere")
        else:
            sync_database.create_collection(then)
        return await real(session, now, then)

    monkeypatch.setattr(legacy_users, "rename_collection", taken)
    with pytest.raises(DatabaseMovedOnError, match=how):
        await migration.finalize()
    left = "elsewhere" if how == "removed the one" else "Users"

    assert 2 == sync_database[left].count_documents({})


async def test_asked_to_stop_it_never_stops_between_two_text_indexes(
    uri, sync_database, monkeypatch
):
    """The application's search always has one of them; only a kill leaves none."""
    sync_database["Users"].insert_one(legacy_user(0))
    expenses = sync_database["expenses"]
    expenses.create_index([("vendor", "text")])
    real = LeasedSession.safe_point

    def checked(session):
        if "vendor_text" not in expenses.index_information():
            migration.stop()
        real(session)

    async with Migration(uri) as migration:
        await migration.apply()
        with monkeypatch.context() as patch:
            patch.setattr(LeasedSession, "safe_point", checked)
            with pytest.raises(InterruptedRunError):
                await migration.indexes(apply=True)

    assert "workspaceId_1_vendor_text" in expenses.index_information()


async def test_what_comes_while_it_is_interrupted_can_be_migrated_once_it_is_taken_back(
    migrated, uri, migration, sync_database, monkeypatch
):
    """The refusal names the way: no other run may begin before this one has ended."""
    real = LeasedSession.safe_point

    def checked(session):
        if OLD not in sync_database["invoices"].index_information():
            stopping.stop()
        real(session)

    with monkeypatch.context() as patch:
        patch.setattr(LeasedSession, "safe_point", checked)
        async with Migration(uri) as stopping:
            with pytest.raises(InterruptedRunError):
                await stopping.finalize()
    sync_database["Users"].insert_one(legacy_user(2))
    with pytest.raises(UsageError, match="come since") as told:
        await migration.finalize()
    with pytest.raises(UsageError, match=r"finalize run \w+ was interrupted"):
        await migration.apply()
    await migration.rollback()
    await migration.apply()
    result = await migration.finalize()

    assert "newbi-migrate rollback" in told.value.next_step
    assert ExitCode.DONE == result.exit_code


@pytest.mark.parametrize("keep", [True, False])
async def test_ended_it_has_nothing_to_do_and_writes_no_record(
    migrated, migration, sync_database, keep
):
    """The preview says so, and so does the command; the run before it is still the last one."""
    done = await migration.finalize(keep=keep)
    stood = fingerprint(sync_database)
    shown = await migration.finalize(keep=keep, dry_run=True)
    again = await migration.finalize(keep=keep, reviewed=shown)
    lease = 'newbi_migrate_lease: document "lease" changed'

    assert ((False, True, True), None) == (
        (done.nothing_left, shown.nothing_left, again.nothing_left),
        again.run_id,
    )
    assert "Users_before_migration" == again.kept_as or not keep
    assert [lease] == changes(stood, fingerprint(sync_database))


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False])
async def test_kept_then_dropped_the_legacy_users_come_back_under_their_first_name(
    migrated, migration, sync_database, together
):
    """Every backup has them under that one: nobody can be asked for another."""
    users = list(sync_database["Users"].find())
    await migration.finalize(keep=True)
    await migration.finalize()
    with pytest.raises(UsageError, match="legacy users in Users are no longer there") as told:
        await migration.rollback_all()
    sync_database["Users"].insert_many(users)
    if together:
        shown = await migration.rollback_all(dry_run=True)
        back = await migration.rollback_all(reviewed=shown)
    else:
        shown = [await migration.rollback(dry_run=True)]
        back = [await migration.rollback(run.run_id) for run in await migration.runs()]

    assert "Restore them beside it" in told.value.next_step
    assert [[]] * len(shown) == [result.collections_renamed for result in shown]
    assert [ExitCode.DONE] * 3 == [result.exit_code for result in back]
    assert [] == changes(migrated, held(sync_database))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("method", ["append", "applied"])
async def test_resumed_it_says_what_it_would_have_said_at_once(
    uri, migration, sync_database, monkeypatch, keep, method
):
    """Wherever it stopped, also where the legacy users are dropped already."""
    twice = {"email": "JEANNE0@exemple.fr"} if keep else {}
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, **twice), legacy_user(2)])
    await migration.apply()
    shown = await migration.finalize(keep=keep, dry_run=True)
    real = getattr(Journal, method)
    calls = 0

    async def stopping(*arguments):
        nonlocal calls
        calls += 1
        if calls == (1 if keep else 2):
            raise InterruptedRunError("Stopped.", next_step="Go on.")
        return await real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, method, stopping)
        with pytest.raises(InterruptedRunError):
            await migration.finalize(keep=keep)
    again = await migration.finalize(keep=keep, dry_run=True)
    result = await migration.finalize(keep=keep)

    expected = ("Users", shown.kept_as, 3, 2 if keep else 0)
    for each in (shown, again, result):
        told = (each.legacy, each.kept_as, each.legacy_users, each.quarantined)
        assert expected == told


async def test_it_follows_the_choices_of_the_migration(uri, migration, sync_database):
    """A collection of another name, and who keeps an e-mail: the record of the run says so."""
    twice = {"email": "JEANNE0@exemple.fr"}
    sync_database["people"].insert_many([legacy_user(0), legacy_user(1, **twice), legacy_user(2)])
    options = MigrationOptions(legacy_collection="people")
    async with Migration(uri, options=options) as first:
        await first.apply()
    result = await migration.finalize(keep=True)

    assert ("people", "people_before_migration", 2) == (
        result.legacy,
        result.kept_as,
        result.quarantined,
    )


@pytest.mark.parametrize("command", ["indexes", "finalize"])
async def test_done_and_the_answer_lost_it_says_what_it_did(
    migrated, migration, sync_database, monkeypatch, command
):
    """The database is no longer as it was shown, because of this very run."""
    ends = command == "finalize"
    chosen = {"drop_journal": True} if ends else {}
    shown = await getattr(migration, command)(**chosen, **({"dry_run": True} if ends else {}))
    losing_the_answer_to(monkeypatch, RunWriter, "finish")
    act = {} if ends else {"apply": True}
    result = await getattr(migration, command)(**chosen, **act, reviewed=shown)

    assert shown.dropped == result.dropped
    assert (shown.legacy_users, shown.quarantined) == (result.legacy_users, result.quarantined)
    assert ends == ("newbi_migrate_journal" not in sync_database.list_collection_names())
