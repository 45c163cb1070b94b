"""The rules of the models, asked of a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from newbi_migrate.models.registry import CollectionSpec

if TYPE_CHECKING:
    from newbi_migrate.migration.validate import Collector, ValidationRequest


class ModelRules:
    """The rules of the models of some collections."""

    def __init__(
        self, request: ValidationRequest, specs: Sequence[CollectionSpec], comment: str
    ) -> None:
        self._request = request
        self._specs = specs
        self._comment = comment

    def ids(self) -> list[str]:
        """The ids of all rules."""
        return []

    async def check(self, findings: Collector) -> None:
        """Asks them."""
