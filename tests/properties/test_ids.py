"""Keys of ids beside the server's own equality."""

from __future__ import annotations

import struct

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given, strategies as st

from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import PLAIN, Undecodable
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.raw import document_of, element

ONE = ObjectId("64b000000000000000000001")
SYMBOL, POINTER, UNDEFINED, STRING, DOCUMENT = 0x0E, 0x0C, 0x06, 0x02, 0x03
# The driver decodes these into something else.
RETYPED = {POINTER, UNDEFINED}


def raw(value):
    return element(bson.encode({"": value}), "")


def forms(number):
    """A number in every type that holds it."""
    found = [Decimal128(str(number))]
    if number == number // 1 and abs(number) < 2**63:
        found.append(Int64(int(number)))
        if abs(number) < 2**31:
            found.append(int(number))
    return [float(number), *found]


NUMBERS = [form for n in (0, 1, 7, -1, 2**53, 0.5, 0.1, 1e300) for form in forms(n)]
NUMBERS += [-0.0, Decimal128("-0E+3"), Decimal128("7.000"), Decimal128("70E-1")]
NUMBERS += [Decimal128("0.1000000000000000055511151231257827"), Int64(2**53 + 1)]
NUMBERS += [Decimal128("9007199254740993"), Int64(2**63 - 1), float(2**63), 5e-324]
for name in ("NaN", "sNaN", "Infinity", "-Infinity"):
    NUMBERS.append(Decimal128(name))
NUMBERS += [float("nan"), float("inf"), float("-inf"), Decimal128("1E+6144")]
TEXTS = ["", "a", "A", "á", "é", "e\u0301", "a\0", "1"]
OTHERS = [None, True, False, ONE, MinKey(), MaxKey(), Timestamp(1, 0), Timestamp(1, 1)]
OTHERS += [Binary(b"a", 0), Binary(b"a", 4), Binary(b"a", 2), Binary(b"b", 0), Binary(b"", 0)]
OTHERS += [Regex("a"), Regex("a", "i"), Code("a"), Code("a", {}), Code("a", {"b": 1})]
OTHERS += [bson.DatetimeMS(0), bson.DatetimeMS(1), bson.DatetimeMS(-(2**62))]

leaves = st.sampled_from([raw(value) for value in NUMBERS + TEXTS + OTHERS]) | st.sampled_from(
    [
        (UNDEFINED, b""),
        *((SYMBOL, raw(text)[1]) for text in TEXTS),
        (POINTER, raw("c")[1] + ONE.binary),
        (STRING, struct.pack("<i", 2) + b"\xe9\0"),
        (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09"),
    ]
)


def nested(values):
    # Of two fields of one name the server itself takes now one, now the other.
    fields = st.lists(
        st.tuples(st.sampled_from("ab"), values), max_size=2, unique_by=lambda part: part[0]
    )
    as_document = fields.map(lambda parts: bytes(document_of(*((n, *v) for n, v in parts)).raw))
    as_array = st.lists(values, max_size=2).map(
        lambda parts: bytes(document_of(*((str(n), *v) for n, v in enumerate(parts))).raw)
    )
    scoped = as_document.map(lambda scope: raw("f")[1] + scope).map(
        lambda body: struct.pack("<i", len(body) + 4) + body
    )
    return (
        as_document.map(lambda found: (DOCUMENT, found))
        | as_array.map(lambda found: (0x04, found))
        | scoped.map(lambda found: (0x0F, found))
    )


values = st.recursive(leaves, nested, max_leaves=4)


@pytest.fixture(scope="module")
def collection(servers, mongod):
    """A collection whose own collation calls more texts equal than bytes are."""
    database = servers.client(mongod)["newbi_test_ids"]
    database.drop_collection("values")
    yield database.create_collection("values", collation={"locale": "fr", "strength": 1})
    database.client.drop_database(database.name)


@given(st.lists(values, min_size=1, max_size=10))
def test_two_ids_have_one_key_where_the_server_calls_them_equal(collection, stored):
    """Numbers of any type, texts to the byte, documents by the order of their fields."""
    collection.delete_many({})
    collection.insert_many(
        [document_of(("_id", *raw(n)), ("v", *value)) for n, value in enumerate(stored)]
    )
    equal = {"$expr": {"$eq": ["$v", "$$asked"]}}
    pairs = [
        [
            document["_id"]
            for document in collection.find(
                equal,
                {"_id": 1},
                let=document_of(("asked", 0x03, literal)),
                collation=SIMPLE_COLLATION,
            )
        ]
        for value in stored
        for literal in (bytes(document_of(("$literal", *value)).raw),)
    ]
    keys = [id_key_of(*value) for value in stored]

    assert [sorted(n for n, k in enumerate(keys) if k == key) for key in keys] == list(
        map(sorted, pairs)
    )


@given(values)
def test_a_decoded_id_has_the_key_of_the_stored_one(value):
    """Whether it was read raw or decoded; what the driver changes stands for itself."""
    identifier = decode_id(*value)

    assert id_key_of(*value) == id_key(identifier)
    assert isinstance(identifier, Undecodable) or id_key_of(*raw(identifier)) == id_key_of(*value)


@given(leaves)
def test_only_what_the_driver_cannot_give_back_stands_for_itself(value):
    """An id that the server would find again by what was decoded is decoded."""
    bad = value[0] in RETYPED or value in (
        (STRING, struct.pack("<i", 2) + b"\xe9\0"),
        (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09"),
    )

    assert bad == isinstance(decode_id(*value), Undecodable)


@given(leaves)
def test_an_undecodable_id_keeps_its_key_in_a_record(value):
    """A run record holds it as a binary and is read with the next run."""
    stored = bson.decode(bson.encode({"": Undecodable(*value)}), PLAIN)[""]

    assert id_key_of(*value) == id_key(stored)
