"""The end of the legacy users' collection: renamed, or dropped once nobody can be lost with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.planning.survey import aside_name, kept_name
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.raw import element, raw_documents
from newbi_migrate.store.runs import RunRecord, RunWriter, migrated_users
from newbi_migrate.store.session import LeasedSession

__all__ = ["LegacyUsers", "count_legacy_users", "refuse_made_anew", "refuse_unaccounted"]

_BATCH: Final = 10_000


class LegacyUsers:
    """The collection of legacy users, which ``finalize`` renames or drops.

    Args:
        session: The leased session.
        source: Name of the collection.
        journal: Journal of the run.
        runs: All runs, the newest first.
        resumed: The run, as it was left, if it goes on.
    """

    def __init__(
        self,
        session: LeasedSession,
        source: str,
        journal: Journal,
        runs: Sequence[RunRecord],
        resumed: RunRecord | None,
    ) -> None:
        self._session = session
        self._source = source
        self._journal = journal
        self._runs = runs
        self._resumed = resumed

    async def end(self, result: FinalizeResult, *, keep: bool) -> None:
        """Rename or drop it; either may be done already.

        Before it is dropped it is renamed, out of everybody's reach, and looked at once more.

        Raises:
            DatabaseMovedOnError: It holds a user whom no run that is in place accounts for.
            NewbiMigrateError: The session stopped it.
        """
        source, database = self._source, self._session.database
        result.legacy = source
        result.kept_as = kept_name(source) if keep else None
        names = set(await database.list_collection_names(comment=self._session.comment))
        if keep:
            if source in names and source != kept_name(source):
                await self._rename(source, kept_name(source))
            kept = kept_name(source)
            result.legacy_users = await count_legacy_users(database, source, kept, self._resumed)
            return
        aside = aside_name(source)
        if source in names:
            await self._rename(source, aside)
        result.legacy_users = await count_legacy_users(database, source, aside, self._resumed)
        if source not in names and aside not in names:
            return
        try:
            await refuse_unaccounted(database, aside, self._runs, quarantined=False)
        except DatabaseMovedOnError:
            await self._rename_back(aside)
            raise
        await RunWriter(self._session).note_legacy_users(result.legacy_users)
        seq = await self._journal.append(EntryKind.COLLECTION, source, {"dropped": True})
        self._session.safe_point()
        await database.drop_collection(aside, comment=self._session.comment)
        await self._journal.applied(seq)

    async def _rename(self, now: str, then: str) -> None:
        seq = await self._journal.append(EntryKind.COLLECTION, now, {"renamed": then})
        self._session.safe_point()
        await self._session.database[now].rename(then, comment=self._session.comment)
        await self._journal.applied(seq)

    async def _rename_back(self, aside: str) -> None:
        refuse_made_anew(self._source, await self._session.database.list_collection_names())
        self._session.safe_point()
        await self._session.database[aside].rename(self._source, comment=self._session.comment)


async def count_legacy_users(
    database: AsyncDatabase[dict[str, Any]], source: str, then: str, resumed: RunRecord | None
) -> int:
    """How many legacy users there are, or were before they were dropped.

    Args:
        database: Where.
        source: Name their collection has, or had.
        then: Name it is given, under which it is already, perhaps.
        resumed: A run that dropped it, perhaps, and was interrupted.
    """
    names = await database.list_collection_names()
    for name in (source, then):
        if name in names:
            return await database[name].count_documents({})
    return 0 if resumed is None else int(resumed.document.get("legacyUsers", 0))


def refuse_made_anew(source: str, names: Collection[str]) -> None:
    """Fail where the application made the collection anew that was renamed.

    Args:
        source: Name of the collection of legacy users.
        names: Names of all collections.

    Raises:
        UsageError: It did; both hold users, perhaps.
    """
    for then in (aside_name(source), kept_name(source)):
        if then != source and {source, then} <= {*names}:
            raise UsageError(
                f"{source} was renamed to {then}, and the application made it anew.",
                next_step=f"No user was dropped. Stop the application, move the users of both "
                f"into {source}, drop {then}, and take this run back: newbi-migrate rollback.",
            )


async def refuse_unaccounted(
    database: AsyncDatabase[dict[str, Any]],
    name: str,
    runs: Sequence[RunRecord],
    *,
    quarantined: bool,
) -> None:
    """Fail where a collection holds a legacy user whom no run that is in place accounts for.

    Args:
        database: Where.
        name: Name of the collection.
        runs: All runs.
        quarantined: Whether users whom a run left out are accounted for.

    Raises:
        DatabaseMovedOnError: It does.
    """
    accounted = await _accounted_users(database, runs, quarantined=quarantined)
    example: Any = None
    count = 0
    async for kind, value in _ids(database, name):
        if id_key_of(kind, value) not in accounted:
            if not count:
                example = decode_id(kind, value)
            count += 1
    if count:
        raise DatabaseMovedOnError(
            f"{count:,} legacy users are in the records of no migration that is in place, for "
            f"example {example}.",
            next_step="They were not dropped. Migrate them first: newbi-migrate migrate.",
            document_id=example,
        )


async def _accounted_users(
    database: AsyncDatabase[dict[str, Any]], runs: Sequence[RunRecord], *, quarantined: bool
) -> set[bytes]:
    """Keys of the legacy users whom a run that is in place migrated.

    Args:
        database: Where.
        runs: All runs.
        quarantined: Whether those a run left out count too.
    """
    found: set[bytes] = set()
    for run in runs:
        if run.stands and run.command == "migrate":
            async for line in migrated_users(database, run.run_id):
                if quarantined or line.get("userId") is not None:
                    found.add(id_key(line["legacyUserId"]))
    return found


async def _ids(
    database: AsyncDatabase[dict[str, Any]], name: str
) -> AsyncIterator[tuple[int, bytes]]:
    cursor = database[name].find_raw_batches({}, {"_id": 1}, batch_size=_BATCH)
    async for raw in raw_documents(cursor):
        found = element(raw, "_id")
        if found is not None:
            yield found
