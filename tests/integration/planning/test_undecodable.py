"""Values no driver can decode, and ids of any type: named, and migrated around."""

from __future__ import annotations

import struct

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from leases import leased
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.errors import DatabaseMovedOnError, ExitCode
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.finalize.legacy_users import refuse_unaccounted
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.rules import Severity
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.emails import read_emails
from newbi_migrate.store.ids import id_key, id_key_of
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import document_of, element, elements
from newbi_migrate.store.stamping import write_groups

NOT_TEXT = (0x02, struct.pack("<i", 3) + b"\xe9t\0")
BAD_BINARY = (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09")
NOT_UTF8_NAME = "caf\udce9"
GARBAGE = {
    "binary": ("photo", *BAD_BINARY),
    "text": ("note", *NOT_TEXT),
    "name": (NOT_UTF8_NAME, 0x0A, b""),
    "nested": ("deep", 0x04, bytes(document_of(("0", *BAD_BINARY)).raw)),
}
RAW = CodecOptions(document_class=RawBSONDocument)


def with_parts(document, *parts):
    """A document with further elements, or others in place of those of the same name."""
    names = {name for name, _, _ in parts}
    kept = [part for part in elements(bson.encode(document)) if part[0] not in names]
    return document_of(*kept, *parts)


def bytes_of(database):
    """The bytes of all documents, by collection; without run records, and what is empty."""
    found = {
        name: sorted(document.raw for document in database[name].with_options(RAW).find())
        for name in database.list_collection_names()
        if not name.startswith("newbi_migrate_")
    }
    return {name: documents for name, documents in found.items() if documents}


def ids_and_workspaces(database, name):
    """Key of each document's id to the workspace it holds, as bytes."""
    return {
        id_key_of(*element(document.raw, "_id")): element(document.raw, "workspaceId")
        for document in database[name].with_options(RAW).find()
    }


def quarantined(result):
    return {
        (document.collection, id_key(document.id), document.reason)
        for document in result.quarantine
    }


async def migrate(uri):
    async with Migration(uri, backup_guard=BackupGuard(digests=True)) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)
    return plan, result


async def validate(uri):
    async with Migration(uri) as migration:
        return await migration.validate(unchanged=True, detailed=True)


def critical(report):
    """The critical rules that are broken, and where."""
    return {(r.rule, r.collection) for r in report.results if r.severity is Severity.CRITICAL}


async def rollback(uri):
    async with Migration(uri) as migration:
        return await migration.rollback()


@pytest.mark.parametrize("part", GARBAGE.values(), ids=GARBAGE)
async def test_a_value_no_driver_decodes_stops_nobody_else(uri, sync_database, part):
    """Only what cannot be decided without it is quarantined as unreadable; all else is migrated."""
    people = [legacy_user(n) for n in range(4)]
    sync_database["Users"].insert_many([*people[:3], with_parts(people[3], part)])
    known = {"_id": USERS[2], "email": "jeanne2@exemple.fr", "emailVerified": True}
    sync_database["user"].insert_one(with_parts(known, part))
    good, odd, bad = ({"_id": ObjectId(), **invoice} for invoice in invoices(USERS[0], 3))
    sync_database["invoices"].insert_many(
        [good, with_parts(odd, part), with_parts(bad, ("createdBy", *BAD_BINARY))]
    )
    board = {"_id": ObjectId(), "title": "Chantier"}
    sync_database["boards"].insert_one(with_parts(board, part, ("userId", *NOT_TEXT)))
    sync_database["columns"].insert_one({"boardId": board["_id"], "userId": USERS[1]})
    before = bytes_of(sync_database)
    expected = {
        ("Users", id_key(USERS[3]), Reason.UNREADABLE),
        ("invoices", id_key(bad["_id"]), Reason.UNREADABLE),
        ("boards", id_key(board["_id"]), Reason.UNREADABLE),
    }
    plan, result = await migrate(uri)
    stamped = ids_and_workspaces(sync_database, "invoices")
    column = ids_and_workspaces(sync_database, "columns")
    report = await validate(uri)
    async with Migration(uri) as migration:
        status = await migration.status()
    back = await rollback(uri)

    assert expected == quarantined(plan) == quarantined(result)
    assert (
        status.without_workspace == status.quarantined == {"boards": 1, "columns": 0, "invoices": 1}
    )
    assert all(each.classes.total() == each.documents for each in plan.collections.values())
    assert ExitCode.QUARANTINED is plan.exit_code is result.exit_code
    assert {id_key(bad["_id"])} == {key for key, held in stamped.items() if held is None}
    assert None not in column.values()
    assert set() == critical(report)
    assert ExitCode.DONE is back.exit_code
    assert before == bytes_of(sync_database)


async def test_a_list_whose_items_are_numbered_oddly_is_quarantined(uri, sync_database):
    """No query meets it, and a rollback could not put it back: a run does not wait for it."""
    sync_database["Users"].insert_one(legacy_user(0))
    good, odd = ({"_id": ObjectId(), **invoice} for invoice in invoices(USERS[0], 2))
    items = 0x04, bytes(document_of(("7", 0x0A, b""), ("x", 0x0A, b"")).raw)
    sync_database["invoices"].insert_many([good, with_parts(odd, ("workspaceId", *items))])
    before = bytes_of(sync_database)
    _, result = await migrate(uri)
    _, again = await migrate(uri)
    stamped = ids_and_workspaces(sync_database, "invoices")
    async with Migration(uri) as migration:
        await migration.rollback_all()

    expected = {("invoices", id_key(odd["_id"]), Reason.WRITE_REFUSED)}
    assert expected == quarantined(result) == quarantined(again)
    assert ExitCode.QUARANTINED is result.exit_code is again.exit_code
    assert items == stamped[id_key(odd["_id"])]
    assert items != stamped[id_key(good["_id"])]
    assert before == bytes_of(sync_database)


ODD_IDS = {
    "embedded document": {"firm": 1, "number": 7},
    "Decimal128": Decimal128("7.50"),
    "null": None,
    "binary": Binary(b"\0\1", 5),
    "number": 7,
    "text": "abc",
    "code": Code("f"),
    "timestamp": Timestamp(1, 1),
}


async def test_legacy_users_with_other_ids_are_quarantined(uri, sync_database):
    """Documents cannot refer to them as the new structure does; a run ends all the same."""
    sync_database["Users"].insert_one(legacy_user(0))
    others = [
        legacy_user(0, _id=identifier, email=f"odd{n}@exemple.fr")
        for n, identifier in enumerate(ODD_IDS.values())
    ]
    sync_database["Users"].insert_many(others)
    sync_database["Users"].insert_one(with_parts(legacy_user(1), ("_id", *NOT_TEXT)))
    before = bytes_of(sync_database)
    expected = {
        ("Users", id_key(identifier), Reason.ID_NOT_OBJECT_ID) for identifier in ODD_IDS.values()
    } | {("Users", id_key_of(*NOT_TEXT), Reason.ID_NOT_OBJECT_ID)}
    plan, result = await migrate(uri)
    _, again = await migrate(uri)
    report = await validate(uri)
    back = await rollback(uri)

    assert expected == quarantined(plan) == quarantined(result) == quarantined(again)
    assert 1 == result.created["user"]
    assert set() == critical(report)
    assert ExitCode.DONE is back.exit_code
    assert before == bytes_of(sync_database)


async def test_a_user_whose_id_does_not_decode_is_kept_with_the_others(uri, sync_database):
    """Who was quarantined is accounted for whatever their id, so the collection can be kept."""
    others = [legacy_user(0), legacy_user(2, _id=Decimal128("7.50"))]
    sync_database["Users"].insert_many([*others, with_parts(legacy_user(1), ("_id", *NOT_TEXT))])
    before = bytes_of(sync_database)
    await migrate(uri)
    async with Migration(uri) as migration:
        done = await migration.finalize(keep=True)
        await migration.rollback_all()

    assert (3, 2) == (done.legacy_users, done.quarantined)
    assert before == bytes_of(sync_database)


async def test_a_new_user_whose_id_does_not_decode_is_named_and_not_dropped(uri, sync_database):
    """They have come since the migration, and no run accounts for them."""
    sync_database["Users"].insert_one(legacy_user(0))
    await migrate(uri)
    sync_database["Users"].insert_one(with_parts(legacy_user(1), ("_id", *NOT_TEXT)))
    async with Migration(uri) as migration:
        runs = (await migration.status()).runs
        with pytest.raises(DatabaseMovedOnError, match="undecodable value"):
            await refuse_unaccounted(migration.store.database, "Users", runs, quarantined=True)


@pytest.mark.parametrize("collation", [None, {"locale": "fr", "strength": 1}])
async def test_documents_with_ids_of_any_type_are_stamped(uri, sync_database, collation):
    """All of them, and those that cannot be named are named as unreadable."""
    sync_database["Users"].insert_one(legacy_user(0))
    options = {} if collation is None else {"collation": collation}
    collection = sync_database.create_collection("invoices", **options)
    (invoice,) = invoices(USERS[0], 1)
    ids = [*ODD_IDS.values(), ObjectId(), "Abd", float("nan"), {"firm": Int64(2)}]
    collection.insert_many([{"_id": i, **invoice, "number": str(n)} for n, i in enumerate(ids)])
    collection.insert_one(with_parts(invoice, ("_id", *NOT_TEXT)))
    before = bytes_of(sync_database)
    plan, result = await migrate(uri)
    workspaces = ids_and_workspaces(sync_database, "invoices")
    report = await validate(uri)
    back = await rollback(uri)
    unreadable = {("invoices", id_key_of(*NOT_TEXT), Reason.UNREADABLE)}

    assert unreadable == quarantined(plan) == quarantined(result)
    assert (
        len(ids) == plan.collections["invoices"].stamped == result.collections["invoices"].stamped
    )
    assert {id_key_of(*NOT_TEXT)} == {key for key, held in workspaces.items() if held is None}
    assert {("field.document-id", "invoices")} == critical(report)
    assert ExitCode.DONE is back.exit_code
    assert before == bytes_of(sync_database)


async def test_an_email_beside_undecodable_values_is_read(sync_database, database):
    """A report can say whom its ids are of."""
    sync_database["Users"].insert_one(with_parts(legacy_user(0), ("_id", *BAD_BINARY)))
    sync_database["Users"].insert_one(with_parts(legacy_user(1), ("email", *NOT_TEXT)))
    identifier = decode(bytes(document_of(("_id", *BAD_BINARY)).raw))[0]["_id"]

    assert {str(identifier): "jeanne0@exemple.fr"} == await read_emails(database, "Users")


ANEW = pytest.mark.parametrize(
    ("before", "after", "options", "code"),
    [
        (Int64(7), 7.0, {}, ExitCode.DONE),
        ({"n": 7}, {"n": 7.0}, {}, ExitCode.DONE),
        # It is no document of the run, and stays in its workspace.
        ("abc", "ABC", {"collation": {"locale": "en", "strength": 2}}, ExitCode.PENDING),
    ],
    ids=["number", "number in a document", "text under a collation"],
)


async def written_anew(uri, database, before, after, options):
    """Migrates an invoice, which somebody then stores under an id that is equal to its own."""
    database["Users"].insert_one(legacy_user(0))
    collection = database.create_collection("invoices", **options)
    collection.insert_one({"_id": before, **invoices(USERS[0], 1)[0]})
    await migrate(uri)
    document = collection.find_one({"_id": before})
    collection.delete_one({"_id": before})
    collection.insert_one({**document, "_id": after})


@ANEW
async def test_an_id_that_was_written_anew_is_a_change(
    uri, sync_database, before, after, options, code
):
    """The bytes are no longer those that were backed up."""
    await written_anew(uri, sync_database, before, after, options)
    report = await validate(uri)

    assert ("run.nothing-else-changed", "invoices") in critical(report)


@ANEW
async def test_an_id_that_was_written_anew_stops_no_rollback(
    uri, sync_database, before, after, options, code
):
    """The server finds a number again whatever its type, and no other text."""
    await written_anew(uri, sync_database, before, after, options)
    back = await rollback(uri)

    assert code == back.exit_code


async def test_a_changed_document_with_any_id_is_told_from_the_others(sync_database, database):
    """What became of a window is read again by id, of whatever type."""
    ids = [{"n": 1}, {"n": 2}, Decimal128("7"), None]
    sync_database["invoices"].insert_many([{"_id": identifier} for identifier in ids])
    sync_database["invoices"].update_one({"_id": {"n": 2}}, {"$set": {"workspaceId": 1}})
    group = JournalGroup({"workspaceId": USERS[0]}, {}, ids)
    async with leased(database, targets=["invoices"]) as session:
        outcome = await write_groups(session, "invoices", [group])

    assert ({"n": 2},) == outcome.changed
    assert 3 == sum(len(group.ids) for group in outcome.groups)
