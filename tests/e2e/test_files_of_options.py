"""A file that an option names and that cannot be used ends a command with 10, whichever it is."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from newbi_migrate import ExitCode

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
# For each option what it names, and calls of every command that has it.
READ = {
    "--uri-file": ["status"],
    "--plan": ["migrate", "--confirm"],
    "--backup": ["plan"],
    "--identity": ["verify-backup", "."],
    "--exports-only": ["backup"],
    "--rehearsed": ["plan"],
    "--password-file": ["smoke", "--url", "http://127.0.0.1:1", "--email", "a@example.com"],
    "BACKUP": ["verify-backup"],
}
WRITTEN = {
    "--log-file": ["rollback", "--dry-run"],
    "--report": ["plan"],
    "--output": ["plan"],
    "--output-dir": ["backup", "--no-exports"],
}
# Of one its being there is all that is asked; of a rehearsal they are used once it has a backup.
OTHERS = {"--pause-file", "--scratch-uri-file", "--work-dir"}


def a_folder(path):
    path.mkdir()


def no_text(path):
    path.write_bytes(b"\xff\xfe\0\x81")


def nothing_at_all(path):
    """Leave it missing."""


def damaged(path):
    path.write_text('{"format": "newbi-migrate plan 2", "database": ')


def arguments(option, path):
    return [str(path)] if option == "BACKUP" else [option, str(path)]


@pytest.mark.parametrize("option", READ)
@pytest.mark.parametrize("made", [a_folder, no_text, nothing_at_all, damaged])
def test_a_file_that_cannot_be_read_ends_a_command_with_10(quick, clean, tmp_path, option, made):
    """Missing, a folder, bytes that are no text, or damaged."""
    path = tmp_path / "it"
    made(path)
    answer = quick(*READ[option], *arguments(option, path))
    expected = ExitCode.LOCAL_FILE
    if (option, made) == ("--password-file", damaged):
        # Any line is a password, and then the application does not answer.
        expected = ExitCode.UNREACHABLE
    elif (option, made) == ("--uri-file", damaged) or (
        option in {"BACKUP", "--backup", "--exports-only"} and made is not nothing_at_all
    ):
        # What was named is of another kind.
        expected = ExitCode.USAGE

    assert expected == answer.code, answer.err
    assert "it" in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="no pipe has a name of that kind")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("option", READ)
def test_nobody_waits_for_a_pipe_in_the_place_of_a_file(quick, clean, tmp_path, option):
    """Nor for a device: who would write to it, and when?"""
    path = tmp_path / "it"
    os.mkfifo(path)
    answer = quick(*READ[option], *arguments(option, path))

    assert answer.code in {ExitCode.LOCAL_FILE, ExitCode.USAGE}, answer.err
    assert "it" in answer.err


@pytest.mark.parametrize(
    "option", [*READ, *WRITTEN, "--pause-file", "--work-dir", "--scratch-uri-file"]
)
@pytest.mark.parametrize("what", ["a name that is too long", "links in a circle"])
def test_a_path_that_the_system_refuses_ends_a_command_with_10(
    quick, clean, tmp_path, option, what
):
    """A name that is too long, or links that lead in a circle, to whatever option."""
    path = tmp_path / ("it" * 200 if what == "a name that is too long" else "it")
    if option == "--report":
        path = path.with_name(path.name + ".html")
    if what == "links in a circle":
        path.symlink_to(path.name)
    if option in {"--work-dir", "--scratch-uri-file"}:
        quick("backup", "--no-exports", "--output-dir", "made")
        next(Path("made").iterdir()).rename("backup")
    calls = {
        **READ,
        **WRITTEN,
        "--pause-file": ["migrate", "--dry-run"],
        "--work-dir": ["rehearse", "backup"],
        "--scratch-uri-file": ["rehearse", "backup"],
    }
    answer = quick(*calls[option], *arguments(option, path))

    assert ExitCode.LOCAL_FILE == answer.code, answer.err
    assert "it" in answer.err


@pytest.mark.parametrize(
    "command",
    [
        "plan --rehearsed",
        "checklist --rehearsed",
        "migrate --confirm --rehearsed",
        "migrate --confirm --plan",
    ],
)
def test_a_file_of_decisions_is_read_before_the_database(quick, command):
    """Nobody waits for a server, or for minutes of reading, to hear that a name is mistyped."""
    answer = quick(*command.split(), "it", uri="mongodb://127.0.0.1:1/nowhere")

    assert ExitCode.LOCAL_FILE == answer.code, answer.err
    assert ("rehearse BACKUP --output" in answer.err) is ("--rehearsed" in command)


@pytest.mark.parametrize("place", ["nowhere/it", "a file/it"])
@pytest.mark.parametrize("option", WRITTEN)
def test_a_file_that_cannot_be_written_ends_a_command_with_10(
    quick, clean, tmp_path, option, place
):
    """Before any work is done for it."""
    if (option, place) == ("--output-dir", "nowhere/it"):
        pytest.skip("a folder is made")
    (tmp_path / "a file").write_text("")
    name = f"{place}.html" if option == "--report" else place
    answer = quick(*WRITTEN[option], *arguments(option, tmp_path / name))

    assert ExitCode.LOCAL_FILE == answer.code, answer.err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a name is refused or changed")
@pytest.mark.parametrize("option", WRITTEN)
def test_a_file_may_have_a_name_of_any_bytes(quick, clean, tmp_path, option):
    """It is written, and named in what is said as far as it can be."""
    quick("migrate", "--confirm")
    path = tmp_path / os.fsdecode(b"\xff\xfeit")
    if option == "--report":
        path = path.with_name(path.name + ".html")
    answer = quick(*WRITTEN[option], *arguments(option, path))

    assert answer.code in {ExitCode.DONE, ExitCode.QUARANTINED}, answer.err
    assert path.exists()


def test_every_option_that_names_a_file_is_in_a_table():
    """Whoever adds one says what becomes of a file that cannot be used."""
    found = set(
        re.findall(
            r"^\* `(--[a-z-]+) (?:FILE|DIR|PATH|BACKUP)`",
            REFERENCE.read_text("utf-8"),
            re.MULTILINE,
        )
    )

    assert {*READ, *WRITTEN, *OTHERS} - {"BACKUP"} == found
