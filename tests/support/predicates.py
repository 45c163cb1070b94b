"""Every predicate of the language of rules, with values, and with what a server is asked."""

from __future__ import annotations

from datetime import datetime

from bson import Code, Int64
from bson.datetime_ms import DatetimeMS

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
        lambda: Kind(("int", "long")),
        [0, Int64(2), 2**63 - 1, -(2**63)],
        [True, 1.0, "1", 2**63, -(2**63) - 1],
        {"bsonType": ["int", "long"]},
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
    "a text of characters beyond Latin-1 too": (
        lambda: BuiltFrom("aœ".__contains__, Length(1, 2)),
        ["a", "œ", "aœ"],
        ["", "o", "œœœ", None],
        {**TEXT, "pattern": r"\A(?:[\x{61}]{1,2}\z|[\x{61}\x{153}]{1,2}\z)"},
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
    "a document of such values with a field": (
        lambda: AllOf(ValuesAre(Within(0)), Has("a", Within(below=9))),
        [{"a": 1}, {"a": 0, "b": 99}],
        [{"a": -1}, {"a": 9}, {"a": 1, "b": -1}, {"b": 1}],
        {
            **DOCUMENT,
            "additionalProperties": {**NUMBERS, "minimum": 0},
            "allOf": [
                {
                    **DOCUMENT,
                    "required": ["a"],
                    "properties": {"a": {**NUMBERS, "maximum": 9, "exclusiveMaximum": True}},
                }
            ],
        },
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
