"""What a run created for users and is still there, packed: some hundred and fifty bytes a user.

All that was created for one legacy user is a unit, which goes or stays as a whole.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.mapping.packed import IdColumn, PackedIds, PackedSequence, grouped
from newbi_migrate.migration.rollback.results import ConflictKind
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.user_documents import BACKWARDS

__all__ = ["CreatedDocument", "Going", "IdSet", "Unit", "Units"]

_DIGEST: Final = 8

Changes = tuple[tuple[ConflictKind, str], ...]


@dataclass(frozen=True, slots=True)
class CreatedDocument:
    """A document the run created and that is still there.

    Attributes:
        collection: Where.
        id: Its ``_id``.
        digest: Digest of it as it stands.
        changed: In what way it is no longer as it was written: kind and field.
    """

    collection: str
    id: Any
    digest: bytes
    changed: Changes = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """What the run created for one legacy user, as far as it is still there."""

    legacy_id: Any
    created: list[CreatedDocument] = field(default_factory=list)


class IdSet:
    """Ids of any type, the ObjectIds packed."""

    def __init__(self, ids: IdColumn) -> None:
        self.packed = PackedIds.of_rows(ids.object_ids())
        self._others = frozenset(map(id_key, ids.others.values()))

    def __contains__(self, identifier: object) -> bool:
        if type(identifier) is ObjectId:
            return identifier in self.packed
        return bool(self._others) and id_key(identifier) in self._others


class _Numbers:
    """Numbers of ids in the order in which they come first: a hash table of four bytes a slot."""

    def __init__(self) -> None:
        self.ids = IdColumn()
        self._slots = array("I", bytes(4 * 64))
        self._others: dict[bytes, int] = {}

    def find(self, identifier: Any) -> int | None:
        """The number of an id."""
        if type(identifier) is not ObjectId:
            return self._others.get(id_key(identifier))
        found = self._slots[self._slot(identifier.binary)]
        return found - 1 if found else None

    def add(self, identifier: Any) -> int:
        """The number of an id, which may be a new one."""
        known = self.find(identifier)
        if known is not None:
            return known
        self.ids.append(identifier)
        number = len(self.ids)
        if type(identifier) is not ObjectId:
            self._others[id_key(identifier)] = number - 1
        else:
            self._slots[self._slot(identifier.binary)] = number
            if 3 * number > 2 * len(self._slots):
                self._grow()
        return number - 1

    def _slot(self, row: bytes) -> int:
        mask = len(self._slots) - 1
        slot = hash(row) & mask
        while (found := self._slots[slot]) and self.ids.row(found - 1) != row:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        self._slots = array("I", bytes(8 * len(self._slots)))
        for number, row in enumerate(self.ids.rows(), 1):
            if number - 1 not in self.ids.others:
                self._slots[self._slot(row)] = number


class Units:
    """The units of a run, numbered in the order in which they are found."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        # Of each document: its unit, its collection, its id, its digest.
        self._units, self._collections = array("I"), array("B")
        self._ids, self._digests = IdColumn(), bytearray()
        self._changed: dict[int, Changes] = {}
        self._ends: array[int] | None = None
        self._rows = array("I")

    def find(self, legacy_id: Any, collection: str, identifier: Any, among: int) -> int | None:
        """The position of a document that was added already.

        Args:
            legacy_id: Whose it is.
            collection: Where.
            identifier: Its ``_id``.
            among: Looked for in the first units alone, so many of them.
        """
        number = self._numbers.find(legacy_id)
        if number is None or number >= among:
            return None
        code, key, start = BACKWARDS.index(collection), id_key(identifier), 0
        while True:
            try:
                row = self._units.index(number, start)
            except ValueError:
                return None
            if self._collections[row] == code and id_key(self._ids.at(row)) == key:
                return row
            start = row + 1

    def add(self, legacy_id: Any, document: CreatedDocument) -> None:
        """Add a document of a legacy user."""
        number = self._numbers.add(legacy_id)
        if document.changed:
            self._changed[len(self._units)] = document.changed
        self._units.append(number)
        self._collections.append(BACKWARDS.index(document.collection))
        self._ids.append(document.id)
        self._digests += document.digest
        self._ends = None

    def unchanged(self, row: int) -> None:
        """Say that a document is as it was written after all."""
        self._changed.pop(row, None)

    def changed(self) -> list[int]:
        """The units of which somebody changed a document, in order."""
        return sorted({self._units[row] for row in self._changed})

    def ids(self, collection: str, going: Going) -> IdColumn:
        """The ids of the documents in a collection that go."""
        code, found = BACKWARDS.index(collection), IdColumn()
        rows = zip(self._units, self._collections, self._ids.rows(), strict=True)
        for position, (number, at, row) in enumerate(rows):
            if at == code and going.includes(number):
                if position in self._ids.others:
                    found.append(self._ids.others[position])
                else:
                    found.append_row(row)
        return found

    def counts(self, going: Going) -> Counter[str]:
        """How many documents go, by collection."""
        found = Counter(
            code
            for number, code in zip(self._units, self._collections, strict=True)
            if going.includes(number)
        )
        return Counter({BACKWARDS[code]: number for code, number in found.items()})

    def owners(self, ids: Collection[ObjectId]) -> dict[ObjectId, int]:
        """The units to which some organizations and users belong, by their ids."""
        wanted = {identifier.binary for identifier in ids}
        if not wanted:
            return {}
        named = (BACKWARDS.index("organization"), BACKWARDS.index("user"))
        rows = zip(self._units, self._collections, self._ids.rows(), strict=True)
        return {ObjectId(row): n for n, at, row in rows if at in named and row in wanted}

    def at(self, number: int) -> Unit:
        """A unit, by its number."""
        if self._ends is None:
            self._rows, self._ends = grouped(self._units, len(self))
        start = self._ends[number - 1] if number else 0
        unit = Unit(self._numbers.ids.at(number))
        for row in self._rows[start : self._ends[number]]:
            unit.created.append(
                CreatedDocument(
                    BACKWARDS[self._collections[row]],
                    self._ids.at(row),
                    bytes(self._digests[row * _DIGEST : (row + 1) * _DIGEST]),
                    self._changed.get(row, ()),
                )
            )
        return unit

    def __len__(self) -> int:
        return len(self._numbers.ids)


class Going(PackedSequence[Unit]):
    """The units that can go, in order.

    Args:
        units: All units.
        staying: Numbers of those that stay whatever is found out.
    """

    def __init__(self, units: Units, staying: Iterable[int] = ()) -> None:
        self._units = units
        self._flags = bytearray(b"\1" * len(units))
        self._numbers: Sequence[int] | None = None
        for number in staying:
            self.keep(number)

    def keep(self, number: int) -> None:
        """Keep a unit."""
        self._flags[number] = 0
        self._numbers = None

    def includes(self, number: int) -> bool:
        """Whether a unit can go."""
        return self._flags[number] == 1

    def at(self, position: int) -> Unit:
        """The unit at a position among those that go."""
        return self._units.at(self._going()[position])

    def __len__(self) -> int:
        return sum(self._flags)

    def __iter__(self) -> Iterator[Unit]:
        return map(self._units.at, self._going())

    def _going(self) -> Sequence[int]:
        if self._numbers is None:
            self._numbers = array("I", (n for n, flag in enumerate(self._flags) if flag))
        return self._numbers
