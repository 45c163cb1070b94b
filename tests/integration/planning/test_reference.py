"""The engine does to any small database what the pure functions say, to the byte."""

from __future__ import annotations

import uuid

import bson
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings, strategies as st
from reference import REGISTRY, SOURCE, bytes_of, migrated, worlds

from newbi_migrate.choices import AliasOwners, AliasPolicy, DuplicatePolicy
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import (
    MigrationOptions,
)

options = st.builds(
    MigrationOptions,
    legacy_collection=st.just(SOURCE),
    duplicate_emails=st.sampled_from(DuplicatePolicy),
    aliases=st.sampled_from(AliasPolicy),
    alias_owners=st.sampled_from(AliasOwners),
    batch_size=st.sampled_from([1, 2, 3, 50_000]),
    workers=st.integers(1, 3),
)


def sorted_lines(quarantine):
    return sorted((name, bson.encode({"": id_}), reason) for name, id_, reason in quarantine)


@pytest.mark.slow
@settings(
    # Each example is two migrations of a database of its own.
    max_examples=max(10, settings.default.max_examples // 3),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.filter_too_much,
    ],
)
@given(world=worlds(), chosen=options)
async def test_the_engine_writes_what_the_mapping_says(mongod, servers, world, chosen):
    """Every byte of every collection, and every quarantined document with its reason."""
    name = f"newbi_reference_{uuid.uuid4().hex[:12]}"
    database = servers.client(mongod)[name]
    try:
        for collection, documents in world.items():
            if documents:
                database[collection].insert_many(documents)
        expected, quarantined = migrated(database, chosen)
        uri = mongod.uri_for(name)
        async with Migration(uri, options=chosen, registry=REGISTRY) as migration:
            result = await migration.apply()
        found = bytes_of(database)
        async with Migration(uri, options=chosen, registry=REGISTRY) as migration:
            again = await migration.apply()

        assert [] == [key for key in expected if expected[key] != found.get(key)]
        assert expected.keys() == found.keys()
        assert sorted_lines(quarantined) == sorted_lines(
            (item.collection, item.id, item.reason) for item in result.quarantine
        )
        assert again.run_id is None
        assert found == bytes_of(database)
    finally:
        servers.drop(name)


async def test_an_index_is_built_in_the_run_whose_fill_makes_it_possible(uri, sync_database):
    """Two users without an address share none any more once one of them is given one."""
    ids = [ObjectId(f"64b{n:021d}") for n in range(2)]
    sync_database["user"].insert_many([{"_id": id_} for id_ in ids])
    sync_database[SOURCE].insert_one({"_id": ids[0], "email": "lea@newbi.fr"})
    async with Migration(uri, registry=REGISTRY) as migration:
        first = await migration.apply()
        again = await migration.apply()

    assert {"user": 1} == {name: n for name, n in first.filled.items() if name == "user"}
    assert "user_email_uidx" in sync_database["user"].index_information()
    assert again.run_id is None
