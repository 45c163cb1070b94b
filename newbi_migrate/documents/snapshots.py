"""The embedded documents of billing documents, as Newbi stores them.

Company, client and address are snapshots: what was true when the document was issued. They are
never repaired.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.conditions import equals, filled, forbidden, required
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
from newbi_migrate.invariants.base import Invariant
from newbi_migrate.invariants.language import NUMBER, AllOf, AnyOf, Has, Not, Within

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
_SOME_FILLED = AnyOf(*map(filled, _BANK_FIELDS))


class BankDetails(EmbeddedModel):
    """Where to pay."""

    rules = (
        required(
            "bank-details.all-or-none",
            "IBAN, BIC and the bank's name are all there, or none is.",
            _SOME_FILLED,
            *_BANK_FIELDS,
        ),
    )

    iban: Iban | None = None
    bic: Bic | None = None
    bank_name: Text | None = None


def company_obligations(prefix: str) -> tuple[Invariant, ...]:
    """What companies owe by their legal form, whether as a user's own or as an issuer.

    Args:
        prefix: First part of the rules' ids.
    """
    return (
        required(
            f"{prefix}.company",
            "A company has SIRET, VAT number, capital and RCS.",
            equals("companyStatus", *LegalForms.COMPANIES),
            "siret",
            "vatNumber",
            "capitalSocial",
            "rcs",
        ),
        required(
            f"{prefix}.civil-company",
            "A civil company has SIRET and RCS.",
            equals("companyStatus", *LegalForms.CIVIL),
            "siret",
            "rcs",
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
        required(
            "client-info.individual",
            "A person has a first and a last name.",
            equals("type", "INDIVIDUAL", default="COMPANY"),
            "firstName",
            "lastName",
        ),
        required(
            "client-info.company",
            "A company has a name, a SIRET and a VAT number.",
            equals("type", "COMPANY", default="COMPANY"),
            "name",
            "siret",
            "vatNumber",
        ),
        required(
            "client-info.shipping-address",
            "A shipping address that differs is there.",
            equals("hasDifferentShippingAddress", True),
            "shippingAddress",
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


_WITHOUT_VAT = Has("vatRate", Within(0, 0))
_WITH_VAT = AllOf(Has("vatRate", NUMBER), Not(_WITHOUT_VAT))
_EXEMPT = filled("vatExemptionText")


class Item(EmbeddedModel):
    """A line of an invoice or a quote."""

    rules = (
        forbidden(
            "item.vat-exemption",
            "A line without VAT says why, and only such a line.",
            {
                "vatExemptionText": AnyOf(
                    AllOf(_WITHOUT_VAT, Not(_EXEMPT)), AllOf(_WITH_VAT, _EXEMPT)
                )
            },
        ),
    )

    description: ItemDescription
    quantity: NonNegative
    unit_price: Positive
    vat_rate: Percentage
    vat_exemption_text: Annotated[str, text(maximum=500)] | None = None
    unit: ItemUnit | None = "unité"
    discount: NonNegative | None = 0
    discount_type: DiscountType | None = "PERCENTAGE"
    details: Annotated[str, text(maximum=500)] | None = None


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
        required(
            "shipping.address",
            "Shipping that is billed has an address.",
            equals("billShipping", True),
            "shippingAddress",
        ),
    )

    bill_shipping: Flag | None = False
    shipping_address: Address | None = None
    shipping_amount_ht: NonNegative | None = Field(default=0, alias="shippingAmountHT")
    shipping_vat_rate: Percentage | None = 20


class Appearance(EmbeddedModel):
    """Colours of the printed document."""

    text_color: HexColour | None = "#000000"
    header_text_color: HexColour | None = "#ffffff"
    header_bg_color: HexColour | None = "#1d1d1b"
