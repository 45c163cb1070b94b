"""A legacy user's company becomes a Better Auth organization."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bson import Decimal128, ObjectId

from newbi_migrate.documents.better_auth import COMPANY_GUARD_FIELDS
from newbi_migrate.mapping.ids import member_id, organization_id
from newbi_migrate.mapping.numbers import cast_text, number_text
from newbi_migrate.mapping.values import get_path, is_missing, text

__all__ = [
    "NEUTRAL_NAME",
    "ambiguous_numbers",
    "company_fields",
    "company_fields_missing",
    "incomplete_fields",
    "member_document",
    "organization_document",
]

NEUTRAL_NAME: Final = "Mon entreprise"
"""Name of the organization of a user of whom neither company nor first name is known."""

# Application's name of a field, and where the legacy user keeps it.
_COMPANY_PATHS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("companyName", ("name",)),
    ("companyEmail", ("email",)),
    ("companyPhone", ("phone",)),
    ("website", ("website",)),
    ("logo", ("logo",)),
    ("siret", ("siret",)),
    ("vatNumber", ("vatNumber",)),
    ("rcs", ("rcs",)),
    ("capitalSocial", ("capitalSocial",)),
    ("addressStreet", ("address", "street")),
    ("addressCity", ("address", "city")),
    ("addressZipCode", ("address", "postalCode")),
    ("addressCountry", ("address", "country")),
    ("bankIban", ("bankDetails", "iban")),
    ("bankBic", ("bankDetails", "bic")),
    ("bankName", ("bankDetails", "bankName")),
)

# Where a number may stand for a text, and of how many digits that text is; zero for any.
_NUMBERS: Final[tuple[tuple[tuple[str, ...], int], ...]] = (
    *(
        (("company", *path), {"siret": 14, "addressZipCode": 5, "companyPhone": 10}.get(name, 0))
        for name, path in _COMPANY_PATHS
    ),
    (("profile", "phone"), 10),
)

# Fields that are one thing together, and the flags that follow from them.
_TOGETHER: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("addressStreet", "addressCity", "addressZipCode", "addressCountry"), ()),
    (("bankIban", "bankBic", "bankName"), ("showBankDetails",)),
    (("vatNumber",), ("isVatSubject",)),
)

_LEGAL_FORMS: Final = {"AUTO_ENTREPRENEUR": "Auto-entrepreneur"}
# The application's list of activities is finer than the legacy one: only goods have a
# counterpart, the others cannot be told from the legacy value.
_ACTIVITIES: Final = {"GOODS": "commerciale"}


def company_fields(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """The company's fields under the names the application reads; nothing blank among them."""
    company = get_path(legacy, "company")
    fields: dict[str, Any] = {}
    for name, path in _COMPANY_PATHS:
        value = cast_text(get_path(company, *path))
        if value is not None:
            fields[name] = value
    if not isinstance(company, Mapping):
        return fields
    form = text(company.get("companyStatus"))
    if form is not None and (fields or form != "AUTRE"):
        # A company that holds nothing but the schema's defaults has no legal form to tell.
        fields["legalForm"] = _LEGAL_FORMS.get(form, form)
    category = text(company.get("transactionCategory"))
    if category in _ACTIVITIES:
        fields["activityCategory"] = _ACTIVITIES[category]
    if category in ("GOODS", "MIXED"):
        fields["hasCommercialActivity"] = True
    if "vatNumber" in fields:
        fields["isVatSubject"] = True
    if "bankIban" in fields or "bankBic" in fields:
        fields["showBankDetails"] = True
    return fields


def ambiguous_numbers(legacy: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the legacy user's numbers of which nobody can say what text they were.

    ``1000`` where a postal code belongs was ``01000``, or never was one; infinity was nothing.
    """
    return tuple(
        ".".join(path)
        for path, digits in _NUMBERS
        if _is_number(found := get_path(legacy, *path))
        and ((shown := number_text(found)) is None or (digits and not _has(shown, digits)))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal128) and not isinstance(value, bool)


def _has(shown: str, digits: int) -> bool:
    return len(shown) == digits and shown.isdecimal()


def company_fields_missing(
    legacy: Mapping[str, Any], organization: Mapping[str, Any]
) -> dict[str, Any]:
    """The company's fields as an existing organization may be filled with them.

    Fields that differ are among them, for they are conflicts a person should see. What makes no
    sense beside such a conflict is not: the other parts of another address or bank account, and
    the flags that follow from a field that says something else there.
    """
    wanted = company_fields(legacy)
    for names, followers in _TOGETHER:
        differing = [
            name
            for name in names
            if name in wanted
            and not is_missing(organization.get(name))
            and organization[name] != wanted[name]
        ]
        if differing:
            for name in (*names, *followers):
                if name not in differing:
                    wanted.pop(name, None)
    return wanted


def incomplete_fields(organization: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields the application demands and the organization lacks."""
    return tuple(name for name in COMPANY_GUARD_FIELDS if text(organization.get(name)) is None)


def organization_document(
    source: Mapping[str, Any], *, user_id: ObjectId, slug: str, created: datetime
) -> dict[str, Any]:
    """The organization of a user; its id follows from the user's.

    Args:
        source: The legacy user.
        user_id: Id under which the user is known after the migration.
        slug: A slug nobody else has.
        created: The date the organization is given.
    """
    fields = company_fields(source)
    first = cast_text(get_path(source, "profile", "firstName"))
    # Never the e-mail address: an organization's name is shown to everybody in it.
    name = fields.get("companyName") or first or NEUTRAL_NAME
    return {
        "_id": organization_id(user_id),
        "name": name,
        "slug": slug,
        "createdAt": created,
        **fields,
    }


def member_document(user_id: ObjectId, organization: ObjectId, created: datetime) -> dict[str, Any]:
    """The membership that makes a user the owner of an organization."""
    return {
        "_id": member_id(user_id),
        "organizationId": organization,
        "userId": user_id,
        "role": "owner",
        "createdAt": created,
    }
