"""All documents that one decision about a legacy user leads to.

The reference of what a migration writes for a user: the engine writes exactly this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.mapping.account import CREDENTIAL, map_account, password_kind
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.fillable import FILLABLE, only_fillable
from newbi_migrate.mapping.ids import account_id
from newbi_migrate.mapping.merge import fill_missing
from newbi_migrate.mapping.organization import (
    company_fields_missing,
    incomplete_fields,
    map_member,
    map_organization,
)
from newbi_migrate.mapping.profiles import BetterAuthProfile
from newbi_migrate.mapping.user import created_at, first_name_of, map_user
from newbi_migrate.mapping.values import flag, is_missing, legacy_flag
from newbi_migrate.mapping.workspace import Reason

_Find = Callable[..., None]
_FillIn = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]

__all__ = [
    "FIELD_NOT_CARRIED",
    "FOLLOWS_MEMBERSHIP",
    "Existing",
    "Fill",
    "Finding",
    "Insert",
    "UserWrites",
    "writes_for",
]


FIELD_NOT_CARRIED: Final = "field-not-carried"
"""Code of the finding that existing users are not given a field of the legacy ones."""

FOLLOWS_MEMBERSHIP: Final = "documents-follow-membership"
"""Code of the finding that a user's documents go into an organization that is not theirs."""


@dataclass(frozen=True, slots=True)
class Insert:
    """A document to create."""

    collection: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fill:
    """Missing fields of an existing document to set.

    Attributes:
        collection: Name of the collection.
        id: The ``_id`` of the document.
        values: Dotted path to new value.
        prior: Dotted path to the null or blank that stood there; other paths were absent.
        stored: The same as BSON type and bytes, once the document was looked at as it is stored.
    """

    collection: str
    id: ObjectId
    values: Mapping[str, Any]
    prior: Mapping[str, Any]
    stored: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a user that does not stop their migration.

    Attributes:
        code: What kind of finding, in lower case with hyphens.
        collection: Where.
        id: In which document; ``None`` where it concerns the collection as a whole.
        path: In which field, dotted; empty for the whole document.
    """

    code: str
    collection: str
    id: Any
    path: str = ""

    @property
    def subject(self) -> str:
        """What it is about: a document by its id, else a field, else the collection."""
        return (self.path or self.collection) if self.id is None else str(self.id)

    def to_json(self) -> dict[str, str]:
        """The finding as JSON holds it."""
        return {
            "code": self.code,
            "collection": self.collection,
            "id": "" if self.id is None else str(self.id),
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class Existing:
    """The documents of a user that are there already.

    Attributes:
        user: Their user document, ``None`` if they have none.
        accounts: Their accounts.
        organization: The organization of their decision, if it exists.
        is_member: Whether they are a member of it.
    """

    user: Mapping[str, Any] | None = None
    accounts: tuple[Mapping[str, Any], ...] = ()
    organization: Mapping[str, Any] | None = None
    is_member: bool = False


@dataclass(frozen=True, slots=True)
class UserWrites:
    """What is written for one legacy user, in order, and what there is to say about it.

    Attributes:
        decision: What was decided about them.
        writes: The documents to create and the fields to fill.
        findings: What a person should know.
        not_carried: Paths of fields an existing document lacks and is not given, because they
            are not listed in :data:`~newbi_migrate.mapping.fillable.FILLABLE`.
    """

    decision: UserDecision
    writes: tuple[Insert | Fill, ...] = ()
    findings: tuple[Finding, ...] = ()
    not_carried: tuple[str, ...] = ()

    @property
    def account_id(self) -> ObjectId | None:
        """Id of the credential account that is created, if one is."""
        return self._inserted("account")

    @property
    def member_id(self) -> ObjectId | None:
        """Id of the membership that is created, if one is."""
        return self._inserted("member")

    def _inserted(self, collection: str) -> ObjectId | None:
        for write in self.writes:
            if isinstance(write, Insert) and write.collection == collection:
                identifier: ObjectId = write.document["_id"]
                return identifier
        return None


def writes_for(
    legacy: LegacyUser,
    decision: UserDecision,
    existing: Existing,
    profile: BetterAuthProfile,
    *,
    source: str = "Users",
) -> UserWrites:
    """The user, account, organization and member documents of one legacy user.

    Pure: what exists is handed in. Where a document exists, only fields it lacks are filled.

    Args:
        legacy: The legacy user as loaded.
        decision: What was decided about them.
        existing: Their documents that are there already.
        profile: The version of Better Auth to write for.
        source: Name of the legacy collection, for findings.
    """
    user_id = decision.user_id
    if user_id is None:
        return UserWrites(decision)
    if decision.outcome is Outcome.ALIASED and existing.user is None:
        # Whoever they were to become is gone since the decision; that place is not the legacy id's.
        return UserWrites(decision, findings=(Finding("changed-meanwhile", "user", user_id),))
    document = legacy.to_document()
    born = created_at(document)
    writes: list[Insert | Fill] = []
    findings: list[Finding] = []
    not_carried: list[str] = []

    def find(code: str, collection: str, identifier: Any, path: str = "") -> None:
        findings.append(Finding(code, collection, identifier, path))

    def fill(collection: str, have: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        merge, left = only_fillable(fill_missing(have, wanted), FILLABLE[collection])
        not_carried.extend(left)
        if merge.values:
            writes.append(Fill(collection, have["_id"], merge.values, merge.prior))
        for path in merge.conflicts:
            find("conflict", collection, have["_id"], path)

    user = map_user(
        legacy,
        keep_email=decision.keep_email,
        keep_phone=decision.keep_phone,
        keep_referral_code=decision.keep_referral_code,
    ).to_document()
    if existing.user is None:
        writes.append(Insert("user", user))
    else:
        fill("user", existing.user, _beside(existing.user, user, document))
    if not decision.keep_email:
        find("email-already-taken", source, decision.legacy_id, "email")
    if not decision.keep_phone:
        find("phone-already-taken", source, decision.legacy_id, "profile.phone")
    if not decision.keep_referral_code:
        find("referral-code-already-taken", source, decision.legacy_id, "referralCode")

    if decision.outcome is Outcome.ALIASED and not legacy_flag(document.get("isEmailVerified")):
        # The address makes two users one person only where both have proven that it is theirs.
        # Else a stranger who once took the address would sign in as its owner, with the password
        # the stranger chose.
        find("password-not-carried", source, decision.legacy_id, "password")
    else:
        _account(document, user_id, existing, profile, writes, find, fill, source)
    _organization(legacy, decision, existing, born, writes, find, fill)
    return UserWrites(decision, tuple(writes), tuple(findings), tuple(not_carried))


def _beside(
    have: Mapping[str, Any], user: Mapping[str, Any], legacy: Mapping[str, Any]
) -> dict[str, Any]:
    """The user document as an existing one may be filled with it.

    A default the legacy user never said contradicts nothing, and a flag that is filled says
    what its counterpart of the other sign-in says there.
    """
    wanted = dict(user)
    if first_name_of(legacy) is None and not is_missing(have.get("name")):
        del wanted["name"]
    if is_missing(legacy.get("role")) and not is_missing(have.get("role")):
        del wanted["role"]
    for new, old, opposite in (
        ("emailVerified", "isEmailVerified", False),
        ("isActive", "isDisabled", True),
    ):
        new_says, old_says = flag(have.get(new)), legacy_flag(have.get(old))
        if new_says is not None and is_missing(have.get(old)) and old in wanted:
            wanted[old] = new_says is not opposite
        elif old_says is not None and is_missing(have.get(new)):
            wanted[new] = old_says is not opposite
    return wanted


def _account(
    document: Mapping[str, Any],
    user_id: ObjectId,
    existing: Existing,
    profile: BetterAuthProfile,
    writes: list[Insert | Fill],
    find: _Find,
    fill: _FillIn,
    source: str,
) -> None:
    password = document.get("password")
    kind = password_kind(password)
    credential = [a for a in existing.accounts if a.get("providerId") == CREDENTIAL]
    if credential:
        account = credential[0]
        if len(credential) > 1:
            find("several-credential-accounts", "account", account.get("_id"))
        fill("account", account, dict(profile.credential_fields))
        if is_missing(account.get("password")):
            # It is not filled: what a fill writes is journaled, and no hash may be.
            find("account-without-password", "account", account["_id"], "password")
        elif kind.is_hash and account["password"] != password:
            find("password-differs", "account", account["_id"], "password")
        return
    mapped = map_account(user_id, password, created_at(document), profile)
    if mapped is None:
        find(f"password-{kind.value}", source, document.get("_id"), "password")
    elif any(account.get("_id") == account_id(user_id) for account in existing.accounts):
        find("account-id-taken", "account", account_id(user_id))
    else:
        writes.append(Insert("account", mapped.to_document()))


def _organization(
    legacy: LegacyUser,
    decision: UserDecision,
    existing: Existing,
    born: datetime,
    writes: list[Insert | Fill],
    find: _Find,
    fill: _FillIn,
) -> None:
    user_id, workspace = decision.user_id, decision.workspace
    if user_id is None:
        return
    if workspace is None:
        several = decision.no_workspace_reason is Reason.OWNER_AMBIGUOUS
        find("several-organizations-owned" if several else "organization-left", "user", user_id)
        return
    if existing.organization is not None:
        wanted = company_fields_missing(legacy.to_document(), existing.organization)
        fill("organization", existing.organization, wanted)
        stored = {k: v for k, v in existing.organization.items() if not is_missing(v)}
        result: Mapping[str, Any] = {**wanted, **stored}
    elif decision.slug is not None:
        result = map_organization(
            legacy, user_id=user_id, slug=decision.slug, created=born
        ).to_document()
        writes.append(Insert("organization", result))
    else:
        # It was there when the decision was taken.
        find("changed-meanwhile", "organization", workspace)
        return
    for path in incomplete_fields(result):
        find("company-incomplete", "organization", workspace, path)
    if not existing.is_member:
        writes.append(Insert("member", map_member(user_id, workspace, born).to_document()))
