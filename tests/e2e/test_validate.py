"""``validate`` and ``status --watch`` as people call them."""

from __future__ import annotations

import json

import pytest
from small_legacy import USERS

from newbi_migrate.errors import ExitCode


@pytest.mark.slow
def test_validate_passes_after_a_migration(newbi, clean):
    """Before the migration it ends with 4, afterwards with 0, and both say what is next."""
    before = newbi("validate", "--only", "document.*,legacy-user.*")
    newbi("migrate", "--confirm")
    after = newbi("validate", "--only", "document.*,legacy-user.*")

    assert (4, 0) == (before.code, after.code)
    assert "15 document.workspace-present (invoices)" in before.out
    assert before.out.rstrip().endswith("Next: newbi-migrate plan")
    assert "Passed. Caused by the migration: 0; there before: 0." in after.out
    assert after.out.rstrip().endswith("Next: newbi-migrate validate")


def test_no_cure_before_a_migration_names_what_comes_after_one(quick, clean):
    """Backfill would quarantine everything, indexes and finalize refuse: migrate does it."""
    before = quick("validate", "--json").json["rules"]
    quick("migrate", "--confirm")
    quick("rollback", "--confirm")
    back = quick("validate", "--json").json["rules"]

    for rules in (before, back):
        cures = {rule["rule"]: rule["nextStep"] for rule in rules}

        assert {"document.workspace-present", "index.present"} <= cures.keys()
        assert not [cure for cure in cures.values() if "Run backfill" in cure]
        assert not [cure for cure in cures.values() if "Run indexes" in cure]
        assert "Run migrate" in cures["document.workspace-present"]
        assert "again" not in " ".join(cures.values())


def test_no_cure_of_an_unfinished_run_names_what_it_holds_back(quick, clean):
    """Whatever is missing is made by the command that finishes it."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_runs"].update_one({}, {"$set": {"state": "running"}})
    clean["invoices"].update_one({}, {"$unset": {"workspaceId": ""}})
    clean["invoices"].drop_index("workspaceId_1_createdAt_-1")
    rules = quick("validate", "--json", "--only", "document.*,run.*,index.*").json["rules"]
    cures = {rule["rule"]: rule["nextStep"] for rule in rules}
    origins = {rule["rule"]: rule["origin"] for rule in rules}

    assert "Run migrate" in cures["document.workspace-present"]
    assert {"pending"} == set(origins.values())
    assert {"document.workspace-present", "index.present", "run.finished"} == origins.keys()


def test_while_a_rollback_is_unfinished_no_cure_names_a_migration(quick, clean):
    """It would be refused: first the rollback is finished."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_runs"].update_one({}, {"$set": {"state": "rolling-back"}})
    clean["invoices"].update_one({}, {"$unset": {"workspaceId": ""}})
    clean["invoices"].drop_index("workspaceId_1_createdAt_-1")
    answer = quick("validate", "--json", "--only", "document.*,run.*,index.*")
    cures = {rule["nextStep"] for rule in answer.json["rules"]}

    assert ExitCode.PENDING == answer.code
    assert {"Finish it: status names the command."} == cures


def test_what_is_quarantined_beyond_the_record_is_counted_as_such(quick, dirty):
    """The summary does not call it the same as the run recorded."""
    quick("migrate", "--confirm")
    waiting = dirty["invoices"].find_one({"workspaceId": {"$exists": False}})
    dirty["invoices"].insert_one({"createdBy": waiting["createdBy"]})
    answer = quick("validate", "--only", "document.*,legacy-user.*,run.*")

    assert 3 == answer.code
    assert "run.quarantined-as-recorded" in answer.out
    assert "Quarantined: 8 users or documents, 1 more than the run recorded." in answer.out
    assert "the same" not in answer.out


def test_what_a_run_quarantined_fails_no_validation(quick, dirty):
    """Recorded, it is listed with its reason; the exit code of the migration told of it."""
    quick("migrate", "--confirm")
    answer = quick("validate", "--json", "--only", "document.*,legacy-user.*,run.*")
    found = answer.json

    assert (0, 0, True) == (answer.code, found["exitCode"], found["clean"])
    assert {"invoices": {"owner-quarantined": 5}, "Users": {"duplicate-email": 2}} == (
        found["quarantined"]
    )
    assert [] == found["violations"]


def test_every_finding_is_one_json_document_with_a_place(quick, clean):
    """With --detailed and --json the answer is one document that names every violation."""
    quick("migrate", "--confirm")
    clean["invoices"].drop_indexes()
    clean["invoices"].update_many({"createdBy": USERS[0]}, {"$unset": {"workspaceId": ""}})
    answer = quick("validate", "--detailed", "--json", "--only", "document.*")
    violations = answer.json["violations"]

    assert 4 == answer.code
    assert {str(d["_id"]) for d in clean["invoices"].find({"createdBy": USERS[0]})} == {
        violation["id"]["$oid"] for violation in violations
    }
    assert {("document.workspace-present", "critical", "run", "invoices", "workspaceId", "")} == {
        tuple(f[k] for k in ("rule", "severity", "origin", "collection", "path", "note"))
        for f in violations
    }
    assert {"critical": 5, "warning": 0, "info": 0} == answer.json["counts"]["run"]
    assert {"document.workspace-present": 5} == {
        rule["rule"]: rule["count"] for rule in answer.json["rules"]
    }


def test_every_finding_is_a_line_where_all_are_wanted(quick, clean):
    """With --detailed each violation is a line that a filter can find."""
    answer = quick("validate", "--detailed", "--only", "document.*")
    lines = [line for line in answer.out.splitlines() if line.startswith("critical document.")]

    assert 15 == len(lines)
    assert all(" invoices " in line and line.endswith(", found") for line in lines)


def test_no_value_is_shown(quick, clean):
    """Neither an e-mail nor a hash of a user who breaks a rule is in any output."""
    quick("migrate", "--confirm")
    clean["user"].update_one({"_id": USERS[0]}, {"$set": {"email": "Secrete@exemple.fr"}})
    clean["account"].update_many({}, {"$set": {"password": "motdepasse-en-clair"}})
    answers = [quick("validate", *extra) for extra in ([], ["--detailed"], ["--json"])]

    assert all(4 == answer.code for answer in answers)
    # Nothing tells who broke it, so that is said.
    assert "What somebody edited since, in documents that the run wrote" in answers[0].out
    for answer in answers:
        assert "secrete" not in (answer.out + answer.err).lower()
        assert "motdepasse" not in answer.out + answer.err


def test_what_changed_since_a_run_fails_where_the_proof_is_asked_for(quick, clean):
    """--unchanged proves a run that recorded digests, and names the collection that differs."""
    quick("migrate", "--confirm", "--record-digests")
    proven = quick("validate", "--unchanged", "--only", "run.*")
    clean["invoices"].update_one({}, {"$set": {"note": "à la main"}})
    unasked = quick("validate", "--only", "run.*")
    answer = quick("validate", "--unchanged", "--only", "run.*", "--json")

    assert (0, 0, 4) == (proven.code, unasked.code, answer.code)
    assert "Unchanged: proven of " in proven.out
    assert "Unchanged" not in unasked.out
    unchanged = answer.json["unchanged"]
    assert ("changed", ["invoices"]) == (unchanged["verdict"], unchanged["differing"])
    assert [("run.nothing-else-changed", "invoices")] == [
        (violation["rule"], violation["collection"]) for violation in answer.json["violations"]
    ]


def test_the_verdict_is_stated_where_nothing_can_be_proven(quick, clean):
    """Without digests of before, that is what it says, with the reason, and it ends with 3."""
    quick("migrate", "--confirm")
    answer = quick("validate", "--unchanged", "--only", "run.*")

    assert 3 == answer.code
    assert "Unchanged: not proven. No run recorded what was there before it" in answer.out


def test_dirt_of_before_is_told_from_damage_of_since(quick, clean):
    """The first passes unless any is asked for; the second fails, and says how to go back."""
    clean["invoices"].update_one({}, {"$set": {"createdBy": str(USERS[0])}})
    quick("migrate", "--confirm")
    dirty = quick("validate", "--only", "document.*")
    asked = quick("validate", "--only", "document.*", "--fail-on", "any")
    clean["member"].update_one({"userId": USERS[2]}, {"$set": {"role": "member"}})
    harmed = quick("validate", "--only", "organization.has-owner")

    assert (0, 4, 4) == (dirty.code, asked.code, harmed.code)
    said = "Caused by the migration: 0; there before: 1, of which 1 critical."
    assert f"Passed. {said}" in " ".join(dirty.out.split())
    assert f"Failed. {said}" in " ".join(asked.out.split())
    assert "Store the same id as an ObjectId;" in " ".join(dirty.out.split())
    failed = "Failed. Caused by the migration: 1, of which 1 critical; there before: 0."
    assert failed in " ".join(harmed.out.split())
    assert harmed.out.rstrip().endswith("to go back newbi-migrate rollback --all --dry-run")


def test_an_unknown_rule_is_a_mistake_of_the_call(quick, clean):
    """A rule that nobody declared ends with 2 and says where the ids are."""
    answer = quick("validate", "--only", "documents.*")

    assert 2 == answer.code
    assert "No rule has the id 'documents.*'." == answer.sentence


def test_status_is_shown_again_and_again(quick, clean):
    """--watch repeats the status; with --json every line is a document of its own."""
    answer = quick("status", "--watch", "0.1", "--times", "3", "--json")

    assert 0 == answer.code
    assert [15, 15, 15] == [
        json.loads(line)["withoutWorkspace"]["invoices"] for line in answer.out.splitlines()
    ]
