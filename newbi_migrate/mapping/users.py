"""All documents that one decision about a legacy user leads to.

The reference of what a migration writes for a user. The engine writes exactly this, less what finds
no room in a document (``migration/planning/users.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.mapping.account import CREDENTIAL, account_document, password_kind
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.email import is_accepted, is_normalised
from newbi_migrate.mapping.fillable import FILLABLE, only_fillable
from newbi_migrate.mapping.ids import account_id
from newbi_migrate.mapping.merge import fill_missing
from newbi_migrate.mapping.organization import (
    ambiguous_numbers,
    company_fields_missing,
    incomplete_fields,
    member_document,
    organization_document,
)
from newbi_migrate.mapping.user import (
    TWIN_FLAGS,
    created_at,
    first_name_of,
    plugin_fields_of,
    user_document,
)
from newbi_migrate.mapping.values import date_of, flag, is_missing, legacy_flag
from newbi_migrate.mapping.workspace import Reason

_Report = Callable[..., None]
_FillIn = Callable[..., None]

__all__ = [
    "BARRED",
    "CHANGED_MEANWHILE",
    "FIELD_NOT_CARRIED",
    "FOLLOWS_MEMBERSHIP",
    "Existing",
    "Finding",
    "Insert",
    "SetMissing",
    "UserWrites",
    "barred_by",
    "writes_for",
]


FIELD_NOT_CARRIED: Final = "field-not-carried"
"""Code of the finding that existing users are not given a field of the legacy ones."""

CHANGED_MEANWHILE: Final = "changed-meanwhile"
"""Code of the finding that a document was deleted or changed after it was decided about."""

BARRED: Final[Mapping[str, str]] = {"isDisabled": "user-disabled", "banned": "user-banned"}
"""Field that kept a legacy user out to the code of the finding that Better Auth lets them in."""

FOLLOWS_MEMBERSHIP: Final = "documents-follow-membership"
"""Code of the finding that a user's documents go into an organization that is not theirs."""


@dataclass(frozen=True, slots=True)
class Insert:
    """A document to create."""

    collection: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SetMissing:
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


@dataclass(frozen=True, slots=True)
class Existing:
    """The documents of a user that are there already.

    Attributes:
        user: Their user document, ``None`` if they have none.
        accounts: Their accounts, those too that Better Auth does not see, which name them by text
            or Extended JSON.
        organization: The organization of their decision, if it exists.
        is_member: Whether they are a member of it.
        user_filled: Whether a migration that stands has filled the user before. What is missing
            there now was emptied by people since, and stays so.
        organization_filled: Whether it has filled an organization of theirs before.
    """

    user: Mapping[str, Any] | None = None
    accounts: tuple[Mapping[str, Any], ...] = ()
    organization: Mapping[str, Any] | None = None
    is_member: bool = False
    user_filled: bool = False
    organization_filled: bool = False


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
    writes: tuple[Insert | SetMissing, ...] = ()
    findings: tuple[Finding, ...] = ()
    not_carried: tuple[str, ...] = ()


def barred_by(legacy: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields by which a legacy user is kept out, as the legacy application reads them."""
    return tuple(name for name in BARRED if legacy_flag(legacy.get(name)))


def writes_for(
    legacy: Mapping[str, Any],
    decision: UserDecision,
    existing: Existing,
    *,
    source: str = "Users",
) -> UserWrites:
    """The user, account, organization and member documents of one legacy user.

    Pure: what exists is handed in. Where a document exists, only fields it lacks are filled, and
    these once.

    Args:
        legacy: The legacy user as stored.
        decision: What was decided about them.
        existing: Their documents that are there already.
        source: Name of the legacy collection, for findings.
    """
    user_id = decision.user_id
    if user_id is None:
        return UserWrites(decision)
    if decision.outcome is Outcome.ALIASED and existing.user is None:
        # Whoever they were to become is gone since the decision; that place is not the legacy id's.
        return UserWrites(decision, findings=(Finding(CHANGED_MEANWHILE, "user", user_id),))
    born = created_at(legacy)
    writes: list[Insert | SetMissing] = []
    findings: list[Finding] = []
    not_carried: list[str] = []

    def report(code: str, collection: str, identifier: Any, path: str = "") -> None:
        findings.append(Finding(code, collection, identifier, path))

    def fill(
        collection: str, have: Mapping[str, Any], wanted: Mapping[str, Any], *, filled: bool
    ) -> None:
        merge, left = only_fillable(fill_missing(have, wanted), FILLABLE[collection])
        not_carried.extend(left)
        if merge.values and not filled:
            writes.append(SetMissing(collection, have["_id"], merge.values, merge.prior))
        for path in merge.conflicts:
            report("conflict", collection, have["_id"], path)

    user = user_document(
        legacy,
        keep_email=decision.keep_email,
        keep_phone=decision.keep_phone,
        keep_referral_code=decision.keep_referral_code,
    )
    if existing.user is None:
        writes.append(Insert("user", user))
    else:
        wanted = _beside(existing.user, user, legacy)
        fill("user", existing.user, wanted, filled=existing.user_filled)
    if not decision.keep_email:
        report("email-already-taken", source, decision.legacy_id, "email")
    if not decision.keep_phone:
        report("phone-already-taken", source, decision.legacy_id, "profile.phone")
    if not decision.keep_referral_code:
        report("referral-code-already-taken", source, decision.legacy_id, "referralCode")

    findings.extend(_about_person(legacy, user, decision, existing, source))

    if decision.outcome is Outcome.ALIASED and not legacy_flag(legacy.get("isEmailVerified")):
        # The address makes two users one person only where both have proven that it is theirs.
        # Else a stranger who once took the address would sign in as its owner, with the password
        # the stranger chose.
        report("password-not-carried", source, decision.legacy_id, "password")
    else:
        _account(legacy, user_id, existing, writes, report, source)
    _organization(legacy, decision, existing, born, writes, report, fill)
    return UserWrites(decision, tuple(writes), tuple(findings), tuple(not_carried))


def _about_person(
    document: Mapping[str, Any],
    user: Mapping[str, Any],
    decision: UserDecision,
    existing: Existing,
    source: str,
) -> Iterator[Finding]:
    """Who cannot sign in, who should not, and what is not carried over as it is stored."""
    there = {name: v for name, v in (existing.user or {}).items() if not is_missing(v)}
    now = there if existing.user_filled else {**user, **there}
    email = now.get("email")
    if email is not None and not (is_normalised(email) and is_accepted(email)):
        collection = "user" if "email" in there else source
        identifier = decision.user_id if "email" in there else decision.legacy_id
        yield Finding("email-refused", collection, identifier, "email")
    told: list[tuple[str, str]] = []
    if flag(now.get("banned")) is not True:
        told += [(BARRED[name], name) for name in barred_by(document)]
    told += [("plugin-field-not-carried", name) for name in plugin_fields_of(document, now)]
    told += [("number-ambiguous", path) for path in ambiguous_numbers(document)]
    told += [
        ("date-not-understood", name)
        for name in ("createdAt", "updatedAt")
        if not is_missing(document.get(name)) and date_of(document[name]) is None
    ]
    for code, path in told:
        yield Finding(code, source, decision.legacy_id, path)


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
    if not is_missing(have.get("role")):
        del wanted["role"]
    for new, old, opposite in TWIN_FLAGS:
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
    writes: list[Insert | SetMissing],
    report: _Report,
    source: str,
) -> None:
    password = document.get("password")
    kind = password_kind(password)
    credential = sorted(
        (a for a in existing.accounts if a.get("providerId") == CREDENTIAL),
        key=lambda account: not isinstance(account.get("userId"), ObjectId),
    )
    if credential:
        account = credential[0]
        if not isinstance(account.get("userId"), ObjectId):
            report("account-user-id-text", "account", account.get("_id"), "userId")
        if len(credential) > 1:
            report("several-credential-accounts", source, document.get("_id"), "password")
        if is_missing(account.get("password")):
            # It is not filled: what a fill writes is journaled, and no hash may be.
            report("account-without-password", "account", account["_id"], "password")
        elif kind.is_hash and account["password"] != password:
            report("password-differs", "account", account["_id"], "password")
        return
    created = account_document(user_id, password, created_at(document))
    if created is None:
        report(f"password-{kind.value}", source, document.get("_id"), "password")
    elif any(account.get("_id") == account_id(user_id) for account in existing.accounts):
        report("account-id-taken", source, document.get("_id"), "password")
    else:
        writes.append(Insert("account", created))


def _organization(
    document: Mapping[str, Any],
    decision: UserDecision,
    existing: Existing,
    born: datetime,
    writes: list[Insert | SetMissing],
    report: _Report,
    fill: _FillIn,
) -> None:
    user_id, workspace = decision.user_id, decision.workspace
    if user_id is None:
        return
    if workspace is None:
        several = decision.no_workspace_reason is Reason.OWNER_AMBIGUOUS
        report("several-organizations-owned" if several else "organization-left", "user", user_id)
        return
    if existing.organization is not None:
        wanted = company_fields_missing(document, existing.organization)
        filled = existing.organization_filled
        fill("organization", existing.organization, wanted, filled=filled)
        stored = {k: v for k, v in existing.organization.items() if not is_missing(v)}
        result: Mapping[str, Any] = stored if filled else {**wanted, **stored}
    elif decision.slug is not None:
        result = organization_document(document, user_id=user_id, slug=decision.slug, created=born)
        writes.append(Insert("organization", result))
    else:
        # It was there when the decision was taken.
        report(CHANGED_MEANWHILE, "organization", workspace)
        return
    for path in incomplete_fields(result):
        report("company-incomplete", "organization", workspace, path)
    if not existing.is_member:
        writes.append(Insert("member", member_document(user_id, workspace, born)))
