"""What is there: the source of legacy users, the collections, the legacy and target state.

Reads only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from newbi_migrate.documents.better_auth import (
    COLLECTIONS as BETTER_AUTH_COLLECTIONS,
    TARGET_COLLECTIONS,
    Account,
    Member,
    Organization,
    User,
)
from newbi_migrate.documents.registry import OWN_PREFIX, Registry
from newbi_migrate.errors import UnsupportedError, UsageError
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.connection import nothing_there
from newbi_migrate.store.counting import count, count_shown, estimated_counts, has_any
from newbi_migrate.store.handles import Database
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.runs import read_runs, readable_collections

__all__ = [
    "Survey",
    "dropping_name",
    "kept_name",
    "odd_target",
    "refusing_index",
    "source_now",
    "survey",
]


_KEPT: Final = "_before_migration"
_WRITTEN: Final[Mapping[str, type[BaseModel]]] = dict(
    zip(TARGET_COLLECTIONS, (User, Account, Organization, Member), strict=True)
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a database holds, at a glance.

    Attributes:
        database: Its name.
        source: Name of the legacy users' collection.
        legacy_users: How many legacy users there are.
        counts: Collection to its number of documents, views and time series left out.
        unwritable: Registered collection that is a view or a time series to its number of
            documents.
        infos: All collections, views and time series but the server's and the tool's own.
        not_registered: Collection that nobody described, neither the registry nor Better Auth, to
            its number of documents; a time series, which is not counted, to ``None``.
    """

    database: str
    source: str
    legacy_users: int
    counts: Mapping[str, int]
    unwritable: Mapping[str, int]
    infos: Mapping[str, CollectionInfo]
    not_registered: Mapping[str, int | None]


async def survey(
    database: Database,
    registry: Registry,
    *,
    source: str | None = None,
    comment: str = "newbi-migrate",
) -> Survey:
    """Look at a database.

    Args:
        database: The database.
        registry: The collections to expect.
        source: Name of the legacy users' collection; ``None`` to find out.
        comment: Attached to every command.

    Raises:
        UnsupportedError: The database holds nothing, or no legacy users.
        UsageError: Legacy users are in two collections and none was named, or the named one
            is one this tool writes to, or a view; or the database is half restored.
    """
    listed = await readable_collections(database, comment=comment)
    infos = {name: info for name, info in listed.items() if not info.internal}
    writable = [info for info in infos.values() if info.writable]
    # Metadata answers at once; an exact count of everything is not needed here.
    counts = await estimated_counts(database, writable, comment=comment)
    chosen = await _source(database, registry, infos, counts, source, comment)
    known = {spec.name for spec in registry}.union(
        BETTER_AUTH_COLLECTIONS, registry.legacy_candidates
    )
    return Survey(
        database=database.name,
        source=chosen,
        legacy_users=await count(database[chosen], comment=comment),
        counts=counts,
        unwritable={
            name: await count_shown(database, info, comment=comment)
            for name, info in infos.items()
            if name in registry and not info.holds_documents
        },
        infos=infos,
        not_registered={
            name: counts.get(name)
            for name, info in infos.items()
            if name not in known and name != chosen and info.kind != "view"
        },
    )


def odd_target(infos: Mapping[str, CollectionInfo]) -> UnsupportedError | None:
    """What to say where a run could not write users, or not take them back."""
    for name in TARGET_COLLECTIONS:
        info = infos.get(name)
        if info is not None and info.oddity:
            return UnsupportedError(
                f"The collection {name!r} is {info.oddity}, in which users cannot be written and "
                "taken back.",
                next_step="Make a plain collection of it, as Better Auth does, and copy its "
                "documents there.",
                collection=name,
            )
    return None


async def refusing_index(
    database: Database, infos: Mapping[str, CollectionInfo]
) -> UnsupportedError | None:
    """What to say of a unique index that would take one new user and refuse all others.

    It is on fields that neither Better Auth nor this tool writes, so that none of them has it.
    """
    for name, model in _WRITTEN.items():
        written = {field.alias or own for own, field in model.model_fields.items()}
        for index in await read_indexes(database, name) if name in infos else ():
            fields = {path.partition(".")[0] for path in index["key"]}
            whole = not (index.get("sparse") or index.get("partialFilterExpression"))
            if index.get("unique") and whole and written.isdisjoint(fields):
                return UnsupportedError(
                    f"The unique index {index['name']!r} of {name!r} would refuse every new "
                    f"document but one: none has {' or '.join(sorted(fields))}.",
                    next_step="Drop it first, or build it sparse; Better Auth fails with it, too.",
                    collection=name,
                )
    return None


async def _source(
    database: Database,
    registry: Registry,
    infos: Mapping[str, CollectionInfo],
    counts: Mapping[str, int],
    named: str | None,
    comment: str,
) -> str:
    candidates = registry.legacy_candidates
    either = " or ".join(candidates)
    if not infos:
        raise nothing_there(database.name)
    if named is not None:
        if named in BETTER_AUTH_COLLECTIONS or named in registry:
            raise UsageError(
                f"{named!r} cannot hold the legacy users: this tool writes to it.",
                next_step=f"Name the old collection: --legacy-collection {either}.",
            )
        _refuse_if_odd(infos.get(named))
        # A run that goes on names the collection that a finalize has dropped since.
        if named not in counts and named != await _finalized(database):
            raise UsageError(
                f"The database {database.name!r} has no collection {named!r}.",
                next_step=f"Names are case-sensitive; try {either}.",
            )
        return named
    holding = [
        name
        for name in candidates
        if name in counts and await has_any(database[name], comment=comment)
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
    for name in candidates:
        _refuse_if_odd(infos.get(name))
    raise UnsupportedError(
        f"The database {database.name!r} has no legacy users: {either} is empty or missing.",
        next_step="Check the database's name, or name the collection: --legacy-collection NAME.",
    )


def _refuse_if_odd(info: CollectionInfo | None) -> None:
    """Refuse legacy users that no collection holds.

    Raises:
        UsageError: They are in a view or a time series.
    """
    if info is None or info.holds_documents:
        return
    behind = info.options.get("viewOn")
    raise UsageError(
        f"{info.name!r} is {info.oddity}, not a collection that could hold the legacy users.",
        next_step=f"Name the collection behind it: --legacy-collection {behind}."
        if info.kind == "view"
        else "Copy the legacy users to a collection, and name it: --legacy-collection NAME.",
    )


async def _finalized(database: Database) -> str | None:
    """Where the legacy users are, or were, if the migration was finalized."""
    for run in await read_runs(database):
        result = run.document.get("result")
        if run.command == "finalize" and run.stands and result is not None:
            # One that found the legacy users gone names none; an older one does.
            where = result.get("keptAs") or result.get("legacyCollection")
            if where is not None:
                return str(where)
    return None


async def source_now(
    database: Database, named: str, names: Collection[str], *, comment: str
) -> str | None:
    """The collection of legacy users by the name it has now; ``None`` if it is not there.

    The end of a migration may have kept it under another name. If the application has made it anew
    and written to it since, that one holds whoever came late.

    Args:
        database: Where.
        named: The name it had.
        names: Names of all collections.
        comment: Attached to every command.
    """
    possible = dict.fromkeys((named.removesuffix(_KEPT), named, kept_name(named)))
    there = [name for name in possible if name in names]
    if len(there) > 1 and not await has_any(database[there[0]], comment=comment):
        return there[1]
    return there[0] if there else None


def kept_name(source: str) -> str:
    """Name under which ``finalize --keep`` keeps the collection of legacy users.

    Its own, where it is kept already.
    """
    return source if source.endswith(_KEPT) else f"{source}{_KEPT}"


def dropping_name(source: str) -> str:
    """Name the collection has while it is looked at for the last time, before it is dropped."""
    return f"{OWN_PREFIX}dropping_{source}"
