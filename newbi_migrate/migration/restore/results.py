"""What a restore answers, and what tells one from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bson import ObjectId

from newbi_migrate.backup.verification import Verification
from newbi_migrate.migration.restore.indexes import RefusedIndex

__all__ = ["RestoreResult", "restore_identity"]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A finished restore.

    Attributes:
        database: Name of the database that was written.
        verification: What reading the dump showed before.
        counts: Documents of each collection, by its name.
        views: Views that were created.
        indexes: Indexes that are there, without those on ``_id``.
        refused: Indexes that the server would not build.
        resumed: Whether it went on where another one had stopped.
        dropped: Collections that were dropped before.
        run_id: The run, where single collections were put in place; a rollback takes it back.
        put_aside: Collection to the name that the one before it has now.
        without_workspace: Of a database that was migrated: scoped collection that was put in place
            to the number of its documents without a workspace.
        run_id: The run, where single collections were put in place; a rollback takes it back.
        put_aside: Collection to the name that the one before it has now.
        without_workspace: Of a database that was migrated: scoped collection that was put in place
            to the number of its documents without a workspace.
    """

    database: str
    verification: Verification
    counts: Mapping[str, int]
    views: tuple[str, ...]
    indexes: int
    refused: tuple[RefusedIndex, ...]
    resumed: bool
    dropped: tuple[str, ...]
    run_id: ObjectId | None = None
    put_aside: Mapping[str, str] = field(default_factory=dict)
    without_workspace: Mapping[str, int] = field(default_factory=dict)


def restore_identity(verification: Verification, only: Sequence[str] = ()) -> str:
    """What tells one restore from another: the dump, and the choice of collections."""
    return " ".join([verification.identity, *sorted(only)])
