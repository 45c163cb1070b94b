"""The embedded documents of billing documents, as Newbi stores them.

Company, client and address are snapshots: what was true when the document was issued. They are
never repaired.
"""

from __future__ import annotations

from typing import Annotated, Literal

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.document_rules import (
    DocumentRule,
    Filled,
    FilledIffZero,
    Is,
    Required,
)
from newbi_migrate.documents.fields import (
    Bic,
    CapitalSocial,
    City,
    CustomText,
    Email,
    FullName,
    HexColour,
    Iban,
    ItemDescription,
    ItemUnit,
    Name,
    PhoneFr,
    PostalCode,
    Rcs,
    Siret,
    Street,
    Url,
    VatFr,
)
from newbi_migrate.documents.scalars import (
    Flag,
    NonNegative,
    NonZero,
    Number,
    Percentage,
    Positive,
    Text,
    choice,
    text,
)

__all__ = [
    "Address",
    "Appearance",
    "BankDetails",
    "ClientSnapshot",
    "ClientType",
    "CompanySnapshot",
    "CompanyStatus",
    "CreditNoteItem",
    "CustomField",
    "DiscountType",
    "Item",
    "LegalForms",
    "Shipping",
    "TransactionCategory",
    "VatPaymentCondition",
    "company_obligations",
]

_CompanyStatus = Literal[
    "SARL",
    "SAS",
    "EURL",
    "SASU",
    "EI",
    "EIRL",
    "SA",
    "SNC",
    "SCI",
    "SCOP",
    "ASSOCIATION",
    "AUTO_ENTREPRENEUR",
    "AUTRE",
]
_TransactionCategory = Literal["GOODS", "SERVICES", "MIXED"]
_VatPaymentCondition = Literal["ENCAISSEMENTS", "DEBITS", "EXONERATION", "NONE"]
_ClientType = Literal["INDIVIDUAL", "COMPANY"]
_DiscountType = Literal["PERCENTAGE", "FIXED"]

CompanyStatus = Annotated[_CompanyStatus, choice("company-status", _CompanyStatus)]
TransactionCategory = Annotated[
    _TransactionCategory, choice("transaction-category", _TransactionCategory)
]
VatPaymentCondition = Annotated[
    _VatPaymentCondition, choice("vat-payment-condition", _VatPaymentCondition)
]
ClientType = Annotated[_ClientType, choice("client-type", _ClientType)]
DiscountType = Annotated[_DiscountType, choice("discount-type", _DiscountType)]


class LegalForms:
    """The legal forms that share obligations."""

    COMPANIES = ("SARL", "SAS", "EURL", "SASU", "SA", "SNC", "SCOP")
    CIVIL = ("SCI",)
    SOLE = ("EI", "EIRL", "AUTO_ENTREPRENEUR")


class Address(EmbeddedModel):
    """A postal address."""

    full_name: FullName | None = None
    street: Street | None = None
    city: City | None = None
    postal_code: PostalCode | None = None
    country: City | None = None


_BANK_FIELDS = ("iban", "bic", "bankName")


class BankDetails(EmbeddedModel):
    """Where to pay."""

    rules = (
        Required(
            "bank-details.all-or-none",
            "IBAN, BIC and the bank's name are all there, or none is.",
            _BANK_FIELDS,
            Filled(*_BANK_FIELDS),
        ),
    )

    iban: Iban | None = None
    bic: Bic | None = None
    bank_name: Text | None = None


def company_obligations(prefix: str) -> tuple[DocumentRule, ...]:
    """What companies owe by their legal form, whether as a user's own or as an issuer.

    Args:
        prefix: First part of the rules' ids.
    """
    return (
        Required(
            f"{prefix}.company",
            "A company has SIRET, VAT number, capital and RCS.",
            ("siret", "vatNumber", "capitalSocial", "rcs"),
            Is("companyStatus", *LegalForms.COMPANIES),
        ),
        Required(
            f"{prefix}.civil-company",
            "A civil company has SIRET and RCS.",
            ("siret", "rcs"),
            Is("companyStatus", *LegalForms.CIVIL),
        ),
    )


class CompanySnapshot(EmbeddedModel):
    """The issuer, as ``companyInfo``."""

    rules = company_obligations("company-info")

    name: Name
    address: Address
    phone: PhoneFr | None = None
    email: Email | None = None
    website: Url | None = None
    siret: Siret | None = None
    vat_number: VatFr | None = None
    bank_details: BankDetails | None = None
    logo: Text | None = None
    transaction_category: TransactionCategory | None = "SERVICES"
    vat_payment_condition: VatPaymentCondition | None = "NONE"
    company_status: CompanyStatus | None = "AUTRE"
    capital_social: CapitalSocial | None = None
    rcs: Rcs | None = None


class ClientSnapshot(EmbeddedModel):
    """The customer; it holds no id of a client."""

    rules = (
        Required(
            "client-info.individual",
            "A person has a first and a last name.",
            ("firstName", "lastName"),
            Is("type", "INDIVIDUAL"),
        ),
        Required(
            "client-info.company",
            "A company has a name, a SIRET and a VAT number.",
            ("name", "siret", "vatNumber"),
            Is("type", "COMPANY"),
        ),
        Required(
            "client-info.shipping-address",
            "A shipping address that differs is there.",
            ("shippingAddress",),
            Is("hasDifferentShippingAddress", True),
        ),
    )

    type: ClientType = "COMPANY"
    first_name: Text | None = None
    last_name: Text | None = None
    name: Text | None = None
    email: Email
    address: Address
    has_different_shipping_address: Flag | None = False
    shipping_address: Address | None = None
    siret: Siret | None = None
    vat_number: VatFr | None = None


class Item(EmbeddedModel):
    """A line of an invoice or a quote."""

    rules = (
        FilledIffZero(
            "item.vat-exemption",
            "A line without VAT says why, and only such a line.",
            "vatExemptionText",
            "vatRate",
        ),
    )

    description: ItemDescription
    quantity: NonNegative
    unit_price: Positive
    vat_rate: Percentage
    vat_exemption_text: Annotated[str, text(max_length=500)] | None = None
    unit: ItemUnit | None = "unité"
    discount: NonNegative | None = 0
    discount_type: DiscountType | None = "PERCENTAGE"
    details: Annotated[str, text(max_length=500)] | None = None


class CreditNoteItem(Item):
    """A line of a credit note, which may take away."""

    quantity: Number
    unit_price: NonZero
    discount: Number | None = 0


class CustomField(EmbeddedModel):
    """A field the user made up."""

    key: CustomText
    value: CustomText


class Shipping(EmbeddedModel):
    """Shipping costs."""

    rules = (
        Required(
            "shipping.address",
            "Shipping that is billed has an address.",
            ("shippingAddress",),
            Is("billShipping", True),
        ),
    )

    bill_shipping: Flag | None = False
    shipping_address: Address | None = None
    shipping_amount_ht: NonNegative | None = 0
    shipping_vat_rate: Percentage | None = 20


class Appearance(EmbeddedModel):
    """Colours of the printed document."""

    text_color: HexColour | None = "#000000"
    header_text_color: HexColour | None = "#ffffff"
    header_bg_color: HexColour | None = "#1d1d1b"
