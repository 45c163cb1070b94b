"""Digests of collections: one number that stays the same whatever the order of the documents.

A collection's digest is the sum, modulo 2^128, of XXH3-128 (seed 0) of the BSON bytes of each of
its documents. A sum, because the natural order of documents means nothing and because parts can be
read apart and put together; not an exclusive or, because equal documents would cancel out. It finds
accidents, not forgeries: XXH3 is no cryptographic hash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bson import json_util
from xxhash import xxh3_128_hexdigest, xxh3_128_intdigest

from newbi_migrate.store.handles import Database
from newbi_migrate.store.raw import elements
from newbi_migrate.store.reading import read_batches

__all__ = [
    "Digest",
    "digest_collection",
    "indexes_digest",
    "options_digest",
    "spans",
    "without_fields",
]

_INT32 = struct.Struct("<i")
_MASK: Final = (1 << 128) - 1
_SMALLEST: Final = 5


class Digest:
    """Count, bytes and order-independent digest of documents.

    Args:
        without: Top-level fields that are left out of each document before it is digested.
    """

    __slots__ = ("_needles", "_sum", "_without", "bytes", "count")

    def __init__(self, without: Iterable[str] = ()) -> None:
        self.count = 0
        """Documents so far."""
        self.bytes = 0
        """Bytes of these documents, without what is left out."""
        self._sum = 0
        self._without = frozenset(without)
        self._needles = tuple(name.encode() + b"\0" for name in self._without)

    def add(self, raw: bytes) -> None:
        """Take in one document."""
        if any(needle in raw for needle in self._needles):
            raw = without_fields(raw, self._without)
        self._sum = (self._sum + xxh3_128_intdigest(raw)) & _MASK
        self.count += 1
        self.bytes += len(raw)

    def remove(self, raw: bytes) -> None:
        """Take one document out again, as if it had never been taken in."""
        if any(needle in raw for needle in self._needles):
            raw = without_fields(raw, self._without)
        self._sum = (self._sum - xxh3_128_intdigest(raw)) & _MASK
        self.count -= 1
        self.bytes -= len(raw)

    def add_batch(self, batch: bytes) -> None:
        """Take in documents that stand one after the other, as in a raw batch or a dump file.

        Raises:
            ValueError: The bytes are not a whole number of documents.
        """
        if any(needle in batch for needle in self._needles):
            view = memoryview(batch)
            for start, end in spans(batch):
                self.add(bytes(view[start:end]))
            return
        # Written out, because this is done for every document there is.
        size_at, digest = _INT32.unpack_from, xxh3_128_intdigest
        view = memoryview(batch)
        position, end, total, count = 0, len(batch), 0, 0
        try:
            while position < end:
                after = position + size_at(batch, position)[0]
                if after < position + _SMALLEST or after > end:
                    raise ValueError(f"no BSON document at byte {position} of a batch")
                total += digest(view[position:after])
                position = after
                count += 1
        except struct.error:
            raise ValueError(f"no BSON document at byte {position} of a batch") from None
        self._sum = (self._sum + total) & _MASK
        self.count += count
        self.bytes += end

    def _take(self, other: Digest) -> None:
        self._sum = (self._sum + other._sum) & _MASK
        self.count += other.count
        self.bytes += other.bytes

    def add_to_both(self, other: Digest, batch: bytes) -> None:
        """Take a batch in here and into a digest that leaves fields out, in one pass if it can.

        Raises:
            ValueError: The bytes are not a whole number of documents.
        """
        if self._needles or any(needle in batch for needle in other._needles):
            self.add_batch(batch)
            other.add_batch(batch)
            return
        part = Digest()
        part.add_batch(batch)
        self._take(part)
        other._take(part)

    def hexdigest(self) -> str:
        """The digest as 32 hexadecimal digits."""
        return f"{self._sum:032x}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Digest):
            return NotImplemented
        return (self.count, self.bytes, self._sum) == (other.count, other.bytes, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Digest {self.hexdigest()} of {self.count} documents, {self.bytes} bytes>"


def spans(batch: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each document of a batch.

    Raises:
        ValueError: The bytes are not a whole number of documents.
    """
    position, end = 0, len(batch)
    while position < end:
        if end - position < _SMALLEST:
            raise ValueError(f"no BSON document at byte {position} of a batch")
        after = position + int(_INT32.unpack_from(batch, position)[0])
        if after < position + _SMALLEST or after > end:
            raise ValueError(f"no BSON document at byte {position} of a batch")
        yield position, after
        position = after


def without_fields(raw: bytes, names: Iterable[str]) -> bytes:
    """A document without some top-level fields; the rest keeps its bytes and its order."""
    names = frozenset(names)
    kept = [
        bytes([kind]) + name.encode("utf-8", "surrogateescape") + b"\0" + value
        for name, kind, value in elements(raw)
        if name not in names
    ]
    body = b"".join(kept)
    return _INT32.pack(len(body) + _SMALLEST) + body + b"\0"


async def digest_collection(
    database: Database,
    name: str,
    *,
    without: Sequence[str] = ("workspaceId",),
    comment: str | None = None,
    advance: Callable[[int], None] | None = None,
) -> Digest:
    """The digest of a collection as it is now, in one pass over it.

    The server leaves the fields out, and keeps the order and the bytes of the others, so that
    the digest of a migrated collection equals the one its backup has without these fields.

    Args:
        database: The database.
        name: The collection; one that does not exist has no documents.
        without: Top-level fields to leave out; none to digest whole documents.
        comment: Shown by ``$currentOp`` and in the server's log.
        advance: Told how many documents were read since it was last called.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    projection = dict.fromkeys(without, False) or None
    read = Digest()
    async for batch in read_batches(database[name], projection, comment=comment):
        before = read.count
        read.add_batch(batch)
        if advance is not None:
            advance(read.count - before)
    digest = Digest(without)
    digest._take(read)  # noqa: SLF001  # of this module; the server has left the fields out
    return digest


def options_digest(options: Mapping[str, Any]) -> str:
    """The digest of a collection's options, whatever the order in which they are named."""
    return _text_digest(_canonical({key: options[key] for key in sorted(options)}))


def indexes_digest(indexes: Iterable[Mapping[str, Any]]) -> str:
    """The digest of index specifications, whatever the order of indexes and of their options.

    The order of keys and of what an option holds counts. ``ns``, which servers before 4.4 wrote,
    does not: it names the database.
    """
    texts = sorted(
        _canonical({key: index[key] for key in sorted(index) if key != "ns"}) for index in indexes
    )
    return _text_digest("\n".join(texts))


def _canonical(value: Mapping[str, Any]) -> str:
    return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)


def _text_digest(text: str) -> str:
    return xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
