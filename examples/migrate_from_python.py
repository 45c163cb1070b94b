"""Migrate from a Python program: look, plan, decide, apply, and follow what is going on.

    python examples/migrate_from_python.py

It runs on a database of its own that is gone afterwards: on a server it starts itself, or in a
database with a random name on the server that MONGODB_URI names.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo import MongoClient

from newbi_migrate import Migration, MigrationOptions
from newbi_migrate.demo import build_legacy_database
from newbi_migrate.testing import mongodb_server


class Events:
    """A listener: the library prints nothing, so a program shows what it likes, where it likes."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins, and how much it has to do."""
        print(f"  {name}" if total is None else f"  {name}: {total} to go")

    def advance(self, amount: int, detail: str = "") -> None:
        """So many more are done; a progress bar would move here."""

    def note(self, sentence: str) -> None:
        """Something a person should read at once."""
        print(f"  note: {sentence}")


async def migrate(uri: str) -> None:
    """What a program of yours would do with its own connection string."""
    options = MigrationOptions(batch_size=10_000, workers=2)
    async with Migration(uri, options=options, progress=Events()) as migration:
        # A survey only looks: where the legacy users are, and how much there is of everything.
        survey = await migration.survey()
        print(f"{survey.legacy_users} legacy users in {survey.source}")

        # A plan decides everything and sends no write command. Read it before you go on.
        plan = await migration.plan()
        for document in plan.quarantine:
            print(f"quarantined: {document.collection} {document.id}: {document.reason.value}")
        if len(plan.quarantine) > 10:
            raise SystemExit("Too much would be quarantined; settle that first.")

        # The run writes what the plan names. Interrupted, the same call finishes it.
        result = await migration.apply(plan)
        stamped = sum(summary.stamped for summary in result.collections.values())
        print(f"{result.created['organization']} organizations, {stamped} documents stamped")

        # Again changes nothing: there is no second run.
        again = await migration.apply()
        print(f"a second run was needed: {again.run_id is not None}")


def main() -> None:
    """Makes a small legacy database up and migrates it."""
    with mongodb_server() as uri:
        with MongoClient[dict[str, Any]](uri) as client:
            build_legacy_database(
                client.get_default_database(), seed=1, users=5, documents_per_user=20
            )
        asyncio.run(migrate(uri))


if __name__ == "__main__":
    main()
