"""What a backup says of itself, for machines.

Older formats stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

from xxhash import xxh3_128_hexdigest

from newbi_migrate.backup.files import FileSeal
from newbi_migrate.errors import DamagedBackupError, UsageError

__all__ = ["FORMAT", "CollectionEntry", "Consistency", "ExportEntry", "Manifest"]

FORMAT: Final = "newbi-migrate backup 1"


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

    name: str
    type: str
    uuid: str
    data: str
    metadata: str
    count: int
    bytes: int
    digest: str
    digest_without: str
    bytes_without: int
    options: str
    indexes: str
    consistency: Consistency


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One collection as Extended JSON.

    Attributes:
        collection: Its name in the database.
        file: Relative to the backup.
        lines: Documents.
    """

    collection: str
    file: str
    lines: int


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
        notes: What a person should know beside.
        collections: In order of their names.
        exports: In order of their names.
        files: Size and digest of every other file of the backup, by path relative to it.
    """

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
    notes: tuple[str, ...]
    collections: tuple[CollectionEntry, ...]
    exports: tuple[ExportEntry, ...]
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
    def identity(self) -> str:
        """What tells this backup from any other: a digest of all it says."""
        return _seal(self._body())

    def entry(self, name: str) -> CollectionEntry | None:
        """The collection of that name, if it is there."""
        return next((entry for entry in self.collections if entry.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As the manifest file has it."""
        body = self._body()
        return {**body, "seal": _seal(body)}

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"format": FORMAT, **_camel(asdict(replace(self, files={})))}
        body["files"] = {
            name: {"bytes": seal.bytes, "digest": seal.digest} for name, seal in self.files.items()
        }
        return body

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Manifest:
        """Reads a manifest file.

        Raises:
            DamagedBackupError: It is damaged.
            UsageError: It is of a format that this version does not know.
        """
        advice = "Take another copy of the backup."
        try:
            body = json.loads(text)
            form = body["format"]
            seal = body.pop("seal")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedBackupError(
                f"{where} is no manifest of a backup.", next_step=advice
            ) from None
        if form != FORMAT:
            raise UsageError(
                f"{where} has the format {form!r}, which this version does not know.",
                next_step="Use the version of newbi-migrate that wrote it, or a later one.",
            )
        if seal != _seal(body):
            raise DamagedBackupError(f"{where} was changed after it was written.", next_step=advice)
        return cls._of(body)

    @classmethod
    def _of(cls, body: Mapping[str, Any]) -> Manifest:
        fields = _snake(body)
        fields.pop("format")
        snapshot = fields["snapshot"]
        fields.update(
            consistency=Consistency(fields["consistency"]),
            snapshot=None if snapshot is None else (snapshot[0], snapshot[1]),
            without=tuple(fields["without"]),
            notes=tuple(fields["notes"]),
            collections=tuple(
                CollectionEntry(**{**_snake(one), "consistency": Consistency(one["consistency"])})
                for one in fields["collections"]
            ),
            exports=tuple(ExportEntry(**_snake(one)) for one in fields["exports"]),
            files={name: FileSeal(**seal) for name, seal in fields["files"].items()},
        )
        return cls(**fields)


def _seal(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return xxh3_128_hexdigest(text.encode())


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel_key(key): _camel(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(inner) for inner in value]
    return value


def _camel_key(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in key): value
        for key, value in body.items()
    }
