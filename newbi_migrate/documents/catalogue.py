"""Products and services that are sold."""

from __future__ import annotations

from typing import ClassVar

from newbi_migrate.documents.fields import Name
from newbi_migrate.documents.scalars import NonEmptyText, NonNegative, Percentage, Text
from newbi_migrate.documents.scoped import CreatorDocument

__all__ = ["Product"]


class Product(CreatorDocument):
    """A product or a service; it belongs to a workspace since 2025-10-27."""

    collection_name: ClassVar[str] = "products"

    name: Name
    description: Text | None = None
    unit_price: NonNegative
    vat_rate: Percentage
    unit: NonEmptyText
    category: Text | None = None
    reference: Text | None = None
