"""What a database held before a run: digests of its collections, from a backup or taken then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Self

from newbi_migrate.backup.layout import dumped
from newbi_migrate.backup.manifest import Manifest
from newbi_migrate.documents.registry import OWN_PREFIX, Registry
from newbi_migrate.errors import UsageError
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.counting import estimated_counts
from newbi_migrate.store.digest import digest_collection
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import RunRecord, RunState, readable_collections

__all__ = [
    "Baseline",
    "BaselineSource",
    "CollectionBaseline",
    "baseline_of",
    "fields_left_out",
    "live_collections",
    "provable_run",
    "take_baseline",
]


class BaselineSource(StrEnum):
    """Where the digests of a baseline come from."""

    BACKUP = "backup"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class CollectionBaseline:
    """What a collection held.

    Attributes:
        count: Documents.
        digest: As :class:`~newbi_migrate.store.digest.Digest` defines it.
        without: Top-level fields the digest leaves out.
    """

    count: int
    digest: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a database held before a run.

    Attributes:
        source: Where the digests come from.
        backup: Identity of the backup; empty where they were taken when the run began.
        name: Name of the backup's folder, for people.
        taken: When, UTC, ISO 8601.
        collections: What each collection held; views and the tool's own are left out.
    """

    source: BaselineSource
    backup: str = ""
    name: str = ""
    taken: str = ""
    collections: Mapping[str, CollectionBaseline] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, manifest: Manifest, registry: Registry, *, name: str = "") -> Self:
        """The digests of a backup.

        Raises:
            UsageError: The backup left out other fields than the registry's workspace.
        """
        if tuple(manifest.without) != (registry.workspace_field,):
            raise UsageError(
                f"The backup has no digests without {registry.workspace_field!r}, so it cannot "
                "prove what a run changed.",
                next_step="Make a backup with newbi-migrate backup and name that one.",
            )
        known = {}
        for entry in manifest.collections:
            if entry.type != "view" and not entry.name.startswith(OWN_PREFIX):
                without = fields_left_out(registry, entry.name)
                digest = entry.digest_without if without else entry.digest
                known[entry.name] = CollectionBaseline(entry.count, digest, without)
        return cls(
            BaselineSource.BACKUP,
            manifest.identity,
            name,
            taken=manifest.started,
            collections=known,
        )

    def to_document(self) -> dict[str, Any]:
        """As a run record holds it."""
        return {
            "source": self.source.value,
            "backup": self.backup,
            "name": self.name,
            "taken": self.taken,
            # A list: names of collections may hold dots.
            "collections": [
                {
                    "collection": name,
                    "count": known.count,
                    "digest": known.digest,
                    "without": list(known.without),
                }
                for name, known in self.collections.items()
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """From its form in a run record."""
        return cls(
            BaselineSource(document["source"]),
            document["backup"],
            document["name"],
            document["taken"],
            {
                one["collection"]: CollectionBaseline(
                    one["count"], one["digest"], tuple(one["without"])
                )
                for one in document["collections"]
            },
        )


def baseline_of(run: RunRecord) -> Baseline | None:
    """What was known of the database when a run began, if it was recorded."""
    recorded = run.document.get("baseline")
    return None if recorded is None else Baseline.from_document(recorded)


def provable_run(runs: Sequence[RunRecord]) -> RunRecord:
    """The last run that recorded what was there before it and was not rolled back.

    Between two runs people work, and no journal tells of that.

    Raises:
        UsageError: There is none.
    """
    for run in runs:
        if run.state is not RunState.ROLLED_BACK and run.document.get("baseline") is not None:
            return run
    raise UsageError(
        "No run recorded what was there before it, so nothing can be proven.",
        next_step="Migrate with --backup DIR or --record-digests.",
    )


async def take_baseline(
    database: Database,
    registry: Registry,
    *,
    progress: Progress | None = None,
    comment: str,
) -> Baseline:
    """Digest every collection as it is now, which reads the whole database once.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    listener = progress or NullProgress()
    taken = datetime.now(UTC).isoformat(timespec="milliseconds")
    known = {}
    live = await live_collections(database, comment=comment)
    sizes = await estimated_counts(database, live.values(), comment=comment)
    listener.phase("digests", sum(sizes.values()))
    for name, info in live.items():
        without = fields_left_out(registry, name)
        digest = await digest_collection(
            database,
            info.data,
            without=without,
            comment=comment,
            advance=partial(_advanced, listener, name),
        )
        known[name] = CollectionBaseline(digest.count, digest.hexdigest(), without)
    return Baseline(BaselineSource.RUN, taken=taken, collections=known)


def _advanced(progress: Progress, name: str, count: int) -> None:
    progress.advance(count, name)


def fields_left_out(registry: Registry, name: str) -> tuple[str, ...]:
    """The workspace may change where it is stamped, and nowhere else."""
    scoped = name in registry and registry[name].scoped
    return (registry.workspace_field,) if scoped else ()


async def live_collections(database: Database, *, comment: str) -> dict[str, CollectionInfo]:
    """Each collection that counts, by name, in order."""
    found = await readable_collections(database, comment=comment)
    return {
        name: info
        for name, info in found.items()
        if info.kind != "view" and dumped(name) and not name.startswith(OWN_PREFIX)
    }
