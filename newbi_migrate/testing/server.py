"""A database of one's own, on the server that was named or on a new one.

A connection string in the environment is often the one of production. So a named server is used,
and of it one database alone: with a name nobody else has, dropped afterwards. The database that the
connection string names is neither read nor written.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo import MongoClient

from newbi_migrate.errors import UsageError
from newbi_migrate.testing.mongod import EmbeddedMongod

__all__ = ["TEST_DATABASE_PREFIX", "mongodb_server"]

TEST_DATABASE_PREFIX: Final = "newbi_test_"
"""How the name of each database begins that tests write to, and drop."""

_VARIABLE: Final = "MONGODB_URI"
_FORM: Final = re.compile(r"(?P<scheme>mongodb(?:\+srv)?://)(?P<authority>[^/?]+)/?(?P<rest>.*)")


@contextmanager
def mongodb_server(*, replica_set: bool = False) -> Iterator[str]:
    """Yield the connection string of a database that is empty, one's own, and dropped at the end.

    It is on the server that the environment variable ``MONGODB_URI`` names, with the credentials
    and options that stand there; else on a new server, whose ``mongod``
    :func:`~newbi_migrate.testing.find_mongod` finds on the search path or in the wheel of the
    ``embedded`` extra. On a named server the user needs ``readWrite`` and ``dbAdmin`` on
    databases that begin with :data:`TEST_DATABASE_PREFIX`, and on no other.

    Args:
        replica_set: What a new server is; one that is named is taken as it is.

    Raises:
        UsageError: ``MONGODB_URI`` is no connection string.
        UnsupportedError: None is named and no ``mongod`` that runs was found.
    """
    name = f"{TEST_DATABASE_PREFIX}{secrets.token_hex(8)}"
    named = os.environ.get(_VARIABLE, "").strip()
    if not named:
        with EmbeddedMongod(replica_set=replica_set) as server:
            yield server.uri_for(name)
        return
    uri = _with_database(named, name)
    try:
        yield uri
    finally:
        with MongoClient[dict[str, object]](uri) as client:
            client.drop_database(name)


def _with_database(uri: str, database: str) -> str:
    """The connection string for another database, with the same user.

    Without ``authSource`` a user is looked for in the database of the path, else in ``admin``:
    with another path, that has to be said.
    """
    found = _FORM.fullmatch(uri)
    if found is None:
        raise UsageError(
            f"The connection string from {_VARIABLE} does not begin with mongodb:// or "
            "mongodb+srv://.",
            next_step=f"Correct it, or unset {_VARIABLE} to have a server of one's own started.",
        )
    scheme, authority = found["scheme"], found["authority"]
    path, _, options = found["rest"].partition("?")
    said = options.lower()
    # For mongodb+srv the DNS says it; a mechanism of another kind has a source of its own.
    if (
        "@" in authority
        and scheme == "mongodb://"
        and "authsource=" not in said
        and "authmechanism=" not in said.replace("authmechanism=scram", "")
    ):
        options += f"{'&' if options else ''}authSource={path or 'admin'}"
    return f"{scheme}{authority}/{database}{'?' if options else ''}{options}"
