"""Files a command leaves behind: complete or not there, and for their owner's eyes alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from newbi_migrate.errors import UsageError

__all__ = ["refuse_unwritable", "write_privately"]


def refuse_unwritable(path: Path) -> None:
    """Fails where a file could not be written anyway, before any work is done for it.

    Raises:
        UsageError: The folder is missing or may not be written to, or the path is no file.
    """
    advice = "Name a file in a folder that you may write to."
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}.", next_step=advice)
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{str(path)!r} exists and is not a file.",
            next_step="Name a file, or use --json for standard output.",
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {str(folder)!r} may not be written to.", next_step=advice)


def write_privately(path: Path, text: str | Iterable[str]) -> None:
    """Writes a file that its owner alone can read, all of it or nothing.

    Args:
        path: Where.
        text: All of it, or its parts one after the other.

    Raises:
        UsageError: The system refused; what was there before still is.
    """
    temporary = None
    try:
        # mkstemp gives the mode 0600 from the first moment on.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be written ({error.strerror or type(error).__name__}).",
            next_step="Name another file.",
        ) from error
    finally:
        # Also where the parts of the text could not be made.
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
