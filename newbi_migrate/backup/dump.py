"""A dump that lies somewhere: what collections it has, and the stream of their documents.

One interface for backups of ours and folders of mongodump; archives have theirs in
:mod:`~newbi_migrate.backup.archive`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions

from newbi_migrate.backup import layout
from newbi_migrate.backup.compress import GZIP_ERRORS, damage_of
from newbi_migrate.backup.manifest import Manifest
from newbi_migrate.backup.reading import DamagedDataError, open_stream, whole_documents
from newbi_migrate.errors import DamagedBackupError, UsageError
from newbi_migrate.store.collections import data_namespace

__all__ = [
    "Dump",
    "DumpedCollection",
    "FolderDump",
    "choose_database",
    "parse_metadata",
    "read_failures",
]

_JSON: Final = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    tz_aware=False,
    tzinfo=None,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_OTHER_COPY: Final = "Take another copy of the backup."
# What a server has beside the databases of applications.
_OWN: Final = frozenset({"admin", "config", "local"})

DAMAGE: Final[tuple[type[Exception], ...]] = (*GZIP_ERRORS, DamagedDataError)


@dataclass(frozen=True, slots=True)
class DumpedCollection:
    """A collection or view in a dump.

    Attributes:
        name: Its name in the database.
        type: ``collection``, ``timeseries`` or ``view``.
        options: As ``create`` takes them.
        indexes: Specifications as ``listIndexes`` gave them.
        data: File of its documents, relative to the dump; empty if it has none.
    """

    name: str
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[Mapping[str, Any], ...] = ()
    data: str = ""

    @property
    def namespace(self) -> str:
        """The collection its documents belong to: the buckets of a time series."""
        return data_namespace(self.name, self.type)


class Dump(Protocol):
    """A dump of one database."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def database(self) -> str:
        """The database it was made of."""
        ...

    @property
    def collections(self) -> Sequence[DumpedCollection]:
        """What it holds."""
        ...

    @property
    def checked(self) -> bool:
        """Whether reading it to the end finds every changed bit."""
        ...

    def batches(self) -> Iterator[tuple[DumpedCollection, bytes]]:
        """All documents, in batches of whole documents of one collection.

        Raises:
            DamagedDataError: It is damaged.
        """
        ...


class FolderDump:
    """A folder as mongodump writes it, with or without a manifest of ours.

    Args:
        path: The backup, or the folder of one database in it.
        identities: Secret keys for encrypted files.
        source: Name of the database, where the folder holds several.

    Raises:
        UsageError: It is no dump, an unfinished one, or holds several databases.
        DamagedBackupError: Its manifest or a metadata file is damaged.
    """

    def __init__(
        self, path: Path, identities: Sequence[Any] = (), *, source: str | None = None
    ) -> None:
        _refuse_partial(path)
        root = path
        if not (path / layout.MANIFEST).is_file() and (path.parent / layout.MANIFEST).is_file():
            root = path.parent
            _refuse_partial(root)
        self.identities = identities
        self.manifest: Manifest | None = None
        if (root / layout.MANIFEST).is_file():
            self.manifest = _read_manifest(root / layout.MANIFEST)
            self.path, self.database = root, self.manifest.database
            self._data = root / self.database
        else:
            self._data = _database_folder(path, source)
            self.path, self.database = self._data.parent, self._data.name
        self._collections: tuple[DumpedCollection, ...] | None = None

    @property
    def readable(self) -> bool:
        """Whether the documents can be read: they are not encrypted, or there is a key."""
        return self.manifest is None or not self.manifest.encrypted or bool(self.identities)

    @property
    def checked(self) -> bool:
        """Gzip and manifests have checksums; a plain file has none."""
        sealed = (layout.GZIP, layout.ENCRYPTED)
        return all(c.data.endswith(sealed) for c in self.collections if c.data)

    @property
    def collections(self) -> Sequence[DumpedCollection]:
        """What it holds, read once.

        Raises:
            DamagedBackupError: A file is missing or its metadata cannot be read.
        """
        if self._collections is None:
            read = self._listed if self.manifest else self._found
            self._collections = tuple(read())
        return self._collections

    def _listed(self) -> Iterator[DumpedCollection]:
        assert self.manifest is not None  # noqa: S101  # asked by the caller
        for entry in self.manifest.collections:
            text = self.read_text(entry.metadata)
            one = parse_metadata(text, where=entry.metadata)
            yield DumpedCollection(entry.name, entry.type, one.options, one.indexes, entry.data)

    def _found(self) -> Iterator[DumpedCollection]:
        data, metadata = {}, {}
        for file in sorted(self._data.iterdir()):
            name = file.name.removesuffix(layout.GZIP)
            relative = f"{self._data.name}/{file.name}"
            if name.endswith(layout.METADATA):
                metadata[name.removesuffix(layout.METADATA)] = relative
            elif name.endswith(layout.DATA):
                data[name.removesuffix(layout.DATA)] = relative
        for stem, file_name in metadata.items():
            one = parse_metadata(self.read_text(file_name), where=file_name)
            name = one.name or layout.unescape(stem)
            if not layout.dumped(name):
                continue
            documents = ""
            if one.type != "view":
                wanted = layout.escape(data_namespace(name, one.type))
                documents = data.pop(wanted, "")
                if not documents:
                    raise DamagedBackupError(
                        f"The file {wanted}{layout.DATA} of the collection {name!r} is missing "
                        f"in {str(self._data)!r}.",
                        next_step=_OTHER_COPY,
                        collection=name,
                    )
            yield DumpedCollection(name, one.type, one.options, one.indexes, documents)
        for stem, file_name in data.items():
            name = layout.unescape(stem)
            if layout.dumped(name):
                yield DumpedCollection(name, "collection", data=file_name)

    def read_text(self, name: str) -> str:
        """A text file of the dump, in clear.

        Raises:
            DamagedBackupError: It is missing or damaged.
        """
        try:
            with read_failures(), open_stream(self.path / name, self.identities, name=name) as file:
                return file.read().decode()
        except (DamagedDataError, UnicodeDecodeError) as error:
            raise DamagedBackupError(
                f"The file {name} of the backup is damaged: {error}.", next_step=_OTHER_COPY
            ) from error

    def batches_of(self, collection: DumpedCollection) -> Iterator[bytes]:
        """The documents of one collection.

        Raises:
            DamagedDataError: The file is damaged or missing.
        """
        if not collection.data:
            return
        path = self.path / collection.data
        with read_failures(), open_stream(path, self.identities, name=collection.data) as stream:
            if collection.data.endswith(layout.GZIP) and not path.stat().st_size:
                raise DamagedDataError("it is cut off")
            yield from whole_documents(stream)

    def batches(self) -> Iterator[tuple[DumpedCollection, bytes]]:
        """All documents, one collection after the other."""
        for collection in self.collections:
            for batch in self.batches_of(collection):
                yield collection, batch


class read_failures:  # noqa: N801  # used like a function
    """Turns what reading a damaged file raises into one error.

    Raises:
        DamagedDataError: The message says what is wrong with the file.
    """

    def __enter__(self) -> None:
        """Begins."""

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        """Turns the error."""
        if error is None or isinstance(error, DamagedDataError | GeneratorExit):
            return
        if isinstance(error, GZIP_ERRORS):
            raise DamagedDataError(damage_of(error)) from error
        if isinstance(error, FileNotFoundError):
            raise DamagedDataError("it is missing") from error
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise DamagedDataError(f"it cannot be read ({reason})") from error
        from newbi_migrate.backup.encrypt import Undecryptable

        if isinstance(error, Undecryptable):
            raise DamagedDataError("no key opens it, or its bytes are changed") from error


def parse_metadata(text: str, *, where: str) -> DumpedCollection:
    """A collection from the text of its metadata file, of any version of mongodump.

    Raises:
        DamagedBackupError: It is no such text.
    """
    try:
        body = json_util.loads(text, json_options=_JSON)
        options = dict(body.get("options") or {})
        kind = body.get("type") or ("view" if "viewOn" in options else "")
        kind = kind or ("timeseries" if "timeseries" in options else "collection")
        indexes = tuple(dict(index) for index in body.get("indexes") or ())
        return DumpedCollection(body.get("collectionName", ""), kind, options, indexes)
    except (ValueError, TypeError, AttributeError, BSONError) as error:
        raise DamagedBackupError(
            f"The file {where} of the backup holds no metadata of a collection.",
            next_step=_OTHER_COPY,
        ) from error


def choose_database(names: Sequence[str], source: str | None, *, where: str) -> str:
    """The database that is meant, of those a dump holds.

    Raises:
        UsageError: There is none, or there are several and none was named.
    """
    if source is not None:
        if source in names:
            return source
        raise UsageError(
            f"{where} holds no database {source!r}.",
            next_step=f"It holds {', '.join(names) or 'none'}.",
        )
    own = [name for name in names if name not in _OWN]
    if len(own) == 1:
        return own[0]
    if not own:
        raise UsageError(
            f"{where} is no backup and no dump of mongodump.",
            next_step="Name the folder that holds backup_report.txt, or mongodump's folder.",
        )
    raise UsageError(
        f"{where} holds several databases: {', '.join(own)}.",
        next_step="Say which one with --source-database.",
    )


def _database_folder(path: Path, source: str | None) -> Path:
    if not path.is_dir():
        raise UsageError(
            f"There is no backup {str(path)!r}.", next_step="Name a folder or an archive."
        )
    if _has_data(path) and source in {None, path.name}:
        return path.absolute()
    names = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.is_dir() and entry.name != layout.EXPORTS and _has_data(entry)
    )
    return (path / choose_database(names, source, where=repr(str(path)))).absolute()


def _has_data(folder: Path) -> bool:
    endings = (layout.DATA, layout.METADATA)
    for file in folder.iterdir():
        if file.name.endswith(layout.PARTIAL):
            _refuse_partial(file)
        if file.name.removesuffix(layout.GZIP).endswith(endings):
            return True
    return False


def _refuse_partial(path: Path) -> None:
    if any(part.endswith(layout.PARTIAL) for part in path.absolute().parts[-2:]):
        raise DamagedBackupError(
            f"{str(path)!r} is a backup that was never finished.", next_step=_OTHER_COPY
        )


def _read_manifest(path: Path) -> Manifest:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedBackupError(
            f"The manifest {str(path)!r} cannot be read.", next_step=_OTHER_COPY
        ) from error
    try:
        return Manifest.from_json(text, where=repr(str(path)))
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise DamagedBackupError(
            f"The manifest {str(path)!r} is incomplete.", next_step=_OTHER_COPY
        ) from error
