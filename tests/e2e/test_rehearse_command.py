"""``rehearse`` as people run it, and the comparison with it afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pages import Page
from small_legacy import USERS, legacy_user

from newbi_migrate.backup.encrypt import new_identity
from newbi_migrate.errors import ExitCode


@pytest.fixture
def backup(quick, clean, tmp_path):
    """The folder of a backup of the clean database."""
    assert ExitCode.DONE == quick("backup", "--output-dir", "backups").code
    (path,) = (tmp_path / "backups").iterdir()
    return path


@pytest.fixture
def rehearsed(newbi, backup, tmp_path):
    """The answer of a rehearsal on a server of its own, and the file of its decisions."""
    path = tmp_path / "rehearsed.json"
    files = ("--output", path, "--report", tmp_path / "rehearsal.html", "--work-dir", tmp_path)
    answer = newbi("rehearse", backup, *files, "--json", uri=None)
    return answer, path


@pytest.mark.slow
def test_the_answer_is_go_and_the_decisions_are_compared_on_the_night(
    rehearsed, quick, clean, tmp_path
):
    """Go, with the commands; then newcomers are counted, and another decision is named."""
    answer, path = rehearsed
    same = quick("plan", "--rehearsed", path)
    clean["Users"].insert_one(legacy_user(5))
    newcomer = quick("plan", "--rehearsed", path, "--json")
    clean["Users"].insert_one(legacy_user(6, email="JEANNE0@exemple.fr"))
    other = quick("plan", "--rehearsed", path)
    migrated = quick("migrate", "--rehearsed", path, "--confirm")

    assert (ExitCode.DONE, "go") == (answer.code, answer.json["verdict"]), answer.err
    assert any(line.startswith("newbi-migrate migrate") for line in answer.json["night"])
    assert not list(tmp_path.glob("newbi-*"))
    assert ExitCode.DONE == same.code
    assert "as in the rehearsal" in same.out
    assert (ExitCode.DONE, 1) == (newcomer.code, newcomer.json["sinceRehearsal"]["newUsers"])
    assert ExitCode.PENDING == other.code
    assert str(USERS[0]) in other.out
    assert ExitCode.PENDING == migrated.code
    assert str(USERS[0]) in migrated.err
    assert 0 == clean["user"].count_documents({})


@pytest.mark.slow
def test_the_page_has_the_commands_of_the_night(rehearsed, tmp_path):
    """Whoever prints it types them from paper; the checklist of production is not asked."""
    answer, _ = rehearsed
    page = Page((tmp_path / "rehearsal.html").read_text("utf-8")).text

    assert "newbi-migrate smoke --url URL --email EMAIL" == answer.json["night"][-1]
    assert all(line in page for line in answer.json["night"])
    assert "Checklist:" not in page


@pytest.mark.slow
def test_a_migration_as_rehearsed_goes_through(rehearsed, quick, clean):
    """Nobody has come, so it does what was rehearsed; the decisions hold no personal data."""
    _, path = rehearsed
    migrated = quick("migrate", "--rehearsed", path, "--confirm")

    assert ExitCode.DONE == migrated.code, migrated.err
    assert 3 == clean["user"].count_documents({})
    assert "@" not in path.read_text("utf-8")
    assert json.loads(path.read_text("utf-8"))["database"] == clean.name


@pytest.mark.slow
def test_no_go_ends_with_3_whichever_step_failed(newbi, backup):
    """A damaged backup fails the first step, whose own code stands beside it."""
    (data,) = backup.rglob("invoices.bson*")
    data.write_bytes(data.read_bytes()[:-1])
    answer = newbi("rehearse", backup, "--json", uri=None)

    assert (ExitCode.PENDING, "no-go") == (answer.code, answer.json["verdict"]), answer.err
    assert [ExitCode.LOCAL_FILE] == [step["exitCode"] for step in answer.json["steps"]]
    assert [] == answer.json["night"]


@pytest.mark.slow
def test_no_go_leads_to_a_rehearsal_of_another_backup_with_the_same_choices(quick, newbi, clean):
    """The same backup would be refused again, and so would one that the key is missing for."""
    identity, public = new_identity()
    Path("key.txt").write_text(f"{identity}\n")
    made = quick("backup", "--no-exports", "--recipient", str(public), "--json").json["path"]
    (data,) = Path(made).rglob("invoices.bson*")
    data.write_bytes(data.read_bytes()[:-1])
    chosen = ("--identity", "key.txt", "--duplicate-emails", "keep-normalized")
    answer = newbi("rehearse", *chosen, made, uri=None)

    assert ExitCode.PENDING == answer.code, answer.err
    assert (
        "Next: once that is put right, newbi-migrate backup --recipient KEY and, with its folder, "
        "newbi-migrate rehearse DIR --identity key.txt --duplicate-emails keep-normalized"
    ) == answer.out.splitlines()[-1]


@pytest.mark.slow
def test_a_rehearsal_that_quarantines_leads_to_a_decision(newbi, dirty, backup):
    """The commands of the night stay as they can be copied."""
    answer = newbi("rehearse", backup, uri=None)
    first = "newbi-migrate backup --output-dir backups"

    assert ExitCode.QUARANTINED == answer.code, answer.err
    assert f"Next: once a person has decided, {first}" == answer.out.splitlines()[-1]
    assert first in [line.strip() for line in answer.out.splitlines()]


@pytest.mark.slow
def test_without_a_server_one_sentence_says_what_to_do(newbi, backup):
    """Neither the extra nor a mongod: where to get one, or which option names another."""
    answer = newbi("rehearse", backup, uri=None, NEWBI_MONGOD="/nowhere/mongod")

    assert ExitCode.UNREACHABLE == answer.code
    assert "/nowhere/mongod" in answer.sentence


@pytest.mark.slow
def test_the_connection_string_of_production_is_not_looked_at(newbi, backup, clean):
    """What MONGODB_URI names is never opened: nonsense there harms nothing."""
    before = clean.command("dbStats")["objects"]
    answer = newbi("rehearse", backup, uri="nonsense")

    assert ExitCode.DONE == answer.code, answer.err
    assert before == clean.command("dbStats")["objects"]


def test_a_plan_and_a_rehearsal_are_not_followed_together(quick, clean, tmp_path):
    """Which of the two counts would be a guess."""
    answer = quick("migrate", "--plan", "a", "--rehearsed", "b", "--confirm")

    assert ExitCode.USAGE == answer.code
