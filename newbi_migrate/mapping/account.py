"""A legacy password becomes a Better Auth credential account."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId

from newbi_migrate.mapping.ids import account_id
from newbi_migrate.mapping.values import text

__all__ = [
    "CREDENTIAL",
    "ISSUER",
    "PasswordKind",
    "account_document",
    "password_kind",
]

CREDENTIAL = "credential"
"""``providerId`` of an account that signs in with e-mail and password."""

ISSUER = "local:credential"
"""``issuer`` of such an account: Better Auth 1.7.0 to 1.7.2 find none without it, others ignore it.

Tried with the packages of 1.3.7, 1.4.22, 1.5.6, 1.6.34, 1.7.0, 1.7.2, 1.7.3 and 1.7.25.
"""

_BCRYPT = re.compile(r"\A\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}\Z")
# Better Auth's own format: salt of 16 bytes and key of 64, in hexadecimal.
_SCRYPT = re.compile(r"\A[0-9a-f]{32}:[0-9a-f]{128}\Z")


class PasswordKind(StrEnum):
    """What is stored where a password hash belongs."""

    BCRYPT = "bcrypt"
    SCRYPT = "scrypt"
    NONE = "none"
    UNKNOWN = "unknown"

    @property
    def is_hash(self) -> bool:
        """Whether somebody can sign in with it, given the right ``password.verify``."""
        return self in (PasswordKind.BCRYPT, PasswordKind.SCRYPT)


def password_kind(value: object) -> PasswordKind:
    """Tell hashes from everything else; what is no known hash may be a plain password."""
    if not isinstance(value, str):
        return PasswordKind.NONE if value is None or not value else PasswordKind.UNKNOWN
    if text(value) is None:
        return PasswordKind.NONE
    if _BCRYPT.match(value):
        return PasswordKind.BCRYPT
    return PasswordKind.SCRYPT if _SCRYPT.match(value) else PasswordKind.UNKNOWN


def account_document(
    user_id: ObjectId, password: object, created: datetime
) -> dict[str, Any] | None:
    """The credential account of a user, or ``None`` where there is no hash to sign in with.

    The hash is carried over unchanged. Better Auth compares ``accountId`` with the user's id
    as a string and ``userId`` as an ObjectId.
    """
    if not password_kind(password).is_hash:
        return None
    return {
        "_id": account_id(user_id),
        "accountId": str(user_id),
        "providerId": CREDENTIAL,
        "userId": user_id,
        "password": password,
        "issuer": ISSUER,
        "createdAt": created,
        "updatedAt": created,
    }
