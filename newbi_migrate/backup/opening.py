"""The one place through which files of a backup are opened.

A backup may come from anywhere. Nothing outside its folder is read, whatever a manifest or a link
says; only plain files are opened, so that no pipe and no device is waited for; and a text that is
read whole has a limit, however small its compressed form is.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import IO, Any, Final

from newbi_migrate.backup.files import FileSeal, seal_of
from newbi_migrate.backup.reading import (
    DamagedDataError,
    in_clear,
    read_failures,
    whole_documents,
)

__all__ = ["BackupFolder", "FileKind"]

LONGEST_TEXT: Final = 32 << 20
"""Bytes of a manifest or of a metadata file: more than a server's catalogue holds."""
# A pipe would wait for its writer. A link is looked for before; it may come in between.
_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NOT_IN_NAMES: Final = frozenset("\\\0:" if os.name == "nt" else "\\\0")


class FileKind(Enum):
    """What a name in a folder stands for."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    OTHER = auto()

    @property
    def damage(self) -> str:
        """What is wrong with it where something else has to be."""
        return _DAMAGE[self]


_DAMAGE: Final = {
    FileKind.FILE: "it is a file and no folder",
    FileKind.FOLDER: "it is a folder and no file",
    FileKind.LINK: "it is a symbolic link, which is not followed",
    FileKind.OTHER: "it is not a plain file",
}


class BackupFolder:
    """Folder of a backup, and what lies in it.

    Args:
        path: Where it is; links may lead to it, none in it is followed.
        identities: Secret keys for encrypted files.
    """

    def __init__(self, path: Path, identities: Sequence[Any] = ()) -> None:
        self.path = path
        self._identities = identities

    def entries(self, folder: str = "") -> dict[str, FileKind]:
        """What lies in it, or in a folder in it; by name, in order.

        Raises:
            DamagedDataError: It cannot be read, or is no folder.
        """
        with read_failures():
            path = self._path(folder, FileKind.FOLDER) if folder else self.path
            return {one.name: _kind(one) for one in sorted(path.iterdir())}

    def has(self, name: str) -> bool:
        """Whether something in it, whatever it is, has this name."""
        return os.path.lexists(self.path / name)

    @contextmanager
    def raw(self, name: str) -> Iterator[io.BufferedReader]:
        """A file as its bytes are.

        Args:
            name: Its path in the folder, with ``/`` between names.

        Raises:
            DamagedDataError: It is missing, no plain file, or not in the folder.
        """
        with read_failures():
            path = self._path(name, FileKind.FILE)
            file = os.fdopen(os.open(path, _FLAGS), "rb")
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DamagedDataError(FileKind.OTHER.damage)
            yield file

    @contextmanager
    def clear(self, name: str) -> Iterator[IO[bytes]]:
        """A file decrypted and decompressed.

        Args:
            name: As in :meth:`raw`.

        Raises:
            DamagedDataError: It cannot be opened. What its bytes may raise while they are read
                :func:`~newbi_migrate.backup.reading.read_failures` puts into words.
        """
        with self.raw(name) as file, in_clear(file, self._identities, name=name) as stream:
            yield stream

    def text(self, name: str) -> str:
        """The whole text of a file, in clear.

        Raises:
            DamagedDataError: It is missing or damaged, longer than any of its kind, or no UTF-8.
        """
        with read_failures(), self.clear(name) as stream:
            data = stream.read(LONGEST_TEXT + 1)
        if len(data) > LONGEST_TEXT:
            raise DamagedDataError(f"it is longer than {LONGEST_TEXT >> 20} MiB")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise DamagedDataError("it is not text in UTF-8") from None

    def documents(self, name: str) -> Iterator[bytes]:
        """The documents of a file, in batches of whole ones.

        Raises:
            DamagedDataError: It is missing or damaged.
        """
        with read_failures(), self.clear(name) as stream:
            yield from whole_documents(stream)

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            DamagedDataError: It is missing or no plain file.
        """
        with self.raw(name) as file:
            return os.fstat(file.fileno()).st_size

    def seal(self, name: str, expected: FileSeal) -> FileSeal:
        """What a file is known by now; only its size, where that is not as expected.

        Raises:
            DamagedDataError: It is missing or cannot be read.
        """
        size = self.size(name)
        if size != expected.bytes:
            return FileSeal(size, "")
        with read_failures(), self.raw(name) as file:
            return seal_of(file)

    def _path(self, name: str, wanted: FileKind) -> Path:
        parts = name.split("/")
        if any(part in {"", ".", ".."} or _NOT_IN_NAMES.intersection(part) for part in parts):
            raise DamagedDataError("its name leads out of the backup")
        path = self.path
        for number, part in enumerate(parts, start=1):
            path /= part
            kind = _kind(path)
            if kind is not (wanted if number == len(parts) else FileKind.FOLDER):
                raise DamagedDataError(kind.damage)
        return path


def _kind(path: Path) -> FileKind:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return FileKind.LINK
    if stat.S_ISDIR(mode):
        return FileKind.FOLDER
    return FileKind.FILE if stat.S_ISREG(mode) else FileKind.OTHER
