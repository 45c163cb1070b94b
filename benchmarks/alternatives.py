"""Other ways to put a workspace on documents, against the server's own bound, in one run.

    python benchmarks/alternatives.py --documents 50000

All of them are given what the migration finds out: who owns which organization. None of them
looks at what stands there, keeps what did, or can be taken back. Their indexes are built before
the clock starts. Beanie's way is its own decorator, without a transaction.
"""

# Annotations are not postponed in this module: Beanie's decorator reads them as classes.
import argparse
import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import beanie
from beanie import Document, PydanticObjectId, iterative_migration
from bson import ObjectId
from bulk import bulk_invoices
from pydantic import ConfigDict
from pymongo import AsyncMongoClient, MongoClient, UpdateMany, UpdateOne
from pymongo.synchronous.database import Database
from stamping import HEADINGS, bound, copied, old_way, ours, row, seconds

from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.testing import EmbeddedMongod

Homes = Mapping[ObjectId, ObjectId]


def by_owner(database: Database[Any], homes: Homes) -> float:
    """One UpdateMany for each owner, who is found by an index."""
    invoices = database["invoices"]
    invoices.create_index("createdBy")
    operations = [
        UpdateMany({"createdBy": owner, "workspaceId": None}, {"$set": {"workspaceId": home}})
        for owner, home in homes.items()
    ]
    return seconds(lambda: invoices.bulk_write(operations, ordered=False))


def by_id(database: Database[Any], homes: Homes) -> float:
    """One cursor over everything, and one UpdateOne for each document, a thousand at once."""
    invoices = database["invoices"]

    def loop() -> None:
        operations = []
        for found in invoices.find({"workspaceId": None}, {"createdBy": 1}):
            change = {"$set": {"workspaceId": homes[found["createdBy"]]}}
            operations.append(UpdateOne({"_id": found["_id"]}, change))
            if len(operations) == 1000:
                invoices.bulk_write(operations, ordered=False)
                operations = []
        if operations:
            invoices.bulk_write(operations, ordered=False)

    return seconds(loop)


class Before(Document):
    """An invoice, of which the migration knows the owner and keeps the rest."""

    model_config = ConfigDict(extra="allow")

    createdBy: PydanticObjectId  # noqa: N815  # as stored

    class Settings:
        """Where it is stored."""

        name = "invoices"


class After(Before):
    """The same with a workspace."""

    workspaceId: PydanticObjectId  # noqa: N815  # as stored

    class Settings:
        """Where it is stored."""

        name = "invoices"


def by_model(uri: str, homes: Homes) -> float:
    """Beanie's iterative migration: every document through a model, and replaced."""

    @iterative_migration()  # type: ignore[untyped-decorator]
    async def stamp(input_document: Before, output_document: After) -> None:
        output_document.workspaceId = PydanticObjectId(homes[input_document.createdBy])

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            await beanie.init_beanie(
                database=client.get_default_database(), document_models=[Before, After]
            )
            await stamp.run(session=None)

    return seconds(lambda: asyncio.run(run()))


def main() -> None:
    """Builds a database, measures each way on a fresh copy, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--owners", type=int, default=2_000)
    asked = parser.parse_args()
    size = asked.documents
    with EmbeddedMongod() as server, MongoClient[Any](server.uri) as client:
        database = client["newbi"]
        legacy = LegacyDatabase(seed=1, users=asked.owners)
        homes = {owner: organization_id(owner) for owner in [user["_id"] for user in legacy.users]}
        database["Users"].insert_many(legacy.users)
        for batch in bulk_invoices(size, [user["_id"] for user in legacy.users], seed=1):
            database["invoices"].insert_many(batch, ordered=False)
        print(f"{asked.owners:,} owners, MongoDB {'.'.join(map(str, server.version))}")
        print(HEADINGS)
        least = bound(database, size)
        row("bound: one update_many to a constant", size, least, least)
        told = ours(database, server.uri_for(""), size, 2)
        row("newbi-migrate, 2 workers, with its journal", size, told["documents"], least)
        ways: dict[str, Callable[[Database[Any]], float]] = {
            "update_many per owner, by an index": lambda copy: by_owner(copy, homes),
            "one cursor, UpdateOne by _id": lambda copy: by_id(copy, homes),
            "Beanie's iterative migration": lambda copy: by_model(server.uri_for(copy.name), homes),
        }
        for words, way in ways.items():
            with copied(database, size) as copy:
                taken = way(copy)
                stamped = copy["invoices"].count_documents({"workspaceId": {"$type": "objectId"}})
            if stamped != size:
                raise SystemExit(f"{words}: of {size} documents {stamped} were stamped.")
            row(words, size, taken, least)
        row("find 100, write them, again", size, old_way(database, size), least)


if __name__ == "__main__":
    main()
