"""A server with the generated validators accepts and refuses what the models do."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import bson
import pytest
from bson import ObjectId
from hypothesis import given, settings
from pymongo.errors import WriteError
from stored_documents import storable, stored

from newbi_migrate.documents.better_auth import Member
from newbi_migrate.documents.json_schema import models_of, rules_left_out, rules_said, validator_of
from newbi_migrate.documents.shapes import all_rules
from newbi_migrate.rules import Severity
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.testing import strategies

MODELS = models_of()
FEW = max(3, settings.default.max_examples // 10)
REFUSED = 121


def as_printed(model):
    """The validator as it is read from what the command prints."""
    return json.loads(json.dumps(validator_of(model)))


@pytest.fixture(scope="module")
def database(servers, mongod):
    database = servers.client(mongod)["newbi_test_json_schema"]
    yield database
    database.client.drop_database(database.name)


@pytest.fixture
def collection(database):
    """A collection with the validator of a model, which refuses what does not match it."""
    names = []

    def make(model):
        names.append(model.__name__)
        return database.create_collection(model.__name__, validator=as_printed(model))

    yield make
    for name in names:
        database.drop_collection(name)


def refused(collection, documents):
    """Which of some documents the server refuses for its validator; fails for any other reason."""
    collection.delete_many({})
    answer = collection.database.command(
        {"insert": collection.name, "documents": documents, "ordered": False},
        # The answer quotes what was refused, dates of the year 0 among it.
        codec_options=PLAIN,
    )
    failures = answer.get("writeErrors", [])
    assert {failure["code"] for failure in failures} <= {REFUSED}
    return {failure["index"] for failure in failures}


@pytest.mark.parametrize("name", MODELS)
def test_a_server_refuses_exactly_what_breaks_a_rule_that_is_said(collection, name):
    """Of any documents, good, bent or wild, those are stored that keep the rules."""
    model = MODELS[name]
    said = rules_said(model)
    guarded = collection(model)

    @settings(max_examples=FEW)
    @given(stored(model))
    def agree(documents):
        expected = {
            position
            for position, document in enumerate(documents)
            if any(
                violation.rule in said
                for violation in model.violations_of(bson.decode(bson.encode(document), PLAIN))
            )
        }

        assert expected == refused(guarded, documents)

    agree()


@pytest.mark.parametrize("name", MODELS)
def test_a_server_accepts_what_keeps_every_rule(collection, name):
    """A new document of the model, with fields that nobody declared, is stored."""
    guarded = collection(MODELS[name])

    @settings(max_examples=FEW)
    @given(strategies.documents(MODELS[name], unknown_fields=True))
    def accept(document):
        assert set() == refused(guarded, [storable(document, 0)])

    accept()


def test_a_validator_can_be_put_on_a_collection_that_is_there(database, collection):
    """With collMod too, and then a membership with a text for an id is refused."""
    member = {
        "organizationId": ObjectId(),
        "userId": ObjectId(),
        "role": "owner",
        "createdAt": datetime.now(UTC),
    }
    members = database["members"]
    members.insert_one(dict(member))
    database.command("collMod", "members", validator=as_printed(Member))
    members.insert_one(dict(member))
    with pytest.raises(WriteError, match="failed validation"):
        members.insert_one({**member, "userId": str(member["userId"])})

    members.drop()


def test_what_a_schema_does_not_say_is_known():
    """Comparisons of two fields, JSON in a text, and what is only worth knowing; no more."""
    left_out = {rule.id for model in MODELS.values() for rule in rules_left_out(model)}

    assert {
        "account.credential-id",
        "billing.issue-year",
        "event.end",
        "field.json-text",
        "invoice.due-date",
        "organization.company-guard",
        "quote.valid-until",
    } == left_out


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_of_today_is_said_or_listed_as_left_out(name):
    """None is forgotten, and none of the critical ones but one is left out."""
    model = MODELS[name]
    of_today = {rule.id for rule in all_rules(model)}
    left_out = rules_left_out(model)
    critical = {rule.id for rule in left_out if rule.severity is Severity.CRITICAL}

    assert of_today <= rules_said(model) | {rule.id for rule in left_out}
    assert critical <= {"account.credential-id"}
