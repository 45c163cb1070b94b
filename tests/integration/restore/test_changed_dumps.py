"""What is restored is what was verified, whatever becomes of the files in between."""

from __future__ import annotations

import gzip
import os

import bson
import pytest
from backups import fill, write_mongodump
from fingerprints import changes, fingerprint

from newbi_migrate.backup.writer import backup_database
from newbi_migrate.errors import DamagedBackupError, ExitCode
from newbi_migrate.migration.restore.run import restore_backup

ANOTHER = {"_id": 10_000, "pad": "another"}


class When:
    """A listener that does something once: as a phase begins, or at its first documents."""

    def __init__(self, act, phase, *, documents=False):
        self.act, self.wanted, self.documents = act, phase, documents
        self.here = False

    def phase(self, name, total):
        self.here = name == self.wanted
        if not self.documents:
            self.advance(0)

    def advance(self, amount, detail=None):
        if self.here and self.act is not None:
            act, self.act = self.act, None
            act()

    def note(self, sentence):
        pass


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def dump(sync_database, tmp_path, request):
    """A dump of one collection of ten megabytes, of which parts are read long after others."""
    sync_database["big"].insert_many([{"_id": n, "pad": f"{n:x}" * 9_000} for n in range(400)])
    return write_mongodump(sync_database, tmp_path / "dump", zipped=request.param)


def file_of(path, name="big"):
    """The file of the documents of a collection."""
    (found,) = [*path.glob(f"**/{name}.bson"), *path.glob(f"**/{name}.bson.gz")]
    return found


def documents_of(file):
    raw = file.read_bytes()
    return bson.decode_all(gzip.decompress(raw) if file.suffix == ".gz" else raw)


def bytes_of(file, documents):
    raw = b"".join(map(bson.encode, documents))
    return gzip.compress(raw, 6) if file.suffix == ".gz" else raw


def other_values(documents):
    """The same ids, the same sizes, in another order of values."""
    return [{**each, "pad": each["pad"][::-1]} for each in documents]


def one_twice(documents):
    """As many documents, of which two far apart have one id."""
    return [*documents[:-1], {**documents[0], "pad": "again"}]


CHANGES = {
    "other values": other_values,
    "other documents": lambda documents: [*documents[:-1], ANOTHER],
    "another order": lambda documents: documents[::-1],
    "fewer": lambda documents: documents[:-1],
    "more": lambda documents: [*documents, ANOTHER],
    "none": lambda documents: [],
    "one twice": one_twice,
}


def exchanged(file, change):
    """Puts another file in its place, as old as it was and perhaps as large."""

    def act():
        before = file.stat()
        beside = file.with_name("beside")
        beside.write_bytes(bytes_of(file, CHANGES[change](documents_of(file))))
        os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
        beside.replace(file)

    return act


async def refused(path, other, **options):
    """The error of a restore that notices."""
    with pytest.raises(DamagedBackupError, match="no longer what was verified") as caught:
        await restore_backup(path, other, **options)
    assert ExitCode.LOCAL_FILE is caught.value.exit_code
    return caught.value


@pytest.mark.parametrize("change", CHANGES)
async def test_a_file_exchanged_after_it_was_verified_is_noticed(dump, other, sync_other, change):
    """Of what was inserted nothing stays; from the dump as it was, the same call goes on."""
    file = file_of(dump)
    whole, expected = file.read_bytes(), documents_of(file)
    act = exchanged(file, change)
    error = await refused(dump, other, progress=When(act, "take the lease"))
    left = sync_other.list_collection_names()
    file.write_bytes(whole)
    result = await restore_backup(dump, other)

    assert file.name in error.what
    assert "big" == error.collection
    assert "big" not in left
    assert result.resumed
    assert expected == list(sync_other["big"].find().sort("_id"))


def cut(file):
    os.truncate(file, file.stat().st_size * 2 // 3)


def cut_after_a_document(file):
    os.truncate(file, len(bytes_of(file, documents_of(file)[:-100])))


def rewritten(file):
    """The last bytes of the last value are others; a plain file has no checksum."""
    with file.open("r+b") as opened:
        opened.seek(-40, os.SEEK_END)
        opened.write(b"!" * 20)


def filled_with_nothing(file):
    """A disk that lost its end: sizes of documents are right as far as they go."""
    documents = documents_of(file)
    ending = b"".join(
        len(raw).to_bytes(4, "little") + bytes(len(raw) - 4)
        for raw in map(bson.encode, documents[-20:])
    )
    with file.open("r+b") as opened:
        opened.seek(-len(ending), os.SEEK_END)
        opened.write(ending)


@pytest.mark.parametrize("change", [cut, cut_after_a_document, rewritten, filled_with_nothing])
async def test_a_file_changed_while_it_is_inserted_is_noticed(
    sync_database, tmp_path, other, sync_other, change
):
    """Also one without checksums, whose bytes are documents still, or look like some."""
    sync_database["big"].insert_many([{"_id": n, "pad": f"{n:x}" * 9_000} for n in range(900)])
    path = write_mongodump(sync_database, tmp_path / "dump", zipped=False)
    file = file_of(path)
    act = When(lambda: change(file), "restore", documents=True)
    error = await refused(path, other, progress=act, workers=1)

    assert "big" == error.collection
    assert "big" not in sync_other.list_collection_names()


async def test_a_file_changed_between_two_attempts_is_noticed(dump, other, sync_other):
    """A restore that goes on by itself reads again; what is there is not said to be another's."""
    exchange = exchanged(file_of(dump), "other values")
    admin = sync_other.client.admin
    failing = {
        "failCommands": ["insert"],
        "closeConnection": True,
        "namespace": f"{sync_other.name}.big",
    }

    def act():
        exchange()
        admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=failing)

    try:
        await refused(dump, other, progress=When(act, "restore", documents=True))
    finally:
        admin.command("configureFailPoint", "failCommand", mode="off")

    assert "big" not in sync_other.list_collection_names()


@pytest.mark.parametrize("name", ["capped", "measures", "system.js", "Users"])
async def test_a_changed_file_of_any_collection_of_a_backup_is_noticed(
    sync_database, database, tmp_path, other, sync_other, name
):
    """Whatever it is of; nothing of it stays, and the whole backup comes back afterwards."""
    fill(sync_database)
    sync_database["system.js"].insert_many([{"_id": "f", "value": 1}, {"_id": "g", "value": 2}])
    path = (await backup_database(database, tmp_path)).path
    file = file_of(path, {"measures": "system.buckets.measures"}.get(name, name))
    whole = file.read_bytes()
    act = When(exchanged(file, "another order"), "take the lease")
    error = await refused(path, other, progress=act)
    left = 0
    if name in sync_other.list_collection_names():
        left = sync_other[name].count_documents({})
    file.write_bytes(whole)
    await restore_backup(path, other)

    assert name == error.collection
    assert 0 == left
    assert [] == changes(fingerprint(sync_database), fingerprint(sync_other))


async def test_a_changed_file_takes_no_collections_place(
    sync_database, database, tmp_path, sync_other
):
    """A restore in place leaves what is there, and the same call on the backup goes on."""
    sync_database["kept"].insert_many([{"_id": n} for n in range(3)])
    path = (await backup_database(database, tmp_path)).path
    sync_database["kept"].delete_one({"_id": 1})
    stood = fingerprint(sync_database)["kept"]
    file = file_of(path, "kept")
    whole = file.read_bytes()
    act = When(exchanged(file, "none"), "restore")
    await refused(path, database, drop=True, only=["kept"], progress=act)
    left = fingerprint(sync_database)["kept"]
    file.write_bytes(whole)
    await restore_backup(path, database, drop=True, only=["kept"])

    assert stood == left
    assert [0, 1, 2] == [each["_id"] for each in sync_database["kept"].find()]
