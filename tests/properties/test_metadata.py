"""Metadata files: what was written is what is read, and nothing else is taken for a value."""

from __future__ import annotations

import json

import bson
import pytest
from bson import json_util
from hypothesis import assume, given

from newbi_migrate.backup.legacy_indexes import convert_legacy_indexes, legacy_parts
from newbi_migrate.backup.metadata import MetadataError, parse_metadata
from newbi_migrate.testing.strategies import bson_documents


def options_of(options):
    body = {"options": options, "indexes": [], "collectionName": "x"}
    return parse_metadata(json.dumps(body)).options


@given(document=bson_documents())
def test_canonical_values_come_back_as_they_were(document):
    """Every type a driver writes, to the byte and in its order."""
    # A document of that shape has no form of its own, and no backup is made of it.
    assume("$oid" not in repr(document))
    text = json_util.dumps(
        {"options": document, "indexes": []}, json_options=json_util.CANONICAL_JSON_OPTIONS
    )

    assert bson.encode(document) == bson.encode(parse_metadata(text).options)


@pytest.mark.parametrize(
    "plain",
    [
        {"$regex": "^a", "$options": "i"},
        {"$regex": "^a", "$ne": "ab"},
        {"$date": "2020-01-01T00:00:00Z"},
        {"$date": {"$gt": "x"}},
        {"$numberInt": "five"},
        {"$numberInt": "99999999999"},
        {"$numberLong": ["5"]},
        {"$oid": "short"},
        {"$oid": "64b000000000000000000000", "a": "b"},
        {"$uuid": "00000000-0000-0000-0000-000000000000"},
        {"$binary": "AA==", "$type": "00"},
        {"$regularExpression": {"pattern": "a", "options": "z"}},
        {"$timestamp": {"t": "1", "i": "2"}},
        {"$minKey": True},
        {"$ref": "x", "$id": "y"},
    ],
)
def test_what_is_not_canonical_is_a_document(plain):
    """An operator or a field that looks like a value stays what it is."""
    assert {"a": plain} == options_of({"a": plain})


@pytest.mark.parametrize(
    "old", [{"$date": "2020-01-01T00:00:00Z"}, {"$date": 5}, {"$binary": "AA==", "$type": "00"}]
)
def test_a_form_of_old_versions_is_not_guessed(old):
    """Beside bare numbers, which only they wrote, it may be a value or a document."""
    with pytest.raises(MetadataError, match="cannot be told"):
        options_of({"size": 5, "a": old})


@pytest.mark.parametrize(
    ("key", "converted"),
    [(1, 1), (-1, -1), (2, 2), (0.5, 0.5), (-0.5, -0.5), ("2d", "2d"), ("1", "1")]
    + [(k, 1) for k in (0, 0.0, -0.0, 1e-10, True, False, "", None, {"a": 1}, [1])]
    + [(-1e-10, -1)],
)
def test_legacy_keys_are_what_old_servers_took_them_for(key, converted):
    """Ascending, but for texts that name a type and for negative numbers."""
    index = {"key": {"a": key}, "name": "i"}
    (found,), equal = convert_legacy_indexes([index])

    same = type(key) is type(converted) and key == converted
    assert (converted, []) == (found["key"]["a"], equal)
    assert type(converted) is type(found["key"]["a"])
    assert ([] if same else ["the key of a"]) == legacy_parts(index)


def test_unknown_options_are_left_out_when_converted():
    """Those that every version knows stay."""
    index = {"v": 0, "key": {"a": 1}, "name": "i", "safe": 1, "w": 1, "unique": True}
    (found,), _ = convert_legacy_indexes([index])

    assert {"key": {"a": 1}, "name": "i", "unique": True} == found
    assert ["the option safe", "the option w", "version 0"] == legacy_parts(index)
