"""One decision for each legacy user, with its reason, from what is known of all of them.

E-mail addresses, phone numbers, codes and slugs must be unique among users, so they can only
be decided together. Users may be a million: what is known of all of them is packed.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import Any

import bson
from bson import ObjectId

from newbi_migrate.mapping.email import is_normalised, normalise_email
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.packed import (
    IdColumn,
    Interned,
    PackedGroups,
    PackedIds,
    PackedMap,
    PackedSequence,
    TextColumn,
    hashes_of,
    repeated,
)
from newbi_migrate.mapping.slug import choose_slug, slug_candidates
from newbi_migrate.mapping.user import phone_of, referral_code_of
from newbi_migrate.mapping.values import flag, text
from newbi_migrate.mapping.workspace import Directory, Membership, Reason, home_of

__all__ = [
    "AliasPolicy",
    "Decisions",
    "DuplicatePolicy",
    "LegacyKey",
    "LegacyKeys",
    "Memberships",
    "Outcome",
    "Slugs",
    "Target",
    "TargetUser",
    "TargetUsers",
    "UserDecision",
    "decide_users",
    "directory_after",
]

# A text, or its digest where many are kept.
_Text = str | bytes
_Claims = dict[_Text, ObjectId | None]
_NOBODY = ObjectId(bytes(12))
# What a first candidate has; longer ones are rare.
_USUAL_SLUG = len(next(slug_candidates(_NOBODY)))


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
    email: _Text | None
    reachable: bool = True
    phone: _Text | None = None
    referral_code: _Text | None = None
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


class LegacyKeys(PackedSequence[LegacyKey]):
    """Keys of legacy users, packed, with digests in place of texts."""

    def __init__(self) -> None:
        self.ids = IdColumn()
        self._texts = (TextColumn(), TextColumn(), TextColumn())
        self._flags: Interned[tuple[bool, bool]] = Interned()

    def append(self, key: LegacyKey) -> None:
        """Adds a key at the end."""
        self.ids.append(key.id)
        for column, value in zip(
            self._texts, (key.email, key.phone, key.referral_code), strict=True
        ):
            column.append(value)
        self._flags.append((key.reachable, key.readable))

    def __len__(self) -> int:
        return len(self.ids)

    def _at(self, position: int) -> LegacyKey:
        email, phone, code = (column[position] for column in self._texts)
        reachable, readable = self._flags[position]
        return LegacyKey(self.ids[position], email, reachable, phone, code, readable)


@dataclass(frozen=True, slots=True)
class TargetUser:
    """What has to be known of a user who already exists."""

    id: ObjectId
    email: _Text | None
    verified: bool = False
    phone: _Text | None = None
    referral_code: _Text | None = None

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


class TargetUsers(Mapping[ObjectId, TargetUser]):
    """Users who already exist, by id, packed, with digests in place of texts."""

    def __init__(self) -> None:
        self._ids = PackedIds()
        self._texts = (TextColumn(), TextColumn(), TextColumn())
        self._verified: Interned[bool] = Interned()

    def append(self, user: TargetUser) -> None:
        """Adds a user whose id is greater than all that are there."""
        self._ids.append(user.id)
        for column, value in zip(
            self._texts, (user.email, user.phone, user.referral_code), strict=True
        ):
            column.append(value)
        self._verified.append(user.verified)

    def __getitem__(self, key: ObjectId) -> TargetUser:
        position = self._ids.position(key)
        if position < 0:
            raise KeyError(key)
        email, phone, code = (column[position] for column in self._texts)
        return TargetUser(key, email, self._verified[position], phone, code)

    def __contains__(self, key: object) -> bool:
        return key in self._ids

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class Slugs(Mapping[ObjectId, str | None]):
    """Slugs of organizations, by their ids, packed; ``None`` where there is no slug."""

    def __init__(self) -> None:
        self._ids = PackedIds()
        self._texts, self._ends = bytearray(), array("Q")

    def append(self, identifier: ObjectId, slug: str | None) -> None:
        """Adds the slug of an organization whose id is greater than all that are there."""
        self._ids.append(identifier)
        # No text holds this byte in UTF-8, so it says that there is none.
        self._texts += b"\xff" if slug is None else slug.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._texts))

    def __getitem__(self, key: ObjectId) -> str | None:
        position = self._ids.position(key)
        if position < 0:
            raise KeyError(key)
        start = self._ends[position - 1] if position else 0
        stored = bytes(self._texts[start : self._ends[position]])
        return None if stored == b"\xff" else stored.decode("utf-8", "surrogatepass")

    def __contains__(self, key: object) -> bool:
        return key in self._ids

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class Memberships(PackedSequence[Membership]):
    """Memberships, packed."""

    def __init__(self) -> None:
        self._organizations, self._users = IdColumn(), IdColumn()
        self._roles: Interned[frozenset[str]] = Interned()

    def append(self, membership: Membership) -> None:
        """Adds a membership at the end."""
        self._organizations.append(membership.organization_id)
        self._users.append(membership.user_id)
        self._roles.append(membership.roles)

    def __len__(self) -> int:
        return len(self._roles)

    def _at(self, position: int) -> Membership:
        return Membership(
            self._organizations[position], self._users[position], self._roles[position]
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
    memberships: Sequence[Membership] = ()
    unusable_emails: frozenset[_Text] = frozenset()


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


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What few decisions differ in."""

    outcome: Outcome
    reason: Reason | None
    homeless: Reason | None
    has_user: bool
    has_workspace: bool
    # Which of the candidates the slug is, counted from one; zero for none.
    slug: int
    kept: tuple[bool, bool, bool]


class _Index:
    """Positions of ids of any type."""

    def __init__(self, ids: IdColumn) -> None:
        self._sorted = PackedIds(ids.object_ids())
        self._order = array("I", bytes(4 * len(self._sorted)))
        self._others = {bson.encode({"": other}): n for n, other in ids.others.items()}
        for position, identifier in enumerate(ids):
            if position not in ids.others:
                self._order[self._sorted.position(identifier)] = position

    def position(self, identifier: Any) -> int:
        if type(identifier) is not ObjectId:
            return self._others.get(bson.encode({"": identifier}), -1)
        found = self._sorted.position(identifier)
        return -1 if found < 0 else self._order[found]


class Decisions(PackedSequence[UserDecision]):
    """Decisions, packed, and found by the id of the legacy user.

    Args:
        decisions: One for each legacy user.
    """

    def __init__(self, decisions: Iterable[UserDecision] = ()) -> None:
        self._ids, self._users, self._workspaces = IdColumn(), IdColumn(), IdColumn()
        self._verdicts: Interned[_Verdict] = Interned()
        self._index: _Index | None = None
        for decision in decisions:
            self._append(decision)

    def _append(self, decision: UserDecision) -> None:
        user_id, workspace, slug = decision.user_id, decision.workspace, decision.slug
        self._ids.append(decision.legacy_id)
        self._users.append(_NOBODY if user_id is None else user_id)
        self._workspaces.append(_NOBODY if workspace is None else workspace)
        number = 0
        if slug is not None and user_id is not None:
            candidates = enumerate(slug_candidates(user_id), 1)
            number = next(n for n, candidate in candidates if candidate == slug)
        self._verdicts.append(
            _Verdict(
                decision.outcome,
                decision.reason,
                decision.homeless,
                user_id is not None,
                workspace is not None,
                number,
                (decision.keep_email, decision.keep_phone, decision.keep_referral_code),
            )
        )

    def position(self, legacy_id: Any) -> int:
        """Where the decision about a legacy user stands, -1 if there is none."""
        if self._index is None:
            self._index = _Index(self._ids)
        return self._index.position(legacy_id)

    def __len__(self) -> int:
        return len(self._ids)

    def _at(self, position: int) -> UserDecision:
        verdict = self._verdicts[position]
        user_id = self._users[position] if verdict.has_user else None
        slug = None
        if verdict.slug:
            slug = next(islice(slug_candidates(self._users[position]), verdict.slug - 1, None))
        email, phone, code = verdict.kept
        return UserDecision(
            self._ids[position],
            verdict.outcome,
            verdict.reason,
            user_id,
            self._workspaces[position] if verdict.has_workspace else None,
            verdict.homeless,
            slug,
            email,
            phone,
            code,
        )


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
    keys = legacy if isinstance(legacy, Sequence) else list(legacy)
    refused = _refused_duplicates(keys, target, duplicates)
    legacy_ids = PackedIds(key.id for key in keys if isinstance(key.id, ObjectId))
    by_email = _by_email(keys, target)
    of_user = _Grouped(target.memberships, lambda m: m.user_id)
    of_organization = _Grouped(target.memberships, lambda m: m.organization_id)
    slugs = _TakenSlugs(keys, by_email, target)
    # Who has what; an address of a user nothing can refer to is nobody's to claim.
    emails = _Claimed(keys, target, lambda known: known.email, others=target.unusable_emails)
    phones = _Claimed(keys, target, lambda known: known.phone)
    codes = _Claimed(keys, target, lambda known: known.referral_code)

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
        home = _owned(of_user[user_id])
        slug: str | None = None
        if home is None:
            home = organization_id(user_id)
            if home not in target.organizations:
                slug = choose_slug(user_id, slugs)
                slugs.add(slug)
            else:
                members = [membership.user_id for membership in of_organization[home]]
                if members and user_id not in members:
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
            or emails.claim(key.email, user_id),
            keep_phone=(known is not None and known.phone is not None)
            or phones.claim(key.phone, user_id),
            keep_referral_code=(known is not None and known.referral_code is not None)
            or codes.claim(key.referral_code, user_id),
        )


def directory_after(
    legacy_ids: Iterable[object], decisions: Iterable[UserDecision], target: Target
) -> Directory:
    """Who is who once the decisions have been carried out.

    A quarantined user stays without a workspace, and his documents are told why. A user the
    decisions do not concern keeps the workspace his memberships give him.
    """
    decided = decisions if isinstance(decisions, Sequence) else list(decisions)
    of_user = _Grouped(target.memberships, lambda m: m.user_id)
    stand = [d for d in decided if d.user_id is None and isinstance(d.legacy_id, ObjectId)]
    placed = _Placed(decided)
    return Directory(
        organizations=PackedIds(chain(target.organizations, (home for _, home in placed))),
        users=PackedIds(
            chain(
                target.users,
                (i for i in legacy_ids if isinstance(i, ObjectId)),
                (d.user_id for d in decided if d.user_id is not None),
            )
        ),
        aliases={
            d.legacy_id: d.user_id
            for d in decided
            if d.outcome is Outcome.ALIASED and d.user_id is not None
        },
        homes=PackedMap(
            chain(
                ((d.legacy_id, Reason.OWNER_QUARANTINED) for d in stand),
                # One who was migrated before, and cannot be read today, stays where he is.
                ((user_id, home_of(found)) for user_id, found in of_user.items()),
                (
                    (d.legacy_id, Reason.OWNER_QUARANTINED)
                    for d in stand
                    if d.legacy_id not in target.users
                ),
                placed,
            )
        ),
        members=PackedGroups(
            chain(((m.user_id, m.organization_id) for m in target.memberships), placed)
        ),
    )


class _Placed:
    """Users and the workspaces they have after the decisions, each time they are asked for."""

    def __init__(self, decisions: Iterable[UserDecision]) -> None:
        self._decisions = decisions

    def __iter__(self) -> Iterator[tuple[ObjectId, ObjectId]]:
        return (
            (d.user_id, d.workspace)
            for d in self._decisions
            if d.user_id is not None and d.workspace is not None
        )


class _Grouped:
    """Memberships by one of their ids."""

    def __init__(
        self, memberships: Sequence[Membership], by: Callable[[Membership], ObjectId]
    ) -> None:
        self._memberships = memberships
        ids = IdColumn(map(by, memberships))
        self._keys = PackedIds(ids)
        self._ends = array("I", bytes(4 * len(self._keys)))
        for identifier in ids:
            self._ends[self._keys.position(identifier)] += 1
        for position in range(1, len(self._ends)):
            self._ends[position] += self._ends[position - 1]
        self._order = array("I", bytes(4 * len(ids)))
        free = array("I", [0, *self._ends])
        for number, identifier in enumerate(ids):
            position = self._keys.position(identifier)
            self._order[free[position]] = number
            free[position] += 1

    def __getitem__(self, identifier: ObjectId) -> list[Membership]:
        position = self._keys.position(identifier)
        return [] if position < 0 else self._group(position)

    def items(self) -> Iterator[tuple[ObjectId, list[Membership]]]:
        """The groups, by ascending ids."""
        return ((key, self._group(n)) for n, key in enumerate(self._keys))

    def _group(self, position: int) -> list[Membership]:
        start = self._ends[position - 1] if position else 0
        return [self._memberships[n] for n in self._order[start : self._ends[position]]]


class _Claimed:
    """Who has, or will have, what must be unique.

    Only what several want is remembered.
    """

    def __init__(
        self,
        keys: Sequence[LegacyKey],
        target: Target,
        value_of: Callable[[LegacyKey | TargetUser], _Text | None],
        *,
        others: Iterable[_Text] = (),
    ) -> None:
        def claimed() -> Iterator[_Text | None]:
            for key in keys:
                known = target.users.get(key.id) if isinstance(key.id, ObjectId) else None
                # What an existing user has is never written over, so he claims nothing.
                if known is None or value_of(known) is None:
                    yield value_of(key)

        held = ((value_of(user), user.id) for user in target.users.values())
        self._contested = repeated(chain(claimed(), map(value_of, target.users.values()), others))
        self._by: _Claims = dict.fromkeys(v for v in others if hash(v) in self._contested)
        self._by.update((v, i) for v, i in held if v and hash(v) in self._contested)

    def claim(self, value: _Text | None, user_id: ObjectId) -> bool:
        """Whether a user gets it: who asks first does."""
        if value is None or hash(value) not in self._contested:
            return True
        return self._by.setdefault(value, user_id) == user_id


class _TakenSlugs:
    """The slugs that are taken.

    Of those that are given out, only such as a second user would want are remembered.
    """

    def __init__(
        self,
        keys: Sequence[LegacyKey],
        by_email: Mapping[_Text, Sequence[TargetUser]],
        target: Target,
    ) -> None:
        self._there = hashes_of(target.organizations.values())
        legacy = (key.id for key in keys if isinstance(key.id, ObjectId))
        existing = (user.id for users in by_email.values() for user in users)
        self._wanted = repeated(next(slug_candidates(i)) for i in chain(legacy, existing))
        self._given: set[str] = set()

    def __contains__(self, slug: object) -> bool:
        position = bisect_left(self._there, hash(slug))
        if position < len(self._there) and self._there[position] == hash(slug):
            return True
        return slug in self._given

    def add(self, slug: str) -> None:
        """Gives one out."""
        if hash(slug) in self._wanted or len(slug) > _USUAL_SLUG:
            self._given.add(slug)


def _by_email(keys: Sequence[LegacyKey], target: Target) -> Mapping[_Text, Sequence[TargetUser]]:
    """Existing users by their address, as far as somebody else may have it too."""
    wanted = repeated(
        chain(
            (
                key.email
                for key in keys
                if not isinstance(key.id, ObjectId) or key.id not in target.users
            ),
            (user.email for user in target.users.values()),
        )
    )
    found: dict[_Text, list[TargetUser]] = defaultdict(list)
    for user in target.users.values():
        if user.email is not None and hash(user.email) in wanted:
            found[user.email].append(user)
    return found


def _owned(memberships: Iterable[Membership]) -> ObjectId | Reason | None:
    """The organization a user owns.

    A legacy user who is only a member of somebody else's organization has none here: he gets
    one of his own, so that shared documents do not move.
    """
    owners = [membership for membership in memberships if "owner" in membership.roles]
    return home_of(owners) if owners else None


def _refused_duplicates(
    keys: Sequence[LegacyKey], target: Target, policy: DuplicatePolicy
) -> set[int]:
    shared = repeated(key.email for key in keys if isinstance(key.id, ObjectId))
    groups: dict[_Text, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key.email is not None and isinstance(key.id, ObjectId) and hash(key.email) in shared:
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
    by_email: Mapping[_Text, Sequence[TargetUser]],
    legacy_ids: PackedIds,
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
