"""Ids by the million in little memory: columns, sets, maps and groups of packed ObjectIds.

An ObjectId as an object takes ninety bytes, and a place in a set forty more; packed it takes
twelve. What is sorted is found by bisection, in a microsecond or two.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from hashlib import blake2b
from itertools import pairwise
from struct import Struct
from typing import Any, Final, Generic, TypeVar, cast, overload

from bson import ObjectId

__all__ = [
    "IdColumn",
    "Interned",
    "PackedGroups",
    "PackedIds",
    "PackedMap",
    "PackedSequence",
    "TextColumn",
    "digest_of",
    "hashes_of",
    "repeated",
]

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Hashable)

_SIZE: Final = 12
# An ObjectId in the order of its bytes, as two numbers that an array can hold.
_HALVES: Final = Struct(">QI")
_DIGEST: Final = 16
_ABSENT: Final = bytes(_DIGEST)


def digest_of(text: str) -> bytes:
    """Sixteen bytes that stand for a text where only equality matters."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def hashes_of(values: Iterable[Hashable | None]) -> array[int]:
    """The sorted hashes of the values that are there."""
    return array("q", sorted(array("q", (hash(v) for v in values if v is not None))))


def repeated(values: Iterable[Hashable | None]) -> frozenset[int]:
    """The hashes of values that occur more than once, and of few others if any.

    Values that are unique among a million are told apart without holding them.
    """
    return frozenset(one for one, other in pairwise(hashes_of(values)) if one == other)


class PackedSequence(Sequence[_T]):
    """A sequence whose items are made when they are asked for."""

    @abstractmethod
    def _at(self, position: int) -> _T:
        """The item at a position that is there."""

    @overload
    def __getitem__(self, position: int) -> _T: ...
    @overload
    def __getitem__(self, position: slice) -> list[_T]: ...
    def __getitem__(self, position: int | slice) -> _T | list[_T]:
        if isinstance(position, slice):
            return [self._at(n) for n in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        return self._at(position % len(self))

    def __iter__(self) -> Iterator[_T]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class IdColumn(PackedSequence[Any]):
    """Ids in order: ObjectIds packed, any others as they are."""

    def __init__(self, ids: Iterable[Any] = ()) -> None:
        self._packed = bytearray()
        self.others: dict[int, Any] = {}
        for identifier in ids:
            self.append(identifier)

    def append(self, identifier: Any) -> None:
        """Adds an id at the end."""
        if type(identifier) is ObjectId:
            self._packed += identifier.binary
        else:
            self.others[len(self)] = identifier
            self._packed += bytes(_SIZE)

    def object_ids(self) -> Iterator[ObjectId]:
        """Those that are ObjectIds."""
        return (self._object_id(n) for n in range(len(self)) if n not in self.others)

    def __len__(self) -> int:
        return len(self._packed) // _SIZE

    def _at(self, position: int) -> Any:
        if position in self.others:
            return self.others[position]
        return self._object_id(position)

    def _object_id(self, position: int) -> ObjectId:
        start = position * _SIZE
        return ObjectId(bytes(self._packed[start : start + _SIZE]))


class TextColumn(PackedSequence[bytes | None]):
    """Digests of texts in order, with ``None`` where there is no text."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def append(self, text: str | bytes | None) -> None:
        """Adds a text, or its digest, at the end."""
        self._packed += _ABSENT if text is None else _as_digest(text)

    def __len__(self) -> int:
        return len(self._packed) // _DIGEST

    def _at(self, position: int) -> bytes | None:
        start = position * _DIGEST
        found = bytes(self._packed[start : start + _DIGEST])
        return None if found == _ABSENT else found


class Interned(PackedSequence[_H], Generic[_H]):
    """Values in order of which few differ: each is kept once."""

    def __init__(self) -> None:
        self._codes = array("I")
        self._known: dict[_H, int] = {}
        self.values: list[_H] = []

    def append(self, value: _H) -> None:
        """Adds a value at the end."""
        code = self._known.setdefault(value, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        self._codes.append(code)

    def __len__(self) -> int:
        return len(self._codes)

    def _at(self, position: int) -> _H:
        return self.values[self._codes[position]]


class PackedIds(AbstractSet[ObjectId]):
    """A sorted set of ObjectIds."""

    def __init__(self, ids: Iterable[ObjectId] = ()) -> None:
        self._heads, self._tails = array("Q"), array("I")
        last = b""
        for binary in _ascending(identifier.binary for identifier in ids):
            if binary != last:
                self._add(binary)
                last = binary

    def append(self, identifier: ObjectId) -> None:
        """Adds an id that is greater than all that are there.

        Raises:
            ValueError: It is not.
        """
        if self._heads and self.at(len(self) - 1) >= identifier:
            raise ValueError(f"{identifier} does not come after the last one")
        self._add(identifier.binary)

    def _add(self, binary: bytes) -> None:
        head, tail = _HALVES.unpack(binary)
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


class PackedMap(Mapping[ObjectId, _T]):
    """ObjectIds to ObjectIds, or to values of which few differ; of equal keys the last counts.

    Args:
        pairs: Keys and values.
    """

    def __init__(self, pairs: Iterable[tuple[ObjectId, _T]] = ()) -> None:
        keys, values = IdColumn(), _Values()

        def rows() -> Iterator[bytes]:
            for number, (key, value) in enumerate(pairs):
                values.append(value)
                yield key.binary + number.to_bytes(4, "big")

        order, last = array("I"), b""
        for row in _ascending(rows()):
            key, number = row[:_SIZE], int.from_bytes(row[_SIZE:], "big")
            if key == last:
                order[-1] = number
            else:
                keys.append(ObjectId(key))
                order.append(number)
            last = key
        self._keys = PackedIds(keys)
        self._values = values
        self._order = order

    def __getitem__(self, key: ObjectId) -> _T:
        position = self._keys.position(key)
        if position < 0:
            raise KeyError(key)
        return cast(_T, self._values[self._order[position]])

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or a default."""
        position = self._keys.position(key)
        return default if position < 0 else self._values[self._order[position]]

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class PackedGroups(Mapping[ObjectId, frozenset[ObjectId]]):
    """ObjectIds to sets of ObjectIds.

    Args:
        pairs: Keys, each with a member of its set.
    """

    def __init__(self, pairs: Iterable[tuple[ObjectId, ObjectId]] = ()) -> None:
        keys, self._members, self._ends = IdColumn(), IdColumn(), array("I")
        last = b""
        for row in _ascending(key.binary + member.binary for key, member in pairs):
            if row == last:
                continue
            if row[:_SIZE] != last[:_SIZE]:
                keys.append(ObjectId(row[:_SIZE]))
                self._ends.append(len(self._members))
            self._members.append(ObjectId(row[_SIZE:]))
            self._ends[-1] += 1
            last = row
        self._keys = PackedIds(keys)

    def __getitem__(self, key: ObjectId) -> frozenset[ObjectId]:
        position = self._keys.position(key)
        if position < 0:
            raise KeyError(key)
        start = self._ends[position - 1] if position else 0
        return frozenset(self._members[start : self._ends[position]])

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Values:
    """Values in order, ObjectIds packed and all others interned."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._others: Interned[Any] = Interned()

    def append(self, value: Any) -> None:
        packed = type(value) is ObjectId
        self._packed += value.binary if packed else bytes(_SIZE)
        self._others.append(None if packed else value)

    def __getitem__(self, position: int) -> Any:
        other = self._others[position]
        if other is not None:
            return other
        return ObjectId(bytes(self._packed[position * _SIZE : (position + 1) * _SIZE]))


def _ascending(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Rows of one length in ascending order; those that are so already need no list of them."""
    buffer, last, size, sorted_already = bytearray(), b"", 0, True
    for row in rows:
        sorted_already = sorted_already and last <= row
        buffer += row
        last, size = row, len(row)
    slices = (bytes(buffer[at : at + size]) for at in range(0, len(buffer), size or 1))
    return slices if sorted_already else iter(sorted(slices))


def _as_digest(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else digest_of(text)
