"""Progress on stderr: bars when a person watches, plain lines with the time when not.

The same lines go to a log file, if there is one, whoever watches.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bars,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from newbi_migrate.cli.logfile import LogFile, stamped
from newbi_migrate.progress import Progress
from newbi_migrate.report.text import printable

__all__ = ["showing_progress"]

_EVERY_SECONDS = 2.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """So many a second."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class _Lines:
    """A line when a phase begins, every two seconds, and when it is complete.

    Args:
        say: Takes a line.
        brief: Whether phases of no known size that follow each other at once are told of by the
            first of them.
    """

    def __init__(self, say: Callable[[str], None], *, brief: bool) -> None:
        self._say = say
        self._brief = brief
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._begun = self._said = -_EVERY_SECONDS

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        self._name, self._total, self._done = name, total, 0
        self._begun = time.monotonic()
        if self._brief and total is None and self._begun - self._said < _EVERY_SECONDS:
            return
        self._said = self._begun
        self._say(f"{name}: {'begun' if total is None else f'{total:,} to go'}")

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        self._done += amount
        now = time.monotonic()
        before = self._done - amount
        if self._total and before < self._total <= self._done:
            self._said = now
            self._say(f"{self._name}: {self._done:,} done in {now - self._begun:.1f} s")
            return
        if now - self._said < _EVERY_SECONDS:
            return
        self._said = now
        rate = self._done / max(now - self._begun, 1e-9)
        left = ""
        if self._total and rate:
            left = f", {max(self._total - self._done, 0) / rate:.0f} s left"
        beside = f" ({detail})" if detail else ""
        of = f" of {self._total:,}" if self._total else ""
        self._say(f"{self._name}: {self._done:,}{of}{beside}, {rate:,.0f}/s{left}")

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        self._say(sentence)


def _to_stderr(sentence: str) -> None:
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


class _Watched:
    """One bar for each phase."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = None if not bars.tasks else bars.tasks[-1].id

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins."""
        self._task = self._bars.add_task(printable(name), total=total, detail="")

    def advance(self, amount: int, detail: str = "") -> None:
        """So many have been dealt with."""
        if self._task is not None:
            self._bars.update(self._task, advance=amount, detail=printable(detail))

    def note(self, sentence: str) -> None:
        """Something a person should read."""
        self._bars.console.print(printable(sentence))


@contextmanager
def showing_progress(*, quiet: bool = False, log: LogFile | None = None) -> Iterator[Progress]:
    """A listener that shows what a use-case tells.

    Args:
        quiet: Say nothing unless a person watches.
        log: File that keeps what is told.
    """
    with _shown(quiet=quiet) as shown:
        yield shown if log is None else _Both(shown, _Lines(log.write, brief=False))


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Progress]:
    from newbi_migrate.progress import NullProgress

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    # Who wants plain output gets lines, and so does a terminal that cannot move its cursor.
    if not console.is_terminal or console.is_dumb_terminal or os.environ.get("NO_COLOR"):
        yield NullProgress() if quiet else _Lines(_to_stderr, brief=True)
        return
    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console,
        transient=True,
    ) as bars:
        yield _Watched(bars)
