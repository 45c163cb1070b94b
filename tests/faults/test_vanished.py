"""A collection that somebody drops or renames while a run goes through it."""

from __future__ import annotations

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from processes import suspended, woken

MIGRATE, ROLLBACK = ("migrate", "--confirm"), ("rollback", "--confirm")
DONE, NOT_EXPECTED, INTERRUPTED = 0, 3, 7


@pytest.fixture(scope="module")
def writes(mongod, servers, processes):
    """The write commands of a migration, in order."""
    name = "newbi_test_vanished"
    little_legacy(servers.client(mongod)[name])
    ended = processes.run(mongod.uri_for(name), *MIGRATE)
    servers.drop(name)
    return ended.commands


@pytest.mark.parametrize("step", ["update quotes", "createIndexes invoices"])
def test_a_collection_that_is_dropped_meanwhile_is_not_made_anew(
    mongod, fresh, processes, writes, step
):
    """The run says so and stops, and a rollback finds nothing of it to give back."""
    database, uri = fresh(mongod, little_legacy)
    before = fingerprint(database)
    at = writes.index(step) + 1
    run = suspended(processes, uri, MIGRATE, at)
    database["quotes"].drop()
    ended = woken(run)
    there = database.list_collection_names()
    back = processes.run(uri, *ROLLBACK)

    assert NOT_EXPECTED == ended.status, ended
    assert "'quotes' was dropped or renamed" in ended.stderr
    assert "quotes" not in there
    assert DONE == back.status, back
    assert ["quotes: disappeared"] == changes(before, fingerprint(database, run_records=False))


def test_whoever_lost_their_lease_takes_what_they_meet_for_the_work_of_another(
    mongod, fresh, processes, writes
):
    """The lost lease is the cause, and the collection that is gone only its symptom."""
    database, uri = fresh(mongod, little_legacy)
    run = suspended(processes, uri, MIGRATE, writes.index("createIndexes invoices") + 1)
    database["newbi_migrate_lease"].drop()
    database["quotes"].drop()
    ended = woken(run)

    assert INTERRUPTED == ended.status, ended
    assert "lost its lease" in ended.stderr
    assert "'quotes'" not in ended.stderr


def test_a_collection_that_is_renamed_meanwhile_is_not_made_anew(mongod, fresh, processes, writes):
    """Nothing takes its old name, under which its documents could be looked for."""
    database, uri = fresh(mongod, little_legacy)
    at = writes.index("createIndexes invoices") + 1
    run = suspended(processes, uri, MIGRATE, at)
    database["quotes"].rename("quotes_old")
    held = list(database["quotes_old"].find())
    ended = woken(run)

    assert NOT_EXPECTED == ended.status, ended
    assert "quotes" not in database.list_collection_names()
    assert held == list(database["quotes_old"].find())
