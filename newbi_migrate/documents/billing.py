"""Invoices, quotes and credit notes.

What they share is said once; numbers, items and totals differ from kind to kind.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from annotated_types import Len
from pydantic import Field

from newbi_migrate.documents.document_rules import (
    DocumentRule,
    Is,
    Not,
    NotBefore,
    Required,
    YearInFrance,
)
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.fields import (
    DocumentNumber,
    FooterText,
    PurchaseOrderNumber,
    QuoteNumber,
    Url,
)
from newbi_migrate.documents.scalars import (
    BsonDate,
    Flag,
    NonNegative,
    NonPositive,
    Number,
    ObjectIdField,
    Text,
    WholeNumber,
    WrittenDate,
    choice,
    now,
    text,
)
from newbi_migrate.documents.scoped import CreatorDocument
from newbi_migrate.documents.snapshots import (
    Appearance,
    BankDetails,
    ClientSnapshot,
    CompanySnapshot,
    CreditNoteItem,
    CustomField,
    DiscountType,
    Item,
    Shipping,
)

__all__ = ["CreditNote", "Invoice", "Quote"]

_InvoiceStatus = Literal["DRAFT", "PENDING", "COMPLETED", "CANCELED"]
_PaymentMethod = Literal["BANK_TRANSFER", "CHECK", "CASH", "CARD", "OTHER"]
_CreditType = Literal["CORRECTION", "COMMERCIAL_GESTURE", "REFUND", "STOCK_SHORTAGE"]
_CreditNoteStatus = Literal["CREATED"]
_RefundMethod = Literal["NEXT_INVOICE", "BANK_TRANSFER", "CHECK", "VOUCHER", "CASH"]

InvoiceStatus = Annotated[_InvoiceStatus, choice("invoice-status", _InvoiceStatus)]
PaymentMethod = Annotated[_PaymentMethod, choice("invoice-payment-method", _PaymentMethod)]
CreditType = Annotated[_CreditType, choice("credit-type", _CreditType)]
CreditNoteStatus = Annotated[_CreditNoteStatus, choice("credit-note-status", _CreditNoteStatus)]
RefundMethod = Annotated[_RefundMethod, choice("refund-method", _RefundMethod)]
Notes = Annotated[str, text(max_length=1000)]
Terms = Annotated[str, text(max_length=2000)]
LinkTitle = Annotated[str, text(max_length=100)]
Reason = Annotated[str, text(max_length=500)]
Prefix = Annotated[str, text(1, 10)]


ITEMS: Final = FieldRule("billing.items", "There is at least one line.")


class _BillingDocument(CreatorDocument):
    """What an invoice, a quote and a credit note share."""

    rules: ClassVar[tuple[DocumentRule, ...]] = (
        YearInFrance(
            "billing.issue-year",
            "The year of issue is the year of the date of issue in France.",
            "issueYear",
            "issueDate",
        ),
    )

    prefix: Prefix | None = None
    issue_date: WrittenDate = Field(default_factory=now)
    issue_year: WholeNumber | None = None
    company_info: CompanySnapshot
    client: ClientSnapshot
    header_notes: Notes | None = None
    footer_notes: FooterText | None = None
    terms_and_conditions: Terms | None = None
    terms_and_conditions_link_title: LinkTitle | None = None
    terms_and_conditions_link: Url | None = None
    discount: Number | None = 0
    discount_type: DiscountType | None = "FIXED"
    custom_fields: list[CustomField] | None = Field(default_factory=list)
    appearance: Appearance | None = None
    shipping: Shipping | None = None


class Invoice(_BillingDocument):
    """An invoice; once issued it is kept as it is, by law."""

    collection_name: ClassVar[str] = "invoices"
    rules = (
        Required(
            "invoice.number",
            "An invoice that is not a draft has a number.",
            ("number",),
            Not(Is("status", "DRAFT")),
        ),
        NotBefore(
            "invoice.due-date",
            "An invoice is not due before it is issued.",
            "dueDate",
            "issueDate",
        ),
        Required(
            "invoice.bank-details",
            "Bank details that are shown are there.",
            ("bankDetails",),
            Is("showBankDetails", True),
        ),
    )

    number: DocumentNumber | None = None
    execution_date: BsonDate | None = None
    due_date: BsonDate | None = None
    is_deposit: Flag | None = False
    deposit_amount: Number | None = 0
    items: Annotated[list[Item], Len(1), ITEMS]
    status: InvoiceStatus | None = "DRAFT"
    payment_method: PaymentMethod | None = "BANK_TRANSFER"
    payment_date: BsonDate | None = None
    purchase_order_number: PurchaseOrderNumber | None = None
    show_bank_details: Flag | None = False
    bank_details: BankDetails | None = None
    total_ht: NonNegative | None = None
    total_ttc: NonNegative | None = None
    total_vat: NonNegative | None = None
    final_total_ht: NonNegative | None = None
    final_total_ttc: NonNegative | None = None
    stripe_invoice_id: Text | None = None
    source_quote: ObjectIdField | None = None


class Quote(_BillingDocument):
    """A quote."""

    collection_name: ClassVar[str] = "quotes"
    rules = (
        NotBefore(
            "quote.valid-until",
            "A quote is valid at least until the day of its issue.",
            "validUntil",
            "issueDate",
        ),
    )

    number: QuoteNumber
    valid_until: BsonDate | None = None
    items: Annotated[list[Item], Len(1), ITEMS]
    status: InvoiceStatus | None = "PENDING"
    purchase_order_number: PurchaseOrderNumber | None = None
    discount_amount: Number | None = None
    total_ht: NonNegative | None = None
    total_ttc: NonNegative | None = None
    total_vat: NonNegative | None = None
    final_total_ht: NonNegative | None = None
    final_total_ttc: NonNegative | None = None
    converted_to_invoice: ObjectIdField | None = None
    linked_invoices: list[ObjectIdField] | None = Field(default_factory=list)


class CreditNote(_BillingDocument):
    """A credit note; its lines may take away and its totals do."""

    collection_name: ClassVar[str] = "creditnotes"
    rules = (
        Required(
            "credit-note.bank-details",
            "Bank details that are shown are there.",
            ("bankDetails",),
            Is("showBankDetails", True),
        ),
    )

    number: DocumentNumber
    original_invoice: ObjectIdField
    original_invoice_number: Annotated[str, text(1)]
    credit_type: CreditType
    reason: Reason | None = None
    execution_date: BsonDate | None = None
    items: Annotated[list[CreditNoteItem], Len(1), ITEMS]
    status: CreditNoteStatus | None = "CREATED"
    refund_method: RefundMethod | None = "NEXT_INVOICE"
    show_bank_details: Flag | None = False
    bank_details: BankDetails | None = None
    total_ht: NonPositive | None = None
    total_ttc: NonPositive | None = None
    total_vat: NonPositive | None = None
    final_total_ht: NonPositive | None = None
    final_total_ttc: NonPositive | None = None
