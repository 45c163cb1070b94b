"""The run book and the pages beside it, run as they stand there, on a clean legacy database."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from fingerprints import changes, fingerprint
from pyrage.x25519 import Identity

from newbi_migrate import ExitCode
from newbi_migrate.cli.manual import MANUAL

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The client of the test is connected, of which doctor warns; a checklist has points to be ticked.
ALLOWED = {name: {ExitCode.DONE, ExitCode.PENDING} for name in ("doctor", "checklist")}
WRITING = {"migrate", "backfill", "restore", "rollback", "unlock", "finalize", "drop-aside"}


def commands(page):
    """Arguments of each command in the blocks of a page, in order."""
    text = (DOCS / page).read_text("utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["newbi-migrate"]:
                yield words[1:]


@pytest.fixture
def typed(quick, uri, clean, tmp_path):
    """Runs the arguments of a page; nobody is there to be asked, or to press Ctrl-C."""
    for name in ("production.uri", "copy.uri"):
        (tmp_path / name).write_text(uri)
        (tmp_path / name).chmod(0o600)
    folder = tmp_path / "backups"
    folder.mkdir()

    def call(arguments):
        made = next(map(str, sorted(folder.glob("backup_*"))), "")
        places = {
            "/path/to/backups": str(folder),
            "/path/to/backups/backup_…": made,
            "backups/backup_…": made,
            "DIR": made,
            "copy": f"{clean.name}_copy",
            "age1…": str(Identity.generate().to_public()),
        }
        words = [places.get(word, word) for word in arguments]
        writes = words[0] in WRITING and "--dry-run" not in words
        if (writes or "--apply" in words) and "--confirm" not in words:
            words.append("--confirm")
        if "--recipient" in words:
            # Two backups in a folder are a second apart.
            words += ["--output-dir", str(tmp_path / "encrypted")]
        if "--watch" in words:
            words += ["--times", "1"]
        return quick(*words)

    return call


@pytest.mark.slow
def test_every_command_of_the_run_book_does_its_part(typed, clean):
    """In order, on a clean database, each ends with 0; then the rollback gives back every byte."""
    before = fingerprint(clean)
    going_back = list(commands("rollback.md"))[:2]
    for arguments in (*commands("run.md"), *going_back):
        # The test of the French guide starts the application; a rehearsal has a test of its own.
        if arguments[0] not in {"rehearse", "smoke"}:
            answer = typed(arguments)

            assert answer.code in ALLOWED.get(arguments[0], {ExitCode.DONE}), arguments
    assert ["rollback"] * 2 == [arguments[0] for arguments in going_back]
    assert [] == changes(before, fingerprint(clean, run_records=False))


@pytest.mark.slow
def test_the_commands_of_the_quickstart_write_nothing(typed, clean, tmp_path):
    """They look at a copy of one's own database and leave a page."""
    before = fingerprint(clean)
    for arguments in commands("quickstart.md"):
        if arguments[0] != "demo":
            answer = typed(arguments)

            assert answer.code in ALLOWED.get(arguments[0], {ExitCode.DONE}), arguments

    assert "<html" in (tmp_path / "plan.html").read_text("utf-8")
    assert [] == changes(before, fingerprint(clean))


@pytest.mark.slow
def test_every_example_in_the_help_can_be_run(typed, clean, servers):
    """In the order of the run book, on a clean database; none is refused."""
    # What is long, or takes a running application or a second server.
    elsewhere = {"demo", "rehearse", "smoke"}
    going_back = ["rollback", "unlock"]
    # Whatever looks at a backup needs one.
    names = [name for name in MANUAL if name not in {"backup", *elsewhere, *going_back}]
    for name in ["backup", *names, *going_back]:
        for line in MANUAL[name].examples:
            answer = typed(shlex.split(line)[1:])

            assert answer.code in ALLOWED.get(name, {ExitCode.DONE}), (line, answer.out, answer.err)
    servers.drop(f"{clean.name}_copy")
