"""The guide's own queries, word for word, in a real mongosh, on migrated databases."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from bson import ObjectId
from legacy_cases import build_dirty_database
from node_packages import modules

from newbi_migrate import Migration
from newbi_migrate.demo import build_legacy_database
from newbi_migrate.migration.facade import run_sync

pytestmark = [pytest.mark.node, pytest.mark.slow]

SHOW = "show collections"
USERS_NOW = "db.user.countDocuments()"
USERS_BEFORE = "db.Users.countDocuments()"
ORGANIZATIONS = "db.organization.countDocuments()"
MEMBERS = "db.member.countDocuments()"
ONE_INVOICE = "db.invoices.findOne({}, {workspaceId: 1, createdBy: 1})"
ONE_QUOTE = "db.quotes.findOne({}, {workspaceId: 1, createdBy: 1})"
INVOICES_WITHOUT = "db.invoices.countDocuments({workspaceId: {$exists: false}})"
QUOTES_WITHOUT = "db.quotes.countDocuments({workspaceId: {$exists: false}})"
ORPHANS = """db.organization.aggregate([
  {$lookup: {from: "member", localField: "_id", foreignField: "organizationId", as: "members"}},
  {$match: {members: {$size: 0}}}
])"""
QUERIES = (
    SHOW,
    USERS_NOW,
    USERS_BEFORE,
    ORGANIZATIONS,
    MEMBERS,
    ONE_INVOICE,
    ONE_QUOTE,
    INVOICES_WITHOUT,
    QUOTES_WITHOUT,
    ORPHANS,
)
_END = "--- end of answer"
_PROMPT = re.compile(r"^(?:newbi\w*> |\.\.\. )+")


def typed(uri, home):
    """What mongosh answers to each query, typed in one after the other."""
    shell = modules("mongosh") / "mongosh" / "bin" / "mongosh.js"
    typing = "".join(f"{query}\nprint({_END!r})\n" for query in QUERIES)
    done = subprocess.run(
        ["node", shell, uri, "--quiet", "--norc"],
        check=True,
        input=typing,
        capture_output=True,
        encoding="utf-8",
        # It keeps a history of what was typed, there.
        env={**os.environ, "HOME": str(home), "NO_COLOR": "1"},
        timeout=120,
    )
    answers = done.stdout.split(_END)[: len(QUERIES)]
    clean = ("\n".join(_PROMPT.sub("", line) for line in a.splitlines()).strip() for a in answers)
    return dict(zip(QUERIES, clean, strict=True))


def workspace_in(answer):
    return ObjectId(re.search(r"workspaceId: ObjectId\('([0-9a-f]{24})'\)", answer).group(1))


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
def test_the_guides_queries_give_the_expected_answers(uri, sync_database, tmp_path, dirty):
    """What is there is counted and shown, and monitoring finds only what was quarantined."""
    modules("mongosh")
    build = build_dirty_database if dirty else build_legacy_database
    build(sync_database, seed=11, users=12, documents_per_user=30, source="Users")

    async def migrate():
        async with Migration(uri) as migration:
            return await migration.apply()

    result = run_sync(migrate())
    said = typed(uri, tmp_path)
    without = {
        name: sync_database[name].count_documents({"workspaceId": {"$exists": False}})
        for name in ("invoices", "quotes")
    }
    left = {name: result.collections[name].quarantined for name in without}

    assert {"user", "Users", "account", "organization", "member"} <= set(said[SHOW].split())
    assert len(result.plan.users) == int(said[USERS_BEFORE])
    assert int(said[USERS_NOW]) == sync_database["user"].estimated_document_count()
    assert int(said[USERS_NOW]) >= result.created["user"]
    assert int(said[ORGANIZATIONS]) >= result.created["organization"]
    assert int(said[MEMBERS]) >= result.created["member"]
    assert without == {"invoices": int(said[INVOICES_WITHOUT]), "quotes": int(said[QUOTES_WITHOUT])}
    assert all(without[name] <= left[name] for name in without)
    if not dirty:
        assert ({"invoices": 0, "quotes": 0}, "") == (without, said[ORPHANS])
        for query in (ONE_INVOICE, ONE_QUOTE):
            assert sync_database["organization"].find_one({"_id": workspace_in(said[query])})
