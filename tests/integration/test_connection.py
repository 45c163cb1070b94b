"""Opening a database: by connection string, and by whatever handle a host application has."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from fingerprints import fingerprint
from pymongo import AsyncMongoClient, MongoClient, ReadPreference

from newbi_migrate.errors import (
    NewbiMigrateError,
    NotPermittedError,
    UnreachableError,
    UsageError,
)
from newbi_migrate.store.connection import Topology, open_database
from newbi_migrate.store.faults import explained
from newbi_migrate.store.uri import ConnectionString


async def test_a_connection_string_opens_the_database_it_names(uri, database_name):
    """The database is the one in the path, and the server says what it is."""
    async with open_database(ConnectionString(uri)) as store:
        assert database_name == store.database.name
        assert Topology.STANDALONE is store.server.topology
        assert store.server.version >= (5, 0)
        assert not store.server.has_transactions


async def test_a_replica_set_is_recognised(replica_uri):
    """Where there are transactions, they are used."""
    async with open_database(replica_uri) as store:
        assert Topology.REPLICA_SET is store.server.topology
        assert store.server.has_transactions


async def test_opening_writes_nothing(sync_database, uri):
    """Connecting builds no index and no collection."""
    sync_database["users"].insert_one({"_id": 1})
    before = fingerprint(sync_database)
    async with open_database(uri):
        pass

    assert before == fingerprint(sync_database)


async def test_a_host_keeps_its_own_client(uri):
    """A handle of PyMongo's asynchronous API is used as it is and left open."""
    async with AsyncMongoClient(uri) as client:
        async with open_database(client.get_default_database()) as store:
            assert client is store.database.client
        assert {"ok": 1.0} == await client.admin.command("ping")


async def test_the_codec_and_read_preference_of_a_host_do_not_reach_us(uri):
    """A host that decodes into its own types, or reads from secondaries, changes nothing here."""
    raw = CodecOptions(document_class=RawBSONDocument)
    async with AsyncMongoClient(uri) as client:
        handle = client.get_default_database().with_options(
            codec_options=raw, read_preference=ReadPreference.SECONDARY
        )
        await handle["users"].insert_one({"_id": 1, "a": {"b": 2}})
        async with open_database(handle) as store:
            found = await store.database["users"].find_one()

            assert dict is type(found)
            assert ReadPreference.PRIMARY == store.database.read_preference


async def test_a_synchronous_handle_is_bridged(mongod_with_auth, database_name):
    """A client of our own reaches the same database with the same credentials, and is closed."""
    uri = mongod_with_auth.add_user("host", "s3cret", database=database_name, roles=["readWrite"])
    with MongoClient(uri) as client:
        handle = client.get_default_database()
        handle["users"].insert_one({"_id": 1})
        async with open_database(handle) as store:
            found = await store.database["users"].find_one()

        assert {"_id": 1} == found
        assert 1 == handle["users"].count_documents({})


async def test_a_motor_handle_is_bridged(mongod_with_auth, database_name):
    """A host on Motor hands in the database it has, credentials and all."""
    motor = pytest.importorskip("motor.motor_asyncio", reason="only with the extra 'motor'")
    uri = mongod_with_auth.add_user("host", "s3cret", database=database_name, roles=["readWrite"])
    client = motor.AsyncIOMotorClient(uri)
    handle = client.get_default_database()
    await handle["users"].insert_one({"_id": 1})
    async with open_database(handle) as store:
        found = await store.database["users"].find_one()

    assert {"_id": 1} == found
    assert 1 == await handle["users"].count_documents({})
    client.close()


async def test_what_is_no_database_is_refused_in_one_sentence():
    """A client, a name or a number is told apart from a database."""
    with pytest.raises(UsageError, match="A int is no database handle"):
        async with open_database(7):
            pass


def test_a_server_that_does_not_answer_is_unreachable():
    """The host is named, within the time the connection string gives."""
    # In a process of its own: PyMongo leaves a socket open if it is closed while connecting.
    program = """
import asyncio
from newbi_migrate import UnreachableError, open_database

async def main():
    try:
        async with open_database("mongodb://127.0.0.1:9/newbi?serverSelectionTimeoutMS=200"):
            pass
    except UnreachableError as error:
        print(error.what)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert "No MongoDB server answered at 127.0.0.1:9.\n" == done.stdout


async def test_refused_credentials_are_unreachable_without_the_password(mongod_with_auth):
    """A wrong password ends in one sentence that does not hold it."""
    uri = f"mongodb://nobody:hunter2@127.0.0.1:{mongod_with_auth.port}/newbi"
    with pytest.raises(UnreachableError) as caught, explained("connecting"):
        async with open_database(uri) as store:
            await store.database["users"].find_one()

    assert "refused the user name or the password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_role_that_may_not_write_is_said_without_the_document(
    mongod_with_auth, database_name
):
    """The server's message quotes the command with the document; ours names both, no more."""
    uri = mongod_with_auth.add_user("reader", "s3cret", database=database_name, roles=["read"])
    async with open_database(uri) as store:
        with pytest.raises(NotPermittedError) as caught, explained("running migrate"):
            await store.database["users"].insert_one({"_id": ObjectId(), "email": "a@b.fr"})

    assert f"This user may not run insert on {database_name}" in caught.value.what
    assert "a@b.fr" not in str(caught.value)


async def test_a_duplicate_key_is_said_without_the_key(database):
    """Keys are personal data: an error tells the code and keeps the address."""
    await database["users"].create_index("email", unique=True)
    await database["users"].insert_one({"email": "ana@exemple.fr"})
    with pytest.raises(NewbiMigrateError) as caught, explained("writing"):
        await database["users"].insert_one({"email": "ana@exemple.fr"})

    assert "11000" in caught.value.what
    assert "ana" not in str(caught.value)
