"""Where the connection string comes from, and a value that never shows its secrets."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from dotenv import dotenv_values
from pydantic import SecretStr
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_userinfo, split_hosts, split_options

from newbi_migrate.errors import LocalFileError, UsageError
from newbi_migrate.local_files import is_there, opened_for, refuse_no_file
from newbi_migrate.printable import is_utf8
from newbi_migrate.store.redact import Redactor, redact_uri

__all__ = [
    "VARIABLE",
    "ConnectionString",
    "can_be_database",
    "find_connection_string",
    "from_dotenv",
    "readable_by_others",
]

VARIABLE = "MONGODB_URI"

_SCHEMES = ("mongodb://", "mongodb+srv://")
_PLACES = (
    f"Name a file that holds it with --uri-file, set {VARIABLE} in the environment, "
    f"or put a line {VARIABLE}=mongodb://… into .env in the working directory."
)
# No example with a password: whatever looks like one is masked in every message.
_SHAPE = (
    "It has the form mongodb://host:27017/newbi, with user and password before the host and "
    "options at the end."
)
_ESCAPE = (
    "Percent-encode special characters in user and password, for example %40 for @ "
    "and %2F for a slash."
)
_NO_DATABASE_CHARACTERS = re.compile(r'[/\\ "$.\x00]')
# MongoDB's limit on the length of a database name, in bytes.
_LONGEST_DATABASE_NAME = 63
# A connection string is never longer; a file that is, is another file.
_LARGEST_FILE = 65_536
# Its reader takes seconds for each million lines.
_LARGEST_DOTENV = 1_000_000
# How the driver words its warning, since at least its version 4.
_UNKNOWN_OPTION = "Unknown option"
_NO_MODULE = re.compile(r"must install the ([\w.-]+) module")
_FILES = frozenset({"tlscafile", "tlscertificatekeyfile", "tlscrlfile"})
_FILE_PLACE = "Correct its path; it is looked for from the working directory."
_SECRET_OPTIONS = frozenset(
    {
        "authmechanismproperties",
        "tlscertificatekeyfilepassword",
        "sslpempassphrase",
        "proxypassword",
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionString:
    """A MongoDB connection string that names its database and hides its secrets.

    Neither ``repr`` nor ``str`` nor any error shows user, password or secret options.

    Args:
        uri: The connection string in clear.

    Attributes:
        source: Where it came from, for people: an argument, a file, the environment.
        notes: What its finder wants people to know, one sentence each.
        database: Name of the database in its path.
        hosts: ``host:port`` of each server named; the bare name for ``mongodb+srv``.
        options: Names of the options it sets, in lower case.
        redacted: The connection string as it may be shown.

    Raises:
        UsageError: The string is malformed, an option has a value it cannot have, or it names
            no database.
    """

    uri: InitVar[str]
    source: str = "an argument"
    notes: tuple[str, ...] = ()
    database: str = field(init=False)
    hosts: tuple[str, ...] = field(init=False)
    options: frozenset[str] = field(init=False)
    redacted: str = field(init=False)
    _clear: SecretStr = field(init=False)
    _secrets: tuple[SecretStr, ...] = field(init=False)

    def __post_init__(self, uri: str) -> None:
        uri = uri.strip()
        where = f"The connection string from {self.source}"
        scheme = next((s for s in _SCHEMES if uri.startswith(s)), None)
        if scheme is None:
            raise UsageError(
                f"{where} does not begin with mongodb:// or mongodb+srv://.", next_step=_SHAPE
            )
        if not is_utf8(uri):
            raise UsageError(f"{where} holds bytes that are not UTF-8.", next_step=_ESCAPE)
        if re.search(r"\s", uri):
            raise UsageError(f"{where} holds a blank or a line break.", next_step=_ESCAPE)
        before_options, _, options = uri.removeprefix(scheme).partition("?")
        authority, _, path = before_options.partition("/")
        userinfo, at, hosts = authority.rpartition("@")
        if "@" in path or ("@" in options and not at):
            # An unescaped slash or question mark in the password: what follows is part of it.
            raise UsageError(f"{where} is malformed before its host.", next_step=_ESCAPE)

        put = object.__setattr__
        put(self, "_clear", SecretStr(uri))
        credentials = _credentials(userinfo, where=where) if at else ()
        put(self, "hosts", _hosts(hosts, scheme=scheme, where=where))
        names, secret_values, ignored = _options(options, where=where)
        put(self, "options", names)
        put(self, "_secrets", tuple(SecretStr(s) for s in (*credentials, *secret_values) if s))
        put(self, "database", _database(path, where=where))
        put(self, "redacted", redact_uri(uri))
        if ignored:
            listed = ", ".join(ignored)
            put(self, "notes", (*self.notes, f"Options that PyMongo does not know: {listed}."))

    def __repr__(self) -> str:
        return f"ConnectionString({self.redacted!r})"

    def __str__(self) -> str:
        return self.redacted

    def reveal(self) -> str:
        """The connection string in clear, for the driver alone."""
        return self._clear.get_secret_value()

    @property
    def redactor(self) -> Redactor:
        """Take this connection string's secrets out of any text."""
        return Redactor(tuple(secret.get_secret_value() for secret in self._secrets))


def _hosts(hosts: str, *, scheme: str, where: str) -> tuple[str, ...]:
    try:
        nodes = split_hosts(hosts)
    except (PyMongoError, ValueError, IndexError):
        # The driver's own sentence quotes the string, and with it perhaps a password.
        raise UsageError(f"{where} names no valid host.", next_step=f"{_SHAPE} {_ESCAPE}") from None
    if scheme == "mongodb+srv://":
        if len(nodes) != 1 or ":" in hosts:
            raise UsageError(
                f"{where} has mongodb+srv:// and must name one host without a port.",
                next_step="Use mongodb:// to name several hosts, or ports.",
            )
        return (nodes[0][0],)
    return tuple(_address(host, port) for host, port in nodes)


def _address(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(userinfo: str, *, where: str) -> tuple[str, ...]:
    if userinfo.endswith(":"):
        # No server has such a password; what stands where the host belongs may be the real one.
        raise UsageError(f"{where} has a user and an empty password.", next_step=_ESCAPE)
    try:
        _, password = parse_userinfo(userinfo)
    except PyMongoError:
        raise UsageError(
            f"{where} has a user or password that is not percent-encoded.", next_step=_ESCAPE
        ) from None
    # As it stands, too: text may quote it in a spelling that no encoder would choose.
    return (password, userinfo.partition(":")[2])


def _options(text: str, *, where: str) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Names, secret values, and names that the driver does not know."""
    if not text:
        return frozenset(), (), ()
    written = re.split("[&;]", text)
    pairs = [option.partition("=") for option in written]
    names = [key for key, _, _ in pairs]
    try:
        for name, _, value in pairs:
            if name.lower() in _FILES:
                # The driver opens it, and would wait for whoever writes to a pipe.
                named = f"{where} names it. {_FILE_PLACE}"
                refuse_no_file(Path(unquote_plus(value)), next_step=named)
        # Which it is, the driver does not say of a connection string: each is asked alone.
        unknown = {n.lower() for n, w in zip(names, written, strict=True) if _complaints(w)[0]}
        _, refused = _complaints(text)
        lacking = next(filter(None, map(_NO_MODULE.search, refused)), None)
        if lacking is not None:
            raise UsageError(
                f"{where} asks for a compressor that needs the package {lacking.group(1)}, which "
                "is not installed.",
                next_step="Install it, or leave compressors out.",
            )
        # The driver would go on without an option whose value it does not understand; going
        # on without TLS, say, is not what its writer wanted.
        if refused:
            guilty = (option.partition("=")[0] for option in written if _complaints(option)[1])
            listed = ", ".join(name for name in guilty if name.isalpha()) or "an option"
            raise UsageError(
                f"{where} gives {listed} a value it cannot have.",
                next_step="Correct the value or leave the option out.",
            )
    except OSError:
        listed = ", ".join(name for name in names if name.lower() in _FILES)
        raise LocalFileError(
            f"{where} names a file that cannot be read ({listed}).",
            next_step=_FILE_PLACE,
        ) from None
    except (PyMongoError, ValueError, TypeError):
        raise UsageError(
            f"{where} has options that cannot be read.",
            next_step="Write them as name=value, separated by &, values percent-encoded.",
        ) from None
    ignored = tuple(
        name for name in dict.fromkeys(names) if name.isalpha() and name.lower() in unknown
    )
    secret = tuple(
        spelling
        for key, _, value in pairs
        if key.lower() in _SECRET_OPTIONS
        for spelling in (value, unquote(value), *_properties(key, value))
    )
    return frozenset(name.lower() for name in names), secret, ignored


def _complaints(options: str) -> tuple[list[str], list[str]]:
    """What the driver says of options it does not know, and of values it refuses."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        split_options(options, validate=True, warn=True)
    said = [str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)]
    unknown = [message for message in said if message.startswith(_UNKNOWN_OPTION)]
    refused = [m for m in said if m not in unknown and not m.startswith("Duplicate")]
    return unknown, refused


def _properties(key: str, value: str) -> tuple[str, ...]:
    if key.lower() != "authmechanismproperties":
        return ()
    # "AWS_SESSION_TOKEN:abc,OTHER:def": the driver may quote the token without its name.
    found = (part.partition(":") for part in value.split(","))
    return tuple(
        spelling
        for name, _, inner in found
        if name.upper() == "AWS_SESSION_TOKEN"
        for spelling in (inner, unquote(inner))
    )


def _database(path: str, *, where: str) -> str:
    name = unquote_plus(path)
    if not name:
        raise UsageError(
            f"{where} names no database.",
            next_step="Add it after the host: mongodb://host:27017/newbi, before any '?'.",
        )
    if not can_be_database(name):
        raise UsageError(
            f"{where} names a database that MongoDB cannot have.",
            next_step='The name has at most 63 bytes of UTF-8 and none of / \\ . " $ and blanks.',
        )
    return name


def can_be_database(name: str) -> bool:
    """Whether a server takes this name for a database (MongoDB's manual, "Naming Restrictions")."""
    if not name or not is_utf8(name) or _NO_DATABASE_CHARACTERS.search(name):
        return False
    return len(name.encode()) <= _LONGEST_DATABASE_NAME


def find_connection_string(
    uri: str | None = None,
    *,
    uri_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ConnectionString:
    """The connection string from the first place that has one.

    In this order: ``uri``, which only library callers have; ``uri_file``, which was named on
    purpose; the variable ``MONGODB_URI`` of the environment; a file ``.env``. Nothing is ever
    put into the environment, so no child process inherits it from here.

    Args:
        uri: The connection string itself.
        uri_file: A file that holds the connection string and nothing else.
        environ: The environment; the process's own by default.
        directory: Where ``.env`` is looked for; the working directory by default.

    Raises:
        UsageError: No place has a connection string, or it is none with a database.
        LocalFileError: A file cannot be read.
    """
    environ = os.environ if environ is None else environ
    if uri is not None:
        return ConnectionString(uri)
    from_environment = environ.get(VARIABLE, "").strip()
    if uri_file is not None:
        text, notes = _read(uri_file)
        if from_environment and from_environment != text:
            notes = (*notes, f"{VARIABLE} is set too; {uri_file} was named and is used.")
        return ConnectionString(text, source=str(uri_file), notes=notes)
    if from_environment:
        return ConnectionString(from_environment, source=f"the environment ({VARIABLE})")
    dotenv = (directory or Path()) / ".env"
    text = from_dotenv(dotenv, VARIABLE, advice=_PLACES)
    if text:
        return ConnectionString(text, source=str(dotenv), notes=readable_by_others(dotenv))
    raise UsageError("There is no connection string.", next_step=_PLACES)


def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    with (
        opened_for("read", path, next_step=_PLACES),
        path.open(encoding="utf-8-sig") as file,
    ):
        text = file.read(_LARGEST_FILE + 1)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"{path} is empty.", next_step=_SHAPE)
    if len(lines) > 1 or len(text) > _LARGEST_FILE:
        raise UsageError(
            f"{path} holds more than a connection string.",
            next_step="Leave one line in it, the connection string and nothing else.",
        )
    return lines[0], readable_by_others(path)


def from_dotenv(path: Path, variable: str, *, advice: str) -> str:
    """The value of a variable in a file ``.env``; empty where either is missing.

    Raises:
        LocalFileError: The file cannot be read; ``advice`` says what to do.
    """
    if not is_there(path, next_step=advice) or not path.is_file():
        return ""
    with opened_for("read", path, next_step=advice):
        if path.stat().st_size > _LARGEST_DOTENV:
            raise LocalFileError(f"{str(path)!r} is larger than 1 MB.", next_step=advice)
        # Passwords may hold a dollar sign: nothing is expanded, as in the application's own.
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    return (values.get(variable) or "").strip()


def readable_by_others(path: Path) -> tuple[str, ...]:
    """What to say of a file with a secret that other users of this machine can read."""
    if os.name != "posix":
        return ()
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return (f"{path} can be read by other users of this machine; chmod 600 ends that.",)
    return ()
