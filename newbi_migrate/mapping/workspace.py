"""Which workspace a document belongs to, decided from four stored values.

Pure and the same for every collection: the registry says what is particular.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.documents.registry import CollectionSpec, IdType
from newbi_migrate.mapping.values import (
    ABSENT,
    IdForm,
    StoredId,
    is_missing,
    read_id,
    trim,
    write_id,
)

__all__ = [
    "Action",
    "Membership",
    "Reason",
    "Resolution",
    "WorkspaceClass",
    "Workspaces",
    "resolve",
    "roles_of",
    "workspace_of",
]


_NOBODY: Final = (IdForm.MISSING, IdForm.NULL)


class WorkspaceClass(StrEnum):
    """What a stored workspace id is worth."""

    MISSING = "missing"
    NULL = "null"
    BLANK = "blank"
    VALID = "valid"
    WRONG_TYPE = "wrong-type"
    DANGLING = "dangling"
    USER_ID = "user-id"
    FOREIGN = "foreign"


class Action(StrEnum):
    """What a migration does with a document."""

    STAMP = "stamp"
    KEEP = "keep"
    QUARANTINE = "quarantine"


class Reason(StrEnum):
    """Why a user or a document could not be migrated and was left as it is."""

    ALIAS_AMBIGUOUS = "alias-ambiguous"
    ALIAS_REFUSED = "alias-refused"
    ALIAS_UNVERIFIED = "alias-unverified"
    DOCUMENT_TOO_LARGE = "document-too-large"
    DUPLICATE_EMAIL = "duplicate-email"
    EMAIL_MISSING = "email-missing"
    FOREIGN_WORKSPACE = "foreign-workspace"
    ID_NOT_OBJECT_ID = "id-not-objectid"
    NOT_A_PLAIN_COLLECTION = "not-a-plain-collection"
    OWNER_AMBIGUOUS = "owner-has-several-workspaces"
    OWNER_MALFORMED = "owner-malformed"
    OWNER_MISSING = "owner-missing"
    OWNER_QUARANTINED = "owner-quarantined"
    OWNER_UNKNOWN = "owner-unknown"
    OWNER_WITHOUT_WORKSPACE = "owner-without-workspace"
    PARENT_ELSEWHERE = "workspace-differs-from-parent"
    UNIQUE_KEY = "unique-key-collision"
    UNREADABLE = "unreadable"
    WRITE_REFUSED = "write-refused"


@dataclass(frozen=True, slots=True)
class Membership:
    """One membership as the application sees it: both ids are ObjectIds.

    Attributes:
        organization_id: The organization, which must exist to count.
        user_id: The member.
        roles: The roles, split at commas.
    """

    organization_id: ObjectId
    user_id: ObjectId
    roles: frozenset[str]


def roles_of(stored: object) -> frozenset[str]:
    """The roles of a stored membership, which joins several by commas."""
    return frozenset(map(trim, stored.split(","))) if isinstance(stored, str) else frozenset()


def workspace_of(memberships: Iterable[Membership]) -> ObjectId | Reason:
    """The workspace a user's documents belong to, among their memberships.

    Sole ownership comes first, then sole administration, then a sole membership; anything
    else is ambiguous, and no membership at all is said as such.
    """
    seen = list(memberships)
    for role in ("owner", "admin", None):
        found = {m.organization_id for m in seen if role is None or role in m.roles}
        if len(found) == 1:
            return found.pop()
        if found:
            return Reason.OWNER_AMBIGUOUS
    return Reason.OWNER_WITHOUT_WORKSPACE


@dataclass(frozen=True, slots=True)
class Workspaces:
    """Who is who after the users have been migrated; all that a resolution needs to know.

    Attributes:
        organizations: Ids of all organizations that exist.
        users: Ids of all users, legacy ids included.
        aliases: Legacy user id to the id of the user who took their place.
        by_user: User id to the workspace of their documents, or the reason why there is none.
        members: User id to the organizations they are a member of.
    """

    organizations: AbstractSet[ObjectId] = frozenset()
    users: AbstractSet[ObjectId] = frozenset()
    aliases: Mapping[ObjectId, ObjectId] = field(default_factory=dict)
    by_user: Mapping[ObjectId, ObjectId | Reason] = field(default_factory=dict)
    members: Mapping[ObjectId, frozenset[ObjectId]] = field(default_factory=dict)

    def current(self, user_id: ObjectId) -> ObjectId:
        """The id under which a user is known now."""
        return self.aliases.get(user_id, user_id)

    def of_user(self, user_id: ObjectId) -> ObjectId | Reason:
        """The workspace of a user's documents, or why there is none."""
        current = self.current(user_id)
        workspace = self.by_user.get(current)
        if workspace is not None:
            return workspace
        return Reason.OWNER_WITHOUT_WORKSPACE if current in self.users else Reason.OWNER_UNKNOWN

    def is_member(self, user_id: ObjectId, organization_id: ObjectId) -> bool:
        """Whether a user, under the id they are known by now, belongs to an organization."""
        return organization_id in self.members.get(self.current(user_id), frozenset())


@dataclass(frozen=True, slots=True)
class Resolution:
    """The decision for one document.

    Attributes:
        stored: Class of the stored workspace id; ``None`` for a collection without one.
        action: What happens.
        changes: Field to new value; empty unless the action is ``stamp``.
        reason: Why a document is quarantined.
    """

    stored: WorkspaceClass | None
    action: Action
    changes: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason | None = None


def resolve(
    spec: CollectionSpec,
    workspaces: Workspaces,
    *,
    stored: object,
    users: Mapping[str, object],
    parent_workspace: ObjectId | None = None,
    workspace_field: str = "workspaceId",
    rewrite_owners: bool = True,
) -> Resolution:
    """Decide what happens to a document.

    Args:
        spec: The collection.
        workspaces: Who is who after the users' migration.
        stored: The stored workspace id, :data:`~newbi_migrate.mapping.values.ABSENT` if none.
        users: The document's value for each of ``spec.user_fields``.
        parent_workspace: Workspace of the parent document, if it has one that exists.
        workspace_field: Name of the field that scopes a document.
        rewrite_owners: Whether fields that name an aliased user are rewritten.
    """
    owners = (
        _alias_changes(spec, workspaces, users) if rewrite_owners and workspaces.aliases else {}
    )
    if spec.workspace_type is None:
        return Resolution(None, Action.STAMP if owners else Action.KEEP, owners)

    owner = read_id(None if spec.owner_field is None else users.get(spec.owner_field))
    found = _classify(spec.workspace_type, workspaces, stored, owner, parent_workspace)
    if found.stored in (WorkspaceClass.VALID, WorkspaceClass.FOREIGN):
        if found.reason is not None:
            return Resolution(found.stored, Action.QUARANTINE, reason=found.reason)
        return Resolution(found.stored, Action.STAMP if owners else Action.KEEP, owners)

    target: ObjectId | Reason
    if found.retype is not None:
        target = found.retype
    elif parent_workspace is not None:
        target = parent_workspace
    else:
        target = _workspace_of_owner(workspaces, owner, found)
    if isinstance(target, Reason):
        return Resolution(found.stored, Action.QUARANTINE, reason=target)
    value = target if spec.workspace_type is IdType.OBJECT_ID else str(target)
    return Resolution(found.stored, Action.STAMP, {workspace_field: value, **owners})


@dataclass(frozen=True, slots=True)
class _Found:
    stored: WorkspaceClass
    # The right organization, stored in the wrong type.
    retype: ObjectId | None = None
    user: ObjectId | None = None
    reason: Reason | None = None


def _classify(
    kind: IdType,
    workspaces: Workspaces,
    stored: object,
    owner: StoredId,
    parent_workspace: ObjectId | None,
) -> _Found:
    if is_missing(stored):
        if stored is ABSENT:
            return _Found(WorkspaceClass.MISSING)
        return _Found(WorkspaceClass.NULL if stored is None else WorkspaceClass.BLANK)
    meant = read_id(stored).value
    if meant is None:
        return _Found(WorkspaceClass.DANGLING)
    if meant not in workspaces.organizations:
        if meant in workspaces.users:
            return _Found(WorkspaceClass.USER_ID, user=meant)
        return _Found(WorkspaceClass.DANGLING)
    right_type = stored == meant if kind is IdType.OBJECT_ID else stored == str(meant)
    if parent_workspace is not None and meant != parent_workspace:
        return _Found(WorkspaceClass.FOREIGN, reason=Reason.PARENT_ELSEWHERE)
    if parent_workspace is None and _is_stranger(workspaces, owner, meant):
        return _Found(WorkspaceClass.FOREIGN, reason=Reason.FOREIGN_WORKSPACE)
    if right_type:
        return _Found(WorkspaceClass.VALID)
    return _Found(WorkspaceClass.WRONG_TYPE, retype=meant)


def _is_stranger(workspaces: Workspaces, owner: StoredId, organization_id: ObjectId) -> bool:
    # Without an owner nothing contradicts a workspace that exists: some collections name none,
    # and in others the field is optional.
    if owner.form in _NOBODY:
        return False
    return owner.value is None or not workspaces.is_member(owner.value, organization_id)


def _workspace_of_owner(
    workspaces: Workspaces, owner: StoredId, found: _Found
) -> ObjectId | Reason:
    if owner.form in _NOBODY:
        # The application once wrote a user's id where a workspace belongs: with no owner to
        # ask, that user is the owner.
        return Reason.OWNER_MISSING if found.user is None else workspaces.of_user(found.user)
    if owner.value is None:
        return Reason.OWNER_MALFORMED
    return workspaces.of_user(owner.value)


def _alias_changes(
    spec: CollectionSpec, workspaces: Workspaces, users: Mapping[str, object]
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in spec.user_fields:
        reference = read_id(users.get(name))
        if reference.value is not None and reference.value in workspaces.aliases:
            changes[name] = write_id(workspaces.aliases[reference.value], reference.form)
    return changes
