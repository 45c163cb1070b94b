"""Swap indexes of the old structure for those that take their place.

Each collection is one journaled step. What can stand beside the old indexes is built before any of
them goes, so that something keeps numbers unique all the time. A text index cannot: a collection
has only one. The old one is dropped, the new one built at once, and where the server will not
build it, the old one is built again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from newbi_migrate.documents.newbi import BETTER_AUTH_SPECS
from newbi_migrate.documents.registry import CollectionSpec, IndexSpec, Registry
from newbi_migrate.migration.finalize.results import HeldIndex, MissingIndex
from newbi_migrate.migration.planning.index_plan import collision_reason
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import chosen_collections
from newbi_migrate.migration.run.recovery import created_indexes
from newbi_migrate.store.collisions import find_collisions
from newbi_migrate.store.handles import Database
from newbi_migrate.store.indexes import (
    IndexPlan,
    Refused,
    build_wanted,
    drop_index,
    matches,
    plan_indexes,
    read_indexes,
    rebuild_index,
    successors,
)
from newbi_migrate.store.journal import EntryKind, Journal
from newbi_migrate.store.runs import readable_collections
from newbi_migrate.store.session import LeasedSession

__all__ = ["IndexReview", "Swap", "rebuild_old", "review_indexes", "swap_indexes"]

_COMMENT: Final = "newbi-migrate indexes"


@dataclass(frozen=True, slots=True)
class Swap:
    """What is to be done about the indexes of one collection.

    Attributes:
        spec: The collection.
        build: Wanted indexes that are missing, and that nothing is in the way of.
        replace: Old indexes, as the server describes them, that go before their successors come.
        build_then: The successors of these.
        drop: Old indexes, as the server describes them, that go once their successors are there.
    """

    spec: CollectionSpec
    build: tuple[IndexSpec, ...]
    replace: tuple[Mapping[str, Any], ...]
    build_then: tuple[IndexSpec, ...]
    drop: tuple[Mapping[str, Any], ...]

    @property
    def built(self) -> tuple[IndexSpec, ...]:
        """All indexes that are built."""
        return (*self.build, *self.build_then)

    @property
    def dropped(self) -> tuple[Mapping[str, Any], ...]:
        """All indexes that are dropped, as the server describes them."""
        return (*self.replace, *self.drop)


@dataclass(frozen=True, slots=True)
class IndexReview:
    """The indexes of a database, compared with what its collections are to have.

    Attributes:
        swaps: What is to be done, one for each collection in which there is something.
        held: Indexes of the old structure that cannot go yet.
        missing: Wanted indexes that cannot be built as the documents and indexes are.
    """

    swaps: tuple[Swap, ...]
    held: tuple[HeldIndex, ...]
    missing: tuple[MissingIndex, ...]


async def review_indexes(
    database: Database, registry: Registry, options: MigrationOptions
) -> IndexReview:
    """Find out which indexes are missing and which of the old structure can go; reads only.

    Nothing goes without a successor. One that keeps something unique stays until all unique
    indexes are there: between the two nothing would be unique.

    Args:
        database: Where.
        registry: The collections.
        options: The choices of the migration.
    """
    infos = await readable_collections(database, comment=_COMMENT)
    names = {name for name, info in infos.items() if info.holds_documents}
    swaps: list[Swap] = []
    held: list[HeldIndex] = []
    missing: list[MissingIndex] = []
    scoped = [spec for spec in chosen_collections(registry, options) if spec.scoped]
    for spec in (*scoped, *BETTER_AUTH_SPECS):
        if spec.name not in names:
            continue
        stored = await read_indexes(database, spec.name)
        planned = plan_indexes(stored, spec)
        hindered = {index.name: reason for index, reason in planned.conflicts}
        hindered |= await _collided(database, spec, planned, registry.workspace_field)
        missing += [MissingIndex(spec.name, name, why) for name, why in hindered.items()]
        swap, kept = _decide(spec, planned, stored, hindered)
        held += kept
        if swap.built or swap.dropped:
            swaps.append(swap)
    return IndexReview(tuple(swaps), tuple(held), tuple(missing))


async def _collided(
    database: Database, spec: CollectionSpec, planned: IndexPlan, workspace_field: str
) -> dict[str, str]:
    """Names of unique indexes that are missing and would be refused, each with the reason."""
    absent = {index.name for index in (*planned.to_create, *(i for i, _ in planned.deferred))}
    found: dict[str, str] = {}
    for key in spec.unique_keys:
        if key.index.name in absent:
            now, _ = await find_collisions(
                database[spec.name], key, workspace_field=workspace_field, comment=_COMMENT
            )
            if now:
                found[key.index.name] = collision_reason(now)
    return found


def _decide(
    spec: CollectionSpec,
    planned: IndexPlan,
    stored: Iterable[Mapping[str, Any]],
    hindered: Container[str],
) -> tuple[Swap, list[HeldIndex]]:
    by_name = {index["name"]: index for index in stored}
    first: list[Mapping[str, Any]] = []
    then: list[Mapping[str, Any]] = []
    held: list[HeldIndex] = []
    for old in planned.obsolete_present:
        index = by_name[old.name]
        names = [new.name for new in successors(index, spec)]
        lacking = next((name for name in names if name in hindered), None)
        if lacking is not None or not names:
            held.append(HeldIndex(spec.name, old.name, lacking))
        else:
            (then if old.unique else first).append(index)
    swap = Swap(
        spec,
        build=tuple(index for index in planned.to_create if index.name not in hindered),
        replace=tuple(first),
        build_then=tuple(index for index, _ in planned.deferred if index.name not in hindered),
        drop=tuple(then),
    )
    return swap, held


async def swap_indexes(
    session: LeasedSession, journal: Journal, swap: Swap
) -> tuple[list[MissingIndex], list[HeldIndex]]:
    """Swap the indexes of a collection; return those that the server refused, and what is held.

    Raises:
        pymongo.errors.PyMongoError: The server failed; the journal knows what may be there.
        NewbiMigrateError: The session stopped it.
    """
    spec, name = swap.spec, swap.spec.name
    await session.turn(0)
    seq = await journal.append(
        EntryKind.INDEX,
        name,
        {"names": [index.name for index in swap.built], "dropped": list(swap.dropped)},
    )
    refused = await _build(session, name, swap.build)
    for index in swap.replace:
        await drop_index(session, name, index["name"])
    if swap.build_then:
        # Whoever asks the run to stop waits until one of the two is there again.
        at_once = replace(session, stop_requested=_never)
        refused |= await _build(at_once, name, swap.build_then)
        await rebuild_old(at_once, spec, swap.replace)
    stored = await read_indexes(session.database, name)
    for index in swap.drop:
        if _succeeded(index, spec, stored):
            await drop_index(session, name, index["name"])
    there = {index["name"] for index in await read_indexes(session.database, name)}
    made = await created_indexes(session.database, name, {index.name for index in swap.built})
    gone = [index for index in swap.dropped if index["name"] not in there]
    await journal.applied(seq, {**made, "dropped": gone})
    held = [
        HeldIndex(name, index["name"], next((n.name for n in new if n.name in refused), None))
        for index in swap.dropped
        if index["name"] in there and (new := successors(index, spec))
    ]
    return [MissingIndex(name, index, why) for index, why in refused.items()], held


async def _build(
    session: LeasedSession, collection: str, specs: Sequence[IndexSpec]
) -> dict[str, str]:
    """Build indexes; return names of those that the server refuses, each with the reason."""
    outcomes = await build_wanted(session, collection, specs) if specs else {}
    return {name: one.reason for name, one in outcomes.items() if isinstance(one, Refused)}


async def rebuild_old(
    session: LeasedSession, spec: CollectionSpec, gone: Iterable[Mapping[str, Any]]
) -> None:
    """Build old indexes again whose successors are not there.

    Args:
        session: The leased session.
        spec: The collection.
        gone: Indexes that were dropped, as the server described them.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
        NewbiMigrateError: The session stopped it.
    """
    for index in gone:
        stored = await read_indexes(session.database, spec.name)
        here = any(known["name"] == index["name"] for known in stored)
        if not here and not _succeeded(index, spec, stored):
            await rebuild_index(session, spec.name, index)


def _succeeded(
    index: Mapping[str, Any], spec: CollectionSpec, stored: Sequence[Mapping[str, Any]]
) -> bool:
    return all(
        any(matches(known, wanted) for known in stored) for wanted in successors(index, spec)
    )


def _never() -> bool:
    return False
