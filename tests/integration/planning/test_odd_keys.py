"""Keys that are to be unique, and hold what a query or the driver takes for something else."""

from __future__ import annotations

import pytest
from backups import raw_documents
from bson import Code, DBRef, MaxKey, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from small_legacy import USERS, legacy_user

from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.results import IndexAction
from newbi_migrate.store.raw import document_of, element_of

NAME = "email_1_workspaceId_1"
STRING, ARRAY, BINARY, REGEX, UNDEFINED, SYMBOL, CODE = 0x02, 0x04, 0x05, 0x0B, 0x06, 0x0E, 0x0D
NO_UTF8 = b"\x05\0\0\0\xff\xfe\x80z\0"
FAR = DatetimeMS(2**62)

VALUES = {
    "an operator": element_of({"$oid": str(ObjectId())}),
    "a reference": element_of(DBRef("clients", 1)),
    "a pattern": element_of(Regex("^jeanne")),
    "a pattern that is none": element_of(Regex("(")),
    "code": element_of(Code("f()", {"until": FAR})),
    "a far date": element_of(FAR),
    "the greatest": element_of(MaxKey()),
    "undefined": (UNDEFINED, b""),
    "text that is not UTF-8": (STRING, NO_UTF8),
    "a symbol that is not UTF-8": (SYMBOL, NO_UTF8),
    "code that is not UTF-8": (CODE, NO_UTF8),
    "a pattern that is not UTF-8": (REGEX, b"\xff\0\0"),
    "a binary of a wrong length": (BINARY, b"\x02\0\0\0\x02ab"),
}


def each_value(test):
    return pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))(test)


def clients(database, *values):
    """A client for each value of ``email``; all of them are one user's."""
    database["Users"].insert_one(legacy_user(0))
    ids = [ObjectId() for _ in values]
    documents = [
        document_of(
            ("_id", *element_of(i)), ("createdBy", *element_of(USERS[0])), ("email", *value)
        )
        for i, value in zip(ids, values, strict=True)
    ]
    database.command("insert", "clients", documents=documents)
    return ids


@each_value
async def test_documents_that_share_any_value_are_named_with_their_owner(sync_database, uri, value):
    """No value is taken for an operator, a pattern or nothing at all."""
    *ids, _ = clients(sync_database, value, value, value, element_of("jeanne@exemple.fr"))

    async with Migration(uri) as migration:
        plan = await migration.plan()

    (collision,) = [each for each in plan.collisions if each.index == NAME]
    assert sorted(ids) == sorted(document for document, _ in collision.documents)


@each_value
async def test_an_index_is_refused_whatever_the_value_that_documents_share(
    sync_database, uri, value
):
    """A list is another value than a longer one, and the index has the keys of both."""
    shorter = document_of(("0", *value))
    longer = document_of(("0", *value), ("1", *element_of(1)))
    clients(sync_database, (ARRAY, bytes(shorter.raw)), (ARRAY, bytes(longer.raw)))
    before = raw_documents(sync_database, "clients")

    async with Migration(uri) as migration:
        planned = {each.spec.name: each.action for each in (await migration.plan()).indexes}
        result = await migration.apply()
        await migration.rollback()

    assert IndexAction.CREATE == planned[NAME]
    assert "share a key" in {each.spec.name: each.reason for each in result.indexes}[NAME]
    assert before == raw_documents(sync_database, "clients")
