"""Standard output whose reader has gone, or that cannot be written to."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from newbi_migrate.errors import LocalFileError
from newbi_migrate.local_files import reason_of

__all__ = ["answering"]


@contextmanager
def answering() -> Iterator[None]:
    """Write an answer to stdout; end it, and nothing else, where its reader has gone.

    What is written to stdout afterwards is for nobody.

    Raises:
        LocalFileError: It cannot be written to for another reason, such as a full disk.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _lose()
    except OSError as error:
        _lose()
        raise LocalFileError(
            f"Standard output cannot be written to ({reason_of(error)}).",
            next_step="What the command did is done; send its output elsewhere.",
        ) from None


def _lose() -> None:
    """Let stdout lead nowhere: what it holds still would fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
