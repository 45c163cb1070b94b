"""Files of a backup: private to their owner, digested as they are written, on disk when closed."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from xxhash import xxh3_128

from newbi_migrate.backup.compress import GzipWriter, Sink
from newbi_migrate.backup.layout import temporary
from newbi_migrate.errors import LocalFileError
from newbi_migrate.local_files import reason_of

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "FileSeal",
    "OutputFile",
    "PrivateFile",
    "explained_by_system",
    "lock_file",
    "make_private_folder",
    "seal_of",
    "sync_folder",
]

_CHUNK: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_LOCKED: Final = frozenset({errno.EACCES, errno.EAGAIN})
# What a file system answers that cannot do a thing at all.
_CANNOT: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_LOCKS: Final = _CANNOT | {errno.ENOLCK}
_NO_SYNC: Final = _CANNOT | {errno.EINVAL}


@dataclass(frozen=True, slots=True)
class FileSeal:
    """What a file of a backup is known by.

    Attributes:
        bytes: Its size.
        digest: XXH3-128 of its bytes, as 32 hexadecimal digits.
    """

    bytes: int
    digest: str


class PrivateFile:
    """A new file that its owner alone can read; it must not be there yet.

    Args:
        path: Where it is.

    Raises:
        OSError: The system refused.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=_CHUNK)
        self._hash = xxh3_128()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Writes and digests."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        """Does nothing: what counts is what :meth:`close` does."""

    def close(self) -> FileSeal:
        """Returns when every byte is on disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self.abandon()
        return FileSeal(self._size, self._hash.hexdigest())

    def abandon(self) -> None:
        """Closes without a promise."""
        # Closing flushes once more; on a full disk that fails once more, and leaves it open.
        with contextlib.suppress(OSError):
            self._file.close()


class OutputFile:
    """A file of a backup: private, compressed and encrypted as wanted, named at the end.

    Args:
        path: Its name; until it is whole, it has a temporary one.
        gzip: Whether to compress.
        recipients: Public keys in the age format; none to leave it unencrypted.
    """

    def __init__(self, path: Path, *, gzip: bool, recipients: Sequence[Any] = ()) -> None:
        self.path = path
        self._temporary = temporary(path)
        self._file = PrivateFile(self._temporary)
        self._age: Any = None
        self._seal: FileSeal | None = None
        sink: Sink = self._file
        if recipients:
            from newbi_migrate.backup.encrypt import EncryptingWriter

            sink = self._age = EncryptingWriter(self._file, recipients)
        self._gzip = GzipWriter(sink) if gzip else None
        self._sink: Sink = self._gzip or sink

    def write(self, data: bytes) -> None:
        """Takes bytes as they are before compression.

        Raises:
            OSError: The system refused.
        """
        self._sink.write(data)

    def finish(self) -> FileSeal:
        """Writes what is left and returns when every byte is on disk."""
        try:
            if self._gzip is not None:
                self._gzip.finish()
            if self._age is not None:
                self._age.finish()
            self._seal = self._file.close()
        except BaseException:
            self.abandon()
            raise
        return self._seal

    def give_name(self) -> None:
        """Gives a finished file its name."""
        self._temporary.replace(self.path)

    def abandon(self) -> None:
        """Lets go of an unfinished file."""
        if self._age is not None:
            self._age.abandon()
        self._file.abandon()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._seal is None:
            self.abandon()


def seal_of(source: IO[bytes]) -> FileSeal:
    """What a file is known by, as it is now."""
    digest, size = xxh3_128(), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return FileSeal(size, digest.hexdigest())


def make_private_folder(path: Path) -> None:
    """Makes a folder that its owner alone can enter, and the folders above it, with their names.

    Raises:
        FileExistsError: It is there already.
        OSError: The system refused.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)
    path.mkdir(mode=0o700)


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on disk, where the system can tell.

    Raises:
        OSError: The disk failed: what was written there may be lost.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        # Windows opens no folder, nor does any system one that this user may not list.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def lock_file(path: Path) -> IO[bytes]:
    """Lock a file, which is made where it is missing and stays; whoever closes it lets go.

    So does the system when the process ends, however it ends. Where a file system has no locks,
    nothing is locked.

    Raises:
        BlockingIOError: Somebody else has locked it.
        OSError: The system refused.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            file.close()
            if error.errno in _LOCKED:
                raise BlockingIOError(error.errno, "somebody else has locked it") from error
            raise
    return file


@contextmanager
def explained_by_system(where: Path, *, full: str, refused: str) -> Iterator[None]:
    """Turns the system's refusals to write into one sentence.

    Args:
        where: Folder that is being written.
        full: What to do next where the disk is full.
        refused: What to do next where they refuse for another reason.

    Raises:
        LocalFileError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise LocalFileError(
                f"There is no space left on the disk of {str(where)!r}.",
                next_step=full,
            ) from error
        raise LocalFileError(
            f"{str(where)!r} cannot be written ({reason_of(error)}).",
            next_step=refused,
        ) from error
