"""What stands after "Next:": each command names the one that the run book has after it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from bson import ObjectId
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate import ExitCode
from newbi_migrate.choices import AliasPolicy
from newbi_migrate.cli.next_steps import after_diagnosis, after_smoke, night_commands
from newbi_migrate.cli.running import Session
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.migration.planning.options import MigrationOptions


def following(answer):
    """The last line of an answer, as arguments."""
    line = answer.out.rstrip().splitlines()[-1]
    assert line.startswith("Next: ")
    return line.removeprefix("Next: ")


def command(answer):
    """The same where it can be typed as it stands."""
    words = shlex.split(following(answer))
    assert words[0] == "newbi-migrate"
    return words[1:]


def test_whoever_follows_the_last_lines_is_led_through_the_run_book(quick, clean):
    """From the backup to the application that is tried, and to a backup of what is new."""
    backup = quick("backup", "--output-dir", "out", "--no-exports")
    folder = command(backup)[-1]
    compared = quick(*command(backup))
    diagnosed = quick(*command(compared), "--watch", "0")
    planned = quick(*command(diagnosed))
    migrated = quick(*command(planned), "--confirm")
    validated = quick(*command(migrated))
    stands = quick("status")
    again = quick("migrate", "--confirm")
    part = quick("validate", "--only", "member.*")
    end = shlex.split(following(validated).rpartition("newbi-migrate ")[2])
    looked = quick(*end)
    finished = quick(*command(looked), "--confirm")

    assert ["verify-backup", "--compare", folder] == command(backup)
    assert ["doctor", "--backup", folder] == command(compared)
    assert ["plan", "--output", "plan.json", "--backup", folder] == command(diagnosed)
    assert ["migrate", "--plan", "plan.json", "--backup", folder] == command(planned)
    proof = "newbi-migrate validate --unchanged"
    assert proof == following(migrated)
    for answer in (stands, again, part):
        # Nobody can tell whether the application runs by then.
        assert f"{proof}; or, where people work again, newbi-migrate validate" == following(answer)
    assert following(validated).startswith(
        "start the application, then newbi-migrate smoke --url URL --email EMAIL, and "
    )
    assert ["finalize", "--keep", "--dry-run"] == end
    assert [ExitCode.DONE] * 3 == [validated.code, looked.code, finished.code]
    assert (["finalize", "--keep"], ["backup"]) == (command(looked), command(finished))


def test_a_plan_without_a_backup_leads_to_one_first(quick, clean):
    """The migration that is named stands behind it, with the plan and a place for the folder."""
    bare = following(quick("plan", "--aliases", "all"))
    saved = following(quick("plan", "--output", "plan.json"))
    early = following(quick("backfill", "--dry-run"))
    quick("migrate", "--confirm")
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    late = following(quick("backfill", "--dry-run"))

    first = "newbi-migrate backup and, with its folder, newbi-migrate "
    assert first + "migrate --aliases all --backup DIR" == bare
    assert first + "migrate --plan plan.json --backup DIR" == saved
    assert ("newbi-migrate plan", first + "backfill --backup DIR") == (early, late)


def test_a_plan_that_quarantines_leads_to_a_decision_too(quick, dirty):
    """Before the migration, as after it; the command after it can be copied."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    planned = following(quick("plan", "--output", "plan.json", "--backup", backup))
    migrated = following(quick("migrate", "--plan", "plan.json", "--backup", backup, "--confirm"))
    settled = "settle what is quarantined, and make a backup and a plan again"
    decision = f"{settled}; or, if it may stay so, newbi-migrate "

    assert f"{decision}migrate --plan plan.json --backup {backup}" == planned
    assert f"{decision}validate --unchanged" == migrated


def test_a_plan_that_is_not_as_rehearsed_leads_to_another_rehearsal(quick, dirty):
    """With its choices, and a new backup where none of now was named; one exit code is said."""
    quick("plan", "--output", "rehearsed.json")
    given = ("plan", "--aliases", "all", "--rehearsed", "rehearsed.json")
    bare = quick(*given, "--output", "plan.json")
    backup = quick("backup", "--no-exports", "--json").json["path"]
    backed = quick(*given, "--backup", backup)
    same = quick("plan", "--rehearsed", "rehearsed.json")
    again = "--aliases all --output rehearsed.json"

    assert f"newbi-migrate rehearse {backup} {again}" == following(backed)
    assert f"newbi-migrate backup and, with its folder, newbi-migrate rehearse DIR {again}" == (
        following(bare)
    )
    for answer, code in ((bare, 3), (backed, 3), (same, 5)):
        assert code == answer.code
        said = [line for line in answer.out.splitlines() if line.startswith("Exit code")]
        assert [f"Exit code {code}"] == [line.partition(":")[0] for line in said]


def test_a_plan_refuses_a_backup_that_is_not_of_now(quick, clean):
    """As the migration would; no plan is kept that it could not carry out."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    clean["invoices"].insert_one({"createdBy": USERS[0]})
    refused = quick("plan", "--output", "plan.json", "--backup", backup)

    assert ExitCode.PENDING == refused.code
    assert "is not as the backup" in refused.err
    assert not Path("plan.json").exists()


@pytest.mark.parametrize("again", [("migrate", "--confirm"), ("backfill", "--confirm"), ("plan",)])
def test_where_nothing_is_left_to_write_the_next_command_is_the_proof(quick, clean, again):
    """A complete run, the same once more, and a plan of nothing all lead to `validate`."""
    first = quick("migrate", "--confirm")
    second = quick(*again)
    some = quick("validate", "--only", "member.*")

    assert ["validate"] == command(first) == command(second) == command(quick("status"))
    assert ["validate"] == command(some)


def test_a_late_run_without_digests_leads_to_a_validation_without_the_proof(quick, clean):
    """People have written since the digests were taken, which would count as changes."""
    quick("migrate", "--record-digests", "--confirm")
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    late = quick("backfill", "--confirm")

    assert ["validate"] == command(late) == command(quick("status"))


def test_where_users_are_quarantined_the_end_keeps_their_collection(quick, dirty):
    """They are in the collection of legacy users alone, so `finalize` without --keep refuses."""
    quick("migrate", "--confirm")
    end = "days later newbi-migrate finalize --keep --dry-run"

    assert following(quick("validate")).endswith(end)
    assert end == after_smoke()


def test_documents_that_a_run_quarantined_lead_to_no_run_that_leaves_them_out_again(quick, dirty):
    """`status` counts them and names the proof, until one comes in that nobody has quarantined."""
    quick("migrate", "--confirm")
    known = quick("status")
    dirty["invoices"].insert_one({"createdBy": USERS[0]})
    late = quick("status")

    assert "quarantined by the last run" in known.out
    assert (["validate"], ["backfill", "--dry-run"]) == (command(known), command(late))


def test_what_came_late_is_looked_at_with_the_choices_of_the_migration(quick, clean):
    """Documents by a backfill, as `status` says; users and their documents by a migration."""
    quick("migrate", "--alias-owners", "keep", "--confirm")
    choice = ["--alias-owners", "keep", "--dry-run"]
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    document = [command(quick(name)) for name in ("validate", "status")]
    clean["Users"].insert_one(legacy_user(5))
    user, status = quick("validate"), quick("status")
    looked = quick(*command(user))
    quick("migrate", "--alias-owners", "keep", "--confirm")
    after = quick("status")

    assert [["backfill", *choice]] * 2 == document
    assert (ExitCode.PENDING, ["migrate", *choice]) == (user.code, command(user))
    assert "Legacy users who are not migrated yet: 1" in status.out
    assert command(user) == command(status)
    assert "Documents: 16 = 1 to write" in looked.out
    assert "1 created" in looked.out
    assert "came after" not in after.out


def test_documents_of_users_who_came_late_lead_from_a_backfill_to_the_migration(quick, clean):
    """With the choices of the last one; a backfill would leave them as they are."""
    quick("migrate", "--alias-owners", "keep", "--confirm")
    clean["Users"].insert_one(legacy_user(5))
    clean["invoices"].insert_many(invoices(USERS[5], 2))
    alone = quick("backfill", "--dry-run")
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    beside = quick("backfill", "--dry-run")
    looked = ["migrate", "--alias-owners", "keep", "--dry-run"]

    assert "migrate them first" in " ".join(alone.out.split())
    assert [looked] * 2 == [command(alone), command(beside)]


def test_a_backfill_that_left_documents_of_users_who_came_late_leads_to_the_migration(quick, clean):
    """Nothing of theirs is settled by hand."""
    quick("migrate", "--confirm")
    clean["Users"].insert_one(legacy_user(5))
    clean["invoices"].insert_many(invoices(USERS[5], 2))
    done = quick("backfill", "--confirm")

    assert ExitCode.QUARANTINED == done.code
    assert ["migrate", "--dry-run"] == command(done)


def test_an_index_that_cannot_be_built_leads_to_what_builds_it(quick, clean):
    """After the run, after the others were swapped, and after the end of the migration."""
    number = {"createdBy": USERS[0], "number": "same", "issueYear": 2024}
    (first, _) = clean["invoices"].insert_many([{**number}, {**number}]).inserted_ids
    build = "once nothing is in the way of an index, newbi-migrate indexes --apply"
    migrated = quick("migrate", "--confirm")
    applied = quick("indexes", "--apply", "--confirm")
    ended = quick("finalize", "--keep", "--confirm")
    clean["invoices"].update_one({"_id": first}, {"$set": {"number": "other"}})
    built = quick("indexes", "--apply", "--confirm")

    assert f"{build}; or, if it may stay so, newbi-migrate validate" == following(migrated)
    assert (build, f"{build}, and newbi-migrate backup") == (following(applied), following(ended))
    assert ExitCode.DONE == built.code, built.out


def test_a_quarantined_document_that_lost_its_workspace_leads_to_an_end(quick, clean):
    """A run records it as one that lacks a workspace; the same look is not named for ever."""
    elsewhere = clean["organization"].insert_one({"slug": "ailleurs", "name": "Ailleurs"})
    theirs = {"createdBy": ObjectId(), "number": "odd", "workspaceId": elsewhere.inserted_id}
    clean["invoices"].insert_one({**theirs})
    quick("migrate", "--confirm")
    clean["invoices"].update_one({"number": "odd"}, {"$unset": {"workspaceId": 1}})
    before = quick("status")
    quick("backfill", "--confirm")
    after = quick("status")

    assert (["backfill", "--dry-run"], ["validate"]) == (command(before), command(after))


def test_a_look_at_a_plan_that_was_carried_out_finds_nothing_left_as_the_run_does(quick, clean):
    """Nothing is to be backed, so the backup is not compared with what the run has made of it."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("plan", "--output", "plan.json")
    same = ("migrate", "--plan", "plan.json", "--backup", backup)
    quick(*same, "--confirm")
    looked, done = quick(*same, "--dry-run"), quick(*same, "--confirm")

    assert (ExitCode.DONE, ExitCode.DONE) == (looked.code, done.code), looked.err
    assert following(looked) == following(done)


def test_what_a_migration_of_some_collections_left_out_is_late_and_leads_to_all(quick, clean):
    """No index of theirs is the run's fault, and the next command goes through them too."""
    clean["clients"].insert_one({"createdBy": USERS[0], "email": "client@exemple.fr"})
    quick("migrate", "--collections", "clients", "--confirm")
    seen, stands = quick("validate"), quick("status")
    done = quick(*command(seen)[:1], "--confirm")
    after = quick("validate")

    assert ExitCode.PENDING == seen.code, seen.out
    assert ["backfill", "--dry-run"] == command(seen) == command(stands)
    assert (ExitCode.DONE, ExitCode.DONE) == (done.code, after.code), after.out


def test_collections_that_had_no_workspace_on_the_day_of_the_schema_are_not_late(quick, clean):
    """Neither counted nor called wrong: the choice stands in the run's record."""
    day = min(spec.scoped_since for spec in NEWBI.scoped if spec.scoped_since)
    clean["clients"].insert_one({"createdBy": USERS[0], "email": "client@exemple.fr"})
    quick("migrate", "--as-of", str(day), "--confirm")
    stands, seen = quick("status", "--json").json, quick("validate", "--json").json

    left = {spec.name for spec in NEWBI.scoped} - {s.name for s in NEWBI.as_of(day).scoped}
    assert left & set(clean.list_collection_names())
    assert set() == left & stands["withoutWorkspace"].keys()
    assert not [one for one in seen["rules"] if one["rule"] == "field.workspace-id"]
    assert ["validate"] == command(quick("status"))


def test_an_ended_migration_is_not_to_be_ended_again(quick, clean):
    """A look at what would stand in its way leads to how the database stands."""
    quick("migrate", "--confirm")
    before = quick("doctor", "--before", "finalize")
    quick("finalize", "--keep", "--confirm")
    after = quick("doctor", "--before", "finalize")

    assert (["finalize", "--keep", "--dry-run"], ["status"]) == (command(before), command(after))


def test_what_people_changed_since_leads_to_a_comparison_that_names_it(quick, clean):
    """And to a validation without the proof, not to the same one again."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("migrate", "--backup", backup, "--confirm")
    clean["invoices"].update_one({}, {"$set": {"status": "PAID"}})
    seen = quick("validate", "--unchanged", "--detailed")
    words = following(seen).replace("DIR", backup).split(", and ")[0]
    compared = quick(*shlex.split(words)[1:])

    assert ExitCode.VALIDATION_FAILED == seen.code, seen.out
    assert following(seen).endswith("the work of people, newbi-migrate validate")
    assert ExitCode.PENDING == compared.code
    assert "invoices" in compared.out


def test_a_list_of_all_that_is_broken_leads_to_its_cure_and_not_to_itself(quick, clean):
    """A look at the way back stands beside it until the migration is ended."""
    quick("migrate", "--confirm")
    clean["member"].update_one({"userId": USERS[0]}, {"$set": {"role": "member"}})
    looked = following(quick("validate", "--only", "organization.*"))
    listed = following(quick("validate", "--detailed", "--only", "organization.*"))
    clean["member"].update_one({"userId": USERS[0]}, {"$set": {"role": "owner"}})
    quick("finalize", "--keep", "--confirm")
    clean["member"].update_one({"userId": USERS[0]}, {"$set": {"role": "member"}})
    ended = following(quick("validate", "--detailed"))

    back = ", and to go back newbi-migrate rollback --all --dry-run"
    cure = "once what is listed is put right, newbi-migrate validate"
    assert f"newbi-migrate validate --detailed --only 'organization.*'{back}" == looked
    assert f"{cure} --only 'organization.*'{back}" == listed
    assert cure == ended


def test_a_copy_that_equals_its_backup_is_named_in_what_follows(quick, clean, sync_database):
    """The connection string is of another database."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    copy = f"{sync_database.name}_copy"
    try:
        quick("restore", "--database", copy, "--confirm", backup)
        compared = quick("verify-backup", "--compare", "--database", copy, backup)
    finally:
        sync_database.client.drop_database(copy)

    assert f"newbi-migrate status, with a connection string that names {copy}" == following(
        compared
    )


def test_documents_that_wait_for_quarantined_users_lead_to_no_other_migration(quick, dirty):
    """It would quarantine them again."""
    quick("migrate", "--confirm")
    dirty["clients"].insert_one({"createdBy": USERS[0]})

    assert "newbi-migrate backfill" in following(quick("backfill", "--dry-run"))


def test_a_late_document_is_no_quarantined_one_that_has_a_workspace(quick, clean):
    """A run leaves documents in a stranger's workspace too; they are not among those without."""
    elsewhere = ObjectId()
    clean["organization"].insert_one({"_id": elsewhere, "name": "Autre", "slug": "autre"})
    clean["invoices"].update_one({}, {"$set": {"workspaceId": elsewhere}})
    quick("migrate", "--confirm")
    clean["invoices"].insert_one({"createdBy": USERS[0]})
    late = quick("status")

    assert "quarantined by the last run" not in late.out
    assert ["backfill", "--dry-run"] == command(late)


def test_a_later_run_over_other_collections_leaves_known_what_was_quarantined(quick, dirty):
    """What counts is the last run that looked at the collection."""
    dirty["clients"].insert_one({"workspaceId": None, "createdBy": USERS[0]})
    quick("migrate", "--confirm")
    dirty["clients"].insert_one({"createdBy": USERS[1]})
    quick("backfill", "--collections", "clients", "--confirm")

    assert ["validate"] == command(quick("status"))


def test_after_a_rollback_comes_the_plan_of_the_next_attempt(quick, clean):
    """After a part of one, what it left; and where there is no run, whatever there is."""
    nothing = quick("rollback", "--confirm")
    quick("migrate", "--confirm")
    part = quick("rollback", "--collections", "invoices", "--confirm")
    whole = quick("rollback", "--confirm")

    assert (["status"], ["status"], ["plan"]) == (command(nothing), command(part), command(whole))


def test_after_the_rollback_of_a_run_that_had_a_backup_comes_the_comparison_with_it(quick, clean):
    """It proves that the database is what it was, and says how to try again."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("migrate", "--backup", backup, "--confirm")
    back = quick("rollback", "--all", "--confirm")
    compared = quick("verify-backup", "--compare", backup)
    then = "newbi-migrate verify-backup --compare DIR; then start the old application, or"

    assert following(back) == (
        f"compare with the backup {Path(backup).name}: {then} newbi-migrate plan"
    )
    assert following(back) == following(quick("status"))
    assert ExitCode.DONE == compared.code
    assert following(compared) == (
        f"start the old application, or newbi-migrate doctor --backup {backup}"
    )


def test_a_confirmed_migration_without_a_backup_is_warned_of_once(quick, clean):
    """Nobody is asked, so it is said before it writes; a later run is made while people work."""
    first = quick("migrate", "--confirm")
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    later = quick("migrate", "--confirm")

    assert 1 == first.err.count("warning: no backup is named")
    assert "no backup is named" not in later.err


def test_what_came_since_a_backup_holds_no_old_application_back_after_a_rollback(quick, clean):
    """Another backup is for another migration; without any run it is what comes next."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    clean["invoices"].insert_one({"late": True})
    before = quick("verify-backup", "--compare", backup)
    quick("migrate", "--confirm")
    quick("rollback", "--all", "--confirm")
    after = quick("verify-backup", "--compare", backup)
    again = "stop the application, then newbi-migrate backup"

    assert ExitCode.PENDING == before.code == after.code
    assert again == following(before)
    assert following(after) == (
        f"once what differs is settled, start the old application; to migrate again, {again}"
    )


@pytest.mark.parametrize(
    "chosen",
    [
        ["--collections", "invoices,clients"],
        ["--users", f"{USERS[0]}"],
        ["--collections", "invoices", "--on-conflict", "keep"],
        ["--on-conflict", "discard"],
    ],
)
def test_a_look_at_a_rollback_leads_to_that_very_rollback(quick, clean, chosen):
    """With its run, its part and its choice: whoever looked at a part does not undo all."""
    quick("migrate", "--confirm")
    run = quick("status", "--json").json["runs"][0]["runId"]

    assert ["rollback", "--run", run, *chosen] == command(quick("rollback", *chosen, "--dry-run"))


def test_a_look_at_all_runs_leads_to_the_rollback_of_all(quick, clean):
    """One last line, not one for each run; what is in the way of one of them leads to a look."""
    quick("migrate", "--confirm")
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    quick("backfill", "--confirm")
    looked = quick("rollback", "--all", "--dry-run")
    clean["invoices"].update_one({"number": "late"}, {"$set": {"workspaceId": "elsewhere"}})
    refused = quick("rollback", "--all", "--dry-run")

    assert (1, ["rollback", "--all"]) == (looked.out.count("Next: "), command(looked))
    assert ["rollback", "--all", "--on-conflict", "keep", "--dry-run"] == command(refused)


def test_the_commands_of_the_night_can_be_typed_as_they_stand():
    """Each choice is given to the commands that have it, the size of what is at once to the run."""
    options = MigrationOptions(collections=("invoices",), aliases=AliasPolicy.ALL, workers=1)
    night = [shlex.split(line)[1:] for line in night_commands(options, rehearsed=None)]
    lines = {words[0]: words[1:] for words in night}

    assert ["--aliases", "all", "--collections", "invoices"] == lines["plan"][:4]
    assert ["--workers", "1"] == lines["migrate"][-2:]
    assert "--workers" not in lines["plan"]
    assert ["--unchanged", "--collections", "invoices"] == lines["validate"]


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("plan", ["plan", "--legacy-collection", "Users"]),
        (
            "migrate",
            ["plan", "--output", "plan.json", "--legacy-collection", "Users", "--backup", "B"],
        ),
        ("validate", ["validate", "--legacy-collection", "Users"]),
        ("rollback", ["rollback", "--dry-run"]),
        ("finalize", ["finalize", "--keep", "--dry-run"]),
        ("backup", ["backup"]),
    ],
)
def test_a_diagnosis_leads_to_what_it_was_for(purpose, expected):
    """With what was named for it; and to a look first, where that command writes."""
    words = shlex.split(after_diagnosis(purpose, "B", "Users", ()))

    assert expected == words[1:]


def test_a_diagnosis_without_a_backup_leads_to_one():
    """Before a migration there has to be one."""
    assert "newbi-migrate backup" == after_diagnosis("migrate", None, None, ())


def test_an_ended_lease_leads_to_what_it_had_held_up(quick, clean):
    """`unlock` names `status`, which knows the run."""
    assert ["status"] == command(quick("unlock"))


def test_what_an_error_names_next_keeps_the_connection_string(quick, clean, uri, tmp_path):
    """As the last line of an answer does; in JSON too."""
    (tmp_path / "uri").write_text(uri + "\n", "utf-8")
    place = ("--uri-file", "uri")
    quick("migrate", "--confirm")
    clean["Users"].insert_one(legacy_user(5))
    refused = quick("finalize", "--confirm", *place, uri=None)
    again = quick("finalize", "--confirm", "--json", *place, uri=None)
    plain = quick("finalize", "--confirm")

    assert "Migrate them first: newbi-migrate migrate --uri-file uri." in refused.err
    assert again.json["error"]["next"] in refused.err
    assert "Migrate them first: newbi-migrate migrate." in plain.err


def test_the_cures_of_a_diagnosis_keep_the_connection_string(quick, clean, uri, tmp_path):
    """In JSON too."""
    (tmp_path / "uri").write_text(uri + "\n", "utf-8")
    asked = ("doctor", "--watch", "0", "--uri-file", "uri", "--json")

    assert "Make one with newbi-migrate backup --uri-file uri, and" in quick(*asked, uri=None).out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See: newbi-migrate status.", "See: newbi-migrate status --uri-file 'my file'."),
        ("newbi-migrate restore --drop B", "newbi-migrate restore --uri-file 'my file' --drop B"),
        (
            "newbi-migrate verify-backup --compare B",
            "newbi-migrate verify-backup --uri-file 'my file' --compare B",
        ),
        *[
            (same, same)
            for same in (
                "newbi-migrate smoke",
                "newbi-migrate verify-backup B",
                "newbi-migrate backup --exports-only B",
                "newbi-migrate rehearse B",
                "newbi-migrate status --uri-file other",
                "Use the version of newbi-migrate that wrote it.",
            )
        ],
    ],
)
def test_only_commands_that_ask_a_server_are_given_the_connection_string(text, expected):
    """And those that name one keep it."""
    assert expected == Session("migrate", uri_file=Path("my file")).placed(text)


def test_no_command_is_given_the_connection_string_of_a_rehearsal():
    """It leads to a server that may be lost."""
    session = Session("rehearse", uri_file=Path("scratch"))

    assert "newbi-migrate backup" == session.placed("newbi-migrate backup")
