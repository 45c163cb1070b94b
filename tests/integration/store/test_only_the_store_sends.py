"""Every command of the run book leaves from the store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener
from small_legacy import USERS, invoices, legacy_user

import newbi_migrate
from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.restore.run import restore_backup

ROOT = Path(newbi_migrate.__file__).parent
# The driver's own, and those of the document models, which a migration does not use.
NOBODYS = {"endSessions", "hello", "killCursors"}
SENDING = "store/"


class Senders(CommandListener):
    """The commands that were sent, each with the module of ours that is innermost in the call."""

    def __init__(self):
        self.seen = set()

    def started(self, event):
        frame = sys._getframe()
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT):
                self.seen.add((event.command_name, path.relative_to(ROOT).as_posix()))
                return
            frame = frame.f_back
        self.seen.add((event.command_name, "nobody"))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


async def run_book(database, folder, other):
    """Every use-case once, and those that write in each of their ways."""
    async with Migration(database) as migration:
        await migration.doctor(watch=0)
        backup = (await backup_database(database, folder)).path
        await compare_backup(backup, database)
        await migration.doctor(backup=backup, watch=0)
        await migration.plan()
        await migration.apply()
        await migration.validate()
        await migration.validate(detailed=True)
        await migration.validate(sample=5)
        await migration.indexes()
        await migration.indexes(apply=True)
        await migration.rollback(dry_run=True)
        await migration.rollback_all()
        await migration.apply()
        await migration.backfill()
        await migration.finalize(dry_run=True)
        await migration.finalize(keep=True)
        await restore_backup(backup, other)
        await migration.status()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri_name", "database_name_"),
    [("uri", "sync_database"), ("replica_uri", "sync_replica_database")],
    ids=["standalone", "replica set"],
)
async def test_every_command_of_the_run_book_leaves_from_the_store(
    request, servers, tmp_path, uri_name, database_name_
):
    """The innermost module of ours in each call that sends one is of the store."""
    uri, database = request.getfixturevalue(uri_name), request.getfixturevalue(database_name_)
    database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for user in USERS[:3]:
        database["invoices"].insert_many(invoices(user, 3))
    database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    other = f"{database.name}_b"
    senders = Senders()
    try:
        async with AsyncMongoClient(uri, event_listeners=[senders]) as client:
            handle = client.get_default_database()
            await run_book(handle, tmp_path, client[other])
    finally:
        servers.drop(other)
    others = {
        (command, module)
        for command, module in senders.seen
        if not module.startswith(SENDING) and command not in NOBODYS
    }

    assert set() == others
    assert {"aggregate", "find", "insert", "update", "createIndexes"} <= {
        c for c, _ in senders.seen
    }
