"""What runs that are in place recorded of legacy users.

Of whom none holds a line has come since, or went back with a part of a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import decode_id, id_key, id_key_of
from newbi_migrate.store.raw import element
from newbi_migrate.store.reading import matching
from newbi_migrate.store.runs import RunRecord, migrated_users, users_without_documents

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
    **_MIGRATED,
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
    database: Database, runs: Iterable[RunRecord], *, comment: str
) -> dict[ObjectId, ObjectId]:
    """Legacy users who became another user in a migration that stands, with that one.

    Who went back since with a part of a run is not among them.

    Args:
        database: Where.
        runs: All runs, the newest first.
        comment: Attached to every command.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    aliases: dict[ObjectId, ObjectId] = {}
    gone: set[bytes] = set()
    partly = any(run.partly_rolled_back for run in runs)
    for run in runs:
        if not run.stands or run.command != "migrate":
            continue
        lines = [line async for line in migrated_users(database, run.run_id, _ALIASED)]
        if lines and partly:
            gone |= await users_without_documents(database, run.run_id, comment=comment)
        for line in lines:
            legacy_id = line["_id"]["legacy"]
            if id_key(legacy_id) not in gone:
                aliases.setdefault(legacy_id, line["userId"])
    return aliases


async def filled_before(
    database: Database, runs: Iterable[RunRecord], users: Collection[ObjectId]
) -> frozenset[ObjectId]:
    """Those of some legacy users whose documents a migration that stands has filled.

    One counts for nobody if a part of a run was taken back after it, or a restore put users or
    organizations in place: what it filled may be gone again.

    Args:
        database: Where.
        runs: All runs, the newest first.
        users: Ids of the legacy users.

    Raises:
        DamagedRecordsError: A line is not what this tool writes.
    """
    standing = [run for run in runs if run.stands]
    undone = max(
        (
            run.last_lease
            for run in standing
            if run.partly_rolled_back or not run.replaced.isdisjoint(TARGET_COLLECTIONS)
        ),
        default=0,
    )
    found: set[ObjectId] = set()
    for run in standing:
        if run.command == "migrate" and run.number > undone:
            named = [{"run": run.run_id, "legacy": user} for user in users]
            lines = migrated_users(database, run.run_id, {**_MIGRATED, "_id": {"$in": named}})
            found.update([line["_id"]["legacy"] async for line in lines])
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
    accounted = await _accounted(database, runs, quarantined=quarantined, comment=comment)
    number, example = 0, None
    async for raw in matching(database[name], {}, (), comment=comment):
        identifier = element(raw, "_id")
        if identifier is not None and id_key_of(*identifier) not in accounted:
            example = example if number else decode_id(*identifier)
            number += 1
    return Unaccounted(number, example)


async def _accounted(
    database: Database, runs: Sequence[RunRecord], *, quarantined: bool, comment: str
) -> set[bytes]:
    accounted: set[bytes] = set()
    gone: set[bytes] = set()
    partly = any(run.partly_rolled_back for run in runs)
    for run in runs:
        if run.stands and run.command == "migrate":
            # Other runs may have noted whoever went back with a part of one, before it or after.
            if partly:
                gone |= await users_without_documents(database, run.run_id, comment=comment)
            async for line in migrated_users(database, run.run_id):
                key = id_key(line["_id"]["legacy"])
                if key not in gone and (quarantined or line.get("userId") is not None):
                    accounted.add(key)
    return accounted
