"""Hypothesis profiles, the servers of a test session and a fresh database for each test.

The servers are always our own. What ``MONGODB_URI`` names is taken out of the environment, so that
neither a test nor a process it starts can reach a developer's, or worse, a production database.
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import contextmanager

import pytest
from controlled_mongod import ControlledMongod
from hypothesis import HealthCheck, settings
from pymongo import AsyncMongoClient, MongoClient

from newbi_migrate.testing.server import TEST_DATABASE_PREFIX

os.environ.pop("MONGODB_URI", None)

# A shell that starts the suite in the background has it ignore Ctrl-C, and all its children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two busy cores make any deadline, and any limit on drawing time, a flaky test.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# Every change is judged by the same examples; the thorough profile draws new ones.
_SAME = {"derandomize": True, "print_blob": True}
settings.register_profile("fast", max_examples=30, **_SAME, **_COMMON)
settings.register_profile("ci", max_examples=150, **_SAME, **_COMMON)
settings.register_profile("thorough", max_examples=2_000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


class Servers:
    """The servers that the session has started so far, each with one client for housekeeping."""

    def __init__(self):
        self._clients = {}

    @contextmanager
    def run(self, **options):
        with ControlledMongod(**options) as server, MongoClient(server.uri) as client:
            self._clients[server] = client
            yield server
            del self._clients[server]

    def client(self, server):
        return self._clients[server]

    def drop(self, database_name):
        for server, client in self._clients.items():
            if server.running:
                client.drop_database(database_name)


@pytest.fixture(scope="session")
def servers():
    return Servers()


@pytest.fixture(scope="session")
def mongod(servers):
    """A standalone server with fail points: no transactions, no change streams."""
    with servers.run(test_commands=True) as server:
        yield server


@pytest.fixture(scope="session")
def replica_set(servers):
    """A replica set of one member, with fail points: transactions, change streams, snapshots."""
    with servers.run(replica_set=True, test_commands=True) as server:
        yield server


@pytest.fixture(scope="session")
def mongod_with_auth(servers):
    """A standalone server that wants credentials; ``add_user`` makes users with fewer rights."""
    with servers.run(auth=True, test_commands=True) as server:
        yield server


@pytest.fixture
def database_name(servers):
    """A name that no other test has; that database is dropped from every server afterwards."""
    name = f"{TEST_DATABASE_PREFIX}{uuid.uuid4().hex[:16]}"
    yield name
    servers.drop(name)


@pytest.fixture
def uri(mongod, database_name):
    """The connection string of a fresh database on the standalone server."""
    return mongod.uri_for(database_name)


@pytest.fixture
def replica_uri(replica_set, database_name):
    """The connection string of a fresh database on the replica set."""
    return replica_set.uri_for(database_name)


@pytest.fixture
async def database(uri):
    """The fresh database on the standalone server, through PyMongo's asynchronous API."""
    async with AsyncMongoClient(uri) as client:
        yield client.get_default_database()


@pytest.fixture
async def replica_database(replica_uri):
    """The fresh database on the replica set, through PyMongo's asynchronous API."""
    async with AsyncMongoClient(replica_uri) as client:
        yield client.get_default_database()


@pytest.fixture
def sync_database(servers, mongod, database_name):
    """The fresh database on the standalone server, through PyMongo's synchronous API."""
    return servers.client(mongod)[database_name]


@pytest.fixture
def sync_replica_database(servers, replica_set, database_name):
    """The fresh database on the replica set, through PyMongo's synchronous API."""
    return servers.client(replica_set)[database_name]
