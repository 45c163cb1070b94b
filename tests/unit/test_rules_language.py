"""The language of rules without a server: what holds in Python, and what a server is asked.

What a server answers to it is held against Python in the property tests.
"""

from __future__ import annotations

import pytest
from bson import ObjectId
from predicates import BLANKS, DOCUMENT, NUMBERS, PREDICATES, TEXT

from newbi_migrate.invariants.base import Invariant, Severity, Violation
from newbi_migrate.invariants.language import Has, HasNot, Matches, ValuesAre, Within
from newbi_migrate.invariants.patterns import class_of, server_pattern
from newbi_migrate.invariants.schemas import all_of, nullable


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


@pytest.mark.parametrize(
    ("pattern", "certain"),
    [
        ("[0-9]{14}", True),
        (r"\w+@\w+\.[a-z]{2,3}", True),
        ("[!-~]+", True),
        ("[.]", True),
        ("x?", False),
        (r"\s+", False),
        ("[A-Z ]+", False),
        (".+", False),
        ("[^@]+", False),
        (r"\W", False),
        (r"\S+", False),
        ("[!-é]+", False),
    ],
)
def test_a_pattern_is_known_to_match_no_blank_text(pattern, certain):
    """What says so holds for no text of blanks; where that is hard to tell, nobody says so."""
    test = Matches(pattern)
    blanks = [" ", "\t", "\x85", "\xa0", "\u2028", "\u202f"]

    assert certain is test.never_blank()
    assert not (certain and any(map(test.holds, [*blanks, "", "  ", " \t"])))


def test_blanks_of_unicode_alone_tell_nothing_of_a_pattern():
    """Classes that mean more than ASCII are not looked into."""
    assert not Matches("a", ascii_only=False).never_blank()


def test_most_texts_are_asked_for_with_blanks_of_latin_1():
    """A class of blanks is cut to what a server looks up at once, where that asks for less."""
    blanks = r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}"

    assert rf"\A(?:a[{blanks}]?)\z" == Matches(r"a\s?", ascii_only=False).usually()
    assert Matches(r"a\s?").schema()["pattern"] == Matches(r"a\s?").usually()


def test_a_class_of_all_but_blanks_is_not_cut():
    """With fewer blanks it would match more, not less."""
    test = Matches(r"[^\s@]+", ascii_only=False)

    assert test.schema()["pattern"] == test.usually()
