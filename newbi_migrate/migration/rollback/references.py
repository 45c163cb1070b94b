"""Who refers to what a run created for users: asked before any of it is deleted."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from bson import ObjectId

from newbi_migrate.mapping.packed import IdColumn, PackedIds
from newbi_migrate.mapping.values import read_id
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.collections import collections
from newbi_migrate.store.decoding import documents_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.reading import matching, read_by_ids

__all__ = ["Readings", "References", "Released", "sessions_of"]

_ORGANIZATION_FIELDS: Final = ("organizationId", "referenceId")
"""Fields of Better Auth and its plugins that name an organization, beside the workspace's."""

# Read row by row below, or, like sessions, gone with the next sign-in.
_APART: Final = frozenset({"user", "account", "organization", "member", "session", "verification"})
_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "member": ("userId", "organizationId"),
    "account": ("userId",),
    "invitation": ("inviterId",),
}

References = dict[ObjectId, Counter[str]]
"""User or organization to the number of documents, by collection, that name it."""


class Released:
    """Workspaces that documents name now and will not name afterwards, packed."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[IdColumn, array[int]]] = {}

    def add(self, collection: str, workspace: ObjectId, number: int) -> None:
        """Add some documents of a collection that name the same workspace."""
        ids, numbers = self._found.setdefault(collection, (IdColumn(), array("q")))
        ids.append(workspace)
        numbers.append(number)

    def of(self, collection: str) -> Iterator[tuple[ObjectId, int]]:
        """The workspaces, each with a number of documents; a workspace may come again."""
        ids, numbers = self._found.get(collection, (IdColumn(), array("q")))
        return zip(ids, numbers, strict=True)


@dataclass(frozen=True, slots=True)
class Readings:
    """Reader of what refers to some organizations and users.

    Attributes:
        database: Where.
        organizations: Organizations that may be deleted.
        users: Users who may be deleted.
        going: Collection to the ids of documents that go with them and therefore do not count.
        workspace_field: The field that scopes a document.
        comment: Attached to every command.
    """

    database: Database
    organizations: PackedIds
    users: PackedIds
    going: Mapping[str, Container[Any]]
    workspace_field: str
    comment: str

    async def all(self, released: Iterable[Released]) -> References:
        """What refers to them, one pass over each collection.

        Args:
            released: What documents name now and will not name afterwards.
        """
        found: References = defaultdict(Counter)
        if not self.organizations and not self.users:
            return found
        fields = (self.workspace_field, *_ORGANIZATION_FIELDS)
        for name, info in (await collections(self.database, comment=self.comment)).items():
            if info.internal or info.kind == "view" or name in _APART:
                continue
            await self._count(name, fields, found, released)
        for name in _ROWS:
            rows = matching(self.database[name], {}, _ROWS[name], comment=self.comment)
            await self._add_rows(name, rows, found, self.going.get(name, ()))
        return found

    async def of_documents(self, collection: str, ids: Collection[Any]) -> References:
        """What some documents of a collection refer to, whether they go or not."""
        found: References = defaultdict(Counter)
        if collection in _ROWS:
            rows = read_by_ids(
                self.database[collection], ids, _ROWS[collection], comment=self.comment
            )
            await self._add_rows(collection, rows, found, ())
        return found

    async def _count(
        self,
        name: str,
        fields: tuple[str, ...],
        found: References,
        released: Iterable[Released],
    ) -> None:
        counts = array("q", bytes(8 * len(self.organizations)))
        async for groups in count_groups(self.database[name], fields, comment=self.comment):
            for group in groups:
                for organization in {read_id(value).value for value in group.stored.values()}:
                    if organization is None:
                        continue
                    position = self.organizations.position(organization)
                    if position >= 0:
                        counts[position] += group.count
        for one in released:
            for organization, number in one.of(name):
                position = self.organizations.position(organization)
                if position >= 0:
                    counts[position] -= number
        for position, number in enumerate(counts):
            if number > 0:
                found[self.organizations.at(position)][name] += number

    async def _add_rows(
        self,
        name: str,
        rows: AsyncIterator[bytes],
        found: References,
        going: Container[Any],
    ) -> None:
        async for row in documents_of(rows):
            if row["_id"] in going:
                continue
            named = {
                identifier
                for path in _ROWS[name]
                if (identifier := read_id(row.get(path)).value)
                in (self.organizations if path == "organizationId" else self.users)
            }
            for identifier in named - {None}:
                found[cast(ObjectId, identifier)][name] += 1


async def sessions_of(database: Database, users: PackedIds, *, comment: str) -> int:
    """How many sessions some users have; sessions are never written to."""
    if not users:
        return 0
    count = 0
    rows = matching(database["session"], {}, ("userId",), comment=comment)
    async for row in documents_of(rows):
        user = read_id(row.get("userId")).value
        # As the application refers to users: by their id, or by its digits.
        count += user in users and row["userId"] in (user, str(user))
    return count
