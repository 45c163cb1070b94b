"""Filling what an existing document lacks, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId

from newbi_migrate.mapping.merge import Merge, fill_missing

OLD, NEW = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
ONE, TWO = ObjectId("64b000000000000000000001"), ObjectId("64b000000000000000000002")

CASES = {
    "nothing is wanted": ({"a": 1}, {}, Merge()),
    "what is absent is filled": ({}, {"a": 1}, Merge({"a": 1})),
    "null is filled and remembered": ({"a": None}, {"a": 1}, Merge({"a": 1}, {"a": None})),
    "blank is filled and remembered": ({"a": " "}, {"a": "x"}, Merge({"a": "x"}, {"a": " "})),
    "what is the same stays": ({"a": 1, "b": [1]}, {"a": 1, "b": [1]}, Merge()),
    "what differs is a conflict": ({"a": 1}, {"a": 2}, Merge(conflicts=("a",))),
    "a conflict does not stop the rest": (
        {"a": 1},
        {"a": 2, "b": 3, "c": 4},
        Merge({"b": 3, "c": 4}, conflicts=("a",)),
    ),
    "zero and false are values": (
        {"a": 0, "b": False, "c": []},
        {"a": 1, "b": True, "c": [1]},
        Merge(conflicts=("a", "b", "c")),
    ),
    "what is not wanted is never written": ({}, {"a": None, "b": "", "c": " "}, Merge()),
    "what is not wanted is no conflict": ({"a": 1}, {"a": None, "b": 2}, Merge({"b": 2})),
    "an id is never compared": ({"_id": ONE}, {"_id": TWO, "a": 1}, Merge({"a": 1})),
    "nor is one inside": (
        {"p": {"_id": ONE}},
        {"p": {"_id": TWO, "a": 1}},
        Merge({"p.a": 1}),
    ),
    "nor is one filled": ({"p": {}}, {"_id": ONE, "p": {"_id": TWO, "a": 1}}, Merge({"p.a": 1})),
    "dates that differ say nothing": (
        {"createdAt": OLD, "updatedAt": OLD},
        {"createdAt": NEW, "updatedAt": NEW, "a": 1},
        Merge({"a": 1}),
    ),
    "a date that is missing is filled": (
        {"updatedAt": None},
        {"createdAt": NEW, "updatedAt": NEW},
        Merge({"createdAt": NEW, "updatedAt": NEW}, {"updatedAt": None}),
    ),
    "inside a document field by field": (
        {"p": {"a": 1, "b": None, "c": {"x": 1}}},
        {"p": {"a": 2, "b": 3, "c": {"x": 1, "y": 2}, "d": 4}},
        Merge({"p.b": 3, "p.c.y": 2, "p.d": 4}, {"p.b": None}, ("p.a",)),
    ),
    "an absent document is filled as a whole": (
        {},
        {"p": {"a": 1, "b": None}},
        Merge({"p": {"a": 1, "b": None}}),
    ),
    "a null document is filled as a whole": (
        {"p": None},
        {"p": {"a": 1}},
        Merge({"p": {"a": 1}}, {"p": None}),
    ),
    "a document against something else": (
        {"p": 7, "q": {"a": 1}},
        {"p": {"a": 1}, "q": 7},
        Merge(conflicts=("p", "q")),
    ),
    "lists are values": ({"l": [{"a": 1}]}, {"l": [{"a": 1, "b": 2}]}, Merge(conflicts=("l",))),
    "half an address is no address": (
        {"p": {"address": {"city": "Lyon"}}},
        {"p": {"address": {"city": "Paris", "street": "1, rue X"}, "a": 1}},
        Merge({"p.a": 1}, conflicts=("p.address.city",)),
    ),
    "half a bank account is none": (
        {"bankDetails": {"iban": "FR1", "bic": ""}},
        {"bankDetails": {"iban": "FR2", "bic": "X"}},
        Merge(conflicts=("bankDetails.iban",)),
    ),
    "nor is half of another address": (
        {"shippingAddress": {"city": "Lyon", "street": None}},
        {"shippingAddress": {"city": "Paris", "street": "1, rue X"}},
        Merge(conflicts=("shippingAddress.city",)),
    ),
    "an address that agrees is completed": (
        {"address": {"city": "Lyon", "street": None}},
        {"address": {"city": "Lyon", "street": "1, rue X", "country": "France"}},
        Merge(
            {"address.street": "1, rue X", "address.country": "France"}, {"address.street": None}
        ),
    ),
    "what no update can name is a conflict": (
        {"a.b": None, "$c": {"x": 1}, "": {"x": 1}},
        {"a.b": 1, "$c": {"x": 1, "y": 2}, "": {"x": 2}, "d.e": 3, "$f": 4},
        Merge(conflicts=("a.b", "$c", "", "d.e", "$f")),
    ),
    "what no update can name may agree": (
        {"a.b": 1, "$c": {"x": 1}, "": {}},
        {"a.b": 1, "$c": {"x": 1}, "": {}},
        Merge(),
    ),
    "what no update can name may differ": ({"a.b": 1}, {"a.b": 2}, Merge(conflicts=("a.b",))),
    "a dollar further on is a name": ({"p": {}}, {"p": {"a$": 1}}, Merge({"p.a$": 1})),
}


@pytest.mark.parametrize(("have", "want", "expected"), CASES.values(), ids=CASES)
def test_only_what_is_missing_is_filled(have, want, expected):
    """Every case: what is written, what stood there instead, what contradicts."""
    found = fill_missing(have, want)

    assert list(expected.values.items()) == list(found.values.items())
    assert expected == found
