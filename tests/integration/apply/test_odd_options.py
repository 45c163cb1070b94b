"""Validators, views and index filters hold what the driver cannot decode, or reads otherwise."""

from __future__ import annotations

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import IndexModel
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.errors import UnsupportedError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.store.raw import document_of

# The latest date that JavaScript has.
LATEST = DatetimeMS(8_640_000_000_000_000)


def with_validator(database, value):
    database.command("create", "offers", validator={"until": {"$ne": value}})


def with_a_view(database, value):
    stages = [{"$match": {"until": {"$ne": value}}}]
    database.command("create", "offers", viewOn="invoices", pipeline=stages)


def with_an_index(database, value):
    partial = {"until": {"$eq": value}}
    database["offers"].create_indexes([IndexModel("until", partialFilterExpression=partial)])


ODD = [with_validator, with_a_view, with_an_index]


@pytest.fixture
def legacy(sync_database):
    """A user with invoices."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    return sync_database


@pytest.mark.parametrize("make", ODD)
async def test_a_date_beyond_pythons_hinders_no_command(uri, legacy, database, tmp_path, make):
    """There and back, from a backup and into one collection's place: all of it as it was."""
    make(legacy, LATEST)

    async def compared():
        return (await compare_backup(made.path, database)).equal

    async with Migration(uri) as migration:
        made = await migration.backup(tmp_path)
        await migration.doctor()
        await migration.plan()
        await migration.apply()
        await migration.validate()
        there = await compared()
        await migration.rollback_all()
        back = await compared()
        legacy["invoices"].delete_many({})
        await restore_backup(made.path, database, drop=True)
        restored = await compared()
        await restore_backup(made.path, database, drop=True, only=["invoices"])
        await migration.rollback()

    assert [False, True, True, True] == [there, back, restored, await compared()]


def stored(value):
    """A value as no method of the driver sends it, in a filter."""
    return document_of(("until", 0x03, bytes(document_of(("$eq", *value)).raw)))


@pytest.mark.parametrize(
    "value",
    [(0x0E, b"\x05\0\0\0text\0"), (0x02, b"\x03\0\0\0\xff\xfe\0")],
    ids=["a symbol", "text that is not UTF-8"],
)
@pytest.mark.parametrize("make", ["validator", "index"])
async def test_what_the_driver_reads_as_something_else_is_refused_by_a_backup_alone(
    uri, legacy, tmp_path, value, make
):
    """It would come back as something else; the sentence names the collection."""
    odd = stored(value)
    if make == "validator":
        legacy.command("create", "offers", validator=odd)
    else:
        index = {"key": {"until": 1}, "name": "odd", "partialFilterExpression": odd}
        legacy.command("createIndexes", "offers", indexes=[index])
    async with Migration(uri) as migration:
        await migration.apply()
        await migration.rollback()
        with pytest.raises(UnsupportedError, match="'offers'"):
            await migration.backup(tmp_path)

    assert [] == list(tmp_path.iterdir())
