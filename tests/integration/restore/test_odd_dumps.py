"""Documents that no server of today would hold, and collections that expire, are all counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import bson
import pytest
from fingerprints import changes, fingerprint

from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import DamagedBackupError, DatabaseMovedOnError
from newbi_migrate.migration.restore.run import restore_backup


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
        (folder / "old.bson").write_bytes(b"".join(map(bson.encode, documents)))
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
