"""E-mail addresses as Better Auth takes them and looks them up."""

from __future__ import annotations

import re

from newbi_migrate.mapping.values import text

__all__ = ["is_accepted", "is_normalised", "normalise_email"]

# ``z.email()`` of zod 4, which Better Auth 1.3 to 1.7 asks before it looks anybody up.
_ACCEPTED = re.compile(
    r"(?:[A-Za-z0-9_'+\-]+\.)*[A-Za-z0-9_'+\-]*[A-Za-z0-9_+\-]"
    r"@(?:[A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}"
)


def normalise_email(value: object) -> str | None:
    """The address trimmed and lower-cased, or ``None`` where there is no text."""
    address = text(value)
    return None if address is None else address.lower()


def is_accepted(value: object) -> bool:
    """Whether somebody can sign in, sign up or reset a password with an address.

    Better Auth answers 400 to any other, whoever has it: one with an accent or an underscore in the
    domain, without a dot after the at sign, or with a blank or a byte order mark in it.
    """
    return isinstance(value, str) and _ACCEPTED.fullmatch(value) is not None


def is_normalised(value: object) -> bool:
    """Whether an address is stored exactly as it is looked up."""
    return isinstance(value, str) and value == normalise_email(value)
