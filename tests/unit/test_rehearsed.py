"""What has come since a rehearsal: everybody is compared by name."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2b

import pytest
from bson import Binary, Decimal128, Int64, MinKey, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from results import IDS, a_plan, user_lines

from newbi_migrate.choices import AliasPolicy
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan_file import plan_lines
from newbi_migrate.migration.planning.rehearsed import since_rehearsal
from newbi_migrate.migration.planning.results import CollectionSummary, UserLine
from newbi_migrate.report.document import Document
from newbi_migrate.report.migration import plan_document
from newbi_migrate.report.rehearsal import since_sentences, with_rehearsal

ODD_IDS = [
    7,
    1.5,
    "an-id",
    None,
    Int64(7),
    Decimal128("1.50"),
    DatetimeMS(2**62),
    Timestamp(1, 2),
    Binary(b"\0" * 16, 4),
    Regex("a", "i"),
    MinKey(),
    {"a": [1, {"b": None}]},
]
NO_IDS = [
    {"$oid": 5},
    {"$oid": "zz"},
    {"$date": {"$numberLong": "99999999999999999999"}},
    {"$numberDecimal": "abc"},
    {"$numberInt": 5},
    {"$binary": 1},
    {"$uuid": 1},
    {"$timestamp": {"t": -1, "i": "x"}},
    {"$dbPointer": 1},
    {"a\0": 1},
    10**30,
]


@pytest.fixture
def rehearsed(tmp_path):
    """The decisions of a rehearsal of ``a_plan``."""
    path = tmp_path / "rehearsed.json"
    path.write_text("".join(plan_lines(a_plan())), "utf-8")
    return path


def test_the_same_decisions_are_as_rehearsed(rehearsed):
    """Where nothing has come, nothing is said to have."""
    since = since_rehearsal(rehearsed, a_plan())

    assert since.as_rehearsed
    assert (0, 0, {}) == (since.new_users, since.gone_users, since.documents)


def test_newcomers_are_counted_and_stop_nobody(rehearsed):
    """A user and documents who have come since are numbers: nobody rehearsed is concerned."""
    new = UserLine(IDS[9], Outcome.CREATED, None, IDS[9], IDS[8])
    invoices = replace(a_plan().collections["invoices"], documents=12)
    plan = a_plan(
        users=user_lines(*a_plan().users, new),
        collections={"invoices": invoices, "quotes": CollectionSummary("quotes")},
    )

    since = since_rehearsal(rehearsed, plan)

    assert since.as_rehearsed
    assert (1, 0, {"invoices": 5}) == (since.new_users, since.gone_users, since.documents)


def test_a_rehearsal_of_another_database_is_none_of_this_one(rehearsed):
    """None of its users is here, and others are; so nobody is decided about as rehearsed."""
    stranger = UserLine(IDS[9], Outcome.CREATED, None, IDS[9], IDS[8])
    since = since_rehearsal(rehearsed, a_plan(users=user_lines(stranger)))
    nobody = since_rehearsal(rehearsed, a_plan(users=user_lines()))

    assert (False, 0, 1) == (since.as_rehearsed, since.rehearsed_users, since.new_users)
    assert next(since_sentences(since)).startswith("It is the rehearsal of another database: of ")
    assert not nobody.of_another


def test_who_has_gone_is_counted(rehearsed):
    """A legacy user who is no longer there is a number too."""
    since = since_rehearsal(rehearsed, a_plan(users=user_lines(*a_plan().users[1:])))

    assert (0, 1) == (since.new_users, since.gone_users)
    assert since.as_rehearsed


@pytest.mark.parametrize(
    "changed",
    [
        {"outcome": Outcome.ALIASED},
        {"user_id": IDS[7]},
        {"workspace": IDS[7]},
        {"outcome": Outcome.QUARANTINED, "reason": Reason.DUPLICATE_EMAIL},
    ],
    ids=", ".join,
)
def test_another_decision_about_somebody_names_them(rehearsed, changed):
    """Outcome, reason, user and workspace: each of them makes it another decision."""
    first, *others = a_plan().users
    plan = a_plan(users=user_lines(replace(first, **changed), *others))

    since = since_rehearsal(rehearsed, plan)

    assert not since.as_rehearsed
    assert [IDS[0]] == [one.id for one in since.others]


def test_whom_the_migration_has_created_since_is_as_rehearsed(rehearsed):
    """They are there already for the plan after it, with the ids that were rehearsed."""
    first, *others = a_plan().users
    then = replace(first, outcome=Outcome.PRESENT)
    same = since_rehearsal(rehearsed, a_plan(users=user_lines(then, *others)))
    moved = since_rehearsal(
        rehearsed, a_plan(users=user_lines(replace(then, workspace=IDS[7]), *others))
    )

    assert Outcome.CREATED is first.outcome
    assert (True, False) == (same.as_rehearsed, moved.as_rehearsed)


def test_an_owner_without_a_decision_is_compared_too(tmp_path):
    """A user whom no legacy user became keeps their workspace, or is named."""
    path = tmp_path / "rehearsed.json"
    then = a_plan(workspaces=Workspaces(by_user={IDS[8]: IDS[6]}))
    path.write_text("".join(plan_lines(then)), "utf-8")

    same = since_rehearsal(path, then)
    moved = since_rehearsal(path, a_plan(workspaces=Workspaces(by_user={IDS[8]: IDS[7]})))
    gone = since_rehearsal(path, a_plan())

    assert same.as_rehearsed
    assert [IDS[8]] == [one.id for one in moved.others]
    assert [IDS[8]] == [one.id for one in gone.others]


def test_other_choices_are_not_what_was_rehearsed(rehearsed):
    """What was rehearsed with one policy says nothing of another."""
    since = since_rehearsal(rehearsed, a_plan(options=MigrationOptions(aliases=AliasPolicy.ALL)))

    assert not since.as_rehearsed
    assert {"aliases": "verified"} == since.policy


def test_a_source_that_was_found_out_is_the_same_choice(rehearsed):
    """Naming the collection that would be found is no other choice."""
    since = since_rehearsal(rehearsed, a_plan(options=MigrationOptions(legacy_collection="Users")))

    assert since.as_rehearsed


def test_damaged_decisions_are_refused(rehearsed):
    """A byte that changed is no rehearsal."""
    text = rehearsed.read_text("utf-8")
    rehearsed.write_text(text.replace("created", "present", 1), "utf-8")

    with pytest.raises(UsageError, match="damaged"):
        since_rehearsal(rehearsed, a_plan())


@pytest.mark.parametrize("identifier", ODD_IDS, ids=repr)
def test_an_id_of_any_type_is_known_again(tmp_path, identifier):
    """A user with such an id has neither come nor gone, also where Python cannot hold the date."""
    odd = UserLine(identifier, Outcome.QUARANTINED, Reason.ID_NOT_OBJECT_ID, None, None)
    plan = a_plan(users=user_lines(*a_plan().users, odd))
    path = tmp_path / "rehearsed.json"
    path.write_text("".join(plan_lines(plan)), "utf-8")

    since = since_rehearsal(path, plan)

    assert (0, 0, []) == (since.new_users, since.gone_users, since.others)


@pytest.mark.parametrize("identifier", NO_IDS, ids=repr)
def test_decisions_about_what_is_no_id_are_refused(rehearsed, identifier):
    """Whatever stands in the place of an id, and although the checksum is right."""
    lines = rehearsed.read_text("utf-8").splitlines(keepends=True)
    position = next(n for n, line in enumerate(lines) if "legacyId" in line)
    decision = json.loads(lines[position].removesuffix(",\n"))
    lines[position] = json.dumps(decision | {"legacyId": identifier}) + ",\n"
    checksum = blake2b("".join(lines[:-1]).encode(), digest_size=16).hexdigest()
    rehearsed.write_text("".join(lines[:-1]) + f'"checksum": "{checksum}"}}\n', "utf-8")

    with pytest.raises(UsageError, match="damaged"):
        since_rehearsal(rehearsed, a_plan())


def test_the_document_of_a_plan_says_what_has_come(rehearsed):
    """The verdict is the first section, and decides the exit code where it is another plan."""
    first, *others = a_plan().users
    plan = a_plan(users=user_lines(replace(first, workspace=IDS[7]), *others))
    since = since_rehearsal(rehearsed, plan)

    shown: Document = with_rehearsal(plan_document(plan), since)

    assert ExitCode.PENDING == shown.exit_code
    assert "Since the rehearsal" == shown.sections[0].title
    assert not shown.value()["sinceRehearsal"]["asRehearsed"]
    assert str(IDS[0]) in " ".join(since_sentences(since))


def test_a_plan_as_rehearsed_keeps_its_exit_code(rehearsed):
    """Quarantined users stay the reason for 5."""
    shown = with_rehearsal(plan_document(a_plan()), since_rehearsal(rehearsed, a_plan()))

    assert ExitCode.QUARANTINED == shown.exit_code
