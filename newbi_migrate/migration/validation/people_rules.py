"""The structural rules about users, accounts, organizations and members, checked on facts.

The checks are pure, so that they can be tested without a server; how the facts are read is decided
in :mod:`newbi_migrate.migration.validation.people`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from newbi_migrate.mapping.account import CREDENTIAL
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.email import is_accepted, is_normalised, normalise_email
from newbi_migrate.mapping.ids import account_id
from newbi_migrate.mapping.user import POINTERS, differing_flags
from newbi_migrate.mapping.values import flag, read_id, text
from newbi_migrate.mapping.workspace import roles_of
from newbi_migrate.migration.validation import rules
from newbi_migrate.migration.validation.origins import Read
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.migration.validation.rules import StructuralRule
from newbi_migrate.store.ids import id_key

__all__ = [
    "AccountFact",
    "MemberFact",
    "OrganizationFact",
    "People",
    "PeopleViolation",
    "UserFact",
    "check_people",
]


@dataclass(frozen=True, slots=True)
class PeopleViolation:
    """A violation of a structural rule about people, with what tells where it comes from.

    Attributes:
        rule: The rule.
        collection: Where.
        id: The document; ``None`` where it is about a whole collection.
        path: The field.
        note: A fact that helps, without a stored value; empty mostly.
        also: What the rule reads of other documents, or beside that field of this one.
        instead: What it reads in place of this document; this one if it is empty.
        owed: Where it comes from if it is something that a migration is there to make; else
            ``None``.
    """

    rule: StructuralRule
    collection: str
    id: Any
    path: str = ""
    note: str = ""
    also: tuple[Read, ...] = ()
    instead: tuple[Read, ...] = ()
    owed: Origin | None = None

    @property
    def reads(self) -> tuple[Read, ...]:
        """Everything the rule reads."""
        return self.instead or (Read(self.collection, self.id, self.path or "_id"), *self.also)


@dataclass(frozen=True, slots=True)
class UserFact:
    """What has to be known of a user; ``document`` holds their flags and pointers."""

    id: Any
    email: object
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccountFact:
    """What has to be known of an account.

    Attributes:
        id: Its ``_id``.
        user_id: Stored reference to the user.
        account_id: Stored ``accountId``.
        provider: Stored ``providerId``.
        password: A digest of the stored password; ``None`` if there is none.
        untouched: Whether it is as it was made, by its dates.
    """

    id: Any
    user_id: object
    account_id: object
    provider: object
    password: bytes | None
    untouched: bool


@dataclass(frozen=True, slots=True)
class OrganizationFact:
    """What has to be known of an organization."""

    id: Any
    slug: object


@dataclass(frozen=True, slots=True)
class MemberFact:
    """What has to be known of a membership; the references are as stored."""

    id: Any
    organization_id: object
    user_id: object
    role: object

    @property
    def is_owner(self) -> bool:
        """Whether one of the roles is that of an owner."""
        return "owner" in roles_of(self.role)


@dataclass(frozen=True, slots=True)
class People:
    """Who is who, as the collections of users say.

    Attributes:
        source: Name of the legacy users' collection; empty if it is no longer there.
        decisions: What a migration would do with each legacy user now.
        hashes: Key of a legacy user's id to a digest of the password hash that is to be carried
            over; a user without one, or whose hash is not to be, is not in it.
        quarantined: Keys of legacy users that a run recorded as quarantined.
        migrated: Ids of the legacy users whom runs migrated, and of the users they became.
        joined: Ids of the organizations in which a run created a membership.
        in_part: Whether a run is there in part, without some of its users perhaps.
        refused: Keys of legacy users whose address Better Auth refuses.
        barred: Key of a legacy user who was kept out to the fields that say so.
        users: The users.
        accounts: Their accounts.
        organizations: The organizations.
        members: The memberships.
    """

    source: str = ""
    decisions: Sequence[UserDecision] = ()
    hashes: Mapping[bytes, bytes] = field(default_factory=dict)
    quarantined: frozenset[bytes] = frozenset()
    migrated: frozenset[ObjectId] = frozenset()
    joined: frozenset[ObjectId] = frozenset()
    in_part: bool = False
    refused: frozenset[bytes] = frozenset()
    barred: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    users: Sequence[UserFact] = ()
    accounts: Sequence[AccountFact] = ()
    organizations: Sequence[OrganizationFact] = ()
    members: Sequence[MemberFact] = ()

    def owed(self, person: object) -> Origin:
        """Where it comes from that somebody lacks what a migration makes.

        Where a run is there in part, they may have gone back with it.
        """
        known = isinstance(person, ObjectId) and person in self.migrated
        return Origin.RUN if known and not self.in_part else Origin.PENDING


def check_people(people: People) -> Iterator[PeopleViolation]:
    """Every structural rule about users, accounts, organizations and members that is broken."""
    yield from _legacy_users(people)
    yield from _users(people)
    yield from _accounts(people)
    yield from _organizations(people)
    yield from _members(people)


def _legacy_users(people: People) -> Iterator[PeopleViolation]:
    accounts: dict[object, list[AccountFact]] = defaultdict(list)
    for account in people.accounts:
        owner = read_id(account.user_id).value
        if account.provider == CREDENTIAL and owner is not None:
            accounts[owner].append(account)
    belonging = {
        (m.user_id, m.organization_id)
        for m in people.members
        if isinstance(m.user_id, ObjectId) and isinstance(m.organization_id, ObjectId)
    }
    banned = {
        user.id
        for user in people.users
        if isinstance(user.id, ObjectId) and flag(user.document.get("banned")) is True
    }
    for decision in people.decisions:
        key = id_key(decision.legacy_id)
        if decision.user_id is not None and decision.user_id not in banned:
            for name in people.barred.get(key, ()):
                user = Read("user", decision.user_id, "banned")
                yield PeopleViolation(
                    rules.KEPT_OUT, people.source, decision.legacy_id, name, also=(user,)
                )
        if decision.outcome is Outcome.CREATED and key in people.refused:
            yield PeopleViolation(rules.EMAIL_ACCEPTED, people.source, decision.legacy_id, "email")
        if decision.user_id is None or decision.outcome is Outcome.CREATED:
            if key not in people.quarantined:
                note = "" if decision.reason is None else decision.reason.value
                yield PeopleViolation(
                    rules.ACCOUNTED_FOR,
                    people.source,
                    decision.legacy_id,
                    "_id",
                    note,
                    owed=people.owed(decision.legacy_id),
                )
            continue
        pair = (decision.user_id, decision.workspace)
        if (
            decision.workspace is not None
            and pair not in belonging
            and key not in people.quarantined
        ):
            yield PeopleViolation(
                rules.HAS_WORKSPACE,
                people.source,
                decision.legacy_id,
                "_id",
                owed=people.owed(decision.user_id),
            )
        carried = people.hashes.get(key)
        if carried is not None and key not in people.quarantined:
            yield from _password(people, decision, carried, accounts[decision.user_id])


def _password(
    people: People, decision: UserDecision, carried: bytes, found: Sequence[AccountFact]
) -> Iterator[PeopleViolation]:
    if len(found) != 1:
        note = f"{len(found)} accounts"
        yield PeopleViolation(
            rules.ONE_CREDENTIAL,
            people.source,
            decision.legacy_id,
            "password",
            note,
            tuple(Read("account", account.id, "userId") for account in found),
            owed=None if found else people.owed(decision.user_id),
        )
        return
    account = found[0]
    if account.password == carried:
        return
    ours = decision.user_id is not None and account.id == account_id(decision.user_id)
    rule = rules.HASH_UNCHANGED if ours and account.untouched else rules.PASSWORD_DIFFERS
    yield PeopleViolation(rule, "account", account.id, "password")


def _users(people: People) -> Iterator[PeopleViolation]:
    addresses: dict[str, list[Any]] = defaultdict(list)
    for user in people.users:
        if (address := normalise_email(user.email)) is not None:
            addresses[address].append(user.id)
    belonging = {
        member.user_id for member in people.members if isinstance(member.user_id, ObjectId)
    }
    # A migration gives a workspace to nobody else: who left the one they had belongs nowhere.
    awaited = {d.user_id for d in people.decisions if d.workspace is not None}
    for user in people.users:
        if not isinstance(user.id, ObjectId):
            yield PeopleViolation(rules.USER_ID_TYPE, "user", user.id, "_id")
        address = normalise_email(user.email)
        if address is None or not is_normalised(user.email):
            yield PeopleViolation(rules.EMAIL_NORMAL, "user", user.id, "email")
        if address is not None and not is_accepted(address):
            yield PeopleViolation(rules.EMAIL_ACCEPTED, "user", user.id, "email")
        if address is not None and len(addresses[address]) > 1:
            same = tuple(Read("user", other, "email") for other in addresses[address])
            yield PeopleViolation(rules.EMAIL_UNIQUE, "user", user.id, "email", also=same)
        yield from _flags(user)
        for name in POINTERS:
            if name in user.document:
                yield PeopleViolation(rules.NO_POINTERS, "user", user.id, name)
        if isinstance(user.id, ObjectId) and user.id not in belonging:
            owed = Origin.RUN if user.id in people.migrated else None
            if owed is not None and user.id in awaited:
                owed = people.owed(user.id)
            yield PeopleViolation(rules.USER_BELONGS, "user", user.id, "_id", owed=owed)


def _flags(user: UserFact) -> Iterator[PeopleViolation]:
    for new, old in differing_flags(user.document):
        other = Read("user", user.id, old)
        yield PeopleViolation(rules.FLAGS_AGREE, "user", user.id, new, also=(other,))


def _accounts(people: People) -> Iterator[PeopleViolation]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    for account in people.accounts:
        if not isinstance(account.user_id, ObjectId):
            yield PeopleViolation(rules.ACCOUNT_IDS, "account", account.id, "userId")
            continue
        if account.provider == CREDENTIAL and account.account_id != str(account.user_id):
            yield PeopleViolation(rules.ACCOUNT_IDS, "account", account.id, "accountId")
        if account.user_id not in users:
            user = (Read("user", account.user_id),)
            yield PeopleViolation(rules.ACCOUNT_USER, "account", account.id, "userId", also=user)


def _organizations(people: People) -> Iterator[PeopleViolation]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    owned = {
        m.organization_id
        for m in people.members
        # What is no ObjectId may not even be hashable.
        if m.is_owner
        and isinstance(m.organization_id, ObjectId)
        and isinstance(m.user_id, ObjectId)
        and m.user_id in users
    }
    others: dict[ObjectId, list[Read]] = defaultdict(list)
    for m in people.members:
        if isinstance(m.organization_id, ObjectId) and m.organization_id not in owned:
            others[m.organization_id].append(Read("member", m.id))
    slugs: dict[str, list[Any]] = defaultdict(list)
    for organization in people.organizations:
        if (slug := text(organization.slug)) is not None:
            slugs[slug].append(organization.id)
    for organization in people.organizations:
        if not isinstance(organization.id, ObjectId):
            yield PeopleViolation(
                rules.ORGANIZATION_ID_TYPE, "organization", organization.id, "_id"
            )
            continue
        if organization.id not in owned:
            owed = Origin.RUN if organization.id in people.joined else None
            # A run makes whoever it makes a member the owner; it makes none who is one already.
            yield PeopleViolation(
                rules.HAS_OWNER,
                "organization",
                organization.id,
                instead=tuple(others[organization.id]),
                owed=owed,
            )
        slug = text(organization.slug)
        if slug is None or len(slugs[slug]) > 1:
            same = () if slug is None else slugs[slug]
            also = tuple(Read("organization", other, "slug") for other in same)
            yield PeopleViolation(
                rules.SLUG_UNIQUE, "organization", organization.id, "slug", also=also
            )


def _members(people: People) -> Iterator[PeopleViolation]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    organizations = {o.id for o in people.organizations if isinstance(o.id, ObjectId)}
    seen: dict[tuple[ObjectId, ObjectId], Any] = {}
    for member in people.members:
        organization, user = member.organization_id, member.user_id
        if not isinstance(organization, ObjectId) or not isinstance(user, ObjectId):
            path = "userId" if isinstance(organization, ObjectId) else "organizationId"
            yield PeopleViolation(rules.MEMBER_IDS, "member", member.id, path)
            continue
        if organization not in organizations:
            gone = (Read("organization", organization),)
            yield PeopleViolation(
                rules.MEMBER_POINTS, "member", member.id, "organizationId", also=gone
            )
        elif user not in users:
            gone = (Read("user", user),)
            yield PeopleViolation(rules.MEMBER_POINTS, "member", member.id, "userId", also=gone)
        first = seen.setdefault((organization, user), member.id)
        if first is not member.id:
            same = (Read("member", first),)
            yield PeopleViolation(rules.MEMBER_ONCE, "member", member.id, also=same)
