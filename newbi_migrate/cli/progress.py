"""Progress on stderr: bars when a person watches, plain lines with the time when not.

The same lines go to a log file, if there is one, whoever watches. Whatever a use-case waits for,
there is a sign of life every few seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from newbi_migrate.cli.logfile import LogFile, stamped
from newbi_migrate.printable import printable
from newbi_migrate.progress import Progress

__all__ = ["showing_progress"]

_EVERY_SECONDS: Final = 2.0
# What took less has no rate worth telling.
_SHORT_SECONDS: Final = 0.1
# Of what is left, only the latest rate says anything: a resumed run has passed what it did before.
_RECENT_SECONDS: Final = 30
# So that how much, how fast and how long yet have room on 80 columns.
_BAR_WIDTH: Final = 10
_NAME_WIDTH: Final = 40
# The last of them fit on 24 lines; of bars that do not fit, rich leaves out those under way.
_BARS: Final = 12


def _span(seconds: float) -> str:
    """A time that a person has to wait, or has waited."""
    if seconds < 10:  # tenths of a longer time say nothing
        return f"{seconds:.1f} s"
    if seconds < 120:  # two minutes
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(slots=True)
class _Phase:
    """How far a phase has come."""

    name: str
    total: int | None
    begun: float
    done: int = 0
    detail: str = ""
    recent: deque[tuple[float, int]] = field(
        default_factory=lambda: deque(maxlen=_RECENT_SECONDS + 1)
    )

    def __post_init__(self) -> None:
        self.recent.append((self.begun, 0))

    @property
    def complete(self) -> bool:
        """Whether all of it is done."""
        return self.total is not None and self.done >= self.total

    def advance(self, amount: int, detail: str) -> None:
        """So many have been dealt with."""
        self.done += amount
        self.detail = detail
        now = time.monotonic()
        if now - self.recent[-1][0] >= 1.0:
            self.recent.append((now, self.done))

    def so_far(self, now: float) -> str:
        """How far it has come, how fast, and how long it takes yet; or how long it has taken."""
        took = max(now - self.begun, 0.0)
        if not self.done:
            return f"0 of {self.total:,}, {_span(took)}" if self.total else _span(took)
        of = "" if self.total is None else f" of {self.total:,}"
        beside = f" ({self.detail})" if self.detail and not self.complete else ""
        since, before = (self.begun, 0) if self.complete else self.recent[0]
        rate = (self.done - before) / (now - since) if now - since > _SHORT_SECONDS else 0.0
        speed = f", {rate:,.0f}/s" if rate >= 1 else f", {rate:.2g}/s" if rate else ""
        if self.complete:
            return f"{self.done:,}{of} in {_span(took)}{speed}"
        left = f", {_span((self.total - self.done) / rate)} left" if self.total and rate else ""
        return f"{self.done:,}{of}{speed}{left or f', {_span(took)} so far'}{beside}"


class _Lines:
    """A line when a phase begins, every few seconds, and when it ends.

    Of a phase of unknown size a line is there only once it takes long.

    Args:
        say: Takes a line.
        brief: Whether the same holds for every phase.
    """

    def __init__(self, say: Callable[[str], None], *, brief: bool = False) -> None:
        self._say = say
        self._brief = brief
        self._phase: _Phase | None = None
        self._told = self._over = False
        self._said = time.monotonic()
        self._lock = threading.Lock()

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        with self._lock:
            self._end()
            self._phase = _Phase(name, total, time.monotonic())
            self._told = self._over = False
            self._said = self._phase.begun
            if total and not self._brief:
                self._tell(f"{total:,} to go")

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        with self._lock:
            if self._phase is None:
                return
            self._phase.advance(amount, detail)
            if self._phase.complete and not self._over:
                self._end()
            else:
                self._tell_in_time()

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        with self._lock:
            self._say(sentence)

    def tick(self) -> None:
        """Time has passed, and perhaps nothing else has happened."""
        with self._lock:
            if self._phase is not None:
                self._tell_in_time()

    def end(self) -> None:
        """Nothing follows."""
        with self._lock:
            self._end()
            self._phase = None

    def _end(self) -> None:
        """Say once how a phase ended that was told of."""
        if self._phase is not None and self._phase.total and self._told and not self._over:
            self._tell(self._phase.so_far(time.monotonic()))
        self._over = True

    def _tell_in_time(self) -> None:
        now = time.monotonic()
        if self._phase is not None and now - self._said >= _EVERY_SECONDS:
            waits = "done, going on, " if self._over and self._phase.complete else ""
            since = _span(now - self._phase.begun) if waits else self._phase.so_far(now)
            self._tell(f"{waits}{since}")

    def _tell(self, words: str) -> None:
        if self._phase is not None:
            self._told = True
            self._said = time.monotonic()
            self._say(f"{self._phase.name}: {words}")


@contextmanager
def _ticking(lines: _Lines) -> Iterator[_Lines]:
    """A sign of life from a thread, for what keeps the event loop or the server busy."""
    stopped = threading.Event()

    def tick() -> None:
        while not stopped.wait(_EVERY_SECONDS / 4):
            lines.tick()

    thread = threading.Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        stopped.set()
        thread.join()
        lines.end()


def _to_stderr(sentence: str) -> None:
    # A terminal that has gone is no reason to stop.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(stamped(sentence), file=sys.stderr, flush=True)


class _Both:
    """Listener that tells two others."""

    def __init__(self, one: Progress, other: Progress) -> None:
        self._listeners = (one, other)

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        for listener in self._listeners:
            listener.phase(name, total)

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        for listener in self._listeners:
            listener.advance(amount, detail)

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        for listener in self._listeners:
            listener.note(sentence)


class _SoFar(ProgressColumn):
    """The words of the plain lines, beside a bar."""

    def render(self, task: Task) -> Text:
        """How far a phase has come."""
        phase: _Phase = task.fields["phase"]
        now = phase.begun + (task.finished_time or task.elapsed or 0.0)
        return Text(printable(phase.so_far(now)), style="progress.data.speed")


class _Watched:
    """One bar for each phase."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._phase: _Phase | None = None

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        if self._phase is not None:
            last = self._bars.tasks[-1].id
            if self._phase.total:
                self._bars.stop_task(last)
            else:
                # It only waited for something.
                self._bars.remove_task(last)
        self._phase = _Phase(name, total, time.monotonic())
        words = printable(name)
        if len(words) > _NAME_WIDTH:
            words = f"{words[: _NAME_WIDTH - 1]}…"
        self._bars.add_task(words, total=total, phase=self._phase)
        for done in self._bars.tasks[:-_BARS]:
            self._bars.remove_task(done.id)

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        if self._phase is not None:
            self._phase.advance(amount, detail)
            self._bars.update(self._bars.tasks[-1].id, advance=amount)

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        self._bars.console.print(printable(sentence))


@contextmanager
def showing_progress(*, quiet: bool = False, log: LogFile | None = None) -> Iterator[Progress]:
    """A listener that shows what a use-case tells.

    Args:
        quiet: Say nothing of what takes no time, unless a person watches.
        log: File that keeps what is told.
    """
    with _shown(quiet=quiet) as shown:
        if log is None:
            yield shown
            return
        with _ticking(_Lines(log.write)) as kept:
            yield _Both(shown, kept)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Progress]:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    # Who wants plain output gets lines, and so does a terminal that cannot move its cursor.
    if not console.is_terminal or console.is_dumb_terminal or os.environ.get("NO_COLOR"):
        with _ticking(_Lines(_to_stderr, brief=quiet)) as lines:
            yield lines
        return
    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(_BAR_WIDTH),
        _SoFar(Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        transient=True,
    ) as bars:
        try:
            yield _Watched(bars)
        except BaseException:
            # Whoever interrupts it, or sees it fail, wants to know how far it came.
            bars.live.transient = False
            raise
