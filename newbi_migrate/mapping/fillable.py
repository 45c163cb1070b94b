"""Which fields a migration may fill into documents that exist already.

What is filled is journaled with its value, so that it can be taken back. Legacy users hold
fields nobody described, and among them may be secrets: a field that is not listed here stays in
the legacy document alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, Union

from bson import Code, Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate.mapping.merge import Merge

__all__ = ["FILLABLE", "Fields", "only_fillable"]

Fields: TypeAlias = Mapping[str, Union["Fields", None]]
"""Names of fields; behind each those of the embedded document it holds, ``None`` for a value."""


def _values(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


FILLABLE: Final[Mapping[str, Fields]] = {
    "user": {
        # Better Auth's, and its plug-ins' that Newbi uses.
        **_values("name", "email", "emailVerified", "image", "role", "phoneNumber"),
        **_values("stripeCustomerId", "createdAt", "updatedAt"),
        # The application's.
        **_values("lastName", "avatar", "isActive", "isEmailVerified", "isDisabled"),
        **_values("referralCode", "referredBy", "referralEarnings"),
        **_values("bridgeWorkspaceId", "bridgeCreatedAt"),
        "profile": _values(
            "firstName",
            "lastName",
            "phone",
            "profilePicture",
            "profilePictureUrl",
            "profilePictureKey",
        ),
        "company": {
            **_values("name", "email", "phone", "website", "logo", "siret", "vatNumber"),
            **_values("transactionCategory", "vatPaymentCondition", "companyStatus"),
            **_values("capitalSocial", "rcs"),
            "address": _values("fullName", "street", "city", "postalCode", "country"),
            "bankDetails": _values("iban", "bic", "bankName"),
        },
        "subscription": _values("licence", "trial", "stripeCustomerId"),
    },
    "organization": {
        **_values("companyName", "companyEmail", "companyPhone", "website", "logo"),
        **_values("siret", "vatNumber", "isVatSubject", "rcs", "capitalSocial", "legalForm"),
        **_values("activityCategory", "hasCommercialActivity"),
        **_values("addressStreet", "addressCity", "addressZipCode", "addressCountry"),
        **_values("bankIban", "bankBic", "bankName", "showBankDetails"),
    },
}
"""Collection to the fields that may be filled in documents of it."""

# Documents, lists, bytes and code can hold anything at all.
_PLAIN_VALUES: Final = (str, bool, int, float, datetime, DatetimeMS, Decimal128, ObjectId)


def only_fillable(merge: Merge, fields: Fields) -> tuple[Merge, tuple[str, ...]]:
    """The part of a merge that fills listed fields, and the paths of what it leaves out.

    A path ends at the first name that is not listed: what is below may be a secret as a name.
    """
    values: dict[str, Any] = {}
    left: dict[str, None] = {}
    for path, value in merge.values.items():
        below: Fields | None = fields
        seen: list[str] = []
        for name in path.split("."):
            seen.append(name)
            if below is None or name not in below:
                left[".".join(seen)] = None
                break
            below = below[name]
        else:
            part = _listed(value, below, path, left)
            if part is not None:
                values[path] = part
    prior = {path: value for path, value in merge.prior.items() if path in values}
    return Merge(values, prior, merge.conflicts), tuple(left)


def _listed(value: Any, fields: Fields | None, path: str, left: dict[str, None]) -> Any:
    """The listed part of a value; ``None`` if there is nothing of it."""
    if fields is None:
        if isinstance(value, _PLAIN_VALUES) and not isinstance(value, Code):
            return value
    elif isinstance(value, Mapping):
        part: dict[str, Any] = {}
        for name, inner in value.items():
            if name in fields:
                kept = (
                    None if inner is None else _listed(inner, fields[name], f"{path}.{name}", left)
                )
                if inner is None or kept is not None:
                    part[name] = kept
            elif name == "_id" and isinstance(inner, ObjectId):
                part[name] = inner
            elif inner is not None:
                left[f"{path}.{name}"] = None
        return part if part or not value else None
    left[path] = None
    return None
