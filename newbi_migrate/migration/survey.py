"""What is there: the source of legacy users, the collections, the legacy and target state.

Reads only. It changes when the tool learns to recognise something else about a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import UnsupportedError, UsageError
from newbi_migrate.models.registry import Registry
from newbi_migrate.store.connection import nothing_there
from newbi_migrate.store.runs import OWN_PREFIX, RunState, read_runs

__all__ = ["TARGET_COLLECTIONS", "Survey", "survey"]

TARGET_COLLECTIONS = ("user", "account", "organization", "member")
"""The Better Auth collections a run may write to."""

_UNSCOPED = frozenset(
    {*TARGET_COLLECTIONS, "session", "verification", "invitation", "jwks", "twoFactor"}
    | {"subscription"}
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a database holds, at a glance.

    Attributes:
        database: Its name.
        source: Name of the legacy users' collection.
        legacy_users: How many legacy users there are.
        counts: Collection to its number of documents, views left out.
        not_registered: The same for collections nobody described: neither the registry's,
            nor Better Auth's, nor our own.
    """

    database: str
    source: str
    legacy_users: int
    counts: Mapping[str, int]
    not_registered: Mapping[str, int]


async def survey(
    database: AsyncDatabase[dict[str, Any]],
    registry: Registry,
    *,
    source: str | None = None,
    comment: str = "newbi-migrate",
) -> Survey:
    """Looks at a database.

    Args:
        database: The database.
        registry: The collections to expect.
        source: Name of the legacy users' collection; ``None`` to find out.
        comment: Attached to every command.

    Raises:
        UnsupportedError: The database holds nothing, or no legacy users.
        UsageError: Legacy users are in two collections and none was named, or the named one
            is one this tool writes to.
    """
    listed = await database.list_collections(comment=comment)
    names = [
        info["name"]
        async for info in listed
        if info.get("type", "collection") == "collection"
        and not info["name"].startswith(("system.", OWN_PREFIX))
    ]
    counts = {
        # Metadata answers at once; an exact count of everything is not needed here.
        name: await database[name].estimated_document_count(comment=comment)
        for name in sorted(names)
    }
    chosen = await _source(database, registry, counts, source, comment)
    known = {spec.name for spec in registry} | _UNSCOPED | set(registry.legacy_candidates)
    return Survey(
        database=database.name,
        source=chosen,
        legacy_users=await database[chosen].count_documents({}, comment=comment),
        counts=counts,
        not_registered={n: c for n, c in counts.items() if n not in known and n != chosen},
    )


async def _source(
    database: AsyncDatabase[dict[str, Any]],
    registry: Registry,
    counts: Mapping[str, int],
    named: str | None,
    comment: str,
) -> str:
    candidates = registry.legacy_candidates
    either = " or ".join(candidates)
    if not counts:
        raise nothing_there(database.name)
    if named is not None:
        if named in _UNSCOPED or named in registry:
            raise UsageError(
                f"{named!r} cannot hold the legacy users: this tool writes to it.",
                next_step=f"Name the old collection: --legacy-collection {either}.",
            )
        if named not in counts:
            raise UsageError(
                f"The database {database.name!r} has no collection {named!r}.",
                next_step=f"Names are case-sensitive; try {either}.",
            )
        return named
    holding = [
        name
        for name in candidates
        if name in counts and await database[name].find_one({}, {"_id": 1}, comment=comment)
    ]
    if len(holding) > 1:
        raise UsageError(
            f"Both {' and '.join(holding)} hold documents in the database {database.name!r}.",
            next_step="Say which holds the legacy users: --legacy-collection NAME.",
        )
    if holding:
        return holding[0]
    if (kept := await _finalized(database)) is not None:
        return kept
    raise UnsupportedError(
        f"The database {database.name!r} has no legacy users: {either} is empty or missing.",
        next_step="Check the database's name, or name the collection: --legacy-collection NAME.",
    )


async def _finalized(database: AsyncDatabase[dict[str, Any]]) -> str | None:
    """Where the legacy users are, or were, if the migration was finalized."""
    for run in await read_runs(database):
        result = run.document.get("result")
        if run.command == "finalize" and run.state is RunState.DONE and result is not None:
            where = result.get("keptAs") or result.get("legacyCollection")
            return None if where is None else str(where)
    return None
