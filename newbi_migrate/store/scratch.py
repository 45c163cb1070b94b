"""The end of a database that was made for a rehearsal."""

from __future__ import annotations

from typing import Final

from pymongo.errors import OperationFailure

from newbi_migrate.server_codes import Code
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.handles import Database

__all__ = ["drop_scratch"]

_COMMENT: Final = "newbi-migrate rehearse"


async def drop_scratch(database: Database) -> None:
    """Drop a database that was empty when the rehearsal began.

    Its collections are dropped one by one where this user may not drop a database: the role
    ``readWrite`` holds no ``dropDatabase``.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    try:
        await database.client.drop_database(database.name, comment=_COMMENT)
    except OperationFailure as error:
        if error.code != Code.UNAUTHORIZED:
            raise
        for name in await collection_names(database):
            if not name.startswith("system."):
                await database.drop_collection(name, comment=_COMMENT)
