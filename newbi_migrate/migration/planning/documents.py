"""The document plane: every document of a collection, decided in windows and stamped.

The same code reads for a plan and for a run; a run writes besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.documents.registry import CollectionSpec, Registry
from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.mapping.workspace import (
    Action,
    Directory,
    Reason,
    Resolution,
    WorkspaceClass,
    resolve,
)
from newbi_migrate.migration.planning.digests import of_group, of_quarantined
from newbi_migrate.migration.planning.results import CollectionSummary, Quarantine
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.collections import Identities
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.decoding import decoded
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.journal import MAX_PRIOR_BYTES, Journal, JournalGroup, portions
from newbi_migrate.store.lookup import MAX_TREE_KEYS
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import MAX_IDS, WindowOutcome, chunks, write_groups
from newbi_migrate.store.windows import (
    Window,
    WindowGroup,
    WindowReader,
    has_only_object_ids,
    read_singly,
)

__all__ = ["PLAN_WINDOW", "DocumentPlane", "Surveyed"]

PLAN_WINDOW: Final = 50_000
"""Documents in a window of a plan, whatever the batch size."""

MOST_OWNERS: Final = 2 * MAX_TREE_KEYS + 1
"""Owners of a collection who are noted in a plan: more than fit into one expression."""

_SAYING_NOTHING: Final = {WorkspaceClass.MISSING, WorkspaceClass.NULL, WorkspaceClass.BLANK}


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a plan learned about one collection.

    Attributes:
        summary: What would happen.
        quarantine: What would be left as it is.
        digest: Sum of the digests of what each document would get, or why it would not.
        owners: Owners of documents that lack a workspace to the workspace they would get; no
            more than :data:`MOST_OWNERS`, beside those that were watched for.
    """

    summary: CollectionSummary
    quarantine: Quarantine
    digest: int
    owners: Mapping[ObjectId, ObjectId] = field(default_factory=dict)

    @property
    def has_stored(self) -> bool:
        """Whether any document holds a workspace already, right or wrong."""
        return bool(self.summary.classes.keys() - _SAYING_NOTHING)


class DocumentPlane:
    """Decisions about the documents of registered collections, and the stamping of them.

    Args:
        database: Where.
        registry: All collections, so that parents are known.
        directory: Who is who.
        rewrite_owners: Whether fields that name an aliased user are rewritten.
        comment: Attached to every command.
        unwritable: Names of views and time series: whatever is to be changed in them is
            quarantined.
    """

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        registry: Registry,
        directory: Directory,
        *,
        rewrite_owners: bool,
        comment: str,
        unwritable: Container[str] = (),
    ) -> None:
        self._database = database
        self._unwritable = unwritable
        self._registry = registry
        self._directory = directory
        self._rewrite = rewrite_owners
        self._comment = comment
        self._field = registry.workspace_field

    def concerns(self, spec: CollectionSpec) -> bool:
        """Whether documents of a collection can be changed at all."""
        return spec.scoped or bool(self._rewrite and self._directory.aliases and spec.user_fields)

    async def survey(
        self, spec: CollectionSpec, progress: Progress, watched: Container[ObjectId] = ()
    ) -> Surveyed:
        """Decide about every document of a collection, without writing.

        Args:
            spec: The collection.
            progress: Told of every window.
            watched: Owners who are noted however many others there are.
        """
        summary = CollectionSummary(spec.name)
        quarantine = Quarantine()
        owners: dict[ObjectId, ObjectId] = {}
        digest = 0
        async for groups in self._all(spec):
            for group, resolution in await self.decide(spec, groups):
                self._count(spec, summary, quarantine, group, resolution)
                if resolution.action is Action.STAMP:
                    self._count_changes(summary, resolution.changes, len(group.ids))
                    self._note_owner(spec, group, resolution, owners, watched)
                digest += _digest(group, resolution)
            progress.advance(sum(group.count for group in groups), spec.name)
        return Surveyed(summary, quarantine, digest, owners)

    async def apply(
        self,
        spec: CollectionSpec,
        session: LeasedSession,
        journal: Journal,
        *,
        batch_size: int,
        workers: int,
        repeat: bool,
    ) -> tuple[CollectionSummary, Quarantine, Quarantine]:
        """Stamp every document of a collection that can be resolved.

        One task reads and journals window after window; ``workers`` tasks send the statements.

        Args:
            spec: The collection.
            session: The leased session.
            journal: Journal of the run.
            batch_size: Documents in a window.
            workers: Statements under way at once.
            repeat: Whether the run may have written to some of the documents before.

        Returns:
            A summary; the documents that the server refused to write; those that cannot be
            resolved.
        """
        if spec.name in self._unwritable:
            seen = await self.survey(spec, session.progress)
            return seen.summary, Quarantine(), seen.quarantine
        summary = CollectionSummary(spec.name)
        refused, left = Quarantine(), Quarantine()
        queue: asyncio.Queue[_Journaled | None] = asyncio.Queue(maxsize=workers)
        identities = await Identities.now(self._database, comment=self._comment)

        async def work() -> None:
            while (window := await queue.get()) is not None:
                for seq, groups in window.entries:
                    await session.turn(sum(len(group.ids) for group in groups))
                    await identities.check(spec.name)
                    outcome = await write_groups(session, spec.name, groups, read=self.fields(spec))
                    await journal.applied_window(seq, outcome.groups)
                    self._account(spec, summary, refused, groups, outcome)
                session.progress.advance(window.count, spec.name)

        async def read() -> None:
            async for window in self._reader(spec, batch_size).windows():
                journaled = _Journaled(window.count)
                for groups in portions(await self._groups(spec, window, summary, left)):
                    seq = await journal.append_window(spec.name, groups, repeat=repeat)
                    journaled.entries.append((seq, groups))
                if journaled.entries:
                    await queue.put(journaled)
                else:
                    session.progress.advance(window.count, spec.name)
            for _ in range(workers):
                await queue.put(None)

        async with task_group() as tasks:
            tasks.create_task(read())
            for _ in range(workers):
                tasks.create_task(work())
        return summary, refused, left

    async def census(self, spec: CollectionSpec) -> CollectionSummary:
        """Decide about every document of a collection by what it holds, without its id."""
        if spec.name in self._unwritable:
            return (await self.survey(spec, NullProgress())).summary
        summary = CollectionSummary(spec.name)
        # Whom a census quarantines is counted, and not named.
        unnamed = Quarantine()
        collection = self._database[spec.name]
        if not await has_only_object_ids(collection, comment=self._comment):
            # Some ids cannot be decoded, which no count tells.
            async for group, resolution in self.decided(spec):
                self._count(spec, summary, unnamed, group, resolution)
            return summary
        async for groups in count_groups(collection, self.fields(spec), comment=self._comment):
            for group, resolution in await self.decide(spec, groups):
                self._count(spec, summary, unnamed, group, resolution)
        return summary

    def fields(self, spec: CollectionSpec) -> list[str]:
        """The fields on which a decision depends, the workspace first."""
        fields = [] if not spec.scoped else [self._field]
        fields += spec.user_fields
        if spec.parent is not None and spec.parent.field not in fields:
            fields.append(spec.parent.field)
        return fields

    async def decided(self, spec: CollectionSpec) -> AsyncIterator[tuple[WindowGroup, Resolution]]:
        """Decide about every document of a collection; the groups hold all ids."""
        async for window in self._reader(spec, PLAN_WINDOW).windows():
            for group, resolution in await self.decide(spec, window.groups):
                yield group, resolution

    async def _all(self, spec: CollectionSpec) -> AsyncIterator[Sequence[WindowGroup]]:
        """All documents of a collection, in groups that hold their ids."""
        if spec.name in self._unwritable:
            async for groups in read_singly(
                self._database[spec.name], self.fields(spec), comment=self._comment
            ):
                yield groups
            return
        async for window in self._reader(spec, PLAN_WINDOW).windows():
            yield window.groups

    def _reader(self, spec: CollectionSpec, size: int) -> WindowReader:
        return WindowReader(
            self._database[spec.name], self.fields(spec), size=size, comment=self._comment
        )

    async def decide(
        self, spec: CollectionSpec, groups: Sequence[WindowGroup]
    ) -> list[tuple[WindowGroup, Resolution]]:
        """Decide about groups of documents, however they were read."""
        parents = await self._parents(spec, groups)
        decided: list[tuple[WindowGroup, Resolution]] = []
        for group in groups:
            if not group.readable:
                decided.append(
                    (group, Resolution(None, Action.QUARANTINE, reason=Reason.UNREADABLE))
                )
                continue
            parent = None
            if spec.parent is not None:
                link = read_id(group.stored.get(spec.parent.field, ABSENT)).value
                parent = None if link is None else parents.get(link)
            resolution = resolve(
                spec,
                self._directory,
                stored=group.stored.get(self._field, ABSENT),
                users=group.stored,
                parent_workspace=parent,
                workspace_field=self._field,
                rewrite_owners=self._rewrite,
            )
            if resolution.action is Action.STAMP and spec.name in self._unwritable:
                resolution = Resolution(
                    resolution.stored, Action.QUARANTINE, reason=Reason.NOT_A_PLAIN_COLLECTION
                )
            if resolution.action is Action.STAMP and len(group.raw_key) > MAX_PRIOR_BYTES:
                resolution = Resolution(
                    resolution.stored, Action.QUARANTINE, reason=Reason.DOCUMENT_TOO_LARGE
                )
            decided.append((group, resolution))
        return decided

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
        projection = dict.fromkeys((self._field, *parent.user_fields), 1)
        found: dict[ObjectId, ObjectId] = {}
        for ids in chunks(sorted(links), MAX_IDS):
            cursor = self._database[parent.name].find_raw_batches(
                {"_id": {"$in": ids}},
                projection,
                collation=SIMPLE_COLLATION,
                comment=self._comment,
            )
            async for document, _ in decoded(cursor):
                workspace = self._workspace_of(parent, document)
                if workspace is not None:
                    found[document["_id"]] = workspace
        return found

    def _workspace_of(self, spec: CollectionSpec, document: Mapping[str, Any]) -> ObjectId | None:
        resolution = resolve(
            spec,
            self._directory,
            stored=document.get(self._field, ABSENT),
            users=document,
            workspace_field=self._field,
            rewrite_owners=False,
        )
        stored = document.get(self._field, ABSENT)
        held = read_id(resolution.changes.get(self._field, stored)).value
        return held if held in self._directory.organizations else None

    def _count(
        self,
        spec: CollectionSpec,
        summary: CollectionSummary,
        quarantine: Quarantine,
        group: WindowGroup,
        resolution: Resolution,
    ) -> None:
        number = group.count
        summary.documents += number
        if resolution.stored is not None:
            summary.classes[resolution.stored] += number
        if resolution.action is Action.KEEP:
            summary.kept += number
        elif resolution.reason is not None:
            summary.quarantined += number
            path = _path(spec, resolution.reason, self._field)
            quarantine.add(spec.name, path, resolution.reason, group.ids)

    def _count_changes(
        self, summary: CollectionSummary, changes: Mapping[str, Any], documents: int
    ) -> None:
        if self._field in changes:
            summary.stamped += documents
        if changes.keys() - {self._field}:
            summary.owners_rewritten += documents

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
        workspace = read_id(resolution.changes.get(self._field, ABSENT)).value
        if owner is None or workspace is None:
            return
        if len(owners) < MOST_OWNERS or owner in watched:
            owners[owner] = workspace

    async def _groups(
        self, spec: CollectionSpec, window: Window, summary: CollectionSummary, left: Quarantine
    ) -> list[JournalGroup]:
        """What is to be written to a window: documents of which the same was read go together."""
        fields = self.fields(spec)
        found: dict[bytes, JournalGroup] = {}
        for group, resolution in await self.decide(spec, window.groups):
            self._count(spec, summary, left, group, resolution)
            if resolution.action is Action.STAMP:
                prior = group.prior(fields, window.names)
                # What was read decides what is written.
                same = found.setdefault(
                    bytes(prior.raw), JournalGroup(resolution.changes, prior, [])
                )
                same.ids.extend(group.ids)
        return list(found.values())

    def _account(
        self,
        spec: CollectionSpec,
        summary: CollectionSummary,
        refused: Quarantine,
        groups: Sequence[JournalGroup],
        outcome: WindowOutcome,
    ) -> None:
        for group in groups if outcome.groups is None else outcome.groups:
            self._count_changes(summary, group.changes, len(group.ids))
        for refusal in outcome.refused:
            reason = Reason.WRITE_REFUSED
            if refusal.too_large:
                reason = Reason.DOCUMENT_TOO_LARGE
            elif refusal.duplicate:
                reason = Reason.UNIQUE_KEY
            summary.quarantined += 1
            refused.add(spec.name, self._field, reason, [refusal.id])
        # A document somebody changed or deleted meanwhile is not ours to count: the re-scan at
        # the end of the run sees what it is now.
        summary.documents -= len(outcome.changed)


@dataclass(slots=True)
class _Journaled:
    """A window that has been journaled: number and groups of each entry."""

    count: int
    entries: list[tuple[int, Sequence[JournalGroup]]] = field(default_factory=list)


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
