"""Laws of the digest, and of the fast ways beside the plain ones."""

from __future__ import annotations

import json

import bson
from bson import json_util
from hypothesis import given, strategies as st

from newbi_migrate.backup.compress import GzipWriter, gunzip
from newbi_migrate.backup.exports import json_lines
from newbi_migrate.backup.layout import escape, unescape
from newbi_migrate.backup.reading import whole_documents
from newbi_migrate.store.digest import Digest, spans, without_fields
from newbi_migrate.testing.strategies import bson_documents

DOCUMENTS = st.lists(bson_documents().map(bson.encode), max_size=8)


def digest_of(documents, without=()):
    digest = Digest(without)
    digest.add_batch(b"".join(documents))
    return digest


@given(DOCUMENTS, st.randoms())
def test_the_order_of_documents_does_not_count(documents, random):
    """Natural order means nothing in MongoDB."""
    shuffled = documents[:]
    random.shuffle(shuffled)

    assert digest_of(documents) == digest_of(shuffled)


@given(bson_documents().map(bson.encode), st.data())
def test_any_changed_bit_changes_the_digest(document, data):
    """Wherever it is but in the size, which tells where the document ends."""
    position = data.draw(st.integers(4 * 8, len(document) * 8 - 1))
    changed = bytearray(document)
    changed[position // 8] ^= 1 << position % 8

    assert digest_of([document]) != digest_of([bytes(changed)])


@given(DOCUMENTS, st.data())
def test_a_lost_or_doubled_document_changes_the_digest(documents, data):
    """Sums tell how often a document is there."""
    if not documents:
        return
    at = data.draw(st.integers(0, len(documents) - 1))
    whole = digest_of(documents)

    assert whole != digest_of(documents[:at] + documents[at + 1 :])
    assert whole != digest_of([*documents, documents[at]])


@given(bson_documents(), st.sampled_from([None, "", 5, {"a": 1}, [b"x"]]), st.data())
def test_a_field_that_is_left_out_does_not_count(document, value, data):
    """Wherever it stands and whatever it holds; the rest does not move."""
    document.pop("workspaceId", None)
    items = list(document.items())
    at = data.draw(st.integers(0, len(items)))
    stamped = bson.encode(dict([*items[:at], ("workspaceId", value), *items[at:]]))
    plain = bson.encode(document)

    assert plain == without_fields(stamped, ["workspaceId"])
    assert digest_of([plain]) == digest_of([stamped], ["workspaceId"])


@given(bson_documents(nan=False), st.booleans())
def test_exports_are_what_the_drivers_own_converter_writes(document, nested):
    """Canonical Extended JSON, by another way."""
    raw = bson.encode({"x": [document]} if nested else document)
    decoded = bson.decode(
        raw, bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO)
    )
    expected = json_util.dumps(decoded, json_options=json_util.CANONICAL_JSON_OPTIONS)
    (line,) = json_lines(raw)

    assert json.loads(expected) == json.loads(line)
    assert "\n" not in line


@given(DOCUMENTS, st.integers(1, 50))
def test_a_stream_is_cut_between_documents(documents, size):
    """Whatever pieces it comes in."""
    whole = b"".join(documents)

    class Stream:
        position = 0

        def read(self, _):
            piece = whole[self.position : self.position + size]
            self.position += size
            return piece

    batches = list(whole_documents(Stream()))

    assert whole == b"".join(batches)
    assert documents == [b[s:e] for b in batches for s, e in spans(b)]


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_what_is_compressed_comes_back(pieces):
    """Piece by piece, with the checksum at the end."""
    import io

    sink = io.BytesIO()
    writer = GzipWriter(sink)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    sink.seek(0)

    assert b"".join(pieces) == gunzip(sink).read()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_a_file_name_stands_for_its_collection(name):
    """Short names come back; none has a separator of paths in it."""
    escaped = escape(name)

    assert not set("/\\:") & set(escaped)
    if len(escaped) <= 238 and "%24" not in escaped[208:]:
        assert name == unescape(escaped)
