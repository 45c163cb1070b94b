"""Reading who is who, for a validation: legacy users and Better Auth's collections, field by field.

Password hashes are reduced to keyed digests as they are read, so that none is held, compared or
printed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from bson import ObjectId

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.account import password_kind
from newbi_migrate.mapping.decisions import (
    LegacyKey,
    LegacyKeys,
    Outcome,
    UserDecision,
    decide_users,
    workspaces_now,
)
from newbi_migrate.mapping.email import is_accepted
from newbi_migrate.mapping.users import barred_by
from newbi_migrate.mapping.values import legacy_flag
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.users import UserPlane
from newbi_migrate.migration.validation.people_rules import (
    AccountFact,
    MemberFact,
    OrganizationFact,
    People,
    UserFact,
)
from newbi_migrate.progress import Progress
from newbi_migrate.store.counting import estimated_count
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.reading import scan

__all__ = ["PeopleReader", "Recorded"]

_T = TypeVar("_T")
_TOLD_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What run records say of legacy users.

    Attributes:
        quarantined: Key of each that was quarantined, to the reason.
        aliases: Those who became another user, with that one.
        migrated: Ids of those who were migrated, and of the users they became.
        joined: Ids of the organizations in which a run created a membership.
        in_part: Whether a run is there in part.
    """

    quarantined: Mapping[bytes, str] = field(default_factory=dict)
    aliases: Mapping[ObjectId, ObjectId] = field(default_factory=dict)
    migrated: frozenset[ObjectId] = frozenset()
    joined: frozenset[ObjectId] = frozenset()
    in_part: bool = False


@dataclass(slots=True)
class _Legacy:
    keys: LegacyKeys = field(default_factory=LegacyKeys)
    hashes: dict[bytes, bytes] = field(default_factory=dict)
    unverified: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    barred: dict[bytes, tuple[str, ...]] = field(default_factory=dict)


class PeopleReader:
    """Reader of the users' collections of a database.

    Args:
        database: Where.
        source: Name of the legacy users' collection; empty if there is none any more.
        options: The choices a migration was made with, or would be.
        progress: Told of every document.
        comment: Attached to every command.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        options: MigrationOptions,
        *,
        progress: Progress,
        comment: str,
    ) -> None:
        self._database = database
        self._source = source
        self._options = options
        self._progress = progress
        self._comment = comment
        self._secret = secrets.token_bytes(32)

    async def read(self, recorded: Recorded) -> tuple[People, Workspaces]:
        """Who is who, and what that means for documents as things are."""
        sizes = [
            await estimated_count(self._database[name], comment=self._comment)
            for name in (self._source, *TARGET_COLLECTIONS)
            if name
        ]
        self._progress.phase("users", sum(sizes))
        legacy = await self._legacy() if self._source else _Legacy()
        target, _ = await UserPlane(self._database, self._source, comment=self._comment).target()
        decisions = tuple(
            decide_users(
                legacy.keys,
                target,
                duplicates=self._options.duplicate_emails,
                aliases=self._options.aliases,
                became=recorded.aliases,
            )
        )
        people = People(
            source=self._source,
            decisions=decisions,
            hashes=_carried(legacy, decisions),
            quarantined=_still_quarantined(recorded.quarantined, decisions),
            migrated=recorded.migrated,
            joined=recorded.joined,
            in_part=recorded.in_part,
            refused=frozenset(legacy.refused),
            barred=legacy.barred,
            users=[
                UserFact(d["_id"], d.get("email"), d)
                async for d in self._find(
                    "user",
                    "email",
                    "emailVerified",
                    "isEmailVerified",
                    "isActive",
                    "isDisabled",
                    "banned",
                    "organizationId",
                    "workspaceId",
                )
            ],
            accounts=[self._account(d) async for d in self._accounts()],
            organizations=[
                OrganizationFact(d["_id"], d.get("slug"))
                async for d in self._find("organization", "slug")
            ],
            members=[
                MemberFact(d["_id"], d.get("organizationId"), d.get("userId"), d.get("role"))
                async for d in self._find("member", "organizationId", "userId", "role")
            ],
        )
        return people, workspaces_now(legacy.keys.ids, decisions, target, recorded.aliases)

    async def _legacy(self) -> _Legacy:
        found = _Legacy()
        users = scan(self._database[self._source], comment=self._comment)
        async for document, readable in self._told(decoded(users)):
            key = LegacyKey.of(document, readable=readable)
            found.keys.append(key)
            name, password = id_key(key.id), document.get("password")
            if readable and isinstance(password, str) and password_kind(password).is_hash:
                found.hashes[name] = self._digest(password)
            if not legacy_flag(document.get("isEmailVerified")):
                found.unverified.add(name)
            if isinstance(key.email, str) and not is_accepted(key.email):
                found.refused.add(name)
            if barred := barred_by(document):
                found.barred[name] = barred
        return found

    def _accounts(self) -> AsyncIterator[dict[str, Any]]:
        return self._find(
            "account", "userId", "accountId", "providerId", "password", "createdAt", "updatedAt"
        )

    def _account(self, document: Mapping[str, Any]) -> AccountFact:
        password = document.get("password")
        return AccountFact(
            id=document["_id"],
            user_id=document.get("userId"),
            account_id=document.get("accountId"),
            provider=document.get("providerId"),
            password=self._digest(password) if isinstance(password, str) else None,
            untouched=document.get("createdAt") == document.get("updatedAt"),
        )

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(
            password.encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret
        ).digest()

    async def _find(self, collection: str, *fields: str) -> AsyncIterator[dict[str, Any]]:
        found = scan(self._database[collection], None, fields, comment=self._comment)
        async for document, _ in self._told(decoded(found)):
            yield document

    async def _told(self, documents: AsyncIterator[_T]) -> AsyncIterator[_T]:
        """The documents; the listener is told of them by the thousand."""
        number = 0
        async for document in documents:
            yield document
            number += 1
            if number == _TOLD_AT_ONCE:
                self._progress.advance(number)
                number = 0
        self._progress.advance(number)


def _still_quarantined(
    recorded: Mapping[bytes, str], decisions: Iterable[UserDecision]
) -> frozenset[bytes]:
    """Who is as a run recorded them; a migration would take those who were put right since."""
    put_right = {id_key(decision.legacy_id) for decision in decisions if decision.reason is None}
    return frozenset(
        key
        for key, reason in recorded.items()
        # No decision tells whom the server refuses.
        if key not in put_right or reason == Reason.WRITE_REFUSED
    )


def _carried(legacy: _Legacy, decisions: Sequence[UserDecision]) -> dict[bytes, bytes]:
    """The hashes a migration carries over: not that of an address nobody proved to be theirs."""
    kept = dict(legacy.hashes)
    for decision in decisions:
        name = id_key(decision.legacy_id)
        if decision.outcome is Outcome.ALIASED and name in legacy.unverified:
            kept.pop(name, None)
    return kept
