"""A rollback gives back every byte a run wrote, and leaves what people did since."""

from __future__ import annotations

from collections import Counter
from time import monotonic

import bson
import pytest
from bson import ObjectId, Timestamp
from fingerprints import changes, fingerprint
from legacy_cases import build_dirty_database
from losing import losing_the_answer_to
from pymongo.errors import AutoReconnect
from small_legacy import DAY, USERS, invoices, legacy_user

from newbi_migrate.answers import answer
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.choices import OnConflict, Purpose
from newbi_migrate.demo.legacy import build_legacy_database
from newbi_migrate.errors import (
    DamagedRecordsError,
    DatabaseMovedOnError,
    ExitCode,
    InterruptedRunError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.apply import steps
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.finalize.legacy_users import refuse_unaccounted
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.rollback import documents
from newbi_migrate.migration.rollback.documents import DocumentRollback
from newbi_migrate.migration.rollback.results import (
    ConflictKind,
    KeptReason,
    RollbackOptions,
)
from newbi_migrate.migration.rollback.structure import StructureRollback
from newbi_migrate.migration.rollback.users import UserRollback
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.raw import document_of, elements
from newbi_migrate.store.runs import RunWriter, read_runs
from newbi_migrate.store.session import LeasedSession

KEEP = RollbackOptions(OnConflict.KEEP)
DISCARD = RollbackOptions(OnConflict.DISCARD)


def held(database):
    return fingerprint(database, run_records=False)


async def migrate(uri, **options):
    async with Migration(uri, options=MigrationOptions(**options)) as migration:
        return await migration.apply()


async def rollback(uri, run_id=None, **arguments):
    async with Migration(uri) as migration:
        return await migration.rollback(run_id, **arguments)


@pytest.fixture
async def migrated(uri, sync_database):
    """Three users with two invoices each, migrated, and what was there before."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for user in USERS[:3]:
        sync_database["invoices"].insert_many(invoices(user, 2))
    before = held(sync_database)
    result = await migrate(uri)
    return before, result


def organization_of(database, user):
    return database["member"].find_one({"userId": user})["organizationId"]


@pytest.mark.slow
@pytest.mark.parametrize("dirty", [False, True])
@pytest.mark.parametrize(
    ("uri_name", "database_name_"),
    [("uri", "sync_database"), ("replica_uri", "sync_replica_database")],
    ids=["standalone", "replica set"],
)
async def test_a_rollback_gives_back_every_byte(request, dirty, uri_name, database_name_):
    """Documents, index specifications, options and absent collections, as they were."""
    uri, database = request.getfixturevalue(uri_name), request.getfixturevalue(database_name_)
    build = build_dirty_database if dirty else build_legacy_database
    build(database, seed=3, users=5, documents_per_user=15)
    before = held(database)
    await migrate(uri)
    result = await rollback(uri)

    assert [] == changes(before, held(database))
    assert ExitCode.DONE == result.exit_code


async def test_a_dry_run_foretells_the_rollback_and_writes_nothing(uri, migrated, sync_database):
    """What it says would happen is what happens."""
    stood = fingerprint(sync_database)
    foretold = answer(await rollback(uri, dry_run=True))
    untouched = fingerprint(sync_database)
    done = answer(await rollback(uri))

    assert [] == changes(stood, untouched)
    for name in foretold.keys() - {"dryRun", "timings"}:
        assert foretold[name] == done[name], name


async def test_rolled_back_twice_changes_nothing(uri, migrated, sync_database):
    """Neither by default nor when the run is named."""
    await rollback(uri)
    once = held(sync_database)
    again = await rollback(uri)
    named = await rollback(uri, migrated[1].run_id)

    assert again.run_id is None
    assert {} == dict(named.deleted)
    assert [] == changes(once, held(sync_database))


async def test_migrated_rolled_back_and_migrated_again_ends_in_the_same_bytes(
    uri, migrated, sync_database
):
    """Ids are derived, so that nothing tells the second time from the first."""
    once = held(sync_database)
    await rollback(uri)
    await migrate(uri)

    assert [] == changes(once, held(sync_database))


@pytest.mark.slow
async def test_an_interrupted_run_is_rolled_back_whole(uri, sync_database):
    """What it had written is found out first."""
    build_legacy_database(sync_database, seed=4, users=4, documents_per_user=10)
    before = held(sync_database)

    class StopAt(NullProgress):
        def phase(self, name, total):
            if name == "rescan":
                migration.stop()

    async with Migration(uri, progress=StopAt()) as migration:
        with pytest.raises(InterruptedRunError):
            await migration.apply()
    await rollback(uri)

    assert [] == changes(before, held(sync_database))


async def test_a_workspace_changed_since_stops_the_rollback_before_it_writes(
    uri, migrated, sync_database
):
    """The conflict is listed with id and field, and the exit code is 8."""
    moved = sync_database["invoices"].find_one({"createdBy": USERS[0]})["_id"]
    other = organization_of(sync_database, USERS[1])
    sync_database["invoices"].update_one(
        {"_id": moved}, {"$set": {"workspaceId": other, "number": "777777"}}
    )
    stood = held(sync_database)
    result = await rollback(uri)

    assert ExitCode.ROLLBACK_CONFLICTS == result.exit_code
    assert [(ConflictKind.CHANGED, "invoices", moved, "workspaceId")] == [
        (c.kind, c.collection, c.id, c.path) for c in result.conflicts
    ]
    assert [] == changes(stood, held(sync_database))


async def test_keep_leaves_the_changed_document_and_what_it_refers_to(uri, migrated, sync_database):
    """Everything else goes back; the organization in use stays, with its user, and is listed."""
    moved = sync_database["invoices"].find_one({"createdBy": USERS[0]})["_id"]
    other = organization_of(sync_database, USERS[1])
    sync_database["invoices"].update_one(
        {"_id": moved}, {"$set": {"workspaceId": other, "number": "777777"}}
    )
    result = await rollback(uri, options=KEEP)

    assert ExitCode.DONE == result.exit_code
    assert [moved] == [d["_id"] for d in sync_database["invoices"].find({"workspaceId": other})]
    assert 1 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})
    assert [USERS[1]] == [user["_id"] for user in sync_database["user"].find()]
    assert [(USERS[1], KeptReason.IN_USE, {"invoices": 1})] == [
        (kept.legacy_id, kept.reason, kept.references) for kept in result.kept
    ]


async def test_discard_overwrites_what_was_changed_and_says_so(uri, migrated, sync_database):
    """Every byte is back, and the discarded changes are listed."""
    before, _ = migrated
    moved = sync_database["invoices"].find_one({"createdBy": USERS[0]})["_id"]
    sync_database["invoices"].update_one({"_id": moved}, {"$set": {"workspaceId": "elsewhere"}})
    sync_database["user"].update_one({"_id": USERS[0]}, {"$set": {"name": "Jeanne D."}})
    result = await rollback(uri, options=DISCARD)

    assert [] == changes(before, held(sync_database))
    assert {("invoices", "workspaceId"), ("user", "name")} == {
        (c.collection, c.path) for c in result.conflicts
    }
    assert ExitCode.DONE == result.exit_code


async def test_a_document_changed_elsewhere_keeps_that_change(uri, migrated, sync_database):
    """An edit of another field is no conflict, and survives."""
    sync_database["invoices"].update_many({"createdBy": USERS[0]}, {"$set": {"status": "PAID"}})
    result = await rollback(uri)

    assert ExitCode.DONE == result.exit_code
    assert 2 == sync_database["invoices"].count_documents({"status": "PAID"})
    assert 0 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


async def test_a_deleted_document_is_not_brought_back(uri, migrated, sync_database):
    """What somebody deleted since stays deleted, and is counted."""
    gone = sync_database["invoices"].find_one_and_delete({})["_id"]
    result = await rollback(uri)

    assert 1 == result.documents["invoices"].gone
    assert sync_database["invoices"].find_one({"_id": gone}) is None


async def test_what_people_created_since_survives(uri, migrated, sync_database):
    """A new user with their organization and invoice is untouched to the byte."""
    newcomer, home = ObjectId(), ObjectId()
    sync_database["user"].insert_one({"_id": newcomer, "email": "nouveau@exemple.fr"})
    sync_database["organization"].insert_one({"_id": home, "name": "Neuf", "slug": "neuf"})
    sync_database["member"].insert_one(
        {"_id": ObjectId(), "userId": newcomer, "organizationId": home, "role": "owner"}
    )
    sync_database["invoices"].insert_one(
        {"_id": ObjectId(), "createdBy": newcomer, "number": "1", "workspaceId": home}
    )
    result = await rollback(uri)

    assert ExitCode.DONE == result.exit_code
    for name in ("user", "organization", "member"):
        assert 1 == sync_database[name].count_documents({}), name
    assert 1 == sync_database["invoices"].count_documents({"workspaceId": home})


@pytest.mark.parametrize(
    ("collection", "document"),
    [
        ("invoices", {"createdBy": USERS[0], "number": "900001", "workspaceId": "{organization}"}),
        ("clients", {"createdBy": USERS[0], "workspaceId": "{text}"}),
        ("invitation", {"organizationId": "{organization}", "email": "invite@exemple.fr"}),
        ("stripeconnectaccounts", {"organizationId": "{text}"}),
        ("subscription", {"referenceId": "{text}"}),
        ("notes_of_a_plugin", {"organizationId": "{organization}"}),
        ("member", {"userId": "{someone}", "organizationId": "{organization}", "role": "member"}),
        ("account", {"userId": USERS[0], "providerId": "google", "accountId": "g-1"}),
    ],
)
async def test_an_organization_in_use_stays_with_its_user(
    uri, migrated, sync_database, collection, document
):
    """Whatever refers to it: nothing is left pointing nowhere, and it is listed."""
    organization = organization_of(sync_database, USERS[0])
    values = {"{organization}": organization, "{text}": str(organization), "{someone}": ObjectId()}
    sync_database[collection].insert_one(
        {"_id": ObjectId()}
        | {k: values.get(v, v) if isinstance(v, str) else v for k, v in document.items()}
    )
    foretold = await rollback(uri, dry_run=True)
    result = await rollback(uri)

    assert ExitCode.PENDING == result.exit_code == foretold.exit_code
    assert [(USERS[0], KeptReason.IN_USE, {collection: 1})] == [
        (kept.legacy_id, kept.reason, kept.references) for kept in result.kept
    ]
    assert {"user", "account", "organization", "member"} == result.kept[0].documents.keys()
    for name, identifier in result.kept[0].documents.items():
        assert sync_database[name].find_one({"_id": identifier}) is not None
    assert [USERS[0]] == sync_database["user"].distinct("_id")
    mine = {"createdBy": USERS[0], "issueDate": DAY, "workspaceId": {"$exists": True}}
    assert 0 == sync_database["invoices"].count_documents(mine)


async def test_a_member_of_two_kept_organizations_keeps_both(uri, migrated, sync_database):
    """What stays may itself refer to another user's organization, which then stays too."""
    first, second = (organization_of(sync_database, user) for user in USERS[:2])
    sync_database["account"].insert_one(
        {"_id": ObjectId(), "userId": USERS[0], "providerId": "google"}
    )
    # The first user, who stays, has become a member of the second one's organization.
    sync_database["member"].insert_one(
        {"_id": ObjectId(), "userId": USERS[0], "organizationId": second, "role": "member"}
    )
    result = await rollback(uri)

    assert {first, second} == set(sync_database["organization"].distinct("_id"))
    assert {USERS[0], USERS[1]} == {kept.legacy_id for kept in result.kept}


@pytest.mark.parametrize(
    ("update", "kind", "path"),
    [
        ({"$set": {"name": "Autre"}}, ConflictKind.CHANGED, "name"),
        ({"$unset": {"email": ""}}, ConflictKind.CHANGED, "email"),
        ({"$set": {"image": "x.png"}}, ConflictKind.ADDED, "image"),
    ],
)
async def test_a_created_document_changed_since_is_a_conflict(
    uri, migrated, sync_database, update, kind, path
):
    """Deleting it would lose somebody's work, so it is listed and stays."""
    sync_database["user"].update_one({"_id": USERS[0]}, update)
    stopped = await rollback(uri)
    kept = await rollback(uri, options=KEEP)

    assert stopped.refused
    assert [(kind, "user", USERS[0], path)] == [
        (c.kind, c.collection, c.id, c.path) for c in kept.conflicts
    ]
    assert [(USERS[0], KeptReason.CHANGED)] == [(k.legacy_id, k.reason) for k in kept.kept]
    assert [USERS[0]] == sync_database["user"].distinct("_id")


async def test_fields_filled_into_an_existing_user_are_emptied_again(uri, sync_database):
    """The user, who was there before, stays as they were."""
    sync_database["Users"].insert_one(legacy_user(0, profile={"phone": "0612345678"}))
    sync_database["user"].insert_one(
        {"_id": USERS[0], "email": "jeanne0@exemple.fr", "name": "Jeanne", "phoneNumber": None}
    )
    before = held(sync_database)
    result = await migrate(uri)
    back = await rollback(uri)

    assert 1 == result.filled["user"]
    assert 1 == back.unfilled["user"]
    assert [] == changes(before, held(sync_database))


async def test_a_filled_field_changed_since_is_a_conflict(uri, sync_database):
    """The other fields are emptied; this one keeps its new value."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one({"_id": USERS[0], "email": "jeanne0@exemple.fr"})
    await migrate(uri)
    sync_database["user"].update_one({"_id": USERS[0]}, {"$set": {"name": "Jeannette"}})
    result = await rollback(uri, options=KEEP)
    user = sync_database["user"].find_one({"_id": USERS[0]})

    assert [("user", "name")] == [(c.collection, c.path) for c in result.conflicts]
    assert {"_id": USERS[0], "email": "jeanne0@exemple.fr", "name": "Jeannette"} == user


@pytest.mark.parametrize("stored", [None, "", "  "])
@pytest.mark.parametrize("since", ["removed", "changed", "replaced"])
async def test_discard_gives_a_filled_field_its_original_value(uri, sync_database, stored, since):
    """Null or blank again, also where somebody removed the field."""
    sync_database["Users"].insert_one(legacy_user(0))
    existing = {"_id": USERS[0], "email": "jeanne0@exemple.fr", "name": stored}
    sync_database["user"].insert_one(existing)
    await migrate(uri)
    change = {
        "removed": {"$unset": {"name": ""}},
        "changed": {"$set": {"name": "Jeannette"}},
        "replaced": {"$set": {"name": {"first": "Jeannette"}}},
    }[since]
    sync_database["user"].update_one({"_id": USERS[0]}, change)
    result = await rollback(uri, options=DISCARD)

    assert existing == sync_database["user"].find_one({"_id": USERS[0]})
    assert 1 == result.unfilled["user"]
    assert ExitCode.DONE == result.exit_code


@pytest.mark.parametrize(
    ("since", "after", "code"),
    [
        ({"$unset": {"extra.job": ""}}, {"city": "Lyon", "job": None}, ExitCode.DONE),
        ({"$unset": {"extra": ""}}, {"job": None}, ExitCode.DONE),
        ({"$set": {"extra": "none"}}, "none", ExitCode.PENDING),
    ],
    ids=["field removed", "document around it removed", "document around it replaced"],
)
async def test_discard_gives_back_what_stood_within_a_document(
    uri, sync_database, since, after, code
):
    """The field comes back with what it was in; where that is something else, it is listed."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one({"_id": USERS[0], "email": "jeanne0@exemple.fr"})
    result = await migrate(uri)
    # As if the run had filled a field of a document within the user.
    sync_database["user"].update_one(
        {"_id": USERS[0]}, {"$set": {"extra": {"city": "Lyon", "job": "Potter"}}}
    )
    journal = sync_database["newbi_migrate_journal"]
    journal.update_one(
        {"_id.run": result.run_id, "kind": "users"},
        {
            "$push": {
                "writes": {
                    "op": "fill",
                    "user": USERS[0],
                    "collection": "user",
                    "id": USERS[0],
                    "values": [["extra.job", "Potter"]],
                    "prior": [{"path": "extra.job", "value": None}],
                }
            }
        },
    )
    sync_database["user"].update_one({"_id": USERS[0]}, since)
    back = await rollback(uri, options=DISCARD)
    user = sync_database["user"].find_one({"_id": USERS[0]})

    assert {"_id": USERS[0], "email": "jeanne0@exemple.fr", "extra": after} == user
    assert code == back.exit_code


@pytest.mark.parametrize("stored", [None, "", "  ", USERS[0], "no-such-thing", 7])
async def test_a_prior_value_comes_back_as_it_was(uri, sync_database, stored):
    """Null, blank, the owner's id, another type: byte for byte, in its place."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].insert_many(invoices(USERS[0], 2, workspaceId=stored, note="after"))
    before = held(sync_database)
    await migrate(uri)
    await rollback(uri)

    assert [] == changes(before, held(sync_database))


async def test_a_unique_index_built_since_is_in_the_way(uri, migrated, sync_database):
    """It would refuse documents as they were, so it is a conflict; discard drops it."""
    sync_database["invoices"].create_index(
        [("workspaceId", 1), ("number", 1), ("label", 1)], unique=True
    )
    stopped = await rollback(uri)
    result = await rollback(uri, options=DISCARD)

    assert [(ConflictKind.INDEX_IN_THE_WAY, "workspaceId_1_number_1_label_1")] == [
        (c.kind, c.path) for c in stopped.conflicts
    ]
    assert stopped.refused
    assert ("invoices", "workspaceId_1_number_1_label_1") in result.indexes_dropped
    assert [] == changes(migrated[0], held(sync_database))


async def test_an_index_replaced_since_stays(uri, migrated, sync_database):
    """An index that has the name of the run's and is another one is nobody's to drop."""
    name = next(d.spec.name for d in migrated[1].indexes if d.collection == "invoices")
    sync_database["invoices"].drop_index(name)
    sync_database["invoices"].create_index([("number", -1)], name=name)
    result = await rollback(uri, options=KEEP)

    assert [(ConflictKind.INDEX_CHANGED, name)] == [(c.kind, c.path) for c in result.conflicts]
    assert name in sync_database["invoices"].index_information()


async def test_documents_the_server_refuses_are_listed(uri, sync_database):
    """A unique index that is kept refuses two documents without a workspace."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 1))
    await migrate(uri)
    sync_database["invoices"].create_index([("workspaceId", 1), ("label", 1)], unique=True)
    result = await rollback(uri, options=KEEP)

    assert ExitCode.DONE == result.exit_code
    assert 1 == result.conflicts.kinds[ConflictKind.REFUSED]
    assert 1 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


async def test_a_collection_somebody_wrote_to_since_stays(uri, migrated, sync_database):
    """The run had created it, and it is not empty any more."""
    sync_database["organization"].insert_one({"_id": ObjectId(), "name": "Neuf"})
    result = await rollback(uri)

    assert "organization" not in result.collections_dropped
    assert "user" in result.collections_dropped
    assert 1 == sync_database["organization"].count_documents({})


async def test_a_collection_somebody_set_a_validator_on_since_stays(uri, migrated, sync_database):
    """The run had created it without one; the dry run says the same."""
    rule = {"name": {"$type": "string"}}
    sync_database.command("collMod", "organization", validator=rule)
    shown = await rollback(uri, dry_run=True)
    result = await rollback(uri, reviewed=shown)

    assert ["account", "member", "user"] == sorted(shown.collections_dropped)
    assert ["account", "member", "user"] == sorted(result.collections_dropped)
    assert rule == sync_database["organization"].options()["validator"]


async def test_a_look_at_a_run_that_is_back_lists_no_collection_that_is_gone(
    uri, migrated, sync_database
):
    """There is nothing left to drop; what an interruption left under another name is listed."""
    run = migrated[1].run_id
    await rollback(uri)
    shown = await rollback(uri, run, dry_run=True)
    sync_database.create_collection("newbi_migrate_emptied_member")
    left = await rollback(uri, run, dry_run=True)
    back = await rollback(uri, run)

    assert [] == shown.collections_dropped
    assert ["member"] == left.collections_dropped == back.collections_dropped


async def test_a_collection_alone_goes_back(uri, sync_database):
    """Its documents and indexes; users and other collections stay migrated."""
    build_legacy_database(sync_database, seed=5, users=3, documents_per_user=10)
    before = held(sync_database)
    await migrate(uri)
    await rollback(uri, options=RollbackOptions(collections=("invoices",)))
    after = held(sync_database)

    assert before["invoices"] == after["invoices"]
    assert before["clients"] != after["clients"]
    assert 3 == sync_database["user"].count_documents({})


async def test_one_user_alone_goes_back(uri, migrated, sync_database):
    """Their documents and the four made for them; all else stays migrated, and so do indexes."""
    indexes = sync_database["invoices"].index_information()
    result = await rollback(uri, options=RollbackOptions(users=(str(USERS[0]),)))
    left = {"workspaceId": {"$exists": True}}

    assert {"user": 1, "account": 1, "organization": 1, "member": 1} == dict(result.deleted)
    assert 0 == sync_database["invoices"].count_documents({"createdBy": USERS[0], **left})
    assert 4 == sync_database["invoices"].count_documents(left)
    assert set(USERS[1:3]) == set(sync_database["user"].distinct("_id"))
    assert indexes == sync_database["invoices"].index_information()


async def test_a_rollback_that_is_asked_for_again_takes_no_other_run_back(
    uri, migrated, sync_database
):
    """Whoever was cut off at its last moment runs the same command again; another is named."""
    before, _ = migrated
    sync_database["invoices"].insert_many(invoices(USERS[0], 1, number="late"))
    await migrate(uri)
    async with Migration(uri) as migration:
        late, first = await migration.runs()
        await migration.rollback()
        stood = held(sync_database)
        for dry_run in (True, False):
            with pytest.raises(UsageError, match=f"{late.run_id}. was taken back") as refused:
                await migration.rollback(dry_run=dry_run)
        unchanged = changes(stood, held(sync_database))
        await migration.rollback(first.run_id)
        nothing = await migration.rollback()
    sync_database["invoices"].delete_one({"number": "late"})

    assert f"rollback --run {first.run_id}." in refused.value.next_step
    assert ([], None) == (unchanged, nothing.run_id)
    assert [] == changes(before, held(sync_database))


@pytest.mark.parametrize("kept", [False, True])
async def test_who_went_back_alone_waits_for_a_migration_again(uri, migrated, database, kept):
    """Their line in the run's records is no proof that they are migrated."""
    source = "Users_before_migration" if kept else "Users"
    async with Migration(uri) as migration:
        if kept:
            await migration.finalize(keep=True)
        await migration.rollback(options=RollbackOptions(users=(str(USERS[0]),)))
        late = (await migration.status()).late_users
        found = await migration.doctor(purpose=Purpose.FINALIZE)
        runs = await read_runs(database)
        with pytest.raises(DatabaseMovedOnError, match="not migrated: 1,"):
            await refuse_unaccounted(database, source, runs, quarantined=False)
        await migration.apply()
        afterwards = (await migration.status()).late_users

    assert (1, 0) == (late, afterwards)
    assert ["Migrate them first: newbi-migrate migrate."] == [
        check.remedy for check in found.checks if check.id == "late-work"
    ]


async def test_who_went_back_with_a_part_of_one_run_is_late_whatever_other_runs_noted(
    uri, migrated, sync_database
):
    """Status, doctor and the end of a migration count them alike."""
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    await migrate(uri)
    part = RollbackOptions(users=(str(USERS[1]),))
    async with Migration(uri) as migration:
        await migration.rollback(migrated[1].run_id, options=part)
        late = (await migration.status()).late_users
        found = await migration.doctor(purpose=Purpose.FINALIZE)
        with pytest.raises(UsageError, match="not migrated"):
            await migration.finalize(keep=True, dry_run=True)
        await migration.apply()
        afterwards = (await migration.status()).late_users

    assert (1, 0) == (late, afterwards)
    assert ["Migrate them first: newbi-migrate migrate."] == [
        check.remedy for check in found.checks if check.id == "late-work"
    ]


async def killed_before_its_record(uri, monkeypatch, user):
    """A part of a rollback did all it was to do, and was killed before it recorded that."""

    async def killed(*_, **__):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "rolled_back", killed)
        with pytest.raises(RuntimeError):
            await rollback(uri, options=RollbackOptions(users=(user,)))


async def test_who_went_back_with_a_part_that_was_killed_waits_for_a_migration_again(
    uri, migrated, sync_database, monkeypatch
):
    """Whoever looks says so, as after a part that came to its end."""
    await killed_before_its_record(uri, monkeypatch, USERS[0])
    async with Migration(uri) as migration:
        (run,) = await migration.runs()
        late = (await migration.status()).late_users
        before = await migration.validate(only=["legacy-user.*"])
        await migration.apply()
        after = await migration.validate(only=["legacy-user.*"])

    assert (True, 1) == (run.partly_rolled_back, late)
    assert (ExitCode.PENDING, ExitCode.DONE) == (before.exit_code, after.exit_code)


async def test_what_a_part_that_was_killed_has_emptied_is_filled_by_the_next_migration(
    uri, sync_database, monkeypatch
):
    """Nobody emptied it, and the end of the migration drops what says it."""
    user = legacy_user(0)
    user["profile"]["phone"] = "0612345678"
    sync_database["Users"].insert_one(user)
    there = {"_id": USERS[0], "email": user["email"]}
    sync_database["user"].insert_one(there)
    await migrate(uri)
    filled = sync_database["user"].find_one(USERS[0])
    await killed_before_its_record(uri, monkeypatch, USERS[0])
    emptied = sync_database["user"].find_one(USERS[0])
    await migrate(uri)

    assert there == emptied
    assert "0612345678" == filled["phoneNumber"]
    assert filled == sync_database["user"].find_one(USERS[0])


async def test_who_was_quarantined_before_they_went_back_with_a_part_is_late(uri, sync_database):
    """What the first run noted of them is out of date."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, email=None)])
    await migrate(uri)
    sync_database["Users"].update_one({"_id": USERS[1]}, {"$set": {"email": "jeanne@exemple.fr"}})
    second = await migrate(uri)
    async with Migration(uri) as migration:
        before = (await migration.status()).late_users
        part = RollbackOptions(users=(str(USERS[1]),))
        await migration.rollback(second.run_id, options=part)
        late = (await migration.status()).late_users

    assert (0, 1) == (before, late)


async def test_users_whose_documents_would_share_a_key_without_a_workspace_are_no_part(
    uri, sync_database
):
    """The indexes stay, and the look beforehand names the one that would refuse a document.

    Somebody whose documents share their keys with nobody is one, also once others were.
    """
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for user, year in zip(USERS[:3], (2025, 2025, 2024), strict=True):
        sync_database["invoices"].insert_many(invoices(user, 2, issueYear=year))
    await migrate(uri)
    before = held(sync_database)
    both, other = RollbackOptions(users=USERS[:2]), RollbackOptions(users=USERS[2:3])
    shown = await rollback(uri, options=both, dry_run=True)
    refused = await rollback(uri, options=both)
    unchanged = changes(before, held(sync_database))
    alone = await rollback(uri, options=RollbackOptions(users=USERS[:1]))

    assert {(ConflictKind.REFUSED, "number_workspaceId_issueYear_unique")} == {
        (conflict.kind, conflict.path) for conflict in shown.conflicts
    }
    assert (2, ExitCode.ROLLBACK_CONFLICTS) == (len(shown.conflicts), refused.exit_code)
    assert [] == unchanged
    assert ExitCode.DONE == alone.exit_code
    assert ExitCode.DONE == (await rollback(uri, options=other)).exit_code
    second = RollbackOptions(users=USERS[1:2])
    assert ExitCode.ROLLBACK_CONFLICTS == (await rollback(uri, options=second)).exit_code


async def test_what_is_too_much_to_compare_beforehand_is_refused_when_a_part_is_written(
    uri, sync_database, monkeypatch
):
    """More documents than one query holds; the server says which of them share a key."""
    monkeypatch.setattr(documents, "_MOST_FORESEEN", 3)
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 2, issueYear=2025))
    await migrate(uri)
    part = RollbackOptions(users=USERS[:2])
    shown = await rollback(uri, options=part, dry_run=True)
    back = await rollback(uri, options=part)

    assert 0 == len(shown.conflicts)
    assert {(ConflictKind.REFUSED, "invoices"): 2} == Counter(
        (conflict.kind, conflict.collection) for conflict in back.conflicts
    )
    assert ExitCode.PENDING == back.exit_code


@pytest.mark.slow
async def test_parts_taken_back_one_by_one_make_a_whole(uri, migrated, sync_database):
    """Users one after another, then the rest: every byte is back."""
    for user in USERS[:3]:
        await rollback(uri, options=RollbackOptions(users=(user,)))
    await rollback(uri)

    assert [] == changes(migrated[0], held(sync_database))


@pytest.fixture
async def sharing(uri, sync_database):
    """Two users who both own one organization, migrated."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for n, user in enumerate(USERS[:2]):
        sync_database["invoices"].insert_many(invoices(user, 1))
        sync_database["user"].insert_one({"_id": user, "email": f"jeanne{n}@exemple.fr"})
    home = {"_id": ObjectId(), "name": "Atelier", "slug": "atelier"}
    sync_database["organization"].insert_one(home)
    sync_database["member"].insert_many(
        [{"organizationId": home["_id"], "userId": user, "role": "owner"} for user in USERS[:2]]
    )
    await migrate(uri)


async def test_who_shares_a_workspace_does_not_go_back_alone(uri, sharing, sync_database):
    """Nobody can tell whose documents the others' are."""
    before = held(sync_database)
    with pytest.raises(UsageError, match=f"{USERS[1]} has the same workspace"):
        await rollback(uri, options=RollbackOptions(users=(str(USERS[0]),)))
    unchanged = changes(before, held(sync_database))
    both = await rollback(uri, options=RollbackOptions(users=tuple(map(str, USERS[:2]))))

    assert [] == unchanged
    assert (ExitCode.DONE, 2) == (both.exit_code, both.documents["invoices"].restored)


async def test_who_shared_a_workspace_in_a_run_that_was_taken_back_does_not_share_it_now(
    uri, sharing, sync_database
):
    """The newest run says where they work."""
    await rollback(uri)
    sync_database["member"].update_one({"userId": USERS[1]}, {"$set": {"role": "member"}})
    await migrate(uri)
    back = await rollback(uri, options=RollbackOptions(users=(str(USERS[0]),)))
    left = sync_database["invoices"].distinct("createdBy", {"workspaceId": {"$exists": True}})

    assert (ExitCode.DONE, 1) == (back.exit_code, back.documents["invoices"].restored)
    assert [USERS[1]] == left


async def test_an_unknown_user_is_refused(uri, migrated):
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="No run migrated"):
        await rollback(uri, options=RollbackOptions(users=(str(ObjectId()),)))


async def test_a_later_run_must_go_first(uri, migrated, sync_database):
    """What rests upon a run is not left in the air."""
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    await migrate(uri)
    with pytest.raises(UsageError, match="came after run"):
        await rollback(uri, migrated[1].run_id)
    await rollback(uri)
    await rollback(uri, migrated[1].run_id)

    assert 0 == sync_database["clients"].count_documents({"workspaceId": {"$exists": True}})
    assert 0 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


async def roll_all_back(uri, **arguments):
    async with Migration(uri) as migration:
        return await migration.rollback_all(**arguments)


async def stop_at_the_second_run(uri):
    """Begin to take two runs back, and stop in the earlier of them."""

    class StopAtTheSecondRun(NullProgress):
        runs = 0

        def phase(self, name, total):
            self.runs += name == "drop indexes"
            if self.runs == 2:
                migration.stop()

    async with Migration(uri, progress=StopAtTheSecondRun()) as migration:
        with pytest.raises(InterruptedRunError):
            await migration.rollback_all()


async def test_what_is_left_of_a_rollback_of_all_is_finished_by_one_of_the_last_run(
    uri, migrated, sync_database
):
    """Half taken back, the earlier run is not mistaken for one that stays in place."""
    sync_database["Users"].insert_one(legacy_user(3))
    await migrate(uri)
    await stop_at_the_second_run(uri)
    result = await rollback(uri)
    sync_database["Users"].delete_one({"_id": USERS[3]})

    assert (migrated[1].run_id, ExitCode.DONE) == (result.run_id, result.exit_code)
    assert [] == changes(migrated[0], held(sync_database))


async def test_a_rollback_of_all_that_was_stopped_tells_at_its_end_whom_its_first_runs_left(
    uri, migrated, sync_database
):
    """The run that left somebody is taken back already when the same call finishes the rest."""
    sync_database["Users"].insert_one(legacy_user(3))
    await migrate(uri)
    home = organization_of(sync_database, USERS[3])
    sync_database["quotes"].insert_one({"_id": ObjectId(), "workspaceId": home})
    await stop_at_the_second_run(uri)
    looked = await roll_all_back(uri, dry_run=True)
    left, back = await roll_all_back(uri, reviewed=looked)

    assert [True, False] == [left.earlier, back.earlier]
    assert [(USERS[3], KeptReason.IN_USE, {"quotes": 1})] == [
        (kept.legacy_id, kept.reason, dict(kept.references)) for kept in left.kept
    ]
    assert (ExitCode.PENDING, ExitCode.DONE) == (left.exit_code, back.exit_code)
    assert migrated[1].run_id == back.run_id


async def test_whoever_was_left_is_named_until_they_are_taken_back(uri, migrated, sync_database):
    """By every rollback of all runs not told to keep them, until their run is taken back."""
    home = organization_of(sync_database, USERS[1])
    sync_database["quotes"].insert_one({"_id": ObjectId(), "workspaceId": home})
    await roll_all_back(uri)
    again, kept = await roll_all_back(uri), await roll_all_back(uri, options=KEEP)
    sync_database["quotes"].drop()
    await rollback(uri, migrated[1].run_id)
    after = await roll_all_back(uri)

    assert [(migrated[1].run_id, [USERS[1]]), (None, [])] == [
        (result.run_id, [kept.legacy_id for kept in result.kept]) for result in again
    ]
    assert [ExitCode.PENDING, ExitCode.DONE] == [result.exit_code for result in again]
    assert {ExitCode.DONE} == {result.exit_code for result in kept}
    assert [None] == [result.run_id for result in after]
    assert [] == changes(migrated[0], held(sync_database))


@pytest.mark.parametrize("edited", [False, True], ids=["the same", "edited since"])
@pytest.mark.parametrize("name", ["organization", "user"])
async def test_what_a_later_run_made_anew_goes_with_what_the_first_run_wrote(
    uri, migrated, sync_database, name, edited
):
    """Only what the first run wrote refers to it, and all of that is taken back as well."""
    sync_database[name].delete_many({})
    if edited:
        person = {"$set": {"profile.firstName": "Anne", "company.name": "Chez Anne"}}
        sync_database["Users"].update_many({}, person)
    await migrate(uri)
    shown = await roll_all_back(uri, dry_run=True)
    back = await roll_all_back(uri, reviewed=shown)
    again = await roll_all_back(uri)
    if edited:
        sync_database["Users"].drop()
        sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])

    assert told(shown) == told(back)
    assert [(ExitCode.DONE, [])] * 2 == [(result.exit_code, result.kept) for result in back]
    assert [None] == [result.run_id for result in again]
    assert [] == changes(migrated[0], held(sync_database))


async def test_what_a_later_run_made_anew_stays_while_somebody_uses_it(
    uri, migrated, sync_database
):
    """With all that the first run had made for the same user."""
    sync_database["organization"].delete_many({})
    await migrate(uri)
    home = organization_of(sync_database, USERS[1])
    sync_database["quotes"].insert_one({"_id": ObjectId(), "workspaceId": home})
    shown = await roll_all_back(uri, dry_run=True)
    back = await roll_all_back(uri, reviewed=shown)
    stays = {name: sync_database[name].count_documents({}) for name in ("user", "organization")}
    sync_database["quotes"].drop()
    for result in back:
        await rollback(uri, result.run_id)

    assert told(shown) == told(back)
    assert [(ExitCode.PENDING, [USERS[1]])] * 2 == [
        (result.exit_code, [kept.legacy_id for kept in result.kept]) for result in back
    ]
    assert {"user": 1, "organization": 1} == stays
    assert [] == changes(migrated[0], held(sync_database))


async def test_what_is_free_once_an_earlier_run_is_back_goes_after_it(uri, migrated, sync_database):
    """And then what that was using: here a workspace of the second run, used by the third."""
    sync_database["Users"].insert_one(legacy_user(3))
    await migrate(uri)
    sync_database["Users"].insert_many([legacy_user(4), legacy_user(5)])
    sync_database["user"].insert_one({"_id": USERS[5], "email": "jeanne5@exemple.fr"})
    sync_database["user"].update_one({"_id": USERS[2]}, {"$unset": {"name": 1}})
    await migrate(uri)
    homes = [organization_of(sync_database, USERS[n]) for n in (3, 4)]
    # A document of the first run is moved to the workspace of the third.
    moved = {"createdBy": USERS[0], "number": "000001"}
    sync_database["invoices"].update_one(moved, {"$set": {"workspaceId": homes[1]}})
    elsewhere = {"$set": {"organizationId": homes[0]}}
    sync_database["member"].update_one({"userId": USERS[4]}, elsewhere)
    shown = await roll_all_back(uri, options=DISCARD, dry_run=True)
    back = await roll_all_back(uri, options=DISCARD, reviewed=shown)
    runs = sync_database["newbi_migrate_runs"].find({}, sort=[("number", -1)])
    recorded = [run["rollback"] for run in runs]
    (emptied,) = sync_database["user"].find()
    sync_database["Users"].delete_many({"_id": {"$in": USERS[3:6]}})
    sync_database["user"].drop()

    assert told(shown) == told(back)
    assert [one.unfilled for one in shown] == [one.unfilled for one in back]
    assert [(0, 7), (0, 4), (0, 12)] == [(len(one.kept), one.deleted.total()) for one in back]
    assert [(0, 7), (0, 4), (0, 12)] == [
        (one["keptCount"], sum(one["deleted"].values())) for one in recorded
    ]
    assert {"_id": USERS[5], "email": "jeanne5@exemple.fr"} == emptied
    assert [] == changes(migrated[0], held(sync_database))


async def test_what_was_made_anew_and_changed_at_the_last_moment_is_left_by_both_runs(
    uri, migrated, sync_database, monkeypatch
):
    """The first run could not delete it, so the later one still tells that it stays."""
    sync_database["organization"].delete_many({})
    await migrate(uri)
    home = organization_of(sync_database, USERS[1])

    class Watching(NullProgress):
        runs = 0

        def phase(self, name, total):
            self.runs += name == "users"

    watching = Watching()

    def change_at_the_first_deletion_of_the_first_run(session):
        if watching.runs == 2:
            sync_database["organization"].update_one({"_id": home}, {"$set": {"name": "Neu"}})

    change = change_at_the_first_deletion_of_the_first_run
    monkeypatch.setattr(LeasedSession, "safe_point", change)
    async with Migration(uri, progress=watching) as migration:
        back = await migration.rollback_all()

    assert [[USERS[1]]] * 2 == [[kept.legacy_id for kept in result.kept] for result in back]
    assert ["Neu"] == sync_database["organization"].distinct("name")


async def test_fields_of_a_user_who_was_deleted_are_not_emptied_in_the_one_made_anew(
    uri, sync_database
):
    """The first run filled them in somebody who is gone, and a later run created the next."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one({"_id": USERS[0], "email": "jeanne0@exemple.fr"})
    await migrate(uri)
    stored = sync_database["user"].find_one({"_id": USERS[0]})
    sync_database["user"].delete_one({"_id": USERS[0]})
    await migrate(uri)
    shown = await roll_all_back(uri, dry_run=True)
    back = await roll_all_back(uri, reviewed=shown)

    assert len(stored) > 2
    assert told(shown) == told(back)
    assert [(ExitCode.DONE, [])] * 2 == [(result.exit_code, result.kept) for result in back]
    assert 0 == sync_database["user"].count_documents({})


async def test_whoever_is_gone_with_an_earlier_run_is_left_by_no_rollback(
    uri, migrated, sync_database
):
    """Where the rollback of all was stopped, too: the first runs left what the last one took."""
    sync_database["organization"].delete_many({})
    await migrate(uri)
    await stop_at_the_second_run(uri)
    shown = await roll_all_back(uri, dry_run=True)
    back = await roll_all_back(uri, reviewed=shown)

    assert [migrated[1].run_id] == [result.run_id for result in shown]
    assert [(migrated[1].run_id, ExitCode.DONE)] == [(r.run_id, r.exit_code) for r in back]
    assert [] == changes(migrated[0], held(sync_database))


@pytest.mark.parametrize(
    "altered",
    [
        {"rollback": {"exitCode": 3, "kept": [{}]}},
        {"rollback": {"exitCode": 77}},
        {"rollback": "rolled back"},
        {"rollback.exitCode": "x"},
        {"rollback.exitCode": 1},
        {"rollback.exitCode": True},
    ],
)
async def test_a_record_of_what_was_left_that_somebody_altered_is_refused(
    uri, migrated, sync_database, altered
):
    """With the sentence for records this tool did not write."""
    await rollback(uri)
    sync_database["newbi_migrate_runs"].update_one({}, {"$set": altered})
    with pytest.raises(DamagedRecordsError, match="newbi_migrate_runs"):
        await roll_all_back(uri)


async def test_without_the_legacy_users_nothing_is_taken_back(uri, migrated, sync_database):
    """They would be lost for good with the users made from them."""
    sync_database["Users"].drop()
    with pytest.raises(UsageError, match="no longer there"):
        await rollback(uri, options=DISCARD)

    assert 3 == sync_database["user"].count_documents({})


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [("invoices", "view", "a view now"), ("user", "view", "a view"), ("user", "capped", "capped")],
)
async def test_what_became_something_that_cannot_be_written_holds_a_rollback(
    uri, migrated, sync_database, name, kind, said
):
    """It is told before anything is written, not half-way."""
    options = {"viewOn": f"{name}_real"} if kind == "view" else {"capped": True, "size": 100_000}
    documents = [*sync_database[name].find()]
    sync_database[name].rename(f"{name}_real")
    sync_database.create_collection(name, **options)
    if kind == "capped":
        sync_database[name].insert_many(documents)
    stood = held(sync_database)
    for dry_run in (True, False):
        with pytest.raises(UnsupportedError, match=said):
            await rollback(uri, dry_run=dry_run)

    assert [] == changes(stood, held(sync_database))


async def test_no_run_goes_on_while_a_rollback_is_unfinished(uri, migrated, sync_database):
    """A migration must not build upon half a rollback; the rollback again finishes it."""

    class StopAt(NullProgress):
        def phase(self, name, total):
            if name == "users":
                migration.stop()

    async with Migration(uri, progress=StopAt()) as migration:
        with pytest.raises(InterruptedRunError):
            await migration.rollback()
    with pytest.raises(InterruptedRunError, match="rollback"):
        await migrate(uri)
    await rollback(uri)

    assert [] == changes(migrated[0], held(sync_database))


async def test_a_document_the_run_wrote_to_twice_is_no_conflict(uri, migrated, sync_database):
    """A later window of the same run is taken back before an earlier one is judged."""
    journal = sync_database["newbi_migrate_journal"]
    entry = journal.find_one({"kind": "window", "collection": "invoices"})
    last = journal.find_one(sort=[("_id", -1)])["_id"]["seq"]
    twice = sync_database["invoices"].find_one({"createdBy": USERS[0]})
    organization = twice["workspaceId"]
    # As if the application had written a wrong value during the run, which was put right.
    group = {
        "set": {"workspaceId": organization},
        "prior": {"workspaceId": "wrong"},
        "ids": [twice["_id"]],
    }
    journal.insert_one(
        {
            **entry,
            "_id": {"run": entry["_id"]["run"], "seq": last + 2},
            "count": 1,
            "repeat": True,
            "groups": [group],
        }
    )
    first = {
        "set": {"workspaceId": "wrong"},
        "prior": {},
        "ids": [twice["_id"]],
    }
    journal.insert_one(
        {
            **entry,
            "_id": {"run": entry["_id"]["run"], "seq": last + 1},
            "count": 1,
            "repeat": True,
            "groups": [first],
        }
    )
    result = await rollback(uri)

    assert ExitCode.DONE == result.exit_code
    assert [] == changes(migrated[0], held(sync_database))


async def test_a_document_two_runs_wrote_to_is_foretold_once(uri, migrated, sync_database):
    """Once the later run is taken back, the earlier one finds nothing to do in it."""
    stamped = sync_database["invoices"].find_one({"createdBy": USERS[0]})
    sync_database["invoices"].update_one({"_id": stamped["_id"]}, {"$unset": {"workspaceId": 1}})
    async with Migration(uri) as migration:
        await migration.backfill()
        # Of somebody's after both runs: the organization stays in use.
        sync_database["invoices"].insert_one(
            {**stamped, "_id": ObjectId(), "number": "since", "createdBy": ObjectId()}
        )
        shown = await migration.rollback_all(dry_run=True)
        back = await migration.rollback_all(reviewed=shown)

    assert told(back) == told(shown)
    assert (1, 0) == (back[0].documents["invoices"].restored, back[0].documents["invoices"].already)
    assert 1 == back[1].documents["invoices"].already
    assert 1 == len(back[1].kept)


async def test_a_discarded_workspace_is_foretold_to_be_in_use_no_more(uri, migrated, sync_database):
    """Moved to another's workspace since, a document goes back, and that one can go too."""
    moved, other = (sync_database["invoices"].find_one({"createdBy": u}) for u in USERS[:2])
    sync_database["invoices"].update_one(
        {"_id": moved["_id"]}, {"$set": {"workspaceId": other["workspaceId"], "number": "X"}}
    )
    async with Migration(uri) as migration:
        shown = await migration.rollback(options=DISCARD, dry_run=True)
        back = await migration.rollback(options=DISCARD, reviewed=shown)
    number = {"number": moved["number"]}
    sync_database["invoices"].update_one({"_id": moved["_id"]}, {"$set": number})

    assert told([back]) == told([shown])
    assert [] == back.kept
    assert [] == changes(migrated[0], held(sync_database))


def told(results):
    """What rollbacks say of documents and of users."""
    return [
        (
            {n: answer(b) for n, b in one.documents.items()},
            one.deleted,
            one.kept,
            len(one.conflicts),
        )
        for one in results
    ]


async def test_a_prior_value_that_does_not_decode_comes_back(uri, sync_database):
    """Bytes that are no text stood there; they are carried as bytes."""
    sync_database["Users"].insert_one(legacy_user(0))
    broken = document_of(("workspaceId", 0x02, b"\x03\x00\x00\x00\xff\xfe\x00"))
    raw = bson.encode({"_id": ObjectId(), "createdBy": USERS[0], "number": "1"})
    parts = [*elements(raw), *elements(bytes(broken.raw))]
    sync_database["invoices"].insert_one(document_of(*parts))
    before = held(sync_database)
    await migrate(uri)
    await rollback(uri)

    assert [] == changes(before, held(sync_database))


def quote(position, year, **fields):
    """A quote with the number 1."""
    return {
        "_id": ObjectId(f"64d00000000000000000000{position}"),
        "createdBy": USERS[0],
        "number": "0001",
        "issueYear": year,
        "issueDate": DAY,
        **fields,
    }


@pytest.fixture
async def swapped(uri, sync_database):
    """Two users, migrated, and an old unique index of quotes swapped for the new one."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["quotes"].create_index([("workspaceId", 1), ("number", 1)], unique=True)
    before = held(sync_database)
    await migrate(uri)
    async with Migration(uri) as migration:
        await migration.indexes(apply=True)
    return before


async def test_an_old_index_is_compared_with_documents_as_later_runs_leave_them(
    uri, swapped, sync_database
):
    """Quotes that share a workspace and a number do so only until the later runs are back."""
    first, second, third = (quote(n, 2020 + n) for n in (1, 2, 3))
    home = organization_of(sync_database, USERS[0])
    async with Migration(uri) as migration:
        sync_database["quotes"].insert_many([first, quote(4, 2024, workspaceId=home)])
        await migration.backfill()
        sync_database["quotes"].insert_many([second, {**third, "number": "0003"}])
        await migration.backfill()
        # The first one gets its workspace a second time.
        sync_database["quotes"].update_one({"_id": first["_id"]}, {"$unset": {"workspaceId": 1}})
        await migration.backfill()
        sync_database["quotes"].update_one(
            {"_id": second["_id"]}, {"$set": {"workspaceId": "elsewhere"}}
        )
        kept = await migration.rollback_all(options=KEEP, dry_run=True)
        discarded = await migration.rollback_all(options=DISCARD, dry_run=True)
        sync_database["quotes"].delete_one({"_id": second["_id"]})
        back = await migration.rollback_all()
        sync_database["quotes"].delete_many({})
        await migration.rollback(back[-1].run_id)

    assert [0, 1, 0, 0, 0] == [len(result.conflicts) for result in kept]
    assert ["workspaceId_1_number_1"] == [
        conflict.path for conflict in discarded[3].conflicts if conflict.collection == "quotes"
    ]
    assert [0] * 5 == [len(result.conflicts) for result in back]
    assert [("quotes", "workspaceId_1_number_1")] == back[3].indexes_rebuilt
    assert [] == changes(swapped, held(sync_database))


async def test_documents_that_share_a_key_of_an_old_index_once_later_runs_are_back_are_foreseen(
    uri, swapped, sync_database
):
    """Their workspaces tell them apart until then; nothing is written."""
    late = [quote(1, 2021), quote(2, 2022, createdBy=USERS[1])]
    sync_database["quotes"].insert_many(late)
    async with Migration(uri) as migration:
        await migration.backfill()
        stood = held(sync_database)
        shown = await migration.rollback_all(dry_run=True)
        refused = await migration.rollback_all()

    (conflict,) = shown[1].conflicts
    assert (ConflictKind.REFUSED, "quotes", late[1]["_id"], "workspaceId_1_number_1") == (
        conflict.kind,
        conflict.collection,
        conflict.id,
        conflict.path,
    )
    assert {ExitCode.ROLLBACK_CONFLICTS} == {result.exit_code for result in refused}
    assert [] == changes(stood, held(sync_database))


@pytest.mark.parametrize(
    ("number", "options"),
    [("f1", {}), ("F1", {"collation": {"locale": "fr", "strength": 2}})],
    ids=["byte by byte", "by a collation"],
)
async def test_an_old_index_of_other_fields_is_compared_however_much_was_written(
    uri, sync_database, monkeypatch, number, options
):
    """Numbers and owners are what they were: nobody asks which documents had no workspace."""
    monkeypatch.setattr(documents, "_MOST_FORESEEN", 0)
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].create_index(
        [("number", 1), ("createdBy", 1)], unique=True, **options
    )
    sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": "f1"})
    async with Migration(uri) as migration:
        await migration.apply()
        await migration.indexes(apply=True)
        sync_database["invoices"].insert_one({"createdBy": USERS[0], "number": number})
        (swap, _) = await migration.rollback_all(dry_run=True)

    assert 1 == swap.conflicts.kinds[ConflictKind.REFUSED]


@pytest.mark.parametrize("limit", ["_MOST_FORESEEN", "_MOST_VALUES"])
async def test_an_old_index_that_cannot_be_compared_beforehand_is_refused_when_it_is_built(
    uri, swapped, sync_database, monkeypatch, limit
):
    """Later runs wrote to more documents than one query holds."""
    monkeypatch.setattr(documents, limit, 0)
    late = [quote(1, 2021), quote(2, 2022, createdBy=USERS[1])]
    sync_database["quotes"].insert_many(late)
    async with Migration(uri) as migration:
        await migration.backfill()
        shown = await migration.rollback_all(dry_run=True)
        back = await migration.rollback_all(reviewed=shown)

    assert [0, 0, 0] == [len(result.conflicts) for result in shown]
    assert [0, 1, 0] == [result.conflicts.kinds[ConflictKind.REFUSED] for result in back]
    assert ExitCode.PENDING == back[1].exit_code
    assert sorted(map(str, late)) == sorted(map(str, sync_database["quotes"].find()))


@pytest.mark.parametrize("changed", ["organization", "user"])
@pytest.mark.parametrize(
    ("uri_name", "database_name_"),
    [("uri", "sync_database"), ("replica_uri", "sync_replica_database")],
    ids=["standalone", "replica set"],
)
async def test_a_document_changed_at_the_last_moment_keeps_all_four(
    request, monkeypatch, uri_name, database_name_, changed
):
    """Changed between reading and deleting: nothing of that user goes, everybody else does."""
    uri, database = request.getfixturevalue(uri_name), request.getfixturevalue(database_name_)
    database["Users"].insert_many([legacy_user(n) for n in range(3)])
    # Whoever is put back has it again, though the server would write the present in its place.
    database["Users"].update_many({}, {"$set": {"synced": Timestamp(0, 0)}})
    await migrate(uri)
    one = {"_id": USERS[1] if changed == "user" else organization_of(database, USERS[1])}

    class Watching(NullProgress):
        armed = False

        def phase(self, name, total):
            self.armed = name == "users"

    watching = Watching()

    def change_at_the_first_deletion(session):
        if watching.armed:
            watching.armed = False
            database[changed].update_one(one, {"$set": {"name": "Neu"}})

    monkeypatch.setattr(LeasedSession, "safe_point", change_at_the_first_deletion)
    async with Migration(uri, progress=watching) as migration:
        result = await migration.rollback()

    assert ExitCode.PENDING == result.exit_code
    assert not result.refused
    assert [(USERS[1], KeptReason.CHANGED)] == [(k.legacy_id, k.reason) for k in result.kept]
    assert [USERS[1]] == database["user"].distinct("_id")
    assert [USERS[1]] == database["member"].distinct("userId")
    assert [USERS[1]] == database["account"].distinct("userId")
    assert ["Neu"] == database[changed].distinct("name")


WITH_WORKSPACE = {"$jsonSchema": {"required": ["workspaceId"]}}


@pytest.mark.parametrize("level", ["strict", "moderate"])
async def test_documents_that_a_validator_refuses_as_they_were_stop_a_rollback_beforehand(
    uri, migrated, sync_database, level
):
    """Nothing is written; without the validator, everything comes back."""
    before, _ = migrated
    sync_database.command("collMod", "invoices", validator=WITH_WORKSPACE, validationLevel=level)
    stood = held(sync_database)
    shown, back = await rollback(uri, dry_run=True), await rollback(uri)
    refused = {(c.collection, c.id, c.path) for c in back.conflicts}

    assert [ExitCode.ROLLBACK_CONFLICTS] * 2 == [shown.exit_code, back.exit_code]
    assert {ConflictKind.REFUSED: 6} == dict(back.conflicts.kinds)
    assert refused == {
        ("invoices", each["_id"], "workspaceId") for each in sync_database["invoices"].find()
    }
    assert [] == changes(stood, held(sync_database))

    sync_database.command("collMod", "invoices", validator={}, validationLevel="strict")
    assert ExitCode.DONE == (await rollback(uri)).exit_code
    # The server keeps that there was a validator; documents are as they were.
    assert [] == [c for c in changes(before, held(sync_database)) if "options" not in c]


async def test_what_a_validator_refuses_stays_where_that_was_chosen(uri, migrated, sync_database):
    """With the users whose organizations it names; a dry run counts them as the rollback does."""
    validator = {"$or": [{"number": "000001"}, {"workspaceId": {"$exists": True}}]}
    sync_database.command("collMod", "invoices", validator=validator)
    foretold = answer(await rollback(uri, options=KEEP, dry_run=True))
    done = answer(await rollback(uri, options=KEEP))

    assert 3 == done["conflictCount"] == foretold["conflictCount"]
    assert 3 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})
    for name in foretold.keys() - {"dryRun", "timings"}:
        assert foretold[name] == done[name], name


async def test_an_existing_user_the_server_refuses_as_they_were_is_listed(uri, sync_database):
    """A validator that was set since wants the name that was filled; everybody else goes back."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["user"].insert_one({"_id": USERS[0], "email": "jeanne0@exemple.fr"})
    await migrate(uri)
    sync_database.command("collMod", "user", validator={"name": {"$exists": True}})
    result = await rollback(uri)
    refused = {c.path for c in result.conflicts if c.kind is ConflictKind.REFUSED}

    assert "name" in refused
    assert ExitCode.PENDING == result.exit_code
    assert 1 == result.deleted["user"]
    assert "name" in sync_database["user"].find_one({"_id": USERS[0]})


@pytest.mark.slow
async def test_a_user_taken_back_and_migrated_again_is_no_conflict_of_the_first_run(
    uri, migrated, sync_database
):
    """What the later run deletes on its way back is not there any more for the earlier one."""
    before, _ = migrated
    await rollback(uri, options=RollbackOptions(users=(USERS[0],)))
    sync_database["Users"].update_one({"_id": USERS[0]}, {"$set": {"profile.firstName": "Anne"}})
    await migrate(uri)
    async with Migration(uri) as migration:
        shown = await migration.rollback_all(dry_run=True)
        back = await migration.rollback_all(reviewed=shown)
    sync_database["Users"].update_one({"_id": USERS[0]}, {"$set": {"profile.firstName": "Jeanne"}})

    assert [ExitCode.DONE] * 2 == [result.exit_code for result in (*back,)]
    assert [result.deleted for result in shown] == [result.deleted for result in back]
    assert [] == changes(before, held(sync_database))


async def test_indexes_a_dead_run_was_building_are_its_own(uri, sync_database, monkeypatch):
    """They are built, and the journal does not say so yet: no conflict, and foreseen."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 2))
    before = held(sync_database)

    async def died(*_):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(steps, "created_indexes", died)
        with pytest.raises(RuntimeError):
            await migrate(uri)
    shown = await rollback(uri, dry_run=True)
    back = await rollback(uri, reviewed=shown)

    assert 0 == len(shown.conflicts)
    assert shown.indexes_dropped == back.indexes_dropped
    assert [] == changes(before, held(sync_database))


@pytest.mark.parametrize("choice", [None, KEEP, DISCARD], ids=["stop", "keep", "discard"])
async def test_what_comes_into_use_while_it_is_deleted_is_named(
    uri, migrated, sync_database, monkeypatch, choice
):
    """No deletion can ask other collections: an application that was not stopped may write there.

    The next migration makes the organization again, with the id that is referred to.
    """
    organization = sync_database["organization"].find_one({})["_id"]
    user = sync_database["user"].find_one({})["_id"]
    decide = UserRollback.decide

    async def deciding(rollback, *arguments):
        going = await decide(rollback, *arguments)
        if len(arguments) == 0:
            sync_database["clients"].insert_one({"workspaceId": organization})
            sync_database["invitation"].insert_one({"inviterId": user})
        return going

    monkeypatch.setattr(UserRollback, "decide", deciding)
    result = await rollback(uri, options=choice)
    named = {(c.kind, c.collection, c.id, c.path) for c in result.conflicts}
    assert {
        (ConflictKind.CAME_INTO_USE, "organization", organization, "clients"),
        (ConflictKind.CAME_INTO_USE, "user", user, "invitation"),
    } == named
    assert ExitCode.PENDING == result.exit_code

    await migrate(uri)
    assert sync_database["organization"].count_documents({"_id": organization})
    assert sync_database["user"].count_documents({"_id": user})


@pytest.mark.parametrize(
    ("kind", "method", "error"),
    [
        (UserRollback, "_name_what_came_into_use", AutoReconnect("closed")),
        (StructureRollback, "drop_collections", AutoReconnect("closed")),
        (StructureRollback, "drop_collections", RuntimeError()),
    ],
    ids=["a lost connection before it is found", "a lost connection afterwards", "a kill"],
)
async def test_what_came_into_use_is_named_however_the_rollback_comes_to_its_end(
    uri, migrated, sync_database, monkeypatch, kind, method, error
):
    """It is deleted by then, and the next attempt would not look at it."""
    home = organization_of(sync_database, USERS[0])
    decide, real, failed = UserRollback.decide, getattr(kind, method), []

    async def deciding(rollback, *arguments):
        going = await decide(rollback, *arguments)
        if not arguments and not failed:
            sync_database["clients"].insert_one({"workspaceId": home})
        return going

    async def failing(*arguments):
        if not failed:
            failed.append(method)
            raise error
        await real(*arguments)

    monkeypatch.setattr(UserRollback, "decide", deciding)
    monkeypatch.setattr(kind, method, failing)
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError):
            await rollback(uri)
    result = await rollback(uri)
    (run,) = sync_database["newbi_migrate_runs"].find({})
    named = (ConflictKind.CAME_INTO_USE, "organization", home, "clients")

    assert [named] == [(c.kind, c.collection, c.id, c.path) for c in result.conflicts]
    assert ExitCode.PENDING == result.exit_code
    assert [home] == [conflict["id"] for conflict in run["rollback"]["conflicts"]]
    assert "cameIntoUse" not in run


async def test_what_an_attempt_discarded_is_listed_once_by_the_one_that_ends(
    uri, migrated, sync_database, monkeypatch
):
    """The second attempt finds it as it was before the run; another change it finds again."""
    one, other = (each["_id"] for each in sync_database["invoices"].find().sort("_id", 1).limit(2))
    sync_database["invoices"].update_one({"_id": one}, {"$set": {"workspaceId": "autre"}})
    real, failed = DocumentRollback.apply, []

    async def interrupted(rollback, session):
        await real(rollback, session)
        if not failed:
            failed.append(rollback)
            change = {"$set": {"workspaceId": "autre"}}
            sync_database["invoices"].update_one({"_id": other}, change)
            raise AutoReconnect("closed")

    monkeypatch.setattr(DocumentRollback, "apply", interrupted)
    result = await rollback(uri, options=DISCARD)

    assert {one, other} == {conflict.id for conflict in result.conflicts}
    assert {ConflictKind.CHANGED: 2} == result.conflicts.kinds
    assert ExitCode.DONE == result.exit_code
    assert 0 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.parametrize("written", [True, False])
async def test_what_an_attempt_overwrote_is_counted_once_by_the_one_that_ends(
    uri, migrated, sync_database, monkeypatch, written
):
    """Whether the error came after it was overwritten or before."""
    one = sync_database["invoices"].find_one()["_id"]
    sync_database["invoices"].update_one({"_id": one}, {"$set": {"workspaceId": "autre"}})
    real, failed = documents.overwrite, []

    async def interrupted(session, name, changed):
        if written or failed:
            return await real(session, name, changed)
        failed.append(name)
        raise AutoReconnect("closed")

    apply = DocumentRollback.apply

    async def ended(rollback, session):
        await apply(rollback, session)
        if written and not failed:
            failed.append(rollback)
            raise AutoReconnect("closed")

    monkeypatch.setattr(documents, "overwrite", interrupted)
    monkeypatch.setattr(DocumentRollback, "apply", ended)
    result = await rollback(uri, options=DISCARD)
    back = result.documents["invoices"]

    assert (5, 1, 0) == (back.restored, back.overwritten, back.already)
    assert 1 == len(failed)


async def test_a_rollback_that_tries_again_counts_what_its_first_attempt_did(
    uri, migrated, sync_database, monkeypatch
):
    """It tells what the look beforehand told, as it would have done without the error."""
    shown = await rollback(uri, dry_run=True)
    losing_the_answer_to(monkeypatch, StructureRollback, "drop_collections")
    result = await rollback(uri)

    assert told([shown]) == told([result])
    assert 6 == result.documents["invoices"].restored
    assert sorted(shown.indexes_dropped) == sorted(result.indexes_dropped)
    assert sorted(shown.collections_dropped) == sorted(result.collections_dropped)


async def test_a_transaction_that_a_dead_rollback_left_open_is_ended(
    replica_uri, sync_replica_database
):
    """The server would keep it, and the documents it deletes locked, for a minute."""
    database = sync_replica_database
    database["Users"].insert_one(legacy_user(0))
    await migrate(replica_uri)
    with database.client.start_session() as dead:
        dead.start_transaction()
        database["organization"].delete_one({}, session=dead)
        noted = {"state": "rolling-back", "rollbackSession": dead.session_id["id"]}
        database["newbi_migrate_runs"].update_one({}, {"$set": noted})
        began = monotonic()
        result = await rollback(replica_uri)

    assert monotonic() - began < 20
    assert (ExitCode.DONE, 0) == (result.exit_code, database["organization"].count_documents({}))


class AtTheStatement(NullProgress):
    """Does something once, between the comparison of a window and the write to its collection."""

    def __init__(self, monkeypatch, collection, act):
        self.armed, self.act = False, act
        allow = LeasedSession.allow

        def allowing(session, name):
            if self.armed and name == collection and self.began:
                self.armed = False
                act()
            return allow(session, name)

        self.began = 0
        turn = LeasedSession.turn

        async def turning(session, documents):
            # A window is compared before its turn comes.
            self.began += documents > 0
            await turn(session, documents)

        monkeypatch.setattr(LeasedSession, "allow", allowing)
        monkeypatch.setattr(LeasedSession, "turn", turning)

    def phase(self, name, total):
        self.armed = name == "documents"


@pytest.mark.parametrize("choice", [None, KEEP, DISCARD], ids=["stop", "keep", "discard"])
@pytest.mark.parametrize("into_a_list", [False, True], ids=["another", "a list that holds it"])
async def test_what_changes_between_the_comparison_and_the_write_is_kept_and_named(
    uri, migrated, sync_database, monkeypatch, choice, into_a_list
):
    """Or discarded, where that was chosen; another document that goes meanwhile is counted."""
    one, gone = sync_database["invoices"].find({}).sort("_id", 1).limit(2)
    now = [one["workspaceId"]] if into_a_list else "autre"

    def change():
        sync_database["invoices"].update_one({"_id": one["_id"]}, {"$set": {"workspaceId": now}})
        sync_database["invoices"].delete_one({"_id": gone["_id"]})

    watching = AtTheStatement(monkeypatch, "invoices", change)
    async with Migration(uri, progress=watching) as migration:
        result = await migration.rollback(options=choice)
    back = result.documents["invoices"]
    stored = sync_database["invoices"].find_one(one["_id"]).get("workspaceId")

    assert [(ConflictKind.CHANGED, one["_id"])] == [(c.kind, c.id) for c in result.conflicts]
    assert (4, 1) == (back.restored, back.gone)
    assert (None if choice is DISCARD else now) == stored
    assert (ExitCode.PENDING if choice is None else ExitCode.DONE) == result.exit_code
    assert not result.refused


@pytest.mark.parametrize("collections", [None, ("invoices",)], ids=["whole", "a part"])
async def test_what_changes_before_a_rollback_tries_again_is_kept_and_named(
    uri, migrated, sync_database, monkeypatch, collections
):
    """Something was written before the transient error, so nothing is refused any more."""
    one = sync_database["invoices"].find_one({}, sort=[("_id", 1)])["_id"]
    real, failed = DocumentRollback.apply, []

    async def interrupted(rollback, session):
        await real(rollback, session)
        if not failed:
            failed.append(rollback)
            sync_database["invoices"].update_one({"_id": one}, {"$set": {"workspaceId": "autre"}})
            raise AutoReconnect("closed")

    monkeypatch.setattr(DocumentRollback, "apply", interrupted)
    result = await rollback(uri, options=RollbackOptions(collections=collections))
    (run,) = sync_database["newbi_migrate_runs"].find({})

    assert [(ConflictKind.CHANGED, one)] == [(c.kind, c.id) for c in result.conflicts]
    assert (ExitCode.PENDING, False) == (result.exit_code, result.refused)
    assert ("done" if collections else "rolled-back") == run["state"]
    assert "autre" == sync_database["invoices"].find_one(one)["workspaceId"]


async def test_of_several_runs_a_part_is_taken_back_of_the_one_that_is_named(
    uri, migrated, sync_database
):
    """The last would hold nothing of a user whom the first has migrated; it says which did."""
    sync_database["clients"].insert_one({"_id": ObjectId(), "createdBy": USERS[0]})
    await migrate(uri)
    first = migrated[1].run_id
    part = RollbackOptions(users=(str(USERS[1]),))
    with pytest.raises(UsageError, match="2 runs that wrote") as refused:
        await rollback(uri, options=part)
    with pytest.raises(UsageError) as of_documents:
        await rollback(uri, options=RollbackOptions(collections=("clients",)))
    await rollback(uri, first, options=part)

    assert None is sync_database["user"].find_one(USERS[1])
    assert refused.value.next_step.endswith(f" The users named were created by the run {first}.")
    assert of_documents.value.next_step.endswith("status lists them.")


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        (RollbackOptions(users=(str(USERS[0]),)), True),
        (RollbackOptions(collections=("invoices", "quotes")), True),
        (RollbackOptions(collections=("quotes",)), False),
    ],
    ids=["users", "a collection that was replaced", "another collection"],
)
async def test_no_part_is_taken_back_while_what_the_run_wrote_to_is_aside(
    uri, migrated, sync_database, database, tmp_path, part, refused
):
    """Documents there refer to the users and their organizations, and come back with them."""
    _, run = migrated
    sync_database["invoices"].insert_one(
        {"number": "new", "workspaceId": organization_of(sync_database, USERS[0])}
    )
    path = (await backup_database(database, tmp_path)).path
    await restore_backup(path, database, drop=True, only=["invoices"])
    stood = held(sync_database)
    async with Migration(uri) as migration:
        if not refused:
            assert ExitCode.DONE == (await migration.rollback(options=part)).exit_code
            return
        for named in (None, run.run_id):
            with pytest.raises(UsageError, match="put collections of a backup in place") as told:
                await migration.rollback(named, options=part)
        unchanged = changes(stood, held(sync_database))
        await migration.drop_aside()
        afterwards = await migration.rollback(options=part)

    assert "newbi-migrate drop-aside" in told.value.next_step
    assert [] == unchanged
    assert afterwards.written


async def test_an_earlier_rollback_is_told_by_the_choice_it_was_made_with(
    uri, migrated, sync_database
):
    """What `stop` left was overwritten by nobody, whatever is chosen now."""
    home = organization_of(sync_database, USERS[1])
    sync_database["quotes"].insert_one({"_id": ObjectId(), "workspaceId": home})
    await roll_all_back(uri)
    left, nothing = await roll_all_back(uri, options=DISCARD)

    assert (OnConflict.STOP, ExitCode.PENDING) == (left.on_conflict, left.exit_code)
    assert (None, ExitCode.DONE) == (nothing.run_id, nothing.exit_code)


async def test_a_record_has_room_for_what_a_rollback_left_and_numbers_for_the_rest(
    uri, sync_database
):
    """A thousand of them and two megabytes, whatever their ids are; all are counted."""
    sync_database["Users"].insert_one(legacy_user(0))
    documents = [{"_id": f"{n:03}" + "x" * 200_000, "createdBy": USERS[0]} for n in range(30)]
    sync_database["events"].insert_many([{**d, "userId": USERS[0]} for d in documents])
    await migrate(uri)
    sync_database["events"].update_many({}, {"$set": {"workspaceId": "autre"}})
    kept = await rollback(uri, options=KEEP)
    (run,) = sync_database["newbi_migrate_runs"].find({})

    assert 30 == len(kept.conflicts) == run["rollback"]["conflictCount"]
    assert {"changed": 30} == run["rollback"]["conflictKinds"]
    assert 0 < len(run["rollback"]["conflicts"]) < 12
    assert "rolled-back" == run["state"]
