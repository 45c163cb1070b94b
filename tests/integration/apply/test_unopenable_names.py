"""A collection that the server holds and the driver does not open hinders no run."""

from __future__ import annotations

import pytest
from fingerprints import changes, fingerprint
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.checks import Level
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.migration.facade import Migration

NAMES = ["a..b", "d."]


@pytest.fixture
def legacy(sync_database):
    """A user with invoices."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    return sync_database


def add(database, name):
    """Make a collection that the server takes and the driver does not open."""
    database.command("insert", name, documents=[{"_id": 1}])


def held(database):
    return fingerprint(database, run_records=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("afterwards", [False, True])
async def test_every_command_but_a_backup_leaves_it_alone(uri, legacy, name, afterwards):
    """Also where somebody made it after the migration: the way back stays open."""
    before = held(legacy)
    if not afterwards:
        add(legacy, name)
    async with Migration(uri) as migration:
        await migration.plan()
        await migration.apply()
        if afterwards:
            add(legacy, name)
        report = await migration.validate()
        await migration.finalize(keep=True)
        status = await migration.status()
        back = await migration.rollback_all()
    there = set(legacy.list_collection_names())
    legacy.command("drop", name)

    assert ExitCode.DONE == report.exit_code
    assert 2 == len(status.runs) == len(back)
    assert name in there
    assert [] == changes(before, held(legacy))


async def test_a_backup_and_a_diagnosis_name_it(uri, legacy, tmp_path):
    """A backup without it would not be whole, and no run could be backed by it."""
    add(legacy, NAMES[0])
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match=r"'a\.\.b'"):
            await migration.backup(tmp_path)
        found = (await migration.doctor(watch=0)).checks

    assert [Level.FAILED] == [each.level for each in found if each.id == "collection-names"]
    assert [] == list(tmp_path.iterdir())
