"""Forks a process for each line it reads, and does something to it at a chosen write.

Started by :mod:`processes`; never imported by a test. Python and the package are loaded once, so
that a run costs what it costs, and not the half second of an import.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
import traceback

import pymongo.monitoring

import newbi_migrate.cli.app
import newbi_migrate.cli.migrate
import newbi_migrate.cli.progress
import newbi_migrate.report.console
import newbi_migrate.report.migration  # noqa: F401
from newbi_migrate.cli import main
from newbi_migrate.errors import NewbiMigrateError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions

WRITES = {
    *("insert", "update", "delete", "findAndModify", "create", "drop", "createIndexes"),
    *("dropIndexes", "renameCollection", "collMod", "commitTransaction", "abortTransaction"),
}


def of_the_lease(command):
    """Whether a lease is renewed or released.

    How often is a matter of time: on a slow machine all other writes would be numbered otherwise
    at each call.
    """
    updates = command.get("updates", []) if "update" in command else []
    return [{"_id": "lease"}] == [{"_id": update["q"].get("_id")} for update in updates]


def say(line):
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class Boundaries(pymongo.monitoring.CommandListener):
    """Notes write commands; at one of them, before or after it, sends a signal to itself.

    PyMongo tells of a command before its bytes are sent, and of its success once the answer has
    been read.
    """

    def __init__(self, at, when, number):
        self._at, self._when, self._signal = at, when, number
        self.sent = []
        self._mine = set()

    def started(self, event):
        if event.command_name not in WRITES:
            return
        if of_the_lease(event.command):
            return
        self.sent.append(f"{event.command_name} {event.command[event.command_name]}")
        if len(self.sent) == self._at:
            self._mine.add(event.request_id)
            if self._when == "before":
                os.kill(os.getpid(), self._signal)

    def succeeded(self, event):
        if event.request_id in self._mine and self._when == "after":
            os.kill(os.getpid(), self._signal)

    def failed(self, event):
        pass


def as_command(request):
    """The command line itself, as a person calls it."""
    os.environ["MONGODB_URI"] = request["uri"]
    sys.argv = ["newbi-migrate", *request["argv"]]
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def as_call(request):
    """A call of the library, which can set what the command line cannot."""

    async def call():
        options = MigrationOptions(**request.get("options", {}))
        async with Migration(
            request["uri"], options=options, lease_seconds=request["lease_seconds"]
        ) as migration:
            return await getattr(migration, request["call"])()

    try:
        result = asyncio.run(call())
    except NewbiMigrateError as error:
        say(f"error: {error.what}")
        return int(error.exit_code)
    return int(result.exit_code)


def limit(files=None, memory=None):
    """Allow so many open files, and so many megabytes of memory beyond what is used now."""
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if memory is not None:
        with open("/proc/self/statm", encoding="ascii") as sizes:  # noqa: PTH123
            used = int(sizes.read().split()[0]) * resource.getpagesize()
        allowed = used + (memory << 20)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def child(request):
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o600), number)
    boundaries = Boundaries(
        request.get("at"),
        request.get("when"),
        getattr(signal, request.get("signal", "SIGKILL")),
    )
    pymongo.monitoring.register(boundaries)
    limit(**request.get("limit", {}))
    if "moment" in request:
        time.sleep(max(0.0, request["moment"] - time.time()))
    status = as_command(request) if "argv" in request else as_call(request)
    say(f"writes: {json.dumps(boundaries.sent)}")
    sys.stdout.flush()
    return status


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], os.WUNTRACED)
            stopped = os.WIFSTOPPED(status)
            answer(
                {
                    "stopped": stopped,
                    "status": None if stopped else os.waitstatus_to_exitcode(status),
                }
            )
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = child(request)
            except Exception:  # noqa: BLE001  # whatever it is, it must not come back into the loop
                say(traceback.format_exc())
            finally:
                os._exit(status)
        answer({"pid": pid})


serve()
