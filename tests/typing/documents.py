"""Uses of the documents that only the type checkers run; nothing here is executed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bson import ObjectId

from newbi_migrate import Violation
from newbi_migrate.documents import (
    Address,
    ClientSnapshot,
    CompanySnapshot,
    IndexReport,
    Invitation,
    Invoice,
    Item,
    Member,
    Product,
    create_indexes,
    descending,
    init_documents,
)
from newbi_migrate.documents.billing import Invoice as PlainInvoice
from newbi_migrate.documents.scalars import Text


class OurInvoice(Invoice):
    """A host adds a field."""

    project: Text | None = None


class OurArchive(Invoice):
    """A host has a collection of its own."""

    class Settings:
        """As Beanie has it."""

        name = "archive"


def a_backend_makes_an_invoice(member: Member) -> Invoice:
    address = Address(street="1, rue de la Paix", city="Paris", postal_code="75002")
    return Invoice(
        company_info=CompanySnapshot(name="Newbi", address=address),
        client=ClientSnapshot(email="anne@roy.fr", address=address, first_name="Anne"),
        items=[Item(description="Conseil", quantity=1, unit_price=2.5, vat_rate=20)],
        total_ht=2.5,
        workspace_id=member.organization_id,
        created_by=member.user_id,
    )


def a_backend_uses_its_own(invoice: OurInvoice) -> str | None:
    invoice.project = "Site"
    return invoice.project


async def a_backend_finds(member: Member, text: str, identifier: ObjectId) -> list[Invoice]:
    newest: list[Invoice] = (
        await Invoice.in_workspace(member)
        .find(Invoice.status == "PENDING")
        .sort(descending(Invoice.created_at))
        .to_list()
    )
    one: OurInvoice | None = await OurInvoice.in_workspace(text).first_or_none()
    products: list[Product] = await Product.in_workspace(identifier).to_list()
    owners: list[Member] = await Member.in_role("owner").to_list()
    return newest if products and owners and one is not None else []


async def a_backend_looks_and_saves(invoice: Invoice) -> list[str]:
    found: list[Violation] = invoice.violations()
    issued: datetime = invoice.issue_date
    total: float | None = invoice.total_ht
    lines: list[Item] = invoice.items
    invoice.due_date = issued
    saved: Invoice = await invoice.save()
    inserted: Invoice = await saved.insert()
    words = [f"{total} {len(lines)} {inserted.status}"]
    return [
        *words,
        *(f"{violation.rule} {violation.path} {violation.severity}" for violation in found),
    ]


async def a_backend_starts(database: Any) -> IndexReport:
    await init_documents(database, Invoice, Member)
    return await create_indexes(database, Invoice, "member")


def a_member_invites(member: Member) -> Invitation:
    owns: bool = member.is_owner
    return Invitation(
        organization_id=member.organization_id,
        email="a@b.fr",
        inviter_id=member.user_id,
        role="admin" if owns else "member",
    )


def a_script_reads_without_a_database(document: dict[str, Any]) -> dict[str, Any]:
    invoice: PlainInvoice = PlainInvoice.load(document)
    found: list[Violation] = PlainInvoice.violations_of(document)
    return {**invoice.to_document(), "violations": len(found)}


def code_without_a_database(invoice: PlainInvoice) -> float:
    return sum(item.quantity * item.unit_price for item in invoice.items)


def either_invoice_will_do(stored: Invoice, plain: PlainInvoice) -> list[float]:
    return [code_without_a_database(stored), code_without_a_database(plain)]


def wrong_names_and_types_are_refused(invoice: Invoice, plain: PlainInvoice) -> None:
    invoice.due_dat = None  # type: ignore[attr-defined]
    invoice.client.adress = None  # type: ignore[attr-defined]
    invoice.total_ht = "900"  # type: ignore[assignment]
    invoice.items[0].vat_rate = "20"  # type: ignore[assignment]
    Item(descripton="x", quantity=1, unit_price=1, vat_rate=0)  # type: ignore[call-arg]
    Item(description="x", quantity="1", unit_price=1, vat_rate=0)  # type: ignore[arg-type]
    plain.insert()  # type: ignore[attr-defined]
