"""Prints the page that lists every invariant: ``python -m newbi_migrate.report > FILE``."""

from __future__ import annotations

import sys

from newbi_migrate.report.rules import invariants_page


def main() -> None:
    """Writes the page to standard output, in UTF-8 whatever the terminal is."""
    sys.stdout.buffer.write(invariants_page().encode())


if __name__ == "__main__":
    main()
