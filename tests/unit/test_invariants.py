"""Invariants as values: what the language says, and the page that lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bson import Code, Int64, ObjectId

from newbi_migrate.invariants.base import Invariant, Severity
from newbi_migrate.invariants.language import (
    FILLED,
    AllOf,
    AnyOf,
    BuiltFrom,
    Contains,
    Has,
    HasNot,
    Kind,
    Length,
    Matches,
    NoLongerThan,
    Not,
    OneOf,
    ValuesAre,
    Whole,
    Within,
    nullable,
)
from newbi_migrate.models.newbi import NEWBI

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "invariants.md"

CASES = [
    (Kind(("string",)), ["", "é"], [Code("f()"), None, 7]),
    (Kind(("int", "long")), [1, Int64(2)], [True, 1.0, 2**70]),
    (Matches(r"\d{2}"), ["07"], ["7", "07\n", 7, None]),
    (Matches(r"[a\s]*", ascii_only=False), ["a\u00a0a"], ["b"]),
    (Contains(r"[^\s]"), [" x "], ["", "\u2003", None]),
    (Length(1, 2), ["a", "éé"], ["", "abc", 1]),
    (BuiltFrom(str.isdigit, Length(1)), ["12"], ["", "1a", 12]),
    (FILLED, [0, False, "x", [], {}], [None, "", " \u00a0"]),
    (Within(0, 1), [0, 1.0], [-1, float("nan"), "0", True]),
    (Within(above=0, below=2), [1], [0, 2]),
    (Whole(), [2024, 2024.0], [0.5, float("inf"), 10**15, "1"]),
    (OneOf(("a", True)), ["a", True], [1, "b", None]),
    (NoLongerThan(1), [[], [1]], [[1, 2], None]),
    (Has("a", OneOf((True,))), [{"a": True}], [{}, {"a": 1}, None]),
    (HasNot("a"), [{}], [{"a": None}, None]),
    (ValuesAre(Within(0, 1)), [{}, {"a": 1}], [{"a": 2}, []]),
    (AllOf(Length(1), Matches("a*")), ["a"], ["", "b"]),
    (AnyOf(Kind(("null",)), OneOf(("a",))), [None, "a"], ["b"]),
    (Not(Kind(("null",))), [1, "a"], [None]),
]


@pytest.mark.parametrize(("predicate", "good", "bad"), CASES, ids=lambda case: str(case)[:40])
def test_a_predicate_says_in_python_and_to_the_server_what_holds(
    servers, mongod, database_name, predicate, good, bad
):
    """Each value holds in both readings, or in neither."""
    values = servers.client(mongod)[database_name]["values"]
    storable = [v for v in [*good, *bad] if not (isinstance(v, int) and v >= 2**63)]
    values.insert_many([{"_id": n, "v": v} for n, v in enumerate(storable)])
    schema = {"$jsonSchema": {"properties": {"v": predicate.schema()}}}
    found = {document["_id"] for document in values.find(schema)}

    assert [True] * len(good) + [False] * len(bad) == [predicate.holds(v) for v in [*good, *bad]]
    assert {n for n, v in enumerate(storable) if predicate.holds(v)} == found


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"bsonType": ["string"], "pattern": "a"},
        {"enum": ["a"]},
        {"properties": {"a": {"bsonType": "null"}}},
        {"not": {"bsonType": "null"}},
    ],
)
def test_a_nullable_schema_accepts_null(servers, mongod, database_name, schema):
    """What may be null may be null, whatever else it must be."""
    values = servers.client(mongod)[database_name]["values"]
    values.insert_one({"v": None})
    query = {"$jsonSchema": {"properties": {"v": nullable(schema)}}}

    assert values.find_one(query) is not None


def test_classes_that_mean_another_thing_elsewhere_are_refused():
    """A pattern for all of Unicode may not say digit or word, which engines read differently."""
    with pytest.raises(ValueError, match="engine"):
        Matches(r"\w+", ascii_only=False).schema()


def test_an_invariant_tells_how_its_violators_are_found():
    """A query comes first, a predicate is asked otherwise, and a check alone has neither."""
    query = {"n": 7}
    declared = Invariant("x.y", "It is.", Severity.INFO, lambda _: [], query)
    derived = Invariant("x.y", "It is.", Severity.INFO, lambda _: [], test=HasNot("a"))
    checked = Invariant("x.y", "It is.", Severity.INFO, lambda _: [])

    assert query == declared.violators
    assert {"$nor": [{"$jsonSchema": HasNot("a").schema()}]} == derived.violators
    assert checked.violators is None


def test_every_rule_of_every_model_has_a_sentence_and_one_severity():
    """An id means one rule, wherever it stands."""
    seen = {}
    for spec in NEWBI:
        for rule in spec.model.invariants() if spec.model else ():
            said = (rule.sentence, rule.severity)
            assert seen.setdefault(rule.id, said) == said, rule.id
            assert rule.sentence.endswith(".")
            assert not rule.check({"_id": ObjectId()}) or rule.sentence


def test_the_page_of_invariants_is_up_to_date():
    """The page lists what is declared; python -m newbi_migrate.invariants writes it anew."""
    done = subprocess.run(
        [sys.executable, "-m", "newbi_migrate.invariants"], capture_output=True, check=True
    )

    assert done.stdout.decode() == PAGE.read_text(encoding="utf-8")
