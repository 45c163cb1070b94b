"""Every benchmark one after the other, and the page of the documentation that holds their figures.

    python benchmarks/every.py --write docs/speed.md

Take a machine that does nothing else: an hour and a half on two cores, half of it for a million
users.
Each part of the page is written when its benchmark is done, so that ``--only`` measures one again
and leaves the others. ``--quick`` measures small databases, to see that all of them run. Without
``--write`` the page is printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """\
# Speed

What every benchmark of the repository printed, one after the other, with nothing else of their
priority on the machine. A ratio compares with a bound that was measured in the same run; only
ratios carry from one machine to another.

```console
python benchmarks/every.py --write docs/speed.md
```
"""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark, what it answers, and its options at full size and at a small one."""

    title: str
    answers: str
    script: str
    full: str
    quick: str


EVERY = (
    Benchmark(
        "Stamping documents",
        "Plan, stamping with its journal, second look and indexes, beside the server's own "
        "`update_many` of one constant.",
        "stamping.py",
        "--documents 1000000 --repeat 3",
        "--documents 2000 --owners 20 --old-way 200",
    ),
    Benchmark(
        "Many small documents",
        "The same for five million documents of 300 bytes.",
        "stamping.py",
        "--documents 5000000 --size 300 --old-way 0 --repeat 3",
        "--documents 2000 --owners 20 --size 300 --old-way 0",
    ),
    Benchmark(
        "Users",
        "Four documents for each user, beside `insert_many` of the same documents.",
        "users.py",
        "--users 10000 100000",
        "--users 50",
    ),
    Benchmark(
        "A million users",
        "The same for a million of them.",
        "users.py",
        "--users 1000000",
        "--users 50",
    ),
    Benchmark(
        "Users on a replica set",
        "The same with a transaction for each user.",
        "users.py",
        "--users 5000 --replica-set",
        "--users 50 --replica-set",
    ),
    Benchmark(
        "Validating",
        "Beside one raw read of the same documents.",
        "validating.py",
        "--documents 1000000",
        "--documents 2000 --owners 20 --repeats 1",
    ),
    Benchmark(
        "Rolling back",
        "A rollback and its preview, beside the server's own update.",
        "rolling_back.py",
        "--documents 1000000 --repeat 3",
        "--documents 2000 --owners 20",
    ),
    Benchmark(
        "Backing up and restoring",
        "Beside one raw read, and beside `insert_many` of the same documents.",
        "backup.py",
        "--documents 1000000",
        "--documents 2000 --repeats 1",
    ),
    Benchmark(
        "Rehearsing",
        "A whole rehearsal beside its steps by hand.",
        "rehearsal.py",
        "--documents 200000",
        "--documents 200",
    ),
    Benchmark(
        "Starting",
        "What somebody waits for before a command does anything.",
        "starting.py",
        "--repeats 21",
        "--repeats 1",
    ),
    Benchmark(
        "Document models",
        "Constructing, checking and reading documents, beside plain models.",
        "documents.py",
        "",
        "--documents 50 --repeats 1",
    ),
    Benchmark(
        "Other ways to stamp",
        "What people write instead, beside the same bound.",
        "alternatives.py",
        "--documents 100000",
        "--documents 1000 --owners 20",
    ),
)


def machine() -> str:
    """What the figures were measured on, in a sentence."""
    day = datetime.now(UTC).date()
    return (
        f"Measured on {day.day} {day:%B %Y}: {os.cpu_count()} cores, {platform.machine()}, "
        f"{platform.system()}, Python {platform.python_version()}."
    )


def section(benchmark: Benchmark, *, quick: bool) -> str:
    """What a benchmark printed, under its title."""
    options = benchmark.quick if quick else benchmark.full
    command = f"python benchmarks/{benchmark.script} {options}".rstrip()
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, HERE / benchmark.script, *options.split()],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    minutes = (time.monotonic() - begun) / 60
    print(f"{command}: {minutes:.1f} minutes", file=sys.stderr, flush=True)
    return (
        f"## {benchmark.title}\n\n{benchmark.answers} {machine()}\n\n"
        f"```console\n$ {command}\n{done.stdout.rstrip()}\n```\n"
    )


def sections(page: Path | None) -> dict[str, str]:
    """The parts that a page has, by their titles."""
    if page is None or not page.exists():
        return {}
    _, *parts = page.read_text(encoding="utf-8").split("\n## ")
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def main() -> None:
    """Runs them all; prints or writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small databases")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="by script or title")
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    written = sections(asked.write)
    for benchmark in EVERY:
        if asked.only and not {benchmark.script, benchmark.title} & {*asked.only}:
            continue
        written[benchmark.title] = section(benchmark, quick=asked.quick)
        page = "\n".join([HEAD, *(written[one.title] for one in EVERY if one.title in written)])
        if asked.write is not None:
            asked.write.write_text(page, encoding="utf-8")
    if asked.write is None:
        print(page)


if __name__ == "__main__":
    main()
