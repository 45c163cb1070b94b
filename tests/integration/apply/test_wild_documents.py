"""Documents that break every rule of their models: migrated untouched, and told of one by one."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

import bson
import pytest
from bson import ObjectId, Regex
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings, strategies as st
from small_legacy import USERS, legacy_user

from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.raw import elements
from newbi_migrate.testing import strategies

RAW = CodecOptions(document_class=RawBSONDocument)
MODELS = {spec.name: spec.model for spec in NEWBI.scoped if spec.model}


def wild(name):
    """Any documents of a collection, with an ``_id`` the server takes and an owner who is there."""

    def owned(documents):
        spec = NEWBI[name]
        kept = []
        for document in documents:
            identifier = document.pop("_id", None)
            if identifier is None or isinstance(identifier, list | dict | Regex):
                identifier = ObjectId()
            document.pop(NEWBI.workspace_field, None)
            if spec.owner_field:
                document[spec.owner_field] = USERS[0]
            kept.append({"_id": identifier, **document})
        return list({bson.encode({"": d["_id"]}): d for d in kept}.values())

    drawn = strategies.wild_documents(MODELS[name], unknown_fields=False)
    return st.lists(drawn, max_size=3).map(owned)


worlds = st.fixed_dictionaries({name: wild(name) for name in MODELS})


def stored(database, name):
    """The bytes of each document, without the workspace."""
    return {
        bytes(document.raw[4:30]): [
            part for part in elements(document.raw) if part[0] != NEWBI.workspace_field
        ]
        for document in database[name].with_options(codec_options=RAW).find()
    }


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(worlds)
def test_documents_that_break_every_rule_migrate_untouched_and_are_all_told_of(
    servers, mongod, world
):
    """No byte but the workspace changes, and each rule is told as often as Python finds it."""
    client = servers.client(mongod)
    database = client[f"newbi_test_{uuid.uuid4().hex[:16]}"]
    database["Users"].insert_one(legacy_user(0))
    for name, documents in world.items():
        if documents:
            database[name].insert_many(documents)
    before = {name: stored(database, name) for name in world}

    async def migrate_and_validate():
        async with Migration(mongod.uri_for(database.name)) as migration:
            await migration.apply()
            return await migration.validate(only=["field.*"])

    report = asyncio.run(migrate_and_validate())
    found = {(r.collection, r.rule): r.count for r in report.results}
    expected = Counter()
    for name, model in MODELS.items():
        skip = {NEWBI.workspace_field, NEWBI[name].owner_field}
        for document in database[name].with_options(codec_options=PLAIN).find():
            broken = {
                v.rule
                for v in model.violations_of(document)
                if v.rule.startswith("field.") and v.path.partition(".")[0] not in skip
            }
            expected.update((name, rule) for rule in broken)

    assert before == {name: stored(database, name) for name in world}
    assert dict(expected) == {key: n for key, n in found.items() if key[0] in MODELS}
    client.drop_database(database.name)
