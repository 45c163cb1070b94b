"""A restore that is killed, or started twice, ends as if nothing had happened."""

from __future__ import annotations

import time

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from traces import expire_lease

DONE, HELD = 0, 6


@pytest.fixture
def backup(mongod, fresh, processes, tmp_path):
    """A backup of a little legacy database, and what it holds."""
    database, uri = fresh(mongod, little_legacy)
    ended = processes.run(uri, "backup", "--output-dir", str(tmp_path))
    assert DONE == ended.status, ended
    (path,) = tmp_path.iterdir()
    return str(path), fingerprint(database)


def something_else(database):
    """What a restore drops: collections of the backup with other documents, and others."""
    database["invoices"].insert_many([{"_id": n} for n in range(5)])
    database["late"].insert_one({})
    database["newbi_migrate_runs"].insert_one({"state": "running"})


def nothing(database):
    """An empty database."""


@pytest.mark.parametrize("fill", [something_else, nothing])
def test_a_restore_killed_at_any_write_is_finished_by_the_same_command(
    server, fill, backup, fresh, processes, sample
):
    """Byte for byte, and nothing of the restore itself is left."""
    path, expected = backup
    command = ("restore", "--confirm", *(["--drop"] if fill is something_else else []), path)
    _, uri = fresh(server, fill)
    whole = processes.run(uri, *command)
    wrong = {}
    # After the last one nothing is left that could tell of it.
    *others, before_the_last, _ = [
        (n, w) for n in range(1, whole.writes + 1) for w in ("before", "after")
    ]
    for at, when in [*sample.of(others, 3), before_the_last]:
        database, uri = fresh(server, fill)
        killed = processes.run(uri, *command, at=at, when=when)
        assert killed.killed, killed
        expire_lease(database)
        again = processes.run(uri, *command)
        found = changes(expected, fingerprint(database))
        if again.status != DONE or found:
            wrong[at, when] = (again.status, again.stderr, found)
        database.client.drop_database(database.name)

    assert DONE == whole.status, whole
    assert not wrong, f"{sample}: {wrong}"


def test_of_two_restores_at_once_one_works_and_the_other_is_told(mongod, backup, fresh, processes):
    """Whichever comes second ends with 6."""
    path, expected = backup
    database, uri = fresh(mongod, nothing)
    moment = time.time() + 1
    # Whoever gets as far as a fourth write holds the lease, and waits there for the other.
    suspended = {"at": 4, "when": "before", "signal": "SIGSTOP"}
    command = ("restore", "--confirm", path)
    running = [processes.start(uri, *command, moment=moment, **suspended) for _ in range(2)]
    winners = [each for each in running if not each.wait_until_ended_or_suspended()]
    (loser,) = (each.wait() for each in running if each not in winners)
    (winner,) = winners
    winner.send("SIGCONT")

    assert DONE == winner.wait().status
    assert HELD == loser.status
    assert f"process {winner.pid} on" in loser.stderr
    assert [] == changes(expected, fingerprint(database))
