"""Boards, their columns and their tasks.

A task names its board by ObjectId and its column by a string.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.field_rules import FieldRule
from newbi_migrate.documents.scalars import (
    BsonDate,
    Flag,
    NonEmptyText,
    NonNegative,
    Number,
    ObjectIdField,
    Text,
    choice,
    whole,
)
from newbi_migrate.documents.scoped import UserDocument

__all__ = ["Board", "ChecklistEntry", "Column", "Tag", "Task"]

_Priority = Literal["low", "medium", "high"]

Priority = Annotated[_Priority, choice("task-priority", _Priority)]
ColumnId = Annotated[
    str,
    whole("[0-9a-f]{24}"),
    FieldRule("field.column-id", "The id of a column is 24 hexadecimal digits, as text."),
]


class Board(UserDocument):
    """A board; its columns and tasks follow its workspace."""

    collection_name: ClassVar[str] = "boards"

    title: NonEmptyText
    description: Text | None = None


class Column(UserDocument):
    """A column of a board."""

    collection_name: ClassVar[str] = "columns"

    title: NonEmptyText
    color: NonEmptyText
    board_id: ObjectIdField
    order: NonNegative


class Tag(EmbeddedModel):
    """A tag of a task."""

    name: Text | None = None
    class_name: Text | None = None
    bg: Text | None = None
    text: Text | None = None
    border: Text | None = None


class ChecklistEntry(EmbeddedModel):
    """A step of a task."""

    text: Text | None = None
    completed: Flag | None = False


class Task(UserDocument):
    """A task on a board."""

    collection_name: ClassVar[str] = "tasks"

    title: NonEmptyText
    description: Text | None = None
    status: NonEmptyText
    priority: Priority | None = None
    tags: list[Tag] | None = Field(default_factory=list)
    due_date: BsonDate | None = None
    board_id: ObjectIdField
    column_id: ColumnId
    position: Number | None = 0
    checklist: list[ChecklistEntry] | None = Field(default_factory=list)
