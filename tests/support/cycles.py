"""Migrate generated databases and take them back, each compared byte for byte.

``python tests/support/cycles.py 5000`` goes through so many and notes it; the suite through a few.
After the migration a checker that shares no code with the package says what is wrong with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from fingerprints import changes, fingerprint
from generated import Generated
from pymongo import AsyncMongoClient, MongoClient
from raw_conservation import Conservation, snapshot
from side_by_side import on_a_server, prove

from newbi_migrate.migration.facade import Migration


async def cycle(uri, seed, **size):
    """Migrate one database and take it back; what was not as it should be, in lines."""
    with MongoClient(uri) as client:
        database = client.get_default_database()
        Generated(seed, **size).fill(database)
        before, print_before = snapshot(database), fingerprint(database)
        async with (
            AsyncMongoClient(uri) as driver,
            Migration(driver.get_default_database()) as migration,
        ):
            result = await migration.apply()
            found = Conservation(before, snapshot(database))
            wrong = [*found.wrong, *miscounted(found, result)]
            if seed % 10 == 0 and (await migration.apply()).run_id is not None:
                wrong.append("a second run wrote something")
            if result.run_id is not None:
                await migration.rollback()
        wrong += changes(print_before, fingerprint(database, run_records=False))
        client.drop_database(database.name)
    return [f"seed {seed}: {line}" for line in wrong]


def miscounted(found, result):
    """What a run says it did, where it is another than what was done."""
    wrong = [
        f"{name}: created {found.created[name]}, said {result.created.get(name)}"
        for name in TARGETS
        if found.created[name] != result.created.get(name, 0)
    ]
    for name, said in result.collections.items():
        counted = said.documents, said.pending, said.stamped, said.owners_rewritten
        there = len(found.before.get(name, {})), found.written[name], found.stamped[name]
        if counted != (*there, found.rewritten[name]):
            wrong.append(f"{name}: said {counted}, found {(*there, found.rewritten[name])}")
    return wrong


TARGETS = ("user", "account", "organization", "member")


def share(seeds):
    return on_a_server(seeds, cycle)


def main(count):
    """That many cycles, side by side; whether anything was wrong."""
    kind = "cycles of migrate and rollback"
    return prove("cycles", kind, count, range(count), share, ("cycles", "wrong"))


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["100"])[0])))
