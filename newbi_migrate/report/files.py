"""Files a command leaves behind: complete or not there, and for their owner's eyes alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from newbi_migrate.errors import LocalFileError
from newbi_migrate.local_files import is_there, opened_for, refuse_no_file

__all__ = ["refuse_unwritable", "write_privately"]


def refuse_unwritable(path: Path) -> None:
    """Fails where a file could not be written anyway, before any work is done for it.

    Raises:
        LocalFileError: The folder is missing, it or a file that is there may not be written to, or
            the path is no file.
    """
    advice = "Name a file in a folder that you may write to."
    folder = path.parent
    if not is_there(folder, next_step=advice) or not folder.is_dir():
        raise LocalFileError(f"There is no folder {str(folder)!r}.", next_step=advice)
    refuse_no_file(path, next_step="Name a file; with --json the answer goes to standard output.")
    for place in (folder, path):
        if is_there(place, next_step=advice) and not os.access(place, os.W_OK):
            raise LocalFileError(f"{str(place)!r} may not be written to.", next_step=advice)


def write_privately(path: Path, text: str | Iterable[str]) -> None:
    """Writes a file that its owner alone can read, all of it or nothing.

    Args:
        path: Where.
        text: All of it, or its parts one after the other.

    Raises:
        LocalFileError: The system refused; what was there before still is.
    """
    temporary = None
    try:
        with opened_for("written", path, next_step="Name another file, or make room."):
            # mkstemp gives the mode 0600 from the first moment on. Its name is short: one longer
            # than the file's own may be longer than the file system takes.
            descriptor, temporary = tempfile.mkstemp(prefix=".newbi-migrate-", dir=path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines([text] if isinstance(text, str) else text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
            temporary = None
    finally:
        # Also where the parts of the text could not be made.
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
