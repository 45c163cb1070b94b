"""Retry an attempt after transient errors.

A lost connection, a primary that steps down or a statement that was interrupted says nothing
about what was written. So the next attempt reads again what is there, decides anew and goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from newbi_migrate.errors import InterruptedRunError
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import passing_error

__all__ = ["ATTEMPTS", "HighWaterMark", "retry_transient"]

ATTEMPTS: Final = 4
"""Attempts in a row without progress before a run ends with its error."""

_FIRST_PAUSE: Final = 0.25
_T = TypeVar("_T")


class HighWaterMark:
    """Progress listener that keeps the high-water mark of all attempts.

    Attributes:
        furthest: How far the best attempt has come.

    Every attempt goes the same way, past what is done already, so the one that gets further than
    all before it has made progress.
    """

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._here = 0
        self.furthest = 0

    def restart(self) -> None:
        """Another attempt begins."""
        self._here = 0

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        self._advanced(1)
        self._told.phase(name, total)

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        self._advanced(amount)
        self._told.advance(amount, detail)

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        self._told.note(sentence)

    def _advanced(self, amount: int) -> None:
        self._here += amount
        self.furthest = max(self.furthest, self._here)


async def retry_transient(
    attempt: Callable[[], Awaitable[_T]],
    progress: Progress,
    *,
    best_progress: Callable[[], int] = lambda: 0,
) -> _T:
    """Call ``attempt`` until it succeeds. It must be idempotent.

    Args:
        attempt: What to do; called again after a transient error.
        progress: Told of every error that is retried.
        best_progress: A number that grows whenever an attempt gets further than those before it.

    Raises:
        InterruptedRunError: The server answers and keeps interrupting; the same command
            finishes the run.
        pymongo.errors.ConnectionFailure: The server could not be reached, several times.
        Exception: Whatever else an attempt raised, at once.
    """
    failed_attempts, best = 0, best_progress()
    while True:
        try:
            return await attempt()
        except Exception as error:
            passing = passing_error(error)
            if passing is None:
                raise
            failed_attempts = 1 if best_progress() > best else failed_attempts + 1
            best = max(best, best_progress())
            if failed_attempts >= ATTEMPTS:
                if passing.unreachable:
                    raise
                raise InterruptedRunError(
                    f"The server interrupted the run {ATTEMPTS} times in a row and nothing was "
                    f"achieved in between ({passing.name}).",
                    next_step="Once the server is at rest, the same command again finishes it.",
                ) from error
            progress.note(
                f"An error that may pass ({passing.name}): looking at what was written, "
                "and going on."
            )
            await asyncio.sleep(_FIRST_PAUSE * 2 ** (failed_attempts - 1))
