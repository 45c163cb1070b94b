"""Reports as files: a page, JUnit, NDJSON and JSON say the same, escaped and masked."""

from __future__ import annotations

import itertools
import json
import re
import stat
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files

import pytest
from hypothesis import given, strategies as st
from pages import Page, junit
from results import IDS, a_clean_plan, a_plan, a_result, a_rollback, a_rule, a_validation

from newbi_migrate import ExitCode, UsageError
from newbi_migrate.answers import answer
from newbi_migrate.choices import OnConflict
from newbi_migrate.errors import LocalFileError
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.masking import masked_email
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan_file import plan_lines
from newbi_migrate.migration.planning.results import CollectionSummary, Quarantine
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    RollbackOptions,
    RollbackResult,
)
from newbi_migrate.migration.validation.report import FailOn, Origin
from newbi_migrate.report.document import SHOWN, Document, State, timings_section, verdict_of
from newbi_migrate.report.html import html_report
from newbi_migrate.report.json import as_json
from newbi_migrate.report.junit import junit_report
from newbi_migrate.report.messages import FINDINGS, SIGN_IN_CURES, reasons_under
from newbi_migrate.report.migration import plan_document, result_document
from newbi_migrate.report.ndjson import ndjson_report
from newbi_migrate.report.rollback import rollback_document
from newbi_migrate.report.validation import validation_document
from newbi_migrate.report.writing import FORMATS, refuse_as_report, write_report
from newbi_migrate.rules import Severity

REASONS = reasons_under(MigrationOptions())
DAY = datetime(2025, 8, 14, 9, 30, tzinfo=UTC)
NASTY = "<script>alert('&')</script>"
EMAILS = {str(IDS[0]): "j***@e***.fr"}


def html(document):
    return "".join(html_report(document, written_at=DAY))


def xml(document):
    return "".join(junit_report(document, written_at=DAY))


def lines(document):
    return [json.loads(line) for line in ndjson_report(document, written_at=DAY)]


def words(text):
    return " ".join(text.split())


# -- the page ---------------------------------------------------------------------------------


def test_a_page_tells_where_users_and_documents_went():
    """Users by outcome, documents before and after, reasons, time, the next command."""
    page = Page(html(result_document(a_result(), command="migrate", next_command="x status")))
    text = words(page.text)

    assert f"run {IDS[30]}" in text
    assert "1 created: with a new user, organization and membership 33 %" in text
    assert "before6 no workspaceId, 1 right already" in text
    assert "after2 in the right workspace, 5 left unchanged" in text
    assert REASONS[Reason.OWNER_UNKNOWN] in text
    assert "documents.invoices0.20 s" in text
    assert "Next: x status" in text
    assert "Exit code 5" in text


def test_a_page_asks_for_nothing_and_runs_nothing():
    """No script, no handler, no address of anything; its policy forbids them too."""
    text = html(plan_document(a_plan()))
    page = Page(text)
    (policy,) = (m for m in page.all("meta") if "http-equiv" in m)

    assert "default-src 'none'" in policy["content"]
    assert not page.all("script")
    assert [{"rel": "icon", "href": "data:,"}] == page.all("link")
    assert not [a for _, a in page.elements for name in a if name in {"src", "srcset", "action"}]
    assert not [a for _, a in page.elements for name in a if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", text)


def test_a_page_can_be_used_without_eyes_or_mouse():
    """It has a language, a title, headings in order, captions, and headers for every row."""
    page = Page(html(result_document(a_result(), command="migrate")))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    ids = [a["id"] for _, a in page.elements if "id" in a]

    assert {"lang": "en"} in page.all("html")
    assert 1 == len(page.all("title")) == headings.count(1)
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    assert len(page.all("table")) == len(page.all("caption")) > 0
    assert {"col", "row"} == {a["scope"] for a in page.all("th")}
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= set(ids)


def test_what_is_stored_is_text_on_a_page_and_in_xml():
    """A collection or an id that looks like markup is shown as it is called."""
    plan = a_plan(
        database=NASTY,
        collections={NASTY: CollectionSummary(NASTY, 1, stamped=1)},
        not_registered={NASTY: 1},
    )
    plan.quarantine.add(NASTY, NASTY, Reason.OWNER_UNKNOWN, [NASTY])
    document = plan_document(plan, emails={str(IDS[0]): NASTY}, next_command=NASTY)
    page = Page(html(document))

    assert not page.all("script")
    assert 5 < page.text.count(NASTY)
    assert NASTY in {suite.get("name") for suite in junit(xml(document)).iter("testsuite")}


@given(st.text(), st.text())
def test_whatever_is_stored_a_report_is_well_formed(name, identifier):
    """No name and no id breaks a page or an XML document, or leaves a line of NDJSON."""
    quarantine = Quarantine()
    quarantine.add(name, identifier, Reason.OWNER_UNKNOWN, [identifier])
    document = plan_document(a_plan(quarantine=quarantine, source=name))
    text = xml(document)

    assert Page(html(document)).all("table")
    assert junit(text) is not None
    assert {"collection", "user", "quarantined", "report", "finding", "index", "collision"} == {
        line["type"] for line in lines(document)
    }


def test_a_long_table_is_cut_and_says_so():
    """The page holds the first rows of a table and the number of the others; NDJSON has all."""
    names = {f"c{n}": CollectionSummary(f"c{n}", 1) for n in range(SHOWN + 11)}
    document = plan_document(a_plan(collections=names))

    assert "and 11 more, which an NDJSON report lists" in words(Page(html(document)).text)


@pytest.mark.parametrize("code", SIGN_IN_CURES)
def test_whoever_cannot_sign_in_or_should_not_has_a_row_on_the_page(code):
    """Each with the document to look at and the cure, all of them and not the first few."""
    findings = tuple(Finding(code, "Users", identifier, "email") for identifier in IDS[:9])
    text = words(Page(html(plan_document(a_plan(findings=findings)))).text)
    section = text[text.index("Users who cannot sign in, or should not") :]

    assert 9 == section.count(FINDINGS[code])
    assert "Worth knowing" not in text
    assert all(str(identifier) in section for identifier in IDS[:9])


def test_users_who_need_a_decision_come_first():
    """The one who is quarantined stands above the ones who are not."""
    text = html(plan_document(a_plan(), emails=EMAILS))
    text = text[text.index("Users one by one") :]

    assert text.index(str(IDS[1])) < text.index(str(IDS[2])) < text.index(str(IDS[0]))
    assert "j***@e***.fr" in text


def _relative_luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    high, low = sorted(map(_relative_luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_text_can_be_read_on_its_ground(scheme):
    """Text has a contrast of 4.5 to 1 and more, in both schemes and on paper."""
    css = files("newbi_migrate.report").joinpath("page.css").read_text("utf-8")
    block = [b for b in re.findall(r":root \{(.*?)\}", css, re.DOTALL) if "--ground" in b][scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))

    for ground in ("ground", "card"):
        for text in ("text", "soft", "good", "new", "odd", "bad", "plain"):
            assert 4.5 <= _contrast(colours[text], colours[ground]), (ground, text)


# -- JUnit ------------------------------------------------------------------------------------


def test_a_pipeline_sees_a_failure_for_each_thing_to_settle():
    """Each reason in each collection and each index is a case; a failure says what helps."""
    root = junit(xml(result_document(a_result(), command="migrate")))
    failures = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    owners = failures["nothing is quarantined as owner-unknown"]

    assert f"5 users or documents quarantined: {REASONS[Reason.OWNER_UNKNOWN]}" == owners.get(
        "message"
    )
    assert f"invoices {IDS[10]} createdBy" in owners.text
    assert "Two share one." == failures["index number_1"].get("message")
    assert failures["index workspaceId_1"] is None


@pytest.mark.parametrize("plan", [a_plan(), a_clean_plan()], ids=["dirty", "clean"])
def test_there_are_failures_exactly_where_the_exit_code_is_not_zero(plan):
    """Whoever reads the code and whoever reads the file come to the same answer."""
    for document in (plan_document(plan), result_document(a_result(plan), command="migrate")):
        failed = [case for case in document.cases if case.state is State.FAILED]

        assert bool(document.exit_code) is bool(failed)
        assert document.cases


# -- validations and rollbacks ----------------------------------------------------------------


def test_a_page_of_a_validation_tells_what_is_broken_and_what_to_do():
    """Each broken rule with its severity, sentence, next step and first documents."""
    text = words(Page(html(validation_document(a_validation()))).text)

    assert "Validation of the database newbi: failed." in text
    assert "critical, not there before2" in text
    assert "invoice.number holds. Mend invoice.number." in text
    assert f"{IDS[0]} number, {IDS[1]} number" in text
    assert "Caused by the migration, critical: 2 violations of 1 rule" in text
    assert "There before, critical: 3 violations of 1 rule" in text
    assert "Unchanged: proven of 9 collections" in text
    assert (
        "Failed. Caused by the migration: 4, of which 2 critical, 1 warning, 1 info; "
        "there before: 3, of which 3 critical."
    ) in text
    assert "A note." in text
    assert REASONS[Reason.EMAIL_MISSING] in text


@pytest.mark.parametrize(
    ("fail_on", "failures"), list(zip(FailOn, (1, 2, 3, 2, 3, 4), strict=True))
)
def test_a_broken_rule_fails_a_pipeline_from_the_chosen_severity_on(fail_on, failures):
    """What was there before fails only where any is asked for; the others passed and are told."""
    root = junit(xml(validation_document(a_validation(fail_on=fail_on))))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    failure = cases["invoice.number"].find("failure")

    assert failures == int(root.get("failures"))
    said = "2 critical violations, caused by the migration: invoice.number holds."
    assert said == failure.get("message")
    before = cases["invoice.number (there before)"]
    assert (before.find("failure") is None) != fail_on.value.startswith("any")
    assert failure.text.startswith("Mend invoice.number.")
    assert "no rule is broken" in cases
    assert cases["nothing is quarantined as email-missing"].find("skipped") is not None


def test_what_is_not_migrated_yet_fails_with_a_code_of_its_own_and_is_said_apart():
    """3 where nothing else fails, 4 beside what the migration caused; no two cases share a name."""
    late = a_rule("a.b", Severity.CRITICAL, 2, Origin.PENDING)
    alone = a_validation(results=(late,), quarantine={})
    both = a_validation(results=(a_rule("a.b", Severity.CRITICAL, 1), late), quarantine={})
    text = words(Page(html(validation_document(alone))).text)
    names = [c.get("name") for c in junit(xml(validation_document(both))).iter("testcase")]

    assert (ExitCode.PENDING, True, 0, 2) == (
        *(alone.exit_code, alone.is_clean),
        *(alone.critical, alone.pending),
    )
    assert ExitCode.VALIDATION_FAILED is both.exit_code
    assert "Failed. Caused by the migration: 0; not migrated yet: 2, of which 2 critical;" in text
    assert {"a.b", "a.b (not migrated yet)"} <= {*names}
    assert len(names) == len({*names})


def test_a_validation_that_passed_has_no_failure_whatever_was_quarantined():
    """What the run recorded as quarantined is skipped, and what was there before passes."""
    rules = (
        a_rule("a.b", Severity.WARNING, 1),
        a_rule("a.c", Severity.CRITICAL, 1, Origin.BEFORE),
    )
    report = a_validation(results=rules)
    root = junit(xml(validation_document(report)))

    assert (ExitCode.DONE, "0") == (report.exit_code, root.get("failures"))


def test_every_violation_is_a_line_where_all_were_asked_for():
    """They are read when the report is written, and may be more than are kept in memory."""
    every = [{"rule": "a.b", "id": str(n)} for n in range(500)]
    document = validation_document(a_validation(), violations=lambda: iter(every))
    found = [line for line in lines(document) if line["type"] == "violation"]

    assert [{"type": "violation", **one} for one in every] == found
    assert every == list(document.value()["violations"])


def violations(number):
    """So many violations as JSON holds them, made one by one."""
    for n in range(number):
        yield {"rule": "field.required", "id": f"{n:024x}", "path": "a", "note": "ligne\n" * 3}


def test_json_with_very_many_violations_is_whole():
    """What is written as it comes reads as if written at once, also where it is one or none."""
    for number in (0, 1, 3):
        document = validation_document(a_validation(), violations=partial(violations, number))
        written = "".join(FORMATS[".json"](document, DAY))
        value = json.loads(written)

        assert list(violations(number)) == value["violations"]
        assert json.dumps(value, indent=2) + "\n" == written


@pytest.mark.parametrize("suffix", [".json", ".ndjson"])
def test_memory_is_flat_however_many_violations_there_are(tmp_path, suffix):
    """Ten times as many violations take no more memory: none is held once it is written."""
    peaks = []
    for number in (500, 5_000):
        document = validation_document(a_validation(), violations=partial(violations, number))
        tracemalloc.start()
        write_report(tmp_path / f"report{suffix}", document, written_at=DAY)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    with (tmp_path / f"report{suffix}").open(encoding="utf-8") as written:
        assert 5_000 == sum('"field.required"' in line for line in written)

    # A list of them would take some two megabytes more.
    assert abs(peaks[1] - peaks[0]) < 200_000


def test_a_page_of_a_rollback_tells_what_is_in_the_way():
    """Conflicts by kind, documents by what becomes of them, who stays and why."""
    text = words(Page(html(rollback_document([a_rollback()]))).text)

    assert "refused, nothing was written" in text
    assert f"{IDS[0]} workspaceId, invoices {IDS[1]} workspaceId" in text
    assert "5 to restore, 1 already as before, 2 kept with somebody's change" in text
    assert "in use" in text
    assert "Users_before_migration" in text


@pytest.mark.parametrize("on_conflict", OnConflict)
@pytest.mark.parametrize("conflicts", [0, 2])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_pipeline_sees_a_failure_for_a_conflict_that_is_not_settled(on_conflict, conflicts, kept):
    """There are failures exactly where there is something to settle; who is in use is skipped."""
    result = a_rollback(conflicts=conflicts, kept=kept, on_conflict=on_conflict)
    root = junit(xml(rollback_document([result])))

    assert bool(result.unresolved) is bool(int(root.get("failures")))
    assert bool(kept) is (root.find(".//skipped") is not None)


@pytest.mark.parametrize(
    ("on_conflict", "kind", "expected"),
    [
        (OnConflict.STOP, ConflictKind.CHANGED, ExitCode.ROLLBACK_CONFLICTS),
        (OnConflict.STOP, None, ExitCode.PENDING),
        (OnConflict.KEEP, ConflictKind.CHANGED, ExitCode.DONE),
        (OnConflict.KEEP, ConflictKind.REFUSED, ExitCode.DONE),
        (OnConflict.KEEP, None, ExitCode.DONE),
        (OnConflict.DISCARD, ConflictKind.CHANGED, ExitCode.DONE),
        (OnConflict.DISCARD, ConflictKind.REFUSED, ExitCode.PENDING),
        (OnConflict.DISCARD, None, ExitCode.DONE),
    ],
)
def test_a_rollback_that_did_what_was_chosen_ends_with_0(on_conflict, kind, expected):
    """Keeping keeps, and discarding discards; what is in use has been decided about too."""
    result = a_rollback(conflicts=0, on_conflict=on_conflict)
    if kind is not None:
        result.conflicts.add(Conflict(kind, "invoices", IDS[0], "workspaceId"))

    assert expected == result.exit_code


def test_of_a_run_that_is_taken_back_nothing_is_told_that_it_did_not_do():
    """No line of zeros; where all would be zeros one sentence says so."""
    options = RollbackOptions(OnConflict.KEEP)
    nothing = RollbackResult("shop", IDS[0], "finalize", True, options)
    renamed = replace(nothing, collections_renamed=[("Users_before_migration", "Users")])
    told = [rollback_document([result]).summary for result in (nothing, renamed)]

    assert [
        ("There is nothing to take back.",),
        ("The collection Users_before_migration would be called Users again.",),
    ] == told


def test_several_runs_taken_back_are_one_report():
    """Each has its sections and lines; JSON is that of the last, with the others before it."""
    results = [a_rollback(conflicts=0), a_rollback(kept=0)]
    document = rollback_document(results)

    assert "Rollback of 2 runs" in Page(html(document)).text
    assert 2 == sum(line["type"] == "conflict" for line in lines(document))
    assert [answer(results[0])] == document.value()["before"]
    assert ExitCode.ROLLBACK_CONFLICTS is document.exit_code


# -- NDJSON and JSON --------------------------------------------------------------------------


def test_the_first_line_says_what_the_file_is_and_every_other_what_it_is_of():
    """A header, then a line for each collection, user, document, finding, index and collision."""
    first, *others = lines(result_document(a_result(), command="migrate", emails=EMAILS))
    (user, quarantined, _) = (line for line in others if line["type"] == "user")

    assert ("report", "newbi-migrate report", 1, "migrate", 5) == tuple(
        first[key] for key in ("type", "generator", "format", "command", "exitCode")
    )
    assert str(IDS[30]) == first["runId"]
    assert "2025-08-14T09:30:00+00:00" == first["writtenAt"]
    assert 6 == sum(line["type"] == "quarantined" for line in others)
    assert ("j***@e***.fr", None) == (user["email"], quarantined["email"])


def test_json_is_the_answer_of_the_command_with_a_header():
    """Whoever reads --json reads the report too."""
    plan, result = a_plan(), a_result()
    for document, said in (
        (plan_document(plan), answer(plan)),
        (result_document(result, command="migrate"), answer(result)),
    ):
        value = json.loads("".join(FORMATS[".json"](document, DAY)))

        assert document.command == value.pop("report")["command"]
        assert as_json(said) == value


# -- personal data ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("jeanne.martin@exemple.fr", "j***@e***.fr"),
        ("j@e.co.uk", "j***@e***.uk"),
        ("a@b@exemple.fr", "a***@e***.fr"),
        (" jeanne@exemple.fr ", "j***@e***.fr"),
        ("jeanne", "***"),
        ("@exemple.fr", "***"),
        ("jeanne@localhost", "***"),
        ("", "***"),
    ],
)
def test_a_masked_email_shows_its_first_letters_alone(email, masked):
    """Who knows the person recognises it; its length is hidden too."""
    assert masked == masked_email(email)


@given(st.emails())
def test_no_masked_email_gives_the_email_away(email):
    """Of any address two letters and the end of the domain are left."""
    masked = masked_email(email)

    assert masked in {
        f"{email[0]}***@{d[0]}***.{d.rpartition('.')[2]}" for d in [email.rpartition("@")[2]]
    }


# -- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", FORMATS)
def test_a_report_takes_the_place_of_a_report(tmp_path, end):
    """In any format, for its owner alone; what was made from the same result is the same."""
    path = tmp_path / f"report{end}"
    for _ in range(2):
        refuse_as_report(path)
        write_report(path, plan_document(a_plan()), written_at=DAY)

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())


def test_a_report_has_any_name_that_the_file_system_takes(tmp_path):
    """What is written first and then renamed has no longer name; a longer one is refused before."""
    path = tmp_path / f"{'r' * 250}.html"
    refuse_as_report(path)
    write_report(path, plan_document(a_plan()), written_at=DAY)

    assert [path] == list(tmp_path.iterdir())
    with pytest.raises(LocalFileError, match="too long"):
        refuse_as_report(tmp_path / f"{'r' * 251}.html")


@pytest.mark.parametrize("end", FORMATS)
def test_a_report_takes_the_place_of_nothing_else(tmp_path, end):
    """Before the work and after it, a file that is no report is left alone."""
    path = tmp_path / f"notes{end}"
    path.write_bytes(b"mine \xff")
    with pytest.raises(UsageError, match="is not a report"):
        refuse_as_report(path)
    with pytest.raises(UsageError, match="is not a report"):
        write_report(path, plan_document(a_plan()), written_at=DAY)

    assert b"mine \xff" == path.read_bytes()


def test_a_saved_plan_is_no_report(tmp_path):
    """A report never takes the place of a plan that was kept to be carried out."""
    path = tmp_path / "plan.json"
    path.write_text("".join(plan_lines(a_plan())), "utf-8")
    with pytest.raises(UsageError, match="is not a report"):
        refuse_as_report(path)


def test_a_report_that_fails_halfway_leaves_what_was_there(tmp_path):
    """Nothing is written in parts, and no temporary file stays."""
    path = tmp_path / "report.ndjson"
    write_report(path, plan_document(a_plan()), written_at=DAY)
    before = path.read_bytes()

    def broken():
        yield {"type": "user"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_report(path, Document("plan", "d", "t", ExitCode.DONE, lines=broken), written_at=DAY)

    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["report", "report.txt", "report.html.gz", "missing/report.html"])
def test_a_report_without_a_format_or_a_place_is_refused_beforehand(tmp_path, name):
    """Nobody waits for a report that cannot be written."""
    with pytest.raises(UsageError):
        refuse_as_report(tmp_path / name)


def test_a_report_is_no_other_file_of_the_command(tmp_path):
    """A plan, a log and a report cannot share a name, however it is written."""
    with pytest.raises(UsageError, match="named twice"):
        refuse_as_report(tmp_path / "a.json", [None, tmp_path / "." / "a.json"])


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_has_a_verdict(code):
    """A page never shows a bare number."""
    for dry_run in (True, False):
        sentence, _ = verdict_of(Document("plan", "d", "t", code, dry_run=dry_run))

        assert sentence.endswith(".")


def test_phases_come_before_the_collections_of_one():
    """Phases in the order they ran, then collections, the slowest first."""
    times = {"users": 1.0, "documents.a": 2.0, "documents.b": 3.0, "documents": 5.0}
    ((table,),) = (section.blocks for section in timings_section(times))

    assert ["users", "documents", "documents.b", "documents.a"] == [row[0] for row in table.rows]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Users", "invoices"]),
            st.sampled_from(["", "createdBy"]),
            st.sampled_from([Reason.OWNER_UNKNOWN, Reason.UNREADABLE]),
            st.lists(st.sampled_from([*IDS, "a", 7]), max_size=9),
        )
    )
)
def test_what_is_counted_and_shown_of_the_quarantined_is_what_is_listed(added):
    """Counts are those of the list, and the first few are the first few of each group in it."""
    quarantine = Quarantine()
    for collection, path, reason, ids in added:
        quarantine.add(collection, path, reason, ids)
    listed = list(quarantine)

    assert Counter((d.collection, d.reason) for d in listed) == quarantine.counts()
    key = lambda d: (d.collection, d.path, str(d.reason))  # noqa: E731
    groups = itertools.groupby(sorted(listed, key=key), key=key)
    expected = [d for _, group in groups for d in itertools.islice(group, 3)]
    assert expected == sorted(quarantine.first(3), key=key)
