"""Standard streams that are closed, full or unread: the work is done, and earns its code."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from newbi_migrate import ExitCode

FULL = Path("/dev/full")
full = pytest.param("full", marks=pytest.mark.skipif(not FULL.exists(), reason="no such device"))

DONE = ["migrate", "--confirm"]
REFUSED = ["finalize", "--confirm"]
SMALL = ["--users", "3", "--documents", "20"]


@contextlib.contextmanager
def nowhere(how):
    """A descriptor that takes nothing."""
    if how == "full":
        writing = os.open(FULL, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.fixture
def losing(uri, tmp_path):
    """Runs the command with one of its streams lost; the other one is read."""

    def call(arguments, name, how):
        kept = "stderr" if name == "stdout" else "stdout"
        command = [sys.executable, "-m", "newbi_migrate", *arguments]
        if how == "closed":
            closing = {"stdout": ">&-", "stderr": "2>&-"}[name]
            command = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
        with nowhere(how) as descriptor:
            return subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                **{name: descriptor, kept: subprocess.PIPE},
                env={**os.environ, "MONGODB_URI": uri},
                cwd=tmp_path,
                timeout=120,
            )

    return call


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gone", "closed", full])
@pytest.mark.parametrize(
    ("arguments", "earned"),
    [
        ([*DONE, "--json"], ExitCode.DONE),
        ([*REFUSED, "--json"], ExitCode.USAGE),
        (["migrat"], ExitCode.USAGE),
        ([], ExitCode.USAGE),
    ],
    ids=["done", "refused", "misspelt", "nothing"],
)
def test_lost_messages_change_neither_answer_nor_exit_code(losing, clean, arguments, earned, how):
    """They go to no other stream either: standard output holds one JSON document, or nothing."""
    ended = losing(arguments, "stderr", how)
    answer = json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    assert earned == ended.returncode
    assert b"" == answer or isinstance(answer, dict)
    assert (earned == ExitCode.DONE) == ("user" in clean.list_collection_names())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "earned"),
    [
        (DONE, ExitCode.DONE),
        ([*DONE, "--json"], ExitCode.DONE),
        ([*REFUSED, "--json"], ExitCode.USAGE),
        (["migrate", "--help"], ExitCode.DONE),
        (["--version"], ExitCode.DONE),
        (["schema"], ExitCode.DONE),
        (["status", "--watch", "0.1"], ExitCode.DONE),
        (["demo", *SMALL], ExitCode.DONE),
        (["demo", *SMALL, "--json"], ExitCode.DONE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_answer_whose_reader_has_gone_changes_no_exit_code(losing, clean, arguments, earned):
    """`newbi-migrate migrate --confirm | head -1` ends as without the pipe, and watching ends."""
    ended = losing(arguments, "stdout", "gone")

    assert earned == ended.returncode, ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"BrokenPipe" not in ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no such device")
@pytest.mark.parametrize(
    ("arguments", "earned"),
    [
        (DONE, ExitCode.LOCAL_FILE),
        ([*DONE, "--json"], ExitCode.LOCAL_FILE),
        ([*REFUSED, "--json"], ExitCode.USAGE),
        (["migrate", "--help"], ExitCode.LOCAL_FILE),
    ],
    ids=["done", "done, as JSON", "refused", "help"],
)
def test_an_answer_for_which_there_is_no_room_ends_with_10(losing, clean, arguments, earned):
    """What the command did is done; where it was refused, that is what it says."""
    ended = losing(arguments, "stdout", "full")

    assert earned == ended.returncode, ended.stderr
    assert b"Traceback" not in ended.stderr
    assert (earned is ExitCode.LOCAL_FILE) == (b"Standard output cannot be" in ended.stderr)
    assert (arguments[0:2] == DONE) == ("user" in clean.list_collection_names())
