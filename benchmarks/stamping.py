"""Stamping a workspace on many documents, against the server's own lower bound, in one run.

    python benchmarks/stamping.py --documents 1000000 --owners 2000

The bound is ``update_many({}, {"$set": {"workspaceId": <constant>}})`` on a copy of the same
collection. The old script's way (find 100 documents without a workspace, write them, again) is
run on a smaller copy, since its time grows with the square of the documents.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from bson import ObjectId
from pymongo import MongoClient, UpdateOne
from pymongo.synchronous.database import Database

from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.options import MigrationOptions
from newbi_migrate.migration.results import RunResult
from newbi_migrate.testing import EmbeddedMongod
from newbi_migrate.testing.bulk import bulk_invoices
from newbi_migrate.testing.legacy import LegacyDatabase


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bound(database: Database[Any]) -> float:
    """The server's own update of every document to one constant."""
    database["invoices"].aggregate([{"$out": "bound"}])
    taken = seconds(
        lambda: database["bound"].update_many({}, {"$set": {"workspaceId": ObjectId()}})
    )
    database["bound"].drop()
    return taken


def old_way(database: Database[Any], size: int) -> tuple[float, float]:
    """The loop of the old script on ``size`` documents, and the bound for as many."""
    database["invoices"].aggregate([{"$limit": size}, {"$out": "old"}])
    old = database["old"]
    missing = {"workspaceId": {"$in": [None]}}

    def loop() -> None:
        while found := list(old.find(missing).limit(100)):
            old.bulk_write(
                [UpdateOne({"_id": d["_id"]}, {"$set": {"workspaceId": ObjectId()}}) for d in found]
            )

    taken = seconds(loop)
    old.update_many({}, {"$unset": {"workspaceId": ""}})
    least = seconds(lambda: old.update_many({}, {"$set": {"workspaceId": ObjectId()}}))
    old.drop()
    return taken, least


def megabytes() -> float:
    """The greatest memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


async def migrate(uri: str, workers: int) -> tuple[float, RunResult]:
    """Plans and migrates; gives the seconds of the plan, and the result."""
    options = MigrationOptions(workers=workers)
    async with Migration(uri, options=options) as migration:
        begun = time.perf_counter()
        plan = await migration.plan()
        planned = time.perf_counter() - begun
        return planned, await migration.apply(plan)


def main() -> None:
    """Builds a database, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--owners", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--old-way", type=int, default=20_000, metavar="DOCUMENTS")
    asked = parser.parse_args()
    with EmbeddedMongod() as server, MongoClient(server.uri) as client:
        database = client["newbi"]
        legacy = LegacyDatabase(seed=1, users=asked.owners)
        database["Users"].insert_many(legacy.users)
        for batch in bulk_invoices(asked.documents, legacy.user_ids, seed=1):
            database["invoices"].insert_many(batch, ordered=False)
        release = ".".join(map(str, server.version))
        print(f"{asked.documents:,} documents of {asked.owners:,} owners on MongoDB {release}")
        least = bound(database)
        print(f"bound, one update_many to a constant   {least:8.2f} s   1.00")
        if asked.old_way:
            size = min(asked.old_way, asked.documents)
            old, least_of_old = old_way(database, size)
            print(
                f"the old way, {size:>9,} documents alone   {old:8.2f} s   {old / least_of_old:.1f}"
            )
        before = megabytes()
        planned, result = asyncio.run(migrate(server.uri_for("newbi"), asked.workers))
        stamped = result.timings["documents"]
        print(f"stamping, journal included             {stamped:8.2f} s   {stamped / least:.2f}")
        print(f"plan                                   {planned:8.2f} s   {planned / least:.2f}")
        for phase in ("users", "rescan", "indexes"):
            taken = result.timings[phase]
            print(f"{phase:<39}{taken:8.2f} s   {taken / least:.2f}")
        print(f"peak memory of the client              {megabytes():8.0f} MB (before {before:.0f})")
        stamped_documents = result.collections["invoices"].stamped
        print(f"stamped                                {stamped_documents:,}")


if __name__ == "__main__":
    main()
