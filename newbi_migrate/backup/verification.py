"""What reading a backup showed: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from newbi_migrate.backup.manifest import Manifest
from newbi_migrate.errors import DamagedBackupError
from newbi_migrate.store.digest import Digest

__all__ = ["CheckedCollection", "Problem", "Verification"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        where: File or collection.
        what: What is wrong; a sentence without its end that follows ``where``.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class CheckedCollection:
    """A collection that was read to its end.

    Attributes:
        name: Its name.
        count: Documents.
        bytes: Bytes of BSON.
        digest: As :class:`~newbi_migrate.store.digest.Digest` defines it.
    """

    name: str
    count: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading a backup showed.

    Attributes:
        path: The backup.
        database: The database it was made of.
        manifest: What it says of itself; ``None`` for a dump of mongodump.
        collections: Those whose documents were read.
        problems: What is damaged; empty for a sound backup.
        notes: What could not be checked.
    """

    path: Path
    database: str
    manifest: Manifest | None
    collections: tuple[CheckedCollection, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged, as far as it could be checked."""
        return not self.problems

    @property
    def identity(self) -> str:
        """What tells this dump from another, for a restore that goes on after a stop."""
        if self.manifest is not None:
            return self.manifest.identity
        parts = Digest()
        for one in self.collections:
            parts.add(f"{one.name}\0{one.digest}".encode())
        return parts.hexdigest()

    def require(self) -> None:
        """Fails where something is damaged.

        Raises:
            DamagedBackupError: It is; the first problems are named.
        """
        if self.problems:
            shown = "; ".join(map(str, self.problems[:3]))
            more = len(self.problems) - 3
            raise DamagedBackupError(
                f"The backup {str(self.path)!r} is damaged: {shown}"
                f"{f'; and {more} more' if more > 0 else ''}.",
                next_step="Nothing was done with it; take another copy.",
            )
