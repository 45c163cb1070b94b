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
from case_builder import CaseBuilder, case, invalid_text, raw

from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason

__all__ = ["HUGE_CASE"]

HUGE_CASE: Final = "document-without-room"
"""The case whose document takes 16 MiB; only made when it is asked for."""

_LARGEST: Final = 16 * 1024 * 1024


# -- whose is it --------------------------------------------------------------------------------


@case("owner-as-hex-string")
def _(builder: CaseBuilder) -> None:
    """The owner is text of 24 hexadecimal digits."""
    user = builder.user()
    builder.stamped("invoices", user, createdBy=str(user["_id"]))
    builder.stamped("invoices", user, createdBy=str(user["_id"]).upper())
    builder.stamped("events", user, userId=str(user["_id"]))


@case("owner-as-oid-object")
def _(builder: CaseBuilder) -> None:
    """The owner is what a careless import of Extended JSON leaves: a document with ``$oid``."""
    user = builder.user()
    builder.stamped("quotes", user, createdBy={"$oid": str(user["_id"])})


@case("owner-absent")
def _(builder: CaseBuilder) -> None:
    """The owner is null, or there is no such field."""
    user = builder.user()
    builder.quarantined("expenses", user, Reason.OWNER_MISSING, createdBy=None)
    builder.quarantined("expenses", user, Reason.OWNER_MISSING, createdBy=...)
    builder.quarantined("transactions", user, Reason.OWNER_MISSING, userId=...)
    builder.quarantined("api_metrics", user, Reason.OWNER_MISSING)


@case("owner-malformed")
def _(builder: CaseBuilder) -> None:
    """The owner is something that can be no id."""
    user = builder.user()
    for value in ("undefined", "", "[object Object]", "user-1", 42, Int64(7), True, [user["_id"]]):
        builder.quarantined("invoices", user, Reason.OWNER_MALFORMED, createdBy=value)


@case("owner-unknown")
def _(builder: CaseBuilder) -> None:
    """The owner does not exist anywhere any more."""
    user = builder.user()
    nobody = builder.id()
    for collection in ("invoices", "clients"):
        builder.quarantined(collection, user, Reason.OWNER_UNKNOWN, createdBy=nobody)
    builder.quarantined("ocr_documents", user, Reason.OWNER_UNKNOWN, userId=str(nobody))


@case("owner-of-invalid-text")
def _(builder: CaseBuilder) -> None:
    """The owner is text that is no UTF-8."""
    document = builder.make("invoices", builder.user(), createdBy=...)
    builder.add(
        "invoices",
        raw(document, invalid_text("createdBy")),
        Action.QUARANTINE,
        reason=Reason.UNREADABLE,
    )


# -- which workspace is stored ------------------------------------------------------------------


@case("workspace-says-nothing")
def _(builder: CaseBuilder) -> None:
    """The workspace is null or blank."""
    user = builder.user()
    for value in (None, "", "  "):
        builder.stamped("invoices", user, workspaceId=value)
    builder.stamped("transactions", user, workspaceId=None)


@case("workspace-valid")
def _(builder: CaseBuilder) -> None:
    """The owner was migrated before and the workspace is theirs, in the right type."""
    user, workspace = _migrated(builder)
    builder.add(
        "invoices",
        builder.make("invoices", user, workspaceId=workspace),
        Action.KEEP,
        workspace=workspace,
    )
    document = builder.make("transactions", user, workspaceId=str(workspace))
    builder.add("transactions", document, Action.KEEP, workspace=workspace)


@case("workspace-of-wrong-type")
def _(builder: CaseBuilder) -> None:
    """The workspace is right and text where an ObjectId belongs, or the other way round."""
    user, workspace = _migrated(builder)
    for collection, value in (("invoices", str(workspace)), ("transactions", workspace)):
        document = builder.make(collection, user, workspaceId=value)
        builder.add(collection, document, Action.STAMP, workspace=workspace)


@case("workspace-dangling")
def _(builder: CaseBuilder) -> None:
    """No organization has that id, or it is no id at all."""
    user = builder.user()
    for value in (builder.id(), str(builder.id()), "default", 1, {"id": 1}):
        builder.stamped("quotes", user, workspaceId=value)


@case("workspace-is-user-id")
def _(builder: CaseBuilder) -> None:
    """A fallback of the application wrote the user's own id."""
    user = builder.user()
    builder.stamped("emailsignatures", user, workspaceId=user["_id"])
    builder.stamped("emailsignatures", user, workspaceId=str(user["_id"]))
    builder.stamped("transactions", user, workspaceId=str(user["_id"]), userId=...)
    builder.stamped("api_metrics", user, workspaceId=str(user["_id"]))


@case("workspace-foreign")
def _(builder: CaseBuilder) -> None:
    """The workspace is one the owner is no member of."""
    _, workspace = _migrated(builder)
    stranger = builder.user()
    builder.quarantined("invoices", stranger, Reason.FOREIGN_WORKSPACE, workspaceId=workspace)
    builder.quarantined("expenses", stranger, Reason.FOREIGN_WORKSPACE, workspaceId=str(workspace))


@case("old-bridge-transaction")
def _(builder: CaseBuilder) -> None:
    """A row of the shape of August 2025, with a workspace somebody made up."""
    user = builder.user()
    for note in ({}, {"migrationNote": "workspaceId aléatoire"}):
        builder.stamped(
            "transactions",
            user,
            externalId=...,
            provider=...,
            workspaceId=builder.id(),
            bridgeTransactionId=str(builder.id()),
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
def _(builder: CaseBuilder) -> None:
    """A column or a task has another owner than its board, whose workspace it follows."""
    user, colleague = builder.user(), builder.user()
    workspace = organization_id(user["_id"])
    board = builder.stamped("boards", user)
    column = builder.make("columns", colleague, {"boardId": board, "order": 0})
    builder.add("columns", column, Action.STAMP, workspace=workspace)
    links = {"boardId": board, "columnId": str(column["_id"])}
    for changes in ({}, {"userId": None}, {"userId": builder.id()}, {"boardId": str(board)}):
        task = builder.make("tasks", colleague, links, **changes)
        builder.add("tasks", task, Action.STAMP, workspace=workspace)


@case("board-gone")
def _(builder: CaseBuilder) -> None:
    """The board does not exist: the owner decides, if there is one."""
    user = builder.user()
    gone = {"boardId": builder.id(), "columnId": str(builder.id()), "order": 0}
    builder.stamped("columns", user, links=gone)
    builder.stamped("tasks", user, links=gone, boardId=...)
    builder.quarantined("tasks", user, Reason.OWNER_UNKNOWN, links=gone, userId=builder.id())
    builder.quarantined("columns", user, Reason.OWNER_MISSING, links=gone, userId=None)


@case("task-elsewhere-than-its-board")
def _(builder: CaseBuilder) -> None:
    """The workspace of a task exists and is not its board's."""
    user, workspace = _migrated(builder)
    _, other = _migrated(builder)
    board = builder.make("boards", user, workspaceId=workspace)
    builder.add("boards", board, Action.KEEP, workspace=workspace)
    links = {"boardId": board["_id"], "columnId": str(builder.id())}
    builder.quarantined("tasks", user, Reason.PARENT_ELSEWHERE, links=links, workspaceId=other)


@case("links-across-owners")
def _(builder: CaseBuilder) -> None:
    """A credit note, an event and a quote refer to another owner's invoice."""
    user, other = builder.user(), builder.user()
    invoice = builder.stamped("invoices", user)
    links = {"originalInvoice": invoice, "originalInvoiceNumber": "000001", "invoiceId": invoice}
    builder.stamped("creditnotes", other, links=links)
    builder.stamped("events", other, links=links)
    builder.stamped("quotes", other, convertedToInvoice=invoice, linkedInvoices=[invoice])


# -- what must be unique ------------------------------------------------------------------------


@case("odd-numbers")
def _(builder: CaseBuilder) -> None:
    """Numbers are null, absent, blank, provisional, or equal under another prefix or year."""
    user = builder.user()
    for number in (None, ..., "", "DRAFT-000001", "TEMP-1755158400000", "1755158400000"):
        builder.stamped("invoices", user, number=number, status="DRAFT")
    eve = datetime(2024, 12, 31, 23, 30, tzinfo=UTC)
    builder.stamped("invoices", user, number="DRAFT-000001-2", issueDate=eve)
    builder.stamped("quotes", user, number="000001", prefix="D-202506-")
    builder.stamped("quotes", user, number="000002", prefix="DEV-")


@case("keys-that-will-collide")
def _(builder: CaseBuilder) -> None:
    """Two documents of one user are told apart by the type of the owner field alone."""
    user = builder.user()
    for owner in (user["_id"], str(user["_id"])):
        builder.stamped("invoices", user, number="000007", createdBy=owner)
        builder.stamped("clients", user, email="double@exemple.fr", createdBy=owner)
        builder.stamped("documentsettings", user, documentType="INVOICE", createdBy=owner)


# -- what must stay as it is --------------------------------------------------------------------


@case("old-signature")
def _(builder: CaseBuilder) -> None:
    """A signature of the old shape, in which the size of the font is a number."""
    user = builder.user()
    builder.stamped(
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
def _(builder: CaseBuilder) -> None:
    """Amounts are text, flags are text, a list is a document, and unknown fields are there."""
    user = builder.user()
    builder.stamped("invoices", user, totalHT="120,50 €", isDeposit="false", items={"0": "?"})
    builder.stamped("expenses", user, amount="12.5", tags="chantier", files=None, date="2025-06-02")
    builder.stamped("clients", user, inconnu={"a": [1, {"b": None}]}, address="Paris")


@case("rare-bson-types")
def _(builder: CaseBuilder) -> None:
    """Every type BSON has, values at their limits, and names that paths cannot address."""
    user = builder.user()
    workspace = organization_id(user["_id"])
    document = builder.make(
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
        reference=DBRef("clients", builder.id()),
        nested={"$oid": "x", "a.b": 1, "": 2},
        empty={},
        nothing=[],
        zeroByte="a\x00b",
    )
    undefined = b"\x06undefined\x00"
    symbol = b"\x0esymbol\x00\x02\x00\x00\x00s\x00"
    elements = (undefined, symbol, invalid_text("mojibake"))
    builder.add("invoices", raw(document, *elements), Action.STAMP, workspace=workspace)


@case("ids-of-other-types")
def _(builder: CaseBuilder) -> None:
    """The ``_id`` of a document is no ObjectId."""
    user = builder.user()
    workspace = organization_id(user["_id"])
    token = str(builder.id())
    binary = Binary(token.encode()[:16], UuidRepresentation.STANDARD)
    for value in (token, int(token[-7:], 16), binary, {"a": token}, datetime(2025, 6, 1)):  # noqa: DTZ001
        document = builder.make("expenses", user, _id=value)
        builder.add("expenses", document, Action.STAMP, workspace=workspace)


@case(HUGE_CASE)
def _(builder: CaseBuilder) -> None:
    """A document is so near 16 MiB that a workspace does not fit."""
    document = builder.make("expenses", builder.user())
    document["padding"] = ""
    document["padding"] = "x" * (_LARGEST - len(bson.encode(document)) - 8)
    builder.add("expenses", document, Action.QUARANTINE, reason=Reason.DOCUMENT_TOO_LARGE)


def _migrated(builder: CaseBuilder) -> tuple[dict[str, Any], ObjectId]:
    """A legacy user who is a user already, and the organization they own."""
    identifier, workspace = builder.id(), builder.id()
    user = builder.user(Outcome.PRESENT, workspace=workspace, _id=identifier)
    builder.target_user(user["email"], _id=identifier)
    builder.organization(identifier, _id=workspace)
    return user, workspace
