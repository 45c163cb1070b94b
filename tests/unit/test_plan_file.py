"""Saved plans and their digests: what they depend on, and what is refused."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from hashlib import blake2b

import bson
import pytest
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, strategies as st
from results import IDS, a_plan, user_lines
from xxhash import xxh3_128_hexdigest

from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.users import Insert, SetMissing, UserWrites
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.digests import (
    INDEXES,
    USERS,
    Digests,
    of_fill,
    of_group,
    of_index,
    of_insert,
    of_quarantined,
    of_quarantined_user,
    of_user,
    of_written,
)
from newbi_migrate.migration.planning.plan_file import (
    SavedPlan,
    load_plan,
    may_be_replaced,
    plan_lines,
    refuse_if_moved_on,
)
from newbi_migrate.migration.planning.results import UserLine
from newbi_migrate.migration.run.written import certainly_written
from newbi_migrate.store.journal import EntryKind, EntryState, JournalEntry, JournalGroup
from newbi_migrate.store.raw import pack_ids, unpack_ids
from newbi_migrate.testing import strategies

CHANGES = {"workspaceId": IDS[30], "createdBy": IDS[31]}
ANY_IDS = [IDS[0], 7, Int64(8), 9.0, "é", None, {"a": [1, {"b": IDS[1]}]}, b"x", True]


# -- digests ------------------------------------------------------------------------------------


@given(ids=st.lists(st.one_of(strategies.object_ids(), strategies.bson_values())), data=st.data())
def test_documents_count_alike_in_whatever_groups_and_order(ids, data):
    """A digest does not depend on windows."""
    mixed = data.draw(st.permutations(ids))
    cut = data.draw(st.integers(0, len(ids)))
    whole, parts = Digests(), Digests()
    whole.add("invoices", of_group(CHANGES, ids))
    for part in (mixed[:cut], mixed[cut:]):
        parts.add("invoices", of_group(dict(reversed(CHANGES.items())), part))

    assert whole == parts


def test_packed_ids_count_as_the_ids_do():
    """The journal packs them, and so does a plan."""
    assert of_group(CHANGES, IDS) == of_group(CHANGES, unpack_ids(pack_ids(IDS)))


def test_what_is_written_why_it_is_not_and_to_which_document_all_count():
    """No two of them have the same digest."""
    found = [of_group(CHANGES, [i]) for i in ANY_IDS]
    found += [of_quarantined(Reason.OWNER_UNKNOWN, [i]) for i in ANY_IDS]
    found += [of_quarantined(Reason.OWNER_MISSING, [i]) for i in ANY_IDS]
    found += [of_group({"workspaceId": other}, IDS[:1]) for other in (IDS[2], str(IDS[2]))]
    found += [of_quarantined_user("Users", i, Reason.UNREADABLE) for i in ANY_IDS]
    found += [of_quarantined_user("users", IDS[0], Reason.UNREADABLE)]
    found += [of_insert(name, IDS[0], "ab") for name in ("user", "account")]
    found += [of_insert("user", IDS[0], "cd"), of_insert("user", IDS[1], "ab")]
    found += [of_fill("user", IDS[0], pairs) for pairs in ([("a", 1)], [("a", Int64(1))])]
    found += [of_fill("user", IDS[0], [("b", 1)]), of_fill("user", IDS[1], [("a", 1)])]
    found += [of_index("a", "b"), of_index("a", "c"), of_index("b", "b")]
    found += [of_index("a", "b", "conflict"), of_index("a", "b", "collision")]

    assert len(found) == len(set(found))


def test_nothing_to_write_counts_for_nothing():
    """A section that sums up to nothing is as good as none."""
    empty = Digests({"quotes": 0})

    assert Digests() == empty
    assert {} == empty.to_json()
    assert 0 == of_group(CHANGES, [])


def test_what_is_left_and_what_was_done_add_up():
    """In any order, section by section."""
    parts = [(name, of_group(CHANGES, [i])) for i in IDS for name in ("invoices", "quotes")]
    whole = Digests()
    for part in parts:
        whole.add(*part)
    random.Random(1).shuffle(parts)
    left, done = Digests(), Digests()
    for part in parts[:9]:
        left.add(*part)
    for part in parts[9:]:
        done.add(*part)

    assert whole == left + done
    assert whole == Digests.from_json((left + done).to_json())
    assert ["invoices", "quotes"] == whole.differing(left)


def an_entry(kind, collection, body):
    """An entry as it is read back from the journal."""
    stored = RawBSONDocument(bson.encode(body))
    return JournalEntry(ObjectId(), 0, kind, EntryState.APPLIED, collection, stored)


@pytest.mark.parametrize("ids", [IDS, ANY_IDS], ids=["packed", "as they are"])
def test_an_entry_for_documents_counts_as_its_groups_did_in_the_plan(ids):
    """Ids that were packed and values that were stored included."""
    group = JournalGroup(CHANGES, {"createdBy": None}, ids)
    entry = an_entry(
        EntryKind.WINDOW, "invoices", {"count": len(group.ids), "groups": [group.to_document()]}
    )

    assert Digests({"invoices": of_group(CHANGES, ids)}) == of_written(certainly_written(entry))


def test_an_entry_for_users_counts_as_their_writes_did_in_the_plan():
    """Inserts by the digest the journal has, fills by their values."""
    document = {"_id": IDS[5], "email": "lea@newbi.fr"}
    values = {"profile.phone": "1", "logo": {"a": Int64(1)}, "a": None}
    decision = UserDecision(IDS[0], Outcome.PRESENT, user_id=IDS[0])
    writes = UserWrites(
        decision, (Insert("organization", document), SetMissing("user", IDS[0], values, {}))
    )
    entry = an_entry(
        EntryKind.USERS,
        "",
        {
            "writes": [
                {
                    "op": "insert",
                    "user": IDS[0],
                    "collection": "organization",
                    "id": IDS[5],
                    "digest": xxh3_128_hexdigest(bson.encode(document)),
                },
                {
                    "op": "fill",
                    "user": IDS[0],
                    "collection": "user",
                    "id": IDS[0],
                    "values": [[p, v] for p, v in values.items()],
                },
            ]
        },
    )

    assert Digests({USERS: of_user(writes, "Users")}) == of_written(certainly_written(entry))


def test_an_entry_for_indexes_counts_those_that_were_created():
    """And none that turned out to be impossible."""
    entry = an_entry(
        EntryKind.INDEX,
        "quotes",
        {
            "names": ["a", "b"],
            "created": ["a", "b"],
            "specifications": [{"name": "b", "key": {"n": 1}}],
        },
    )

    assert Digests({INDEXES: of_index("quotes", "b")}) == of_written(certainly_written(entry))


def test_a_user_who_is_quarantined_counts_by_the_reason():
    """Nothing else is said of them."""
    quarantined = UserDecision("x", Outcome.QUARANTINED, reason=Reason.ID_NOT_OBJECT_ID)

    assert of_quarantined_user("Users", "x", Reason.ID_NOT_OBJECT_ID) == of_user(
        UserWrites(quarantined), "Users"
    )


# -- the file -----------------------------------------------------------------------------------


def written(path, plan=None):
    """A plan in a file, and its lines."""
    lines = list(plan_lines(a_plan() if plan is None else plan))
    path.write_text("".join(lines), "utf-8")
    return lines


def test_a_plan_comes_back_as_it_was_saved(tmp_path):
    """What a run must know of it."""
    plan = a_plan()
    written(tmp_path / "plan.json", plan)

    assert SavedPlan.of(plan) == load_plan(tmp_path / "plan.json")


def test_a_saved_plan_names_every_decision_and_every_other_owner(tmp_path):
    """One JSON document, with a line for each; ids in Extended JSON."""
    odd = UserLine({"a": Int64(1)}, Outcome.QUARANTINED, Reason.ID_NOT_OBJECT_ID, None, None)
    by_user = {IDS[0]: IDS[5], IDS[3]: IDS[6], IDS[8]: IDS[6], IDS[9]: Reason.OWNER_AMBIGUOUS}
    plan = a_plan(users=user_lines(*a_plan().users, odd), workspaces=Workspaces(by_user=by_user))
    lines = written(tmp_path / "plan.json", plan)
    saved = json.loads("".join(lines))

    assert [{"$oid": str(IDS[n])} for n in range(3)] + [{"a": {"$numberLong": "1"}}] == [
        line["legacyId"] for line in saved["users"]
    ]
    assert ["created", "quarantined", "aliased", "quarantined"] == [
        line["outcome"] for line in saved["users"]
    ]
    assert [{"userId": str(IDS[8]), "workspaceId": str(IDS[6])}] == saved["owners"]
    assert all("\n" not in line[:-1] for line in lines)


def test_a_plan_for_nobody_can_be_saved(tmp_path):
    """A database that was migrated long ago has no decisions."""
    plan = a_plan(users=user_lines())
    written(tmp_path / "plan.json", plan)

    assert SavedPlan.of(plan) == load_plan(tmp_path / "plan.json")


def test_a_saved_plan_is_refused_where_any_section_differs():
    """By name."""
    plan = a_plan()
    moved = replace(plan, digests=plan.digests + Digests({"invoices": 1, "quotes": 2}))
    refuse_if_moved_on(plan.digests, plan.digests)
    with pytest.raises(DatabaseMovedOnError, match="invoices, quotes differ"):
        refuse_if_moved_on(plan.digests, moved.digests)


@pytest.mark.parametrize("line", range(9))
def test_a_plan_that_was_changed_is_refused_wherever_it_was(tmp_path, line):
    """One digit in any line, the checksum's included."""
    path = tmp_path / "plan.json"
    lines = written(path, a_plan(workspaces=Workspaces(by_user={IDS[8]: IDS[6]})))
    lines[line] = lines[line].translate(str.maketrans("0a[]", "1b{}"))
    path.write_text("".join(lines), "utf-8")
    with pytest.raises(UsageError, match=r"plan\.json"):
        load_plan(path)


@pytest.mark.parametrize("line", range(8))
def test_a_plan_that_lacks_a_line_is_refused(tmp_path, line):
    """As one that was cut off is."""
    path = tmp_path / "plan.json"
    lines = written(path)
    path.write_text("".join(lines[:line] + lines[line + 1 :]), "utf-8")
    with pytest.raises(UsageError):
        load_plan(path)
    path.write_text("".join(lines[:line]), "utf-8")
    with pytest.raises(UsageError):
        load_plan(path)


DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5_000


def forged(path, number, key, value):
    """A saved plan in which a line says something else, with the checksum that fits."""
    lines = written(path)
    line = lines[number].rstrip(",\n")
    said = json.loads(line if number else line + "}") | {key: "@"}
    lines[number] = json.dumps(said).replace('"@"', value).removesuffix("}") + (
        "},\n" if number else ",\n"
    )
    *content, _ = lines
    checksum = blake2b("".join(content).encode(), digest_size=16).hexdigest()
    path.write_text("".join([*content, f'"checksum": "{checksum}"}}\n']), "utf-8")


@pytest.mark.parametrize("value", [DEEP, HUGE, "7", "NaN", "[1]", '{"a": 1}', "true", "{"])
@pytest.mark.parametrize(
    ("line", "key"),
    [
        *((0, key) for key in ("format", "database", "source", "policy", "digests", "outcomes")),
        *((0, key) for key in ("collections", "more")),
        *((2, key) for key in ("outcome", "reason", "userId", "workspaceId", "more")),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_sentence(tmp_path, line, key, value):
    """However deep or long it is, and though the checksum fits."""
    path = tmp_path / "plan.json"
    forged(path, line, key, value)
    with pytest.raises(UsageError, match=r"(of this version|after it was written)\. Make one"):
        load_plan(path)


def test_a_plan_that_says_a_thing_twice_is_refused(tmp_path):
    """Of two databases neither is meant."""
    path = tmp_path / "plan.json"
    text = "".join(written(path))
    path.write_text(text.replace('"source"', '"database": "other", "source"', 1), "utf-8")
    with pytest.raises(UsageError, match="is not a plan"):
        load_plan(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"\0" * 100, b'{"format": "newbi-migrate plan 1"}']
)
def test_a_file_that_is_no_plan_of_this_version_is_refused(tmp_path, content):
    """Text or not."""
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a plan of this version"):
        load_plan(path)


def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path):
    """A file of any size takes little memory."""
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="is not a plan of this version"):
        load_plan(path)


@pytest.mark.timeout(10)
def test_nobody_waits_for_a_pipe(tmp_path):
    """One in the place of a plan is neither read nor replaced."""
    pipe = tmp_path / "plan.json"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="not a file"):
        load_plan(pipe)

    assert not may_be_replaced(pipe)


def test_a_plan_of_any_version_may_be_replaced_and_nothing_else(tmp_path):
    """Another program's JSON is somebody's."""
    path = tmp_path / "plan.json"
    written(path)
    old, other = tmp_path / "old.json", tmp_path / "other.json"
    old.write_text('{"format": "newbi-migrate plan 1"', "utf-8")
    other.write_text('{"format": "plan"}', "utf-8")

    assert [True, True, False, False] == [
        may_be_replaced(p) for p in (path, old, other, tmp_path / "missing")
    ]
