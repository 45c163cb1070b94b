"""A dirty legacy database: every oddity that the migration must decide on, and what it decides."""

from __future__ import annotations

from collections import defaultdict

import user_cases as _user_cases  # noqa: F401  # registers its cases
from case_builder import CASES, CaseBuilder
from document_cases import HUGE_CASE

from newbi_migrate.demo import build_legacy_database
from newbi_migrate.demo.legacy import OLD_TEXT_INDEXES

__all__ = ["CASES", "HUGE_CASE", "LegacyCases", "build_dirty_database"]


class LegacyCases:
    """The documents of some cases, all of them but :data:`HUGE_CASE` unless they are named.

    Attributes:
        documents: Collection to the documents to insert.
        expected: What becomes of the documents.
        users: What becomes of the legacy users.
    """

    def __init__(self, seed=0, *, names=None, source="users"):
        self.documents = defaultdict(list)
        self.expected = []
        self.users = []
        for name in sorted(CASES.keys() - {HUGE_CASE} if names is None else names):
            builder = CaseBuilder(name, seed, source)
            CASES[name].make(builder)
            for collection, documents in builder.documents.items():
                self.documents[collection].extend(documents)
            self.expected.extend(builder.expected)
            self.users.extend(builder.users)


def build_dirty_database(database, *, seed=0, names=None, source="users", **size):
    """Fill an empty database as `build_legacy_database` does, and add the cases of these names."""
    build_legacy_database(database, seed=seed, source=source, **size)
    for collection, models in OLD_TEXT_INDEXES.items():
        database[collection].create_indexes(list(models))
    for collection, documents in LegacyCases(seed, names=names, source=source).documents.items():
        database[collection].insert_many(documents, ordered=False)
