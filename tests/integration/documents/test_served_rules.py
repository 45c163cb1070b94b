"""Rules across fields, asked of a server: it finds the very documents that Python finds."""

from __future__ import annotations

import pytest
from rules_across_fields import DONE, RULES

from newbi_migrate.documents.document_rules import Required

rules = pytest.mark.parametrize(("rule", "good", "bad"), RULES.values(), ids=RULES)


@rules
def test_a_server_finds_those_that_python_finds(servers, mongod, database_name, rule, good, bad):
    """A schema or an expression says the very same."""
    collection = servers.client(mongod)[database_name]["rules"]
    documents = [*good, *(document for document, _ in bad)]
    collection.insert_many([{**document, "_id": n} for n, document in enumerate(documents)])
    schema = rule.schema({})
    query = rule.violators() if schema is None else {"$nor": [{"$jsonSchema": schema}]}
    found = {document["_id"] for document in collection.find(query, {"_id": 1})}

    assert set(range(len(good), len(documents))) == found


@pytest.mark.parametrize(
    ("default", "document", "broken"),
    [
        ("done", {}, True),
        ("done", {"state": "new"}, False),
        ("done", {"state": None}, False),
        ("new", {}, False),
        ("new", {"state": "done"}, True),
    ],
)
def test_a_field_that_is_absent_counts_as_its_default(
    servers, mongod, database_name, default, document, broken
):
    """Asked in Python and of a server, a condition sees the default."""
    rule, defaults = Required("x.y", "It is.", ("end",), DONE), {"state": default}
    collection = servers.client(mongod)[database_name]["defaults"]
    collection.insert_one(dict(document))
    query = {"$nor": [{"$jsonSchema": rule.schema(defaults)}]}

    assert broken is bool(rule.broken({**defaults, **document}.get))
    assert broken is (collection.find_one(query) is not None)
