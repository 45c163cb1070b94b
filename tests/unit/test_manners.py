"""How the command line treats whoever types: what it asks, refuses and never repeats."""

from __future__ import annotations

import io
import json
from time import monotonic

import pytest
import typer.main

from newbi_migrate import cli
from newbi_migrate.cli.app import app, run
from newbi_migrate.cli.progress import showing_progress
from newbi_migrate.cli.running import Session
from newbi_migrate.errors import ExitCode

SECRET = "s3cr3t-pa55"
SLIPS = (
    f"mongodb://app:{SECRET}@localhost:27017/newbi",
    f"mongodb+srv://app:{SECRET}@cluster.example.net/newbi",
    f"mongodb:/app:{SECRET}@localhost/newbi",
    f"MongoDB://app:{SECRET}/with/slashes@localhost/newbi",
    f"https://app:{SECRET}@app.example.com",
    f"postgres://app:{SECRET}@localhost/newbi",
    f"mongodb://app:with blank {SECRET}@localhost/newbi",
    f"app:{SECRET}@localhost:27017/newbi",
    f"mongodb://localhost/newbi?tls=true&tlsCertificateKeyFilePassword={SECRET}",
)


def every_place():
    """Each option and each argument of each command."""
    for name, command in typer.main.get_command(app).commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                yield name, ""
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    yield name, option
        yield name, "--no-such-option"


@pytest.mark.parametrize(("command", "option"), sorted(set(every_place())))
def test_no_credential_is_repeated_wherever_it_was_typed(command, option, capfd, monkeypatch):
    """A connection string in place of anything, of any scheme, is refused and not shown."""
    monkeypatch.delenv("MONGODB_URI", raising=False)
    for slip in SLIPS:
        for value in ([option, slip] if option else [slip], [f"{option}={slip}"]):
            for more in ([], ["--json"]):
                code = run([command, *value, *more])
                seen = capfd.readouterr()

                assert ExitCode.USAGE == code
                assert SECRET not in seen.out + seen.err
                assert seen.err.startswith("error: ")
                assert not more or "error" in json.loads(seen.out)


@pytest.mark.parametrize(
    "argument", ["jeanne@exemple.fr", "C:/Users/a@b", "user@host:/path", "backup_2025-09-17_08:05"]
)
def test_what_only_looks_a_little_like_a_credential_is_taken(argument, capfd, monkeypatch):
    """An address, a path of Windows, one of another host, a time."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://localhost:1/newbi")
    run(["verify-backup", argument])

    assert repr(argument) in capfd.readouterr().err


# -- the prompt -------------------------------------------------------------------------------


@pytest.fixture
def session(monkeypatch):
    """A call of `migrate` on a database whose name is asked for."""
    monkeypatch.setenv("MONGODB_URI", f"mongodb://app:{SECRET}@db.example.net:27017/newbi")
    return Session("migrate")


def answering(monkeypatch, *answers):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))


@pytest.mark.parametrize(
    ("answers", "agreed"),
    [
        (["newbi"], True),
        (["yes", "newbi"], True),
        (["oui", "newbi"], True),
        (["yes", "yes"], False),
        (["other"], False),
        (["other", "newbi"], False),
        ([], False),
    ],
)
def test_a_yes_gets_a_second_try_and_nothing_else_does(session, monkeypatch, answers, agreed):
    """Only the database's name agrees."""
    answering(monkeypatch, *answers)
    code = ExitCode.DONE
    try:
        with session.explained():
            session.confirm("writes to 3 documents")
    except typer.Exit as ended:
        code = ended.exit_code

    assert (ExitCode.DONE if agreed else ExitCode.USAGE) == code


def test_the_prompt_names_server_database_verb_and_numbers(session, monkeypatch, capfd):
    """Two databases of the same name on two servers cannot be mistaken; no credential is shown."""
    answering(monkeypatch, "newbi")
    session.confirm("writes to 3 documents")
    said = capfd.readouterr().err

    assert said.startswith("migrate: the database newbi on db.example.net:27017, from the ")
    assert "migrate writes to 3 documents, in the database 'newbi' on db.example.net:27017" in said
    assert SECRET not in said


def test_the_prompt_steers_no_terminal(monkeypatch, capfd):
    """Whatever stands in a connection string is shown, also where it is asked for again."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://db.example.net/%1B%5B2J")
    answering(monkeypatch, "yes", "no")
    session = Session("migrate")
    with pytest.raises(typer.Exit), session.explained():
        session.confirm("writes to 3 documents")
    seen = capfd.readouterr().err

    assert "\\x1b[2J to go on" in seen
    assert "\x1b" not in seen


def test_an_interrupt_before_anything_was_begun_is_no_interrupted_run(session, capfd):
    """It ends with 2, and offers nothing to be finished."""
    with pytest.raises(typer.Exit) as ended, session.explained():
        raise KeyboardInterrupt
    said = capfd.readouterr().err

    assert ExitCode.USAGE == ended.value.exit_code
    assert "nothing was written" in said
    assert "next: Run the command again." in said
    assert "finishes" not in said


@pytest.mark.parametrize("by_typer", [False, True], ids=["python's own", "as Typer ends"])
def test_an_interrupt_while_the_command_line_is_loaded_is_told_of_too(monkeypatch, capfd, by_typer):
    """No traceback, and the code of what did nothing."""

    def interrupted():
        if by_typer:
            return 130
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ExitCode.USAGE == ended.value.code
    assert capfd.readouterr().err == (
        "error: Interrupted; nothing was written.\nnext: Run the command again.\n"
    )


def test_what_is_proposed_in_place_of_an_answer_exists(monkeypatch, capfd):
    """A command that writes proposes --dry-run only where it has it."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://localhost:1/newbi")
    monkeypatch.setattr("sys.stdin", None)
    commands = typer.main.get_command(app).commands
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        if "--confirm" in options and name != "unlock":
            arguments = ["folder"] if name == "restore" else []
            arguments += ["--apply"] if name == "indexes" else []
            code = run([name, *arguments])
            said = capfd.readouterr().err

            assert ExitCode.USAGE == code, name
            assert "--confirm" in said, name
            assert ("--dry-run" in options) is ("--dry-run" in said), name


@pytest.mark.parametrize("argument", ["a" * 500_000, "a" * 400_000 + ":", "=" * 300_000])
def test_a_long_argument_is_looked_at_in_a_moment(argument, capfd):
    """Before the command begins, and without reading it again from each of its letters."""
    begun = monotonic()
    code = run(["status", argument])

    assert ExitCode.USAGE == code
    assert 5 > monotonic() - begun


@pytest.mark.parametrize("columns", ["99999999", "9" * 5000, "-1", "x"])
def test_help_is_as_wide_as_a_screen_can_be(columns, capfd, monkeypatch):
    """Whatever the environment says of its columns."""
    monkeypatch.setenv("COLUMNS", columns)
    code = run(["--help"])

    assert ExitCode.DONE == code
    assert 100_000 > len(capfd.readouterr().out)


def test_what_is_waited_for_and_over_at_once_is_not_told_of(capfd):
    """Forty collections that are looked at in a moment are no forty lines."""
    with showing_progress() as progress:
        for number in range(40):
            progress.phase(f"validate {number}", None)
        progress.phase("documents", 3)
        progress.advance(3)
    said = [line.partition(" ")[2] for line in capfd.readouterr().err.splitlines()]

    assert ["documents: 3 to go", "documents: 3 of 3 in 0.0 s"] == said


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a\x1b[2J", "[/b]", "\ud800"])
def test_a_name_that_is_no_text_ends_with_a_sentence(name, capfd, monkeypatch):
    """A path of any bytes is named in an error, in JSON too, and steers nothing."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://localhost:1/newbi")
    code = run(["verify-backup", name, "--json"])
    seen = capfd.readouterr()

    assert code in {ExitCode.USAGE, ExitCode.LOCAL_FILE}
    assert "Unexpected" not in seen.err
    assert all(c.isprintable() or c == "\n" for c in seen.err)
    assert json.dumps(json.loads(seen.out), ensure_ascii=False).encode()
