"""What documents written by the application's schemas share: version, dates, owner, workspace."""

from __future__ import annotations

from pydantic import Field

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.scalars import (
    BsonDate,
    Number,
    OwnerId,
    WorkspaceId,
    WorkspaceIdString,
    now,
)

__all__ = [
    "CreatorDocument",
    "MongooseDocument",
    "StringWorkspaceDocument",
    "UserDocument",
    "WorkspaceDocument",
]


class MongooseDocument(DocumentModel):
    """A document with the fields that Mongoose adds."""

    version_key: Number | None = 0
    created_at: BsonDate | None = Field(default_factory=now)
    updated_at: BsonDate | None = Field(default_factory=now)


class WorkspaceDocument(MongooseDocument):
    """A document that belongs to a workspace."""

    workspace_id: WorkspaceId


class StringWorkspaceDocument(MongooseDocument):
    """A document that belongs to a workspace, whose id is stored as a string."""

    workspace_id: WorkspaceIdString


class CreatorDocument(WorkspaceDocument):
    """A document of a workspace whose owner is in ``createdBy``."""

    created_by: OwnerId


class UserDocument(WorkspaceDocument):
    """A document of a workspace whose owner is in ``userId``."""

    user_id: OwnerId
