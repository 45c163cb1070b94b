"""What every command needs: the connection string, confirmation, signals, errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import typer

from newbi_migrate.cli.streams import answering
from newbi_migrate.errors import (
    ConfirmationRequiredError,
    ExitCode,
    InterruptedRunError,
    LocalFileError,
    NewbiMigrateError,
    NothingBegunError,
)
from newbi_migrate.local_files import refused_here, short_of
from newbi_migrate.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from newbi_migrate.cli.logfile import LogFile
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.progress import Progress
    from newbi_migrate.report.document import Document
    from newbi_migrate.store.handles import Database
    from newbi_migrate.store.session import Begun
    from newbi_migrate.store.uri import ConnectionString

__all__ = ["Session", "interruptible", "say", "say_failure", "wait_for_interruption"]

_T = TypeVar("_T")

# What asks no server needs no connection string.
_COMMAND: Final = re.compile(
    r"\bnewbi-migrate (?!backup --exports-only|verify-backup (?!--compare))([a-z-]+)"
)


def say(sentence: str) -> None:
    """A message to the person, on stderr."""
    # A terminal that has gone is no reason to stop.
    with contextlib.suppress(OSError):
        print(printable(sentence), file=sys.stderr, flush=True)


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
        from newbi_migrate.report.json import json_parts

        answer = {"what": what, "next": next_step, "exitCode": int(code)}
        with contextlib.suppress(LocalFileError), answering():
            sys.stdout.writelines(json_parts({"error": answer}))


class Session:
    """One call of a command.

    Args:
        command: Its name.
        as_json: Whether the answer, and an error, is one JSON document on stdout.
        uri_file: File that holds the connection string, if one was named.

    Attributes:
        elsewhere: Another database than the connection string names, which is worked on.
    """

    def __init__(
        self, command: str, *, as_json: bool = False, uri_file: Path | None = None
    ) -> None:
        self._command = command
        self._json = as_json
        self._uri_file = uri_file
        self.elsewhere: str | None = None
        self._target: ConnectionString | None = None
        self._log: LogFile | None = None
        self._progress: Progress | None = None
        self._begun = False

    @property
    def target(self) -> ConnectionString:
        """The connection string, found once; the first who asks has it said where that leads.

        Raises:
            UsageError: There is none, or it is malformed.
        """
        if self._target is None:
            from newbi_migrate.store.uri import find_connection_string

            self._target = target = find_connection_string(uri_file=self._uri_file)
            say(f"{self._command}: {self.place}, from {target.source}")
            for note in self._target.notes:
                say(f"note: {note}")
        return self._target

    @property
    def place(self) -> str:
        """The database and its server, for people."""
        name = self.elsewhere or self.target.database
        return f"the database {name} on {', '.join(self.target.hosts)}"

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
            async with open_database(self.target, name=name, progress=self._progress) as store:
                yield store.database

    @contextmanager
    def progress(self, *, quiet: bool = False) -> Iterator[Progress]:
        """A listener that shows progress on stderr, of connecting too, and keeps it in the log.

        Args:
            quiet: Whether what takes no time is shown to who watches alone.
        """
        from newbi_migrate.cli.progress import showing_progress

        with showing_progress(quiet=quiet, log=self._log) as shown:
            self._progress = shown
            try:
                yield shown
            finally:
                self._progress = None

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

        self._log = LogFile(path, self.redact)
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

    def placed(self, text: str) -> str:
        """A text of the library, whose commands name the same connection string as this call.

        One that names a place already is left alone. Where the call is about another database, its
        connection string would lead the commands to the wrong one.
        """
        from newbi_migrate.cli.app import takes_connection_string

        # A rehearsal's own is that of a server that may be lost, and of no command to suggest.
        if "--uri-file" in text or not takes_connection_string(self._command):
            return text
        if self._target is not None and self.elsewhere not in {None, self._target.database}:
            leading = any(takes_connection_string(name) for name in _COMMAND.findall(text))
            there = f" Use a connection string that names {self.elsewhere}."
            return text + there if leading else text

        def with_place(found: re.Match[str]) -> str:
            place = self.uri_arguments if takes_connection_string(found[1]) else []
            return " ".join([found[0], *map(shlex.quote, place)])

        return _COMMAND.sub(with_place, text)

    def must_be_able_to_ask(
        self, *, confirmed: bool, instead: str = "use --dry-run to see what it would do"
    ) -> None:
        """Fail at once where a command that writes can neither ask nor was confirmed.

        Args:
            confirmed: Whether it was.
            instead: What else can be done.

        Raises:
            ConfirmationRequiredError: Neither.
        """
        if not confirmed and not _can_ask():
            raise ConfirmationRequiredError(
                "This command writes, and there is no terminal to ask for confirmation.",
                next_step=f"Add --confirm, or {instead}.",
            )

    def confirm(self, what: str, *, database: str | None = None) -> None:
        """Ask for the database's name to be typed.

        Args:
            what: What will be done, with its numbers; a clause such as "drops 3 indexes".
            database: The database, where it is another than the connection string's.

        Raises:
            ConfirmationRequiredError: Something else was typed.
        """
        name = database or self.target.database
        say(f"{self._command} {what}, in the database {name!r} on {', '.join(self.target.hosts)}.")
        typed = _ask("Type the name of the database to go on: ")
        if typed.lower() in _CONSENT:
            typed = _ask(f"That is not its name. Type {name} to go on: ")
        if typed != name:
            raise ConfirmationRequiredError(
                "The name that was typed is not the database's; nothing was written.",
                next_step="Make sure which database is meant, and run the command again.",
            )

    def run(self, main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine; every error ends the process with its sentence and exit code."""
        with self.explained():
            return asyncio.run(main())

    def ask(self, what: Callable[[Migration], Awaitable[_T]], **how: Any) -> _T:
        """Do as :meth:`read` does; every error ends the process with its sentence and exit code."""
        with self.explained():
            return self.read(what, **how)

    def review(
        self,
        look: Callable[[Migration], Awaitable[_T]],
        document: Callable[[_T], Document],
        does: Callable[[_T], str],
        *,
        verbose: bool = False,
        **how: Any,
    ) -> _T:
        """Show what would be done, ask a person to agree, and return what they agreed to.

        Where nothing would be done nobody is asked, and nothing shown: that is the answer.

        Args:
            look: Gives what would be done.
            document: Gives what is shown of it.
            does: Says it in numbers; a clause such as "drops 3 indexes". Empty for nothing.
            verbose: Everything that is listed, not what fits on a screen.
            how: As for :meth:`read`.

        Raises:
            ConfirmationRequiredError: They did not agree.
        """
        looked = self.ask(look, **how)
        if what := does(looked):
            self.show(document(looked), verbose=verbose, aside=True)
            self.confirm(what)
        return looked

    def read(
        self,
        what: Callable[[Migration], Awaitable[_T]],
        *,
        of: ConnectionString | str | None = None,
        writes: bool = False,
        quiet: bool = False,
        **about: Any,
    ) -> _T:
        """Ask the library something about the database, with progress on stderr.

        Args:
            what: Gives the answer; called with the open database.
            of: The database, where it is not the connection string's.
            writes: Whether it writes: the first Ctrl-C then stops it at its next safe point.
            quiet: Whether progress is shown to who watches alone.
            about: Further arguments of :class:`~newbi_migrate.Migration`.

        Raises:
            NewbiMigrateError: It failed.
        """

        async def asking() -> _T:
            from newbi_migrate.migration.facade import Migration

            with self.progress(quiet=quiet) as progress:
                source = self.target if of is None else of
                async with Migration(source, progress=progress, **about) as migration:
                    with self._stopping(migration) if writes else contextlib.nullcontext():
                        return await what(migration)

        return asyncio.run(asking())

    @contextmanager
    def explained(self) -> Iterator[None]:
        """End the process with one sentence and the right exit code where something fails."""
        try:
            yield
        except NewbiMigrateError as error:
            self._fail(error.what, error.next_step, error.exit_code)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._interrupted()
        except typer.Exit as ended:
            self.log_end(f"Done. Exit code {ended.exit_code}.")
            raise
        except Exception as error:  # noqa: BLE001  # the last line of defence
            if isinstance(error.__cause__, KeyboardInterrupt):
                # Python says so of a Ctrl-C while a module is loaded.
                self._interrupted()
            if (told := short_of(error) or refused_here(error)) is not None:
                self._fail(told.what, told.next_step, told.exit_code)
            self._fail(
                f"Unexpected: {type(error).__name__}: {error}",
                "Please report it; set NEWBI_MIGRATE_TRACEBACK=1 to see where it happened.",
                ExitCode.UNEXPECTED,
            )

    def _interrupted(self) -> NoReturn:
        if self._begun:
            again = "The same command again finishes it."
            self._fail("Interrupted.", again, ExitCode.INTERRUPTED)
        nothing = NothingBegunError()
        self._fail(nothing.what, nothing.next_step, nothing.exit_code)

    @contextmanager
    def _stopping(self, migration: Migration) -> Iterator[None]:
        """The first Ctrl-C stops a run at its next safe point, a second one at once."""
        self._begun = True
        loop = asyncio.get_running_loop()
        asked = False

        def stop() -> None:
            nonlocal asked
            if asked:
                from newbi_migrate.store.lease import LEASE_SECONDS

                say(
                    "Stopping at once; the same command again finishes the run. Where it cannot "
                    "see that this process is gone, that takes until the lease has run out, "
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

    def finish(
        self, document: Document, *, verbose: bool = False, code: ExitCode | None = None
    ) -> NoReturn:
        """Give the command's result, on stdout, and end with its exit code.

        Args:
            document: The result: one JSON document if asked for, else text.
            verbose: Everything that is listed, not what fits on a screen.
            code: The exit code, where it is another than the document's.
        """
        code = document.exit_code if code is None else code
        self.answer(document, verbose=verbose)
        raise typer.Exit(int(code))

    def answer(self, document: Document, *, verbose: bool = False) -> None:
        """Give a result on stdout, as JSON or as text, and go on.

        Raises:
            LocalFileError: Standard output cannot be written to.
        """
        with answering():
            if self._json:
                from newbi_migrate.report.json import json_parts

                sys.stdout.writelines(json_parts(document.value()))
            else:
                self.show(document, verbose=verbose)

    def narrate(self, parts: Iterable[RenderableType]) -> None:
        """A part of a longer story, on stdout; nothing where JSON was asked for."""
        from newbi_migrate.report.console import print_parts

        if not self._json:
            with answering():
                print_parts(parts, sys.stdout)

    @staticmethod
    def show(document: Document, *, verbose: bool = False, aside: bool = False) -> None:
        """Show a document to people, on stdout or, ``aside``, on stderr.

        What is shown aside is followed by a question, and by no other command.
        """
        from newbi_migrate.report.console import console_report, print_parts

        if aside:
            document = replace(document, next_command="")
        parts = console_report(document, verbose=verbose)
        if not aside:
            print_parts(parts, sys.stdout)
            return
        # Whoever cannot see it does not agree to it either.
        with contextlib.suppress(OSError):
            print_parts(parts, sys.stderr)

    def _fail(self, what: str, next_step: str, code: ExitCode) -> NoReturn:
        if os.environ.get("NEWBI_MIGRATE_TRACEBACK"):
            with contextlib.suppress(OSError):
                print(self.redact(traceback.format_exc()), file=sys.stderr, flush=True)
        next_step = self.placed(next_step)
        say_failure(what, next_step, code, as_json=self._json, redact=self.redact)
        self.log_end(f"error: {what} {next_step} Exit code {int(code)}.")
        raise typer.Exit(int(code))

    def redact(self, text: str) -> str:
        """A text without the secrets of the connection string, or of any that looks like one."""
        from newbi_migrate.store.redact import redact

        return redact(text) if self._target is None else self._target.redactor(text)


_CONSENT: Final = frozenset({"y", "yes", "o", "oui", "ok"})


def _ask(question: str) -> str:
    try:
        print(printable(question), end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip()
    except (OSError, UnicodeError):  # the terminal has gone, or bytes are no text: nobody agrees
        return ""


def _can_ask() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False


@contextmanager
def interruptible(
    what: str, next_step: str = "Run the same command again.", *, begun: Begun | None = None
) -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM too, end a coroutine tidily, and say what was left behind.

    Args:
        what: What is said.
        next_step: What to do next.
        begun: Whether anything was written, where that is known.

    Raises:
        NothingBegunError: It was interrupted before anything was written.
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
        if begun is not None and not begun.yet:
            raise NothingBegunError from None
        raise InterruptedRunError(what, next_step=next_step) from None
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


def wait_for_interruption(uri: str) -> None:
    """Keep a server of our own running until Ctrl-C, and say how to look around in it."""
    say(f"The server keeps running. Its database: {uri}")
    say("Look around in another terminal, for example:")
    say(f"  MONGODB_URI='{uri}' newbi-migrate status")
    say("It is migrated; newbi-migrate rollback --all takes it back, to practise from the start.")
    say("Ctrl-C stops it and removes everything.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("Stopped.")
