"""Clients, as the address book holds them; documents hold snapshots instead."""

from __future__ import annotations

from typing import ClassVar, Final

from newbi_migrate.documents.characters import BLANKS, LETTERS
from newbi_migrate.documents.document_rules import All, AnyOf, Fits, Forbidden, Is, Not, Required
from newbi_migrate.documents.fields import Email, GivenName, Phone, Siret, VatEu
from newbi_migrate.documents.scalars import Flag, NonEmptyText
from newbi_migrate.documents.scoped import CreatorDocument
from newbi_migrate.documents.snapshots import Address, ClientType

__all__ = ["Client"]

_NAMES: Final = {
    "COMPANY": rf"[{LETTERS}0-9{BLANKS}&'\"\-.,()]{{2,100}}",
    "INDIVIDUAL": rf"[{LETTERS}{BLANKS}'-]{{2,50}}",
}
_MISNAMED: Final = AnyOf(
    *(All(Is("type", kind), Not(Fits("name", pattern))) for kind, pattern in _NAMES.items())
)


class Client(CreatorDocument):
    """A customer, a person or a company."""

    collection_name: ClassVar[str] = "clients"
    rules = (
        Forbidden(
            "client.name",
            "The name of a person is 2 to 50 letters, blanks, apostrophes and hyphens; that of a "
            "company 2 to 100 letters, digits, blanks and & ' \" - . , ( ) characters.",
            {"name": _MISNAMED},
        ),
        Required(
            "client.shipping-address",
            "A shipping address that differs is there.",
            ("shippingAddress",),
            Is("hasDifferentShippingAddress", True),
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
