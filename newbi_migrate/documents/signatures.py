"""E-mail signatures, of today and of before 2025-08-14.

Both shapes live in one collection, and some fields have one name and two types.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import Strict

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.document_rules import All, AnyOf, Not, There, ValuesWithin
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.fields import SignatureEmail
from newbi_migrate.documents.scalars import (
    Flag,
    NonEmptyText,
    Number,
    Text,
    choice,
    text,
)
from newbi_migrate.documents.scoped import CreatorDocument

__all__ = [
    "ColumnWidths",
    "EmailSignature",
    "FontSizes",
    "LegacyEmailSignature",
    "SignatureColors",
    "SocialLinks",
]

_Layout = Literal["horizontal", "vertical"]
_ImageShape = Literal["round", "square"]

Layout = Annotated[_Layout, choice("signature-layout", _Layout)]
ImageShape = Annotated[_ImageShape, choice("signature-image-shape", _ImageShape)]

NameSpacing = Annotated[
    Annotated[int, Strict(), Ge(0), Le(20)] | Annotated[float, Strict(), Ge(0), Le(20)],
    FieldRule("field.number-0-20", "The value is a number from 0 to 20."),
]
ImageSize = Annotated[
    Annotated[int, Strict(), Ge(40), Le(200)] | Annotated[float, Strict(), Ge(40), Le(200)],
    FieldRule("field.number-40-200", "The value is a number from 40 to 200."),
]
LogoSize = Annotated[
    Annotated[int, Strict(), Ge(20), Le(150)] | Annotated[float, Strict(), Ge(20), Le(150)],
    FieldRule("field.number-20-150", "The value is a number from 20 to 150."),
]


class SocialLinks(EmbeddedModel):
    """Where else somebody is found."""

    linkedin: Text | None = None
    twitter: Text | None = None
    facebook: Text | None = None
    instagram: Text | None = None


class LegacyEmailSignature(CreatorDocument):
    """A signature as it was stored before 2025-08-14."""

    collection_name: ClassVar[str] = "emailsignatures"

    name: NonEmptyText
    full_name: NonEmptyText
    job_title: NonEmptyText
    email: SignatureEmail
    phone: Text | None = None
    mobile_phone: Text | None = None
    website: Text | None = None
    address: Text | None = None
    company_name: Text | None = None
    social_links: SocialLinks | None = None
    template: Text | None = None
    primary_color: Text | None = None
    secondary_color: Text | None = None
    logo_url: Text | None = None
    show_logo: Flag | None = None
    profile_photo_url: Text | None = None
    profile_photo_size: Number | None = None
    layout: Text | None = None
    spacings: Any = None
    vertical_alignment: Text | None = None
    images_layout: Text | None = None
    font_family: Text | None = None
    font_size: Number | None = None
    text_style: Any = None
    is_default: Flag | None = None
    icons: Any = None

    # It has a name, and not that of today.
    shape = All(Not(There("signatureName")), AnyOf(There("fullName"), There("name")))


class SignatureColors(EmbeddedModel):
    """Colours of the parts of a signature."""

    name: Text | None = None
    position: Text | None = None
    company: Text | None = None
    contact: Text | None = None
    separator_vertical: Text | None = None
    separator_horizontal: Text | None = None


class ColumnWidths(EmbeddedModel):
    """Widths of the two columns, in percent."""

    photo: Number | None = 25
    content: Number | None = 75


class FontSizes(EmbeddedModel):
    """Sizes of the texts, in pixels."""

    name: Number | None = 16
    position: Number | None = 14
    contact: Number | None = 12


class EmailSignature(CreatorDocument):
    """A signature."""

    collection_name: ClassVar[str] = "emailsignatures"
    older_shapes = (LegacyEmailSignature,)
    rules = (
        ValuesWithin("signature.spacings", "A spacing is from 0 to 50 pixels.", "spacings", 0, 50),
    )

    signature_name: NonEmptyText
    is_default: Flag | None = None
    first_name: Annotated[str, text(max_length=50)] | None = None
    last_name: Annotated[str, text(max_length=50)] | None = None
    position: Annotated[str, text(max_length=100)] | None = None
    email: SignatureEmail | None = None
    phone: Text | None = None
    mobile: Text | None = None
    website: Text | None = None
    address: Text | None = None
    company_name: Text | None = None
    primary_color: Text | None = None
    colors: SignatureColors | None = None
    name_spacing: NameSpacing | None = None
    name_alignment: Text | None = None
    layout: Layout | None = "horizontal"
    column_widths: ColumnWidths | None = None
    photo: Text | None = None
    photo_key: Text | None = None
    logo: Text | None = None
    logo_key: Text | None = None
    image_size: ImageSize | None = None
    image_shape: ImageShape | None = "round"
    logo_size: LogoSize | None = None
    spacings: Any = None
    font_family: Text | None = None
    font_size: FontSizes | None = None
