"""Retry an attempt after transient errors.

A lost connection, a primary that steps down or a statement that was interrupted says nothing
about what was written. So the next attempt reads again what is there, decides anew and goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from newbi_migrate.errors import InterruptedRunError
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import passing_error

__all__ = ["ATTEMPTS", "HighWaterMark", "retry_transient"]

ATTEMPTS: Final = 4
"""Attempts in a row without progress before a run ends with its error."""

_FIRST_PAUSE: Final = 0.25
_WHOLE: Final = 1000
_T = TypeVar("_T")


class HighWaterMark:
    """Progress listener that keeps how far each phase has come in any attempt.

    Every attempt goes the same way, past what is done already. One has made progress if it begins
    a phase that none before it began, or gets further in one, by a thousandth of it or more. What
    counts is the share that is done: an application adds documents, and so each attempt reads more
    of them than the one before it though it fails in the same place.
    """

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._best: dict[tuple[str, int], int] = {}
        self.restart()

    def restart(self) -> None:
        """Another attempt begins."""
        self._begun: Counter[str] = Counter()
        self._phase, self._total, self._amount = ("", 0), 0, 0

    @property
    def furthest(self) -> int:
        """How far the attempts have come, the best one in each phase."""
        return sum(self._best.values())

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        # Some come twice in one attempt.
        self._begun[name] += 1
        self._phase, self._total, self._amount = (name, self._begun[name]), total or 0, 0
        self._reached()
        self._told.phase(name, total)

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        self._amount += amount
        self._reached()
        self._told.advance(amount, detail)

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        self._told.note(sentence)

    def _reached(self) -> None:
        share = min(_WHOLE, _WHOLE * self._amount // self._total) if self._total else 0
        self._best[self._phase] = max(self._best.get(self._phase, 0), 1 + share)


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
