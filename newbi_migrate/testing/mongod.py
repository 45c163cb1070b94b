"""A real MongoDB server that lives as long as a ``with`` block.

The server is a child process bound to the loopback address. Nothing outlives the Python process
that asked for it: a normal end stops it through :mod:`atexit`, and on POSIX systems a small
watching shell notices when Python dies without warning and cleans up in its place.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from newbi_migrate.errors import UnreachableError, UnsupportedError, UsageError
from newbi_migrate.testing.discovery import MongodBinary, find_mongod
from newbi_migrate.testing.readiness import create_administrator, initiate, option_names
from newbi_migrate.testing.watchdog import Watchdog

__all__ = ["EmbeddedMongod"]

_HOST = "127.0.0.1"
_REPLICA_SET = "newbi"
_ADMIN = "admin"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.005
_LOG_TAIL_LINES = 12
_PORT_ATTEMPTS = 8
# Below the ranges from which Linux, macOS and Windows take the ports of outgoing connections, so
# that no client's socket can sit on the port between a kill and a restart.
_PORTS = range(20_000, 32_000)
# mongod's status when it cannot listen on its port.
_EXIT_ADDRESS_IN_USE = 48


class EmbeddedMongod:
    """One ``mongod``, for tests, the demo and benchmarks; never for data that matters.

    Use it as ``with`` or ``async with``, or call :meth:`start` and :meth:`stop`. Options given in
    ``extra_args`` replace the defaults of the same name.

    Args:
        replica_set: Start a replica set of one member, which has transactions, snapshot reads
            and change streams; a standalone server has none of these.
        dbpath: Keep the data here; without it they live in a temporary directory that
            :meth:`stop` removes.
        port: Listen here; without it a free port is chosen, and kept until :meth:`stop`.
        test_commands: Enable the server's fail points, among them ``failCommand``.
        auth: Require credentials and create an administrator, whose URI :attr:`uri` then is.
        extra_args: More arguments for ``mongod``, as on its command line.
    """

    def __init__(
        self,
        *,
        replica_set: bool = False,
        dbpath: Path | None = None,
        port: int | None = None,
        test_commands: bool = False,
        auth: bool = False,
        extra_args: Sequence[str] = (),
    ) -> None:
        self.replica_set = replica_set
        self.auth = auth
        self._test_commands = test_commands
        self._extra_args = tuple(extra_args)
        self._wanted_dbpath = dbpath
        self._wanted_port = port
        self._port: int | None = None
        self._binary: MongodBinary | None = None
        self._work: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._owner = os.getpid()
        self._password: str | None = None

    # -- what it is ---------------------------------------------------------------------------

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, such as ``(6, 0, 5)``.

        Raises:
            UnsupportedError: No ``mongod`` that runs was found.
        """
        return self._found().version

    @property
    def port(self) -> int:
        """The TCP port on the loopback address.

        Raises:
            UsageError: The server was not started.
        """
        if self._port is None:
            raise self._not_started()
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server.

        Raises:
            UsageError: The server is not running.
        """
        if self._process is None:
            raise self._not_started()
        return self._process.pid

    @property
    def dbpath(self) -> Path:
        """The directory of the server's data files.

        Raises:
            UsageError: The server was not started.
        """
        if self._wanted_dbpath is not None:
            return self._wanted_dbpath
        if self._work is None:
            raise self._not_started()
        return self._work / "data"

    @property
    def running(self) -> bool:
        """Whether the server's process is alive; a suspended one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def uri(self) -> str:
        """A connection string for any client; with ``auth`` it is the administrator's."""
        return self.uri_for("")

    def uri_for(self, database: str) -> str:
        """Return a connection string whose default database is ``database``.

        With ``auth`` it carries the administrator's credentials: treat it as a secret.

        Raises:
            UsageError: The server was not started.
        """
        if self._password is None:
            return self._uri(database)
        return self._uri(database, _ADMIN, self._password, source="admin")

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server and return once it takes writes; does nothing if it is running.

        Raises:
            UnsupportedError: No ``mongod`` that runs was found.
            UnreachableError: The server did not start; the message ends with the log's tail.
            UsageError: ``auth`` was asked for on a ``dbpath`` that already has users.
        """
        if self.running:
            return self
        self._found()
        self._owner = os.getpid()
        self._prepare()
        try:
            self._launch()
            self._make_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server in good order and remove its temporary files; harmless when stopped."""
        if self._owner != os.getpid():
            # A fork inherited this object; the server belongs to its parent.
            return
        self._end(signal.SIGTERM)
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
        if self._watchdog is not None:
            self._watchdog.dismiss()
        atexit.unregister(self.stop)
        self._work = self._port = self._password = self._watchdog = None

    def kill(self) -> None:
        """End the server without warning, as a crash would; :meth:`restart` brings it back."""
        # Windows knows no SIGKILL; there every signal ends a process without warning.
        self._end(getattr(signal, "SIGKILL", signal.SIGTERM))

    def restart(self) -> Self:
        """Start again on the same port and data, stopping the server first if it is running.

        Raises:
            UsageError: The server was never started, or was stopped and is gone.
            UnreachableError: The server did not come back.
        """
        if self._work is None:
            raise self._not_started()
        self._end(signal.SIGTERM)
        return self.start()

    def suspend(self) -> None:
        """Freeze the process: connections stay open and nothing answers, until :meth:`resume`.

        Raises:
            UnsupportedError: The operating system cannot suspend a process by a signal.
            UsageError: The server is not running.
        """
        self._send("SIGSTOP")

    def resume(self) -> None:
        """Let a suspended process go on.

        Raises:
            UnsupportedError: The operating system cannot suspend a process by a signal.
            UsageError: The server is not running.
        """
        self._send("SIGCONT")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    # -- its users ----------------------------------------------------------------------------

    def add_user(self, name: str, password: str, *, database: str, roles: Sequence[str]) -> str:
        """Create a user in ``database`` and return that user's connection string.

        Args:
            name: The user's name.
            password: The user's password; the returned string contains it.
            database: Where the user is defined and, by default, has its roles.
            roles: Built-in or custom roles; ``role@other`` grants ``role`` on database ``other``.

        Raises:
            UsageError: The server was not started.
            pymongo.errors.OperationFailure: The server refused, as for a role it does not know.
        """
        granted = [
            {"role": role, "db": scope or database}
            for role, _, scope in (entry.partition("@") for entry in roles)
        ]
        with self._client(self.uri) as client:
            client[database].command("createUser", name, pwd=password, roles=granted)
        return self._uri(database, name, password, source=database)

    # -- how ----------------------------------------------------------------------------------

    def _found(self) -> MongodBinary:
        if self._binary is None:
            self._binary = find_mongod()
        return self._binary

    def _not_started(self) -> UsageError:
        return UsageError("The embedded mongod is not running.", next_step="Call start() first.")

    def _uri(self, database: str, name: str = "", password: str = "", source: str = "") -> str:
        credentials = f"{quote(name, safe='')}:{quote(password, safe='')}@" if name else ""
        options = [f"replicaSet={_REPLICA_SET}"] if self.replica_set else []
        if source:
            options.append(f"authSource={quote(source, safe='')}")
        query = "?" + "&".join(options) if options else ""
        return f"mongodb://{credentials}{_HOST}:{self.port}/{quote(database, safe='')}{query}"

    def _client(self, uri: str, **options: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(uri, serverSelectionTimeoutMS=int(_START_SECONDS * 1000), **options)

    def _prepare(self) -> None:
        """Make the directories and the watchdog, unless a restart finds them there."""
        if self._work is None:
            self._work = Path(tempfile.mkdtemp(prefix="newbi-mongod-"))
            atexit.register(self.stop)
            if self.auth and self.replica_set:
                key = self._work / "keyfile"
                key.touch(mode=0o600)
                key.write_text(secrets.token_hex(48), encoding="ascii")
            self._watchdog = Watchdog(self._work)
        self.dbpath.mkdir(parents=True, exist_ok=True)

    def _launch(self) -> None:
        port = self._port or self._wanted_port
        for attempt in range(_PORT_ATTEMPTS):
            self._port = port or _free_port()
            if self._listens():
                return
            if self._exit_status() != _EXIT_ADDRESS_IN_USE or port or attempt + 1 == _PORT_ATTEMPTS:
                break
            self._end(signal.SIGTERM)
        raise UnreachableError(
            f"mongod did not start on port {self.port} (exit status {self._exit_status()}).",
            next_step=f"The end of its log says why:\n{self._log_tail()}",
        )

    def _listens(self) -> bool:
        """Start the process; true once it says that it listens, false when it ended or hangs.

        The log is asked, not the port, because on a clash another server would answer there.
        """
        log = self._log
        seen = log.stat().st_size if log.exists() else 0
        with self._stderr.open("wb") as complaints:
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are the caller's own
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,  # the terminal's Ctrl-C is for Python alone
            )
        self._watch(self._process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if log.exists():
                with log.open("rb") as lines:
                    lines.seek(seen)
                    if b"aiting for connections" in lines.read():
                        return True
            time.sleep(_POLL_SECONDS)
        return False

    def _command(self) -> list[str]:
        defaults = [
            ("--dbpath", str(self.dbpath)),
            ("--port", str(self.port)),
            ("--bind_ip", _HOST),
            ("--logpath", str(self._log)),
            ("--logappend",),
            ("--quiet",),
            # 1 MB of files instead of 300 MB, and a restart in half the time.
            ("--wiredTigerEngineConfigString", "log=(file_max=1MB,prealloc=false)"),
            ("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # A primary waits 15 s at its end for clients to find another; there is no other.
            ("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
        ]
        if os.name == "posix":
            # A killed server would leave its socket behind in /tmp.
            defaults.append(("--nounixsocket",))
        if self._test_commands:
            defaults.append(("--setParameter", "enableTestCommands=1"))
        if self.replica_set:
            defaults.append(("--replSet", _REPLICA_SET))
        if self.auth:
            defaults.append(("--auth",))
            if self.replica_set:
                defaults.append(("--keyFile", str(self._directory / "keyfile")))
        given = option_names(self._extra_args)
        return [
            str(self._found().path),
            *(word for words in defaults if not option_names(words) & given for word in words),
            *self._extra_args,
        ]

    @property
    def _directory(self) -> Path:
        if self._work is None:
            raise self._not_started()
        return self._work

    @property
    def _log(self) -> Path:
        return self._directory / "mongod.log"

    @property
    def _stderr(self) -> Path:
        return self._directory / "mongod.err"

    def _log_tail(self) -> str:
        """The last lines of what the server wrote, for people; empty when it wrote nothing."""
        lines = [
            line
            for file in (self._stderr, self._log)
            if file.exists()
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _exit_status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def _watch(self, pid: int | None) -> None:
        if self._watchdog is not None:
            self._watchdog.watch(pid)

    def _end(self, how: signal.Signals) -> None:
        """End the process, if there is one, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            if hasattr(signal, "SIGCONT"):
                # A suspended process takes no notice of a request before it goes on.
                process.send_signal(signal.SIGCONT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        self._watch(None)

    def _send(self, name: str) -> None:
        how = getattr(signal, name, None)
        if how is None:
            raise UnsupportedError(f"This operating system has no {name} to suspend a process.")
        if self._process is None or self._process.poll() is not None:
            raise self._not_started()
        self._process.send_signal(how)

    def _make_ready(self) -> None:
        """Return once the server takes writes, as an administrator when it asks for one."""
        address = f"{_HOST}:{self.port}"
        known = (_ADMIN, self._password) if self._password else None
        try:
            if self.replica_set:
                initiate(address, _REPLICA_SET, known, seconds=_START_SECONDS)
            if self.auth and self._password is None:
                password = secrets.token_urlsafe(24)
                create_administrator(address, _ADMIN, password, seconds=_START_SECONDS)
                self._password = password
        except PyMongoError as error:
            raise UnreachableError(
                f"mongod started on port {self.port} and did not get ready: {error}.",
                next_step=f"The end of its log says why:\n{self._log_tail()}",
            ) from error


def _free_port() -> int:
    """A port of ours on which nobody listens; the server itself settles a race for it."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
            if os.name == "posix":
                # As the server does: a port in TIME_WAIT is free.
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                candidate.bind((_HOST, port))
                return port
    raise UnreachableError("No port is free on the loopback address.")
