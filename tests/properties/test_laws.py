"""The checkers that are shipped find what breaks their laws, and Hypothesis knows the models."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated, ClassVar

import pytest
from annotated_types import Ge, Le
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import Strict, WrapValidator

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.billing import Invoice
from newbi_migrate.documents.document_rules import (
    DocumentRule,
    Forbidden,
    Is,
    Not,
    Required,
    There,
)
from newbi_migrate.documents.expenses import Expense
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.scalars import NonEmptyText, OwnerId
from newbi_migrate.documents.snapshots import Address
from newbi_migrate.testing import check_all_rules, check_mapping_laws
from newbi_migrate.testing.hypothesis_entry import register

Hours = Annotated[
    Annotated[int, Strict(), Ge(0), Le(24)] | Annotated[float, Strict(), Ge(0), Le(24)],
    FieldRule("field.hours", "At most a day."),
]


def anything(value, _):
    return value


# What the server is told is not what Python asks.
TORN = Annotated[
    int, Strict(), Ge(0), WrapValidator(anything), FieldRule("field.torn", "At most a day.")
]


class Job(DocumentModel):
    """A model of a host application."""

    collection_name: ClassVar[str] = "jobs"
    rules = (
        Required("job.title", "A job that is done has a title.", ("title",), Is("done", True)),
        Forbidden("job.short", "A job is no joke.", {"title": Is("title", "joke")}),
    )

    owner_id: OwnerId
    title: NonEmptyText | None = None
    hours: Hours | None = None


class TornJob(DocumentModel):
    collection_name: ClassVar[str] = "jobs"

    hours: TORN | None = None


class _Raising(DocumentRule):
    @property
    def reads(self):
        return ("title",)

    def broken(self, get):
        return () if len(get("title")) else ("title",)


class RaisingJob(DocumentModel):
    collection_name: ClassVar[str] = "jobs"
    rules = (_Raising("job.raises", "It raises."),)

    title: NonEmptyText | None = None


class NamelessJob(DocumentModel):
    collection_name: ClassVar[str] = "jobs"
    rules = (Forbidden("job.nameless", "No full stop", {"title": Not(There("title"))}),)


@pytest.fixture(scope="module")
def collection(servers, mongod):
    database = servers.client(mongod)["newbi_test_laws"]
    yield database["jobs"]
    database.client.drop_database(database.name)


@pytest.mark.parametrize("model", [Job, Expense], ids=lambda model: model.__name__)
def test_one_line_checks_a_model_of_a_host(collection, model):
    """A model whose rules keep the laws passes, with a server and without."""
    check_all_rules(model, collection=collection, max_examples=4)


@pytest.mark.parametrize("model", [RaisingJob, NamelessJob], ids=lambda model: model.__name__)
def test_a_rule_that_breaks_a_law_is_found(model):
    """A rule that raises, or has no sentence, fails the check of its model."""
    with pytest.raises(AssertionError, match=r"raises|sentence"):
        check_all_rules(model, max_examples=10)


def test_a_rule_on_which_the_server_disagrees_is_found(collection):
    """A rule that says one thing in Python and another to the server fails the check."""
    with pytest.raises(AssertionError, match="disagrees"):
        check_all_rules(TornJob, collection=collection, max_examples=100)


def test_one_line_checks_a_mapping_of_a_host():
    """A mapping that keeps the laws passes."""
    check_mapping_laws(lambda old: {**old, "tenantId": "t"}, Job, target=Job, max_examples=10)
    check_mapping_laws(lambda old: None, Job, max_examples=5)


BROKEN = {
    "changed the document": lambda old: (old.update(tenantId=1), old)[1],
    "twice": lambda old, seen=[]: (seen.append(1), {**old, "n": len(seen)})[1],
    "changed _id": lambda old: {**old, "_id": 7},
    "breaks field.owner-id": lambda old: {k: v for k, v in old.items() if k != "ownerId"},
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_mapping_that_breaks_a_law_is_found(message):
    """A mapping that is impure, or loses what a document is found by, fails the check."""
    with pytest.raises(AssertionError, match=message):
        check_mapping_laws(BROKEN[message], Job, target=Job, max_examples=10)


def test_the_package_tells_hypothesis_where_to_ask():
    """The entry point is declared, so that nobody has to register anything."""
    (found,) = [e for e in entry_points(group="hypothesis") if e.name == "newbi_migrate"]

    assert register is found.load()


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.from_type(Invoice), st.from_type(Address))
def test_hypothesis_draws_models_by_their_type(invoice, address):
    """``st.from_type`` gives models that keep all their rules."""
    assert [] == Invoice.violations_of(invoice.to_document())
    assert isinstance(address, Address)
