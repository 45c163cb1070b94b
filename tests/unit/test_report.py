"""Reports are pure: results go in, text or JSON-able values come out."""

from __future__ import annotations

import io
import json
import stat
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, strategies as st
from results import IDS, a_clean_plan, a_plan, a_result, a_validation, user_lines
from rich.console import Console

from newbi_migrate import ExitCode, UsageError
from newbi_migrate.answers import answer
from newbi_migrate.choices import AliasOwners, AliasPolicy, DuplicatePolicy
from newbi_migrate.cli import options as opt
from newbi_migrate.cli.values import as_arguments, migration_options
from newbi_migrate.mapping.account import PasswordKind
from newbi_migrate.mapping.decisions import (
    Outcome,
)
from newbi_migrate.mapping.users import (
    BARRED,
    FIELD_NOT_CARRIED,
    FOLLOWS_MEMBERSHIP,
    Finding,
)
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass, Workspaces
from newbi_migrate.migration.checklist import Checklist
from newbi_migrate.migration.planning.codes import RULES
from newbi_migrate.migration.planning.options import MAX_BATCH_SIZE, MigrationOptions
from newbi_migrate.migration.planning.results import (
    NOT_PLAIN,
    Findings,
    IndexAction,
    PlannedCollision,
    Quarantine,
)
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.migration.run.finishing import CHOICES
from newbi_migrate.migration.status import Status
from newbi_migrate.printable import printable
from newbi_migrate.report.console import console_report
from newbi_migrate.report.example import Example, example_document, journeys
from newbi_migrate.report.files import refuse_unwritable, write_privately
from newbi_migrate.report.json import as_json
from newbi_migrate.report.messages import (
    CLASSES,
    FINDINGS,
    HINDERED,
    INDEX_ACTIONS,
    LASTING_CURES,
    OUTCOMES,
    SIGN_IN_CURES,
    cures_under,
    reasons_under,
)
from newbi_migrate.report.migration import plan_document, result_document
from newbi_migrate.report.status import status_document
from newbi_migrate.report.text import counted
from newbi_migrate.report.validation import validation_document
from newbi_migrate.store.lease import Holder, LeaseState
from newbi_migrate.store.runs import RunRecord

REASONS = reasons_under(MigrationOptions())
DAY = datetime(2025, 8, 14, 9, 30)  # noqa: DTZ001  # as PyMongo gives dates back


def shown(parts, *, width=80, colour=False):
    """What a terminal of that width shows."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=colour, highlight=False, markup=False)
    for part in parts:
        console.print(part, crop=False)
    return file.getvalue()


def plan_report(plan, *, verbose=False, **about):
    return console_report(plan_document(plan, **about), verbose=verbose)


def result_report(result, *, verbose=False, **about):
    return console_report(result_document(result, command="migrate", **about), verbose=verbose)


def status_report(status, **about):
    return console_report(status_document(Checklist("newbi", (), status), **about))


# -- words ------------------------------------------------------------------------------------


def test_every_code_has_words():
    """No outcome, reason, class or index action is shown without saying what it means."""
    assert set(Outcome) == set(OUTCOMES)
    assert set(Reason) == set(REASONS)
    assert set(WorkspaceClass) == set(CLASSES)
    assert set(IndexAction) == set(INDEX_ACTIONS)
    kinds = {f"password-{kind.value}" for kind in PasswordKind if not kind.is_hash}
    assert kinds <= set(FINDINGS)


def test_a_choice_that_was_made_is_no_cure_any_more():
    """Nobody is told to try what the run was asked for already."""
    usual = MigrationOptions()
    chosen = MigrationOptions(duplicate_emails=DuplicatePolicy.KEEP_NORMALIZED)

    assert "keep-normalized" in cures_under(usual)[Reason.DUPLICATE_EMAIL]
    assert "keep-normalized" not in reasons_under(chosen)[Reason.DUPLICATE_EMAIL]
    differing = {r for r, cure in cures_under(chosen).items() if cure != cures_under(usual)[r]}
    assert {Reason.DUPLICATE_EMAIL} == differing


def test_a_plan_and_a_validation_name_no_choice_that_was_made():
    """Each says what helps under the choices it was made with."""
    found = Quarantine()
    found.add("Users", "email", Reason.DUPLICATE_EMAIL, IDS[:1])
    counts = {"Users": Counter({Reason.DUPLICATE_EMAIL: 1})}
    for policy, named in ((p, p is DuplicatePolicy.QUARANTINE) for p in DuplicatePolicy):
        options = MigrationOptions(duplicate_emails=policy)
        plan = plan_document(a_plan(options=options, quarantine=found))
        validation = validation_document(a_validation(options=options, quarantine=counts))
        for document in (plan, validation):
            text = " ".join(shown(console_report(document, verbose=True)).split())
            assert "duplicate-email" in text
            assert named is ("keep-normalized" in text)


@pytest.mark.parametrize("words", [REASONS, FINDINGS])
def test_what_is_said_about_a_code_is_one_sentence(words):
    """It begins like a sentence and ends like one."""
    for sentence in words.values():
        assert sentence.endswith(".")
        assert sentence[0].isupper()


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 keys"), (1, "1 key"), (2, "2 keys"), (1500, "1,500 keys")]
)
def test_a_number_agrees_with_its_word(number, words):
    """One key, and several keys."""
    assert words == counted(number, "key")


def test_a_plural_of_its_own_is_used():
    """Not every word takes an s."""
    assert ("1 index", "2 indexes") == tuple(counted(n, "index", "indexes") for n in (1, 2))


# -- plans ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
def test_a_plan_names_whose_documents_go_into_somebody_elses_organization(verbose):
    """Each user with the organization, in lines after those of what cannot be migrated."""
    findings = tuple(Finding(FOLLOWS_MEMBERSHIP, "user", identifier) for identifier in IDS[:11])
    workspaces = Workspaces(by_user=dict.fromkeys(IDS[:11], IDS[20]))
    plan = a_plan(findings=findings, workspaces=workspaces)
    text = " ".join(shown(plan_report(plan, next_command="x", verbose=verbose)).split())
    before, _, _ = text.partition("Worth knowing")

    assert "into somebody else's organization" in before
    assert (11 if verbose else 3) == sum(
        f"user {i} to organization {IDS[20]}" in before for i in IDS
    )
    assert verbose or "and 8 more" in before


@pytest.mark.parametrize(("verbose", "named"), [(False, 0), (True, 11)])
@pytest.mark.parametrize("code", SIGN_IN_CURES)
@pytest.mark.parametrize("report", [plan_report, result_report])
def test_whoever_cannot_sign_in_or_should_not_is_told(report, code, verbose, named):
    """With the cure, in a plan and after a run, not as merely worth knowing; by id on demand."""
    plan = a_plan(findings=tuple(Finding(code, "Users", i, "email") for i in IDS[10:21]))
    told = plan if report is plan_report else a_result(plan, findings=plan.findings)
    text = shown(report(told, next_command="x", verbose=verbose), width=120)
    section = text[text.index("Users who cannot") :]

    assert f"Users who cannot sign in, or should not: 11\n   11 {code} (email): " in section
    assert SIGN_IN_CURES[code] in " ".join(section.split())
    assert named == sum(str(identifier) in section for identifier in IDS[10:21])
    assert "Worth knowing" not in text


def test_everything_about_signing_in_has_a_cure():
    """In a few words, for a screen."""
    unable = {"email-refused", "email-not-normal", "account-user-id-text"}

    assert unable | set(BARRED.values()) == set(SIGN_IN_CURES)


def test_documents_wait_for_the_user_who_is_quarantined():
    """The user's line says how many, and by name each document says whose it is."""
    quarantine = Quarantine()
    quarantine.add("Users", "_id", Reason.EMAIL_MISSING, IDS[:2])
    quarantine.add("quotes", "createdBy", Reason.OWNER_QUARANTINED, IDS[5:8], IDS[0])
    for reason in (r for r in Reason if r is not Reason.EMAIL_MISSING):
        quarantine.add("quotes", "createdBy", reason, [IDS[30]])
    plan = a_plan(quarantine=quarantine)
    brief = shown(plan_report(plan, next_command="x"), width=120)
    full = shown(plan_report(plan, next_command="x", verbose=True), width=120)

    cure = cures_under(MigrationOptions())[Reason.EMAIL_MISSING]
    assert f"(Users): {cure}; 3 documents wait" in brief
    assert f"Users {IDS[0]} _id; waiting: quotes 3\n" in full
    assert f"Users {IDS[1]} _id\n" in full
    assert 3 == full.count(f"createdBy, of the quarantined user {IDS[0]}\n")


@pytest.mark.parametrize("report", [plan_report, result_report])
def test_what_a_run_does_not_mend_is_told_beforehand(report):
    """With the cure where it is about documents; of Better Auth's the kinds, and all on demand."""
    kinds = [code for code in LASTING_CURES if code.startswith(("slug", "member"))]
    findings = [Finding("owner-not-objectid", "invoices", i, "createdBy") for i in IDS[10:15]]
    findings += [Finding(code, "member", IDS[20 + n]) for n, code in enumerate(kinds)]
    plan = a_plan(findings=Findings(findings))
    told = plan if report is plan_report else a_result(plan, findings=plan.findings)
    brief = shown(report(told, next_command="x"), width=120)
    full = shown(report(told, next_command="x", verbose=True), width=120)
    title = f"Not mended by a run, and found by validate: {5 + len(kinds)}"

    assert f"{title}\n    5 owner-not-objectid (invoices): " in brief
    assert LASTING_CURES["owner-not-objectid"] in " ".join(brief.split())
    assert ", ".join(f"{code} 1" for code in kinds) in " ".join(brief.split())
    assert not any(str(identifier) in brief[brief.index(title) :] for identifier in IDS[10:20])
    assert all(f"invoices {i} createdBy" in full for i in IDS[10:15])
    assert all(f"member {IDS[20 + n]}" in full for n in range(len(kinds)))
    assert "Worth knowing" not in brief


def test_everything_that_a_run_does_not_mend_has_a_sentence_and_a_cure():
    """So that nobody is left with a code."""
    assert LASTING_CURES.keys() | SIGN_IN_CURES.keys() <= FINDINGS.keys()
    assert RULES.keys() - {"password-differs"} <= LASTING_CURES.keys() | SIGN_IN_CURES.keys()


def test_an_index_that_only_quarantined_documents_hinder_is_told_apart():
    """Nobody is to decide which of them keeps a number: once they are settled it can be built."""
    key = PlannedCollision(
        "quotes", "number_1", 3, ((IDS[20], IDS[0]), (IDS[21], IDS[0]), (IDS[22], None)), True
    )
    brief = shown(plan_report(a_plan(collisions=(key,)), next_command="x"), width=120)
    full = shown(plan_report(a_plan(collisions=(key,)), next_command="x", verbose=True), width=200)

    assert f"1 {HINDERED[0]} (quotes.number_1): {HINDERED[1]}" in brief
    assert (
        f"quotes.number_1: 3 documents {IDS[20]} and {IDS[21]} of the quarantined user {IDS[0]}; "
        f"{IDS[22]}\n"
    ) in full


def test_a_key_that_is_shared_later_stands_apart_from_indexes_that_cannot_be_built():
    """The index is built, and documents share a key once the application adds what they lack."""
    key = PlannedCollision("quotes", "number_1", 2, ((IDS[20], None), (IDS[21], None)), later=True)
    plan = a_clean_plan(collisions=(key,))
    text = shown(plan_report(plan, next_command="x"), width=120)

    assert "Indexes that cannot be built" not in text
    assert "has added what they lack: 1\n    1 shared later (quotes): decide which" in text


def test_a_finding_names_the_fields_it_is_about():
    """The most frequent ones first, so that a role shows among flags."""
    code = "plugin-field-not-carried"
    fields = ["banned", "role", "role"]
    findings = tuple(Finding(code, "Users", IDS[n], name) for n, name in enumerate(fields))
    text = shown(plan_report(a_plan(findings=findings), next_command="x"), width=120)

    assert f"3 {code} (role 2, banned 1): Plug-ins of Better Auth act on" in text


def test_a_plan_answers_what_a_person_asks():
    """How many users, how many documents, what is quarantined and why, and what to run next."""
    text = shown(plan_report(a_plan(), next_command="newbi-migrate migrate"))

    assert "Legacy users: 3" in text
    assert "Documents: 7 = 1 to write + 1 right already + 5 quarantined, in 1 collection." in text
    assert "Quarantined, unchanged: 6" in text
    assert "5 owner-unknown (invoices)" in text
    assert REASONS[Reason.EMAIL_MISSING] in " ".join(text.split())
    assert "1 to create" in text
    assert "Exit code 5: 6 users or documents quarantined, 1 index not created." in text
    assert "1 of which several documents have the same key (quotes.number_1): decide" in text
    assert text.endswith("\nNext: newbi-migrate migrate\n")


def test_a_code_that_the_run_does_not_end_with_is_not_named():
    """Documents that came late end it with 3, though something is quarantined too."""
    late = shown(result_report(a_result(pending={"invoices": 2})))

    assert "Still pending: 2 documents of invoices" in late
    assert "Exit code" not in late
    assert "Exit code 5: " in shown(result_report(a_result()))


def test_the_first_few_are_shown_and_verbose_shows_all():
    """Three ids for each reason unless all are asked for; then each user has a line too."""
    brief = shown(plan_report(a_plan(), next_command="x"))
    full = shown(plan_report(a_plan(), next_command="x", verbose=True))

    assert [True, True, True, False, False] == [str(i) in brief for i in IDS[10:15]]
    assert all(str(i) in full for i in (*IDS[10:15], IDS[0], IDS[1]))
    assert f"{IDS[0]} created" in " ".join(full.split())
    assert f"quotes.number_1: 2 documents {IDS[20]} and {IDS[21]}" in " ".join(full.split())


def test_a_plan_that_leaves_nothing_says_so():
    """Nothing pending and nothing quarantined are said in words."""
    plan = a_plan(
        users=user_lines(), collections={}, quarantine=Quarantine(), indexes=(), collisions=()
    )
    text = shown(plan_report(plan, next_command="newbi-migrate status"))

    assert "Nothing is left to write." in text
    assert "Quarantined: nothing" in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_of_a_report_is_wider_than_the_terminal(width, verbose):
    """Only the command to copy may be longer; and no id is cut, which could not be copied."""
    report = plan_report(a_plan(), next_command="newbi-migrate status", verbose=verbose)
    lines = shown(report, width=width).splitlines()
    whole = {str(line.user_id) for line in a_plan().users if line.user_id is not None}

    assert width >= max(map(len, lines))
    assert not verbose or whole <= {word for line in lines for word in line.split()}


def test_the_command_to_run_next_is_one_line_however_long():
    """A command that is wrapped cannot be copied."""
    command = "newbi-migrate migrate --uri-file " + "long/" * 30

    assert f"\nNext: {command}\n" in shown(plan_report(a_plan(), next_command=command))


def test_a_stored_name_neither_colours_nor_steers_the_terminal():
    """Markup and escape sequences in a collection's name are shown as they are."""
    plan = a_plan(not_registered={"odd[red]\x1b[31m": 3})
    text = shown(plan_report(plan, next_command="x"), colour=True)

    assert "odd[red]\\x1b[31m (3)" in text


@given(st.text())
def test_what_is_printable_is_printable(text):
    """Whatever is stored, what is shown of it holds no control character."""
    assert printable(text).isprintable()


# -- results ----------------------------------------------------------------------------------


def test_a_result_tells_what_was_done_and_how_long_it_took():
    """The run, what was created, and the seconds of each phase but not of each collection."""
    text = shown(result_report(a_result(a_plan()), next_command="newbi-migrate status"))

    assert f"run {IDS[30]}" in text
    assert "For users: created user 1, organization 1; filled user 1." in text
    assert "Time: users 0.10 s, documents 0.20 s\n" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"run_id": None}, "Nothing was left to do"), ({"resumed": True}, "interrupted run")],
)
def test_a_result_says_when_it_is_no_ordinary_one(changes, words):
    """A run that had nothing to do and one that finished another say so first."""
    text = shown(result_report(a_result(a_plan(), **changes), next_command="x"))

    assert words in text.splitlines()[0]


def test_a_result_ends_with_numbers_that_add_up():
    """Documents are what was written, what was right, and what was quarantined."""
    text = shown(result_report(a_result(a_plan()), next_command="x"))

    assert "Documents: 7 = 1 written + 1 right already + 5 quarantined, in 1 collection." in text


def test_a_result_as_json_is_json_and_complete():
    """Counts, reasons, timings, exit code; ids as text; every outcome, also with zero users."""
    value = as_json(answer(a_result(a_plan())))

    assert {o.value for o in Outcome} == value["outcomes"].keys()
    assert {"users": 0.1, "documents": 0.2, "documents.invoices": 0.2} == value["timings"]
    assert 6 == len(value["quarantine"])
    assert (str(IDS[30]), ExitCode.QUARANTINED) == (value["runId"], value["exitCode"])


def test_json_and_text_agree():
    """The same plan gives the same number of everything that is quarantined in both faces."""
    plan = a_plan()
    text = shown(plan_report(plan, next_command="x"))

    assert f"Quarantined, unchanged: {len(answer(plan)['quarantine'])}" in text


# -- status -----------------------------------------------------------------------------------


def a_status(*, state="done", held=False, lacking=0, **fields):
    document = {
        "_id": IDS[30],
        "number": 1,
        "command": "migrate",
        "state": state,
        "policy": {},
        "startedAt": DAY,
        "finishedAt": DAY,
        "exitCode": 5,
        "quarantined": 6,
        **fields,
    }
    lease = LeaseState(Holder(IDS[30], "host", 42, "migrate"), held, DAY, DAY, 12.0)
    return Status("newbi", (RunRecord.of(document),), lease, {"invoices": lacking, "quotes": 0}, 2)


def test_a_status_lists_runs_and_what_lacks_a_workspace():
    """Runs with time and exit code, documents by collection, organizations without members."""
    text = shown(status_report(a_status(lacking=3), next_command="newbi-migrate plan"))

    assert f" {IDS[30]} migrate done " in text
    assert "2025-08-14 09:30" in text
    assert "Documents without a workspace: 3" in text
    assert "quotes" not in text
    assert "Organizations without members: 2" in text


@pytest.mark.parametrize(
    ("state", "shown_as"),
    [
        ("done", "done"),
        ("done", "partly-back"),
        ("running", "unfinished"),
        ("rolling-back", "rolling-back"),
        ("rolled-back", "rolled-back"),
    ],
)
def test_a_run_is_one_line_of_a_narrow_terminal(state, shown_as):
    """Whatever has become of it, its line is not broken."""
    rollback = {"exitCode": 0} if shown_as == "partly-back" else None
    text = shown(status_report(a_status(state=state, rollback=rollback), next_command="x"))
    (line,) = [line for line in text.splitlines() if str(IDS[30]) in line]

    assert f" {shown_as} " in line
    assert "2025-08-14 09:30" in line
    assert line.rstrip().endswith(" 6    5")


def test_a_column_of_numbers_stays_one_where_a_run_quarantines_nobody():
    """What is left empty moves no number out of its column."""
    status = a_status()
    ended = RunRecord.of({**status.runs[0].document, "_id": IDS[31], "quarantined": None})
    both = replace(status, runs=(*status.runs, ended))
    alone, beside = (
        next(
            line
            for line in shown(status_report(one, next_command="x")).splitlines()
            if str(IDS[30]) in line
        )
        for one in (status, both)
    )

    assert alone == beside


def test_a_status_tells_a_run_that_is_under_way_from_one_that_was_interrupted():
    """Who holds the lease is named; a run that nobody carries on is said to be interrupted."""
    running = shown(status_report(a_status(state="running", held=True), next_command="x"))
    broken = shown(status_report(a_status(state="running"), next_command="x"))

    assert "process 42 on host" in " ".join(running.split())
    assert "interrupted" in broken
    assert "Every document has a workspace." in broken


@pytest.mark.parametrize("state", ["done", "running"])
def test_a_dead_process_that_left_nothing_to_finish_is_not_called_an_interrupted_run(state):
    """One that was killed before its first write has left the lease and no record."""
    status = a_status(state=state, held=True)
    dead = replace(status, lease=replace(status.lease, holder_ended=True))
    text = " ".join(shown(status_report(dead, next_command="x")).split())

    assert (state == "running") == ("interrupted" in text)
    assert (state == "done") == ("left no run unfinished" in text)


def test_a_status_as_json_gives_times_in_utc():
    """Times say that they are UTC, and what is unfinished has its id."""
    value = json.loads(
        json.dumps(dict(status_document(Checklist("newbi", (), a_status(state="running"))).value()))
    )

    assert "2025-08-14T09:30:00.000+00:00" == value["runs"][0]["startedAt"]
    assert str(IDS[30]) == value["unfinished"]


# -- the example ------------------------------------------------------------------------------


def an_example(**changes):
    example = Example(
        source="Users",
        legacy={"_id": IDS[0], "email": "a@b.fr", "password": "$2b$10$x", "profile": {}},
        after={
            "user": {"_id": IDS[0], "email": "a@b.fr"},
            "account": {"userId": IDS[0], "password": "$2b$10$x"},
            "organization": {"_id": IDS[1]},
            "member": {"userId": IDS[0], "role": "owner"},
        },
        collection="invoices",
        document_before={"_id": IDS[2], "number": "1", "createdBy": IDS[0]},
        document_after={
            "_id": IDS[2],
            "number": "1",
            "createdBy": IDS[0],
            "workspaceId": IDS[1],
        },
    )
    return replace(example, **changes)


def test_an_example_claims_only_what_is_so():
    """A field is said to be somewhere only where its very value stands there; no hash is shown."""
    assert ["user._id", "account.userId", "member.userId"] == journeys(an_example())["_id"]
    assert "email" not in journeys(
        an_example(after={**an_example().after, "user": {"_id": IDS[0], "email": "other"}})
    )
    assert "$2b$" not in shown(console_report(example_document(an_example(), database="newbi")))


@pytest.mark.parametrize(
    ("after", "only"),
    [
        ({"_id": IDS[2], "number": "1", "createdBy": IDS[0], "workspaceId": IDS[1]}, True),
        ({"_id": IDS[2], "number": "1", "createdBy": IDS[0], "workspaceId": IDS[3]}, False),
        ({"_id": IDS[2], "createdBy": IDS[0], "number": "1", "workspaceId": IDS[1]}, False),
        ({"_id": IDS[2], "number": "2", "createdBy": IDS[0], "workspaceId": IDS[1]}, False),
        ({"_id": IDS[2], "number": "1", "createdBy": IDS[0]}, False),
    ],
)
def test_a_document_is_only_stamped_where_every_other_byte_is_the_same(after, only):
    """Another workspace, another order of fields, another value, or none: it is not only that."""
    assert only is an_example(document_after=after).only_stamped


# -- files ------------------------------------------------------------------------------------


def test_a_file_is_for_its_owner_alone_and_replaces_at_once(tmp_path):
    """Mode 0600 whatever was there before, and nothing else is left in the folder."""
    path = tmp_path / "plan.json"
    path.write_text("before", "utf-8")
    path.chmod(0o644)
    write_privately(path, "after")

    assert ("after", 0o600) == (path.read_text("utf-8"), stat.S_IMODE(path.stat().st_mode))
    assert [path] == list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path):
    """A folder in its place is a sentence, not a traceback, and no temporary file stays."""
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_privately(tmp_path / "plan.json", "text")

    assert [tmp_path / "plan.json"] == list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["missing/plan.json", "."])
def test_a_place_that_takes_no_file_is_refused_beforehand(tmp_path, name):
    """Nobody waits for a plan that cannot be kept."""
    with pytest.raises(UsageError):
        refuse_unwritable(tmp_path / name)


# -- options that are declared twice ----------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "default"),
    [
        (opt.BatchSize, MigrationOptions().batch_size),
        (opt.Workers, MigrationOptions().workers),
        (opt.DuplicateEmails, MigrationOptions().duplicate_emails),
        (opt.Aliases, MigrationOptions().aliases),
        (opt.AliasOwners, MigrationOptions().alias_owners),
    ],
)
def test_the_defaults_that_help_shows_are_the_engines(option, default):
    """What help says is what happens."""
    (info,) = option.__metadata__

    assert str(default) == info.show_default


def test_help_gives_the_engines_range():
    """The greatest batch that help names is the greatest that is accepted."""
    (info,) = opt.BatchSize.__metadata__

    assert f"1 to {MAX_BATCH_SIZE}" in info.help


def test_what_a_run_is_finished_with_leaves_out_what_nobody_chose():
    """What is usual in the record of a run is what the options of a run begin with."""
    recorded = MigrationOptions().policy() | {"keep": False, "dropJournal": False}
    recorded |= {"all": False, "onConflict": RollbackOptions().on_conflict}
    recorded |= {"convertLegacyIndexes": False}

    assert {name: usual for name, (_, usual) in CHOICES.items()} == recorded


@given(
    st.builds(
        MigrationOptions,
        legacy_collection=st.none() | st.text(min_size=1),
        duplicate_emails=st.sampled_from(DuplicatePolicy),
        aliases=st.sampled_from(AliasPolicy),
        alias_owners=st.sampled_from(AliasOwners),
        collections=st.none()
        | st.lists(st.sampled_from("abc"), min_size=1, unique=True).map(tuple),
        schema_day=st.none() | st.dates(),
        batch_size=st.integers(1, MAX_BATCH_SIZE),
        workers=st.integers(1, 64),
    )
)
def test_a_suggested_command_means_the_options_it_was_made_of(options):
    """What is written out as arguments and read again is the same."""
    arguments = as_arguments(options)
    given_again = dict(zip(arguments[::2], arguments[1::2], strict=True))
    day = given_again.get("--as-of")

    assert options == migration_options(
        legacy_collection=given_again.get("--legacy-collection"),
        duplicate_emails=_choice(DuplicatePolicy, given_again.get("--duplicate-emails")),
        aliases=_choice(AliasPolicy, given_again.get("--aliases")),
        alias_owners=_choice(AliasOwners, given_again.get("--alias-owners")),
        collections=[given_again["--collections"]] if "--collections" in given_again else None,
        as_of=None if day is None else datetime.fromisoformat(day),
        batch_size=int(given_again.get("--batch-size", MigrationOptions().batch_size)),
        workers=int(given_again.get("--workers", MigrationOptions().workers)),
    )


def _choice(kind, value):
    return None if value is None else kind(value)


@pytest.mark.parametrize("verbose", [False, True])
def test_fields_that_are_not_carried_are_named(verbose):
    """One line for all of them, with their names and no user's id."""
    fields = [f"secret{n:02}" for n in range(12)]
    findings = tuple(Finding(FIELD_NOT_CARRIED, "Users", None, name) for name in fields)
    plan = a_plan(findings=findings)
    text = " ".join(shown(plan_report(plan, next_command="x", verbose=verbose)).split())

    assert f"12 field-not-carried ({', '.join(fields)}): {FINDINGS[FIELD_NOT_CARRIED]}" in text
    assert "None" not in text


def test_a_registered_view_is_named():
    """The collection is named, and no document is made up."""
    plan = a_plan(findings=(Finding("collection-is-a-view", "offers", None),))
    text = " ".join(shown(plan_report(plan, next_command="x")).split())

    assert f"1 collection-is-a-view (offers): {FINDINGS['collection-is-a-view']}" in text
    assert None is answer(plan)["findings"][0]["id"]


def test_every_kind_that_cannot_be_updated_has_its_sentence():
    """Views and time series are told apart."""
    assert set(NOT_PLAIN.values()) <= FINDINGS.keys()
