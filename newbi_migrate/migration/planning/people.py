"""What is odd about Better Auth's own documents and stays so, told as it is after a run.

A membership of somebody whom the run creates is none of somebody unknown. So what is odd is noted
as the documents are read, and told once all is decided.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.better_auth import Account
from newbi_migrate.mapping.account import CREDENTIAL
from newbi_migrate.mapping.decisions import Decisions, Target, TargetUsers
from newbi_migrate.mapping.email import is_accepted, is_normalised, normalise_email
from newbi_migrate.mapping.packed import (
    IdColumn,
    InAnyOf,
    PackedIds,
    digest_of,
    head_of,
    repeated,
)
from newbi_migrate.mapping.user import POINTERS, differing_flags
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.values import read_id, text
from newbi_migrate.migration.planning import codes
from newbi_migrate.migration.planning.results import Findings
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.decoding import documents_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.reading import matching, scan

__all__ = ["USER_FIELDS", "TargetOddities", "odd_accounts", "odd_sessions"]

USER_FIELDS: Final = (
    "email",
    "emailVerified",
    "isEmailVerified",
    "isActive",
    "isDisabled",
    *POINTERS,
    "phoneNumber",
    "referralCode",
)
"""Fields of a user that are looked at."""

_HASHED: Final = 2**64 - 1
# Read and compared again: a query for an id also finds lists that contain it.
_MEMBERSHIP: Final = ("organizationId", "userId")


class TargetOddities:
    """What is odd about users, organizations and memberships, as they are read.

    Args:
        find: Reads documents of a collection, whole or some of their fields, that match a query.
    """

    def __init__(self, find: Callable[..., AsyncIterator[dict[str, Any]]]) -> None:
        self._find = find
        self._now = Findings()
        self._without_email: list[Any] = []
        # Addresses of users whose ids nothing can refer to.
        self._unusable: list[tuple[bytes, Any]] = []
        self._slugs = array("Q")
        # Each owner, with the organization.
        self._owned, self._owners = IdColumn(), IdColumn()
        # Memberships in organizations that do not exist.
        self._of_nothing: list[tuple[Any, ObjectId, ObjectId]] = []
        # Users of memberships that the application does not see.
        self._strays: set[ObjectId] = set()

    def user(self, document: Mapping[str, Any]) -> None:
        """Look at a user."""
        identifier = document["_id"]
        address = normalise_email(document.get("email"))
        if not isinstance(identifier, ObjectId):
            self._note(codes.ID_NOT_OBJECT_ID, "user", identifier)
            if address is not None:
                self._unusable.append((digest_of(address), identifier))
        if address is None:
            self._without_email.append(identifier)
        elif not is_normalised(document.get("email")):
            self._note(codes.EMAIL_NOT_NORMAL, "user", identifier, "email")
        if address is not None and not is_accepted(address):
            self._note(codes.EMAIL_REFUSED, "user", identifier, "email")
        for name, _ in differing_flags(document):
            self._note(codes.USER_FLAGS_DIFFER, "user", identifier, name)
        for name in POINTERS:
            if name in document:
                self._note(codes.USER_NAMES_ORGANIZATION, "user", identifier, name)

    def organization(self, document: Mapping[str, Any]) -> None:
        """Look at an organization."""
        usable = isinstance(document["_id"], ObjectId)
        if not usable:
            self._note(codes.ID_NOT_OBJECT_ID, "organization", document["_id"])
        slug = text(document.get("slug"))
        if slug is not None:
            self._slugs.append(hash(slug) & _HASHED)
        elif usable:
            self._note(codes.SLUG_MISSING, "organization", document["_id"], "slug")

    def unusable_member(self, document: Mapping[str, Any]) -> None:
        """Note a membership whose ids are no ObjectIds."""
        path = (
            "userId" if isinstance(document.get("organizationId"), ObjectId) else "organizationId"
        )
        self._note(codes.MEMBER_IDS, "member", document["_id"], path)
        if isinstance(document.get("userId"), ObjectId):
            self._strays.add(document["userId"])

    def member_of_nothing(self, identifier: Any, organization: ObjectId, user: ObjectId) -> None:
        """Note a membership in an organization that does not exist."""
        self._of_nothing.append((identifier, organization, user))
        self._strays.add(user)

    def owner(self, organization: ObjectId, user: ObjectId) -> None:
        """Note who owns an organization."""
        self._owned.append(organization)
        self._owners.append(user)

    def _note(self, code: str, collection: str, identifier: Any, path: str = "") -> None:
        self._now.append(Finding(code, collection, identifier, path))

    async def after(self, target: Target, decisions: Decisions) -> Findings:
        """What is odd once decisions have been carried out; of e-mails see :meth:`no_email`.

        Args:
            target: What was read.
            decisions: About the legacy users.
        """
        found = self._now
        created = PackedIds.of_rows(decisions.users())
        existing = InAnyOf(target.users, created)
        found.extend(self._emails_twice(TargetUsers.of(target)))
        async for finding in self._slugs_twice():
            found.append(finding)
        belonging = PackedIds(m.user_id for m in target.memberships)
        homes = PackedIds.of_rows(workspace for _, workspace in decisions.placed())
        members = PackedIds.of_rows(user for user, _ in decisions.placed())
        found.extend(
            Finding(codes.USER_WITHOUT_ORGANIZATION, "user", user, "_id")
            for user in target.users
            if user not in belonging and user not in members and user not in self._strays
        )
        found.extend(self._without_owner(target, decisions, existing, homes))
        nobody = {user for user in belonging if user not in existing}
        for identifier, organization, user in self._of_nothing:
            if organization not in homes:
                found.append(
                    Finding(codes.MEMBER_OF_NOTHING, "member", identifier, "organizationId")
                )
            elif user not in existing:
                found.append(Finding(codes.MEMBER_IS_NOBODY, "member", identifier, "userId"))
        if nobody:
            query = {"userId": {"$in": sorted(nobody)}}
            async for member in self._find("member", _MEMBERSHIP, query):
                there = _in(member.get("organizationId"), target.organizations)
                if there and _in(member.get("userId"), nobody):
                    found.append(Finding(codes.MEMBER_IS_NOBODY, "member", member["_id"], "userId"))
        async for finding in self._members_twice(target):
            found.append(finding)
        return found

    def no_email(self, filled: Container[Any]) -> Iterator[Finding]:
        """The users who have no address, but for those whose is filled."""
        for identifier in self._without_email:
            # What is no ObjectId may not even be hashable, and is never filled.
            if not (isinstance(identifier, ObjectId) and identifier in filled):
                yield Finding(codes.EMAIL_NOT_NORMAL, "user", identifier, "email")

    def _emails_twice(self, users: TargetUsers) -> Iterator[Finding]:
        heads = users.emails.heads()
        several = repeated(heads, (head_of(digest) for digest, _ in self._unusable))
        if not several:
            return
        having = [
            (digest, users.id_at(position))
            for position, head in enumerate(heads)
            if head in several and (digest := users.emails.at(position)) is not None
        ]
        having += self._unusable
        counts = Counter(digest for digest, _ in having)
        for digest, identifier in having:
            if counts[digest] > 1:
                yield Finding(codes.EMAIL_TWICE, "user", identifier, "email")

    async def _slugs_twice(self) -> AsyncIterator[Finding]:
        several = repeated(self._slugs)
        if not several:
            return
        having = [
            (slug, organization["_id"])
            async for organization in self._find("organization", ("slug",))
            if (slug := text(organization.get("slug"))) and hash(slug) & _HASHED in several
        ]
        counts = Counter(slug for slug, _ in having)
        for slug, identifier in having:
            if counts[slug] > 1 and isinstance(identifier, ObjectId):
                yield Finding(codes.SLUG_TWICE, "organization", identifier, "slug")

    def _without_owner(
        self,
        target: Target,
        decisions: Decisions,
        existing: Container[ObjectId],
        homes: Container[ObjectId],
    ) -> Iterator[Finding]:
        pairs = zip(self._owned, self._owners, strict=True)
        owned = PackedIds(organization for organization, user in pairs if user in existing)
        # An organization that is made beside a membership which stood there gets no other one.
        made = {(user, o) for _, o, user in self._of_nothing if o in homes and o not in owned}
        without = {o for o in target.organizations if o not in owned}
        without.update(organization for _, organization in made)
        if not without:
            return
        there = made | {
            (m.user_id, m.organization_id)
            for m in target.memberships
            if m.organization_id in without
        }
        for user, workspace in decisions.placed():
            pair = ObjectId(user), ObjectId(workspace)
            # Whoever is made a member is made the owner.
            if pair[1] in without and pair not in there:
                without.discard(pair[1])
        for organization in sorted(without):
            yield Finding(codes.WITHOUT_OWNER, "organization", organization)

    async def _members_twice(self, target: Target) -> AsyncIterator[Finding]:
        def pairs() -> Iterator[tuple[ObjectId, ObjectId]]:
            yield from ((m.organization_id, m.user_id) for m in target.memberships)
            yield from ((organization, user) for _, organization, user in self._of_nothing)

        several = repeated(hash(pair) & _HASHED for pair in pairs())
        if not several:
            return
        counts = Counter(pair for pair in pairs() if hash(pair) & _HASHED in several)
        for (organization, user), number in counts.items():
            if number < 2:
                continue
            query = {"organizationId": organization, "userId": user}
            ids = [
                member["_id"]
                async for member in self._find("member", _MEMBERSHIP, query)
                if (member.get("organizationId"), member.get("userId")) == (organization, user)
            ]
            for identifier in ids[1:]:
                yield Finding(codes.MEMBER_TWICE, "member", identifier)


def _in(value: object, ids: Container[ObjectId]) -> bool:
    # What is no ObjectId may not even be hashable.
    return isinstance(value, ObjectId) and value in ids


async def odd_accounts(
    database: Database,
    target: Container[ObjectId],
    decisions: Decisions,
    told: Findings,
    *,
    comment: str,
) -> AsyncIterator[Finding]:
    """What is odd about accounts once decisions have been carried out.

    Args:
        database: Where.
        target: The users who exist.
        decisions: About the legacy users.
        told: What was found of the legacy users, which is not said twice.
        comment: Attached to every command.
    """
    existing = InAnyOf(target, PackedIds.of_rows(decisions.users()))
    fields = ("userId", "accountId", "providerId")
    found: list[Finding] = []
    async for account in documents_of(scan(database["account"], None, fields, comment=comment)):
        identifier, user = account["_id"], account.get("userId")
        if not isinstance(user, ObjectId):
            found.append(Finding(codes.ACCOUNT_USER_NOT_OBJECT_ID, "account", identifier, "userId"))
            continue
        if account.get("providerId") == CREDENTIAL and account.get("accountId") != str(user):
            found.append(Finding(codes.ACCOUNT_ID_DIFFERS, "account", identifier, "accountId"))
        if user not in existing:
            found.append(Finding(codes.ACCOUNT_OF_NOBODY, "account", identifier, "userId"))
    without = Account.violators({"account.credential-password"})
    lacking = matching(database["account"], without, ["_id"], comment=comment)
    found += [
        Finding(codes.ACCOUNT_WITHOUT_PASSWORD, "account", account["_id"], "password")
        async for account in documents_of(lacking)
    ]
    if not found:
        return
    same = {
        codes.ACCOUNT_USER_TEXT: codes.ACCOUNT_USER_NOT_OBJECT_ID,
        codes.ACCOUNT_WITHOUT_PASSWORD: codes.ACCOUNT_WITHOUT_PASSWORD,
    }
    known = {(same[f.code], id_key(f.id)) for f in told if f.code in same}
    for finding in found:
        if (finding.code, id_key(finding.id)) not in known:
            yield finding


async def odd_sessions(
    database: Database, organizations: Container[ObjectId], *, comment: str
) -> AsyncIterator[Finding]:
    """Sessions in an organization that does not exist.

    Args:
        database: Where.
        organizations: Those that exist after the run.
        comment: Attached to every command.
    """
    name = "activeOrganizationId"
    sessions = database["session"]
    async for groups in count_groups(sessions, [name], comment=comment):
        for group in groups:
            stored = group.stored.get(name)
            if stored is None or read_id(stored).value in organizations:
                continue
            query = {name: {"$eq": stored}}
            async for session in documents_of(matching(sessions, query, ["_id"], comment=comment)):
                yield Finding(codes.SESSION_OF_NOTHING, "session", session["_id"], name)
