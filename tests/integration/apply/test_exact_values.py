"""Values that no decoder keeps: what stood in a field a run wrote comes back byte for byte."""

from __future__ import annotations

import asyncio
import uuid

import bson
import pytest
from bson import ObjectId, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings, strategies as st
from pymongo.errors import AutoReconnect
from small_legacy import USERS, legacy_user

from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store import user_documents
from newbi_migrate.store.raw import document_of, elements
from newbi_migrate.testing.strategies import bson_values

RAW = CodecOptions(document_class=RawBSONDocument)


def counted(content):
    return len(content).to_bytes(4, "little") + content


BLANKS = (b"\0", b" \0", " \u00a0\0".encode())
SAYING_NOTHING = [
    (0x0A, b""),  # null
    (0x06, b""),  # undefined
    *((kind, counted(blank)) for kind in (0x02, 0x0E, 0x0D) for blank in BLANKS),
    (0x0F, (14).to_bytes(4, "little") + counted(b"\0") + b"\x05\0\0\0\0"),  # code with scope
]
ODD = [
    (0x0C, counted(b"Users\0") + USERS[0].binary),  # DBPointer
    (0x0E, counted(str(USERS[0]).encode() + b"\0")),  # symbol
    (0x0D, counted(b"return 1\0")),  # code
    (0x02, counted(b"\xff\xfe\0")),  # no UTF-8
    (0x02, counted(str(USERS[0]).encode() + b"\0")),
    (0x7F, b""),
    (0xFF, b""),
]


def _element(value):
    return next(part[1:] for part in elements(bson.encode({"": value})))


values = st.one_of(
    st.sampled_from(SAYING_NOTHING),
    st.sampled_from(SAYING_NOTHING),
    st.sampled_from(ODD),
    bson_values().map(_element),
)


def fields(*names):
    """Each field absent, there, or there twice, in any order."""
    some = st.lists(st.tuples(st.sampled_from(names), values), max_size=2 * len(names))
    return some.map(lambda parts: [(name, *found) for name, found in parts])


def documents(*names):
    return st.lists(fields(*names), min_size=8, max_size=8)


worlds = st.fixed_dictionaries(
    {
        "user": documents("name", "phoneNumber", "emailVerified", "isActive", "role", "createdAt"),
        "account": documents("accountId", "issuer", "createdAt", "updatedAt"),
        "organization": documents("name", "companyName", "companyEmail", "siret", "createdAt"),
        "invoices": documents("workspaceId", "note"),
    }
)


def begin(database, world):
    """Users who are there already, with an account and an organization, and their invoices."""
    profile = {"firstName": "Jeanne", "lastName": "Dupont", "phone": "0612345678"}
    database["Users"].insert_many([legacy_user(n, profile=profile) for n in range(8)])
    known = {
        "user": [{"_id": u, "email": f"jeanne{n}@exemple.fr"} for n, u in enumerate(USERS)],
        "account": [{"_id": u, "userId": u, "providerId": "credential"} for u in USERS],
        "organization": [{"_id": organization_id(u)} for u in USERS],
        "invoices": [{"_id": ObjectId(), "createdBy": u} for u in USERS],
    }
    database["member"].insert_many(
        {"userId": u, "organizationId": organization_id(u), "role": "owner"} for u in USERS
    )
    for name, drawn in world.items():
        database[name].insert_many(
            document_of(*elements(bson.encode(first)), *parts)
            for first, parts in zip(known[name], drawn, strict=True)
        )


def stored(database, world):
    return {
        name: [
            bytes(document.raw)
            for document in database[name].with_options(codec_options=RAW).find().sort("_id", 1)
        ]
        for name in world
    }


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(worlds)
def test_any_value_comes_back_as_the_bytes_it_was(servers, mongod, world):
    """Undefined, symbol, code, no UTF-8, a field that is there twice: filled, and taken back."""
    client = servers.client(mongod)
    database = client[f"newbi_test_{uuid.uuid4().hex[:16]}"]
    begin(database, world)
    before = stored(database, world)

    async def there_and_back():
        async with Migration(mongod.uri_for(database.name)) as migration:
            done = await migration.apply()
            again = await migration.plan()
            after = stored(database, world)
            await migration.rollback()
        return done, again, after

    done, again, after = asyncio.run(there_and_back())

    assert before == stored(database, world)
    assert before != after
    assert not again.pending
    assert "changed-meanwhile" not in {finding.code for finding in done.findings}
    client.drop_database(database.name)


@pytest.mark.parametrize(
    ("uri_name", "database_name_"),
    [("uri", "sync_database"), ("replica_uri", "sync_replica_database")],
    ids=["standalone", "replica set"],
)
async def test_a_timestamp_of_zero_is_carried_as_it_is(request, uri_name, database_name_):
    """A server that inserts a document writes the present in its place; nobody changed it."""
    uri, database = request.getfixturevalue(uri_name), request.getfixturevalue(database_name_)
    zero = Timestamp(0, 0)
    database["Users"].insert_many([legacy_user(n) for n in range(2)])
    # An update leaves it as it is.
    database["Users"].update_one({"_id": USERS[0]}, {"$set": {"synced": zero, "seen": zero}})
    async with Migration(uri) as migration:
        await migration.apply()
        user = database["user"].find_one({"_id": USERS[0]})
        back = await migration.rollback()

    assert (zero, zero) == (user["synced"], user["seen"])
    assert (ExitCode.DONE, 0) == (back.exit_code, database["user"].count_documents({}))


@pytest.mark.parametrize("changed", [False, True])
async def test_a_timestamp_of_zero_is_carried_as_it_is_though_the_connection_is_lost(
    uri, sync_database, monkeypatch, changed
):
    """Between the two statements of a server without transactions; no change of others is lost."""
    zero = Timestamp(0, 0)
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    sync_database["Users"].update_one({"_id": USERS[0]}, {"$set": {"synced": zero}})
    real, failed = user_documents.zeros_to_set, []

    def lost(raw):
        found = real(raw)
        if found and not failed:
            failed.append(raw)
            if changed:
                sync_database["user"].update_one({"_id": USERS[0]}, {"$set": {"name": "Léa"}})
            raise AutoReconnect("closed")
        return found

    monkeypatch.setattr(user_documents, "zeros_to_set", lost)
    async with Migration(uri) as migration:
        await migration.apply()
        user = sync_database["user"].find_one({"_id": USERS[0]})
        back = await migration.rollback()

    assert 1 == len(failed)
    if changed:
        assert "Léa" == user["name"]
        assert ExitCode.ROLLBACK_CONFLICTS == back.exit_code
    else:
        assert zero == user["synced"]
        assert (ExitCode.DONE, 0) == (back.exit_code, sync_database["user"].count_documents({}))
