"""Ids of documents as people and programs read them, so that no two of them look alike."""

from __future__ import annotations

from typing import Any

from bson import ObjectId, json_util

__all__ = ["shown_id"]


def shown_id(value: Any) -> str:
    """An ``_id`` as people read it: an ObjectId bare, any other in Extended JSON, a text quoted."""
    if isinstance(value, ObjectId):
        return str(value)
    try:
        return json_util.dumps(
            value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False
        )
    except (TypeError, ValueError, OverflowError):  # a date no calendar has
        return str(value)
