"""What comes next in every state of a database: one table, of states and commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from interrupting import interrupt
from small_legacy import USERS, legacy_user

from newbi_migrate import ExitCode, Migration, MigrationOptions
from newbi_migrate.choices import OnConflict
from newbi_migrate.cli.manual import MANUAL
from newbi_migrate.mapping.decisions import AliasPolicy
from newbi_migrate.migration.planning.plan_file import load_plan
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.migration.run.backup_guard import BackupGuard


def fresh(quick, database, uri):
    """Nobody has done anything."""


def planned(quick, database, uri):
    """A plan was made and saved."""
    quick("plan", "--output", "plan.json")


def interrupted(quick, database, uri):
    """A migration was stopped, which had choices of its own."""
    options = MigrationOptions(aliases=AliasPolicy.ALL)
    interrupt(uri, Migration.apply, "rescan", options=options)


def migrated(quick, database, uri):
    """A migration has come to its end."""
    quick("migrate", "--confirm")


def quarantined(quick, database, uri):
    """The same where two users share an address."""
    database["Users"].insert_many([legacy_user(3), legacy_user(4, email="JEANNE3@exemple.fr")])
    migrated(quick, database, uri)


def half_rolled_back(quick, database, uri):
    """A rollback was stopped."""
    migrated(quick, database, uri)
    interrupt(uri, Migration.rollback, "users")


def half_rolled_back_with_all(quick, database, uri):
    """A rollback of all runs was stopped, which had a choice of its own."""
    migrated(quick, database, uri)
    options = RollbackOptions(OnConflict.KEEP)
    interrupt(uri, lambda migration: migration.rollback_all(options=options), "users")


def rolled_back(quick, database, uri):
    """A rollback has come to its end."""
    migrated(quick, database, uri)
    quick("rollback", "--confirm")


def half_finalized(quick, database, uri):
    """The end of a migration was stopped."""
    migrated(quick, database, uri)
    interrupt(uri, lambda migration: migration.finalize(keep=True), "swap indexes")


def kept(quick, database, uri):
    """The migration was ended, and the legacy users are there under another name."""
    migrated(quick, database, uri)
    quick("finalize", "--keep", "--confirm")


def finalized(quick, database, uri):
    """The migration was ended, and the legacy users are gone."""
    migrated(quick, database, uri)
    quick("finalize", "--confirm")


def half_restored(quick, database, uri):
    """A restore was stopped."""
    database["newbi_migrate_lease"].insert_one({"_id": "restore", "backup": "x", "done": []})


def wrong_name(quick, database, uri):
    """There is no such database."""
    database.client.drop_database(database.name)


COMMANDS = (
    "status",
    "plan",
    "plan --backup BACKUP",
    "migrate --dry-run",
    "backfill --dry-run",
    "validate",
    "doctor --watch 0",
    "backup --no-exports",
    "verify-backup --compare BACKUP",
    "rollback --dry-run",
    "finalize --keep --dry-run",
    "indexes",
)
BACKUP = "newbi-migrate backup"
BACKUP_FIRST = f"{BACKUP} and, with its folder, newbi-migrate migrate --backup DIR"
COMPARED = "newbi-migrate verify-backup --compare NEW"
END = "days later newbi-migrate finalize --keep --dry-run"
SMOKE = "newbi-migrate smoke --url URL --email EMAIL"
STATUS = "newbi-migrate status"
VALIDATE = "newbi-migrate validate"
TAKE_BACK = "newbi-migrate rollback --run RUN"
RESUME = "newbi-migrate migrate --legacy-collection Users --aliases all"
UNDO = "newbi-migrate rollback"
UNDO_ALL = "newbi-migrate rollback --all --on-conflict keep"
FINISH = "newbi-migrate finalize --keep"
MIGRATE_FIRST = "Nothing was written. Migrate it first, from the plan on: newbi-migrate plan."
ROLL_BACK_FIRST = "Finish it first: newbi-migrate rollback."
RESTORE_FIRST = "Finish it first: the same restore command goes on where it stopped."
CHECK_NAME = "Check the database's name in the connection string."
NEXT = {
    fresh: (
        *(BACKUP, BACKUP_FIRST, "newbi-migrate migrate --backup BACKUP"),
        *(BACKUP_FIRST, "newbi-migrate plan", "newbi-migrate plan", BACKUP, COMPARED),
        *("newbi-migrate doctor --backup BACKUP", STATUS, MIGRATE_FIRST, MIGRATE_FIRST),
    ),
    interrupted: (
        *(
            RESUME,
            RESUME,
            f"Finish it first: {RESUME}, without a backup.",
            RESUME,
            RESUME,
            STATUS,
            "",
            STATUS,
            STATUS,
            TAKE_BACK,
        ),
        *(f"Finish it first: {RESUME}. Or take it back: newbi-migrate rollback.", RESUME),
    ),
    migrated: (
        *(VALIDATE, VALIDATE, VALIDATE, VALIDATE, VALIDATE),
        *(f"start the application, then {SMOKE}, and {END}", STATUS, COMPARED),
        *(STATUS, TAKE_BACK, "newbi-migrate finalize --keep", "newbi-migrate indexes --apply"),
    ),
    half_rolled_back: (
        *(UNDO, UNDO, ROLL_BACK_FIRST, UNDO, UNDO, STATUS, "", STATUS, STATUS, TAKE_BACK),
        *(ROLL_BACK_FIRST, UNDO),
    ),
    half_rolled_back_with_all: (
        *(UNDO_ALL, UNDO_ALL, f"Finish it first: {UNDO_ALL}.", UNDO_ALL, UNDO_ALL),
        *(STATUS, "", STATUS, STATUS, TAKE_BACK, f"Finish it first: {UNDO_ALL}.", UNDO_ALL),
    ),
    half_finalized: (
        *(
            FINISH,
            FINISH,
            f"Finish it first: {FINISH}, without a backup.",
            FINISH,
            FINISH,
            STATUS,
            "",
            STATUS,
            STATUS,
            TAKE_BACK,
        ),
        *(FINISH, FINISH),
    ),
    kept: (
        *(VALIDATE, VALIDATE, VALIDATE, VALIDATE, VALIDATE, "", STATUS, COMPARED, STATUS),
        *(TAKE_BACK, "once nobody wants to go back, newbi-migrate finalize --dry-run", VALIDATE),
    ),
    finalized: (
        *(VALIDATE, STATUS, STATUS, STATUS, VALIDATE, "", STATUS, COMPARED, STATUS),
        *("Restore them beside it (", "", VALIDATE),
    ),
    half_restored: (
        "newbi-migrate restore DIR with the options it was started with",
        *[RESTORE_FIRST] * 5,
        "",
        *[RESTORE_FIRST] * 5,
    ),
    wrong_name: (*[CHECK_NAME] * 6, "", *[CHECK_NAME] * 5),
}
NEXT[planned] = NEXT[fresh]
NEXT[rolled_back] = (
    "newbi-migrate plan",
    *NEXT[fresh][1:8],
    f"start the old application, or {NEXT[fresh][8]}",
    *NEXT[fresh][9:],
)
NEXT[quarantined] = NEXT[migrated]


def following(answer, backup):
    """What stands behind "Next:", or behind the error where there is one; empty if nothing does."""
    lines = answer.out.splitlines() + answer.err.splitlines()
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("next: ")]
    words = "".join(found).replace(backup, "BACKUP")
    return re.sub(r"backups/backup_\S+", "NEW", re.sub(r"(--run) [0-9a-f]{24}", r"\1 RUN", words))


@pytest.mark.slow
@pytest.mark.parametrize("state", NEXT, ids=lambda state: state.__name__)
def test_what_comes_next_is_right_in_every_state(quick, clean, uri, state):
    """No backup of what is half done, no end of what was ended, no step before its time."""
    clean["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    backup = quick("backup", "--no-exports", "--output-dir", "before", "--json").json["path"]
    state(quick, clean, uri)
    answers = {c: quick(*c.replace("BACKUP", backup).split()) for c in COMMANDS}
    answers["checklist --watch 0"] = quick("checklist", "--watch", 0)
    begun = state.__name__.startswith(("half", "interrupted"))

    for (command, answer), expected in zip(answers.items(), (*NEXT[state], None), strict=True):
        if expected is not None:
            found = following(answer, backup)
            assert found[: len(expected)] == expected, command
            assert found == expected or expected.endswith("("), command
        assert not begun or "newbi-migrate backup" not in answer.out + answer.err, command


def test_a_wrong_name_is_no_database_whose_lease_nobody_holds(quick, clean, uri):
    """Who ends a lease is told, as by the other commands, that nothing is there."""
    wrong_name(quick, clean, uri)
    answer = quick("unlock", "--confirm")

    assert (ExitCode.UNREACHABLE, CHECK_NAME) == (answer.code, following(answer, "/nowhere"))


@pytest.mark.slow
@pytest.mark.parametrize("state", [interrupted, half_finalized, half_rolled_back_with_all])
def test_what_was_interrupted_is_finished_by_what_comes_next(quick, clean, uri, state):
    """As it stands, with the choices it was begun with."""
    clean["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    state(quick, clean, uri)
    named = following(quick("status"), "/nowhere")
    listed = following(quick("checklist", "--watch", "0"), "/nowhere")
    finished = quick(*named.split()[1:], "--confirm")

    assert named == listed
    assert 0 == finished.code
    assert 0 == quick("status").code


@pytest.mark.slow
def test_whatever_waits_for_an_interrupted_run_names_the_command_that_finishes_it(
    quick, clean, uri
):
    """With the choices it was begun with, since it is refused without them."""
    interrupted(quick, clean, uri)
    waiting = (
        *("migrate", "backfill", "indexes --apply", "finalize", "drop-aside"),
        "rollback --collections invoices",
    )
    answers = [quick(*command.split(), "--confirm") for command in waiting]
    answers.append(quick("doctor", "--watch", "0"))

    assert all(RESUME in " ".join((a.out + a.err).split()) for a in answers), answers


def test_a_checklist_tells_an_interrupted_rollback_from_a_migration_in_both_languages(
    quick, clean, uri
):
    """The line of the migration says it, and the command is the same in each."""
    half_rolled_back_with_all(quick, clean, uri)
    english = quick("checklist", "--watch", "0")
    french = quick("checklist", "--watch", "0", "--lang", "fr")

    assert "its rollback was interrupted" in english.out
    assert "son annulation a été interrompue" in french.out
    assert "a run was interrupted" not in english.out
    assert UNDO_ALL == following(english, "/nowhere") == following(french, "/nowhere")


def test_a_checklist_of_a_half_restored_database_names_the_restore_in_both_languages(
    quick, clean, uri
):
    """The command alone, which is the same in each."""
    half_restored(quick, clean, uri)
    told = [quick("checklist", "--watch", "0", "--lang", lang) for lang in ("en", "fr")]

    assert ["newbi-migrate restore DIR"] * 2 == [following(one, "/nowhere") for one in told]
    assert all(" with the " not in one.out for one in told)
    for one, words in zip(told, ("is half restored", "est à moitié restaurée"), strict=True):
        assert words in one.out


@pytest.mark.parametrize("state", [interrupted, half_rolled_back, half_finalized])
def test_a_backup_of_what_is_half_done_says_so_and_is_none_to_go_back_to(quick, clean, uri, state):
    """Its report, its manifest and whoever reads it; no run takes it, and `doctor` fails."""
    clean["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    state(quick, clean, uri)
    looked = quick("backup", "--dry-run")
    made = quick("backup")
    (path,) = Path("backups").iterdir()
    run = quick("status", "--json").json["unfinished"]
    report = (path / "backup_report.txt").read_text()
    manifest = json.loads((path / "manifest.json").read_text())
    read = quick("verify-backup", path)
    restoring = quick("restore", "--drop", "--dry-run", path)
    doctor = quick("doctor", "--watch", "0", "--backup", path)
    taken = [
        quick(command, "--backup", path, *more)
        for command, *more in (("plan",), ("migrate", "--confirm"), ("backfill", "--confirm"))
    ]

    assert (ExitCode.PENDING, ExitCode.DONE) == (made.code, read.code)
    assert (ExitCode.PENDING, "newbi-migrate status") == (
        looked.code,
        following(looked, "/nowhere"),
    )
    assert "half migrated or half rolled back" in MANUAL["backup"].endings[made.code]
    assert run in manifest["unfinishedRun"]
    assert "a migration can begin" not in made.err
    said = (looked.out, made.out, made.err, report, read.out, restoring.out, doctor.out)
    for text in said:
        assert f"of run {run} had begun and not come to its end" in " ".join(text.split())
    for refused in taken:
        assert refused.code in (ExitCode.USAGE, ExitCode.INTERRUPTED)
        assert "cannot back a run" in refused.err or "rollback" in refused.err


def test_the_backup_a_run_was_begun_with_stays_the_one_to_name(quick, clean, uri):
    """`doctor` knows it although the database is no longer like it, and proposes no other."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    other = quick("backup", "--no-exports", "--output-dir", "other", "--json").json["path"]
    guard = BackupGuard(Path(backup))
    interrupt(uri, Migration.apply, "rescan", backup_guard=guard)
    looks = [
        quick("doctor", "--watch", "0", "--json", *more).json["checks"]
        for more in (("--backup", backup), ("--backup", other), ())
    ]
    checks = [check for look in looks for check in look if check["id"] == "backup"]
    quick("migrate", "--confirm", "--backup", backup)
    done = quick("doctor", "--watch", "0", "--backup", backup)

    assert ["ok", "failed", "warning"] == [check["level"] for check in checks]
    assert "was begun with" in checks[0]["sentence"]
    assert all("Make no new one now" in check["remedy"] for check in checks[1:])
    assert "was begun with" in " ".join(done.out.split())


def test_a_look_at_the_rest_of_an_interrupted_plan_says_what_its_run_would_do(quick, clean, uri):
    """What was written and what is left are the plan, until somebody adds to it."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    quick("plan", "--output", "plan.json", "--backup", backup)

    async def follow(migration):
        return await migration.apply_saved(load_plan(Path("plan.json")))

    about = {"options": MigrationOptions("Users"), "backup_guard": BackupGuard(Path(backup))}
    interrupt(uri, follow, "rescan", **about)
    again = ("migrate", "--plan", "plan.json", "--backup", backup)
    looked = quick(*again, "--dry-run")
    clean["Users"].insert_one(legacy_user(5))
    moved = [quick(*again, mode) for mode in ("--dry-run", "--confirm")]
    clean["Users"].delete_one({"_id": USERS[5]})
    done = quick(*again, "--confirm")
    after = quick("migrate", "--plan", "plan.json", "--dry-run")

    assert ExitCode.DONE == looked.code == done.code == after.code, looked.err
    assert "this is what is left of it" in looked.err
    assert following(looked, backup).startswith("newbi-migrate migrate")
    assert [ExitCode.PENDING] * 2 == [answer.code for answer in moved]
    assert 1 == len({answer.sentence for answer in moved})
    assert "Nothing is left to write" in after.out


def test_a_newer_database_is_told_from_a_damaged_backup(quick, clean):
    """Neither is a reason to restore; the one asks for a new backup, the other for another copy."""
    backup = Path(quick("backup", "--no-exports", "--json").json["path"])
    clean["invoices"].insert_one({"createdBy": USERS[0], "number": "new"})
    newer = quick("verify-backup", "--compare", backup)
    quick("migrate", "--confirm")
    migrated_since = quick("verify-backup", "--compare", backup)
    data = next(backup.rglob("invoices.bson.gz"))
    data.write_bytes(data.read_bytes()[:-9])
    damaged = quick("verify-backup", "--compare", backup)

    assert [ExitCode.PENDING, ExitCode.PENDING, ExitCode.LOCAL_FILE] == [
        answer.code for answer in (newer, migrated_since, damaged)
    ]
    said = [" ".join(answer.out.split()) for answer in (newer, migrated_since, damaged)]
    assert "Nothing of the backup is damaged. The database is newer" in said[0]
    assert "is in place, and what it wrote is among the differences" in said[1]
    assert "1 user: the whole collection is extra" in said[1]
    assert "is damaged" in said[2]
    assert not any("restore" in answer.out for answer in (newer, migrated_since, damaged))
    assert (f"stop the application, then {BACKUP}", STATUS, "take another copy") == tuple(
        following(answer, "/nowhere") for answer in (newer, migrated_since, damaged)
    )
