"""Converting batches to Extended JSON on several cores, in order.

The work is Python's, so threads would take turns. Processes are started by the interpreter's name
and not by ``multiprocessing``, which would run the host application's main module once more.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from newbi_migrate.backup.exports import REPLY, REQUEST, json_text
from newbi_migrate.errors import NewbiMigrateError

__all__ = ["Converter"]

_WORTH_IT: Final = 20_000
"""Documents whose conversion takes longer than starting processes."""
_MOST: Final = 8


class Converter:
    """Converts batches; use it as a context.

    Args:
        documents: How many there are to come, about.
    """

    def __init__(self, documents: int) -> None:
        cores = min(os.cpu_count() or 1, _MOST)
        several = documents >= _WORTH_IT and cores > 1 and bool(sys.executable)
        self._count = cores if several else 0
        self._exit = ExitStack()
        self._idle: deque[_Process] = deque()

    def __enter__(self) -> Self:
        if self._count:
            self._threads = self._exit.enter_context(ThreadPoolExecutor(self._count))
            self._idle.extend(self._exit.enter_context(_Process()) for _ in range(self._count))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._exit.close()

    def convert(self, batches: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
        """Number and text of the lines of each batch, in order.

        Raises:
            NewbiMigrateError: A process ended before its time.
        """
        if not self._count:
            yield from map(json_text, batches)
            return
        under_way: deque[Future[tuple[int, bytes]]] = deque()
        for batch in batches:
            under_way.append(self._threads.submit(self._ask, batch))
            if len(under_way) > self._count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _ask(self, batch: bytes) -> tuple[int, bytes]:
        # There are as many threads as processes, so one is idle.
        process = self._idle.popleft()
        try:
            return process.ask(batch)
        finally:
            self._idle.append(process)


class _Process:
    """One converting process."""

    def __enter__(self) -> Self:
        # A session of its own, so that Ctrl-C reaches us alone; it ends with its input.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "newbi_migrate.backup.exports"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, batch: bytes) -> tuple[int, bytes]:
        """Sends a batch and waits for its lines."""
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None  # noqa: S101  # both are pipes
        assert sink is not None  # noqa: S101
        try:
            sink.write(REQUEST.pack(len(batch)))
            sink.write(batch)
            sink.flush()
            head = source.read(REPLY.size)
            lines, size = REPLY.unpack(head)
            text = source.read(size)
        except (BrokenPipeError, struct.error):
            lines, size, text = 0, 1, b""
        if len(text) != size:
            raise NewbiMigrateError(
                "A process that converts documents to Extended JSON ended before its time.",
                next_step="Nothing that looks like a backup was left behind. Run it again.",
            )
        return lines, text
