"""Files that a call names: what the system refuses about them, in a sentence, with its code."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from newbi_migrate.errors import LocalFileError

__all__ = [
    "is_there",
    "no_memory",
    "opened_for",
    "reason_of",
    "refuse_no_file",
    "refused_here",
    "short_of",
]

_OF_DISKS: Final = frozenset(
    {errno.EDQUOT, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC, errno.EROFS}
)


@contextmanager
def opened_for(doing: str, path: Path, *, next_step: str) -> Iterator[None]:
    """Turn what the system refuses about a file, and bytes that are no text, into one error.

    What is read is a regular file: a pipe would have it wait for whoever writes to it.

    Args:
        doing: What the file is opened for: ``read`` or ``written``.
        path: The file.
        next_step: One sentence that says what to do.

    Raises:
        LocalFileError: In place of an ``OSError`` or a ``UnicodeDecodeError``; or the file to be
            read is a folder, a pipe or a device.
    """
    if doing == "read":
        refuse_no_file(path, next_step=next_step)
    try:
        yield
    except OSError as error:
        raise LocalFileError(
            f"{str(path)!r} cannot be {doing} ({reason_of(error)}).", next_step=next_step
        ) from None
    except UnicodeDecodeError:
        raise LocalFileError(f"{str(path)!r} is not a text file.", next_step=next_step) from None


def is_there(path: Path, *, next_step: str) -> bool:
    """Whether something is at a path; links are followed.

    Args:
        path: The path.
        next_step: One sentence that says what to do.

    Raises:
        LocalFileError: The system does not say: the name is too long, a folder on the way is
            closed to this user, or links lead in a circle.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise LocalFileError(
            f"{str(path)!r} cannot be looked at ({reason_of(error)}).", next_step=next_step
        ) from None
    return True


def refuse_no_file(path: Path, *, next_step: str) -> None:
    """Fail where a path leads to a folder, a pipe or a device; nobody waits for what it would say.

    Raises:
        LocalFileError: It does.
    """
    if is_there(path, next_step=next_step) and not path.is_file():
        raise LocalFileError(f"{str(path)!r} exists and is not a file.", next_step=next_step)


def short_of(error: BaseException) -> LocalFileError | None:
    """What to say where the system gives this process no more files or memory, else ``None``.

    Args:
        error: The system's error, or a driver's that repeats its words.
    """
    words = str(error)
    if any(os.strerror(code) in words for code in (errno.EMFILE, errno.ENFILE)):
        return LocalFileError(
            "This process may not open as many files as it needs.",
            next_step="Raise the limit (ulimit -n 1024), and run the same command again.",
        )
    # What CPython and the loader of its modules say where a thread or a library finds no room.
    memory = (os.strerror(errno.ENOMEM), "can't start new thread", "failed to map segment")
    if isinstance(error, MemoryError) or any(word in words for word in memory):
        return no_memory()
    return None


def no_memory() -> LocalFileError:
    """What to say where the system gives this process no more memory."""
    return LocalFileError(
        "This process may not take as much memory as it needs.",
        next_step="Give it 200 MB or more (ulimit -v, or the limit of its container), and run the "
        "same command again.",
    )


def refused_here(error: BaseException) -> LocalFileError | None:
    """What to say of a file or folder that the system refuses, else ``None``.

    For the end of a command: a working folder that was removed or closed can fail anything.
    """
    if not isinstance(error, OSError):
        return None
    here = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)
    if not isinstance(error, (*here, IsADirectoryError)) and error.errno not in _OF_DISKS:
        return None
    what = "A file or folder" if error.filename is None else repr(os.fsdecode(error.filename))
    return LocalFileError(
        f"{what} cannot be used ({reason_of(error)}).",
        next_step="See that it and this folder are there and open to this user, and run the same "
        "command again.",
    )


def reason_of(error: OSError) -> str:
    """What the system says of an error, without the path."""
    return error.strerror or type(error).__name__
