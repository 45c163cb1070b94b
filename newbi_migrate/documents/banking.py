"""Bank accounts, their transactions, and the calls to the services behind them.

Between 2025-08-14 and 2025-08-23 transactions had another shape, with the workspace as an ObjectId;
rows of it may remain.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.document_rules import All, Not, There
from newbi_migrate.documents.fields import CurrencyCode
from newbi_migrate.documents.scalars import (
    BsonDate,
    NonEmptyText,
    NonNegative,
    Number,
    ObjectIdField,
    OwnerId,
    Text,
    WorkspaceIdOfEitherType,
    choice,
)
from newbi_migrate.documents.scoped import MongooseDocument, StringWorkspaceDocument, UserDocument

__all__ = [
    "ApiMetric",
    "BankAccount",
    "BridgeAccount",
    "BridgeTransaction",
    "Fees",
    "Transaction",
]

_Provider = Literal["bridge", "stripe", "paypal", "mock"]
_Type = Literal["payment", "refund", "transfer", "withdrawal", "deposit"]
_Status = Literal["pending", "completed", "failed", "cancelled", "refunded"]
_BridgeType = Literal["debit", "credit"]

Provider = Annotated[_Provider, choice("banking-provider", _Provider)]
TransactionType = Annotated[_Type, choice("transaction-type", _Type)]
TransactionStatus = Annotated[_Status, choice("transaction-status", _Status)]
BridgeTransactionType = Annotated[_BridgeType, choice("bridge-transaction-type", _BridgeType)]


class BridgeTransaction(MongooseDocument):
    """A transaction as it was stored from 2025-08-14 to 2025-08-23."""

    collection_name: ClassVar[str] = "transactions"

    bridge_transaction_id: NonEmptyText
    bridge_account_id: NonEmptyText
    bridge_user_id: NonEmptyText
    # Written as an ObjectId; the collection's type is text now, and a migration writes that.
    workspace_id: WorkspaceIdOfEitherType
    user_id: OwnerId
    amount: Number
    currency: Text | None = None
    description: NonEmptyText
    date: BsonDate
    status: Text | None = None
    type: BridgeTransactionType | None = None
    bridge_data: Any = None
    category: Text | None = "autre"
    last_sync_at: BsonDate | None = None
    sync_status: Text | None = None
    migration_note: Any = None

    # It names Bridge's id and no external one.
    shape = All(There("bridgeTransactionId"), Not(There("externalId")))


class Fees(EmbeddedModel):
    """What a transaction cost."""

    amount: Number | None = None
    currency: Text | None = None
    provider: Text | None = None


class Transaction(StringWorkspaceDocument):
    """A movement of money."""

    collection_name: ClassVar[str] = "transactions"
    older_shapes = (BridgeTransaction,)

    external_id: NonEmptyText
    provider: Provider
    type: TransactionType
    status: TransactionStatus = "pending"
    amount: NonNegative
    currency: CurrencyCode = "EUR"
    description: NonEmptyText
    from_account: Text | None = None
    to_account: Text | None = None
    user_id: ObjectIdField | None = None
    processed_at: BsonDate | None = None
    failure_reason: Text | None = None
    fees: Fees | None = None
    metadata: Any = None
    raw: Any = None
    idempotency_key: Text | None = None


class BankAccount(StringWorkspaceDocument):
    """An account at a bank or a payment service."""

    collection_name: ClassVar[str] = "accounts_bankings"

    external_id: NonEmptyText
    provider: Provider
    user_id: ObjectIdField | None = None
    status: Text | None = None


class ApiMetric(StringWorkspaceDocument):
    """How the calls of one day to one endpoint went."""

    collection_name: ClassVar[str] = "api_metrics"

    provider: NonEmptyText
    endpoint: NonEmptyText
    method: NonEmptyText
    # A date or its text, by version.
    date: Any


class BridgeAccount(UserDocument):
    """An account at a bank, as it was stored until 2025-08-23."""

    collection_name: ClassVar[str] = "bridgeaccounts"

    # A number or text, by version.
    bridge_id: Any
