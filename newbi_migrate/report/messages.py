"""What codes mean, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from newbi_migrate.choices import DuplicatePolicy
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.results import IndexAction

__all__ = [
    "BLOCKED",
    "CLASSES",
    "FINDINGS",
    "HINDERED",
    "INDEX_ACTIONS",
    "INDEX_DEFERRED",
    "LASTING_CURES",
    "OUTCOMES",
    "SHARED_LATER_CURE",
    "SIGN_IN_CURES",
    "cures_under",
    "finding_in_words",
    "reasons_under",
]

OUTCOME_NAMES: Final[Mapping[Outcome, str]] = {outcome: outcome.value for outcome in Outcome} | {
    Outcome.PRESENT: "there already"
}
"""What becomes of legacy users, in a word or two; follows a number."""

OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.CREATED: "with a new user, organization and membership",
    Outcome.PRESENT: "in user under the same id; only what is missing is added",
    Outcome.ALIASED: "from now on the existing user with that e-mail",
    Outcome.QUARANTINED: "left untouched, each for a reason that is listed",
}
"""What becomes of legacy users; follows a number, and fits one as well as many."""

CLASSES: Final[Mapping[WorkspaceClass, str]] = {
    WorkspaceClass.MISSING: "no workspaceId",
    WorkspaceClass.NULL: "an explicit null",
    WorkspaceClass.BLANK: "a blank text",
    WorkspaceClass.VALID: "right already",
    WorkspaceClass.WRONG_TYPE: "right workspace, stored in the wrong type",
    WorkspaceClass.DANGLING: "a workspace that does not exist",
    WorkspaceClass.USER_ID: "a user's id instead of a workspace's",
    WorkspaceClass.FOREIGN: "a workspace the owner is not a member of",
}
"""What a stored workspace id is worth; a phrase."""

_REASONS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.ALIAS_AMBIGUOUS: (
        "Several users have this e-mail, or the one who has it has an id that is not an ObjectId",
        "keep one user with this e-mail",
    ),
    Reason.ALIAS_REFUSED: (
        "A user with this e-mail exists under another id",
        "link them with --aliases verified or all",
    ),
    Reason.ALIAS_UNVERIFIED: (
        "A user with this e-mail exists under another id and never proved that it is theirs",
        "have them verify it, or use --aliases all",
    ),
    Reason.DUPLICATE_EMAIL: (
        "Several legacy users have this e-mail, but for case and blanks",
        "keep one, or try --duplicate-emails keep-normalized",
    ),
    Reason.EMAIL_MISSING: ("There is no e-mail to sign in with", "give this user one"),
    Reason.ID_NOT_OBJECT_ID: (
        "The user's _id is not an ObjectId, which Better Auth cannot refer to",
        "store the user again under an ObjectId",
    ),
    Reason.UNREADABLE: ("The stored bytes cannot be decoded", "repair the document"),
    Reason.NOT_A_PLAIN_COLLECTION: (
        "It is in a view or a time series, whose documents cannot be updated",
        "migrate the collection that holds them",
    ),
    Reason.OWNER_MISSING: ("No owner is named", "name one, or set workspaceId"),
    Reason.OWNER_MALFORMED: (
        "The field that names the owner holds no id",
        "correct the id of the owner",
    ),
    Reason.OWNER_UNKNOWN: ("Its owner is not a known user", "name a user who exists"),
    Reason.OWNER_QUARANTINED: (
        "Its owner was quarantined, see the users above",
        "it follows once that user is migrated",
    ),
    Reason.OWNER_WITHOUT_WORKSPACE: (
        "The owner has no workspace",
        "migrate them first, or add a membership",
    ),
    Reason.OWNER_AMBIGUOUS: (
        "The owner has several workspaces and none comes first",
        "set workspaceId to the right one",
    ),
    Reason.FOREIGN_WORKSPACE: (
        "It is in a workspace that its owner is not a member of",
        "decide which workspace is right",
    ),
    Reason.PARENT_ELSEWHERE: (
        "It is in another workspace than the document it belongs to",
        "decide which workspace is right",
    ),
    Reason.UNIQUE_KEY: (
        "It would share a key that an index keeps unique, and nothing is renumbered here",
        "decide which of them keeps it, or drop the index if nobody needs it",
    ),
    Reason.DOCUMENT_TOO_LARGE: (
        "With the workspace, or what stands in its place, it would exceed MongoDB's 16 MB",
        "shorten it",
    ),
    Reason.WRITE_REFUSED: (
        "The server refused the write, for a validator or a unique index",
        "see what the validator or the index asks for",
    ),
}
# In the order in which they are listed: a user's reasons come before those of their documents.


def cures_under(options: MigrationOptions) -> dict[Reason, str]:
    """What helps whom a run with these choices quarantines, in a few words.

    A choice that was made already is none of it.
    """
    found = {reason: cure for reason, (_, cure) in _REASONS.items()}
    if options.duplicate_emails is DuplicatePolicy.KEEP_NORMALIZED:
        found[Reason.DUPLICATE_EMAIL] = "keep one"
    return found


def reasons_under(options: MigrationOptions) -> dict[Reason, str]:
    """Why a run with these choices leaves a user or document as it is, and what helps; sentences.

    They are in the order in which they are listed.
    """
    return {r: f"{_REASONS[r][0]}; {cure}." for r, cure in cures_under(options).items()}


FINDINGS: Final[Mapping[str, str]] = {
    "account-id-differs": (
        "The accountId of a credential account is not its user's id as text, so that sign-in does "
        "not find it; correct it."
    ),
    "account-of-nobody": (
        "The user of the account does not exist; remove it, or restore the user."
    ),
    "account-user-not-objectid": (
        "The account names its user otherwise than by ObjectId, so that sign-in does not find it; "
        "correct userId."
    ),
    "account-user-id-text": (
        "The account names its user by text or Extended JSON, so Better Auth does not find it and "
        "the password opens nothing; store userId as an ObjectId."
    ),
    "account-without-password": (
        "The account signs in with a password and has none; the user must reset it."
    ),
    "account-id-taken": (
        "The id that the user's account would have is taken by another kind of account, so that "
        "none is made; free it."
    ),
    "changed-meanwhile": (
        "Somebody wrote to the document meanwhile, so none of its fields was filled; the next "
        "migrate fills them."
    ),
    "collection-is-a-time-series": (
        "A registered collection is a time series, whose documents cannot be updated."
    ),
    "collection-is-a-view": (
        "A registered collection is a view; register the collection behind it."
    ),
    "companion-elsewhere": (
        "The document is in another workspace than the one it refers to; decide which is right "
        "and set the other."
    ),
    "company-incomplete": (
        "The organization lacks a field the application asks for before it writes invoices."
    ),
    "conflict": "The existing value differs from the legacy one and stays.",
    "date-not-understood": (
        "The stored date is none, or a number that does not count milliseconds; the time in the "
        "_id stands for it."
    ),
    "document-id-not-objectid": (
        "The _id of the document is no ObjectId, so the application does not find it; store it "
        "again under one."
    ),
    "documents-follow-membership": (
        "The user left the organization made for them; their documents that have no workspace go "
        "into the only other one they are in."
    ),
    "email-already-taken": "Another user has the same e-mail; the one without any gets none.",
    "email-not-normal": (
        "The user has no address, or one with upper case or blanks around it, which sign-in does "
        "not find; correct it in user."
    ),
    "email-twice": (
        "Several users have this address, but for case and blanks; keep one, or correct an address."
    ),
    "email-refused": (
        "Better Auth refuses the address, so its user cannot sign in; correct it, in the legacy "
        "document before migrating, afterwards in user."
    ),
    "field-not-carried": (
        "Existing users are not given these fields of the legacy ones, which may be secrets; they "
        "stay in the legacy collection alone."
    ),
    "id-not-objectid": "A document whose _id is not an ObjectId; nothing can refer to it.",
    "member-ids-not-objectid": (
        "A membership whose ids are not ObjectIds; the application does not see it: correct them, "
        "or remove it."
    ),
    "member-is-nobody": (
        "The user of the membership does not exist, which breaks the list for everybody in the "
        "organization; remove it."
    ),
    "member-of-nothing": ("A membership in an organization that does not exist; remove it."),
    "member-twice": "The user is a member of the organization twice; keep one membership.",
    "no-room": (
        "With this value the document would be larger than MongoDB's 16 MB, so the value stays in "
        "the legacy document alone."
    ),
    "number-ambiguous": (
        "A number stands where text belongs and may have lost a zero in front; it is carried as it "
        "reads, so look at it."
    ),
    "organization-without-owner": (
        "An organization that nobody owns; make one of its members the owner."
    ),
    "owner-absent": (
        "The document names no owner, and has a workspace all the same; name the owner."
    ),
    "owner-not-objectid": (
        "The owner is named otherwise than by ObjectId, as the application looks owners up; the "
        "document has a workspace all the same. Store the same id as an ObjectId."
    ),
    "organization-left": (
        "The user is no longer a member of the organization made for them; they are not "
        "brought back."
    ),
    "password-not-carried": (
        "The legacy e-mail was never verified, so its password does not open the existing user."
    ),
    "password-differs": "The existing password differs from the legacy one and stays.",
    "password-none": "No password is stored; the user signs in another way, or resets it.",
    "password-unknown": "What is stored as the password is not a hash; the user must reset it.",
    "phone-already-taken": "Another user has the same phone number; this one gets none.",
    "plugin-field-not-carried": (
        "Plug-ins of Better Auth act on a field of that name, so the user is not given it; the "
        "legacy document keeps it."
    ),
    "referral-code-already-taken": "Another user has the same referral code; this one gets none.",
    "session-of-nothing": (
        "The active organization of the session does not exist; remove it, and the user signs in "
        "again."
    ),
    "several-credential-accounts": (
        "The user has several accounts with a password; keep the one they sign in with."
    ),
    "several-organizations-owned": "The user owns several organizations; none was added.",
    "slug-missing": "The organization has no slug; give it one that no other has.",
    "slug-twice": "Another organization has the same slug; give one of them another.",
    "user-field-not-objectid": (
        "The document names a user otherwise than by ObjectId, as the application looks users up; "
        "store the same id as an ObjectId."
    ),
    "user-flags-differ": (
        "Two fields of the user contradict each other; decide which is right and set the other."
    ),
    "user-names-organization": (
        "The user names an organization, which goes stale unseen: membership is the only link. "
        "Remove the field."
    ),
    "user-without-organization": (
        "The user is in no organization and sees no documents; migrate them, or make them a member."
    ),
    "user-banned": (
        "The legacy data bans the user, of which Better Auth knows nothing: it lets them in until "
        "banned is true in user."
    ),
    "user-disabled": (
        "The user was disabled, which is in isActive and isDisabled; Better Auth looks at neither "
        "and lets them in until banned is true in user."
    ),
}
"""What a person should know beside; a sentence."""

SIGN_IN_CURES: Final[Mapping[str, str]] = {
    "email-refused": "correct the address, which Better Auth refuses",
    "email-not-normal": "correct the address in user: sign-in does not find it",
    "account-user-id-text": "store userId as an ObjectId",
    "user-disabled": "set banned in user, or Better Auth lets them in",
    "user-banned": "set banned in user, or Better Auth lets them in",
}
"""What helps where a user cannot sign in, or should not, in a few words."""

LASTING_CURES: Final[Mapping[str, str]] = {
    "owner-not-objectid": "store it as an ObjectId",
    "owner-absent": "name the owner",
    "user-field-not-objectid": "store the same id as an ObjectId",
    "companion-elsewhere": "decide which workspace is right",
    "document-id-not-objectid": "store it again under an ObjectId",
    "id-not-objectid": "store it again under an ObjectId",
    "email-twice": "keep one of the users, or correct an address",
    "user-flags-differ": "decide which is right and set the other",
    "user-names-organization": "remove the field",
    "user-without-organization": "migrate them, or make them a member",
    "account-user-not-objectid": "correct userId",
    "account-id-differs": "correct accountId",
    "account-of-nobody": "remove the account, or restore the user",
    "account-without-password": "let the user reset it",
    "several-credential-accounts": "keep the one they sign in with",
    "account-id-taken": "free the account's id",
    "organization-without-owner": "make one of its members the owner",
    "slug-missing": "give it a slug",
    "slug-twice": "give one of them another slug",
    "member-ids-not-objectid": "correct the ids, or remove it",
    "member-of-nothing": "remove it",
    "member-is-nobody": "remove it",
    "member-twice": "keep one",
    "session-of-nothing": "remove it: the user signs in again",
}
"""What helps where something is odd before a run and after it, in a few words; documents first."""

HINDERED: Final = (
    "whose key only quarantined documents share",
    "settle them, and it can be built",
)
"""Why an index cannot be built that nothing else stands in the way of, and what helps."""

SHARED_LATER_CURE: Final = "decide which document keeps the key, before the application writes it"
"""What helps where documents share a unique key once what they lack has been added."""

INDEX_ACTIONS: Final[Mapping[IndexAction, str]] = {
    IndexAction.CREATE: "to create",
    IndexAction.PRESENT: "there already",
    IndexAction.DEFERRED: "built by indexes --apply or finalize, in place of an old one",
    IndexAction.CONFLICT: "that cannot be created: another index is in the way, or 64 are there",
    IndexAction.COLLISION: "that cannot be created: documents share a unique key",
    IndexAction.OBSOLETE: "of the old structure, kept until dropped on request",
}
"""What happens to an index; follows a number."""

BLOCKED: Final[Mapping[IndexAction, tuple[str, str]]] = {
    IndexAction.CONFLICT: (
        "with another one in the way, or 64 there",
        "drop that one, or one that nobody uses",
    ),
    IndexAction.COLLISION: (
        "of which several documents have the same key",
        "decide which keeps it",
    ),
}
"""Why an index cannot be created, and what helps, in a few words; follows a number."""


INDEX_DEFERRED: Final = (
    "An old index stands in the way until indexes --apply or finalize swaps it for this one."
)
"""What it means that an index is deferred; a sentence."""


def finding_in_words(code: str) -> str:
    """What a finding means; the code itself where no sentence is known."""
    return FINDINGS.get(code, f"{code.replace('-', ' ').capitalize()}.")
