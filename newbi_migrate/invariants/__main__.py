"""Prints the page that lists every invariant: ``python -m newbi_migrate.invariants > FILE``."""

from __future__ import annotations

import sys


def main() -> None:
    """Writes the page to standard output, in UTF-8 whatever the terminal is."""
    from newbi_migrate.report.invariants import invariants_page

    sys.stdout.buffer.write(invariants_page().encode())


if __name__ == "__main__":
    main()
