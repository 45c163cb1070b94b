"""The e-mails of legacy users, for a report that shows whom its ids are of.

Reads only. It changes when a legacy user is recognised by something else.
"""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.store.decoding import LENIENT

__all__ = ["read_emails"]


async def read_emails(database: AsyncDatabase[Any], collection: str) -> dict[str, str]:
    """Each legacy user's id, as text, to his e-mail, where he has one.

    Args:
        database: The database.
        collection: Name of the legacy users' collection.
    """
    found: dict[str, str] = {}
    # A text that is not UTF-8 is no reason to have no report.
    users = database.get_collection(collection, codec_options=LENIENT)
    cursor = users.find({}, {"email": 1}, comment="newbi-migrate report")
    async with cursor:
        async for user in cursor:
            if isinstance(user.get("email"), str):
                found[str(user["_id"])] = user["email"]
    return found
