"""Validating many documents, against one raw read of them, in one run.

    python benchmarks/validating.py --documents 1000000 --owners 2000

The invoices are whole, 2,500 bytes each, with every snapshot a real one has, and are migrated
first. The bound is a raw read of all collections: every byte of every document is fetched, and
none is decoded. The structural rules are asked together, and so are the rules of the models. Then
all is measured again with three documents in ten that have the workspace of others, and a status
and an e-mail that are none.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from typing import Any

from bulk import bulk_invoices
from pymongo import MongoClient
from pymongo.synchronous.database import Database

from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.validation.report import ValidationReport
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.testing import EmbeddedMongod


def raw_read(database: Database[Any]) -> float:
    """Seconds to fetch every document of every collection, without decoding any."""
    begun = time.perf_counter()
    for name in database.list_collection_names():
        if not name.startswith("newbi_migrate_"):
            for _ in database[name].find_raw_batches({}, batch_size=1000):
                pass
    return time.perf_counter() - begun


def megabytes() -> float:
    """The greatest memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


async def validate(uri: str, workers: int, *only: str) -> tuple[float, ValidationReport]:
    """Validates; gives the seconds it took, and the report."""
    async with Migration(uri, options=MigrationOptions(workers=workers)) as migration:
        begun = time.perf_counter()
        report = await migration.validate(only=only)
        return time.perf_counter() - begun, report


async def migrate(uri: str) -> None:
    """Migrates."""
    async with Migration(uri) as migration:
        await migration.apply()


def break_some(database: Database[Any]) -> None:
    """Breaks two rules of the model and one about workspaces in three documents of ten."""
    elsewhere = database["organization"].find_one({}, {"_id": 1}) or {}
    broken = {"status": "NONE", "client.email": "none", "workspaceId": elsewhere["_id"]}
    database["invoices"].update_many({"number": {"$regex": "[0-2]$"}}, {"$set": broken})


def measure(
    database: Database[Any],
    uri: str,
    asked: argparse.Namespace,
    model_rules: list[str],
    which: str = "",
) -> None:
    """Measures and prints."""
    seconds: dict[str, list[float]] = {}
    for _ in range(asked.repeats):
        # One after the other, so that a busy moment of the machine touches all alike.
        seconds.setdefault("read", []).append(raw_read(database))
        taken, structure = asyncio.run(validate(uri, asked.workers, *STRUCTURAL))
        seconds.setdefault("structure", []).append(taken)
        taken, models = asyncio.run(validate(uri, asked.workers, *model_rules))
        seconds.setdefault("models", []).append(taken)
    bound = statistics.median(seconds["read"])
    for name, words in (
        ("read", "one raw read of all collections"),
        ("structure", f"{structure.checked} structural rules"),
        ("models", f"{models.checked} rules of models, {asked.workers} workers"),
    ):
        middle = statistics.median(seconds[name])
        print(f"{which + words:<65}{middle:8.2f} s   {middle / bound:.2f}")
    violations = sum(result.count for result in (*structure.results, *models.results))
    print(f"{which + 'violations':<65}{violations:8}")


def main() -> None:
    """Builds a database, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--owners", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=2_500, help="bytes of an invoice")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with EmbeddedMongod() as server, MongoClient[Any](server.uri) as client:
        database = client["newbi"]
        legacy = LegacyDatabase(seed=1, users=asked.owners)
        database["Users"].insert_many(legacy.users)
        owners = [user["_id"] for user in legacy.users]
        for batch in bulk_invoices(asked.documents, owners, size=asked.size, seed=1):
            database["invoices"].insert_many(batch, ordered=False)
        uri = server.uri_for("newbi")
        asyncio.run(migrate(uri))
        release = ".".join(map(str, server.version))
        print(f"{asked.documents:,} documents of {asked.owners:,} owners on MongoDB {release}")
        model_rules = sorted(
            {rule.id for spec in NEWBI if spec.model for rule in spec.model.declared_rules()}
        )
        before = megabytes()
        measure(database, uri, asked, model_rules)
        break_some(database)
        measure(database, uri, asked, model_rules, "three documents in ten broken: ")
        print(f"{'peak memory of the client':<65}{megabytes():8.0f} MB (before {before:.0f})")


if __name__ == "__main__":
    main()
