"""Index specifications that servers took before 3.4, made into those that they stand for now.

It is what ``mongorestore --convert-legacy-indexes`` does, and what the servers of then took them
for: any key that is no text and no negative number was an ascending one, and options that no index
knows were kept and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import Decimal128

__all__ = ["convert_legacy_indexes", "legacy_parts"]

# https://www.mongodb.com/docs/manual/reference/command/createIndexes/, and what listIndexes adds.
_OPTIONS: Final = frozenset(
    {
        "2dsphereIndexVersion",
        "background",
        "bits",
        "bucketSize",
        "clustered",
        "coarsestIndexedLevel",
        "collation",
        "columnstoreProjection",
        "default_language",
        "expireAfterSeconds",
        "finestIndexedLevel",
        "hidden",
        "key",
        "language_override",
        "max",
        "min",
        "name",
        "ns",
        "partialFilterExpression",
        "prepareUnique",
        "sparse",
        "storageEngine",
        "textIndexVersion",
        "unique",
        "v",
        "weights",
        "wildcardProjection",
    }
)
_TINY: Final = 1e-9
"""What is nearer to zero was taken for zero."""


def legacy_parts(index: Mapping[str, Any]) -> list[str]:
    """What of a specification only servers before 3.4 took, in words."""
    found = [f"the option {name}" for name in index if name not in _OPTIONS]
    if index.get("v") == 0:
        found.append("version 0")
    found += [f"the key of {path}" for path, key in index["key"].items() if _is_legacy(key)]
    return found


def convert_legacy_indexes(
    indexes: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Specifications that servers take now, and names of indexes that became equal to another."""
    converted: list[dict[str, Any]] = []
    equal: list[str] = []
    seen: list[tuple[dict[str, Any], list[tuple[str, Any]]]] = []
    for index in indexes:
        new = {name: value for name, value in index.items() if name in _OPTIONS}
        if new.get("v") == 0:
            del new["v"]
        new["key"] = {path: _key(key) for path, key in index["key"].items()}
        what = (
            {name: value for name, value in new.items() if name not in {"key", "name", "ns", "v"}},
            list(new["key"].items()),
        )
        if what in seen:
            equal.append(index["name"])
            continue
        seen.append(what)
        converted.append(new)
    return converted, equal


def _is_legacy(key: Any) -> bool:
    if isinstance(key, bool):
        return True
    if isinstance(key, str):
        return not key
    if isinstance(key, Decimal128):
        number = key.to_decimal()
        return not number.is_nan() and number == 0
    if isinstance(key, int | float):
        return abs(key) < _TINY
    return True


def _key(key: Any) -> Any:
    if not _is_legacy(key):
        return key
    negative = isinstance(key, float) and not math.isnan(key) and key < 0
    return -1 if negative else 1
