"""The layout and the bytes of a backup, against mongodump's format."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from newbi_migrate.backup import compress
from newbi_migrate.backup.compress import GzipWriter, gunzip
from newbi_migrate.backup.files import FileSeal, OutputFile, make_private_folder, sync_folder
from newbi_migrate.backup.layout import (
    alike,
    backup_name,
    dumped,
    escape,
    temporary,
    unescape,
)
from newbi_migrate.backup.manifest import Consistency, Manifest
from newbi_migrate.backup.reporting import report_text
from newbi_migrate.errors import UsageError

MANIFEST = Manifest(
    tool="newbi-migrate 0",
    database="newbi",
    server="6.0.5",
    topology="standalone",
    started="2026-01-02T03:04:05.000+00:00",
    finished="2026-01-02T03:04:06.000+00:00",
    consistency=Consistency.QUIET,
    snapshot=None,
    without=("workspaceId",),
    compression="isal",
    encrypted=False,
    unfinished_run=None,
    notes=("A note.",),
    collections=(),
    exports=(),
    files={"newbi/x.bson.gz": FileSeal(3, "00")},
)


def test_a_backup_is_named_after_its_beginning():
    """As the guide's checks expect it."""
    moment = datetime(2025, 9, 17, 8, 5, 9, tzinfo=UTC)

    assert "backup_2025-09-17_08-05-09" == backup_name(moment)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("invoices", "invoices"),
        ("dots.and spaces é", "dots.and+spaces+%C3%A9"),
        ("a/b\\c:d", "a%2Fb%5Cc%3Ad"),
        ("plus+percent%tilde~-_", "plus%2Bpercent%25tilde~-_"),
    ],
)
def test_file_names_are_escaped_as_go_does(name, file):
    """Mongorestore reads the collection's name from the file's."""
    assert file == escape(name)


def test_names_that_differ_by_case_are_told_apart():
    """Capitals are escaped, which mongorestore undoes, where there is another such name."""
    names = ["Users", "users", "Clients", "É", "é"]

    assert {"Users", "users"} == alike(names)
    assert ("%55sers", "users") == tuple(escape(name, apart=True) for name in names[:2])
    assert "%C3%89%5A" == escape("ÉZ", apart=True)
    assert "ÉZ" == unescape(escape("ÉZ", apart=True))


def test_a_name_too_long_for_a_file_carries_a_hash():
    """238 characters, of which the last 27 are SHA-1 in URL-safe base64 without padding."""
    found = escape("n" * 250)

    assert 238 == len(found)
    assert re.fullmatch(r"n{208}%24[\w-]{27}", found)
    assert len(escape("n" * 250, suffix=".age")) + len(".metadata.json.gz.age") <= 255
    assert escape("n" * 238) == "n" * 238


def test_the_servers_own_collections_are_left_out_but_for_functions():
    """What mongodump reads of a database."""
    names = ["invoices", "system.js", "system.views", "system.buckets.x", "system.profile", "a$b"]

    assert ["invoices", "system.js"] == [name for name in names if dumped(name)]


def test_a_manifest_comes_back_as_it_was():
    """Through its file."""
    text = json.dumps(MANIFEST.to_json(), indent=2)

    assert MANIFEST == Manifest.from_json(text, where="x")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("6.0.5", "6.0.6", "changed after it was written"),
        ("newbi-migrate backup 1", "newbi-migrate backup 9", "does not know"),
        ('"seal"', '"soul"', "is not the manifest"),
        ("{", "[", "is not the manifest"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(old, new, sentence):
    """Its seal covers all it says."""
    text = json.dumps(MANIFEST.to_json()).replace(old, new, 1)
    with pytest.raises(UsageError, match=sentence):
        Manifest.from_json(text, where="x")


def test_the_report_tells_what_a_person_asks():
    """Database, times, server, whether it is consistent, and how to restore."""
    text = report_text(MANIFEST)

    for part in ("newbi", "2026-01-02", "6.0.5", "counted no write", "A note.", "mongorestore"):
        assert part in text


def test_files_are_their_owners_alone_and_named_at_the_end(tmp_path):
    """Mode 0600 from the first moment, under a temporary name."""
    path = tmp_path / "x.bson.gz"
    with OutputFile(path, gzip=True) as output:
        output.write(b"text")
        assert [temporary(path)] == list(tmp_path.iterdir())
        assert 0o600 == temporary(path).stat().st_mode & 0o777
        seal = output.finish()
    output.give_name()

    assert b"text" == gzip.decompress(path.read_bytes())
    assert seal.bytes == path.stat().st_size


@pytest.fixture
def synced(monkeypatch):
    """Paths of folders that were put on disk; what the system answers can be set."""
    found, real = Synced(), os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            found.inodes.add(os.fstat(descriptor).st_ino)
            if found.answer:
                raise OSError(found.answer, os.strerror(found.answer))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


class Synced:
    def __init__(self):
        self.inodes, self.answer = set(), 0


@pytest.mark.skipif(os.name != "posix", reason="folders are opened on POSIX systems alone")
def test_the_names_of_all_folders_that_are_made_are_on_disk(tmp_path, synced):
    """The output folder is often new itself: without its own name, nothing in it is found."""
    make_private_folder(tmp_path / "backups" / "today" / "backup")
    named_in = {tmp_path, tmp_path / "backups"}

    assert {folder.stat().st_ino for folder in named_in} == synced.inodes


@pytest.mark.skipif(os.name != "posix", reason="folders are opened on POSIX systems alone")
@pytest.mark.parametrize("answer", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_at_the_name_of_a_file_fails(tmp_path, synced, answer):
    """A name that may be lost is none."""
    synced.answer = answer
    with pytest.raises(OSError, match=os.strerror(answer)):
        sync_folder(tmp_path)


@pytest.mark.parametrize("answer", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_puts_no_folder_on_disk_is_taken_as_it_is(tmp_path, synced, answer):
    """Nobody can do more there."""
    synced.answer = answer
    sync_folder(tmp_path)


def test_compressed_files_are_gzip_of_one_member_without_a_time():
    """What mongorestore --gzip reads; equal data makes equal bytes."""
    sink = io.BytesIO()
    writer = GzipWriter(sink)
    writer.write(b"text")
    writer.finish()

    data = sink.getvalue()
    assert b"\x1f\x8b\x08" == data[:3]
    assert bytes(4) == data[4:8]
    assert b"text" == gzip.decompress(data)


@pytest.mark.parametrize("change", ["cut", "bit", "crc"])
def test_damage_of_a_compressed_stream_is_noticed(change):
    """The checksum at its end covers every bit."""
    data = bytearray(gzip.compress(bytes(range(256)) * 50, mtime=0))
    if change == "cut":
        del data[-5:]
    else:
        data[len(data) // 2 if change == "bit" else -6] ^= 4
    with pytest.raises(compress.GZIP_ERRORS):
        gunzip(io.BytesIO(bytes(data))).read()


def test_without_isal_the_standard_library_does_the_same():
    """A platform without the wheel reads and writes the same format."""
    program = """
import sys, io, gzip
sys.modules["isal"] = None
from newbi_migrate.backup.compress import GzipWriter, gunzip, library
sink = io.BytesIO(); writer = GzipWriter(sink); writer.write(b"text" * 999); writer.finish()
assert gzip.decompress(sink.getvalue()) == b"text" * 999
assert gunzip(io.BytesIO(sink.getvalue())).read() == b"text" * 999
print(library())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert "zlib\n" == done.stdout
