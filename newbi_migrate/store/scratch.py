"""The end of a database that was made for a rehearsal."""

from __future__ import annotations

from typing import Final

from newbi_migrate.store.handles import Database

__all__ = ["drop_scratch"]

_COMMENT: Final = "newbi-migrate rehearse"


async def drop_scratch(database: Database) -> None:
    """Drop a database that was empty when the rehearsal began.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    await database.client.drop_database(database.name, comment=_COMMENT)
