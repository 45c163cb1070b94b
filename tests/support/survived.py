"""What the proofs went through: a small file for each run, and the page that shows them.

``python tests/support/survived.py`` writes the page anew from the files.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "docs" / "survived"
PAGE = PROJECT / "docs" / "survived.md"
MARKS = ("<!-- written by tests/support/survived.py -->", "<!-- as far as here -->")


def record(name, *, counts, seconds, failed=(), seed=0, folder=FOLDER):
    """Keep what a run went through, in the place of an earlier one of that name.

    Args:
        name: What was run, for instance a shard.
        counts: How many cases of each kind held; a kind may end with ``| replica set``.
        seconds: How long it took.
        failed: What did not hold.
        seed: What chance began with.
        folder: Where the files are.
    """
    found = {
        "name": name,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": round(seconds),
        "seed": seed,
        "counts": dict(sorted(counts.items())),
        "failed": list(failed),
        "commit": commit(),
        "versions": versions(),
    }
    folder.mkdir(exist_ok=True)
    file = folder / f"{re.sub('[^a-z0-9]+', '-', name)}.json"
    file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if folder == FOLDER:
        write_page()


def commit():
    """The last commit that changed the package, and whether it was changed since."""

    def git(*arguments):
        ran = subprocess.run(
            ["git", *arguments, "--", "newbi_migrate"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.stdout.strip()

    changed = git("status", "--porcelain")
    return (git("log", "-1", "--format=%h") or "unknown") + (" and changes" if changed else "")


def versions():
    """Of Python, the drivers and the server."""
    # Only whoever notes something needs a server.
    from newbi_migrate.testing.discovery import find_mongod

    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in ("pymongo", "beanie")}
    return found | {"mongod": ".".join(map(str, find_mongod().version))}


def runs(folder=FOLDER):
    """Every run that was noted."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]


def tables(found):
    """What was gone through, by kind and server; then the runs, in Markdown."""
    cases, servers = Counter(), {}
    for run in found:
        for name, count in run["counts"].items():
            kind, _, server = name.partition(" | ")
            cases[kind] += count
            servers.setdefault(kind, Counter())[server] += count
    lines = ["| cases | standalone | replica set | in all |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {_number(servers[kind]['standalone'])} | "
        f"{_number(servers[kind]['replica set'])} | {count:,} |"
        for kind, count in sorted(cases.items())
    ]
    lines += [
        "",
        "| run | date | seconds | seed | result | package | versions |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in found:
        result = "; ".join(map(_shown, run["failed"])) or "held"
        using = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        lines.append(
            f"| {run['name']} | {run['date']} | {run['seconds']:,} | {run['seed']} | {result} | "
            f"{run['commit']} | {using} |"
        )
    return "\n".join(lines)


def page(text, found):
    """The page with its tables written anew."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{tables(found)}\n\n{MARKS[1]}{after}"


def write_page():
    """Write the page of the documentation anew."""
    PAGE.write_text(page(PAGE.read_text("utf-8"), runs()), encoding="utf-8")


def _number(count):
    return f"{count:,}" if count else ""


def _shown(name):
    return f"`{name}` failed".replace("|", "\\|")


if __name__ == "__main__":
    write_page()
