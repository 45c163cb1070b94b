"""What Newbi's texts look like: e-mail, phone, SIRET, numbers of documents and so on.

Each is a string with a pattern of pydantic's own, and the rule that a value breaks which does not
match it.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Strict

from newbi_migrate.documents.characters import BLANKS as S, LETTERS as L, PRINTABLE, WORD, class_of
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.scalars import whole
from newbi_migrate.rules import Severity

__all__ = [
    "BcryptHash",
    "Bic",
    "CapitalSocial",
    "City",
    "CurrencyCode",
    "CustomText",
    "DocumentNumber",
    "Email",
    "FooterText",
    "FullName",
    "GivenName",
    "HexColour",
    "Iban",
    "ItemDescription",
    "ItemUnit",
    "JsonText",
    "Name",
    "NormalEmail",
    "PasswordHash",
    "Phone",
    "PhoneFr",
    "PostalCode",
    "PurchaseOrderNumber",
    "QuoteNumber",
    "Rcs",
    "Roles",
    "SignatureEmail",
    "Siren",
    "Siret",
    "Slug",
    "Street",
    "Url",
    "VatEu",
    "VatFr",
]


def _is_currency(character: str) -> bool:
    return unicodedata.category(character) == "Sc"


def _is_on_one_line(character: str) -> bool:
    return character == "\t" or unicodedata.category(character)[0] in "LNPSZ"


def _as_json(value: str) -> str:
    try:
        json.loads(value)
    except RecursionError:
        raise ValueError from None
    return value


Email = Annotated[
    str,
    whole(rf"{WORD}+(?:[.-]{WORD}+)*@{WORD}+(?:[.-]{WORD}+)*\.{WORD}{{2,3}}"),
    FieldRule(
        "field.email",
        "The value is an e-mail address of ASCII word characters with single dots or hyphens "
        "between them, ending in a dot and 2 or 3 characters.",
    ),
]
SignatureEmail = Annotated[
    str,
    whole(rf"[^{S}@]+@[^{S}@]+\.[^{S}@]+"),
    FieldRule("field.signature-email", "The value has no blanks, one @, and a dot after it."),
]
_CHANGED: Final = class_of(lambda character: character.lower() != character)
NormalEmail = Annotated[
    str,
    # What lower case changes is not the same in every engine, so it is spelled out.
    whole(rf"[^{_CHANGED}{S}](?:[^{_CHANGED}]*[^{_CHANGED}{S}])?"),
    FieldRule(
        "field.normal-email",
        "The e-mail address is in lower case without blanks around it, as sign-in looks it up.",
        Severity.CRITICAL,
    ),
]
Phone = Annotated[
    str,
    whole(rf"(?:\+[0-9]{{1,3}}[{S}]?)?[0-9]{{9,}}"),
    FieldRule(
        "field.phone",
        "The value is a phone number: a country code if any, then at least 9 digits together.",
    ),
]
PhoneFr = Annotated[
    str,
    whole(r"(?:\+33|0033|0)[ .-]?[1-9](?:[ .-]?[0-9]{2}){4}"),
    FieldRule(
        "field.phone-fr",
        "The value is a French phone number: 0, +33 or 0033, a digit from 1 to 9, four pairs.",
    ),
]
Name = Annotated[
    str,
    whole(rf"[{L}0-9{S}\-'.(),&]{{2,50}}"),
    FieldRule(
        "field.name",
        "The value is a name of 2 to 50 letters, digits, blanks and - ' . ( ) , & characters.",
    ),
]
GivenName = Annotated[
    str,
    whole(rf"[{L}{S}'-]{{2,50}}"),
    FieldRule(
        "field.given-name",
        "The value is a name of 2 to 50 letters, blanks, apostrophes and hyphens.",
    ),
]
FullName = Annotated[
    str,
    whole(rf"[{L}{S}'-]{{2,100}}"),
    FieldRule(
        "field.full-name",
        "The value is a name of 2 to 100 letters, blanks, apostrophes and hyphens.",
    ),
]
Siret = Annotated[
    str,
    whole(r"[0-9]{14}"),
    FieldRule("field.siret", "A SIRET is 14 digits."),
]
Siren = Annotated[
    str,
    whole(r"[0-9]{9}"),
    FieldRule("field.siren", "A SIREN is 9 digits."),
]
VatFr = Annotated[
    str,
    whole(r"FR[0-9]{11}"),
    FieldRule("field.vat-fr", "A French VAT number is FR and 11 digits."),
]
VatEu = Annotated[
    str,
    whole(r"[A-Z]{2}[A-Z0-9]{2,12}"),
    FieldRule("field.vat-eu", "A VAT number is 2 capitals and 2 to 12 capitals or digits."),
]
Iban = Annotated[
    str,
    whole(r"FR[0-9]{12}[A-Z0-9]{11}[0-9]{2}"),
    FieldRule(
        "field.iban",
        "A French IBAN is FR, 12 digits, 11 capitals or digits, and 2 digits, without blanks.",
    ),
]
Bic = Annotated[
    str,
    whole(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?"),
    FieldRule("field.bic", "A BIC is 6 capitals, 2 capitals or digits, and 3 more or none."),
]
PostalCode = Annotated[
    str,
    whole(r"[0-9]{5}"),
    FieldRule("field.postal-code", "A postal code is 5 digits."),
]
Street = Annotated[
    str,
    whole(rf"[{L}0-9{S},'.-]{{3,100}}"),
    FieldRule(
        "field.street", "The value is 3 to 100 letters, digits, blanks and , ' - . characters."
    ),
]
City = Annotated[
    str,
    whole(rf"[{L}{S}'-]{{2,50}}"),
    FieldRule("field.city", "The value is 2 to 50 letters, blanks, apostrophes and hyphens."),
]
CapitalSocial = Annotated[
    str,
    whole(r"[0-9]{1,20}(?:\.[0-9]{1,2})?"),
    FieldRule(
        "field.capital-social",
        "The capital is text of 1 to 20 digits, with a point and 1 or 2 decimals if any.",
    ),
]
_SIREN: Final = rf"[0-9]{{3}}[{S}]?[0-9]{{3}}[{S}]?[0-9]{{3}}"
Rcs = Annotated[
    str,
    whole(
        rf"{_SIREN}[{S}]?(?:R\.C\.S\.|RCS)[{S}][{L}{S}'-]{{2,30}}"
        rf"|[{L}{S}'-]{{2,30}}[{S}](?:[A-Z][{S}])?{_SIREN}"
    ),
    FieldRule(
        "field.rcs",
        "An RCS number is 9 digits, RCS and a city, or a city, a capital if any, and 9 digits.",
    ),
]
Url = Annotated[
    str,
    whole(
        r"(?:[Hh][Tt][Tt][Pp][Ss]?://)?"
        r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})"
        r"(?::[0-9]+)?(?:/[A-Za-z0-9_.~%+-]*)*(?:\?[A-Za-z0-9;&_.~%+=-]*)?(?:#[A-Za-z0-9_-]*)?"
    ),
    FieldRule("field.url", "The value is a web address with a domain name or an IPv4 address."),
]
HexColour = Annotated[
    str,
    whole(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})"),
    FieldRule("field.hex-colour", "A colour is # and 3 or 6 hexadecimal digits."),
]
CurrencyCode = Annotated[
    str,
    whole(r"[A-Z]{3}"),
    FieldRule("field.currency", "A currency is 3 capitals."),
]
DocumentNumber = Annotated[
    str,
    whole(r"[A-Za-z0-9-]{1,50}"),
    FieldRule(
        "field.document-number", "The number of a document is 1 to 50 letters, digits and hyphens."
    ),
]
QuoteNumber = Annotated[
    str,
    whole(r"[A-Za-z0-9-]{1,20}"),
    FieldRule(
        "field.quote-number", "The number of a quote is 1 to 20 letters, digits and hyphens."
    ),
]
PurchaseOrderNumber = Annotated[
    str,
    whole(r"[A-Za-z0-9/-]{1,50}"),
    FieldRule(
        "field.purchase-order-number",
        "The number of an order is 1 to 50 letters, digits, hyphens and slashes.",
    ),
]
ItemDescription = Annotated[
    str,
    whole(rf"[{PRINTABLE}]*", min_length=1, max_length=200),
    FieldRule(
        "field.item-description",
        "A description is 1 to 200 letters, digits, blanks and ASCII punctuation.",
    ),
]
ItemUnit = Annotated[
    str,
    whole(rf"[{L}0-9{S}./²³-]{{1,20}}"),
    FieldRule(
        "field.item-unit", "A unit is 1 to 20 letters, digits, blanks and . / - ² ³ characters."
    ),
]
CustomText = Annotated[
    str,
    whole(rf"[{PRINTABLE}{class_of(_is_currency)}]*", min_length=1, max_length=500),
    FieldRule(
        "field.custom-text",
        "The value is 1 to 500 letters, digits, blanks, ASCII punctuation and currency signs.",
    ),
]
FooterText = Annotated[
    str,
    whole(rf"[{class_of(_is_on_one_line)}]*", max_length=2000),
    FieldRule(
        "field.footer-text",
        "A footer is at most 2000 letters, numbers, signs, separators and tabs, on one line.",
    ),
]
Slug = Annotated[
    str,
    whole(r"[a-z0-9]+(?:-[a-z0-9]+)*"),
    FieldRule(
        "field.slug", "A slug is lower-case letters and digits with single hyphens between them."
    ),
]
_BCRYPT: Final = r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}"
BcryptHash = Annotated[
    str,
    whole(_BCRYPT),
    FieldRule("field.bcrypt-hash", "A stored password is a bcrypt hash."),
]
PasswordHash = Annotated[
    str,
    whole(rf"{_BCRYPT}|[0-9a-f]{{32}}:[0-9a-f]{{128}}"),
    FieldRule(
        "field.password-hash",
        "A stored password is a bcrypt hash, or Better Auth's scrypt salt and key.",
    ),
]
Roles = Annotated[
    str,
    whole(
        r"(?:owner|admin|member|viewer|accountant)(?:,(?:owner|admin|member|viewer|accountant))*"
    ),
    FieldRule(
        "field.roles",
        "The value is owner, admin, member, viewer or accountant, or several joined by commas.",
    ),
]
JsonText = Annotated[
    str,
    Strict(),
    AfterValidator(_as_json),
    FieldRule("field.json-text", "The value is text in JSON.", python_only=True),
]
