"""Another application's collections: orders have an ownerId, and get a tenantId.

    python examples/own_registry.py

A registry describes each collection once, as data; plan, run, validation, rollback and reports
follow. It runs on a database of its own that is gone afterwards, like migrate_from_python.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.synchronous.database import Database

from newbi_migrate import (
    CollectionSpec,
    IdType,
    IndexSpec,
    Migration,
    ParentLink,
    Registry,
    UniqueKey,
)
from newbi_migrate.testing import mongodb_server

SHOP = Registry(
    [
        CollectionSpec(
            "orders",
            owner_field="ownerId",
            workspace_type=IdType.OBJECT_ID,
            alias_fields=("approvedBy",),  # names a user too, without owning the document
            unique_keys=(UniqueKey(IndexSpec((("tenantId", 1), ("reference", 1)), unique=True)),),
            indexes=(IndexSpec((("tenantId", 1), ("createdAt", -1))),),
        ),
        # A line belongs to whomever its order belongs to, and stores the tenant as text.
        CollectionSpec(
            "orderLines",
            owner_field=None,
            workspace_type=IdType.STRING,
            parent=ParentLink("orderId", "orders"),
        ),
    ],
    workspace_field="tenantId",
    legacy_candidates=("people",),
)


def build(database: Database[dict[str, Any]]) -> None:
    """Two people, an order of each with two lines, and an order that nobody owns."""
    people = [
        {"_id": ObjectId(), "email": f"{name}@exemple.fr", "profile": {"firstName": name}}
        for name in ("lea", "hugo")
    ]
    database["people"].insert_many(people)
    orders: list[dict[str, Any]] = [
        {"_id": ObjectId(), "ownerId": person["_id"], "reference": "A-1"} for person in people
    ]
    database["orders"].insert_many([*orders, {"reference": "A-2"}])
    database["orderLines"].insert_many(
        [{"orderId": order["_id"], "sku": sku} for order in orders for sku in ("pen", "ink")]
    )


async def migrate(uri: str) -> None:
    """Plans, applies, and tells what came of it."""
    async with Migration(uri, registry=SHOP) as migration:
        plan = await migration.plan()
        for found in plan.quarantine:
            print(f"quarantined: {found.collection} ({found.path}): {found.reason.value}")
        result = await migration.apply(plan)
        for name, summary in result.collections.items():
            print(f"{name}: {summary.stamped} of {summary.documents} got a tenant")


def main() -> None:
    """Makes a small shop up, migrates it, and shows two documents."""
    with mongodb_server() as uri, MongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()
        build(database)
        asyncio.run(migrate(uri))
        order = database["orders"].find_one({"tenantId": {"$exists": True}}) or {}
        line = database["orderLines"].find_one({"orderId": order["_id"]}) or {}
        print(f"same tenant: {line['tenantId'] == str(order['tenantId'])}")


if __name__ == "__main__":
    main()
