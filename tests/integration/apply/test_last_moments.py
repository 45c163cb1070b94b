"""What the application does in the last moment before a run, or the end of one, is not lost."""

from __future__ import annotations

import io

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from interrupting import When
from losing import losing_the_answer_to
from rich.console import Console
from small_legacy import DAY, USERS, invoices, legacy_user

from newbi_migrate.answers import answer
from newbi_migrate.errors import DatabaseMovedOnError, ExitCode
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import member_id
from newbi_migrate.migration.apply import users
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.finalize.legacy_users import LegacyUsers
from newbi_migrate.migration.planning.documents import DocumentPlane
from newbi_migrate.migration.rollback.results import ConflictKind
from newbi_migrate.progress import NullProgress
from newbi_migrate.report.console import console_report
from newbi_migrate.report.migration import result_document
from newbi_migrate.store.runs import RunWriter

LATE = ObjectId("65b000000000000000000009")


def holds(database):
    return fingerprint(database, run_records=False)


@pytest.fixture
def legacy(sync_database):
    """Two users with two invoices each, and an index of the old structure."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 2))
    sync_database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    return sync_database


async def run(uri, command, **options):
    async with Migration(uri, **options) as migration:
        return await command(migration)


class Emptying(NullProgress):
    """Empties the workspace of an invoice once all are stamped, before they are read again."""

    def __init__(self, database):
        self._invoices = database["invoices"]
        self.emptied = self._invoices.find_one({"createdBy": USERS[0]})["_id"]

    def phase(self, name, total):
        if name == "rescan":
            self._invoices.update_one({"_id": self.emptied}, {"$set": {"workspaceId": None}})


async def test_a_document_changed_between_two_windows_stops_the_rollback_before_it_writes(
    uri, legacy
):
    """The dry run names it, and the real one writes nothing."""
    emptying = Emptying(legacy)
    await run(uri, Migration.apply, progress=emptying)
    stood = holds(legacy)
    looked = await run(uri, lambda migration: migration.rollback(dry_run=True))
    back = await run(uri, Migration.rollback)
    conflict = (ConflictKind.CHANGED, "invoices", emptying.emptied, "workspaceId")

    assert [conflict] == [(c.kind, c.collection, c.id, c.path) for c in looked.conflicts]
    assert [conflict] == [(c.kind, c.collection, c.id, c.path) for c in back.conflicts]
    assert ExitCode.ROLLBACK_CONFLICTS == looked.exit_code == back.exit_code
    assert back.refused
    assert [] == changes(stood, holds(legacy))


def census_after_one_more(database):
    """A census of invoices that finds one more each time."""
    census = DocumentPlane.census

    async def census_after(self, spec):
        if spec.name == "invoices":
            database["invoices"].insert_one({"createdBy": USERS[0], "number": str(ObjectId())})
        return await census(self, spec)

    return census_after


async def test_a_run_that_documents_keep_coming_in_on_says_how_many_are_pending(
    uri, legacy, monkeypatch
):
    """It ends with 3, in its result and in what people read; the same command finishes it."""
    with monkeypatch.context() as patch:
        patch.setattr(DocumentPlane, "census", census_after_one_more(legacy))
        result = await run(uri, Migration.apply)
    console = Console(file=io.StringIO(), width=200)
    for part in console_report(result_document(result, command="migrate")):
        console.print(part)
    (recorded,) = legacy["newbi_migrate_runs"].find()
    again = await run(uri, Migration.apply)
    found = result.collections["invoices"]

    assert ({"invoices": 1}, ExitCode.PENDING) == (result.pending, result.exit_code)
    assert (7, 7, 7, 0) == (found.documents, found.stamped, found.pending, found.kept)
    assert "Still pending: 1 document of invoices" in console.file.getvalue()
    assert ([{"collection": "invoices", "documents": 1}], 3) == (
        recorded["pending"],
        recorded["exitCode"],
    )
    assert ({}, ExitCode.DONE) == (again.pending, again.exit_code)
    assert 0 == legacy["invoices"].count_documents({"workspaceId": None})


@pytest.mark.parametrize("late", [False, True], ids=["older", "newer"])
async def test_a_conflict_in_either_of_two_runs_keeps_both(uri, legacy, late):
    """All are looked at first; not even the run without a conflict is taken back."""
    await run(uri, Migration.apply)
    legacy["invoices"].insert_one({"_id": LATE, "createdBy": USERS[0], "number": "late"})
    await run(uri, Migration.backfill)
    chosen = {"_id": LATE if late else {"$ne": LATE}}
    legacy["invoices"].update_one(chosen, {"$set": {"workspaceId": ObjectId()}})
    stood = fingerprint(legacy)
    back = await run(uri, Migration.rollback_all)
    lease = {"newbi_migrate_lease": stood["newbi_migrate_lease"]}

    assert [late, not late] == [bool(result.conflicts) for result in back]
    assert ExitCode.ROLLBACK_CONFLICTS == max(result.exit_code for result in back)
    assert [] == changes(stood, fingerprint(legacy) | lease)


@pytest.mark.slow
async def test_the_preview_of_taking_all_runs_back_is_what_then_happens(uri, legacy):
    """A migration, a backfill, indexes, and a migration that fills what the first one created."""
    before = holds(legacy)
    await run(uri, Migration.apply)
    legacy["invoices"].insert_one({"_id": LATE, "createdBy": USERS[0], "number": "late"})
    await run(uri, Migration.backfill)
    await run(uri, lambda migration: migration.indexes(apply=True))
    # Somebody's legacy user is made anew under the same address, and says more about them.
    legacy["Users"].delete_one({"_id": USERS[1]})
    anew = legacy_user(1) | {"_id": LATE, "avatar": "https://exemple.fr/a.png"}
    anew["profile"] = {**anew["profile"], "phone": "+33123456789"}
    legacy["Users"].insert_one(anew)
    legacy["invoices"].insert_many(invoices(LATE, 2))
    last = await run(uri, Migration.apply)
    looked = await run(uri, lambda migration: migration.rollback_all(dry_run=True))
    back = await run(uri, Migration.rollback_all)
    leave_out = {"timings", "dryRun"}

    assert last.filled
    assert 4 == len(looked)
    for foretold, done in zip(looked, back, strict=True):
        assert {k: v for k, v in answer(foretold).items() if k not in leave_out} == {
            k: v for k, v in answer(done).items() if k not in leave_out
        }
    assert before.keys() == holds(legacy).keys()


async def test_who_signs_up_while_finalize_drops_the_legacy_users_is_not_lost(
    uri, legacy, monkeypatch
):
    """It ends with 3 and gives the collection its name back; migrated, they can go with it."""
    await run(uri, Migration.apply)
    rename = LegacyUsers._rename

    async def rename_after_a_sign_up(self, now, then):
        legacy[now].insert_one(legacy_user(2))
        await rename(self, now, then)

    with monkeypatch.context() as patch:
        patch.setattr(LegacyUsers, "_rename", rename_after_a_sign_up)
        with pytest.raises(DatabaseMovedOnError) as refused:
            await run(uri, Migration.finalize)
    left = legacy["Users"].distinct("_id")
    await run(uri, Migration.apply)
    result = await run(uri, Migration.finalize)

    assert ExitCode.PENDING == refused.value.exit_code
    assert USERS[:3] == left
    assert (ExitCode.DONE, 3) == (result.exit_code, result.legacy_users)
    assert "Users" not in legacy.list_collection_names()
    assert set(USERS[:3]) == set(legacy["user"].distinct("_id"))


# -- what goes while a run is under way ---------------------------------------------------------


@pytest.mark.parametrize("phase", ["plan users", "users"])
async def test_somebody_who_leaves_before_their_turn_gives_nobody_a_workspace(uri, legacy, phase):
    """The run ends with 3, and the same command goes on without them, and counts them no more."""
    leave = When(phase, lambda: legacy["Users"].delete_one({"_id": USERS[1]}))
    with pytest.raises(DatabaseMovedOnError, match="deleted from Users") as told:
        await run(uri, Migration.apply, progress=leave)
    stamped = legacy["invoices"].count_documents({"workspaceId": {"$ne": None}})
    done = await run(uri, Migration.apply)
    report = await run(uri, Migration.validate)

    assert (ExitCode.PENDING, 0) == (told.value.exit_code, stamped)
    assert (phase == "users", ExitCode.QUARANTINED) == (done.resumed, done.exit_code)
    assert {Outcome.CREATED: 1} == {o: n for o, n in done.outcomes.items() if n}
    assert [USERS[0]] == legacy["newbi_migrate_users"].distinct("_id.legacy")
    workspaces = legacy["invoices"].distinct("workspaceId", {"workspaceId": {"$ne": None}})
    assert legacy["organization"].distinct("_id") == workspaces
    assert ExitCode.DONE == report.exit_code


@pytest.mark.parametrize("known", ["present", "an alias"])
async def test_who_leaves_before_their_turn_is_counted_no_more_though_they_have_a_user(
    uri, legacy, known
):
    """Nothing was written for them, and no validation asks for what the run did not do."""
    own = USERS[1] if known == "present" else ObjectId()
    address = {"email": legacy_user(1)["email"], "emailVerified": True}
    legacy["user"].insert_one({"_id": own, "name": "Jeanne", **address})
    leave = When("users", lambda: legacy["Users"].delete_one({"_id": USERS[1]}))
    with pytest.raises(DatabaseMovedOnError, match="deleted from Users"):
        await run(uri, Migration.apply, progress=leave)
    done = await run(uri, Migration.apply)
    report = await run(uri, Migration.validate)

    assert {Outcome.CREATED: 1} == {o: n for o, n in done.outcomes.items() if n}
    assert [USERS[0]] == legacy["newbi_migrate_users"].distinct("_id.legacy")
    assert 0 == report.pending


async def test_who_leaves_after_their_turn_is_counted_and_stays_who_they_became(
    uri, legacy, monkeypatch
):
    """Their account was written before, and their line is what says whose it is."""
    other = ObjectId()
    address = {"email": legacy_user(1)["email"], "emailVerified": True}
    legacy["user"].insert_one({"_id": other, "name": "Jeanne", **address})

    def leave_and_stop():
        legacy["Users"].delete_one({"_id": USERS[1]})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await run(uri, Migration.apply, progress=When("documents", leave_and_stop))
    done = await run(uri, Migration.apply)

    assert {Outcome.CREATED: 1, Outcome.ALIASED: 1} == {
        outcome: number for outcome, number in done.outcomes.items() if number
    }


@pytest.mark.parametrize("gone", ["user", "organization"])
async def test_what_a_legacy_user_was_to_become_or_to_have_and_is_deleted_gives_no_workspace(
    uri, legacy, gone
):
    """The run ends with 3, and the same command decides anew about them."""
    home, person = ObjectId(), ObjectId()
    address = {"email": legacy_user(1)["email"], "emailVerified": True}
    legacy["user"].insert_one({"_id": person, "name": "Jeanne", **address})
    legacy["organization"].insert_one({"_id": home, "name": "Atelier", "slug": "atelier"})
    legacy["member"].insert_one({"organizationId": home, "userId": person, "role": "owner"})
    delete = When("users", lambda: legacy[gone].delete_one({"_id": {"$in": [home, person]}}))
    with pytest.raises(DatabaseMovedOnError, match=f"their {gone} .* was deleted"):
        await run(uri, Migration.apply, progress=delete)
    stamped = legacy["invoices"].count_documents({"workspaceId": {"$ne": None}})
    done = await run(uri, Migration.apply)

    assert (0, 4) == (stamped, done.collections["invoices"].stamped)
    workspaces = set(legacy["invoices"].distinct("workspaceId"))
    assert workspaces <= set(legacy["organization"].distinct("_id"))


# -- what comes while a run is under way --------------------------------------------------------


async def test_what_comes_during_the_run_and_is_quarantined_is_counted_with_its_collection(
    uri, legacy
):
    """Neither status nor validate asks for a backfill, which would only quarantine it again."""
    orphan = {"createdBy": LATE, "number": "zzz"}
    come = When("rescan", lambda: legacy["invoices"].insert_one(orphan))
    result = await run(uri, Migration.apply, progress=come)
    status = await run(uri, Migration.status)
    report = await run(uri, Migration.validate)
    found = result.collections["invoices"]

    assert 1 == len(result.quarantine.of("invoices"))
    assert (5, 4, 0, 1) == (found.documents, found.pending, found.kept, found.quarantined)
    assert 1 == status.quarantined["invoices"]
    assert status.without_workspace == status.quarantined
    assert (0, ExitCode.DONE) == (report.pending, report.exit_code)


async def test_what_comes_during_the_run_and_is_refused_is_counted_with_its_collection(uri, legacy):
    """A number that is taken in its workspace comes a second time."""
    stamped = {"workspaceId": {"$exists": True}}
    legacy["invoices"].create_index(
        [("workspaceId", 1), ("number", 1)], unique=True, partialFilterExpression=stamped
    )
    legacy["invoices"].drop_index("number_1_createdBy_1")
    come = When("rescan", lambda: legacy["invoices"].insert_many(invoices(USERS[0], 1)))
    result = await run(uri, Migration.apply, progress=come)
    status = await run(uri, Migration.status)
    found = result.collections["invoices"]

    assert 1 == len(result.quarantine.of("invoices"))
    assert (5, 4, 0, 1) == (found.documents, found.pending, found.kept, found.quarantined)
    assert 1 == status.quarantined["invoices"]
    assert status.without_workspace == status.quarantined


# -- the answer to the last write ---------------------------------------------------------------


@pytest.fixture
def one_refused(legacy):
    """The server refuses the second user: somebody has their name, and names are unique."""
    legacy["user"].insert_one({"_id": LATE, "name": "Jeanne Dupont-1", "email": "j@x.fr"})
    legacy["user"].create_index("name", unique=True)
    return legacy


async def test_a_run_whose_last_answer_is_lost_ends_as_it_was_recorded(
    uri, one_refused, monkeypatch
):
    """Also where the server refused what no plan foresees."""
    losing_the_answer_to(monkeypatch, RunWriter, "finish")
    result = await run(uri, Migration.apply)
    (recorded,) = one_refused["newbi_migrate_runs"].find()
    found = result.collections["invoices"]

    assert recorded["_id"] == result.run_id
    assert ExitCode.QUARANTINED == recorded["exitCode"] == result.exit_code
    assert {"user": 1, "account": 1, "organization": 1, "member": 1} == dict(result.created)
    assert recorded["created"] == dict(result.created)
    assert 2 == recorded["collections"]["invoices"]["stamped"] == found.stamped


async def test_documents_that_are_pending_are_told_of_though_the_last_answer_is_lost(
    uri, legacy, monkeypatch
):
    """It ends with 3, as its record says."""
    monkeypatch.setattr(DocumentPlane, "census", census_after_one_more(legacy))
    losing_the_answer_to(monkeypatch, RunWriter, "finish")
    result = await run(uri, Migration.apply)
    (recorded,) = legacy["newbi_migrate_runs"].find()

    assert ExitCode.PENDING == recorded["exitCode"] == result.exit_code
    assert {"invoices": 1} == result.pending


# -- a batch of users that the server refuses, without transactions -----------------------------


async def test_what_somebody_changed_of_a_refused_batch_stays_in_the_journal(
    uri, one_refused, monkeypatch
):
    """It was created and cannot be taken back: a rollback names it."""
    real = users.take_back

    async def take_back_after_a_change(session, writes):
        one_refused["user"].update_one({"_id": USERS[0]}, {"$set": {"lastSeen": DAY}})
        await real(session, writes)

    with monkeypatch.context() as patch:
        patch.setattr(users, "take_back", take_back_after_a_change)
        await run(uri, Migration.apply)
    left = one_refused["user"].distinct("_id")
    (back,) = await run(uri, Migration.rollback_all)

    assert [USERS[0], LATE] == left
    assert {("user", USERS[0], "lastSeen")} == {
        (c.collection, c.id, c.path) for c in back.conflicts
    }
    assert ExitCode.ROLLBACK_CONFLICTS == back.exit_code


async def test_what_was_there_before_is_nothing_that_a_refused_batch_created(uri, legacy):
    """A membership has the id of the one that is to be created; it is somebody else's."""
    elsewhere = {"organizationId": ObjectId(), "userId": ObjectId(), "role": "member"}
    legacy["member"].insert_one({"_id": member_id(USERS[0]), **elsewhere})
    before = holds(legacy)
    result = await run(uri, Migration.apply)
    (back,) = await run(uri, Migration.rollback_all)

    assert ExitCode.QUARANTINED == result.exit_code
    assert ([], ExitCode.DONE) == (list(back.conflicts), back.exit_code)
    assert [] == changes(before, holds(legacy))
