"""What a restore says where something is half done, and where it is about another database."""

from __future__ import annotations

import asyncio
import io
import shlex
from pathlib import Path

import bson
import pytest

from newbi_migrate import ExitCode
from newbi_migrate.cli.app import run
from newbi_migrate.migration.restore import run as restoring
from newbi_migrate.migration.restore.filling import Filler
from newbi_migrate.store.structure import create_as_described


@pytest.fixture
def backup(quick, clean):
    """A backup, made with the command."""
    return Path(quick("backup", "--no-exports", "--json").json["path"])


@pytest.fixture
def migrated_copy(quick, other, backup, mongod):
    """A copy that was migrated, as somebody practises."""
    quick("restore", "--confirm", "--database", other.name, backup)
    quick("migrate", "--confirm", uri=mongod.uri_for(other.name))
    return other


class Terminal(io.StringIO):
    """Someone who types."""

    def isatty(self):
        return True


async def interrupted(*_, **__):
    """What Ctrl-C does."""
    raise asyncio.CancelledError


def following(answer):
    """The command that an answer proposes."""
    lines = answer.out.splitlines() + answer.err.splitlines()
    (line,) = [line for line in lines if line.lower().startswith("next: ")]
    return line[len("next: ") :]


def test_a_restore_stopped_while_it_tries_options_out_is_finished_by_the_same_command(
    quick, clean, other, monkeypatch
):
    """What it tried them on is in nobody's way."""
    clean.command("collMod", "invoices", validator={"number": {"$exists": True}})
    made = Path(quick("backup", "--no-exports", "--json").json["path"])
    call = ("restore", "--database", other.name, "--confirm", made)

    async def cut(session, name, options):
        await create_as_described(session, "newbi_migrate_tried", options, shown=name)
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "try_out", cut)
        stopped = quick(*call)
    left = other.list_collection_names()
    again = quick(*call)

    assert "newbi_migrate_tried" in left
    assert (ExitCode.INTERRUPTED, ExitCode.DONE) == (stopped.code, again.code), again.err
    assert "newbi_migrate_tried" not in other.list_collection_names()


@pytest.fixture
def twice(tmp_path):
    """A dump of two collections, one of which holds two documents of one ``_id``."""
    folder = tmp_path / "dump" / "old"
    folder.mkdir(parents=True)
    for name, documents in {"good": [{"_id": 1}], "bad": [{"_id": 1}, {"_id": 1}]}.items():
        (folder / f"{name}.bson").write_bytes(b"".join(map(bson.encode, documents)))
        (folder / f"{name}.metadata.json").write_text('{"options": {}, "indexes": []}')
    return tmp_path / "dump"


def test_a_restore_that_can_never_be_finished_says_what_has_to_go_first(quick, clean, other, twice):
    """Without the collection it is another restore, which the half restored database refuses."""
    call = ("restore", "--confirm", "--database", other.name)
    stopped = quick(*call, twice)
    without = quick(*call, "--collections", "good", twice)
    assert "First remove what this restore has begun: db.dropDatabase() in mongosh." in following(
        stopped
    )
    other.client.drop_database(other.name)
    again = quick(*call, "--collections", "good", twice)

    assert (ExitCode.LOCAL_FILE, ExitCode.USAGE) == (stopped.code, without.code)
    assert ExitCode.DONE == again.code, again.err
    assert ["good"] == other.list_collection_names()


def test_what_was_begun_in_place_goes_with_a_rollback(quick, clean, twice):
    """The collection that stands is as it was."""
    clean["bad"].insert_one({"_id": "present"})
    stopped = quick("restore", "--confirm", "--drop", "--collections", "bad", twice)
    back = quick("rollback", "--confirm")

    assert "First remove what this restore has begun: newbi-migrate rollback." in following(stopped)
    assert (ExitCode.LOCAL_FILE, ExitCode.DONE) == (stopped.code, back.code)
    assert [{"_id": "present"}] == [*clean["bad"].find()]


@pytest.mark.parametrize("state", ["running", "rolling-back", "restoring"])
def test_a_look_at_a_restore_in_place_refuses_what_the_restore_would(quick, clean, backup, state):
    """What is half done comes first."""
    if state == "restoring":
        clean["newbi_migrate_lease"].insert_one({"_id": "restore", "backup": "x", "done": []})
    else:
        quick("migrate", "--confirm")
        clean["newbi_migrate_runs"].update_one({}, {"$set": {"state": state}})
    asked = ("restore", "--drop", "--collections", "invoices")
    would = quick(*asked, "--dry-run", backup)
    answer = quick(*asked, "--confirm", backup)

    assert answer.code in (ExitCode.USAGE, ExitCode.INTERRUPTED)
    assert (answer.code, answer.sentence) == (would.code, would.sentence)


def test_a_look_at_an_interrupted_restore_in_place_says_that_it_goes_on(
    quick, clean, backup, monkeypatch
):
    """If it is of another backup or of other collections, the answer says which to finish first."""
    call = ("restore", "--drop", "--collections")
    with monkeypatch.context() as patched:
        patched.setattr(Filler, "fill", interrupted)
        quick(*call, "invoices", "--confirm", backup)
    others = quick(*call, "Users", "--dry-run", backup)
    would = quick(*call, "invoices", "--dry-run", "--json", backup).json
    done = quick(*call, "invoices", "--confirm", "--json", backup).json

    assert ExitCode.USAGE == others.code
    assert "A restore of another backup, or of other collections" in others.sentence
    assert (True, True) == (would["resumed"], done["resumed"])


@pytest.mark.parametrize("same", [True, False])
def test_the_question_tells_a_restore_that_goes_on_from_one_that_drops(
    quick, clean, other, backup, uri, monkeypatch, capfd, same
):
    """An interrupted one of another backup is not gone on with."""
    other["kept"].insert_one({"_id": 1})
    with monkeypatch.context() as patched:
        # Stopped before anything is dropped.
        patched.setattr(restoring._Restore, "_drop_everything", interrupted)
        quick("restore", "--drop", "--database", other.name, "--confirm", backup)
    clean["invoices"].insert_one({"number": "since"})
    later = quick("backup", "--no-exports", "--output-dir", "later", "--json").json["path"]
    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr("sys.stdin", Terminal("nobody\n"))
    run(["restore", "--drop", "--database", other.name, str(backup) if same else later])
    said = capfd.readouterr().err

    assert same == (f"restore goes on with the restore of {backup}" in said)
    assert (not same) == ("restore drops 1 collection (kept) and restores" in said)


def test_what_is_proposed_for_another_database_does_not_lead_to_that_of_the_connection_string(
    quick, migrated_copy, backup, uri, tmp_path
):
    """Copied as it stands, a rollback would take back a run of the wrong one."""
    (tmp_path / "uri").write_text(uri + "\n", "utf-8")
    migrated_copy["newbi_migrate_runs"].update_one({}, {"$set": {"state": "running"}})
    call = ("restore", "--database", migrated_copy.name, "--drop", "--collections", "invoices")
    refused = quick(*call, "--confirm", "--uri-file", "uri", backup, uri=None)

    assert ExitCode.USAGE == refused.code
    assert "newbi-migrate rollback" in following(refused)
    assert "--uri-file" not in following(refused)
    assert f"connection string that names {migrated_copy.name}" in following(refused)


def test_lost_records_of_another_database_lead_to_no_restore_of_that_of_the_connection_string(
    quick, migrated_copy, backup
):
    """Also where no --uri-file is given."""
    migrated_copy["newbi_migrate_runs"].drop()
    call = ("restore", "--database", migrated_copy.name, "--drop", "--collections", "invoices")
    refused = quick(*call, "--confirm", backup)

    assert ExitCode.PENDING == refused.code
    assert f"connection string that names {migrated_copy.name}" in following(refused)


def test_a_copy_that_differs_from_its_backup_leads_to_a_restore_that_is_not_refused(
    quick, clean, other, backup
):
    """What holds something else is not empty."""
    quick("restore", "--confirm", "--database", other.name, backup)
    other["invoices"].insert_one({"number": "since"})
    compared = quick("verify-backup", "--compare", "--database", other.name, backup)
    followed = quick(*shlex.split(following(compared))[1:])

    assert (ExitCode.PENDING, ExitCode.DONE) == (compared.code, followed.code), followed.err
