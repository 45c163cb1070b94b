"""Asking how the command is called is quick, and touches neither a driver nor the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"beanie", "bson", "fiftyone", "hypothesis", "motor", "pymongo", "pytest", "xxhash"}
HALF_A_SECOND = 0.5

EVERY_HELP = """
import contextlib, io, json, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("the network")

socket.socket.connect = socket.getaddrinfo = refuse
import typer
from newbi_migrate.cli.app import app, run
commands = list(typer.main.get_command(app).commands)
imported = {name for name in sys.modules if name.startswith("newbi_migrate.cli.")}
assert not imported & {f"newbi_migrate.cli.{name}" for name in commands}, imported
shown = {}
for command in [None, *commands]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run(["--help"] if command is None else [command, "--help"])
    shown[command or ""] = [code, out.getvalue()]
print(json.dumps([shown, sorted({module.partition(".")[0] for module in sys.modules})]))
"""


def processor_seconds(*arguments):
    """What a Python spends on the processor, however busy the machine is with other things."""
    child = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == child.returncode
    return used.ru_utime + used.ru_stime


def test_no_help_loads_a_driver_or_touches_the_network():
    """Not for any command: what is heavy is imported when a command runs."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_HELP],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    shown, loaded = json.loads(done.stdout)

    assert {"", "demo", "plan", "migrate", "status"} <= shown.keys()
    for command, (code, text) in shown.items():
        assert 0 == code, command
        assert f"Usage: newbi-migrate {command}".rstrip() in text
    assert set() == HEAVY & set(loaded)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="processor time of a child, on POSIX alone")
def test_help_is_there_in_less_than_half_a_second():
    """On a quiet machine; caches of a busy one are shared, so that twice as much is let pass."""
    fastest = min(processor_seconds("-m", "newbi_migrate", "--help") for _ in range(3))

    assert fastest < 2 * HALF_A_SECOND
