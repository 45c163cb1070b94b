"""A legacy user becomes a Better Auth user.

It changes when the user document of Better Auth or of Newbi's application does. Everything
the legacy document holds is carried over as it is, except what must not be: see
:data:`LEFT_BEHIND`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.mapping.email import normalise_email
from newbi_migrate.mapping.values import ABSENT, date_of, dig, flag, is_missing, text
from newbi_migrate.models.better_auth import User
from newbi_migrate.models.legacy import LegacyUser

__all__ = ["LEFT_BEHIND", "created_at", "map_user", "phone_of", "referral_code_of"]

LEFT_BEHIND: Final = frozenset(
    {
        "__v",
        # The hash moves to the credential account; the legacy document keeps it.
        "password",
        # One-time secrets must not outlive the sign-in system they were made for.
        "emailVerificationToken",
        "emailVerificationExpires",
        "resetPasswordToken",
        "resetPasswordExpires",
        # Stale pointers of an earlier attempt; a membership is the only link.
        "organizationId",
        "workspaceId",
    }
)
"""Fields of a legacy user that the new user does not get."""


def phone_of(document: Mapping[str, Any]) -> str | None:
    """The legacy user's phone number, if he has one."""
    return text(dig(document, "profile", "phone"))


def referral_code_of(document: Mapping[str, Any]) -> str | None:
    """The legacy user's own referral code, if he has one."""
    return text(dig(document, "referralCode"))


def created_at(document: Mapping[str, Any]) -> datetime:
    """When the account was opened: the stored date, else the time in the ``_id``."""
    stored = date_of(document.get("createdAt"))
    if stored is not None:
        return stored
    identifier = document.get("_id")
    if isinstance(identifier, ObjectId):
        return identifier.generation_time
    return datetime(1970, 1, 1, tzinfo=UTC)


def map_user(
    legacy: LegacyUser, *, keep_phone: bool = True, keep_referral_code: bool = True
) -> User:
    """The user document for a legacy user, ``_id`` unchanged.

    Args:
        legacy: The legacy user as loaded.
        keep_phone: False where another user has the same number, which Better Auth treats as
            unique.
        keep_referral_code: False where another user has the same code.
    """
    source = legacy.to_document()
    document = {name: value for name, value in source.items() if name not in LEFT_BEHIND}
    if not keep_referral_code or referral_code_of(source) is None:
        # A unique index counts an explicit null or blank as a value.
        document.pop("referralCode", None)
    email = normalise_email(source.get("email"))
    if email is not None:
        document["email"] = email
    document["name"] = _name(source, email)
    last_name = text(dig(source, "profile", "lastName"))
    verified = flag(source.get("isEmailVerified"))
    disabled = flag(source.get("isDisabled"))
    picture = text(dig(source, "profile", "profilePictureUrl")) or text(
        dig(source, "profile", "profilePicture")
    )
    mapped: dict[str, Any] = {
        "lastName": last_name,
        "emailVerified": bool(verified),
        "isActive": not disabled,
        "role": "owner" if is_missing(source.get("role", ABSENT)) else source["role"],
        "phoneNumber": phone_of(source) if keep_phone else None,
        "avatar": picture,
        "image": picture,
        "stripeCustomerId": text(dig(source, "subscription", "stripeCustomerId")),
    }
    document.update({name: value for name, value in mapped.items() if value is not None})
    born = created_at(source)
    document["createdAt"] = born
    document["updatedAt"] = date_of(source.get("updatedAt")) or born
    return User.load(document)


def _name(source: Mapping[str, Any], email: str | None) -> str:
    # In Newbi's forms a user's `name` is the first name.
    first = text(dig(source, "profile", "firstName"))
    if first is not None:
        return first
    stored = text(source.get("name"))
    if stored is not None:
        return stored
    if email is not None:
        return email.partition("@")[0] or email
    return "?"
