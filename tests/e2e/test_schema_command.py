"""``schema`` prints validators as they are generated, without a database."""

from __future__ import annotations

import json

from newbi_migrate.documents.json_schema import models_of, validator_of
from newbi_migrate.errors import ExitCode


def test_the_validators_of_all_collections_are_one_json_document(quick):
    """Each by the name of its collection, and no connection string is asked for."""
    answer = quick("schema", uri=None)
    expected = {name: validator_of(model) for name, model in models_of().items()}

    assert ExitCode.DONE == answer.code
    assert json.loads(json.dumps(expected)) == answer.json


def test_the_validator_of_one_collection_comes_with_what_it_cannot_say(quick):
    """On standard error, so that the document can be piped on."""
    answer = quick("schema", "--collection", "account", "--json", uri=None)

    assert ["account"] == list(answer.json)
    assert "account.credential-id" in answer.err


def test_a_collection_nobody_described_has_no_validator(quick):
    """It is named, and so are the others."""
    answer = quick("schema", "--collection", "jwks", uri=None)

    assert ExitCode.USAGE == answer.code
    assert "'jwks'" in answer.sentence
    assert "invoices" in answer.err
