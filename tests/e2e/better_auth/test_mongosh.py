"""The guide's own queries, word for word, in a real mongosh, on migrated databases."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from bson import ObjectId
from node_packages import modules

from newbi_migrate import Migration
from newbi_migrate.migration.facade import run_sync
from newbi_migrate.testing import build_legacy_database

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


@pytest.fixture(params=[False, True], ids=["clean", "dirty"])
def world(request, uri, sync_database, tmp_path):
    """A migrated database, the result, and what the shell says."""
    modules("mongosh")
    build_legacy_database(
        sync_database,
        seed=11,
        users=12,
        documents_per_user=30,
        source="Users",
        dirty=request.param,
    )

    async def migrate():
        async with Migration(uri) as migration:
            return await migration.apply()

    result = run_sync(migrate())
    return sync_database, result, typed(uri, tmp_path)


def workspace_in(answer):
    return ObjectId(re.search(r"workspaceId: ObjectId\('([0-9a-f]{24})'\)", answer).group(1))


def test_the_guides_queries_give_the_expected_answers(world):
    """Collections, users, organizations, members, samples and monitoring say what is true."""
    database, result, said = world
    without = {
        name: database[name].count_documents({"workspaceId": {"$exists": False}})
        for name in ("invoices", "quotes")
    }

    assert {"user", "Users", "account", "organization", "member"} <= set(said[SHOW].split())
    assert len(result.plan.users) == int(said[USERS_BEFORE])
    assert int(said[USERS_NOW]) == database["user"].estimated_document_count()
    assert int(said[USERS_NOW]) >= result.created["user"]
    assert int(said[ORGANIZATIONS]) >= result.created["organization"]
    assert int(said[MEMBERS]) >= result.created["member"]
    assert without == {"invoices": int(said[INVOICES_WITHOUT]), "quotes": int(said[QUOTES_WITHOUT])}
    for name, query in (("invoices", ONE_INVOICE), ("quotes", ONE_QUOTE)):
        if without[name] == 0:
            assert database["organization"].find_one({"_id": workspace_in(said[query])})


def test_what_monitoring_still_finds_is_what_the_run_left_out(world):
    """A clean database leaves nothing to find; in a dirty one only quarantine is left."""
    _, result, said = world
    left = {name: result.collections[name].quarantined for name in ("invoices", "quotes")}

    assert int(said[INVOICES_WITHOUT]) <= left["invoices"]
    assert int(said[QUOTES_WITHOUT]) <= left["quotes"]
    if not len(result.quarantine):
        assert (0, 0, "") == (int(said[INVOICES_WITHOUT]), int(said[QUOTES_WITHOUT]), said[ORPHANS])
