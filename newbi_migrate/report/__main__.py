"""Prints the page that lists every rule: ``python -m newbi_migrate.report > FILE``."""

from __future__ import annotations

import sys

from newbi_migrate.report.rules import rules_page


def main() -> None:
    """Writes the page to standard output, in UTF-8 whatever the terminal is."""
    sys.stdout.buffer.write(rules_page().encode())


if __name__ == "__main__":
    main()
