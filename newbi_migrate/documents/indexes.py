"""The indexes of a backend: what the registry wants, built, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from bson import Decimal128
from pymongo.errors import OperationFailure

from newbi_migrate.documents.newbi import BETTER_AUTH_SPECS, NEWBI
from newbi_migrate.documents.registry import CollectionSpec, IndexSpec, Registry, UniqueKey
from newbi_migrate.errors import UsageError
from newbi_migrate.server_codes import Code

__all__ = [
    "ID_INDEX",
    "LIST_BESIDE_TEXT",
    "PARALLEL_LISTS",
    "IndexObstacle",
    "IndexReport",
    "create_indexes",
    "fields_read",
    "index_options",
    "key_pattern",
    "matches",
    "unique_key",
    "wanted_pattern",
]

ID_INDEX: Final = "_id_"
"""Name of the index that each collection has by itself."""

PARALLEL_LISTS: Final = "A document holds lists in more than one field of the index."
"""Why an index cannot be built."""
LIST_BESIDE_TEXT: Final = "A document holds a list in a field beside the text of the index."
"""Why a text index cannot be built."""

_SIMPLE: Final = {"locale": "simple"}
_REFUSALS: Final[Mapping[int, str]] = {
    Code.INDEX_OPTIONS_CONFLICT: "An index on the same keys has other options, or another text "
    "index is there; drop it first.",
    Code.INDEX_KEY_SPECS_CONFLICT: "An index of the same name has other keys or options; drop it "
    "first.",
    Code.CANNOT_CREATE_INDEX: "The server cannot create it beside the indexes that are there.",
    Code.CANNOT_INDEX_PARALLEL_ARRAYS: PARALLEL_LISTS,
    Code.CANNOT_BUILD_INDEX_KEYS: LIST_BESIDE_TEXT,
}


@dataclass(frozen=True, slots=True)
class IndexObstacle:
    """An index that could not be built.

    Attributes:
        collection: The collection.
        index: What was wanted.
        reason: What stands in the way, in one sentence that quotes no document.
    """

    collection: str
    index: IndexSpec
    reason: str


@dataclass(slots=True)
class IndexReport:
    """What became of the indexes that were wanted, as collection and name.

    Attributes:
        built: Those that were built.
        present: Those that were there already, under whatever name.
        obstacles: Those that could not be built, and why.
    """

    built: list[tuple[str, str]] = field(default_factory=list)
    present: list[tuple[str, str]] = field(default_factory=list)
    obstacles: list[IndexObstacle] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every index is there now."""
        return not self.obstacles


def unique_key(index: Mapping[str, Any]) -> UniqueKey | None:
    """A stored unique index; ``None`` for one whose keys are no plain values, or not unique."""
    keys = key_pattern(index)
    if not index.get("unique") or any(isinstance(way, str) for _, way in keys):
        return None
    return UniqueKey(
        IndexSpec(
            keys,
            unique=True,
            sparse=bool(index.get("sparse")),
            partial=index.get("partialFilterExpression"),
            name=index["name"],
        )
    )


def fields_read(index: IndexSpec) -> frozenset[str] | None:
    """The top-level fields an index depends on; ``None`` where its filter may name any."""
    paths = [path for path, _ in index.keys] + [*(index.partial or {})]
    if any(path.startswith("$") for path in paths):
        return None
    return frozenset(path.partition(".")[0] for path in paths)


def key_pattern(index: Mapping[str, Any]) -> tuple[tuple[str, int | str], ...]:
    """Keys of a stored index in the form of :class:`IndexSpec`.

    The server stores a text index's fields as weights, in alphabetical order.
    """
    keys: list[tuple[str, int | str]] = []
    for path, direction in index["key"].items():
        if path == "_fts":
            keys.extend((name, "text") for name in sorted(index.get("weights", ())))
        elif path != "_ftsx":
            keys.append((path, _direction(direction)))
    return tuple(keys)


def _direction(stored: Any) -> Any:
    """A whole number whatever its type; anything else stays, and is like no direction we want.

    Servers take any number but zero, and old ones took anything.
    """
    value = stored.to_decimal() if isinstance(stored, Decimal128) else stored
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return stored
    return whole if whole == value else stored


def wanted_pattern(spec: IndexSpec) -> tuple[tuple[str, int | str], ...]:
    """Keys of a description, a text index's as the server stores them."""
    texts = sorted(path for path, direction in spec.keys if direction == "text")
    keys: list[tuple[str, int | str]] = []
    for path, direction in spec.keys:
        if direction != "text":
            keys.append((path, direction))
        elif texts:
            keys.extend((name, "text") for name in texts)
            texts = []
    return tuple(keys)


def matches(index: Mapping[str, Any], spec: IndexSpec) -> bool:
    """Whether a stored index is the described one, by keys and options."""
    return (
        key_pattern(index) == wanted_pattern(spec)
        and bool(index.get("unique")) == spec.unique
        and bool(index.get("sparse")) == spec.sparse
        and (index.get("partialFilterExpression") or None) == (spec.partial or None)
        and "collation" not in index
        and "expireAfterSeconds" not in index
    )


async def create_indexes(
    database: Any, *collections: str | type[Any], registry: Registry = NEWBI
) -> IndexReport:
    """Build the indexes that the registry wants; what is there already is left as it is.

    A backend calls it once after a migration, or when it is deployed. Documents that share a key
    which would have to be unique, or another index on the same keys, stand in the way: nothing is
    dropped for that, and the report names them.

    Args:
        database: An ``AsyncDatabase`` of PyMongo, or a Motor database.
        collections: Names, or documents with a ``collection_name``; all that are described if
            none is given, Better Auth's included.
        registry: The collections of a host application.

    Returns:
        What was built, what was there, and what stands in the way.

    Raises:
        UsageError: A name is that of no collection that is described.
    """
    wanted = {name if isinstance(name, str) else str(name.collection_name) for name in collections}
    report = IndexReport()
    specs = (*BETTER_AUTH_SPECS, *registry)
    known = [spec.name for spec in specs]
    for name in collections:
        # Documents may be of a collection that wants no index; a name may be misspelt.
        if isinstance(name, str) and name not in known:
            close = get_close_matches(name, known, n=1)
            raise UsageError(
                f"No collection {name} is described.",
                next_step=f"Did you mean {close[0]}?" if close else "Give one of the registry.",
            )
    for spec in specs:
        if not wanted or spec.name in wanted:
            await _create(database[spec.name], spec, report)
    return report


async def _create(collection: Any, spec: CollectionSpec, report: IndexReport) -> None:
    stored = await _stored(collection)
    for index in spec.wanted_indexes:
        there = [str(known["name"]) for known in stored if matches(known, index)]
        if there:
            report.present.append((spec.name, there[0]))
            continue
        try:
            await collection.create_index(list(index.keys), **index_options(index))
        except OperationFailure as error:
            reason = _reason(error, index)
            if reason is None:
                raise
            report.obstacles.append(IndexObstacle(spec.name, index, reason))
        else:
            report.built.append((spec.name, index.name))


async def _stored(collection: Any) -> Iterable[Mapping[str, Any]]:
    found = await collection.index_information()
    return [
        {**known, "name": name, "key": dict(known["key"])}
        for name, known in found.items()
        if name != ID_INDEX
    ]


def index_options(index: IndexSpec) -> dict[str, Any]:
    """The options with which a described index is built, its name among them."""
    # An index inherits the collation of its collection, which may call different values equal.
    options: dict[str, Any] = {"name": index.name, "collation": _SIMPLE}
    if index.unique:
        options["unique"] = True
    if index.sparse:
        options["sparse"] = True
    if index.partial is not None:
        options["partialFilterExpression"] = dict(index.partial)
    return options


def _reason(error: OperationFailure, index: IndexSpec) -> str | None:
    if error.code == Code.DUPLICATE_KEY:
        keys = ", ".join(path for path, _ in index.keys)
        return f"Several documents have the same {keys}; find them with validate."
    return _REFUSALS.get(error.code or 0)
