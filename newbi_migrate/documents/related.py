"""Documents of a user that belong to no workspace: connections and referrals."""

from __future__ import annotations

from typing import ClassVar

from newbi_migrate.documents.scalars import NonEmptyText, ObjectIdField, OwnerId, WorkspaceIdString
from newbi_migrate.documents.scoped import MongooseDocument

__all__ = ["Integration", "ReferralEvent", "StripeConnectAccount"]


class Integration(MongooseDocument):
    """A user's connection to a service; one for each service."""

    collection_name: ClassVar[str] = "integrations"

    user_id: OwnerId
    provider: NonEmptyText


class StripeConnectAccount(MongooseDocument):
    """An account at Stripe, of a user and since 2025-12-03 of an organization."""

    collection_name: ClassVar[str] = "stripeconnectaccounts"

    account_id: NonEmptyText
    user_id: ObjectIdField | None = None
    organization_id: WorkspaceIdString | None = None


class ReferralEvent(MongooseDocument):
    """That a user brought another."""

    collection_name: ClassVar[str] = "referralevents"

    referrer_id: OwnerId
    referred_user_id: OwnerId
