"""What a server is asked for a rule, written out, and what the types of fields are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pydantic import TypeAdapter, ValidationError

from newbi_migrate.documents import fields, scalars
from newbi_migrate.documents.characters import BLANKS
from newbi_migrate.documents.document_rules import (
    All,
    AnyOf,
    Filled,
    FilledIffZero,
    Fits,
    Forbidden,
    Is,
    Not,
    NotBefore,
    Required,
    There,
    ValuesWithin,
    YearInFrance,
)
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.rules import Severity

FILLED = {"not": {"bsonType": "null"}, "pattern": f"[^{BLANKS}]"}
NUMBERS = ["double", "int", "long"]
A_IS_X = {"properties": {"a": {"enum": ["x", True]}}}
A_IS_GIVEN_AS_X = {**A_IS_X, "required": ["a"]}


def is_x():
    return Is("a", "x", True)


# Made anew for each test, for what is made on import is not what is tested.
CONDITIONS = {
    "is": (is_x, {}, A_IS_GIVEN_AS_X, ("a",)),
    "is-by-default": (is_x, {"a": "x"}, A_IS_X, ("a",)),
    "is-not-by-default": (is_x, {"a": "y"}, A_IS_GIVEN_AS_X, ("a",)),
    "there": (lambda: There("b"), {}, {"required": ["b"]}, ("b",)),
    "there-by-default": (lambda: There("b"), {"b": 1}, {}, ("b",)),
    "filled": (
        lambda: Filled("b", "c"),
        {"c": "x"},
        {
            "anyOf": [
                {"required": ["b"], "properties": {"b": FILLED}},
                {"properties": {"c": FILLED}},
            ]
        },
        ("b", "c"),
    ),
    "fits": (
        lambda: Fits("b", "[a-z]{2}"),
        {},
        {"properties": {"b": {"pattern": r"\A(?:[a-z]{2})\z"}}},
        ("b",),
    ),
    "not": (lambda: Not(is_x()), {"a": "x"}, {"not": A_IS_X}, ("a",)),
    "all": (
        lambda: All(is_x(), There("b")),
        {"a": "x"},
        {"allOf": [A_IS_X, {"required": ["b"]}]},
        ("a", "b"),
    ),
    "all-of-nothing": (lambda: All(), {}, {}, ()),  # noqa: PLW0108  # see above
    "any": (
        lambda: AnyOf(is_x(), There("b")),
        {"a": "x"},
        {"anyOf": [A_IS_X, {"required": ["b"]}]},
        ("a", "b"),
    ),
}


@pytest.mark.parametrize(
    ("make", "defaults", "schema", "names"), CONDITIONS.values(), ids=CONDITIONS
)
def test_a_condition_is_asked_with_the_defaults(make, defaults, schema, names):
    """A field whose default fulfils it need not be there."""
    assert schema == make().schema(defaults)
    assert names == tuple(make().names)


@pytest.mark.parametrize(
    ("document", "holds"),
    [({"a": "x"}, True), ({"a": True}, True), ({"a": 1}, False), ({"a": "y"}, False), ({}, False)],
)
def test_a_condition_is_one_of_its_values(document, holds):
    """Texts and flags are themselves, and no number is a flag."""
    assert holds is is_x().holds(document.get)
    assert (not holds) is Not(is_x()).holds(document.get)
    assert holds is All(is_x(), Filled("a")).holds(document.get)
    assert holds is AnyOf(is_x(), Is("b", "x")).holds(document.get)


ZERO = {"properties": {"n": {"minimum": 0, "maximum": 0}}}
SAID = {"required": ["t"], "properties": {"t": FILLED}}
SCHEMAS = {
    "required": (
        lambda: Required("x.y", "It is.", ("c", "d"), is_x()),
        {
            "anyOf": [
                {"not": A_IS_X},
                {"required": ["c", "d"], "properties": {"c": FILLED, "d": FILLED}},
            ]
        },
    ),
    "forbidden": (
        lambda: Forbidden("x.y", "It is.", {"a": is_x(), "b": There("b")}),
        {"not": {"anyOf": [A_IS_X, {"required": ["b"]}]}},
    ),
    "filled-iff-zero": (
        lambda: FilledIffZero("x.y", "It is.", "t", "n"),
        {
            "anyOf": [
                {"not": {"required": ["n"], "properties": {"n": {"bsonType": NUMBERS}}}},
                {"allOf": [ZERO, SAID]},
                {"not": {"anyOf": [ZERO, SAID]}},
            ]
        },
    ),
    "values-within": (
        lambda: ValuesWithin("x.y", "It is.", "v", 0, 50),
        {
            "properties": {
                "v": {
                    "additionalProperties": {
                        "anyOf": [
                            {"not": {"bsonType": NUMBERS}},
                            {"bsonType": NUMBERS, "minimum": 0, "maximum": 50},
                        ]
                    }
                }
            }
        },
    ),
    "not-before": (lambda: NotBefore("x.y", "It is.", "end", "start"), None),
}


@pytest.mark.parametrize(("make", "schema"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_rule_is_a_schema_where_one_can_say_it(make, schema):
    """With the defaults too; an order of dates no schema can say."""
    assert schema == make().schema({"a": "x"})


def test_an_order_of_dates_is_asked_by_an_expression():
    """Of dates alone."""
    end, start = ({"$eq": [{"$type": name}, "date"]} for name in ("$end", "$start"))
    before = {"$lt": ["$end", "$start"]}

    assert {"end": {"$type": "date"}, "$expr": {"$and": [end, start, before]}} == NotBefore(
        "x.y", "It is.", "end", "start"
    ).violators()


def test_a_year_in_france_is_asked_by_an_expression():
    """Of numbers and dates alone, of the years from 1 to 9999, an hour ahead of UTC."""
    asked = [
        {"$in": [{"$type": "$year"}, NUMBERS]},
        {"$eq": [{"$type": "$day"}, "date"]},
        {"$gte": ["$day", DatetimeMS(-62_135_600_400_000)]},
        {"$lt": ["$day", DatetimeMS(253_402_297_200_000)]},
    ]
    differs = {"$ne": ["$year", {"$year": {"$add": ["$day", 3_600_000]}}]}

    assert {
        "year": {"$type": NUMBERS},
        "$expr": {"$cond": [{"$and": asked}, differs, False]},
    } == YearInFrance("x.y", "It is.", "year", "day").violators()


def test_text_is_matched_as_a_whole():
    """A pattern has no class whose meaning differs from engine to engine."""
    found = scalars.whole("a|b", min_length=1, max_length=9)
    bare = scalars.whole("a")

    assert (True, "^(?:a|b)$", 1, 9) == (
        found.strict,
        found.pattern,
        found.min_length,
        found.max_length,
    )
    assert (None, None) == (bare.min_length, bare.max_length)
    for name in "sSdDwWbBZzA":
        with pytest.raises(ValueError, match=rf"^a\\{name} means another thing in each engine$"):
            scalars.whole(rf"a\{name}")


@pytest.mark.parametrize(
    ("made", "id_", "sentence", "accepted", "refused"),
    [
        ((), "field.text", "The value is text.", ["", " ", "a" * 99], [b"a"]),
        ((1,), "field.text-not-blank", "The value is text that is not blank.", ["a"], ["", "\t"]),
        (
            *((2,), "field.text-min-2"),
            *("The value is text of at least 2 characters.", ["ab"], ["a", "  "]),
        ),
        (
            *((0, 2), "field.text-max-2"),
            *("The value is text of at most 2 characters.", ["", "  ", "ab"], ["abc", b"a"]),
        ),
        (
            *((1, 2), "field.text-1-2"),
            *("The value is text of 1 to 2 characters.", ["a", "ab"], ["", "  ", "abc", b"a"]),
        ),
    ],
)
def test_text_is_as_long_as_it_says(made, id_, sentence, accepted, refused):
    """With a minimum it is not blank; the rule names what is asked."""
    adapter = TypeAdapter(Annotated[str, scalars.text(*made)])

    assert accepted == [adapter.validate_python(value) for value in accepted]
    for value in refused:
        with pytest.raises(ValidationError) as raised:
            adapter.validate_python(value)

        assert [(id_, sentence)] == [(e["type"], e["msg"]) for e in raised.value.errors()]


def test_a_double_is_whole():
    """A fraction is none, nor is what is no number."""
    adapter = TypeAdapter(Annotated[float, scalars.WholeDouble()])

    assert [2.0, 3.0] == [adapter.validate_python(value) for value in (2.0, 3.0)]
    for value in (2.5, "x"):
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_an_id_is_null_where_it_is_declared_so():
    """The id of a document that is new, and no other."""
    id_ = ObjectId("64b0c0ffee0123456789abcd")
    document = TypeAdapter(Annotated[ObjectId | None, *scalars.DOCUMENT_ID])
    other = TypeAdapter(scalars.ObjectIdField)

    assert [None, id_] == [document.validate_python(value) for value in (None, str(id_))]
    assert id_ == other.validate_python(id_)
    with pytest.raises(ValidationError):
        other.validate_python(None)


def test_ids_and_dates_are_text_in_json_alone():
    """An id its digits, a date as ISO 8601 has it."""
    id_, day = ObjectId("64b0c0ffee0123456789abcd"), datetime(2025, 3, 1, 12, tzinfo=UTC)
    ids, dates = TypeAdapter(scalars.ObjectIdField), TypeAdapter(scalars.BsonDate)

    assert (b'"64b0c0ffee0123456789abcd"', id_) == (ids.dump_json(id_), ids.dump_python(id_))
    assert (b'"2025-03-01T12:00:00Z"', day) == (dates.dump_json(day), dates.dump_python(day))


def test_a_choice_names_its_values():
    """The rule of a field that is one of some texts."""
    assert FieldRule("field.x", "The value is one of a, b.", Severity.WARNING) == scalars.choice(
        "x", Literal["a", "b"]
    )


def test_now_is_to_the_millisecond():
    """As BSON holds it, in UTC."""
    found = scalars.now()

    assert UTC is found.tzinfo
    assert timedelta(0) <= datetime.now(UTC) - found < timedelta(minutes=1)


def test_a_moment_has_no_more_than_milliseconds(monkeypatch):
    """What is finer is cut off, as BSON cuts it off."""

    class Clock:
        @staticmethod
        def now(zone):
            return datetime(2025, 3, 1, 12, 0, 0, 500_499, tzinfo=zone)

    monkeypatch.setattr(scalars, "datetime", Clock)

    assert datetime(2025, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC) == scalars.now()


def test_an_id_is_text_in_json():
    """Of 24 hexadecimal digits."""
    schema = TypeAdapter(scalars.ObjectIdField).json_schema()

    assert ("string", "^[0-9a-f]{24}$") == (schema["type"], schema["pattern"])


@pytest.mark.parametrize(
    ("character", "currency", "on_one_line"),
    [
        ("€", True, True),
        ("$", True, True),
        ("a", False, True),
        ("1", False, True),
        (".", False, True),
        ("+", False, True),
        ("\u00a0", False, True),
        ("\t", False, True),
        ("\n", False, False),
        ("\0", False, False),
        ("\u0301", False, False),
    ],
)
def test_characters_are_told_by_their_category(character, currency, on_one_line):
    """Signs of currencies, and what stands on one line."""
    assert currency is fields._is_currency(character)
    assert on_one_line is fields._is_on_one_line(character)
