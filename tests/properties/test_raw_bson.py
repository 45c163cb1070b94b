"""Laws of BSON that is carried without being decoded."""

from __future__ import annotations

from contextlib import suppress

import bson
from hypothesis import example, given, strategies as st

from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.raw import (
    document_of,
    element,
    elements,
    pack_ids,
    split_documents,
    unpack_ids,
)
from newbi_migrate.testing.strategies import bson_documents, bson_values, object_ids

documents = bson_documents().map(bson.encode)


@given(raw=documents)
def test_elements_put_together_are_the_document(raw):
    """Taking any document apart and putting it together gives the same bytes."""
    assert raw == document_of(*elements(raw)).raw


@given(document=bson_documents(nan=False))
def test_an_element_alone_is_the_value_it_was(document):
    """Each element, put into a document of its own, means what it meant."""
    raw = bson.encode(document)

    assert list(document) == [name for name, _, _ in elements(raw)]
    for name in document:
        alone = document_of((name, *element(raw, name)))
        assert bson.encode({name: document[name]}) == alone.raw


@given(batch=st.lists(documents, max_size=4))
def test_a_batch_is_split_where_it_was_joined(batch):
    """Any documents one after the other are found again."""
    assert batch == list(split_documents(b"".join(batch)))


@st.composite
def damaged(draw):
    raw = bytearray(draw(documents))
    how = draw(st.sampled_from(["cut", "flip", "grow", "other"]))
    if how == "cut":
        return bytes(raw[: draw(st.integers(0, len(raw) - 1))])
    if how == "flip":
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    if how == "grow":
        raw += draw(st.binary(min_size=1, max_size=8))
    if how == "other":
        return draw(st.binary(max_size=40))
    return bytes(raw)


@given(raw=damaged())
@example(raw=b"\x0c\0\0\0\x05x\0\xfb\xff\xff\xff\0")
@example(raw=b"\x10\0\0\0\x02x\0\xf4\xff\xff\xff\0\0\0\0\0")
def test_damage_is_said_in_one_way_and_never_read_beyond(raw):
    """Damaged bytes raise ValueError or are another document; what is read is all of it."""
    with suppress(ValueError):
        assert raw == document_of(*elements(raw)).raw
    with suppress(ValueError):
        assert raw == b"".join(split_documents(raw))


@given(raw=damaged(), batch=st.lists(documents, max_size=2))
def test_damage_does_not_change_the_documents_before_it(raw, batch):
    """What stands before a damaged document in a batch is given as it is."""
    found = split_documents(b"".join((*batch, raw)))

    assert batch == [next(found) for _ in batch]


@given(ids=st.one_of(st.lists(object_ids()), st.lists(bson_values(nan=False), max_size=5)))
def test_packed_ids_are_the_same_ids(ids):
    """Any ids survive packing, and the journal that holds them."""
    packed = pack_ids(ids)
    stored = bson.decode(bson.encode({"ids": packed}), PLAIN)["ids"]

    assert bson.encode({"": ids}) == bson.encode({"": list(unpack_ids(packed))})
    assert bson.encode({"": ids}) == bson.encode({"": list(unpack_ids(stored))})
