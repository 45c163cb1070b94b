"""The command line: thin, and quick to say how it is used.

Each command parses, calls one use-case, prints, and ends with an exit code. Nothing heavy is
imported until a command runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from newbi_migrate.errors import NothingBegunError
from newbi_migrate.local_files import no_memory

__all__ = ["main"]

_INTERRUPTED = 130  # what Typer makes of a Ctrl-C


def main() -> None:
    """Entry point of ``newbi-migrate``."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except (MemoryError, SystemError):
        # There may be too little to say so in any other way; CPython then also loses the error.
        told = no_memory()
        print(f"error: {told.what}\nnext: {told.next_step}", file=sys.stderr)
        code = int(told.exit_code)
    if code == _INTERRUPTED:
        # While the modules are loaded; a command that runs says the same by itself.
        if sys.stderr is not None:
            nothing = NothingBegunError()
            print(f"error: {nothing.what}\nnext: {nothing.next_step}", file=sys.stderr)
        code = 2
    sys.exit(code)


def _run() -> int:
    from newbi_migrate.cli.app import run
    from newbi_migrate.report.text import FOR_TERMINALS

    # Closed by the caller, who wants no results, or no messages: these would go to the results.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A name the terminal cannot show is no reason to lose a report.
            reconfigure(errors=FOR_TERMINALS)
    return run(sys.argv[1:])
