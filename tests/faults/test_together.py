"""Several at once: one works, and whoever lost the lease writes no more."""

from __future__ import annotations

import re
import time

from fingerprints import changes, fingerprint
from little import little_legacy
from traces import differences, trace

MIGRATE = ("migrate", "--confirm")
QUARANTINED, HELD, INTERRUPTED = 5, 6, 7
LEASE = 1.0  # seconds


def test_of_twenty_processes_one_works_and_the_rest_are_told_who(mongod, fresh, processes):
    """Started at the same instant: nineteen end with 6 while the winner works, and name it."""
    database, uri = fresh(mongod, little_legacy)
    winner, losers = started_together(20, uri, processes)
    winner.send("SIGCONT")
    told = re.compile(rf"process {winner.pid} on \S+\) holds the lease since \d{{4}}-")

    assert QUARANTINED == winner.wait().status
    assert {HELD} == {each.status for each in losers}
    assert all(told.search(each.stderr) for each in losers), losers[0].stderr
    assert 1 == database["newbi_migrate_runs"].count_documents({})


def started_together(count, uri, processes, pause=1.0):
    """The process that got the lease of those started at once, suspended; and how others ended."""
    moment = time.time() + pause
    # Whoever gets as far as a fourth write holds the lease, and waits there for the others.
    suspended = {"at": 4, "when": "before", "signal": "SIGSTOP"}
    running = [processes.start(uri, *MIGRATE, moment=moment, **suspended) for _ in range(count)]
    winners = [each for each in running if not each.wait_until_ended_or_suspended()]
    losers = [each.wait() for each in running if each not in winners]
    (winner,) = winners
    return winner, losers


def test_of_three_processes_one_works_each_time(sweep_server, fresh, processes, sample):
    """However often they are started at the same instant, on a database that nobody wrote to."""
    wrong = {}
    for number in sample.of("simultaneous starts", range(500), 3):
        database, uri = fresh(sweep_server, little_legacy)
        winner, losers = started_together(3, uri, processes, pause=0.1)
        winner.send("SIGKILL")
        winner.wait()
        runs = database["newbi_migrate_runs"].count_documents({})
        if [HELD, HELD] != [each.status for each in losers] or runs > 1:
            wrong[number] = (losers, runs)
        database.client.drop_database(database.name)

    assert not wrong, f"{sample}: {wrong}"


def test_a_holder_suspended_past_its_lease_writes_nothing_more(mongod, fresh, processes, sample):
    """Another takes over and finishes; the first, woken up, stops before its next write."""
    database, uri = fresh(mongod, little_legacy)
    whole = processes.run(uri, *MIGRATE)
    expected = trace(database)
    wrong = {}
    for at in sample.of("holders suspended past their lease", range(3, whole.writes), 2):
        database, uri = fresh(mongod, little_legacy)
        suspended = {"at": at, "when": "after", "signal": "SIGSTOP"}
        first = processes.start(uri, call="apply", lease_seconds=LEASE, **suspended)
        first.wait_until_suspended()
        time.sleep(LEASE)
        second = processes.run(uri, *MIGRATE)
        before = fingerprint(database)
        first.send("SIGCONT")
        woken = first.wait()
        found = (
            woken.status,
            second.status,
            changes(before, fingerprint(database)),
            differences(expected, trace(database)),
        )
        if found != (INTERRUPTED, QUARANTINED, [], []):
            wrong[at] = (found, woken.stderr, second.stderr)

    assert not wrong, f"{sample}: {wrong}"
