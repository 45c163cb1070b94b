"""Documents that no server of today would hold, and collections that expire, are all counted."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta

import bson
import pytest
from backups import raw_documents
from bson import ObjectId, Timestamp
from fingerprints import changes, fingerprint

from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import (
    DamagedBackupError,
    DatabaseMovedOnError,
    NotPermittedError,
    UnsupportedError,
)
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.store.raw import document_of, split_documents


class Once:
    """A listener that does something once, when the first batch has been inserted."""

    def __init__(self, act):
        self._act, self._inserting = act, False

    def phase(self, name, total):
        self._inserting = name == "restore"

    def advance(self, amount, detail=None):
        if self._inserting:
            self._inserting = False
            self._act()

    def note(self, sentence):
        pass


@pytest.fixture
def dumped(tmp_path):
    """Writes a dump of one collection as mongodump does, whatever its documents are."""

    def write(documents, options=None):
        folder = tmp_path / "dump" / "old"
        folder.mkdir(parents=True)
        raw = (d if isinstance(d, bytes) else bson.encode(d) for d in documents)
        (folder / "old.bson").write_bytes(b"".join(raw))
        metadata = bson.json_util.dumps({"options": options or {}, "indexes": []})
        (folder / "old.metadata.json").write_text(metadata)
        return tmp_path / "dump"

    return write


async def in_two_calls(path, other):
    """Restore it by two calls, of which the first stops when the documents are there."""
    with pytest.raises(ZeroDivisionError):
        await restore_backup(path, other, progress=Once(lambda: 1 / 0))
    result = await restore_backup(path, other)
    assert result.resumed
    return result


@pytest.mark.parametrize("options", [{}, {"capped": True, "size": 4096}], ids=["plain", "capped"])
async def test_equal_documents_without_an_id_stay_as_many(dumped, sync_other, other, options):
    """Also where the restore was stopped: each gets an ``_id`` that follows from its place."""
    documents = [{"n": 1}, {"n": 1}, {"_id": 7}, {"n": 1}, {"n": 2, "_id": "late"}]
    path = dumped(documents, options)
    whole = await restore_backup(path, other)
    first = list(sync_other["old"].find())
    sync_other.client.drop_database(sync_other.name)
    again = await in_two_calls(path, other)

    assert {"old": 5} == whole.counts == again.counts
    assert [1, 1, None, 1, 2] == [document.get("n") for document in first]
    assert all(next(iter(document)) == "_id" for document in first)
    assert first == list(sync_other["old"].find())


@pytest.mark.parametrize("options", [{}, {"capped": True, "size": 4096}], ids=["plain", "capped"])
@pytest.mark.parametrize("second", [{"_id": 1}, {"_id": 1, "n": 2}], ids=["equal", "different"])
async def test_documents_that_share_an_id_are_refused_by_name(dumped, other, second, options):
    """A server holds one of them; whoever restores is told which, and of the backup."""
    with pytest.raises(DamagedBackupError, match="several documents of 'old' with the _id 1"):
        await restore_backup(dumped([{"_id": 1}, second], options), other)


def deep(levels):
    """A document with so many documents and arrays within one another."""
    inner = {}
    for n in range(levels - 1):
        inner = [1, inner, 2] if n % 2 else {"a": 1, "n": inner, "z": 1}
    return {"_id": 1, "n": inner}


def of_size(size):
    empty = len(bson.encode({"_id": 1, "x": b""}))
    return {"_id": 1, "x": bytes(size - empty)}


def with_ids_of(*values):
    return bytes(document_of(*(("_id", *value) for value in values)).raw)


UNSTORABLE = {
    "an array": with_ids_of((0x04, b"\5\0\0\0\0")),
    "undefined": with_ids_of((0x06, b"")),
    "a regular expression": with_ids_of((0x0B, b"a\0\0")),
    "several fields _id": with_ids_of((0x0A, b""), (0x0A, b"")),
    "begins with": {"_id": {"a": {"$b": 1}}},
    "nested more than 180 levels": deep(181),
    "16,777,217 bytes": of_size(16_777_217),
}
STORABLE = {
    "a reference": {"_id": {"$ref": "c", "$id": 1}},
    "ids within": {"_id": 1, "client_id": 1, "items": [{"_id": 1}, {"_id": [1]}]},
    "180 levels": deep(180),
    "16 MiB": of_size(16_777_216),
    "many documents side by side": {"_id": 1, "items": [{"n": 3}] * 1000},
}


@pytest.mark.parametrize("why", UNSTORABLE)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
async def test_documents_that_no_server_stores_are_found_before_anything_is_dropped(
    dumped, sync_other, other, why, zipped
):
    """Verifying the dump alone tells; the target keeps what it has."""
    sync_other["mine"].insert_one({"_id": 1})
    path = dumped([UNSTORABLE[why]])
    if zipped:
        for file in (path / "old").iterdir():
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    found = await verify_backup(path)
    with pytest.raises(DamagedBackupError, match=f"old.*{why}"):
        await restore_backup(path, other, drop=True)

    assert ["old"] == [problem.collection for problem in found.problems]
    assert ["mine"] == sync_other.list_collection_names()


@pytest.mark.parametrize("what", STORABLE)
async def test_documents_that_a_server_just_stores_are_restored(dumped, sync_other, other, what):
    """Up to its limits, and whatever resembles what it does not store."""
    document = STORABLE[what]
    await restore_backup(dumped([document]), other)

    assert bson.encode(document) == b"".join(raw_documents(sync_other, "old"))


def view(on, *stages):
    return {"viewOn": on, "pipeline": list(stages)}


LOOKUP = {"from": "a", "as": "x", "pipeline": []}
CYCLES = {
    "itself": {"a": view("a")},
    "each other": {"a": view("b"), "b": view("a")},
    "lookup": {"a": view("c", {"$lookup": {**LOOKUP, "from": "b"}}), "b": view("a")},
    "graph": {"a": view("c", {"$graphLookup": {"from": "b"}}), "b": view("a")},
    "union": {"a": view("c", {"$unionWith": "b"}), "b": view("c", {"$unionWith": {"coll": "a"}})},
    "facet": {"a": view("c", {"$facet": {"x": [{"$lookup": LOOKUP}]}})},
    "within": {
        "a": view("c", {"$lookup": {**LOOKUP, "from": "d", "pipeline": [{"$unionWith": "a"}]}})
    },
}


def write_options(path, options):
    """Write a dump of collections and views that have no documents."""
    folder = path / "dump" / "old"
    folder.mkdir(parents=True)
    for name, one in options.items():
        (folder / f"{name}.metadata.json").write_text(json.dumps({"options": one, "indexes": []}))
        if "viewOn" not in one:
            (folder / f"{name}.bson").write_bytes(b"")
    return path / "dump"


@pytest.mark.parametrize("views", CYCLES.values(), ids=list(CYCLES))
async def test_views_that_read_themselves_are_found_before_anything_is_dropped(
    tmp_path, sync_other, other, views
):
    """By what a view is made of, and by its stages."""
    sync_other["mine"].insert_one({"_id": 1})
    path = write_options(tmp_path, views)
    found = await verify_backup(path)
    with pytest.raises(DamagedBackupError, match="a: is a view that reads itself"):
        await restore_backup(path, other, drop=True)

    assert views.keys() == {problem.collection for problem in found.problems}
    assert ["mine"] == sync_other.list_collection_names()


async def test_views_that_only_look_like_cycles_are_restored(tmp_path, sync_other, other):
    """What a stage quotes, and views upon views, lead nowhere."""
    quoted = {"$addFields": {"x": {"$literal": {"$lookup": LOOKUP}}}}
    views = {"a": view("c", quoted, {"$unionWith": "b"}), "b": view("c"), "d": view("a")}
    result = await restore_backup(write_options(tmp_path, {"c": {}, **views}), other)

    assert ("a", "b", "d") == result.views


@pytest.mark.parametrize("held", [(), ("mine",)], ids=["empty", "full"])
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"expireAfterSeconds": 100}, DamagedBackupError, "has the option expireAfterSeconds"),
        ({"capped": True, "size": -1}, UnsupportedError, "would not create 'old' as it was"),
        (
            {"timeseries": {"timeField": "at"}, "expireAfterSeconds": -1},
            UnsupportedError,
            "would not create 'old' as it was",
        ),
    ],
)
async def test_options_that_no_server_takes_are_refused_before_anything_is_made(
    tmp_path, sync_other, other, held, options, error, said
):
    """Nor is anything dropped."""
    for name in held:
        sync_other[name].insert_one({"_id": 1})
    path = write_options(tmp_path, {"a": {}, "old": options})
    with pytest.raises(error, match=said):
        await restore_backup(path, other, drop=True)

    assert [*held] == [n for n in sync_other.list_collection_names() if "newbi_migrate" not in n]


# Type and bytes of ids that no driver decodes, or decodes into others.
ODD_IDS = {
    "bad UTF-8": (0x02, b"\3\0\0\0\xe9t\0"),
    "far date": (0x09, (2**62).to_bytes(8, "little")),
    "DBPointer": (0x0C, b"\2\0\0\0c\0" + bytes(12)),
    "symbol": (0x0E, b"\4\0\0\0abc\0"),
    "a name twice": (0x03, bytes(document_of(("a", 0x0A, b""), ("a", 0x08, b"\1")).raw)),
    "old binary": (0x05, b"\6\0\0\0\2\2\0\0\0ab"),
    "old binary of a wrong length": (0x05, b"\2\0\0\0\2ab"),
    "symbol with bad UTF-8": (0x0E, b"\3\0\0\0\xe9u\0"),
}


def with_id(name, n):
    """A document whose ``_id`` is one of them."""
    return bytes(document_of(("_id", *ODD_IDS[name]), ("n", 0x10, n.to_bytes(4, "little"))).raw)


async def test_a_restore_that_goes_on_knows_ids_again_that_no_driver_decodes(
    dumped, sync_other, other
):
    """The documents that are there are asked for by the bytes of their ids."""
    documents = [with_id(name, number) for number, name in enumerate(ODD_IDS)]
    await in_two_calls(dumped(documents), other)

    stored = b"".join(raw_documents(sync_other, "old"))
    assert sorted(documents) == sorted(split_documents(stored))


@pytest.mark.parametrize("name", ODD_IDS)
async def test_documents_that_share_an_id_no_driver_decodes_are_refused(dumped, other, name):
    """Whatever it is, it is named, as far as it can be."""
    with pytest.raises(DamagedBackupError, match="several documents of 'old' with the _id"):
        await restore_backup(dumped([with_id(name, 1), with_id(name, 2)]), other)


@pytest.mark.parametrize("value", ODD_IDS.values(), ids=list(ODD_IDS))
async def test_an_index_that_odd_values_keep_from_being_unique_is_named(dumped, other, value):
    """The server quotes the value in its answer; documents and the other indexes are there."""
    alike = [
        bytes(document_of(("_id", 0x10, n.to_bytes(4, "little")), ("at", *value)).raw)
        for n in range(2)
    ]
    path = dumped(alike)
    names = [{"v": 2, "key": {"at": 1}, "name": "at_1", "unique": True}]
    metadata = json.dumps({"options": {}, "indexes": names})
    (path / "old" / "old.metadata.json").write_text(metadata)
    result = await restore_backup(path, other)

    assert ["at_1"] == [refused.name for refused in result.refused]
    assert {"old": 2} == result.counts


async def test_numbers_that_a_server_calls_equal_are_one_id(dumped, other):
    """Whatever their types."""
    with pytest.raises(DamagedBackupError, match="several documents of 'old' with the _id 1"):
        await restore_backup(dumped([{"_id": 1}, {"_id": 1.0}]), other)


async def test_an_email_that_is_an_id_is_masked_in_an_error(dumped, sync_other, other):
    """An error stands in logs: it says whose document it is to those who know them."""
    email = {"_id": "jeanne@exemple.fr"}
    with pytest.raises(DamagedBackupError, match=re.escape("j***@e***.fr")) as refused:
        await restore_backup(dumped([email, email]), other)

    assert "jeanne" not in str(refused.value)
    assert email["_id"] == refused.value.document_id


async def test_equal_documents_far_apart_are_not_taken_for_somebody_elses_writes(dumped, other):
    """They are in different batches, so only the count tells of them."""
    far = [{"_id": 1}, *({"_id": n, "pad": "x" * 200_000} for n in range(2, 150)), {"_id": 1}]
    with pytest.raises(DatabaseMovedOnError, match="the backup has some of them twice"):
        await restore_backup(dumped(far), other)


@pytest.mark.parametrize(
    "options",
    [
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True}, "expireAfterSeconds": 3600},
        {"timeseries": {"timeField": "at"}, "expireAfterSeconds": 3600},
    ],
    ids=["clustered", "time series"],
)
async def test_what_expires_by_itself_is_counted_too(
    sync_database, database, sync_other, other, tmp_path, options
):
    """A document that a server acknowledged and forgot is missed; only then others may expire."""
    now = datetime.now(UTC)
    sync_database.create_collection("expiring", **options)
    sync_database["expiring"].insert_many(
        [{"_id": now + timedelta(seconds=n), "at": now + timedelta(seconds=n)} for n in range(3)]
    )
    path = (await backup_database(database, tmp_path)).path
    names = {"system.buckets.expiring", "expiring"} & {*sync_database.list_collection_names()}
    data = max(names)
    forgotten = []

    def forget():
        forgotten.append(sync_other[data].find_one_and_delete({}))

    await restore_backup(path, other, progress=Once(forget))

    assert forgotten[0] is not None
    assert [] == changes(fingerprint(sync_database), fingerprint(sync_other))
    assert sync_database[data].count_documents({}) == sync_other[data].count_documents({})


async def test_timestamps_of_zero_come_back_as_they_were(
    sync_database, database, sync_other, other, tmp_path
):
    """A server writes the present in their place; also where a restore goes on, and nested ones."""
    zero = Timestamp(0, 0)
    options = {"validator": {"n": 1}}
    for name, chosen in {
        "x": {},
        "strict": options,
        "capped": {"capped": True, "size": 4096},
    }.items():
        collection = sync_database.create_collection(name, **chosen)
        for number, _id in enumerate((1, "é", ObjectId(), {"a": 1.5}, zero)):
            command = {"insert": name, "documents": [{"_id": _id, "at": 1, "in": {"at": zero}}]}
            sync_database.command({**command, "bypassDocumentValidation": True})
            if number != 1:
                sync_database.command(
                    "update",
                    name,
                    updates=[{"q": {"_id": _id}, "u": {"$set": {"at": zero}}}],
                    bypassDocumentValidation=True,
                )
        assert 4 == collection.count_documents({"at": zero})
    path = (await backup_database(database, tmp_path)).path
    await in_two_calls(path, other)

    assert [] == changes(fingerprint(sync_database), fingerprint(sync_other))


async def test_an_index_keeps_the_collation_it_had_in_a_collection_that_has_another(
    sync_database, database, sync_other, other, tmp_path
):
    """The server lists no simple collation, and would give the index that of its collection."""
    french = {"locale": "fr", "strength": 1}
    names = sync_database.create_collection("names", collation=french)
    names.create_index("a", collation={"locale": "simple"})
    names.create_index("b")
    names.create_index([("c", "text")], collation={"locale": "simple"})
    path = (await backup_database(database, tmp_path)).path
    result = await restore_backup(path, other)

    assert () == result.refused
    assert [] == changes(fingerprint(sync_database), fingerprint(sync_other))
    assert "collation" not in sync_other["names"].index_information()["a_1"]


@pytest.mark.parametrize("what", ["validator", "expiry"])
async def test_what_a_role_does_not_permit_is_asked_before_anything_is_dropped(
    mongod_with_auth, servers, other_name, sync_database, database, tmp_path, what
):
    """The target stays as it was, with no trace of the restore."""
    if what == "validator":
        sync_database.create_collection("strict", validator={"n": 1})
        sync_database.command(
            {"insert": "strict", "documents": [{"_id": 1}], "bypassDocumentValidation": True}
        )
    else:
        clustered = {"key": {"_id": 1}, "unique": True}
        sync_database.create_collection(
            "strict", clusteredIndex=clustered, expireAfterSeconds=10**6
        )
    path = (await backup_database(database, tmp_path)).path
    target = servers.client(mongod_with_auth)[other_name]
    target["kept"].insert_one({"_id": "kept"})
    uri = mongod_with_auth.add_user("r", "pw", database=other_name, roles=["readWrite"])
    with pytest.raises(NotPermittedError) as refused:
        await restore_backup(path, uri, drop=True)
    assert "dbAdmin" in refused.value.next_step
    named = target.list_collection_names()
    mongod_with_auth.add_user("a", "pw", database=other_name, roles=["readWrite", "dbAdmin"])
    await restore_backup(path, uri.replace("//r:", "//a:"), drop=True)

    assert {"kept", "newbi_migrate_lease"} == {*named}
    assert ["strict"] == target.list_collection_names()


async def test_options_the_server_does_not_take_are_asked_before_anything_is_dropped(
    dumped, sync_other, other
):
    """Those of another engine, say."""
    path = dumped([{"_id": 1}], {"storageEngine": {"wiredTiger": {"configString": "nonsense"}}})
    sync_other["kept"].insert_one({"_id": "kept"})
    with pytest.raises(UnsupportedError, match="would not create 'old'"):
        await restore_backup(path, other, drop=True)

    assert {"_id": "kept"} == sync_other["kept"].find_one()
