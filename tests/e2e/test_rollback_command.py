"""`rollback` and `unlock`: what they answer, write, and end with."""

from __future__ import annotations

import asyncio

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from fingerprints import changes, fingerprint
from pymongo import AsyncMongoClient
from small_legacy import USERS

from newbi_migrate import ExitCode
from newbi_migrate.store.lease import Holder, Lease


def held(database):
    return fingerprint(database, run_records=False)


@pytest.fixture
def migrated(quick, clean):
    """What was there before three users and their fifteen invoices were migrated."""
    before = held(clean)
    assert ExitCode.DONE == quick("migrate", "--confirm").code
    return before


def test_a_rollback_gives_back_every_byte_and_says_so(newbi, migrated, clean):
    """`rollback --confirm` ends with 0 and tells what it restored, deleted and dropped."""
    answer = newbi("rollback", "--confirm")

    assert (ExitCode.DONE, []) == (answer.code, changes(migrated, held(clean)))
    assert "Documents: 15 restored in 1 collection" in answer.out
    assert "12 deleted" in answer.out
    assert answer.out.rstrip().endswith("Next: newbi-migrate plan")


def test_the_dry_run_names_the_command_that_carries_it_out(quick, migrated, clean):
    """It writes nothing, and its last line can be copied."""
    stood = held(clean)
    looked = quick("rollback", "--dry-run")
    named = looked.out.rstrip().rsplit("Next: newbi-migrate ", 1)[1].split()
    untouched = held(clean)
    done = quick(*named, "--confirm")

    assert [] == changes(stood, untouched)
    assert "to restore" in looked.out
    assert (ExitCode.DONE, []) == (done.code, changes(migrated, held(clean)))


def test_conflicts_end_with_8_and_nothing_written(quick, migrated, clean):
    """The report names the document, its field, and the choices there are."""
    found = clean["invoices"].find_one_and_update({}, {"$set": {"workspaceId": "elsewhere"}})
    stood = held(clean)
    answer = quick("rollback", "--confirm")
    as_json = quick("rollback", "--confirm", "--json").json

    assert ExitCode.ROLLBACK_CONFLICTS == answer.code == as_json["exitCode"]
    assert f"{found['_id']} workspaceId" in answer.out
    assert "--on-conflict keep" in answer.out
    assert [{"$oid": str(found["_id"])}] == [conflict["id"] for conflict in as_json["conflicts"]]
    assert [] == changes(stood, held(clean))


def test_what_is_in_use_stays_and_ends_with_3(quick, migrated, clean):
    """An organization with a document written since is listed with its user; it is no conflict."""
    workspace = clean["organization"].find_one({})["_id"]
    clean["quotes"].insert_one({"_id": ObjectId(), "workspaceId": workspace})
    answer = quick("rollback", "--confirm", "--json")

    assert ExitCode.PENDING == answer.code
    assert [{"quotes": 1}] == [kept["references"] for kept in answer.json["kept"]]
    assert [{"$oid": str(workspace)}] == [
        kept["documents"]["organization"] for kept in answer.json["kept"]
    ]


def test_what_is_no_longer_in_use_is_taken_back_by_the_same_run(quick, migrated, clean):
    """The report names the command; nothing is left of the run then."""
    workspace = clean["organization"].find_one({})["_id"]
    clean["quotes"].insert_one({"_id": ObjectId(), "workspaceId": workspace})
    looked = quick("rollback", "--dry-run")
    kept = quick("rollback", "--confirm")
    clean["quotes"].drop()
    again = " ".join(kept.out.split()).split("Once nothing refers to it, ")[1].split(" takes it")[0]
    back = quick(*again.split(), "--confirm")

    assert "Once nothing refers to it, the rollback takes it back too." in " ".join(
        looked.out.split()
    )
    assert [ExitCode.PENDING] * 2 == [looked.code, kept.code]
    assert (ExitCode.DONE, []) == (back.code, changes(migrated, held(clean)))


def test_all_takes_every_run_back(quick, migrated, clean):
    """The last one first, each with its own report."""
    clean["clients"].insert_one({"_id": ObjectId(), "createdBy": clean["Users"].find_one()["_id"]})
    quick("migrate", "--confirm")
    answer = quick("rollback", "--all", "--confirm", "--json")
    clean["clients"].drop()

    assert ExitCode.DONE == answer.code
    assert 1 == len(answer.json["before"])
    assert [] == changes(migrated, held(clean))


def test_collections_in_which_nothing_goes_back_are_not_counted(quick, clean):
    """Their documents are as they were before, so they stand among the others."""
    run = quick("migrate", "--confirm", "--json").json["runId"]
    quick("rollback", "--collections", "invoices", "--confirm")
    answer = quick("rollback", "--confirm", "--json", "--dry-run").json
    shown = quick("rollback", "--run", run, "--dry-run").out

    back = [name for name, one in answer["documents"].items() if one["restored"]]
    assert "invoices" in answer["documents"].keys() - back
    number = sum(answer["documents"][name]["restored"] for name in back)
    plural = "" if len(back) == 1 else "s"
    assert f"Documents: {number:,} to restore in {len(back)} collection{plural}." in shown


def test_all_names_whom_an_earlier_rollback_left(quick, migrated, clean):
    """Under a heading that says so; the command that takes them back is there."""
    workspace = clean["organization"].find_one({})["_id"]
    clean["quotes"].insert_one({"_id": ObjectId(), "workspaceId": workspace})
    run = quick("rollback", "--confirm", "--json").json["runId"]
    answer = quick("rollback", "--all", "--confirm")
    as_json = quick("rollback", "--all", "--dry-run", "--json")
    said = " ".join(answer.out.split())

    assert [ExitCode.PENDING] * 2 == [answer.code, as_json.code]
    assert 1 == said.count("No run is in place in the database")
    assert f"Left by the rollback of the migrate run {run}" in said
    assert f"Once nothing refers to it, rollback --run {run} takes it back too." in said
    assert [[True, 1]] == [[one["earlier"], len(one["kept"])] for one in as_json.json["before"]]


def test_a_conflict_of_one_run_holds_all_of_them_back_and_the_report_says_so(
    quick, migrated, clean, tmp_path
):
    """Nothing is written to any of the runs, and none is called rolled back."""
    changed = clean["invoices"].find_one_and_update({}, {"$set": {"workspaceId": "elsewhere"}})
    clean["clients"].insert_one({"_id": ObjectId(), "createdBy": clean["Users"].find_one()["_id"]})
    quick("migrate", "--confirm")
    stood = held(clean)
    log = tmp_path / "rollback.log"
    answer = quick("rollback", "--all", "--confirm", "--log-file", str(log))
    as_json = quick("rollback", "--all", "--confirm", "--json").json

    assert (ExitCode.ROLLBACK_CONFLICTS, []) == (answer.code, changes(stood, held(clean)))
    assert str(changed["_id"]) in answer.out
    assert "Rolled back" not in answer.out
    said = " ".join(answer.out.split())
    assert f"Rollback of 2 runs in the database {clean.name}: refused, nothing was written." in said
    assert 1 == said.count("nothing was written")
    assert "1 restored" not in answer.out
    assert "rolled back" not in log.read_text()
    assert [True, True] == [each["refused"] for each in (as_json, *as_json["before"])]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--run", "nonsense"), "is not the id of a run"),
        (("--run", "64b000000000000000000000"), "There is no run"),
        (("--all", "--users", "64b000000000000000000000"), "exclude each other"),
        (("--users", "64b000000000000000000099"), "No run migrated"),
        (("--collections", ","), "names nothing"),
        (("--collections", "nonsense"), "has no collection"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(quick, migrated, arguments, said):
    """In one sentence, with 2."""
    answer = quick("rollback", "--confirm", *arguments)

    assert ExitCode.USAGE == answer.code
    assert said in answer.err


def test_nothing_is_rolled_back_without_a_confirmation(quick, migrated, clean):
    """Without a terminal and without --confirm the command ends with 2."""
    stood = held(clean)
    answer = quick("rollback")

    assert (ExitCode.USAGE, []) == (answer.code, changes(stood, held(clean)))
    assert "--confirm" in answer.err


def test_status_offers_a_plan_once_everything_is_rolled_back(quick, migrated):
    """There is nothing to backfill in a database that is as it was."""
    quick("rollback", "--confirm")
    answer = quick("status")

    assert "rolled-back" in answer.out
    assert answer.out.rstrip().endswith("Next: newbi-migrate plan")


def test_status_says_of_which_run_a_part_was_taken_back(quick, migrated):
    """Its record is that of a run that is done."""
    user = str(USERS[0])
    before = quick("status")
    assert ExitCode.DONE == quick("rollback", "--users", user, "--confirm").code

    assert "partly-back" not in before.out
    assert "partly-back" in quick("status").out


@pytest.mark.slow
def test_unlock_ends_the_lease_of_a_dead_run(quick, clean, uri):
    """Another run need not wait; the command says whose lease it was."""
    run = ObjectId()

    async def die():
        async with AsyncMongoClient(uri) as client:
            database = client.get_default_database()
            await Lease.acquire(database, Holder(run, "elsewhere", 1, "migrate"), seconds=600)

    asyncio.run(die())
    held_up = quick("migrate", "--confirm")
    answer = quick("unlock", "--confirm", "--json")
    after = quick("migrate", "--confirm")

    assert (ExitCode.LEASE_HELD, ExitCode.DONE) == (held_up.code, answer.code)
    assert {"ended": str(run)} == answer.json
    assert ExitCode.DONE == after.code


def test_unlock_writes_nothing_where_nobody_holds_the_lease(quick, clean):
    """And needs no confirmation then."""
    stood = fingerprint(clean)
    answer = quick("unlock")

    assert ExitCode.DONE == answer.code
    assert "Nobody holds the lease." in answer.out
    assert [] == changes(stood, fingerprint(clean))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [{"expiresAt": "tomorrow"}, {"pid": "x"}, {"since": DatetimeMS(2**60)}],
    ids=str,
)
def test_a_lease_this_tool_did_not_write_is_told_by_every_command(quick, clean, damage):
    """With a sentence that names its document, and exit code 3; nothing is written."""
    quick("migrate", "--confirm")
    leases = clean["newbi_migrate_lease"]
    leases.update_one({}, {"$set": damage})
    stood = fingerprint(clean)
    told = "The document 'lease' in newbi_migrate_lease is not one that this tool wrote."
    answers = [quick("migrate", "--confirm"), quick("unlock", "--confirm")]
    looks = [quick("status", "--json"), quick("doctor", "--json")]

    assert [(ExitCode.PENDING, told)] * 2 == [
        (answer.code, answer.sentence[: len(told)]) for answer in answers
    ]
    assert [ExitCode.PENDING] * 2 == [look.code for look in looks]
    assert all(told in look.out for look in looks)
    assert [] == changes(stood, fingerprint(clean))
    leases.delete_many({})
    assert ExitCode.DONE == quick("migrate", "--confirm").code
