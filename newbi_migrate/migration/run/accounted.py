"""What the runs that stand recorded of legacy users.

A user without a line came later, or went back with a part of a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.journal import EntryKind, JournalReader
from newbi_migrate.store.raw import element
from newbi_migrate.store.reading import matching
from newbi_migrate.store.runs import (
    RunRecord,
    RunState,
    migrated_users,
    unfinished_run,
    users_gone_back,
)

__all__ = [
    "Unaccounted",
    "filled_before",
    "last_migration",
    "recorded_aliases",
    "recorded_reasons",
    "unaccounted_users",
]

# Of users whom a run migrated, and whom the server did not refuse.
_MIGRATED: Final = {"userId": {"$ne": None}, "reason": None}
_ALIASED: Final = {
    "userId": {"$ne": None},
    # Where the server refused a fill or an account alone, the documents followed all the same.
    "$or": [{"reason": None}, {"memberId": None}],
    "outcome": Outcome.ALIASED.value,
    "_id.legacy": {"$type": "objectId"},
}


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """Legacy users whom no run accounts for.

    Attributes:
        number: How many there are.
        example: The id of the first; ``None`` if there is none.
    """

    number: int = 0
    example: Any = None


def last_migration(runs: Iterable[RunRecord]) -> RunRecord | None:
    """The newest migration that stands; it holds a line for each legacy user there was.

    Args:
        runs: All runs, the newest first.
    """
    return next((run for run in runs if run.stands and run.command == "migrate"), None)


async def recorded_reasons(database: Database, runs: Iterable[RunRecord]) -> dict[bytes, str]:
    """Key of each legacy user whom the last migration quarantined, to the reason.

    Args:
        database: Where.
        runs: All runs, the newest first.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    if (last := last_migration(runs)) is None:
        return {}
    lines = migrated_users(database, last.run_id)
    return {
        id_key(line["_id"]["legacy"]): line["reason"]
        async for line in lines
        if line.get("reason") is not None
    }


async def recorded_aliases(
    database: Database, runs: Sequence[RunRecord], *, comment: str
) -> dict[ObjectId, ObjectId]:
    """Legacy users who became another user in a migration that stands, with that one.

    Who went back since with a part of a run is not among them. A migration that was interrupted
    counts too, once it has begun with documents: some of theirs name that user by now.

    Args:
        database: Where.
        runs: All runs, the newest first.
        comment: Attached to every command.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    aliases: dict[ObjectId, ObjectId] = {}
    unfinished = unfinished_run(runs)
    if (
        unfinished is not None
        and (unfinished.command, unfinished.state) == ("migrate", RunState.RUNNING)
        and await JournalReader(database, unfinished.run_id).count(EntryKind.WINDOW)
    ):
        async for line in migrated_users(database, unfinished.run_id, _ALIASED):
            aliases[line["_id"]["legacy"]] = line["userId"]
    async for line in _standing_lines(database, runs, _ALIASED, comment=comment):
        aliases.setdefault(line["_id"]["legacy"], line["userId"])
    return aliases


async def filled_before(
    database: Database, runs: Iterable[RunRecord], users: Mapping[ObjectId, ObjectId]
) -> frozenset[tuple[ObjectId, str]]:
    """Those of some legacy users whose documents a migration that stands has filled.

    Each is named with ``user``, and with ``organization`` if they had one then: who owned several
    got none filled.

    A migration counts for nobody if a part of one was taken back after it, or a restore put
    users or organizations in place: what it filled may be gone again. Nor does it count for
    somebody whom it did not fill, since their document was changed just before.

    Args:
        database: Where.
        runs: All runs, the newest first.
        users: Legacy user to the user whose documents would be filled.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    standing = [run for run in runs if run.stands]
    undone = max(
        (
            run.last_lease
            for run in standing
            if (run.command == "migrate" and run.partly_rolled_back)
            or not run.replaced.isdisjoint(TARGET_COLLECTIONS)
        ),
        default=0,
    )
    found: set[tuple[ObjectId, str]] = set()
    for run in standing:
        if run.command == "migrate" and run.number > undone:
            named = [{"run": run.run_id, "legacy": user} for user in users]
            only = {**_MIGRATED, "unfilled": {"$ne": True}, "_id": {"$in": named}}
            async for line in migrated_users(database, run.run_id, only):
                legacy_id = line["_id"]["legacy"]
                # Whoever had that user may have come again as another.
                if line["userId"] == users[legacy_id]:
                    found.add((legacy_id, "user"))
                    if line["organizationId"] is not None:
                        found.add((legacy_id, "organization"))
    return frozenset(found)


async def unaccounted_users(
    database: Database,
    name: str,
    runs: Sequence[RunRecord],
    *,
    quarantined: bool,
    comment: str,
) -> Unaccounted:
    """Look for legacy users of whom no run that is in place holds a line, or who went back since.

    Args:
        database: Where.
        name: Name of the collection of legacy users.
        runs: All runs, the newest first.
        quarantined: Whether users whom a run quarantined are accounted for.
        comment: Attached to every command.

    Raises:
        DamagedRecordsError: A line of a run is not what this tool writes.
    """
    accounted = {
        id_key(line["_id"]["legacy"])
        async for line in _standing_lines(database, runs, comment=comment)
        if quarantined or line.get("userId") is not None
    }
    number, example = 0, None
    async for raw in matching(database[name], {}, (), comment=comment):
        identifier = element(raw, "_id")
        if identifier is not None and id_key_of(*identifier) not in accounted:
            example = example if number else decode_id(*identifier)
            number += 1
    return Unaccounted(number, example)


async def _standing_lines(
    database: Database,
    runs: Sequence[RunRecord],
    only: Mapping[str, Any] | None = None,
    *,
    comment: str,
) -> AsyncIterator[Mapping[str, Any]]:
    """Lines of the migrations that stand, the newest first, but for users who went back since."""
    gone: set[bytes] = set()
    partly = any(run.partly_rolled_back for run in runs)
    for run in runs:
        if not run.stands or run.command != "migrate":
            continue
        # An older run may hold a line of somebody who went back with a part of a newer one.
        if partly:
            gone |= await users_gone_back(database, run.run_id, comment=comment)
        async for line in migrated_users(database, run.run_id, only):
            if id_key(line["_id"]["legacy"]) not in gone:
                yield line
