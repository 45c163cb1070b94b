"""Ids of documents as people and programs read them, so that no two of them look alike."""

from __future__ import annotations

import re
from typing import Any, Final

from bson import ObjectId, json_util

from newbi_migrate.report.masking import masked_email

__all__ = ["shown_id"]

_EMAIL: Final = re.compile(r"[^\s\"'<>@\\]+@[^\s\"'<>@\\]+\.[^\s\"'<>@\\]+")


def shown_id(value: Any) -> str:
    """An ``_id`` as people read it: an ObjectId bare, any other in Extended JSON, a text quoted.

    An e-mail in it is masked, like any other: for people it is whose document that is.
    """
    if isinstance(value, ObjectId):
        return str(value)
    try:
        text = json_util.dumps(
            value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False
        )
    except (TypeError, ValueError, OverflowError):  # a date no calendar has
        text = str(value)
    return _EMAIL.sub(lambda found: masked_email(found[0]), text) if "@" in text else text
