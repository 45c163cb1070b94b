"""Whole databases, generated: a second opinion on each migration, and back to the byte."""

from __future__ import annotations

import bson
import pytest
from cycles import cycle
from hypothesis import settings
from raw_conservation import Conservation

COUNT = max(4, settings().max_examples // 10)
USER, WORKSPACE, ELSEWHERE, INVOICE = (bson.ObjectId(f"{n:024x}") for n in range(1, 5))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_generated_database_is_migrated_as_a_second_opinion_says_and_taken_back(
    server_uri,
):
    """Every byte and every count, of databases that are odd in every way."""
    wrong = [line for seed in range(COUNT) for line in await cycle(server_uri, seed)]

    assert [] == wrong


@pytest.fixture(params=["uri", "replica_uri"])
def server_uri(request):
    return request.getfixturevalue(request.param)


def snapshot_of(**collections):
    return {
        name: {(7, each["_id"].binary): bson.encode(each) for each in documents}
        for name, documents in collections.items()
    }


PEOPLE = {
    "Users": [{"_id": USER, "email": "a@b.fr"}],
    "organization": [{"_id": WORKSPACE}, {"_id": ELSEWHERE}],
    "member": [{"_id": USER, "userId": USER, "organizationId": WORKSPACE}],
    "user": [{"_id": USER, "email": "a@b.fr"}],
}
BEFORE = {"_id": INVOICE, "createdBy": USER, "total": 1, "workspaceId": None}
AFTER = BEFORE | {"workspaceId": WORKSPACE}


def judged(before, after, **others):
    """What the second opinion says of an invoice, and of other collections."""
    return Conservation(
        snapshot_of(**PEOPLE, invoices=[before]),
        snapshot_of(**PEOPLE, **others, invoices=[after] if after else []),
    ).wrong


def test_the_second_opinion_finds_nothing_wrong_with_what_a_migration_may_do():
    """It is no opinion that is against everything."""
    assert [] == judged(BEFORE, AFTER)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (BEFORE, None, "is lost"),
        (BEFORE, AFTER | {"total": 2}, "changed"),
        (BEFORE, AFTER | {"total": 1.0}, "changed"),
        (BEFORE, AFTER | {"more": 1}, "other fields"),
        (BEFORE, AFTER | {"workspaceId": ELSEWHERE}, "somebody else"),
        (BEFORE, AFTER | {"workspaceId": str(WORKSPACE)}, "for a workspace"),
        (BEFORE, AFTER | {"workspaceId": INVOICE}, "for a workspace"),
        (BEFORE | {"workspaceId": ELSEWHERE}, AFTER, "had a workspace"),
        (BEFORE, {"_id": INVOICE, "workspaceId": WORKSPACE, **AFTER}, "moved"),
        (BEFORE, AFTER | {"createdBy": ELSEWHERE}, "changed"),
    ],
)
def test_the_second_opinion_finds_what_no_migration_may_do(before, after, says):
    """A lost document, another byte, another type, another place, somebody else's workspace."""
    found = judged(before, after)

    assert any(says in line for line in found), found


def test_the_second_opinion_finds_what_came_from_nowhere():
    """A document that nobody wrote, and one of a collection that is nobody's business."""
    found = judged(BEFORE, AFTER, session=[{"_id": USER}])

    assert 1 == len(found)
    assert "from nowhere" in found[0]
