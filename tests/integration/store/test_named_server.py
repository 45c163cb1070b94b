"""A server that the environment names is used without touching what is on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fingerprints import fingerprint
from pymongo import MongoClient

from newbi_migrate.errors import UsageError
from newbi_migrate.testing import mongodb_server
from newbi_migrate.testing.server import TEST_DATABASE_PREFIX, _with_database

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def production(mongod_with_auth, database_name):
    """The connection string of a database that matters, as a developer may have it exported."""
    with MongoClient(mongod_with_auth.uri) as client:
        database = client[database_name]
        database["Users"].insert_one({"_id": 1})
        yield mongod_with_auth.uri_for(database_name), database


def test_a_named_server_gives_a_database_of_ones_own_and_drops_that_alone(production, monkeypatch):
    """Its name is nobody's, it is gone afterwards, and the named database is as it was."""
    uri, database = production
    before = fingerprint(database), set(database.client.list_database_names())
    monkeypatch.setenv("MONGODB_URI", uri)
    with mongodb_server() as own, MongoClient(own) as client:
        mine = client.get_default_database()
        mine["Users"].insert_one({"_id": 2})
        name = mine.name

    assert name.startswith(TEST_DATABASE_PREFIX)
    assert name != database.name
    assert before == (fingerprint(database), set(database.client.list_database_names()))


def test_two_at_once_do_not_meet(production, monkeypatch):
    """Two tests on one server never see each other's documents."""
    monkeypatch.setenv("MONGODB_URI", production[0])
    with mongodb_server() as one, mongodb_server() as other:
        assert one != other


def test_without_a_name_a_new_server_is_started(monkeypatch):
    """It has an empty database too, so that a program need not ask which it was."""
    monkeypatch.delenv("MONGODB_URI", raising=False)
    with mongodb_server() as uri, MongoClient(uri) as client:
        database = client.get_default_database()
        database["Users"].insert_one({"_id": 1})

        assert "127.0.0.1" in uri
        assert database.name.startswith(TEST_DATABASE_PREFIX)


@pytest.mark.parametrize(
    ("named", "own"),
    [
        ("mongodb://h", "mongodb://h/own"),
        ("mongodb://h:1,i:2/?w=1", "mongodb://h:1,i:2/own?w=1"),
        ("mongodb://h?w=1", "mongodb://h/own?w=1"),
        ("mongodb://u:p@h/newbi", "mongodb://u:p@h/own?authSource=newbi"),
        ("mongodb://u:p@h/?w=1", "mongodb://u:p@h/own?w=1&authSource=admin"),
        ("mongodb://u:p@h/newbi?authSource=x", "mongodb://u:p@h/own?authSource=x"),
        (
            "mongodb://u@h/newbi?authMechanism=MONGODB-X509",
            "mongodb://u@h/own?authMechanism=MONGODB-X509",
        ),
        (
            "mongodb://u:p@h/newbi?authMechanism=SCRAM-SHA-256",
            "mongodb://u:p@h/own?authMechanism=SCRAM-SHA-256&authSource=newbi",
        ),
        ("mongodb+srv://u:p@h/newbi", "mongodb+srv://u:p@h/own"),
    ],
)
def test_another_database_is_opened_with_the_same_user(named, own):
    """The path is replaced, and where the user is looked for stays what it was."""
    assert own == _with_database(named, "own")


def test_what_is_no_connection_string_is_said_and_not_shown(monkeypatch):
    """The sentence does not repeat what may be a secret."""
    monkeypatch.setenv("MONGODB_URI", "hunter2")

    with pytest.raises(UsageError, match="does not begin with") as refused, mongodb_server():
        pass
    assert "hunter2" not in str(refused.value)


@pytest.mark.slow
def test_the_test_suite_passes_by_what_the_environment_names(production):
    """Tests run with a production database in MONGODB_URI, which they neither reach nor change."""
    uri, database = production
    before = fingerprint(database), set(database.client.list_database_names())
    tests = ["tests/integration/testing/test_fixtures.py", "tests/e2e/test_cli.py"]
    chosen = "one_database or lacks_a_workspace"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", chosen],
        cwd=ROOT,
        env={**os.environ, "MONGODB_URI": uri},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert 0 == done.returncode, done.stdout
    assert "2 passed" in done.stdout
    assert before == (fingerprint(database), set(database.client.list_database_names()))


def test_the_test_suite_takes_the_variable_out_of_its_environment():
    """No process that a test starts can inherit it."""
    assert "MONGODB_URI" not in os.environ
