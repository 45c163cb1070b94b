"""The commands that back up, verify and restore, and a run that is backed by what they make."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from backups import write_mongodump
from bson import ObjectId
from fingerprints import changes, fingerprint
from mongodump_samples import SAMPLES, Folder, Refused

from newbi_migrate import ExitCode
from newbi_migrate.backup.encrypt import new_identity
from newbi_migrate.cli.app import run
from newbi_migrate.migration.restore import run as restoring
from newbi_migrate.migration.restore.filling import Filler

# The command, whose exports take as long as a large collection's do.
SLOW_EXPORTS = """
import sys, time
from newbi_migrate.backup import exporting
from newbi_migrate.cli.app import run

convert = exporting.json_lines

def slowly(batch):
    if b"createdBy" in batch:
        time.sleep(8)
    return convert(batch)

exporting.json_lines = slowly
sys.exit(run(["backup", *sys.argv[1:]]))
"""


@pytest.fixture
def backup(quick, clean):
    """A backup, made with the command."""
    return Path(quick("backup", "--json").json["path"])


def damage(backup):
    (data,) = backup.glob("*/invoices.bson.gz")
    data.write_bytes(data.read_bytes()[:-9])


# -- backup -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_backup_writes_a_folder_and_says_what_to_do_next(newbi, clean, tmp_path):
    """Step 1 of the guide: the folder, the report for people, and the command that follows."""
    answer = newbi("backup", "--output-dir", "out")
    (folder,) = (tmp_path / "out").iterdir()

    assert ExitCode.DONE == answer.code
    assert re.fullmatch(r"backup_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert {"backup_report.txt", "json_exports", "manifest.json", clean.name} == {
        file.name for file in folder.iterdir()
    }
    assert "18 documents" in answer.out
    assert f"Next: newbi-migrate verify-backup --compare out/{folder.name}" in answer.out
    assert "backup: 18 of 18" in answer.err


def test_the_json_of_a_backup_is_its_manifest(quick, clean):
    """One document: where the backup is, and all that its manifest says but the list of files."""
    answer = quick("backup", "--json", "--workers", 1)
    said = answer.json
    manifest = json.loads(Path(said.pop("path"), "manifest.json").read_text("utf-8"))

    assert (0, "quiet", False) == (said.pop("exitCode"), said["consistency"], said["encrypted"])
    assert {"Users": 3, "invoices": 15} == {
        one["name"]: one["count"] for one in said["collections"]
    }
    assert manifest == {**said, "files": manifest["files"]}


def test_a_dry_run_of_a_backup_writes_no_file(quick, clean, tmp_path):
    """It counts what would be read."""
    before = fingerprint(clean)
    answer = quick("backup", "--dry-run", "--json")

    assert {"Users": 3, "invoices": 15} == answer.json["collections"]
    assert [] == list(tmp_path.iterdir())
    assert [] == changes(before, fingerprint(clean))


def test_exports_can_be_left_out(quick, clean):
    """They take longer than the backup; it is whole without them."""
    answer = quick("backup", "--no-exports", "--json")
    folder = Path(answer.json["path"])

    assert [] == answer.json["exports"]
    assert not (folder / "json_exports").exists()
    assert ExitCode.DONE == quick("verify-backup", "--compare", folder).code


def test_verbose_lists_every_collection_with_its_digest(quick, clean):
    """And without it, the totals alone."""
    verbose, brief = quick("backup", "--verbose"), quick("backup", "--output-dir", "b")

    assert re.search(r"invoices +15 +[\d,]+ +[0-9a-f]{32}", verbose.out)
    assert "invoices" not in brief.out


@pytest.mark.slow
def test_no_secret_and_no_personal_data_is_shown_by_these_commands(
    newbi, mongod_with_auth, servers, database_name, clean, tmp_path
):
    """Neither the password nor a document's content, in no output and no process argument."""
    admin = servers.client(mongod_with_auth)[database_name]
    admin["Users"].insert_many(list(clean["Users"].find()))
    uri = mongod_with_auth.add_user("w", "s3cr3t-pw", database=database_name, roles=["readWrite"])
    answers = [newbi("backup", "--verbose", uri=uri)]
    (folder,) = (tmp_path / "backups").iterdir()
    answers.append(newbi("verify-backup", "--compare", "--detailed", folder, uri=uri))
    answers.append(newbi("restore", "--drop", "--confirm", "--verbose", folder, uri=uri))
    answers.append(newbi("restore", folder, uri=uri.replace("s3cr3t", "wr0ng"), stdin=None))

    assert [0, 0, 0, 2] == [answer.code for answer in answers]
    written = "".join(answer.out + answer.err for answer in answers)
    written += (folder / "backup_report.txt").read_text() + (folder / "manifest.json").read_text()
    for private in ("s3cr3t", "wr0ng", "exemple.fr", "Jeanne", "Atelier", "$2a$10$"):
        assert private not in written


def test_a_folder_that_cannot_be_written_is_one_sentence(quick, clean, tmp_path):
    """With exit code 10, and nothing is left."""
    (tmp_path / "file").write_text("")
    answer = quick("backup", "--output-dir", "file/out")

    assert ExitCode.LOCAL_FILE == answer.code
    assert "cannot be written" in answer.sentence


@pytest.mark.slow
def test_an_interrupted_backup_leaves_nothing(clean, uri, tmp_path):
    """SIGTERM ends it with 7, as Ctrl-C does, and no folder stays."""
    clean["bulk"].insert_many([{"text": "x" * 4000, "n": n} for n in range(30_000)])
    with subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", "backup"],
        cwd=tmp_path,
        env={**os.environ, "MONGODB_URI": uri},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 30
        while not list(tmp_path.glob("backups/*/*/*")) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]

    assert ExitCode.INTERRUPTED == process.returncode
    assert "error: The backup was interrupted; nothing that looks like one was left behind." in said
    assert [] == list((tmp_path / "backups").iterdir())


@contextmanager
def slow_exports(uri, folder, *arguments):
    """The process of a backup, or of its exports alone, in the middle of them; and the backup."""
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_EXPORTS, *arguments],
        cwd=folder,
        env={**os.environ, "MONGODB_URI": uri},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 30
        while not (found := [*folder.glob("backups/*/json_exports/Users.json")]):
            assert time.monotonic() < until
            time.sleep(0.01)
        yield process, found[0].parents[1].relative_to(folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_backup_that_is_stopped_while_it_exports_is_whole(clean, quick, uri, tmp_path, how):
    """A migration is backed by it meanwhile and afterwards; the command that is named goes on."""
    with slow_exports(uri, tmp_path) as (process, backup):
        meanwhile = quick("migrate", "--dry-run", "--backup", backup)
        process.send_signal(how)
        said = process.communicate(timeout=30)[1]
    checked = quick("verify-backup", "--compare", backup)
    completed = quick("backup", "--exports-only", backup, "--json", uri=None)

    assert ExitCode.DONE == meanwhile.code, meanwhile.err
    assert f"The backup {backup} is whole, and a migration can begin" in said
    if how is not signal.SIGKILL:
        assert ExitCode.INTERRUPTED == process.returncode
        assert f"the backup {str(backup)!r} is whole without them" in said
        assert f"newbi-migrate backup --exports-only {backup}" in said
    assert ExitCode.DONE == checked.code
    assert "exports of invoices are not there" in " ".join(checked.out.split())
    assert "exports of invoices are not there" in " ".join(meanwhile.err.split())
    assert [("Users", 3), ("invoices", 15)] == [
        (one["collection"], one["lines"]) for one in completed.json["exports"]
    ]
    assert ExitCode.DONE == quick("migrate", "--confirm", "--backup", backup).code
    assert "exports" not in quick("verify-backup", backup).out


@pytest.mark.slow
@pytest.mark.parametrize("first", ["backup", "exports only"])
def test_of_two_that_write_exports_of_one_backup_one_works(clean, quick, uri, tmp_path, first):
    """The other is told at once, and takes no half-written file from it."""
    arguments = []
    if first == "exports only":
        path = quick("backup", "--no-exports", "--json").json["path"]
        arguments = ["--exports-only", path]
    with slow_exports(uri, tmp_path, *arguments) as (process, backup):
        second = quick("backup", "--exports-only", backup, uri=None)
        process.communicate(timeout=30)
    checked = quick("verify-backup", backup)

    assert ExitCode.LOCAL_FILE == second.code
    assert f"error: Another process writes the exports of {str(backup)!r}." in second.err
    assert ExitCode.DONE == process.returncode
    assert ExitCode.DONE == checked.code
    assert "exports" not in checked.out
    assert [] == [*tmp_path.glob("**/*.partial")]


def test_exports_only_says_what_goes_without_a_backup(quick, clean, backup):
    """Options about a backup are refused with it, and its own without."""
    for options in (["--dry-run"], ["--no-exports"]):
        refused = quick("backup", "--exports-only", backup, *options, uri=None)
        assert ExitCode.USAGE == refused.code
    (backup.parent / "key").write_text("")

    assert ExitCode.USAGE == quick("backup", "--identity", backup.parent / "key").code


def test_writes_during_a_backup_end_it_with_3(quick, clean, monkeypatch):
    """The backup is there, and says that collections may not fit together."""
    from newbi_migrate.backup import writer
    from newbi_migrate.store.counting import estimated_counts

    async def written_meanwhile(database, sources):
        clean["invoices"].update_many({}, {"$set": {"late": True}})
        return await estimated_counts(database, sources)

    monkeypatch.setattr(writer, "estimated_counts", written_meanwhile)
    answer = quick("backup")

    assert ExitCode.PENDING == answer.code
    assert "There were writes meanwhile" in answer.out
    assert "Next: stop the application, then newbi-migrate backup" in answer.out


# -- verify-backup ----------------------------------------------------------------------------


def test_a_whole_backup_verifies_without_a_database(quick, backup):
    """No connection string is needed."""
    answer = quick("verify-backup", backup, uri=None)

    assert ExitCode.DONE == answer.code
    assert "is whole" in answer.out


def test_a_damaged_backup_ends_with_10_and_names_the_file(quick, backup):
    """In words and in JSON."""
    damage(backup)
    answer = quick("verify-backup", backup)
    said = quick("verify-backup", "--json", backup).json

    assert ExitCode.LOCAL_FILE == answer.code
    assert "invoices.bson.gz: it is cut off" in answer.out
    assert (10, False) == (said["exitCode"], said["intact"])
    assert any("invoices" in problem["where"] for problem in said["problems"])


def test_a_backup_whose_manifest_is_damaged_ends_with_10_too(quick, backup):
    """Though there is nothing that could be listed."""
    manifest = backup / "manifest.json"
    manifest.write_text(manifest.read_text()[:-40])
    answer = quick("verify-backup", backup)

    assert ExitCode.LOCAL_FILE == answer.code


def test_a_comparison_says_exactly_what_differs(quick, clean, backup):
    """Documents by their id; equal is 0, different is 3."""
    equal = quick("verify-backup", "--compare", backup)
    victim = clean["invoices"].find_one()["_id"]
    clean["invoices"].update_one({"_id": victim}, {"$set": {"number": "changed"}})
    answer = quick("verify-backup", "--compare", backup)
    said = quick("verify-backup", "--compare", "--json", backup).json

    assert (0, 3, 3) == (equal.code, answer.code, said["exitCode"])
    assert f"Next: newbi-migrate doctor --backup {backup}" in equal.out
    assert str(victim) in answer.out
    assert [("content", "invoices")] == [
        (one["kind"], one["collection"]) for one in said["comparison"]["differences"]
    ]


def test_a_long_list_of_differences_is_cut_unless_asked_for(quick, clean, backup):
    """`--detailed` names every document."""
    clean["invoices"].update_many({}, {"$set": {"late": True}})
    brief = quick("verify-backup", "--compare", backup)
    full = quick("verify-backup", "--compare", "--detailed", backup)

    assert "and 12 more (--verbose lists all)" in brief.out
    assert all(str(one["_id"]) in full.out for one in clean["invoices"].find())
    left_out = quick("verify-backup", "--compare", "--ignore-field", "late", backup)
    assert ExitCode.DONE == left_out.code


def test_options_of_a_comparison_need_one(quick, backup):
    """--ignore-field and --database alone would be ignored, so they are refused."""
    for option in ("--ignore-field", "--database"):
        assert ExitCode.USAGE == quick("verify-backup", option, "x", backup).code


@pytest.mark.parametrize("name", ["$client", "client.name", "_id", os.fsdecode(b"\xff"), "a\0b"])
def test_a_comparison_ignores_only_top_level_fields(quick, clean, backup, name):
    """Anything else would be said to be left out and be compared; a bare ``_id`` pairs them."""
    answer = quick("verify-backup", "--compare", "--ignore-field", name, backup)

    assert ExitCode.USAGE == answer.code
    assert "cannot ignore" in answer.sentence


def test_a_dump_of_several_databases_that_cannot_be_compared_is_not_asked_for_its_database_again(
    quick, clean, other, tmp_path
):
    """It was named; what is missing is a manifest."""
    other["x"].insert_one({"_id": 1})
    write_mongodump(clean, tmp_path / "dump", zipped=True)
    write_mongodump(other, tmp_path / "dump", zipped=True)
    named = ("--source-database", clean.name, tmp_path / "dump")
    answer = quick("verify-backup", "--compare", *named)

    assert ExitCode.USAGE == answer.code
    assert "has no manifest" in answer.sentence


def test_a_comparison_tells_whole_collections_from_documents(quick, clean, backup):
    """A collection that was given another name counts as two, and not as two documents."""
    clean["Users"].rename("Users_elsewhere")
    clean["invoices"].insert_one({"number": "late"})
    said = " ".join(quick("verify-backup", "--compare", "--detailed", backup).out.split())

    assert "Users: the whole collection is missing, with 3 documents" in said
    assert "Users_elsewhere: the whole collection is extra" in said
    assert "invoices: extra 1" in said


# -- restore ----------------------------------------------------------------------------------


def test_a_backup_is_restored_into_another_name_and_compared(quick, clean, other, backup):
    """Byte for byte, and the comparison that is suggested finds no difference."""
    answer = quick("restore", "--confirm", "--database", other.name, "--verbose", backup)
    compared = quick("verify-backup", "--compare", "--database", other.name, backup)

    assert (0, 0) == (answer.code, compared.code)
    assert f"Next: newbi-migrate verify-backup --compare --database {other.name}" in answer.out
    for command, one in (("restore", answer), ("verify-backup", compared)):
        assert f"{command}: the database {other.name} on " in one.err
    assert [] == changes(fingerprint(clean), fingerprint(other))


def test_some_collections_of_a_backup_are_not_compared_with_all_of_it(quick, clean, other, backup):
    """What was not asked for would be missing, and no further restore could bring it."""
    some = ("--database", other.name, "--collections", "invoices")
    answer = quick("restore", "--confirm", *some, backup)

    named = f"with a connection string that names {other.name}"
    assert f"Next: newbi-migrate status, {named}" in " ".join(answer.out.split())
    assert "Not restored" not in answer.out


def test_a_target_that_is_not_empty_needs_drop(quick, clean, backup):
    """Refused with 2; with --drop it becomes the backup, and what came since is gone."""
    before = fingerprint(clean)
    clean["late"].insert_one({})
    refused = quick("restore", "--confirm", backup)
    answer = quick("restore", "--confirm", "--drop", "--json", backup)

    assert (2, 0) == (refused.code, answer.code)
    assert "is not empty: it holds" in refused.sentence
    assert "late" in answer.json["dropped"]
    assert {"Users": 3, "invoices": 15} == answer.json["collections"]
    assert [] == changes(before, fingerprint(clean))


def test_a_restore_asks_for_the_name_of_what_it_writes(newbi, clean, backup):
    """Without a terminal and without --confirm it says so, before it looks at anything."""
    before = fingerprint(clean)
    answer = newbi("restore", "--drop", backup)

    assert ExitCode.USAGE == answer.code
    assert "Add --confirm" in answer.err
    assert [] == changes(before, fingerprint(clean))


@pytest.mark.slow
def test_a_restore_that_was_killed_goes_on(quick, clean, other, uri, tmp_path):
    """After kill -9 the same command finishes it, byte for byte."""
    clean["bulk"].insert_many([{"n": n, "text": "x" * 9000} for n in range(3000)])
    backup = quick("backup", "--json").json["path"]
    arguments = ("restore", "--confirm", "--database", other.name, "--workers", "1", backup)
    with subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", *arguments],
        cwd=tmp_path,
        env={**os.environ, "MONGODB_URI": uri},
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 30
        while not other["bulk"].estimated_document_count() and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    left = other["bulk"].estimated_document_count()
    answer = quick(*arguments, "--json")

    assert 0 < left < clean["bulk"].estimated_document_count()
    assert (0, True) == (answer.code, answer.json["resumed"])
    assert [] == changes(fingerprint(clean), fingerprint(other))


class Terminal(io.StringIO):
    """Someone who types."""

    def isatty(self):
        return True


@pytest.mark.parametrize("right", [True, False])
def test_at_a_terminal_the_name_must_be_typed(clean, backup, uri, monkeypatch, capfd, right):
    """What is going to be dropped is said before; another name writes nothing."""
    clean["late"].insert_one({})
    before = fingerprint(clean)
    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr("sys.stdin", Terminal(clean.name if right else "newbi"))
    code = run(["restore", "--drop", str(backup)])
    said = capfd.readouterr().err

    assert (ExitCode.DONE if right else ExitCode.USAGE) == code
    assert "restore drops 3 collections (Users, invoices, late) and restores" in said
    expected = ["late: disappeared"] if right else []
    assert expected == changes(before, fingerprint(clean))


def test_bytes_that_are_no_text_are_not_the_databases_name(clean, backup, uri, monkeypatch, capfd):
    """A terminal may send another encoding than it says."""

    class Latin(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr("sys.stdin", Latin(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
    code = run(["restore", "--drop", str(backup)])

    assert ExitCode.USAGE == code, capfd.readouterr().err


def test_a_migration_while_a_restore_waits_for_the_name_stops_the_restore(
    quick, clean, backup, uri, monkeypatch, capfd
):
    """With 3: what was going to be dropped is no longer what was shown, and nothing is."""

    class Busy(Terminal):
        """Someone who migrates in another window before they type."""

        def readline(self, *size):
            assert ExitCode.DONE == quick("migrate", "--confirm").code
            held.append(fingerprint(clean, run_records=False))
            return super().readline(*size)

    held = []
    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr("sys.stdin", Busy(clean.name))
    code = run(["restore", "--drop", str(backup)])

    assert ExitCode.PENDING == code
    assert "is no longer as it was shown" in capfd.readouterr().err
    assert [] == changes(held[0], fingerprint(clean, run_records=False))


async def interrupted(*_, **__):
    raise asyncio.CancelledError


@pytest.mark.parametrize("drop", [(), ("--drop", "--collections", "invoices")], ids=["all", "one"])
def test_a_restore_interrupted_before_its_first_write_says_so_and_a_later_one_goes_on(
    quick, clean, other, backup, monkeypatch, drop
):
    """While it verifies nothing has begun; once documents come in, the same command finishes it."""
    call = ("restore", *drop, "--database", other.name, "--confirm", backup)
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "verify_dump", interrupted)
        verifying = quick(*call)
        untouched = other.list_collection_names()
    with monkeypatch.context() as patched:
        patched.setattr(Filler, "fill", interrupted)
        filling = quick(*call)
    finished = quick(*call)

    assert (ExitCode.USAGE, []) == (verifying.code, untouched)
    assert "error: Interrupted; nothing was written." in verifying.err
    assert ExitCode.INTERRUPTED == filling.code
    assert "The same command again goes on where it stopped." in filling.err
    assert ExitCode.DONE == finished.code, finished.err
    assert clean["invoices"].count_documents({}) == other["invoices"].count_documents({})


def test_a_dry_run_of_a_restore_refuses_what_the_restore_would(quick, clean, backup):
    """A collection that the backup lacks, or that cannot be put in the place of another."""
    clean.drop_collection("invoices")
    clean.create_collection("invoices", viewOn="Users", pipeline=[])
    for name in ("nothere", "invoices"):
        asked = ("restore", "--drop", "--collections", name)
        would = quick(*asked, "--dry-run", backup)
        answer = quick(*asked, "--confirm", backup)

        assert (ExitCode.USAGE, ExitCode.USAGE) == (would.code, answer.code), would.out
        assert would.sentence == answer.sentence


def test_a_dry_run_of_a_restore_writes_nothing(quick, clean, other, backup):
    """It verifies, looks at the target and says what would be dropped."""
    before = fingerprint(clean)
    would = quick("restore", "--dry-run", "--drop", "--json", backup)
    elsewhere = quick("restore", "--dry-run", "--database", other.name, backup)
    refused = quick("restore", "--dry-run", backup)

    assert (0, 0, 2) == (would.code, elsewhere.code, refused.code)
    assert ["Users", "invoices"] == would.json["dropped"]
    assert f"Next: newbi-migrate restore --database {other.name} {backup}" in elsewhere.out
    assert [] == changes(before, fingerprint(clean))
    quick("migrate", "--confirm")
    after = quick("restore", "--dry-run", "--drop", backup)
    assert "no rollback is possible then" in " ".join(after.out.split())
    assert [] == other.list_collection_names()


def test_a_restore_counts_what_it_leaves_out_in_neither_of_its_numbers(quick, clean, other):
    """The lease is of the database in which it was taken; the look and the restore name it."""
    clean["newbi_migrate_lease"].insert_one({"_id": "lease", "token": 1})
    path = quick("backup", "--json").json["path"]
    restore = ("restore", "--database", other.name, path)
    looked, told = quick(*restore, "--dry-run", "--json").json, quick(*restore, "--dry-run").out
    restored = quick(*restore, "--confirm")
    again = quick(*restore, "--drop", "--confirm", "--json").json
    there = set(other.list_collection_names()) - {"newbi_migrate_lease"}

    assert there == set(looked["collections"]) == set(again["collections"])
    assert all("Not restored: newbi_migrate_lease" in said for said in (told, restored.out))


def test_a_damaged_backup_is_not_restored(quick, clean, backup):
    """With 10, and the target is as it was, even with --drop."""
    damage(backup)
    before = fingerprint(clean)
    answer = quick("restore", "--drop", "--confirm", backup)

    assert ExitCode.LOCAL_FILE == answer.code
    assert "is damaged" in answer.sentence
    assert [] == changes(before, fingerprint(clean))


@pytest.mark.parametrize("name", sorted(n for n, (_, w) in SAMPLES.items() if type(w) is Refused))
def test_a_dump_that_is_not_restored_ends_with_a_sentence(quick, other, tmp_path, name):
    """With 2 or 10, never 1, and nothing was written."""
    build, wanted = SAMPLES[name]
    build(Folder(tmp_path / "dump"))
    checked = quick("verify-backup", tmp_path / "dump", uri=None)
    answer = quick("restore", "--confirm", "--database", other.name, tmp_path / "dump")

    assert (wanted.code, wanted.code) == (checked.code, answer.code)
    assert answer.sentence
    assert "Traceback" not in checked.err + answer.err
    assert [] == other.list_collection_names()


def test_names_of_files_are_shown_and_not_obeyed(quick, other, tmp_path):
    """Control characters, markup and bytes that are no text."""
    made = Folder(tmp_path / "dump")
    made.collection("a[/b]\x1b[31m")
    for name in (b"\x1b[2J.txt", b"[b]x.txt", b"\xff\xfe.txt"):
        (made.path / "shop" / os.fsdecode(name)).touch()
    checked = quick("verify-backup", "--verbose", made.path, uri=None)
    answer = quick("restore", "--confirm", "--database", other.name, made.path)

    assert (0, 0) == (checked.code, answer.code)
    assert "\x1b" not in checked.out + checked.err + answer.out + answer.err
    assert "[b]x.txt" in answer.out


def test_an_index_that_is_refused_ends_a_restore_with_3(quick, other, tmp_path):
    """Everything else is there, and the index is named, in words and in JSON."""
    SAMPLES["legacy_indexes"][0](Folder(tmp_path / "dump"))
    answer = quick("restore", "--confirm", "--database", other.name, tmp_path / "dump")
    arguments = ["--drop", "--confirm", "--json", "--database", other.name]
    said = quick("restore", *arguments, tmp_path / "dump").json
    converted = quick("restore", *arguments, "--convert-legacy-indexes", tmp_path / "dump")

    assert ExitCode.PENDING == answer.code
    assert "safe of x: Servers before 3.4 alone took the option safe and the option w" in answer.out
    assert {"safe", "zero", "true", "text", "v0"} == {i["name"] for i in said["refusedIndexes"]}
    assert ["text"] == [i["name"] for i in converted.json["refusedIndexes"]]
    assert 1 == other["x"].count_documents({})


def test_what_is_whole_of_a_damaged_backup_is_restored_by_name(quick, clean, other, backup):
    """The damaged collection is named, and blocks none but itself."""
    damage(backup)
    refused = quick("restore", "--confirm", "--database", other.name, backup)
    chosen = ["--collections", "Users", "--database", other.name]
    answer = quick("restore", "--confirm", *chosen, backup)

    assert (ExitCode.LOCAL_FILE, ExitCode.DONE) == (refused.code, answer.code)
    assert "--collections" in refused.err
    assert "Damaged, and not restored: " in answer.out
    assert ["Users"] == other.list_collection_names()


@pytest.mark.parametrize("name", ["admin", "a/b", "$x"])
def test_some_names_are_no_target(quick, backup, name):
    """The server's own databases, and what no database can be called."""
    answer = quick("restore", "--confirm", "--database", name, backup)

    assert ExitCode.USAGE == answer.code


def test_a_folder_of_mongodump_is_restored_by_the_command(quick, clean, other, tmp_path):
    """The guide's own kind of backup, which its own restore command does not read."""
    folder = write_mongodump(clean, tmp_path / "dump", zipped=True)
    checked = quick("verify-backup", folder, uri=None)
    answer = quick("restore", "--confirm", "--database", other.name, folder)

    assert (0, 0) == (checked.code, answer.code)
    assert [] == changes(fingerprint(clean), fingerprint(other))


def test_a_restore_is_refused_while_a_run_is_under_way(quick, clean, backup):
    """With 6, whatever was confirmed."""
    quick("migrate", "--confirm")
    clean["newbi_migrate_lease"].update_one(
        {}, [{"$set": {"token": ObjectId(), "expiresAt": {"$add": ["$$NOW", 60_000]}}}]
    )
    answer = quick("restore", "--drop", "--confirm", backup)

    assert ExitCode.LEASE_HELD == answer.code


def test_an_encrypted_backup_needs_its_key(quick, clean, other, tmp_path):
    """Made for a recipient's public key, read with the secret one, refused without."""
    identity, public = new_identity()
    (tmp_path / "key.txt").write_text(f"{identity}\n")
    made = Path(quick("backup", "--recipient", str(public), "--json").json["path"])
    place = ("--confirm", "--database", other.name)
    refused = quick("restore", *place, made)
    answer = quick("restore", *place, "--identity", "key.txt", made)

    assert (2, 0) == (refused.code, answer.code)
    assert "--identity" in refused.err
    assert str(identity) not in refused.err + answer.err + answer.out
    assert [] == changes(fingerprint(clean), fingerprint(other))


# -- a run that is backed ---------------------------------------------------------------------


def test_a_plan_warns_where_no_backup_is_named(quick, clean, backup):
    """Of a dry run and of a run; not where one is named, nor where nothing is pending."""
    for command in (("plan",), ("migrate", "--dry-run"), ("backfill", "--dry-run")):
        said = quick(*command).err
        named = "backfill" if command[0] == "backfill" else "migrate"
        assert f"Make one (newbi-migrate backup), and {named} with --backup DIR." in said
    backed = quick("migrate", "--dry-run", "--backup", backup)

    assert ExitCode.DONE == backed.code
    assert "warning" not in backed.err
    assert f"Next: newbi-migrate migrate --backup {backup}" in backed.out


def test_a_run_that_is_backed_records_the_backup(quick, clean, backup):
    """Its id is in the run record, and so is what proves that nothing else changed."""
    answer = quick("migrate", "--confirm", "--backup", backup)
    again = quick("migrate", "--confirm", "--backup", backup, "--json")
    compared = quick(
        "verify-backup", "--compare", "--ignore-field", "workspaceId", "--json", backup
    )
    said = compared.json["comparison"]

    assert (0, 0, None) == (answer.code, again.code, again.json["runId"])
    recorded = clean["newbi_migrate_runs"].find_one()["baseline"]
    manifest = quick("verify-backup", "--json", backup).json
    assert (manifest["seal"], backup.name) == (recorded["backup"], recorded["name"])
    added = {one["collection"] for one in said["differences"] if one["kind"] == "extra"}
    assert {"user", "account", "organization", "member"} == added
    assert {"indexes"} == {one["kind"] for one in said["differences"]} - {"extra"}


def test_a_stale_backup_backs_no_run(quick, clean, backup):
    """With 3, in the dry run as in the run; what differs is named, and nothing is written."""
    clean["invoices"].insert_one({"number": "late"})
    before = fingerprint(clean, run_records=False)
    answers = [
        quick("migrate", "--dry-run", "--backup", backup),
        quick("migrate", "--confirm", "--backup", backup),
    ]

    assert [3, 3] == [answer.code for answer in answers]
    assert all("invoices: content, 16 documents instead of 15" in a.sentence for a in answers)
    assert [] == changes(before, fingerprint(clean, run_records=False))


def test_a_damaged_or_foreign_backup_backs_no_run(quick, clean, other, backup, mongod):
    """With 4 and 2; nothing is written."""
    foreign = quick("migrate", "--confirm", "--backup", backup, uri=mongod.uri_for(other.name))
    damage(backup)
    damaged = quick("migrate", "--confirm", "--backup", backup)

    assert (2, 10) == (foreign.code, damaged.code)
    assert "is of the database" in foreign.sentence
    assert {"Users", "invoices"} == set(clean.list_collection_names())


def test_digests_can_be_recorded_without_a_backup(quick, clean):
    """For the same proof; and a key without a backup is a mistake."""
    answer = quick("migrate", "--confirm", "--record-digests")
    recorded = clean["newbi_migrate_runs"].find_one()["baseline"]

    assert ExitCode.DONE == answer.code
    assert ("run", {"Users": 3, "invoices": 15}) == (
        recorded["source"],
        {one["collection"]: one["count"] for one in recorded["collections"]},
    )
    assert ExitCode.USAGE == quick("migrate", "--dry-run", "--identity", "key.txt").code


def test_errors_of_these_commands_are_json_too(quick, backup, tmp_path):
    """The sentence, what to do next, and the exit code."""
    for code, arguments in (
        (ExitCode.LOCAL_FILE, ("verify-backup", "--json", tmp_path / "nowhere")),
        (ExitCode.LOCAL_FILE, ("restore", "--json", "--confirm", tmp_path / "nowhere")),
        (ExitCode.USAGE, ("backup", "--json", "--recipient", "nobody")),
    ):
        said = json.loads(quick(*arguments).out)["error"]
        assert code == said["exitCode"]
        assert said["what"].endswith(".")
        assert said["next"]
