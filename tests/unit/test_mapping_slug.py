"""Slugs of created organizations: the application's own form, and what follows it."""

from __future__ import annotations

from itertools import islice

import pytest
from bson import ObjectId

from newbi_migrate.mapping.slug import choose_slug, slug_candidates

USER = ObjectId("0123456789abcdef01234567")
CANDIDATES = [
    "org-01234567",
    "org-cdef01234567",
    "org-89abcdef01234567",
    "org-456789abcdef01234567",
    "org-0123456789abcdef01234567",
    "org-0123456789abcdef01234567-2",
    "org-0123456789abcdef01234567-3",
    "org-0123456789abcdef01234567-4",
]


def test_the_applications_own_slug_comes_first_and_there_is_always_another():
    """First the last eight digits of the id, then more of them, then a counter from two."""
    assert CANDIDATES == list(islice(slug_candidates(USER), len(CANDIDATES)))


@pytest.mark.parametrize("number", range(len(CANDIDATES)))
def test_the_first_slug_that_is_free_is_chosen(number):
    """Where the candidates up to some are taken, the next one is chosen."""
    taken = {*CANDIDATES[:number], *CANDIDATES[number + 1 :], "org-ffffffff"}

    assert CANDIDATES[number] == choose_slug(USER, taken)
