"""What servers, drivers and connection strings answer that says little, and what is said of it.

Each ends with its own code and a sentence that names the cause, and in a time that is bounded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from controlled_mongod import ControlledMongod
from little import little_legacy
from pymongo import MongoClient
from pymongo.server_api import ServerApi
from pymongo.write_concern import WriteConcern
from three import ThreeMembers, WithoutMajority

from newbi_migrate import ExitCode, progress
from newbi_migrate.store import lease
from newbi_migrate.store.lease import LEASE_SECONDS

# Asks a service that is not there.
TOKEN = "authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:gcp,TOKEN_RESOURCE:none"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("string", "code", "words"),
    [
        ("mongodb+srv://nowhere.invalid/newbi", ExitCode.UNREACHABLE, "DNS lookup"),
        ("{uri}?compressors=snappy", ExitCode.USAGE, "package python-snappy"),
        ("{uri}?authMechanism=MONGODB-AWS&authSource=$external", ExitCode.USAGE, "pymongo[aws]"),
        ("{uri}?tls=true&tlsCAFile=none.pem", ExitCode.LOCAL_FILE, "(tlsCAFile)"),
        (
            "{uri}?tls=true&tlsCertificateKeyFile=none.pem",
            ExitCode.LOCAL_FILE,
            "(tlsCertificateKeyFile)",
        ),
        ("{as u}?authMechanism=PLAIN", ExitCode.UNREACHABLE, "as its options say: Mechanism"),
        ("{as u}?authSource=%00", ExitCode.UNREACHABLE, "as its options say: InvalidNamespace"),
        (f"{{uri}}?{TOKEN}", ExitCode.UNREACHABLE, "as its options say: ValueError"),
        ("{uri}?tls=true&serverSelectionTimeoutMS=500", ExitCode.UNREACHABLE, "No MongoDB server"),
        ("{uri}?replicaSet=other&serverSelectionTimeoutMS=500", ExitCode.UNREACHABLE, "No MongoDB"),
    ],
)
def test_a_string_that_cannot_work_says_what_is_wrong_with_it(newbi, uri, string, code, words):
    """A host, a module, a package or a file by its name."""
    as_user = uri.replace("mongodb://", "mongodb://u:pw@")
    answer = newbi("status", uri=string.replace("{uri}", uri).replace("{as u}", as_user))

    assert code == answer.code, answer.err
    assert words in answer.sentence


@contextlib.contextmanager
def parameter(server, name):
    with MongoClient(server.uri, server_api=ServerApi("1")) as client:
        client.admin.command("setParameter", 1, **{name: True})
    try:
        yield
    finally:
        with MongoClient(server.uri, server_api=ServerApi("1")) as client:
            client.admin.command("setParameter", 1, **{name: False})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notablescan", "requireApiVersion"])
def test_a_parameter_of_the_server_is_named(newbi, name):
    """With the command that turns it off."""
    with ControlledMongod(test_commands=True) as server, MongoClient(server.uri) as client:
        little_legacy(client["newbi"])
        with parameter(server, name):
            answer = newbi("plan", uri=server.uri_for("newbi"))

    assert ExitCode.UNREACHABLE == answer.code, answer.err
    assert name in answer.sentence
    assert f"{name}: false" in answer.err


def test_a_view_of_legacy_users_is_called_one(quick, sync_database):
    """And the collection behind it is named."""
    sync_database["people"].insert_one({"email": "a@exemple.fr"})
    sync_database.create_collection("Users", viewOn="people")
    answer = quick("plan")

    assert ExitCode.USAGE == answer.code
    assert "a view" in answer.sentence
    assert "--legacy-collection people" in answer.err


def test_a_database_that_differs_by_case_is_named(quick, clean, uri):
    """A run would make a second one, which the server refuses."""
    quick("migrate", "--confirm")
    answer = quick(
        "restore",
        "--confirm",
        "--database",
        clean.name.upper(),
        quick("backup", "--no-exports", "--json").json["path"],
    )

    assert ExitCode.USAGE == answer.code, answer.err
    assert clean.name in answer.sentence


@pytest.mark.slow
def test_a_member_that_is_no_primary_is_called_one():
    """Whoever connects to it directly is led to the set."""
    with ThreeMembers() as three:
        secondary = three.secondary()
        environment = {**os.environ, "MONGODB_URI": f"{secondary}/newbi?directConnection=true"}
        ended = subprocess.run(
            [sys.executable, "-m", "newbi_migrate", "migrate", "--confirm"],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )

    assert ExitCode.UNREACHABLE == ended.returncode, ended.stderr
    assert "is no primary of its replica set" in ended.stderr
    assert "replicaSet=" in ended.stderr


@pytest.mark.slow
def test_a_server_that_is_paused_is_given_up(newbi):
    """It accepts connections and says nothing: the driver's time for that is all that is waited."""
    with ControlledMongod() as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            answer = newbi("status", uri=server.uri_for("newbi") + "?serverSelectionTimeoutMS=2000")
            took = time.monotonic() - begun
        finally:
            os.kill(server.pid, signal.SIGCONT)

    assert ExitCode.UNREACHABLE == answer.code, answer.err
    assert took < 50


@pytest.mark.slow
def test_a_set_without_a_majority_is_waited_for_aloud_and_given_up(quick, monkeypatch):
    """The lease is asked for four times, thirty seconds each, and what is lacking is said."""
    assert LEASE_SECONDS * 1000 == lease._PROMPT.document["wtimeout"]
    prompt = WriteConcern(w="majority", j=True, wtimeout=200)
    monkeypatch.setattr(lease, "_PROMPT", prompt)
    monkeypatch.setattr(progress, "_SLOW_SECONDS", 0.1)
    with WithoutMajority() as server:
        with MongoClient(server.uri, directConnection=True) as client:
            little_legacy(client.get_database("newbi", write_concern=WriteConcern(w=1)))
        uri = f"{server.uri}/newbi?directConnection=true"
        answer = quick("migrate", "--confirm", uri=uri)

    assert ExitCode.UNREACHABLE == answer.code, answer.err
    assert "Waiting for a majority" in answer.err
    assert "was not acknowledged by a majority" in answer.sentence
