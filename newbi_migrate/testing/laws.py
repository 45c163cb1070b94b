"""Laws that a host application's own models and mappings can be held to, in one line each.

One call checks a host's own model, and one its mapping::

    check_all_rules(Job)
    check_mapping_laws(my_mapping, Job)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import bson
from bson import ObjectId
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from pymongo.synchronous.collection import Collection

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.testing import strategies

__all__ = ["check_all_rules", "check_mapping_laws"]

_SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "report_multiple_bugs": False,
    # Which lines only failing cases run is of no help here, and takes long to find out.
    "phases": (Phase.explicit, Phase.generate, Phase.shrink),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}


def _must(holds: bool, message: str) -> None:
    # Not an assert, which Python leaves out where it is told to optimise.
    if not holds:
        raise AssertionError(message)


def check_all_rules(
    model: type[DocumentModel],
    *,
    collection: Collection[Any] | None = None,
    max_examples: int = 50,
) -> None:
    """Holds the rules of a model to the laws of rules.

    Each has an id of its own and a sentence; none raises, whatever a document holds; reading a
    document and writing it again changes no byte; a document that keeps all rules has no
    violations. With a collection, the server finds the same violators as Python.

    Args:
        model: The model.
        collection: A collection of a database for tests, which is emptied; ``None`` for none.
        max_examples: How many documents are drawn for each law.

    Raises:
        AssertionError: A law is broken; the message says which, by which document.
    """
    _are_declared_well(model)
    chosen = settings(max_examples=max_examples, **_SETTINGS)

    @chosen
    @given(strategies.wild_documents(model))
    def total(document: dict[str, Any]) -> None:
        before = bson.encode(document)
        try:
            violations = model.violations_of(document)
        except Exception as error:
            raise AssertionError("a rule raises where it should find fault") from error
        known = {rule.id for rule in model.declared_rules()}

        _must({v.rule for v in violations} <= known, "a violation names a rule nobody declared")
        _must(bson.encode(document) == before, "looking at a document changed it")
        _must(bson.encode(model.load(document).to_document()) == before, "reading changed it")

    @chosen
    @given(strategies.documents(model))
    def valid(document: dict[str, Any]) -> None:
        model(**document)

    total()
    valid()
    if collection is not None:
        _agrees(model, collection, chosen)


def _are_declared_well(model: type[DocumentModel]) -> None:
    ids = [rule.id for rule in model.declared_rules()]
    _must(len(ids) == len(set(ids)), "two rules have one id")
    for rule in model.declared_rules():
        _must(rule.id == rule.id.lower(), f"the id {rule.id} is not in lower case")
        _must(rule.sentence.endswith("."), f"{rule.id} has no sentence")


def _agrees(model: type[DocumentModel], collection: Collection[Any], chosen: settings) -> None:
    stored = collection.with_options(codec_options=PLAIN)
    served = model.server_checkable_rules()

    @chosen
    @given(st.one_of(strategies.wild_documents(model), strategies.documents(model)))
    def agree(document: dict[str, Any]) -> None:
        stored.delete_many({})
        stored.insert_one({**document, "_id": ObjectId()})
        found = stored.find_one() or {}
        broken = {violation.rule for violation in model.violations_of(found)} & served
        for rule_id in served:
            asked = stored.find_one(model.violators({rule_id}), {"_id": 1}) is not None
            _must((rule_id in broken) is asked, f"the server disagrees about {rule_id}")
        asked = stored.find_one(model.violators(served), {"_id": 1}) is not None
        _must(bool(broken) is asked, "the server disagrees about all rules together")

    agree()


def check_mapping_laws(
    mapping: Callable[[dict[str, Any]], Mapping[str, Any] | None],
    source: type[DocumentModel] | st.SearchStrategy[dict[str, Any]],
    *,
    keeps: tuple[str, ...] = ("_id",),
    target: type[DocumentModel] | None = None,
    max_examples: int = 50,
) -> None:
    """Holds a function from an old document to a new one to the laws of a migration.

    It raises for no document; it changes nothing it is given; asked twice, it answers with the
    same bytes, so that a plan is what a run writes; what it answers can be stored; the fields
    that documents are found by stay. ``None`` stands for a document that is left as it is.

    Args:
        mapping: The function.
        source: The model of the old documents, of which any are drawn, or a strategy.
        keeps: Fields that must not change.
        target: The model of the new documents, none of whose rules a document that keeps those of
            its old model may break.
        max_examples: How many documents are drawn for each law.

    Raises:
        AssertionError: A law is broken; the message says which, by which document.
    """
    chosen = settings(max_examples=max_examples, **_SETTINGS)
    drawn: st.SearchStrategy[dict[str, Any]]
    if isinstance(source, type):
        drawn, kept = strategies.wild_documents(source), strategies.documents(source)
    else:
        drawn = kept = source

    @chosen
    @given(drawn)
    def lawful(document: dict[str, Any]) -> None:
        before = bson.encode(document)
        first = mapping(document)
        _must(bson.encode(document) == before, "the mapping changed the document it was given")
        second = mapping(copy.deepcopy(document))
        _must((first is None) is (second is None), "the mapping answers differently twice")
        if first is None or second is None:
            return
        _must(bson.encode(first) == bson.encode(second), "the mapping answers differently twice")
        for name in keeps:
            one, other = ({k: d[k] for k in (name,) if k in d} for d in (document, first))
            _must(bson.encode(one) == bson.encode(other), f"the mapping changed {name}")

    lawful()
    if target is None:
        return
    result = target

    @chosen
    @given(kept)
    def right(document: dict[str, Any]) -> None:
        mapped = mapping(document)
        for violation in () if mapped is None else result.violations_of(mapped):
            _must(False, f"a good document becomes one that breaks {violation.rule}")

    right()
