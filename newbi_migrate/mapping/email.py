"""E-mail addresses in the form in which Better Auth looks them up."""

from __future__ import annotations

from newbi_migrate.mapping.values import text

__all__ = ["is_normalised", "normalise_email"]


def normalise_email(value: object) -> str | None:
    """The address trimmed and lower-cased, or ``None`` where there is no text."""
    address = text(value)
    return None if address is None else address.lower()


def is_normalised(value: object) -> bool:
    """Whether an address is stored exactly as it is looked up."""
    return isinstance(value, str) and value == normalise_email(value)
