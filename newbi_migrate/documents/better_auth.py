"""The documents of Better Auth, as its MongoDB adapter stores them for Newbi.

Collections are named after the models in the singular. References are ObjectIds, except that an
account's ``accountId`` and a session's ``activeOrganizationId`` are strings. Structural rules are
critical where Better Auth was seen to refuse sign-in or to hide an organization when they do not
hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

from bson import ObjectId
from bson.code import Code
from pydantic import Field

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.document_rules import (
    All,
    AnyOf,
    DocumentRule,
    Forbidden,
    Get,
    Is,
    Required,
    There,
)
from newbi_migrate.documents.fields import JsonText, NormalEmail, PasswordHash, Roles, Slug
from newbi_migrate.documents.legacy import LegacyCompany, LegacyProfile, LegacySubscription
from newbi_migrate.documents.scalars import (
    STORED_ALWAYS,
    BsonDate,
    Flag,
    NonEmptyText,
    Number,
    ObjectIdField,
    OrganizationId,
    OwnerId,
    Text,
    WorkspaceIdString,
    WrittenDate,
    choice,
    now,
)
from newbi_migrate.rules import Severity

__all__ = [
    "COLLECTIONS",
    "COMPANY_GUARD_FIELDS",
    "TARGET_COLLECTIONS",
    "Account",
    "Invitation",
    "Member",
    "Organization",
    "Session",
    "User",
    "Verification",
]

COLLECTIONS: Final = (
    "user",
    "account",
    "organization",
    "member",
    "session",
    "verification",
    "invitation",
    "jwks",
    "twoFactor",
    "subscription",
)
"""Names of the collections that Better Auth and its plug-ins write to."""

TARGET_COLLECTIONS: Final = ("user", "account", "organization", "member")
"""Those of them a run may write to, in the order in which it creates what refers to what."""

COMPANY_GUARD_FIELDS = (
    "companyName",
    "companyEmail",
    "addressStreet",
    "addressCity",
    "addressZipCode",
    "addressCountry",
)
"""Fields without which the application refuses every operation on invoices and quotes."""


_DISAGREEING: Final = {
    "emailVerified": AnyOf(
        *(All(Is("emailVerified", says), Is("isEmailVerified", not says)) for says in (True, False))
    ),
    "isActive": AnyOf(
        *(All(Is("isActive", says), Is("isDisabled", says)) for says in (True, False))
    ),
}
_FALSE_ID: Final[Mapping[str, Any]] = {
    "$expr": {
        "$and": [
            {"$eq": ["$providerId", "credential"]},
            {
                "$ne": [
                    "$accountId",
                    {
                        "$cond": [
                            {"$eq": [{"$type": "$userId"}, "objectId"]},
                            {"$toString": "$userId"},
                            # No account has the _id of itself for an accountId.
                            "$_id",
                        ]
                    },
                ]
            },
        ]
    }
}


@dataclass(frozen=True)
class _IdOfCredential(DocumentRule):
    @property
    def reads(self) -> Sequence[str]:
        return ("accountId", "userId", "providerId")

    def broken(self, get: Get) -> Sequence[str]:
        account, user = get("accountId"), get("userId")
        right = (
            isinstance(user, ObjectId) and account == str(user) and not isinstance(account, Code)
        )
        return () if right or get("providerId") != "credential" else ("accountId",)

    def violators(self) -> Mapping[str, Any]:
        return _FALSE_ID


class User(DocumentModel):
    """A user; ``name`` is the first name in Newbi's forms."""

    collection_name: ClassVar[str] = "user"
    rules = (
        Forbidden(
            "user.flags-agree",
            "The flags of the old and of the new sign-in say the same.",
            _DISAGREEING,
        ),
        Forbidden(
            "user.no-workspace",
            "A user names no organization: membership is the only link.",
            {name: There(name) for name in ("organizationId", "workspaceId")},
        ),
    )

    name: NonEmptyText
    email: NormalEmail
    email_verified: Flag
    created_at: WrittenDate = Field(default_factory=now)
    updated_at: WrittenDate = Field(default_factory=now)
    role: Text | None = None
    is_active: Flag | None = True
    image: Text | None = None
    last_name: Text | None = None
    phone_number: Text | None = None
    phone_number_verified: Flag | None = None
    avatar: Text | None = None
    created_by: Text | None = None
    two_factor_enabled: Flag | None = None
    stripe_customer_id: Text | None = None
    banned: Flag | None = None
    ban_reason: Text | None = None
    ban_expires: BsonDate | None = None
    redirect_after_login: Text | None = Field(default=None, alias="redirect_after_login")
    has_seen_onboarding: Flag | None = None
    has_completed_tutorial: Flag | None = None
    tutorial_completed_at: BsonDate | None = None
    referral_code: NonEmptyText | None = None
    referred_by: Text | None = None
    is_invited_user: Flag | None = None
    pending_invitation_id: Any = None
    onboarding_step: Any = None
    onboarding_data: Any = None
    # Carried over from the legacy user, and still read by the application.
    is_email_verified: Flag | None = None
    is_disabled: Flag | None = None
    password: PasswordHash | None = Field(default=None, repr=False)
    profile: LegacyProfile | None = None
    company: LegacyCompany | None = None
    subscription: LegacySubscription | None = None
    referral_earnings: Number | None = None


class Account(DocumentModel):
    """A way to sign in: a password (``credential``) or an OAuth provider."""

    collection_name: ClassVar[str] = "account"
    rules = (
        Required(
            "account.credential-password",
            "A credential account has a password.",
            ("password",),
            Is("providerId", "credential"),
            severity=Severity.CRITICAL,
        ),
        _IdOfCredential(
            "account.credential-id",
            "The accountId of a credential account is its user's id in hexadecimal.",
            severity=Severity.CRITICAL,
        ),
    )

    account_id: NonEmptyText
    provider_id: NonEmptyText
    user_id: OwnerId
    issuer: NonEmptyText | None = None
    password: PasswordHash | None = Field(default=None, repr=False)
    access_token: Text | None = Field(default=None, repr=False)
    refresh_token: Text | None = Field(default=None, repr=False)
    id_token: Text | None = Field(default=None, repr=False)
    access_token_expires_at: BsonDate | None = None
    refresh_token_expires_at: BsonDate | None = None
    scope: Text | None = None
    created_at: WrittenDate = Field(default_factory=now)
    updated_at: WrittenDate = Field(default_factory=now)


class Session(DocumentModel):
    """A signed-in browser; for reading."""

    collection_name: ClassVar[str] = "session"

    expires_at: BsonDate
    token: NonEmptyText = Field(repr=False)
    created_at: BsonDate
    updated_at: BsonDate
    ip_address: Text | None = None
    user_agent: Text | None = None
    user_id: OwnerId
    active_organization_id: WorkspaceIdString | None = None
    impersonated_by: Text | None = None


class Verification(DocumentModel):
    """A pending proof of an e-mail address; for reading."""

    collection_name: ClassVar[str] = "verification"

    identifier: NonEmptyText
    value: NonEmptyText = Field(repr=False)
    expires_at: BsonDate
    created_at: BsonDate | None = None
    updated_at: BsonDate | None = None


class Organization(DocumentModel):
    """A workspace, with the company's fields at the top level under the application's names."""

    collection_name: ClassVar[str] = "organization"
    rules = (
        Required(
            "organization.company-guard",
            "The organization has all the company fields the application demands.",
            COMPANY_GUARD_FIELDS,
            # Nobody can invent them: the user is asked for them in the application.
            severity=Severity.INFO,
        ),
    )

    name: NonEmptyText
    slug: Slug
    created_at: WrittenDate = Field(default_factory=now)
    updated_at: BsonDate | None = None
    logo: Text | None = None
    metadata: JsonText | None = None
    company_name: Text | None = None
    company_email: Text | None = None
    company_phone: Text | None = None
    website: Text | None = None
    siret: Text | None = None
    siren: Text | None = None
    vat_number: Text | None = None
    is_vat_subject: Flag | None = None
    rcs: Text | None = None
    capital_social: Text | None = None
    legal_form: Text | None = None
    activity_category: Text | None = None
    has_commercial_activity: Flag | None = None
    fiscal_regime: Text | None = None
    address_street: Text | None = None
    address_city: Text | None = None
    address_zip_code: Text | None = None
    address_country: Text | None = None
    bank_iban: Text | None = None
    bank_bic: Text | None = None
    bank_name: Text | None = None
    show_bank_details: Flag | None = None
    document_text_color: Text | None = None
    document_header_text_color: Text | None = None
    document_header_bg_color: Text | None = None
    document_header_notes: Text | None = None
    document_footer_notes: Text | None = None
    document_terms_and_conditions: Text | None = None
    quote_header_notes: Text | None = None
    quote_footer_notes: Text | None = None
    quote_terms_and_conditions: Text | None = None
    invoice_header_notes: Text | None = None
    invoice_footer_notes: Text | None = None
    invoice_terms_and_conditions: Text | None = None


class Member(DocumentModel):
    """That a user belongs to an organization, and in which roles."""

    collection_name: ClassVar[str] = "member"

    organization_id: OrganizationId
    user_id: OwnerId
    role: Roles = "member"
    created_at: WrittenDate = Field(default_factory=now)

    @property
    def roles(self) -> frozenset[str]:
        """Every role; Better Auth joins several by commas."""
        stored: object = self.role
        return frozenset(stored.split(",")) if isinstance(stored, str) else frozenset()

    @property
    def is_owner(self) -> bool:
        """Whether the user owns the organization, be it beside other roles."""
        return "owner" in self.roles


_InvitationStatus = Literal["pending", "accepted", "rejected", "canceled"]


def _in_two_days() -> datetime:
    return now() + timedelta(hours=48)


class Invitation(DocumentModel):
    """An invitation into an organization; it expires after two days, as Better Auth has it."""

    collection_name: ClassVar[str] = "invitation"

    organization_id: OrganizationId
    email: NormalEmail
    role: Roles | None = None
    status: Annotated[
        _InvitationStatus, choice("invitation-status", _InvitationStatus), STORED_ALWAYS
    ] = "pending"
    expires_at: WrittenDate = Field(default_factory=_in_two_days)
    inviter_id: ObjectIdField
