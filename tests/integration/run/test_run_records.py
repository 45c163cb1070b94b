"""The journal tells all, or the run stops: records that are lost, damaged or forged."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import os
import random
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import SimpleNamespace

import pytest
from bson import Binary, Int64, ObjectId
from copies import copied
from fingerprints import changes, fingerprint
from leases import leased
from pymongo.errors import WriteError
from rich.console import Console
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.errors import (
    DamagedRecordsError,
    ExitCode,
    InterruptedRunError,
    LeaseLostError,
    NewbiMigrateError,
)
from newbi_migrate.migration.checklist import Checklist
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.migration.run.written import perhaps_written, tally
from newbi_migrate.progress import NullProgress
from newbi_migrate.report.console import console_report
from newbi_migrate.report.status import status_document
from newbi_migrate.store.journal import EntryKind, Journal, JournalGroup
from newbi_migrate.store.runs import OWN_COLLECTIONS

RUNS, JOURNAL, LEASE = "newbi_migrate_runs", "newbi_migrate_journal", "newbi_migrate_lease"
DIGESTS = BackupGuard(digests=True)


def holds(database):
    return fingerprint(database, run_records=False)


def little(database):
    """Two users with two invoices each, one of whom the new application knows by another id."""
    database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        database["invoices"].insert_many(invoices(user, 2))
    database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    database["user"].insert_one(
        {"_id": ObjectId("65b000000000000000000001"), "email": "jeanne1@exemple.fr"}
        | {"emailVerified": True, "name": "Jeanne"}
    )


@pytest.fixture
async def migrated(uri, sync_database):
    """A run that has ended; gives what was there before it."""
    little(sync_database)
    before = holds(sync_database)
    async with Migration(uri, backup_guard=DIGESTS) as migration:
        await migration.apply()
    return before


class At(NullProgress):
    """Does something when a phase begins, each time or the first time only."""

    def __init__(self, name, act, *, once=True):
        self._name, self._act, self._once = name, act, once

    def phase(self, name, total):
        if name == self._name:
            self._act()
            self._name = None if self._once else self._name


async def code_of(uri, command):
    """How a command ends."""
    try:
        async with Migration(uri) as migration:
            result = await command(migration)
    except NewbiMigrateError as error:
        return error.exit_code
    results = result if isinstance(result, list) else [result]
    return max(getattr(each, "exit_code", ExitCode.DONE) for each in results)


# -- the token --------------------------------------------------------------------------------


async def test_every_entry_carries_the_number_of_the_lease_it_was_written_under(
    migrated, sync_database
):
    """It tells the entries of a process from those of whoever took the run over."""
    (run,) = sync_database[RUNS].find()

    assert {run["number"]} == {entry["token"] for entry in sync_database[JOURNAL].find()}


async def test_whoever_lost_a_run_adds_no_entry_to_its_journal_and_marks_none(database):
    """Another session took it over; the first stops at its next write of either kind."""
    group = JournalGroup({"workspaceId": ObjectId()}, {}, [1, 2])
    async with leased(database, targets=["c"]) as first:
        journal = await Journal.take_over(first)
        seq = await journal.append_window("c", [group], repeat=False)
        lease = SimpleNamespace(number=first.token + 1, check=lambda: None)
        second = await Journal.take_over(replace(first, lease=lease))
        await second.recovered_window(seq, [replace(group, certain=False)])
        with pytest.raises(LeaseLostError):
            await journal.applied_window(seq)
        with pytest.raises(LeaseLostError):
            await journal.append_window("c", [group], repeat=False)
        entries = [entry async for entry in second.entries()]

    assert [EntryKind.TAKEOVER, EntryKind.WINDOW, EntryKind.TAKEOVER] == [e.kind for e in entries]
    assert [False] == [found.certain for found in entries[1].groups()]


async def test_what_was_perhaps_written_counts_for_nothing(database):
    """A collection of which nothing else is known is not named in the result of a resumed run."""
    group = JournalGroup({"workspaceId": ObjectId()}, {}, [1, 2])
    fill = {"op": "fill", "user": 1, "collection": "user", "id": 1, "values": [], "prior": []}
    insert = {"op": "insert", "user": 1, "collection": "account", "id": 2}
    async with leased(database, targets=["c", "d"]) as session:
        journal = await Journal.take_over(session)
        doubtful = replace(group, certain=False)
        writes = [{**fill, "certain": False}, insert]
        for seq in (
            await journal.append_window("c", [group], repeat=False),
            await journal.append_window("d", [doubtful], repeat=False),
            await journal.append(EntryKind.USERS, "", {"writes": writes}),
        ):
            await journal.applied(seq)
        counted = await tally(session.database, session.run_id, "workspaceId")

    assert ({"account": 1}, {}) == (counted.created, counted.filled)
    assert {"c": 2} == counted.touched == counted.stamped
    assert {} == counted.owners_rewritten


@pytest.mark.parametrize(("names", "missing"), [(["a"], []), (["a", "b"], [["b"]])])
async def test_a_journal_is_certain_of_indexes_that_were_seen(database, names, missing):
    """And only of them: what is certain need not be looked for."""
    body = {"names": names, "created": names, "specifications": [{"name": "a", "key": {"n": 1}}]}
    async with leased(database, targets=["c"]) as session:
        journal = await Journal.take_over(session)
        await journal.applied(await journal.append(EntryKind.INDEX, "c", body))
        found = await perhaps_written(session.database, session.run_id)

    assert missing == [perhaps.indexes for perhaps in found]


# -- lost -------------------------------------------------------------------------------------


def numbers(database):
    return [entry["_id"] for entry in database[JOURNAL].find().sort("_id", 1)]


def journal_dropped(database):
    database[JOURNAL].drop()


def entry_in_the_middle_removed(database):
    entries = numbers(database)
    database[JOURNAL].delete_one({"_id": entries[len(entries) // 2]})


def last_entry_removed(database):
    database[JOURNAL].delete_one({"_id": numbers(database)[-1]})


def record_deleted(database):
    database[RUNS].delete_many({})


def runs_dropped(database):
    database[RUNS].drop()


LOSSES = [
    *(journal_dropped, entry_in_the_middle_removed, last_entry_removed),
    *(record_deleted, runs_dropped),
]
RELYING = {
    "migrate": Migration.apply,
    "backfill": Migration.backfill,
    "indexes": lambda migration: migration.indexes(apply=True),
    "finalize": Migration.finalize,
    "finalize --keep": lambda migration: migration.finalize(keep=True),
    "rollback": Migration.rollback,
    "rollback --all": Migration.rollback_all,
    "rollback --dry-run": lambda migration: migration.rollback(dry_run=True),
    "validate --unchanged": lambda migration: migration.validate(unchanged=True),
}


@pytest.mark.parametrize("lose", LOSSES)
async def test_nothing_that_writes_or_relies_on_lost_records_goes_on(
    uri, migrated, sync_database, lose
):
    """A sentence, 3, and not a byte."""
    lose(sync_database)
    stood = holds(sync_database)
    for name, command in RELYING.items():
        async with Migration(uri) as migration:
            with pytest.raises(DamagedRecordsError):
                await command(migration)

        assert [] == changes(stood, holds(sync_database)), name


@pytest.mark.parametrize("lose", LOSSES)
async def test_status_and_doctor_say_that_records_are_lost_and_go_on(
    uri, migrated, sync_database, lose
):
    """Whoever looks is told, and sees the rest."""
    lose(sync_database)
    async with Migration(uri) as migration:
        status = await migration.status()
        diagnosis = await migration.doctor(watch=0)
    (check,) = [check for check in diagnosis.checks if check.id == "runs"]

    assert "somebody dropped or changed" in status.damage.what
    assert {"invoices": 0} == status.without_workspace
    assert status.damage.what == check.sentence


LOST_MEANWHILE = [
    *((loss, phase) for loss in LOSSES[:3] for phase in ("rescan", "indexes")),
    *((loss, phase) for loss in LOSSES[3:] for phase in ("documents", "indexes")),
]


@pytest.mark.parametrize(("lose", "phase"), LOST_MEANWHILE)
async def test_a_run_whose_records_are_lost_meanwhile_is_not_done(uri, sync_database, lose, phase):
    """It ends with 3 before it says so, and nothing afterwards builds on it."""
    little(sync_database)
    progress = At(phase, lambda: lose(sync_database))
    async with Migration(uri, progress=progress) as migration:
        with pytest.raises(DamagedRecordsError):
            await migration.apply()

    assert 0 == sync_database[RUNS].count_documents({"state": "done"})
    assert ExitCode.PENDING == await code_of(uri, Migration.rollback)


@pytest.mark.parametrize("name", [RUNS, JOURNAL])
async def test_a_validator_on_records_that_comes_meanwhile_is_named_and_no_defect(
    uri, sync_database, name
):
    """Once it is gone, the same command finishes the run."""
    little(sync_database)
    refusing = partial(sync_database.command, "collMod", name, validator={"never": 1})
    async with Migration(uri, progress=At("documents", refusing)) as migration:
        with pytest.raises(NewbiMigrateError, match="validator") as refused:
            await migration.apply()
    sync_database.command("collMod", name, validator={})
    async with Migration(uri, lease_seconds=1) as migration:
        done = await migration.apply()

    assert refused.value.exit_code in (ExitCode.UNREACHABLE, ExitCode.PENDING)
    assert (ExitCode.DONE, True) == (done.exit_code, done.resumed)


async def test_a_rollback_whose_journal_is_lost_meanwhile_is_not_done(uri, migrated, sync_database):
    """What it had not come to yet it can no longer know."""
    progress = At("documents", lambda: journal_dropped(sync_database))
    async with Migration(uri, progress=progress) as migration:
        with pytest.raises(DamagedRecordsError):
            await migration.rollback()

    assert ["rolling-back"] == [run["state"] for run in sync_database[RUNS].find()]


# -- of wrong types ---------------------------------------------------------------------------

WRONG = [
    *(None, True, 7, -1, 2.5, float("nan"), "x", [], {}, [[]], [7], {"a": 1}, Int64(2**62)),
    *(ObjectId(), datetime(2020, 1, 1), Binary(b"x")),  # noqa: DTZ001  # as PyMongo gives dates back
]
LOOKING = {
    "status": Migration.status,
    "doctor": lambda migration: migration.doctor(watch=0),
    "validate": Migration.validate,
    "lease": Migration.lease,
    "rollback --dry-run": lambda migration: migration.rollback(dry_run=True),
}


def places(document, here=()):
    """Paths of all values in a document, of the first element alone where there are several."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document[:1]):
        if (*here, key) != ("_id",) or isinstance(value, dict):
            yield (*here, key)
        if isinstance(value, dict | list):
            yield from places(value, (*here, key))


def put(document, place, value):
    """The document with another value there."""
    changed = copy.deepcopy(document)
    around = changed
    for key in place[:-1]:
        around = around[key]
    around[place[-1]] = value
    return changed


def shown(status):
    """The status as people and programs get it."""
    console = Console(file=io.StringIO())
    found = Checklist(status.database, (), status)
    for part in console_report(status_document(found)):
        console.print(part)
    json.dumps(status_document(found).value())


async def one(command, uri):
    """How a command ends: its exit code, or 1 for what no command ends with."""
    try:
        async with Migration(uri) as migration:
            result = await command(migration)
        if command is Migration.status:
            shown(result)
    except NewbiMigrateError as error:
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a defect
        return repr(error)
    results = result if isinstance(result, list) else [result]
    return max(getattr(each, "exit_code", ExitCode.DONE) for each in results)


async def interrupted(uri, database, monkeypatch):
    """A run that was stopped with a window about to be marked as written."""

    async def die(self, *args, **options):
        raise InterruptedRunError("Killed.")

    little(database)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "applied_window", die)
        async with Migration(uri) as migration:
            with pytest.raises(InterruptedRunError):
                await migration.apply()


async def done(uri, database, monkeypatch):
    """A migration that has ended, and a run that dropped indexes."""
    little(database)
    async with Migration(uri, backup_guard=DIGESTS) as migration:
        await migration.apply()
        await migration.indexes(apply=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("state", [done, interrupted])
async def test_records_of_wrong_types_end_every_command_with_a_sentence(
    uri, sync_database, monkeypatch, state
):
    """Whatever stands in a field of a run, of the lease or of the journal; never with 1."""
    await state(uri, sync_database, monkeypatch)
    records = [
        (name, document)
        for name in sync_database.list_collection_names()
        if name.startswith("newbi_migrate_")
        for document in sync_database[name].find()
    ]
    everything = [
        (name, document, place, value)
        for name, document in records
        for place in places(document)
        for value in WRONG
    ]
    stored = sync_database.client[f"{sync_database.name}_stored"]
    copied(sync_database, stored)
    drawn = random.Random(7)
    wrong = {}
    size = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 12
    for name, document, place, value in drawn.sample(everything, size):
        relying = drawn.choice(sorted(RELYING))
        for called, command in (LOOKING | {relying: RELYING[relying]}).items():
            collection = sync_database[name]
            collection.delete_one({"_id": document["_id"]})
            with contextlib.suppress(WriteError):
                collection.insert_one(put(document, place, value))
            found = await one(command, uri)
            if found not in set(ExitCode) - {ExitCode.UNEXPECTED}:
                wrong[name, place, repr(value), called] = found
        sync_database.client.drop_database(sync_database.name)
        copied(stored, sync_database)
    sync_database.client.drop_database(stored.name)

    assert not wrong


@pytest.mark.parametrize("seq", [-1, 2.5, True, "x", None, Int64(2**62 + 1)])
async def test_an_entry_with_a_number_that_is_none_stops_a_command_at_once(
    uri, migrated, sync_database, seq
):
    """It is refused, and not looked for again and again."""
    (run,) = sync_database[RUNS].find()
    sync_database[JOURNAL].insert_one({"_id": {"run": run["_id"], "seq": seq}, "kind": "takeover"})
    async with asyncio.timeout(60), Migration(uri) as migration:
        with pytest.raises(DamagedRecordsError):
            await migration.rollback()


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("window", {"groups": b""}),
        ("window", {"groups": []}),
        ("window", {"count": 1000}),
        ("users", {"writes": b""}),
        ("index", {"created": b""}),
        ("index", {"created": "", "specifications": ""}),
    ],
)
async def test_an_entry_that_says_less_than_was_written_stops_a_rollback(
    uri, migrated, sync_database, kind, changed
):
    """Documents that nobody names any more would stay as they are, and nobody would hear of it."""
    (entry,) = sync_database[JOURNAL].find({"kind": kind}).sort("_id", -1).limit(1)
    sync_database[JOURNAL].update_one({"_id": entry["_id"]}, {"$set": changed})
    before = fingerprint(sync_database, run_records=False)
    async with Migration(uri) as migration:
        with pytest.raises(DamagedRecordsError, match="not what this tool wrote"):
            await migration.rollback()

    assert [] == changes(before, fingerprint(sync_database, run_records=False))


# -- forged -----------------------------------------------------------------------------------


def window(name):
    group = JournalGroup({"workspaceId": USERS[0]}, {"workspaceId": 1}, [USERS[0], USERS[1]])
    return {"kind": "window", "collection": name, "count": 2, "groups": [group.to_document()]}


def created(name):
    return {"kind": "collection", "collection": name, "created": [name]}


def renamed(name):
    return {"kind": "collection", "collection": name, "renamed": "elsewhere"}


def index_dropped(name):
    dropped = [{"v": 2, "key": {"token": 1}, "name": "token_1", "unique": True}]
    return {"kind": "index", "collection": name, "dropped": dropped}


def index_built(name):
    return {"kind": "index", "collection": name, "names": ["token_1"], "created": ["token_1"]}


def deleted(name):
    write = {"op": "insert", "user": USERS[0], "collection": name, "id": USERS[0], "digest": ""}
    return {"kind": "users", "collection": "", "writes": [write]}


FORGED = [
    *((window, name) for name in ("session", "jwks", "Users", "verification")),
    *((created, name) for name in ("session", "jwks", "Users")),
    *((renamed, name) for name in ("session", "invoices", "user")),
    *((index_dropped, name) for name in ("session", "Users")),
    *((index_built, name) for name in ("session", "Users")),
    *((deleted, name) for name in ("session", "Users", "invoices")),
]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["applied", "pending"])
@pytest.mark.parametrize(
    ("forge", "name"), FORGED, ids=[f"{forge.__name__} {name}" for forge, name in FORGED]
)
async def test_a_forged_journal_is_followed_by_no_rollback_and_no_recovery(
    uri, migrated, sync_database, forge, name, state
):
    """An entry that names what this tool never writes to: 3, and not a byte."""
    for each in ("session", "jwks", "verification"):
        sync_database[each].insert_one({"_id": USERS[0], "token": "x", "workspaceId": USERS[0]})
        sync_database[each].create_index("token")
    (run,) = sync_database[RUNS].find()
    seq = run["journalEntries"]
    sync_database[JOURNAL].insert_one(
        {"_id": {"run": run["_id"], "seq": seq}, "state": state, "token": run["token"]}
        | forge(name)
    )
    sync_database[RUNS].update_one(
        {},
        {"$set": {"journalEntries": seq + 1, "state": "running" if state == "pending" else "done"}},
    )
    stood = holds(sync_database)
    codes = [await code_of(uri, Migration.rollback)]
    codes += [await code_of(uri, Migration.apply)] if state == "pending" else []

    assert {ExitCode.PENDING} == set(codes)
    assert [] == changes(stood, holds(sync_database))


def made(database, name, **options):
    database.create_collection(name, **options)


def indexed(database, name, **options):
    database[name].create_index([("x", 1)], **options)


ALTERED = {
    "validator": partial(made, validator={"x": 1}),
    "capped": partial(made, capped=True, size=4096),
    "view": partial(made, viewOn="nothing"),
    "x_1": partial(indexed, unique=True),
    "x_1 ": partial(indexed, expireAfterSeconds=1),
}


@pytest.mark.parametrize("name", OWN_COLLECTIONS)
@pytest.mark.parametrize("what", ALTERED)
async def test_a_record_collection_that_would_not_take_every_record_is_refused(
    sync_database, uri, name, what
):
    """Before anything is written: the journal of such a run would have holes, or wait for ever."""
    little(sync_database)
    ALTERED[what](sync_database, name)
    before = fingerprint(sync_database)

    for _ in range(2):
        with pytest.raises(DamagedRecordsError, match=f"{name} is not .*{what.strip()}"):
            async with Migration(uri) as migration:
                await migration.apply()

    assert [] == changes(before, fingerprint(sync_database))


async def test_a_record_collection_whose_validator_was_taken_away_is_as_good_as_new(
    sync_database, uri
):
    """The server keeps how strictly it worked."""
    little(sync_database)
    for name in OWN_COLLECTIONS:
        made(sync_database, name, validator={"x": 1}, validationLevel="strict")
        sync_database.command("collMod", name, validator={})

    async with Migration(uri) as migration:
        result = await migration.apply()

    assert result.run_id is not None
