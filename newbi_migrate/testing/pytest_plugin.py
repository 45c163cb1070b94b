"""Fixtures for a host application's tests.

A host's ``conftest.py`` names the plugin::

    pytest_plugins = ["newbi_migrate.testing.pytest_plugin"]
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from newbi_migrate.testing.mongod import EmbeddedMongod

__all__ = ["embedded_mongod", "embedded_uri"]


@pytest.fixture(scope="session")
def embedded_mongod() -> Iterator[EmbeddedMongod]:
    """A standalone MongoDB of the test session's own, which leaves nothing behind."""
    with EmbeddedMongod() as server:
        yield server


@pytest.fixture
def embedded_uri(embedded_mongod: EmbeddedMongod) -> str:
    """The connection string of a database on that server that no other test has."""
    return embedded_mongod.uri_for(f"test_{uuid.uuid4().hex[:16]}")
