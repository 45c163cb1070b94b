"""The e-mails of legacy users, for a report that shows whom its ids are of.

Reads only.
"""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.store.decoding import decoded

__all__ = ["read_emails"]


async def read_emails(database: AsyncDatabase[Any], collection: str) -> dict[str, str]:
    """Each legacy user's id, as text, to their e-mail, where they have one.

    Args:
        database: The database.
        collection: Name of the legacy users' collection.
    """
    found: dict[str, str] = {}
    users: Any = database[collection]
    cursor = users.find_raw_batches({}, {"email": 1}, comment="newbi-migrate report")
    async for user, _ in decoded(cursor):
        if isinstance(user.get("email"), str):
            found[str(user["_id"])] = user["email"]
    return found
