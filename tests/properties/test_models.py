"""Laws of the models, for every document of Newbi and for documents nobody would write."""

from __future__ import annotations

import json

import bson
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from pydantic import TypeAdapter, ValidationError
from spoiled import has_no_text, spoiled_documents

from newbi_migrate.documents import better_auth, legacy
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.shapes import fields_of
from newbi_migrate.rules import Severity
from newbi_migrate.testing import strategies

MODELS = sorted(
    {spec.model for spec in NEWBI if spec.model is not None}
    | {older for spec in NEWBI if spec.model for older in spec.model.older_shapes}
    | {legacy.LegacyUser}
    | {getattr(better_auth, name) for name in better_auth.__all__ if name[1].islower()},
    key=lambda model: model.__name__,
)
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
IN_TEXT = {
    f"field.{name}"
    for name in ("date", "document-id", "embedded-id", "object-id", "owner-id", "workspace-id")
} | {"field.organization-id", "field.workspace-id-of-either-type"}
# Documents of some thirty fields are big for Hypothesis, and drawing them is most of the time.
drawn = settings(
    max_examples=max(10, settings.default.max_examples // 3),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ],
    deadline=None,
)


def faults(model, document):
    return [v for v in model.violations_of(document) if v.severity is not Severity.INFO]


def given_by_default(model, document):
    """The fields that are missing here, and a stored document has to have."""
    return {
        key
        for key, shape in fields_of(model).items()
        if key not in document and not model.model_fields[shape.name].is_required()
    }


def value_at(document, path):
    """The value at a dotted path."""
    for part in path.split("."):
        document = document[int(part)] if isinstance(document, list) else document.get(part)
    return document


def kept(given, built):
    """Whether nothing of a document changed but that defaults were added."""
    if isinstance(given, dict) and isinstance(built, dict):
        return all(key in built and kept(given[key], built[key]) for key in given)
    if isinstance(given, list) and isinstance(built, list):
        return len(given) == len(built) and all(map(kept, given, built))
    return bson.encode({"": given}) == bson.encode({"": built})


@pytest.mark.slow
@models
@drawn
@given(data=st.data())
def test_what_is_loaded_is_given_back_to_the_byte(model, data):
    """Loading never raises and loses nothing, whatever a document holds."""
    document = data.draw(strategies.wild_documents(model, attribute_names=True))

    loaded = model.load(document)

    assert bson.encode(document) == bson.encode(loaded.to_document())


@drawn
@given(document=strategies.bson_documents(), model=st.sampled_from(MODELS))
def test_a_document_of_something_else_is_given_back_too(document, model):
    """A document that has nothing to do with the model is loaded and kept."""
    assert bson.encode(document) == bson.encode(model.load(document).to_document())


@models
@drawn
@given(data=st.data())
def test_a_valid_document_is_accepted_both_ways(model, data):
    """A document drawn valid breaks no rule, and strict construction accepts it unchanged."""
    document = data.draw(strategies.documents(model))
    if document.get("issueYear", ...) is None:
        del document["issueYear"]  # the year of a new document follows from its date

    built = model.model_validate(document).to_document()

    assert [] == faults(model, document)
    assert kept(document, built)


@models
@drawn
@given(data=st.data())
def test_strict_construction_and_violations_agree(model, data):
    """What strict construction refuses has a violation, and nothing else has."""
    document = data.draw(
        st.one_of(
            strategies.wild_documents(model, unknown_fields=False),
            strategies.documents_breaking_one_rule(model),
            strategies.documents(model),
        )
    )
    if document.get("_id", ...) is None:
        del document["_id"]  # a new document has none yet

    # What a new document is completed with cannot be missing in it.
    found = [v for v in faults(model, document) if v.path not in given_by_default(model, document)]
    # Ids and dates are understood as JSON has them, and stored as what they are.
    assume(not any(isinstance(value_at(document, v.path), str) for v in found if v.rule in IN_TEXT))

    if found:
        with pytest.raises(ValidationError):
            model.model_validate(document)
    else:
        model.model_validate(document)


@models
@drawn
@given(data=st.data())
def test_every_violation_names_a_declared_rule(model, data):
    """Each violation is of a rule that the model lists, with its sentence and its severity."""
    document = data.draw(strategies.wild_documents(model))
    declared = {rule.id: (rule.sentence, rule.severity) for rule in model.declared_rules()}

    for found in model.violations_of(document):
        assert declared[found.rule] == (found.message, found.severity)


@drawn
@given(document=strategies.legacy_users(dirty=True))
def test_a_worn_legacy_user_is_loaded(document):
    """What real databases hold for users is loaded and given back to the byte."""
    loaded = legacy.LegacyUser.load(document)

    assert bson.encode(document) == bson.encode(loaded.to_document())


def as_json(text):
    """What JSON says, in which NaN and Infinity are no numbers."""
    return json.loads(text, parse_constant=pytest.fail)


@models
@drawn
@given(data=st.data())
def test_whatever_is_stored_is_served(model, data):
    """Any value at any place is read, looked at and served as JSON, without a warning."""
    document = data.draw(spoiled_documents(model))
    answers = TypeAdapter(list[model])

    loaded = model.load(document)
    loaded.violations()
    repr(loaded)
    validated = answers.validate_python([loaded])  # as FastAPI does before it answers
    (served,) = as_json(answers.dump_json(validated, by_alias=True))

    assert served == as_json(json.dumps(loaded.model_dump(mode="json", by_alias=True)))
    assert set(served) == set(fields_of(model))
    assert (
        loaded.model_dump(exclude_unset=True, exclude_none=True).keys() <= loaded.model_fields_set
    )


@models
@drawn
@given(data=st.data())
def test_what_is_served_can_be_posted_back(model, data):
    """A valid document makes the same document again from its own JSON."""
    document = data.draw(strategies.documents(model))
    assume(not has_no_text(document))

    built = model.model_validate_json(model.load(document).model_dump_json(by_alias=True))

    assert not faults(model, built.to_document())
    assert document.get("_id") == built.to_document().get("_id")
