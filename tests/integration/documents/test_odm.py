"""Beanie on top of the plain models, against a real server."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

import beanie
import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import ValidationError
from pymongo import MongoClient

from newbi_migrate.documents import billing, odm
from newbi_migrate.documents.scalars import NonEmptyText
from newbi_migrate.documents.scoped import MongooseDocument
from newbi_migrate.errors import UsageError
from newbi_migrate.testing import strategies

MOTOR = hasattr(beanie.Document, "get_motor_collection")
ODD = {
    "_id": ObjectId("64b0c0ffee0123456789abcd"),
    "zz": 1,
    "status": 7,
    "createdBy": "abc",
    "items": {"a": 1},
    "client": {"name": None, "q": [{"t": Timestamp(1, 2)}], "_id": ObjectId()},
    "n": None,
    "long": Int64(3),
    "decimal": Decimal128("1.10"),
    "date": DatetimeMS(2**60),
    "bytes": b"x",
    "binary": Binary(b"1", 5),
    "regex": Regex("a", "i"),
    "code": Code("x", {"a": 1}),
    "min": MinKey(),
    "load": "a field named like a method",
    "__v": 0,
}


@pytest.fixture
def stored(sync_database):
    """Puts a document into a collection, or tells the bytes of the only one there."""

    def run(collection, document=None):
        if document is not None:
            sync_database[collection].delete_many({})
            sync_database[collection].insert_one(dict(document))
        raw = sync_database[collection].with_options(
            codec_options=sync_database.codec_options.with_options(document_class=RawBSONDocument)
        )
        return raw.find_one().raw

    return run


async def test_connecting_builds_nothing(host, sync_database):
    """Neither a collection nor an index comes of importing the documents and connecting them."""
    sync_database["invoices"].insert_one({})
    await odm.init_documents(host)

    assert ["invoices"] == sync_database.list_collection_names()
    assert ["_id_"] == list(sync_database["invoices"].index_information())


async def test_whatever_is_stored_is_loaded_and_written_back(host, stored):
    """Reading, replacing and saving keep every byte, in fields nobody declared as well."""
    before = stored("invoices", ODD)
    await odm.init_documents(host, odm.Invoice)
    found = await odm.Invoice.find_one(odm.Invoice.id == ODD["_id"])

    assert (before, "abc") == (bson.encode(found.to_document()), found.created_by)
    await found.replace()
    assert before == stored("invoices")
    await found.save()
    assert before == stored("invoices")


async def test_any_document_is_loaded_by_its_model(host, stored):
    """What the strategies draw for a model is read from the server as it was stored."""
    await odm.init_documents(host)
    read = []

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def collect(data):
        document = data.draw(st.sampled_from(odm.DOCUMENTS))
        drawn = data.draw(strategies.wild_documents(document))
        drawn["_id"] = ObjectId()
        read.append((document, drawn))

    collect()
    for document, drawn in read:
        before = stored(document.Settings.name, drawn)
        (found,) = await document.find_all().to_list()
        assert before == bson.encode(found.to_document())


async def test_an_update_leaves_no_null_behind(host, stored):
    """A field the server took out is out of the document in Python, not null."""
    stored("invoices", ODD)
    await odm.init_documents(host, odm.Invoice)
    found = await odm.Invoice.get(str(ODD["_id"]))
    await found.update({"$unset": {"status": 1, "zz": 1}, "$set": {"number": "000001"}})

    assert stored("invoices") == bson.encode(found.to_document())
    assert ("000001", "DRAFT") == (found.number, found.status)


async def test_syncing_reads_again(host, stored, sync_database):
    """After a change made elsewhere the document is as the stored one."""
    stored("invoices", ODD)
    await odm.init_documents(host, odm.Invoice)
    found = await odm.Invoice.get(ODD["_id"])
    sync_database["invoices"].update_one({}, {"$unset": {"status": 1}, "$set": {"new": 1}})
    await found.sync()

    assert stored("invoices") == bson.encode(found.to_document())


async def test_construction_is_strict_and_inserts_what_it_says(host, stored):
    """A new document is validated, and stored with what the application adds, without nulls."""
    await odm.init_documents(host)
    with pytest.raises(ValidationError):
        odm.Board(title="x")
    board = odm.Board(title="x", workspace_id=ObjectId(), user_id=ObjectId())
    await board.insert()

    assert {
        "_id": board.id,
        "__v": 0,
        "createdAt": board.created_at,
        "updatedAt": board.updated_at,
        "workspaceId": board.workspace_id,
        "userId": board.user_id,
        "title": "x",
    } == bson.decode(stored("boards"), bson.CodecOptions(tz_aware=True))
    assert [board] == await odm.Board.find(odm.Board.user_id == board.user_id).to_list()


async def test_a_dictionary_of_the_caller_is_validated_strictly(host):
    """Only what came from the server is read tolerantly."""
    await odm.init_documents(host, odm.Invoice)

    with pytest.raises(ValidationError):
        odm.Invoice.model_validate(ODD)


async def test_the_legacy_users_are_found_under_their_exact_name(host, sync_database):
    """Names of collections are case-sensitive, and both occur."""
    sync_database["Users"].insert_one({"email": "JEAN@NEWBI.FR"})
    await odm.init_documents(host, odm.LegacyUser, legacy_collection="Users")
    (found,) = await odm.LegacyUser.find_all().to_list()

    assert "JEAN@NEWBI.FR" == found.email


async def test_a_host_brings_its_own_model(host, stored):
    """A plain model of somebody else becomes a document, once."""

    class Order(MongooseDocument):
        collection_name: ClassVar[str] = "orders"
        title: NonEmptyText

    document = odm.document_for(Order)
    before = stored("orders", {"_id": 1, "title": 7})
    await odm.init_documents(host, document)
    (found,) = await document.find_all().to_list()

    assert document is odm.document_for(Order)
    assert before == bson.encode(found.to_document())


def test_a_plain_model_knows_its_document():
    """Each registered model has one document, with the same collection."""
    assert odm.Invoice is odm.document_for(billing.Invoice)
    assert len(odm.DOCUMENTS) == len({document.Settings.name for document in odm.DOCUMENTS})


def test_a_model_without_a_collection_is_refused():
    """A sentence tells what is missing."""
    with pytest.raises(UsageError, match="names no collection"):
        odm.document_for(MongooseDocument)


async def test_the_other_drivers_database_is_refused(uri):
    """Beanie's own message for this is hard to understand."""
    if MOTOR:
        with MongoClient(uri) as client, pytest.raises(UsageError, match="Motor databases alone"):
            await odm.init_documents(client.get_default_database())
    elif importlib.util.find_spec("motor"):
        from motor.motor_asyncio import AsyncIOMotorClient

        client = AsyncIOMotorClient(uri)
        with pytest.raises(UsageError, match="does not understand a Motor"):
            await odm.init_documents(client.get_default_database())
        client.close()
