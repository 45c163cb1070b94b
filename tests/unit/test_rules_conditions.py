"""Rules across fields: when they are broken, where, and what a server is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson import Int64
from bson.datetime_ms import DatetimeMS

from newbi_migrate.documents.conditions import (
    equals,
    filled,
    forbidden,
    is_filled,
    milliseconds,
    not_before,
    paris_year,
    required,
    rule,
    year_of,
)
from newbi_migrate.invariants.base import Severity
from newbi_migrate.invariants.language import FILLED, Has, OneOf

DONE = Has("state", OneOf(("done",)))
DONE_SCHEMA = {
    "bsonType": ["object"],
    "required": ["state"],
    "properties": {"state": {"bsonType": ["string"], "pattern": r"\A(?:done)\z"}},
}
FRANCE = timezone(timedelta(hours=1))
NAIVE = datetime(2024, 12, 31, 22, 30)  # noqa: DTZ001  # as PyMongo reads it
YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000
HOUR = 3_600_000


def told(declared):
    """What is said of a rule."""
    return declared.id, declared.sentence, declared.severity


def test_a_rule_is_what_its_check_says():
    """Paths come as a list, whatever the check gives; the rest is kept as it was declared."""
    declared = rule("x.y", "It is.", lambda d: tuple(d), keeps=DONE, query={"n": 7})  # noqa: PLW0108
    plain = rule("x.z", "It is so.", lambda _: [], Severity.INFO)

    assert ("x.y", "It is.", Severity.WARNING) == told(declared)
    assert (DONE, {"n": 7}, ["a", "b"]) == (
        declared.test,
        declared.query,
        declared.check({"a": 1, "b": 2}),
    )
    assert ("x.z", "It is so.", Severity.INFO, None, None) == (
        *told(plain),
        plain.test,
        plain.query,
    )


def test_what_is_forbidden_is_named_where_it_is():
    """Each path whose condition holds; who is in none of the conditions keeps the rule."""
    declared = forbidden(
        "job.state", "A job goes on.", {"state": DONE, "end": Has("end")}, Severity.CRITICAL
    )

    assert ("job.state", "A job goes on.", Severity.CRITICAL) == told(declared)
    assert [["state", "end"], ["end"], [], []] == [
        declared.check(d) for d in ({"state": "done", "end": 1}, {"end": 1}, {"state": "new"}, {})
    ]
    assert [False, False, True, True] == [
        declared.test.holds(d) for d in ({"state": "done"}, {"end": 1}, {"state": "new"}, {})
    ]
    assert {
        "not": DONE_SCHEMA,
        "allOf": [{"not": {"bsonType": ["object"], "required": ["end"]}}],
    } == declared.test.schema()
    assert Severity.WARNING is forbidden("a.b", "It is.", {}).severity


def test_what_is_required_is_named_where_it_is_missing():
    """Under the condition each field that says nothing, and nothing where the condition fails."""
    declared = required("job.end", "A job ends.", DONE, "end", "by", severity=Severity.CRITICAL)
    empty, half = {"state": "done"}, {"state": "done", "end": 7, "by": " "}
    whole, not_done = {"state": "done", "end": 0, "by": "x"}, {"state": "new"}

    assert ("job.end", "A job ends.", Severity.CRITICAL) == told(declared)
    assert [["end", "by"], ["by"], [], []] == [
        declared.check(d) for d in (empty, half, whole, not_done)
    ]
    assert [False, False, True, True] == [
        declared.test.holds(d) for d in (empty, half, whole, not_done)
    ]
    assert Severity.WARNING is required("a.b", "It is.", DONE, "x").severity


@pytest.mark.parametrize(
    ("values", "default", "good", "bad"),
    [
        (("done", "gone"), None, ["done", "gone"], ["new", None, ...]),
        (("done", "new"), "new", ["done", "new", ...], ["gone", None]),
        (("done",), "new", ["done"], ["new", ...]),
        ((False,), False, [False, ...], [True, 0]),
    ],
)
def test_a_field_that_is_not_there_counts_as_its_default(values, default, good, bad):
    """A condition on a value holds without the field where the default is one of the values."""
    condition = equals("state", *values, default=default)

    def holds(value):
        return condition.holds({} if value is ... else {"state": value})

    assert ([True] * len(good), [False] * len(bad)) == (
        [holds(v) for v in good],
        [holds(v) for v in bad],
    )


def test_a_condition_needs_no_default():
    """Without one a field that is not there has none of the values."""
    assert [True, False] == [equals("state", "done").holds(d) for d in ({"state": "done"}, {})]


def test_a_field_says_something_or_not():
    """Absent, null and blank say nothing; zero, false and what is empty otherwise do."""
    assert [True, True, True, False, False] == [is_filled(v) for v in (0, False, [], None, " \t")]
    assert [True, False, False] == [filled("a").holds(d) for d in ({"a": 0}, {"a": ""}, {})]
    assert {
        "bsonType": ["object"],
        "required": ["a"],
        "properties": {"a": FILLED.schema()},
    } == filled("a").schema()


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
    assert year == paris_year(value)


def test_dates_come_one_after_the_other():
    """The later field is named where it comes before; the same moment, or no date, is no fault."""
    declared = not_before("job.order", "It ends late.", "end", "start")
    early, late = NAIVE, NAIVE + timedelta(milliseconds=1)

    assert ("job.order", "It ends late.", Severity.WARNING) == told(declared)
    assert [["end"], [], [], [], [], []] == [
        declared.check(d)
        for d in (
            {"end": early, "start": late},
            {"end": late, "start": early},
            {"end": early, "start": early},
            {"end": early, "start": "2024"},
            {"end": 1, "start": late},
            {},
        )
    ]
    assert {
        "$expr": {
            "$and": [
                {"$eq": [{"$type": "$end"}, "date"]},
                {"$eq": [{"$type": "$start"}, "date"]},
                {"$lt": ["$end", "$start"]},
            ]
        }
    } == declared.query
    assert declared.test is None


def test_a_year_is_that_of_its_date():
    """The number is named where it is another; what is no number or no date is not compared."""
    declared = year_of("job.year", "The year is right.", "year", "day")

    assert ("job.year", "The year is right.", Severity.WARNING) == told(declared)
    assert [["year"], [], [], [], [], []] == [
        declared.check(d)
        for d in (
            {"year": 2025, "day": NAIVE},
            {"year": 2024.0, "day": NAIVE},
            {"year": Int64(2024), "day": NAIVE},
            {"year": "2025", "day": NAIVE},
            {"year": 2025, "day": "2024"},
            {},
        )
    ]
    assert {
        "$cond": [
            {
                "$and": [
                    {"$in": [{"$type": "$year"}, ["double", "int", "long"]]},
                    {"$eq": [{"$type": "$day"}, "date"]},
                    {"$gte": ["$day", DatetimeMS(YEAR_1 - HOUR)]},
                    {"$lt": ["$day", DatetimeMS(YEAR_10000 - HOUR)]},
                ]
            },
            {"$ne": ["$year", {"$year": {"$add": ["$day", HOUR]}}]},
            False,
        ]
    } == declared.query["$expr"]
    # What is asked beside it, to save the expression, says no less than that it is a number.
    numbers = {"$type": ["double", "int", "long"]}
    beside = {name: asked for name, asked in declared.query.items() if name != "$expr"}
    assert {"year": numbers} == beside
    assert declared.test is None
