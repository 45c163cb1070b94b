"""The end of the legacy users' collection: renamed, or dropped once nobody can be lost with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.planning.survey import dropping_name, kept_name
from newbi_migrate.migration.run.accounted import unaccounted_users
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.counting import count
from newbi_migrate.store.handles import Database
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.runs import RunRecord, RunWriter
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import Renamed, drop_collection, rename_collection

__all__ = ["LegacyUsers", "count_legacy_users", "refuse_made_anew", "refuse_unaccounted"]

_COMMENT: Final = "newbi-migrate finalize"


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
            DatabaseMovedOnError: It holds a user whom no run that is in place accounts for, or
                somebody removed it at that moment.
            NewbiMigrateError: The session stopped it.
        """
        source, database = self._source, self._session.database
        names = await collection_names(database, comment=self._session.comment)
        if keep:
            if source in names and source != kept_name(source):
                await self._rename(source, kept_name(source))
            kept = kept_name(source)
            result.legacy_users = await count_legacy_users(database, source, kept, self._resumed)
            return
        dropping = dropping_name(source)
        if source in names:
            await self._rename(source, dropping)
        result.legacy_users = await count_legacy_users(database, source, dropping, self._resumed)
        if source not in names and dropping not in names:
            return
        try:
            await refuse_unaccounted(database, dropping, self._runs, quarantined=False)
        except DatabaseMovedOnError:
            await self._rename_back(dropping)
            raise
        await RunWriter(self._session).note_legacy_users(result.legacy_users)
        seq = await self._journal.append(EntryKind.COLLECTION, source, {"dropped": True})
        await drop_collection(self._session, dropping)
        await self._journal.applied(seq)

    async def _rename(self, now: str, then: str) -> None:
        seq = await self._journal.append(EntryKind.COLLECTION, now, {"renamed": then})
        await self._move(now, then)
        await self._journal.applied(seq)

    async def _rename_back(self, dropping: str) -> None:
        database, comment = self._session.database, self._session.comment
        refuse_made_anew(self._source, await collection_names(database, comment=comment))
        await self._move(dropping, self._source)

    async def _move(self, now: str, then: str) -> None:
        if await rename_collection(self._session, now, then) is not Renamed.DONE:
            raise DatabaseMovedOnError(
                f"The collection {now} could not be renamed to {then}: somebody removed the one, "
                "or made the other, at that moment.",
                next_step="No user was dropped. The same command again goes on with what is there.",
                collection=now,
            )


async def count_legacy_users(
    database: Database, source: str, then: str, resumed: RunRecord | None
) -> int:
    """How many legacy users there are, or were before they were dropped.

    Args:
        database: Where.
        source: Name their collection has, or had.
        then: Name it is given, under which it is already, perhaps.
        resumed: A run that dropped it, perhaps, and was interrupted.
    """
    names = await collection_names(database, comment=_COMMENT)
    for name in (source, then):
        if name in names:
            return await count(database[name], comment=_COMMENT)
    return 0 if resumed is None else int(resumed.document.get("legacyUsers", 0))


def refuse_made_anew(source: str, names: Collection[str]) -> None:
    """Fail where the application made the collection anew that was renamed.

    Args:
        source: Name of the collection of legacy users.
        names: Names of all collections.

    Raises:
        UsageError: It did; both hold users, perhaps.
    """
    for then in (dropping_name(source), kept_name(source)):
        if then != source and {source, then} <= {*names}:
            raise UsageError(
                f"{source} was renamed to {then}, and the application made it anew.",
                next_step=f"No user was dropped. Stop the application, move the users of both "
                f"into {source}, drop {then}, and take this run back: newbi-migrate rollback.",
            )


async def refuse_unaccounted(
    database: Database,
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
        quarantined: Whether users whom a run quarantined are accounted for.

    Raises:
        DatabaseMovedOnError: It does.
    """
    found = await unaccounted_users(database, name, runs, quarantined=quarantined, comment=_COMMENT)
    if found.number:
        raise DatabaseMovedOnError(
            f"Legacy users who are not migrated: {found.number:,}, for example "
            f"{shown_id(found.example)}.",
            next_step="They were not dropped. Migrate them first: newbi-migrate migrate.",
            document_id=found.example,
        )
