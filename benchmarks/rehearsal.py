"""A rehearsal beside the same steps taken one by one, on one server.

    python benchmarks/rehearsal.py --documents 200000

Both restore the same backup into an empty database of the same server, which is started before.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bulk import bulk_invoices, bulk_owners
from pymongo import MongoClient

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.rehearsal.scratch import scratch_server
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.migration.run.backup_guard import BackupGuard
from newbi_migrate.testing import EmbeddedMongod

USERS = 2000
COPY = "rehearsal"


async def make_backup(folder: Path, documents: int) -> Path:
    """A backup of a made-up database, on a server that is gone afterwards."""
    with EmbeddedMongod() as server, MongoClient[dict[str, Any]](server.uri) as client:
        owners = bulk_owners(min(USERS, documents))
        users = [{"_id": o, "email": f"person.{n}@example.com"} for n, o in enumerate(owners)]
        client["newbi"]["Users"].insert_many(users)
        for batch in bulk_invoices(documents, owners):
            client["newbi"]["invoices"].insert_many(batch, ordered=False)
        async with Migration(server.uri_for("newbi")) as migration:
            return (await migration.backup(folder)).path


async def by_hand(backup: Path, uri: str) -> float:
    """The seconds that the steps take one by one."""
    begun = time.perf_counter()
    await verify_backup(backup)
    await restore_backup(backup, uri)
    guard = BackupGuard(backup, copy=True)
    async with Migration(uri, backup_guard=guard) as migration:
        await migration.doctor(watch=0)
        plan = await migration.plan()
        await migration.apply(plan)
        await migration.validate(unchanged=True)
        await migration.indexes(apply=True)
        await migration.rollback_all()
        await compare_backup(backup, uri)
        await migration.apply()
        await migration.finalize(keep=True, dry_run=True)
    return time.perf_counter() - begun


async def measure(documents: int, times: int) -> None:
    """Prints both, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backup = await make_backup(folder, documents)
        with scratch_server(folder) as server, MongoClient[dict[str, Any]](server.uri) as client:
            uri = server.uri_for(COPY)
            hands, rehearsals = [], []
            for _ in range(times):
                hands.append(await by_hand(backup, uri))
                client.drop_database(COPY)
                begun = time.perf_counter()
                async with Migration(uri) as migration:
                    rehearsal = await migration.rehearse(backup, work_dir=folder)
                rehearsals.append(time.perf_counter() - begun)
            if rehearsal.exit_code:
                raise SystemExit(f"The rehearsal was no go: {rehearsal.steps[-1]}")
    for step in rehearsal.steps:
        print(f"  {step.name.value:<40}{step.seconds:>10.1f}")
    print(f"{'the steps one by one':<42}{median(hands):>10.1f}")
    print(f"{'rehearse':<42}{median(rehearsals):>10.1f}")
    print(f"{'ratio':<42}{median(rehearsals) / median(hands):>10.2f}")


def main() -> None:
    """Reads the options, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=1, help="the median of so many is shown")
    asked = parser.parse_args()
    asyncio.run(measure(asked.documents, asked.times))


if __name__ == "__main__":
    main()
