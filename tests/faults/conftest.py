"""Processes to be killed, databases to do it in, and how much of a sweep a profile goes through."""

from __future__ import annotations

import os
import random

import pytest
from legacy_cases import build_dirty_database
from little import little_legacy
from processes import Processes

SEED = "NEWBI_FAULTS_SEED"


class Sample:
    """A part of a sweep, the whole of it in the thorough profile.

    Every change is judged by the same part; a seed in the environment draws another one.
    """

    def __init__(self):
        self.thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
        self.seed = int(os.environ.get(SEED, "0"))

    def of(self, everything, size):
        everything = list(everything)
        if self.thorough or size >= len(everything):
            return everything
        return random.Random(self.seed).sample(everything, size)

    def __str__(self):
        return f"{SEED}={self.seed}"


@pytest.fixture(scope="session")
def sample():
    return Sample()


@pytest.fixture(scope="session")
def legacy(sample):
    """Fills a database: with every collection and every oddity, or in little where time is short.

    A migration of it ends with 5.
    """
    return every_collection if sample.thorough else little_legacy


def every_collection(database):
    build_dirty_database(database, seed=21, users=2, documents_per_user=4)


@pytest.fixture(scope="session")
def processes():
    """Starts processes of the tool and kills what is left of them."""
    starter = Processes()
    yield starter
    starter.close()


@pytest.fixture(params=["standalone", "replica set"])
def server(request):
    """A server without transactions, and one with them."""
    names = {"standalone": "mongod", "replica set": "replica_set"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def fresh(servers, database_name):
    """Gives databases filled by a function, and their connection strings; drops them."""
    made = []

    def make(server, fill):
        name = f"{database_name}_{len(made)}"
        made.append(name)
        database = servers.client(server)[name]
        fill(database)
        return database, server.uri_for(name)

    yield make
    for name in made:
        servers.drop(name)


def pytest_collection_modifyitems(items):
    """The whole of a sweep takes longer than any other test may."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "thorough":
        for item in items:
            if "faults" in item.path.parts:
                item.add_marker(pytest.mark.timeout(4 * 3600))
