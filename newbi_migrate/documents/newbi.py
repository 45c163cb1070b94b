"""Newbi's collections as data, and the indexes of its Better Auth collections.

Names, owner fields and BSON types are those that Newbi's Mongoose models wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from newbi_migrate.documents.agenda import Event
from newbi_migrate.documents.banking import ApiMetric, BankAccount, BridgeAccount, Transaction
from newbi_migrate.documents.billing import CreditNote, Invoice, Quote
from newbi_migrate.documents.catalogue import Product
from newbi_migrate.documents.clients import Client
from newbi_migrate.documents.expenses import Expense
from newbi_migrate.documents.kanban import Board, Column, Task
from newbi_migrate.documents.ocr import OcrDocument
from newbi_migrate.documents.registry import (
    CollectionSpec,
    IdType,
    IndexSpec,
    ParentLink,
    Registry,
    UniqueKey,
)
from newbi_migrate.documents.related import Integration, ReferralEvent, StripeConnectAccount
from newbi_migrate.documents.settings import DocumentSettings
from newbi_migrate.documents.signatures import EmailSignature
from newbi_migrate.documents.transfers import AccessGrant, FileTransfer

__all__ = ["BETTER_AUTH_INDEXES", "BETTER_AUTH_SPECS", "NEWBI"]

WORKSPACE: Final = "workspaceId"
SCOPED_SINCE: Final = date(2025, 8, 14)
"""The day the application began to require a workspace."""

# The application's own filter is that the number exists, under which two explicit nulls of one
# workspace collide.
_NUMBERED: Final[Mapping[str, Any]] = {"number": {"$type": "string"}}
_YEAR_OF_ISSUE: Final[Mapping[str, Any]] = {
    "issueYear": {
        "$ifNull": [
            "$issueYear",
            {
                "$cond": [
                    {"$eq": [{"$type": "$issueDate"}, "date"]},
                    {"$year": {"date": "$issueDate", "timezone": "Europe/Paris"}},
                    None,
                ]
            },
        ]
    }
}


def _by_workspace(*keys: str | tuple[str, int | str], sparse: bool = False) -> IndexSpec:
    """An index whose first key is the workspace; a key is ascending unless it says otherwise."""
    pairs = [key if isinstance(key, tuple) else (key, 1) for key in keys]
    return IndexSpec(((WORKSPACE, 1), *pairs), sparse=sparse)


def _unique(
    *paths: str,
    sparse: bool = False,
    partial: Mapping[str, Any] | None = None,
    name: str = "",
    derived: Mapping[str, Any] | None = None,
) -> UniqueKey:
    index = _unique_index(*paths, sparse=sparse, partial=partial, name=name)
    return UniqueKey(index, derived or {})


def _unique_index(
    *paths: str,
    sparse: bool = False,
    partial: Mapping[str, Any] | None = None,
    name: str = "",
) -> IndexSpec:
    keys = tuple((path, 1) for path in paths)
    return IndexSpec(keys, unique=True, sparse=sparse, partial=partial, name=name)


def _text_index(*paths: str, by_workspace: bool = False) -> IndexSpec:
    first = ((WORKSPACE, 1),) if by_workspace else ()
    return IndexSpec((*first, *((path, "text") for path in paths)))


# A name of our own: the application's index has the same keys under another filter, and the
# server lets both stand only if their names differ.
_NUMBER_OF_YEAR: Final = _unique(
    "number",
    WORKSPACE,
    "issueYear",
    partial=_NUMBERED,
    name="number_workspaceId_issueYear_unique",
    derived=_YEAR_OF_ISSUE,
)
# Rows of the old Bridge shape have neither field, and would all be (null, null).
_EXTERNAL_ID: Final = _unique(
    "provider",
    "externalId",
    partial={"externalId": {"$type": "string"}},
    name="provider_externalId_unique",
)
# Uniqueness by creator is what hinders, under whatever name and filter it was built.
_NUMBER_OF_CREATOR: Final = _unique_index("number", "createdBy")

_BILLING: Final = (
    CollectionSpec(
        "invoices",
        "createdBy",
        IdType.OBJECT_ID,
        unique_keys=(_NUMBER_OF_YEAR,),
        indexes=(
            _by_workspace(("createdAt", -1)),
            _by_workspace("status"),
            _by_workspace("client.name"),
            _by_workspace("dueDate"),
        ),
        obsolete=(_NUMBER_OF_CREATOR,),
        scoped_since=SCOPED_SINCE,
        critical=True,
        model=Invoice,
    ),
    CollectionSpec(
        "quotes",
        "createdBy",
        IdType.OBJECT_ID,
        companions=(ParentLink("convertedToInvoice", "invoices"),),
        unique_keys=(_NUMBER_OF_YEAR,),
        indexes=(
            _by_workspace("client.name"),
            _by_workspace("status"),
            _by_workspace(("issueDate", -1)),
        ),
        obsolete=(_NUMBER_OF_CREATOR, _unique_index(WORKSPACE, "number")),
        scoped_since=SCOPED_SINCE,
        critical=True,
        model=Quote,
    ),
    CollectionSpec(
        "creditnotes",
        "createdBy",
        IdType.OBJECT_ID,
        companions=(ParentLink("originalInvoice", "invoices"),),
        unique_keys=(_NUMBER_OF_YEAR,),
        indexes=(
            _by_workspace(("createdAt", -1)),
            _by_workspace("status"),
            _by_workspace("client.name"),
            _by_workspace("originalInvoice"),
        ),
        obsolete=(_NUMBER_OF_CREATOR,),
        scoped_since=date(2025, 9, 11),
        model=CreditNote,
    ),
    CollectionSpec(
        "clients",
        "createdBy",
        IdType.OBJECT_ID,
        unique_keys=(_unique("email", WORKSPACE),),
        indexes=(_text_index("name"),),
        obsolete=(_unique_index("email", "createdBy"),),
        scoped_since=date(2025, 8, 23),
        critical=True,
        model=Client,
    ),
    CollectionSpec(
        "expenses",
        "createdBy",
        IdType.OBJECT_ID,
        indexes=(
            _by_workspace(("date", -1)),
            _by_workspace("category"),
            _by_workspace("status"),
            _text_index("vendor", by_workspace=True),
        ),
        obsolete=(_text_index("vendor"),),
        scoped_since=SCOPED_SINCE,
        critical=True,
        model=Expense,
    ),
    CollectionSpec(
        "documentsettings",
        "createdBy",
        IdType.OBJECT_ID,
        unique_keys=(_unique(WORKSPACE, "documentType"),),
        obsolete=(_unique_index("createdBy", "documentType"),),
        scoped_since=SCOPED_SINCE,
        model=DocumentSettings,
    ),
    CollectionSpec(
        "products",
        "createdBy",
        IdType.OBJECT_ID,
        indexes=(_text_index("name", "description", "reference"),),
        scoped_since=date(2025, 10, 27),
        model=Product,
    ),
)

_BANKING: Final = (
    CollectionSpec(
        "transactions",
        "userId",
        IdType.STRING,
        unique_keys=(_EXTERNAL_ID, _unique("idempotencyKey", sparse=True)),
        indexes=(_by_workspace("status", ("createdAt", -1)),),
        # Rows of the new shape lack the field, and the second of them would be refused.
        obsolete=(_unique_index("bridgeTransactionId"),),
        scoped_since=SCOPED_SINCE,
        model=Transaction,
    ),
    CollectionSpec(
        "accounts_bankings",
        "userId",
        IdType.STRING,
        unique_keys=(_EXTERNAL_ID,),
        indexes=(_by_workspace("status"),),
        scoped_since=date(2025, 8, 23),
        model=BankAccount,
    ),
    CollectionSpec(
        "api_metrics",
        None,
        IdType.STRING,
        unique_keys=(_unique("provider", "endpoint", "method", WORKSPACE, "date"),),
        indexes=(_by_workspace(("date", -1)),),
        scoped_since=date(2025, 8, 23),
        model=ApiMetric,
    ),
    # No longer written since 2025-08-23; the documents that remain belong to somebody.
    CollectionSpec(
        "bridgeaccounts",
        "userId",
        IdType.OBJECT_ID,
        scoped_since=SCOPED_SINCE,
        model=BridgeAccount,
    ),
)

_WORK: Final = (
    CollectionSpec(
        "events",
        "userId",
        IdType.OBJECT_ID,
        companions=(ParentLink("invoiceId", "invoices"),),
        indexes=(
            _by_workspace("start"),
            _by_workspace("type"),
            _by_workspace("invoiceId", sparse=True),
        ),
        scoped_since=SCOPED_SINCE,
        model=Event,
    ),
    CollectionSpec(
        "ocr_documents",
        "userId",
        IdType.OBJECT_ID,
        indexes=(
            _by_workspace(("createdAt", -1)),
            _by_workspace("documentType"),
            _by_workspace("usage.usedForExpense"),
        ),
        scoped_since=SCOPED_SINCE,
        model=OcrDocument,
    ),
    CollectionSpec(
        "emailsignatures",
        "createdBy",
        IdType.OBJECT_ID,
        indexes=(_text_index("signatureName"),),
        obsolete=(_text_index("name"), _text_index("name", by_workspace=True)),
        scoped_since=SCOPED_SINCE,
        model=EmailSignature,
    ),
    CollectionSpec(
        "boards",
        "userId",
        IdType.OBJECT_ID,
        indexes=(_by_workspace(("createdAt", -1)),),
        scoped_since=SCOPED_SINCE,
        model=Board,
    ),
    CollectionSpec(
        "columns",
        "userId",
        IdType.OBJECT_ID,
        parent=ParentLink("boardId", "boards"),
        indexes=(_by_workspace("boardId", "order"),),
        scoped_since=SCOPED_SINCE,
        model=Column,
    ),
    CollectionSpec(
        "tasks",
        "userId",
        IdType.OBJECT_ID,
        parent=ParentLink("boardId", "boards"),
        indexes=(_by_workspace("boardId", "columnId", "position"),),
        scoped_since=SCOPED_SINCE,
        model=Task,
    ),
    CollectionSpec(
        "filetransfers",
        "userId",
        IdType.STRING,
        scoped_since=date(2026, 4, 12),
        model=FileTransfer,
    ),
)

# Their documents have no workspace, but would be lost to a user whose id is another now.
_BY_USER: Final = (
    CollectionSpec(
        "integrations",
        "userId",
        None,
        model=Integration,
    ),
    CollectionSpec(
        "stripeconnectaccounts",
        "userId",
        None,
        model=StripeConnectAccount,
    ),
    CollectionSpec(
        "referralevents",
        "referrerId",
        None,
        alias_fields=("referredUserId",),
        model=ReferralEvent,
    ),
    CollectionSpec(
        "accessgrants",
        "buyerId",
        None,
        model=AccessGrant,
    ),
)

NEWBI: Final = Registry((*_BILLING, *_BANKING, *_WORK, *_BY_USER), workspace_field=WORKSPACE)
"""Newbi's collections beside users, organizations and members.

Unique keys are those that depend on the workspace or that older rows would break. What is
unique in both structures, as the link of a file transfer, is no concern of a migration.
"""

BETTER_AUTH_INDEXES: Final[Mapping[str, tuple[IndexSpec, ...]]] = MappingProxyType(
    {
        "user": (_unique_index("email", name="user_email_uidx"),),
        "account": (IndexSpec((("userId", 1),), name="account_userId_idx"),),
        "organization": (_unique_index("slug", name="organization_slug_uidx"),),
        "member": (
            IndexSpec((("userId", 1),), name="member_userId_idx"),
            IndexSpec((("organizationId", 1),), name="member_organizationId_idx"),
            # Better Auth builds none for the pair; without one, two sign-ups at the same moment
            # make a user a member twice.
            _unique_index("organizationId", "userId", name="member_organizationId_userId_uidx"),
        ),
    }
)
"""The indexes sign-in and membership need, by collection.

Up to 1.6 Better Auth's MongoDB adapter builds none; 1.7 builds its own on first use, under
these names and with these keys, and so finds them there.
"""

BETTER_AUTH_SPECS: Final = tuple(
    CollectionSpec(
        name,
        None,
        None,
        unique_keys=tuple(UniqueKey(index) for index in indexes if index.unique),
        indexes=tuple(index for index in indexes if not index.unique),
    )
    for name, indexes in BETTER_AUTH_INDEXES.items()
)
"""The same as descriptions of collections, planned and checked like any other."""
