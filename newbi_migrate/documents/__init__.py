"""Newbi's documents: what a backend imports.

::

    from newbi_migrate.documents import Invoice, Member, create_indexes, init_documents

    await init_documents(database)
    pending = await Invoice.in_workspace(member).find(Invoice.status == "PENDING").to_list()

These are Beanie documents. The plain pydantic models beneath them, without Beanie and without a
database, are in the modules of this package: ``newbi_migrate.documents.billing`` and its like.
Names are imported when they are first asked for, so that the plain models load no Beanie.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newbi_migrate.documents.banking import (
        Fees as Fees,
    )
    from newbi_migrate.documents.expenses import (
        ExpenseFile as ExpenseFile,
        OcrMetadata as OcrMetadata,
    )
    from newbi_migrate.documents.indexes import (
        IndexObstacle as IndexObstacle,
        IndexReport as IndexReport,
        create_indexes as create_indexes,
    )
    from newbi_migrate.documents.kanban import (
        ChecklistEntry as ChecklistEntry,
        Tag as Tag,
    )
    from newbi_migrate.documents.legacy import (
        LegacyCompany as LegacyCompany,
        LegacyProfile as LegacyProfile,
        LegacySubscription as LegacySubscription,
    )
    from newbi_migrate.documents.ocr import (
        LegacyStructuredData as LegacyStructuredData,
        OcrUsage as OcrUsage,
        ProcessingMetadata as ProcessingMetadata,
    )
    from newbi_migrate.documents.odm import (
        DOCUMENTS as DOCUMENTS,
        AccessGrant as AccessGrant,
        Account as Account,
        ApiMetric as ApiMetric,
        BankAccount as BankAccount,
        Board as Board,
        BridgeAccount as BridgeAccount,
        Client as Client,
        Column as Column,
        CreditNote as CreditNote,
        DocumentSettings as DocumentSettings,
        DownloadEvent as DownloadEvent,
        EmailSignature as EmailSignature,
        Event as Event,
        Expense as Expense,
        FileTransfer as FileTransfer,
        Integration as Integration,
        Invitation as Invitation,
        Invoice as Invoice,
        LegacyUser as LegacyUser,
        Member as Member,
        OcrDocument as OcrDocument,
        Organization as Organization,
        PersistentDocument as PersistentDocument,
        Product as Product,
        Quote as Quote,
        ReferralEvent as ReferralEvent,
        Session as Session,
        StripeConnectAccount as StripeConnectAccount,
        Task as Task,
        Transaction as Transaction,
        User as User,
        Verification as Verification,
        descending as descending,
        document_for as document_for,
        init_documents as init_documents,
    )
    from newbi_migrate.documents.signatures import (
        ColumnWidths as ColumnWidths,
        FontSizes as FontSizes,
        SignatureColors as SignatureColors,
        SocialLinks as SocialLinks,
    )
    from newbi_migrate.documents.snapshots import (
        Address as Address,
        Appearance as Appearance,
        BankDetails as BankDetails,
        ClientSnapshot as ClientSnapshot,
        CompanySnapshot as CompanySnapshot,
        CreditNoteItem as CreditNoteItem,
        CustomField as CustomField,
        Item as Item,
        Shipping as Shipping,
    )
    from newbi_migrate.documents.transfers import (
        TransferFile as TransferFile,
    )

__all__ = [  # see __getattr__
    "DOCUMENTS",
    "AccessGrant",
    "Account",
    "Address",
    "ApiMetric",
    "Appearance",
    "BankAccount",
    "BankDetails",
    "Board",
    "BridgeAccount",
    "ChecklistEntry",
    "Client",
    "ClientSnapshot",
    "Column",
    "ColumnWidths",
    "CompanySnapshot",
    "CreditNote",
    "CreditNoteItem",
    "CustomField",
    "DocumentSettings",
    "DownloadEvent",
    "EmailSignature",
    "Event",
    "Expense",
    "ExpenseFile",
    "Fees",
    "FileTransfer",
    "FontSizes",
    "IndexObstacle",
    "IndexReport",
    "Integration",
    "Invitation",
    "Invoice",
    "Item",
    "LegacyCompany",
    "LegacyProfile",
    "LegacyStructuredData",
    "LegacySubscription",
    "LegacyUser",
    "Member",
    "OcrDocument",
    "OcrMetadata",
    "OcrUsage",
    "Organization",
    "PersistentDocument",
    "ProcessingMetadata",
    "Product",
    "Quote",
    "ReferralEvent",
    "Session",
    "Shipping",
    "SignatureColors",
    "SocialLinks",
    "StripeConnectAccount",
    "Tag",
    "Task",
    "Transaction",
    "TransferFile",
    "User",
    "Verification",
    "create_indexes",
    "descending",
    "document_for",
    "init_documents",
]

_HOMES = {
    **dict.fromkeys(("Fees",), "banking"),
    **dict.fromkeys(("ExpenseFile", "OcrMetadata"), "expenses"),
    **dict.fromkeys(("IndexObstacle", "IndexReport", "create_indexes"), "indexes"),
    **dict.fromkeys(("ChecklistEntry", "Tag"), "kanban"),
    **dict.fromkeys(("LegacyCompany", "LegacyProfile", "LegacySubscription"), "legacy"),
    **dict.fromkeys(("LegacyStructuredData", "OcrUsage", "ProcessingMetadata"), "ocr"),
    **dict.fromkeys(("ColumnWidths", "FontSizes", "SignatureColors", "SocialLinks"), "signatures"),
    **dict.fromkeys(
        (
            "Address",
            "Appearance",
            "BankDetails",
            "ClientSnapshot",
            "CompanySnapshot",
            "CreditNoteItem",
            "CustomField",
            "Item",
            "Shipping",
        ),
        "snapshots",
    ),
    **dict.fromkeys(("TransferFile",), "transfers"),
}
"""The modules of what is no Beanie document."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _HOMES:
        found: Any = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        found = getattr(import_module(f"{__name__}.odm"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
