"""What is odd about the documents of legacy users: owners, workspaces, links, keys, types.

Importing this module registers its cases.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson import ObjectId
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp

from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason
from newbi_migrate.testing.legacy_patch import Patch, case, invalid_text, raw

__all__ = ["HUGE_CASE"]

HUGE_CASE: Final = "document-without-room"
"""The case whose document takes 16 MiB; only made when it is asked for."""

_LARGEST: Final = 16 * 1024 * 1024


# -- whose is it --------------------------------------------------------------------------------


@case("owner-as-hex-string")
def _(patch: Patch) -> None:
    """The owner is text of 24 hexadecimal digits."""
    user = patch.user()
    patch.stamped("invoices", user, createdBy=str(user["_id"]))
    patch.stamped("invoices", user, createdBy=str(user["_id"]).upper())
    patch.stamped("events", user, userId=str(user["_id"]))


@case("owner-as-oid-object")
def _(patch: Patch) -> None:
    """The owner is what a careless import of Extended JSON leaves: a document with ``$oid``."""
    user = patch.user()
    patch.stamped("quotes", user, createdBy={"$oid": str(user["_id"])})


@case("owner-absent")
def _(patch: Patch) -> None:
    """The owner is null, or there is no such field."""
    user = patch.user()
    patch.left("expenses", user, Reason.OWNER_MISSING, createdBy=None)
    patch.left("expenses", user, Reason.OWNER_MISSING, createdBy=...)
    patch.left("transactions", user, Reason.OWNER_MISSING, userId=...)
    patch.left("api_metrics", user, Reason.OWNER_MISSING)


@case("owner-malformed")
def _(patch: Patch) -> None:
    """The owner is something that can be no id."""
    user = patch.user()
    for value in ("undefined", "", "[object Object]", "user-1", 42, Int64(7), True, [user["_id"]]):
        patch.left("invoices", user, Reason.OWNER_MALFORMED, createdBy=value)


@case("owner-unknown")
def _(patch: Patch) -> None:
    """The owner does not exist anywhere any more."""
    user = patch.user()
    nobody = patch.id()
    for collection in ("invoices", "clients"):
        patch.left(collection, user, Reason.OWNER_UNKNOWN, createdBy=nobody)
    patch.left("ocr_documents", user, Reason.OWNER_UNKNOWN, userId=str(nobody))


@case("owner-of-invalid-text")
def _(patch: Patch) -> None:
    """The owner is text that is no UTF-8."""
    document = patch.make("invoices", patch.user(), createdBy=...)
    patch.add(
        "invoices",
        raw(document, invalid_text("createdBy")),
        Action.QUARANTINE,
        reason=Reason.UNREADABLE,
    )


# -- which workspace is stored ------------------------------------------------------------------


@case("workspace-says-nothing")
def _(patch: Patch) -> None:
    """The workspace is null or blank."""
    user = patch.user()
    for value in (None, "", "  "):
        patch.stamped("invoices", user, workspaceId=value)
    patch.stamped("transactions", user, workspaceId=None)


@case("workspace-valid")
def _(patch: Patch) -> None:
    """The owner was migrated before and the workspace is theirs, in the right type."""
    user, home = _migrated(patch)
    patch.add(
        "invoices", patch.make("invoices", user, workspaceId=home), Action.KEEP, workspace=home
    )
    document = patch.make("transactions", user, workspaceId=str(home))
    patch.add("transactions", document, Action.KEEP, workspace=home)


@case("workspace-of-wrong-type")
def _(patch: Patch) -> None:
    """The workspace is right and text where an ObjectId belongs, or the other way round."""
    user, home = _migrated(patch)
    for collection, value in (("invoices", str(home)), ("transactions", home)):
        document = patch.make(collection, user, workspaceId=value)
        patch.add(collection, document, Action.STAMP, workspace=home)


@case("workspace-dangling")
def _(patch: Patch) -> None:
    """No organization has that id, or it is no id at all."""
    user = patch.user()
    for value in (patch.id(), str(patch.id()), "default", 1, {"id": 1}):
        patch.stamped("quotes", user, workspaceId=value)


@case("workspace-is-user-id")
def _(patch: Patch) -> None:
    """A fallback of the application wrote the user's own id."""
    user = patch.user()
    patch.stamped("emailsignatures", user, workspaceId=user["_id"])
    patch.stamped("emailsignatures", user, workspaceId=str(user["_id"]))
    patch.stamped("transactions", user, workspaceId=str(user["_id"]), userId=...)
    patch.stamped("api_metrics", user, workspaceId=str(user["_id"]))


@case("workspace-foreign")
def _(patch: Patch) -> None:
    """The workspace is one the owner is no member of."""
    _, home = _migrated(patch)
    stranger = patch.user()
    patch.left("invoices", stranger, Reason.FOREIGN_WORKSPACE, workspaceId=home)
    patch.left("expenses", stranger, Reason.FOREIGN_WORKSPACE, workspaceId=str(home))


@case("old-bridge-transaction")
def _(patch: Patch) -> None:
    """A row of the shape of August 2025, with a workspace somebody made up."""
    user = patch.user()
    for note in ({}, {"migrationNote": "workspaceId aléatoire"}):
        patch.stamped(
            "transactions",
            user,
            externalId=...,
            provider=...,
            workspaceId=patch.id(),
            bridgeTransactionId=str(patch.id()),
            bridgeAccountId="17",
            bridgeUserId="u-17",
            type="debit",
            date=datetime(2025, 8, 16, tzinfo=UTC),
            bridgeData={"clean_description": "CB"},
            category="autre",
            **note,
        )


# -- what hangs together ------------------------------------------------------------------------


@case("task-on-a-colleagues-board")
def _(patch: Patch) -> None:
    """A column or a task has another owner than its board, whose workspace it follows."""
    user, colleague = patch.user(), patch.user()
    home = organization_id(user["_id"])
    board = patch.stamped("boards", user)
    column = patch.make("columns", colleague, {"boardId": board, "order": 0})
    patch.add("columns", column, Action.STAMP, workspace=home)
    links = {"boardId": board, "columnId": str(column["_id"])}
    for changes in ({}, {"userId": None}, {"userId": patch.id()}, {"boardId": str(board)}):
        task = patch.make("tasks", colleague, links, **changes)
        patch.add("tasks", task, Action.STAMP, workspace=home)


@case("board-gone")
def _(patch: Patch) -> None:
    """The board does not exist: the owner decides, if there is one."""
    user = patch.user()
    gone = {"boardId": patch.id(), "columnId": str(patch.id()), "order": 0}
    patch.stamped("columns", user, links=gone)
    patch.stamped("tasks", user, links=gone, boardId=...)
    patch.left("tasks", user, Reason.OWNER_UNKNOWN, links=gone, userId=patch.id())
    patch.left("columns", user, Reason.OWNER_MISSING, links=gone, userId=None)


@case("task-elsewhere-than-its-board")
def _(patch: Patch) -> None:
    """The workspace of a task exists and is not its board's."""
    user, home = _migrated(patch)
    _, other = _migrated(patch)
    board = patch.make("boards", user, workspaceId=home)
    patch.add("boards", board, Action.KEEP, workspace=home)
    links = {"boardId": board["_id"], "columnId": str(patch.id())}
    patch.left("tasks", user, Reason.PARENT_ELSEWHERE, links=links, workspaceId=other)


@case("links-across-owners")
def _(patch: Patch) -> None:
    """A credit note, an event and a quote refer to another owner's invoice."""
    user, other = patch.user(), patch.user()
    invoice = patch.stamped("invoices", user)
    links = {"originalInvoice": invoice, "originalInvoiceNumber": "000001", "invoiceId": invoice}
    patch.stamped("creditnotes", other, links=links)
    patch.stamped("events", other, links=links)
    patch.stamped("quotes", other, convertedToInvoice=invoice, linkedInvoices=[invoice])


# -- what must be unique ------------------------------------------------------------------------


@case("odd-numbers")
def _(patch: Patch) -> None:
    """Numbers are null, absent, blank, provisional, or equal under another prefix or year."""
    user = patch.user()
    for number in (None, ..., "", "DRAFT-000001", "TEMP-1755158400000", "1755158400000"):
        patch.stamped("invoices", user, number=number, status="DRAFT")
    eve = datetime(2024, 12, 31, 23, 30, tzinfo=UTC)
    patch.stamped("invoices", user, number="DRAFT-000001-2", issueDate=eve)
    patch.stamped("quotes", user, number="000001", prefix="D-202506-")
    patch.stamped("quotes", user, number="000002", prefix="DEV-")


@case("keys-that-will-collide")
def _(patch: Patch) -> None:
    """Two documents of one user are told apart by the type of the owner field alone."""
    user = patch.user()
    for owner in (user["_id"], str(user["_id"])):
        patch.stamped("invoices", user, number="000007", createdBy=owner)
        patch.stamped("clients", user, email="double@exemple.fr", createdBy=owner)
        patch.stamped("documentsettings", user, documentType="INVOICE", createdBy=owner)


# -- what must stay as it is --------------------------------------------------------------------


@case("old-signature")
def _(patch: Patch) -> None:
    """A signature of the old shape, in which the size of the font is a number."""
    user = patch.user()
    patch.stamped(
        "emailsignatures",
        user,
        signatureName=...,
        name="Ma signature",
        fullName="Camille Martin",
        jobTitle="Gérante",
        fontSize=14,
        socialLinks={"linkedin": "", "twitter": None},
        template="moderne",
    )


@case("wrong-scalars")
def _(patch: Patch) -> None:
    """Amounts are text, flags are text, a list is a document, and unknown fields are there."""
    user = patch.user()
    patch.stamped("invoices", user, totalHT="120,50 €", isDeposit="false", items={"0": "?"})
    patch.stamped("expenses", user, amount="12.5", tags="chantier", files=None, date="2025-06-02")
    patch.stamped("clients", user, inconnu={"a": [1, {"b": None}]}, address="Paris")


@case("rare-bson-types")
def _(patch: Patch) -> None:
    """Every type BSON has, values at their limits, and names that paths cannot address."""
    user = patch.user()
    home = organization_id(user["_id"])
    document = patch.make(
        "invoices",
        user,
        notANumber=float("nan"),
        infinity=float("-inf"),
        negativeZero=-0.0,
        decimal=Decimal128("120.50"),
        long=Int64(3),
        largest=Int64(2**63 - 1),
        farDate=DatetimeMS(2**62),
        earlyDate=DatetimeMS(-(2**61)),
        regex=Regex("^f", "i"),
        binary=Binary(b"\x00\x01", 0),
        uuid=Binary(bytes(range(16)), UuidRepresentation.STANDARD),
        code=Code("function () {}"),
        scopedCode=Code("x", {"x": 1}),
        timestamp=Timestamp(1_755_158_400, 3),
        smallest=MinKey(),
        greatest=MaxKey(),
        reference=DBRef("clients", patch.id()),
        nested={"$oid": "x", "a.b": 1, "": 2},
        empty={},
        nothing=[],
        zeroByte="a\x00b",
    )
    undefined = b"\x06undefined\x00"
    symbol = b"\x0esymbol\x00\x02\x00\x00\x00s\x00"
    elements = (undefined, symbol, invalid_text("mojibake"))
    patch.add("invoices", raw(document, *elements), Action.STAMP, workspace=home)


@case("ids-of-other-types")
def _(patch: Patch) -> None:
    """The ``_id`` of a document is no ObjectId."""
    user = patch.user()
    home = organization_id(user["_id"])
    token = str(patch.id())
    binary = Binary(token.encode()[:16], UuidRepresentation.STANDARD)
    for value in (token, int(token[-7:], 16), binary, {"a": token}, datetime(2025, 6, 1)):  # noqa: DTZ001
        document = patch.make("expenses", user, _id=value)
        patch.add("expenses", document, Action.STAMP, workspace=home)


@case(HUGE_CASE)
def _(patch: Patch) -> None:
    """A document is so near 16 MiB that a workspace does not fit."""
    document = patch.make("expenses", patch.user())
    document["padding"] = ""
    document["padding"] = "x" * (_LARGEST - len(bson.encode(document)) - 8)
    patch.add("expenses", document, Action.QUARANTINE, reason=Reason.DOCUMENT_TOO_LARGE)


def _migrated(patch: Patch) -> tuple[dict[str, Any], ObjectId]:
    """A legacy user who is a user already, and the organization they own."""
    identifier, home = patch.id(), patch.id()
    user = patch.user(Outcome.MERGED, workspace=home, _id=identifier)
    patch.target_user(user["email"], _id=identifier)
    patch.organization(identifier, _id=home)
    return user, home
