"""Where a connection string comes from, and what it refuses to be."""

from __future__ import annotations

import copy
import os
import traceback
import warnings
from dataclasses import FrozenInstanceError, asdict

import pytest

from newbi_migrate.errors import ExitCode, LocalFileError, UsageError
from newbi_migrate.store.redact import redact
from newbi_migrate.store.uri import (
    VARIABLE,
    ConnectionString,
    can_be_database,
    find_connection_string,
)

SECRET = "s3cr3t-tomato"
LOCAL = "mongodb://127.0.0.1:27017/newbi"


@pytest.fixture
def uri_file(tmp_path):
    path = tmp_path / "production.uri"
    path.write_text(f"mongodb://al:{SECRET}@file.example:27017/newbi\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def dotenv(tmp_path):
    path = tmp_path / ".env"
    path.write_text(f"OTHER=1\n{VARIABLE}='mongodb://dotenv.example/newbi'\n")
    path.chmod(0o600)
    return path


def test_a_connection_string_knows_its_database_and_hosts():
    """Database and hosts are read from the string, ports filled in."""
    connection = ConnectionString("mongodb://al:x@one:1,two,[::1]:3/newbi?replicaSet=rs0")

    assert connection.database == "newbi"
    assert ("one:1", "two:27017", "[::1]:3") == connection.hosts
    assert {"replicaset"} == connection.options


def test_a_seed_list_needs_no_name_server_to_be_understood():
    """`mongodb+srv` is checked by its form; nothing is looked up before connecting."""
    connection = ConnectionString(f"mongodb+srv://al:{SECRET}@cluster.example.net/newbi")

    assert ("cluster.example.net",) == connection.hosts
    assert connection.database == "newbi"


def test_the_database_name_is_decoded():
    """A percent-encoded database name is the database's real name."""
    assert ConnectionString("mongodb://h/fa%C3%A7ade").database == "façade"


def test_only_reveal_shows_the_secret():
    """`repr`, `str`, formatting and the dataclass's own tools hide user and password."""
    connection = ConnectionString(f"mongodb://al:{SECRET}@h/newbi?replicaSet=rs0")
    shown = [
        repr(connection),
        str(connection),
        f"{connection}",
        connection.redacted,
        repr(asdict(connection)),
        repr(copy.copy(connection)),
        repr(connection.redactor),
    ]

    assert f"mongodb://al:{SECRET}@h/newbi?replicaSet=rs0" == connection.reveal()
    assert [] == [text for text in shown if SECRET in text]
    assert connection.redacted == "mongodb://***@h/newbi?replicaSet=rs0"


def test_a_connection_string_cannot_be_changed():
    """It is a value: what was checked is what is used."""
    connection = ConnectionString(LOCAL)

    with pytest.raises(FrozenInstanceError):
        connection.database = "other"


@pytest.mark.parametrize(
    "uri",
    [
        f"http://al:{SECRET}@h/newbi",
        f"al:{SECRET}@h/newbi",
        f"mongodb://al:{SECRET}@/newbi",
        f"mongodb://al:{SECRET}@h:port/newbi",
        f"mongodb://al:{SECRET}@h:99999/newbi",
        f"mongodb://al:{SECRET}@h%2F/newbi",
        f"mongodb://al:{SECRET}@h,/newbi",
        f"mongodb://al:at@{SECRET}@h/newbi",
        f"mongodb://al:colon:{SECRET}@h/newbi",
        f"mongodb://al:slash/{SECRET}@h/newbi",
        f"mongodb://al:question?{SECRET}@h/newbi",
        f"mongodb://al:question?a={SECRET}@h/newbi",
        f"mongodb://al:123?a={SECRET}@h/newbi",
        f"mongodb://al:percent%{SECRET}@h/newbi",
        f"mongodb://al:blank {SECRET}@h/newbi",
        f"mongodb://al:line\n{SECRET}@h/newbi",
        f"mongodb://:{SECRET}@h/newbi",
        f"mongodb://al:@{SECRET}h/newbi",
        f"mongodb+srv://al:@{SECRET}.example.com/newbi",
        f"mongodb://al:{SECRET}@h",
        f"mongodb://al:{SECRET}@h/",
        f"mongodb://al:{SECRET}@h?tls=true",
        f"mongodb://al:{SECRET}@h/a.b",
        f"mongodb://al:{SECRET}@h/a$b",
        f"mongodb://al:{SECRET}@h/" + "n" * 64,
        f"mongodb://al:{SECRET}@h/newbi?tls",
        f"mongodb://al:{SECRET}@h/newbi?tls=true&tls=false;w=1",
        f"mongodb://al:{SECRET}@h/newbi?tls=perhaps",
        f"mongodb://h/newbi?authMechanismProperties={SECRET}",
        f"mongodb+srv://al:{SECRET}@one,two/newbi",
        f"mongodb+srv://al:{SECRET}@one:27017/newbi",
    ],
)
def test_a_malformed_string_is_refused_without_being_repeated(uri):
    """The error says what is wrong and what to do, and quotes nothing of the string."""
    with pytest.raises(UsageError) as caught:
        ConnectionString(uri)

    assert ExitCode.USAGE == caught.value.exit_code
    assert caught.value.next_step
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_form_that_is_proposed_survives_the_masking_of_secrets():
    """What looks like a password is masked in every message, an example too."""
    with pytest.raises(UsageError) as refused:
        ConnectionString("mongodb//h/newbi")

    assert redact(refused.value.next_step) == refused.value.next_step


def test_a_missing_database_name_is_explained():
    """A string without a database would fall back to `test`; it is refused instead."""
    with pytest.raises(UsageError, match="names no database") as caught:
        ConnectionString("mongodb://h:27017")

    assert "mongodb://host:27017/newbi" in caught.value.next_step


def test_an_option_with_an_impossible_value_is_named():
    """The driver would go on without it, without TLS for example; we do not."""
    with pytest.raises(UsageError, match="gives tls a value it cannot have"):
        ConnectionString("mongodb://h/newbi?journal=true&tls=perhaps")


def test_an_option_of_another_driver_is_only_noted():
    """Strings written for Node.js carry options that PyMongo does not know."""
    connection = ConnectionString("mongodb://h/newbi?useNewUrlParser=true&tls=true")

    assert ("Options that PyMongo does not know: useNewUrlParser.",) == connection.notes


def test_a_file_named_on_purpose_comes_first(uri_file, dotenv):
    """`--uri-file` is used, and people are told that the variable is not."""
    found = find_connection_string(
        uri_file=uri_file, environ={VARIABLE: LOCAL}, directory=dotenv.parent
    )

    assert ("file.example:27017",) == found.hosts
    assert [VARIABLE in note for note in found.notes] == [True]


def test_the_environment_comes_before_dotenv(dotenv):
    """A real environment variable always wins over `.env`."""
    found = find_connection_string(environ={VARIABLE: LOCAL}, directory=dotenv.parent)

    assert ("127.0.0.1:27017",) == found.hosts


def test_dotenv_comes_last_and_leaves_the_environment_alone(dotenv, monkeypatch):
    """`.env` is read, never exported, so that no child process inherits it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    found = find_connection_string(directory=dotenv.parent)

    assert ("dotenv.example:27017",) == found.hosts
    assert VARIABLE not in os.environ
    assert "OTHER" not in os.environ


def test_an_empty_variable_counts_as_not_set(dotenv):
    """`MONGODB_URI=` in a shell does not hide the file."""
    found = find_connection_string(environ={VARIABLE: " "}, directory=dotenv.parent)

    assert ("dotenv.example:27017",) == found.hosts


def test_dotenv_expands_nothing(dotenv):
    """A dollar sign in a password is a dollar sign."""
    dotenv.write_text(f"{VARIABLE}=mongodb://al:${{HOME}}x@h/newbi\n")

    assert (
        "mongodb://al:${HOME}x@h/newbi"
        == find_connection_string(environ={}, directory=dotenv.parent).reveal()
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
@pytest.mark.parametrize(
    "line", [f"{VARIABLE}={LOCAL}", f"export {VARIABLE} = '{LOCAL}'", f'{VARIABLE}="{LOCAL}" # x']
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_dotenv_is_read_as_people_write_it(dotenv, mark, line, ending):
    """As a shell's, with either kind of quotes, and as editors on Windows leave it."""
    dotenv.write_bytes(mark + f"{line}{ending}".encode())

    assert LOCAL == find_connection_string(environ={}, directory=dotenv.parent).reveal()


def test_an_explicit_string_comes_before_everything(uri_file, dotenv):
    """A library caller's argument is not overruled by its surroundings."""
    found = find_connection_string(
        LOCAL, uri_file=uri_file, environ={VARIABLE: "x"}, directory=dotenv.parent
    )

    assert LOCAL == found.reveal()


def test_without_any_string_all_places_are_named(tmp_path):
    """The error says the three places in which one is looked for."""
    with pytest.raises(UsageError) as caught:
        find_connection_string(environ={}, directory=tmp_path)

    for place in ("--uri-file", VARIABLE, ".env"):
        assert place in caught.value.next_step


@pytest.mark.parametrize("name", ["a\udcff", "x" * 64, "é" * 32, "$external", "a b", "a.b", ""])
def test_no_server_is_asked_for_a_database_that_none_can_have(name):
    """As it stands in a connection string, and where an option names another one."""
    assert not can_be_database(name)


def test_a_connection_string_of_other_bytes_than_utf8_is_refused_and_not_shown():
    """A password in Latin-1, say, as the system gives it."""
    with pytest.raises(UsageError, match="not UTF-8") as refused:
        ConnectionString("mongodb://u:pw\udce9@localhost/newbi")

    assert "pw" not in str(refused.value)


def test_a_huge_dotenv_is_refused_before_it_is_read(dotenv):
    """Its reader takes seconds for each million lines."""
    dotenv.write_text(f"A=1\n{VARIABLE}={LOCAL}\n" + "B=2\n" * 300_000)

    with pytest.raises(LocalFileError, match="larger than 1 MB"):
        find_connection_string(environ={}, directory=dotenv.parent)


def test_a_folder_that_cannot_be_looked_at_is_named(tmp_path):
    """Whether it has a file .env is not known; that is no reason to say that it has none."""
    with pytest.raises(LocalFileError, match=r"\.env' cannot be looked at \(File name too long\)"):
        find_connection_string(environ={}, directory=tmp_path / ("x" * 300))


def test_a_missing_file_is_named(tmp_path):
    """The path is named, and why it cannot be read."""
    with pytest.raises(LocalFileError, match=r"nowhere\.uri' cannot be read \(No such file"):
        find_connection_string(uri_file=tmp_path / "nowhere.uri", environ={})


def test_a_directory_is_no_uri_file(tmp_path):
    """Any failure to read is explained, not only absence."""
    with pytest.raises(UsageError, match="is not a file"):
        find_connection_string(uri_file=tmp_path, environ={})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xff\xfe\x00", "is not a text file"),
        (f"{LOCAL}\n{SECRET}\n".encode(), "holds more than a connection string"),
        (LOCAL.encode() + b"x" * 70_000, "holds more than a connection string"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(uri_file, content, reason):
    """Nothing of the file's content is repeated."""
    uri_file.write_bytes(content)

    with pytest.raises(UsageError, match=reason) as caught:
        find_connection_string(uri_file=uri_file, environ={})
    assert SECRET not in str(caught.value)


def test_an_unreadable_dotenv_is_refused(dotenv):
    """A broken `.env` is not silently skipped."""
    dotenv.write_bytes(b"MONGODB_URI=\xff\n")

    with pytest.raises(UsageError, match="is not a text file"):
        find_connection_string(environ={}, directory=dotenv.parent)


def test_a_byte_order_mark_is_no_part_of_the_string(uri_file):
    """Editors on Windows begin text files with one."""
    uri_file.write_bytes(b"\xef\xbb\xbf" + LOCAL.encode() + b"\r\n")

    assert LOCAL == find_connection_string(uri_file=uri_file, environ={}).reveal()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize(("mode", "notes"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_a_file_that_others_can_read_is_noted(uri_file, mode, notes):
    """Such a file is used, with a word of advice."""
    uri_file.chmod(mode)
    found = find_connection_string(uri_file=uri_file, environ={})

    assert notes == len([note for note in found.notes if "chmod 600" in note])


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile"])
def test_a_file_that_cannot_be_read_is_named_by_its_option(option):
    """It is a mistake in the connection string and no defect."""
    with pytest.raises(UsageError, match=rf"cannot be read \({option}\)") as caught:
        ConnectionString(f"mongodb://u:s3cret@localhost/newbi?tls=true&{option}=/no/such.pem")

    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"])
def test_nobody_waits_for_a_pipe_that_an_option_names(tmp_path, option):
    """The driver opens such a file, and would never come back."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalFileError, match="pipe' exists and is not a file"):
        ConnectionString(f"mongodb://localhost/newbi?tls=true&{option}={tmp_path}/pipe")


def test_a_compressor_without_its_package_is_named(monkeypatch):
    """The driver alone would go on without compression."""

    def warn(*_arguments, **_options):
        warnings.warn("You must install the python-snappy module for it.", stacklevel=1)

    monkeypatch.setattr("newbi_migrate.store.uri.split_options", warn)
    with pytest.raises(UsageError, match="the package python-snappy, which is not installed"):
        ConnectionString("mongodb://localhost/newbi?compressors=snappy")
