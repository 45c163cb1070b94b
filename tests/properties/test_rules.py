"""One declaration of a rule, asked in Python and of a server: both name the same documents."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from stored_documents import stored

from newbi_migrate.documents.better_auth import Account, Invitation, Member, Organization, User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.store.decoding import PLAIN

MODELS = sorted(
    {spec.model for spec in NEWBI if spec.model}
    | {User, Account, Organization, Member, Invitation}
    | {LegacyUser},
    key=lambda model: model.__name__,
)
# Each example asks every rule of a dozen documents at once.
FEW = max(5, settings.default.max_examples // 6)


@pytest.fixture(scope="module")
def collection(servers, mongod):
    database = servers.client(mongod)["newbi_test_rules"]
    yield database.get_collection("documents", codec_options=PLAIN)
    database.client.drop_database(database.name)


def found_by(collection, queries):
    """The ids each of some match expressions finds."""
    facets = {
        f"r{n}": [{"$match": query}, {"$group": {"_id": None, "ids": {"$push": "$_id"}}}]
        for n, query in enumerate(queries)
    }
    (answer,) = collection.aggregate([{"$facet": facets}])
    return [
        {str(i) for group in answer[f"r{n}"] for i in group["ids"]} for n in range(len(queries))
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_python_and_the_server_find_the_same_violators(collection, model):
    """Each rule is broken by the same documents in both readings, alone and all together."""
    rules = sorted(model.server_checkable_rules())
    queries = [model.violators(rules), *(model.violators({rule}) for rule in rules)]

    @settings(max_examples=FEW)
    @given(stored(model))
    def agree(documents):
        collection.delete_many({})
        collection.insert_many(documents)
        as_stored = list(collection.find())
        anyhow, *found = found_by(collection, queries)

        broken = {
            (violation.rule, str(document["_id"]))
            for document in as_stored
            for violation in model.violations_of(document)
        }
        for rule, ids in zip(rules, found, strict=True):
            assert {i for name, i in broken if name == rule} == ids, rule
        assert {i for name, i in broken if name in rules} == anyhow

    agree()


def test_what_only_python_can_ask_is_known():
    """Of Newbi's rules a server can be asked all but whether a text is JSON."""
    not_served = {
        rule.id
        for model in MODELS
        for rule in model.declared_rules()
        if rule.id not in model.server_checkable_rules()
    }

    assert {"field.json-text"} == not_served
