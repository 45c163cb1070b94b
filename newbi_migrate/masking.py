"""Personal data as people read it where it was not asked for, and ids, which may be such."""

from __future__ import annotations

import re
from typing import Any, Final

from bson import Binary, ObjectId, json_util

__all__ = ["masked_email", "shown_id"]

_HIDDEN: Final = "***"
_EMAIL: Final = re.compile(r"[^\s\"'<>@\\]+@[^\s\"'<>@\\]+\.[^\s\"'<>@\\]+")


def masked_email(email: str) -> str:
    """An e-mail by which its owner is recognised by those who know it: ``j***@e***.fr``.

    How many characters are hidden cannot be told. What is no e-mail is hidden altogether.
    """
    local, at, domain = email.strip().rpartition("@")
    name, dot, last = domain.rpartition(".")
    if not (local and at and name and dot and last):
        return _HIDDEN
    return f"{local[0]}{_HIDDEN}@{name[0]}{_HIDDEN}.{last}"


def shown_id(value: Any) -> str:
    """An ``_id`` as people read it: an ObjectId bare, any other in Extended JSON, a text quoted.

    An e-mail in it is masked, like any other: for people it is whose document that is.
    """
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, Binary) and type(value) is not Binary:
        # What no driver decodes says itself that it is that.
        return str(value)
    try:
        text = json_util.dumps(
            value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False
        )
    except (TypeError, ValueError, OverflowError):  # a date no calendar has
        text = str(value)
    return _EMAIL.sub(lambda found: masked_email(found[0]), text) if "@" in text else text
