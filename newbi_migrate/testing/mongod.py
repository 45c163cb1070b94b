"""A real MongoDB server that lives as long as a ``with`` block.

The server is a child process bound to the loopback address. Nothing outlives the Python process
that asked for it: a normal end stops it through :mod:`atexit`, and on POSIX systems a small
watching shell notices when Python dies without warning and cleans up in its place.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
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
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from newbi_migrate.errors import UnreachableError, UsageError
from newbi_migrate.testing.discovery import find_mongod
from newbi_migrate.testing.watchdog import Watchdog

__all__ = ["EmbeddedMongod"]

_HOST = "127.0.0.1"
_REPLICA_SET = "newbi"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.005
_LOG_TAIL_LINES = 12
_PORT_ATTEMPTS = 8
# Below the ranges from which Linux, macOS and Windows take the ports of outgoing connections, so
# that no client's socket can sit on the port before the server does.
_PORTS = range(20_000, 32_000)
# mongod's status when it cannot listen on its port.
_EXIT_ADDRESS_IN_USE = 48


class EmbeddedMongod:
    """One ``mongod``, for tests, the demo and benchmarks; never for data that matters.

    Use it as ``with``, or call :meth:`start` and :meth:`stop`. It listens on a port that is free.

    Args:
        replica_set: Start a replica set of one member, which has transactions, snapshot reads
            and change streams; a standalone server has none of these.
        dbpath: Keep the data here; without it they live in a temporary directory that
            :meth:`stop` removes.
        extra_args: More arguments for ``mongod``, as on its command line.
    """

    def __init__(
        self,
        *,
        replica_set: bool = False,
        dbpath: Path | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        self._replica_set = replica_set
        self._dbpath = dbpath
        self._extra_args = tuple(extra_args)
        self._port: int | None = None
        self._work: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._owner = os.getpid()

    # -- what it is ---------------------------------------------------------------------------

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, such as ``(6, 0, 5)``.

        Raises:
            UnsupportedError: No ``mongod`` that runs was found.
        """
        return find_mongod().version

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
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def uri(self) -> str:
        """A connection string for any client."""
        return self.uri_for("")

    def uri_for(self, database: str) -> str:
        """Return a connection string whose default database is ``database``.

        Raises:
            UsageError: The server was not started.
        """
        query = f"?replicaSet={_REPLICA_SET}" if self._replica_set else ""
        return f"mongodb://{_HOST}:{self.port}/{quote(database, safe='')}{query}"

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server and return once it takes writes; does nothing if it is running.

        Raises:
            UnsupportedError: No ``mongod`` that runs was found.
            UnreachableError: The server did not start; the message ends with the log's tail.
        """
        if self.running:
            return self
        find_mongod()
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
        self._end()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
        if self._watchdog is not None:
            self._watchdog.dismiss()
        atexit.unregister(self.stop)
        self._work = self._port = self._watchdog = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- how ----------------------------------------------------------------------------------

    def _not_started(self) -> UsageError:
        return UsageError("The embedded mongod is not running.", next_step="Call start() first.")

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            f"mongodb://{_HOST}:{self.port}/?directConnection=true",
            serverSelectionTimeoutMS=int(_START_SECONDS * 1000),
        )

    def _prepare(self) -> None:
        """Make the directories and the watchdog, unless they are there."""
        if self._work is None:
            self._work = Path(tempfile.mkdtemp(prefix="newbi-mongod-"))
            atexit.register(self.stop)
            self._watchdog = Watchdog(self._work)
        self._data.mkdir(parents=True, exist_ok=True)

    def _launch(self) -> None:
        port = self._port
        for attempt in range(_PORT_ATTEMPTS):
            self._port = port or _free_port()
            if self._listens():
                return
            if self._exit_status() != _EXIT_ADDRESS_IN_USE or port or attempt + 1 == _PORT_ATTEMPTS:
                break
            self._end()
        raise UnreachableError(
            f"mongod did not start on port {self.port} (exit status {self._exit_status()}).",
            next_step=self._why(),
        )

    def _listens(self) -> bool:
        """Start the process; true once it says that it listens, false when it ended or hangs.

        The log is asked, not the port, because on a clash another server would answer there.
        """
        log = self._log
        seen = log.stat().st_size if log.exists() else 0
        with self._stderr.open("wb") as complaints:
            self._process = subprocess.Popen(  # noqa: S603  # the arguments are the caller's own
                [str(find_mongod().path), *self._arguments()],
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

    def _arguments(self) -> list[str]:
        arguments = [
            *("--dbpath", str(self._data)),
            *("--port", str(self.port)),
            *("--bind_ip", _HOST),
            *("--logpath", str(self._log), "--logappend", "--quiet"),
            # 1 MB of files instead of 300 MB, and a restart in half the time.
            *("--wiredTigerEngineConfigString", "log=(file_max=1MB,prealloc=false)"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # A primary waits 15 s at its end for clients to find another; there is no other.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
        ]
        if os.name == "posix":
            # A killed server would leave its socket behind in /tmp.
            arguments.append("--nounixsocket")
        if self._replica_set:
            arguments += ["--replSet", _REPLICA_SET]
        return [*arguments, *self._extra_args]

    @property
    def _directory(self) -> Path:
        if self._work is None:
            raise self._not_started()
        return self._work

    @property
    def _data(self) -> Path:
        return self._dbpath or self._directory / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "mongod.log"

    @property
    def _stderr(self) -> Path:
        return self._directory / "mongod.err"

    def _why(self) -> str:
        """The last lines of what the server wrote, for people."""
        lines = [
            line
            for file in (self._stderr, self._log)
            if file.exists()
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
        if not lines:
            return "It wrote nothing; see that the folder it is started in is there, and its disk."
        return "\n".join(["The end of its log says why:", *lines[-_LOG_TAIL_LINES:]])

    def _exit_status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def _watch(self, pid: int | None) -> None:
        if self._watchdog is not None:
            self._watchdog.watch(pid)

    def _end(self) -> None:
        """End the process, if there is one, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._watch(None)

    def _make_ready(self) -> None:
        """Return once the server takes writes."""
        if not self._replica_set:
            return
        member = {"_id": 0, "host": f"{_HOST}:{self.port}"}
        try:
            with self._client() as client:
                config = {"_id": _REPLICA_SET, "members": [member]}
                client.admin.command("replSetInitiate", config)
                self._wait_for_primary(client)
        except PyMongoError as error:
            raise UnreachableError(
                f"mongod started on port {self.port} and did not get ready: {error}.",
                next_step=self._why(),
            ) from error

    @staticmethod
    def _wait_for_primary(client: MongoClient[dict[str, Any]]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not client.admin.command("hello").get("isWritablePrimary"):
            if time.monotonic() > deadline:
                raise ServerSelectionTimeoutError(f"no primary after {_START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


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
