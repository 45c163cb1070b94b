"""What a real legacy database contains besides good documents, and what must become of it.

The cases are in :mod:`newbi_migrate.demo.legacy_dirt_documents` and
:mod:`newbi_migrate.demo.legacy_dirt_users`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from newbi_migrate.demo import legacy_dirt_users as _users  # noqa: F401 - registers its cases
from newbi_migrate.demo.legacy_dirt_documents import HUGE_CASE
from newbi_migrate.demo.legacy_patch import (
    CASES,
    Case,
    ExpectedDocument,
    ExpectedUser,
    Patch,
)
from newbi_migrate.errors import UsageError

__all__ = ["CASES", "HUGE_CASE", "Case", "ExpectedDocument", "ExpectedUser", "LegacyDirt"]


class LegacyDirt:
    """The documents of a selection of cases.

    Args:
        seed: Seed of the database.
        cases: Names of the cases; ``None`` for all of them.
        huge: Whether :data:`HUGE_CASE` is among them.
        source: Name of the collection of the legacy users.

    Attributes:
        documents: Collection to the documents to insert.
        expected: What becomes of the documents.
        users: What becomes of the legacy users.

    Raises:
        UsageError: A case is not known.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        cases: Iterable[str] | None = None,
        huge: bool = False,
        source: str = "users",
    ) -> None:
        chosen = {name for name in CASES if name != HUGE_CASE} if cases is None else set(cases)
        unknown = sorted(chosen - CASES.keys())
        if unknown:
            raise UsageError(
                f"There is no case {', '.join(unknown)} of a legacy database.",
                next_step=f"Known are {', '.join(sorted(CASES))}.",
            )
        if huge:
            chosen.add(HUGE_CASE)
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.expected: list[ExpectedDocument] = []
        self.users: list[ExpectedUser] = []
        for name in sorted(chosen):
            patch = Patch(name, seed, source)
            CASES[name].make(patch)
            for collection, documents in patch.documents.items():
                self.documents[collection].extend(documents)
            self.expected.extend(patch.expected)
            self.users.extend(patch.users)
