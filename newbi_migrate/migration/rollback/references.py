"""Who refers to an organization or a user that a run created: asked before either is deleted.

It changes when Better Auth or the application refers to organizations by another field.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.mapping.values import read_id
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import EXACT
from newbi_migrate.store.decoding import decoded

__all__ = ["References", "read_references", "sessions_of"]

_ORGANIZATION_FIELDS: Final = ("organizationId", "referenceId")
"""Fields of Better Auth and its plugins that name an organization, beside the workspace's."""

# Read row by row below, or, like sessions, gone with the next sign-in.
_APART: Final = frozenset({"user", "account", "organization", "member", "session", "verification"})
_IDS_IN_ONE_QUERY: Final = 10_000


@dataclass(slots=True)
class References:
    """What refers to organizations and users.

    Attributes:
        organizations: Organization to the number of documents, by collection, that name it.
        inviters: User to the number of invitations he sent.
        members: User or organization to the ids of the memberships that name it.
        accounts: User to the ids of the accounts that name him.
    """

    organizations: dict[ObjectId, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    inviters: Counter[ObjectId] = field(default_factory=Counter)
    members: dict[ObjectId, list[Any]] = field(default_factory=lambda: defaultdict(list))
    accounts: dict[ObjectId, list[Any]] = field(default_factory=lambda: defaultdict(list))


async def read_references(
    database: AsyncDatabase[dict[str, Any]],
    *,
    organizations: Collection[ObjectId],
    users: Collection[ObjectId],
    workspace_field: str,
    comment: str,
) -> References:
    """Reads what refers to some organizations and users, one pass over each collection.

    Args:
        database: Where.
        organizations: Organizations that may be deleted.
        users: Users who may be deleted.
        workspace_field: The field that scopes a document.
        comment: Attached to every command.
    """
    found = References()
    if not organizations and not users:
        return found
    fields = (workspace_field, *_ORGANIZATION_FIELDS)
    for name, info in (await collections(database, comment=comment)).items():
        if info.internal or info.kind == "view" or name in _APART:
            continue
        cursor = await database[name].aggregate_raw_batches(
            [
                {"$match": {"$or": [{path: {"$exists": True}} for path in fields]}},
                {"$group": {"_id": {path: f"${path}" for path in fields}, "n": {"$sum": 1}}},
            ],
            allowDiskUse=True,
            collation=EXACT,
            comment=comment,
        )
        async for group, _ in decoded(cursor):
            named = {read_id(value).value for value in group["_id"].values()}
            for organization in named & set(organizations):
                if organization is not None:
                    found.organizations[organization][name] += group["n"]
    await _rows(database, found, organizations, users, comment)
    return found


async def _rows(
    database: AsyncDatabase[dict[str, Any]],
    found: References,
    organizations: Collection[ObjectId],
    users: Collection[ObjectId],
    comment: str,
) -> None:
    async def rows(name: str, *fields: str) -> AsyncIterator[dict[str, Any]]:
        cursor = database[name].find_raw_batches({}, fields, batch_size=1000, comment=comment)
        async for row, _ in decoded(cursor):
            yield row

    async for row in rows("member", "userId", "organizationId"):
        user = _one_of(users, row.get("userId"))
        organization = _one_of(organizations, row.get("organizationId"))
        for named in {user, organization} - {None}:
            found.members[cast(ObjectId, named)].append(row["_id"])
    async for row in rows("account", "userId"):
        owner = _one_of(users, row.get("userId"))
        if owner is not None:
            found.accounts[owner].append(row["_id"])
    async for row in rows("invitation", "inviterId"):
        inviter = _one_of(users, row.get("inviterId"))
        if inviter is not None:
            found.inviters[inviter] += 1


def _one_of(wanted: Collection[ObjectId], value: object) -> ObjectId | None:
    identifier = read_id(value).value
    return identifier if identifier in wanted else None


async def sessions_of(
    database: AsyncDatabase[dict[str, Any]], users: Collection[ObjectId], *, comment: str
) -> int:
    """How many sessions some users have; sessions are never written to."""
    count = 0
    everyone: list[Any] = [form for user in users for form in (user, str(user))]
    for start in range(0, len(everyone), _IDS_IN_ONE_QUERY):
        part: Mapping[str, Any] = {"$in": everyone[start : start + _IDS_IN_ONE_QUERY]}
        count += await database["session"].count_documents({"userId": part}, comment=comment)
    return count
