"""Documents decoded value by value, and what stands for a value that cannot be."""

from __future__ import annotations

import copy
import pickle
import struct

import bson
import pytest
from bson import Binary, DatetimeMS, DBRef, ObjectId
from bson.errors import InvalidBSON
from hypothesis import given, strategies as st

from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import Quarantine
from newbi_migrate.store.decoding import PLAIN, Undecodable, decode
from newbi_migrate.store.raw import document_of, element

ONE = ObjectId("64b000000000000000000001")
NOT_TEXT = (0x02, struct.pack("<i", 3) + b"\xe9t\0")
BAD_BINARY = (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09")
SHOWN = "<undecodable value of BSON type 2, 7 bytes>"


def raw(value):
    return element(bson.encode({"": value}), "")


def nested(kind, *parts):
    return kind, bytes(document_of(*parts).raw)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (NOT_TEXT, Undecodable(*NOT_TEXT)),
        (BAD_BINARY, Undecodable(*BAD_BINARY)),
        ((0x0B, b"\xe9\0\0"), Undecodable(0x0B, b"\xe9\0\0")),
        ((0x0D, NOT_TEXT[1]), Undecodable(0x0D, NOT_TEXT[1])),
        (nested(0x03, ("a", *BAD_BINARY), ("b", *raw(1))), {"a": Undecodable(*BAD_BINARY), "b": 1}),
        (nested(0x04, ("0", *raw(1)), ("1", *NOT_TEXT)), [1, Undecodable(*NOT_TEXT)]),
    ],
)
def test_only_what_cannot_be_decoded_is_not(stored, expected):
    """All beside it, and all around it, is what it is; the document is not readable."""
    document = document_of(("_id", *raw(ONE)), ("bad", *stored), ("after", *raw("é")))

    assert ({"_id": ONE, "bad": expected, "after": "é"}, False) == decode(bytes(document.raw))


def test_a_name_that_is_not_utf8_has_a_mark_in_its_place():
    """Its value is there, and the document is not readable."""
    document = document_of(("_id", *raw(ONE)), ("caf\udce9", *raw(1)))

    assert ({"_id": ONE, "caf\ufffd": 1}, False) == decode(bytes(document.raw))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (raw(DatetimeMS(2**62)), DatetimeMS(2**62)),
        ((0x13, b"\xff" * 16), bson.Decimal128.from_bid(b"\xff" * 16)),
        ((0x0C, struct.pack("<i", 2) + b"c\0" + ONE.binary), DBRef("c", ONE)),
        ((0x06, b""), None),
    ],
)
def test_what_the_driver_decodes_is_readable(stored, expected):
    """Dates beyond Python's, any decimal and types nobody writes any more."""
    found, readable = decode(bytes(document_of(("x", *stored)).raw))

    assert readable
    assert raw(expected) == raw(found["x"])


@pytest.mark.parametrize("damaged", [b"", b"\5\0\0\0\1", bson.encode({"a": 1})[:-1]])
def test_what_is_no_document_is_refused(damaged):
    """No server sends it; a file may hold it."""
    with pytest.raises(InvalidBSON):
        decode(damaged)


strange = st.recursive(
    st.sampled_from([NOT_TEXT, BAD_BINARY, raw("a"), raw(None), (0x0E, NOT_TEXT[1])])
    | st.tuples(st.just(0x05), st.binary(max_size=20)).map(
        lambda found: (0x05, struct.pack("<i", max(0, len(found[1]) - 1)) + (found[1] or b"\2"))
    )
    | st.tuples(st.sampled_from([0x01, 0x09, 0x11, 0x12]), st.binary(min_size=8, max_size=8))
    | st.tuples(st.just(0x13), st.binary(min_size=16, max_size=16)),
    lambda values: st.tuples(
        st.sampled_from([0x03, 0x04]),
        st.lists(st.tuples(st.sampled_from(["$ref", "$id", "a", "\udce9"]), values), max_size=3),
    ).map(lambda found: nested(found[0], *((name, *value) for name, value in found[1]))),
    max_leaves=6,
)


@given(strange)
def test_no_value_a_server_can_send_stops_a_reader(value):
    """Whatever is in one field, the others are read."""
    document = document_of(("_id", *raw(ONE)), ("x", *value), ("email", *raw("a@b.fr")))
    found, _ = decode(bytes(document.raw))

    assert (ONE, "a@b.fr") == (found["_id"], found["email"])


def test_an_undecodable_value_shows_no_content():
    """It may be anybody's name or password."""
    value = Undecodable(*NOT_TEXT)

    assert {SHOWN} == {str(value), repr(value), f"{value}"}


def test_undecodable_values_are_compared_by_their_bytes():
    """So they can be keys, and the same bytes of another type are another value."""
    value = Undecodable(*NOT_TEXT)

    assert 1 == len({value, Undecodable(*NOT_TEXT), copy.deepcopy(value)})
    assert value == pickle.loads(pickle.dumps(value))  # our own
    assert value != Undecodable(0x0E, NOT_TEXT[1])
    assert NOT_TEXT == (value.kind, value.raw)


def test_a_record_gives_an_undecodable_value_back():
    """It is stored as a binary, which no other binary is taken for."""
    value = Undecodable(*BAD_BINARY)
    stored = bson.decode(bson.encode({"": value}), PLAIN)[""]

    assert value == Undecodable.of(stored)
    assert BAD_BINARY == (Undecodable.of(stored).kind, Undecodable.of(stored).raw)
    assert [None] * 4 == [
        Undecodable.of(other) for other in (Binary(b"a", 128), Binary(bytes(stored), 0), b"", None)
    ]


def test_a_quarantine_lists_ids_that_cannot_be_decoded():
    """Beside ObjectIds, counted and given back like any other."""
    quarantine = Quarantine()
    quarantine.add("invoices", "", Reason.UNREADABLE, [Undecodable(*NOT_TEXT)])
    quarantine.add("invoices", "", Reason.UNREADABLE, [ONE])

    assert [Undecodable(*NOT_TEXT), ONE] == [document.id for document in quarantine]
    assert [SHOWN, str(ONE)] == [str(document.id) for document in quarantine]
    assert 2 == len(quarantine) == quarantine.counts().total()
