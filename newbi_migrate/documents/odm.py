"""Beanie documents: persistence on top of the plain models, which declare everything.

A backend uses them as any Beanie document::

    from newbi_migrate.documents.odm import Invoice, init_models

    await init_models(database)
    pending = await Invoice.find(Invoice.status == "PENDING").to_list()

Reading is tolerant: whatever is stored is loaded, unknown fields, order and BSON types
included. Constructing is strict and raises :class:`pydantic.ValidationError`. ``replace``
writes a document back as it is in Python; ``save`` sets its fields, as Beanie does, and so
removes none. Nothing is built on import or on :func:`init_models`, no index and no collection.

The migration itself never writes through these classes: its writes are narrow updates.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import new_class
from typing import Annotated, Any, Final, Self

import beanie
from beanie import PydanticObjectId
from bson import DatetimeMS, Timestamp
from bson.codec_options import DatetimeConversion
from pydantic import ConfigDict, Field

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
from newbi_migrate.documents.base import DOCUMENT_ID, DocumentModel
from newbi_migrate.errors import UsageError

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
    "document_for",
    "init_models",
]


class _Stored(dict[str, Any]):
    """A document as the driver read it; the type tells it from what a caller made up."""


_read: ContextVar[list[PersistentDocument] | None] = ContextVar("newbi_migrate_read", default=None)


@contextmanager
def _reading() -> Iterator[list[PersistentDocument]]:
    """Collects the documents that Beanie reads meanwhile."""
    documents: list[PersistentDocument] = []
    token = _read.set(documents)
    try:
        yield documents
    finally:
        _read.reset(token)


def _as_it_is(value: Any) -> Any:
    return value


class PersistentDocument(beanie.Document, DocumentModel):
    """Base of the Beanie documents; give the plain model as second base.

    The collection's name is that of the plain model. Settings of a subclass's own ``Settings``
    win over those set here.
    """

    model_config = ConfigDict(**DocumentModel.model_config)  # type: ignore[misc]

    id: Annotated[PydanticObjectId | None, DOCUMENT_ID] = Field(default=None, alias="_id")

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Gives the class its settings, and makes it the document of its plain model."""
        super().__pydantic_init_subclass__(**options)
        own = cls.__dict__.get("Settings")
        defaults = {
            "name": getattr(cls, "collection_name", cls.__name__),
            "use_state_management": False,
            "keep_nulls": True,
            # Beanie's encoder knows all BSON types but these.
            "bson_encoders": {DatetimeMS: _as_it_is, Timestamp: _as_it_is},
        }
        bases = () if own is None else (own,)
        missing = {name: value for name, value in defaults.items() if not hasattr(own, name)}
        cls.Settings = type("Settings", bases, missing)

    @classmethod
    async def custom_init(cls) -> None:
        """Called by Beanie at the end of its initialization: reading becomes tolerant."""
        name = "get_pymongo_collection"
        collection = getattr(cls, name if hasattr(cls, name) else "get_motor_collection")()
        options = collection.codec_options.with_options(
            document_class=_Stored,
            # A date beyond the year 9999 could not be read otherwise.
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        cls.set_collection(  # type: ignore[no-untyped-call]
            collection.with_options(codec_options=options)
        )

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validates strictly, except for what Beanie has just read from the database."""
        if not isinstance(obj, _Stored):
            return super().model_validate(obj, **options)
        document = cls.load(obj)
        read = _read.get()
        if read is not None:
            read.append(document)
        return document

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        # Beanie's encoder asks for attribute names, and writes what it gets in that order.
        names = {field.alias: name for name, field in type(self).model_fields.items()}
        for key, value in self.to_document().items():
            yield names.get(key, key), value

    async def update(self, *args: Any, **options: Any) -> Self:
        """Updates the stored document; afterwards this one is as the stored one."""
        with _reading() as documents:
            await super().update(*args, **options)
        self._become(documents)
        return self

    async def sync(self, *args: Any, **options: Any) -> None:
        """Reads the stored document again."""
        with _reading() as documents:
            await super().sync(*args, **options)
        self._become(documents)

    def _become(self, documents: Sequence[PersistentDocument]) -> None:
        # Beanie copies attributes one by one, and cannot tell null from absent.
        if documents:
            for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__"):
                object.__setattr__(self, name, getattr(documents[-1], name))
            for name in ("_order", "_hidden"):
                setattr(self, name, getattr(documents[-1], name))


class LegacyUser(PersistentDocument, legacy.LegacyUser):
    """A legacy user; :func:`init_models` is told the collection's exact name."""


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
    if not getattr(model, "collection_name", ""):
        raise UsageError(
            f"The model {model.__name__} names no collection.",
            next_step="Give it a collection_name.",
        )
    bases: Any = (PersistentDocument, model)
    document: type[PersistentDocument] = new_class(
        model.__name__,
        bases,
        exec_body=lambda body: body.update(__doc__=model.__doc__, __module__=model.__module__),
    )
    _BY_MODEL[model] = document
    return document


async def init_models(
    database: Any,
    *models: type[beanie.Document],
    legacy_collection: str = "users",
) -> None:
    """Connects documents with a database, and writes nothing to it.

    Args:
        database: An ``AsyncDatabase`` of PyMongo with Beanie 2, a Motor database with
            Beanie 1.30.
        models: The documents, of this module or of a host application; all of this module if
            none is given.
        legacy_collection: The exact name of the legacy users' collection.

    Raises:
        UsageError: The database belongs to the other driver.
    """
    wants_motor = hasattr(beanie.Document, "get_motor_collection")
    if type(database).__module__.partition(".")[0] == "motor":
        if not wants_motor:
            raise UsageError(
                "Beanie 2 does not understand a Motor database.",
                next_step="Pass a database of pymongo.AsyncMongoClient.",
            )
    elif wants_motor:
        raise UsageError(
            "Beanie 1 understands Motor databases alone.",
            next_step="Pass a database of motor.motor_asyncio.AsyncIOMotorClient.",
        )
    setattr(LegacyUser.Settings, "name", legacy_collection)  # noqa: B010  # its type is made here
    await beanie.init_beanie(
        database=database, document_models=list(models or DOCUMENTS), skip_indexes=True
    )
