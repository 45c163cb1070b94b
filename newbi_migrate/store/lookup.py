"""An aggregation expression that looks values up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bson import ObjectId

__all__ = ["MAX_TREE_KEYS", "search_tree"]

MAX_TREE_KEYS: Final = 20_000
"""Keys in one expression: more would make it slow to parse, 90,000 exceed 16 MiB."""


def search_tree(values: Mapping[ObjectId, Any], path: Any) -> dict[str, Any]:
    """An aggregation expression that looks a value up by an ObjectId; ``null`` if it is unknown.

    A balanced tree of comparisons: the server evaluates about log2(n) of them for a document,
    where a list of alternatives would cost n.

    Args:
        values: Key to value; at least one.
        path: Expression that gives the key.
    """
    keys = sorted(values)

    def branch(low: int, high: int) -> dict[str, Any]:
        if high - low == 1:
            return {"$cond": [{"$eq": [path, keys[low]]}, values[keys[low]], None]}
        cut = (low + high) // 2
        return {"$cond": [{"$lt": [path, keys[cut]]}, branch(low, cut), branch(cut, high)]}

    return branch(0, len(keys))
