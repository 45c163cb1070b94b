"""A migrated database keeps every rule, and whatever breaks one is found by that rule."""

from __future__ import annotations

import inspect
import uuid
from collections import Counter

import pytest
from bson import ObjectId
from case_builder import invalid_text, raw
from fingerprints import changes, fingerprint
from legacy_cases import build_dirty_database
from pymongo import AsyncMongoClient
from small_legacy import DAY, USERS, invoices, legacy_user

from newbi_migrate.backup.writer import backup_database
from newbi_migrate.choices import AliasPolicy
from newbi_migrate.demo.legacy import build_legacy_database
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import CollectionSpec, IdType, ParentLink, Registry
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.mapping.ids import account_id, member_id, organization_id
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration, run_sync
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.validation import models
from newbi_migrate.migration.validation.report import FailOn, Origin, Proof
from newbi_migrate.migration.validation.request import Collector, ValidationRequest
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.store.lease import Holder, Lease

STRANGER = ObjectId("65f000000000000000000001")
HOME = organization_id(USERS[0])
OTHER = organization_id(USERS[1])
WITH_DIGESTS = BackupGuard(digests=True)


async def migrated(uri, *, backup_guard=None, **options):
    chosen = MigrationOptions(**options)
    async with Migration(uri, options=chosen, backup_guard=backup_guard) as migration:
        return await migration.apply()


def uri_of(database):
    """The connection string of a database that needs no credentials."""
    host, port = database.client.address
    return f"mongodb://{host}:{port}/{database.name}"


async def validated(where, registry=NEWBI, **choices):
    uri = where if isinstance(where, str) else uri_of(where)
    async with Migration(uri, registry=registry) as migration:
        return await migration.validate(**choices)


def broken(report):
    """The rules that are broken, with how often and where."""
    return {(r.rule, r.collection): r.count for r in report.results}


def fill(database):
    """Three legacy users with invoices, a board with a column, a credit note and an event."""
    database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for owner in USERS[:3]:
        database["invoices"].insert_many(invoices(owner, 3))
    invoice = database["invoices"].find_one({"createdBy": USERS[0]})["_id"]
    board = ObjectId()
    database["boards"].insert_one({"_id": board, "title": "Suivi", "userId": USERS[0]})
    database["columns"].insert_one({"title": "À faire", "boardId": board, "userId": USERS[0]})
    database["creditnotes"].insert_one(
        {"number": "A1", "createdBy": USERS[0], "originalInvoice": invoice}
    )
    database["events"].insert_one({"userId": USERS[0], "invoiceId": invoice})
    database["transactions"].insert_one({"userId": USERS[0], "externalId": "x"})


def indexes_of(collection):
    return {index["name"]: index for index in collection.list_indexes()}


@pytest.fixture(scope="module")
def migrated_once(servers, mongod):
    """A migrated database, with all that is needed to make it so again."""
    database = servers.client(mongod)[f"newbi_test_{uuid.uuid4().hex[:16]}"]
    fill(database)
    run_sync(migrated(uri_of(database), backup_guard=WITH_DIGESTS))
    kept = {
        name: (list(database[name].find()), indexes_of(database[name]))
        for name in database.list_collection_names()
    }
    yield database, kept
    database.client.drop_database(database.name)


@pytest.fixture
def world(migrated_once):
    """A migrated database that a test may harm."""
    database, kept = migrated_once
    yield database
    for name in database.list_collection_names():
        documents, indexes = kept.get(name, ([], None))
        if indexes is None:
            database.drop_collection(name)
            continue
        there = indexes_of(database[name])
        for index in there:
            if there[index] != indexes.get(index):
                database[name].drop_index(index)
        database[name].delete_many({})
        if documents:
            database[name].insert_many(documents)
        gone = [index for key, index in indexes.items() if there.get(key) != index]
        if gone:
            database.command("createIndexes", name, indexes=gone)


def drop_unique(database):
    for name in ("user", "organization", "member"):
        database[name].drop_indexes()


INVOICE = {"createdBy": USERS[0]}
HARM = {
    "legacy-user.accounted-for": lambda db: db["user"].delete_one({"_id": USERS[2]}),
    "legacy-user.has-workspace": lambda db: db["member"].update_one(
        {"_id": member_id(USERS[2])}, {"$set": {"role": "member", "organizationId": HOME}}
    ),
    "legacy-user.one-credential": lambda db: db["account"].delete_one({"userId": USERS[0]}),
    "legacy-user.hash-unchanged": lambda db: db["account"].update_one(
        {"_id": account_id(USERS[0])}, {"$set": {"password": "$2b$10$" + "z" * 53}}
    ),
    "legacy-user.password-elsewhere": lambda db: db["account"].update_one(
        {"_id": account_id(USERS[0])},
        [{"$set": {"password": "0" * 32 + ":" + "1" * 128, "updatedAt": "$$NOW"}}],
    ),
    "legacy-user.kept-out": lambda db: db["Users"].update_one(
        {"_id": USERS[0]}, {"$set": {"banned": True}}
    ),
    "user.id-type": lambda db: db["user"].insert_one({"_id": "u", "email": "x@exemple.fr"}),
    "user.email-normal": lambda db: db["user"].update_one(
        {"_id": USERS[0]}, {"$set": {"email": "Jeanne0@exemple.fr"}}
    ),
    "user.email-accepted": lambda db: db["user"].update_one(
        {"_id": USERS[0]}, {"$set": {"email": "zoé@exemple.fr"}}
    ),
    "user.email-unique": lambda db: (
        drop_unique(db),
        db["user"].update_one({"_id": USERS[0]}, {"$set": {"email": "jeanne1@exemple.fr "}}),
    ),
    "user.flags-consistent": lambda db: db["user"].update_one(
        {"_id": USERS[0]}, {"$set": {"isEmailVerified": True, "emailVerified": False}}
    ),
    "user.no-pointers": lambda db: db["user"].update_one(
        {"_id": USERS[0]}, {"$set": {"workspaceId": str(HOME)}}
    ),
    "user.belongs": lambda db: db["user"].insert_one({"_id": STRANGER, "email": "x@exemple.fr"}),
    "account.ids": lambda db: db["account"].update_one(
        {"userId": USERS[0]}, {"$set": {"accountId": "jeanne0@exemple.fr"}}
    ),
    "account.user-exists": lambda db: db["account"].insert_one(
        {"userId": STRANGER, "providerId": "google", "accountId": "1"}
    ),
    "organization.id-type": lambda db: db["organization"].insert_one({"_id": "o", "slug": "o"}),
    "organization.has-owner": lambda db: db["member"].update_one(
        {"_id": member_id(USERS[0])}, {"$set": {"role": "admin"}}
    ),
    "organization.slug-unique": lambda db: (
        drop_unique(db),
        db["organization"].update_many({}, {"$set": {"slug": "the-same"}}),
    ),
    "member.ids": lambda db: db["member"].insert_one(
        {"organizationId": str(HOME), "userId": USERS[0], "role": "owner"}
    ),
    "member.points-somewhere": lambda db: db["member"].insert_one(
        {"organizationId": STRANGER, "userId": USERS[0], "role": "owner"}
    ),
    "member.once": lambda db: (
        drop_unique(db),
        db["member"].insert_one({"organizationId": HOME, "userId": USERS[0], "role": "member"}),
    ),
    "session.points-somewhere": lambda db: db["session"].insert_one(
        {"userId": USERS[0], "activeOrganizationId": str(STRANGER)}
    ),
    "document.workspace-present": lambda db: db["invoices"].update_one(
        INVOICE, {"$unset": {"workspaceId": ""}}
    ),
    "document.workspace-type": lambda db: db["transactions"].update_one(
        {}, {"$set": {"workspaceId": HOME}}
    ),
    "document.workspace-exists": lambda db: db["invoices"].update_one(
        INVOICE, {"$set": {"workspaceId": STRANGER}}
    ),
    "document.owner-belongs": lambda db: db["events"].update_one(
        {}, {"$set": {"workspaceId": OTHER}}
    ),
    "document.parent-workspace": lambda db: db["columns"].update_one(
        {}, {"$set": {"workspaceId": OTHER}}
    ),
    "document.owner-type": lambda db: db["invoices"].update_one(
        INVOICE, {"$set": {"createdBy": str(USERS[0])}}
    ),
    "document.owner-present": lambda db: db["invoices"].update_one(
        INVOICE, {"$unset": {"createdBy": ""}}
    ),
    # Text that is no UTF-8 in the field that names the owner.
    "document.readable": lambda db: db["invoices"].insert_one(
        raw({"_id": STRANGER, "workspaceId": HOME}, invalid_text("createdBy"))
    ),
    "document.companion-workspace": lambda db: db["creditnotes"].update_one(
        {}, {"$set": {"workspaceId": OTHER, "createdBy": USERS[1]}}
    ),
    "key.unique": lambda db: (
        db["invoices"].drop_indexes(),
        db["invoices"].update_many(INVOICE, {"$set": {"number": "7"}}),
    ),
    "key.not-hindered": lambda db: (
        db["invoices"].drop_indexes(),
        db["invoices"].update_many({"number": "000001"}, {"$unset": {"workspaceId": ""}}),
    ),
    "key.stays-unique": lambda db: db["invoices"].update_many(
        INVOICE,
        [
            {
                "$set": {
                    "number": "7",
                    "issueYear": {
                        "$cond": [
                            {"$eq": ["$number", "000001"]},
                            2024,
                            {"$cond": [{"$eq": ["$number", "000002"]}, 2023, "$$REMOVE"]},
                        ]
                    },
                }
            }
        ],
    ),
    "index.present": lambda db: db["invoices"].drop_index("workspaceId_1_status_1"),
    "index.no-conflict": lambda db: (
        db["invoices"].drop_index("workspaceId_1_status_1"),
        db["invoices"].create_index([("status", -1)], name="workspaceId_1_status_1"),
    ),
    "index.none-obsolete": lambda db: db["invoices"].create_index(
        [("number", 1), ("createdBy", 1)], unique=True
    ),
    "run.finished": lambda db: db["newbi_migrate_runs"].insert_one(
        {
            "_id": ObjectId(),
            "number": 9,
            "command": "backfill",
            "state": "running",
            "policy": {},
        }
    ),
    "run.nothing-else-changed": lambda db: db["invoices"].update_one(
        INVOICE, {"$set": {"totalHT": 7}}
    ),
}
# What these harm was neither written nor created by a run, so it counts as there before.
NOT_OURS = {
    "user.id-type",
    "user.belongs",
    "account.user-exists",
    "organization.id-type",
    "member.ids",
    "member.points-somewhere",
    "session.points-somewhere",
    "document.owner-type",
    "document.owner-present",
    "index.no-conflict",
    "index.none-obsolete",
}
# What these bring came after the run, which would have seen to it, or a run has yet to do.
NOT_YET = {"document.readable", "run.finished"}
# No journal tells who did it.
NOBODY_KNOWS = {"run.nothing-else-changed"}
# Asked for by an option: the choices a validation needs to see it.
ASKED_WITH = {"run.nothing-else-changed": {"unchanged": True}}


async def test_a_migrated_database_keeps_every_structural_rule(world):
    """Right after a migration no structural rule is broken, and the exit code is 0."""
    report = await validated(world, only=[*STRUCTURAL], unchanged=True)

    assert {} == broken(report)
    assert (True, ExitCode.DONE, 0) == (report.is_clean, report.exit_code, report.quarantined)
    assert 9 == report.documents["invoices"]


@pytest.mark.parametrize("rule", HARM)
async def test_what_breaks_a_structural_rule_is_found_by_it(world, rule):
    """Each way to break the structure is found by its rule; what harms a run's work fails."""
    HARM[rule](world)
    report = await validated(world, only=[*STRUCTURAL], **ASKED_WITH.get(rule, {}))
    found = [r for r in report.results if r.rule == rule]

    assert found, broken(report)
    assert all(r.count and r.next_step and r.sentence for r in found)
    severity = STRUCTURAL[rule].severity
    assert all(severity is violation.severity for r in found for violation in r.examples)
    origin = Origin.BEFORE if rule in NOT_OURS else Origin.RUN
    origin = Origin.PENDING if rule in NOT_YET else origin
    origin = Origin.UNKNOWN if rule in NOBODY_KNOWS else origin
    assert {origin} == {r.origin for r in found}
    if severity == "critical" and origin in (Origin.RUN, Origin.UNKNOWN):
        assert report.exit_code is ExitCode.VALIDATION_FAILED


async def test_every_violation_is_named_where_all_are_wanted(world):
    """Without --detailed violations are counted and some are named; with it all are."""
    world["invoices"].drop_indexes()
    world["invoices"].update_many({}, {"$unset": {"workspaceId": ""}})
    named = []
    brief = await validated(world, only=["document.*"])
    await validated(world, only=["document.*"], detailed=True, on_violation=named.append)
    ids = {document["_id"] for document in world["invoices"].find()}

    assert {("document.workspace-present", "invoices"): 9} == broken(brief)
    assert ids == {violation.id for violation in named}
    assert {("invoices", "workspaceId")} == {(f.collection, f.path) for f in named}


async def test_of_very_many_violations_few_are_kept(world):
    """All are counted and told of one by one; a report keeps the first of each rule."""
    told = Counter()
    request = ValidationRequest(
        world, NEWBI, detailed=True, on_violation=lambda violation: told.update([violation.rule])
    )
    collector = Collector(request, migrated=True)
    for number in range(50_000):
        collector.add(
            STRUCTURAL["document.workspace-present"],
            "invoices",
            number,
            "workspaceId",
            origin=Origin.RUN,
        )
    (result,) = collector.results()

    assert (50_000, list(range(20))) == (result.count, [f.id for f in result.examples])
    assert {"document.workspace-present": 50_000} == told


async def test_what_was_quarantined_and_recorded_is_no_violation(uri, sync_database):
    """Quarantined users and documents are counted; only others than the recorded ones fail."""
    sync_database["Users"].insert_many(
        [legacy_user(0), legacy_user(3), legacy_user(4, email="JEANNE3@exemple.fr")]
    )
    for owner in (USERS[0], USERS[3], STRANGER):
        sync_database["invoices"].insert_many(invoices(owner, 2))
    assert 6 == len((await migrated(uri)).quarantine)
    before = await validated(uri, only=[*STRUCTURAL])
    sync_database["invoices"].insert_many(invoices(STRANGER, 3, prefix="N"))
    after = await validated(uri, only=[*STRUCTURAL])

    assert {("key.not-hindered", "invoices"): 2} == broken(before)
    assert (6, ExitCode.DONE) == (before.quarantined, before.exit_code)
    assert 3 == broken(after)["run.quarantined-as-recorded", "invoices"]
    assert (True, ExitCode.PENDING) == (after.failed, after.exit_code)


async def test_what_was_put_right_since_a_run_is_not_migrated_yet(uri, sync_database):
    """It is no longer as the run recorded: validate, as finalize does, asks for another run."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1, email="")])
    for owner in (USERS[0], USERS[1], STRANGER):
        sync_database["invoices"].insert_many(invoices(owner, 2))
    assert 5 == len((await migrated(uri)).quarantine)
    as_recorded = await validated(uri, only=[*STRUCTURAL])
    sync_database["invoices"].update_one({"createdBy": STRANGER}, {"$set": {"createdBy": USERS[0]}})
    document = await validated(uri, only=[*STRUCTURAL])
    sync_database["Users"].update_one({"_id": USERS[1]}, {"$set": {"email": "jeanne1@exemple.fr"}})
    user = await validated(uri, only=[*STRUCTURAL])
    assert 1 == len((await migrated(uri)).quarantine)
    done = await validated(uri, only=[*STRUCTURAL])

    assert (ExitCode.DONE, 5) == (as_recorded.exit_code, as_recorded.quarantined)
    assert (ExitCode.PENDING, 1) == (document.exit_code, document.pending)
    assert 1 == broken(document)["document.workspace-present", "invoices"]
    assert (ExitCode.PENDING, 2) == (user.exit_code, user.pending)
    assert 1 == broken(user)["legacy-user.accounted-for", "Users"]
    reasons = [found for report in (document, user) for found in report.quarantine.values()]
    assert Reason.WRITE_REFUSED not in {reason for found in reasons for reason in found}
    assert (ExitCode.DONE, 1) == (done.exit_code, done.quarantined)


@pytest.mark.parametrize("kind", [Reason.UNIQUE_KEY, Reason.WRITE_REFUSED])
async def test_what_the_server_refused_and_would_take_by_now_is_not_migrated_yet(
    uri, sync_database, kind
):
    """The other holder of the key has gone, or the validator: a run would write it."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["clients"].insert_one({"createdBy": USERS[0], "email": "a@exemple.fr"})
    await migrated(uri)
    first = sync_database["clients"].find_one()
    sync_database["clients"].insert_one({"createdBy": USERS[0], "email": "a@exemple.fr"})
    if kind is Reason.WRITE_REFUSED:
        sync_database["clients"].update_one({"_id": first["_id"]}, {"$set": {"email": "b"}})
        never = {"$or": [{"workspaceId": {"$exists": False}}, {"email": "b"}]}
        sync_database.command("collMod", "clients", validator=never)
    await migrated(uri)
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match="Quarantined documents"):
            await migration.finalize(dry_run=True)
        as_recorded = await validated(uri, only=[*STRUCTURAL])
        sync_database["clients"].delete_one({"_id": first["_id"]})
        sync_database.command("collMod", "clients", validator={})
        put_right = await validated(uri, only=[*STRUCTURAL])
        with pytest.raises(UsageError, match="were put right"):
            await migration.finalize(keep=True, dry_run=True)

    assert (ExitCode.DONE, {kind: 1}) == (as_recorded.exit_code, as_recorded.quarantine["clients"])
    assert (ExitCode.PENDING, 1) == (put_right.exit_code, put_right.pending)


async def test_a_backfill_leaves_the_choices_of_the_migration_as_they_are(uri, sync_database):
    """Whoever stamps late documents without naming them makes no decision about users."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one(
        {"_id": STRANGER, "email": "jeanne0@exemple.fr", "emailVerified": False}
    )
    await migrated(uri, aliases=AliasPolicy.ALL)
    sync_database["invoices"].insert_many(invoices(USERS[0], 1))
    async with Migration(uri) as migration:
        stamped = await migration.backfill()
    report = await validated(uri, only=["legacy-user.*", "document.*"])

    assert (1, ExitCode.DONE) == (stamped.collections["invoices"].stamped, stamped.exit_code)
    assert (ExitCode.DONE, 0) == (report.exit_code, report.quarantined)
    assert {} == broken(report)


async def test_before_a_migration_no_key_is_said_to_be_shared_later(uri, sync_database):
    """Documents of everybody are in no workspace yet, and all seem to share one."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    for user, more in zip(USERS[:2], ({}, {"issueYear": 2024}), strict=True):
        same = {"createdBy": user, "number": "000001", "issueDate": DAY}
        sync_database["invoices"].insert_one({**same, **more})
    before = await validated(uri, only=["key.*"])
    await migrated(uri)
    after = await validated(uri, only=["key.*"])

    assert [set(), set()] == [
        {result.rule for result in report.results} for report in (before, after)
    ]


async def test_an_alias_is_followed(uri, sync_database):
    """A document that still names a user by the id they had is found."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one(
        {"_id": STRANGER, "email": "jeanne0@exemple.fr", "emailVerified": True}
    )
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    await migrated(uri)
    clean = await validated(uri, only=["document.*", "legacy-user.*"])
    sync_database["invoices"].update_one({}, {"$set": {"createdBy": USERS[0]}})
    report = await validated(uri, only=["document.*"])

    assert {} == broken(clean)
    assert {("document.owner-follows", "invoices"): 1} == broken(report)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["Users", "users"])
async def test_a_clean_database_validates_after_its_migration(uri, sync_database, source):
    """All rules, of structure and of models, hold for what a clean database becomes."""
    build_legacy_database(sync_database, seed=3, users=5, documents_per_user=15, source=source)
    before = await validated(uri)
    await migrated(uri)
    report = await validated(uri)

    assert (ExitCode.VALIDATION_FAILED, None) == (before.exit_code, before.run_id)
    assert (ExitCode.DONE, 0) == (report.exit_code, report.critical)
    assert not any(r.rule.startswith("field.") for r in report.results)
    # Those that belong to nobody's workspace are looked at too, and counted.
    assert {
        spec.name: number
        for spec in NEWBI
        if (number := sync_database[spec.name].count_documents({}))
    }.items() <= report.documents.items()


@pytest.mark.slow
async def test_a_dirty_database_fails_for_what_a_migration_must_not_repair(uri, sync_database):
    """As many are quarantined as the run said; what was broken before stays broken and is named."""
    build_dirty_database(sync_database, seed=3, users=5, documents_per_user=15)
    result = await migrated(uri)
    report = await validated(uri)
    critical = {r.rule for r in report.results if r.severity == "critical"}

    assert len(result.quarantine) == report.quarantined
    assert not critical & {
        "document.workspace-present",
        "document.workspace-type",
        "document.workspace-exists",
        "legacy-user.accounted-for",
        "legacy-user.one-credential",
        "legacy-user.hash-unchanged",
        "run.quarantined-as-recorded",
    }


async def test_nothing_is_written(world):
    """Validating leaves every document, index and collection as it is."""
    before = fingerprint(world)
    await validated(world, detailed=True)
    await validated(world, sample=2)

    assert [] == changes(before, fingerprint(world))


@pytest.mark.slow
async def test_a_role_that_may_only_read_is_enough(mongod_with_auth, servers, database_name):
    """A user with the role read can validate."""
    database = servers.client(mongod_with_auth)[database_name]
    build_legacy_database(database, seed=1, users=2, documents_per_user=5)
    reader = mongod_with_auth.add_user(
        "reader", "pretended", database=database_name, roles=["read"]
    )
    await migrated(mongod_with_auth.uri_for(database_name))
    report = await validated(reader)

    assert report.is_clean


async def test_a_run_under_way_is_said(world):
    """Validation needs no lease, and says that somebody holds it."""
    async with AsyncMongoClient(uri_of(world)) as client:
        holder = Holder(run_id=ObjectId(), host="elsewhere", pid=1, command="migrate")
        lease = await Lease.acquire(client.get_default_database(), holder, seconds=60)
        report = await validated(world, only=["run.*"])
        await lease.release()

    assert report.under_way
    assert any("under way" in note for note in report.notes)


async def test_an_unknown_rule_is_refused(world):
    """A rule nobody declared is a mistake of the caller, not a rule that holds."""
    with pytest.raises(UsageError, match="documents"):
        await validated(world, only=["documents.*"])


async def test_a_warning_fails_where_asked(world):
    """--fail-on decides from which severity on a violation of a run fails, or one of anybody."""
    world["user"].update_one({"_id": USERS[0]}, {"$set": {"workspaceId": "x"}})
    world["user"].insert_one({"_id": "u", "email": "x@exemple.fr"})
    codes = {
        choice: (await validated(world, only=["user.*"], fail_on=choice)).exit_code
        for choice in FailOn
    }

    assert {
        FailOn.CRITICAL: ExitCode.DONE,
        FailOn.WARNING: ExitCode.VALIDATION_FAILED,
        FailOn.INFO: ExitCode.VALIDATION_FAILED,
        FailOn.ANY_CRITICAL: ExitCode.VALIDATION_FAILED,
        FailOn.ANY_WARNING: ExitCode.VALIDATION_FAILED,
        FailOn.ANY: ExitCode.VALIDATION_FAILED,
    } == codes


@pytest.mark.parametrize("large", [1, 10**9], ids=["ranges", "whole"])
async def test_violations_of_models_are_counted_alike_in_ranges(world, monkeypatch, large):
    """A collection that is read in ranges gives the numbers of one that is read as a whole."""
    world["invoices"].update_many({"createdBy": USERS[0]}, {"$set": {"status": "LOST"}})
    world["invoices"].update_many({"createdBy": USERS[1]}, {"$set": {"totalHT": -1, "items": []}})
    monkeypatch.setattr(models, "_LARGE", large)
    report = await validated(world, only=["field.*", "billing.*"])
    counts = {r.rule: r.count for r in report.results if r.collection == "invoices"}

    assert {
        "field.required": 9,
        "field.invoice-status": 3,
        "field.number-min-0": 3,
        "billing.items": 3,
    } == counts


async def test_a_sample_is_drawn_of_the_models_alone(world):
    """With a sample every rule of a model is asked of few, and every structural rule of all."""
    world["invoices"].drop_indexes()
    world["invoices"].update_many({}, {"$unset": {"workspaceId": ""}})
    report = await validated(world, sample=2)
    counts = broken(report)

    assert 9 == counts["document.workspace-present", "invoices"]
    assert 2 == counts["field.required", "invoices"]


async def test_an_application_brings_its_own_registry(uri, sync_database):
    """Structural rules hold for collections and fields of any name."""
    registry = Registry(
        [
            CollectionSpec("jobs", "ownerId", IdType.STRING),
            CollectionSpec("steps", None, IdType.STRING, parent=ParentLink("jobId", "jobs")),
        ],
        workspace_field="tenantId",
    )
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["jobs"].insert_one({"_id": STRANGER, "ownerId": USERS[0]})
    sync_database["steps"].insert_one({"jobId": STRANGER})
    async with Migration(uri, registry=registry) as migration:
        await migration.apply()
    clean = await validated(uri, registry)
    sync_database["steps"].update_one({}, {"$set": {"tenantId": "nowhere"}})
    report = await validated(uri, registry)

    assert clean.is_clean
    assert ("document.workspace-exists", "steps") in broken(report)


@pytest.mark.parametrize("backed_up", [True, False], ids=["with a backup", "with digests"])
async def test_what_changed_behind_the_back_of_a_run_is_found(
    uri, sync_database, database, tmp_path, backed_up
):
    """Only where it is asked for, and in the collection it happened in; before, nothing was."""
    fill(sync_database)
    backup = await backup_database(database, tmp_path) if backed_up else None
    await migrated(uri, backup_guard=BackupGuard(backup.path) if backup else WITH_DIGESTS)
    clean = await validated(uri, only=["run.*"], unchanged=True)
    sync_database["invoices"].update_one({}, {"$set": {"note": "by hand"}})
    sync_database["boards"].delete_one({})
    unasked = await validated(uri, only=["run.*"])
    report = await validated(uri, only=["run.*"], unchanged=True)

    assert ({}, ExitCode.DONE, ()) == (broken(clean), clean.exit_code, clean.notes)
    assert [Proof.PROVEN, None, Proof.CHANGED] == [
        None if one.unchanged is None else one.unchanged.proof for one in (clean, unasked, report)
    ]
    assert ({}, ()) == (broken(unasked), unasked.notes)
    assert {
        ("run.nothing-else-changed", "invoices"): 1,
        ("run.nothing-else-changed", "boards"): 1,
    } == broken(report)
    assert ExitCode.VALIDATION_FAILED is report.exit_code
    notes = {violation.collection: violation.note for violation in report.violations}
    assert {
        "invoices": "differs, 9 before, 9 now",
        "boards": "differs, 1 before, 0 now",
    } == notes


async def test_an_owner_somebody_changed_since_a_run_rewrote_it_is_named(uri, sync_database):
    """Where the journal knows what was written, the document that holds something else is named."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one(
        {"_id": STRANGER, "email": "jeanne0@exemple.fr", "emailVerified": True}
    )
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    await migrated(uri, backup_guard=WITH_DIGESTS)
    clean = await validated(uri, only=["run.*"], unchanged=True)
    changed = sync_database["invoices"].find_one()["_id"]
    sync_database["invoices"].update_one({"_id": changed}, {"$set": {"createdBy": USERS[1]}})
    report = await validated(uri, only=["run.*"], unchanged=True)

    assert {} == broken(clean)
    assert [("run.nothing-else-changed", "invoices", changed)] == [
        (violation.rule, violation.collection, violation.id) for violation in report.violations
    ]


async def test_without_a_reference_nothing_is_proven(world):
    """A run that recorded no digests proves nothing: that is the verdict, and no violation."""
    world["newbi_migrate_runs"].update_many({}, {"$unset": {"baseline": ""}})
    world["invoices"].update_one({}, {"$set": {"note": "by hand"}})
    report = await validated(world, only=["run.*"], unchanged=True)

    assert (True, ExitCode.PENDING) == (report.is_clean, report.exit_code)
    assert report.unchanged is not None
    assert Proof.UNPROVEN is report.unchanged.proof
    assert "--record-digests" in report.unchanged.reason


# These need another world than the one that is harmed.
HARMED_BY = {
    "document.owner-follows": test_an_alias_is_followed,
    "run.quarantined-as-recorded": test_what_was_quarantined_and_recorded_is_no_violation,
}


def test_every_structural_rule_is_harmed_by_a_test():
    """No structural rule is declared without a test that breaks it and names it."""
    assert STRUCTURAL.keys() == HARM.keys() | HARMED_BY.keys()
    assert [] == [rule for rule, test in HARMED_BY.items() if rule not in inspect.getsource(test)]
