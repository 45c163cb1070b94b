"""`indexes` and `finalize`: what they answer, write, and end with."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from small_legacy import legacy_user

from newbi_migrate import ExitCode
from newbi_migrate.cli.app import run
from newbi_migrate.cli.manual import MANUAL

OLD = "number_1_createdBy_1"


@pytest.fixture
def migrated(quick, clean):
    """Three users with their invoices and the old unique index, migrated."""
    clean["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    assert ExitCode.DONE == quick("migrate", "--confirm").code
    return clean


def test_indexes_shows_and_then_drops_what_is_obsolete(quick, migrated):
    """Showing ends with 0 and names the command, for it is a later step; so does dropping."""
    looked = quick("indexes")
    there = OLD in migrated["invoices"].index_information()
    done = quick("indexes", "--apply", "--confirm", "--json")

    assert (ExitCode.DONE, True) == (looked.code, there)
    assert "without --apply, each that is left" in MANUAL["indexes"].endings[looked.code]
    assert f"invoices.{OLD}" in looked.out
    assert looked.out.rstrip().endswith("Next: newbi-migrate indexes --apply")
    assert (ExitCode.DONE, [["invoices", OLD]]) == (done.code, done.json["dropped"])
    assert OLD not in migrated["invoices"].index_information()


def test_finalize_says_what_goes_and_then_drops_it(quick, migrated):
    """The dry run writes nothing; the legacy users are gone afterwards."""
    stood = fingerprint(migrated)
    looked = quick("finalize", "--dry-run")
    untouched = fingerprint(migrated)
    done = quick("finalize", "--confirm")

    assert [] == changes(stood, untouched)
    assert "Collection Users with 3 legacy users to drop" in looked.out
    assert ExitCode.DONE == looked.code == done.code
    assert "Users" not in migrated.list_collection_names()


def test_finalize_names_whoever_was_kept_out_and_can_come_in(quick, migrated):
    """Before it is confirmed and after, until Better Auth bans them."""
    barred = migrated["Users"].find_one()["_id"]
    migrated["Users"].update_one({"_id": barred}, {"$set": {"banned": True}})
    looked = quick("finalize", "--dry-run")
    as_json = quick("finalize", "--dry-run", "--json").json
    migrated["user"].update_one({"_id": barred}, {"$set": {"banned": True}})
    settled = quick("finalize", "--dry-run")

    assert "whom Better Auth lets in: 1\n" in looked.out
    assert (f"  {barred}\n" in looked.out, [{"$oid": str(barred)}]) == (
        True,
        as_json["letInUsers"],
    )
    assert "lets in" not in settled.out


def test_finalize_keeps_the_legacy_users_on_request(quick, migrated):
    """Under a name that says what they are, and a rollback brings them back."""
    kept = quick("finalize", "--keep", "--confirm", "--json").json
    renamed = migrated[kept["keptAs"]].count_documents({})
    back = quick("rollback", "--confirm")

    assert ("Users_before_migration", 3) == (kept["keptAs"], renamed)
    assert "collection Users_before_migration is called Users again" in back.out
    assert 3 == migrated["Users"].count_documents({})


def test_legacy_users_who_are_kept_are_validated_as_before(quick, migrated):
    """Under their other name, with the same findings; only once they are gone a note says so."""
    barred = migrated["Users"].find_one()["_id"]
    migrated["Users"].update_one({"_id": barred}, {"$set": {"banned": True}})
    answers = [quick("validate", "--json").json]
    quick("finalize", "--keep", "--confirm")
    answers.append(quick("validate", "--json").json)
    quick("finalize", "--confirm")
    answers.append(quick("validate", "--json").json)
    found = [
        [rule["count"] for rule in answer["rules"] if rule["rule"] == "legacy-user.kept-out"]
        for answer in answers
    ]

    assert [[1], [1], []] == found
    assert [0, 0, 1] == [len(answer["notes"]) for answer in answers]


def test_finalize_refuses_what_does_not_validate(quick, migrated):
    """With 4, one sentence, the command that shows more, and nothing written."""
    migrated["member"].update_one({}, {"$set": {"organizationId": "nowhere"}})
    stood = fingerprint(migrated)
    answer = quick("finalize", "--confirm")

    assert ExitCode.VALIDATION_FAILED == answer.code
    assert "newbi-migrate validate" in answer.err
    # It validates under the lease, which is given back.
    lease = 'newbi_migrate_lease: document "lease" changed'
    assert [lease] == changes(stood, fingerprint(migrated))


@pytest.mark.slow
def test_where_the_quarantined_are_kept_already_nobody_is_told_to_keep_them(quick, dirty):
    """They have to be settled before the collection can go; until then nothing is left to do."""
    quick("migrate", "--confirm")
    first = quick("finalize", "--confirm")
    quick("finalize", "--keep", "--confirm")
    again = quick("finalize", "--confirm")
    kept = quick("finalize", "--keep", "--dry-run")

    assert (ExitCode.USAGE, ExitCode.USAGE) == (first.code, again.code)
    assert first.sentence.endswith("and in no other collection: 2.")
    assert "or keep the collection under another name with --keep" in first.err
    assert again.sentence.startswith("Legacy users in Users_before_migration who")
    assert "--keep" not in again.err
    assert "Settle them and migrate again; until then it stays." in again.err
    assert "2 legacy users are quarantined, and in no other collection" in kept.out
    settled = "once nobody wants to go back and the quarantined are settled"
    assert kept.out.rstrip().endswith(f"Next: {settled}, newbi-migrate finalize --dry-run")


def test_finalize_refuses_to_drop_a_user_who_was_quarantined(quick, migrated):
    """With 2, and --keep as the way out."""
    migrated["Users"].insert_one(legacy_user(5, email=None))
    answer = quick("finalize", "--confirm")

    assert answer.code in {ExitCode.USAGE, ExitCode.VALIDATION_FAILED}
    assert 4 == migrated["Users"].count_documents({})


@pytest.mark.parametrize("command", [("indexes", "--apply"), ("finalize",)])
def test_nothing_is_dropped_without_a_confirmation(quick, migrated, command):
    """Without a terminal and without --confirm the command ends with 2."""
    stood = fingerprint(migrated)
    answer = quick(*command)

    assert (ExitCode.USAGE, []) == (answer.code, changes(stood, fingerprint(migrated)))


def at_a_terminal(monkeypatch, uri):
    """Somebody who types nothing."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr("sys.stdin", Terminal(""))


@pytest.mark.parametrize(
    "command",
    ["indexes --apply", "finalize --keep", "migrate", "backfill", "drop-aside", "rollback --all"],
)
def test_nobody_is_asked_where_nothing_would_be_done(
    quick, migrated, uri, monkeypatch, capfd, command
):
    """It ends with 0 and says so, at a terminal too."""
    quick("finalize", "--keep", "--confirm")
    if command.startswith("rollback"):
        quick(*command.split(), "--confirm")
    stood = fingerprint(migrated)
    at_a_terminal(monkeypatch, uri)
    code = run(command.split())
    said = capfd.readouterr()
    lease = 'newbi_migrate_lease: document "lease" changed'

    assert (ExitCode.DONE, False) == (code, "Type the name" in said.err)
    assert "othing" in said.out
    assert changes(stood, fingerprint(migrated)) in ([], [lease])


def test_nobody_is_asked_about_a_rollback_that_is_refused(quick, migrated, uri, monkeypatch, capfd):
    """With conflicts nothing would be written, whatever was typed."""
    migrated["invoices"].update_one({}, {"$set": {"workspaceId": "elsewhere"}})
    at_a_terminal(monkeypatch, uri)
    code = run(["rollback"])
    said = capfd.readouterr()

    assert (ExitCode.ROLLBACK_CONFLICTS, False) == (code, "Type the name" in said.err)
    assert "refused, nothing was written" in said.out


def test_few_of_many_who_were_kept_out_are_shown_and_all_are_in_json(quick, migrated):
    """The list ends after ten, and says how many more there are."""
    migrated["Users"].update_many({}, {"$set": {"banned": True}})
    one = migrated["Users"].find_one()
    more = [{**one, "_id": ObjectId(), "email": f"barred{n}@exemple.fr"} for n in range(20)]
    migrated["Users"].insert_many(more)
    quick("migrate", "--confirm")
    migrated["user"].update_many({}, {"$unset": {"banned": 1}})
    looked = quick("finalize", "--dry-run")
    as_json = quick("finalize", "--dry-run", "--json").json

    assert "whom Better Auth lets in: 23\n" in looked.out
    assert "and 13 more (--json lists all)" in looked.out
    assert 23 == len(as_json["letInUsers"])


@pytest.mark.slow
@pytest.mark.parametrize("made_anew", [False, True])
def test_the_way_back_from_a_backup_is_the_one_the_refusal_names(
    quick, clean, servers, mongod, made_anew
):
    """The legacy users come back beside what people did since; the page says the same commands."""
    clean["Users"].create_index("company.siret")
    before = fingerprint(clean)
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("migrate", "--confirm")
    quick("finalize", "--confirm")
    clean["clients"].insert_one({"_id": "written since"})
    if made_anew:
        clean.create_collection("Users")
    refused = quick("rollback", "--all", "--confirm")
    restoring, pipeline, building = re.search(
        r"\((newbi-migrate restore .*)\), .*aggregate\((.*)\)\), .*\(there too: (.*)\), and run",
        refused.err,
    ).groups()
    rescue = f"{clean.name}_rescue"
    try:
        restored = quick(*shlex.split(restoring.replace("BACKUP", backup))[1:], "--confirm")
        clean.client[rescue]["Users"].aggregate(json.loads(pipeline))
        # What the line for mongosh does.
        indexes = [*clean.client[rescue]["Users"].list_indexes()]
        clean.command("createIndexes", "Users", indexes=indexes)
    finally:
        servers.drop(rescue)
    back = quick("rollback", "--all", "--confirm")
    survived = clean["clients"].find_one_and_delete({})
    clean["clients"].drop()
    after = fingerprint(clean, run_records=False)

    page = (Path(__file__).parents[2] / "docs" / "rollback.md").read_text("utf-8")
    for line in (restoring, f'db["Users"].aggregate({pipeline})', building):
        assert f"\n{line.replace(clean.name, 'newbi')}\n" in page
    assert [ExitCode.USAGE, ExitCode.DONE, ExitCode.DONE] == [
        answer.code for answer in (refused, restored, back)
    ]
    assert "written since" == survived["_id"]
    assert [] == changes(before, after)
