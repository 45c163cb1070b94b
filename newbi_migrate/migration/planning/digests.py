"""Digests of a plan that neither order nor windows change, and that add up.

Each thing that is to be written or quarantined contributes one 128-bit hash to the sum of its
section; what is kept contributes nothing. So what a plan still has to do and what a journal says
was done add up to the plan with which an interrupted run began. XXH3 finds accidents, not
forgeries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

import bson
from bson import ObjectId
from xxhash import xxh3_128_digest, xxh3_128_intdigest

from newbi_migrate.mapping.users import Insert, UserWrites
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.run.written import Written, written
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key, id_keys
from newbi_migrate.store.journal import UserWrite, digest_of_document

__all__ = [
    "INDEXES",
    "USERS",
    "Digests",
    "of_fill",
    "of_group",
    "of_index",
    "of_insert",
    "of_journal",
    "of_quarantined",
    "of_quarantined_user",
    "of_user",
    "of_written",
]

USERS: Final = "users"
"""Section of what is written to the Better Auth collections, and of quarantined legacy users."""

INDEXES: Final = "indexes"
"""Section of indexes that are created, and of those that cannot be."""

_MODULUS: Final = 2**128


class Digests:
    """A sum of hashes for each section of a plan.

    A section that sums up to nothing counts as absent.

    Args:
        sums: Section to its sum.
    """

    def __init__(self, sums: Mapping[str, int] | None = None) -> None:
        self._sums: dict[str, int] = {}
        for section, value in (sums or {}).items():
            self.add(section, value)

    def add(self, section: str, value: int) -> None:
        """Add to the sum of a section."""
        self._sums[section] = (self._sums.get(section, 0) + value) % _MODULUS

    def differing(self, other: Digests) -> list[str]:
        """The sections that differ, sorted by name."""
        names = self._sums.keys() | other._sums.keys()
        return sorted(n for n in names if self._sums.get(n, 0) != other._sums.get(n, 0))

    def __add__(self, other: Digests) -> Digests:
        total = Digests(self._sums)
        for section, value in other._sums.items():
            total.add(section, value)
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digests) and not self.differing(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Digests.from_json({self.to_json()})"

    def to_json(self) -> dict[str, str]:
        """The sums as 32 hexadecimal digits, by section."""
        return {section: f"{value:032x}" for section, value in sorted(self._sums.items()) if value}

    @classmethod
    def from_json(cls, sums: Mapping[str, str]) -> Self:
        """The digests from their JSON.

        Raises:
            ValueError: A sum is no hexadecimal number.
        """
        return cls({section: int(value, 16) for section, value in sums.items()})


def of_group(changes: Mapping[str, Any], ids: Sequence[Any]) -> int:
    """Sum of the hashes of documents that are changed in the same way.

    Args:
        changes: Field to the value that is written.
        ids: Their ids.
    """
    ordered = {name: changes[name] for name in sorted(changes)}
    return _of_ids(b"stamp\0" + bson.encode(ordered), ids)


def of_quarantined(reason: Reason, ids: Sequence[Any]) -> int:
    """Sum of the hashes of documents that are quarantined for the same reason.

    Args:
        reason: Why.
        ids: Their ids.
    """
    return _of_ids(b"quarantine\0" + reason.value.encode(), ids)


def of_quarantined_user(source: str, legacy_id: Any, reason: Reason) -> int:
    """Hash of a legacy user who is quarantined."""
    return _of("quarantine", source, id_key(legacy_id), reason.value)


def of_insert(collection: str, identifier: Any, digest: str) -> int:
    """Hash of a document that is created for a user.

    Args:
        collection: Where.
        identifier: Its ``_id``.
        digest: Digest of its bytes, as the journal has it.
    """
    return _of("insert", collection, id_key(identifier), digest)


def of_fill(collection: str, identifier: Any, values: Iterable[tuple[str, Any]]) -> int:
    """Hash of a document of which missing fields are filled.

    Args:
        collection: Where.
        identifier: Its ``_id``.
        values: Pairs of dotted path and new value.
    """
    pairs = sorted(([path, value] for path, value in values), key=lambda pair: str(pair[0]))
    return _of("fill", collection, id_key(identifier), pairs)


def of_user(writes: UserWrites, source: str) -> int:
    """Sum of the hashes of all that is written for a legacy user, or of their quarantine.

    Args:
        writes: What is written.
        source: Name of the legacy users' collection.
    """
    if writes.decision.reason is not None:
        return of_quarantined_user(source, writes.decision.legacy_id, writes.decision.reason)
    total = 0
    for write in writes.writes:
        if isinstance(write, Insert):
            digest = digest_of_document(bson.encode(write.document))
            total += of_insert(write.collection, write.document["_id"], digest)
        else:
            total += of_fill(write.collection, write.id, write.values.items())
    return total


def of_index(collection: str, name: str, action: str = "create") -> int:
    """Hash of an index that is created, or, by another action, of one that cannot be."""
    return _of("index", collection, name, action)


async def of_journal(database: Database, run_id: ObjectId) -> Digests:
    """Digests of what a run has written.

    Args:
        database: Where.
        run_id: The run.

    Raises:
        DamagedRecordsError: An entry is missing, or is not what this tool writes.
    """
    found = Digests()
    async for part in written(database, run_id):
        found += of_written(part)
    return found


def of_written(part: Written) -> Digests:
    """Digests of a part of what a run has written."""
    found = Digests()
    for group in part.groups:
        found.add(part.collection, of_group(group.changes, group.ids))
    for write in part.writes:
        found.add(USERS, _of_write(write))
    for name in part.indexes:
        found.add(INDEXES, of_index(part.collection, name))
    return found


def _of_write(write: UserWrite) -> int:
    if write.inserts:
        return of_insert(write.collection, write.id, write.digest)
    return of_fill(write.collection, write.id, write.values.items())


def _of(*parts: Any) -> int:
    return int(xxh3_128_intdigest(bson.encode({"": list(parts)})))


def _of_ids(what: bytes, ids: Sequence[Any]) -> int:
    # A hash for each document, and not one for all of them: ids come in any portions.
    prefix = xxh3_128_digest(what)
    return sum([xxh3_128_intdigest(prefix + key) for key in id_keys(ids)]) % _MODULUS
