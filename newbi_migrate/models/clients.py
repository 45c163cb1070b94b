"""Clients, as the address book holds them; documents hold snapshots instead.

It changes when Newbi's address book does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from newbi_migrate.models.conditions import equals, required, rule
from newbi_migrate.models.fields import Email, GivenName, Phone, Siret, VatEu
from newbi_migrate.models.scalars import Flag, NonEmptyText
from newbi_migrate.models.scoped import CreatorDocument
from newbi_migrate.models.snapshots import Address, ClientType

__all__ = ["Client"]

_NAMES: Final = {
    "COMPANY": re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ0-9\s&'\"\-.,()]{2,100}"),
    "INDIVIDUAL": re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ\s'-]{2,50}"),
}


def _misnamed(document: Mapping[str, Any]) -> list[str]:
    kind, name = document.get("type", "COMPANY"), document.get("name")
    pattern = _NAMES.get(kind) if isinstance(kind, str) else None
    if pattern is None or not isinstance(name, str):
        return []
    return [] if pattern.fullmatch(name) else ["name"]


class Client(CreatorDocument):
    """A customer, a person or a company."""

    collection_name: ClassVar[str] = "clients"
    rules = (
        rule(
            "client.name",
            "The name of a person is 2 to 50 letters, blanks, apostrophes and hyphens; that of a "
            "company 2 to 100 letters, digits, blanks and & ' \" - . , ( ) characters.",
            _misnamed,
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
