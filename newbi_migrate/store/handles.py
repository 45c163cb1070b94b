"""Types of open databases and collections, so that nothing above the store names the driver."""

from __future__ import annotations

from typing import Any, TypeAlias

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

__all__ = ["Collection", "Database"]

Database: TypeAlias = AsyncDatabase[dict[str, Any]]
"""An open database, as :class:`~newbi_migrate.store.connection.Store` has it."""

Collection: TypeAlias = AsyncCollection[dict[str, Any]]
"""A collection of one; what is asked of it goes through functions of the store."""
