"""What every command needs: the connection string, confirmation, signals, errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from newbi_migrate.errors import (
    ConfirmationRequiredError,
    ExitCode,
    InterruptedRunError,
    NewbiMigrateError,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from newbi_migrate.cli.logfile import LogFile
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.store.handles import Database
    from newbi_migrate.store.uri import ConnectionString

__all__ = ["Session", "interruptible", "say", "say_failure", "stopping_on_signals"]

_T = TypeVar("_T")


def say(sentence: str) -> None:
    """A message to the person, on stderr."""
    print(sentence, file=sys.stderr, flush=True)


def say_failure(
    what: str,
    next_step: str,
    code: ExitCode,
    *,
    as_json: bool,
    redact: Callable[[str], str] | None = None,
) -> None:
    """Say what went wrong and what to do: on stderr, and as JSON on stdout where asked.

    Args:
        what: One sentence.
        next_step: One sentence.
        code: What the process is going to end with.
        as_json: Whether there is to be a JSON document.
        redact: Takes secrets out; by default what has the form of a credential.
    """
    from newbi_migrate.store.redact import redact as by_form

    clean = redact or by_form
    what, next_step = clean(what), clean(next_step)
    say(f"error: {what}")
    if next_step:
        say(f"next: {next_step}")
    if as_json:
        answer = {"what": what, "next": next_step, "exitCode": int(code)}
        print(json.dumps({"error": answer}, indent=2), flush=True)


class Session:
    """One call of a command.

    Args:
        as_json: Whether the answer, and an error, is one JSON document on stdout.
        uri_file: File that holds the connection string, if one was named.
    """

    def __init__(self, *, as_json: bool = False, uri_file: Path | None = None) -> None:
        self._json = as_json
        self._uri_file = uri_file
        self._target: ConnectionString | None = None
        self._log: LogFile | None = None

    @property
    def target(self) -> ConnectionString:
        """The connection string, found once.

        Raises:
            UsageError: There is none, or it is malformed.
        """
        if self._target is None:
            from newbi_migrate.store.uri import find_connection_string

            self._target = find_connection_string(uri_file=self._uri_file)
            for note in self._target.notes:
                say(f"note: {note}")
        return self._target

    @asynccontextmanager
    async def database(self, name: str | None = None) -> AsyncIterator[Database]:
        """The database of the connection string, or another one of the same server.

        Raises:
            UsageError: No database can have that name.
            UnreachableError: No server answered.
        """
        from newbi_migrate.store.connection import open_database
        from newbi_migrate.store.faults import explained

        with explained("connecting"):
            async with open_database(self.target, name=name) as store:
                yield store.database

    @property
    def log(self) -> LogFile | None:
        """The log file, if one was named."""
        return self._log

    def log_to(self, path: Path | None, command: str, *, on: str | None = None) -> None:
        """Keep what is said while a command runs, and how it ends, in a file, if one is named.

        Args:
            path: The file.
            command: What is run.
            on: What it is run on; the database of the connection string where nothing is said.

        Raises:
            UsageError: It could not be written to, or there is no connection string.
        """
        if path is None:
            return
        from importlib.metadata import version

        from newbi_migrate.cli.logfile import LogFile

        self._log = LogFile(path, self._redact)
        if on is None:
            on = self.target.database
        self._log.write(f"newbi-migrate {version('newbi-migrate')}: {command} on {on}.")

    def log_end(self, *sentences: str) -> None:
        """Say in the log, if there is one, what came of the command; nothing follows it.

        Args:
            sentences: Each with the exit code it stands for.
        """
        if self._log is not None:
            for sentence in sentences:
                self._log.write(sentence)
            self._log.close()
            self._log = None

    @property
    def uri_arguments(self) -> list[str]:
        """The arguments that name the same connection string, for a command to suggest."""
        return [] if self._uri_file is None else ["--uri-file", str(self._uri_file)]

    def must_be_able_to_ask(self, *, confirmed: bool) -> None:
        """Fail at once where a command that writes can neither ask nor was confirmed.

        Raises:
            ConfirmationRequiredError: Neither.
        """
        if not confirmed and not _can_ask():
            raise ConfirmationRequiredError(
                "This command writes, and there is no terminal to ask for confirmation.",
                next_step="Add --confirm, or use --dry-run to see what it would do.",
            )

    def confirm(self, database: str, *, confirmed: bool) -> None:
        """Ask for the database's name to be typed, unless the command was confirmed.

        Raises:
            ConfirmationRequiredError: Something else was typed.
        """
        if confirmed:
            return
        print(
            f"This writes to the database {database!r}. Type its name to go on: ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        typed = sys.stdin.readline().strip()
        if typed != database:
            raise ConfirmationRequiredError(
                "The name that was typed is not the database's; nothing was written.",
                next_step="Run the command again, or add --confirm.",
            )

    def run(self, main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine; every error ends the process with its sentence and exit code."""
        with self.explained():
            return asyncio.run(main())

    @contextmanager
    def explained(self) -> Iterator[None]:
        """End the process with one sentence and the right exit code where something fails."""
        try:
            yield
        except NewbiMigrateError as error:
            self._fail(error.what, error.next_step, error.exit_code)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._fail("Interrupted.", "The same command again finishes it.", ExitCode.INTERRUPTED)
        except typer.Exit as ended:
            self.log_end(f"Done. Exit code {ended.exit_code}.")
            raise
        except BrokenPipeError:
            # Whoever read our output has gone; there is nobody left to tell.
            sys.stderr.close()
            os._exit(ExitCode.UNEXPECTED)
        except Exception as error:  # noqa: BLE001  # the last line of defence
            self._fail(
                f"Unexpected: {type(error).__name__}: {error}",
                "Please report it; set NEWBI_MIGRATE_TRACEBACK=1 to see where it happened.",
                ExitCode.UNEXPECTED,
            )

    def answer(
        self, value: Callable[[], Mapping[str, Any]], parts: Iterable[RenderableType]
    ) -> None:
        """The command's result on stdout: one JSON document if asked for, else text.

        Args:
            value: Gives what goes into the JSON document.
            parts: What a report function gave.
        """
        if self._json:
            print(json.dumps(value(), indent=2), flush=True)
        else:
            self.show(parts)

    def narrate(self, parts: Iterable[RenderableType]) -> None:
        """A part of a longer story, on stdout; nothing where JSON was asked for."""
        if not self._json:
            self.show(parts)

    @staticmethod
    def show(parts: Iterable[RenderableType], *, aside: bool = False) -> None:
        """A report for people, on stdout or, ``aside``, on stderr."""
        from rich.console import Console

        console = Console(stderr=aside, highlight=False, markup=False, emoji=False)
        for part in parts:
            if console.is_terminal:
                console.print(part, crop=False)
                continue
            # A table fills its columns with blanks, which nobody wants in a file.
            with console.capture() as shown:
                console.print(part, crop=False)
            lines = shown.get().split("\n")
            console.file.write("\n".join(line.rstrip(" ") for line in lines))
        console.file.flush()

    def _fail(self, what: str, next_step: str, code: ExitCode) -> NoReturn:
        if os.environ.get("NEWBI_MIGRATE_TRACEBACK"):
            say(self._redact(traceback.format_exc()))
        say_failure(what, next_step, code, as_json=self._json, redact=self._redact)
        self.log_end(f"error: {what} {next_step} Exit code {int(code)}.")
        raise typer.Exit(int(code))

    def _redact(self, text: str) -> str:
        from newbi_migrate.store.redact import redact

        return redact(text) if self._target is None else self._target.redactor(text)


def _can_ask() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False


@contextmanager
def interruptible(what: str, next_step: str = "Run the same command again.") -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM too, end a coroutine tidily, and say what was left behind.

    Raises:
        InterruptedRunError: It was interrupted.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # commands run in one
    loop = asyncio.get_running_loop()
    # Windows has no signal handlers in its event loop; Ctrl-C raises there.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        raise InterruptedRunError(what, next_step=next_step) from None
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


@contextmanager
def stopping_on_signals(migration: Migration) -> Iterator[None]:
    """The first Ctrl-C stops a run at its next safe point, a second one at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked:
            from newbi_migrate.store.lease import LEASE_SECONDS

            say(
                "Stopping at once; the same command again finishes the run. Where it cannot see "
                "that this process is gone, that takes until the lease has run out, "
                f"{LEASE_SECONDS:.0f} s at most."
            )
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        say("Stopping at the next safe point; press Ctrl-C again to stop at once.")
        migration.stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        # Windows has no signal handlers in its event loop; Ctrl-C raises there.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
