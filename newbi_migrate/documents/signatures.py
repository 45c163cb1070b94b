"""E-mail signatures, of today and of before 2025-08-14.

Both shapes live in one collection, and some fields have one name and two types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.conditions import rule
from newbi_migrate.documents.fields import SignatureEmail
from newbi_migrate.documents.scalars import (
    Flag,
    NonEmptyText,
    Number,
    Text,
    between,
    choice,
    text,
)
from newbi_migrate.documents.scoped import CreatorDocument
from newbi_migrate.invariants.language import (
    NUMBER,
    OBJECT,
    AllOf,
    AnyOf,
    Has,
    HasNot,
    Not,
    ValuesAre,
    Within,
)

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

_NARROW: Final = AnyOf(Not(NUMBER), Within(0, 50))


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
    shape = AllOf(HasNot("signatureName"), AnyOf(Has("fullName"), Has("name")))


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


def _wide(document: Mapping[str, Any]) -> list[str]:
    spacings = document.get("spacings")
    if not isinstance(spacings, Mapping):
        return []
    return [f"spacings.{name}" for name, value in spacings.items() if not _NARROW.holds(value)]


class EmailSignature(CreatorDocument):
    """A signature."""

    collection_name: ClassVar[str] = "emailsignatures"
    older_shapes = (LegacyEmailSignature,)
    rules = (
        rule(
            "signature.spacings",
            "A spacing is from 0 to 50 pixels.",
            _wide,
            keeps=Not(Has("spacings", AllOf(OBJECT, Not(ValuesAre(_NARROW))))),
        ),
    )

    signature_name: NonEmptyText
    is_default: Flag | None = None
    first_name: Annotated[str, text(maximum=50)] | None = None
    last_name: Annotated[str, text(maximum=50)] | None = None
    position: Annotated[str, text(maximum=100)] | None = None
    email: SignatureEmail | None = None
    phone: Text | None = None
    mobile: Text | None = None
    website: Text | None = None
    address: Text | None = None
    company_name: Text | None = None
    primary_color: Text | None = None
    colors: SignatureColors | None = None
    name_spacing: Annotated[int | float, between(0, 20)] | None = None
    name_alignment: Text | None = None
    layout: Layout | None = "horizontal"
    column_widths: ColumnWidths | None = None
    photo: Text | None = None
    photo_key: Text | None = None
    logo: Text | None = None
    logo_key: Text | None = None
    image_size: Annotated[int | float, between(40, 200)] | None = None
    image_shape: ImageShape | None = "round"
    logo_size: Annotated[int | float, between(20, 150)] | None = None
    spacings: Any = None
    font_family: Text | None = None
    font_size: FontSizes | None = None
