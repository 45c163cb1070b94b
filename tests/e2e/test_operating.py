"""What an operator has in hand while a run is under way: log, pause, rate, lag, bars."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from newbi_migrate.cli.logfile import LogFile
from newbi_migrate.errors import ExitCode

LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \S.*$")


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def start(tmp_path, uri):
    """Starts a command in a process of its own; what it says goes to the given file."""

    def call(*arguments, said=subprocess.PIPE, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "newbi_migrate", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "MONGODB_URI": uri, "TERM": "xterm", "COLUMNS": "100"},
            cwd=tmp_path,
            **options,
        )

    return call


# -- the log ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_log_has_a_line_with_its_time_for_everything_that_was_said(newbi, dirty, tmp_path):
    """Beginning, phases and end are there; nothing personal is, and its owner alone can read it."""
    log = tmp_path / "run.log"
    answer = newbi("migrate", "--confirm", "--log-file", log)
    text = log.read_text(encoding="utf-8")

    assert ExitCode.QUARANTINED == answer.code
    assert all(LINE.match(line) for line in lines(log))
    assert "migrate on" in lines(log)[0]
    assert all(f"{phase}: " in text for phase in ("users", "documents", "rescan", "indexes"))
    assert re.search(r"12 documents created .* 15 stamped, 7 quarantined\. Exit code 5\.", text)
    assert not any(private in text for private in ("exemple.fr", "Jeanne", "$2a$10$"))
    assert 0o600 == log.stat().st_mode & 0o777


def test_a_second_run_adds_to_the_log(quick, clean, tmp_path):
    """What was said before stays, and that nothing was left to do is said."""
    log = tmp_path / "run.log"
    quick("migrate", "--confirm", "--log-file", log)
    first = lines(log)
    quick("backfill", "--confirm", "--log-file", log)

    assert first == lines(log)[: len(first)]
    assert "Nothing was left to do for backfill. Exit code 0." in lines(log)[-1]


def test_a_rollback_is_logged_as_well(quick, clean, tmp_path):
    """Its phases and its end are lines of the same form."""
    log = tmp_path / "run.log"
    quick("migrate", "--confirm")
    answer = quick("rollback", "--confirm", "--log-file", log)

    assert ExitCode.DONE == answer.code
    assert all(LINE.match(line) for line in lines(log))
    assert re.search(r"The run [0-9a-f]{24} of migrate: rolled back; .* code 0\.$", lines(log)[-1])


LONG = [
    ("backup", "--no-exports"),
    ("verify-backup", "--compare", "BACKUP"),
    ("restore", "--database", "OTHER", "--confirm", "BACKUP"),
    ("plan",),
    ("migrate", "--confirm"),
    ("migrate", "--dry-run"),
    ("backfill", "--confirm"),
    ("validate",),
    ("rollback", "--confirm"),
    ("indexes", "--apply", "--confirm"),
    ("finalize", "--dry-run"),
]


@pytest.mark.parametrize("command", LONG, ids=" ".join)
def test_every_long_command_keeps_its_log(quick, clean, tmp_path, command):
    """What is run comes first, its phases between, and how it ended with its exit code last."""
    log, other = tmp_path / "run.log", f"{clean.name}_other"
    given = {"OTHER": other}
    if "BACKUP" in command:
        given["BACKUP"] = quick("backup", "--no-exports", "--json").json["path"]
    if command[0] in ("backfill", "rollback", "indexes", "finalize", "validate"):
        quick("migrate", "--confirm")
    answer = quick(*(given.get(word, word) for word in command), "--log-file", log)
    clean.client.drop_database(other)

    assert ExitCode.DONE == answer.code
    assert f": {command[0]}" in lines(log)[0]
    assert lines(log)[-1].endswith("Exit code 0.")
    assert len(lines(log)) > (1 if command[0] == "indexes" else 2)
    assert all(LINE.match(line) for line in lines(log))


@pytest.mark.parametrize("command", ["finalize", "rollback", "restore BACKUP", "migrate"])
def test_a_call_that_cannot_be_carried_out_begins_no_log(quick, clean, tmp_path, command):
    """Without a terminal and without --confirm nothing was begun."""
    answer = quick(*command.split(), "--log-file", tmp_path / "run.log")

    assert ExitCode.USAGE == answer.code
    assert not (tmp_path / "run.log").exists()


@pytest.mark.slow
def test_an_error_is_in_the_log_without_its_secret(newbi, tmp_path):
    """How a run failed can be read afterwards, and no password with it."""
    log = tmp_path / "run.log"
    uri = "mongodb://u:se-cret@127.0.0.1:9/newbi?serverSelectionTimeoutMS=200"
    answer = newbi("migrate", "--confirm", "--log-file", log, uri=uri)

    assert ExitCode.UNREACHABLE == answer.code
    assert "error: " in lines(log)[-1]
    assert "Exit code 9." in lines(log)[-1]
    assert "se-cret" not in log.read_text(encoding="utf-8")


def test_a_log_that_cannot_be_written_is_refused_before_anything_is_done(quick, clean, tmp_path):
    """Neither a missing folder nor a folder in its place is found out during the run."""
    for place in (tmp_path / "none" / "run.log", tmp_path):
        answer = quick("migrate", "--confirm", "--log-file", place)

        assert ExitCode.LOCAL_FILE == answer.code
    assert {"Users", "invoices"} == set(clean.list_collection_names())


@pytest.mark.parametrize("named", ["a plan", "a backup's file", "the connection string"])
def test_a_log_is_added_to_a_log_and_to_nothing_else(quick, clean, uri, tmp_path, named):
    """A backup was damaged by checking it, a plan by carrying it out: they are left alone."""
    quick("plan", "--output", "plan.json")
    backup = Path(quick("backup", "--no-exports", "--json").json["path"])
    place = {
        "a plan": tmp_path / "plan.json",
        "a backup's file": next(backup.rglob("invoices.bson*")),
        "the connection string": tmp_path / "uri",
    }[named]
    (tmp_path / "uri").write_text(uri)
    before = place.read_bytes()
    answer = quick("verify-backup", backup, "--log-file", place)

    assert ExitCode.USAGE == answer.code
    assert "is not a log; it was left alone" in answer.err
    assert before == place.read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_log_that_breaks_ends_no_run(tmp_path, capsys):
    """On a full disk the log ends, that is said once, and the run goes on."""
    path = tmp_path / "\x1b[2Jrun.log"
    log = LogFile(path, str)
    path.symlink_to("/dev/full")
    log.write("one")
    log.write("two")
    said = capsys.readouterr().err

    assert 1 == said.count("cannot be written to")
    assert "\x1b" not in said


def test_a_sentence_is_one_line_of_the_log_whatever_it_holds(tmp_path):
    """A line break in a name cannot forge a line, and secrets are taken out first."""
    log = LogFile(tmp_path / "run.log", lambda text: text.replace("secret", "***"))
    log.write("a\nb\r\n\tc secret")
    log.close()

    assert [True] == [bool(LINE.match(line)) for line in lines(tmp_path / "run.log")]
    assert lines(tmp_path / "run.log")[0].endswith(" a b c ***")


# -- holding back -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--max-rate", 0), ("--max-lag", 0), ("--max-lag", "nan")])
@pytest.mark.parametrize("command", ["migrate", "backfill", "rollback"])
def test_a_limit_out_of_range_is_refused(quick, clean, command, arguments):
    """A run that could never end does not begin."""
    answer = quick(command, "--confirm", *arguments)

    assert ExitCode.USAGE == answer.code
    assert {"Users", "invoices"} == set(clean.list_collection_names())


@pytest.mark.slow
def test_a_run_is_paused_by_a_file_and_goes_on_without_it(start, clean, tmp_path):
    """The file is watched from outside; what is said tells which one it is."""
    file, said = tmp_path / "pause", tmp_path / "said"
    file.touch()
    with (
        said.open("wb") as out,
        start("migrate", "--confirm", "--pause-file", file, said=out) as process,
    ):
        deadline = time.monotonic() + 30
        while "Paused" not in said.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        meanwhile = clean["invoices"].count_documents({"workspaceId": {"$exists": True}})
        file.unlink()
        process.communicate(timeout=30)

    assert (0, 0) == (meanwhile, process.returncode)
    assert str(file) in said.read_text(encoding="utf-8")
    assert 15 == clean["invoices"].count_documents({"workspaceId": {"$exists": True}})


def test_limits_do_not_show_in_the_result(quick, clean):
    """A run that is held back writes what any other writes."""
    answer = quick(
        "migrate", "--confirm", "--json", "--max-rate", 50, "--max-lag", 5, "--workers", 3
    )

    assert (0, 15) == (answer.code, answer.json["collections"]["invoices"]["stamped"])


# -- watching ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_whoever_watches_sees_a_bar_with_rate_and_time_left_for_each_phase(start, clean):
    """At a terminal each phase has its bar, and no plain lines come between."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def watch():
        # The terminal's end is an error here, once nobody has it open.
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                return
            if not part:
                return
            seen.extend(part)

    watching = threading.Thread(target=watch)
    watching.start()
    with start("migrate", "--confirm", "--max-rate", 10, said=theirs) as process:
        os.close(theirs)
        process.communicate(timeout=60)
    watching.join(10)
    os.close(ours)
    text = seen.decode(errors="replace")

    assert 0 == process.returncode
    assert all(phase in text for phase in ("users", "documents", "rescan", "indexes"))
    assert "15 of 15 in " in text
    assert re.search(r"\d/s", text)
    assert re.search(r"\d s left", text)
    assert not any(LINE.match(line) for line in text.splitlines())
