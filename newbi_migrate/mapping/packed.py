"""Ids by the million in little memory: columns, sets, maps and groups of packed ObjectIds.

An ObjectId as an object takes ninety bytes, and a place in a set forty more; packed it takes
twelve. What is sorted is found by bisection, in a microsecond or two.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import (
    Container,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set as AbstractSet,
)
from hashlib import blake2b
from heapq import merge
from itertools import chain, islice, pairwise
from struct import Struct, iter_unpack
from typing import Any, Final, Generic, TypeVar, cast, overload

from bson import ObjectId

__all__ = [
    "IdColumn",
    "InAnyOf",
    "Interned",
    "PackedGroups",
    "PackedIds",
    "PackedMap",
    "PackedMapping",
    "PackedSequence",
    "TextColumn",
    "digest_of",
    "grouped",
    "head_of",
    "repeated",
    "tail_of",
]

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Hashable)

# Rows that are sorted at once.
_TOGETHER: Final = 50_000
_SIZE: Final = 12
# An ObjectId in the order of its bytes, as two numbers that an array can hold.
_HALVES: Final = Struct(">QI")
_DIGEST: Final = 16
_ABSENT: Final = bytes(_DIGEST)
_NO_ID: Final = bytes(_SIZE)


def digest_of(text: str | bytes) -> bytes:
    """Sixteen bytes that stand for a text where only equality matters; a digest is its own."""
    if isinstance(text, bytes):
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def head_of(digest: bytes) -> int:
    """The first half of a digest as a number."""
    return int.from_bytes(digest[:8], sys.byteorder)


def tail_of(identifier: ObjectId) -> int:
    """The last four bytes of an id as a number."""
    return int.from_bytes(identifier.binary[8:], sys.byteorder)


def repeated(*columns: Iterable[int]) -> frozenset[int]:
    """The numbers but zero that occur more than once; none is negative or has above 64 bits."""
    rows = (number.to_bytes(8, "big") for number in chain(*columns) if number)
    return frozenset(
        int.from_bytes(one, "big") for one, other in pairwise(_ascending(rows)) if one == other
    )


class PackedSequence(Sequence[_T]):
    """A sequence whose items are made when they are asked for."""

    @abstractmethod
    def at(self, position: int) -> _T:
        """The item at a position that is there."""

    @overload
    def __getitem__(self, position: int) -> _T: ...
    @overload
    def __getitem__(self, position: slice) -> list[_T]: ...
    def __getitem__(self, position: int | slice) -> _T | list[_T]:
        if isinstance(position, slice):
            return [self.at(n) for n in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        return self.at(position % len(self))

    def __iter__(self) -> Iterator[_T]:
        return map(self.at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class IdColumn(PackedSequence[Any]):
    """Ids in order: ObjectIds packed, any others as they are.

    Attributes:
        others: Position to id, of those that are no ObjectIds.
    """

    def __init__(self, ids: Iterable[Any] = ()) -> None:
        self._packed = bytearray()
        self.others: dict[int, Any] = {}
        for identifier in ids:
            self.append(identifier)

    def append(self, identifier: Any) -> None:
        """Add an id at the end."""
        if type(identifier) is ObjectId:
            self._packed += identifier.binary
        else:
            self.others[len(self)] = identifier
            self._packed += _NO_ID

    def append_row(self, row: bytes) -> None:
        """Add a packed ObjectId at the end."""
        self._packed += row

    def row(self, position: int) -> bytes:
        """The packed id at a position."""
        return bytes(self._packed[position * _SIZE : (position + 1) * _SIZE])

    def rows(self) -> Iterator[bytes]:
        """The packed ids, zeros in place of those that are no ObjectIds."""
        return (row for (row,) in iter_unpack(f"{_SIZE}s", self._packed))

    def object_ids(self) -> Iterator[bytes]:
        """The packed ids of those that are ObjectIds."""
        others = self.others
        return (row for n, row in enumerate(self.rows()) if n not in others)

    def tails(self) -> array[int]:
        """The last four bytes of each as a number, see :func:`tail_of`."""
        return array("I", self._packed)[2::3]

    def __len__(self) -> int:
        return len(self._packed) // _SIZE

    def at(self, position: int) -> Any:
        """The id at a position."""
        if self.others and position in self.others:
            return self.others[position]
        start = position * _SIZE
        return ObjectId(bytes(self._packed[start : start + _SIZE]))


class TextColumn(PackedSequence[bytes | None]):
    """Digests of texts in order, with ``None`` where there is no text."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def append(self, text: str | bytes | None) -> None:
        """Add a text, or its digest, at the end."""
        self._packed += _ABSENT if text is None else digest_of(text)

    def heads(self) -> array[int]:
        """The first half of each digest as a number, see :func:`head_of`; zero where is none."""
        return array("Q", self._packed)[::2]

    def __len__(self) -> int:
        return len(self._packed) // _DIGEST

    def at(self, position: int) -> bytes | None:
        """The digest at a position."""
        start = position * _DIGEST
        found = bytes(self._packed[start : start + _DIGEST])
        return None if found == _ABSENT else found


class Interned(PackedSequence[_H], Generic[_H]):
    """Values in order of which few differ: each is kept once.

    Attributes:
        values: Those that differ, in the order in which they came first.
    """

    def __init__(self) -> None:
        self._codes = array("I")
        self._known: dict[_H, int] = {}
        self.values: list[_H] = []

    def append(self, value: _H) -> None:
        """Add a value at the end."""
        code = self._known.setdefault(value, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        self._codes.append(code)

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[_H]:
        return map(self.values.__getitem__, self._codes)

    def at(self, position: int) -> _H:
        """The value at a position."""
        return self.values[self._codes[position]]


class PackedIds(AbstractSet[ObjectId]):
    """A sorted set of ObjectIds."""

    def __init__(self, ids: Iterable[ObjectId] = ()) -> None:
        self._heads, self._tails = array("Q"), array("I")
        self._fill(identifier.binary for identifier in ids)

    @classmethod
    def of_rows(cls, rows: Iterable[bytes]) -> PackedIds:
        """The set of some packed ids."""
        found = cls()
        found._fill(rows)  # of this very class
        return found

    def _fill(self, rows: Iterable[bytes]) -> None:
        last = b""
        for row in _ascending(rows):
            if row != last:
                self.append_row(row)
                last = row

    def append(self, identifier: ObjectId) -> None:
        """Add an id that is greater than all that are there.

        Raises:
            ValueError: It is not.
        """
        if self._heads and self.at(len(self) - 1) >= identifier:
            raise ValueError(f"{identifier} does not come after the last one")
        self.append_row(identifier.binary)

    def append_row(self, row: bytes) -> None:
        """Add a packed id that comes after all that are there; whoever calls it knows."""
        head, tail = _HALVES.unpack(row)
        self._heads.append(head)
        self._tails.append(tail)

    def position(self, identifier: ObjectId) -> int:
        """Where an id stands in the order of all, -1 if it is not there."""
        head, tail = _HALVES.unpack(identifier.binary)
        heads, tails = self._heads, self._tails
        start = bisect_left(heads, head)
        if start == len(heads) or heads[start] != head:
            return -1
        end = bisect_right(heads, head, start)
        found = bisect_left(tails, tail, start, end)
        return found if found < end and tails[found] == tail else -1

    def at(self, position: int) -> ObjectId:
        """The id that stands there."""
        return ObjectId(_HALVES.pack(self._heads[position], self._tails[position]))

    def __contains__(self, identifier: object) -> bool:
        return isinstance(identifier, ObjectId) and self.position(identifier) >= 0

    def __iter__(self) -> Iterator[ObjectId]:
        return map(self.at, range(len(self._heads)))

    def __len__(self) -> int:
        return len(self._heads)


class PackedMapping(Mapping[ObjectId, _T]):
    """A mapping of ObjectIds, which are packed; values are made when they are asked for."""

    def __init__(self) -> None:
        self._keys = PackedIds()

    @abstractmethod
    def at(self, position: int) -> _T:
        """The value of the key that stands at a position of the sorted keys."""

    def __getitem__(self, key: ObjectId) -> _T:
        position = self._keys.position(key)
        if position < 0:
            raise KeyError(key)
        return self.at(position)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or a default."""
        position = self._keys.position(key)
        return default if position < 0 else self.at(position)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class PackedMap(PackedMapping[_T]):
    """ObjectIds to ObjectIds, or to values of which few differ; of equal keys the last counts.

    Args:
        rows: Packed keys, each with a packed id or another value.
    """

    def __init__(self, rows: Iterable[tuple[bytes, Any]] = ()) -> None:
        super().__init__()
        values = _Values()

        def numbered() -> Iterator[bytes]:
            for number, (key, value) in enumerate(rows):
                values.append(value)
                yield key + number.to_bytes(4, "big")

        self._order = array("I")
        last = b""
        for row in _ascending(numbered()):
            key, number = row[:_SIZE], int.from_bytes(row[_SIZE:], "big")
            if key == last:
                self._order[-1] = number
            else:
                self._keys.append_row(key)
                self._order.append(number)
            last = key
        self._values = values

    def at(self, position: int) -> _T:
        """The value of the key that stands at a position."""
        return cast(_T, self._values.at(self._order[position]))


class PackedGroups(PackedMapping[frozenset[ObjectId]]):
    """ObjectIds to sets of ObjectIds.

    Args:
        rows: Packed keys, each followed by a packed id of its set.
    """

    def __init__(self, rows: Iterable[bytes] = ()) -> None:
        super().__init__()
        self._members, self._ends = IdColumn(), array("I")
        last = b""
        for row in _ascending(rows):
            if row == last:
                continue
            if row[:_SIZE] != last[:_SIZE]:
                self._keys.append_row(row[:_SIZE])
                self._ends.append(len(self._members))
            self._members.append_row(row[_SIZE:])
            self._ends[-1] += 1
            last = row

    def at(self, position: int) -> frozenset[ObjectId]:
        """The set of the key that stands at a position."""
        start = self._ends[position - 1] if position else 0
        return frozenset(self._members[start : self._ends[position]])


class InAnyOf(Container[Any]):
    """What is in any of some sets, which are not put together.

    Args:
        sets: The sets.
    """

    def __init__(self, *sets: Container[Any]) -> None:
        self._sets = sets

    def __contains__(self, item: object) -> bool:
        return any(item in one for one in self._sets)


class _Values:
    """Values in order, ObjectIds packed and all others interned."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._others: Interned[Any] = Interned()

    def append(self, value: Any) -> None:
        packed = isinstance(value, bytes)
        self._packed += value if packed else _NO_ID
        self._others.append(None if packed else value)

    def at(self, position: int) -> Any:
        """The id at a position."""
        other = self._others.at(position)
        if other is not None:
            return other
        return ObjectId(bytes(self._packed[position * _SIZE : (position + 1) * _SIZE]))


def grouped(groups: Sequence[int], count: int) -> tuple[array[int], array[int]]:
    """Positions in the order of the groups they are in, and where each group ends among them.

    Args:
        groups: The group of each position.
        count: How many groups there are, numbered from zero.
    """
    ends = array("I", bytes(4 * count))
    for group in groups:
        ends[group] += 1
    for group in range(1, count):
        ends[group] += ends[group - 1]
    free = array("I", [0, *ends])
    order = array("I", bytes(4 * len(groups)))
    for position, group in enumerate(groups):
        order[free[group]] = position
        free[group] += 1
    return order, ends


def _ascending(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Rows of one length in ascending order.

    They are sorted a part at a time and then merged: a list of two million rows would take a
    hundred megabytes for a moment.
    """
    rest, runs, last = iter(rows), list[bytearray](), b""
    size = 1
    while part := sorted(islice(rest, _TOGETHER)):
        if not runs or part[0] < last:
            runs.append(bytearray())
        runs[-1] += b"".join(part)
        last, size = part[-1], len(part[-1])
    return merge(*[_cut(run, size) for run in runs])


def _cut(run: bytearray, size: int) -> Iterator[bytes]:
    return (bytes(run[at : at + size]) for at in range(0, len(run), size))
