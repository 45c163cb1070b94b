"""What must hold across collections once a database is migrated: who is who, and what is whose.

Each rule is a value; the checks are pure and take facts, so that they can be tested without a
server. How the facts are read is decided in :mod:`newbi_migrate.migration.validate`. It changes
when the migrated structure has to keep another promise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import bson
from bson import ObjectId

from newbi_migrate.invariants.base import Severity
from newbi_migrate.mapping.account import CREDENTIAL
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.email import is_normalised, normalise_email
from newbi_migrate.mapping.ids import account_id
from newbi_migrate.mapping.values import flag, text
from newbi_migrate.mapping.workspace import Action, Reason, Resolution, WorkspaceClass

__all__ = [
    "STRUCTURAL",
    "AccountFact",
    "MemberFact",
    "Offence",
    "OrganizationFact",
    "People",
    "StructuralRule",
    "UserFact",
    "check_people",
    "rule_broken_by",
]


@dataclass(frozen=True, slots=True)
class StructuralRule:
    """A rule about how documents of several collections belong together.

    Attributes:
        id: Stable identifier, in lower case with hyphens.
        sentence: The rule in one sentence.
        severity: What a violation means.
        next_step: What to do about one.
        asked: How the server is asked, in a phrase.
    """

    id: str
    sentence: str
    severity: Severity
    next_step: str
    asked: str


STRUCTURAL: Final[dict[str, StructuralRule]] = {}
"""All structural rules, by id."""

_PEOPLE: Final = "Keys of the users' collections are read and compared"
_GROUPS: Final = "One `$group` on workspace and owner, decided group by group"
_REFERENCES: Final = "One `$group` on the references, looked up together"
_INDEXES: Final = "`listIndexes`"
_RECORDS: Final = "The run's record and its users are read"


def _rule(
    id_: str,
    sentence: str,
    next_step: str,
    asked: str = _PEOPLE,
    severity: Severity = Severity.CRITICAL,
) -> StructuralRule:
    made = StructuralRule(id_, sentence, severity, next_step, asked)
    STRUCTURAL[id_] = made
    return made


ACCOUNTED_FOR = _rule(
    "legacy-user.accounted-for",
    "Every legacy user is there under his id or another's, or was left out and recorded so.",
    "See what the plan says of him, and migrate again.",
)
HAS_WORKSPACE = _rule(
    "legacy-user.has-workspace",
    "Every migrated user is a member of the workspace of his documents.",
    "Migrate again: it adds what is missing.",
)
ONE_CREDENTIAL = _rule(
    "legacy-user.one-credential",
    "Every migrated user with a password has exactly one account to sign in with it.",
    "Migrate again if there is none; of several keep the one he signs in with.",
)
HASH_UNCHANGED = _rule(
    "legacy-user.hash-unchanged",
    "The account made for a user holds the very hash he had.",
    "Find out who changed it; the legacy document still holds the hash.",
)
PASSWORD_DIFFERS = _rule(
    "legacy-user.password-elsewhere",
    "The password of an account that a migration did not make, or that was changed since, is the "
    "legacy one.",
    "Nothing, if the user chose a new password; else let him reset it.",
    severity=Severity.INFO,
)
USER_ID_TYPE = _rule(
    "user.id-type",
    "The _id of a user is an ObjectId.",
    "Nothing can refer to this user; store him again under an ObjectId.",
)
EMAIL_NORMAL = _rule(
    "user.email-normal",
    "The e-mail of a user is there, in lower case and without blanks around it.",
    "Sign-in looks it up in lower case and does not find it; correct it.",
)
EMAIL_UNIQUE = _rule(
    "user.email-unique",
    "No two users have the same e-mail, but for case and blanks.",
    "Keep one of the users, or correct an address.",
)
FLAGS_AGREE = _rule(
    "user.flags-consistent",
    "emailVerified and isEmailVerified of a user agree, and so do isActive and isDisabled.",
    "Decide which is right and set the other.",
)
NO_POINTERS = _rule(
    "user.no-pointers",
    "A user names no organization himself: membership is the only link.",
    "Remove organizationId and workspaceId from the user: they go stale unseen.",
    severity=Severity.WARNING,
)
USER_BELONGS = _rule(
    "user.belongs",
    "Every user is a member of an organization.",
    "He sees no documents; migrate him, or make him a member.",
    severity=Severity.WARNING,
)
ACCOUNT_IDS = _rule(
    "account.ids",
    "An account names its user by ObjectId, and a credential account by hexadecimal text too.",
    "Sign-in does not find it; correct userId and accountId.",
)
ACCOUNT_USER = _rule(
    "account.user-exists",
    "The user of an account exists.",
    "Remove the account, or restore the user.",
)
ORGANIZATION_ID_TYPE = _rule(
    "organization.id-type",
    "The _id of an organization is an ObjectId.",
    "Nothing can refer to it; store it again under an ObjectId.",
)
HAS_OWNER = _rule(
    "organization.has-owner",
    "Every organization has a member who is its owner, and who exists.",
    "Make one of its members the owner.",
)
SLUG_UNIQUE = _rule(
    "organization.slug-unique",
    "Every organization has a slug, and no two have the same.",
    "Give one of them another slug.",
)
MEMBER_IDS = _rule(
    "member.ids",
    "A membership names its organization and its user by ObjectIds.",
    "The application does not see it; correct the ids or remove it.",
)
MEMBER_POINTS = _rule(
    "member.points-somewhere",
    "The organization and the user of a membership exist.",
    "Remove the membership: that of a missing user breaks the list for everybody in it.",
)
MEMBER_ONCE = _rule(
    "member.once",
    "A user is a member of an organization once.",
    "Keep one of the memberships.",
)
SESSION_POINTS = _rule(
    "session.points-somewhere",
    "The active organization of a session exists.",
    "Remove the session: the user signs in again.",
    _REFERENCES,
    Severity.WARNING,
)
WORKSPACE_PRESENT = _rule(
    "document.workspace-present",
    "Every document has a workspace.",
    "Run backfill; what it leaves out it lists with the reason.",
    _GROUPS,
)
WORKSPACE_TYPE = _rule(
    "document.workspace-type",
    "The workspace of a document is stored in the BSON type of its collection.",
    "Run backfill: it writes the same workspace in the right type.",
    _GROUPS,
)
WORKSPACE_EXISTS = _rule(
    "document.workspace-exists",
    "The workspace of a document exists.",
    "Run backfill; what it leaves out it lists with the reason.",
    _GROUPS,
)
OWNER_BELONGS = _rule(
    "document.owner-belongs",
    "The owner of a document is a member of its workspace.",
    "Decide which is right: make the owner a member, or set the other workspace.",
    _GROUPS,
)
PARENT_WORKSPACE = _rule(
    "document.parent-workspace",
    "A document that belongs to another shares its workspace.",
    "Decide which is right and set the other.",
    _GROUPS,
)
OWNER_TYPE = _rule(
    "document.owner-type",
    "The owner of a document is named by an ObjectId.",
    "The application looks owners up by ObjectId; store the same id as one.",
    _GROUPS,
)
OWNER_FOLLOWS = _rule(
    "document.owner-follows",
    "No document names a user by an id he no longer has.",
    "Run backfill: it writes the id he has now.",
    _GROUPS,
)
READABLE = _rule(
    "document.readable",
    "The fields that say whose a document is can be decoded.",
    "Repair the stored bytes; a backup holds them as they are.",
    _GROUPS,
)
COMPANION_WORKSPACE = _rule(
    "document.companion-workspace",
    "A document that refers to another of the same business shares its workspace.",
    "Decide which workspace is right and set the other.",
    _REFERENCES,
)
KEY_HOLDS = _rule(
    "key.unique",
    "No two documents share a key that is to be unique.",
    "Decide which keeps it; nothing is ever renumbered here.",
    "One `$group` on the key, where no unique index proves it",
)
KEY_HINDERED = _rule(
    "key.not-hindered",
    "Documents without a workspace share no key, so that its unique index can be built.",
    "Resolve them: what backfill leaves out it lists with the reason.",
    "One `$group` on the key, where no unique index proves it",
    Severity.WARNING,
)
KEY_WILL_HOLD = _rule(
    "key.stays-unique",
    "No two documents will share a unique key once the application has added what they lack.",
    "Decide which keeps it, before the application writes the missing field.",
    "One `$group` on the key, where some documents have the missing field and others lack it",
    Severity.WARNING,
)
INDEX_PRESENT = _rule(
    "index.present",
    "Every index the plan creates is there.",
    "Run migrate or backfill again: they create what is missing.",
    _INDEXES,
)
INDEX_CONFLICT = _rule(
    "index.no-conflict",
    "No index stands in the way of one that is wanted.",
    "Run indexes to see both, and indexes --apply to replace it.",
    _INDEXES,
    Severity.WARNING,
)
INDEX_OBSOLETE = _rule(
    "index.none-obsolete",
    "No unique or text index of the old structure is left.",
    "Run indexes --apply to drop it, once the application no longer needs it.",
    _INDEXES,
    Severity.WARNING,
)
RUN_FINISHED = _rule(
    "run.finished",
    "No run is unfinished.",
    "Finish it: the same command again.",
    _RECORDS,
)
LEFT_OUT_AS_RECORDED = _rule(
    "run.left-out-as-recorded",
    "No more documents are left out than the run recorded.",
    "Run backfill --dry-run --verbose to see each with its reason.",
    _RECORDS,
)
NOTHING_ELSE_CHANGED = _rule(
    "run.nothing-else-changed",
    "Nothing changed but what the journal of the run says.",
    "Compare the documents with those of the backup; changes people made since are listed too.",
    "A digest of each collection, against that of before the run",
)


@dataclass(frozen=True, slots=True)
class Offence:
    """A structural rule that one document breaks.

    Attributes:
        rule: The rule.
        collection: Where.
        id: The document; ``None`` where it is about a whole collection.
        path: The field.
        note: A fact that helps, without a stored value; empty mostly.
    """

    rule: StructuralRule
    collection: str
    id: Any
    path: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class UserFact:
    """What has to be known of a user; ``document`` holds his flags and pointers."""

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
        return isinstance(self.role, str) and "owner" in map(str.strip, self.role.split(","))


@dataclass(frozen=True, slots=True)
class People:
    """Who is who, as the collections of users say.

    Attributes:
        source: Name of the legacy users' collection; empty if it is no longer there.
        decisions: What a migration would do with each legacy user now.
        hashes: Key of a legacy user's id to a digest of the password hash that is to be carried
            over; a user without one, or whose hash is not to be, is not in it.
        left_out: Keys of legacy users that a run recorded as left out.
        users: The users.
        accounts: Their accounts.
        organizations: The organizations.
        members: The memberships.
    """

    source: str = ""
    decisions: Sequence[UserDecision] = ()
    hashes: Mapping[bytes, bytes] = field(default_factory=dict)
    left_out: frozenset[bytes] = frozenset()
    users: Sequence[UserFact] = ()
    accounts: Sequence[AccountFact] = ()
    organizations: Sequence[OrganizationFact] = ()
    members: Sequence[MemberFact] = ()


def key_of(identifier: Any) -> bytes:
    """An ``_id`` of any type as a key of a set; equal for equal bytes alone."""
    return bson.encode({"": identifier})


def check_people(people: People) -> Iterator[Offence]:
    """Every structural rule about users, accounts, organizations and members that is broken."""
    yield from _legacy_users(people)
    yield from _users(people)
    yield from _accounts(people)
    yield from _organizations(people)
    yield from _members(people)


def _legacy_users(people: People) -> Iterator[Offence]:
    accounts: dict[object, list[AccountFact]] = defaultdict(list)
    for account in people.accounts:
        if account.provider == CREDENTIAL and isinstance(account.user_id, ObjectId):
            accounts[account.user_id].append(account)
    belonging = {
        (m.user_id, m.organization_id)
        for m in people.members
        if isinstance(m.user_id, ObjectId) and isinstance(m.organization_id, ObjectId)
    }
    for decision in people.decisions:
        key = key_of(decision.legacy_id)
        if decision.user_id is None or decision.outcome is Outcome.CREATED:
            if key not in people.left_out:
                note = "" if decision.reason is None else decision.reason.value
                yield Offence(ACCOUNTED_FOR, people.source, decision.legacy_id, "_id", note)
            continue
        home = (decision.user_id, decision.workspace)
        if decision.workspace is not None and home not in belonging and key not in people.left_out:
            yield Offence(HAS_WORKSPACE, people.source, decision.legacy_id, "_id")
        carried = people.hashes.get(key)
        if carried is not None and key not in people.left_out:
            yield from _password(people, decision, carried, accounts[decision.user_id])


def _password(
    people: People, decision: UserDecision, carried: bytes, found: Sequence[AccountFact]
) -> Iterator[Offence]:
    if len(found) != 1:
        note = f"{len(found)} accounts"
        yield Offence(ONE_CREDENTIAL, people.source, decision.legacy_id, "password", note)
        return
    account = found[0]
    if account.password == carried:
        return
    ours = decision.user_id is not None and account.id == account_id(decision.user_id)
    rule = HASH_UNCHANGED if ours and account.untouched else PASSWORD_DIFFERS
    yield Offence(rule, "account", account.id, "password")


def _users(people: People) -> Iterator[Offence]:
    addresses = Counter(
        address for user in people.users if (address := normalise_email(user.email)) is not None
    )
    belonging = {
        member.user_id for member in people.members if isinstance(member.user_id, ObjectId)
    }
    for user in people.users:
        if not isinstance(user.id, ObjectId):
            yield Offence(USER_ID_TYPE, "user", user.id, "_id")
        address = normalise_email(user.email)
        if address is None or not is_normalised(user.email):
            yield Offence(EMAIL_NORMAL, "user", user.id, "email")
        if address is not None and addresses[address] > 1:
            yield Offence(EMAIL_UNIQUE, "user", user.id, "email")
        for new, old, opposite in (
            ("emailVerified", "isEmailVerified", False),
            ("isActive", "isDisabled", True),
        ):
            says, said = flag(user.document.get(new)), flag(user.document.get(old))
            if says is not None and said is not None and (says is said) is opposite:
                yield Offence(FLAGS_AGREE, "user", user.id, new)
        for name in ("organizationId", "workspaceId"):
            if name in user.document:
                yield Offence(NO_POINTERS, "user", user.id, name)
        if isinstance(user.id, ObjectId) and user.id not in belonging:
            yield Offence(USER_BELONGS, "user", user.id, "_id")


def _accounts(people: People) -> Iterator[Offence]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    for account in people.accounts:
        if not isinstance(account.user_id, ObjectId):
            yield Offence(ACCOUNT_IDS, "account", account.id, "userId")
            continue
        if account.provider == CREDENTIAL and account.account_id != str(account.user_id):
            yield Offence(ACCOUNT_IDS, "account", account.id, "accountId")
        if account.user_id not in users:
            yield Offence(ACCOUNT_USER, "account", account.id, "userId")


def _organizations(people: People) -> Iterator[Offence]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    owned = {
        m.organization_id
        for m in people.members
        if m.is_owner and isinstance(m.organization_id, ObjectId) and m.user_id in _ids(users, m)
    }
    slugs = Counter(slug for o in people.organizations if (slug := text(o.slug)) is not None)
    for organization in people.organizations:
        if not isinstance(organization.id, ObjectId):
            yield Offence(ORGANIZATION_ID_TYPE, "organization", organization.id, "_id")
            continue
        if organization.id not in owned:
            yield Offence(HAS_OWNER, "organization", organization.id)
        slug = text(organization.slug)
        if slug is None or slugs[slug] > 1:
            yield Offence(SLUG_UNIQUE, "organization", organization.id, "slug")


def _ids(users: set[Any], member: MemberFact) -> set[Any]:
    # What is no ObjectId may not even be hashable.
    return users if isinstance(member.user_id, ObjectId) else set()


def _members(people: People) -> Iterator[Offence]:
    users = {user.id for user in people.users if isinstance(user.id, ObjectId)}
    organizations = {o.id for o in people.organizations if isinstance(o.id, ObjectId)}
    seen: set[tuple[ObjectId, ObjectId]] = set()
    for member in people.members:
        organization, user = member.organization_id, member.user_id
        if not isinstance(organization, ObjectId) or not isinstance(user, ObjectId):
            path = "userId" if isinstance(organization, ObjectId) else "organizationId"
            yield Offence(MEMBER_IDS, "member", member.id, path)
            continue
        if organization not in organizations:
            yield Offence(MEMBER_POINTS, "member", member.id, "organizationId")
        elif user not in users:
            yield Offence(MEMBER_POINTS, "member", member.id, "userId")
        if (organization, user) in seen:
            yield Offence(MEMBER_ONCE, "member", member.id)
        seen.add((organization, user))


_OF_CLASS: Final[Mapping[WorkspaceClass, StructuralRule]] = {
    WorkspaceClass.MISSING: WORKSPACE_PRESENT,
    WorkspaceClass.NULL: WORKSPACE_PRESENT,
    WorkspaceClass.BLANK: WORKSPACE_PRESENT,
    WorkspaceClass.WRONG_TYPE: WORKSPACE_TYPE,
    WorkspaceClass.DANGLING: WORKSPACE_EXISTS,
    WorkspaceClass.USER_ID: WORKSPACE_EXISTS,
    WorkspaceClass.FOREIGN: OWNER_BELONGS,
}


def rule_broken_by(resolution: Resolution) -> StructuralRule | None:
    """The rule about its workspace or owner that a document breaks, ``None`` if it keeps all.

    Args:
        resolution: What :func:`~newbi_migrate.mapping.workspace.resolve` says of it as it is.
    """
    if resolution.action is Action.KEEP:
        return None
    if resolution.reason is Reason.UNREADABLE:
        return READABLE
    if resolution.reason is Reason.PARENT_ELSEWHERE:
        return PARENT_WORKSPACE
    if resolution.stored is None:
        return OWNER_FOLLOWS
    return _OF_CLASS.get(resolution.stored, OWNER_FOLLOWS)


def rules_in_order() -> Iterable[StructuralRule]:
    """All structural rules, in the order in which they are declared."""
    return STRUCTURAL.values()
