"""The command line: thin, and quick to say how it is used.

Each command parses, calls one use-case, prints, and ends with an exit code. Nothing heavy is
imported until a command runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Entry point of ``newbi-migrate``."""
    from newbi_migrate.cli.app import run
    from newbi_migrate.report.text import FOR_TERMINALS

    if sys.stdout is None:  # closed by the caller, who wants no results
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A name the terminal cannot show is no reason to lose a report.
            reconfigure(errors=FOR_TERMINALS)
    sys.exit(run(sys.argv[1:]))
