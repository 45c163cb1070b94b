"""What ``json_exports`` holds: a list that is written anew with each export that is whole.

The manifest of a backup is sealed before its exports are begun, and does not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from annotated_types import Ge
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from newbi_migrate.answers import called
from newbi_migrate.backup import layout
from newbi_migrate.backup.files import FileSeal
from newbi_migrate.backup.opening import BackupFolder
from newbi_migrate.backup.reading import DamagedDataError

__all__ = ["LIST", "LOCK", "ExportEntry", "Exports", "list_text", "whole_exports"]

LIST: Final = f"{layout.EXPORTS}/exports.json"
LOCK: Final = f"{layout.EXPORTS}/exports.lock"
"""An empty file, locked by whoever writes exports."""
_Count = Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One collection as Extended JSON.

    Attributes:
        collection: Its name in the database.
        file: Relative to the backup.
        lines: Documents.
        left_out: Documents with a value that Extended JSON cannot say.
        bytes: Size of the file.
        digest: XXH3-128 of its bytes, as 32 hexadecimal digits.
    """

    __pydantic_config__ = ConfigDict(
        strict=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )

    collection: str
    file: str
    lines: _Count
    left_out: _Count
    bytes: _Count
    digest: str


@dataclass(frozen=True, slots=True)
class Exports:
    """The exports of a backup.

    Attributes:
        path: Its folder.
        database: The database it was made of.
        entries: In order of their collections.
    """

    path: Path
    database: str
    entries: Annotated[tuple[ExportEntry, ...], called("exports")]


_ENTRIES: Final = TypeAdapter(tuple[ExportEntry, ...])


def list_text(entries: Sequence[ExportEntry]) -> bytes:
    """The list as its file has it."""
    return _ENTRIES.dump_json(tuple(entries), by_alias=True, indent=2) + b"\n"


def whole_exports(folder: BackupFolder) -> list[ExportEntry]:
    """The exports of a backup whose bytes are those that were written.

    What is damaged is none: it can be written again.
    """
    try:
        listed = _ENTRIES.validate_json(folder.text(LIST))
    except (DamagedDataError, ValidationError):
        return []
    return [entry for entry in listed if _whole(folder, entry)]


def _whole(folder: BackupFolder, entry: ExportEntry) -> bool:
    seal = FileSeal(entry.bytes, entry.digest)
    try:
        return folder.seal(entry.file, seal) == seal
    except DamagedDataError:
        return False
