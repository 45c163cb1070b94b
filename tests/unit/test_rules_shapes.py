"""What annotations say of values: how these are read, which rules they break, what is asked."""

from __future__ import annotations

from collections import UserList
from datetime import date
from typing import Annotated, Any, Optional

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.conditions import forbidden
from newbi_migrate.documents.rules import (
    DOCUMENT,
    LIST,
    REQUIRED,
    TYPE,
    Anything,
    Embedded,
    Foreign,
    Leaf,
    ListOf,
    Nullable,
    Rule,
    predicated,
    shape_of,
)
from newbi_migrate.invariants.base import Severity, Violation
from newbi_migrate.invariants.language import ANYTHING, ARRAY, OBJECT, Has, Within

NUMBERS = {"bsonType": ["double", "int", "long"]}
HOURS_SCHEMA = {**NUMBERS, "minimum": 0, "maximum": 24}


def hours(**options):
    return predicated("field.hours", "At most a day.", Within(0, 24), **options)


HOURS = hours()
EVEN = Rule("field.even", "It is even.", lambda value: isinstance(value, int) and value % 2 == 0)


class Shift(EmbeddedModel):
    """A document inside another."""

    hours: Annotated[int | float, HOURS]


class Early(EmbeddedModel):
    """A document with a rule across its fields."""

    rules = (forbidden("early.late", "It is not late.", {"late": Has("late")}),)


WANTED = frozenset({"field.hours", "field.document", "field.list", "field.required"})


def broken(shape, value):
    """The rules a value at ``x`` breaks, and where."""
    return [(violation.rule, violation.path) for violation in shape.broken(value, "x")]


# -- a rule -----------------------------------------------------------------------------------


def test_a_rule_said_once_is_asked_in_both_ways():
    """Python asks the predicate the server is asked, and the rest is as it was declared."""
    plain = hours()
    test = Within(0, 24)
    full = predicated(
        "field.hours",
        "At most a day.",
        test,
        severity=Severity.CRITICAL,
        json_schema={"maximum": 24},
        to_json=str,
    )

    assert ("field.hours", "At most a day.", Severity.WARNING, {}, None) == (
        plain.id,
        plain.sentence,
        plain.severity,
        plain.json_schema,
        plain.to_json,
    )
    assert (Severity.CRITICAL, {"maximum": 24}, str, test) == (
        full.severity,
        full.json_schema,
        full.to_json,
        full.test,
    )
    assert [True, False, False] == [full.holds(value) for value in (24, 25, "1")]


def test_a_broken_rule_says_where():
    """The violation has the path, and the id, the sentence and the severity of the rule."""
    rule = hours(severity=Severity.INFO)

    assert Violation("field.hours", "a.0.b", "At most a day.", Severity.INFO) == rule.broken_at(
        "a.0.b"
    )


def test_pydantic_refuses_what_breaks_the_rule():
    """With the id and the sentence of the rule, and a value that keeps it is not converted."""
    adapter = TypeAdapter(Annotated[Any, hours()])
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python("7")
    (error,) = refused.value.errors()

    assert ("field.hours", "At most a day.") == (error["type"], error["msg"])
    assert (True, 7.0) == (type(adapter.validate_python(7.0)) is float, adapter.validate_python(7))


def test_pydantic_writes_a_value_as_the_rule_says_and_in_json_alone():
    """Where a rule says how its value is written; else pydantic does as it likes."""
    special = TypeAdapter(Annotated[Any, hours(to_json=lambda value: f"{value} h")])
    usual = TypeAdapter(Annotated[Any, hours()])

    assert (b'"7 h"', 7) == (special.dump_json(7), special.dump_python(7))
    assert (b"7", 7) == (usual.dump_json(7), usual.dump_python(7))


def test_json_schema_has_the_sentence_beside_what_it_can_say():
    """Generated documentation of a backend shows the rule."""
    adapter = TypeAdapter(Annotated[Any, hours(json_schema={"type": "number", "maximum": 24})])

    assert {
        "type": "number",
        "maximum": 24,
        "description": "At most a day.",
    } == adapter.json_schema()


# -- shapes -----------------------------------------------------------------------------------


def test_a_value_without_a_rule_is_kept_whatever_it_is():
    """It is read as it is, breaks nothing, and nothing is asked of it."""
    shape = Anything()

    assert ("7", [], [], {}) == (
        shape.read("7"),
        broken(shape, None),
        list(shape.rules()),
        shape.kept(WANTED),
    )


def test_a_value_with_a_rule_breaks_that_or_nothing():
    """And only a rule that is wanted, and that a server understands, is asked."""
    shape, python_only = Leaf(HOURS), Leaf(EVEN)

    assert (25, [("field.hours", "x")], []) == (
        shape.read(25),
        broken(shape, 25),
        broken(shape, 24),
    )
    assert ([HOURS], HOURS_SCHEMA, {}) == (
        list(shape.rules()),
        shape.kept(WANTED),
        shape.kept({"field.even"}),
    )
    assert {} == python_only.kept({"field.even"})


def test_an_embedded_document_is_read_as_its_model():
    """What is none stays what it is and breaks the rule that it is one, and no other."""
    shape = Embedded(Shift)

    assert isinstance(shape.read({"hours": 25}), Shift)
    assert "none" == shape.read("none")
    assert [("field.document", "x")] == broken(shape, "none")
    assert [("field.hours", "x.hours")] == broken(shape, {"hours": 25})
    assert [("field.required", "x.hours")] == broken(shape, {})
    assert [DOCUMENT, REQUIRED, HOURS] == [r for r in shape.rules() if r.id in WANTED]


def test_of_an_embedded_document_is_asked_what_its_model_says():
    """That it is a document is asked only where that is wanted; never twice."""
    shape = Embedded(Shift)
    every = shape.kept(WANTED)
    inside = shape.kept(WANTED - {"field.document"})

    assert ["object"] == every["bsonType"]
    assert HOURS_SCHEMA == inside["properties"]["hours"]
    assert every["properties"] == inside["properties"]
    assert "bsonType" not in inside
    assert {"bsonType": ["object"]} == shape.kept({"field.document"})


def test_a_rule_across_fields_is_not_asked_of_what_is_no_document():
    """That it is none breaks another rule, and that rule alone."""
    not_late = {"not": {"bsonType": ["object"], "required": ["late"]}}

    assert {"anyOf": [{"not": {"bsonType": "object"}}, not_late]} == Embedded(Early).kept(
        {"early.late"}
    )


def test_a_list_is_read_element_by_element():
    """What is no list, or a list of the caller's own type, stays what it is."""

    class Own(list):
        pass

    shape, own, other = ListOf(Embedded(Shift)), Own([{}]), UserList([{}])
    read = shape.read([{"hours": 1}, "none"])

    assert (Shift, "none") == (type(read[0]), read[1])
    assert own is shape.read(own)
    assert other is shape.read(other)
    assert None is shape.read(None)


def test_each_element_of_a_list_breaks_its_rule_at_its_place():
    """What is no list breaks that rule alone."""
    shape = ListOf(Leaf(HOURS))

    assert [("field.list", "x")] == broken(shape, {"0": 25})
    assert [("field.hours", "x.0"), ("field.hours", "x.2")] == broken(shape, [25, 24, "1"])
    assert [LIST, HOURS] == list(shape.rules())


def test_of_a_list_is_asked_what_its_elements_must_be():
    """Whether it is a list, and what is in it, each where that is wanted."""
    shape = ListOf(Leaf(HOURS))

    assert {"bsonType": ["array"], "items": HOURS_SCHEMA} == shape.kept(WANTED)
    assert {"bsonType": ["array"]} == shape.kept({"field.list"})
    assert {"items": HOURS_SCHEMA} == shape.kept({"field.hours"})
    assert {} == shape.kept(())


def test_null_is_read_and_kept_where_it_may_be():
    """Null breaks nothing; any other value breaks what it would without."""
    shape = Nullable(Embedded(Shift))

    assert None is shape.read(None)
    assert isinstance(shape.read({}), Shift)
    assert [[], [("field.document", "x")], [("field.hours", "x.hours")]] == [
        broken(shape, value) for value in (None, 7, {"hours": 25})
    ]
    assert list(Embedded(Shift).rules()) == list(shape.rules())


def test_a_server_is_asked_for_null_or_the_rest():
    """Null is one type more in what is asked."""
    assert {
        "bsonType": ["double", "int", "long", "null"],
        "minimum": 0,
        "maximum": 24,
    } == Nullable(Leaf(HOURS)).kept(WANTED)
    assert {} == Nullable(Leaf(HOURS)).kept(())


def test_of_a_type_of_the_host_pydantic_decides():
    """It breaks the rule of the type or nothing, is kept as it is, and no server is asked."""
    shape = Foreign(TypeAdapter(date))

    assert ("2024-01-01", {}) == (shape.read("2024-01-01"), shape.kept({"field.type"}))
    assert ([], [("field.type", "x")]) == (broken(shape, "2024-01-01"), broken(shape, "soon"))
    assert [TYPE] == list(shape.rules())


# -- annotations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (Any, Anything()),
        (Annotated[int, HOURS], Leaf(HOURS)),
        (Annotated[int, "said", HOURS, EVEN], Leaf(HOURS)),
        (Annotated[int, HOURS] | None, Nullable(Leaf(HOURS))),
        (Optional[Shift], Nullable(Embedded(Shift))),  # noqa: UP045  # either way of writing it
        (Shift, Embedded(Shift)),
        (list[Shift], ListOf(Embedded(Shift))),
        (list[Annotated[int, HOURS] | None] | None, Nullable(ListOf(Nullable(Leaf(HOURS))))),
        (Annotated[list[Any], "said"], ListOf(Anything())),
        (Annotated[Shift | None, "said"], Nullable(Embedded(Shift))),
    ],
)
def test_an_annotation_says_what_a_value_is(annotation, shape):
    """Lists, null and models inside of each other, and the first rule that stands beside."""
    assert shape == shape_of(annotation)


def test_a_rule_beside_a_field_is_its_rule():
    """Pydantic keeps what stands beside a field apart from its type."""
    assert Leaf(HOURS) == shape_of(int, ("said", HOURS))


@pytest.mark.parametrize(
    ("annotation", "metadata", "good", "bad"),
    [
        (int, (), 1, "soon"),
        (int | str, (), "soon", None),
        (int | str | None, (), None, 1.5),
        (Annotated[int, Field(gt=3)], (), 4, 3),
        (int, (Field(gt=3),), 4, 3),
        (type(None), (), None, 0),
        (UserList, (), UserList(), []),
    ],
)
def test_any_other_type_is_the_hosts(annotation, metadata, good, bad):
    """Pydantic is asked with all that stands beside the type, for classes it does not know too."""
    shape = shape_of(annotation, metadata)

    assert isinstance(shape, Foreign)
    assert ([], ["field.type"]) == (
        broken(shape, good),
        [rule for rule, _ in broken(shape, bad)],
    )


def test_the_rules_of_structure_are_asked_of_a_server_too():
    """That a field is there, a document and a list are rules like any other."""
    assert [("field.required", ANYTHING), ("field.document", OBJECT), ("field.list", ARRAY)] == [
        (rule.id, rule.test) for rule in (REQUIRED, DOCUMENT, LIST)
    ]
    assert (None, True) == (TYPE.test, TYPE.holds(None))
