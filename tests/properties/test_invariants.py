"""One declaration of a rule, asked in Python and of a server: both name the same documents."""

from __future__ import annotations

import pytest
from bson import ObjectId, Regex
from hypothesis import given, settings, strategies as st

from newbi_migrate.models.base import DocumentModel
from newbi_migrate.models.better_auth import Account, Invitation, Member, Organization, User
from newbi_migrate.models.legacy import LegacyUser
from newbi_migrate.models.newbi import NEWBI
from newbi_migrate.models.suspects import suspects
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.testing import strategies

MODELS = sorted(
    {spec.model for spec in NEWBI if spec.model}
    | {User, Account, Organization, Member, Invitation}
    | {LegacyUser},
    key=lambda model: model.__name__,
)
# Each example asks every rule of a dozen documents at once.
FEW = max(5, settings.default.max_examples // 6)


class EveryRule:
    def __contains__(self, rule_id):
        return True


@st.composite
def bent(draw, model: type[DocumentModel]):
    """A document that keeps its rules, with the values of some of its fields exchanged."""
    document = draw(strategies.documents(model))
    paths = [(document, key) for key in document]
    for value in list(document.values()):
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                paths += [(inner, key) for key in inner]
    for holder, key in draw(st.lists(st.sampled_from(paths), max_size=3)) if paths else ():
        kind = draw(st.sampled_from(("gone", "null", "blank", "list", "any", "any")))
        if kind == "gone":
            holder.pop(key, None)
        elif kind == "list":
            # Comparisons of a match look into lists, and must not be misled by what is in them.
            holder[key] = [holder.get(key)]
        else:
            holder[key] = {"null": None, "blank": " \u00a0"}.get(kind) or draw(
                strategies.bson_values() if kind == "any" else st.none()
            )
    return document


def storable(document, position):
    """The document with an ``_id`` a server takes, and no two the same."""
    identifier = document.get("_id", ObjectId())
    if isinstance(identifier, list | Regex | dict) or identifier is None:
        identifier = ObjectId()
    if not isinstance(identifier, ObjectId):
        identifier = f"{position}"
    return {"_id": identifier, **{k: v for k, v in document.items() if k != "_id"}}


def stored(model):
    """A few documents of a model, good and bad."""
    one = st.one_of(
        strategies.wild_documents(model, unknown_fields=False),
        strategies.documents(model),
        bent(model),
        bent(model),
    )
    return st.lists(one, min_size=1, max_size=12).map(
        lambda found: list(
            {str(d["_id"]): d for d in (storable(d, n) for n, d in enumerate(found))}.values()
        )
    )


@pytest.fixture(scope="module")
def collection(servers, mongod):
    database = servers.client(mongod)["newbi_test_invariants"]
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
    """For any documents, each rule is broken by the same of them in both readings."""
    rules = [rule for rule in model.invariants() if rule.id in model.served()]
    queries = [rule.violators for rule in rules]

    @settings(max_examples=FEW)
    @given(stored(model))
    def agree(documents):
        collection.delete_many({})
        collection.insert_many(documents)
        as_stored = list(collection.find())
        found = found_by(collection, queries)

        for rule, ids in zip(rules, found, strict=True):
            expected = {str(d["_id"]) for d in as_stored if rule.check(d)}
            assert expected == ids, rule.id

    agree()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_violator_escapes_suspicion(collection, model):
    """The cheap question finds every document that breaks a rule a server can be asked."""
    query, served = suspects(model), model.served()

    @settings(max_examples=FEW)
    @given(stored(model))
    def escape(documents):
        collection.delete_many({})
        collection.insert_many(documents)
        broken = {
            str(d["_id"])
            for d in collection.find()
            if any(violation.rule in served for violation in model.violations(d))
        }

        assert broken <= {str(d["_id"]) for d in collection.find(query, {"_id": 1})}

    escape()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_who_keeps_all_rules_is_hardly_ever_suspected(collection, model):
    """A document that breaks no rule does not travel."""
    query = suspects(model)

    @settings(max_examples=FEW)
    @given(strategies.documents(model))
    def suspect(document):
        collection.delete_many({})
        collection.insert_one(storable(document, 0))
        innocent = not model.violations(collection.find_one())

        assert not innocent or collection.find_one(query) is None

    suspect()


def test_what_only_python_can_ask_is_known():
    """Of Newbi's rules a server can be asked all but whether a text is JSON."""
    not_served = {
        rule.id for model in MODELS for rule in model.invariants() if rule.id not in model.served()
    }

    assert {"field.json-text"} == not_served
