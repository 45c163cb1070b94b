"""Documents that were read by a machine."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.scalars import (
    BsonDate,
    Flag,
    NonEmptyText,
    NonNegative,
    Number,
    ObjectIdField,
    Text,
    choice,
)
from newbi_migrate.documents.scoped import UserDocument

__all__ = ["LegacyStructuredData", "OcrDocument", "OcrUsage", "ProcessingMetadata"]

_PaymentMethod = Literal["CARD", "CASH", "CHECK", "TRANSFER"]
_Confidence = Literal["low", "medium", "high"]
_DocumentType = Literal["receipt", "invoice", "other"]
_Status = Literal["processing", "completed", "failed"]

OcrPaymentMethod = Annotated[_PaymentMethod, choice("ocr-payment-method", _PaymentMethod)]
Confidence = Annotated[_Confidence, choice("ocr-confidence", _Confidence)]
OcrDocumentType = Annotated[_DocumentType, choice("ocr-document-type", _DocumentType)]
OcrStatus = Annotated[_Status, choice("ocr-status", _Status)]


class LegacyStructuredData(EmbeddedModel):
    """What was read, as the first version understood it; its date is text."""

    amount: Number | None = None
    date: Text | None = None
    merchant: Text | None = None
    description: Text | None = None
    category: Text | None = "divers"
    payment_method: OcrPaymentMethod | None = "CARD"
    confidence: Confidence | None = "medium"


class ProcessingMetadata(EmbeddedModel):
    """When and by whom it was read."""

    processed_at: BsonDate | None = None
    ocr_provider: Text | None = None
    processing_duration: Number | None = None


class OcrUsage(EmbeddedModel):
    """Whether an expense came of it."""

    used_for_expense: Flag | None = None
    expense_id: ObjectIdField | None = None
    used_at: BsonDate | None = None


class OcrDocument(UserDocument):
    """A document and what was read from it."""

    collection_name: ClassVar[str] = "ocr_documents"

    original_file_name: NonEmptyText
    mime_type: NonEmptyText
    file_size: NonNegative
    document_url: NonEmptyText
    cloudflare_key: NonEmptyText
    extracted_text: Text
    raw_ocr_data: Any
    structured_data: Any = None
    financial_analysis: Any = None
    legacy_structured_data: LegacyStructuredData | None = None
    document_type: OcrDocumentType | None = "receipt"
    status: OcrStatus | None = "completed"
    processing_metadata: ProcessingMetadata | None = None
    usage: OcrUsage | None = None
