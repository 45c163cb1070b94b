"""The embedded server: it starts, comes back, guards its door and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from controlled_mongod import ControlledMongod
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from newbi_migrate.errors import UnreachableError, UnsupportedError, UsageError
from newbi_migrate.testing import EmbeddedMongod, find_mongod

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended; only its parent has not asked yet.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_server_takes_writes_as_soon_as_it_has_started():
    """Nothing has to be waited for after start."""
    with EmbeddedMongod() as server, MongoClient(server.uri_for("newbi")) as client:
        client.get_default_database()["users"].insert_one({"_id": 1})
        version = tuple(client.server_info()["versionArray"][:3])

        assert version == server.version


def test_a_stopped_server_leaves_nothing_behind():
    """Process, port, data and files are gone after the block."""
    with ControlledMongod() as server:
        pid, directory = server.pid, server.directory
        assert directory.exists()

    assert not _alive(pid)
    assert not directory.exists()
    with pytest.raises(UsageError, match="not running"):
        _ = server.port


@pytest.mark.slow
def test_a_killed_server_comes_back_with_its_data_on_its_port():
    """What was acknowledged by the journal survives a crash."""
    with ControlledMongod() as server, MongoClient(server.uri, journal=True) as client:
        client["newbi"]["users"].insert_one({"_id": 1})
        port = server.port
        server.kill()
        assert not server.running
        server.restart()

        assert port == server.port
        assert [{"_id": 1}] == list(client["newbi"]["users"].find())


def test_a_replica_set_commits_and_aborts_transactions(replica_set, database_name):
    """Of an aborted transaction nothing stays."""
    with MongoClient(replica_set.uri) as client, client.start_session() as session:
        users = client[database_name]["users"]
        with session.start_transaction():
            users.insert_one({"_id": 1}, session=session)
        with session.start_transaction():
            users.insert_one({"_id": 2}, session=session)
            session.abort_transaction()

        assert [{"_id": 1}] == list(users.find())


def test_a_server_with_credentials_refuses_who_has_none(mongod_with_auth, database_name):
    """Without a user nothing is read; with one, only what its role allows."""
    name = database_name
    reader = mongod_with_auth.add_user("reader", "s3/cr:et@", database=name, roles=["read"])
    with (
        MongoClient(f"mongodb://127.0.0.1:{mongod_with_auth.port}/") as stranger,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        stranger[name]["users"].find_one()
    with MongoClient(reader) as client:
        assert client[name]["users"].find_one() is None
        with pytest.raises(OperationFailure, match="not authorized"):
            client[name]["users"].insert_one({})


@pytest.mark.slow
def test_credentials_survive_a_restart():
    """The administrator's connection string is the same after a crash."""
    with ControlledMongod(auth=True, replica_set=True) as server:
        uri = server.uri
        server.kill()
        server.restart()
        with MongoClient(server.uri) as client:
            assert 1 == client.admin.command("ping")["ok"]
        assert uri == server.uri


def test_fail_points_can_be_set(mongod, database_name):
    """A test can make the server refuse a command of its choice, once."""
    data = {"failCommands": ["insert"], "errorCode": 50}
    with MongoClient(mongod.uri, retryWrites=False) as client:
        client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)
        with pytest.raises(OperationFailure) as refused:
            client[database_name]["users"].insert_one({"_id": 1})
        client[database_name]["users"].insert_one({"_id": 2})

        assert 50 == refused.value.code
        assert [{"_id": 2}] == list(client[database_name]["users"].find())


@posix
def test_a_suspended_server_can_be_resumed_and_stopped():
    """A frozen server answers nothing, goes on when told, and can be stopped while frozen."""
    with ControlledMongod() as server:
        server.suspend()
        assert server.running
        server.resume()
        with MongoClient(server.uri) as client:
            assert 1 == client.admin.command("ping")["ok"]
        server.suspend()
        pid = server.pid

    assert not _alive(pid)


def test_a_server_that_does_not_start_says_why():
    """The error ends with the server's own words, and nothing is left of the attempt."""
    server = ControlledMongod(extra_args=["--noSuchOption"])
    with pytest.raises(UnreachableError, match="noSuchOption"):
        server.start()

    assert not server.running


@pytest.mark.slow
@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_python_that_dies_without_warning(how):
    """The server ends and its files go when their Python is killed."""
    program = """
        import sys, time
        from newbi_migrate.testing import EmbeddedMongod
        server = EmbeddedMongod().start()
        print(server._process.pid, server._directory, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as python:
        pid, directory = python.stdout.readline().split()
        assert _alive(int(pid))
        python.send_signal(how)

    assert _wait_until(lambda: not _alive(int(pid)) and not Path(directory).exists())


def test_a_named_binary_that_does_not_run_is_an_error(monkeypatch, tmp_path):
    """A wrong path is not passed over in silence."""
    monkeypatch.setenv("NEWBI_MONGOD", str(tmp_path / "mongod"))

    with pytest.raises(UnsupportedError, match="NEWBI_MONGOD"):
        find_mongod()
