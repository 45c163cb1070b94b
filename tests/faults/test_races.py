"""Two commands at once: what one read before the lease never authorises what it writes under it.

The first command does everything it does before it has the lease. Its ``findAndModify`` on the
lease is held on the server while the second runs to its end; then the first goes on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from itertools import product
from types import SimpleNamespace

import bson.objectid
import pytest
from bson import ObjectId
from copies import copied
from fingerprints import changes, fingerprint
from little import little_legacy, without_quarantine
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.errors import ExitCode, NewbiMigrateError
from newbi_migrate.migration.facade import Migration

APP = "the-one-that-is-held"
# Seconds for which the first command is held; more where the second took longer than that.
HELD = (3, 15, 60)


async def migrate_reviewed(migration):
    return await migration.apply(await migration.plan())


async def rollback_reviewed(migration):
    return await migration.rollback(reviewed=await migration.rollback(dry_run=True))


async def rollback_all_reviewed(migration):
    return await migration.rollback_all(reviewed=await migration.rollback_all(dry_run=True))


async def indexes_reviewed(migration):
    return await migration.indexes(apply=True, reviewed=await migration.indexes())


async def finalize_reviewed(migration):
    return await migration.finalize(reviewed=await migration.finalize(dry_run=True))


# Every command that writes; a new one is added here and nowhere else.
COMMANDS = {
    "migrate": Migration.apply,
    "backfill": Migration.backfill,
    "rollback": Migration.rollback,
    "rollback --all": Migration.rollback_all,
    "indexes": lambda migration: migration.indexes(apply=True),
    "finalize": Migration.finalize,
    "finalize --keep": lambda migration: migration.finalize(keep=True),
}
# And as a person calls them: look, agree, then write.
REVIEWED = {
    "migrate, reviewed": migrate_reviewed,
    "rollback, reviewed": rollback_reviewed,
    "rollback --all, reviewed": rollback_all_reviewed,
    "indexes, reviewed": indexes_reviewed,
    "finalize, reviewed": finalize_reviewed,
}
FIRST = COMMANDS | REVIEWED


# -- where they start -------------------------------------------------------------------------


def nothing(database):
    """An empty database."""


async def fresh_legacy(database, uri):
    little_legacy(database)
    without_quarantine(database)
    # An index of the old structure, which `indexes` and `finalize` drop.
    database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)


async def migrated(database, uri):
    await fresh_legacy(database, uri)
    assert ExitCode.DONE == await outcome("migrate", uri)


async def migrated_and_late(database, uri):
    await migrated(database, uri)
    come_late(database, 4)


async def migrated_twice(database, uri):
    await migrated_and_late(database, uri)
    assert ExitCode.DONE == await outcome("migrate", uri)


def come_late(database, position):
    """Somebody signs up on the old application, and everybody writes invoices there."""
    database["Users"].insert_one(legacy_user(position))
    for n in range(position + 1):
        database["invoices"].insert_many(
            {**each, "_id": ObjectId(f"64d{position}{n:010x}{m:010x}"), "number": f"late {n} {m}"}
            for m, each in enumerate(invoices(USERS[n], 2))
        )


STATES = {
    each.__name__: each for each in (fresh_legacy, migrated, migrated_and_late, migrated_twice)
}


# -- the race ---------------------------------------------------------------------------------


class Lease(CommandListener):
    """When the lease was asked for, the first time."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.at = None

    def started(self, event):
        if event.command_name == "findAndModify" and self.at is None:
            self.at = time.monotonic()
            self.asked.set()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@dataclass
class Race:
    """What came of two commands: of the first, and what the database holds."""

    code: int
    held: dict
    after_second: dict | None = None
    at_the_lease: bool = True


async def outcome(name, source):
    """The exit code of a command."""
    try:
        async with Migration(source) as migration:
            result = await FIRST[name](migration)
    except NewbiMigrateError as error:
        return error.exit_code
    results = result if isinstance(result, list) else [result]
    return max(each.exit_code for each in results)


async def one_after_the_other(database, uri, first, second):
    """The second command, then the first."""
    await outcome(second, uri)
    after_second = holds(database)
    code = await outcome(first, uri)
    return Race(code, holds(database), after_second)


async def one_meanwhile(database, uri, first, second, seconds):
    """The second command while the first waits for the lease; ``None`` if it took longer."""
    admin, lease = database.client.admin, Lease()
    point = {"blockConnection": True, "blockTimeMS": seconds * 1000, "appName": APP}
    admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": 1},
        data={"failCommands": ["findAndModify"], **point},
    )
    try:
        async with AsyncMongoClient(uri, appname=APP, event_listeners=[lease]) as client:
            held = asyncio.create_task(outcome(first, client.get_default_database()))
            asked = asyncio.create_task(lease.asked.wait())
            await asyncio.wait({held, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            await outcome(second, uri)
            in_time = lease.at is None or time.monotonic() < lease.at + seconds
            code = await held
    finally:
        admin.command("configureFailPoint", "failCommand", mode="off")
    return Race(code, holds(database), at_the_lease=lease.at is not None) if in_time else None


def holds(database):
    return fingerprint(database, run_records=False)


def broken(database):
    """A line for each legacy user who is nowhere, and each workspace that is named and no more."""
    everywhere = {
        document["_id"]
        for name in ("Users", "Users_before_migration", "user")
        for document in database[name].find({}, {"_id": 1})
    }
    organizations = {document["_id"] for document in database["organization"].find({}, {"_id": 1})}
    names = [n for n in database.list_collection_names() if not n.startswith("newbi_migrate_")]
    named = {
        workspace
        for name in names
        for workspace in database[name].distinct("workspaceId", {"workspaceId": {"$type": 7}})
    }
    # Whoever came late wrote invoices, and nobody else's are among them.
    owners = set(database["invoices"].distinct("createdBy"))
    lost = [f"legacy user {user} is nowhere" for user in sorted(owners - everywhere)]
    return [*lost, *(f"workspace {each} does not exist" for each in sorted(named - organizations))]


@pytest.fixture
def race(mongod, fresh):
    """Races two commands from a state; gives what broke the law, and nothing else."""
    built = {}

    async def run(state, first, second):
        if state not in built:
            built[state], uri = fresh(mongod, nothing)
            await STATES[state](built[state], uri)

        def again():
            return fresh(mongod, lambda database: copied(built[state], database))

        expected = await one_after_the_other(*again(), first, second)
        for seconds in HELD:
            database, uri = again()
            found = await one_meanwhile(database, uri, first, second, seconds)
            if found is not None:
                break
        assert found is not None, "the second command has not ended before the first went on"
        return [*unlawful(found, expected), *broken(database)]

    return run


def unlawful(found, expected):
    """What differs from one after the other, unless it was refused and wrote nothing."""
    refused = found.code == ExitCode.PENDING or not found.at_the_lease
    if refused and not changes(expected.after_second, found.held):
        return []
    lines = changes(expected.held, found.held)
    if found.code != expected.code:
        lines.append(f"ended with {found.code!r} instead of {expected.code!r}")
    return lines


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("state", STATES)
async def test_two_at_once_end_as_one_after_the_other_or_the_one_that_waited_is_refused(
    race, sample, state
):
    """Exit code and bytes are those of the second, then the first; or 3, and nothing written."""
    wrong = {}
    for first, second in sample.of("two commands at once", product(FIRST, COMMANDS), 3):
        if found := await race(state, first, second):
            wrong[first, second] = found

    assert not wrong, sample


@pytest.mark.parametrize("first", ["finalize", "finalize, reviewed"])
async def test_users_are_not_dropped_by_a_finalize_that_waited_for_a_rollback(race, first):
    """All runs are taken back while it waits: the legacy users are then nowhere but in Users."""
    assert [] == await race("migrated", first, "rollback --all")


async def test_a_plan_reviewed_before_a_rollback_is_not_applied_after_it(race):
    """Documents would be stamped with organizations that are gone."""
    assert [] == await race("migrated_and_late", "migrate, reviewed", "rollback --all")


# -- the order of runs ------------------------------------------------------------------------

HOUR = 3600
SMALL, GREAT = bytes(5), b"\xff" * 5


@pytest.mark.parametrize(
    ("clocks", "machines"),
    [((HOUR, 0), (SMALL, SMALL)), ((0, 0), (GREAT, SMALL))],
    ids=["an hour apart", "within one second"],
)
async def test_the_last_run_is_the_last_whatever_the_clocks_of_two_clients_say(
    mongod, fresh, monkeypatch, clocks, machines
):
    """A rollback takes back the run that came last; of all, every one."""
    now = int(time.time())
    never, uri = fresh(mongod, nothing)
    await fresh_legacy(never, uri)
    come_late(never, 4)
    database, uri = fresh(mongod, nothing)
    await fresh_legacy(database, uri)
    runs = []
    for ahead, machine in zip(clocks, machines, strict=True):
        if runs:
            come_late(database, 4)
        stood = holds(database)
        with monkeypatch.context() as patch:
            its_clock = SimpleNamespace(time=partial(int, now + ahead))
            patch.setattr(bson.objectid, "time", its_clock)
            patch.setattr(ObjectId, "_random", partial(bytes, machine))
            async with Migration(uri) as migration:
                runs.append((await migration.apply()).run_id)
    async with Migration(uri) as migration:
        last = await migration.rollback()
        after_one = changes(stood, holds(database))
        await migration.apply()
        back = await migration.rollback_all()

    assert runs == sorted(runs, reverse=True)
    assert runs[1] == last.run_id
    assert [] == after_one
    assert (2, runs[0]) == (len(back), back[-1].run_id)
    assert [] == changes(holds(never), holds(database))
