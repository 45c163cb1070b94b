"""Planning, migrating and rolling back many legacy users, against a bound, in one run.

    python benchmarks/users.py --users 10000 100000 1000000

Each user has one invoice. The bound is ``insert_many`` of the four documents the migration
creates for each, read beforehand, a thousand at a time. Every command runs in a process of its
own, so that its peak memory is its own: it must stay small, and the time for a user must stay the
same however many they are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from bulk import bulk_invoices, bulk_owners
from pymongo import MongoClient
from pymongo.synchronous.database import Database

from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.store.raw import split_documents
from newbi_migrate.testing import EmbeddedMongod

BETTER_AUTH = ("user", "account", "organization", "member")
TOGETHER = 1000
HEADINGS = f"{'':<42}{'users':>10}{'seconds':>10}{'ms a user':>12}{'to bound':>10}{'peak MB':>8}"


def peak_memory() -> float:
    """The greatest memory this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def documents(count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Legacy users, no two of whom share an address, a number or a code; an invoice of each."""
    owners = bulk_owners(count, seed=1)
    templates = LegacyDatabase(seed=1, users=20).users
    (invoices,) = bulk_invoices(20, owners[:1], seed=1)
    for number, owner in enumerate(owners):
        user = dict(templates[number % len(templates)])
        profile = {**user.get("profile", {}), "phone": f"06{number:08d}"}
        user |= {"_id": owner, "email": f"person.{number}@example.com", "profile": profile}
        user["referralCode"] = f"CODE{number}"
        invoice = dict(bson.decode(invoices[number % len(invoices)].raw))
        invoice |= {"_id": ObjectId(), "createdBy": owner, "number": f"{number:09d}"}
        yield user, invoice


def fill(database: Database[Any], count: int) -> None:
    """Stores the legacy users and their invoices."""
    users: list[Any] = []
    invoices: list[Any] = []
    for user, invoice in documents(count):
        users.append(user)
        invoices.append(invoice)
        if len(users) == TOGETHER:
            database["Users"].insert_many(users)
            database["invoices"].insert_many(invoices)
            users, invoices = [], []
    if users:
        database["Users"].insert_many(users)
        database["invoices"].insert_many(invoices)


def bound(database: Database[Any]) -> float:
    """The seconds it takes to insert what the migration created, and nothing else."""
    copy = database.client["newbi_bound"]
    taken = 0.0
    for name in BETTER_AUTH:
        cursor = database[name].find_raw_batches(batch_size=TOGETHER)
        for batch in cursor:
            portion = [RawBSONDocument(raw) for raw in split_documents(cast(bytes, batch))]
            begun = time.perf_counter()
            copy.get_collection(name).insert_many(portion)
            taken += time.perf_counter() - begun
    database.client.drop_database(copy.name)
    return taken


async def command(uri: str, name: str) -> dict[str, Any]:
    """Runs one command; its phases in seconds, and this process's memory."""
    async with Migration(uri, options=MigrationOptions()) as migration:
        begun = time.perf_counter()
        if name == "plan":
            plan = await migration.plan()
            phases = {"users": float(len(plan.users))}
        elif name == "migrate":
            result = await migration.apply()
            phases = {n: s for n, s in result.timings.items() if "." not in n}
        else:
            phases = dict((await migration.rollback()).timings)
        taken = time.perf_counter() - begun
    return {"seconds": taken, "phases": phases, "peak": peak_memory(), "cpu": time.process_time()}


def told(uri: str, name: str) -> dict[str, Any]:
    """What a process of its own told of a command."""
    arguments = [sys.executable, __file__, "--child", uri, "--command", name]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(way: str, size: int, taken: float, least: float, peak: float | None = None) -> None:
    """A line of the table."""
    memory = "" if peak is None else f"{peak:8.0f}"
    each = 1000 * taken / size
    print(
        f"{way:<42}{size:>10,}{taken:>10.1f}{each:>12.3f}{taken / least:>10.2f}{memory}", flush=True
    )


def measure(server: EmbeddedMongod, client: MongoClient[Any], size: int) -> None:
    """Prints the rows for one size."""
    database = client["newbi"]
    fill(database, size)
    uri = server.uri_for(database.name)
    plan, migrate = told(uri, "plan"), told(uri, "migrate")
    least = bound(database)
    row("bound: insert_many of what is created", size, least, least)
    row("plan", size, plan["seconds"], least, plan["peak"])
    row("migrate, plan included", size, migrate["seconds"], least, migrate["peak"])
    for phase in ("users", "documents", "rescan", "indexes"):
        row(f"  {phase}", size, migrate["phases"][phase], least)
    back = told(uri, "rollback")
    row("rollback", size, back["seconds"], least, back["peak"])
    for phase, taken in back["phases"].items():
        row(f"  {phase}", size, taken, least)
    left = sum(database[name].count_documents({}) for name in BETTER_AUTH)
    if left:
        raise SystemExit(f"{left} documents were not taken back.")
    client.drop_database(database.name)


def main() -> None:
    """Builds databases, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--replica-set", action="store_true")
    parser.add_argument("--child", metavar="URI", help=argparse.SUPPRESS)
    parser.add_argument("--command", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asyncio.run(command(asked.child, asked.command))))
        return
    with (
        EmbeddedMongod(replica_set=asked.replica_set) as server,
        MongoClient[Any](server.uri) as client,
    ):
        release = ".".join(map(str, server.version))
        kind = "replica set" if asked.replica_set else "standalone"
        print(f"MongoDB {release}, {kind}")
        print(HEADINGS)
        for size in asked.users:
            measure(server, client, size)


if __name__ == "__main__":
    main()
