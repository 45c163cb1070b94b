"""What stands after "Next:": each command names the one that the run book has after it."""

from __future__ import annotations

import shlex

import pytest
from small_legacy import USERS

from newbi_migrate import ExitCode


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
    planned = quick(*command(backup))
    migrated = quick(*command(planned), "--confirm")
    validated = quick(*command(migrated))
    end = shlex.split(following(validated).rpartition("newbi-migrate ")[2])
    looked = quick(*end)
    finished = quick(*command(looked), "--confirm")

    assert ["migrate", "--dry-run", "--backup", folder] == command(backup)
    assert ["migrate", "--backup", folder] == command(planned)
    assert ["validate", "--unchanged"] == command(migrated)
    assert following(validated).startswith("start the application, then newbi-migrate smoke")
    assert ["finalize", "--dry-run"] == end
    assert [ExitCode.DONE] * 3 == [validated.code, looked.code, finished.code]
    assert (["finalize"], ["backup"]) == (command(looked), command(finished))


@pytest.mark.parametrize("again", [("migrate", "--confirm"), ("backfill", "--confirm"), ("plan",)])
def test_where_nothing_is_left_to_write_the_next_command_is_the_proof(quick, clean, again):
    """A complete run, the same once more, and a plan of nothing all lead to `validate`."""
    first = quick("migrate", "--confirm")
    second = quick(*again)

    assert ["validate"] == command(first) == command(second) == command(quick("status"))


def test_where_users_are_left_out_the_end_keeps_their_collection(quick, dirty):
    """They are in the collection of legacy users alone, so `finalize` without --keep refuses."""
    quick("migrate", "--confirm")

    assert following(quick("validate")).endswith("newbi-migrate finalize --keep --dry-run")


def test_documents_that_a_run_left_out_lead_to_no_run_that_leaves_them_out_again(quick, dirty):
    """`status` counts them and names the proof, until one comes in that nobody has left out."""
    quick("migrate", "--confirm")
    known = quick("status")
    dirty["invoices"].insert_one({"createdBy": USERS[0]})
    late = quick("status")

    assert "left out by the last run" in known.out
    assert (["validate"], ["backfill", "--dry-run"]) == (command(known), command(late))


def test_a_later_run_over_other_collections_leaves_known_what_was_left_out(quick, dirty):
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


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("plan", ["plan", "--legacy-collection", "Users"]),
        ("migrate", ["migrate", "--dry-run", "--legacy-collection", "Users", "--backup", "B"]),
        ("validate", ["validate", "--legacy-collection", "Users"]),
        ("rollback", ["rollback", "--dry-run"]),
        ("finalize", ["finalize", "--dry-run"]),
        ("backup", ["backup"]),
    ],
)
def test_a_diagnosis_leads_to_what_it_was_for(purpose, expected):
    """With what was named for it; and to a look first, where that command writes."""
    from newbi_migrate.cli.following import after_diagnosis

    words = shlex.split(after_diagnosis(purpose, "B", "Users", ()))

    assert expected == words[1:]


def test_an_ended_lease_leads_to_what_it_had_held_up(quick, clean):
    """`unlock` names `status`, which knows the run."""
    assert ["status"] == command(quick("unlock"))
