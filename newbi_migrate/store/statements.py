"""What the server still does for a client that is gone: its statements and its transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from bson import Binary, ObjectId
from pymongo.errors import OperationFailure

from newbi_migrate.progress import Progress
from newbi_migrate.server_codes import Code
from newbi_migrate.store.connection import administration
from newbi_migrate.store.handles import Database
from newbi_migrate.store.session import LeasedSession

__all__ = ["end_transaction", "wait_for_statements"]

_LOOK_EVERY: Final = 0.5


async def wait_for_statements(
    database: Database,
    runs: Collection[ObjectId],
    progress: Progress,
    safe_point: Callable[[], None],
) -> None:
    """Wait until the server has finished what dead clients had asked for.

    A server goes on with the statement of a client that was killed. Statements are found by
    their comment; only the current user's own operations can be seen without a privilege.

    Args:
        database: The database.
        runs: The runs whose statements are waited for, whatever became of them.
        progress: Told if there is something to wait for.
        safe_point: Called before each further look; what it raises ends the waiting.
    """
    comments = [str(run_id) for run_id in runs]
    told = False
    while await _statement_running(database, comments):
        if not told:
            progress.phase("waiting for a statement of a run that stopped", None)
            told = True
        safe_point()
        await asyncio.sleep(_LOOK_EVERY)


async def _statement_running(database: Database, comments: Sequence[str]) -> bool:
    pipeline: list[Mapping[str, Any]] = [
        {"$currentOp": {"allUsers": False, "idleConnections": False}},
        {"$match": {"command.comment": {"$in": comments}, "active": True}},
        {"$match": {"command.aggregate": {"$ne": 1}}},
        {"$limit": 1},
    ]
    try:
        async with await administration(database).aggregate(pipeline) as cursor:
            return bool([operation async for operation in cursor])
    except OperationFailure as error:
        if error.code == Code.UNAUTHORIZED:
            # Without that privilege nobody can look; statements are guarded all the same, and
            # what they may still write stays in the journal.
            return False
        raise


async def end_transaction(session: LeasedSession, session_id: Binary) -> None:
    """End a transaction that its client left open, and wait for one that is being committed.

    The server would keep it for a minute, and the documents it wrote locked.

    Args:
        session: The leased session.
        session_id: Id of the server session of that client.

    Raises:
        NewbiMigrateError: The session stopped it.
    """
    session.safe_point()
    await administration(session.database).command("killSessions", [{"id": session_id}])
