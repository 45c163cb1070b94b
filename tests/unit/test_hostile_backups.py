"""A backup may come from anybody: nothing outside is read, nothing hangs, every refusal is said."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import zlib

import bson
import pytest
from mongodump_samples import Folder

from newbi_migrate.backup import opening
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.files import FileSeal
from newbi_migrate.backup.manifest import CollectionEntry, Consistency, Manifest, _seal
from newbi_migrate.backup.opening import BackupFolder
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.errors import DamagedBackupError, ExitCode, UsageError
from newbi_migrate.store.digest import Digest, indexes_digest, options_digest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, pipes and devices of POSIX")

SECRET = bson.encode({"_id": 1, "secret": True})


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "dump")
    made.collection("whole")
    made.collection("x")
    return made


@pytest.fixture
def outside(tmp_path):
    """A file of documents that is no part of the dump."""
    path = tmp_path / "outside.bson"
    path.write_bytes(SECRET)
    return path


def put(path, what, outside):
    """Put something that is no plain file in the place of one."""
    path.unlink()
    match what:
        case "link":
            path.symlink_to(outside)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "link to nothing":
            path.symlink_to(path.with_name("missing"))
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                here = os.open(path.parent, os.O_RDONLY)
                made.bind(f"/proc/self/fd/{here}/{path.name}")
                os.close(here)
        case "folder":
            path.mkdir()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("ending", ["bson", "metadata.json"])
@pytest.mark.parametrize(
    "what", ["link", "link to a device", "link to nothing", "pipe", "socket", "folder"]
)
async def test_what_is_no_plain_file_is_not_opened(folder, outside, what, ending):
    """It is damage of its collection, and the others are whole."""
    put(folder.path / "shop" / f"x.{ending}", what, outside)
    found = await verify_backup(folder.path)

    assert ["whole"] == [one.name for one in found.collections if one.name == "whole"]
    assert not any(one.count == 1 and one.bytes == len(SECRET) for one in found.collections)
    if not (what == "folder" and ending == "metadata.json"):
        assert "x" in {problem.collection for problem in found.problems}


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_manifest_that_is_no_plain_file_is_refused(folder, outside, kind):
    """Rather than passed over, as if the dump had none."""
    path = folder.path / "manifest.json"
    path.touch()
    put(path, kind, outside)
    with pytest.raises(DamagedBackupError, match="manifest"):
        Dump(folder.path)


def test_a_database_that_is_a_link_is_not_followed(tmp_path):
    """Its folder lies elsewhere."""
    elsewhere = Folder(tmp_path / "elsewhere")
    elsewhere.collection()
    root = tmp_path / "dump"
    root.mkdir()
    (root / "shop").symlink_to(elsewhere.path / "shop")
    with pytest.raises(UsageError, match="nor a dump"):
        Dump(root)


@pytest.mark.parametrize(
    "name",
    ["../outside.bson", "/etc/passwd", "shop/../../outside.bson", "", ".", "shop//x.bson", "a\0b"],
)
def test_no_name_leads_out_of_a_backup(folder, outside, name):
    """Whoever wrote the name."""
    with pytest.raises(DamagedDataError), BackupFolder(folder.path).raw(name):
        pass


# -- sizes ------------------------------------------------------------------------------------


def bomb(megabytes):
    """Zeros that take a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("name", ["x.metadata.json.gz", "x.bson.gz"])
async def test_a_compressed_bomb_is_damage(folder, name):
    """No more of it is read than a file of its kind can hold."""
    (folder.path / "shop" / name.removesuffix(".gz")).unlink()
    (folder.path / "shop" / name).write_bytes(bomb(100))
    found = await verify_backup(folder.path)

    assert ["x"] == [problem.collection for problem in found.problems]


def test_a_text_that_is_too_long_is_not_read_whole(folder, monkeypatch):
    """The limit holds for what is read, not for what a folder says of it."""
    monkeypatch.setattr(opening, "LONGEST_TEXT", 1 << 20)
    with (folder.path / "manifest.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DamagedBackupError, match="longer than 1 MiB"):
        Dump(folder.path)


async def test_a_size_that_lies_is_damage(folder):
    """A document that says it is larger, and a file that says it is a terabyte."""
    path = folder.path / "shop" / "x.bson"
    for size in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x00\x00\x00\x01"):
        path.write_bytes(size + SECRET[4:])
        found = await verify_backup(folder.path)

        assert ["x"] == [problem.collection for problem in found.problems]
    with path.open("wb") as file:
        file.truncate(1 << 40)
    found = await verify_backup(folder.path)

    assert ["x"] == [problem.collection for problem in found.problems]


@pytest.mark.parametrize("opens", ["[", '{"a":'])
@pytest.mark.parametrize("name", ["shop/x.metadata.json", "manifest.json"])
async def test_deep_nesting_is_damage(folder, name, opens):
    """Of JSON, in any file that is JSON."""
    (folder.path / name).write_text(opens * 100_000)
    if name == "manifest.json":
        with pytest.raises(DamagedBackupError):
            Dump(folder.path)
        return
    found = await verify_backup(folder.path)

    assert ["x"] == [problem.collection for problem in found.problems]


# -- what metadata says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"collectionName": "system.users"},
        {"collectionName": "../x"},
        {"collectionName": 5},
        {"collectionName": {"$code": "x"}},
        {"type": "collection\0"},
        {"options": []},
        {"options": {"$db": "admin"}},
        {"options": {"writeConcern": {"w": 0}}},
        {"options": {"a": "\ud800"}},
        {"options": {"a\0b": 1}},
        {"options": {"size": 10**30}},
        {"options": {"a": {"$numberDecimal": "1E999999"}}},
        {"indexes": {}},
        {"indexes": [5]},
        {"indexes": [{"key": {"a": 1}}]},
        {"indexes": [{"name": "a", "key": []}]},
        {"indexes": [{"name": "a", "key": {}}]},
    ],
)
async def test_metadata_of_wrong_types_is_damage(folder, changes):
    """It is damage of its collection, whatever it says."""
    body = {"indexes": [], "collectionName": "x", **changes}
    folder.metadata("shop/x", body)
    found = await verify_backup(folder.path)

    assert {"x"} == {problem.collection for problem in found.problems}


def test_options_do_not_name_another_collection(folder):
    """What ``create`` was called with by an old version is left out."""
    folder.old_collection("y", options={"create": "elsewhere", "temp": True, "capped": False})
    found = next(one for one in Dump(folder.path).collections if one.name == "y")

    assert {"capped": False} == found.created_with


# -- manifests --------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path):
    """A backup of ours, written by hand, whose manifest may be changed and sealed again."""
    path = tmp_path / "backup"
    made = Folder(path, zipped=True)
    made.metadata("shop/x", {"indexes": [], "collectionName": "x", "type": "collection"})
    made.documents("shop/x")
    digest = Digest()
    digest.add(bson.encode({"_id": 1}))
    (path / "json_exports").mkdir()
    files = {
        f"shop/{name}": BackupFolder(path).seal(
            f"shop/{name}", FileSeal((path / "shop" / name).stat().st_size, "")
        )
        for name in ("x.bson.gz", "x.metadata.json.gz")
    }
    entry = CollectionEntry(
        name="x",
        type="collection",
        uuid="",
        data="shop/x.bson.gz",
        metadata="shop/x.metadata.json.gz",
        count=1,
        bytes=digest.bytes,
        digest=digest.hexdigest(),
        digest_without=digest.hexdigest(),
        bytes_without=digest.bytes,
        options=options_digest({}),
        indexes=indexes_digest([]),
        consistency=Consistency.QUIET,
    )
    manifest = Manifest(
        *("newbi-migrate 0", "shop", "6.0.5", "standalone", "2026-01-01", "2026-01-01"),
        *(Consistency.QUIET, None, (), "zlib", False, None, (), (entry,), (), files),
    )
    write_manifest(path, manifest.to_json())
    return path


def write_manifest(path, body):
    body = {key: value for key, value in body.items() if key != "seal"}
    (path / "manifest.json").write_text(json.dumps({**body, "seal": _seal(body)}))


async def test_a_backup_written_by_hand_is_whole(sealed):
    """What the changes below are made to."""
    found = await verify_backup(sealed)

    assert [] == list(found.problems)
    assert [("x", 1)] == [(one.name, one.count) for one in found.collections]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("database",), ".."),
        (("database",), "shop/../.."),
        (("database",), ""),
        (("database",), "json_exports"),
        (("database",), ["shop"]),
        (("finished",), "yesterday"),
        (("finished",), "0001-01-01T00:00:00+14:00"),
        (("snapshot",), [1]),
        (("snapshot",), "now"),
        (("consistency",), "perhaps"),
        (("without",), "workspaceId"),
        (("notes",), {"a": 1}),
        (("files",), []),
        (("files", "shop/x.bson.gz"), {"bytes": "3", "digest": "0"}),
        (("files", "shop/x.bson.gz"), None),
        (("collections",), None),
        (("collections", 0), "x"),
        (("collections", 0, "name"), "system.users"),
        (("collections", 0, "name"), ""),
        (("collections", 0, "type"), "table"),
        (("collections", 0, "data"), "../outside.bson"),
        (("collections", 0, "data"), "/etc/passwd"),
        (("collections", 0, "data"), "shop/y.bson.gz"),
        (("collections", 0, "metadata"), "manifest.json"),
        (("collections", 0, "count"), -1),
        (("collections", 0, "count"), True),
        (("collections", 0, "count"), 1.0),
        (("collections", 0, "extra"), 1),
        (("extra",), 1),
    ],
)
def test_a_manifest_that_says_what_none_does_is_refused(sealed, path, value):
    """Though its seal is right: whoever changes it can make one."""
    body = json.loads((sealed / "manifest.json").read_text())
    part = body
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    write_manifest(sealed, body)
    with pytest.raises(DamagedBackupError) as caught:
        Dump(sealed)

    assert ExitCode.LOCAL_FILE == caught.value.exit_code


def test_a_manifest_that_lists_a_collection_twice_is_refused(sealed):
    """Which of the two would be restored?"""
    body = json.loads((sealed / "manifest.json").read_text())
    body["collections"] *= 2
    write_manifest(sealed, body)
    with pytest.raises(DamagedBackupError, match="twice"):
        Dump(sealed)


async def test_a_collection_is_of_the_kind_that_its_options_say(sealed):
    """Otherwise documents would go where no collection of the backup is."""
    body = json.loads((sealed / "manifest.json").read_text())
    body["collections"][0]["type"] = "timeseries"
    write_manifest(sealed, body)
    found = await verify_backup(sealed)

    assert ["x"] == [problem.collection for problem in found.problems]


async def test_files_that_the_manifest_names_elsewhere_are_not_read(sealed, outside):
    """Neither by their name nor by a link."""
    body = json.loads((sealed / "manifest.json").read_text())
    body["files"]["../outside.bson"] = {"bytes": len(SECRET), "digest": "0"}
    (sealed / "json_exports" / "x.json").symlink_to(outside)
    body["files"]["json_exports/x.json"] = {"bytes": len(SECRET), "digest": "0"}
    write_manifest(sealed, body)
    found = await verify_backup(sealed)

    assert ["its name leads out of the backup", "it is a symbolic link, which is not followed"] == [
        problem.what for problem in found.problems
    ]


async def test_stray_files_in_a_backup_are_notes(sealed):
    """What a file manager leaves there; what mongorestore would read is damage."""
    for name in (".DS_Store", "Thumbs.db", "._x.bson.gz"):
        (sealed / "shop" / name).write_bytes(b"\0\5\x16\7")
    found = await verify_backup(sealed)

    assert [] == list(found.problems)
    assert all(name in found.notes[0] for name in (".DS_Store", "Thumbs.db", "._x.bson.gz"))
    (sealed / "shop" / "y.bson.gz").write_bytes(gzip.compress(SECRET))
    found = await verify_backup(sealed)

    assert [("shop/y.bson.gz", "y")] == [(one.where, one.collection) for one in found.problems]


def test_a_manifest_of_another_program_above_is_not_ours(tmp_path):
    """Many programs name a file so."""
    folder = Folder(tmp_path / "shop")
    folder.collection(folder="")
    (tmp_path / "manifest.json").write_text('{"name": "app"}')

    assert Dump(tmp_path / "shop").manifest is None


# -- files instead of folders -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "match"),
    [
        (b"\x6d\xe2\x99\x81rest", 2, "archive of mongodump"),
        (gzip.compress(b"\x6d\xe2\x99\x81rest", mtime=0), 2, "archive of mongodump"),
        (b"text", 2, "is a file"),
        (b"", 2, "is a file"),
    ],
    ids=["archive", "compressed archive", "text", "empty"],
)
def test_a_file_is_no_dump(tmp_path, content, code, match):
    """Archives are left to mongorestore, and that is said."""
    path = tmp_path / "dump.archive"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=match) as caught:
        Dump(path)

    assert code == caught.value.exit_code
    assert caught.value.next_step


def test_a_pipe_is_no_dump(tmp_path):
    """It is not opened, and nobody waits for it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(DamagedBackupError, match="not a plain file"):
        Dump(path)


def test_a_stream_that_is_cut_is_damage():
    """A compressed file without a byte holds no empty collection."""
    with (
        pytest.raises(DamagedDataError),
        opening.in_clear(io.BufferedReader(io.BytesIO(b"")), name="x.bson.gz"),
    ):
        pass
