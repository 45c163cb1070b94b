"""Shape of the records of runs, as far as later commands rely on it.

Anybody who may write to the database may have changed them. Fields that are not named here are
read by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from bson import Binary, ObjectId
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

__all__ = ["GREATEST_NUMBER", "is_run", "is_user_line"]

GREATEST_NUMBER: Final = 2**53 - 1
"""Greater integers are not exact where somebody edits a record in JavaScript."""

_Count = Annotated[int, Field(ge=0, le=GREATEST_NUMBER)]
_Choice = str | int | bool | list[str] | None


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", arbitrary_types_allowed=True)


class _Index(_Shape):
    name: str
    key: dict[str, Any]


class _Indexes(_Shape):
    collection: str
    indexes: list[_Index]


class _DroppedIndex(_Shape):
    collection: str
    index: _Index


class _Summary(_Shape):
    quarantined: _Count = 0
    quarantined_without: _Count = Field(default=0, alias="quarantinedWithout")
    unforeseen: _Count = 0


class _Collection(_Shape):
    collection: str
    count: _Count
    digest: str
    without: list[str]


class _Baseline(_Shape):
    source: Literal["backup", "run"]
    backup: str
    name: str
    taken: str
    collections: list[_Collection]


class _Replaced(_Shape):
    collection: str
    before: str
    restored: str


class _Run(_Shape):
    run_id: ObjectId = Field(alias="_id")
    number: _Count
    token: _Count = 0
    command: str
    state: Literal["running", "done", "rolling-back", "rolled-back"]
    policy: dict[str, _Choice]
    version: str | None = None
    database: str | None = None
    source: str | None = None
    started_at: datetime | None = Field(default=None, alias="startedAt")
    finished_at: datetime | None = Field(default=None, alias="finishedAt")
    plan_digests: dict[str, str] | None = Field(default=None, alias="planDigests")
    baseline: _Baseline | None = None
    collections: dict[str, _Summary] | None = None
    collections_before: list[str] = Field(default=[], alias="collectionsBefore")
    indexes_before: list[_Indexes] = Field(default=[], alias="indexesBefore")
    indexes_dropped: list[_DroppedIndex] = Field(default=[], alias="indexesDropped")
    replaced: list[_Replaced] = []
    done: list[str] = []
    backup: str | None = None
    restored_indexes: _Count = Field(default=0, alias="restoredIndexes")
    refused_indexes: list[Annotated[list[str], Field(min_length=3, max_length=3)]] = Field(
        default=[], alias="refusedIndexes"
    )
    rollback_policy: dict[str, _Choice] | None = Field(default=None, alias="rollbackPolicy")
    rollback_session: Binary | None = Field(default=None, alias="rollbackSession")
    part_begun: bool = Field(default=False, alias="partBegun")
    aside_dropped: bool = Field(default=False, alias="asideDropped")
    journal_entries: _Count = Field(default=0, alias="journalEntries")
    journal_dropped: bool = Field(default=False, alias="journalDropped")
    timings: dict[str, float] | None = None
    quarantined: _Count | None = None
    exit_code: _Count | None = Field(default=None, alias="exitCode")


class _LineId(_Shape):
    run: ObjectId
    legacy: Any


class _UserLine(_Shape):
    id: _LineId = Field(alias="_id")
    user_id: ObjectId | None = Field(alias="userId")
    organization_id: ObjectId | None = Field(alias="organizationId")
    outcome: str
    reason: str | None
    unfilled: bool = False
    went_back: bool = Field(default=False, alias="wentBack")


_RUN: Final = TypeAdapter(_Run)
_USER_LINE: Final = TypeAdapter(_UserLine)


def is_run(document: Mapping[str, Any]) -> bool:
    """Whether a stored record of a run is one."""
    return _fits(_RUN, document)


def is_user_line(document: Mapping[str, Any]) -> bool:
    """Whether a stored line of who became who is one."""
    return _fits(_USER_LINE, document)


def _fits(shape: TypeAdapter[Any], document: Mapping[str, Any]) -> bool:
    try:
        shape.validate_python(document)
    except ValidationError:
        return False
    return True
