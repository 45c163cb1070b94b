"""Opening a database: by connection string, and by whatever handle a host application has."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager

import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from fingerprints import fingerprint
from little import little_legacy
from pymongo import AsyncMongoClient, MongoClient, ReadPreference
from pymongo.server_api import ServerApi

from newbi_migrate.errors import (
    NewbiMigrateError,
    NotPermittedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from newbi_migrate.migration.facade import Migration
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.connection import Topology, administration, open_database
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


async def test_a_time_limit_is_said_of_what_has_one(uri, mongod):
    """Of finding the server: its answers have none, and may be waited for under the same words."""
    said = []

    class Saying(NullProgress):
        def phase(self, name, total):
            said.append(name)

    async with open_database(uri, progress=Saying()):
        pass

    assert [f"waiting for 127.0.0.1:{mongod.port} (10 s at most to find it)"] == said


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


async def test_what_is_no_database_is_refused_in_one_sentence(uri):
    """A client, a name or a number is told apart from a database."""
    with MongoClient(uri) as client:
        for handle, name in ((7, "int"), (client, "MongoClient")):
            with pytest.raises(UsageError, match=f"A {name} is not a database handle"):
                async with open_database(handle):
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

    assert "No MongoDB server answered at 127.0.0.1:9 in 0.2 s.\n" == done.stdout


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


# -- what cannot be opened ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["admin", "config", "local", "Admin"])
async def test_a_database_of_the_servers_own_is_refused(mongod, name):
    """Users, settings and the log of operations are in it; by name or by handle, none is opened."""
    async with AsyncMongoClient(mongod.uri) as client:
        for source in (mongod.uri_for(name), client[name]):
            with pytest.raises(UsageError, match="the server's own"):
                async with open_database(source):
                    pass


async def test_another_database_of_the_same_server_is_opened_by_name(uri, database_name):
    """With all that is explicit about the first one."""
    async with open_database(uri + "?readPreference=secondary", name=f"{database_name}b") as store:
        assert f"{database_name}b" == store.database.name
        assert ReadPreference.PRIMARY == store.database.read_preference


@pytest.mark.parametrize("name", ["a/b", "$x"])
async def test_a_name_that_no_database_can_have_is_refused(uri, name):
    """It is said before anything is asked of it."""
    with pytest.raises(UsageError, match="not a name that a database can have"):
        async with open_database(uri, name=name):
            pass


async def test_administration_is_asked_of_the_primary(uri):
    """Operations, sessions and rights are the primary's to know, whatever a host reads from."""
    options = "?readPreference=secondary&readConcernLevel=linearizable"
    async with AsyncMongoClient(uri + options) as client:
        admin = administration(client.get_default_database())

    assert ReadPreference.PRIMARY == admin.read_preference
    assert {"level": "local"} == admin.read_concern.document


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("authMechanism=MONGODB-AWS&authSource=$external", "pymongo[aws]"),
        ("maxStalenessSeconds=90", "maxStalenessSeconds"),
        (f"tls=true&tlsCertificateKeyFile={__file__}", "cannot be used"),
    ],
)
async def test_options_that_cannot_be_used_are_a_usage_error(mongod, options, words):
    """The sentence names the package, or what does not go together."""
    with pytest.raises(UsageError) as caught:
        async with open_database(f"mongodb://u:s3cret@127.0.0.1:{mongod.port}/newbi?{options}"):
            pass

    assert words in caught.value.what
    assert "s3cret" not in str(caught.value)


async def test_a_host_that_dns_does_not_know_is_unreachable():
    """A mistyped Atlas host is no mistake in the options."""
    with pytest.raises(UnreachableError, match="DNS lookup"):
        async with open_database("mongodb+srv://nowhere.invalid/newbi?connectTimeoutMS=500"):
            pass


async def test_a_closed_client_is_a_usage_error(uri):
    """A host that closed its client hears that, and of no defect."""
    async with AsyncMongoClient(uri) as client:
        handle = client.get_default_database()
    with pytest.raises(UsageError, match="the client is closed"):
        async with open_database(handle):
            pass


async def test_a_client_of_another_event_loop_is_a_usage_error(uri):
    """PyMongo's asynchronous client works in the loop that opened it."""

    async def elsewhere():
        client = AsyncMongoClient(uri)
        await client.admin.command("ping")
        handles.append(client.get_default_database())
        await client.close()
        return client

    handles = []
    await asyncio.to_thread(asyncio.run, elsewhere())
    with pytest.raises(UsageError, match=r"event loop|closed"):
        async with open_database(handles[0]):
            pass


# -- what the server refuses -------------------------------------------------------------------


@contextmanager
def parameter(client, name):
    client.admin.command("setParameter", 1, **{name: True})
    try:
        yield
    finally:
        client.admin.command("setParameter", 1, **{name: False})


async def test_a_server_without_scans_is_named_by_its_parameter(uri, sync_database):
    """Reading everything is what a plan is."""
    little_legacy(sync_database)
    async with Migration(uri) as migration:
        with (
            parameter(sync_database.client, "notablescan"),
            pytest.raises(UnsupportedError, match="parameter notablescan"),
        ):
            await migration.plan()


async def test_a_strict_client_of_a_host_is_unsupported(uri):
    """The Stable API has not what is asked of a server."""
    async with AsyncMongoClient(uri, server_api=ServerApi("1", strict=True)) as client:
        with pytest.raises(UnsupportedError, match="Stable API"):
            async with open_database(client.get_default_database()):
                pass


def test_a_server_that_wants_a_version_has_answered(mongod):
    """It is not unreachable: it refuses every client that names no version of the Stable API."""
    # In a process of its own: PyMongo leaves a socket open if it is closed while connecting.
    program = f"""
import asyncio
from newbi_migrate import NewbiMigrateError, open_database

async def main():
    try:
        async with open_database("{mongod.uri_for("newbi")}?serverSelectionTimeoutMS=500"):
            pass
    except NewbiMigrateError as error:
        print(int(error.exit_code), error.what)

asyncio.run(main())
"""
    with (
        MongoClient(mongod.uri, server_api=ServerApi("1")) as client,
        parameter(client, "requireApiVersion"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
        )

    assert done.stdout.startswith("9 The server answered and refused")


async def test_a_database_whose_name_differs_by_case_is_named(uri, database_name, sync_database):
    """The server takes no second one; the name is wrong in the connection string."""
    sync_database["users"].insert_one({"_id": 1})
    other = database_name.upper()
    async with open_database(uri, name=other) as store:
        with pytest.raises(UsageError, match=database_name), explained("writing"):
            await store.database["users"].insert_one({"_id": 1})
