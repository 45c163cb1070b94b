"""Rules as values, and the page that lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.shapes import nullable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"


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


def test_every_rule_of_every_model_has_a_sentence_and_one_severity():
    """An id means one rule, wherever it stands."""
    seen = {}
    for spec in NEWBI:
        for rule in spec.model.declared_rules() if spec.model else ():
            said = (rule.sentence, rule.severity)
            assert seen.setdefault(rule.id, said) == said, rule.id
            assert rule.sentence.endswith(".")


def test_the_page_of_rules_is_up_to_date():
    """The page lists what is declared; python -m newbi_migrate.report writes it anew."""
    done = subprocess.run(
        [sys.executable, "-m", "newbi_migrate.report"], capture_output=True, check=True
    )

    assert done.stdout.decode() == PAGE.read_text(encoding="utf-8")
