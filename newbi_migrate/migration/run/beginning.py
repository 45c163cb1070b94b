"""Begin a run: record what it is, and what is there before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.journal import Journal
from newbi_migrate.store.runs import RunWriter
from newbi_migrate.store.session import LeasedSession

__all__ = ["begin_run"]


async def begin_run(
    session: LeasedSession,
    record: RunWriter,
    description: Mapping[str, Any],
    *,
    collections: Sequence[str],
    indexed: Iterable[str],
) -> Journal:
    """Record that a run begins, and return its journal.

    Args:
        session: The leased session.
        record: Writer of the run's record.
        description: What the run is: its command, its choices, its source, and what was planned.
        collections: Names of the collections that are there, for a rollback.
        indexed: Names of those of which the indexes are recorded.

    Raises:
        NewbiMigrateError: The session stopped it.
    """
    before = [
        {"collection": name, "indexes": list(await read_indexes(session.database, name))}
        for name in indexed
    ]
    await record.start(
        {
            **description,
            "version": version("newbi-migrate"),
            "server": ".".join(map(str, session.server.version)),
            "database": session.database.name,
            "collectionsBefore": list(collections),
            # A list of pairs: names of collections may hold dots.
            "indexesBefore": before,
        }
    )
    journal = await Journal.take_over(session)
    await record.note_journal(journal.next_seq)
    return journal
