"""Any folder that mongodump wrote is restored, or refused with a sentence."""

from __future__ import annotations

import pytest
from mongodump_samples import SAMPLES, Folder, Refused, index, old_index

from newbi_migrate.errors import DamagedBackupError, NewbiMigrateError
from newbi_migrate.migration.restore.run import restore_backup

RESTORED = sorted(name for name, (_, wanted) in SAMPLES.items() if not isinstance(wanted, Refused))
REFUSED = sorted(SAMPLES.keys() - set(RESTORED))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "dump")


def index_names(database, names):
    found = [i["name"] for name in names for i in database[name].list_indexes()]
    return sorted(name for name in found if name != "_id_")


@pytest.mark.parametrize("name", RESTORED)
async def test_a_dump_of_this_kind_is_restored(name, folder, database, sync_database):
    """Its documents, views and indexes are there, and what is not is said."""
    build, wanted = SAMPLES[name]
    build(folder)
    result = await restore_backup(folder.path, database)

    assert wanted.documents == dict(result.counts)
    assert wanted.views == result.views
    kinds = {c["name"]: c["type"] for c in sync_database.list_collections()}
    own = {"system.views", "system.buckets.measures"}
    assert {*wanted.documents, *wanted.views} == kinds.keys() - own
    stored = {n: kinds[n] for n in wanted.documents if kinds[n] == "collection"}
    assert {n: wanted.documents[n] for n in stored} == {
        n: sync_database[n].count_documents({}) for n in stored
    }
    assert sorted(wanted.indexes) == index_names(sync_database, wanted.documents)
    assert sorted(wanted.refused) == sorted(one.name for one in result.refused)
    for part in wanted.notes:
        assert part in " ".join(result.verification.notes)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_dump_of_this_kind_is_refused(name, folder, database, sync_database):
    """With a sentence, a code that is not 1, and nothing written."""
    build, wanted = SAMPLES[name]
    build(folder)
    with pytest.raises(NewbiMigrateError, match=wanted.match) as caught:
        await restore_backup(folder.path, database)

    assert wanted.code == caught.value.exit_code
    assert caught.value.next_step
    assert [] == sync_database.list_collection_names()


async def test_an_operator_is_not_taken_for_a_value(folder, database, sync_database):
    """A validator's ``{"$regex": …, "$ne": …}`` comes back with both."""
    SAMPLES["operators_that_look_like_values"][0](folder)
    await restore_backup(folder.path, database)

    (info,) = sync_database.list_collections()
    assert {"$regex": "^a", "$ne": "ab"} == info["options"]["validator"]["name"]


async def test_legacy_indexes_are_converted_on_request(folder, database, sync_database):
    """As mongorestore converts them; what was text then is no index today."""
    SAMPLES["legacy_indexes"][0](folder)
    result = await restore_backup(folder.path, database, convert_legacy_indexes=True)

    keys = {i["name"]: dict(i["key"]) for i in sync_database["x"].list_indexes()}
    assert {"b": 1} == keys["zero"]
    assert {"c": 1} == keys["true"]
    assert {"e": 0.5} == keys["half"]
    assert {"_id_", "safe", "zero", "true", "half", "v0"} == keys.keys()
    assert ["text"] == [one.name for one in result.refused]


async def test_indexes_that_conversion_makes_equal_are_built_once(folder, database, sync_database):
    """The further ones are listed, and the rest is built."""
    old = [old_index(n, {"a": k}) for n, k in (("empty", ""), ("one", 1), ("two", 2))]
    folder.old_collection(indexes=old)
    result = await restore_backup(folder.path, database, convert_legacy_indexes=True)

    assert ["_id_", "empty", "two"] == [i["name"] for i in sync_database["x"].list_indexes()]
    assert ["one"] == [one.name for one in result.refused]


async def test_a_refused_index_does_not_stop_the_others(folder, database, sync_database):
    """Later collections, their indexes and views are there all the same."""
    folder.collection("a", indexes=[index("hay", {"a": "geoHaystack", "b": 1})])
    folder.collection("b", indexes=[index("c_1", {"c": 1})])
    result = await restore_backup(folder.path, database)

    assert ["c_1"] == index_names(sync_database, ["a", "b"])
    assert ["hay of a: The server knows no index of the type geoHaystack."] == [
        str(one) for one in result.refused
    ]


async def test_one_damaged_collection_does_not_block_another(folder, database, sync_database):
    """It is named; without a choice nothing is restored, with one what is whole."""
    folder.collection("whole")
    folder.collection("cut")
    path = folder.path / "shop" / "cut.bson"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedBackupError, match=r"cut\.bson.* with --collections"):
        await restore_backup(folder.path, database)
    with pytest.raises(DamagedBackupError, match=r"cut\.bson"):
        await restore_backup(folder.path, database, only=["cut"])
    result = await restore_backup(folder.path, database, only=["whole"])

    assert ["whole"] == sync_database.list_collection_names()
    assert ["cut"] == [problem.collection for problem in result.verification.problems]
