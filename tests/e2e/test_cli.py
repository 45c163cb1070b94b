"""The commands: what they answer, write, and end with."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import time

import pytest
from bson import ObjectId

from newbi_migrate import ExitCode

USER_COLLECTIONS = {"user": 3, "account": 3, "organization": 3, "member": 3}


def stamped(database):
    return database["invoices"].count_documents({"workspaceId": {"$type": "objectId"}})


def _text(value):
    """A value of JSON, an ObjectId as text."""
    return value["$oid"] if isinstance(value, dict) else value


def everything(database):
    return {
        name: list(database[name].find().sort("_id", 1))
        for name in sorted(database.list_collection_names())
    }


# -- migrate ----------------------------------------------------------------------------------


def test_a_clean_database_is_migrated_and_the_command_ends_with_zero(newbi, clean):
    """`migrate --confirm` creates four documents for each user and stamps every document."""
    answer = newbi("migrate", "--confirm")

    assert (ExitCode.DONE, 15) == (answer.code, stamped(clean))
    assert {n: clean[n].count_documents({}) for n in USER_COLLECTIONS} == USER_COLLECTIONS


@pytest.mark.slow
def test_what_is_quarantined_shows_in_the_exit_code_and_the_report(newbi, dirty):
    """A quarantined user and their documents are listed with their reason, and the code is 5."""
    answer = newbi("migrate", "--confirm")

    assert ExitCode.QUARANTINED == answer.code
    assert "2 duplicate-email (Users)" in answer.out
    assert "5 owner-quarantined (invoices)" in answer.out
    assert answer.out.endswith("; or, if it may stay so, newbi-migrate validate\n")


@pytest.mark.parametrize(("database", "code"), [("clean", 0), ("dirty", 5)])
def test_a_second_run_writes_nothing_and_ends_alike(quick, request, database, code):
    """Again changes nothing: not a document, not a record of a run, not the exit code."""
    database = request.getfixturevalue(database)
    first = quick("migrate", "--confirm")
    before = everything(database)
    second = quick("migrate", "--confirm", "--json")

    assert (code, code, None) == (first.code, second.code, second.json["runId"])
    assert before == everything(database)


@pytest.mark.slow
def test_the_json_of_a_run_counts_everything_and_names_what_was_quarantined(newbi, dirty):
    """Counts add up, each quarantined document has id, path and reason, each phase its time."""
    answer = newbi("migrate", "--confirm", "--json")
    run = answer.json

    assert {"users", "documents", "rescan", "indexes"} <= run["timings"].keys()
    assert {"created": 3, "present": 0, "aliased": 0, "quarantined": 2} == run["outcomes"]
    assert run["created"] == USER_COLLECTIONS
    assert 20 == run["collections"]["invoices"]["documents"]
    assert 15 == run["collections"]["invoices"]["stamped"]
    assert 7 == len(run["quarantine"])
    assert {"collection", "id", "path", "reason", "user"} == run["quarantine"][0].keys()
    assert (5, False) == (run["exitCode"], run["resumed"])
    assert dirty["newbi_migrate_runs"].find_one({})["_id"] == ObjectId(run["runId"])


@pytest.mark.parametrize("as_json", [(), ("--json",)])
@pytest.mark.parametrize(
    "command", [("plan", "--verbose"), ("migrate", "--confirm", "--verbose"), ("status",)]
)
def test_no_personal_data_and_no_hash_is_shown(quick, dirty, command, as_json):
    """Neither an e-mail, nor a name, nor a hash, nor a company is in any output."""
    answer = quick(*command, *as_json)

    for private in ("exemple.fr", "Jeanne", "Dupont", "Atelier", "$2a$10$"):
        assert private not in answer.out + answer.err


def test_batch_size_and_workers_do_not_show_in_the_result(quick, dirty):
    """Small batches and many workers stamp what large ones do, and in more statements."""
    answer = quick("migrate", "--confirm", "--json", "--batch-size", 2, "--workers", 3)

    assert (5, 15) == (answer.code, answer.json["collections"]["invoices"]["stamped"])
    assert 8 <= dirty["newbi_migrate_journal"].count_documents({"collection": "invoices"})


@pytest.mark.parametrize("command", [("plan",), ("status",), ("validate", "--detailed")])
def test_what_goes_to_a_file_ends_its_lines_with_words(quick, dirty, command):
    """No line is filled up with blanks where nobody looks at a screen."""
    lines = quick(*command).out.splitlines()

    assert any("  " in line for line in lines)
    assert [] == [line for line in lines if line.endswith(" ")]


def test_verbose_lists_every_user_and_everything_quarantined(quick, dirty):
    """With `--verbose` each legacy user and each quarantined id has its line."""
    quarantined = [d["_id"] for d in dirty["invoices"].find({"createdBy": dirty_owner(dirty)})]
    brief, full = quick("plan"), quick("plan", "--verbose")

    assert all(str(i) in full.out for i in (*quarantined, *dirty["Users"].distinct("_id")))
    assert not all(str(i) in brief.out for i in quarantined)
    assert "and 2 more (--verbose lists all)" in brief.out


def dirty_owner(database):
    return database["Users"].find_one({"email": "jeanne3@exemple.fr"})["_id"]


# -- the dry run ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("plan",), ("migrate", "--dry-run"), ("backfill", "--dry-run")]
)
def test_a_dry_run_changes_nothing_and_needs_no_confirmation(quick, dirty, command):
    """Neither a document, an index nor a collection differs afterwards."""
    before = everything(dirty), dirty["invoices"].index_information()
    answer = quick(*command)

    assert "Nothing was written." in answer.out
    assert before == (everything(dirty), dirty["invoices"].index_information())


def test_migrate_dry_run_is_plan(quick, dirty):
    """Both give the same document and the same exit code."""
    planned, dry = quick("plan", "--json"), quick("migrate", "--dry-run", "--json")

    assert (planned.code, planned.json) == (dry.code, dry.json)


@pytest.mark.parametrize(("database", "code"), [("clean", 0), ("dirty", 5)])
def test_a_plan_ends_with_the_exit_code_of_its_run(quick, request, database, code):
    """Who scripts the dry run learns what the run would end with."""
    request.getfixturevalue(database)
    planned = quick("plan", "--json")
    done = quick("migrate", "--confirm", "--json")

    assert (code, code) == (planned.code, done.code)
    assert code == planned.json["exitCode"]


def test_a_saved_plan_is_for_its_owner_alone_and_decides_as_the_answer_does(quick, dirty, tmp_path):
    """`--output` leaves a file of mode 0600 with the decisions of `--json`, and nothing beside."""
    answer = quick("plan", "--json", "--output", "plan.json")
    path = tmp_path / "plan.json"
    kept = json.loads(path.read_text("utf-8"))
    same = ("outcome", "reason", "userId", "workspaceId")

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())
    assert {answer.json[key] == kept[key] for key in ("policy", "digests", "collections")} == {True}
    assert [[_text(line[key]) for key in same] for line in answer.json["users"]] == [
        [line[key] for key in same] for line in kept["users"]
    ]


def test_a_plan_that_fails_leaves_no_file(quick, uri, tmp_path):
    """The file is written when the plan is complete, and not before."""
    answer = quick("plan", "--output", "plan.json")

    assert ExitCode.UNREACHABLE == answer.code
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_saved_plan_is_carried_out_exactly(newbi, dirty, tmp_path):
    """The run creates the very documents that the saved plan names."""
    newbi("plan", "--output", "plan.json")
    planned = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    answer = newbi("migrate", "--plan", "plan.json", "--confirm")

    named = {line["workspaceId"] for line in planned["users"]} - {None}
    assert ExitCode.QUARANTINED == answer.code
    assert named == {str(i) for i in dirty["organization"].distinct("_id")}


def test_a_saved_plan_is_refused_once_the_database_has_moved_on(quick, clean):
    """One more invoice and the plan is no longer the plan: exit code 3, nothing written."""
    quick("plan", "--output", "plan.json")
    clean["invoices"].insert_one({"createdBy": clean["Users"].find_one()["_id"]})
    before = everything(clean)
    answer = quick("migrate", "--plan", "plan.json", "--confirm")
    after = everything(clean)

    assert ExitCode.PENDING == answer.code
    assert "invoices" in answer.sentence
    # It is compared under the lease, which is given back.
    assert after.pop("newbi_migrate_lease")
    assert before == after


def test_the_dry_run_of_a_saved_plan_says_whether_it_still_fits(quick, clean):
    """`migrate --plan FILE --dry-run` ends with 0 where it would be carried out, else with 3."""
    quick("plan", "--output", "plan.json")
    fits = quick("migrate", "--plan", "plan.json", "--dry-run")
    clean["invoices"].insert_one({"createdBy": clean["Users"].find_one()["_id"]})
    late = quick("migrate", "--plan", "plan.json", "--dry-run")

    assert (ExitCode.DONE, ExitCode.PENDING) == (fits.code, late.code)


def test_a_saved_plan_brings_its_own_choices(quick, dirty):
    """What was chosen for the plan is what the run does, without saying it again."""
    quick("plan", "--duplicate-emails", "keep-normalized", "--output", "plan.json")
    answer = quick("migrate", "--plan", "plan.json", "--confirm", "--json")

    assert "keep-normalized" == answer.json["policy"]["duplicateEmails"]
    assert 4 == answer.json["outcomes"]["created"]


def test_a_new_plan_takes_the_place_of_a_plan_and_of_nothing_else(quick, clean, tmp_path):
    """A file that is no plan stays as it is, and the command says so before it reads anything."""
    notes = tmp_path / "notes.json"
    notes.write_text('{"mine": 1}', "utf-8")
    quick("plan", "--output", "plan.json")
    again, refused = quick("plan", "--output", "plan.json"), quick("plan", "--output", notes)

    assert (ExitCode.DONE, ExitCode.USAGE) == (again.code, refused.code)
    assert "in place of another" in again.err
    assert '{"mine": 1}' == notes.read_text("utf-8")


def test_a_plan_of_another_database_is_refused(quick, clean, mongod):
    """The plan names its database, and only there it is carried out."""
    quick("plan", "--output", "plan.json")
    answer = quick("migrate", "--plan", "plan.json", "--confirm", uri=mongod.uri_for("another"))

    assert ExitCode.USAGE == answer.code
    assert "'another'" in answer.sentence


# -- choices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ((), {}),
        (("--duplicate-emails", "keep-normalized"), {"duplicateEmails": "keep-normalized"}),
        (("--aliases", "all"), {"aliases": "all"}),
        (("--aliases", "refuse"), {"aliases": "refuse"}),
        (("--alias-owners", "keep"), {"aliasOwners": "keep"}),
        (("--legacy-collection", "Users"), {"legacyCollection": "Users"}),
        (("--collections", "quotes,invoices"), {"collections": ["invoices", "quotes"]}),
        (
            ("--collections", "quotes", "--collections", "invoices"),
            {"collections": ["invoices", "quotes"]},
        ),
        (("--as-of", "2025-09-01"), {"schemaDay": "2025-09-01"}),
    ],
)
def test_every_choice_reaches_the_plan(quick, clean, options, policy):
    """Each option changes the one choice it is for, and all others keep their defaults."""
    usual = {
        "legacyCollection": None,
        "duplicateEmails": "quarantine",
        "aliases": "verified",
        "aliasOwners": "rewrite",
        "collections": None,
        "schemaDay": None,
    }

    assert {**usual, **policy} == quick("plan", "--json", *options).json["policy"]


def test_only_the_named_collections_are_stamped(quick, clean):
    """`--collections quotes` migrates the users and leaves the invoices for later."""
    clean["quotes"].insert_one({"createdBy": clean["Users"].find_one()["_id"]})
    quick("migrate", "--confirm", "--collections", "quotes")

    assert 0 == stamped(clean)
    assert 1 == clean["quotes"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.slow
def test_backfill_stamps_late_documents_and_leaves_users_alone(newbi, clean):
    """After a migration, `backfill` stamps what came later and creates no user."""
    newbi("migrate", "--confirm")
    owner = clean["Users"].find_one()["_id"]
    clean["invoices"].insert_one({"createdBy": owner, "number": "late"})
    answer = newbi("backfill", "--confirm", "--json")

    assert (ExitCode.DONE, 16) == (answer.code, stamped(clean))
    assert 1 == answer.json["collections"]["invoices"]["stamped"]
    assert {} == answer.json["created"]


def test_the_suggested_command_repeats_the_choices(quick, clean, uri, tmp_path):
    """What stands after "Next:" can be copied: the choices and the file are in it."""
    (tmp_path / "my uri").write_text(uri, "utf-8")
    answer = quick("plan", "--aliases", "all", "--uri-file", "my uri", uri=None)

    assert answer.out.endswith(
        "\nNext: newbi-migrate backup --uri-file 'my uri' and, with its folder, "
        "newbi-migrate migrate --aliases all --backup DIR --uri-file 'my uri'\n"
    )


# -- status -----------------------------------------------------------------------------------


def test_status_tells_what_lacks_a_workspace_and_what_to_run(newbi, clean):
    """Before a migration: no run, every document without a workspace, and next is a plan."""
    answer = newbi("status")

    assert ExitCode.DONE == answer.code
    assert "No run yet." in answer.out
    assert "Documents without a workspace: 15" in answer.out
    assert answer.out.endswith("Next: newbi-migrate backup\n")


def test_status_tells_of_the_run_that_was_made(quick, clean):
    """After it: the run with its exit code and times, and nothing without a workspace."""
    run = quick("migrate", "--confirm", "--json").json
    found = quick("status", "--json").json

    assert [(run["runId"], "done", 0)] == [
        (r["runId"], r["state"], r["exitCode"]) for r in found["runs"]
    ]
    assert {"invoices": 0} == found["withoutWorkspace"]
    assert (0, None) == (found["organizationsWithoutMembers"], found["unfinished"])


def test_status_ends_with_3_where_a_run_has_not_come_to_its_end(quick, clean):
    """An interrupted run is work pending; the report says which command finishes it."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_runs"].update_one({}, {"$set": {"state": "running"}})
    answer = quick("status")

    assert ExitCode.PENDING == answer.code
    assert "unfinished" in answer.out
    assert "Next: newbi-migrate migrate --legacy-collection Users" in answer.out


# -- one at a time, stopping ------------------------------------------------------------------


def test_a_second_run_is_refused_while_another_holds_the_lease(quick, clean):
    """Exit code 6, and the sentence says who holds the lease."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_lease"].update_one(
        {},
        [{"$set": {"token": ObjectId(), "expiresAt": {"$add": ["$$NOW", 60_000]}}}],
    )
    answer = quick("migrate", "--confirm")

    assert ExitCode.LEASE_HELD == answer.code
    assert "holds the lease" in answer.sentence


@pytest.mark.slow
def test_ctrl_c_stops_at_a_safe_point_and_the_same_command_finishes(uri, clean, tmp_path, mongod):
    """A run told to stop ends with 7; run again it resumes, and ends as if it had not stopped."""
    owners = clean["Users"].distinct("_id")
    clean["invoices"].insert_many(
        [{"createdBy": owners[n % 3], "number": f"x{n}"} for n in range(4000)]
    )
    command = [sys.executable, "-m", "newbi_migrate", "migrate", "--confirm", "--json"]
    running = subprocess.Popen(
        [*command, "--batch-size", "10"],
        env={**os.environ, "MONGODB_URI": uri},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while stamped(clean) < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(2)
    out, err = running.communicate(timeout=30)

    assert ExitCode.INTERRUPTED == running.returncode
    assert ExitCode.INTERRUPTED == json.loads(out)["error"]["exitCode"]
    assert "Stopping at the next safe point" in err
    assert 0 < stamped(clean) < 4015

    again = subprocess.run(
        command,
        env={**os.environ, "MONGODB_URI": uri},
        cwd=tmp_path,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ExitCode.DONE, 4015) == (again.returncode, stamped(clean))
    assert json.loads(again.stdout)["resumed"]


# -- confirmation -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["migrate", "backfill"])
def test_without_a_terminal_a_command_that_writes_needs_to_be_confirmed(newbi, command):
    """It ends with 2 and says so before it looks for a server: none listens at that address."""
    answer = newbi(command, uri="mongodb://127.0.0.1:1/newbi?serverSelectionTimeoutMS=20000")

    assert ExitCode.USAGE == answer.code
    assert "no terminal to ask" in answer.sentence
    assert "--confirm" in answer.err


def test_a_closed_standard_input_is_no_terminal(uri, clean, tmp_path):
    """Where standard input is closed altogether, the command asks for --confirm alike."""
    done = subprocess.run(
        f"exec '{sys.executable}' -m newbi_migrate migrate --json <&-",
        shell=True,
        check=False,
        env={**os.environ, "MONGODB_URI": uri},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ExitCode.USAGE == done.returncode
    assert ExitCode.USAGE == json.loads(done.stdout)["error"]["exitCode"]


def at_a_terminal(arguments, typed, uri, folder):
    """Runs a command at a terminal and types a line when it asks; gives code and screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", *arguments],
        env={**os.environ, "MONGODB_URI": uri, "TERM": "xterm", "COLUMNS": "80"},
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    screen, asked = b"", False
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        readable, _, _ = select.select([ours], [], [], 1)
        if readable:
            try:
                chunk = os.read(ours, 65_536)
            except OSError:
                break
            if not chunk:
                break
            screen += chunk
        if not asked and b"Type the name" in screen:
            asked = True
            os.write(ours, typed.encode() + b"\n")
    os.close(ours)
    return process.wait(20), screen.decode("utf-8", "replace")


COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?[34][0-9;]+m")


@pytest.mark.slow
def test_at_a_terminal_the_plan_is_shown_and_the_databases_name_is_asked_for(
    uri, clean, tmp_path, database_name, monkeypatch
):
    """Typing the name carries out what was shown, in colour because nothing forbids it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    code, screen = at_a_terminal(["migrate"], database_name, uri, tmp_path)

    assert (ExitCode.DONE, 15) == (code, stamped(clean))
    assert screen.index("Plan for the database") < screen.index("Type the name")
    assert COLOUR.search(screen)


def test_another_name_writes_nothing(uri, clean, tmp_path, monkeypatch):
    """Anything but the database's name ends with 2, and NO_COLOR keeps the screen plain."""
    monkeypatch.setenv("NO_COLOR", "1")
    before = everything(clean)
    code, screen = at_a_terminal(["migrate"], "other", uri, tmp_path)

    assert ExitCode.USAGE == code
    assert before == everything(clean)
    assert "\x1b" not in screen


@pytest.mark.slow
def test_a_question_names_the_numbers_of_a_saved_plan_and_no_other_command(
    uri, clean, quick, tmp_path
):
    """Whoever is asked knows what they agree to; what comes next is said once it is done."""
    quick("plan", "--output", "plan.json")
    _, planned = at_a_terminal(["migrate", "--plan", "plan.json"], "other", uri, tmp_path)
    _, shown = at_a_terminal(["migrate"], "other", uri, tmp_path)

    assert "it writes to 15 documents and migrates 3 users, in" in " ".join(planned.split())
    assert "Type the name" in shown
    assert "Next: " not in planned + shown


@pytest.mark.slow
def test_sigterm_stops_a_run_as_ctrl_c_does(uri, clean, tmp_path):
    """A service manager that stops the command gets a run that can be resumed, and exit code 7."""
    owners = clean["Users"].distinct("_id")
    clean["invoices"].insert_many(
        [{"createdBy": owners[n % 3], "number": f"x{n}"} for n in range(4000)]
    )
    with subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", "migrate", "--confirm", "--batch-size", "10"],
        env={**os.environ, "MONGODB_URI": uri},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 30
        while stamped(clean) < 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        running.terminate()
        out, err = running.communicate(timeout=30)

    assert (ExitCode.INTERRUPTED, "") == (running.returncode, out)
    assert "The same command again finishes it." in err
