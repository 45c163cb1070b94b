"""What a real legacy database contains besides good documents, and what must become of it.

Each case is a function: its documents, and for each of them what the migration has to do with
it, declared as data. A case has users of its own, so that any selection of cases behaves like
each of them alone. This module changes when production shows another oddity; the cases about
users are in :mod:`newbi_migrate.testing.legacy_dirt_users`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import bson
from bson import ObjectId
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp

from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason
from newbi_migrate.testing.legacy_documents import MAKERS, Draft, make_user
from newbi_migrate.testing.legacy_people import object_id

__all__ = ["CASES", "HUGE_CASE", "Case", "ExpectedDocument", "ExpectedUser", "LegacyDirt", "Patch"]

HUGE_CASE: Final = "document-without-room"
"""The case whose document takes 16 MiB; only made when it is asked for."""

_BORN: Final = int(datetime(2025, 5, 1, tzinfo=UTC).timestamp())
_LARGEST: Final = 16 * 1024 * 1024
_LENIENT: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """What a migration with the default choices does with one document of a case.

    Attributes:
        case: Name of the case.
        collection: Where the document is.
        id: Its ``_id``.
        action: What happens to it.
        reason: Why it is quarantined.
        workspace: The workspace it has afterwards, as an id whatever the type it is stored in.
        owners: Fields that name another user afterwards, with their new values.
    """

    case: str
    collection: str
    id: Any
    action: Action
    reason: Reason | None = None
    workspace: ObjectId | None = None
    owners: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedUser:
    """What a migration with the default choices makes of one legacy user of a case.

    Attributes:
        case: Name of the case.
        id: The stored ``_id``.
        outcome: What becomes of him.
        reason: Why he is quarantined.
        user_id: The id he is known by afterwards.
        workspace: The workspace of his documents; ``None`` where there is no single one.
    """

    case: str
    id: Any
    outcome: Outcome
    reason: Reason | None = None
    user_id: ObjectId | None = None
    workspace: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One oddity.

    Attributes:
        name: Its name, in lower case with hyphens.
        sentence: What is odd.
        make: Adds its documents to a patch.
    """

    name: str
    sentence: str
    make: Callable[[Patch], None]


CASES: Final[dict[str, Case]] = {}
"""All cases, by name."""


def case(name: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Register a function as a case; its docstring says what is odd."""

    def register(make: Callable[[Patch], None]) -> Callable[[Patch], None]:
        sentence = (make.__doc__ or "").strip().splitlines()[0]
        CASES[name] = Case(name, sentence, make)
        return make

    return register


class Patch:
    """The documents of one case, as it is being made.

    Args:
        name: Name of the case.
        seed: Seed of the database.
        source: Name of the collection of the legacy users.
    """

    def __init__(self, name: str, seed: int, source: str) -> None:
        self.name = name
        self.source = source
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.expected: list[ExpectedDocument] = []
        self.users: list[ExpectedUser] = []
        self._rng = Random(f"{seed}:dirt:{name}")  # noqa: S311 - repeatable, not secret
        # Far above those of the good users, so that no address or number is twice there.
        self._number = 10_000 + self._rng.randrange(90_000_000)

    def id(self) -> ObjectId:
        """A fresh id."""
        return object_id(self._rng, _BORN)

    def user(
        self,
        outcome: Outcome | None = Outcome.CREATED,
        *,
        reason: Reason | None = None,
        user_id: ObjectId | None = None,
        workspace: ObjectId | None = None,
        several: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        """Add a legacy user, with some fields changed (``...`` takes one out).

        Args:
            outcome: What becomes of him; ``None`` where nothing is said of it.
            reason: Why he is quarantined.
            user_id: The id he is known by afterwards, his own unless given.
            workspace: His workspace, the one derived from his id unless given.
            several: Whether he has several workspaces and so none of his own.
            changes: Field to value.
        """
        self._number += 1
        user = make_user(self._rng, self.id(), self._number)
        # The last digits alone could be those of another case's user.
        user["referralCode"] = f"D{self._number}"
        self.change(user, changes)
        self.documents[self.source].append(user)
        if outcome is Outcome.QUARANTINED:
            self.users.append(ExpectedUser(self.name, user["_id"], outcome, reason))
        elif outcome is not None:
            known_as = user_id or user["_id"]
            home = None if several else workspace or organization_id(known_as)
            self.users.append(ExpectedUser(self.name, user["_id"], outcome, None, known_as, home))
        return user

    @staticmethod
    def change(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Set fields, and take out those whose value is ``...``."""
        for field, value in changes.items():
            if value is ...:
                document.pop(field, None)
            else:
                document[field] = value

    def make(
        self,
        collection: str,
        user: Mapping[str, Any],
        links: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """Make a document of a user, with some fields changed, and do not add it yet."""
        self._number += 1
        draft = Draft(
            rng=self._rng,
            id=self.id(),
            user=user,
            number=self._number % 1_000_000,
            when=datetime(2025, 6, 2, 9, 30, tzinfo=UTC),
            links=links or {},
        )
        document = MAKERS[collection](draft)
        self.change(document, changes)
        return document

    def add(
        self,
        collection: str,
        document: Mapping[str, Any],
        action: Action | None = None,
        *,
        reason: Reason | None = None,
        workspace: ObjectId | None = None,
        owners: Mapping[str, Any] | None = None,
    ) -> Any:
        """Add a document and say what becomes of it; return its ``_id``."""
        self.documents[collection].append(document)
        identifier = document["_id"]
        if action is not None:
            self.expected.append(
                ExpectedDocument(
                    self.name, collection, identifier, action, reason, workspace, owners
                )
            )
        return identifier

    def stamped(self, collection: str, user: Mapping[str, Any], **changes: Any) -> ObjectId:
        """Add a document of a user that goes to the workspace derived from his id."""
        links = changes.pop("links", None)
        document = self.make(collection, user, links, **changes)
        home = organization_id(user["_id"])
        identifier: ObjectId = self.add(collection, document, Action.STAMP, workspace=home)
        return identifier

    def left(
        self, collection: str, user: Mapping[str, Any], reason: Reason, **changes: Any
    ) -> ObjectId:
        """Add a document that is quarantined."""
        links = changes.pop("links", None)
        document = self.make(collection, user, links, **changes)
        identifier: ObjectId = self.add(collection, document, Action.QUARANTINE, reason=reason)
        return identifier

    def target_user(self, email: str, **changes: Any) -> ObjectId:
        """Add a Better Auth user; return his id."""
        when = datetime(2025, 7, 1, tzinfo=UTC)
        user: dict[str, Any] = {
            "_id": self.id(),
            "name": "Camille",
            "email": email,
            "emailVerified": True,
            "createdAt": when,
            "updatedAt": when,
            "role": "owner",
            "isActive": True,
        }
        self.change(user, changes)
        identifier: ObjectId = self.add("user", user)
        return identifier

    def organization(self, *owners: ObjectId, role: str = "owner", **changes: Any) -> ObjectId:
        """Add an organization with these members; return its id."""
        when = datetime(2025, 7, 1, tzinfo=UTC)
        organization: dict[str, Any] = {
            "_id": self.id(),
            "name": "Atelier Exemple",
            "createdAt": when,
            "metadata": '{"type":"business"}',
        }
        organization["slug"] = f"atelier-{organization['_id']}"
        self.change(organization, changes)
        identifier: ObjectId = self.add("organization", organization)
        for owner in owners:
            self.member(identifier, owner, role)
        return identifier

    def member(self, organization: Any, user: Any, role: str = "owner") -> None:
        """Add a membership."""
        member = {"_id": self.id(), "organizationId": organization, "userId": user, "role": role}
        self.add("member", {**member, "createdAt": datetime(2025, 7, 1, tzinfo=UTC)})


class LegacyDirt:
    """The documents of a selection of cases.

    Args:
        seed: Seed of the database.
        cases: Names of the cases; ``None`` for all of them.
        huge: Whether :data:`HUGE_CASE` is among them.
        source: Name of the collection of the legacy users.

    Attributes:
        documents: Collection to the documents to insert.
        expected: What becomes of the documents.
        users: What becomes of the legacy users.

    Raises:
        UsageError: A case is not known.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        cases: Iterable[str] | None = None,
        huge: bool = False,
        source: str = "users",
    ) -> None:
        chosen = {name for name in CASES if name != HUGE_CASE} if cases is None else set(cases)
        unknown = sorted(chosen - CASES.keys())
        if unknown:
            raise UsageError(
                f"There is no case {', '.join(unknown)} of a legacy database.",
                next_step=f"Known are {', '.join(sorted(CASES))}.",
            )
        if huge:
            chosen.add(HUGE_CASE)
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.expected: list[ExpectedDocument] = []
        self.users: list[ExpectedUser] = []
        for name in sorted(chosen):
            patch = Patch(name, seed, source)
            CASES[name].make(patch)
            for collection, documents in patch.documents.items():
                self.documents[collection].extend(documents)
            self.expected.extend(patch.expected)
            self.users.extend(patch.users)


def raw(document: Mapping[str, Any], *elements: bytes) -> RawBSONDocument:
    """A document with elements at its end that PyMongo itself would not write."""
    body = bson.encode(document)[4:-1] + b"".join(elements)
    whole = (len(body) + 5).to_bytes(4, "little") + body + b"\x00"
    return RawBSONDocument(whole, _LENIENT)


def invalid_text(field: str) -> bytes:
    """An element whose text is no UTF-8, which the server takes and drivers refuse to read."""
    return b"\x02" + field.encode() + b"\x00" + b"\x03\x00\x00\x00" + b"\xff\xfe\x00"


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
    """The owner was migrated before and the workspace is his, in the right type."""
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


@case("old-text-indexes")
def _(patch: Patch) -> None:
    """A text index stands where the application wants another; here is what it indexes."""
    user = patch.user()
    patch.stamped("expenses", user, vendor="Papeterie de l'Exemple")


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
    """A legacy user who is a user already, and the organization he owns."""
    identifier, home = patch.id(), patch.id()
    user = patch.user(Outcome.MERGED, workspace=home, _id=identifier)
    patch.target_user(user["email"], _id=identifier)
    patch.organization(identifier, _id=home)
    return user, home


# The cases about users register themselves.
from newbi_migrate.testing import legacy_dirt_users as _users  # noqa: E402, F401
