"""Personal data as a report shows it where it was not asked for."""

from __future__ import annotations

__all__ = ["masked_email"]

_HIDDEN = "***"


def masked_email(email: str) -> str:
    """An e-mail by which its owner is recognised by those who know it: ``j***@e***.fr``.

    How many characters are hidden cannot be told. What is no e-mail is hidden altogether.
    """
    local, at, domain = email.strip().rpartition("@")
    name, dot, last = domain.rpartition(".")
    if not (local and at and name and dot and last):
        return _HIDDEN
    return f"{local[0]}{_HIDDEN}@{name[0]}{_HIDDEN}.{last}"
