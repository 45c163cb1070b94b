"""Trying again: what an error that passes means for a run.

A lost connection, a primary that steps down or a statement that was interrupted says nothing
about what was written. So the run looks again, as after an interruption, decides anew and goes
on; it gives up once several attempts in a row have achieved nothing. It changes when the
patience of a run does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError

from newbi_migrate.errors import InterruptedRunError, NewbiMigrateError
from newbi_migrate.progress import Progress
from newbi_migrate.store.faults import is_transient, name_of
from newbi_migrate.store.lease import Lease

__all__ = ["ATTEMPTS", "Furthest", "persist", "renewing"]

ATTEMPTS: Final = 4
"""Attempts in a row that may achieve nothing before a run ends with its error."""

_FIRST_PAUSE: Final = 0.25
_T = TypeVar("_T")


class Furthest:
    """A listener that remembers how far the best attempt has come.

    Attributes:
        furthest: How far that is.

    An attempt goes the same way as the one before, past what is done already, so the one that
    gets further has achieved something.
    """

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._here = 0
        self.furthest = 0

    def again(self) -> None:
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


async def persist(
    attempt: Callable[[], Awaitable[_T]],
    progress: Progress,
    *,
    achieved: Callable[[], int] = lambda: 0,
) -> _T:
    """Makes attempts until one comes to its end; each must find out by itself what is done.

    Args:
        attempt: What to do; called again after an error that may pass.
        progress: Told of every error that is passed over.
        achieved: A number that grows whenever the attempts get anywhere.

    Raises:
        InterruptedRunError: The server answers and keeps interrupting; the same command
            finishes the run.
        pymongo.errors.ConnectionFailure: The server could not be reached, several times.
        Exception: Whatever else an attempt raised, at once.
    """
    in_vain, most = 0, achieved()
    while True:
        try:
            return await attempt()
        except (PyMongoError, NewbiMigrateError) as error:
            cause = _passing(error)
            if cause is None:
                raise
            in_vain = 1 if achieved() > most else in_vain + 1
            most = max(most, achieved())
            if in_vain >= ATTEMPTS:
                if isinstance(cause, ConnectionFailure):
                    raise
                raise InterruptedRunError(
                    f"The server interrupted the run {ATTEMPTS} times in a row and nothing was "
                    f"achieved in between ({name_of(cause)}).",
                    next_step="Once the server is at rest, the same command again finishes it.",
                ) from error
            progress.note(
                f"An error that may pass ({name_of(cause)}): looking at what was written, "
                "and going on."
            )
            await asyncio.sleep(_FIRST_PAUSE * 2 ** (in_vain - 1))


def renewing(lease: Lease, attempt: Callable[[], Awaitable[_T]]) -> Callable[[], Awaitable[_T]]:
    """An attempt that renews the lease whenever it is made again.

    The lease may have run out while the server was away; unless somebody took it, it is ours.

    Raises:
        LeaseLostError: Somebody took it; raised by the attempt.
    """
    first = True

    async def renewed() -> _T:
        nonlocal first
        if not first:
            await lease.renew()
        first = False
        return await attempt()

    return renewed


def _passing(error: BaseException) -> PyMongoError | None:
    """The error of the driver that may pass, also where it has been explained already."""
    found: BaseException | None = error
    if isinstance(error, NewbiMigrateError):
        found = error.__cause__
    if not isinstance(found, PyMongoError):
        return None
    # A set whose primary has died elects another within some twelve seconds.
    if is_transient(found) or isinstance(found, ServerSelectionTimeoutError):
        return found
    return None
