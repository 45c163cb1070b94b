"""What a backup says of itself, for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from annotated_types import Ge
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from xxhash import xxh3_128_hexdigest

from newbi_migrate.backup import layout
from newbi_migrate.backup.files import FileSeal
from newbi_migrate.errors import DamagedBackupError, UsageError

__all__ = ["FORMAT", "CollectionEntry", "Consistency", "Manifest", "half_done"]

FORMAT: Final = "newbi-migrate backup 1"
_ADVICE: Final = "Take another copy of the backup."
_CONFIG: Final = ConfigDict(
    strict=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
)
_Count = Annotated[int, Ge(0)]
_Kind = Annotated[str, StringConstraints(pattern=r"^(collection|timeseries|view)$")]


class Consistency(StrEnum):
    """What is known about writes while the backup was made."""

    SNAPSHOT = "snapshot"
    """All collections were read as they were at one moment."""
    QUIET = "quiet"
    """They were read one after the other, and the server counted no write meanwhile."""
    WRITTEN = "written"
    """There were writes meanwhile: collections may not fit together."""
    UNKNOWN = "unknown"
    """They were read one after the other; the server does not tell whether there were writes."""


_CONSISTENT: Final = {
    Consistency.SNAPSHOT: "All collections are as they were at one moment.",
    Consistency.QUIET: "The server counted no write while they were read.",
    Consistency.WRITTEN: "There were writes meanwhile: collections may not fit together.",
    Consistency.UNKNOWN: "Whether there were writes meanwhile is not known.",
}


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """One collection or view.

    Attributes:
        name: Its name in the database.
        type: ``collection``, ``timeseries`` or ``view``.
        uuid: The one it had, as 32 hexadecimal digits; empty if it had none.
        data: File of its documents, relative to the backup; empty for a view.
        metadata: File of its options and indexes, relative to the backup.
        count: Documents; of a time series, buckets.
        bytes: Bytes of BSON.
        digest: Of all documents, as :class:`~newbi_migrate.store.digest.Digest` defines it.
        digest_without: The same with the fields left out that the manifest names.
        bytes_without: The same with these fields left out.
        options: Digest of its options.
        indexes: Digest of its index specifications.
        consistency: What is known about writes to it while it was read.
    """

    __pydantic_config__ = _CONFIG

    name: str
    type: _Kind
    uuid: str
    data: str
    metadata: str
    count: _Count
    bytes: _Count
    digest: str
    digest_without: str
    bytes_without: _Count
    options: str
    indexes: str
    consistency: Consistency


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup.

    Attributes:
        tool: Name and version of the program that wrote it.
        database: Name of the database.
        server: Version of the server, such as ``6.0.5``.
        topology: ``standalone``, ``replica set`` or ``sharded cluster``.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601.
        consistency: What is known about writes while it was made.
        snapshot: Cluster time of the snapshot as seconds and increment, if there is one.
        without: Top-level fields that the digests without fields leave out.
        compression: Library that compressed.
        encrypted: Whether files are encrypted in the age format.
        unfinished_run: Command and id of a run that had begun and not come to its end, such as
            ``migrate 65f1…``; ``None`` if there was none.
        notes: What else a person should know.
        collections: In order of their names.
        exports: Collections that are written as Extended JSON too, once the backup is whole.
        files: Size and digest of every other file of the backup, by path relative to it; without
            exports.
    """

    __pydantic_config__ = _CONFIG

    tool: str
    database: str
    server: str
    topology: str
    started: str
    finished: str
    consistency: Consistency
    snapshot: tuple[int, int] | None
    without: tuple[str, ...]
    compression: str
    encrypted: bool
    unfinished_run: str | None
    notes: tuple[str, ...]
    collections: tuple[CollectionEntry, ...]
    exports: tuple[str, ...]
    files: Mapping[str, FileSeal]

    @property
    def count(self) -> int:
        """Documents in all."""
        return sum(entry.count for entry in self.collections)

    @property
    def bytes(self) -> int:
        """Bytes of BSON in all."""
        return sum(entry.bytes for entry in self.collections)

    @property
    def consistent(self) -> str:
        """What is known about writes meanwhile, as a sentence."""
        return _CONSISTENT[self.consistency]

    @property
    def half_done(self) -> str:
        """What a run had not finished, as a sentence; empty if nothing was under way."""
        if self.unfinished_run is None:
            return ""
        return half_done(self.unfinished_run)

    @property
    def identity(self) -> str:
        """What tells this backup from any other: a digest of all it says."""
        return _seal(self._body())

    def to_json(self) -> dict[str, Any]:
        """As the manifest file has it."""
        body = self._body()
        return {**body, "seal": _seal(body)}

    def _body(self) -> dict[str, Any]:
        return {"format": FORMAT, **_MANIFEST.dump_python(self, mode="json", by_alias=True)}

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Manifest:
        """Read a manifest file.

        Raises:
            DamagedBackupError: It is damaged.
            UsageError: It is of a format that this version does not know.
        """
        try:
            body = json.loads(text)
            form = body.pop("format")
            seal = body.pop("seal")
            sealed = _seal({"format": form, **body})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DamagedBackupError(
                f"{where} is not the manifest of a backup.", next_step=_ADVICE
            ) from None
        if form != FORMAT:
            raise UsageError(
                f"{where} has the format {str(form)[:60]!r}, which this version does not know.",
                next_step="Use the version of newbi-migrate that wrote it, or a later one.",
            )
        if seal != sealed:
            raise DamagedBackupError(
                f"{where} was changed after it was written.", next_step=_ADVICE
            )
        try:
            found = _MANIFEST.validate_json(json.dumps(body))
        except (ValidationError, RecursionError):
            # Without its cause, which repeats what the file holds.
            raise DamagedBackupError(
                f"{where} does not hold what a manifest does.", next_step=_ADVICE
            ) from None
        fault = _fault(found)
        if fault:
            raise DamagedBackupError(f"{where} is not to be trusted: {fault}.", next_step=_ADVICE)
        return found


_MANIFEST: Final = TypeAdapter(Manifest)


def half_done(run: str) -> str:
    """What to say of a backup of a database in which a run had not come to its end.

    Args:
        run: Its command and id.
    """
    command, _, run_id = run.partition(" ")
    what = "half rolled back" if command == "rollback" else "half migrated"
    return (
        f"The {command} of run {run_id} had begun and not come to its end: the database was "
        f"{what}, and this backup is none to go back to."
    )


def _fault(manifest: Manifest) -> str:
    """What no manifest says that a backup of a database came with; empty if there is nothing."""
    if not layout.database_folder(manifest.database):
        return f"no database can be named {manifest.database!r}"
    for moment in (manifest.started, manifest.finished):
        try:
            datetime.fromisoformat(moment).astimezone(UTC)
        except (ValueError, OverflowError):
            return f"{moment[:60]!r} is not a time"
    names = [entry.name for entry in manifest.collections]
    if len(set(names)) < len(names):
        return "it lists a collection twice"
    if not set(manifest.exports) <= set(names):
        return "it lists exports of collections it does not hold"
    for entry in manifest.collections:
        if not layout.dumped(entry.name) or layout.name_fault(entry.name):
            return f"it lists a collection {entry.name!r}"
        files = [entry.metadata] if entry.type == "view" else [entry.metadata, entry.data]
        for file in files:
            folder, _, _ = file.rpartition("/")
            if folder != manifest.database or file not in manifest.files:
                return f"it says that {file!r} holds a part of {entry.name!r}"
        if entry.type == "view" and entry.data:
            return f"it says that the view {entry.name!r} has documents"
    return ""


def _seal(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return xxh3_128_hexdigest(text.encode())
