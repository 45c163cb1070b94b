"""Collections that a restore put into the place of others, and the way back.

A restored collection is filled under a name of the tool's own. Then the present one is put aside,
under another, and the restored one takes its name: two renames, each told by the identities (UUIDs)
of the collections, so that both can be repeated. Taking it back exchanges them again. Nothing that
ever stood in place is dropped, and none of a suspended process's renames finds its way afterwards:
the name it would take is taken, or what it would rename is gone. What it still inserts makes a
collection anew under the name that is filled: a copy of a part of the backup, which is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DamagedRecordsError, DatabaseMovedOnError
from newbi_migrate.store.collections import CollectionInfo, collections
from newbi_migrate.store.lease import RUNS
from newbi_migrate.store.runs import RunRecord
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.structure import Renamed, drop_collection, rename_collection

__all__ = ["RESTORE", "Replacement", "put_back", "put_in_place", "replacements_of"]

RESTORE = "restore"
"""Command of a run that put collections into the place of others."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A collection that is, or is to be, in the place of another.

    Attributes:
        number: That of the run.
        collection: The name in question.
        before: UUID of the collection that had the name; empty if none had.
        restored: UUID of the one that takes its place; empty as long as it is not whole.
    """

    number: int
    collection: str
    before: str = ""
    restored: str = ""

    @property
    def restoring(self) -> str:
        """Name of the restored one until it is whole."""
        return f"{OWN_PREFIX}restoring_{self.number}_{self.collection}"

    @property
    def aside(self) -> str:
        """Name of the other one afterwards; once that is taken back, of the restored one."""
        return f"{OWN_PREFIX}aside_{self.number}_{self.collection}"

    def is_left_over(self, uuid: str) -> bool:
        """Whether what is filled under that name is of a process that another has overtaken.

        Args:
            uuid: UUID of the collection that has the name ``restoring``; empty for none.
        """
        return bool(uuid) and uuid not in (self.before, self.restored)

    def to_record(self) -> dict[str, Any]:
        """The entry of the run's record."""
        return {"collection": self.collection, "before": self.before, "restored": self.restored}


def replacements_of(run: RunRecord) -> list[Replacement]:
    """What a run puts, or has put, in place.

    Raises:
        DamagedRecordsError: Its record names a collection with which no restore does that.
    """
    found = []
    for entry in run.document.get("replaced", ()):
        name = entry["collection"]
        if name.startswith(("system.", OWN_PREFIX)):
            raise DamagedRecordsError(
                f"The record of run {run.run_id} says that {name!r} was replaced, which this tool "
                "never does.",
                next_step="Nothing was written. Somebody changed the records; restore the backup "
                "if the database cannot be trusted.",
                collection=RUNS,
                document_id=run.run_id,
            )
        found.append(Replacement(run.number, name, entry["before"], entry["restored"]))
    return found


async def put_in_place(session: LeasedSession, one: Replacement) -> None:
    """Put the present collection aside, and the restored one in its place; either may be done.

    Raises:
        DatabaseMovedOnError: Somebody made a collection of that name, or dropped one of them.
        NewbiMigrateError: The session stopped it; the same call goes on.
    """
    there = await _identities(session)
    here = there.get(one.collection, "")
    if here == one.restored:
        return
    if here:
        if here != one.before:
            raise _made_anew(one)
        await _rename(session, one, one.collection, one.aside)
    await _rename(session, one, one.restoring, one.collection)


async def put_back(session: LeasedSession, one: Replacement) -> None:
    """Give a collection its name back, and put the restored one aside; any part may be done.

    Raises:
        DatabaseMovedOnError: Somebody made a collection of that name, or dropped one of them.
        NewbiMigrateError: The session stopped it; the same call goes on.
    """
    if not one.restored:
        # What is there was never in place, and is not whole.
        await drop_collection(session, one.restoring)
        return
    there = await _identities(session)
    # Somebody may have given it another name since it was put aside.
    now = next((name for name, uuid in there.items() if uuid and uuid == one.before), None)
    if one.before and now is None:
        raise _made_anew(one)
    if one.is_left_over(there.get(one.restoring, "")):
        await drop_collection(session, one.restoring)
    if there.get(one.collection) == one.restored:
        await _rename(session, one, one.collection, one.restoring)
    if now is not None and now != one.collection:
        await _rename(session, one, now, one.collection)
    if one.restored in (there.get(one.collection), there.get(one.restoring)):
        await _rename(session, one, one.restoring, one.aside)


async def _identities(session: LeasedSession) -> Mapping[str, str]:
    infos: Mapping[str, CollectionInfo] = await collections(
        session.database, comment=session.comment
    )
    return {name: info.uuid for name, info in infos.items()}


async def _rename(session: LeasedSession, one: Replacement, name: str, to: str) -> None:
    if await rename_collection(session, name, to) is not Renamed.DONE:
        raise _made_anew(one)


def _made_anew(one: Replacement) -> DatabaseMovedOnError:
    return DatabaseMovedOnError(
        f"Somebody made or dropped {one.collection!r} while it was replaced.",
        next_step=f"No document is lost: what was there is {one.aside}, and the restored one "
        f"{one.restoring}, as long as they have not their places. Stop whoever writes there, give "
        f"the new {one.collection} another name, and run the same command again.",
        collection=one.collection,
    )
