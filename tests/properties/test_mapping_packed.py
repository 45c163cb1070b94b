"""Packed collections of ids hold what the usual ones do."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import islice

from bson import ObjectId
from hypothesis import given, strategies as st
from results import user_lines

from newbi_migrate.mapping import packed
from newbi_migrate.mapping.decisions import (
    Decisions,
    LegacyKey,
    LegacyKeys,
    Outcome,
    Target,
    UserDecision,
    decide_users,
    workspaces_after,
)
from newbi_migrate.mapping.packed import (
    IdColumn,
    Interned,
    PackedGroups,
    PackedIds,
    PackedMap,
    TextColumn,
    digest_of,
    head_of,
    repeated,
    tail_of,
)
from newbi_migrate.mapping.slug import slug_candidates
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.people import TargetOddities
from newbi_migrate.migration.planning.results import Findings, UserLine
from newbi_migrate.migration.rollback.units import CreatedDocument, Going, Units
from newbi_migrate.store.user_documents import BACKWARDS
from newbi_migrate.testing import strategies

# Few differ in their first eight bytes, as those of one process and second.
IDS = st.builds(
    lambda head, tail: ObjectId(head + tail),
    st.sampled_from([bytes(8), b"\xff" * 8, b"65b00000"]),
    st.binary(min_size=4, max_size=4),
)
ANY_IDS = st.one_of(IDS, strategies.object_ids(), st.integers(0, 9), st.text(max_size=3), st.none())
REASONS = st.sampled_from([Reason.OWNER_AMBIGUOUS, Reason.OWNER_QUARANTINED])


@given(ids=st.lists(IDS), others=st.lists(IDS))
def test_a_set_holds_its_ids_in_order(ids, others):
    """However they were given, and no others."""
    packed = PackedIds(ids)

    assert sorted(set(ids)) == list(packed)
    assert set(ids) == packed
    assert packed == frozenset(ids)
    assert {i: i in set(ids) for i in others + ids} == {i: i in packed for i in others + ids}
    assert list(range(len(packed))) == [packed.position(i) for i in packed]
    assert "x" not in packed


@given(pairs=st.lists(st.tuples(IDS, st.one_of(IDS, REASONS))), other=IDS)
def test_a_map_holds_the_last_value_of_each_key(pairs, other):
    """Ids and other values alike."""
    packed = PackedMap(
        (key.binary, value.binary if isinstance(value, ObjectId) else value) for key, value in pairs
    )

    assert dict(pairs) == packed
    assert sorted(dict(pairs)) == list(packed)
    assert dict(pairs).get(other) == packed.get(other)


@given(pairs=st.lists(st.tuples(IDS, IDS)), other=IDS)
def test_groups_hold_every_pair_once(pairs, other):
    """By the first of it."""
    packed = PackedGroups(key.binary + member.binary for key, member in pairs)
    expected = {}
    for key, member in pairs:
        expected.setdefault(key, set()).add(member)

    assert {key: frozenset(members) for key, members in expected.items()} == packed
    assert frozenset(expected.get(other, ())) == packed.get(other, frozenset())


@given(ids=st.lists(ANY_IDS), start=st.integers(-9, 9), end=st.integers(-9, 9))
def test_a_column_gives_ids_back_as_they_were(ids, start, end):
    """Of any type, by position and in slices."""
    column = IdColumn(ids)
    object_ids = [i for i in ids if isinstance(i, ObjectId)]

    assert ids == list(column)
    assert ids[start:end] == column[start:end]
    assert ids == column
    assert [i.binary for i in object_ids] == list(column.object_ids())
    assert {tail_of(i) for i in object_ids} <= set(column.tails())


def test_a_column_equals_what_holds_the_same_ids_in_the_same_order():
    """And nothing shorter or longer, and nothing that is no sequence."""
    id_ = ObjectId()
    column = IdColumn([id_])

    assert [id_] == column
    assert [True] * 4 == [column != other for other in ([], [id_, id_], {id_}, 1)]


@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=2))))
def test_texts_that_occur_more_than_once_are_found(texts):
    """By the heads of their digests, whatever else there is."""
    column = TextColumn()
    for text in texts:
        column.append(text)
    several = {t for t, n in Counter(texts).items() if n > 1 and t is not None}

    assert [None if t is None else digest_of(t) for t in texts] == list(column)
    assert {head_of(digest_of(t)) for t in several} == repeated(column.heads())


@given(values=st.lists(st.sampled_from("abc")))
def test_interned_values_come_back_in_order(values):
    """Each is kept once."""
    column = Interned()
    for value in values:
        column.append(value)

    assert values == list(column)
    assert list(dict.fromkeys(values)) == column.values


@st.composite
def _decisions(draw):
    def decision(legacy_id):
        user_id = draw(st.one_of(st.none(), IDS))
        workspace = draw(st.one_of(st.none(), IDS)) if user_id else None
        slugs = [] if user_id is None else list(islice(slug_candidates(user_id), 8))
        return UserDecision(
            legacy_id,
            draw(st.sampled_from(Outcome)),
            draw(st.one_of(st.none(), REASONS)),
            user_id,
            workspace,
            draw(st.one_of(st.none(), REASONS)),
            draw(st.sampled_from([None, *slugs])),
            *draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
        )

    return [decision(i) for i in draw(st.lists(ANY_IDS, unique_by=repr))]


@given(decisions=_decisions(), other=ANY_IDS)
def test_decisions_come_back_as_they_were_and_are_found_by_legacy_ids(decisions, other):
    """Whatever their order."""
    packed = Decisions(decisions)
    known = [repr(d.legacy_id) for d in decisions]

    assert decisions == list(packed)
    assert list(range(len(known))) == [packed.position(d.legacy_id) for d in decisions]
    assert (known.index(repr(other)) if repr(other) in known else -1) == packed.position(other)


@given(
    decisions=_decisions(),
    creates=st.dictionaries(st.sampled_from(["user", "account", "organization", "member"]), IDS),
    fills=st.dictionaries(st.sampled_from(["user", "organization"]), st.integers(1, 3)),
)
def test_lines_come_back_as_they_were(decisions, creates, fills):
    """Also where ids do not follow from the user's."""
    lines = [
        UserLine(d.legacy_id, d.outcome, d.reason, d.user_id, d.workspace, creates, fills)
        for d in decisions
    ]
    packed = user_lines(*lines)

    assert lines == list(packed)
    assert Counter(line.outcome for line in lines) == packed.outcomes
    assert any(line.writes for line in lines) == packed.pending


@given(ids=st.lists(ANY_IDS), code=st.sampled_from("ab"), path=st.sampled_from(["", "p"]))
def test_findings_come_back_as_they_were(ids, code, path):
    """With every kind once."""
    findings = [Finding(code, "user", i, path) for i in ids] + [Finding("x", "user", 1)]

    assert findings == list(Findings(findings))
    assert {(f.code, f.collection, f.path) for f in findings} == set(Findings(findings).kinds)


@given(
    documents=st.lists(
        st.tuples(ANY_IDS, st.sampled_from(BACKWARDS), ANY_IDS), unique_by=repr, max_size=200
    ),
    data=st.data(),
)
def test_units_hold_what_was_created_for_each(documents, data):
    """In the order in which it was found; what stays is in no count and no set of ids."""
    units, expected = Units(), {}
    for legacy_id, collection, identifier in documents:
        created = CreatedDocument(collection, identifier, bytes(8))
        units.add(legacy_id, created)
        expected.setdefault(repr(legacy_id), []).append(created)
    staying = data.draw(st.sets(st.integers(0, len(expected) - 1))) if expected else set()
    going = Going(units, staying)
    left = [d for n, found in enumerate(expected.values()) if n not in staying for d in found]

    assert list(expected.values()) == [units.at(n).created for n in range(len(units))]
    assert left == [d for unit in going for d in unit.created]
    assert Counter(d.collection for d in left) == units.counts(going)
    for name in BACKWARDS:
        assert sorted(repr(d.id) for d in left if d.collection == name) == sorted(
            map(repr, units.ids(name, going))
        )
    for position, document in enumerate(documents):
        assert position == units.find(*document, among=len(units))
        assert units.find(*document, among=0) is None


def test_what_is_known_of_a_user_takes_few_bytes():
    """Key, decision, workspaces and unit: a million users fit into the memory of a laptop."""
    users = [ObjectId(f"{number:08x}{number * 7919:016x}") for number in range(3_000)]
    tracemalloc.start()
    keys = LegacyKeys.of(LegacyKey(i, f"{i}@newbi.fr", phone=str(i)) for i in users)
    decisions = Decisions(decide_users(keys, Target()))
    workspaces = workspaces_after(keys.ids, decisions, Target())
    planned, _ = tracemalloc.get_traced_memory()
    units = Units()
    for user in users:
        for name in BACKWARDS:
            units.add(user, CreatedDocument(name, user, bytes(8)))
    both, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(users) == len(workspaces.by_user) == len(units)
    assert 250 > planned / len(users)
    assert 200 > (both - planned) / len(users)


async def test_what_is_odd_is_told_in_few_bytes_for_a_user(monkeypatch):
    """Those who get a workspace are gone through again, and not listed."""
    monkeypatch.setattr(packed, "_TOGETHER", 500)
    users = [ObjectId(f"{number:024x}") for number in range(10_000)]
    decisions = Decisions(
        UserDecision(user, Outcome.CREATED, user_id=user, workspace=user) for user in users
    )
    tracemalloc.start()
    found = await TargetOddities(None).after(Target(), decisions)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not len(found)
    assert 100 > peak / len(users)
