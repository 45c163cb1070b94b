"""Processes of this machine: what tells one from every other, and whether one has surely ended.

All of it is from Linux's ``/proc``; elsewhere nothing is known, and no process has surely ended.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ProcessStart", "has_ended"]

_PROC: Final = Path("/proc")
# Fields of /proc/PID/stat, counted from the one after the name.
_STATE, _THREADS, _STARTED = 0, 17, 19
_ENDED_STATES: Final = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """Where and when a process began; with its id no other process has the same.

    Attributes:
        boot_id: The machine's boot.
        namespaces: The PID namespace its id counts in, and the time namespace its start does.
        started: Clock ticks from the boot to its start.
    """

    boot_id: str
    namespaces: str
    started: int

    @classmethod
    def of_this_process(cls) -> ProcessStart | None:
        """That of this process; ``None`` where it cannot be told."""
        try:
            # A /proc of another PID namespace shows other processes under our ids.
            if _PROC.joinpath("self").readlink() != Path(str(os.getpid())):
                return None
            if len(_field("self/status", "NSpid")) != 1:
                return None
            return cls(
                (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip(),
                f"{_namespace('pid')} {_namespace('time')}",
                int(_stat(os.getpid())[_STARTED]),
            )
        except (OSError, ValueError, IndexError):
            return None


def has_ended(pid: int, origin: ProcessStart | None) -> bool:
    """Whether a process has surely ended; false in any doubt.

    Args:
        pid: Its id.
        origin: Where and when it began, ``None`` where that is not known.
    """
    here = ProcessStart.of_this_process()
    if origin is None or here is None or pid <= 0:
        return False
    if (origin.boot_id, origin.namespaces) != (here.boot_id, here.namespaces):
        return False
    try:
        # Asked of the kernel: /proc can be mounted so that it hides the processes of others.
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    except OverflowError:
        return False
    try:
        stat = _stat(pid)
        if int(stat[_STARTED]) != origin.started:
            return True
        # The first thread of a process can end before the others do.
        return stat[_STATE] in _ENDED_STATES and int(stat[_THREADS]) <= 1
    except (OSError, ValueError, IndexError):
        return False


def _stat(pid: int) -> list[str]:
    # The name comes second, in parentheses, and may hold spaces and parentheses itself.
    return _PROC.joinpath(str(pid), "stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _namespace(kind: str) -> str:
    try:
        return str(_PROC.joinpath("self/ns", kind).readlink())
    except FileNotFoundError:
        # A kernel before 5.6 has one time for all.
        return ""


def _field(path: str, name: str) -> list[str]:
    for line in _PROC.joinpath(path).read_text("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.split()
    return []
