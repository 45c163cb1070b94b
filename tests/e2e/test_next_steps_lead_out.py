"""What is proposed is accepted, keeps the choices of the migration, and leads out."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from interrupting import interrupt
from small_legacy import USERS, legacy_user

from newbi_migrate import ExitCode, Migration


def following(answer):
    """The command that an answer proposes."""
    lines = answer.out.splitlines() + answer.err.splitlines()
    (line,) = [line for line in lines if line.lower().startswith("next: ")]
    return line[len("next: ") :]


@pytest.mark.parametrize("command", ["backfill", "migrate"])
def test_a_run_after_the_legacy_users_were_dropped_is_finished_by_what_comes_next(
    quick, clean, uri, command
):
    """Its record names a collection that is not there any more."""
    quick("migrate", "--confirm")
    assert ExitCode.DONE == quick("finalize", "--confirm").code
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "late"})
    interrupt(uri, Migration.backfill if command == "backfill" else Migration.apply, "rescan")
    named = following(quick("status"))
    finished = quick(*shlex.split(named)[1:], "--confirm")

    assert ExitCode.DONE == finished.code, (named, finished.err)
    assert ExitCode.DONE == quick("status").code


def test_what_a_restore_in_place_left_without_a_workspace_keeps_the_choices_of_the_migration(
    quick, clean
):
    """As `status` proposes: with others, a backfill rewrites owners that were to be kept."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("migrate", "--alias-owners", "keep", "--confirm")
    restored = quick("restore", "--drop", "--collections", "invoices", "--confirm", backup)
    status = following(quick("status"))

    assert "newbi-migrate backfill --alias-owners keep --dry-run" == status
    assert status == following(restored)


def test_the_checklist_proposes_for_late_documents_what_the_status_does(quick, clean):
    """With the choices of the migration."""
    quick("migrate", "--alias-owners", "keep", "--confirm")
    later = ObjectId.from_datetime(datetime.now(UTC) + timedelta(hours=1))
    clean["invoices"].insert_one({"_id": later, "createdBy": USERS[0], "number": "late"})
    listed = " ".join(quick("checklist", "--watch", "0").out.split())

    assert following(quick("status")) in listed


def test_what_is_said_of_damaged_records_leads_to_the_same_connection_string(
    quick, clean, uri, tmp_path
):
    """A restore that drops is not to be copied for whatever MONGODB_URI or .env names."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_runs"].drop()
    (tmp_path / "p.uri").write_text(uri + "\n", "utf-8")
    status = quick("status", "--uri-file", "p.uri", uri=None)
    failed = quick("rollback", "--dry-run", "--uri-file", "p.uri", uri=None)

    placed = "newbi-migrate restore --uri-file p.uri --drop BACKUP"
    assert placed in " ".join(failed.err.split())
    assert placed in " ".join(status.out.split())


def test_a_validation_of_some_rules_does_not_tick_that_the_validation_passed(quick, clean):
    """Nobody asked the others, one of which fails."""
    quick("migrate", "--confirm")
    clean["Users"].insert_one(legacy_user(5))
    whole = quick("validate", "--report", "whole.ndjson")
    part = quick("validate", "--only", "member.*", "--report", "part.ndjson")
    first = json.loads(Path("part.ndjson").read_text("utf-8").splitlines()[0])

    assert (ExitCode.PENDING, ExitCode.DONE) == (whole.code, part.code)
    assert "validated" == first["checklist"]["next"]


def test_a_rehearsal_that_no_longer_holds_leads_to_one_with_its_choices_and_its_file(quick, clean):
    """Else the checklist compares with the old file again, and proposes the same for ever."""
    chosen = ("--aliases", "all")
    quick("plan", "--output", "rehearsed.json", *chosen)
    clean["Users"].insert_one(legacy_user(6, email="JEANNE0@exemple.fr"))
    backup = quick("backup", "--no-exports", "--json").json["path"]
    given = ("--backup", backup, "--rehearsed", "rehearsed.json")
    planned = following(quick("plan", *given, *chosen))
    answer = quick("checklist", *given, "--watch", "0")

    assert f"newbi-migrate rehearse {backup} --aliases all --output rehearsed.json" == planned
    assert planned == following(answer)


def test_the_end_without_keep_waits_for_documents_that_are_quarantined_too(quick, clean):
    """What is named next is refused until they are settled."""
    clean["invoices"].insert_one({"createdBy": ObjectId(), "number": "personne"})
    assert ExitCode.QUARANTINED == quick("migrate", "--confirm").code
    quick("finalize", "--keep", "--confirm")
    again = following(quick("finalize", "--keep", "--confirm"))
    ended = quick("finalize", "--dry-run")

    assert ExitCode.USAGE == ended.code
    assert "Quarantined documents" in ended.sentence
    assert again == (
        "once nobody wants to go back and the quarantined are settled, "
        "newbi-migrate finalize --dry-run"
    )
