"""Stamping a workspace on many documents, against the server's own lower bound, in one run.

    python benchmarks/stamping.py --documents 1000000 --owners 2000

The bound is ``update_many({}, {"$set": {"workspaceId": <constant>}})`` on a copy of the same
collection. Each migration runs in a process of its own, so that its peak memory is its own, at
100,000 documents and at all of them: it must not grow. The old script's way (find 100 documents
without a workspace, write them, again) is run on a smaller copy, since its time grows with the
square of the documents. Times of other phases are printed beside: nothing is left out.

The documents of an owner in a window take a statement of their own, so many owners of few documents
are the hard case: many ``--owners`` and ``--zipf 0``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from bson import ObjectId
from bulk import bulk_invoices
from pymongo import MongoClient, UpdateOne
from pymongo.synchronous.database import Database

from newbi_migrate.demo.legacy import LEGACY_INDEXES, LegacyDatabase
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.testing import EmbeddedMongod

SMALL = 100_000
PHASES = ("plan", "users", "rescan", "whole without indexes", "indexes")
HEADINGS = f"{'':<42}{'documents':>10}{'seconds':>10}{'to bound':>12}{'peak MB':>8}"


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def peak_memory() -> float:
    """The greatest memory this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


@contextmanager
def copied(database: Database[Any], size: int) -> Iterator[Database[Any]]:
    """A database with the users and the first ``size`` invoices of another."""
    copy = database.client["newbi_copy"]
    for name, stages in (("Users", []), ("invoices", [{"$limit": size}])):
        database[name].aggregate([*stages, {"$out": {"db": copy.name, "coll": name}}])
        for index in database[name].index_information().values():
            keys = index.pop("key")
            copy[name].create_index(keys, **{k: index[k] for k in index.keys() - {"v", "ns"}})
    yield copy
    database.client.drop_database(copy.name)


def bound(database: Database[Any], size: int) -> float:
    """The server's own update of every document to one constant."""
    with copied(database, size) as copy:
        change = {"$set": {"workspaceId": ObjectId()}}
        return seconds(lambda: copy["invoices"].update_many({}, change))


def old_way(database: Database[Any], size: int) -> float:
    """The loop of the old script."""
    missing = {"workspaceId": {"$in": [None]}}
    with copied(database, size) as copy:
        invoices = copy["invoices"]

        def loop() -> None:
            while found := list(invoices.find(missing).limit(100)):
                stamp = {"$set": {"workspaceId": ObjectId()}}
                invoices.bulk_write([UpdateOne({"_id": d["_id"]}, stamp) for d in found])

        return seconds(loop)


async def migrate(uri: str, workers: int) -> dict[str, Any]:
    """Plans, then migrates without that plan; the seconds of each, and this process's memory."""
    before = peak_memory()
    async with Migration(uri, options=MigrationOptions(workers=workers)) as migration:
        begun = time.perf_counter()
        await migration.plan()
        planned = time.perf_counter() - begun
        begun = time.perf_counter()
        result = await migration.apply()
        whole = time.perf_counter() - begun
    return {
        **{name: value for name, value in result.timings.items() if "." not in name},
        "plan": planned,
        "whole without indexes": whole - result.timings["indexes"],
        "stamped": result.collections["invoices"].stamped,
        "before": before,
        "peak": peak_memory(),
    }


def ours(database: Database[Any], uri: str, size: int, workers: int) -> dict[str, Any]:
    """What a process of its own told of a migration."""
    with copied(database, size) as copy:
        done = subprocess.run(
            [sys.executable, __file__, "--child", f"{uri}{copy.name}", "--workers", str(workers)],
            check=True,
            stdout=subprocess.PIPE,
        )
    told: dict[str, Any] = json.loads(done.stdout)
    if told["stamped"] != size:
        raise SystemExit(f"Of {size} documents {told['stamped']} were stamped.")
    return told


def row(
    way: str, size: int, taken: float, least: float, told: dict[str, Any] | None = None
) -> None:
    """A line of the table."""
    memory = "" if told is None else f"{told['peak']:8.0f}"
    print(f"{way:<42}{size:>10,}{taken:>10.2f}{taken / least:>12.2f}{memory}", flush=True)


def measure(database: Database[Any], uri: str, size: int, repeat: int) -> float:
    """Prints the rows for one size; gives what a client has before it does anything, in MB."""
    # Each in turn and then again, so that a busy moment of the machine hits all alike.
    bounds: list[float] = []
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for _ in range(repeat):
        bounds.append(bound(database, size))
        for workers, told in runs.items():
            told.append(ours(database, uri, size, workers))
    least = median(bounds)
    row("bound: one update_many to a constant", size, least, least)
    for workers, told in runs.items():
        middle = {name: median(each[name] for each in told) for name in told[0]}
        words = f"{workers} worker{'s' if workers > 1 else ''}"
        row(f"stamping, {words}, journal included", size, middle["documents"], least, middle)
        for phase in PHASES:
            row(f"  {phase}, {words}", size, middle[phase], least)
    return float(middle["before"])


def main() -> None:
    """Builds a database, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--owners", type=int, default=2_000)
    parser.add_argument("--zipf", type=float, default=1.1, help="0 gives each owner as many")
    parser.add_argument("--size", type=int, default=1024, help="bytes of an invoice")
    parser.add_argument(
        "--bare", action="store_true", help="without the application's indexes, unique ones too"
    )
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--old-way", type=int, default=20_000, metavar="DOCUMENTS")
    parser.add_argument("--child", metavar="URI", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asyncio.run(migrate(asked.child, asked.workers))))
        return
    with EmbeddedMongod() as server, MongoClient[Any](server.uri) as client:
        database = client["newbi"]
        legacy = LegacyDatabase(seed=1, users=asked.owners)
        owners = [user["_id"] for user in legacy.users]
        database["Users"].insert_many(legacy.users)
        for batch in bulk_invoices(
            asked.documents, owners, zipf=asked.zipf, size=asked.size, seed=1
        ):
            database["invoices"].insert_many(batch, ordered=False)
        if not asked.bare:
            database["invoices"].create_indexes(list(LEGACY_INDEXES["invoices"]))
        release = ".".join(map(str, server.version))
        print(f"{asked.owners:,} owners, MongoDB {release}; median of {asked.repeat}")
        print(HEADINGS)
        idle = 0.0
        for size in sorted({min(SMALL, asked.documents), asked.documents}):
            idle = measure(database, server.uri_for(""), size, asked.repeat)
        if asked.old_way:
            size = min(asked.old_way, asked.documents)
            least = median(bound(database, size) for _ in range(3))
            row("the old way: find 100, write them, again", size, old_way(database, size), least)
        print(f"A client that has imported everything and done nothing has {idle:.0f} MB.")


if __name__ == "__main__":
    main()
