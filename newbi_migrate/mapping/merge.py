"""Filling what is missing in a document that already exists, and nothing else.

It changes when the rule of what counts as missing does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from newbi_migrate.mapping.values import ABSENT, is_missing

__all__ = ["Merge", "fill_missing"]

# Two documents of one person have different dates, which says nothing about either.
_DATES = frozenset({"createdAt", "updatedAt"})


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge writes, and what it found contradicting.

    Attributes:
        values: Dotted path to the value that is missing there.
        prior: Dotted path to what was stored there instead, for the paths of ``values`` that
            held null or a blank string; a path that is not here was absent.
        conflicts: Dotted paths at which both documents say something different; left alone.
    """

    values: dict[str, Any] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()


def fill_missing(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> Merge:
    """Compares an existing document with the one a migration would have created.

    Sub-documents are compared field by field; lists are values. A field of ``wanted`` that is
    itself missing (null, blank) is never written, and ``_id`` is never compared.
    """
    values: dict[str, Any] = {}
    prior: dict[str, Any] = {}
    conflicts: list[str] = []

    def walk(have: Mapping[str, Any], want: Mapping[str, Any], prefix: str) -> None:
        for name, value in want.items():
            path = f"{prefix}{name}"
            if (not prefix and name == "_id") or is_missing(value):
                continue
            current = have.get(name, ABSENT)
            if isinstance(value, Mapping) and isinstance(current, Mapping):
                walk(current, value, f"{path}.")
            elif is_missing(current):
                if not name or "." in name or name.startswith("$"):
                    # An update cannot address such a name inside a path.
                    conflicts.append(path)
                    continue
                values[path] = value
                if current is not ABSENT:
                    prior[path] = current
            elif current != value and name not in _DATES:
                conflicts.append(path)

    walk(existing, wanted, "")
    return Merge(values, prior, tuple(conflicts))
