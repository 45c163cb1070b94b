"""Files that are handed over, who may fetch them and who did."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from newbi_migrate.documents.base import EmbeddedModel
from newbi_migrate.documents.scalars import (
    BsonDate,
    NonEmptyText,
    NonNegative,
    ObjectIdField,
    OwnerId,
    Text,
    WorkspaceIdString,
    choice,
)
from newbi_migrate.documents.scoped import MongooseDocument

__all__ = ["AccessGrant", "DownloadEvent", "FileTransfer", "TransferFile"]

_StorageType = Literal["local", "r2"]
_Status = Literal["active", "expired", "deleted"]
_UploadMethod = Literal["direct", "base64", "chunk"]

StorageType = Annotated[_StorageType, choice("storage-type", _StorageType)]
TransferStatus = Annotated[_Status, choice("transfer-status", _Status)]
UploadMethod = Annotated[_UploadMethod, choice("upload-method", _UploadMethod)]


class TransferFile(EmbeddedModel):
    """One file of a transfer."""

    original_name: NonEmptyText
    display_name: Text | None = None
    file_name: NonEmptyText
    file_path: NonEmptyText
    r2_key: Text | None = Field(default=None, alias="r2Key")
    mime_type: NonEmptyText
    size: NonNegative
    storage_type: StorageType | None = "local"
    file_id: Text | None = None
    uploaded_at: BsonDate | None = None
    upload_date: BsonDate | None = None
    """The older name of ``uploaded_at``."""


class FileTransfer(MongooseDocument):
    """A transfer; since 2026-04-12 it may name a workspace, as a string."""

    collection_name: ClassVar[str] = "filetransfers"

    user_id: OwnerId
    workspace_id: WorkspaceIdString | None = None
    files: list[TransferFile] | None = Field(default_factory=list)
    total_size: NonNegative
    share_link: NonEmptyText = Field(repr=False)
    download_link: Text | None = Field(default=None, repr=False)
    access_key: NonEmptyText = Field(repr=False)
    expiry_date: BsonDate
    status: TransferStatus | None = "active"
    recipient_email: Text | None = None
    upload_method: UploadMethod | None = "direct"


class AccessGrant(MongooseDocument):
    """That somebody may fetch a transfer."""

    collection_name: ClassVar[str] = "accessgrants"

    transfer_id: ObjectIdField
    buyer_id: Text | None = None
    stripe_session_id: Text | None = None


class DownloadEvent(MongooseDocument):
    """That somebody fetched a transfer."""

    collection_name: ClassVar[str] = "downloadevents"

    transfer_id: ObjectIdField
    access_grant_id: ObjectIdField | None = None
