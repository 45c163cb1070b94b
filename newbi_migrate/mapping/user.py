"""A legacy user becomes a Better Auth user.

Everything the legacy document holds is carried over as it is, except top-level fields that are null
or blank, and what must not be: see :data:`NOT_CARRIED` and :data:`PLUGIN_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.mapping.email import normalise_email
from newbi_migrate.mapping.numbers import cast_text
from newbi_migrate.mapping.values import date_of, flag, get_path, is_missing, legacy_flag, text

__all__ = [
    "NOT_CARRIED",
    "PLUGIN_FIELDS",
    "POINTERS",
    "TWIN_FLAGS",
    "created_at",
    "differing_flags",
    "first_name_of",
    "phone_of",
    "plugin_fields_of",
    "referral_code_of",
    "user_document",
]

POINTERS: Final = ("organizationId", "workspaceId")
"""Fields of a user that name an organization: stale, since a membership is the only link."""

TWIN_FLAGS: Final = (
    ("emailVerified", "isEmailVerified", False),
    ("isActive", "isDisabled", True),
)
"""A flag of Better Auth's user, its twin of the old sign-in, and whether they mean opposites."""

NOT_CARRIED: Final = frozenset(
    {
        "__v",
        # The hash moves to the credential account; the legacy document keeps it.
        "password",
        # One-time secrets must not outlive the sign-in system they were made for.
        "emailVerificationToken",
        "emailVerificationExpires",
        "resetPasswordToken",
        "resetPasswordExpires",
        *POINTERS,
    }
)
"""Fields of a legacy user that the new user does not get."""

PLUGIN_FIELDS: Final = frozenset(
    {
        # admin
        "role",
        "banned",
        "banReason",
        "banExpires",
        # two-factor, anonymous, last-login-method
        "twoFactorEnabled",
        "isAnonymous",
        "lastLoginMethod",
        # username
        "username",
        "displayUsername",
        # phone-number; the number itself is mapped
        "phoneNumberVerified",
        # stripe, and the other payment plug-ins of Better Auth's own documentation
        "stripeCustomerId",
        "creemCustomerId",
        "chargebeeCustomerId",
    }
)
"""Fields of a user that plug-ins of Better Auth act on: ``role: "admin"`` opens everything.

In a legacy document they meant something else, if anything. The new user gets only what
:func:`user_document` itself says of them.
"""

# What two users cannot share is decided about and never carried over by itself.
_UNIQUE: Final = frozenset({"email", "phoneNumber", "referralCode"})
_NOT_COPIED: Final = NOT_CARRIED | PLUGIN_FIELDS | _UNIQUE


def phone_of(document: Mapping[str, Any]) -> str | None:
    """The legacy user's phone number, if they have one."""
    return cast_text(get_path(document, "profile", "phone")) or text(
        get_path(document, "phoneNumber")
    )


def first_name_of(document: Mapping[str, Any]) -> str | None:
    """What the legacy user is called, if it is stored; in Newbi's forms it is the first name."""
    return cast_text(get_path(document, "profile", "firstName")) or text(get_path(document, "name"))


def referral_code_of(document: Mapping[str, Any]) -> str | None:
    """The legacy user's own referral code, if they have one."""
    return cast_text(get_path(document, "referralCode"))


def plugin_fields_of(document: Mapping[str, Any], user: Mapping[str, Any]) -> tuple[str, ...]:
    """The legacy user's fields of plug-ins that the new user does not have so, sorted."""
    return tuple(
        name
        for name in sorted(PLUGIN_FIELDS)
        if not is_missing(document.get(name)) and document[name] != user.get(name)
    )


def differing_flags(user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The flags of a user that contradict their twins, each with the name of that."""
    for new, old, opposite in TWIN_FLAGS:
        says, said = flag(user.get(new)), flag(user.get(old))
        if says is not None and said is not None and (says is said) is opposite:
            yield new, old


def created_at(document: Mapping[str, Any]) -> datetime:
    """When the account was opened: the stored date, else the time in the ``_id``."""
    stored = date_of(document.get("createdAt"))
    if stored is not None:
        return stored
    identifier = document.get("_id")
    if isinstance(identifier, ObjectId):
        return identifier.generation_time
    return datetime(1970, 1, 1, tzinfo=UTC)


def user_document(
    source: Mapping[str, Any],
    *,
    keep_email: bool = True,
    keep_phone: bool = True,
    keep_referral_code: bool = True,
) -> dict[str, Any]:
    """The user document for a legacy user, ``_id`` unchanged.

    Args:
        source: The legacy user.
        keep_email: False where another user has the same address; only an existing user can be
            without it.
        keep_phone: False where another user has the same number, which Better Auth treats as
            unique.
        keep_referral_code: False where another user has the same code.
    """
    email = normalise_email(source.get("email"))
    verified = legacy_flag(source.get("isEmailVerified"))
    disabled = legacy_flag(source.get("isDisabled"))
    picture = text(get_path(source, "profile", "profilePictureUrl")) or text(
        get_path(source, "profile", "profilePicture")
    )
    born = created_at(source)
    mapped: dict[str, Any] = {
        "email": email if keep_email else None,
        "name": first_name_of(source) or _local_part(email),
        "lastName": cast_text(get_path(source, "profile", "lastName")),
        "emailVerified": bool(verified),
        "isActive": not disabled,
        # What the application's admin plug-in gave everybody.
        "role": "owner",
        "phoneNumber": phone_of(source) if keep_phone else None,
        "avatar": picture,
        "image": picture,
        "stripeCustomerId": text(get_path(source, "subscription", "stripeCustomerId")),
        "referralCode": referral_code_of(source) if keep_referral_code else None,
        "createdAt": born,
        "updatedAt": date_of(source.get("updatedAt")) or born,
    }
    # What says nothing is left out: a unique index, even a sparse one, counts an explicit null
    # as a value, and so the second user without a referral code could not be stored.
    document = {
        name: value
        for name, value in source.items()
        if name not in _NOT_COPIED and not is_missing(value)
    }
    document.update({name: value for name, value in mapped.items() if value is not None})
    return document


def _local_part(email: str | None) -> str:
    # Better Auth requires a name; without an address a user is only ever merged.
    return "?" if email is None else email.partition("@")[0] or email
