"""Killed at any write, and run again: as if nothing had happened."""

from __future__ import annotations

import random
import time

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from hanging import statements_hanging, under_way
from legacy_cases import build_dirty_database
from little import little_legacy, without_quarantine
from pymongo import MongoClient
from small_legacy import USERS
from sweeps import THOROUGH
from traces import differences, expire_lease, trace

MIGRATE = ("migrate", "--confirm")
BACKFILL = ("backfill", "--confirm")
DONE, PENDING, QUARANTINED = 0, 3, 5
# Seconds after which a command that was started has connected and looked, on a busy machine too.
STARTED = 5


def every_collection(database):
    build_dirty_database(database, seed=21, users=2, documents_per_user=4)


def everywhere(writes):
    return [(n, when) for n in range(1, writes + 1) for when in ("before", "after")]


def test_killed_at_any_write_the_same_command_finishes(server, fresh, processes, sample):
    """Before a command is sent or after its answer: bytes, journal and records are the same."""
    fill = every_collection if THOROUGH else little_legacy
    finished_by_the_same(server, fill, MIGRATE, 2, fresh, processes, sample)


@pytest.mark.skipif(THOROUGH, reason="the sweep above has every collection then")
def test_killed_at_any_write_of_any_collection_the_same_command_finishes(
    mongod, fresh, processes, sample
):
    """The same where there is every collection with every oddity."""
    finished_by_the_same(mongod, every_collection, MIGRATE, 1, fresh, processes, sample)


def finished_by_the_same(server, fill, command, size, fresh, processes, sample):
    database, uri = fresh(server, fill)
    whole = processes.run(uri, *command)
    expected = trace(database)
    wrong = {}
    for at, when in sample.of(
        f"{command[0]}: killed, and run again", everywhere(whole.writes), size
    ):
        database, uri = fresh(server, fill)
        killed = processes.run(uri, *command, at=at, when=when)
        assert killed.killed, killed
        expire_lease(database)
        again = processes.run(uri, *command)
        found = differences(expected, trace(database))
        if again.status != whole.status or found:
            wrong[at, when] = (again.status, again.stderr, found)
        database.client.drop_database(database.name)

    assert QUARANTINED == whole.status
    assert not wrong, f"{sample}: {wrong}"


def test_killed_again_and_again_the_last_one_finishes(mongod, legacy, fresh, processes, sample):
    """Whoever gets as far as a batch of users goes on from there; nothing is done twice."""
    database, uri = fresh(mongod, legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    database, uri = fresh(mongod, legacy)
    rng = random.Random(sample.seed)
    attempts = 1
    while True:
        # What is taken back of a batch, and then written again, is some twenty writes.
        at, when = rng.randrange(10, 30), rng.choice(("before", "after"))
        ended = processes.run(uri, *MIGRATE, at=at, when=when)
        if not ended.killed:
            break
        attempts += 1
        assert attempts < 100, "it gets no further"
        expire_lease(database)

    assert QUARANTINED == ended.status, ended
    assert [] == differences(expected, trace(database)), sample
    assert attempts > 2


def test_killed_twice_anywhere_a_migration_is_finished_or_taken_back(
    sweep_server, fresh, processes, sample
):
    """Also where it is the recovery that dies, and where what dies twice is the rollback."""
    database, uri = fresh(sweep_server, little_legacy)
    before = fingerprint(database)
    writes = processes.run(uri, *MIGRATE).writes
    expected = trace(database)
    wrong = {}
    for number in sample.of("killed twice", range(250), 2):
        chance = sample.chance("killed twice", number)
        database, uri = fresh(sweep_server, little_legacy)
        # From the fourth on there is a record of the run, and something to take back.
        at, when = chance.randrange(4, writes), chance.choice(("before", "after"))
        assert processes.run(uri, *MIGRATE, at=at, when=when).killed
        expire_lease(database)
        taken_back = number % 2 == 1
        command = ROLLBACK if taken_back else MIGRATE
        # At the least so many commands are left for it to write.
        again = chance.randint(1, 6 + at // 3 if taken_back else writes - at)
        second = processes.run(uri, *command, at=again, when=chance.choice(("before", "after")))
        expire_lease(database)
        ended = processes.run(uri, *command)
        found = (
            changes(before, fingerprint(database, run_records=False))
            if taken_back
            else differences(expected, trace(database))
        )
        if not second.killed or ended.status != (DONE if taken_back else QUARANTINED) or found:
            wrong[number, at, when, again] = (second, ended, found)
        database.client.drop_database(database.name)

    assert not wrong, f"{sample}: {wrong}"


def test_a_backfill_killed_at_any_write_is_finished_by_the_same_command(
    sweep_server, fresh, processes, sample
):
    """Late documents are stamped once, and the journal names them all."""

    def migrated_and_late(database):
        little_legacy(database)
        assert QUARANTINED == processes.run(sweep_server.uri_for(database.name), *MIGRATE).status
        stamped = {"workspaceId": {"$exists": True}}
        for name in ("invoices", "clients", "columns"):
            late = [{**d, "_id": f"late {d['_id']}"} for d in database[name].find(stamped)]
            for document in late:
                del document["workspaceId"]
                document |= {"number": document["_id"], "email": document["_id"]}
            database[name].insert_many(late)

    finished_by_the_same(sweep_server, migrated_and_late, BACKFILL, 2, fresh, processes, sample)


def test_a_statement_the_server_is_still_finishing_is_waited_for(mongod, servers, fresh, processes):
    """A server goes on for a client that was killed; the next run looks, says so and waits."""
    database, uri = fresh(mongod, little_legacy)
    processes.run(uri, *MIGRATE)
    expected = trace(database)
    database, uri = fresh(mongod, little_legacy)
    client: MongoClient = servers.client(mongod)
    with statements_hanging(client, database):
        first = processes.start(uri, *MIGRATE)
        while not under_way(client, database):
            time.sleep(0.02)
        first.send("SIGKILL")
        assert first.wait().killed
        expire_lease(database)
        second = processes.start(uri, *MIGRATE)
        time.sleep(STARTED)
        untouched = database["invoices"].count_documents({"workspaceId": {"$exists": True}})
    ended = second.wait()

    assert 0 == untouched
    assert "waiting for a statement of a run that stopped" in ended.stderr
    assert QUARANTINED == ended.status
    assert [] == differences(expected, trace(database))


@pytest.mark.parametrize("part", [("--collections", "invoices"), ("--users", str(USERS[0]))])
def test_the_statement_of_a_killed_rollback_of_a_part_is_waited_for(
    mongod, servers, fresh, processes, part
):
    """The run it takes a part of back is done; the next command looks all the same, and waits."""
    database, uri = fresh(mongod, little_legacy)
    processes.run(uri, *MIGRATE)
    stamped = held(database)
    client: MongoClient = servers.client(mongod)
    with statements_hanging(client, database):
        killed = processes.start(uri, *ROLLBACK, *part)
        while not under_way(client, database):
            time.sleep(0.02)
        killed.send("SIGKILL")
        assert killed.wait().killed
        then = processes.start(uri, *BACKFILL)
        time.sleep(STARTED)
    ended = then.wait()
    assert "waiting for a statement of a run that stopped" in ended.stderr
    assert QUARANTINED == ended.status
    assert stamped == held(database)


def held(database):
    """The invoices, as they are."""
    return list(database["invoices"].find().sort("_id", 1))


@pytest.mark.parametrize("then", ["taken back", "finished and taken back"])
def test_what_came_in_at_the_last_moment_is_not_stamped_by_the_statement_of_a_killed_run(
    mongod, servers, fresh, processes, then
):
    """An id among those of the window, written after the journal and before the statement."""
    database, uri = fresh(mongod, little_legacy)
    processes.run(uri, *MIGRATE)
    held = list(database["invoices"].find().sort("_id", 1))
    first, passed_over, late, last = (document["_id"] for document in held[3:7])
    database["invoices"].update_many(
        {"_id": {"$in": [first, late, last]}},
        [{"$set": {"number": {"$toString": "$_id"}}}, {"$unset": "workspaceId"}],
    )
    before = fingerprint(database, run_records=False)
    came = database["invoices"].find_one_and_delete({"_id": late})
    client: MongoClient = servers.client(mongod)
    with statements_hanging(client, database):
        killed = processes.start(uri, *BACKFILL)
        while not under_way(client, database):
            time.sleep(0.02)
        database["invoices"].insert_one(came)
        killed.send("SIGKILL")
        assert killed.wait().killed
    while under_way(client, database):
        time.sleep(0.02)
    stamped = database["invoices"].find_one({"_id": first})["workspaceId"]
    came_through = database["invoices"].find_one({"_id": late}) == came
    expire_lease(database)
    statuses = [processes.run(uri, *BACKFILL).status] if then != "taken back" else []
    statuses.append(processes.run(uri, *ROLLBACK).status)

    assert came_through
    assert database["invoices"].find_one({"_id": passed_over})["workspaceId"] == stamped
    assert [] == changes(before, fingerprint(database, run_records=False))
    assert [QUARANTINED, DONE][-len(statuses) :] == statuses


ROLLBACK = ("rollback", "--confirm")


def test_killed_at_any_write_a_migration_can_be_taken_back_instead(
    server, legacy, fresh, processes, sample
):
    """Whatever had been written by then, the rollback ends in the bytes from before."""
    database, uri = fresh(server, legacy)
    before = fingerprint(database)
    whole = processes.run(uri, *MIGRATE)
    wrong = {}
    kind = "migrate: killed, and taken back"
    for at, when in sample.of(kind, everywhere(whole.writes), 1):
        database, uri = fresh(server, legacy)
        processes.run(uri, *MIGRATE, at=at, when=when)
        expire_lease(database)
        back = processes.run(uri, *ROLLBACK)
        found = changes(before, fingerprint(database, run_records=False))
        if back.status != DONE or found:
            wrong[at, when] = (back.status, back.stderr, found)
        database.client.drop_database(database.name)

    assert not wrong, f"{sample}: {wrong}"


def test_a_rollback_killed_at_any_write_is_finished_by_the_same_command(
    sweep_server, legacy, fresh, processes, sample
):
    """Back to the byte, however often it takes."""

    def migrated(database):
        legacy(database)
        processes.run(sweep_server.uri_for(database.name), *MIGRATE)

    database, uri = fresh(sweep_server, legacy)
    before = fingerprint(database)
    processes.run(uri, *MIGRATE)
    whole = processes.run(uri, *ROLLBACK)
    wrong = {}
    for at, when in sample.of("rollback: killed, and run again", everywhere(whole.writes), 2):
        database, uri = fresh(sweep_server, migrated)
        killed = processes.run(uri, *ROLLBACK, at=at, when=when)
        assert killed.killed, killed
        expire_lease(database)
        again = processes.run(uri, *ROLLBACK)
        found = changes(before, fingerprint(database, run_records=False))
        if again.status != DONE or found:
            wrong[at, when] = (again.status, again.stderr, found)
        database.client.drop_database(database.name)

    assert DONE == whole.status
    assert not wrong, f"{sample}: {wrong}"


@pytest.mark.parametrize("command", [("indexes", "--apply"), ("finalize",), ("finalize", "--keep")])
def test_the_end_of_a_migration_killed_at_any_write_is_finished_by_the_same_command(
    sweep_server, fresh, processes, sample, command
):
    """What the old structure left behind is swapped once, however often it takes."""

    def migrated(database):
        with_old_indexes(database)
        assert DONE == processes.run(sweep_server.uri_for(database.name), *MIGRATE).status

    command = (*command, "--confirm")
    database, uri = fresh(sweep_server, migrated)
    whole = processes.run(uri, *command)
    expected = fingerprint(database, run_records=False)
    wrong = {}
    kind = f"{' '.join(command[:-1])}: killed, and run again"
    for at, when in sample.of(kind, everywhere(whole.writes), 1):
        database, uri = fresh(sweep_server, migrated)
        killed = processes.run(uri, *command, at=at, when=when)
        assert killed.killed, killed
        expire_lease(database)
        again = processes.run(uri, *command)
        found = changes(expected, fingerprint(database, run_records=False))
        if again.status != whole.status or found:
            wrong[at, when] = (again.status, again.stderr, found)

    assert DONE == whole.status, whole
    assert not wrong, f"{sample}: {wrong}"


def with_old_indexes(database):
    """A database that migrates with 0, and has an old index of either kind."""
    little_legacy(database)
    without_quarantine(database)
    database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    database["expenses"].create_index([("vendor", "text")], weights={"vendor": 3})
    expense = {"_id": ObjectId(f"64c1{0:020x}"), "createdBy": USERS[0], "vendor": "Papeterie"}
    database["expenses"].insert_one(expense)


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (("indexes", "--apply"), "dropIndexes expenses"),
        (("indexes", "--apply"), "createIndexes expenses"),
        (("finalize", "--keep"), "dropIndexes expenses"),
    ],
)
def test_killed_between_an_old_text_index_and_its_successor_both_ways_are_open(
    server, fresh, processes, command, step
):
    """The same command builds the successor; a rollback builds the old index again as it was."""

    def migrated(database):
        with_old_indexes(database)
        assert DONE == processes.run(server.uri_for(database.name), *MIGRATE).status

    command = (*command, "--confirm")
    database, uri = fresh(server, migrated)
    stood = fingerprint(database, run_records=False)
    whole = processes.run(uri, *command)
    expected = fingerprint(database, run_records=False)
    wrong = {}
    for again, ends in ((command, expected), (ROLLBACK, stood)):
        database, uri = fresh(server, migrated)
        killed = processes.run(uri, *command, at=whole.commands.index(step) + 1, when="after")
        names = set(database["expenses"].index_information())
        expire_lease(database)
        ended = processes.run(uri, *again)
        found = changes(ends, fingerprint(database, run_records=False))
        if not killed.killed or ended.status != DONE or found or "vendor_text" in names:
            wrong[again] = (killed, ended, found, names)

    assert {} == wrong


def test_killed_where_the_successor_is_refused_the_old_text_index_comes_back(
    mongod, fresh, processes
):
    """The same command finds out that it cannot build the one, and builds the other again."""

    def migrated(database):
        with_old_indexes(database)
        assert DONE == processes.run(mongod.uri_for(database.name), *MIGRATE).status
        # No text index takes a list in a field before the text.
        odd = {"_id": ObjectId(f"64c1{1:020x}"), "workspaceId": ["a", "b"], "vendor": "Garage"}
        database["expenses"].insert_one(odd)

    command = ("indexes", "--apply", "--confirm")
    database, uri = fresh(mongod, migrated)
    before = fingerprint(database, run_records=False)["expenses"]
    whole = processes.run(uri, *command)
    expected = fingerprint(database, run_records=False)
    at = whole.commands.index("dropIndexes expenses") + 1
    database, uri = fresh(mongod, migrated)
    killed = processes.run(uri, *command, at=at, when="after")
    expire_lease(database)
    ended = processes.run(uri, *command)
    again = fingerprint(database, run_records=False)
    back = processes.run(uri, *ROLLBACK)
    after = fingerprint(database, run_records=False)

    assert (True, PENDING, PENDING, DONE) == (
        killed.killed,
        whole.status,
        ended.status,
        back.status,
    )
    assert before == expected["expenses"] == again["expenses"] == after["expenses"]
