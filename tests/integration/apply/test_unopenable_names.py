"""A collection that the server holds and the driver does not open hinders no run."""

from __future__ import annotations

import json

import pytest
from bson import encode
from fingerprints import changes, fingerprint
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.checks import Level
from newbi_migrate.errors import (
    ConfirmationRequiredError,
    DamagedBackupError,
    ExitCode,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.restore.run import restore_backup

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


async def test_a_restore_and_a_comparison_see_it(uri, legacy, tmp_path):
    """It is in no backup: the database is neither empty nor equal to one until it is dropped."""
    async with Migration(uri) as migration:
        made = await migration.backup(tmp_path)
    before = held(legacy)
    legacy.client.drop_database(legacy.name)
    add(legacy, NAMES[0])
    with pytest.raises(ConfirmationRequiredError, match=r"it holds a\.\.b"):
        await restore_backup(made.path, uri)
    assert 1 == legacy.command("count", NAMES[0])["n"]
    result = await restore_backup(made.path, uri, drop=True)
    equal = await compare_backup(made.path, uri)
    add(legacy, NAMES[0])
    differs = await compare_backup(made.path, uri)

    assert ("a..b",) == result.dropped
    assert equal.equal
    assert [("extra", "a..b")] == [(d.kind, d.collection) for d in differs.differences]
    legacy.command("drop", NAMES[0])
    assert [] == changes(before, held(legacy))


@pytest.mark.parametrize("drop", [False, True])
async def test_a_dump_that_holds_one_is_refused_before_anything_is_dropped(
    uri, legacy, tmp_path, drop
):
    """The others can be restored by their names; mongorestore takes it too."""
    before = held(legacy)
    folder = tmp_path / "dump" / "shop"
    folder.mkdir(parents=True)
    for name in ("a..b", "clients"):
        (folder / f"{name}.bson").write_bytes(encode({"_id": 1}))
        described = {"options": {}, "indexes": [], "collectionName": name, "type": "collection"}
        (folder / f"{name}.metadata.json").write_text(json.dumps(described))
    with pytest.raises(DamagedBackupError, match="the driver opens no collection of its name"):
        await restore_backup(tmp_path / "dump", uri, drop=drop)
    assert [] == changes(before, held(legacy))
    await restore_backup(tmp_path / "dump", uri, drop=True, only=["clients"])

    assert 1 == legacy["clients"].count_documents({})


async def test_a_backup_and_a_diagnosis_name_it(uri, legacy, tmp_path):
    """A backup without it would not be whole, and no run could be backed by it."""
    add(legacy, NAMES[0])
    async with Migration(uri) as migration:
        with pytest.raises(UsageError, match=r"'a\.\.b'"):
            await migration.backup(tmp_path)
        found = (await migration.doctor(watch=0)).checks

    assert [Level.FAILED] == [each.level for each in found if each.id == "collection-names"]
    assert [] == list(tmp_path.iterdir())
