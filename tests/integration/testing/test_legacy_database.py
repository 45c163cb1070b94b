"""The pretended legacy database on a server, and that the migration does what its cases say."""

from __future__ import annotations

import bson
import pytest
from legacy_cases import HUGE_CASE, LegacyCases, build_dirty_database

from newbi_migrate.demo.legacy import (
    LEGACY_INDEXES,
    build_legacy_database,
)
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.values import ABSENT, get_path, read_id
from newbi_migrate.migration.facade import Migration


def _key(collection, identifier):
    return collection, bson.encode({"": identifier})


def test_the_legacy_indexes_are_there(sync_database):
    """A legacy database has the indexes the application had built, and every collection."""
    legacy = build_legacy_database(sync_database, users=2, documents_per_user=10, source="Users")
    names = set(sync_database.list_collection_names())

    assert {"Users", *legacy.collections} == names
    for collection, models in LEGACY_INDEXES.items():
        here = sync_database["Users" if collection == "users" else collection]
        assert {m.document["name"] for m in models} == set(here.index_information()) - {"_id_"}


async def test_a_clean_database_migrates_without_a_remainder(sync_database, uri):
    """Every user and document of a clean database is resolved, and the exit status is 0."""
    legacy = build_legacy_database(sync_database, users=6, documents_per_user=30)
    async with Migration(uri) as migration:
        result = await migration.apply()

    assert ExitCode.DONE == result.exit_code
    assert 0 == len(result.quarantine)
    for spec in NEWBI.scoped:
        missing = sync_database[spec.name].count_documents({"workspaceId": None})
        assert (spec.name, 0) == (spec.name, missing)
    assert len(legacy.users) == sync_database["organization"].count_documents({})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
async def test_a_migration_does_with_every_odd_case_what_it_says(sync_database, uri, seed):
    """Action, reason, workspace and owners of each odd document, and each odd user's outcome."""
    cases = LegacyCases(seed)
    build_dirty_database(sync_database, seed=seed, users=2, documents_per_user=10)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply()

    assert ExitCode.QUARANTINED == result.exit_code
    lines = {bson.encode({"": line.legacy_id}): line for line in plan.users}
    for user in cases.users:
        line = lines[bson.encode({"": user.id})]
        said = (user.case, user.outcome, user.reason, user.user_id, user.workspace)
        assert said == (user.case, line.outcome, line.reason, line.user_id, line.workspace)
    left = {_key(q.collection, q.id): q.reason for q in result.quarantine}
    for expected in cases.expected:
        where = (expected.case, expected.collection, expected.id)
        reason = left.pop(_key(expected.collection, expected.id), None)
        assert (*where, expected.reason) == (*where, reason)
        fields = ["workspaceId", *(expected.owners or ())]
        found = sync_database[expected.collection].find_one({"_id": expected.id}, fields)
        if expected.workspace is not None:
            stored = read_id(get_path(found, "workspaceId")).value
            assert (*where, expected.workspace) == (*where, stored)
        for field, value in (expected.owners or {}).items():
            assert (*where, value) == (*where, found.get(field, ABSENT))
    # Nothing is quarantined that no case declares.
    assert set() == {collection for collection, _ in left} - {"users"}


@pytest.mark.slow
async def test_a_document_without_room_is_left_alone(sync_database, uri):
    """The one document near 16 MiB is quarantined by the server's word, the others are stamped."""
    (expected,) = LegacyCases(names=[HUGE_CASE]).expected
    build_dirty_database(sync_database, users=2, documents_per_user=20, names=[HUGE_CASE])
    async with Migration(uri) as migration:
        result = await migration.apply()

    assert [(expected.collection, expected.id, expected.reason)] == [
        (q.collection, q.id, q.reason) for q in result.quarantine
    ]
    assert 1 == sync_database["expenses"].count_documents({"workspaceId": None})
