"""Digests: what they count, what they leave out, and that their definition does not drift."""

from __future__ import annotations

import bson
import pytest
from xxhash import xxh3_128_intdigest

from newbi_migrate.store.digest import (
    Digest,
    indexes_digest,
    options_digest,
    spans,
    without_fields,
)

ONE = bson.encode({"_id": 1, "workspaceId": None, "a": "x"})
TWO = bson.encode({"_id": 2, "a": {"workspaceId": 5}})


def test_a_digest_is_the_sum_of_xxh3_128_of_each_document():
    """The definition that the documentation gives and that old manifests rely on."""
    digest = Digest()
    digest.add(ONE)
    digest.add(TWO)

    expected = (xxh3_128_intdigest(ONE) + xxh3_128_intdigest(TWO)) % 2**128
    assert f"{expected:032x}" == digest.hexdigest()
    assert (2, len(ONE) + len(TWO)) == (digest.count, digest.bytes)


def test_a_digest_stays_what_it_was_in_earlier_versions():
    """A stored digest must mean the same for ever."""
    digest = Digest()
    digest.add_batch(bytes.fromhex("0e000000105f6964000100000000"))

    assert "d7178728e5f154aeecb2b7abece78699" == digest.hexdigest()


def test_nothing_digests_to_zero():
    """An empty collection has a digest, too."""
    assert "0" * 32 == Digest().hexdigest()


def test_equal_documents_do_not_cancel_out():
    """A document that is there twice is not the same as none."""
    digest = Digest()
    digest.add_batch(TWO + TWO)

    assert Digest() != digest


def test_fields_are_left_out_at_the_top_alone():
    """A nested field of that name is a document's own business."""
    digest = Digest(["workspaceId"])
    digest.add_batch(ONE + TWO)
    expected = Digest()
    expected.add(bson.encode({"_id": 1, "a": "x"}))
    expected.add(TWO)

    assert expected == digest


def test_both_digests_of_a_batch_are_those_made_apart():
    """Whether or not there is something to leave out."""
    for batch in (ONE + TWO, bson.encode({"_id": 3})):
        whole, other = Digest(), Digest(["workspaceId"])
        whole.add_to_both(other, batch)
        apart, apart_other = Digest(), Digest(["workspaceId"])
        apart.add_batch(batch)
        apart_other.add_batch(batch)

        assert (apart, apart_other) == (whole, other)


@pytest.mark.parametrize(
    "batch", [b"\x05", b"\x04\0\0\0\0", ONE[:-1], ONE + b"\0", b"\xff\xff\xff\xff\0"]
)
def test_bytes_that_are_no_documents_are_refused(batch):
    """Rather than digested to something."""
    with pytest.raises(ValueError, match="no BSON document"):
        Digest().add_batch(batch)
    with pytest.raises(ValueError, match="no BSON document"):
        list(spans(batch))


def test_leaving_fields_out_keeps_order_and_bytes():
    """As the server's own projection does."""
    raw = bson.encode({"b": 1, "x": 2, "a": 1.0, "y": [3]})

    assert bson.encode({"b": 1, "a": 1.0}) == without_fields(raw, ["x", "y"])


def test_the_order_of_options_and_indexes_does_not_count():
    """Neither that of indexes, nor that of what is said of one."""
    first, second = {"v": 2, "key": {"a": 1}, "name": "a"}, {"v": 2, "key": {"b": 1}, "name": "b"}
    turned = dict(reversed(first.items()))

    assert indexes_digest([first, second]) == indexes_digest([second, turned])
    assert options_digest({"capped": True, "size": 1}) == options_digest(
        {"size": 1, "capped": True}
    )


def test_the_order_of_keys_of_an_index_counts():
    """An index on (a, b) is another than one on (b, a)."""
    first = {"key": {"a": 1, "b": 1}, "name": "x"}
    second = {"key": {"b": 1, "a": 1}, "name": "x"}

    assert indexes_digest([first]) != indexes_digest([second])


def test_the_namespace_of_an_index_does_not_count():
    """Servers before 4.4 wrote it, and it names the database."""
    assert indexes_digest([{"key": {"a": 1}, "ns": "x.y"}]) == indexes_digest([{"key": {"a": 1}}])
