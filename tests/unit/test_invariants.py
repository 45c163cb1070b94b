"""Invariants as values: what the language says, and the page that lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bson import ObjectId
from predicates import PREDICATES

from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.invariants.base import Invariant, Severity
from newbi_migrate.invariants.language import HasNot
from newbi_migrate.invariants.schemas import nullable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "invariants.md"


@pytest.mark.parametrize("name", PREDICATES)
def test_a_predicate_says_in_python_and_to_the_server_what_holds(
    servers, mongod, database_name, name
):
    """Each value holds in both readings, or in neither."""
    make, good, bad, _ = PREDICATES[name]
    predicate = make()
    values = servers.client(mongod)[database_name]["values"]
    # What BSON has no type for, or has another type for, cannot be stored as it is.
    storable = [
        v
        for v in [*good, *bad]
        if not isinstance(v, tuple) and not (type(v) is int and not -(2**63) <= v < 2**63)
    ]
    values.insert_many([{"_id": n, "v": v} for n, v in enumerate(storable)])
    schema = {"$jsonSchema": {"properties": {"v": predicate.schema()}}}
    found = {document["_id"] for document in values.find(schema, {"_id": 1})}

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
        [sys.executable, "-m", "newbi_migrate.report"], capture_output=True, check=True
    )

    assert done.stdout.decode() == PAGE.read_text(encoding="utf-8")
