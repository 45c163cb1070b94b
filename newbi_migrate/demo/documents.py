"""One legacy document of each collection, as Newbi's Mongoose models wrote it.

Field names and their order, defaults, the ``_id`` of embedded documents and the mixture of doubles
and 32-bit integers are those of the application; no document has a workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.demo.people import (
    PASSWORDS,
    address,
    bank_details,
    company,
    email_of,
    object_id,
    person,
    siret,
    vat_number,
)

__all__ = ["FACTORIES", "FactoryContext", "make_user"]

_Document = dict[str, Any]
_CODE: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_WORK: Final = (
    "Prestation de conseil",
    "Développement d'une page",
    "Pose de menuiseries (2 fenêtres)",
    "Maintenance annuelle",
    "Formation à l'outil",
    "Création d'un logo",
)


@dataclass(frozen=True)
class FactoryContext:
    """What is known of a document before it is made.

    Attributes:
        rng: Source of everything that is left to chance.
        id: The document's ``_id``.
        user: The legacy user who owns it.
        number: How many documents of the collection the user had before, plus one.
        when: When it was created, UTC.
        links: Ids of other documents, by the field that names them.
    """

    rng: Random
    id: ObjectId
    user: Mapping[str, Any]
    number: int
    when: datetime
    links: Mapping[str, Any]

    @property
    def owner(self) -> ObjectId:
        """The ``_id`` of the user."""
        owner: ObjectId = self.user["_id"]
        return owner

    def embedded(self, fields: Mapping[str, Any]) -> _Document:
        """The fields and an ``_id`` of their own, at the end as Mongoose writes it."""
        return {**fields, "_id": object_id(self.rng, int(self.when.timestamp()))}

    def amount(self, low: int, high: int) -> int | float:
        """A number as JavaScript stores it: whole ones as int32, sometimes as a double."""
        value = self.rng.randint(low * 100, high * 100) / 100
        if self.rng.random() < 0.5:
            whole = int(value)
            return float(whole) if self.rng.random() < 0.2 else whole
        return value

    def stored(self, fields: Mapping[str, Any]) -> _Document:
        """The document: its ``_id``, its fields, and what Mongoose adds at the end."""
        return {
            "_id": self.id,
            **fields,
            "createdAt": self.when,
            "updatedAt": self.when + timedelta(seconds=self.rng.randint(0, 900_000)),
            "__v": 0,
        }


def make_user(rng: Random, identifier: ObjectId, number: int) -> _Document:
    """A legacy user with a unique address, phone number and referral code."""
    when = identifier.generation_time + timedelta(milliseconds=rng.randint(0, 999))
    first, last = person(rng)
    email = email_of(first, last, number, rng)
    phone = f"06{number:08d}"
    firm = company(rng, last, phone, email)
    if number % 5 == 2:
        # Whoever never opened the settings has the schema's defaults alone.
        firm = {
            "transactionCategory": "SERVICES",
            "vatPaymentCondition": "NONE",
            "companyStatus": "AUTRE",
        }
    elif number % 5 == 4:
        del firm["address"], firm["bankDetails"]
    for part in ("address", "bankDetails"):
        if part in firm:
            firm[part] = {**firm[part], "_id": object_id(rng, int(when.timestamp()))}
    user: _Document = {
        "_id": identifier,
        "email": email,
        "password": list(PASSWORDS.values())[number % len(PASSWORDS)],
        "isEmailVerified": number % 4 != 1,
        "isDisabled": number % 11 == 10,
        "subscription": {"licence": True, "trial": number % 2 == 0},
        "profile": {"firstName": first, "lastName": last, "phone": phone},
        "company": firm,
        "referralCode": "".join(rng.choices(_CODE, k=5)) + f"{number:03d}"[-3:],
        "referralEarnings": 0,
        "createdAt": when,
        "updatedAt": when + timedelta(days=rng.randint(0, 200)),
        "__v": 0,
    }
    if number % 3 == 0:
        user["subscription"]["stripeCustomerId"] = f"cus_{rng.getrandbits(64):016x}"
    if number % 2:
        picture = f"https://images.exemple.fr/profils/{identifier}.webp"
        user["profile"]["profilePictureUrl"] = picture
    return user


# -- what billing documents have in common ------------------------------------------------------


def _issuer(draft: FactoryContext) -> _Document:
    known = draft.user.get("company")
    firm = dict(known) if isinstance(known, Mapping) and "siret" in known else {}
    details = {
        "name": firm.get("name", "Atelier Exemple"),
        "email": firm.get("email", "contact@exemple.fr"),
        "phone": firm.get("phone", "0102030405"),
        "siret": firm.get("siret", "55210055400013"),
        "transactionCategory": firm.get("transactionCategory", "SERVICES"),
        "vatPaymentCondition": firm.get("vatPaymentCondition", "NONE"),
        "companyStatus": firm.get("companyStatus", "AUTRE"),
        "address": draft.embedded(address(draft.rng)),
    }
    for name in ("vatNumber", "capitalSocial", "rcs"):
        if name in firm:
            details[name] = firm[name]
    return draft.embedded(details)


def _customer(draft: FactoryContext) -> _Document:
    rng = draft.rng
    first, last = person(rng)
    place = draft.embedded(address(rng))
    common = {"email": email_of(first, last, rng.randint(1, 999), rng), "address": place}
    if rng.random() < 0.3:
        kind = {"type": "INDIVIDUAL", "firstName": first, "lastName": last}
        kind["name"] = f"{first} {last}"
    else:
        number = siret(rng)
        kind = {"type": "COMPANY", "name": f"Société {last}", "siret": number}
        kind["vatNumber"] = vat_number(number)
    return draft.embedded({**kind, **common, "hasDifferentShippingAddress": False})


def _items(draft: FactoryContext, sign: int = 1) -> list[_Document]:
    rng = draft.rng
    items = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rate = rng.choice((20, 10, 5.5, 20.0, 0))
        item = {
            "description": rng.choice(_WORK),
            "quantity": draft.amount(1, 9),
            "unitPrice": sign * draft.amount(10, 900),
            "vatRate": rate,
            "unit": rng.choice(("unité", "heure", "jour", "m²")),
            "discount": 0,
            "discountType": "PERCENTAGE",
        }
        if rate == 0:
            item["vatExemptionText"] = "TVA non applicable, art. 293 B du CGI"
        items.append(draft.embedded(item))
    return items


def _totals(items: list[_Document]) -> _Document:
    net = round(sum(item["quantity"] * item["unitPrice"] for item in items), 2)
    tax = round(
        sum(item["quantity"] * item["unitPrice"] * item["vatRate"] / 100 for item in items), 2
    )
    gross = round(net + tax, 2)
    return {
        "totalHT": net,
        "totalVAT": tax,
        "totalTTC": gross,
        "finalTotalHT": net,
        "finalTotalTTC": gross,
    }


def _appearance() -> _Document:
    return {"textColor": "#000000", "headerTextColor": "#000000", "headerBgColor": "#f8f9fa"}


def _prefix(kind: str, when: datetime) -> str:
    return f"{kind}-{when:%Y%m}-"


def _invoice(draft: FactoryContext) -> _Document:
    rng = draft.rng
    items = _items(draft)
    status = rng.choice(("DRAFT", "PENDING", "PENDING", "COMPLETED", "COMPLETED", "CANCELED"))
    fields: _Document = {
        "prefix": _prefix("F", draft.when),
        "number": f"{draft.number:06d}",
        "issueDate": draft.when,
        "executionDate": draft.when,
        "dueDate": draft.when + timedelta(days=30),
        "isDeposit": False,
        "depositAmount": 0,
        "items": items,
        "companyInfo": _issuer(draft),
        "client": _customer(draft),
        "status": status,
        "paymentMethod": rng.choice(("BANK_TRANSFER", "CARD", "CHECK")),
        "discount": 0,
        "discountType": "FIXED",
        "customFields": [],
        "showBankDetails": False,
        **_totals(items),
        "createdBy": draft.owner,
        "appearance": draft.embedded(_appearance()),
    }
    if status == "COMPLETED":
        fields["paymentDate"] = draft.when + timedelta(days=20)
    if rng.random() < 0.2:
        fields["customFields"] = [draft.embedded({"key": "Chantier", "value": "Bâtiment B, 2 €"})]
        fields["headerNotes"] = "Merci de votre confiance."
        fields["showBankDetails"] = True
        fields["bankDetails"] = draft.embedded(bank_details(rng))
    return draft.stored(fields)


def _quote(draft: FactoryContext) -> _Document:
    items = _items(draft)
    return draft.stored(
        {
            "prefix": _prefix("D", draft.when),
            "number": f"{draft.number:06d}",
            "issueDate": draft.when,
            "validUntil": draft.when + timedelta(days=60),
            "items": items,
            "companyInfo": _issuer(draft),
            "client": _customer(draft),
            "status": draft.rng.choice(("DRAFT", "PENDING", "COMPLETED")),
            "discount": 0,
            "discountType": "FIXED",
            "discountAmount": 0,
            "customFields": [],
            **_totals(items),
            "linkedInvoices": [],
            "createdBy": draft.owner,
        }
    )


def _credit_note(draft: FactoryContext) -> _Document:
    items = _items(draft, sign=-1)
    return draft.stored(
        {
            "prefix": _prefix("AV", draft.when),
            "number": f"{draft.number:06d}",
            "originalInvoice": draft.links["originalInvoice"],
            "originalInvoiceNumber": draft.links["originalInvoiceNumber"],
            "creditType": draft.rng.choice(("CORRECTION", "REFUND", "COMMERCIAL_GESTURE")),
            "issueDate": draft.when,
            "items": items,
            "companyInfo": _issuer(draft),
            "client": _customer(draft),
            "status": "CREATED",
            "refundMethod": "NEXT_INVOICE",
            "discount": 0,
            "discountType": "FIXED",
            "customFields": [],
            "showBankDetails": False,
            **_totals(items),
            "createdBy": draft.owner,
        }
    )


# -- the rest of the office ---------------------------------------------------------------------


def _client(draft: FactoryContext) -> _Document:
    snapshot = _customer(draft)
    del snapshot["_id"]
    return draft.stored(
        {
            **snapshot,
            "email": f"client{draft.number}.{snapshot['email']}",
            "phone": f"01{draft.rng.randint(0, 99_999_999):08d}",
            "createdBy": draft.owner,
        }
    )


def _expense(draft: FactoryContext) -> _Document:
    rng = draft.rng
    amount = draft.amount(3, 600)
    vendor = f"{rng.choice(('Papeterie', 'Garage', 'Hôtel'))} {person(rng)[1]}"
    file = {
        "filename": f"{draft.id}.pdf",
        "originalFilename": "reçu.pdf",
        "mimetype": "application/pdf",
        "path": f"/uploads/{draft.id}.pdf",
        "size": rng.randint(10_000, 900_000),
        "url": f"https://fichiers.exemple.fr/{draft.id}.pdf",
        "ocrProcessed": False,
        "ocrData": None,
    }
    dates = {"createdAt": draft.when, "updatedAt": draft.when}
    return draft.stored(
        {
            "title": f"Achat {draft.number}",
            "amount": amount,
            "currency": "EUR",
            "category": rng.choice(("OFFICE_SUPPLIES", "TRAVEL", "MEALS", "OTHER")),
            "date": draft.when,
            "vendor": vendor,
            "vatAmount": round(amount / 6, 2),
            "vatRate": 20,
            "isVatDeductible": True,
            "status": rng.choice(("DRAFT", "PENDING", "APPROVED", "PAID")),
            "paymentMethod": "CREDIT_CARD",
            "files": [{**draft.embedded(file), **dates}],
            "ocrMetadata": {"vendorName": vendor, "totalAmount": amount, "confidenceScore": 0.87},
            "tags": ["chantier"],
            "createdBy": draft.owner,
        }
    )


def _event(draft: FactoryContext) -> _Document:
    fields: _Document = {
        "title": f"Rendez-vous {draft.number}",
        "start": draft.when,
        "end": draft.when + timedelta(hours=1),
        "allDay": False,
        "color": draft.rng.choice(("sky", "amber", "rose")),
        "type": "MEETING",
        "userId": draft.owner,
    }
    if "invoiceId" in draft.links:
        fields |= {"type": "INVOICE_DUE", "invoiceId": draft.links["invoiceId"]}
    return draft.stored(fields)


def _transaction(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "externalId": f"tr_{draft.id}",
            "provider": "bridge",
            "type": draft.rng.choice(("payment", "transfer", "deposit")),
            "status": "completed",
            "amount": draft.amount(1, 4000),
            "currency": "EUR",
            "description": "VIREMENT SEPA",
            "userId": draft.owner,
            "processedAt": draft.when,
            "fees": {"amount": 0, "currency": "EUR", "provider": "bridge"},
            "metadata": {"categoryId": draft.rng.randint(1, 400), "deleted": False},
            "raw": {"clean_description": "Virement", "amount": draft.amount(1, 4000)},
        }
    )


def _bank_account(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "externalId": f"ac_{draft.id}",
            "provider": "bridge",
            "name": "Compte courant",
            "type": "checking",
            "status": "active",
            "balance": {"available": draft.amount(0, 9000), "currency": "EUR"},
            "userId": draft.owner,
        }
    )


def _api_metric(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "provider": "bridge",
            "endpoint": "/v3/aggregation/transactions",
            "method": "GET",
            "date": draft.when.replace(hour=0, minute=0, second=0, microsecond=0),
            "count": draft.rng.randint(1, 500),
        }
    )


def _ocr_document(draft: FactoryContext) -> _Document:
    amount = draft.amount(2, 300)
    return draft.stored(
        {
            "userId": draft.owner,
            "originalFileName": "ticket.jpg",
            "mimeType": "image/jpeg",
            "fileSize": draft.rng.randint(20_000, 3_000_000),
            "documentUrl": f"https://fichiers.exemple.fr/ocr/{draft.id}.jpg",
            "cloudflareKey": f"ocr/{draft.owner}/{draft.id}.jpg",
            "extractedText": "TOTAL TTC\nMERCI DE VOTRE VISITE",
            "rawOcrData": {"pages": [{"index": 0, "markdown": "# Ticket"}], "model": "ocr-1"},
            "legacyStructuredData": {
                "amount": amount,
                "date": f"{draft.when:%d/%m/%Y}",
                "merchant": "Boulangerie",
                "category": "divers",
                "paymentMethod": "CARD",
                "confidence": "medium",
            },
            "documentType": "receipt",
            "status": "completed",
            "processingMetadata": {"processedAt": draft.when, "processingDuration": 812},
            "usage": {"usedForExpense": False},
        }
    )


def _signature(draft: FactoryContext) -> _Document:
    first, last = person(draft.rng)
    return draft.stored(
        {
            "signatureName": f"Signature {draft.number}",
            "isDefault": draft.number == 1,
            "firstName": first,
            "lastName": last,
            "position": "Gérant",
            "email": "contact@exemple.fr",
            "address": "1 rue de la Paix, 75002 Paris",
            "primaryColor": "#2563eb",
            "layout": "horizontal",
            "columnWidths": {"photo": 25, "content": 75},
            "imageSize": 80,
            "imageShape": "round",
            "logoSize": 48,
            "fontFamily": "Arial, sans-serif",
            "fontSize": {"name": 16, "position": 14, "contact": 12},
            "createdBy": draft.owner,
        }
    )


def _settings(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "documentType": ("INVOICE", "QUOTE")[(draft.number - 1) % 2],
            "defaultHeaderNotes": "",
            "defaultFooterNotes": "Atelier Exemple\nSIRET 552 100 554 00013",
            "defaultTermsAndConditions": "Paiement à 30 jours.",
            "createdBy": draft.owner,
        }
    )


def _board(draft: FactoryContext) -> _Document:
    return draft.stored({"title": f"Tableau {draft.number}", "userId": draft.owner})


def _column(draft: FactoryContext) -> _Document:
    order = draft.links["order"]
    return draft.stored(
        {
            "title": ("À faire", "En cours", "Terminé")[order % 3],
            "color": "#64748b",
            "boardId": draft.links["boardId"],
            "order": order,
            "userId": draft.owner,
        }
    )


def _task(draft: FactoryContext) -> _Document:
    tag = {"name": "urgent", "className": "bg-red-100", "bg": "#fee2e2", "text": "#991b1b"}
    return draft.stored(
        {
            "title": f"Tâche {draft.number}",
            "description": "Rappeler le client",
            "status": draft.links["columnId"],
            "priority": draft.rng.choice(("low", "medium", "high")),
            "tags": [{**tag, "border": "#fecaca"}],
            "dueDate": draft.when + timedelta(days=7),
            "boardId": draft.links["boardId"],
            "columnId": draft.links["columnId"],
            "position": draft.number,
            "checklist": [draft.embedded({"text": "Appeler", "completed": False})],
            "userId": draft.owner,
        }
    )


def _bridge_account(draft: FactoryContext) -> _Document:
    return draft.stored(
        {"bridgeId": str(draft.id), "name": "Livret", "userId": draft.owner, "balance": 12.5}
    )


def _product(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "name": f"Produit {draft.number}",
            "description": draft.rng.choice(_WORK),
            "unitPrice": draft.amount(1, 500),
            "vatRate": 20,
            "unit": "heure",
            "reference": f"REF-{draft.number}",
            "createdBy": draft.owner,
        }
    )


# -- documents of a user, without a workspace ---------------------------------------------------


def _transfer(draft: FactoryContext) -> _Document:
    size = draft.rng.randint(1000, 90_000_000)
    file = {
        "originalName": "plans.zip",
        "fileName": f"{draft.id}.zip",
        "filePath": f"/transferts/{draft.id}.zip",
        "mimeType": "application/zip",
        "size": size,
        "storageType": "r2",
        "uploadedAt": draft.when,
    }
    return draft.stored(
        {
            "userId": draft.owner,
            "files": [draft.embedded(file)],
            "totalSize": size,
            "shareLink": f"part-{draft.id}",
            "downloadLink": f"tele-{draft.id}",
            "accessKey": f"{draft.rng.getrandbits(64):016x}",
            "expiryDate": draft.when + timedelta(days=7),
            "downloadCount": draft.rng.randint(0, 9),
            "status": "active",
            "uploadMethod": "direct",
        }
    )


def _integration(draft: FactoryContext) -> _Document:
    return draft.stored({"userId": draft.owner, "provider": "stripe", "isConnected": True})


def _stripe_account(draft: FactoryContext) -> _Document:
    return draft.stored(
        {"userId": draft.owner, "accountId": f"acct_{draft.id}", "chargesEnabled": True}
    )


def _referral(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "referrerId": draft.owner,
            "referredUserId": draft.links["referredUserId"],
            "status": "PAID",
            "amount": 50,
        }
    )


def _access_grant(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "transferId": draft.links["transferId"],
            "buyerId": str(draft.owner),
            "stripeSessionId": f"cs_{draft.id}",
        }
    )


def _download(draft: FactoryContext) -> _Document:
    return draft.stored(
        {
            "transferId": draft.links["transferId"],
            "accessGrantId": draft.links["accessGrantId"],
            "ip": "192.0.2.17",
            "downloadedAt": datetime(2025, 9, 1, 12, tzinfo=UTC),
        }
    )


FACTORIES: Final[Mapping[str, Callable[[FactoryContext], _Document]]] = {
    "invoices": _invoice,
    "quotes": _quote,
    "creditnotes": _credit_note,
    "clients": _client,
    "expenses": _expense,
    "events": _event,
    "transactions": _transaction,
    "accounts_bankings": _bank_account,
    "api_metrics": _api_metric,
    "ocr_documents": _ocr_document,
    "emailsignatures": _signature,
    "documentsettings": _settings,
    "boards": _board,
    "columns": _column,
    "tasks": _task,
    "bridgeaccounts": _bridge_account,
    "products": _product,
    "filetransfers": _transfer,
    "integrations": _integration,
    "stripeconnectaccounts": _stripe_account,
    "referralevents": _referral,
    "accessgrants": _access_grant,
    "downloadevents": _download,
}
"""Collection to the function that makes one document of it."""
