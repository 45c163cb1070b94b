"""BSON read and made without decoding it, and what is no BSON."""

from __future__ import annotations

import struct

import bson
import pytest
from backups import every_type, undecoded
from bson import Binary, Code, ObjectId, Regex
from bson.raw_bson import RawBSONDocument

from newbi_migrate.store.journal import UserWrite, digests_by_field, digests_of_fields
from newbi_migrate.store.raw import (
    ObjectIds,
    document_of,
    element,
    elements,
    one_of,
    pack_ids,
    split_documents,
    unpack_ids,
)
from newbi_migrate.store.reading import chunks

ONE, TWO = ObjectId("64b000000000000000000001"), ObjectId("64b000000000000000000002")


def document(body):
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def string(value):
    return struct.pack("<i", len(value) + 1) + value + b"\0"


EMPTY = document(b"")
VALUES = {
    "double": (0x01, bytes(8)),
    "string": (0x02, string(b"abc")),
    "blank string": (0x02, string(b"")),
    "string that is no UTF-8": (0x02, string(b"\xe9t")),
    "string with a zero": (0x02, string(b"a\0b")),
    "document": (0x03, EMPTY),
    "array": (0x04, document(b"\x0a0\0")),
    "binary": (0x05, struct.pack("<i", 3) + b"\0\1\2\3"),
    "empty binary": (0x05, struct.pack("<i", 0) + b"\x80"),
    "undefined": (0x06, b""),
    "ObjectId": (0x07, ONE.binary),
    "boolean": (0x08, b"\1"),
    "date": (0x09, bytes(8)),
    "null": (0x0A, b""),
    "regular expression": (0x0B, b"^a\0i\0"),
    "empty regular expression": (0x0B, b"\0\0"),
    "DBPointer": (0x0C, string(b"users") + bytes(12)),
    "code": (0x0D, string(b"f()")),
    "symbol": (0x0E, string(b"abc")),
    "code with scope": (0x0F, struct.pack("<i", 14) + string(b"") + EMPTY),
    "int32": (0x10, bytes(4)),
    "timestamp": (0x11, bytes(8)),
    "int64": (0x12, bytes(8)),
    "decimal": (0x13, bytes(16)),
    "max key": (0x7F, b""),
    "min key": (0xFF, b""),
}
values = pytest.mark.parametrize(("kind", "value"), VALUES.values(), ids=VALUES)


@values
def test_a_value_of_every_type_has_its_size(kind, value):
    """Each type of the specification is measured, whatever stands before and after it."""
    parts = [
        ("before", 0x02, string(b"x")),
        ("é", kind, value),
        ("", kind, value),
        ("z", 0x0A, b""),
    ]
    raw = bytes(document_of(*parts).raw)

    assert parts == list(elements(raw))
    assert (kind, value) == element(raw, "é")
    assert (kind, value) == element(raw, "")


@values
def test_a_value_cut_short_is_no_bson(kind, value):
    """Wherever a value ends too early, reading says so instead of giving less."""
    for length in range(len(value)):
        raw = document(bytes([kind]) + b"x\0" + value[:length])
        with pytest.raises(
            ValueError, match=r"^not a BSON document: element 'x' has no end in it$"
        ):
            list(elements(raw))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (0x02, struct.pack("<i", 0)),
        (0x02, struct.pack("<i", -1) + bytes(9)),
        (0x02, struct.pack("<i", 2**31 - 1)),
        (0x03, struct.pack("<i", 4)),
        (0x03, struct.pack("<i", -8)),
        (0x04, struct.pack("<i", 0)),
        (0x05, struct.pack("<i", -1) + b"\0"),
        (0x05, struct.pack("<i", -5)),
        (0x0C, struct.pack("<i", 0) + bytes(12)),
        (0x0D, struct.pack("<i", 0)),
        (0x0E, struct.pack("<i", 0)),
        (0x0F, struct.pack("<i", 13) + bytes(9)),
        (0x0B, b"a"),
        (0x0B, b""),
    ],
)
def test_a_value_that_lies_about_its_size_is_no_bson(kind, value):
    """A size below what its type needs, or beyond the document, is damage."""
    with pytest.raises(ValueError, match=r"^not a BSON document: element 'x' has no end in it$"):
        list(elements(document(bytes([kind]) + b"x\0" + value)))


@pytest.mark.parametrize("kind", [0x00, 0x14, 0x7E, 0x80, 0xFE])
def test_a_type_that_does_not_exist_is_no_bson(kind):
    """Nobody knows how long its value is."""
    with pytest.raises(ValueError, match=f"^unknown BSON type 0x{kind:02x}$"):
        list(elements(document(bytes([kind]) + b"x\0" + bytes(20))))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\5\0\0\0",
        b"\4\0\0\0",
        b"\5\0\0\0\1",
        b"\6\0\0\0\0",
        b"\4\0\0\0\0",
        EMPTY + b"\0",
        b"\xff\xff\xff\xff\0",
        document(b"\x0ax\0")[:-1] + b"\1",
    ],
)
def test_bytes_of_another_length_are_no_document(raw):
    """A document says its own length and ends with a zero."""
    with pytest.raises(ValueError, match=r"^not a BSON document: its length is not what it says$"):
        list(elements(raw))


def test_an_empty_document_has_no_elements():
    """The least document has five bytes."""
    assert [] == list(elements(EMPTY))
    assert EMPTY == document_of().raw
    assert element(EMPTY, "_id") is None


def test_the_first_of_two_elements_of_a_name_counts():
    """BSON allows a name twice, and the server reads the first."""
    raw = document(b"\x0ay\0\x08x\0\1\x08x\0\0")

    assert (0x08, b"\1") == element(raw, "x")
    assert (0x0A, b"") == element(raw, "y")
    assert element(raw, "z") is None


def test_what_comes_after_the_element_is_not_read():
    """Looking an element up stops there, so that damage further on does no harm."""
    raw = document(b"\x08x\0\1\x14y\0")

    assert (0x08, b"\1") == element(raw, "x")


def test_a_name_that_is_no_utf_8_survives():
    """A name is given as text, and the same bytes come out of it."""
    raw = document(b"\x0a\xff\xe9\0")
    (part,) = elements(raw)

    assert raw == document_of(part).raw


@pytest.mark.parametrize("given", [bson.encode(every_type()), *(d.raw for d in undecoded())])
def test_elements_put_together_are_the_document(given):
    """Also values that no driver would write keep their bytes."""
    made = document_of(*elements(bytes(given)))

    assert isinstance(made, RawBSONDocument)
    assert given == made.raw
    assert given == bson.encode(made)


def test_a_batch_is_split_into_its_documents():
    """Documents stand one after the other, and nothing at all is no document."""
    parts = [EMPTY, bson.encode({"x": "y" * 300}), document(b"\x0ax\0"), EMPTY]

    assert parts == list(split_documents(b"".join(parts)))
    assert [] == list(split_documents(b""))


@pytest.mark.parametrize(
    "tail",
    [
        b"\0",
        b"\5\0\0\0",
        b"\4\0\0\0\0",
        b"\0\0\0\0\0",
        b"\xfb\xff\xff\xff\0",
        b"\6\0\0\0\0",
        b"\5\0\0\0\1",
        b"\xff\xff\xff\x7f\0",
    ],
)
def test_a_batch_cut_short_is_none(tail):
    """The documents before the damage are given, and then it is said."""
    found = split_documents(EMPTY + tail)

    assert EMPTY == next(found)
    with pytest.raises(ValueError, match=r"^not a batch of BSON documents: one has no end in it$"):
        next(found)


@pytest.mark.parametrize(
    ("ids", "packed"),
    [
        ([], Binary(b"")),
        ([ONE], Binary(ONE.binary)),
        ([TWO, ONE, TWO], Binary(TWO.binary + ONE.binary + TWO.binary)),
        ([ONE, "user-1"], [ONE, "user-1"]),
        ([7], [7]),
        (["64b000000000000000000001"], ["64b000000000000000000001"]),
        ([Regex("a"), Code("f"), None], [Regex("a"), Code("f"), None]),
    ],
)
def test_object_ids_are_packed_and_others_are_listed(ids, packed):
    """Twelve bytes an ObjectId where all are, and a list where any is something else."""
    found = pack_ids(tuple(ids))

    assert packed == found
    assert type(packed) is type(found)
    assert ids == list(unpack_ids(found))


def test_packed_ids_are_read_as_mongodb_gives_them_back():
    """The driver reads binary as plain bytes."""
    stored = bson.decode(bson.encode({"ids": pack_ids([ONE, TWO])}))["ids"]

    assert type(stored) is bytes
    assert [ONE, TWO] == list(unpack_ids(stored))


@pytest.mark.parametrize("length", [1, 11, 13, 25])
def test_packed_ids_cut_short_are_none(length):
    """A journal that was cut off must not be read as if fewer documents had been written."""
    with pytest.raises(ValueError, match=r"^not packed ids: the last one is cut off$"):
        list(unpack_ids(bytes(length)))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 1001])
def test_the_condition_on_packed_ids_is_the_one_the_driver_would_send(count):
    """No object is made for each, and the same bytes leave."""
    ids = [ObjectId(f"{number:024x}") for number in range(count)]

    assert bson.encode({"_id": {"$in": ids}}) == bson.encode(
        {"_id": one_of(unpack_ids(pack_ids(ids)))}
    )


def test_ids_of_any_type_are_asked_for_as_they_are():
    """They are packed no more than they were in the journal."""
    assert {"$in": [ONE, "user-1", 7]} == one_of((ONE, "user-1", 7))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_portions_of_packed_ids_are_packed_and_hold_each_once(size):
    """The last is as long as it happens to be."""
    ids = [ObjectId(f"{number:024x}") for number in range(3)]
    portions = list(chunks(unpack_ids(pack_ids(ids)), size))

    assert all(isinstance(portion, ObjectIds) for portion in portions)
    assert ids == [identifier for portion in portions for identifier in portion]
    assert {size} == {len(portion) for portion in portions[:-1]} | {size}


@pytest.mark.parametrize("part", [slice(1, 2), slice(2, 1), slice(-1, None), slice(None, None, 2)])
def test_a_slice_of_packed_ids_is_that_of_their_list(part):
    """Forwards, empty, from the end, and every other."""
    ids = [ObjectId(f"{number:024x}") for number in range(3)]

    assert ids[part] == list(unpack_ids(pack_ids(ids))[part])


@pytest.mark.parametrize("digests", [bytes(8), bytes(15), bytes(24), 16, "0" * 16, None])
def test_digests_that_are_not_one_for_each_name_are_no_record_of_ours(digests):
    """A journal that was changed must not be compared with what a document holds now."""
    write = {"op": "insert", "user": ONE, "collection": "user", "id": ONE, "names": "_id\0email"}

    assert {"_id": bytes(8), "email": bytes(8)} == UserWrite.of(
        {**write, "digests": bytes(16)}
    ).fields
    with pytest.raises((TypeError, ValueError), match="expected"):
        UserWrite.of({**write, "digests": digests})


def test_the_digests_of_a_document_name_each_of_its_fields():
    """One for a value, of its type too, whatever the name."""
    one = digests_by_field(*digests_of_fields(bson.encode({"_id": ONE, "é": 1, "": None})))
    other = digests_by_field(*digests_of_fields(bson.encode({"_id": ONE, "é": 1.0, "": None})))

    assert ["_id", "é", ""] == list(one) == list(other)
    assert ["é"] == [name for name in one if one[name] != other[name]]
