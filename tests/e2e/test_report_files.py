"""``--report`` on every command that has one: what is written, where, and for whose eyes."""

from __future__ import annotations

import json
import stat

import pytest
from pages import Page, junit

from newbi_migrate.errors import ExitCode

ENDS = ("html", "xml", "ndjson", "json")


@pytest.fixture
def reports(tmp_path):
    """A report in each format: their paths by format, and the arguments that ask for them."""
    paths = {end: tmp_path / f"report.{end}" for end in ENDS}
    return paths, [part for path in paths.values() for part in ("--report", path)]


def read(paths):
    """The page, the cases, the lines and the value of four reports."""
    text = {end: path.read_text("utf-8") for end, path in paths.items()}
    lines = [json.loads(line) for line in text["ndjson"].splitlines()]
    return Page(text["html"]), junit(text["xml"]), lines, json.loads(text["json"])


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("plan", []),
        ("migrate", ["--dry-run"]),
        ("migrate", ["--confirm"]),
        ("backfill", ["--dry-run"]),
    ],
    ids=["plan", "dry run", "migrate", "backfill"],
)
def test_all_formats_of_a_report_agree_with_the_answer(quick, dirty, reports, command, more):
    """One call writes all four, privately, and each says what the command answered."""
    paths, arguments = reports
    answer = quick(command, *more, *arguments, "--json")
    page, cases, lines, value = read(paths)
    quarantined = len(answer.json["quarantine"])

    assert {command} == {value.pop("report")["command"], lines[0]["command"]}
    value.pop("emails", None)
    assert answer.json == value
    assert f"Exit code {answer.code}" in page.text
    assert quarantined == sum(line["type"] == "quarantined" for line in lines)
    assert 0 < int(cases.get("failures"))
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in paths.values()}
    assert 4 == answer.err.count("The report was written to ")


def test_a_validation_is_reported(quick, dirty, reports):
    """What is broken and who was quarantined is in all four, and the code is the same."""
    paths, arguments = reports
    quick("migrate", "--confirm")
    dirty["member"].delete_many({})
    answer = quick("validate", *arguments, "--json", "--detailed")
    page, cases, lines, value = read(paths)

    assert ExitCode.VALIDATION_FAILED == answer.code == lines[0]["exitCode"]
    assert {"validate"} == {value.pop("report")["command"], lines[0]["command"]}
    assert answer.json == value
    assert "organization.has-owner" in page.text
    assert 0 < int(cases.get("failures"))
    assert len(answer.json["violations"]) == sum(line["type"] == "violation" for line in lines)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (["--dry-run"], ExitCode.ROLLBACK_CONFLICTS),
        (["--confirm", "--on-conflict", "keep"], ExitCode.DONE),
    ],
    ids=["stop", "keep"],
)
def test_a_rollback_is_reported(quick, clean, reports, how, code):
    """What is in the way is in all four, and the code is the same."""
    paths, arguments = reports
    quick("migrate", "--confirm")
    clean["invoices"].update_one({}, {"$set": {"workspaceId": "mine"}})
    answer = quick("rollback", *how, *arguments, "--json")
    page, cases, lines, value = read(paths)

    assert code == answer.code == lines[0]["exitCode"]
    assert {"rollback"} == {value.pop("report")["command"], lines[0]["command"]}
    assert answer.json == value
    assert "Conflicts" in page.text
    assert bool(code) is bool(int(cases.get("failures")))
    assert 1 == sum(line["type"] == "conflict" for line in lines)


def test_an_email_is_masked_unless_it_is_asked_for(quick, dirty, tmp_path):
    """A report shows two letters of an address, or all of it where somebody wanted that."""
    masked, full = tmp_path / "masked.html", tmp_path / "full.html"
    quick("plan", "--report", masked)
    quick("plan", "--report", full, "--show-personal-data")

    assert "j***@e***.fr" in masked.read_text("utf-8")
    assert "exemple.fr" not in masked.read_text("utf-8")
    assert "jeanne0@exemple.fr" in full.read_text("utf-8")


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(quick, clean, tmp_path):
    """The run does not begin, and neither the file nor the database was touched."""
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>", "utf-8")
    answer = quick("migrate", "--confirm", "--report", mine)

    assert ExitCode.USAGE == answer.code
    assert "is not a report" in answer.sentence
    assert "<p>mine</p>" == mine.read_text("utf-8")
    assert {"Users", "invoices"} == set(clean.list_collection_names())


def test_a_failed_command_leaves_no_report(quick, tmp_path):
    """A report is of a result; where there is none, no empty file pretends there was."""
    path = tmp_path / "report.html"
    answer = quick("plan", "--report", path)

    assert answer.code not in {ExitCode.DONE, ExitCode.QUARANTINED}
    assert not path.exists()


def test_a_run_that_could_not_be_reported_is_done_all_the_same(quick, clean, tmp_path, monkeypatch):
    """That is said, the answer is given, and a code of 0 becomes 10."""
    from newbi_migrate.report import writing

    path = tmp_path / "report.html"
    checked = writing.refuse_as_report

    def spoil(*arguments):
        checked(*arguments)
        path.write_text("somebody else's", "utf-8")

    monkeypatch.setattr(writing, "refuse_as_report", spoil)
    answer = quick("migrate", "--confirm", "--report", path)

    assert ExitCode.LOCAL_FILE == answer.code
    assert "The report was not written" in answer.sentence
    assert "Done in the database" in answer.out
    assert 3 == clean["organization"].count_documents({})


def test_a_defect_in_a_report_loses_no_answer(quick, dirty, tmp_path, monkeypatch):
    """Whatever goes wrong with the report, what the command found out is printed."""
    from newbi_migrate.report import writing

    def fail(*arguments, **more):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(writing, "write_report", fail)
    answer = quick("plan", "--json", "--report", tmp_path / "report.html")

    assert ExitCode.QUARANTINED == answer.code == answer.json["exitCode"]
    assert "The report was not written: ZeroDivisionError" in answer.sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--report", "report.txt"], "cannot be told from its name"),
        (["--show-personal-data"], "none was asked for"),
        (["--output", "a.json", "--report", "./a.json"], "named twice"),
    ],
)
def test_a_report_nobody_can_mean_is_refused(quick, clean, arguments, words):
    """A name without a format, personal data without a report, one file for two things."""
    answer = quick("plan", *arguments)

    assert ExitCode.USAGE == answer.code
    assert words in answer.sentence
