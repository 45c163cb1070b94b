"""Beanie documents: persistence on top of the plain models, which declare everything.

:mod:`newbi_migrate.documents` is where they are imported from. A new document is strict, see
:mod:`newbi_migrate.documents.base`. Whatever is stored is read, unknown fields, order and BSON
types included. ``insert``, ``replace``, ``save`` and ``insert_many`` refuse what breaks a rule that
held before. Nothing is built on import or on :func:`init_documents`, no index and no collection.

The migration itself never writes through these classes: its writes are narrow updates.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import new_class
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Protocol, Self

import beanie
from beanie import PydanticObjectId
from bson import DatetimeMS, ObjectId, Timestamp
from bson.codec_options import DatetimeConversion
from pydantic import ConfigDict

from newbi_migrate.documents import (
    agenda,
    banking,
    better_auth,
    billing,
    catalogue,
    clients,
    expenses,
    kanban,
    legacy,
    ocr,
    related,
    settings,
    signatures,
    transfers,
)
from newbi_migrate.documents.base import DocumentModel, names_of
from newbi_migrate.documents.scalars import DOCUMENT_ID, now
from newbi_migrate.documents.shapes import Leaf, fields_of, without_null
from newbi_migrate.documents.stored import Stored
from newbi_migrate.errors import UsageError

if TYPE_CHECKING:
    from beanie.odm.queries.find import FindMany

__all__ = [
    "DOCUMENTS",
    "AccessGrant",
    "Account",
    "ApiMetric",
    "BankAccount",
    "Board",
    "BridgeAccount",
    "Client",
    "Column",
    "CreditNote",
    "DocumentSettings",
    "DownloadEvent",
    "EmailSignature",
    "Event",
    "Expense",
    "FileTransfer",
    "Integration",
    "Invitation",
    "Invoice",
    "LegacyUser",
    "Member",
    "OcrDocument",
    "Organization",
    "PersistentDocument",
    "Product",
    "Quote",
    "ReferralEvent",
    "Session",
    "StripeConnectAccount",
    "Task",
    "Transaction",
    "User",
    "Verification",
    "descending",
    "document_for",
    "init_documents",
]


class Belonging(Protocol):
    """What names an organization: a member, an invitation."""

    @property
    def organization_id(self) -> Any:
        """The organization's id."""


def _as_it_is(value: Any) -> Any:
    return value


class _Beanie1:
    """Beanie 1 iterates a document to encode and to merge; only before it encodes it parses."""

    _encoding = False

    def parse_store(self) -> None:
        super().parse_store()  # type: ignore[misc]  # of Beanie's document
        object.__setattr__(self, "_encoding", True)

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        encoding = self._encoding
        object.__setattr__(self, "_encoding", False)
        if encoding:
            yield from super().__iter__()  # type: ignore[misc]
        else:
            yield "stored_as", self.stored_as  # type: ignore[attr-defined]


_SAVING: Final = "_saving"
_WRITING: Final = "_writing"
_MOTOR: Final = hasattr(beanie.Document, "get_motor_collection")

if TYPE_CHECKING:

    class _Differences:
        """What differs between the versions of Beanie."""
else:
    _Differences = _Beanie1 if _MOTOR else type("_Beanie2", (), {})


class PersistentDocument(_Differences, beanie.Document, DocumentModel):
    """Base of the Beanie documents; give the plain model as second base.

    The collection's name is that of the plain model. Settings of a subclass's own ``Settings``
    win over those set here.
    """

    model_config = ConfigDict(**DocumentModel.model_config)

    Settings: ClassVar[Any]

    id: Annotated[PydanticObjectId | None, *DOCUMENT_ID] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Gives the class its settings."""
        super().__pydantic_init_subclass__(**options)
        own = cls.__dict__.get("Settings")
        inherited = getattr(cls, "Settings", None)
        settings: dict[str, Any] = {
            "name": cls.collection_name or cls.__name__,
            "use_state_management": False,
            "keep_nulls": True,
            # Else Beanie asks the server for the declared fields alone.
            "projection": None,
            # Beanie's encoder knows all BSON types but these.
            "bson_encoders": {DatetimeMS: _as_it_is, Timestamp: _as_it_is},
        }
        missing = {name: value for name, value in settings.items() if not hasattr(inherited, name)}
        if own is None and "collection_name" in cls.__dict__:
            missing["name"] = cls.collection_name
        cls.Settings = type("Settings", () if inherited is None else (inherited,), missing)
        cls.collection_name = cls.Settings.name

    @classmethod
    async def custom_init(cls) -> None:
        """Called by Beanie at the end of its initialization: reading becomes tolerant."""
        name = "get_motor_collection" if _MOTOR else "get_pymongo_collection"
        collection = getattr(cls, name)()
        options = collection.codec_options.with_options(
            document_class=Stored,
            tz_aware=True,
            # A date beyond the year 9999 could not be read otherwise.
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        cls.set_collection(  # type: ignore[no-untyped-call]
            collection.with_options(codec_options=options)
        )

    # -- queries ------------------------------------------------------------------------------

    @classmethod
    def in_workspace(cls, workspace: ObjectId | str | Belonging) -> FindMany[Self]:
        """The documents of a workspace, as the collection stores its id.

        Args:
            workspace: The organization's id, as an ObjectId or as text, or a member of it.

        Raises:
            UsageError: The documents belong to no workspace, or the text is no id.
        """
        identifier = getattr(workspace, "organization_id", workspace)
        if not isinstance(identifier, ObjectId | str) or not ObjectId.is_valid(identifier):
            raise UsageError(
                "The id of the workspace is no ObjectId.",
                next_step="Give the organization's id, or a member.",
            )
        fields = fields_of(cls)
        key = "workspaceId" if "workspaceId" in fields else "organizationId"
        if key not in fields:
            raise UsageError(
                f"Documents of {cls.__name__} belong to no workspace.",
                next_step="Find them by their user.",
            )
        value = without_null(fields[key].value)
        kinds = {choice.kind for choice in value.choices} if isinstance(value, Leaf) else set()
        ways: list[Any] = [ObjectId(str(identifier))] if ObjectId in kinds else []
        ways += [str(identifier)] if str in kinds else []
        return cls.find({key: ways[0] if len(ways) == 1 else {"$in": ways}})

    # -- writing ------------------------------------------------------------------------------

    async def validate_self(self, *args: Any, **options: Any) -> None:
        """Called by Beanie before it inserts, replaces or saves.

        Raises:
            pydantic.ValidationError: The document breaks a rule that held when it was read.
        """
        await super().validate_self(*args, **options)
        self.check()
        timed = self.stored_as is not None and "updated_at" in type(self).model_fields
        if timed and self.differs_from_stored():
            self.updated_at: Any = now()

    def parse_store(self) -> None:
        """Called by Beanie before it encodes the document."""
        super().parse_store()  # type: ignore[no-untyped-call]
        if self.__dict__.get(_WRITING):
            self.check()  # event hooks may have changed it since

    async def insert(self, *args: Any, **options: Any) -> Self:
        """Inserts the document; it is a stored one afterwards."""
        with self._being_written():
            await super().insert(*args, **options)
        self._is_stored_now()
        return self

    async def replace(self, *args: Any, **options: Any) -> Self:
        """Writes the document as it is in Python."""
        with self._being_written():
            await super().replace(*args, **options)
        self._is_stored_now()
        return self

    async def save(self, *args: Any, **options: Any) -> Self:
        """Sets the fields of the stored document, and takes out those that were deleted here."""
        self.__dict__[_SAVING] = True
        try:
            with self._being_written():
                return await super().save(*args, **options)
        finally:
            self.__dict__.pop(_SAVING, None)

    @contextmanager
    def _being_written(self) -> Iterator[None]:
        self.__dict__[_WRITING] = True
        try:
            yield
        finally:
            self.__dict__.pop(_WRITING, None)

    async def update(self, *args: Mapping[Any, Any], **options: Any) -> Self:
        """Updates the stored document; afterwards this one is as the stored one."""
        if self.__dict__.pop(_SAVING, False) and self.stored_as is not None:
            gone = self.stored_as.keys() - self.to_document().keys() - {"_id"}
            if gone:
                args = (*args, {"$unset": dict.fromkeys(sorted(gone), "")})
        return await super().update(*args, **options)

    @classmethod
    async def insert_one(cls, document: Self, *args: Any, **options: Any) -> Any:
        """Inserts a document, be it later by a bulk writer, of which Beanie validates nothing.

        Raises:
            pydantic.ValidationError: The document breaks a rule.
        """
        document.check()
        return await super().insert_one(document, *args, **options)

    @classmethod
    async def insert_many(cls, documents: Iterable[Self], *args: Any, **options: Any) -> Any:
        """Inserts several; Beanie validates nothing here.

        Raises:
            pydantic.ValidationError: One of the documents breaks a rule; none is inserted.
        """
        found = list(documents)
        for document in found:
            document.check()
        return await super().insert_many(found, *args, **options)

    def _is_stored_now(self) -> None:
        document = self.to_document()
        self.__dict__["stored_as"] = Stored(document)
        names = names_of(type(self))
        self.__pydantic_fields_set__.update(names[key] for key in document if key in names)


def descending(field: Any) -> str:
    """A field to sort by, greatest first: ``find(...).sort(descending(Invoice.created_at))``."""
    return f"-{field}"


class LegacyUser(PersistentDocument, legacy.LegacyUser):
    """A legacy user; :func:`init_documents` is told the collection's exact name."""


class User(PersistentDocument, better_auth.User):
    """A user."""


class Account(PersistentDocument, better_auth.Account):
    """A way to sign in."""


class Session(PersistentDocument, better_auth.Session):
    """A signed-in browser."""


class Verification(PersistentDocument, better_auth.Verification):
    """A pending proof of an e-mail address."""


class Organization(PersistentDocument, better_auth.Organization):
    """A workspace."""


class Member(PersistentDocument, better_auth.Member):
    """That a user belongs to an organization."""

    @classmethod
    def in_role(cls, role: str) -> FindMany[Self]:
        """The members in a role, be it beside others.

        Args:
            role: ``owner``, ``admin``, ``member``, ``viewer`` or ``accountant``.
        """
        return cls.find({"role": {"$regex": f"(?:^|,){re.escape(role)}(?:,|$)"}})


class Invitation(PersistentDocument, better_auth.Invitation):
    """An invitation into an organization."""


class Invoice(PersistentDocument, billing.Invoice):
    """An invoice."""


class Quote(PersistentDocument, billing.Quote):
    """A quote."""


class CreditNote(PersistentDocument, billing.CreditNote):
    """A credit note."""


class Client(PersistentDocument, clients.Client):
    """A client."""


class Expense(PersistentDocument, expenses.Expense):
    """An expense."""


class Event(PersistentDocument, agenda.Event):
    """An event of the calendar."""


class Transaction(PersistentDocument, banking.Transaction):
    """A transaction."""


class BankAccount(PersistentDocument, banking.BankAccount):
    """An account at a bank."""


class BridgeAccount(PersistentDocument, banking.BridgeAccount):
    """An account at a bank, as it was stored until 2025-08-23."""


class ApiMetric(PersistentDocument, banking.ApiMetric):
    """How the calls of one day to one endpoint went."""


class OcrDocument(PersistentDocument, ocr.OcrDocument):
    """A document and what was read from it."""


class EmailSignature(PersistentDocument, signatures.EmailSignature):
    """An e-mail signature, of any shape."""


class DocumentSettings(PersistentDocument, settings.DocumentSettings):
    """The default texts of one kind of document."""


class Board(PersistentDocument, kanban.Board):
    """A board."""


class Column(PersistentDocument, kanban.Column):
    """A column of a board."""


class Task(PersistentDocument, kanban.Task):
    """A task on a board."""


class Product(PersistentDocument, catalogue.Product):
    """A product or a service."""


class FileTransfer(PersistentDocument, transfers.FileTransfer):
    """A transfer of files."""


class AccessGrant(PersistentDocument, transfers.AccessGrant):
    """That somebody may fetch a transfer."""


class DownloadEvent(PersistentDocument, transfers.DownloadEvent):
    """That somebody fetched a transfer."""


class Integration(PersistentDocument, related.Integration):
    """A user's connection to a service."""


class StripeConnectAccount(PersistentDocument, related.StripeConnectAccount):
    """An account at Stripe."""


class ReferralEvent(PersistentDocument, related.ReferralEvent):
    """That a user brought another."""


DOCUMENTS: Final[tuple[type[PersistentDocument], ...]] = tuple(PersistentDocument.__subclasses__())
"""Every document of this module, one for each collection."""

_BY_MODEL: Final[dict[type[DocumentModel], type[PersistentDocument]]] = {
    base: document
    for document in DOCUMENTS
    for base in document.__bases__
    if issubclass(base, DocumentModel)
}


def document_for(model: type[DocumentModel]) -> type[PersistentDocument]:
    """The Beanie document of a plain model, made on first use where this module has none.

    Args:
        model: A model with a ``collection_name``, of Newbi or of a host application.

    Raises:
        UsageError: The model names no collection.
    """
    found = _BY_MODEL.get(model)
    if found is not None:
        return found
    if not model.collection_name:
        raise UsageError(
            f"The model {model.__name__} names no collection.",
            next_step="Give it a collection_name.",
        )
    bases: Any = (PersistentDocument, model)
    document: type[PersistentDocument] = new_class(
        model.__name__,
        bases,
        exec_body=lambda body: body.update(__doc__=model.__doc__, __module__=__name__),
    )
    _BY_MODEL[model] = document
    return document


async def init_documents(
    database: Any,
    *documents: type[beanie.Document],
    legacy_collection: str = "users",
) -> None:
    """Connects documents with a database, and writes nothing to it.

    Args:
        database: An ``AsyncDatabase`` of PyMongo with Beanie 2, a Motor database with
            Beanie 1.30.
        documents: The documents, of this module or of a host application; all of this module if
            none is given.
        legacy_collection: The exact name of the legacy users' collection.

    Raises:
        UsageError: The database belongs to the other driver.
    """
    if type(database).__module__.partition(".")[0] == "motor":
        if not _MOTOR:
            raise UsageError(
                "Beanie 2 does not understand a Motor database.",
                next_step="Pass a database of pymongo.AsyncMongoClient.",
            )
    elif _MOTOR:
        raise UsageError(
            "Beanie 1 understands Motor databases alone.",
            next_step="Pass a database of motor.motor_asyncio.AsyncIOMotorClient.",
        )
    LegacyUser.Settings.name = legacy_collection
    # Beanie connects what a document extends as well, but makes none of it read tolerantly.
    models = dict.fromkeys(
        model
        for document in documents or DOCUMENTS
        for model in reversed(document.__mro__)
        if model is document or (issubclass(model, PersistentDocument) and model.collection_name)
    )
    await beanie.init_beanie(database=database, document_models=list(models), skip_indexes=True)
