"""Clients, as the address book holds them; documents hold snapshots instead."""

from __future__ import annotations

from typing import ClassVar, Final

from newbi_migrate.documents.conditions import equals, forbidden, required
from newbi_migrate.documents.fields import Email, GivenName, Phone, Siret, VatEu
from newbi_migrate.documents.scalars import Flag, NonEmptyText
from newbi_migrate.documents.scoped import CreatorDocument
from newbi_migrate.documents.snapshots import Address, ClientType
from newbi_migrate.invariants.language import STRING, AllOf, AnyOf, Has, Matches, Not

__all__ = ["Client"]

_NAMES: Final = {
    "COMPANY": r"[A-Za-zÀ-ÖØ-öø-ÿ0-9\s&'\"\-.,()]{2,100}",
    "INDIVIDUAL": r"[A-Za-zÀ-ÖØ-öø-ÿ\s'-]{2,50}",
}
_MISNAMED: Final = AnyOf(
    *(
        AllOf(
            equals("type", kind, default="COMPANY"),
            Has("name", STRING),
            Not(Has("name", Matches(pattern, ascii_only=False))),
        )
        for kind, pattern in _NAMES.items()
    )
)


class Client(CreatorDocument):
    """A customer, a person or a company."""

    collection_name: ClassVar[str] = "clients"
    rules = (
        forbidden(
            "client.name",
            "The name of a person is 2 to 50 letters, blanks, apostrophes and hyphens; that of a "
            "company 2 to 100 letters, digits, blanks and & ' \" - . , ( ) characters.",
            {"name": _MISNAMED},
        ),
        required(
            "client.shipping-address",
            "A shipping address that differs is there.",
            equals("hasDifferentShippingAddress", True),
            "shippingAddress",
        ),
    )

    name: NonEmptyText
    email: Email
    phone: Phone | None = None
    address: Address
    has_different_shipping_address: Flag | None = False
    shipping_address: Address | None = None
    type: ClientType = "COMPANY"
    siret: Siret | None = None
    vat_number: VatEu | None = None
    first_name: GivenName | None = None
    last_name: GivenName | None = None
