"""The e-mails of legacy users, for a report that shows whom its ids are of.

Reads only.
"""

from __future__ import annotations

from newbi_migrate.store.decoding import decode
from newbi_migrate.store.handles import Database
from newbi_migrate.store.raw import split_documents
from newbi_migrate.store.reading import read_batches

__all__ = ["read_emails"]


async def read_emails(database: Database, collection: str) -> dict[str, str]:
    """Each legacy user's id, as text, to their e-mail, where they have one.

    Args:
        database: The database.
        collection: Name of the legacy users' collection.
    """
    found: dict[str, str] = {}
    users = database[collection]
    async for batch in read_batches(users, ["email"], comment="newbi-migrate report"):
        for user, _ in map(decode, split_documents(batch)):
            if isinstance(user.get("email"), str):
                found[str(user["_id"])] = user["email"]
    return found
