"""Migrate generated dirty documents by the million: none is lost, and none crashes anything.

``python tests/support/dirty_documents.py 1000000`` does so with so many, in databases of 25,000,
and notes it. Each database is planned, migrated and taken back, and some are validated; a checker
that shares no code with the package compares every byte of each document before and after.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from controlled_mongod import ControlledMongod
from cycles import miscounted
from generated import Generated
from pymongo import MongoClient
from raw_conservation import Conservation, snapshot
from survived import record

from newbi_migrate.migration.facade import Migration

IN_A_DATABASE = 25_000
# A validation looks up where each violation comes from, and here half of the documents are one.
VALIDATED = 20


async def survive(uri, seed, documents):
    """Take one database through every command; what went wrong, in lines."""
    with MongoClient(uri) as client:
        database = client.get_default_database()
        Generated(f"dirty {seed}", users=max(4, documents // 100), documents=documents).fill(
            database
        )
        before = snapshot(database)
        there = sum(len(before.get(name, {})) for name in before if name not in _PEOPLE)
        async with Migration(uri) as migration:
            await migration.plan()
            result = await migration.apply()
            found = Conservation(before, snapshot(database))
            wrong = [*found.wrong, *miscounted(found, result)]
            if seed % VALIDATED == 0:
                await migration.validate()
            if result.run_id is not None:
                await migration.rollback()
        after = snapshot(database)
        wrong += [
            f"{name}: {len(differing)} documents are not what they were, such as {differing[0]}"
            for name in before.keys() | after.keys()
            if (differing := _differing(before.get(name, {}), after.get(name, {})))
        ]
        if there != documents:
            wrong.append(f"{there} documents were made, and not {documents}")
        client.drop_database(database.name)
    return [f"seed {seed}: {line}" for line in wrong]


_PEOPLE = {"Users", "user", "account", "organization", "member"}


def _differing(before, after):
    return sorted(i for i in before.keys() | after.keys() if before.get(i) != after.get(i))


def share(databases, documents=IN_A_DATABASE):
    """Some of the databases, on a server of their own; what went wrong."""
    wrong = []
    with ControlledMongod() as server:

        async def every():
            for seed in databases:
                try:
                    wrong.extend(await survive(server.uri_for(f"dirty_{seed}"), seed, documents))
                except Exception as error:  # noqa: BLE001  # told of, and the others go on
                    wrong.append(f"seed {seed}: {error!r}")

        asyncio.run(every())
    return wrong


def main(count):
    """So many documents, side by side; what went wrong, and how long it took."""
    began = time.monotonic()
    databases = range(-(-count // IN_A_DATABASE))
    documents = count // len(databases)
    parts = min(len(databases), os.cpu_count() or 1)
    with ProcessPoolExecutor(parts) as pool:
        work = partial(share, documents=documents)
        shares = [databases[part::parts] for part in range(parts)]
        wrong = [line for lines in pool.map(work, shares) for line in lines]
    took = time.monotonic() - began
    counts = {} if wrong else {"dirty documents, none of them lost": documents * len(databases)}
    record("dirty documents", counts=counts, failed=wrong[:20], seconds=took)
    said = f"{documents * len(databases):,} documents, {len(wrong)} wrong, {took:.0f} s\n"
    sys.stdout.write("\n".join([*wrong[:20], said]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["10000"])[0])))
