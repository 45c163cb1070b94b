"""How much a run may ask of a server that others use, and when it is to wait.

A run waits before what it writes next, never in the middle of a statement, and the lease is renewed
meanwhile. What is written does not depend on how fast.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from newbi_migrate.errors import UsageError, refuse_no_whole_number
from newbi_migrate.local_files import is_there
from newbi_migrate.progress import Progress

__all__ = ["RunThrottle", "ThrottleOptions"]

_LOOK_EVERY: Final = 0.2
_LAG_EVERY: Final = 1.0
_ANOTHER_FILE: Final = "Name another file with --pause-file."


@dataclass(frozen=True, slots=True)
class ThrottleOptions:
    """What holds a run back.

    Attributes:
        max_rate: Documents a second, on average; ``None`` for as fast as it goes.
        pause_file: The run waits as long as this file exists.
        max_lag: The run waits as long as a secondary is so many seconds behind.

    Raises:
        UsageError: A number is out of its range, or the rate has a fraction.
        LocalFileError: Whether the file exists cannot be told.
    """

    max_rate: int | None = None
    pause_file: Path | None = None
    max_lag: float | None = None

    def __post_init__(self) -> None:
        if self.max_rate is not None:
            refuse_no_whole_number(max_rate=self.max_rate)
            if self.max_rate < 1:
                raise UsageError(
                    f"A rate of {self.max_rate} documents a second is out of range.",
                    next_step="Choose 1 or more, or leave it out for as fast as it goes.",
                )
        if self.max_lag is not None and not (0 < self.max_lag < math.inf):
            raise UsageError(
                f"A lag of {self.max_lag} seconds is out of range.",
                next_step="Choose more than 0; 10 suits most replica sets.",
            )

        if self.pause_file is not None:
            is_there(self.pause_file, next_step=_ANOTHER_FILE)

    def window(self, batch_size: int) -> int:
        """Documents in a window: not more than a second's worth, so that no burst is longer."""
        return batch_size if self.max_rate is None else min(batch_size, self.max_rate)


class RunThrottle:
    """Throttle of a run, as its options say.

    Args:
        throttle: What holds it back.
        progress: Told when it begins and ends to wait.
        lag: Gives the seconds the slowest secondary is behind.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        throttle: ThrottleOptions,
        progress: Progress,
        *,
        lag: Callable[[], Awaitable[float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._throttle = throttle
        self._progress = progress
        self._lag = lag
        self._clock = clock
        self._free_at = clock()
        self._lag_looked = -math.inf
        self._turn = asyncio.Lock()

    def window(self, documents: int) -> int:
        """How many of so many documents may be written at once."""
        return self._throttle.window(documents)

    async def before(self, documents: int, safe_point: Callable[[], None]) -> None:
        """Wait until so many documents may be written.

        Args:
            documents: How many.
            safe_point: Called while it waits; raises to stop the run.
        """
        # One after the other: two workers that wait side by side would go on twice as fast.
        async with self._turn:
            await self._while_there_is_a_file(safe_point)
            await self._while_they_lag(safe_point)
            await self._for_its_turn(documents, safe_point)

    async def _while_there_is_a_file(self, safe_point: Callable[[], None]) -> None:
        file = self._throttle.pause_file
        if file is None or not is_there(file, next_step=_ANOTHER_FILE):
            return
        self._progress.note(f"Paused: {file} exists. Removing it lets the run go on.")
        while is_there(file, next_step=_ANOTHER_FILE):
            await _rest(_LOOK_EVERY, safe_point)
        self._progress.note("Going on: the file is gone.")

    async def _while_they_lag(self, safe_point: Callable[[], None]) -> None:
        limit = self._throttle.max_lag
        if limit is None or self._clock() - self._lag_looked < _LAG_EVERY:
            return
        lag = await self._lag()
        if lag > limit:
            self._progress.note(
                f"Waiting: a secondary is {lag:.0f} s behind, more than {limit:g} s."
            )
            while lag > limit:
                await _rest(_LAG_EVERY, safe_point)
                lag = await self._lag()
            self._progress.note("Going on: the secondaries have caught up.")
        self._lag_looked = self._clock()

    async def _for_its_turn(self, documents: int, safe_point: Callable[[], None]) -> None:
        rate = self._throttle.max_rate
        if rate is None:
            return
        while (left := self._free_at - self._clock()) > 0:
            await _rest(min(left, _LOOK_EVERY), safe_point)
        # What was not used while it waited for something else is not made up for.
        self._free_at = max(self._free_at, self._clock() - _LOOK_EVERY) + documents / rate


async def _rest(seconds: float, safe_point: Callable[[], None]) -> None:
    safe_point()
    await asyncio.sleep(seconds)
    safe_point()
