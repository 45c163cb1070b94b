"""In a backend on Beanie 1.30 and Motor: the same, with Motor's handle.

    python examples/backend_motor.py

Install newbi-migrate[motor] for it: without that extra, pip takes Beanie 2.

It runs on a database of its own that is gone afterwards, like migrate_from_python.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from newbi_migrate import Migration
from newbi_migrate.demo import build_legacy_database
from newbi_migrate.documents import Invoice, Member, Organization, create_indexes, init_documents
from newbi_migrate.testing import mongodb_server


async def backend(uri: str) -> None:
    """What a backend does with the client it has anyway."""
    client: Any = AsyncIOMotorClient(uri)
    database = client.get_default_database()

    # Inside, the migration always talks PyMongo's asynchronous API: from Motor's handle it takes
    # servers, credentials and options, and opens a connection of its own, which it closes.
    async with Migration(database) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)
    print(f"organizations: {result.created['organization']}")

    # The documents are Beanie's own, on Motor here; the code that uses them is the same.
    await init_documents(database, Invoice, Member, Organization)
    member = await Member.in_role("owner").first_or_none()
    if member is None:
        raise SystemExit("Nobody owns an organization.")
    organization = await Organization.get(member.organization_id)
    if organization is None:
        raise SystemExit("A membership in an organization that does not exist.")
    found = await Invoice.in_workspace(member).to_list()
    print(f"invoices of one workspace: {len(found)}")
    report = await create_indexes(database, Invoice, Member)
    print(f"indexes there: {len(report.built) + len(report.present)}")

    # The client is the backend's, and still open: the migration closed only its own.
    await database["invoices"].find_one({"workspaceId": organization.id})
    client.close()


def main() -> None:
    """Makes a small legacy database up and hands it to the backend."""
    with mongodb_server() as uri:
        with MongoClient[dict[str, Any]](uri) as client:
            build_legacy_database(
                client.get_default_database(), seed=1, users=5, documents_per_user=60
            )
        asyncio.run(backend(uri))


if __name__ == "__main__":
    main()
