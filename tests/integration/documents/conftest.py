"""A database as a backend has it."""

from __future__ import annotations

import beanie
import pytest

MOTOR = hasattr(beanie.Document, "get_motor_collection")


@pytest.fixture
async def host(uri):
    """The database as a host application has it: Motor's with Beanie 1, PyMongo's with 2."""
    if MOTOR:
        from motor.motor_asyncio import AsyncIOMotorClient

        client = AsyncIOMotorClient(uri)
        yield client.get_default_database()
        client.close()
    else:
        from pymongo import AsyncMongoClient

        async with AsyncMongoClient(uri) as client:
            yield client.get_default_database()
