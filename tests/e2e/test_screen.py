"""What a command shows of a database with the dirt of years fits on a screen."""

from __future__ import annotations

import pytest
from legacy_cases import build_dirty_database

from newbi_migrate import ExitCode
from newbi_migrate.demo.database import DemoDatabase
from newbi_migrate.mapping.workspace import Reason

LINES = 45
"""Some forty lines, with room for what wraps on a screen of 100 columns."""


@pytest.fixture
def screens(sync_database, quick, monkeypatch):
    """The screens of the demo's database: before a migration, of it, and after it."""
    monkeypatch.setenv("COLUMNS", "100")
    build_dirty_database(sync_database, seed=2025, users=40, documents_per_user=50, source="Users")
    plan, listed = quick("plan"), quick("plan", "--json").json
    migrate = quick("migrate", "--confirm")
    validate, checked = quick("validate"), quick("validate", "--json").json
    return {"plan": plan, "migrate": migrate, "validate": validate}, listed, checked


@pytest.mark.slow
def test_a_screen_is_enough_for_a_dirty_database(screens):
    """No list is longer than that; every reason and every critical rule is there all the same."""
    shown, plan, validation = screens
    reasons = {document["reason"] for document in plan["quarantine"]}
    critical = {r["rule"] for r in validation["rules"] if r["severity"] == "critical"}

    for command, answer in shown.items():
        assert LINES >= len(answer.out.splitlines()), command
        assert 100 >= max(map(len, answer.out.splitlines()[:-1])), command
        assert all(f"{reason} " in answer.out for reason in reasons), command
    assert len(reasons) > 10 < len(critical)
    assert all(f" {rule} (" in shown["validate"].out for rule in critical)
    assert ExitCode.DONE is ExitCode(shown["validate"].code)


@pytest.mark.slow
def test_a_screen_ends_with_the_numbers_and_the_next_command(screens):
    """The last paragraph but one is a summary of at most ten lines, of users to exit code."""
    for command, answer in screens[0].items():
        *_, summary, following = answer.out.strip().split("\n\n")

        assert following.startswith("Next: "), command
        assert 10 >= len(summary.splitlines()), command
        assert ("there before: " if command == "validate" else "Exit code 5") in summary


@pytest.mark.slow
def test_the_cause_stands_before_the_symptom(screens):
    """Users who are quarantined come before the documents that wait for them, in the same order."""
    shown, _, _ = screens
    order = [reason.value for reason in Reason]
    for answer in shown.values():
        places = {r: answer.out.index(f"{r} ") for r in order if f"{r} " in answer.out}

        assert places["email-missing"] < places["owner-quarantined"]
    listed = [
        [line.split()[1] for line in answer.out.splitlines() if line[:5].strip().isdigit()]
        for answer in (shown["plan"], shown["migrate"])
    ]

    assert listed[0] == listed[1]


@pytest.fixture
def demonstrated(uri, monkeypatch):
    """The database of the demo, and the width of a terminal that nobody has changed."""
    monkeypatch.setenv("COLUMNS", "80")
    with DemoDatabase(uri) as made:
        made.build(users=40, documents=2000, seed=2025)


@pytest.mark.slow
def test_a_rehearsal_fits_on_a_screen(demonstrated, quick, tmp_path):
    """The verdict, each step on a line, what is to be decided, and the commands of the night."""
    quick("backup", "--output-dir", "b", "--no-exports")
    (backup,) = (tmp_path / "b").iterdir()
    answer = quick("rehearse", backup.relative_to(tmp_path), "--work-dir", tmp_path, uri=None)
    steps = answer.out.split("Steps\n")[1].split("\n\n")[0]

    assert ExitCode.QUARANTINED == answer.code, answer.err
    assert LINES >= len(answer.out.splitlines())
    assert 13 == len(steps.splitlines())


@pytest.mark.slow
def test_what_is_told_in_full_fits_on_a_screen(demonstrated, quick, sync_database):
    """A backfill of what nobody migrated, and a validation of a run that was interrupted."""
    backfilled = quick("backfill", "--confirm")
    quick("migrate", "--confirm")
    runs = sync_database["newbi_migrate_runs"]
    runs.update_one({"command": "migrate"}, {"$set": {"state": "running"}})
    for name in ("products", "transactions", "tasks", "columns", "events"):
        sync_database[name].update_many({}, {"$unset": {"workspaceId": ""}})
    interrupted = quick("validate")

    for answer in (backfilled, interrupted):
        assert LINES >= len(answer.out.splitlines()), answer.out
