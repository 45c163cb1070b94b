"""The language of rules without a server: what holds in Python, and what a server is asked.

What a server answers to it is held against Python in the property tests.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import Code, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate.invariants.base import Invariant, Severity, Violation
from newbi_migrate.invariants.language import (
    ANYTHING,
    ARRAY,
    BLANK,
    FILLED,
    OBJECT,
    AllOf,
    AnyOf,
    BuiltFrom,
    Contains,
    Has,
    HasNot,
    Kind,
    Length,
    Matches,
    NoLongerThan,
    Not,
    OneOf,
    ValuesAre,
    Whole,
    Within,
)
from newbi_migrate.invariants.patterns import class_of, server_pattern
from newbi_migrate.invariants.schemas import all_of, nullable

NAN, INFINITY = float("nan"), float("inf")
DAY = datetime(2024, 1, 1)  # noqa: DTZ001  # as PyMongo reads it
TEXT = {"bsonType": ["string"]}
NUMBERS = {"bsonType": ["double", "int", "long"]}
DOCUMENT = {"bsonType": ["object"]}
# The 29 characters Unicode and Python call blank, in the order of their numbers.
BLANKS = (
    r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}-\x{2029}\x{202f}"
    r"\x{205f}\x{3000}"
)

# Made anew by each test, with good values, bad ones, and what the server is asked.
PREDICATES = {
    "a kind": (
        lambda: Kind(("string", "null")),
        ["", "é", None],
        [Code("f()"), 7, b"x"],
        {"bsonType": ["string", "null"]},
    ),
    "an integer": (
        lambda: Kind(("int",)),
        [0, Int64(2), 2**63 - 1, -(2**63)],
        [True, 1.0, "1", 2**63, -(2**63) - 1],
        {"bsonType": ["int"]},
    ),
    "a date": (
        lambda: Kind(("date",)),
        [DAY, DatetimeMS(2**60)],
        [0, "2024-01-01"],
        {"bsonType": ["date"]},
    ),
    "anything": (lambda: ANYTHING, [None, 0, ""], [], {}),
    "a document": (lambda: OBJECT, [{}], [[], None], DOCUMENT),
    "a list": (lambda: ARRAY, [[]], [{}, ()], {"bsonType": ["array"]}),
    "a text that matches": (
        lambda: Matches(r"\d{2}"),
        ["07"],
        ["7", "07\n", "x07", "\u0660\u0667", 7, None, Code("07")],
        {**TEXT, "pattern": r"\A(?:[0-9]{2})\z"},
    ),
    "a text that matches with any blanks": (
        lambda: Matches(r"a\sa|b", ascii_only=False),
        ["a\u00a0a", "a a", "b"],
        ["aa", "bb"],
        {**TEXT, "pattern": rf"\A(?:a[{BLANKS}]a|b)\z"},
    ),
    "a text that contains": (
        lambda: Contains(r"[^\s]x"),
        [" ax "],
        ["", "\u2003x", None, 7],
        {**TEXT, "pattern": rf"[^{BLANKS}]x"},
    ),
    "a text of some length": (
        lambda: Length(1, 2),
        ["a", "éé", "\U0001f600\U0001f600"],
        ["", "abc", 1, ["a"]],
        {**TEXT, "minLength": 1, "maxLength": 2},
    ),
    "a text of any length": (Length, ["", "abc"], [[]], TEXT),
    "no text at all": (lambda: Length(0, 0), [""], ["a"], {**TEXT, "maxLength": 0}),
    "a long text": (lambda: Length(2), ["ab", "a" * 99], ["a"], {**TEXT, "minLength": 2}),
    "a text of some characters": (
        lambda: BuiltFrom("abz".__contains__, Length(1, 3)),
        ["a", "zab"],
        ["", "ac", "abab", None],
        {**TEXT, "pattern": r"\A[\x{61}-\x{62}\x{7a}]{1,3}\z"},
    ),
    "a text of some characters however long": (
        lambda: BuiltFrom("a".__contains__),
        ["", "a" * 99],
        ["b", 1],
        {**TEXT, "pattern": r"\A[\x{61}]{0,}\z"},
    ),
    "a value that says anything": (
        lambda: FILLED,
        [0, False, "x", " x", [], {}, Code(" ")],
        [None, "", " \u00a0"],
        {"not": {"bsonType": "null"}, "pattern": f"[^{BLANKS}]"},
    ),
    "a blank": (
        lambda: BLANK,
        ["", " \t\u3000"],
        ["x", None],
        {**TEXT, "pattern": rf"\A(?:[{BLANKS}]*)\z"},
    ),
    "a number with limits": (
        lambda: Within(-1, 1),
        [-1, 0, 1.0],
        [-2, 1.5, NAN, "0", True, None],
        {**NUMBERS, "minimum": -1, "maximum": 1},
    ),
    "a number between": (
        lambda: Within(above=0, below=2),
        [1, 0.1, 1.9],
        [0, 2, -1, 3],
        {
            **NUMBERS,
            "minimum": 0,
            "exclusiveMinimum": True,
            "maximum": 2,
            "exclusiveMaximum": True,
        },
    ),
    "a number": (Within, [0, -INFINITY], ["", None], NUMBERS),
    "a whole number": (
        Whole,
        [1, 2024.0, 10**15 - 1, 1 - 10**15, 1 + 2**-52],
        [0.5, INFINITY, NAN, 10**15, -(10**15), "1", True],
        {
            **NUMBERS,
            "minimum": -(10**15),
            "exclusiveMinimum": True,
            "maximum": 10**15,
            "exclusiveMaximum": True,
            "multipleOf": 1,
        },
    ),
    "one of some texts": (
        lambda: OneOf(("a.b", "c")),
        ["a.b", "c"],
        ["axb", "a.b\n", "cc", None, ["c"]],
        {**TEXT, "pattern": r"\A(?:a\.b|c)\z"},
    ),
    "one of some flags": (lambda: OneOf((True,)), [True], [1, False, "True"], {"enum": [True]}),
    "a text or a flag": (
        lambda: OneOf(("a", False)),
        ["a", False],
        ["b", 0],
        {"enum": ["a", False]},
    ),
    "a short list": (
        lambda: NoLongerThan(1),
        [[], [1]],
        [[1, 2], None, "a", ()],
        {"bsonType": ["array"], "maxItems": 1},
    ),
    "a document with a field": (
        lambda: Has("a"),
        [{"a": None}],
        [{}, {"b": 1}, None, ["a"]],
        {**DOCUMENT, "required": ["a"]},
    ),
    "a document with a field that is so": (
        lambda: Has("a", OneOf((True,))),
        [{"a": True, "b": 1}],
        [{}, {"a": False}],
        {**DOCUMENT, "required": ["a"], "properties": {"a": {"enum": [True]}}},
    ),
    "a document without a field": (
        lambda: HasNot("a"),
        [{}, {"b": 1}],
        [{"a": None}, None, []],
        {**DOCUMENT, "not": {"required": ["a"]}},
    ),
    "a document of such values": (
        lambda: ValuesAre(Within(0)),
        [{}, {"a": 1, "b": 0}],
        [{"a": 1, "b": -1}, []],
        {**DOCUMENT, "additionalProperties": {**NUMBERS, "minimum": 0}},
    ),
    "all of": (
        lambda: AllOf(Length(1), Has("a")),
        [],
        ["a", {"a": 1}],
        {**TEXT, "minLength": 1, "allOf": [{**DOCUMENT, "required": ["a"]}]},
    ),
    "a text of two kinds": (
        lambda: AllOf(Length(2), Matches("a*")),
        ["aa"],
        ["a", "ab"],
        {**TEXT, "minLength": 2, "pattern": r"\A(?:a*)\z"},
    ),
    "all of nothing": (AllOf, [0], [], {}),
    "any of": (
        lambda: AnyOf(Kind(("null",)), Length(2)),
        [None, "ab"],
        ["a", 1],
        {"anyOf": [{"bsonType": ["null"]}, {**TEXT, "minLength": 2}]},
    ),
    "the opposite": (
        lambda: Not(Kind(("null",))),
        [1, "a"],
        [None],
        {"not": {"bsonType": ["null"]}},
    ),
}


@pytest.mark.parametrize("name", PREDICATES)
def test_a_predicate_holds_for_what_it_says_and_nothing_else(name):
    """Of every value it answers yes or no, and raises for none."""
    make, good, bad, _ = PREDICATES[name]
    predicate = make()

    assert [True] * len(good) + [False] * len(bad) == [predicate.holds(v) for v in [*good, *bad]]


@pytest.mark.parametrize("name", PREDICATES)
def test_a_server_is_asked_in_keywords_it_knows(name):
    """Each predicate has one ``$jsonSchema``, in MongoDB's own keywords and types."""
    make, _, _, schema = PREDICATES[name]

    assert schema == make().schema()


# -- patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"\d{2}x", "[0-9]{2}x"),
        (r"[\d.]\d", "[0-9.][0-9]"),
        (r"[a\d]", "[a0-9]"),
        (r"a\d", "a[0-9]"),
        (r"\w-", "[A-Za-z0-9_]-"),
        (r"[\w-]", "[A-Za-z0-9_-]"),
        (r"\s|x", r"[\t\n\x{b}\f\r ]|x"),
        (r"[[]b]\d", "[[]b][0-9]"),
        (r"\.\A\Z", r"\.\A\z"),
        (r"\[\d\]", r"\[[0-9]\]"),
        (r"[\]\d]", r"[\]0-9]"),
    ],
)
def test_a_pattern_is_written_without_what_engines_read_differently(pattern, written):
    """Classes of ASCII are spelled out, inside of a class without brackets of their own."""
    assert written == server_pattern(pattern, ascii_only=True)


@pytest.mark.parametrize("letter", ["d", "w"])
def test_a_class_that_means_another_thing_elsewhere_is_refused(letter):
    """A pattern for all of Unicode may not say digit or word, and the error says which it said."""
    with pytest.raises(ValueError, match="engine") as refused:
        server_pattern(rf"a\{letter}", ascii_only=False)

    assert rf"\{letter} means another thing in each engine" == str(refused.value)


def test_blanks_of_unicode_are_spelled_out():
    """A blank of any kind is one for both engines, inside of a class and outside."""
    assert rf"[{BLANKS}][a{BLANKS}]" == server_pattern(r"\s[a\s]", ascii_only=False)


def test_a_class_names_characters_one_by_one_or_from_first_to_last():
    """Neighbours are a range, one alone is not, and the gap of surrogates separates two."""
    asked = []

    def allowed(character):
        asked.append(character)
        return character in "ad\ud7ff\ue000bc"

    assert r"\x{61}-\x{64}\x{d7ff}\x{e000}" == class_of(allowed)
    assert not any("\ud800" <= character <= "\udfff" for character in asked)


def test_a_class_of_everything_is_all_of_unicode_but_surrogates():
    """What is alike is asked about once and named whole."""
    everything = (
        r"\x{0}-\x{d7ff}\x{e000}-\x{33fff}\x{e0000}-\x{e01ef}\x{34000}-\x{dffff}"
        r"\x{e01f0}-\x{effff}\x{f0000}-\x{ffffd}\x{ffffe}-\x{fffff}\x{100000}-\x{10fffd}"
        r"\x{10fffe}-\x{10ffff}"
    )

    assert everything == class_of(lambda _: True)


# -- schemas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], {}),
        ([{}, TEXT], TEXT),
        ([TEXT, {"minLength": 1}], {**TEXT, "minLength": 1}),
        ([TEXT, {**TEXT, "minLength": 1}], {**TEXT, "minLength": 1}),
        ([TEXT, DOCUMENT], {**TEXT, "allOf": [DOCUMENT]}),
        (
            [TEXT, DOCUMENT, NUMBERS, {"minLength": 1}],
            {**TEXT, "minLength": 1, "allOf": [DOCUMENT, NUMBERS]},
        ),
        ([{"allOf": [TEXT]}, {"allOf": [DOCUMENT]}], {"allOf": [TEXT, {"allOf": [DOCUMENT]}]}),
        (
            [{**DOCUMENT, "properties": {"a": TEXT}}, {"required": ["a"]}],
            {**DOCUMENT, "properties": {"a": TEXT}, "required": ["a"]},
        ),
        (
            [{"properties": {"a": TEXT}}, {"properties": {"a": TEXT}, "required": ["a"]}],
            {"properties": {"a": TEXT}, "required": ["a"]},
        ),
        (
            [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}],
            {"properties": {"a": TEXT}, "allOf": [{"properties": {"b": TEXT}}]},
        ),
        ([{"allOf": [TEXT]}, DOCUMENT], {"allOf": [TEXT], **DOCUMENT}),
    ],
)
def test_schemas_are_one_where_that_says_the_same(parts, whole):
    """What differs in a keyword stands beside, and nothing of it is lost."""
    assert whole == all_of(parts)


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_said_of_every_field_is_said_of_a_field_that_is_named_too(turned):
    """``additionalProperties`` passes over what ``properties`` names, so these are never one."""
    parts = [ValuesAre(Within(0)), Has("a", Within(below=9))]
    every, named = (part.schema() for part in parts)
    first, second = (named, every) if turned else (every, named)

    assert {**first, "allOf": [second]} == all_of([first, second])


# None of them refuses null, once null is one of the types.
EVERY_LIMIT = {
    "pattern": "a",
    "minLength": 1,
    "maxLength": 2,
    "minimum": 0,
    "maximum": 9,
    "exclusiveMinimum": True,
    "exclusiveMaximum": True,
    "properties": {"a": TEXT},
    "required": ["a"],
    "items": TEXT,
}


@pytest.mark.parametrize(
    ("schema", "with_null"),
    [
        ({**TEXT, **EVERY_LIMIT}, {"bsonType": ["string", "null"], **EVERY_LIMIT}),
        ({}, {}),
        ({**TEXT, "pattern": "a"}, {"bsonType": ["string", "null"], "pattern": "a"}),
        (
            {**NUMBERS, "minimum": 0, "exclusiveMinimum": True},
            {
                "bsonType": ["double", "int", "long", "null"],
                "minimum": 0,
                "exclusiveMinimum": True,
            },
        ),
        ({"enum": ["a", True]}, {"enum": ["a", True, None]}),
        ({"properties": {"a": TEXT}}, {"properties": {"a": TEXT}}),
        (
            {"items": TEXT, "properties": {"a": TEXT}, "required": ["a"]},
            {"items": TEXT, "properties": {"a": TEXT}, "required": ["a"]},
        ),
        (
            {"bsonType": ["array", "object"], "maxItems": 1},
            {"anyOf": [{"bsonType": "null"}, {"bsonType": ["array", "object"], "maxItems": 1}]},
        ),
        ({"bsonType": "string"}, {"anyOf": [{"bsonType": "null"}, {"bsonType": "string"}]}),
        ({"minLength": 1}, {"anyOf": [{"bsonType": "null"}, {"minLength": 1}]}),
        (
            {**TEXT, "not": {"required": ["a"]}},
            {"anyOf": [{"bsonType": "null"}, {**TEXT, "not": {"required": ["a"]}}]},
        ),
        (
            {**TEXT, "enum": ["a"]},
            {"anyOf": [{"bsonType": "null"}, {**TEXT, "enum": ["a"]}]},
        ),
    ],
)
def test_null_is_allowed_beside_what_a_schema_says(schema, with_null):
    """Where a keyword would refuse null, the schema is one of two; else null is one more type."""
    before = repr(schema)

    assert with_null == nullable(schema)
    assert before == repr(schema)


# -- invariants -------------------------------------------------------------------------------


def test_an_invariant_tells_each_place_where_it_is_broken():
    """A violation for every path, with the id, the sentence and the severity of the rule."""
    asked = []
    document = {"_id": ObjectId()}
    rule = Invariant("x.y", "It is.", Severity.CRITICAL, lambda d: asked.append(d) or ["a", "b.0"])
    found = rule.violations(document)

    assert [
        Violation("x.y", "a", "It is.", Severity.CRITICAL),
        Violation("x.y", "b.0", "It is.", Severity.CRITICAL),
    ] == found
    assert [document] == asked


def test_a_form_that_is_dear_to_make_is_made_when_it_is_asked_for():
    """A query that is there comes before one that has to be made, and that before a predicate."""
    made = []

    def finder():
        made.append(1)
        return {"n": 7}

    rule = Invariant("x.y", "It is.", Severity.INFO, lambda _: [], test=HasNot("a"), finder=finder)
    ready = Invariant("x.y", "It is.", Severity.INFO, lambda _: [], {"n": 8}, finder=finder)

    assert [] == made
    assert ({"n": 8}, [], {"n": 7}, [1]) == (ready.violators, made.copy(), rule.violators, made)
