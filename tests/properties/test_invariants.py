"""One declaration of a rule, asked in Python and of a server: both name the same documents."""

from __future__ import annotations

import pytest
from bson import ObjectId
from hypothesis import given, settings
from stored_documents import samples, storable, stored

from newbi_migrate.documents.better_auth import Account, Invitation, Member, Organization, User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.seen import Seen
from newbi_migrate.documents.suspects import suspects
from newbi_migrate.documents.usual import DESCENDING, unusual
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.testing import strategies
from newbi_migrate.testing.legacy import LegacyDatabase

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


def served_violations(model, document):
    """The rules a document breaks that a server can be asked."""
    return [found for found in model.violations(document) if found.rule in model.served()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_python_and_the_server_find_the_same_violators(collection, model):
    """Each rule is broken by the same documents in both readings, and none escapes suspicion."""
    rules = [rule for rule in model.invariants() if rule.id in model.served()]
    queries = [suspects(model), *(rule.violators for rule in rules)]

    @settings(max_examples=FEW)
    @given(stored(model))
    def agree(documents):
        collection.delete_many({})
        collection.insert_many(documents)
        as_stored = list(collection.find())
        suspected, *found = found_by(collection, queries)

        for rule, ids in zip(rules, found, strict=True):
            expected = {str(d["_id"]) for d in as_stored if rule.check(d)}
            assert expected == ids, rule.id
            assert expected <= suspected, rule.id

    agree()


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


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_violator_is_like_the_others(collection, model):
    """Whatever a sample shows, who breaks a rule is unusual among the documents it stands for."""

    @settings(max_examples=FEW)
    @given(samples(model))
    def agree(drawn):
        sample, documents = drawn
        seen = Seen()
        for document in sample:
            seen.add(document)
        collection.delete_many({})
        collection.insert_many({str(d["_id"]): d for d in documents}.values())
        (found,) = found_by(collection, [unusual(model, seen)])
        broken = {str(d["_id"]) for d in collection.find() if served_violations(model, d)}

        assert broken <= found

    agree()


@pytest.mark.parametrize("sampled", ["text", None, {}, []])
@pytest.mark.parametrize("path", ["companyInfo", "client.address"])
def test_a_sample_of_violators_hides_no_other_violator(collection, sampled, path):
    """Where something else stands in place of an embedded document, whatever else does is found."""
    (spec,) = (spec for spec in NEWBI if spec.name == "invoices")
    good = next(iter(LegacyDatabase(seed=3, users=40).documents("invoices")))
    holder, _, name = path.rpartition(".")

    def having(**fields):
        document = {**good, "_id": ObjectId(), "client": {**good["client"]}}
        (document[holder] if holder else document).pop(name)
        (document[holder] if holder else document).update(fields)
        return document

    seen = Seen()
    seen.add(having(**{name: sampled}))
    bad = [having(), *(having(**{name: value}) for value in ("text", 7, None, [], [{}], [None]))]
    collection.delete_many({})
    collection.insert_many(bad)
    (found,) = found_by(collection, [unusual(spec.model, seen, skip={"workspaceId"})])

    assert {str(document["_id"]) for document in bad} == found


@pytest.mark.parametrize("name", ["invoices", "quotes", "clients", "transactions"])
def test_who_is_like_the_others_is_not_asked_any_more(collection, name):
    """Of a usual collection hardly any document that keeps its rules is unusual."""
    (spec,) = (spec for spec in NEWBI if spec.name == name)
    documents = list(LegacyDatabase(seed=3, users=40).documents(name))
    seen = Seen()
    for document in documents[::3]:
        seen.add(document)
    collection.delete_many({})
    collection.insert_many(documents)
    # None has a workspace yet.
    innocent = {
        str(d["_id"])
        for d in collection.find()
        if all(broken.path == "workspaceId" for broken in spec.model.violations(d))
    }
    (found,) = found_by(collection, [unusual(spec.model, seen, skip={"workspaceId"})])

    assert len(innocent) > 30
    assert len(innocent & found) <= len(innocent) / 10


def test_a_server_that_descends_says_so(collection):
    """The operator means here what it is used for."""
    documents, match, expected = DESCENDING
    collection.delete_many({})
    collection.insert_many(documents)

    assert expected == sorted(d["_id"] for d in collection.find(match))


def test_of_no_sample_all_are_unusual():
    """Where nothing was seen, nothing is passed over."""
    assert unusual(LegacyUser, Seen()) == {}


def test_what_only_python_can_ask_is_known():
    """Of Newbi's rules a server can be asked all but whether a text is JSON."""
    not_served = {
        rule.id for model in MODELS for rule in model.invariants() if rule.id not in model.served()
    }

    assert {"field.json-text"} == not_served
