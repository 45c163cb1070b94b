"""The user plane: legacy users read, decided and written in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import bson
from bson import ObjectId

from newbi_migrate.errors import DatabaseMovedOnError
from newbi_migrate.mapping.decisions import (
    Decisions,
    LegacyKey,
    LegacyKeys,
    Memberships,
    Slugs,
    Target,
    TargetUser,
    TargetUsers,
    UserDecision,
)
from newbi_migrate.mapping.email import normalise_email
from newbi_migrate.mapping.packed import digest_of
from newbi_migrate.mapping.users import (
    CHANGED_MEANWHILE,
    Existing,
    Finding,
    Insert,
    SetMissing,
    UserWrites,
    writes_for,
)
from newbi_migrate.mapping.values import is_missing, read_id
from newbi_migrate.mapping.workspace import Membership, roles_of
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.planning.people import USER_FIELDS, TargetOddities
from newbi_migrate.migration.planning.results import UserLine
from newbi_migrate.migration.run.accounted import filled_before
from newbi_migrate.store.decoding import decode, decode_element, decoded, documents_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import MAX_PRIOR_BYTES
from newbi_migrate.store.raw import MAX_DOCUMENT_BYTES, Element, element_at, has_room_at
from newbi_migrate.store.reading import matching, scan
from newbi_migrate.store.runs import RunRecord, read_runs

__all__ = ["USER_BATCH", "UserPlane", "line_of"]

USER_BATCH: Final = 200
"""Legacy users read, journaled and written at once."""

# A document with a shorter picture surely has room, and is not encoded to measure it.
_LARGE_PICTURE: Final = 2**16

# An ObjectId as Extended JSON writes it, and text of upper and lower case: of either few or none.
_ODD_USER_ID: Final[Mapping[str, Any]] = {
    "$or": [
        {"userId": {"$type": "object"}},
        {"userId": {"$regex": r"\A(?=.*[a-f])(?=.*[A-F])[0-9a-fA-F]{24}\z"}},
    ]
}


@dataclass(frozen=True, slots=True)
class _Facts:
    users: Mapping[ObjectId, Mapping[str, Any]]
    accounts: Mapping[ObjectId, tuple[Mapping[str, Any], ...]]
    organizations: Mapping[ObjectId, Mapping[str, Any]]
    members: frozenset[tuple[ObjectId, ObjectId]]
    raw: Mapping[tuple[str, bytes], bytes]


class UserPlane:
    """Reader of legacy users and the Better Auth collections.

    Args:
        database: Where.
        source: Name of the legacy users' collection.
        comment: Attached to every command.
    """

    def __init__(self, database: Database, source: str, *, comment: str) -> None:
        self._database = database
        self._source = source
        self._comment = comment

    async def keys(self) -> LegacyKeys:
        """The key of every legacy user, in the order of their ids."""
        found = LegacyKeys()
        async for document, readable in self._documents():
            found.append(LegacyKey.of(document, readable=readable))
        return found

    async def target(self) -> tuple[Target, TargetOddities]:
        """What the Better Auth collections hold, and what is odd about it."""
        odd = TargetOddities(self._find)
        users = TargetUsers()
        unusable: set[bytes] = set()
        async for document in self._find("user", USER_FIELDS):
            odd.user(document)
            user = TargetUser.of(document)
            if user is not None:
                users.append(user)
                continue
            email = normalise_email(document.get("email"))
            if email is not None:
                unusable.add(digest_of(email))
        organizations = Slugs()
        async for document in self._find("organization", ("slug",)):
            odd.organization(document)
            if isinstance(document["_id"], ObjectId):
                slug = document.get("slug")
                organizations.append(document["_id"], slug if isinstance(slug, str) else None)
        memberships = Memberships()
        async for document in self._find("member", ("organizationId", "userId", "role")):
            organization, user_id = document.get("organizationId"), document.get("userId")
            if not isinstance(organization, ObjectId) or not isinstance(user_id, ObjectId):
                # The application looks memberships up by ObjectId and does not see these.
                odd.unusable_member(document)
                continue
            roles = roles_of(document.get("role"))
            if "owner" in roles:
                odd.owner(organization, user_id)
            if organization not in organizations:
                odd.member_of_nothing(document["_id"], organization, user_id)
                continue
            memberships.append(Membership(organization, user_id, roles))
        return Target(users, organizations, memberships, frozenset(unusable)), odd

    async def writes(self, decisions: Decisions) -> AsyncIterator[list[UserWrites]]:
        """What is written for the legacy users, and nothing for somebody who is gone by now.

        Args:
            decisions: What was decided about them before.

        Raises:
            DatabaseMovedOnError: One of them was deleted since, or the user or organization that
                they were to get. Nobody may get the workspace of somebody for whom none is made.
        """
        seen = 0
        async for batch in self._batches(decisions):
            for finding in (finding for writes in batch for finding in writes.findings):
                if finding.code == CHANGED_MEANWHILE:
                    raise _moved_on(
                        "A legacy user cannot be migrated as planned: their "
                        f"{finding.collection} {shown_id(finding.id)} was deleted meanwhile.",
                        finding.collection,
                    )
            seen += len(batch)
            yield batch
        if seen < len(decisions):
            raise _moved_on(
                f"Legacy users were deleted from {self._source} before they were migrated: "
                f"{len(decisions) - seen:,}.",
                self._source,
            )

    async def _batches(self, decisions: Decisions) -> AsyncIterator[list[UserWrites]]:
        """What is written for the legacy users, a batch of them at a time."""
        runs = await read_runs(self._database)
        odd_accounts = await self._odd_accounts()
        batch: list[tuple[Mapping[str, Any], UserDecision]] = []
        async for document, _ in self._documents():
            position = decisions.position(document.get("_id"))
            if position < 0:
                # They have come since.
                continue
            batch.append((document, decisions[position]))
            if len(batch) >= USER_BATCH:
                yield await self._batch(batch, runs, odd_accounts)
                batch = []
        if batch:
            yield await self._batch(batch, runs, odd_accounts)

    async def _batch(
        self,
        batch: Sequence[tuple[Mapping[str, Any], UserDecision]],
        runs: Sequence[RunRecord],
        odd_accounts: Mapping[ObjectId, Sequence[Any]],
    ) -> list[UserWrites]:
        facts = await self._facts([decision for _, decision in batch], odd_accounts)
        users = {d.legacy_id: d.user_id for _, d in batch if d.user_id is not None}
        before = await filled_before(self._database, runs, users)
        return [self._written(document, decision, facts, before) for document, decision in batch]

    def _written(
        self,
        document: Mapping[str, Any],
        decision: UserDecision,
        facts: _Facts,
        filled: Container[Any],
    ) -> UserWrites:
        user_id, workspace = decision.user_id, decision.workspace
        existing = Existing()
        if user_id is not None:
            existing = Existing(
                user=facts.users.get(user_id),
                accounts=facts.accounts.get(user_id, ()),
                organization=None if workspace is None else facts.organizations.get(workspace),
                is_member=workspace is not None and (workspace, user_id) in facts.members,
                user_filled=(decision.legacy_id, "user") in filled,
                organization_filled=(decision.legacy_id, "organization") in filled,
            )
        return _as_stored(writes_for(document, decision, existing, source=self._source), facts.raw)

    async def _odd_accounts(self) -> dict[ObjectId, list[Any]]:
        """User to the ids of accounts that name them in a form that the usual query misses."""
        found: dict[ObjectId, list[Any]] = defaultdict(list)
        async for account in documents_of(
            matching(self._database["account"], _ODD_USER_ID, ("userId",), comment=self._comment)
        ):
            owner = read_id(account.get("userId")).value
            if owner is not None:
                found[owner].append(account["_id"])
        return found

    async def _facts(
        self, decisions: Iterable[UserDecision], odd_accounts: Mapping[ObjectId, Sequence[Any]]
    ) -> _Facts:
        users = [d.user_id for d in decisions if d.user_id is not None]
        workspaces = [d.workspace for d in decisions if d.workspace is not None]
        raw: dict[tuple[str, bytes], bytes] = {}

        async def read(name: str, field: str, wanted: Sequence[Any]) -> list[Mapping[str, Any]]:
            found: list[Mapping[str, Any]] = []
            query = {field: {"$in": wanted}}
            async for stored in scan(self._database[name], query, comment=self._comment):
                document, _ = decode(stored)
                raw[name, id_key(document["_id"])] = stored
                found.append(document)
            return found

        accounts: dict[ObjectId, list[Mapping[str, Any]]] = defaultdict(list)
        # An account that names its user otherwise is no use to sign in, and still in the way.
        texts = [form(str(user)) for user in users for form in (str.lower, str.upper)]
        odd = [account for user in users for account in odd_accounts.get(user, ())]
        found = await read("account", "userId", [*users, *texts])
        if odd:
            found += await read("account", "_id", odd)
        for document in found:
            owner = read_id(document.get("userId")).value
            if owner is not None:
                accounts[owner].append(document)
        return _Facts(
            users={d["_id"]: d for d in await read("user", "_id", users)},
            accounts={user: tuple(found) for user, found in accounts.items()},
            organizations={d["_id"]: d for d in await read("organization", "_id", workspaces)},
            members=frozenset(
                [
                    (d["organizationId"], d["userId"])
                    async for d in self._find(
                        "member", ("organizationId", "userId"), {"userId": {"$in": users}}
                    )
                    # The query also finds lists that contain the id.
                    if isinstance(d.get("organizationId"), ObjectId)
                    and isinstance(d.get("userId"), ObjectId)
                ]
            ),
            raw=raw,
        )

    def _documents(self) -> AsyncIterator[tuple[dict[str, Any], bool]]:
        return decoded(scan(self._database[self._source], comment=self._comment))

    def _find(
        self, collection: str, fields: Sequence[str], query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        found = scan(self._database[collection], query, fields, comment=self._comment)
        return documents_of(found)


def _as_stored(writes: UserWrites, raw: Mapping[tuple[str, bytes], bytes]) -> UserWrites:
    """The writes that find room, with what the filled fields hold as type and bytes.

    Decoded, an undefined is a null and a symbol a string, and of two fields of one name the last
    counts. An update sets the first one: where that says something, nothing is filled. Nor is
    what would make the document too large, or the entry of the journal that holds all of it.
    """
    exact: list[Insert | SetMissing] = []
    findings = list(writes.findings)
    room = MAX_PRIOR_BYTES
    for write in writes.writes:
        if not isinstance(write, SetMissing):
            exact.append(_with_room(write, findings))
            continue
        document = raw[write.collection, id_key(write.id)]
        values: dict[str, Any] = {}
        stored: dict[str, Element] = {}
        for path, value in write.values.items():
            found = element_at(document, path)
            if not has_room_at(document, path) or not _says_nothing(found):
                findings.append(Finding("conflict", write.collection, write.id, path))
                continue
            size = len(bson.encode({path: value})) + (0 if found is None else len(found[1]))
            # One number for two limits: the entry of the journal holds all that is filled for a
            # user, and what is filled into one document is part of that.
            if len(document) + size > room:
                findings.append(Finding("no-room", write.collection, write.id, path))
                continue
            room -= size
            values[path] = value
            if found is not None:
                stored[path] = found
        if values:
            prior = {path: write.prior.get(path) for path in stored}
            exact.append(replace(write, values=values, prior=prior, stored=stored))
    return replace(writes, writes=tuple(exact), findings=tuple(findings))


def _with_room(insert: Insert, findings: list[Finding]) -> Insert:
    """The document without a copy of the legacy picture with which it would be too large."""
    picture = insert.document.get("image")
    if not isinstance(picture, str) or len(picture) < _LARGE_PICTURE:
        return insert
    document = dict(insert.document)
    for name in ("avatar", "image"):
        if name in document and len(bson.encode(document)) > MAX_DOCUMENT_BYTES:
            del document[name]
            findings.append(Finding("no-room", insert.collection, document["_id"], name))
    return Insert(insert.collection, document)


def _says_nothing(found: Element | None) -> bool:
    return found is None or is_missing(decode_element(found))


def line_of(writes: UserWrites) -> UserLine:
    """The line of a plan that says what is written for a user."""
    fills: dict[str, int] = defaultdict(int)
    creates: dict[str, ObjectId] = {}
    for write in writes.writes:
        if isinstance(write, Insert):
            creates[write.collection] = write.document["_id"]
        elif isinstance(write, SetMissing):
            fills[write.collection] += len(write.values)
    return UserLine.of(writes.decision, creates, dict(fills))


def _moved_on(what: str, collection: str) -> DatabaseMovedOnError:
    return DatabaseMovedOnError(
        what,
        next_step="Run the same command again: it works with what is there now. To undo what a "
        "run has written: newbi-migrate rollback.",
        collection=collection,
    )
