"""The run book and the pages beside it, run as they stand there, on a clean legacy database."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from fingerprints import changes, fingerprint

from newbi_migrate import ExitCode

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The client of the test is connected, of which doctor warns.
ALLOWED = {"doctor": {ExitCode.DONE, ExitCode.PENDING}}
WRITING = {"migrate", "rollback", "finalize"}


def commands(page):
    """Arguments of each command in the blocks of a page, in order."""
    text = (DOCS / page).read_text("utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["newbi-migrate"]:
                yield words[1:]


@pytest.fixture
def typed(quick, uri, tmp_path):
    """Runs the arguments of a page; nobody is there to be asked."""
    for name in ("production.uri", "copy.uri"):
        (tmp_path / name).write_text(uri)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "backups").mkdir()

    def call(arguments):
        made = [str(path) for path in (tmp_path / "backups").glob("backup_*")]
        places = {
            "/path/to/backups": str(tmp_path / "backups"),
            "/path/to/backups/backup_…": "".join(made),
        }
        words = [places.get(word, word) for word in arguments]
        if words[0] in WRITING and "--dry-run" not in words:
            words.append("--confirm")
        return quick(*words)

    return call


def test_every_command_of_the_run_book_does_its_part(typed, clean):
    """In order, on a clean database, each ends with 0; then the rollback gives back every byte."""
    before = fingerprint(clean)
    going_back = list(commands("rollback.md"))[:2]
    for arguments in (*commands("run.md"), *going_back):
        # The application is started by the test of the French guide.
        if arguments[0] != "smoke":
            answer = typed(arguments)

            assert answer.code in ALLOWED.get(arguments[0], {ExitCode.DONE}), arguments
    assert ["rollback"] * 2 == [arguments[0] for arguments in going_back]
    assert [] == changes(before, fingerprint(clean, run_records=False))


def test_the_commands_of_the_quickstart_write_nothing(typed, clean, tmp_path):
    """They look at a copy of one's own database and leave a page."""
    before = fingerprint(clean)
    for arguments in commands("quickstart.md"):
        if arguments[0] != "demo":
            answer = typed(arguments)

            assert answer.code in ALLOWED.get(arguments[0], {ExitCode.DONE}), arguments

    assert "<html" in (tmp_path / "plan.html").read_text("utf-8")
    assert [] == changes(before, fingerprint(clean))
