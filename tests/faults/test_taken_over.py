"""A run that is taken over while its process lives: whatever both wrote can be given back.

The first process is suspended with a write command about to be sent, so that its statement lands
after everything that the second one does.
"""

from __future__ import annotations

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from processes import suspended, woken

MIGRATE = ("migrate", "--confirm")
ROLLBACK = ("rollback", "--confirm")
DONE, QUARANTINED, INTERRUPTED = 0, 5, 7
# Its first writes take the lease and make the record of the run; from then on there is a run.
FIRST = 4


def unlocked(database, processes, uri):
    assert DONE == processes.run(uri, "unlock", "--confirm").status


def lease_deleted(database, processes, uri):
    database["newbi_migrate_lease"].delete_one({"_id": "lease"})


def lease_dropped(database, processes, uri):
    database["newbi_migrate_lease"].drop()


WAYS = [unlocked, lease_deleted, lease_dropped]


def holds(database):
    return fingerprint(database, run_records=False)


@pytest.fixture
def moments(server, fresh, processes, sample):
    """Some of the write commands of a migration, or of its rollback."""

    def some(kind, command, size):
        _, uri = fresh(server, little_legacy)
        whole = processes.run(uri, *MIGRATE)
        if command is ROLLBACK:
            whole = processes.run(uri, *ROLLBACK)
        return sample.of(kind, range(FIRST, whole.writes), size)

    return some


@pytest.mark.timeout(900)
def test_a_suspended_run_that_another_finished_stops_and_undoes_nothing(
    server, fresh, processes, moments, sample
):
    """It ends with 7; what the other wrote stands, and a rollback gives every byte back."""
    wrong = {}
    for at, way in zip(
        moments("holders that lost their lease and wrote: finished by another", MIGRATE, 3),
        WAYS * 1000,
        strict=False,
    ):
        database, uri = fresh(server, little_legacy)
        before = holds(database)
        first = suspended(processes, uri, MIGRATE, at)
        way(database, processes, uri)
        second = processes.run(uri, *MIGRATE)
        finished = holds(database)
        ended = woken(first)
        undone = changes(finished, holds(database))
        back = processes.run(uri, *ROLLBACK, "--all")
        left = changes(before, holds(database))
        found = (ended.status, second.status, undone, back.status, left)
        if found != (INTERRUPTED, QUARANTINED, [], DONE, []):
            wrong[at, way.__name__] = (found, ended.stderr, second.stderr, back.stderr)

    assert not wrong, sample


def about_to_write_users(fresh, mongod, processes):
    """A process suspended with the first users about to be sent, on a server of no transactions."""
    for at in range(FIRST, 40):
        database, uri = fresh(mongod, little_legacy)
        first = suspended(processes, uri, MIGRATE, at)
        journaled = {"kind": "users", "state": "pending"}
        if database["newbi_migrate_journal"].find_one(journaled):
            return database, uri, first
        first.send("SIGKILL")
        woken(first)
    raise AssertionError


@pytest.mark.timeout(900)
def test_users_that_another_wrote_are_not_taken_for_ones_own_that_were_refused(
    fresh, mongod, processes
):
    """The server refuses to write them twice; what it refuses is not taken back, for it stands."""
    database, uri, first = about_to_write_users(fresh, mongod, processes)
    unlocked(database, processes, uri)
    second = processes.run(uri, *MIGRATE)
    finished = holds(database)
    ended = woken(first)

    assert (INTERRUPTED, QUARANTINED) == (ended.status, second.status)
    assert [] == changes(finished, holds(database))


@pytest.mark.timeout(900)
def test_a_saved_plan_is_finished_whatever_a_suspended_run_of_it_still_wrote(
    server, fresh, processes, sample, tmp_path
):
    """Its statement lands after it was journaled as perhaps written, and is no change of others."""
    _, uri = fresh(server, little_legacy)
    commands = processes.run(uri, *MIGRATE).commands
    stamps = [
        at
        for at, command in enumerate(commands, start=1)
        if command.startswith("update ") and "newbi_migrate" not in command
    ]
    wrong = {}
    for at in sample.of("statements that land after a plan was taken over", stamps, 3):
        database, uri = fresh(server, little_legacy)
        plan = str(tmp_path / f"{database.name}.json")
        assert QUARANTINED == processes.run(uri, "plan", "--output", plan).status
        carry_out = (*MIGRATE, "--plan", plan)
        first = suspended(processes, uri, carry_out, at)
        unlocked(database, processes, uri)
        # It takes the run over, notes what was perhaps written, and is killed.
        second = processes.run(uri, *carry_out, at=6, when="before")
        ended = woken(first)
        third = processes.run(uri, *carry_out)
        finished = holds(database)
        again = processes.run(uri, *MIGRATE)
        found = (ended.status, third.status, again.status, changes(finished, holds(database)))
        if not second.killed or found != (INTERRUPTED, QUARANTINED, QUARANTINED, []):
            wrong[at] = (found, ended.stderr, second.stderr, third.stderr)

    assert not wrong, sample


@pytest.mark.timeout(900)
def test_what_a_suspended_run_writes_after_its_rollback_is_given_back_by_another(
    server, fresh, processes, moments, sample
):
    """It ends with 7, and the run can be named again."""
    wrong = {}
    for at, way in zip(
        moments("holders that lost their lease and wrote: all given back", MIGRATE, 3),
        WAYS * 1000,
        strict=False,
    ):
        database, uri = fresh(server, little_legacy)
        before = holds(database)
        first = suspended(processes, uri, MIGRATE, at)
        run = str(database["newbi_migrate_runs"].find_one()["_id"])
        way(database, processes, uri)
        second = processes.run(uri, *ROLLBACK)
        ended = woken(first)
        again = processes.run(uri, *ROLLBACK, "--run", run)
        left = changes(before, holds(database))
        found = (ended.status, second.status, again.status, left)
        if found != (INTERRUPTED, DONE, DONE, []):
            wrong[at, way.__name__] = (found, ended.stderr, second.stderr, again.stderr)

    assert not wrong, sample


@pytest.mark.timeout(900)
def test_a_suspended_rollback_that_another_finished_puts_nothing_back(
    server, fresh, processes, moments, sample
):
    """Where documents are gone that it was about to delete, they are not written again."""
    wrong = {}
    for at, way in zip(
        moments("rollbacks that lost their lease and wrote", ROLLBACK, 3), WAYS * 1000, strict=False
    ):
        database, uri = fresh(server, little_legacy)
        before = holds(database)
        processes.run(uri, *MIGRATE)
        first = suspended(processes, uri, ROLLBACK, at)
        way(database, processes, uri)
        second = processes.run(uri, *ROLLBACK)
        ended = woken(first)
        left = changes(before, holds(database))
        found = (ended.status, second.status, left)
        if found != (INTERRUPTED, DONE, []):
            wrong[at, way.__name__] = (found, ended.stderr, second.stderr)

    assert not wrong, sample


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_goes_on_while_another_starts_leaves_nothing_that_cannot_be_given_back(
    server, fresh, processes, moments, sample, way
):
    """A live run notices within a second or two; the journal names what both of them wrote."""
    wrong = {}
    for at in moments("holders that lost their lease and went on", MIGRATE, 1):
        database, uri = fresh(server, little_legacy)
        before = holds(database)
        first = suspended(processes, uri, MIGRATE, at)
        way(database, processes, uri)
        first.send("SIGCONT")
        second = processes.run(uri, *MIGRATE)
        ended = first.wait()
        back = processes.run(uri, *ROLLBACK, "--all")
        left = changes(before, holds(database))
        # It may have come to its end before it noticed, while the other still waited.
        if not (
            ended.status in {INTERRUPTED, QUARANTINED}
            and (second.status, back.status, left) == (QUARANTINED, DONE, [])
        ):
            wrong[at] = (ended, second, back, left)

    assert not wrong, sample
