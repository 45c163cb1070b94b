"""What a restore answers, and what tells one from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import computed_field

from newbi_migrate.answers import HIDDEN, RunId, called
from newbi_migrate.backup.manifest import Manifest
from newbi_migrate.backup.verification import Problem, Verification
from newbi_migrate.errors import ExitCode
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
    """

    database: str
    verification: Annotated[Verification, HIDDEN]
    counts: Annotated[Mapping[str, int], called("collections")]
    views: tuple[str, ...]
    indexes: int
    refused: Annotated[tuple[RefusedIndex, ...], called("refusedIndexes")]
    resumed: bool
    dropped: tuple[str, ...]
    run_id: RunId | None = None
    put_aside: Mapping[str, str] = field(default_factory=dict)
    without_workspace: Mapping[str, int] = field(default_factory=dict)

    @computed_field
    @property
    def path(self) -> Path:
        """The backup."""
        return self.verification.path

    @computed_field
    @property
    def source(self) -> str:
        """The database that the backup is of."""
        return self.verification.database

    @computed_field
    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is damaged in the backup, and was not asked for."""
        return self.verification.problems

    @computed_field
    @property
    def notes(self) -> tuple[str, ...]:
        """What of the backup could not be checked, or is not restored."""
        return self.verification.notes

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 if the server would not build an index, else 0."""
        return ExitCode.PENDING if self.refused else ExitCode.DONE


def restore_identity(dump: Manifest | Verification, only: Sequence[str] = ()) -> str:
    """What tells one restore from another: the dump, and the choice of collections.

    Args:
        dump: The manifest of a backup of ours, or what reading a dump showed.
        only: Names of the collections; all where none is named.
    """
    return " ".join([dump.identity, *sorted(only)])
