"""What reading a backup showed: plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import computed_field

from newbi_migrate.answers import HIDDEN, called, told
from newbi_migrate.backup.manifest import Consistency, Manifest
from newbi_migrate.errors import DamagedBackupError
from newbi_migrate.store.digest import Digest

__all__ = ["CheckedCollection", "Problem", "Verification"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        where: File or collection.
        what: What is wrong; a sentence without its end that follows ``where``.
        collection: The one collection that cannot be restored for it; empty if none can.
    """

    where: str
    what: str
    collection: Annotated[str, told(lambda name: name or None, str | None)] = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"

    def concerns(self, only: Collection[str]) -> bool:
        """Whether it keeps one of these collections from being restored."""
        return not self.collection or self.collection in only


@dataclass(frozen=True, slots=True)
class CheckedCollection:
    """A collection that was read to its end.

    Attributes:
        name: Its name.
        count: Documents.
        bytes: Bytes of BSON.
        digest: As :class:`~newbi_migrate.store.digest.Digest` defines it.
    """

    name: Annotated[str, HIDDEN]
    count: Annotated[int, called("documents")]
    bytes: int
    digest: str


def _by_name(
    collections: tuple[CheckedCollection, ...],
) -> dict[str, CheckedCollection]:
    return {one.name: one for one in collections}


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
    manifest: Annotated[Manifest | None, HIDDEN]
    collections: Annotated[
        tuple[CheckedCollection, ...], told(_by_name, dict[str, CheckedCollection])
    ]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @computed_field
    @property
    def intact(self) -> bool:
        """Whether nothing is damaged, as far as it could be checked."""
        return not self.problems

    @computed_field
    @property
    def seal(self) -> str | None:
        """The digest of all that the backup says of itself; ``None`` for a dump of mongodump."""
        return None if self.manifest is None else self.manifest.identity

    @computed_field
    @property
    def consistency(self) -> Consistency | None:
        """What is known about writes while it was made; ``None`` for a dump of mongodump."""
        return None if self.manifest is None else self.manifest.consistency

    @computed_field
    @property
    def unfinished_run(self) -> str | None:
        """Command and id of a run that was unfinished when it was made; ``None`` if none was."""
        return None if self.manifest is None else self.manifest.unfinished_run

    @property
    def identity(self) -> str:
        """What tells this dump from another, for a restore that goes on after a stop."""
        if self.manifest is not None:
            return self.manifest.identity
        parts = Digest()
        for one in self.collections:
            parts.add(f"{one.name}\0{one.digest}".encode())
        return parts.hexdigest()

    def require(self, only: Sequence[str] = ()) -> None:
        """Fail where something is damaged.

        Args:
            only: Collections that are needed; by default all.

        Raises:
            DamagedBackupError: It is; the first problems are named.
        """
        problems = [one for one in self.problems if not only or one.concerns(only)]
        if not problems:
            return
        shown = "; ".join(map(str, problems[:3]))
        more = len(problems) - 3
        damaged = {one.collection for one in self.problems}
        salvage = not only and "" not in damaged and any(self._sound(damaged))
        raise DamagedBackupError(
            f"The backup {str(self.path)!r} is damaged: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}.",
            next_step="Nothing was done with it; take another copy"
            f"{', or restore what is whole with --collections' if salvage else ''}.",
        )

    def _sound(self, damaged: Collection[str]) -> Iterator[str]:
        return (one.name for one in self.collections if one.name not in damaged)
