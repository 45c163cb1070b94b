"""What a run caused is told from what was there before it, by what the journals say was written."""

from __future__ import annotations

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from legacy_cases import build_dirty_database
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.choices import AliasPolicy
from newbi_migrate.errors import ExitCode, UsageError, ValidationFailedError
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.validation.origins import Origins, Read
from newbi_migrate.migration.validation.report import FailOn, Origin, Proof
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.store.journal import JournalReader
from newbi_migrate.store.runs import read_runs

ELSEWHERE = ObjectId("65f000000000000000000009")
SOMEBODY = ObjectId("65f000000000000000000001")
HOME, OTHER = organization_id(USERS[0]), organization_id(USERS[1])
WITH_DIGESTS = BackupGuard(digests=True)
TYPES = ["document.owner-*", "field.owner-id", "field.object-id", "field.text"]
SMALL = MigrationOptions(collections=("invoices", "clients"), batch_size=3)


@pytest.fixture
async def migration(uri):
    async with Migration(uri, options=SMALL, backup_guard=WITH_DIGESTS) as migration:
        yield migration


@pytest.fixture
def legacy(sync_database):
    """Two legacy users with six invoices each; of one, four name their owner as text."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    sync_database["invoices"].insert_many(invoices(USERS[0], 6))
    sync_database["invoices"].insert_many(
        [
            {**invoice, "createdBy": str(USERS[1]) if n < 4 else USERS[1]}
            for n, invoice in enumerate(numbered(USERS[1], "B", 6))
        ]
    )
    return sync_database


def numbered(owner, letter, count=1):
    """Invoices of one user, with numbers that nobody else has."""
    return [{**one, "number": f"{letter}{n}"} for n, one in enumerate(invoices(owner, count))]


def types(report, name, path):
    """Whose each value of a wrong type is, in a field of a collection."""
    return [(v.path, v.origin) for v in report.violations if (v.collection, v.path) == (name, path)]


def found(report, origin=None):
    """How often each structural rule is broken, of one origin or of any."""
    return {
        (r.rule, r.collection): r.count
        for r in report.results
        if r.rule in STRUCTURAL and r.severity == "critical" and origin in (None, r.origin)
    }


# -- what was there before ---------------------------------------------------------------------


async def test_dirt_of_before_is_listed_and_does_not_fail(migration, legacy):
    """Owners as text were there before: code 0 unless anything that is there is to fail."""
    await migration.apply()
    report = await migration.validate()
    asked = await migration.validate(fail_on=FailOn.ANY_CRITICAL)

    assert {("document.owner-type", "invoices"): 4} == found(report)
    assert found(report) == found(report, Origin.BEFORE)
    assert (True, 0, ExitCode.DONE) == (report.is_clean, report.critical, report.exit_code)
    assert ExitCode.VALIDATION_FAILED is asked.exit_code


@pytest.mark.slow
@pytest.mark.parametrize("policy", [AliasPolicy.VERIFIED, AliasPolicy.ALL])
async def test_a_dirty_database_fails_no_validation_after_its_migration(uri, sync_database, policy):
    """Of all that is wrong with it nothing critical is the run's; all counts are the plan's."""
    build_dirty_database(sync_database, seed=5, users=9, documents_per_user=12)
    options = MigrationOptions(aliases=policy)
    async with Migration(uri, options=options, backup_guard=WITH_DIGESTS) as migration:
        plan = await migration.plan()
        result = await migration.apply()
        report = await migration.validate(unchanged=True)

    assert {} == found(report, Origin.RUN) | found(report, Origin.UNKNOWN)
    assert len(found(report, Origin.BEFORE)) > 5
    assert ExitCode.DONE is report.exit_code
    assert plan.quarantine.counts() == result.quarantine.counts()
    assert dict(plan.quarantine.counts()) == {
        (collection, reason): number
        for collection, reasons in report.quarantine.items()
        for reason, number in reasons.items()
    }


async def test_a_user_who_was_there_before_is_not_the_runs(migration, legacy):
    """Flags that contradict each other: of a user from before, and of one that a run created."""
    legacy["user"].insert_one(
        {"_id": SOMEBODY, "email": "x@exemple.fr", "isActive": True, "isDisabled": True}
    )
    await migration.apply()
    before = await migration.validate(only=["user.flags-consistent"])
    legacy["user"].update_one({"_id": USERS[0]}, {"$set": {"isActive": True, "isDisabled": True}})
    after = await migration.validate(only=["user.flags-consistent"])

    rule = ("user.flags-consistent", "user")
    assert ({rule: 1}, ExitCode.DONE) == (found(before, Origin.BEFORE), before.exit_code)
    assert {rule: 1} == found(after, Origin.BEFORE) == found(after, Origin.RUN)
    assert ExitCode.VALIDATION_FAILED is after.exit_code


async def test_a_rule_of_a_model_is_the_runs_where_it_created_the_document(migration, legacy):
    """The same broken rule in a document of before, and in one that a run made of a user."""
    legacy["user"].insert_one({"_id": SOMEBODY, "email": "x@exemple.fr", "company": {"siret": "1"}})
    legacy["Users"].update_one({"_id": USERS[0]}, {"$set": {"company.siret": "2"}})
    legacy["clients"].insert_one({"createdBy": USERS[0], "siret": "3"})
    await migration.apply()
    report = await migration.validate(only=["field.siret"])

    assert {("user", Origin.RUN), ("user", Origin.BEFORE), ("clients", Origin.BEFORE)} == {
        (r.collection, r.origin) for r in report.results
    }
    assert [1, 1, 1] == [r.count for r in report.results]


async def test_two_of_one_owner_shared_their_key_before(migration, legacy):
    """Two invoices of one number were there; two that share one since a merge were not."""
    legacy["invoices"].insert_many([{**i, "number": "77"} for i in invoices(USERS[0], 2)])
    legacy["user"].insert_one(
        {"_id": SOMEBODY, "email": "jeanne2@exemple.fr", "emailVerified": True}
    )
    legacy["Users"].insert_one(legacy_user(2))
    legacy["invoices"].insert_many(
        [{**invoice, "number": "88"} for o in (USERS[2], SOMEBODY) for invoice in invoices(o, 1)]
    )
    await migration.apply()
    report = await migration.validate(only=["key.*"])

    rule = ("key.unique", "invoices")
    assert {rule: 1} == found(report, Origin.BEFORE) == found(report, Origin.RUN)


@pytest.mark.parametrize("number", [2, 3, 7])
async def test_documents_of_before_shared_a_key_before_however_many_they_are(
    migration, legacy, number
):
    """Every one of them is asked about, not the first and the last."""
    nameless = [{"_id": ObjectId(), "name": "Firme"} for _ in range(number)]
    legacy["organization"].insert_many(nameless)
    await migration.apply()
    before = await migration.validate(only=["key.*"])
    # The run wrote this one, which is neither the first nor the last of them.
    ends = [ObjectId("0" * 24), ObjectId("f" * 24)]
    legacy["organization"].insert_many([{**nameless[0], "_id": end} for end in ends])
    legacy["organization"].update_one({"_id": HOME}, {"$unset": {"slug": ""}})
    since = await migration.validate(only=["key.*"])

    assert {("key.unique", "organization"): 1} == found(before) == found(before, Origin.BEFORE)
    assert {("key.unique", "organization"): 1} == found(since) == found(since, Origin.RUN)


@pytest.mark.parametrize(
    ("name", "field", "holds", "later"),
    [
        ("invoices", "createdBy", str, None),
        ("integrations", "userId", str, None),
        ("referralevents", "referrerId", lambda user: {"$oid": str(user)}, 7),
        ("accessgrants", "buyerId", ObjectId, 7),
    ],
)
async def test_a_run_that_rewrites_an_id_keeps_the_type_it_had_before(
    uri, sync_database, name, field, holds, later
):
    """A type that is wrong was there before; one that somebody changed since is the run's."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["user"].insert_one(
        {"_id": SOMEBODY, "email": "jeanne0@exemple.fr", "emailVerified": True}
    )
    sync_database[name].insert_one({"_id": ELSEWHERE, field: holds(USERS[0])})
    async with Migration(uri) as migration:
        await migration.apply()
        stored = sync_database[name].find_one({"_id": ELSEWHERE})
        before = await migration.validate(only=TYPES)
        sync_database[name].update_one({"_id": ELSEWHERE}, {"$set": {field: later}})
        since = await migration.validate(only=TYPES)

    assert holds(SOMEBODY) == stored[field]
    assert [(field, Origin.BEFORE)] == types(before, name, field)
    assert [(field, Origin.RUN)] == types(since, name, field)


# -- what came with the run, or has gone since --------------------------------------------------


@pytest.mark.parametrize("workspace", [OTHER, ELSEWHERE, None, str(HOME)])
async def test_a_workspace_that_somebody_changed_since_fails(migration, legacy, workspace):
    """The run wrote the workspace of the document, so whatever is wrong with it counts."""
    await migration.apply()
    one = legacy["invoices"].find_one({"createdBy": USERS[0]})["_id"]
    legacy["invoices"].update_one({"_id": one}, {"$set": {"workspaceId": workspace}})
    report = await migration.validate(only=["document.*"])

    (violation,) = [f for f in report.violations if f.origin is Origin.RUN]
    assert one == violation.id
    assert {("document.owner-type", "invoices"): 4} == found(report, Origin.BEFORE)
    assert ExitCode.VALIDATION_FAILED is report.exit_code


async def test_damage_does_not_hide_behind_what_was_quarantined(migration, legacy):
    """One quarantined document was settled and another one harmed: the number is the same."""
    legacy["invoices"].insert_many(numbered(SOMEBODY, "q"))
    await migration.apply()
    clean = await migration.validate(only=["document.*", "run.*"])
    legacy["invoices"].update_one(
        {"number": "q0"}, {"$set": {"createdBy": USERS[0], "workspaceId": HOME}}
    )
    harmed = legacy["invoices"].find_one({"createdBy": USERS[0], "number": {"$ne": "q0"}})["_id"]
    legacy["invoices"].update_one({"_id": harmed}, {"$unset": {"workspaceId": ""}})
    report = await migration.validate(only=["document.*", "run.*"])

    assert (1, ExitCode.DONE) == (clean.quarantined, clean.exit_code)
    assert {("document.workspace-present", "invoices"): 1} == found(report, Origin.RUN)
    assert [harmed] == [f.id for f in report.violations if f.origin is Origin.RUN]


async def test_the_journal_is_read_once_however_much_is_broken(migration, legacy, monkeypatch):
    """Each entry is read once for all documents of a window, not once for each of their groups."""
    await migration.apply()
    legacy["invoices"].update_many({}, [{"$set": {"workspaceId": {"$toString": "$_id"}}}])
    read, some = [], JournalReader.some

    def noted(reader, seqs):
        read.extend(seqs)
        return some(reader, seqs)

    monkeypatch.setattr(JournalReader, "some", noted)
    report = await migration.validate(only=["document.workspace-*"])

    assert {12} == {sum(found(report, Origin.RUN).values())}
    assert len(set(read)) == len(read) > 1


async def test_a_foreign_workspace_of_before_stays_quarantined(migration, legacy):
    """It was there before and recorded; the same in a document that the run stamped fails."""
    legacy["organization"].insert_one({"_id": ELSEWHERE, "slug": "elsewhere", "name": "Ailleurs"})
    legacy["member"].insert_one({"organizationId": ELSEWHERE, "userId": SOMEBODY, "role": "owner"})
    legacy["user"].insert_one({"_id": SOMEBODY, "email": "x@exemple.fr"})
    legacy["invoices"].insert_one(
        {**invoices(USERS[0], 1, workspaceId=ELSEWHERE)[0], "number": "f"}
    )
    await migration.apply()
    before = await migration.validate(only=["document.*", "run.*"])
    legacy["invoices"].update_one(
        {"createdBy": USERS[0], "workspaceId": HOME}, {"$set": {"workspaceId": ELSEWHERE}}
    )
    after = await migration.validate(only=["document.*", "run.*"])

    assert (1, {}) == (before.quarantined, found(before, Origin.RUN))
    assert {("document.owner-belongs", "invoices"): 1} == found(after, Origin.RUN)
    assert (1, ExitCode.VALIDATION_FAILED) == (after.quarantined, after.exit_code)


async def test_a_document_that_a_run_left_out_for_its_parent_breaks_no_rule(uri, legacy):
    """Its board got another workspace than it had; the same in one that the run wrote fails."""
    legacy["boards"].insert_one({"_id": ELSEWHERE, "userId": USERS[0]})
    task = {"userId": USERS[1], "boardId": ELSEWHERE}
    legacy["tasks"].insert_many([{**task, "workspaceId": OTHER}, {**task, "_id": SOMEBODY}])
    async with Migration(uri) as migration:
        result = await migration.apply()
        recorded = await migration.validate(only=["document.*", "run.*"])
        legacy["tasks"].update_one({"_id": SOMEBODY}, {"$set": {"workspaceId": OTHER}})
        harmed = await migration.validate(only=["document.*", "run.*"])

    left_out = {"tasks": {Reason.PARENT_ELSEWHERE: 1}}
    assert {("tasks", Reason.PARENT_ELSEWHERE): 1} == result.quarantine.counts()
    assert (left_out, {}) == (recorded.quarantine, found(recorded, Origin.RUN))
    assert (left_out, {("document.parent-workspace", "tasks"): 1}) == (
        harmed.quarantine,
        found(harmed, Origin.RUN),
    )


async def test_what_came_since_is_not_migrated_yet_and_nobodys_fault(migration, legacy):
    """Users and documents that no run has met ask for another one, and not for a rollback."""
    await migration.apply()
    legacy["Users"].insert_one(legacy_user(7))
    legacy["invoices"].insert_many(numbered(USERS[0], "late"))
    legacy["invoices"].insert_many(numbered(SOMEBODY, "later"))
    late = await migration.validate()
    await migration.apply()
    after = await migration.validate()

    came = {
        ("legacy-user.accounted-for", "Users"): 1,
        ("document.workspace-present", "invoices"): 2,
    }
    assert (came, {}) == (found(late, Origin.PENDING), found(late, Origin.RUN))
    assert (True, True, 0, 3) == (late.is_clean, late.failed, late.critical, late.pending)
    assert (ExitCode.PENDING, ExitCode.DONE) == (late.exit_code, after.exit_code)


async def test_what_a_run_made_and_somebody_deleted_is_not_taken_for_late(migration, legacy):
    """A migrated user without their account, and one who is gone, fail beside what came since."""
    legacy["user"].insert_one({"_id": SOMEBODY, "email": "a@exemple.fr", "emailVerified": True})
    legacy["Users"].insert_one(legacy_user(2, email="A@exemple.fr"))
    await migration.apply()
    legacy["account"].delete_one({"userId": USERS[0]})
    legacy["user"].delete_one({"_id": USERS[1]})
    legacy["user"].delete_one({"_id": SOMEBODY})
    legacy["Users"].insert_one(legacy_user(7))
    report = await migration.validate(only=["legacy-user.*"])

    accounted = "legacy-user.accounted-for", "Users"
    assert {accounted: 1} == found(report, Origin.PENDING)
    gone = {("legacy-user.one-credential", "Users"): 1, accounted: 2}
    assert gone == found(report, Origin.RUN)
    assert ExitCode.VALIDATION_FAILED is report.exit_code


STAMPS = ("document.workspace-present", "invoices")


@pytest.mark.parametrize(
    ("part", "lacking"),
    [
        (RollbackOptions(collections=("invoices",)), {STAMPS: 12}),
        (
            RollbackOptions(users=(USERS[0],)),
            {STAMPS: 6, ("legacy-user.accounted-for", "Users"): 1},
        ),
    ],
)
async def test_a_part_that_was_taken_back_is_not_migrated_yet(migration, legacy, part, lacking):
    """It was asked for, and another migration brings it again."""
    await migration.apply()
    await migration.rollback(options=part)
    taken_back = await migration.validate(only=["document.*", "legacy-user.*"])
    await migration.apply()
    again = await migration.validate(only=["document.*", "legacy-user.*"])

    assert (lacking, {}) == (found(taken_back, Origin.PENDING), found(taken_back, Origin.RUN))
    assert (ExitCode.PENDING, ExitCode.DONE) == (taken_back.exit_code, again.exit_code)


async def test_without_a_journal_every_doubt_counts(migration, legacy):
    """What a run wrote cannot be told any more: what was perhaps there before fails too."""
    await migration.apply()
    legacy["newbi_migrate_journal"].delete_one({"kind": "window"})
    report = await migration.validate()

    assert {("document.owner-type", "invoices"): 4} == found(report, Origin.UNKNOWN)
    assert ExitCode.VALIDATION_FAILED is report.exit_code
    assert any("cannot be told" in note for note in report.notes)


async def test_without_a_migration_nothing_is_known(migration, legacy):
    """Before any run, and after its rollback, nobody knows what a migration would have caused."""
    before = await migration.validate(only=["document.*"])
    await migration.apply()
    await migration.rollback()
    after = await migration.validate(only=["document.*"])

    assert {("document.workspace-present", "invoices"): 12} == found(before, Origin.UNKNOWN)
    assert found(before) == found(after) == found(after, Origin.UNKNOWN)
    assert before.exit_code is after.exit_code is ExitCode.VALIDATION_FAILED


async def test_the_journals_tell_document_by_document(migration, legacy, database):
    """Of ids of any type, in whatever order and portions they were written."""
    wanted = [ELSEWHERE, "text", 7, 7.5, {"a": 1, "b": "x"}, b"bytes"]
    legacy["clients"].insert_many([{"_id": i, "createdBy": USERS[0]} for i in wanted])
    legacy["clients"].insert_many([{"_id": n, "createdBy": SOMEBODY} for n in (8, "other", "z")])
    await migration.apply()
    origins = Origins(database, await read_runs(database))
    told = {
        str(i): await origins.of(Read("clients", i, "workspaceId"))
        for i in (*wanted, 7.0, 8, "other", "z", ObjectId())
    }

    run = {str(i) for i in (*wanted, 7.0)}
    assert {i: Origin.RUN if i in run else Origin.BEFORE for i in told} == told
    assert Origin.BEFORE is await origins.of(Read("clients", "text", "createdBy"))
    assert Origin.RUN is await origins.of(Read("user", USERS[0], "anything"))


async def test_what_a_restore_put_in_place_is_late_and_nothing_that_the_migration_broke(
    migration, legacy, database, tmp_path
):
    """Its documents and indexes are those of the backup; a backfill gives them what they lack."""
    made = await migration.backup(tmp_path)
    await migration.apply()
    await restore_backup(made.path, database, drop=True, only=["invoices"])
    report = await migration.validate(only=[*STRUCTURAL])
    with pytest.raises(UsageError, match="not migrated"):
        await migration.finalize(keep=True, dry_run=True)
    await migration.backfill()
    again = await migration.validate(only=[*STRUCTURAL])

    assert 12 == found(report, Origin.PENDING)["document.workspace-present", "invoices"]
    assert {} == found(report, Origin.RUN)
    assert (ExitCode.PENDING, ExitCode.DONE) == (report.exit_code, again.exit_code)


# -- what follows from it ----------------------------------------------------------------------


async def test_the_cure_of_an_owner_trips_neither_proof_nor_rollback(migration, legacy):
    """Storing the same id as an ObjectId is what is asked for, and no change of content."""
    before = fingerprint(legacy, run_records=False)
    await migration.apply()
    for invoice in legacy["invoices"].find({"createdBy": {"$type": "string"}}):
        legacy["invoices"].update_one(
            {"_id": invoice["_id"]}, {"$set": {"createdBy": ObjectId(invoice["createdBy"])}}
        )
    report = await migration.validate(unchanged=True)
    result = await migration.rollback()
    for invoice in legacy["invoices"].find({"createdBy": USERS[1]}).limit(4):
        legacy["invoices"].update_one(
            {"_id": invoice["_id"]}, {"$set": {"createdBy": str(USERS[1])}}
        )

    assert {} == found(report, Origin.RUN)
    assert report.unchanged is not None
    assert Proof.PROVEN is report.unchanged.proof
    assert (False, 0) == (result.refused, len(result.conflicts))
    assert [] == changes(before, fingerprint(legacy, run_records=False))


async def test_another_owner_is_no_cure(migration, legacy):
    """An ObjectId of somebody else in the place of the text is a change, and is named as one."""
    await migration.apply()
    legacy["invoices"].update_one(
        {"createdBy": {"$type": "string"}}, {"$set": {"createdBy": USERS[0]}}
    )
    report = await migration.validate(unchanged=True)

    assert report.unchanged is not None
    assert (Proof.CHANGED, ("invoices",)) == (report.unchanged.proof, report.unchanged.differing)
    assert ExitCode.VALIDATION_FAILED is report.exit_code


async def test_finalize_lists_what_was_there_before_and_goes_on(migration, legacy):
    """Dirt of before holds nothing back and is told with its cure; damage of since does."""
    await migration.apply()
    result = await migration.finalize(dry_run=True)
    legacy["invoices"].update_one({"createdBy": USERS[0]}, {"$set": {"workspaceId": OTHER}})
    with pytest.raises(ValidationFailedError, match="caused by the migration"):
        await migration.finalize(dry_run=True)

    owners = [found for found in result.there_before if found.rule == "document.owner-type"]
    assert [("invoices", 4)] == [(one.collection, one.count) for one in owners]
    assert "Store the same id" in owners[0].next_step


async def test_finalize_waits_for_quarantined_documents(migration, legacy):
    """Whose they are only the legacy users may tell, so these are not dropped unasked."""
    legacy["invoices"].insert_many(numbered(SOMEBODY, "q"))
    await migration.apply()
    with pytest.raises(UsageError, match=r"Quarantined documents .*: 1\."):
        await migration.finalize()
    kept = await migration.finalize(keep=True)

    assert "Users_before_migration" == kept.kept_as


async def test_the_end_of_a_migration_is_noted_also_where_an_empty_collection_was_made_anew(
    migration, legacy
):
    """The application makes its models' collections at its start; nobody is in it."""
    await migration.apply()
    await migration.finalize(keep=True)
    legacy.create_collection("Users")
    await migration.finalize()
    report = await migration.validate()

    assert "The legacy users are not there" in " ".join(report.notes)
    assert "Users" not in report.documents


async def test_a_backfill_says_of_documents_what_the_migration_said_of_their_owner(uri, legacy):
    """Who is quarantined stays so: no migration and no membership of theirs is missing."""
    async with Migration(uri) as whole:
        twins = [legacy_user(n, email="meme@exemple.fr", emailVerified=False) for n in (2, 3)]
        legacy["Users"].insert_many(twins)
        legacy["invoices"].insert_many(numbered(twins[1]["_id"], "C", 2))
        result = await whole.apply()
        looked = await whole.plan(documents_only=True)

    assert {Reason.OWNER_QUARANTINED} == {
        reason for (name, reason), _ in result.quarantine.counts().items() if name == "invoices"
    }
    assert (
        result.quarantine.counts()["invoices", Reason.OWNER_QUARANTINED]
        == (looked.quarantine.counts()["invoices", Reason.OWNER_QUARANTINED])
    )
