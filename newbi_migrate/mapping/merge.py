"""Filling what is missing in a document that already exists, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from newbi_migrate.mapping.values import ABSENT, is_missing

__all__ = ["Merge", "fill_missing"]

# Two documents of one person have different dates, which says nothing about either.
_DATES = frozenset({"createdAt", "updatedAt"})
# Half of one address or bank account and half of another would be nobody's.
_INDIVISIBLE = frozenset({"address", "shippingAddress", "bankDetails"})


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
    """Compare an existing document with the one a migration would have created.

    Sub-documents are compared field by field; lists are values. An address or bank account that
    differs in any field is not filled at all. A field of ``wanted`` that is itself missing
    (null, blank) is never written, and ``_id`` is never compared: in a sub-document it differs
    between copies.
    """
    merge = Merge()
    conflicts: list[str] = []
    _walk(existing, wanted, "", merge, conflicts)
    return Merge(merge.values, merge.prior, tuple(conflicts))


def _walk(
    have: Mapping[str, Any],
    want: Mapping[str, Any],
    prefix: str,
    merge: Merge,
    conflicts: list[str],
) -> None:
    for name, value in want.items():
        path = f"{prefix}{name}"
        current = have.get(name, ABSENT)
        if name == "_id" or is_missing(value):
            continue
        if not _is_addressable(name):
            if current != value:
                conflicts.append(path)
        elif isinstance(value, Mapping) and isinstance(current, Mapping):
            part, differing = Merge(), list[str]()
            _walk(current, value, f"{path}.", part, differing)
            conflicts.extend(differing)
            if not (differing and name in _INDIVISIBLE):
                merge.values.update(part.values)
                merge.prior.update(part.prior)
        elif is_missing(current):
            merge.values[path] = value
            if current is not ABSENT:
                merge.prior[path] = current
        elif current != value and name not in _DATES:
            conflicts.append(path)


def _is_addressable(name: str) -> bool:
    """Whether an update can name the field inside a path."""
    return bool(name) and "." not in name and not name.startswith("$")
