"""Names of folders and files in a backup, as mongodump gives them and mongorestore reads them.

The rules for names of collections are those of MongoDB's database tools: Go's ``url.QueryEscape``,
and a hash in names that no file system would take.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from xxhash import xxh3_64_hexdigest

__all__ = [
    "DATA",
    "ENCRYPTED",
    "EXPORTS",
    "GZIP",
    "MANIFEST",
    "METADATA",
    "PARTIAL",
    "REPORT",
    "backup_name",
    "dumped",
    "escape",
    "temporary",
    "unescape",
]

DATA: Final = ".bson"
METADATA: Final = ".metadata.json"
GZIP: Final = ".gz"
ENCRYPTED: Final = ".age"
PARTIAL: Final = ".partial"
"""Ends the name of a folder or a file that is being written, and of nothing else."""

MANIFEST: Final = "manifest.json"
REPORT: Final = "backup_report.txt"
EXPORTS: Final = "json_exports"

# Together with ".metadata.json.gz" 255 bytes, what most file systems take.
_LONGEST: Final = 238
_KEPT: Final = 208


def backup_name(now: datetime) -> str:
    """Name of the folder of a backup that was begun then."""
    return f"backup_{now:%Y-%m-%d_%H-%M-%S}"


def escape(collection: str, *, suffix: str = "") -> str:
    """The file name of a collection, without what follows it.

    A long name is cut and carries a hash; the metadata file tells the whole name.

    Args:
        collection: Its name.
        suffix: What is added behind mongodump's own endings, which leaves less room.
    """
    escaped = quote_plus(collection, safe="")
    if len(escaped) <= _LONGEST - len(suffix):
        return escaped
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    kept = escaped[: _KEPT - len(suffix)]
    return f"{kept}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def temporary(path: Path) -> Path:
    """Where a file is written before it has its name, which leaves no room for an ending."""
    return path.with_name(f"{xxh3_64_hexdigest(path.name.encode())}{PARTIAL}")


def unescape(file_name: str) -> str:
    """The collection a file name stands for, unless it was cut."""
    return unquote_plus(file_name)


def dumped(collection: str) -> bool:
    """Whether mongodump reads a collection of an ordinary database.

    The server's own collections are left out, but for stored functions: views and time series
    come back with the definitions that their own metadata files hold.
    """
    if collection == "system.js":
        return True
    return not collection.startswith("system.") and "$" not in collection
