"""The checklist in every state of the run book, ticked by evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from small_legacy import USERS, legacy_user

from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.checklist import LineId, LineState


@pytest.fixture
def look(quick):
    """The state of each line, by its name."""

    def states(*arguments):
        answer = quick("checklist", "--watch", "0", "--json", *arguments)
        assert answer.code in (ExitCode.DONE, ExitCode.PENDING), answer.err
        return {line["id"]: line["state"] for line in answer.json["lines"]}

    return states


@pytest.fixture
def migrated(quick, clean, tmp_path):
    """The clean database, migrated with a backup."""
    assert ExitCode.DONE == quick("backup", "--output-dir", "backups").code
    (backup,) = (tmp_path / "backups").iterdir()
    assert ExitCode.DONE == quick("migrate", "--backup", backup, "--confirm").code
    return clean


LATER = datetime.now(UTC) + timedelta(hours=1)


def test_before_anything_only_the_tools_are_ticked(look, clean):
    """Nothing is claimed that was not done, and what a person alone can tell is asked of them."""
    states = look()

    assert list(LineId) == list(states)
    assert {"done"} == {states["tools"], states["variables"]}
    assert "open" == states["backup"] == states["rehearsed"]
    persons = {LineId.PLANNED, LineId.MONITORING, LineId.BACKUPS}
    assert {"open"} == {states[i] for i in LineId if i.part != "before" and i not in persons}
    assert {"asked"} == {states[i] for i in persons}


def test_a_backup_that_is_of_now_is_ticked_and_one_that_is_not_has_failed(
    look, quick, clean, tmp_path
):
    """The line is about the database as it is."""
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    fresh = look("--backup", backup)
    clean["Users"].insert_one(legacy_user(5))
    stale = look("--backup", backup)

    assert ("done", "failed") == (fresh["backup"], stale["backup"])


def test_a_plan_is_proposed_as_long_as_nothing_was_migrated(quick, clean, tmp_path):
    """Nobody can see whether a person has read one, so it is asked of them and stays named."""
    quick("backup", "--output-dir", "backups")
    quick("plan", "--output", "rehearsed.json")
    (backup,) = (tmp_path / "backups").iterdir()
    said = quick("checklist", "--backup", backup, "--rehearsed", "rehearsed.json", "--watch", "0")
    line = next(line for line in said.out.splitlines() if "The plan was reviewed" in line)

    assert "[?] to check" in line
    assert "nothing here can tell" in line
    assert "Next: newbi-migrate plan --output plan.json" in said.out
    # Whoever follows it gets beyond the plan.
    assert "and, once it is reviewed, newbi-migrate migrate --plan plan.json --backup" in said.out


def test_what_was_rehearsed_is_compared(look, quick, clean):
    """The decisions of a rehearsal, as of a plan, still hold or do not."""
    quick("plan", "--output", "rehearsed.json")
    same = look("--rehearsed", "rehearsed.json")
    clean["Users"].insert_one(legacy_user(6, email="JEANNE0@exemple.fr"))
    other = look("--rehearsed", "rehearsed.json")

    assert ("done", "failed") == (same["rehearsed"], other["rehearsed"])


def test_what_was_rehearsed_with_a_choice_is_compared_with_that_choice(look, quick, clean):
    """The checklist takes no choices itself, and hands those of the rehearsal on to the plan."""
    chosen = ("--duplicate-emails", "keep-normalized")
    quick("plan", "--output", "rehearsed.json", *chosen)
    states = look("--rehearsed", "rehearsed.json")
    said = quick("checklist", "--rehearsed", "rehearsed.json", "--watch", "0").out

    assert "done" == states["rehearsed"]
    assert f"newbi-migrate plan --output plan.json {' '.join(chosen)} --rehearsed" in said


def test_after_the_migration_sessions_and_documents_are_the_evidence(look, migrated):
    """Nobody has signed in yet; then somebody has, and has written an invoice."""
    before = look()
    workspace = migrated["member"].find_one({"userId": USERS[0]})["organizationId"]
    migrated["session"].insert_one({"userId": USERS[0], "createdAt": LATER})
    migrated["invoices"].insert_one(
        {
            "_id": ObjectId.from_datetime(LATER),
            "createdBy": USERS[0],
            "workspaceId": workspace,
            "number": "900001",
        }
    )
    after = look()

    assert {"done"} == {before["backup"], before["migrated"], before["validated"]}
    assert {"open"} == {before["sign-in"], before["new-documents"]}
    assert {"done"} == {after["sign-in"], after["new-documents"]}
    assert {"asked"} == {after["monitoring"], after["regular-backups"]}


def test_what_was_seen_stays_ticked_after_a_later_run(look, quick, migrated):
    """The first run is the migration: its backup, and who has signed in since it."""
    migrated["session"].insert_one({"userId": USERS[0], "createdAt": datetime.now(UTC)})
    before = look()
    late = {"createdBy": USERS[0], "number": "900003", "issueDate": LATER, "createdAt": LATER}
    migrated["invoices"].insert_one(late)
    assert ExitCode.DONE == quick("backfill", "--confirm").code
    after = look()

    seen = ("backup", "application-tested", "sign-in")
    assert {"done"} == {before[line] for line in seen} == {after[line] for line in seen}


def test_what_was_there_before_is_no_reason_to_doubt_a_validation(quick, migrated):
    """The evidence is what the line is about: what is critical, and caused by the migration."""
    migrated["invoices"].create_index("obsolete")
    lines = quick("checklist", "--watch", "0", "--json").json["lines"]
    (validated,) = [line for line in lines if line["id"] == "validated"]

    assert ("done", {"count": 0}) == (validated["state"], validated["values"])


def test_a_new_document_without_a_workspace_is_a_failure(look, migrated):
    """An application that does not stamp what it writes is noticed."""
    migrated["invoices"].insert_one(
        {"_id": ObjectId.from_datetime(LATER), "createdBy": USERS[0], "number": "900002"}
    )

    assert LineState.FAILED == look()["new-documents"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_new_document_that_a_run_quarantined_is_told_of_as_such(quick, migrated, language):
    """It waits for a person, and a line that is ticked does not say that it failed."""
    migrated["invoices"].insert_one({"_id": ObjectId.from_datetime(LATER), "number": "900004"})
    assert ExitCode.QUARANTINED == quick("backfill", "--confirm").code
    lines = quick("checklist", "--watch", "0", "--json").json["lines"]
    (line,) = [each for each in lines if each["id"] == "new-documents"]
    said = quick("checklist", "--watch", "0", "--lang", language).out

    assert ("done", {"count": 1, "without": 1}) == (line["state"], line["values"])
    assert {"en": "quarantined: 1", "fr": "quarantaine : 1"}[language] in said


def test_the_optional_line_alone_does_not_keep_the_checklist_open(quick, migrated):
    """People work with the new structure, and the old collection may stay where it is."""
    workspace = migrated["member"].find_one({"userId": USERS[0]})["organizationId"]
    migrated["session"].insert_one({"userId": USERS[0], "createdAt": LATER})
    new = {"_id": ObjectId.from_datetime(LATER), "createdBy": USERS[0], "number": "900005"}
    migrated["invoices"].insert_one({**new, "workspaceId": workspace})
    answer = quick("checklist", "--watch", "0")

    assert ExitCode.DONE == answer.code, answer.out
    assert "(optional)" in answer.out
    assert "Next: newbi-migrate finalize --keep --dry-run" in answer.out


def test_a_finalized_database_has_its_old_collection_set_aside(look, quick, migrated):
    """The last line that nothing but `finalize` ticks."""
    quick("finalize", "--keep", "--confirm")

    assert "done" == look()["legacy-users-set-aside"]


def test_status_carries_the_short_form(quick, migrated):
    """How many are ticked, and what is next; nobody watched and nothing was validated."""
    answer = quick("status")
    value = quick("status", "--json").json["checklist"]

    assert {"ticked": 4, "lines": len(LineId), "next": "validated"} == value
    short = f"Checklist: 4 of {len(LineId)} ticked; next: 'The validation passed'."
    assert short in answer.out


@pytest.mark.parametrize("ending", ["html", "xml", "ndjson", "json"])
def test_every_report_carries_the_short_form(quick, migrated, tmp_path, ending):
    """What the command itself has proved is ticked in it."""
    path = tmp_path / f"report.{ending}"
    quick("validate", "--report", path)
    text = path.read_text("utf-8")

    assert "5 of 15 ticked" in text or '"ticked": 5' in text
    assert "application was tested" in text or '"next": "application-tested"' in text


def test_what_a_plan_was_compared_with_is_ticked_in_its_report(quick, clean, tmp_path):
    """A plan that names a backup and a rehearsal has looked at both."""
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    quick("plan", "--output", "rehearsed.json")
    quick("plan", "--backup", backup, "--rehearsed", "rehearsed.json", "--report", "plan.ndjson")
    first = (tmp_path / "plan.ndjson").read_text("utf-8").splitlines()[0]

    assert 4 == json.loads(first)["checklist"]["ticked"]


def test_a_database_that_moved_on_since_everything_was_made_fails_wholly(
    look, quick, clean, tmp_path
):
    """Backup and rehearsal are of another database now; the others are as before."""
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    quick("plan", "--output", "rehearsed.json")
    arguments = ("--backup", backup, "--rehearsed", "rehearsed.json")
    before = look(*arguments)
    clean["Users"].insert_one(legacy_user(6, email="JEANNE0@exemple.fr"))
    after = look(*arguments)

    assert before | {"backup": "failed", "rehearsed": "failed"} == after
    assert ("done", "done") == (before["backup"], before["rehearsed"])


def test_a_migrated_database_is_ticked_from_top_to_bottom(look, quick, migrated):
    """Once people work in it and the old collection is set aside, only a person is asked.

    What was done before the migration began, nothing shows any more.
    """
    workspace = migrated["member"].find_one({"userId": USERS[0]})["organizationId"]
    migrated["session"].insert_one({"userId": USERS[0], "createdAt": LATER})
    invoice = {"_id": ObjectId.from_datetime(LATER), "createdBy": USERS[0], "number": "900001"}
    migrated["invoices"].insert_one({**invoice, "workspaceId": workspace})
    quick("finalize", "--keep", "--confirm")
    answer = quick("checklist", "--watch", "0")

    unseen = {"application-stopped", "rehearsed", "planned", "monitoring", "regular-backups"}

    assert {line: "asked" if line in unseen else "done" for line in LineId} == look()
    assert ExitCode.DONE == answer.code
    assert "Next:" not in answer.out


def test_late_documents_that_a_run_quarantined_do_not_fail_a_line(quick, migrated):
    """They wait for a person, and no command could stamp them."""

    def line():
        lines = quick("checklist", "--watch", "0", "--json").json["lines"]
        return next(each["state"] for each in lines if each["id"] == "new-documents")

    later = ObjectId.from_datetime(datetime.now(UTC) + timedelta(hours=1))
    migrated["invoices"].insert_one({"_id": later, "createdBy": ObjectId(), "number": "late"})
    came = line()
    quick("migrate", "--confirm")

    assert ("failed", "done") == (came, line())


def test_the_page_of_the_checklist_has_every_mark(quick, migrated):
    """Whoever finds one on the screen reads there what it means."""
    page = (Path(__file__).parents[2] / "docs" / "rehearse.md").read_text("utf-8")
    said = " ".join(quick("checklist", "--watch", "0").out.split())
    marks = ("[x]", "[ ]", "[?] to check")

    for mark in (*marks, "[!] failed"):
        assert f"`{mark}`" in page
    assert all(mark in said for mark in marks)


def test_an_open_line_names_a_command_that_can_be_typed(quick, clean, uri, tmp_path):
    """With the files that were given, looking first where it drops, and no option it lacks."""
    (tmp_path / "place.uri").write_text(uri)
    (tmp_path / "place.uri").chmod(0o600)
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    quick("plan", "--output", "rehearsed.json")
    given = ("--backup", backup, "--rehearsed", "rehearsed.json", "--uri-file", "place.uri")
    answer = quick("checklist", "--watch", "0", *given)
    last = f"--backup {backup} --uri-file place.uri"
    said = " ".join(answer.out.split())

    assert f"newbi-migrate plan --output plan.json --rehearsed rehearsed.json {last}" in said
    assert f"newbi-migrate migrate --plan plan.json {last}" in said
    # What comes after the migration has its turn once that is done.
    later = "newbi-migrate finalize --keep --dry-run --uri-file place.uri"
    assert not any(f"newbi-migrate {one}" in said for one in ("backfill", "finalize", "smoke"))
    quick("migrate", "--confirm")
    clean["invoices"].insert_one({"_id": ObjectId.from_datetime(LATER), "createdBy": USERS[0]})
    after = " ".join(quick("checklist", "--watch", "0", *given[-2:]).out.split())
    assert "newbi-migrate backfill --dry-run --uri-file place.uri" in after
    assert later in after
    assert "newbi-migrate smoke --url URL --email EMAIL After" in after


def test_french_has_the_same_lines(quick, clean):
    """Each with its command; and nothing is left in the other language."""
    answer = quick("checklist", "--watch", "0", "--lang", "fr")

    assert ExitCode.PENDING == answer.code
    assert "Avant la migration" in answer.out
    assert "Sauvegarde faite juste avant : newbi-migrate backup" in answer.out
    assert "Before" not in answer.out


def test_what_is_ticked_is_said_in_french(quick, clean, tmp_path):
    """Nothing English is left where a line is done."""
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    quick("plan", "--output", "rehearsed.json")
    given = ("--backup", backup, "--rehearsed", "rehearsed.json")
    answer = quick("checklist", "--watch", "0", "--lang", "fr", *given)
    said = " ".join(answer.out.split())

    assert "conforme à la base" in said
    assert "chaque décision est celle de la répétition" in said
    assert "The backup" not in said


def test_what_failed_and_what_was_not_named_is_said_in_french(quick, clean, tmp_path):
    """Doctor's English sentence is not quoted: a French one says where to look."""
    unnamed = " ".join(quick("checklist", "--watch", "0", "--lang", "fr").out.split())
    quick("backup", "--output-dir", "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    clean["Users"].insert_one(legacy_user(5))
    stale = quick("checklist", "--watch", "0", "--lang", "fr", "--backup", backup)
    said = " ".join(stale.out.split())

    assert "aucune n'est indiquée (--backup DIR)" in unnamed
    assert "newbi-migrate doctor --backup le précise" in said
    assert "has changed" not in said


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_count_of_nothing_is_a_sentence(quick, migrated, language):
    """After a migration nobody has signed in, and nothing has come: no bare number says so."""
    answer = quick("checklist", "--watch", "0", "--lang", language)
    said = " ".join(answer.out.split())

    assert " 0 " not in said.replace("migration: 0", "").replace("migration : 0", "")
    assert ("nobody has signed in" if language == "en" else "personne ne s'est connecté") in said


def test_a_backup_that_nobody_named_is_asked_for(quick, clean):
    """Who has just made one is told how to name it, not only to make another."""
    answer = quick("checklist", "--watch", "0")

    assert "none named (--backup DIR)" in " ".join(answer.out.split())
