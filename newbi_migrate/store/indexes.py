"""Indexes: what a collection has, compared with what its description wants.

An index is the same if it has the same keys and options, whatever its name: the application's
libraries name theirs in their own ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import OperationFailure

from newbi_migrate.documents.indexes import (
    ID_INDEX,
    LIST_BESIDE_TEXT,
    PARALLEL_LISTS,
    index_options,
    key_pattern,
    matches,
    wanted_pattern,
)
from newbi_migrate.documents.registry import CollectionSpec, IndexSpec
from newbi_migrate.errors import UnsupportedError
from newbi_migrate.server_codes import AUTHENTICATION, INDEX_REFUSED, NOT_FOUND, STABLE_API, Code
from newbi_migrate.store.collections import collection_names, listed
from newbi_migrate.store.connection import DURABLE, SIMPLE_COLLATION, Topology
from newbi_migrate.store.decoding import ANSWER
from newbi_migrate.store.faults import is_out_of_space, is_transient, name_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.session import LeasedSession

__all__ = [
    "Created",
    "IndexPlan",
    "Refused",
    "build_as_described",
    "build_wanted",
    "drop_index",
    "key_pattern",
    "matches",
    "plan_indexes",
    "read_indexes",
    "rebuild_index",
    "successors",
]

_MOST: Final = 64
"""Indexes that a server holds of one collection, that of ``_id`` among them."""
_NO_ROOM: Final = f"The collection holds {_MOST} indexes at most, and has no room for it."
_WITHOUT_COLLATION: Final = (0, 1)
_REFUSALS: Final[Mapping[int, str]] = {
    Code.DUPLICATE_KEY: "Documents share a key that would have to be unique.",
    Code.CANNOT_CREATE_INDEX: "The server cannot create it beside the indexes that are there.",
    Code.INDEX_OPTIONS_CONFLICT: "An index with the same keys has other options.",
    Code.INDEX_KEY_SPECS_CONFLICT: "An index of the same name has other keys or options.",
    Code.CANNOT_INDEX_PARALLEL_ARRAYS: PARALLEL_LISTS,
    Code.CANNOT_BUILD_INDEX_KEYS: LIST_BESIDE_TEXT,
}
# What the server would answer to any index.
_OF_NO_INDEX: Final = AUTHENTICATION | STABLE_API | {Code.UNAUTHORIZED}
_NOT_TAKEN: Final = "The server does not take its specification."


@dataclass(frozen=True, slots=True)
class Created:
    """An index is there now."""

    name: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server would not create an index.

    Attributes:
        reason: Why, in one sentence that quotes no document.
        code: MongoDB's error code.
    """

    reason: str
    code: int

    @property
    def impossible(self) -> bool:
        """Whether the server cannot create it at all, or not beside the indexes there are."""
        return self.code == Code.CANNOT_CREATE_INDEX


_GONE: Final = Refused(
    "Somebody dropped or renamed the collection meanwhile.", Code.NAMESPACE_NOT_FOUND
)


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What is to be done about the indexes of one collection.

    Attributes:
        present: Wanted, and there already.
        to_create: Wanted, and nothing stands in the way.
        deferred: Wanted, and what stands in the way is of the old structure and gives way to it;
            with the reason.
        conflicts: Wanted, and something else stands in the way, or so many indexes that the server
            takes no more; with the reason.
        obsolete_present: Of the old structure, and still there, under the names they have.
    """

    present: tuple[IndexSpec, ...]
    to_create: tuple[IndexSpec, ...]
    deferred: tuple[tuple[IndexSpec, str], ...]
    conflicts: tuple[tuple[IndexSpec, str], ...]
    obsolete_present: tuple[IndexSpec, ...]


async def read_indexes(
    database: Database, collection: str, *, exact: bool = False
) -> tuple[dict[str, Any], ...]:
    """The index specifications of a collection as the server stores them, ``_id_`` included.

    Empty for a collection that does not exist.

    Args:
        database: Where.
        collection: Its name.
        exact: Whether each must be, to the byte, what the server holds.

    Raises:
        UnsupportedError: One is not.
    """
    found = []
    try:
        for index, same in await listed(database, {"listIndexes": collection}):
            if exact and not same:
                raise UnsupportedError(
                    f"The index {index['name']!r} of {collection!r} holds what the driver reads as "
                    "something else, such as a symbol or text that is not UTF-8.",
                    next_step="Correct it, or drop it, and run the same command again.",
                    collection=collection,
                )
            found.append(index)
    except OperationFailure as error:
        if error.code != Code.NAMESPACE_NOT_FOUND:
            raise
    return tuple(found)


def plan_indexes(existing: Iterable[Mapping[str, Any]], spec: CollectionSpec) -> IndexPlan:
    """Compare the indexes of a collection with its description.

    Args:
        existing: As :func:`read_indexes` gives them.
        spec: The collection.
    """
    existing = list(existing)
    stored = [index for index in existing if index["name"] != ID_INDEX]
    wanted = spec.wanted_indexes
    obsolete = _obsolete(stored, wanted, spec.obsolete)
    # One that keeps something unique stays until its successor is there, so it gives no way.
    giving_way = {index.name for index in obsolete if not index.unique}
    present: list[IndexSpec] = []
    to_create: list[IndexSpec] = []
    deferred: list[tuple[IndexSpec, str]] = []
    conflicts: list[tuple[IndexSpec, str]] = []
    for index in wanted:
        if any(matches(found, index) for found in stored):
            present.append(index)
            continue
        reasons = {found["name"]: reason for found in stored if (reason := _conflict(found, index))}
        staying = [reason for name, reason in reasons.items() if name not in giving_way]
        if staying:
            conflicts.append((index, staying[0]))
        elif reasons:
            deferred.append((index, next(iter(reasons.values()))))
        else:
            to_create.append(index)
    # What is deferred takes the place of another one. Documents that are clustered by their id are
    # listed as an index, and are none.
    held = sum("clustered" not in index for index in existing)
    room = max(0, _MOST - max(held, 1))
    conflicts += [(index, _NO_ROOM) for index in to_create[room:]]
    return IndexPlan(
        tuple(present), tuple(to_create[:room]), tuple(deferred), tuple(conflicts), obsolete
    )


def successors(index: Mapping[str, Any], spec: CollectionSpec) -> tuple[IndexSpec, ...]:
    """The wanted indexes that take the place of one of the old structure.

    Those that keep something unique take the place of one that does; of any other, those that
    cannot be built beside it.

    Args:
        index: As the server stores it.
        spec: The collection.
    """
    if index.get("unique"):
        return tuple(wanted for wanted in spec.wanted_indexes if wanted.unique)
    return tuple(wanted for wanted in spec.wanted_indexes if _conflict(index, wanted))


def _conflict(found: Mapping[str, Any], index: IndexSpec) -> str:
    """Why the server would not build an index beside one that is there; empty where it would."""
    if found["name"] == index.name:
        return f"An index named {index.name} has other keys or options."
    if index.is_text and any(d == "text" for _, d in key_pattern(found)):
        return f"A collection can have one text index, and {found['name']} is there."
    if _same_to_the_server(found, index):
        return f"The index {found['name']} has the same keys and other options."
    return ""


def _same_to_the_server(found: Mapping[str, Any], index: IndexSpec) -> bool:
    # Since 5.0 the server tells indexes of equal keys apart by these options, and no others.
    return (
        key_pattern(found) == wanted_pattern(index)
        and bool(found.get("unique")) == index.unique
        and bool(found.get("sparse")) == index.sparse
        and (found.get("partialFilterExpression") or None) == (index.partial or None)
        and "collation" not in found
    )


def _obsolete(
    stored: Sequence[Mapping[str, Any]],
    wanted: Sequence[IndexSpec],
    obsolete: Sequence[IndexSpec],
) -> tuple[IndexSpec, ...]:
    found: list[IndexSpec] = []
    for index in stored:
        keys = key_pattern(index)
        if any(matches(index, spec) for spec in wanted):
            continue
        for spec in obsolete:
            # Uniqueness is what hinders, whatever else the index was created with.
            if keys == wanted_pattern(spec) and bool(index.get("unique")) == spec.unique:
                found.append(
                    IndexSpec(
                        keys,
                        unique=spec.unique,
                        sparse=bool(index.get("sparse")),
                        partial=index.get("partialFilterExpression"),
                        name=index["name"],
                    )
                )
                break
    return tuple(found)


async def build_wanted(
    session: LeasedSession, collection: str, specs: Sequence[IndexSpec]
) -> dict[str, Created | Refused]:
    """Create indexes of an existing collection; return what became of each, by name.

    They are built together, in one scan of the collection; only where the server refuses one
    are they built one by one. A collection that is gone is not made anew.

    Raises:
        pymongo.errors.PyMongoError: The server failed; whether the indexes are there is
            unknown.
        NewbiMigrateError: The session stopped it.
    """
    if collection not in await collection_names(session.database, comment=session.comment):
        return {spec.name: _GONE for spec in specs}
    try:
        await _build(session, collection, [_description(spec) for spec in specs])
    except OperationFailure as error:
        if not _refuses(error):
            raise
        if len(specs) == 1:
            return {specs[0].name: Refused(_refusal(error), error.code or 0)}
        outcomes: dict[str, Created | Refused] = {}
        for spec in specs:
            outcomes |= await build_wanted(session, collection, [spec])
        return outcomes
    return {spec.name: Created(spec.name) for spec in specs}


def _refuses(error: OperationFailure) -> bool:
    """Whether the server refuses this index; otherwise it failed, or would take none at all."""
    failed = is_transient(error) or is_out_of_space(error)
    return not failed and error.code not in _OF_NO_INDEX


def _refusal(error: OperationFailure) -> str:
    """Why the server would not create an index, in a sentence that quotes no document."""
    if error.code in INDEX_REFUSED:
        return _REFUSALS.get(error.code, _NOT_TAKEN)
    return f"The server would not build it: {name_of(error)}."


def _quorum(session: LeasedSession) -> dict[str, Any]:
    """Whom an index build waits for: a majority, like every other write.

    By default it waits for every member of a replica set, for ever if one is down; a standalone
    server does not know the option.
    """
    standalone = session.server.topology is Topology.STANDALONE
    return {} if standalone else {"commitQuorum": "majority"}


def _description(spec: IndexSpec) -> dict[str, Any]:
    return {"key": dict(spec.keys), **index_options(spec)}


async def drop_index(session: LeasedSession, collection: str, name: str) -> None:
    """Drop an index; one that is not there is as good as dropped."""
    try:
        await session.collection(collection).drop_index(name, comment=session.comment)
    except OperationFailure as error:
        if error.code not in NOT_FOUND:
            raise


async def rebuild_index(session: LeasedSession, collection: str, index: Mapping[str, Any]) -> bool:
    """Build an index as the server described it before it was dropped; false if it is refused."""
    try:
        await _build(session, collection, [index])
    except OperationFailure as error:
        if not _refuses(error):
            raise
        return False
    return True


async def build_as_described(
    session: LeasedSession, collection: str, indexes: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Refused]]:
    """Build indexes as they are described, whatever the server takes; return those it refuses.

    They are built together or, where one is refused, one by one. Nothing is done for those that
    are there.

    Raises:
        pymongo.errors.PyMongoError: The server failed, or would take no index at all.
        NewbiMigrateError: The session stopped it.
    """
    if not indexes:
        return []
    try:
        await _build(session, collection, indexes)
    except OperationFailure as error:
        if not _refuses(error):
            raise
        if len(indexes) > 1:
            return [
                each
                for index in indexes
                for each in await build_as_described(session, collection, [index])
            ]
        return [(indexes[0], Refused(_refusal(error), error.code or 0))]
    return []


async def _build(
    session: LeasedSession, collection: str, indexes: Sequence[Mapping[str, Any]]
) -> None:
    quorum = _quorum(session)
    session.allow(collection)
    session.safe_point()
    await session.database.command(
        "createIndexes",
        collection,
        indexes=[_specification(index) for index in indexes],
        comment=session.comment,
        writeConcern=DURABLE.document,
        codec_options=ANSWER,
        **quorum,
    )


def _specification(index: Mapping[str, Any]) -> dict[str, Any]:
    """An index as ``createIndexes`` takes it.

    The server does not list a simple collation, and would give the index that of its collection;
    before their second version indexes had none.
    """
    options = {option: value for option, value in index.items() if option != "ns"}
    if options.get("v") not in _WITHOUT_COLLATION:
        options.setdefault("collation", SIMPLE_COLLATION)
    return options
