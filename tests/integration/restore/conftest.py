"""A database to restore into."""

from __future__ import annotations

import pytest


@pytest.fixture
def other_name(servers, database_name):
    """Another database, dropped afterwards."""
    name = f"{database_name}_b"
    yield name
    servers.drop(name)


@pytest.fixture
def other(database, other_name):
    return database.client[other_name]


@pytest.fixture
def sync_other(sync_database, other_name):
    return sync_database.client[other_name]
