"""A collection in a dump, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from newbi_migrate.store.collections import data_namespace

__all__ = ["DumpedCollection"]

# What `create` does not take, or no longer: the identity, which is a new one; what `create` was
# called with; whether the server may drop it as its own; and what every collection has by now.
_NOT_CREATED: Final = frozenset({"autoIndexId", "create", "recordIdsReplicated", "temp", "uuid"})


@dataclass(frozen=True, slots=True)
class DumpedCollection:
    """A collection or view in a dump.

    Attributes:
        name: Its name in the database.
        type: ``collection``, ``timeseries`` or ``view``.
        options: As ``listCollections`` gave them.
        indexes: Specifications as ``listIndexes`` gave them.
        data: File of its documents, relative to the dump; empty if it has none.
        restored_as: Name it is given by a restore, where that is another; empty otherwise.
    """

    name: str
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[Mapping[str, Any], ...] = ()
    data: str = ""
    restored_as: str = ""

    @property
    def target(self) -> str:
        """The name it is given by a restore."""
        return self.restored_as or self.name

    @property
    def namespace(self) -> str:
        """The collection its documents belong to: the buckets of a time series."""
        return data_namespace(self.target, self.type)

    @property
    def created_with(self) -> dict[str, Any]:
        """The options that ``create`` takes."""
        return {name: value for name, value in self.options.items() if name not in _NOT_CREATED}
