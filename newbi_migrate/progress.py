"""How a use-case tells what it is doing, to whoever cares to listen, and how long it took.

A library user sees nothing unless they hand in a listener.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

__all__ = ["NullProgress", "Progress", "timed", "told_if_slow"]

# Longer than a predecessor that may be alive is waited for.
_SLOW_SECONDS: Final = 8.0


class Progress(Protocol):
    """Listener of a run."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins: ``users``, ``documents``, …; ``total`` is its size, if known."""
        ...

    def advance(self, amount: int, detail: str = "") -> None:
        """So many users, documents or indexes have been dealt with since the last call."""
        ...

    def note(self, sentence: str) -> None:
        """Something a person should read, now."""
        ...


class NullProgress:
    """The listener that is used where none is given."""

    def phase(self, name: str, total: int | None) -> None:
        """Says nothing."""

    def advance(self, amount: int, detail: str = "") -> None:
        """Says nothing."""

    def note(self, sentence: str) -> None:
        """Says nothing."""


@contextmanager
def timed(timings: MutableMapping[str, float], phase: str) -> Iterator[None]:
    """Notes how long a phase takes, in seconds, also where it fails."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        timings[phase] = round(time.perf_counter() - begun, 3)


@asynccontextmanager
async def told_if_slow(progress: Progress, sentence: str) -> AsyncIterator[None]:
    """Says what is waited for where something takes longer than it ever should."""

    async def tell() -> None:
        await asyncio.sleep(_SLOW_SECONDS)
        progress.note(sentence)

    teller = asyncio.create_task(tell())
    try:
        yield
    finally:
        teller.cancel()
