"""What the tests of a host application need: a server, strategies, and laws to check.

Nothing is imported before it is asked for, so that a program which wants the server alone does not
pay for Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newbi_migrate.testing.discovery import MongodBinary, find_mongod
    from newbi_migrate.testing.laws import check_all_rules, check_mapping_laws
    from newbi_migrate.testing.mongod import EmbeddedMongod
    from newbi_migrate.testing.server import mongodb_server

__all__ = [
    "EmbeddedMongod",
    "MongodBinary",
    "check_all_rules",
    "check_mapping_laws",
    "find_mongod",
    "mongodb_server",
]

_MODULES = {
    "EmbeddedMongod": "mongod",
    "MongodBinary": "discovery",
    "check_all_rules": "laws",
    "check_mapping_laws": "laws",
    "find_mongod": "discovery",
    "mongodb_server": "server",
}


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
