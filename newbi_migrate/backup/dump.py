"""A dump that lies somewhere: what collections it has, and the stream of their documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from xxhash import xxh3_128

from newbi_migrate.backup import layout
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.encrypt import Undecryptable
from newbi_migrate.backup.manifest import CollectionEntry, Manifest
from newbi_migrate.backup.metadata import MetadataError, parse_metadata
from newbi_migrate.backup.mongodump import Contents, find_database, read_database
from newbi_migrate.backup.opening import BackupFolder
from newbi_migrate.backup.reading import DamagedDataError, read_failures
from newbi_migrate.backup.verification import Problem
from newbi_migrate.errors import DamagedBackupError, LocalFileError, UsageError
from newbi_migrate.local_files import reason_of

__all__ = ["Dump"]

_OTHER_COPY: Final = "Take another copy of the backup."
_ARCHIVE: Final = b"\x6d\xe2\x99\x81"
_GZIP: Final = b"\x1f\x8b"
_OF_A_DUMP: Final = (layout.DATA + layout.GZIP, layout.METADATA + layout.GZIP)
_OURS: Final = "newbi-migrate backup"


class Dump:
    """A dump of one database: a backup of ours, or a folder of mongodump.

    Args:
        path: The backup, or the folder of one database in it.
        identities: Secret keys for encrypted files.
        source: Name of the database, where a folder of mongodump holds several.

    Raises:
        UsageError: It is no dump, or holds several databases, or none of the keys opens it.
        DamagedBackupError: It is an unfinished one, or its manifest is damaged.
    """

    def __init__(
        self, path: Path, identities: Sequence[Any] = (), *, source: str | None = None
    ) -> None:
        _refuse_no_folder(path)
        _refuse_partial(path)
        self.path = path
        self.manifest: Manifest | None = None
        self._identities = identities
        self._contents: Contents | None = None
        self._first_read: dict[str, bytes] = {}
        self._notes: list[str] = []
        manifest = self._find_manifest(path)
        if manifest is not None:
            if source not in {None, manifest.database}:
                raise UsageError(
                    f"The backup {str(path)!r} holds no database {source!r}.",
                    next_step=f"It holds {manifest.database}.",
                )
            self.manifest, self.database = manifest, manifest.database
            self.folder = BackupFolder(self.path, identities)
            if self.readable and manifest.encrypted:
                _refuse_other_keys(self.folder, manifest)
            return
        _refuse_ours_without_manifest(path)
        data, self.database, self._notes = find_database(path, source)
        self.folder = BackupFolder(data, identities)

    def _find_manifest(self, path: Path) -> Manifest | None:
        """The manifest of a backup of ours, also where the folder of its database was named."""
        if BackupFolder(path).has(layout.MANIFEST):
            return _read_manifest(path, or_foreign=False)
        above = path.absolute().parent
        if layout.unfinished_backup(above.name):
            raise _never_finished(above)
        if not BackupFolder(above).has(layout.MANIFEST):
            return None
        manifest = _read_manifest(above, or_foreign=True)
        if manifest is None or manifest.database != path.absolute().name:
            return None
        _refuse_partial(above)
        self.path = above
        return manifest

    @property
    def readable(self) -> bool:
        """Whether the documents can be read: they are not encrypted, or there is a key."""
        return self.manifest is None or not self.manifest.encrypted or bool(self._identities)

    @property
    def checked(self) -> bool:
        """Whether every changed bit is found: gzip has checksums, a plain file has none."""
        sealed = (layout.GZIP, layout.ENCRYPTED)
        return all(c.data.endswith(sealed) for c in self.collections if c.data)

    @property
    def collections(self) -> Sequence[DumpedCollection]:
        """What can be restored, read once.

        Raises:
            DamagedBackupError: Its folder cannot be listed.
            UsageError: There is nothing.
        """
        return self._read().collections

    @property
    def problems(self) -> Sequence[Problem]:
        """What keeps other collections from being restored, before any document is read."""
        return self._read().problems

    @property
    def notes(self) -> Sequence[str]:
        """What is there and is not restored."""
        return [*self._notes, *self._read().notes]

    def batches_of(self, collection: DumpedCollection) -> Iterator[bytes]:
        """The documents of one collection, the same bytes each time they are read to their end.

        Files of a dump are not locked, and not kept in memory. So what is verified first and
        inserted later is compared by a digest of the whole stream, which costs next to nothing.

        Raises:
            DamagedDataError: The file is damaged or missing. At the end: it was read to its end
                before, and held something else.
        """
        if not collection.data:
            return
        read = xxh3_128()
        for batch in self.folder.documents(collection.data):
            read.update(batch)
            yield batch
        digest = read.digest()
        if self._first_read.setdefault(collection.data, digest) != digest:
            raise DamagedDataError("it has changed since it was first read")

    def reread(self, collection: DumpedCollection) -> None:
        """Read the documents of one collection to their end.

        Raises:
            DamagedDataError: As :meth:`batches_of`.
        """
        for _ in self.batches_of(collection):
            pass

    def _read(self) -> Contents:
        if self._contents is None:
            if self.manifest is None:
                self._contents = read_database(self.folder)
            else:
                self._contents = self._listed(self.manifest)
        return self._contents

    def _listed(self, manifest: Manifest) -> Contents:
        found = Contents()
        for entry in manifest.collections:
            try:
                found.collections.append(self._entry(entry))
            except (DamagedDataError, MetadataError) as error:
                found.problems.append(Problem(entry.metadata, str(error), entry.name))
        return found

    def _entry(self, entry: CollectionEntry) -> DumpedCollection:
        read = parse_metadata(self.folder.text(entry.metadata))
        if (read.name, read.kind) != (entry.name, entry.type):
            raise MetadataError("it is of another collection than the manifest says")
        return DumpedCollection(entry.name, entry.type, read.options, read.indexes, entry.data)


def _refuse_no_folder(path: Path) -> None:
    """Say why something that is no folder is not read as a dump."""
    try:
        # In a folder that was removed no path can be made absolute.
        path.absolute()
        if path.is_dir():
            return
        there = path.exists()
    except OSError as error:
        raise DamagedBackupError(
            f"{str(path)!r} cannot be read ({reason_of(error)}).",
            next_step="Name the folder of a backup.",
        ) from error
    if not there:
        raise LocalFileError(f"There is no backup {str(path)!r}.", next_step="Name its folder.")
    resolved = path.resolve()
    try:
        with read_failures(), BackupFolder(resolved.parent).raw(resolved.name) as file:
            begins = file.read(len(_ARCHIVE))
    except DamagedDataError as error:
        raise DamagedBackupError(
            f"{str(path)!r} is not a backup: {error}.", next_step="Name the folder of a backup."
        ) from error
    if begins == _ARCHIVE or (begins.startswith(_GZIP) and not path.name.endswith(_OF_A_DUMP)):
        raise UsageError(
            f"{str(path)!r} is a file, and may be an archive of mongodump, which is not read here.",
            next_step="Restore it with mongorestore --archive=FILE, and --gzip if it is "
            "compressed, or dump into a folder.",
        )
    raise UsageError(
        f"{str(path)!r} is a file.",
        next_step="Name the folder that holds it; --collections chooses what is restored.",
    )


def _refuse_other_keys(folder: BackupFolder, manifest: Manifest) -> None:
    """Fail where no key fits.

    A damaged file cannot be decrypted either, so a file is tried whose checksum is right.
    """
    for entry in manifest.collections:
        name = entry.metadata
        with suppress(DamagedDataError):
            if folder.seal(name, manifest.files[name]) == manifest.files[name]:
                break
    else:
        return
    try:
        folder.text(name)
    except DamagedDataError as error:
        if not isinstance(error.__cause__, Undecryptable):
            return
        raise UsageError(
            f"The backup {str(folder.path)!r} was encrypted for other keys than those given.",
            next_step="Give the secret key of a key it was encrypted for: --identity.",
        ) from error


def _refuse_partial(path: Path) -> None:
    if path.absolute().name.endswith(layout.PARTIAL):
        raise _never_finished(path)


def _never_finished(path: Path) -> DamagedBackupError:
    return DamagedBackupError(
        f"{str(path)!r} is a backup that was never finished.",
        next_step="Delete it, and make another: newbi-migrate backup.",
    )


def _refuse_ours_without_manifest(path: Path) -> None:
    """A backup of ours is checked by its manifest: without it, nothing tells what is missing."""
    folder = BackupFolder(path)
    if not folder.has(layout.REPORT):
        return
    try:
        report = folder.text(layout.REPORT)
    except DamagedDataError:
        # Of another program, perhaps, whose reports nobody reads.
        return
    if f"Written by {layout.TOOL} " in report:
        first = "decrypt each file with age, and " if "Encrypted  yes" in report else ""
        raise DamagedBackupError(
            f"The backup {str(path)!r} has lost its file {layout.MANIFEST}.",
            next_step=f"{_OTHER_COPY} What is there can be restored as a dump of mongodump: {first}"
            "name the folder of the database in it.",
        )


def _read_manifest(root: Path, *, or_foreign: bool) -> Manifest | None:
    """The manifest in a folder; ``None`` for one of another program, where that may be."""
    where = repr(str(root / layout.MANIFEST))
    try:
        text = BackupFolder(root).text(layout.MANIFEST)
    except DamagedDataError as error:
        raise DamagedBackupError(
            f"The manifest {where} cannot be read: {error}.", next_step=_OTHER_COPY
        ) from error
    if or_foreign and _OURS not in text:
        return None
    return Manifest.from_json(text, where=where)
