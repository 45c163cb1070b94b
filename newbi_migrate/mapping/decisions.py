"""One decision for each legacy user, with its reason, from what is known of all of them.

E-mail addresses, phone numbers, codes and slugs must be unique among users, so they can only
be decided together. Users may be a million: what is known of all of them is packed.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import bson
from bson import ObjectId

from newbi_migrate.choices import AliasPolicy, DuplicatePolicy
from newbi_migrate.mapping.email import is_normalised, normalise_email
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.packed import (
    IdColumn,
    InAnyOf,
    Interned,
    PackedGroups,
    PackedIds,
    PackedMap,
    PackedMapping,
    PackedSequence,
    TextColumn,
    digest_of,
    grouped,
    head_of,
    repeated,
    tail_of,
)
from newbi_migrate.mapping.slug import choose_slug, slug_candidates
from newbi_migrate.mapping.user import phone_of, referral_code_of
from newbi_migrate.mapping.values import flag, text
from newbi_migrate.mapping.workspace import Membership, Reason, Workspaces, workspace_of

__all__ = [
    "Decisions",
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
    "workspaces_after",
    "workspaces_now",
]

# A text, or its digest where many are kept.
_Text = str | bytes
_NOBODY = ObjectId(bytes(12))


class Outcome(StrEnum):
    """What becomes of a legacy user."""

    CREATED = "created"
    PRESENT = "present"
    ALIASED = "aliased"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class LegacyKey:
    """What has to be known of every legacy user to decide about any of them.

    Attributes:
        id: The stored ``_id``, of whatever type.
        email: The normalised address, if there is one.
        normalized: Whether the address is stored in the form in which it is looked up.
        phone: Phone number, which Better Auth treats as unique.
        referral_code: The user's own code, unique in the application.
        readable: Whether the document could be decoded.
    """

    id: Any
    email: _Text | None
    normalized: bool = True
    phone: _Text | None = None
    referral_code: _Text | None = None
    readable: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any], *, readable: bool = True) -> LegacyKey:
        """The key of a legacy user's document; of one that could not be decoded the id alone."""
        if not readable:
            return cls(document.get("_id"), None, readable=False)
        return cls(
            id=document.get("_id"),
            email=normalise_email(document.get("email")),
            normalized=is_normalised(document.get("email")),
            phone=phone_of(document),
            referral_code=referral_code_of(document),
        )


class LegacyKeys(PackedSequence[LegacyKey]):
    """Keys of legacy users, packed, with digests in place of texts."""

    def __init__(self) -> None:
        self.ids = IdColumn()
        self.emails, self.phones, self.codes = TextColumn(), TextColumn(), TextColumn()
        self._flags: Interned[tuple[bool, bool]] = Interned()

    @classmethod
    def of(cls, keys: Iterable[LegacyKey]) -> Self:
        """Some keys."""
        found = cls()
        for key in keys:
            found.append(key)
        return found

    def append(self, key: LegacyKey) -> None:
        """Add a key at the end."""
        self.ids.append(key.id)
        self.emails.append(key.email)
        self.phones.append(key.phone)
        self.codes.append(key.referral_code)
        self._flags.append((key.normalized, key.readable))

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, position: int) -> LegacyKey:
        """The key at a position."""
        normalized, readable = self._flags.at(position)
        return LegacyKey(
            self.ids.at(position),
            self.emails.at(position),
            normalized,
            self.phones.at(position),
            self.codes.at(position),
            readable,
        )


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


class TargetUsers(PackedMapping[TargetUser]):
    """Users who already exist, by id, packed, with digests in place of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.emails, self.phones, self.codes = TextColumn(), TextColumn(), TextColumn()
        self._verified: Interned[bool] = Interned()

    @classmethod
    def of(cls, target: Target) -> TargetUsers:
        """The users of a target."""
        if isinstance(target.users, TargetUsers):
            return target.users
        found = cls()
        for _, user in sorted(target.users.items()):
            found.append(user)
        return found

    def id_at(self, position: int) -> ObjectId:
        """The id of the user who stands there."""
        return self._keys.at(position)

    def append(self, user: TargetUser) -> None:
        """Add a user whose id is greater than all that are there."""
        self._keys.append(user.id)
        self.emails.append(user.email)
        self.phones.append(user.phone)
        self.codes.append(user.referral_code)
        self._verified.append(user.verified)

    def at(self, position: int) -> TargetUser:
        """The user who stands at a position."""
        return TargetUser(
            self._keys.at(position),
            self.emails.at(position),
            self._verified.at(position),
            self.phones.at(position),
            self.codes.at(position),
        )


class Slugs(PackedMapping[str | None]):
    """Slugs of organizations, by their ids, packed; ``None`` where there is no slug."""

    def __init__(self) -> None:
        super().__init__()
        self._texts, self._ends = bytearray(), array("Q")

    def append(self, identifier: ObjectId, slug: str | None) -> None:
        """Add the slug of an organization whose id is greater than all that are there."""
        self._keys.append(identifier)
        # No text holds this byte in UTF-8, so it says that there is none.
        self._texts += b"\xff" if slug is None else slug.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._texts))

    def at(self, position: int) -> str | None:
        """The slug of the organization that stands at a position."""
        start = self._ends[position - 1] if position else 0
        stored = bytes(self._texts[start : self._ends[position]])
        return None if stored == b"\xff" else stored.decode("utf-8", "surrogatepass")


class Memberships(PackedSequence[Membership]):
    """Memberships, packed.

    Args:
        memberships: The first ones.
    """

    def __init__(self, memberships: Iterable[Membership] = ()) -> None:
        self.organizations, self.users = IdColumn(), IdColumn()
        self._roles: Interned[frozenset[str]] = Interned()
        for membership in memberships:
            self.append(membership)

    def append(self, membership: Membership) -> None:
        """Add a membership at the end."""
        self.organizations.append(membership.organization_id)
        self.users.append(membership.user_id)
        self._roles.append(membership.roles)

    def __len__(self) -> int:
        return len(self._roles)

    def at(self, position: int) -> Membership:
        """The membership at a position."""
        return Membership(
            self.organizations.at(position), self.users.at(position), self._roles.at(position)
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
        reason: Why they are quarantined.
        user_id: Id under which they are known afterwards; ``None`` if quarantined.
        workspace: Their workspace afterwards; ``None`` if there is not a single one.
        no_workspace_reason: Why a migrated user has no workspace: they own several, or they left
            the one that was made for them, and a migration does not bring them back into it.
        slug: Slug of the organization to create; ``None`` where none is created.
        keep_email: Whether their e-mail address may be filled into a user who has none; another
            may have it already.
        keep_phone: Likewise for the phone number, which becomes theirs.
        keep_referral_code: Likewise for the referral code.
    """

    legacy_id: Any
    outcome: Outcome
    reason: Reason | None = None
    user_id: ObjectId | None = None
    workspace: ObjectId | None = None
    no_workspace_reason: Reason | None = None
    slug: str | None = None
    keep_email: bool = True
    keep_phone: bool = True
    keep_referral_code: bool = True


class _Verdict(NamedTuple):
    """What few decisions differ in."""

    outcome: Outcome
    reason: Reason | None
    no_workspace_reason: Reason | None
    has_user: bool
    has_workspace: bool
    # Which of the candidates the slug is, counted from one; zero for none.
    slug: int
    keep_email: bool
    keep_phone: bool
    keep_referral_code: bool


class _Index:
    """Positions of ids of any type."""

    def __init__(self, ids: IdColumn) -> None:
        self._sorted = PackedIds.of_rows(ids.object_ids())
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
                decision.no_workspace_reason,
                user_id is not None,
                workspace is not None,
                number,
                decision.keep_email,
                decision.keep_phone,
                decision.keep_referral_code,
            )
        )

    def position(self, legacy_id: Any) -> int:
        """Where the decision about a legacy user stands, -1 if there is none."""
        if self._index is None:
            self._index = _Index(self._ids)
        return self._index.position(legacy_id)

    def __len__(self) -> int:
        return len(self._ids)

    def at(self, position: int) -> UserDecision:
        """The decision at a position."""
        verdict = self._verdicts.at(position)
        user_id = self._users.at(position) if verdict.has_user else None
        slug = None
        if verdict.slug:
            slug = next(islice(slug_candidates(self._users.at(position)), verdict.slug - 1, None))
        return UserDecision(
            self._ids.at(position),
            verdict.outcome,
            verdict.reason,
            user_id,
            self._workspaces.at(position) if verdict.has_workspace else None,
            verdict.no_workspace_reason,
            slug,
            verdict.keep_email,
            verdict.keep_phone,
            verdict.keep_referral_code,
        )

    def users(self) -> Iterator[bytes]:
        """The packed ids of users, as they are known afterwards."""
        return (
            row for row, v in zip(self._users.rows(), self._verdicts, strict=True) if v.has_user
        )

    def placed(self) -> Iterator[tuple[bytes, bytes]]:
        """The packed ids of users with those of their workspaces, where they have one."""
        rows = zip(self._users.rows(), self._workspaces.rows(), self._verdicts, strict=True)
        return ((user, workspace) for user, workspace, v in rows if v.has_user and v.has_workspace)

    def quarantined(self) -> Iterator[ObjectId]:
        """The legacy ids of those who are quarantined, where they are ObjectIds."""
        rows = enumerate(zip(self._ids.rows(), self._verdicts, strict=True))
        return (
            ObjectId(row) for n, (row, v) in rows if not v.has_user and n not in self._ids.others
        )

    def other_ids(self) -> Iterator[Any]:
        """The legacy ids that are no ObjectIds: nothing can refer to these users."""
        return iter(self._ids.others.values())

    def aliases(self) -> Iterator[tuple[ObjectId, ObjectId]]:
        """The legacy ids of those who are known by another id, with that."""
        rows = zip(self._ids.rows(), self._users.rows(), self._verdicts, strict=True)
        return (
            (ObjectId(row), ObjectId(user))
            for row, user, v in rows
            if v.has_user and v.outcome is Outcome.ALIASED
        )


def decide_users(
    legacy: Iterable[LegacyKey],
    target: Target,
    *,
    duplicates: DuplicatePolicy = DuplicatePolicy.QUARANTINE,
    aliases: AliasPolicy = AliasPolicy.VERIFIED,
    became: Mapping[ObjectId, ObjectId] | None = None,
) -> Iterator[UserDecision]:
    """Decide about every legacy user, in the order in which they are given.

    The order matters only between users who want the same slug, phone number or referral
    code: the first gets it. Give them in the order of their ids.

    Args:
        legacy: What has to be known of them.
        target: What is there already.
        duplicates: What becomes of those who share an address with another.
        aliases: Who becomes an existing user with the same address.
        became: Those who became another user before, with that one: they stay that user, whatever
            the addresses and the choices are today.
    """
    keys = legacy if isinstance(legacy, LegacyKeys) else LegacyKeys.of(legacy)
    legacy_ids = PackedIds.of_rows(keys.ids.object_ids())
    users = TargetUsers.of(target)
    still_aliases = _still_aliases(became, users)
    refused = _quarantined_duplicates(keys, InAnyOf(users, still_aliases), duplicates)
    # Users who are, or became, a legacy user of their own.
    legacy_people = InAnyOf(
        legacy_ids, {other for own, other in still_aliases.items() if own in legacy_ids}
    )
    unusable = frozenset(map(digest_of, target.unusable_emails))
    wanted = _claims(keys, users)
    # Claims to what must be unique; addresses of users with unusable ids stay reserved.
    emails = _Claimed(wanted[0], users.emails, users, unusable)
    phones = _Claimed(wanted[1], users.phones, users)
    codes = _Claimed(wanted[2], users.codes, users)
    by_email = _by_email(emails, users)
    memberships = _Groups.of(target)
    slugs = _TakenSlugs(keys, by_email, still_aliases.values(), target)

    for position, key in enumerate(keys):
        found = (
            Reason.DUPLICATE_EMAIL
            if position in refused
            else _identity(key, users, still_aliases, unusable, by_email, legacy_people, aliases)
        )
        if isinstance(found, Reason):
            yield UserDecision(key.id, Outcome.QUARANTINED, reason=found)
            continue
        user_id, outcome = found
        workspace = _owned(memberships.of_user(user_id))
        slug: str | None = None
        if workspace is None:
            workspace = organization_id(user_id)
            if workspace not in target.organizations:
                slug = slugs.give(user_id)
            else:
                members = [m.user_id for m in memberships.of_organization(workspace)]
                if members and user_id not in members:
                    workspace = Reason.OWNER_WITHOUT_WORKSPACE
        known = users.get(user_id)
        yield UserDecision(
            key.id,
            outcome,
            user_id=user_id,
            workspace=None if isinstance(workspace, Reason) else workspace,
            no_workspace_reason=workspace if isinstance(workspace, Reason) else None,
            slug=slug,
            keep_email=(known is not None and known.email is not None)
            or emails.claim(key.email, user_id),
            keep_phone=(known is not None and known.phone is not None)
            or phones.claim(key.phone, user_id),
            keep_referral_code=(known is not None and known.referral_code is not None)
            or codes.claim(key.referral_code, user_id),
        )


def workspaces_after(
    legacy_ids: Iterable[object],
    decisions: Iterable[UserDecision],
    target: Target,
    became: Mapping[ObjectId, ObjectId] | None = None,
    *,
    waiting: Iterable[bytes] = (),
) -> Workspaces:
    """Who is who once the decisions have been carried out.

    A quarantined user stays without a workspace, and their documents are told why. A user the
    decisions do not concern keeps the workspace their memberships give them, and who became
    another user before stays that user, though nothing be decided about them.

    Args:
        legacy_ids: The ids of all legacy users.
        decisions: What becomes of them.
        target: What was there before.
        became: As for :func:`decide_users`.
        waiting: The packed ids of users who have no workspace, whatever their memberships are.
    """
    decided = decisions if isinstance(decisions, Decisions) else Decisions(decisions)
    ids = legacy_ids if isinstance(legacy_ids, IdColumn) else IdColumn(legacy_ids)
    memberships, still_aliases = _Groups.of(target), _still_aliases(became, target.users)
    quarantined, nowhere = decided.quarantined, Reason.OWNER_QUARANTINED
    return Workspaces(
        organizations=PackedIds.of_rows(
            chain(
                (i.binary for i in target.organizations),
                (workspace for _, workspace in decided.placed()),
            )
        ),
        users=PackedIds.of_rows(
            chain(
                (i.binary for i in target.users),
                ids.object_ids(),
                decided.users(),
                (i.binary for i in still_aliases),
            )
        ),
        aliases={**still_aliases, **dict(decided.aliases())},
        by_user=PackedMap(
            chain(
                ((i.binary, nowhere) for i in quarantined()),
                memberships.by_user(),
                # Users who were migrated before, and cannot be read today, stay where they are.
                ((i.binary, nowhere) for i in quarantined() if i not in target.users),
                ((user, Reason.OWNER_WITHOUT_WORKSPACE) for user in waiting),
                decided.placed(),
            )
        ),
        members=PackedGroups(
            chain(memberships.rows(), (user + workspace for user, workspace in decided.placed()))
        ),
    )


def workspaces_now(
    legacy_ids: Iterable[object],
    decisions: Iterable[UserDecision],
    target: Target,
    became: Mapping[ObjectId, ObjectId] | None = None,
) -> Workspaces:
    """Who is who as things are, before the decisions are carried out.

    An organization that a migration would create is no workspace yet, and whoever is to get one
    has none until then: their documents belong there, and not to where they are a member today.

    Args:
        legacy_ids: The ids of all legacy users.
        decisions: What a migration would make of them.
        target: What is there.
        became: As for :func:`decide_users`.
    """
    decided = decisions if isinstance(decisions, Decisions) else Decisions(decisions)
    known = PackedGroups(_Groups.of(target).rows())
    settled = Decisions(
        d for d in decided if d.user_id is None or d.workspace in known.get(d.user_id, frozenset())
    )
    waiting = (
        user
        for user, workspace in decided.placed()
        if ObjectId(workspace) not in known.get(ObjectId(user), frozenset())
    )
    return workspaces_after(legacy_ids, settled, target, became, waiting=waiting)


def _still_aliases(
    became: Mapping[ObjectId, ObjectId] | None, users: Container[object]
) -> dict[ObjectId, ObjectId]:
    """The recorded aliases that still hold: that user is there, and nobody has the legacy id."""
    return {
        own: other for own, other in (became or {}).items() if other in users and own not in users
    }


class _Groups:
    """The memberships of a target, by user and by organization."""

    def __init__(self, memberships: Memberships) -> None:
        self._all = memberships
        self._users: _Grouped | None = None
        self._organizations: _Grouped | None = None

    @classmethod
    def of(cls, target: Target) -> Self:
        """The memberships of a target."""
        found = target.memberships
        return cls(found if isinstance(found, Memberships) else Memberships(found))

    def of_user(self, user_id: ObjectId) -> list[Membership]:
        """Those of a user."""
        self._users = self._users or _Grouped(self._all.users)
        return [self._all.at(n) for n in self._users.positions(user_id)]

    def of_organization(self, identifier: ObjectId) -> list[Membership]:
        """Those in an organization."""
        self._organizations = self._organizations or _Grouped(self._all.organizations)
        return [self._all.at(n) for n in self._organizations.positions(identifier)]

    def by_user(self) -> Iterator[tuple[bytes, bytes | Reason]]:
        """The packed id of each user with that of the workspace, or why there is none."""
        for user_id in PackedIds.of_rows(self._all.users.rows()):
            workspace = workspace_of(self.of_user(user_id))
            yield user_id.binary, workspace if isinstance(workspace, Reason) else workspace.binary

    def rows(self) -> Iterator[bytes]:
        """Packed ids of users, each followed by that of an organization."""
        both = zip(self._all.users.rows(), self._all.organizations.rows(), strict=True)
        return (user + organization for user, organization in both)


class _Grouped:
    """Positions of equal ids in a column."""

    def __init__(self, ids: IdColumn) -> None:
        self._keys = PackedIds.of_rows(ids.rows())
        places = array("I", (self._keys.position(identifier) for identifier in ids))
        self._order, self._ends = grouped(places, len(self._keys))

    def positions(self, identifier: ObjectId) -> Sequence[int]:
        """Where an id stands."""
        place = self._keys.position(identifier)
        if place < 0:
            return ()
        return self._order[self._ends[place - 1] if place else 0 : self._ends[place]]


def _claims(keys: LegacyKeys, users: TargetUsers) -> tuple[TextColumn, TextColumn, TextColumn]:
    """The addresses, phone numbers and codes that legacy users want to have to themselves.

    What an existing user has is never written over, so they claim nothing.
    """
    if not len(users):
        return keys.emails, keys.phones, keys.codes
    emails, phones, codes = TextColumn(), TextColumn(), TextColumn()
    for key in keys:
        known = users.get(key.id) if isinstance(key.id, ObjectId) else None
        if known is None or known.email is None:
            emails.append(key.email)
        if known is None or known.phone is None:
            phones.append(key.phone)
        if known is None or known.referral_code is None:
            codes.append(key.referral_code)
    return emails, phones, codes


class _Claimed:
    """Who has, or will have, what must be unique.

    Only what several want is remembered.

    Args:
        wanted: What legacy users want.
        held: What existing users have, in their order.
        users: Those users.
        reserved: What nobody can get.
    """

    def __init__(
        self,
        wanted: TextColumn,
        held: TextColumn,
        users: TargetUsers,
        reserved: Iterable[bytes] = (),
    ) -> None:
        self.contested: frozenset[int] = frozenset()
        self._by: dict[bytes, ObjectId | None] = dict.fromkeys(reserved)
        if not len(wanted):
            return
        self.contested = repeated(wanted.heads(), held.heads(), map(head_of, self._by))
        for position, head in enumerate(held.heads() if self.contested else ()):
            value = held.at(position)
            if head in self.contested and value is not None:
                self._by[value] = users.id_at(position)

    def claim(self, value: _Text | None, user_id: ObjectId) -> bool:
        """Whether a user gets it: who asks first does."""
        if value is None or not self.contested or head_of(digest_of(value)) not in self.contested:
            return True
        return self._by.setdefault(digest_of(value), user_id) == user_id


class _TakenSlugs:
    """The slugs that are taken.

    Of those that are given out, only such as a second user would want are remembered.
    """

    def __init__(
        self,
        keys: LegacyKeys,
        by_email: Mapping[_Text, Sequence[TargetUser]],
        still_aliases: Iterable[ObjectId],
        target: Target,
    ) -> None:
        self._there = array(
            "q", sorted(hash(slug) for slug in target.organizations.values() if slug is not None)
        )
        existing = {user.id for users in by_email.values() for user in users}.union(still_aliases)
        # The first candidate ends with the end of the id.
        self._wanted = repeated(keys.ids.tails(), map(tail_of, existing))
        self._given: set[str] = set()

    def __contains__(self, slug: object) -> bool:
        position = bisect_left(self._there, hash(slug))
        if position < len(self._there) and self._there[position] == hash(slug):
            return True
        return slug in self._given

    def give(self, user_id: ObjectId) -> str:
        """The slug for the organization of a user, which is taken from then on."""
        slug = choose_slug(user_id, self)
        if tail_of(user_id) in self._wanted:
            self._given.add(slug)
        return slug


def _by_email(emails: _Claimed, users: TargetUsers) -> Mapping[_Text, Sequence[TargetUser]]:
    """Existing users by their address, as far as somebody else may have it too."""
    found: dict[_Text, list[TargetUser]] = defaultdict(list)
    if emails.contested:
        for position, head in enumerate(users.emails.heads()):
            if head in emails.contested:
                user = users[users.id_at(position)]
                if user.email is not None:
                    found[user.email].append(user)
    return found


def _owned(memberships: Iterable[Membership]) -> ObjectId | Reason | None:
    """The organization a user owns.

    A legacy user who is only a member of somebody else's organization has none here: they get
    one of their own, so that shared documents do not move.
    """
    owners = [membership for membership in memberships if "owner" in membership.roles]
    return workspace_of(owners) if owners else None


def _quarantined_duplicates(
    keys: LegacyKeys, migrated: Container[object], policy: DuplicatePolicy
) -> set[int]:
    groups: dict[_Text, list[int]] = defaultdict(list)
    shared = repeated(keys.emails.heads())
    for position, head in enumerate(keys.emails.heads() if shared else ()):
        email = keys.emails.at(position) if head in shared else None
        if email is not None and position not in keys.ids.others:
            groups[email].append(position)
    refused: set[int] = set()
    for positions in groups.values():
        if len(positions) == 1:
            continue
        # Whoever was migrated before has the address; that decision is not taken again.
        keepers = [p for p in positions if keys.ids[p] in migrated]
        if not keepers and policy is DuplicatePolicy.KEEP_NORMALIZED:
            keepers = [p for p in positions if keys[p].normalized]
        if len(keepers) > 1 and not all(keys.ids[p] in migrated for p in keepers):
            keepers = []
        refused.update(p for p in positions if p not in keepers)
    return refused


def _identity(
    key: LegacyKey,
    users: TargetUsers,
    still_aliases: Mapping[ObjectId, ObjectId],
    unusable: frozenset[bytes],
    by_email: Mapping[_Text, Sequence[TargetUser]],
    legacy_people: Container[object],
    aliases: AliasPolicy,
) -> tuple[ObjectId, Outcome] | Reason:
    if not isinstance(key.id, ObjectId):
        return Reason.ID_NOT_OBJECT_ID
    if not key.readable:
        return Reason.UNREADABLE
    if key.id in users:
        return key.id, Outcome.PRESENT
    if key.id in still_aliases:
        return still_aliases[key.id], Outcome.ALIASED
    if key.email is None:
        return Reason.EMAIL_MISSING
    if key.email in unusable:
        return Reason.ALIAS_AMBIGUOUS
    others = by_email.get(key.email)
    if not others:
        return key.id, Outcome.CREATED
    if len(others) > 1:
        return Reason.ALIAS_AMBIGUOUS
    other = others[0]
    if other.id in legacy_people:
        # That user is another legacy user, migrated before: two people, not one.
        return Reason.DUPLICATE_EMAIL
    if aliases is AliasPolicy.REFUSE:
        return Reason.ALIAS_REFUSED
    if aliases is AliasPolicy.VERIFIED and not other.verified:
        return Reason.ALIAS_UNVERIFIED
    return other.id, Outcome.ALIASED
