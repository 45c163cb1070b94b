"""Servers that die, stand still or have no room left while a migration runs."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from controlled_mongod import ControlledMongod
from little import little_legacy
from pymongo import MongoClient
from three import ThreeMembers
from traces import differences, expire_lease, trace

MIGRATE = ("migrate", "--confirm")
QUARANTINED, UNREACHABLE = 5, 9


@pytest.fixture
def three():
    with ThreeMembers() as members:
        yield members


def test_a_primary_killed_while_migrating_is_replaced_and_the_run_goes_on(
    three, mongod, legacy, fresh, processes
):
    """The set elects another primary; the same run waits, looks and goes on to the same end."""
    database, uri = fresh(mongod, legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    # The driver repeats some writes by itself; here every one is left to us.
    uri = three.uri_for("newbi") + "&retryWrites=false"
    with MongoClient(uri) as client:
        database = client["newbi"]
        legacy(database)
        # Suspended at a write in the middle, so that the primary dies there.
        run = processes.start(uri, *MIGRATE, at=30, when="before", signal="SIGSTOP")
        run.wait_until_suspended()
        three.primary(10).kill()
        run.send("SIGCONT")
        ended = run.wait()
        found = differences(expected, trace(database))

    assert QUARANTINED == ended.status, ended
    assert "looking at what was written, and going on" in ended.stderr
    assert [] == found


def test_a_server_that_was_killed_and_came_back_loses_nothing(fresh, mongod, processes):
    """The run tells that it was cut off and ends with 9; once there is a server, it resumes."""
    database, uri = fresh(mongod, little_legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    with ControlledMongod() as server:
        with MongoClient(server.uri) as client:
            little_legacy(client["newbi"])
        uri = server.uri_for("newbi") + "?serverSelectionTimeoutMS=300"
        run = processes.start(uri, *MIGRATE, at=30, when="before", signal="SIGSTOP")
        run.wait_until_suspended()
        server.kill()
        run.send("SIGCONT")
        cut_off = run.wait()
        server.restart()
        with MongoClient(server.uri) as client:
            expire_lease(client["newbi"])
            resumed = processes.run(uri, *MIGRATE)
            found = differences(expected, trace(client["newbi"]))

    assert UNREACHABLE == cut_off.status, cut_off
    assert "same command" in cut_off.stderr
    assert QUARANTINED == resumed.status, resumed
    assert [] == found


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MB; skipped where nobody may mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(where)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system takes root")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_server_whose_disk_is_full_loses_nothing(fresh, mongod, processes, small_disk):
    """The run ends with 9 and says what to do; with room again, the same command finishes it."""
    database, uri = fresh(mongod, little_legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    ballast = small_disk / "ballast"
    with ControlledMongod(dbpath=small_disk / "data") as server:
        with MongoClient(server.uri) as client:
            little_legacy(client["newbi"])
        uri = server.uri_for("newbi") + "?serverSelectionTimeoutMS=300"
        run = processes.start(uri, *MIGRATE, at=30, when="before", signal="SIGSTOP")
        run.wait_until_suspended()
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        run.send("SIGCONT")
        stopped = run.wait()
        ballast.unlink()
        server.restart()
        with MongoClient(server.uri) as client:
            expire_lease(client["newbi"])
            resumed = processes.run(uri, *MIGRATE)
            found = differences(expected, trace(client["newbi"]))

    assert UNREACHABLE == stopped.status, stopped
    assert "same command" in stopped.stderr
    assert QUARANTINED == resumed.status, resumed
    assert [] == found
