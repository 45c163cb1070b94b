"""What must hold across collections once a database is migrated: who is who, and what is whose.

Each rule is a value. What breaks the rules about people is decided in
:mod:`newbi_migrate.migration.validation.people_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from newbi_migrate.mapping.workspace import Action, Reason, Resolution, WorkspaceClass
from newbi_migrate.rules import Rule, Severity

__all__ = ["STRUCTURAL", "StructuralRule", "next_step_of", "rule_broken_by"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuralRule(Rule):
    """A rule about how documents of several collections belong together.

    Attributes:
        next_step: What to do about a violation.
        asked: How the server is asked, in a phrase.
        until_migrated: What to do while no migration is in place and done, where that is
            something else; empty where it is the same.
    """

    next_step: str
    asked: str
    until_migrated: str = ""


STRUCTURAL: Final[dict[str, StructuralRule]] = {}
"""All structural rules, by id."""
_ADVICE: Final = "Correct it in the application; nothing is ever changed for it here."
_CRITICAL_ADVICE: Final = "The application does not find this document; correct the field."

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
    *,
    until_migrated: str = "",
) -> StructuralRule:
    made = StructuralRule(
        id_, sentence, severity, next_step=next_step, asked=asked, until_migrated=until_migrated
    )
    STRUCTURAL[id_] = made
    return made


ACCOUNTED_FOR = _rule(
    "legacy-user.accounted-for",
    "Every legacy user has become a user, or is recorded as quarantined.",
    "Run migrate --dry-run --verbose to see what becomes of them, then migrate.",
)
HAS_WORKSPACE = _rule(
    "legacy-user.has-workspace",
    "Every migrated user is a member of the workspace of their documents.",
    "Run migrate: it adds what is missing.",
)
ONE_CREDENTIAL = _rule(
    "legacy-user.one-credential",
    "Every migrated user with a password has exactly one account to sign in with it.",
    "If there is none, run migrate; of several keep the one they sign in with.",
)
HASH_UNCHANGED = _rule(
    "legacy-user.hash-unchanged",
    "The account made for a user holds the very hash they had.",
    "Find out who changed it; the legacy document still holds the hash.",
)
PASSWORD_DIFFERS = _rule(
    "legacy-user.password-elsewhere",
    "The password of an account that a migration did not make, or that was changed since, is the "
    "legacy one.",
    "Nothing, if the user chose a new password; else let them reset it.",
    severity=Severity.INFO,
)
KEPT_OUT = _rule(
    "legacy-user.kept-out",
    "Whoever was disabled or banned in the legacy data is banned in Better Auth too.",
    "Better Auth lets them in again: set banned to true in user, unless they may come back.",
    severity=Severity.WARNING,
)
USER_ID_TYPE = _rule(
    "user.id-type",
    "The _id of a user is an ObjectId.",
    "Nothing can refer to this user; store them again under an ObjectId.",
)
EMAIL_NORMAL = _rule(
    "user.email-normal",
    "The e-mail of a user is there, in lower case and without blanks around it.",
    "Sign-in looks it up in lower case and does not find it; correct it.",
)
EMAIL_ACCEPTED = _rule(
    "user.email-accepted",
    "The e-mail of a user is one that Better Auth accepts.",
    "They cannot sign in: correct the address, in the legacy user if they are not migrated yet.",
    severity=Severity.WARNING,
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
    "A user document names no organization: membership is the only link.",
    "Remove organizationId and workspaceId from the user: they go stale unseen.",
    severity=Severity.WARNING,
)
USER_BELONGS = _rule(
    "user.belongs",
    "Every user is a member of an organization.",
    "They see no documents; migrate them, or make them a member.",
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
    "Run backfill, after migrate if users came too; it lists what it quarantines.",
    _GROUPS,
    until_migrated="Run migrate; it lists what it quarantines, with the reason.",
)
WORKSPACE_TYPE = _rule(
    "document.workspace-type",
    "The workspace of a document is stored in the BSON type of its collection.",
    "Run backfill: it writes the same workspace in the right type.",
    _GROUPS,
    until_migrated="Run migrate: it writes the same workspace in the right type.",
)
WORKSPACE_EXISTS = _rule(
    "document.workspace-exists",
    "The workspace of a document exists.",
    "Run backfill; it lists what it quarantines, with the reason.",
    _GROUPS,
    until_migrated="Run migrate; it lists what it quarantines, with the reason.",
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
    "Store the same id as an ObjectId; --unchanged and rollback allow for it.",
    _GROUPS,
)
OWNER_PRESENT = _rule(
    "document.owner-present",
    "A document that must have an owner names one.",
    "Nobody sees the document in their list: set its owner, best before a migration.",
    _GROUPS,
)
OWNER_FOLLOWS = _rule(
    "document.owner-follows",
    "No document names a user by an id they no longer have.",
    "Run backfill: it writes the id they have now.",
    _GROUPS,
    until_migrated="Run migrate: it writes the id they have now.",
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
    "Resolve them: backfill lists what it quarantines, with the reason.",
    "One `$group` on the key, where no unique index proves it",
    Severity.WARNING,
    until_migrated="Run migrate: it gives them a workspace, or lists them with the reason.",
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
    "Run indexes --apply: it builds what is missing, or says why it cannot.",
    _INDEXES,
    until_migrated="Run migrate: it builds what is missing, or says why it cannot.",
)
INDEX_CONFLICT = _rule(
    "index.no-conflict",
    "No index stands in the way of one that is wanted, and no collection is full of them.",
    "Drop the one in the way, unless the application needs it, or indexes that nobody uses; "
    "indexes --apply then builds it.",
    _INDEXES,
    Severity.WARNING,
    until_migrated="Drop the one in the way, unless the application needs it, or indexes that "
    "nobody uses; migrate then builds it.",
)
INDEX_OBSOLETE = _rule(
    "index.none-obsolete",
    "No unique or text index of the old structure is left.",
    "Run indexes --apply, once the application no longer needs it: its successor takes its place.",
    _INDEXES,
    Severity.WARNING,
    until_migrated="Nothing yet: after a migration indexes --apply swaps it for its successor.",
)
RUN_FINISHED = _rule(
    "run.finished",
    "No run is unfinished.",
    "Finish it: status names the command.",
    _RECORDS,
)
QUARANTINED_AS_RECORDED = _rule(
    "run.quarantined-as-recorded",
    "No more documents are quarantined than the run recorded.",
    "Run backfill --dry-run --verbose to see each with its reason.",
    _RECORDS,
)
NOTHING_ELSE_CHANGED = _rule(
    "run.nothing-else-changed",
    "Nothing changed but what the journal of the run says.",
    "Compare the documents with those of the backup; changes people made since are listed too.",
    "A digest of each collection, against that of before the run",
)

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


def next_step_of(rule: Rule, *, migrated: bool, going_back: bool) -> str:
    """What to do about a violation of a structural rule, or of a rule of a model.

    Args:
        rule: The rule.
        migrated: Whether a migration is in place and done: what tidies up after one is refused,
            or does harm, before that.
        going_back: Whether a rollback was interrupted, which every other command waits for.
    """
    if isinstance(rule, StructuralRule):
        if going_back:
            return RUN_FINISHED.next_step
        return rule.next_step if migrated else rule.until_migrated or rule.next_step
    return _CRITICAL_ADVICE if rule.severity is Severity.CRITICAL else _ADVICE
