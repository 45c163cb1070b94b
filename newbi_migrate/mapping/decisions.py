"""One decision for each legacy user, with its reason, from what is known of all of them.

E-mail addresses, phone numbers, codes and slugs must be unique among users, so they can only
be decided together. It changes when a policy for duplicates or aliases does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bson import ObjectId

from newbi_migrate.mapping.email import is_normalised, normalise_email
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.slug import choose_slug
from newbi_migrate.mapping.user import phone_of, referral_code_of
from newbi_migrate.mapping.values import flag, text
from newbi_migrate.mapping.workspace import Directory, Membership, Reason, home_of

__all__ = [
    "AliasPolicy",
    "DuplicatePolicy",
    "LegacyKey",
    "Outcome",
    "Target",
    "TargetUser",
    "UserDecision",
    "decide_users",
    "directory_after",
]

_Claims = dict[str, ObjectId | None]


class DuplicatePolicy(StrEnum):
    """What happens to legacy users whose addresses differ by case or blanks alone."""

    REFUSE = "refuse"
    """All of them are quarantined."""
    REACHABLE = "reachable"
    """The one who could sign in, because his address is stored as it is looked up, keeps it."""


class AliasPolicy(StrEnum):
    """Whether a legacy user may become an existing user with the same e-mail address."""

    VERIFIED = "verified"
    """Only where that user has proven that the address is his."""
    ALL = "all"
    REFUSE = "refuse"


class Outcome(StrEnum):
    """What becomes of a legacy user."""

    CREATED = "created"
    MERGED = "merged"
    ALIASED = "aliased"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class LegacyKey:
    """What has to be known of every legacy user to decide about any of them.

    Attributes:
        id: The stored ``_id``, of whatever type.
        email: The normalised address, if there is one.
        reachable: Whether the address is stored in the form in which it is looked up.
        phone: Phone number, which Better Auth treats as unique.
        referral_code: The user's own code, unique in the application.
        readable: Whether the document could be decoded.
    """

    id: Any
    email: str | None
    reachable: bool = True
    phone: str | None = None
    referral_code: str | None = None
    readable: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> LegacyKey:
        """The key of a legacy user's document."""
        return cls(
            id=document.get("_id"),
            email=normalise_email(document.get("email")),
            reachable=is_normalised(document.get("email")),
            phone=phone_of(document),
            referral_code=referral_code_of(document),
        )


@dataclass(frozen=True, slots=True)
class TargetUser:
    """What has to be known of a user who already exists."""

    id: ObjectId
    email: str | None
    verified: bool = False
    phone: str | None = None
    referral_code: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> TargetUser | None:
        """The key of a user's document; ``None`` for an ``_id`` no document can refer to."""
        identifier = document.get("_id")
        if not isinstance(identifier, ObjectId):
            return None
        return cls(
            id=identifier,
            email=normalise_email(document.get("email")),
            verified=flag(document.get("emailVerified")) is True,
            phone=text(document.get("phoneNumber")),
            referral_code=text(document.get("referralCode")),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What the Better Auth collections hold before a migration.

    Attributes:
        users: The users, by id.
        organizations: Ids of organizations to their slugs (``None`` where there is none).
        memberships: Memberships with ObjectIds in organizations that exist.
        unusable_emails: Normalised addresses of users whose ``_id`` nothing can refer to.
    """

    users: Mapping[ObjectId, TargetUser] = field(default_factory=dict)
    organizations: Mapping[ObjectId, str | None] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    unusable_emails: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UserDecision:
    """What becomes of one legacy user.

    Attributes:
        legacy_id: The stored ``_id``.
        outcome: What happens.
        reason: Why he is quarantined.
        user_id: Id under which he is known afterwards; ``None`` if quarantined.
        workspace: His workspace afterwards; ``None`` if there is not a single one.
        homeless: Why a migrated user has no workspace: he owns several, or he left the one that
            was made for him, and a migration does not bring him back into it.
        slug: Slug of the organization to create; ``None`` where none is created.
        keep_email: Whether his e-mail address may be filled into a user who has none; another
            may have it already.
        keep_phone: Likewise for the phone number, which becomes his.
        keep_referral_code: Likewise for the referral code.
    """

    legacy_id: Any
    outcome: Outcome
    reason: Reason | None = None
    user_id: ObjectId | None = None
    workspace: ObjectId | None = None
    homeless: Reason | None = None
    slug: str | None = None
    keep_email: bool = True
    keep_phone: bool = True
    keep_referral_code: bool = True


def decide_users(
    legacy: Iterable[LegacyKey],
    target: Target,
    *,
    duplicates: DuplicatePolicy = DuplicatePolicy.REFUSE,
    aliases: AliasPolicy = AliasPolicy.VERIFIED,
) -> Iterator[UserDecision]:
    """Decides about every legacy user, in the order in which they are given.

    The order matters only between users who want the same slug, phone number or referral
    code: the first gets it. Give them in the order of their ids.
    """
    keys = list(legacy)
    refused = _refused_duplicates(keys, target, duplicates)
    legacy_ids = {key.id for key in keys if isinstance(key.id, ObjectId)}
    by_email: dict[str, list[TargetUser]] = defaultdict(list)
    for user in target.users.values():
        if user.email is not None:
            by_email[user.email].append(user)
    homes = _owned(target)
    members: dict[ObjectId, set[ObjectId]] = defaultdict(set)
    for membership in target.memberships:
        members[membership.organization_id].add(membership.user_id)
    slugs = {slug for slug in target.organizations.values() if slug is not None}
    # Who has what; an address of a user nothing can refer to is nobody's to claim.
    emails: _Claims = dict.fromkeys(target.unusable_emails)
    emails.update({user.email: user.id for user in target.users.values() if user.email})
    phones: _Claims = {user.phone: user.id for user in target.users.values() if user.phone}
    codes: _Claims = {
        user.referral_code: user.id for user in target.users.values() if user.referral_code
    }

    for position, key in enumerate(keys):
        found = (
            Reason.DUPLICATE_EMAIL
            if position in refused
            else _identity(key, target, by_email, legacy_ids, aliases)
        )
        if isinstance(found, Reason):
            yield UserDecision(key.id, Outcome.QUARANTINED, reason=found)
            continue
        user_id, outcome = found
        home = homes.get(user_id)
        slug: str | None = None
        if home is None:
            home = organization_id(user_id)
            if home not in target.organizations:
                slug = choose_slug(user_id, slugs)
                slugs.add(slug)
            elif home in members and user_id not in members[home]:
                home = Reason.OWNER_WITHOUT_WORKSPACE
        # What an existing user has is never written over, so he claims nothing.
        known = target.users.get(user_id)
        yield UserDecision(
            key.id,
            outcome,
            user_id=user_id,
            workspace=None if isinstance(home, Reason) else home,
            homeless=home if isinstance(home, Reason) else None,
            slug=slug,
            keep_email=(known is not None and known.email is not None)
            or _claim(emails, key.email, user_id),
            keep_phone=(known is not None and known.phone is not None)
            or _claim(phones, key.phone, user_id),
            keep_referral_code=(known is not None and known.referral_code is not None)
            or _claim(codes, key.referral_code, user_id),
        )


def directory_after(
    legacy_ids: Iterable[object], decisions: Iterable[UserDecision], target: Target
) -> Directory:
    """Who is who once the decisions have been carried out.

    A quarantined user stays without a workspace, and his documents are told why. A user the
    decisions do not concern keeps the workspace his memberships give him.
    """
    users = set(target.users)
    users.update(i for i in legacy_ids if isinstance(i, ObjectId))
    organizations = set(target.organizations)
    aliases: dict[ObjectId, ObjectId] = {}
    homes = _homes(target)
    members: dict[ObjectId, set[ObjectId]] = defaultdict(set)
    for membership in target.memberships:
        members[membership.user_id].add(membership.organization_id)
    for decision in decisions:
        if decision.user_id is None:
            if isinstance(decision.legacy_id, ObjectId):
                # One who was migrated before, and cannot be read today, stays where he is.
                if decision.legacy_id not in target.users:
                    homes.pop(decision.legacy_id, None)
                homes.setdefault(decision.legacy_id, Reason.OWNER_QUARANTINED)
            continue
        users.add(decision.user_id)
        if decision.outcome is Outcome.ALIASED:
            aliases[decision.legacy_id] = decision.user_id
        if decision.workspace is not None:
            organizations.add(decision.workspace)
            members[decision.user_id].add(decision.workspace)
            homes[decision.user_id] = decision.workspace
    return Directory(
        organizations=frozenset(organizations),
        users=frozenset(users),
        aliases=aliases,
        homes=homes,
        members={user: frozenset(found) for user, found in members.items()},
    )


def _claim(claimed: _Claims, value: str | None, user_id: ObjectId) -> bool:
    return value is None or claimed.setdefault(value, user_id) == user_id


def _by_user(target: Target) -> dict[ObjectId, list[Membership]]:
    grouped: dict[ObjectId, list[Membership]] = defaultdict(list)
    for membership in target.memberships:
        grouped[membership.user_id].append(membership)
    return grouped


def _homes(target: Target) -> dict[ObjectId, ObjectId | Reason]:
    return {user_id: home_of(found) for user_id, found in _by_user(target).items()}


def _owned(target: Target) -> dict[ObjectId, ObjectId | Reason]:
    """The organization each user owns.

    A legacy user who is only a member of somebody else's organization has none here: he gets
    one of his own, so that shared documents do not move.
    """
    owned: dict[ObjectId, ObjectId | Reason] = {}
    for user_id, found in _by_user(target).items():
        owners = [membership for membership in found if "owner" in membership.roles]
        if owners:
            owned[user_id] = home_of(owners)
    return owned


def _refused_duplicates(keys: list[LegacyKey], target: Target, policy: DuplicatePolicy) -> set[int]:
    groups: dict[str, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key.email is not None and isinstance(key.id, ObjectId):
            groups[key.email].append(position)
    refused: set[int] = set()
    for positions in groups.values():
        if len(positions) == 1:
            continue
        # Whoever was migrated before has the address; that decision is not taken again.
        keepers = [p for p in positions if keys[p].id in target.users]
        if not keepers and policy is DuplicatePolicy.REACHABLE:
            keepers = [p for p in positions if keys[p].reachable]
        if len(keepers) > 1 and not all(keys[p].id in target.users for p in keepers):
            keepers = []
        refused.update(p for p in positions if p not in keepers)
    return refused


def _identity(
    key: LegacyKey,
    target: Target,
    by_email: Mapping[str, list[TargetUser]],
    legacy_ids: set[ObjectId],
    aliases: AliasPolicy,
) -> tuple[ObjectId, Outcome] | Reason:
    if not isinstance(key.id, ObjectId):
        return Reason.ID_NOT_OBJECT_ID
    if not key.readable:
        return Reason.UNREADABLE
    if key.id in target.users:
        return key.id, Outcome.MERGED
    if key.email is None:
        return Reason.EMAIL_MISSING
    if key.email in target.unusable_emails:
        return Reason.ALIAS_AMBIGUOUS
    others = by_email.get(key.email)
    if not others:
        return key.id, Outcome.CREATED
    if len(others) > 1:
        return Reason.ALIAS_AMBIGUOUS
    other = others[0]
    if other.id in legacy_ids:
        # That user is another legacy user, migrated before: two people, not one.
        return Reason.DUPLICATE_EMAIL
    if aliases is AliasPolicy.REFUSE:
        return Reason.ALIAS_REFUSED
    if aliases is AliasPolicy.VERIFIED and not other.verified:
        return Reason.ALIAS_UNVERIFIED
    return other.id, Outcome.ALIASED
