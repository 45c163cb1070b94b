"""Events of the calendar."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from newbi_migrate.documents.document_rules import NotBefore
from newbi_migrate.documents.scalars import (
    BsonDate,
    Flag,
    NonEmptyText,
    ObjectIdField,
    Text,
    choice,
)
from newbi_migrate.documents.scoped import UserDocument

__all__ = ["Event"]

_Color = Literal[
    "sky",
    "amber",
    "orange",
    "emerald",
    "violet",
    "rose",
    "blue",
    "green",
    "red",
    "purple",
    "pink",
    "yellow",
]
_Type = Literal["MANUAL", "INVOICE_DUE", "MEETING", "DEADLINE", "REMINDER", "CREDIT_NOTE_CREATED"]

EventColor = Annotated[_Color, choice("event-color", _Color)]
EventType = Annotated[_Type, choice("event-type", _Type)]


class Event(UserDocument):
    """An event, made by hand or for an invoice."""

    collection_name: ClassVar[str] = "events"
    rules = (NotBefore("event.end", "An event does not end before it starts.", "end", "start"),)

    title: NonEmptyText
    description: Text | None = None
    start: BsonDate
    end: BsonDate
    all_day: Flag | None = False
    color: EventColor | None = "sky"
    location: Text | None = None
    type: EventType | None = "MANUAL"
    invoice_id: ObjectIdField | None = None
