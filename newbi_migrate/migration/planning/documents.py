"""The document plane: every document of a collection, read and decided in groups.

A plan, a run and a validation decide by the same code; what is decided is written elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bson import ObjectId, encode

from newbi_migrate.documents.registry import CollectionSpec, Registry
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.mapping.workspace import (
    Action,
    Reason,
    Resolution,
    Workspaces,
    resolve,
)
from newbi_migrate.migration.planning.digests import of_group, of_quarantined
from newbi_migrate.migration.planning.owners import owner_of
from newbi_migrate.migration.planning.results import (
    SAYING_NOTHING,
    CollectionSummary,
    Findings,
    Quarantine,
)
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.decoding import documents_of
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import MAX_PRIOR_BYTES
from newbi_migrate.store.lookup import MAX_TREE_KEYS
from newbi_migrate.store.raw import MAX_DOCUMENT_BYTES, elements_by_name, one_of
from newbi_migrate.store.reading import read_by_ids
from newbi_migrate.store.validators import refused_with, refuses
from newbi_migrate.store.windows import (
    WindowGroup,
    has_only_object_ids,
    larger_of,
    larger_than,
    read_portions,
    read_windows,
)

__all__ = ["MOST_OWNERS", "Decided", "DocumentCounts", "DocumentPlane", "Surveyed"]

# Documents that are decided about at once: many groups, few of the server's replies.
_PORTION: Final = 50_000

Decided = tuple[WindowGroup, Resolution]
"""Documents that hold the same, and what was decided about them."""

# More bytes than a run adds to a document: a workspace, and ids of users in place of others.
_MOST_ADDED: Final = 64 * 1024

MOST_OWNERS: Final = 2 * MAX_TREE_KEYS + 1
"""Owners of a collection who are noted in a plan: more than fit into one expression."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a plan learned about one collection.

    Attributes:
        summary: What would happen.
        quarantine: What would be left as it is.
        digest: Sum of the digests of what each document would get, or why it would not.
        owners: Owners of documents that lack a workspace to the workspace they would get; no
            more than :data:`MOST_OWNERS`, beside those that were watched for.
        findings: What is odd about owners and stays so.
        odd_owners: Whether any owner is no ObjectId, or there is none.
    """

    summary: CollectionSummary
    quarantine: Quarantine
    digest: int
    owners: Mapping[ObjectId, ObjectId] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    odd_owners: bool = False

    @property
    def has_stored(self) -> bool:
        """Whether any document holds a workspace already, right or wrong."""
        return bool(self.summary.classes.keys() - SAYING_NOTHING)

    def without(self, refused: CollectionSummary) -> Surveyed:
        """The same where what would be written to some documents is refused.

        Args:
            refused: What would have happened to them.
        """
        summary = replace(
            self.summary,
            stamped=self.summary.stamped - refused.stamped,
            owners_rewritten=self.summary.owners_rewritten - refused.owners_rewritten,
            quarantined=self.summary.quarantined + refused.documents,
            quarantined_without=self.summary.quarantined_without + refused.without_workspace,
        )
        return replace(self, summary=summary)


class DocumentPlane:
    """Decisions about the documents of registered collections.

    Args:
        database: Where.
        registry: All collections, so that parents are known.
        workspaces: Who is who.
        rewrite_owners: Whether fields that name an aliased user are rewritten.
        comment: Attached to every command.
        unwritable: Names of views and time series: whatever is to be changed in them is
            quarantined.
        odd_users: Keys of quarantined users' ids that are no ObjectIds, to these ids.

    Attributes:
        workspace_field: Name of the field that scopes a document.
        workspaces: Who is who.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        workspaces: Workspaces,
        *,
        rewrite_owners: bool,
        comment: str,
        unwritable: Container[str] = (),
        odd_users: Mapping[bytes, Any] | None = None,
    ) -> None:
        self._database = database
        self._odd_users = odd_users or {}
        self.unwritable = unwritable
        self._registry = registry
        self.workspaces = workspaces
        self._rewrite = rewrite_owners
        self._comment = comment
        self.workspace_field = registry.workspace_field

    def concerns(self, spec: CollectionSpec) -> bool:
        """Whether documents of a collection can be changed at all."""
        return spec.scoped or bool(self._rewrite and self.workspaces.aliases and spec.user_fields)

    async def survey(
        self, spec: CollectionSpec, progress: Progress, watched: Container[ObjectId] = ()
    ) -> Surveyed:
        """Decide about every document of a collection, without writing.

        Args:
            spec: The collection.
            progress: Told of every window.
            watched: Owners who are noted however many others there are.
        """
        counts = self.counts(spec)
        owners: dict[ObjectId, ObjectId] = {}
        findings = Findings()
        owner = None if spec.name in self.unwritable else owner_of(spec)
        odd_owners = False
        digest = 0
        async for decided in self.decided(spec):
            for group, resolution in decided:
                counts.add(group, resolution)
                odd_owners |= not isinstance(group.stored.get(spec.owner_field or ""), ObjectId)
                if owner is not None and resolution.action is not Action.QUARANTINE:
                    code = owner.oddity(group.stored)
                    if code is not None:
                        findings.extend(Finding(code, spec.name, i, owner.name) for i in group.ids)
                if resolution.action is Action.STAMP:
                    counts.add_changes(resolution.changes, len(group.ids))
                    self._note_owner(spec, group, resolution, owners, watched)
                digest += _digest(group, resolution)
            progress.advance(sum(group.count for group, _ in decided), spec.name)
        return Surveyed(counts.summary, counts.quarantine, digest, owners, findings, odd_owners)

    async def too_large(self, spec: CollectionSpec) -> list[Any]:
        """Ids of documents that are too large to hold what a run would write into them."""
        collection = self._database[spec.name]
        found: list[Any] = []
        async for groups in read_portions(
            collection,
            self.fields(spec),
            query=larger_than(MAX_DOCUMENT_BYTES - _MOST_ADDED),
            size=_PORTION,
            comment=self._comment,
        ):
            for group, resolution in await self.decide(spec, groups):
                if resolution.action is not Action.STAMP:
                    continue
                now = len(group.prior([*resolution.changes]).raw)
                then = len(encode(resolution.changes))
                most = MAX_DOCUMENT_BYTES + now - then
                found += await larger_of(collection, group.ids, most, comment=self._comment)
        return found

    async def refused_by_validator(
        self, spec: CollectionSpec, info: CollectionInfo
    ) -> AsyncIterator[list[Any]]:
        """Ids of documents that the collection's validator refuses with what a run would write.

        Args:
            spec: The collection.
            info: The same as it is in the database.
        """
        if not refuses(info):
            return
        collection = self._database[spec.name]
        async for decided in self.decided(spec):
            written = (
                (group.ids, elements_by_name(encode(resolution.changes)))
                for group, resolution in decided
                if resolution.action is Action.STAMP
            )
            yield await refused_with(collection, info, written, comment=self._comment)

    async def written_among(self, spec: CollectionSpec, ids: Sequence[Any]) -> list[Decided]:
        """Those of some documents to which a run writes, with what it does."""
        written: list[Decided] = []
        for at in range(0, len(ids), _PORTION):
            query = {"_id": one_of(ids[at : at + _PORTION])}
            async for groups in read_portions(
                self._database[spec.name],
                self.fields(spec),
                query=query,
                size=_PORTION,
                comment=self._comment,
            ):
                decided = await self.decide(spec, groups)
                written += [one for one in decided if one[1].action is Action.STAMP]
        return written

    async def census(self, spec: CollectionSpec) -> CollectionSummary:
        """Decide about every document of a collection by what it holds, without its id."""
        if spec.name in self.unwritable:
            return (await self.survey(spec, NullProgress())).summary
        # Whom a census quarantines is counted, and not named.
        counts = self.counts(spec)
        collection = self._database[spec.name]
        if not await has_only_object_ids(collection, comment=self._comment):
            # Some ids cannot be decoded, which no count tells.
            async for decided in self.decided(spec):
                for group, resolution in decided:
                    counts.add(group, resolution)
            return counts.summary
        async for groups in count_groups(collection, self.fields(spec), comment=self._comment):
            for group, resolution in await self.decide(spec, groups):
                counts.add(group, resolution)
        return counts.summary

    def fields(self, spec: CollectionSpec) -> list[str]:
        """The fields on which a decision depends, the workspace first."""
        fields = [] if not spec.scoped else [self.workspace_field]
        fields += spec.user_fields
        if spec.parent is not None and spec.parent.field not in fields:
            fields.append(spec.parent.field)
        return fields

    async def decided(self, spec: CollectionSpec) -> AsyncIterator[list[Decided]]:
        """Decide about every document of a collection, a portion at a time, with all ids."""
        async for groups in read_portions(
            self._database[spec.name], self.fields(spec), size=_PORTION, comment=self._comment
        ):
            yield await self.decide(spec, groups)

    def windows(self, spec: CollectionSpec, size: int) -> AsyncIterator[Sequence[WindowGroup]]:
        """The documents of a collection in the order of their ids, so many at a time."""
        return read_windows(
            self._database[spec.name], self.fields(spec), size=size, comment=self._comment
        )

    def counts(self, spec: CollectionSpec) -> DocumentCounts:
        """Counts of the documents of a collection, to begin with."""
        return DocumentCounts(spec, self.workspace_field, self._odd_users)

    async def decide(self, spec: CollectionSpec, groups: Sequence[WindowGroup]) -> list[Decided]:
        """Decide about groups of documents, however they were read."""
        parents = await self._parents(spec, groups)
        decided: list[Decided] = []
        for group in groups:
            parent = None
            if spec.parent is not None:
                link = read_id(group.stored.get(spec.parent.field, ABSENT)).value
                parent = None if link is None else parents.get(link)
            resolution = resolve(
                spec,
                self.workspaces,
                stored=group.stored.get(self.workspace_field, ABSENT),
                users=group.stored,
                parent_workspace=parent,
                workspace_field=self.workspace_field,
                rewrite_owners=self._rewrite,
            )
            hindrance = self._hindrance(spec, group, resolution)
            if hindrance is not None:
                resolution = Resolution(resolution.stored, Action.QUARANTINE, reason=hindrance)
            decided.append((group, resolution))
        return decided

    def _hindrance(
        self, spec: CollectionSpec, group: WindowGroup, resolution: Resolution
    ) -> Reason | None:
        """Why documents stay as they are, whatever they hold; ``None`` if nothing hinders."""
        if not group.readable:
            return Reason.UNREADABLE
        if resolution.action is not Action.STAMP:
            return None
        if spec.name in self.unwritable:
            return Reason.NOT_A_PLAIN_COLLECTION
        return Reason.DOCUMENT_TOO_LARGE if len(group.raw_key) > MAX_PRIOR_BYTES else None

    async def _parents(
        self, spec: CollectionSpec, groups: Sequence[WindowGroup]
    ) -> Mapping[ObjectId, ObjectId]:
        """Workspace of each parent of some documents, as it is or as it is going to be."""
        if spec.parent is None:
            return {}
        links = {
            link
            for group in groups
            if (link := read_id(group.stored.get(spec.parent.field, ABSENT)).value) is not None
        }
        if not links:
            return {}
        parent = self._registry[spec.parent.collection]
        found: dict[ObjectId, ObjectId] = {}
        parents = read_by_ids(
            self._database[parent.name],
            sorted(links),
            (self.workspace_field, *parent.user_fields),
            comment=self._comment,
        )
        async for document in documents_of(parents):
            workspace = self._workspace_of(parent, document)
            if workspace is not None:
                found[document["_id"]] = workspace
        return found

    def _workspace_of(self, spec: CollectionSpec, document: Mapping[str, Any]) -> ObjectId | None:
        resolution = resolve(
            spec,
            self.workspaces,
            stored=document.get(self.workspace_field, ABSENT),
            users=document,
            workspace_field=self.workspace_field,
            rewrite_owners=False,
        )
        stored = document.get(self.workspace_field, ABSENT)
        held = read_id(resolution.changes.get(self.workspace_field, stored)).value
        return held if held in self.workspaces.organizations else None

    def _note_owner(
        self,
        spec: CollectionSpec,
        group: WindowGroup,
        resolution: Resolution,
        owners: dict[ObjectId, ObjectId],
        watched: Container[ObjectId],
    ) -> None:
        if spec.owner_field is None:
            return
        owner = read_id(group.stored.get(spec.owner_field, ABSENT)).value
        workspace = read_id(resolution.changes.get(self.workspace_field, ABSENT)).value
        if owner is None or workspace is None:
            return
        if len(owners) < MOST_OWNERS or owner in watched:
            owners[owner] = workspace


class DocumentCounts:
    """What happens to the documents of a collection, counted as they are decided about.

    Args:
        spec: The collection.
        workspace_field: Name of the field that scopes a document.
        odd_users: Keys of quarantined users' ids that are no ObjectIds, to these ids.

    Attributes:
        summary: The counts.
        quarantine: The documents that cannot be resolved.
    """

    def __init__(
        self, spec: CollectionSpec, workspace_field: str, odd_users: Mapping[bytes, Any]
    ) -> None:
        self._spec = spec
        self._field = workspace_field
        self._odd_users = odd_users
        self.summary = CollectionSummary(spec.name)
        self.quarantine = Quarantine()

    def add(self, group: WindowGroup, resolution: Resolution) -> None:
        """Count documents by what was decided; what is changed in them is counted apart."""
        summary, number = self.summary, group.count
        summary.documents += number
        if resolution.stored is not None:
            summary.classes[resolution.stored] += number
        if resolution.action is Action.KEEP:
            summary.kept += number
        elif resolution.reason is not None:
            summary.quarantined += number
            if resolution.stored in SAYING_NOTHING:
                summary.quarantined_without += number
            path = _path(self._spec, resolution.reason, self._field)
            user = self._whose(group, resolution.reason)
            self.quarantine.add(self._spec.name, path, resolution.reason, group.ids, user)

    def _whose(self, group: WindowGroup, reason: Reason) -> Any:
        """The id of the quarantined user whom documents belong to."""
        if reason is Reason.OWNER_MALFORMED and self._odd_users:
            return self._odd_users.get(id_key(group.stored.get(self._spec.owner_field or "")))
        if reason is not Reason.OWNER_QUARANTINED:
            return None
        owner = read_id(group.stored.get(self._spec.owner_field or "", ABSENT))
        # Where nobody owns it, a user's id stands in place of a workspace's.
        return owner.value or read_id(group.stored.get(self._field, ABSENT)).value

    def add_changes(self, changes: Mapping[str, Any], documents: int) -> None:
        """Count documents in which something is changed."""
        if self._field in changes:
            self.summary.stamped += documents
        if changes.keys() - {self._field}:
            self.summary.owners_rewritten += documents


_OWNER_REASONS = frozenset(
    {
        Reason.OWNER_AMBIGUOUS,
        Reason.OWNER_MALFORMED,
        Reason.OWNER_MISSING,
        Reason.OWNER_QUARANTINED,
        Reason.OWNER_UNKNOWN,
        Reason.OWNER_WITHOUT_WORKSPACE,
    }
)


def _path(spec: CollectionSpec, reason: Reason, workspace_field: str) -> str:
    if reason in _OWNER_REASONS and spec.owner_field is not None:
        return spec.owner_field
    return workspace_field if spec.scoped else ""


def _digest(group: WindowGroup, resolution: Resolution) -> int:
    if resolution.action is Action.STAMP:
        return of_group(resolution.changes, group.ids)
    return 0 if resolution.reason is None else of_quarantined(resolution.reason, group.ids)
