"""A small process that cleans up when Python dies without warning."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

__all__ = ["Watchdog"]

# Reads the pid to watch, a line each time it changes; the end of the input is the end of Python.
_SCRIPT = """
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -9 "$pid" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
fi
rm -rf -- "$1"
"""
_DISMISS_SECONDS = 2.0


class Watchdog:
    """Kills one process and removes one directory once this Python process is gone.

    It is a shell that reads from a pipe whose other end only Python holds; the kernel closes
    that end however Python ends. It is not PR_SET_PDEATHSIG, which fires when the *thread* that
    started the child ends, and an event loop's worker threads do end. Where there is no POSIX
    shell it does nothing.

    Args:
        directory: What to remove.
    """

    def __init__(self, directory: Path) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        if os.name == "posix":
            self._shell = subprocess.Popen(  # noqa: S603 - a fixed script
                ["/bin/sh", "-c", _SCRIPT, "sh", str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def watch(self, pid: int | None) -> None:
        """Watch this process from now on instead of the one before; None watches none."""
        if self._shell is None or self._shell.stdin is None:
            return
        # Somebody may have killed the shell; the server is worth more than its watchdog.
        with contextlib.suppress(OSError):
            self._shell.stdin.write(b"%d\n" % pid if pid is not None else b"\n")
            self._shell.stdin.flush()

    def dismiss(self) -> None:
        """End the watchdog; the directory goes with it, a watched process does too."""
        if self._shell is None or self._shell.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        try:
            self._shell.wait(_DISMISS_SECONDS)
        except subprocess.TimeoutExpired:
            # A fork of Python still holds the pipe open.
            self._shell.kill()
            self._shell.wait()
        self._shell = None
