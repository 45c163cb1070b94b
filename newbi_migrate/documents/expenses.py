"""Expenses, with their files and what was read from them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import Field, Strict

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.fields import CurrencyCode
from newbi_migrate.documents.scalars import (
    BsonDate,
    Flag,
    NonEmptyText,
    NonNegative,
    Number,
    Positive,
    Text,
    choice,
    text,
)
from newbi_migrate.documents.scoped import CreatorDocument

__all__ = ["Expense", "ExpenseFile", "OcrMetadata"]

_Category = Literal[
    "OFFICE_SUPPLIES",
    "TRAVEL",
    "MEALS",
    "ACCOMMODATION",
    "SOFTWARE",
    "HARDWARE",
    "SERVICES",
    "MARKETING",
    "TAXES",
    "RENT",
    "UTILITIES",
    "SALARIES",
    "INSURANCE",
    "MAINTENANCE",
    "TRAINING",
    "SUBSCRIPTIONS",
    "OTHER",
]
_Status = Literal["DRAFT", "PENDING", "APPROVED", "REJECTED", "PAID"]
_PaymentMethod = Literal["CREDIT_CARD", "BANK_TRANSFER", "CASH", "CHECK", "PAYPAL", "OTHER"]

Confidence = Annotated[
    Annotated[int, Strict(), Ge(0), Le(1)] | Annotated[float, Strict(), Ge(0), Le(1)],
    FieldRule("field.number-0-1", "The value is a number from 0 to 1."),
]
Category = Annotated[_Category, choice("expense-category", _Category)]
ExpenseStatus = Annotated[_Status, choice("expense-status", _Status)]
ExpensePaymentMethod = Annotated[_PaymentMethod, choice("expense-payment-method", _PaymentMethod)]


class ExpenseFile(EmbeddedModel):
    """A file that proves an expense."""

    filename: NonEmptyText
    original_filename: NonEmptyText
    mimetype: NonEmptyText
    path: NonEmptyText
    size: Positive
    url: NonEmptyText
    ocr_processed: Flag | None = False
    ocr_data: Any = None
    created_at: BsonDate | None = None
    updated_at: BsonDate | None = None


class OcrMetadata(EmbeddedModel):
    """What was read from the files."""

    vendor_name: Text | None = None
    vendor_address: Text | None = None
    vendor_vat_number: Text | None = None
    invoice_number: Text | None = None
    invoice_date: BsonDate | None = None
    total_amount: Number | None = None
    vat_amount: Number | None = None
    currency: Text | None = None
    confidence_score: Confidence | None = None
    raw_extracted_text: Text | None = None


class Expense(CreatorDocument):
    """An expense."""

    collection_name: ClassVar[str] = "expenses"

    title: Annotated[str, text(1, 100)]
    description: Annotated[str, text(max_length=1000)] | None = None
    amount: NonNegative
    currency: CurrencyCode = "EUR"
    category: Category = "OTHER"
    date: BsonDate
    vendor: Annotated[str, text(max_length=100)] | None = None
    vendor_vat_number: Annotated[str, text(max_length=30)] | None = None
    invoice_number: Annotated[str, text(max_length=50)] | None = None
    document_number: Annotated[str, text(max_length=50)] | None = None
    accounting_account: Annotated[str, text(max_length=20)] | None = None
    vat_amount: Number | None = 0
    vat_rate: Number | None = 0
    is_vat_deductible: Flag | None = True
    status: ExpenseStatus | None = "DRAFT"
    payment_method: ExpensePaymentMethod | None = "BANK_TRANSFER"
    payment_date: BsonDate | None = None
    files: list[ExpenseFile] | None = Field(default_factory=list)
    ocr_metadata: OcrMetadata | None = None
    notes: Annotated[str, text(max_length=1000)] | None = None
    tags: list[Annotated[str, text(max_length=30)]] | None = Field(default_factory=list)
