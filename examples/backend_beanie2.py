"""In a backend on Beanie 2: its own database handle, for the migration and for the new models.

    python examples/backend_beanie2.py

It runs on a database of its own that is gone afterwards, like migrate_from_python.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError
from pymongo import AsyncMongoClient

from newbi_migrate import Migration
from newbi_migrate.documents.odm import Invoice, Member, Organization, Product, init_models
from newbi_migrate.testing import build_legacy_database_async, mongodb_server


async def backend(uri: str) -> None:
    """What a backend does with the client it has anyway; here, on a database made up for it."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()
        await build_legacy_database_async(database, seed=1, users=5, documents_per_user=60)

        # The handle stays yours: the migration neither closes it nor changes its options.
        async with Migration(database) as migration:
            await migration.apply()

        # Connects the documents this backend uses; builds no index and no collection.
        await init_models(database, Invoice, Member, Organization, Product)
        member = await Member.find_one(Member.role == "owner")
        if member is None:
            raise SystemExit("Nobody owns an organization.")
        workspace = member.organization_id
        found = await Invoice.find(Invoice.workspace_id == workspace).to_list()
        print(f"invoices of one workspace: {len(found)}")

        # Reading is tolerant: a stored document that breaks a rule is read all the same, and
        # `violations` says what it breaks.
        broken = [rule for invoice in found for rule in Invoice.violations(invoice.to_document())]
        print(f"rules that stored invoices break: {len(broken)}")

        # Construction is strict: a new document that breaks a rule is not made.
        try:
            Product(name="Conseil", unit_price=-1, vat_rate=20, unit="heure")
        except ValidationError as error:
            paths = sorted(".".join(map(str, each["loc"])) for each in error.errors())
            print(f"refused: {', '.join(paths)}")
        product = Product(
            name="Conseil",
            unit_price=90,
            vat_rate=20,
            unit="heure",
            workspace_id=workspace,
            created_by=member.user_id,
        )
        await product.insert()
        count = await Product.find(Product.workspace_id == workspace).count()
        print(f"products of the workspace, with the new one: {count}")


if __name__ == "__main__":
    with mongodb_server() as own:
        asyncio.run(backend(own))
