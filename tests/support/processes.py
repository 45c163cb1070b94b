"""Real processes of the tool that are killed, suspended or raced against each other."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

FORKED = Path(__file__).with_name("forked.py")


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, negative for a signal, and what it said."""

    status: int
    stdout: str
    stderr: str

    @property
    def killed(self):
        return self.status == -signal.SIGKILL

    @property
    def commands(self):
        """The write commands it sent, if it came to its end: each its name and its collection."""
        return json.loads(re.search(r"^writes: (.+)$", self.stderr, re.MULTILINE).group(1))

    @property
    def writes(self):
        """How many write commands it sent, if it came to its end."""
        return len(self.commands)


class Running:
    """A process that was started."""

    def __init__(self, factory, pid, stem):
        self._factory, self.pid, self._stem = factory, pid, stem
        self._answer = None

    def wait(self):
        """Wait until it has ended."""
        assert self.wait_until_ended_or_suspended(), "it was suspended and did not end"
        self._factory.forget(self.pid)
        said = [Path(f"{self._stem}.{name}").read_text() for name in ("out", "err")]
        return Ended(self._answer["status"], *said)

    def wait_until_suspended(self):
        """Wait until it has suspended itself."""
        assert not self.wait_until_ended_or_suspended(), "it ended and was not suspended"

    def wait_until_ended_or_suspended(self):
        """Wait for either; true if it has ended."""
        if self._answer is None or self._answer["stopped"]:
            self._answer = self._factory.ask(wait=self.pid)
        return not self._answer["stopped"]

    def send(self, name):
        os.kill(self.pid, getattr(signal, name))


class Processes:
    """Starts processes by forking one that has everything imported already."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="newbi-processes-")
        self._alive = set()
        self._count = 0
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWBI_")}
        environment["NO_COLOR"] = "1"
        self._parent = subprocess.Popen(
            [sys.executable, str(FORKED)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request):
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        line = self._parent.stdout.readline()
        assert line, "the process that forks the others has ended; its traceback is on stderr"
        return json.loads(line)

    def forget(self, pid):
        self._alive.discard(pid)

    def start(self, uri, *argv, **request):
        """Start the command line with these arguments, or with ``call=`` a method.

        Args:
            uri: The database.
            argv: Arguments of the command line.
            request: ``at``, ``when`` and ``signal``: at which write command, ``before`` or
                ``after`` it, the process sends itself which signal; ``call``,
                ``lease_seconds`` and ``options``: the library's method to call instead;
                ``limit``: how many ``files`` it may open, and how many megabytes of ``memory``
                it may take;
                ``moment``: the time at which to begin.
        """
        self._count += 1
        stem = Path(self._directory.name) / f"{self._count}"
        if argv:
            request["argv"] = list(argv)
        request |= {"uri": uri, "stdout": f"{stem}.out", "stderr": f"{stem}.err"}
        pid = self.ask(**request)["pid"]
        self._alive.add(pid)
        return Running(self, pid, stem)

    def run(self, uri, *argv, **request):
        """Start a process and wait for its end."""
        return self.start(uri, *argv, **request).wait()

    def close(self):
        for pid in self._alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()
        self._directory.cleanup()


def suspended(processes, uri, command, at):
    """A process that has a write command about to be sent."""
    run = processes.start(uri, *command, at=at, when="before", signal="SIGSTOP")
    run.wait_until_suspended()
    return run


def woken(run):
    """How a process ends that goes on."""
    run.send("SIGCONT")
    return run.wait()
