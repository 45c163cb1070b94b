"""The log file of a run: what was said while it ran, a line with its time for each."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from newbi_migrate.errors import UsageError
from newbi_migrate.local_files import is_there, opened_for, reason_of
from newbi_migrate.printable import printable

__all__ = ["LogFile", "stamped"]

# What every line begins with, see stamped().
_MARK: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")
_MARK_BYTES: Final = 64


def stamped(sentence: str) -> str:
    """A sentence on one line, after the time with its offset from UTC."""
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    return f"{time} {printable(' '.join(sentence.split()))}"


def _refuse_other_file(path: Path) -> None:
    """A log is added to a log, and to nothing else: not to the backup that a command reads."""
    another = "Name another file for the log."
    if not is_there(path, next_step=another):
        return
    with opened_for("read", path, next_step=another), path.open("rb") as file:
        begins = file.read(_MARK_BYTES)
    if begins and not _MARK.match(begins):
        raise UsageError(
            f"{str(path)!r} exists already and is not a log; it was left alone.", next_step=another
        )


class LogFile:
    """Lines that are added to a file; it is opened with the first of them.

    A file that can no longer be written to, as on a full disk, ends no run: that is said once,
    and the run goes on.

    Args:
        path: The file; readable by its owner alone where it is made here.
        redact: Takes secrets out.

    Raises:
        LocalFileError: It cannot be read.
        UsageError: It could not be written to anyway, or what is there is no log.
    """

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        from newbi_migrate.report.files import refuse_unwritable

        refuse_unwritable(path)
        _refuse_other_file(path)
        self._path = path
        self._redact = redact
        self._file: IO[str] | None = None
        self._broken = False

    def write(self, sentence: str) -> None:
        """Add a line."""
        if self._broken:
            return
        try:
            if self._file is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                self._file = os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8")
            self._file.write(stamped(self._redact(sentence)) + "\n")
            # Whoever follows the file sees it now, and a kill loses nothing.
            self._file.flush()
        except OSError as error:
            self._broken = True
            with contextlib.suppress(OSError):
                self.close()
            note = f"note: {str(self._path)!r} cannot be written to ({reason_of(error)})."
            with contextlib.suppress(OSError):
                print(note, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the file, if it was opened."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
