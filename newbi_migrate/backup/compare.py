"""The use-case ``verify-backup`` against a database: what differs, to the document.

A collection is read once to tell whether it differs. Only one that does is read again, both sides,
into sums by a hash of ``_id``; then only documents of sums that differ are held, so that memory
stays flat however large the collection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from bson import json_util
from pydantic import computed_field
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from newbi_migrate.answers import HIDDEN, called, told
from newbi_migrate.backup import layout
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.manifest import CollectionEntry
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DamagedBackupError, DamagedRecordsError, UsageError
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import CollectionInfo, data_namespace, unopenable_names
from newbi_migrate.store.connection import nothing_there, open_database
from newbi_migrate.store.digest import (
    Digest,
    digest_collection,
    indexes_digest,
    options_digest,
    spans,
    without_fields,
)
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import decode_id
from newbi_migrate.store.indexes import read_indexes
from newbi_migrate.store.raw import element
from newbi_migrate.store.reading import read_batches
from newbi_migrate.store.runs import RunRecord, read_runs, readable_collections

__all__ = ["Comparison", "Difference", "compare_backup", "fields_to_ignore"]

_COMMENT: Final = "newbi-migrate verify-backup"
_BUCKETS: Final = 1 << 14
_HELD: Final = 20_000
"""Documents that are compared one by one; further ones are only counted."""
_MASK: Final = (1 << 128) - 1


def _parsed(document_id: str) -> Any:
    return json.loads(document_id) if document_id else None


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a database is not as its backup.

    Attributes:
        kind: ``missing`` (a collection or document the database lacks), ``extra`` (one that only
            the database has), ``content`` (a document or collection with other bytes), ``options``,
            ``indexes``, ``type``, or ``more`` (there are further ones that are not listed).
        collection: Its name.
        document_id: ``_id`` in Extended JSON, or empty where a whole collection is meant.
        detail: What it is, in words.
    """

    kind: str
    collection: str
    document_id: Annotated[str, called("id"), told(_parsed, Any)] = ""
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.collection} {self.document_id}".strip()
        return f"{where}: {self.kind}{f', {self.detail}' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A backup compared with a database.

    Attributes:
        database: The database.
        collections: Collections that were compared.
        differences: All that differs; empty where the database is as it was.
        without: Top-level fields that were left out on both sides.
        runs: The runs of this tool in the database, the newest first.
    """

    database: str
    collections: int
    differences: tuple[Difference, ...]
    without: tuple[str, ...] = ()
    runs: Annotated[tuple[RunRecord, ...], HIDDEN] = ()

    @computed_field
    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def in_place(self) -> tuple[RunRecord, ...]:
        """The runs that are not rolled back: what they wrote differs."""
        return tuple(run for run in self.runs if run.in_place)


def fields_to_ignore(names: Sequence[str]) -> tuple[str, ...]:
    """The names of fields that a comparison can leave out, as they were given.

    Args:
        names: Each the name of a top-level field.

    Raises:
        UsageError: One is no name of a top-level field, or is ``_id``.
    """
    for name in names:
        if not name:
            problem = "is empty"
        elif name == "_id":
            problem = "tells one document from another"
        elif name.startswith("$") or "\0" in name or name.encode(errors="ignore").decode() != name:
            problem = "is not a name that a field can have"
        elif "." in name:
            problem = "is a path into an embedded document"
        else:
            continue
        raise UsageError(
            f"A comparison cannot ignore the field {name!r}, which {problem}.",
            next_step="Name a top-level field of the documents, such as workspaceId.",
        )
    return tuple(names)


async def compare_backup(
    path: Path,
    database: Any,
    *,
    identities: Sequence[Any] = (),
    progress: Progress | None = None,
    without: Sequence[str] = (),
    run_records: bool = False,
    metadata: bool = True,
    documents: bool = True,
    source: str | None = None,
) -> Comparison:
    """Compares a backup of ours with a database; verify it first.

    Args:
        path: The backup.
        database: The database, whatever its name: a connection string, or a handle of PyMongo or
            Motor.
        identities: Secret keys for an encrypted backup.
        progress: Listener; nothing is said where none is given.
        without: Top-level fields to leave out on both sides: ``("workspaceId",)`` to prove that
            a migration has changed nothing else.
        run_records: Whether collections of this tool's own count.
        metadata: Whether options and indexes count.
        documents: Whether the documents that differ are named; without, it is one read, and a
            collection is named alone.
        source: Name of the database, where a dump holds several.

    Raises:
        UsageError: It is no backup of ours, or encrypted and there is no key; or a field cannot be
            left out.
        DamagedBackupError: It is damaged.
        UnreachableError: The server did not answer, or may not be read.
        UnsupportedError: The database holds nothing.
    """
    ignored = fields_to_ignore(without)
    dump = await asyncio.to_thread(Dump, path, identities, source=source)
    if dump.manifest is None:
        raise UsageError(
            f"{str(path)!r} has no manifest, so it cannot be compared with a database.",
            next_step="Compare a backup that newbi-migrate wrote.",
        )
    async with open_database(database) as store:
        with explained("comparing with the backup"):
            comparing = _Comparing(
                dump,
                store.database,
                progress or NullProgress(),
                ignored,
                documents=documents,
            )
            try:
                return await comparing.run(run_records=run_records, metadata=metadata)
            except DamagedDataError as error:
                raise DamagedBackupError(
                    f"The backup {str(path)!r} is damaged: {error}.",
                    next_step="verify-backup names the file.",
                ) from error


class _Comparing:
    def __init__(
        self,
        dump: Dump,
        database: Database,
        progress: Progress,
        without: tuple[str, ...],
        *,
        documents: bool,
    ) -> None:
        self._name_documents = documents
        self._dump = dump
        self._database = database
        self._progress = progress
        self._without = without

    async def run(self, *, run_records: bool, metadata: bool) -> Comparison:
        manifest = self._dump.manifest
        assert manifest is not None  # noqa: S101  # asked by the caller
        live = await readable_collections(self._database)
        if manifest.collections and not live:
            raise nothing_there(self._database.name)
        then = {entry.name: entry for entry in manifest.collections}
        names = sorted(
            name
            for name in {*then, *live}
            if layout.dumped(name) and (run_records or not name.startswith(OWN_PREFIX))
        )
        self._progress.phase("compare", sum(then[name].count for name in names if name in then))
        found: list[Difference] = []
        for name in names:
            entry, now = then.get(name), live.get(name)
            if now is None:
                found.append(Difference("missing", name, detail="the collection is not there"))
            elif entry is None:
                found.append(Difference("extra", name, detail="the backup has no such collection"))
            else:
                found += await self._collection(entry, now, metadata=metadata)
        found += [
            Difference("extra", name, detail="the driver opens no collection of its name")
            for name in await unopenable_names(self._database)
        ]
        runs = await self._runs()
        return Comparison(self._database.name, len(names), tuple(found), self._without, runs)

    async def _runs(self) -> tuple[RunRecord, ...]:
        try:
            return tuple(await read_runs(self._database))
        except DamagedRecordsError:
            # They only explain a difference.
            return ()

    async def _collection(
        self, entry: CollectionEntry, now: CollectionInfo, *, metadata: bool
    ) -> list[Difference]:
        if now.kind != entry.type:
            return [Difference("type", entry.name, detail=f"{now.kind} instead of {entry.type}")]
        found = []
        if metadata and options_digest(now.options) != entry.options:
            found.append(Difference("options", entry.name, detail="the options are not the same"))
        if entry.type == "view":
            return found
        indexes = await read_indexes(self._database, entry.name)
        if metadata and indexes_digest(indexes) != entry.indexes:
            found.append(Difference("indexes", entry.name, detail=self._indexes(entry, indexes)))
        name = data_namespace(entry.name, entry.type)
        digest = await digest_collection(
            self._database,
            name,
            without=self._without,
            comment=_COMMENT,
            advance=lambda count: self._progress.advance(count, entry.name),
        )
        if (digest.count, digest.hexdigest()) == await self._expected(entry):
            return found
        if self._name_documents:
            return [*found, *await self._documents(entry, name)]
        detail = f"{digest.count} documents instead of {entry.count}"
        if digest.count == entry.count:
            detail = "the documents are not the same"
        return [*found, Difference("content", entry.name, detail=detail)]

    def _indexes(self, entry: CollectionEntry, now: Sequence[dict[str, Any]]) -> str:
        if not self._dump.readable:
            return "they are not the same"
        then = next((c.indexes for c in self._dump.collections if c.name == entry.name), ())
        old = {index["name"]: indexes_digest([index]) for index in then}
        new = {index["name"]: indexes_digest([index]) for index in now}
        parts = [f"{name} is missing" for name in sorted(old.keys() - new.keys())]
        parts += [f"{name} is extra" for name in sorted(new.keys() - old.keys())]
        parts += [
            f"{name} is another"
            for name in sorted(old.keys() & new.keys())
            if old[name] != new[name]
        ]
        return "; ".join(parts)

    async def _expected(self, entry: CollectionEntry) -> tuple[int, str]:
        manifest = self._dump.manifest
        if not self._without:
            return entry.count, entry.digest
        if manifest is not None and set(self._without) == set(manifest.without):
            return entry.count, entry.digest_without
        self._need_key()

        def read() -> Digest:
            digest = Digest(self._without)
            for batch in self._stored(entry):
                digest.add_batch(batch)
            return digest

        digest = await asyncio.to_thread(read)
        return digest.count, digest.hexdigest()

    def _stored(self, entry: CollectionEntry) -> Iterator[bytes]:
        return self._dump.batches_of(DumpedCollection(entry.name, entry.type, data=entry.data))

    def _need_key(self) -> None:
        if not self._dump.readable:
            raise UsageError(
                "The backup is encrypted, so its documents cannot be compared without a key.",
                next_step="Give its secret key with --identity.",
            )

    # -- documents ----------------------------------------------------------------------------

    async def _documents(self, entry: CollectionEntry, name: str) -> list[Difference]:
        self._need_key()
        then = await asyncio.to_thread(self._sums, self._stored(entry))
        now = [0] * _BUCKETS, [0] * _BUCKETS
        collection = self._database[name]
        async for batch in read_batches(collection, comment=_COMMENT):
            self._sum_up(batch, *now)
        differing = [b for b in range(_BUCKETS) if then[0][b] != now[0][b]]
        held = 0
        chosen: set[int] = set()
        for bucket in differing:
            held += then[1][bucket] + now[1][bucket]
            if chosen and held > _HELD:
                break
            chosen.add(bucket)
        old = await asyncio.to_thread(self._chosen, self._stored(entry), chosen)
        new: dict[bytes, int] = {}
        async for batch in read_batches(collection, comment=_COMMENT):
            new |= self._chosen([batch], chosen)
        found = []
        for key in sorted({*old, *new}):
            was, became = old.get(key), new.get(key)
            if was != became:
                kind = "extra" if was is None else "missing" if became is None else "content"
                found.append(Difference(kind, entry.name, _shown(key)))
        left = len(differing) - len(chosen)
        if left:
            found.append(
                Difference("more", entry.name, detail=f"at least {left} further documents differ")
            )
        return found

    def _sums(self, batches: Iterator[bytes]) -> tuple[list[int], list[int]]:
        sums, counts = [0] * _BUCKETS, [0] * _BUCKETS
        for batch in batches:
            self._sum_up(batch, sums, counts)
        return sums, counts

    def _sum_up(self, batch: bytes, sums: list[int], counts: list[int]) -> None:
        for start, end in spans(batch):
            raw = batch[start:end]
            bucket = xxh3_64_intdigest(_key(raw)) % _BUCKETS
            sums[bucket] = (sums[bucket] + self._hash(raw)) & _MASK
            counts[bucket] += 1

    def _chosen(self, batches: Any, chosen: set[int]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for batch in batches:
            for start, end in spans(batch):
                raw = batch[start:end]
                key = _key(raw)
                if xxh3_64_intdigest(key) % _BUCKETS in chosen:
                    found[key] = self._hash(raw)
        return found

    def _hash(self, raw: bytes) -> int:
        return xxh3_128_intdigest(without_fields(raw, self._without) if self._without else raw)


def _key(raw: bytes) -> bytes:
    """Type byte and value of ``_id``."""
    found = element(raw, "_id")
    return b"" if found is None else bytes([found[0]]) + found[1]


def _shown(key: bytes) -> str:
    if not key:
        return ""
    return json_util.dumps(decode_id(key[0], key[1:]), json_options=json_util.RELAXED_JSON_OPTIONS)
