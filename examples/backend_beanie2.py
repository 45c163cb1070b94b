"""In a backend on Beanie 2: its own database handle, for the migration and for the new documents.

    python examples/backend_beanie2.py

It runs on a database of its own that is gone afterwards, like migrate_from_python.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from beanie import Update, after_event
from pydantic import ValidationError
from pymongo import AsyncMongoClient, MongoClient

from newbi_migrate import Migration
from newbi_migrate.demo import build_legacy_database
from newbi_migrate.documents import (
    Client,
    Invitation,
    Invoice,
    Item,
    Member,
    Organization,
    create_indexes,
    descending,
    init_documents,
)
from newbi_migrate.documents.scalars import Text
from newbi_migrate.testing import mongodb_server


class OurInvoice(Invoice):
    """An invoice with a field that this application has and the package does not know."""

    project: Text | None = None

    @after_event(Update)
    async def count_for_client(self) -> None:
        """Hooks may read and write other documents."""
        client = await Client.in_workspace(self.workspace_id).first_or_none()
        if client is not None:
            await client.save()


def reasons(error: ValidationError) -> str:
    """The paths and the rules of what was refused."""
    return ", ".join(
        f"{'.'.join(map(str, each['loc']))} ({each['type']})" for each in error.errors()
    )


async def backend(uri: str) -> None:
    """What a backend does with the client it has anyway."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()

        # The handle stays yours: the migration neither closes it nor changes its options.
        async with Migration(database) as migration:
            await migration.apply()

        # Connects the documents this backend uses; builds no index and no collection.
        await init_documents(database, OurInvoice, Client, Invitation, Member, Organization)
        report = await create_indexes(database, OurInvoice, Client, Member)
        print(f"indexes there: {len(report.built) + len(report.present)}")
        for obstacle in report.obstacles:
            print(f"{obstacle.collection}.{obstacle.index.name}: {obstacle.reason}")

        member = await Member.in_role("owner").first_or_none()
        if member is None or not member.is_owner:
            raise SystemExit("Nobody owns an organization.")

        # A member stands for the workspace, and so does its id as an ObjectId or as text.
        found = await OurInvoice.in_workspace(member).sort(descending(Invoice.created_at)).to_list()
        print(f"invoices of one workspace: {len(found)}")

        # Reading is tolerant: a stored document that breaks a rule is read all the same.
        broken = [violation for invoice in found for violation in invoice.violations()]
        print(f"rules that stored invoices break: {len(broken)}")

        # Making a new document is strict. Wrong names are refused, in Python by the type checker.
        template = next(invoice for invoice in found if not invoice.violations())
        try:
            Item.model_validate({"descripton": "Conseil", "quantity": 1, "unitPrice": 0})
        except ValidationError as error:
            print(f"refused: {reasons(error)}")
        invoice = OurInvoice(
            company_info=template.company_info,
            client=template.client,
            items=[Item(description="Conseil", quantity=2, unit_price=90, vat_rate=20)],
            workspace_id=member.organization_id,
            created_by=member.user_id,
            project="Site",
        )
        await invoice.insert()
        print(f"made: {invoice.status}, issued in {invoice.issue_year}")

        # Assigning checks nothing but names, so that two fields can be moved one after the other;
        # saving refuses what breaks a rule that held before.
        invoice.status = "PENDING"
        try:
            await invoice.save()
        except ValidationError as error:
            print(f"not saved: {reasons(error)}")
        invoice.number = "2026-000042"
        await invoice.save()

        invitation = Invitation(
            organization_id=member.organization_id,
            email="nouvelle@exemple.fr",
            role="member",
            inviter_id=member.user_id,
        )
        await invitation.insert()
        print(f"invited until {invitation.expires_at:%Y-%m-%d}")


if __name__ == "__main__":
    with mongodb_server() as own:
        with MongoClient[dict[str, Any]](own) as maker:
            build_legacy_database(
                maker.get_default_database(), seed=1, users=5, documents_per_user=60
            )
        asyncio.run(backend(own))
