"""Every type of field accepts what its declaration says, and refuses what is just beyond it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from newbi_migrate.documents.billing import Invoice
from newbi_migrate.documents.json_schema import models_of
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.shapes import Embedded, Leaf, ListOf, fields_of, without_null
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.testing import strategies
from newbi_migrate.testing.field_values import accepted, accepts, refused

FEW = max(8, settings.default.max_examples // 4)
LOOSE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def leaves(model):
    """The types of all fields of a model, inside embedded documents too."""
    for field in fields_of(model).values():
        value = without_null(field.value)
        while isinstance(value, ListOf):
            value = without_null(value.element)
        if isinstance(value, Embedded):
            yield from leaves(value.model)
        elif isinstance(value, Leaf):
            yield value


LEAVES = {leaf.rule.id: leaf for m in (*models_of().values(), LegacyUser) for leaf in leaves(m)}


@pytest.fixture(scope="module")
def values(servers, mongod):
    database = servers.client(mongod)["newbi_test_field_values"]
    yield database.get_collection("values", codec_options=PLAIN)
    database.client.drop_database(database.name)


@pytest.mark.parametrize("rule", sorted(LEAVES))
def test_a_type_and_the_server_agree_at_its_limits(values, rule):
    """What is drawn to be accepted is, what is drawn to be refused is not, in both readings."""
    leaf = LEAVES[rule]
    schema = {"$jsonSchema": {"properties": {"v": leaf.schema({rule})}}}

    @settings(max_examples=FEW, **LOOSE)
    @given(st.lists(accepted(leaf), min_size=1), st.lists(refused(leaf), min_size=1))
    def agree(good, bad):
        values.delete_many({})
        values.insert_many([{"_id": n, "v": v} for n, v in enumerate([*good, *bad])])
        found = {document["_id"] for document in values.find(schema, {"_id": 1})}

        assert all(accepts(leaf, value) for value in good)
        assert not any(accepts(leaf, value) for value in bad)
        if not leaf.rule.python_only:
            assert set(range(len(good))) == found

    agree()


def test_the_types_are_all_there():
    """A type that no model uses would be tested by nobody."""
    assert len(LEAVES) > 60
    assert {"field.email", "field.number-whole", "field.roles", "field.object-id"} <= set(LEAVES)


def drawn(strategy, number):
    """So many documents of a strategy."""
    found = []

    @settings(max_examples=number, phases=[Phase.generate], database=None, **LOOSE)
    @given(strategy)
    def collect(document):
        found.append(document)

    collect()
    return found


@pytest.mark.slow
def test_valid_invoices_reach_what_the_laws_speak_of():
    """The year of issue, nulls, and lines without VAT are drawn often; every one is valid."""
    found = drawn(strategies.documents(Invoice), 60)
    lines = [line for document in found for line in document["items"]]

    assert [] == [v for document in found for v in Invoice.violations_of(document)]
    assert sum(document.get("issueYear") is not None for document in found) >= 12
    assert sum(None in document.values() for document in found) >= 30
    assert sum(line["vatRate"] == 0 for line in lines) >= len(lines) / 10
    assert sum(document.get("dueDate") is not None for document in found) >= 12


@pytest.mark.slow
def test_a_document_that_just_breaks_one_rule_breaks_no_other():
    """Many rules are met that way, and each document names one."""
    found = drawn(strategies.documents_breaking_one_rule(Invoice), 150)
    broken = [{v.rule for v in Invoice.violations_of(document)} for document in found]
    met = Counter(rule for rules in broken for rule in rules)

    assert {1} == {len(rules) for rules in broken}
    assert len(met) >= 12
