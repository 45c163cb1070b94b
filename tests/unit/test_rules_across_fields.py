"""Rules across fields: when they are broken, where, and what a server is asked."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson import Code
from bson.datetime_ms import DatetimeMS
from rules_across_fields import DONE, NAIVE, RULES

from newbi_migrate.documents.billing import Invoice
from newbi_migrate.documents.document_rules import (
    All,
    AnyOf,
    Filled,
    Fits,
    Forbidden,
    Is,
    Not,
    Required,
    There,
    ValuesWithin,
    is_filled,
    milliseconds,
    year_in_france,
)
from newbi_migrate.rules import Severity, Violation

FRANCE = timezone(timedelta(hours=1))
YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000
HOUR = 3_600_000
rules = pytest.mark.parametrize(("rule", "good", "bad"), RULES.values(), ids=RULES)


@rules
def test_a_rule_is_broken_where_it_is_not_kept(rule, good, bad):
    """Each field that breaks it is named, and nothing of a document that keeps it."""
    assert [[] for _ in good] == [list(rule.broken(document.get)) for document in good]
    assert [paths for _, paths in bad] == [list(rule.broken(document.get)) for document, _ in bad]


@rules
def test_a_rule_says_what_it_reads(rule, good, bad):
    """What it does not name does not matter to it."""
    for document in (*good, *(document for document, _ in bad)):
        seen = {key: value for key, value in document.items() if key in rule.reads}

        assert rule.broken(document.get) == rule.broken(seen.get)


@rules
def test_a_rule_says_the_same_of_fields_with_other_names(rule, good, bad):
    """It is given null where a field is absent; one to which that matters cannot be renamed."""
    names = {name: f"{name}_" for name in rule.reads}
    renamed = rule.renamed(names)

    assert (type(rule) in (Forbidden, ValuesWithin)) is (renamed is None)
    for document in (*good, *(document for document, _ in bad)) if renamed else ():
        values = {other: document.get(name) for name, other in names.items()}

        assert [names[path] for path in rule.broken(document.get)] == [*renamed.broken(values.get)]
        assert [names[name] for name in rule.reads] == [*renamed.reads]
        assert (rule.id, rule.sentence, rule.severity) == (
            *(renamed.id, renamed.sentence),
            renamed.severity,
        )


@pytest.mark.parametrize(
    ("condition", "renamed"),
    [
        (Is("a", "a", True), Is("b", "a", True)),
        (Filled("a", "c"), Filled("b", "d")),
        (Not(Is("a", "c")), Not(Is("b", "c"))),
        (There("a"), None),
        (Fits("a", "c"), None),
        (Not(There("a")), None),
        (AnyOf(Is("a", "c")), None),
        (All(Is("a", "c"), There("a")), None),
        (Required("x.y", "It is.", ("a",), There("a")), None),
    ],
)
def test_a_condition_is_renamed_where_null_is_as_good_as_absent(condition, renamed):
    """Its fields alone have other names, and not its values."""
    assert renamed == condition.renamed({"a": "b", "c": "d"})


def test_all_conditions_are_renamed():
    """Several at once hold of the same values under other names."""
    both = All(Is("a", "x"), Filled("c")).renamed({"a": "b", "c": "d"})

    assert both.holds({"b": "x", "d": 1}.get)
    assert not both.holds({"b": "x", "a": "x", "c": 1}.get)
    assert not both.holds({"b": "y", "d": 1}.get)


@pytest.mark.parametrize(
    ("default", "document", "broken"),
    [
        ("done", {}, True),
        ("done", {"state": "new"}, False),
        ("done", {"state": None}, False),
        ("new", {}, False),
        ("new", {"state": "done"}, True),
    ],
)
def test_a_field_that_is_absent_counts_as_its_default(default, document, broken):
    """A condition sees the default."""
    rule, defaults = Required("x.y", "It is.", ("end",), DONE), {"state": default}

    assert broken is bool(rule.broken({**defaults, **document}.get))


def test_a_violation_is_told_in_the_words_of_its_rule():
    """Id, sentence and severity are those that were declared."""
    rule = Required("x.y", "It is.", ("a",), severity=Severity.CRITICAL)

    assert Violation("x.y", "p.a", "It is.", Severity.CRITICAL) == rule.broken_at("p.a")
    assert Severity.WARNING is Required("x.y", "It is.", ("a",)).severity


def test_a_list_in_place_of_a_document_is_looked_into_by_no_rule():
    """It breaks one rule by what it is, and none of those of the document it should be."""
    found = Invoice.violations_of({"client": [{}], "items": {"vatRate": 0}})
    inside = [v for v in found if v.path.startswith(("client", "items"))]

    assert [("field.document", "client"), ("field.list", "items")] == [
        (violation.rule, violation.path) for violation in inside
    ]


def test_code_is_no_text():
    """JavaScript code fits every pattern, as it is none of the texts a server compares."""
    assert Fits("a", "b").holds({"a": Code("c")}.get)


def test_a_field_says_something_or_not():
    """Absent, null and blank say nothing; zero, false and what is empty otherwise do."""
    assert [True, True, True, False, False] == [is_filled(v) for v in (0, False, [], None, " \t")]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 1, tzinfo=FRANCE), 0),
        (datetime(1970, 1, 1, 0, 0, 1, 2_999), 1_002),  # noqa: DTZ001
        (datetime(1969, 12, 31, 23, 59, 59), -1_000),  # noqa: DTZ001
        (DatetimeMS(-(2**60)), -(2**60)),
        (0, None),
        ("1970-01-01", None),
        (None, None),
    ],
)
def test_a_date_is_a_number_of_milliseconds(value, number):
    """A date without a zone is of UTC, one Python cannot hold is a number as stored."""
    found = milliseconds(value)

    assert number == found
    assert type(number) is type(found)


@pytest.mark.parametrize(
    ("value", "year"),
    [
        (NAIVE, 2024),
        (NAIVE.replace(hour=23, minute=0), 2025),
        (NAIVE.replace(hour=22, tzinfo=UTC), 2024),
        (NAIVE.replace(hour=23, tzinfo=UTC), 2025),
        (NAIVE.replace(hour=23, minute=59, tzinfo=FRANCE), 2024),
        (datetime(2025, 1, 1, tzinfo=FRANCE), 2025),
        (datetime(2025, 1, 1, 0, 59, tzinfo=timezone(timedelta(hours=2))), 2024),
        (datetime(1, 1, 1, tzinfo=FRANCE), 1),
        (datetime(1, 1, 1, tzinfo=UTC), 1),
        (datetime(9999, 12, 31, 22, 59, tzinfo=UTC), 9999),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), None),
        (DatetimeMS(0), 1970),
        (DatetimeMS(-HOUR - 1), 1969),
        (DatetimeMS(-HOUR), 1970),
        (DatetimeMS(YEAR_1 - HOUR), 1),
        (DatetimeMS(YEAR_1 - HOUR - 1), None),
        (DatetimeMS(YEAR_10000 - HOUR - 1), 9999),
        (DatetimeMS(YEAR_10000 - HOUR), None),
        (2024, None),
        (None, None),
    ],
)
def test_a_year_begins_an_hour_before_that_of_utc(value, year):
    """In France, and where a year has no number of four digits there is none."""
    assert year == year_in_france(value)


def test_the_zone_of_the_machine_does_not_matter(monkeypatch):
    """A date without a zone is of UTC, and one with a zone is taken to UTC."""
    monkeypatch.setenv("TZ", "FAR+12")
    time.tzset()
    try:
        found = [year_in_france(NAIVE), year_in_france(NAIVE.replace(hour=23, tzinfo=UTC))]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert [2024, 2025] == found
