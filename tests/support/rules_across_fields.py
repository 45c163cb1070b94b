"""Rules across fields, with documents that keep each and others that break it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bson import Int64
from bson.datetime_ms import DatetimeMS

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

NAIVE = datetime(2024, 12, 31, 22, 30)  # noqa: DTZ001  # as PyMongo reads it
DONE = Is("state", "done")
# Each with documents that keep it, and others with the paths at which they break it.
RULES = {
    "required": (
        Required("x.y", "It is.", ("end", "by"), DONE),
        [{"state": "done", "end": 0, "by": "x"}, {"state": "new"}, {}, {"state": ["done"]}],
        [
            ({"state": "done"}, ["end", "by"]),
            ({"state": "done", "end": 7, "by": " \u00a0"}, ["by"]),
            ({"state": "done", "end": None, "by": "x"}, ["end"]),
        ],
    ),
    "always-required": (Required("x.y", "It is.", ("a",)), [{"a": False}], [({}, ["a"])]),
    "required-where-some-is": (
        Required("x.y", "It is.", ("a", "b"), Filled("a", "b")),
        [{}, {"a": ""}, {"a": 1, "b": 0}],
        [({"a": 1}, ["b"]), ({"b": "x", "a": None}, ["a"])],
    ),
    "forbidden": (
        Forbidden("x.y", "It is.", {"state": DONE, "end": There("end")}),
        [{}, {"state": "new"}, {"state": None}],
        [({"state": "done", "end": None}, ["state", "end"]), ({"end": 1}, ["end"])],
    ),
    "fits": (
        Forbidden("x.y", "It is.", {"a": All(Is("b", True), Not(Fits("a", "[a-z]{2}")))}),
        [{}, {"a": "A"}, {"a": "ab", "b": True}, {"a": 1, "b": True}, {"a": "A", "b": 1}],
        [({"a": "A", "b": True}, ["a"]), ({"a": "ab\n", "b": True}, ["a"])],
    ),
    "either": (
        Forbidden("x.y", "It is.", {"a": AnyOf(Is("a", "x", "y"), Is("a", False))}),
        [{}, {"a": "z"}, {"a": True}, {"a": 0}],
        [({"a": "x"}, ["a"]), ({"a": "y"}, ["a"]), ({"a": False}, ["a"])],
    ),
    "filled-iff-zero": (
        FilledIffZero("x.y", "It is.", "text", "n"),
        [
            {"n": 0, "text": "x"},
            {"n": 0.0, "text": 1},
            {"n": 1},
            {"n": -1, "text": " "},
            {"n": "0"},
            {"n": False, "text": "x"},
            {"text": "x"},
            {"n": float("nan")},
        ],
        [
            ({"n": 0}, ["text"]),
            ({"n": Int64(0), "text": ""}, ["text"]),
            ({"n": 0.5, "text": "x"}, ["text"]),
            ({"n": float("nan"), "text": "x"}, ["text"]),
        ],
    ),
    "values-within": (
        ValuesWithin("x.y", "It is.", "d", 0, 5),
        [{}, {"d": {}}, {"d": {"a": 0, "b": 5.0, "c": "9", "d": True, "e": None}}, {"d": [9]}],
        [
            ({"d": {"a": 5.5, "b": 1, "c": -1}}, ["d.a", "d.c"]),
            ({"d": {"a": float("nan")}}, ["d.a"]),
        ],
    ),
    "not-before": (
        NotBefore("x.y", "It is.", "end", "start"),
        [
            {"end": NAIVE, "start": NAIVE},
            {"end": NAIVE, "start": NAIVE - timedelta(milliseconds=1)},
            {"end": NAIVE, "start": "2024"},
            {"end": 1, "start": NAIVE},
            {"end": NAIVE, "start": NAIVE.replace(tzinfo=UTC)},
            {"end": DatetimeMS(2**60), "start": DatetimeMS(2**60)},
            {"start": NAIVE},
            {},
        ],
        [
            ({"end": NAIVE, "start": NAIVE + timedelta(milliseconds=1)}, ["end"]),
            ({"end": NAIVE, "start": DatetimeMS(2**60)}, ["end"]),
            ({"end": DatetimeMS(2**60), "start": DatetimeMS(2**60 + 1)}, ["end"]),
            (
                {"end": NAIVE.replace(tzinfo=UTC), "start": NAIVE + timedelta(milliseconds=1)},
                ["end"],
            ),
        ],
    ),
    "year-in-france": (
        YearInFrance("x.y", "It is.", "year", "day"),
        [
            {"year": 2024.0, "day": NAIVE},
            {"year": Int64(2024), "day": NAIVE},
            {"year": "2025", "day": NAIVE},
            {"year": 2025, "day": "2024"},
            {"year": 2025, "day": DatetimeMS(2**60)},
            {"year": 2025},
            {},
        ],
        [({"year": 2025, "day": NAIVE}, ["year"]), ({"year": 2024.5, "day": NAIVE}, ["year"])],
    ),
}
