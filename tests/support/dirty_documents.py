"""Migrate generated dirty documents by the million: none is lost, and none crashes anything.

``python tests/support/dirty_documents.py 1000000`` does so with so many, in databases of 25,000,
and notes it. Each database is planned, migrated and taken back, and some are validated; a checker
that shares no code with the package compares every byte of each document before and after.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from cycles import miscounted
from generated import Generated
from pymongo import MongoClient
from raw_conservation import Conservation, snapshot
from side_by_side import on_a_server, prove

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


def share(databases, documents):
    return on_a_server(databases, partial(survive, documents=documents))


def main(count):
    """So many documents, side by side; whether anything went wrong."""
    databases = range(-(-count // IN_A_DATABASE))
    documents = count // len(databases)
    return prove(
        "dirty documents",
        "dirty documents, none of them lost",
        documents * len(databases),
        databases,
        partial(share, documents=documents),
        ("documents", "wrong"),
    )


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["10000"])[0])))
