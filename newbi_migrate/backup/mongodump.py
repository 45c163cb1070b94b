"""What lies in a folder that mongodump wrote: collections, damage, and what is not restored.

The layout is that of MongoDB's database tools from 2.0 to 100.x. Whatever cannot be read for
certain is a problem of its collection, and of no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from newbi_migrate.backup import layout
from newbi_migrate.backup.dumped import DumpedCollection
from newbi_migrate.backup.metadata import Metadata, MetadataError, index_fault, parse_metadata
from newbi_migrate.backup.opening import BackupFolder, FileKind
from newbi_migrate.backup.reading import DamagedDataError
from newbi_migrate.backup.verification import Problem
from newbi_migrate.errors import DamagedBackupError, UsageError
from newbi_migrate.printable import some_of
from newbi_migrate.store.collections import BUCKETS
from newbi_migrate.store.connection import SERVERS_OWN

__all__ = ["Contents", "find_database", "read_database"]

_NAMED: Final = 10
_OPLOG: Final = frozenset({"oplog.bson", "oplog.bson.gz"})
_PRELUDE: Final = frozenset({"prelude.json", "prelude.json.gz"})
_INDEXES: Final = "system.indexes"
_OTHER_COPY: Final = "Take another copy of the backup."
_LENIENT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
)
_OPLOG_NOTE: Final = (
    "It was made with --oplog, which is not replayed: each collection comes back as it was when it "
    "was read, and they may not fit together."
)


@dataclass(slots=True)
class Contents:
    """What a dump holds.

    Attributes:
        collections: What can be restored, in order of their names.
        problems: What is damaged, each of one collection.
        notes: What is there and not restored, as sentences.
    """

    collections: list[DumpedCollection] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# -- which database ---------------------------------------------------------------------------


def find_database(path: Path, source: str | None) -> tuple[Path, str, list[str]]:
    """The folder of the database that is meant, its name, and notes on what lies beside it.

    Args:
        path: The folder that mongodump wrote, or that of one database in it.
        source: Name of the database, where there are several.

    Raises:
        UsageError: It is no dump, holds several databases, or nothing but the server's own.
        DamagedBackupError: It cannot be read.
    """
    path = path.absolute()
    entries = _listed(path)
    folders = [name for name, kind in entries.items() if kind is FileKind.FOLDER]
    databases = [
        name for name in folders if name != layout.EXPORTS and _dump_names(_listed(path / name))
    ]
    loose = [name for name in _dump_names(entries) if name not in _OPLOG]
    oplog = sorted(_OPLOG.intersection(entries))
    # A collection may be named oplog as well; then it has metadata.
    if oplog and "oplog.metadata.json" in {name.removesuffix(layout.GZIP) for name in entries}:
        loose += oplog
        oplog = []
    if loose and (not databases or source == path.name):
        if source not in {None, path.name}:
            raise UsageError(
                f"{str(path)!r} is the database {path.name!r}, and not {source!r}.",
                next_step="Leave --source-database out, or name the folder above.",
            )
        return path, path.name, [_OPLOG_NOTE] if oplog else []
    if any(layout.split_name(name)[1] == layout.METADATA for name in loose):
        raise UsageError(
            f"{str(path)!r} holds collections, and folders of databases beside them: "
            f"{', '.join(databases)}.",
            next_step="Name a folder that holds one or the other.",
        )
    if not databases and oplog:
        raise UsageError(
            f"{str(path)!r} holds an oplog and no collections; an oplog is not replayed.",
            next_step="Replay it with mongorestore --oplogReplay.",
        )
    name = choose_database(databases, source, where=repr(str(path)))
    beside = [one for one in entries if one not in {*databases, *_OPLOG, *_PRELUDE, layout.EXPORTS}]
    notes = [_OPLOG_NOTE] if oplog else []
    if beside:
        notes.append(f"Not read, for they belong to no database: {_some(beside)}.")
    return path / name, name, notes


def choose_database(names: Sequence[str], source: str | None, *, where: str) -> str:
    """The database that is meant, of those a dump holds.

    Raises:
        UsageError: There is none, or there are several and none was named.
    """
    own = [name for name in names if name not in SERVERS_OWN]
    if source in SERVERS_OWN or (names and not own):
        raise UsageError(
            f"{source or ', '.join(names)} in {where} is of the server itself; its users and roles "
            "are not restored.",
            next_step="Name an application's database, or use mongorestore.",
        )
    if source is not None:
        if source in own:
            return source
        raise UsageError(
            f"{where} holds no database {source!r}.",
            next_step=f"It holds {', '.join(own) or 'none'}.",
        )
    if not own:
        raise UsageError(
            f"{where} is neither a backup nor a dump of mongodump.",
            next_step="Name the folder of a backup, with its manifest.json, or mongodump's folder.",
        )
    if len(own) > 1:
        raise UsageError(
            f"{where} holds several databases: {', '.join(own)}.",
            next_step="Say which one with --source-database.",
        )
    return own[0]


def _listed(path: Path) -> dict[str, FileKind]:
    try:
        entries = BackupFolder(path).entries()
    except DamagedDataError as error:
        raise DamagedBackupError(
            f"The folder {str(path)!r} cannot be listed: {error}.", next_step=_OTHER_COPY
        ) from error
    if any(name.endswith(layout.PARTIAL) for name in entries):
        raise DamagedBackupError(
            f"{str(path)!r} is a backup that was never finished.", next_step=_OTHER_COPY
        )
    return entries


def _dump_names(entries: Mapping[str, FileKind]) -> list[str]:
    return [name for name in entries if layout.split_name(name)[1]]


# -- what is in it ----------------------------------------------------------------------------


def read_database(folder: BackupFolder) -> Contents:
    """The collections in the folder of a database.

    Raises:
        DamagedBackupError: It cannot be listed.
        UsageError: It holds nothing that a restore could bring back.
    """
    reading = _Reading(folder)
    reading.classify(_listed(folder.path))
    return reading.contents()


class _Reading:
    def __init__(self, folder: BackupFolder) -> None:
        self._folder = folder
        self._found = Contents()
        self._data: dict[str, str] = {}
        self._metadata: dict[str, str] = {}
        self._own: list[str] = []
        self._indexes: str = ""

    def classify(self, entries: Mapping[str, FileKind]) -> None:
        """Tell what each name in the folder is."""
        strangers = []
        for name, kind in entries.items():
            stem, ending = layout.split_name(name)
            if not ending or kind is FileKind.FOLDER:
                strangers += [] if name in _PRELUDE else [name]
                continue
            plain = stem + ending
            collection = layout.unescape(stem)
            if kind is not FileKind.FILE:
                self._problem(name, kind.damage, collection)
            elif collection is None:
                self._problem(name, "its name is none that mongodump gives", stem)
            elif name != plain and plain in entries:
                self._problem(name, f"{_shown(plain)} is there as well", collection)
            else:
                kept = self._data if ending == layout.DATA else self._metadata
                if collection in kept:
                    self._problem(name, f"{_shown(kept[collection])} is of it too", collection)
                else:
                    kept[collection] = name
        if strangers:
            self._found.notes.append(
                f"Not read, because they are not part of it: {_some(strangers)}."
            )

    def contents(self) -> Contents:
        """Collections from their files.

        Raises:
            UsageError: They hold nothing that a restore could bring back.
        """
        found = self._found
        self._set_own_aside()
        for shown, name in self._metadata.items():
            self._described(shown, name)
        old = self._old_indexes()
        bare = []
        for collection, name in self._data.items():
            if collection.startswith(BUCKETS):
                self._problem(
                    name,
                    "it holds the buckets of a time series, whose metadata file is missing",
                    collection.removeprefix(BUCKETS),
                )
            elif _was_cut(name):
                self._problem(
                    name, "its name was cut, and no metadata file tells it whole", collection
                )
            else:
                bare.append(collection)
                self._add(collection, Metadata(indexes=old.get(collection, ())), name, name)
        if self._indexes:
            found.notes.append(
                "It has no metadata files; indexes are those of system.indexes.bson, and options "
                "are not known."
            )
        elif bare:
            found.notes.append(
                f"Without a metadata file, so that options and indexes are not known and not "
                f"restored: {_some(bare)}."
            )
        if self._own:
            found.notes.append(f"The server's own, and not restored: {_some(self._own)}.")
        self._keep_undamaged()
        if not found.collections and not found.problems:
            held = f" but what is the server's own ({_some(self._own)})" if self._own else ""
            raise UsageError(
                f"{str(self._folder.path)!r} holds nothing that can be restored{held}.",
                next_step="Users and roles come back with mongorestore.",
            )
        return found

    def _set_own_aside(self) -> None:
        """Take out the files of the server's own collections."""
        has_metadata = bool(self._metadata)
        for files in (self._metadata, self._data):
            for name, file in list(files.items()):
                if layout.dumped(name) or name.startswith(BUCKETS) or _was_cut(file):
                    continue
                del files[name]
                if name == _INDEXES and not has_metadata:
                    self._indexes = file
                elif name not in self._own and name != _INDEXES:
                    self._own.append(name)

    def _described(self, shown: str, file: str) -> None:
        """A collection that has a metadata file; ``shown`` is what the file's name says it is."""
        stem, _ = layout.split_name(file)
        try:
            read = parse_metadata(self._folder.text(file))
        except (DamagedDataError, MetadataError) as error:
            for name in (shown, BUCKETS + shown):
                self._taken(name)
            self._problem(file, str(error), shown)
            return
        name = read.name or shown
        if not read.name and stem != shown and stem in _named_by_indexes(read):
            # The oldest versions escaped nothing.
            name = stem
        if not read.name and _was_cut(file):
            self._problem(file, "its name was cut, and it does not tell it whole", shown)
        elif name != stem and shown not in layout.unescaped_names(name):
            self._problem(file, f"it says it is of the collection {_shown(name)}", shown)
        elif not layout.dumped(name):
            self._problem(file, f"no collection is named {_shown(name)}", shown)
        else:
            data = self._data.pop(shown, "")
            self._fitting(name, read, file, data, self._taken(BUCKETS + name))

    def _taken(self, name: str) -> str:
        """The file of documents of a collection, of which nobody has to ask any more."""
        found = [self._data.pop(one) for one in layout.unescaped_names(name) if one in self._data]
        return found[0] if found else ""

    def _fitting(self, name: str, read: Metadata, file: str, data: str, buckets: str) -> None:
        """A collection whose files fit what its metadata says it is."""
        if read.kind == "timeseries":
            if data and buckets:
                self._problem(data, f"{buckets} is there as well", name)
            elif not data and not buckets:
                self._missing(name, BUCKETS + name)
            else:
                # Servers from 8.3 on have no collection of buckets; the documents are the same.
                self._add(name, read, buckets or data, file)
            return
        if buckets:
            self._problem(buckets, f"{file} is of no time series", name)
        elif read.type == "timeseries":
            self._problem(file, "it is of a time series, and does not say of which kind", name)
        elif read.kind == "view":
            if data:
                self._problem(data, f"{file} is of a view, which has no documents", name)
            else:
                self._add(name, read, "", file)
        elif data:
            if read.type == "view":
                self._found.notes.append(f"{name}: a view that was dumped as a collection.")
            self._add(name, read, data, file)
        else:
            self._missing(name, name)

    def _missing(self, name: str, namespace: str) -> None:
        if all(problem.collection != name for problem in self._found.problems):
            self._problem(layout.escape(namespace) + layout.DATA, "it is missing", name)

    def _add(self, name: str, read: Metadata, data: str, where: str) -> None:
        fault = layout.name_fault(name)
        if fault:
            self._problem(where, fault, name)
            return
        self._found.collections.append(
            DumpedCollection(name, read.kind, read.options, read.indexes, data)
        )

    def _keep_undamaged(self) -> None:
        names = Counter(one.name for one in self._found.collections)
        for name in sorted(name for name, count in names.items() if count > 1):
            self._problem(name, "several files say they are of it", name)
        damaged = {problem.collection for problem in self._found.problems}
        whole = [one for one in self._found.collections if one.name not in damaged]
        self._found.collections = sorted(whole, key=lambda one: one.name)

    def _old_indexes(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """Indexes of a dump of MongoDB 2.0, which had no metadata files, by collection."""
        if not self._indexes:
            return {}
        found: dict[str, tuple[dict[str, Any], ...]] = {}
        fault = ""
        try:
            for batch in self._folder.documents(self._indexes):
                for index in bson.decode_all(batch, _LENIENT):
                    fault = fault or index_fault(index)
                    _, _, collection = str(index.get("ns", "")).partition(".")
                    found[collection] = (*found.get(collection, ()), index)
        except DamagedDataError as error:
            fault = str(error)
        except (BSONError, ValueError):
            fault = "holds a document that cannot be read"
        if fault:
            self._problem(self._indexes, fault, "")
        return found

    def _problem(self, file: str, what: str, collection: str | None) -> None:
        self._found.problems.append(Problem(_shown(file), what, collection or ""))


def _named_by_indexes(read: Metadata) -> set[str]:
    """Names of the collection in the namespaces that older servers kept with each index."""
    found = [index["ns"] for index in read.indexes if isinstance(index.get("ns"), str)]
    return {namespace.partition(".")[2] for namespace in found}


def _was_cut(file: str) -> bool:
    return layout.was_cut(layout.split_name(file)[0])


def _some(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    return some_of([*map(_shown, names)], _NAMED)


def _shown(name: str) -> str:
    """A name that can be printed, whatever its bytes."""
    return name.encode("utf-8", "backslashreplace").decode()
