"""Makes ``st.from_type`` know Newbi's models; Hypothesis calls it when it is imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

__all__ = ["register"]

_MODULES: Final = (
    *("agenda", "banking", "better_auth", "billing", "catalogue", "clients", "expenses", "kanban"),
    *("legacy", "ocr", "related", "settings", "signatures", "snapshots", "transfers"),
)


def register() -> None:
    """Registers every model: what is drawn keeps all its rules."""
    from hypothesis import strategies as st

    from newbi_migrate.documents.base import StoredModel

    for name in _MODULES:
        module = import_module(f"newbi_migrate.documents.{name}")
        for found in vars(module).values():
            if (
                isinstance(found, type)
                and issubclass(found, StoredModel)
                and found.__module__ == module.__name__
                and not found.__name__.startswith("_")
            ):
                st.register_type_strategy(found, _drawn)


def _drawn(model: Any) -> Any:
    # Whoever imports the strategies imports Hypothesis, and so comes here before they are there.
    from newbi_migrate.testing import strategies

    return strategies.documents(model).map(lambda document: model(**document))
