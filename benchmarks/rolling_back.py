"""Rolling a migration back, against the server's own lower bound, in one run.

    python benchmarks/rolling_back.py --documents 1000000 --owners 2000

A migrated database is looked at (``rollback --dry-run``) and rolled back in a process of its own.
Afterwards every byte must be what it was: the digest of the collection before and after is
compared. The bound is one ``update_many`` of every document to a constant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from bulk import bulk_invoices
from pymongo import MongoClient
from pymongo.database import Database
from stamping import HEADINGS, bound, copied, peak_memory, row

from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.migration.facade import Migration
from newbi_migrate.testing import EmbeddedMongod


async def roll_back(uri: str) -> dict[str, Any]:
    """Looks, rolls back, and tells the seconds of each phase and this process's memory."""
    async with Migration(uri) as migration:
        begun = time.perf_counter()
        looked = await migration.rollback(dry_run=True)
        dry = time.perf_counter() - begun
        begun = time.perf_counter()
        result = await migration.rollback()
        taken = time.perf_counter() - begun
    return {
        "look": dry,
        "rollback": taken,
        "phases": result.timings,
        "foretold": looked.documents["invoices"].restored,
        "restored": result.documents["invoices"].restored,
        "peak": peak_memory(),
    }


async def migrate(uri: str) -> None:
    """Migrates, untimed."""
    async with Migration(uri) as migration:
        await migration.apply()


def rolled_back(database: Database[Any], server: str, size: int) -> dict[str, Any]:
    """What the process told that looked at a migrated copy and rolled it back, to the byte."""
    with copied(database, size) as copy:
        before = copy.command("dbHash", collections=["Users", "invoices"])["md5"]
        uri = f"{server}{copy.name}"
        asyncio.run(migrate(uri))
        done = subprocess.run(
            [sys.executable, __file__, "--child", uri], check=True, stdout=subprocess.PIPE
        )
        told: dict[str, Any] = json.loads(done.stdout)
        after = copy.command("dbHash", collections=["Users", "invoices"])["md5"]
    if before != after or told["restored"] != size:
        raise SystemExit("The rollback did not give back every byte.")
    return told


def middle(tolds: list[dict[str, Any]], name: str) -> float:
    """The median of what the processes told under a name."""
    return float(statistics.median(told[name] for told in tolds))


def main() -> None:
    """Builds a database, migrates, rolls back, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--owners", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--child", metavar="URI", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asyncio.run(roll_back(asked.child))))
        return
    with EmbeddedMongod() as server, MongoClient[Any](server.uri) as client:
        database = client["newbi"]
        legacy = LegacyDatabase(seed=1, users=asked.owners)
        owners = [user["_id"] for user in legacy.users]
        database["Users"].insert_many(legacy.users)
        for batch in bulk_invoices(asked.documents, owners, seed=1):
            database["invoices"].insert_many(batch, ordered=False)
        print(f"{asked.owners:,} owners, MongoDB {'.'.join(map(str, server.version))}")
        print(HEADINGS)
        for size in sorted({min(100_000, asked.documents), asked.documents}):
            bounds, tolds = [], []
            for _ in range(asked.repeat):
                bounds.append(bound(database, size))
                tolds.append(rolled_back(database, server.uri_for(""), size))
            least = statistics.median(bounds)
            told = min(tolds, key=lambda one: abs(one["rollback"] - middle(tolds, "rollback")))
            row("bound: one update_many to a constant", size, least, least)
            row("rollback --dry-run", size, middle(tolds, "look"), least)
            row("rollback", size, told["rollback"], least, told)
            for phase, seconds in told["phases"].items():
                row(f"  {phase}", size, seconds, least)


if __name__ == "__main__":
    main()
