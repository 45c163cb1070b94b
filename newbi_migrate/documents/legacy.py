"""The legacy user: who somebody was before Better Auth, with profile, company and subscription.

The same sub-documents stay on the new user, because the application still reads them there.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.document_rules import Is, Required
from newbi_migrate.documents.fields import (
    BcryptHash,
    CapitalSocial,
    Email,
    Name,
    PhoneFr,
    Rcs,
    Siret,
    Url,
    VatFr,
)
from newbi_migrate.documents.scalars import BsonDate, Flag, Number, Text
from newbi_migrate.documents.scoped import MongooseDocument
from newbi_migrate.documents.snapshots import (
    Address,
    BankDetails,
    CompanyStatus,
    LegalForms,
    TransactionCategory,
    VatPaymentCondition,
    company_obligations,
)

__all__ = ["LegacyCompany", "LegacyProfile", "LegacySubscription", "LegacyUser"]


class LegacyProfile(EmbeddedModel):
    """The person."""

    first_name: Name | None = None
    last_name: Name | None = None
    phone: PhoneFr | None = None
    profile_picture: Text | None = None
    profile_picture_url: Text | None = None
    profile_picture_key: Text | None = None


class LegacyCompany(EmbeddedModel):
    """The user's company; often nothing but the schema's three defaults."""

    rules = (
        *company_obligations("company"),
        Required(
            "company.sole-trader",
            "A sole trader has a SIRET.",
            ("siret",),
            Is("companyStatus", *LegalForms.SOLE),
        ),
    )

    name: Name | None = None
    email: Email | None = None
    phone: PhoneFr | None = None
    website: Url | None = None
    logo: Text | None = None
    siret: Siret | None = None
    vat_number: VatFr | None = None
    transaction_category: TransactionCategory | None = "SERVICES"
    vat_payment_condition: VatPaymentCondition | None = "NONE"
    company_status: CompanyStatus | None = "AUTRE"
    capital_social: CapitalSocial | None = None
    rcs: Rcs | None = None
    address: Address | None = None
    bank_details: BankDetails | None = None


class LegacySubscription(EmbeddedModel):
    """What the user pays for."""

    licence: Flag | None = True
    trial: Flag | None = False
    stripe_customer_id: Text | None = None


class LegacyUser(MongooseDocument):
    """A document of the legacy users' collection, ``Users`` or ``users``."""

    collection_name: ClassVar[str] = "users"

    email: Email
    password: BcryptHash = Field(repr=False)
    is_email_verified: Flag | None = False
    is_disabled: Flag | None = False
    email_verification_token: Text | None = Field(default=None, repr=False)
    email_verification_expires: BsonDate | None = None
    reset_password_token: Text | None = Field(default=None, repr=False)
    reset_password_expires: BsonDate | None = None
    subscription: LegacySubscription | None = None
    profile: LegacyProfile | None = None
    company: LegacyCompany | None = None
    bridge_workspace_id: Text | None = None
    bridge_created_at: BsonDate | None = None
    referral_code: Text | None = None
    referred_by: Text | None = None
    referral_earnings: Number | None = 0
