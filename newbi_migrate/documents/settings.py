"""Texts that Newbi puts on new invoices and quotes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from newbi_migrate.documents.scalars import Text, choice
from newbi_migrate.documents.scoped import CreatorDocument

__all__ = ["DocumentSettings"]

_DocumentType = Literal["INVOICE", "QUOTE"]

DocumentType = Annotated[_DocumentType, choice("document-type", _DocumentType)]


class DocumentSettings(CreatorDocument):
    """The default texts of one kind of document; a workspace has one of each kind."""

    collection_name: ClassVar[str] = "documentsettings"

    document_type: DocumentType
    default_header_notes: Text | None = None
    default_footer_notes: Text | None = None
    default_terms_and_conditions: Text | None = None
    default_terms_and_conditions_link_title: Text | None = None
    default_terms_and_conditions_link: Text | None = None
