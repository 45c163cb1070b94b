"""Slugs of the organizations a migration creates."""

from __future__ import annotations

from collections.abc import Container, Iterator

from bson import ObjectId

__all__ = ["choose_slug", "slug_candidates"]


def slug_candidates(user_id: ObjectId) -> Iterator[str]:
    """The slugs a user's organization may get, the application's own form first.

    Each further one shows four more digits of the id; the last of these holds the whole id,
    and after it a counter follows, so that there always is a next.
    """
    digits = str(user_id)
    for hidden in (16, 12, 8, 4, 0):
        yield f"org-{digits[hidden:]}"
    number = 2
    while True:
        yield f"org-{digits}-{number}"
        number += 1


def choose_slug(user_id: ObjectId, taken: Container[str]) -> str:
    """The first candidate that is not taken."""
    return next(slug for slug in slug_candidates(user_id) if slug not in taken)
