"""The page on JSON answers lists the keys that the commands answer, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newbi_migrate.answers import answer
from newbi_migrate.report.answers import answers_page
from newbi_migrate.smoke.story import SmokeResult

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
_INNER = {
    "UserLine": ("plan", "users"),
    "QuarantinedDocument": ("plan", "quarantine"),
    "RunRecord": ("status", "runs"),
    "Check": ("doctor", "checks"),
    "RuleResult": ("validate", "rules"),
    "FoundViolation": ("validate", "violations"),
}


def documented(section, level="##"):
    """Every key that the table of a section names in its first column."""
    _, _, text = PAGE.read_text("utf-8").partition(f"\n{level} {section}\n")
    assert text, section
    rows = re.findall(r"^\| (`.*?) \|", re.split(r"\n##", text)[0], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


@pytest.fixture
def answers(quick, dirty):
    """What each command answers on a small database that is backed up, migrated and taken back."""
    elsewhere = f"{dirty.name}_elsewhere"
    found = {"An error": quick("migrate", "--json").json["error"]}
    found["backup --dry-run"] = quick("backup", "--dry-run", "--json").json
    found["backup"] = quick("backup", "--json").json
    path = found["backup"]["path"]
    found["backup --exports-only"] = quick("backup", "--exports-only", path, "--json").json
    found["verify-backup"] = quick("verify-backup", "--compare", path, "--json").json
    found["doctor"] = quick("doctor", "--watch", 0, "--json").json
    found["plan"] = quick("plan", "--json").json
    found["migrate, backfill"] = quick("migrate", "--confirm", "--json").json
    found["status"] = quick("status", "--json").json
    found["validate"] = quick("validate", "--json").json
    found["indexes, finalize"] = quick("indexes", "--json").json
    found["rollback"] = quick("rollback", "--confirm", "--json").json
    found["unlock"] = quick("unlock", "--json").json
    restore = ("restore", "--database", elsewhere, path, "--json")
    found["restore --dry-run"] = quick(*restore, "--dry-run").json
    found["restore"] = quick(*restore, "--confirm").json
    dirty.client.drop_database(elsewhere)
    return found


@pytest.mark.slow
def test_each_answer_has_the_keys_its_section_lists(answers):
    """A key that was added, renamed or taken away is on the page with the same change."""
    whole = {name: answer for name, answer in answers.items() if "--dry-run" not in name}

    assert {name: set(answer) for name, answer in whole.items()} == {
        name: documented(name) for name in whole
    }


@pytest.mark.slow
def test_what_stands_within_an_answer_has_a_type_of_its_own(answers):
    """Of a dry run, and of what an answer lists, every key stands below its type."""
    for name in ("backup", "restore"):
        preview = f"{name.capitalize()}Preview"
        assert set(answers[f"{name} --dry-run"]) == documented(preview, level="###")
    for kind, (name, key) in _INNER.items():
        assert set(answers[name][key][0]) == documented(kind, level="###")
    assert set(answers["status"]["lease"]) == documented("LeaseState", level="###")


def test_the_page_is_what_the_types_of_the_answers_say():
    """It is written by a program; whoever changes a type runs it again."""
    assert answers_page() == PAGE.read_text("utf-8"), (
        "Run: python -m newbi_migrate.report.answers > docs/reference/json.md"
    )


def test_what_smoke_answers_is_named_too():
    """It needs no application to be seen: the keys do not depend on what was found."""
    assert set(answer(SmokeResult("https://app.example.com", ()))) == documented("smoke")
