"""A legacy database made up from a seed, for the demo, the examples and a first try."""

from __future__ import annotations

from newbi_migrate.demo.legacy import LegacyDatabase, build_legacy_database

__all__ = ["LegacyDatabase", "build_legacy_database"]
