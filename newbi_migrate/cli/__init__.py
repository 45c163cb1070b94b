"""The command line: thin, and quick to say how it is used.

Each command parses, calls one use-case, prints, and ends with an exit code. Nothing heavy is
imported until a command runs.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of ``newbi-migrate``."""
    from newbi_migrate.cli.app import app

    app()
