"""Names of folders and files in a backup, as mongodump gives them and mongorestore reads them.

The rules for names of collections are those of MongoDB's database tools: Go's ``url.QueryEscape``,
and a hash in names that no file system would take.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from xxhash import xxh3_64_hexdigest

from newbi_migrate.store.collections import opens

__all__ = [
    "DATA",
    "ENCRYPTED",
    "EXPORTS",
    "GZIP",
    "LONGEST",
    "LONGEST_COLLECTION",
    "MANIFEST",
    "METADATA",
    "PARTIAL",
    "REPORT",
    "TOOL",
    "alike",
    "backup_name",
    "collection_of",
    "database_folder",
    "dumped",
    "escape",
    "name_fault",
    "split_name",
    "temporary",
    "unescape",
    "unescaped_names",
    "unfinished_backup",
    "was_cut",
]

DATA: Final = ".bson"
METADATA: Final = ".metadata.json"
GZIP: Final = ".gz"
ENCRYPTED: Final = ".age"
PARTIAL: Final = ".partial"
"""Ends the name of a folder or a file that is being written, and of nothing else."""

MANIFEST: Final = "manifest.json"
REPORT: Final = "backup_report.txt"
TOOL: Final = "newbi-migrate"
EXPORTS: Final = "json_exports"

LONGEST_COLLECTION: Final = 255
"""Bytes of a collection's name that a server takes, were its database's name empty."""
_UNFINISHED: Final = re.compile(r"backup_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d" + re.escape(PARTIAL))
_CAPITAL: Final = re.compile(r"%..|([A-Z])")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CUT: Final = re.compile(r"%24[\w-]{27}\Z", re.ASCII)
# https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
_NOT_IN_DATABASES: Final = frozenset('/\\. "$\0')
_TAKEN: Final = frozenset({EXPORTS})
# Together with ".metadata.json.gz" 255 bytes, what most file systems take.
LONGEST: Final = 238
"""Characters of a collection's file name, before its ending."""
_KEPT: Final = 208


def backup_name(now: datetime) -> str:
    """Name of the folder of a backup that was begun then."""
    return f"backup_{now:%Y-%m-%d_%H-%M-%S}"


def unfinished_backup(name: str) -> bool:
    """Whether a folder's name is that of a backup that is being written, or never was whole.

    A folder in which people keep backups may have a name that ends alike.
    """
    return _UNFINISHED.fullmatch(name) is not None


def database_folder(name: str) -> bool:
    """Whether a folder in a backup can have the name of this database."""
    return bool(name) and not _NOT_IN_DATABASES.intersection(name) and name not in _TAKEN


def name_fault(collection: str) -> str:
    """Why no collection can have that name, in words; empty if one can."""
    if not collection or "\0" in collection or collection[0] == "." or collection[-1] == ".":
        return "no collection can have its name"
    if not opens(collection):
        return "the driver opens no collection of its name; mongorestore restores it"
    return "" if len(collection.encode()) <= LONGEST_COLLECTION else "its name is too long"


def escape(collection: str, *, suffix: str = "", apart: bool = False) -> str:
    """The file name of a collection, without what follows it.

    A long name is cut and carries a hash; the metadata file tells the whole name.

    Args:
        collection: Its name.
        suffix: What is added behind mongodump's own endings, which leaves less room.
        apart: Whether capitals are escaped as well, which mongorestore reads like any other: of
            names that differ by case alone, a disk that ignores case would make one file.
    """
    escaped = quote_plus(collection, safe="")
    if apart:
        escaped = _CAPITAL.sub(_escape_capital, escaped)
    if len(escaped) <= LONGEST - len(suffix):
        return escaped
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    kept = escaped[: _KEPT - len(suffix)]
    return f"{kept}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _escape_capital(found: re.Match[str]) -> str:
    # Digits of an escape that is there already stay.
    return f"%{ord(found[1]):02X}" if found[1] else found[0]


def alike(collections: Iterable[str]) -> frozenset[str]:
    """Those whose file names a disk that ignores case could not tell apart."""
    names = sorted(collections)
    often = Counter(escape(name).lower() for name in names)
    return frozenset(name for name in names if often[escape(name).lower()] > 1)


def temporary(path: Path) -> Path:
    """Where a file is written before it has its name, which leaves no room for an ending."""
    return path.with_name(f"{xxh3_64_hexdigest(path.name.encode())}{PARTIAL}")


def unescape(stem: str) -> str | None:
    """The collection a file name stands for, unless it was cut; ``None`` if it stands for none."""
    if _BAD_ESCAPE.search(stem):
        return None
    try:
        name = unquote_plus(stem, errors="strict")
        name.encode()
    except UnicodeError:
        return None
    return name


def unescaped_names(collection: str) -> frozenset[str]:
    """What :func:`unescape` gives for the file names a collection may have."""
    found = {unescape(escape(collection, apart=apart)) for apart in (False, True)}
    return frozenset(name for name in found if name is not None)


def was_cut(stem: str) -> bool:
    """Whether a file name, without its ending, is one that was too long."""
    return len(stem) == LONGEST and _CUT.search(stem) is not None


def split_name(file_name: str) -> tuple[str, str]:
    """The part of a file name that stands for a collection, and the ending mongodump gives it.

    Both are empty for a file that is none of mongodump's. No collection's name begins with a dot;
    what macOS leaves behind does.
    """
    plain = file_name.removesuffix(GZIP)
    for ending in (METADATA, DATA):
        if plain.endswith(ending) and not plain.startswith("."):
            return plain.removesuffix(ending), ending
    return "", ""


def collection_of(file_name: str) -> str | None:
    """The collection that mongorestore would take a file for a part of, if it would."""
    stem, ending = split_name(file_name.removesuffix(ENCRYPTED))
    return (unescape(stem) or stem) if ending else None


def dumped(collection: str) -> bool:
    """Whether mongodump reads a collection of an ordinary database.

    The server's own collections are left out, but for stored functions: views and time series
    come back with the definitions that their own metadata files hold.
    """
    if collection == "system.js":
        return True
    return not collection.startswith("system.") and "$" not in collection
