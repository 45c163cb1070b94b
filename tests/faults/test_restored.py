"""A restore that is killed, or started twice, ends as if nothing had happened."""

from __future__ import annotations

import time

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from losing import LosingAnswers
from processes import suspended, woken
from traces import expire_lease

DONE, HELD, INTERRUPTED = 0, 6, 7


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
    for at, when in [*sample.of("restore: killed, and run again", others, 3), before_the_last]:
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


def replaced(database):
    """A collection of the backup with other documents, an index and a validator of its own."""
    little_legacy(database)
    database["invoices"].delete_many({"number": {"$gt": "000001"}})
    database["invoices"].insert_one({"_id": "since"})
    database["invoices"].create_index("since")
    database.command("collMod", "invoices", validator={"since": 1}, validationLevel="moderate")


IN_PLACE = ("restore", "--confirm", "--drop", "--collections", "invoices,clients")


def test_a_restore_in_place_killed_at_any_write_is_finished_by_the_same_command(
    server, backup, fresh, processes, sample
):
    """Or taken back by a rollback, wherever it was: each ends in its bytes, and loses nothing."""
    path, expected = backup
    database, uri = fresh(server, replaced)
    before = fingerprint(database)
    whole = processes.run(uri, *IN_PLACE, path)
    finished = fingerprint(database, run_records=False)
    wrong = {}
    every = [(n, w) for n in range(1, whole.writes + 1) for w in ("before", "after")]
    ends = {
        "again": ((*IN_PLACE, path), finished),
        "back": (("rollback", "--confirm"), before),
    }
    kind = "restore in place: killed, and run again or taken back"
    for at, when in sample.of(kind, every, 6):
        for way, (command, wanted) in ends.items():
            database, uri = fresh(server, replaced)
            killed = processes.run(uri, *IN_PLACE, path, at=at, when=when)
            assert killed.killed, killed
            stood = fingerprint(database, run_records=False)
            expire_lease(database)
            ended = processes.run(uri, *command)
            found = changes(wanted, fingerprint(database, run_records=False))
            # What a rollback of it finds nothing of is as it was, and stays.
            if ended.status != DONE or (found and (way == "again" or stood != wanted)):
                wrong[at, when, way] = (ended.status, ended.stderr, found)
            database.client.drop_database(database.name)

    assert DONE == whole.status, whole
    assert [] == changes(
        {**before, **{name: expected[name] for name in ("invoices", "clients")}}, finished
    )
    assert not wrong, f"{sample}: {wrong}"


def test_taking_a_restore_in_place_back_goes_on_wherever_it_was_killed(
    server, backup, fresh, processes, sample
):
    """The same command again ends in the bytes from before."""
    path, _ = backup
    database, uri = fresh(server, replaced)
    before = fingerprint(database)
    command = ("rollback", "--confirm")
    processes.run(uri, *IN_PLACE, path)
    whole = processes.run(uri, *command)
    wrong = {}
    every = [(n, w) for n in range(1, whole.writes + 1) for w in ("before", "after")]
    kind = "rollback of a restore in place: killed, and run again"
    for at, when in sample.of(kind, every, 6):
        database, uri = fresh(server, replaced)
        processes.run(uri, *IN_PLACE, path)
        killed = processes.run(uri, *command, at=at, when=when)
        assert killed.killed, killed
        expire_lease(database)
        ended = processes.run(uri, *command)
        found = changes(before, fingerprint(database, run_records=False))
        if ended.status != DONE or found:
            wrong[at, when] = (ended.status, ended.stderr, found)
        database.client.drop_database(database.name)

    assert DONE == whole.status, whole
    assert not wrong, f"{sample}: {wrong}"


def left_of_it(database):
    """Collections that a restore in place fills, whatever is in them."""
    return [n for n in database.list_collection_names() if n.startswith("newbi_migrate_restoring_")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("overtaken_by", ["the same command", "a rollback"])
def test_what_a_suspended_restore_in_place_still_inserts_is_in_nobodys_way(
    server, backup, fresh, processes, sample, overtaken_by
):
    """A rollback gives every byte back, and nothing that was filled too late stays for ever."""
    path, _ = backup
    database, uri = fresh(server, replaced)
    before = fingerprint(database, run_records=False)
    whole = processes.run(uri, *IN_PLACE, path)
    inserts = [
        at
        for at, command in enumerate(whole.commands, start=1)
        if command.startswith("insert newbi_migrate_restoring_")
    ]
    second = (*IN_PLACE, path) if overtaken_by == "the same command" else ("rollback", "--confirm")
    wrong = {}
    for at in sample.of("inserts of a restore in place that is overtaken", inserts, 2):
        database, uri = fresh(server, replaced)
        first = suspended(processes, uri, (*IN_PLACE, path), at)
        assert DONE == processes.run(uri, "unlock", "--confirm").status
        overtook = processes.run(uri, *second)
        ended = woken(first)
        assert left_of_it(database)
        back = processes.run(uri, "rollback", "--confirm")
        dropped = processes.run(uri, "drop-aside", "--confirm")
        found = changes(before, fingerprint(database, run_records=False))
        statuses = (overtook.status, ended.status, back.status, dropped.status)
        if statuses != (DONE, INTERRUPTED, DONE, DONE) or found or left_of_it(database):
            wrong[at] = (statuses, found, left_of_it(database), back.stderr, dropped.stderr)
        database.client.drop_database(database.name)

    assert inserts
    assert not wrong, f"{sample}: {wrong}"


def test_a_restore_in_place_goes_on_where_the_answer_to_any_write_is_lost(
    mongod, backup, fresh, processes, sample
):
    """By itself: it looks which renames were made, and makes the others."""
    path, _ = backup
    database, _ = fresh(mongod, replaced)
    with LosingAnswers(mongod.port) as wire:
        processes.run(wire.uri_for(database.name), *IN_PLACE, path)
        writes = wire.writes
    finished = fingerprint(database, run_records=False)
    wrong = {}
    for at in sample.of("restore in place: answers lost", range(1, writes + 1), 6):
        database, _ = fresh(mongod, replaced)
        with LosingAnswers(mongod.port, {at}) as wire:
            ended = processes.run(wire.uri_for(database.name), *IN_PLACE, path)
            assert 1 == wire.lost
        found = changes(finished, fingerprint(database, run_records=False))
        if ended.status != DONE or found:
            wrong[at] = (ended.status, ended.stderr, found)

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
