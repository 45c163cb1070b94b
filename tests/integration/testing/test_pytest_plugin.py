"""The fixtures that are shipped for a host application's tests."""

from __future__ import annotations

from pymongo import MongoClient

from newbi_migrate.testing.pytest_plugin import embedded_mongod, embedded_uri

__all__ = ["embedded_mongod", "embedded_uri"]


def test_a_host_gets_a_database_of_its_own(embedded_uri):
    """The fixture gives the connection string of an empty database on a server that runs."""
    with MongoClient(embedded_uri) as client:
        database = client.get_default_database()
        database["jobs"].insert_one({"title": "one"})

        assert ["jobs"] == database.list_collection_names()
