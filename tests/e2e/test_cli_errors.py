"""What goes wrong is said in one sentence with the right exit code, and shows no secret."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
import typer
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate import ExitCode
from newbi_migrate.cli import main
from newbi_migrate.cli.app import app
from newbi_migrate.cli.manual import MANUAL

SECRET = "s3cr%C3%A9t-p4ss"
COMMANDS = [("plan",), ("migrate", "--confirm"), ("backfill", "--confirm"), ("status",)]


def assert_one_sentence(answer, code):
    assert code == answer.code
    assert "Traceback" not in answer.err
    assert answer.sentence


def assert_no_secret(answer):
    for spelling in (SECRET, "s3cr", "sécrét", "p4ss"):
        assert spelling not in answer.out + answer.err


# -- calls that cannot be read ----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("--frobnicate",),
        ("plan", "--frobnicate"),
        ("plan", "superfluous"),
        ("plan", "--aliases", "some"),
        ("plan", "--aliases"),
        ("plan", "--duplicate-emails", "keep"),
        ("plan", "--alias-owners", "rename"),
        ("plan", "--as-of", "14/08/2025"),
        ("plan", "--collections", " , "),
        ("plan", "--collections", "unheard-of"),
        ("plan", "--legacy-collection", "unheard-of"),
        ("plan", "--legacy-collection", "invoices"),
        ("plan", "--batch-size", "5"),
        ("migrate", "--confirm", "--batch-size", "many"),
        ("migrate", "--confirm", "--batch-size", "0"),
        ("migrate", "--confirm", "--batch-size", "200001"),
        ("migrate", "--confirm", "--workers", "0"),
        ("migrate", "--confirm", "--workers", "65"),
        ("backfill", "--confirm", "--plan", "plan.json"),
        ("status", "--confirm"),
    ],
)
def test_a_call_that_cannot_be_read_ends_with_2_and_one_sentence(quick, clean, arguments):
    """On standard error a sentence and what to do; with --json one document on standard output."""
    answer = quick(*arguments, "--json")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert {"what", "next", "exitCode"} == answer.json["error"].keys()
    assert answer.sentence == answer.json["error"]["what"]


def taking_a_value():
    """Every command with every option and argument of it that takes one."""
    group = typer.main.get_command(app)
    for name in group.list_commands(None):
        for option in group.get_command(None, name).params:
            if option.param_type_name == "argument":
                yield pytest.param(name, [""], id=f"{name} {option.name}")
            elif not option.is_flag and option.name != "help":
                yield pytest.param(name, [option.opts[0], ""], id=f"{name} {option.opts[0]}")
                yield pytest.param(name, [f"{option.opts[0]}="], id=f"{name} {option.opts[0]}=")


@pytest.mark.parametrize(("command", "given"), list(taking_a_value()))
def test_no_option_of_any_command_takes_an_empty_text(quick, command, given):
    """It says which one, before anything is read: nothing is not the usual one."""
    answer = quick(command, *given, uri="mongodb://127.0.0.1:1/nowhere")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert "is empty" in answer.sentence
    assert len(given) == 1 or given[0] in answer.sentence


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize(
    "call", [["doctor", "--watch"], ["status", "--watch"], ["migrate", "--max-lag"]]
)
def test_no_option_takes_what_is_no_number_of_seconds(quick, call, number):
    """Nobody waits for ever, or not at all, for that."""
    answer = quick(*call, number, uri="mongodb://127.0.0.1:1/nowhere")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert call[1] in answer.sentence


def test_without_json_an_error_leaves_standard_output_empty(newbi):
    """Data is on standard output and an error is no data; a real process says the same."""
    answer = newbi("plan", "--frobnicate")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert "" == answer.out


IN_NO_FOLDER = (
    ("status",),
    ("plan",),
    ("plan", "--output", "p"),
    ("plan", "--report", "r.html"),
    ("plan", "--log-file", "l"),
    ("migrate", "--plan", "p", "--confirm"),
    ("migrate", "--backup", "b", "--confirm"),
    ("doctor", "--watch", "0"),
    ("doctor", "--backup", "b", "--watch", "0"),
    ("backup",),
    ("verify-backup", "b"),
    ("restore", "b", "--confirm"),
    ("rehearse", "b"),
    ("rehearse", ".", "--work-dir", "w"),
    ("validate", "--report", "r.xml"),
    ("checklist",),
    ("smoke",),
    ("smoke", "--url", "http://localhost:1", "--email", "a@b.fr", "--password-file", "p"),
    ("demo", "--report", "r.html"),
)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use stays there")
@pytest.mark.parametrize("call", IN_NO_FOLDER, ids=" ".join)
def test_no_command_fails_as_a_defect_in_a_folder_that_was_removed(
    quick, clean, uri, tmp_path, monkeypatch, call
):
    """Whatever needs the folder says so in a sentence; what needs none goes on."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    answer = quick(*call, uri=None if call[0] == "smoke" else uri)

    assert answer.code != ExitCode.UNEXPECTED, answer.err
    assert "Traceback" not in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX's")
def test_a_process_that_may_open_too_few_files_ends_with_10(tmp_path):
    """Also where what it was about to open is a module of its own."""
    limited = (
        "import resource, sys; from newbi_migrate.cli.app import run; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6)); "
        "sys.exit(run(['status', '--uri-file', 'u']))"
    )
    (tmp_path / "u").write_text("mongodb://127.0.0.1:1/newbi?serverSelectionTimeoutMS=200")
    (tmp_path / "u").chmod(0o600)
    ended = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ExitCode.LOCAL_FILE == ended.returncode, ended.stderr
    assert "may not open as many files" in ended.stderr


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
def test_a_process_that_gets_too_little_memory_ends_with_10(uri, tmp_path):
    """Here for a thread, of which the driver needs some: no server is said to be away."""
    limited = (
        "import resource, sys; from pathlib import Path; from newbi_migrate.cli import main; "
        "import newbi_migrate.migration.facade; "
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**20, used + 3 * 2**20)); "
        "sys.argv[1:] = ['status', '--uri-file', 'u']; main()"
    )
    (tmp_path / "u").write_text(uri)
    (tmp_path / "u").chmod(0o600)
    ended = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ExitCode.LOCAL_FILE == ended.returncode, ended.stderr
    assert "may not take as much memory" in ended.stderr


@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception")])
def test_an_error_for_which_no_memory_is_left_is_told_of(monkeypatch, capsys, error):
    """Whoever tells of errors may run out of it as well."""

    def out_of_memory():
        raise error

    monkeypatch.setattr("newbi_migrate.cli._run", out_of_memory)
    with pytest.raises(SystemExit) as ended:
        main()

    assert ExitCode.LOCAL_FILE == ended.value.code
    assert "may not take as much memory" in capsys.readouterr().err


def test_no_command_at_all_shows_the_commands_and_ends_with_2(quick):
    """Who calls it bare learns what there is, on standard error."""
    answer = quick()

    assert (ExitCode.USAGE, "") == (answer.code, answer.out)
    assert all(name in answer.err for name in ("demo", "plan", "migrate", "backfill", "status"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": "newbi-migrate plan 99"}', '{"format": 1}']
)
def test_a_file_that_is_no_plan_is_refused(quick, tmp_path, text):
    """Empty, damaged or of another version: exit code 10 and how to make a plan."""
    (tmp_path / "plan.json").write_text(text, "utf-8")
    answer = quick("migrate", "--plan", "plan.json", "--confirm")

    assert_one_sentence(answer, ExitCode.LOCAL_FILE)
    assert "plan --output" in answer.err


@pytest.mark.parametrize("policy", [None, [], {}, {"aliases": "some"}])
def test_a_plan_with_choices_nobody_knows_is_refused(quick, tmp_path, clean, policy):
    """A plan whose choices cannot be read is not carried out with others."""
    quick("plan", "--output", "plan.json")
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "policy": policy}), "utf-8")
    answer = quick("migrate", "--plan", "plan.json", "--confirm")

    assert_one_sentence(answer, ExitCode.LOCAL_FILE)


@pytest.mark.parametrize(
    "choice",
    [
        ("--aliases", "all"),
        ("--duplicate-emails", "quarantine"),
        ("--alias-owners", "keep"),
        ("--collections", "invoices"),
        ("--as-of", "2025-08-14"),
        ("--legacy-collection", "Users"),
    ],
)
def test_a_choice_beside_a_plan_is_refused(quick, clean, choice):
    """A plan brings its choices; another beside it, even the same, is a contradiction."""
    quick("plan", "--output", "plan.json")
    answer = quick("migrate", "--plan", "plan.json", "--confirm", *choice)

    assert_one_sentence(answer, ExitCode.USAGE)
    assert choice[0] in answer.sentence


# -- the connection string --------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "http://localhost/newbi",
        f"mongodb://admin:{SECRET}@localhost:27017",
        f"mongodb://admin:{SECRET}@localhost:27017/?authSource=admin",
        f"mongodb://admin:{SECRET}@/newbi",
        f"mongodb://admin:{SECRET}@localhost:port/newbi",
        f"mongodb://admin:{SECRET}:x@y@localhost/newbi",
        f"mongodb://admin:{SECRET}@localhost/newbi?tls=perhaps",
    ],
)
def test_a_missing_or_wrong_connection_string_ends_with_2(quick, uri):
    """None, malformed, or without a database: one sentence, and no part of the password."""
    answer = quick("plan", "--json", uri=uri)

    assert_one_sentence(answer, ExitCode.USAGE)
    assert ExitCode.USAGE == answer.json["error"]["exitCode"]
    assert_no_secret(answer)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_needs_a_connection_string_with_a_database(quick, command):
    """No command falls back to a database nobody named."""
    answer = quick(*command, "--json", uri=f"mongodb://admin:{SECRET}@localhost:27017")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert "names no database" in answer.sentence
    assert_no_secret(answer)


def test_a_connection_string_given_as_an_argument_is_not_repeated(quick):
    """Who pastes it where it does not belong does not find its password in the answer."""
    answer = quick("plan", f"mongodb://admin:{SECRET}@localhost/newbi", "--json")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert_no_secret(answer)


def test_the_connection_string_comes_from_a_file_or_dotenv(quick, clean, uri, tmp_path):
    """`--uri-file` first, `.env` of the working directory last."""
    (tmp_path / "uri").write_text(uri + "\n", "utf-8")
    from_file = quick("status", "--uri-file", "uri", uri="mongodb://127.0.0.1:1/other")
    (tmp_path / ".env").write_text(f'MONGODB_URI="{uri}"\n', "utf-8")
    from_dotenv = quick("status", uri=None)

    assert (ExitCode.DONE, ExitCode.DONE) == (from_file.code, from_dotenv.code)


def test_a_missing_uri_file_ends_with_10(quick):
    """A file that was named and is not there is not replaced by another place."""
    answer = quick("plan", "--uri-file", "nowhere")

    assert_one_sentence(answer, ExitCode.LOCAL_FILE)
    assert "nowhere" in answer.sentence


# -- servers and databases --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreachable_server_ends_with_9_within_its_timeout(newbi, command):
    """No server there: exit code 9 as soon as the connection string allows, without secrets."""
    # In a process of its own: PyMongo 4 leaves a socket open that was about to connect.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        begun = time.monotonic()
        answer = newbi(
            *command,
            "--json",
            uri=f"mongodb://admin:{SECRET}@127.0.0.1:{port}/newbi?serverSelectionTimeoutMS=300",
        )
        took = time.monotonic() - begun

    assert_one_sentence(answer, ExitCode.UNREACHABLE)
    assert ExitCode.UNREACHABLE == answer.json["error"]["exitCode"]
    assert_no_secret(answer)
    # The driver's own timeout is thirty seconds; starting Python takes some on a busy machine.
    assert took < 15


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS[:2])
def test_a_server_that_speaks_another_protocol_ends_with_9(newbi, command):
    """What listens there is no MongoDB: exit code 9, and no traceback."""

    def answer_like_a_web_server(listener):
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=answer_like_a_web_server, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        answer = newbi(
            *command, uri=f"mongodb://127.0.0.1:{port}/newbi?serverSelectionTimeoutMS=300"
        )
        listener.shutdown(socket.SHUT_RDWR)

    assert_one_sentence(answer, ExitCode.UNREACHABLE)


@pytest.mark.parametrize(
    "command",
    [("plan",), ("migrate", "--confirm"), ("validate",), ("backup",), ("backup", "--dry-run")],
)
def test_an_empty_or_unknown_database_ends_with_9(quick, command, tmp_path):
    """A mistyped database name is said, and neither it nor a backup of it exists afterwards."""
    answer = quick(*command, "--json")

    assert_one_sentence(answer, ExitCode.UNREACHABLE)
    assert "empty or does not exist" in answer.sentence
    assert not list(tmp_path.iterdir())


def test_a_database_without_legacy_users_ends_with_9(quick, sync_database):
    """There are documents and no users: the collections that were looked for are named."""
    sync_database["invoices"].insert_one({})
    answer = quick("plan")

    assert_one_sentence(answer, ExitCode.UNREACHABLE)
    assert "Users or users" in answer.sentence


def test_two_candidates_for_the_legacy_users_end_with_2(quick, clean):
    """Which holds the legacy users is a person's decision; the option is named."""
    clean["users"].insert_one({"email": "x@exemple.fr"})
    answer, decided = quick("plan"), quick("plan", "--legacy-collection", "Users")

    assert_one_sentence(answer, ExitCode.USAGE)
    assert "--legacy-collection" in answer.err
    assert ExitCode.DONE == decided.code


# -- credentials and roles --------------------------------------------------------------------


@pytest.fixture
def guarded(mongod_with_auth, servers, database_name):
    """A legacy user with an invoice, on a server that wants credentials."""
    database = servers.client(mongod_with_auth)[database_name]
    database["Users"].insert_one(legacy_user(0))
    database["invoices"].insert_many(invoices(USERS[0], 2))
    return database


@pytest.mark.parametrize("command", COMMANDS)
def test_refused_credentials_end_with_9(quick, mongod_with_auth, guarded, command):
    """A wrong password: exit code 9, and the password is nowhere."""
    uri = (
        f"mongodb://nobody:{SECRET}@127.0.0.1:{mongod_with_auth.port}/{guarded.name}"
        "?authSource=admin"
    )
    answer = quick(*command, "--json", uri=uri)

    assert_one_sentence(answer, ExitCode.UNREACHABLE)
    assert "refused" in answer.sentence
    assert_no_secret(answer)


def test_refused_credentials_end_a_backup_and_what_follows_it_with_9(
    quick, mongod_with_auth, guarded, tmp_path
):
    """Backup, comparison and restore say the same sentence, and write nothing."""
    server = f"127.0.0.1:{mongod_with_auth.port}/{guarded.name}"
    admin = mongod_with_auth.uri_for(guarded.name)
    assert quick("backup", "--output-dir", str(tmp_path), uri=admin).code == ExitCode.DONE
    (made,) = tmp_path.iterdir()
    elsewhere = tmp_path / "elsewhere"
    for command in (
        ("backup", "--output-dir", str(elsewhere)),
        ("verify-backup", "--compare", str(made)),
        ("restore", "--database", "newbi_test_other", "--confirm", str(made)),
    ):
        uri = f"mongodb://nobody:{SECRET}@{server}?authSource=admin"
        answer = quick(*command, "--json", uri=uri)

        assert_one_sentence(answer, ExitCode.UNREACHABLE)
        assert "refused" in answer.sentence
        assert_no_secret(answer)
    assert not elsewhere.exists() or not list(elsewhere.iterdir())


def test_no_credentials_where_some_are_wanted_end_with_9(quick, mongod_with_auth, guarded):
    """A server that wants credentials and gets none is said in one sentence."""
    uri = f"mongodb://127.0.0.1:{mongod_with_auth.port}/{guarded.name}"
    answer = quick("plan", uri=uri)

    assert_one_sentence(answer, ExitCode.UNREACHABLE)


def test_a_role_that_may_only_read_plans_and_cannot_migrate(quick, mongod_with_auth, guarded):
    """`plan` and `status` pass; `migrate` ends with 9, says what is missing, and wrote nothing."""
    uri = mongod_with_auth.add_user("reader", "s3crét-p4ss", database=guarded.name, roles=["read"])
    names = sorted(guarded.list_collection_names())
    planned, looked = quick("plan", uri=uri), quick("status", uri=uri)
    refused = quick("migrate", "--confirm", "--json", uri=uri)

    assert (ExitCode.DONE, ExitCode.DONE) == (planned.code, looked.code)
    assert_one_sentence(refused, ExitCode.UNREACHABLE)
    assert "readWrite" in refused.err
    assert names == sorted(guarded.list_collection_names())
    for answer in (planned, looked, refused):
        assert_no_secret(answer)


@pytest.mark.slow
def test_a_role_that_may_read_and_write_one_database_migrates(newbi, mongod_with_auth, guarded):
    """`readWrite` on the database is all a migration needs."""
    uri = mongod_with_auth.add_user(
        "writer", "s3crét-p4ss", database=guarded.name, roles=["readWrite"]
    )
    answer = newbi("migrate", "--confirm", "--json", uri=uri)

    assert (ExitCode.DONE, 2) == (
        answer.code,
        answer.json["collections"]["invoices"]["stamped"],
    )
    assert_no_secret(answer)


# -- asking for help --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["demo", "plan", "migrate", "backfill", "status"])
def test_every_command_has_help(quick, command):
    """`--help` ends with 0, on standard output."""
    answer = quick(command, "--help")

    assert ExitCode.DONE == answer.code
    assert f"newbi-migrate {command}" in answer.out


@pytest.mark.parametrize("command", MANUAL)
def test_the_paragraphs_of_a_help_fill_the_lines_of_the_terminal(quick, monkeypatch, command):
    """No line ends where the next word would have had room."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = quick(command, "--help").out.partition("╭")[0]
    lines = [line.rstrip() for line in shown.splitlines()]

    for line, following in pairwise(lines):
        if line and following:
            assert len(line) + len(following.split()[0]) >= 79, shown


def test_the_version_is_shown(quick):
    """`--version` gives the distribution's version."""
    from newbi_migrate import __version__

    assert f"newbi-migrate {__version__}\n" == quick("--version").out


@pytest.mark.parametrize("arguments", [["--help"], ["migrate", "--help"]])
def test_help_loads_no_driver_and_opens_no_socket(arguments):
    """Neither PyMongo nor Beanie is loaded before a command runs."""
    program = f"""
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket for help")
socket.socket.connect = refuse
from newbi_migrate.cli.app import run
assert run({arguments!r}) == 0
heavy = {{"pymongo", "bson", "beanie", "motor"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )

    assert "" == done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_the_terminal_cannot_show_is_no_reason_to_fail(newbi, clean, encoding):
    """A collection with any name is reported in any encoding."""
    clean["facturé ☃"].insert_one({})
    answer = newbi("plan", PYTHONIOENCODING=encoding)

    assert ExitCode.DONE == answer.code


@pytest.mark.parametrize(
    "command",
    [
        ("plan",),
        ("migrate", "--confirm"),
        ("backfill", "--confirm"),
        ("status",),
        ("validate",),
        ("doctor",),
        ("rollback", "--confirm"),
        ("indexes",),
        ("finalize", "--confirm"),
        ("unlock", "--confirm"),
        ("backup",),
    ],
)
def test_no_command_works_on_a_database_of_the_servers_own(quick, mongod, command):
    """Whoever names admin has forgotten the application's database."""
    answer = quick(*command, uri=mongod.uri_for("admin"))

    assert_one_sentence(answer, ExitCode.USAGE)
    assert "the server's own" in answer.sentence


def test_a_ctrl_c_that_python_wraps_is_still_one(quick, clean, monkeypatch):
    """While a module is loaded it comes as the cause of another error."""

    async def interrupted(_):
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("newbi_migrate.migration.facade.Migration.__aenter__", interrupted)
    answer = quick("status")

    assert ExitCode.USAGE == answer.code
    assert "error: Interrupted; nothing was written." in answer.err
