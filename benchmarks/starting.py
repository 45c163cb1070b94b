"""How long a command takes before it does anything, beside the interpreter itself.

    python benchmarks/starting.py --repeats 11

Each is a process of its own; the median counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

WAYS = {
    "the interpreter alone": ["-c", "pass"],
    "import newbi_migrate": ["-c", "import newbi_migrate"],
    "newbi-migrate --help": ["-m", "newbi_migrate", "--help"],
    "newbi-migrate plan --help": ["-m", "newbi_migrate", "plan", "--help"],
}


def main() -> None:
    """Starts each in turns, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    # Once without counting: the first start compiles what is imported.
    for repeat in range(asked.repeats + 1):
        for way, arguments in WAYS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if repeat:
                seconds[way].append(time.perf_counter() - begun)
    for way, taken in seconds.items():
        print(f"{way:<42}{statistics.median(taken):>8.2f} s")


if __name__ == "__main__":
    main()
