"""Stamping the documents of a collection as was decided: journaled beforehand, window by window.

One task reads, decides and journals window after window; others send the statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.values import ABSENT, is_missing
from newbi_migrate.mapping.workspace import Action, Reason
from newbi_migrate.migration.planning.documents import DocumentCounts, DocumentPlane
from newbi_migrate.migration.planning.results import CollectionSummary, Quarantine
from newbi_migrate.store.collections import Identities
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import Journal, JournalGroup, portions
from newbi_migrate.store.raw import join_ids
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import Refusal, WindowOutcome, write_groups
from newbi_migrate.store.windows import WindowGroup

__all__ = ["DocumentWriter"]


@dataclass(slots=True)
class _Journaled:
    """A window that has been journaled: number and groups of each entry."""

    count: int
    entries: list[tuple[int, Sequence[JournalGroup]]] = field(default_factory=list)


class DocumentWriter:
    """Writer of what is decided about documents.

    Args:
        session: The leased session.
        journal: Journal of the run.
        plane: Decides.
    """

    def __init__(self, session: LeasedSession, journal: Journal, plane: DocumentPlane) -> None:
        self._session = session
        self._journal = journal
        self._plane = plane

    async def write(
        self, spec: CollectionSpec, *, batch_size: int, workers: int, repeat: bool
    ) -> tuple[CollectionSummary, Quarantine, Quarantine]:
        """Stamp every document of a collection that can be resolved.

        Args:
            spec: The collection.
            batch_size: Documents in a window.
            workers: Statements under way at once.
            repeat: Whether the run may have written to some of the documents before.

        Returns:
            A summary; the documents that the server refused to write; those that cannot be
            resolved.
        """
        session, plane = self._session, self._plane
        if spec.name in plane.unwritable:
            seen = await plane.survey(spec, session.progress)
            return seen.summary, Quarantine(), seen.quarantine
        counts, refused = plane.counts(spec), Quarantine()
        queue: asyncio.Queue[_Journaled | None] = asyncio.Queue(maxsize=1)
        identities = await Identities.now(session.database, comment=session.comment)

        async def work() -> None:
            while (window := await queue.get()) is not None:
                for seq, groups in window.entries:
                    await session.turn(sum(len(group.ids) for group in groups))
                    await identities.check(spec.name)
                    outcome = await write_groups(
                        session, spec.name, groups, read=plane.fields(spec)
                    )
                    await self._journal.applied_window(seq, outcome.groups)
                    self._account(spec, counts, refused, groups, outcome)
                session.progress.advance(window.count, spec.name)

        async def read() -> None:
            async for window in plane.windows(spec, batch_size):
                journaled = _Journaled(sum(group.count for group in window))
                for groups in portions(await self._groups(spec, window, counts)):
                    seq = await self._journal.append_window(spec.name, groups, repeat=repeat)
                    journaled.entries.append((seq, groups))
                if journaled.entries:
                    await queue.put(journaled)
                else:
                    session.progress.advance(journaled.count, spec.name)
            for _ in range(workers):
                await queue.put(None)

        async with task_group() as tasks:
            tasks.create_task(read())
            for _ in range(workers):
                tasks.create_task(work())
        return counts.summary, refused, counts.quarantine

    async def _groups(
        self, spec: CollectionSpec, window: Sequence[WindowGroup], counts: DocumentCounts
    ) -> list[JournalGroup]:
        """What is to be written to a window: documents of which the same was read go together."""
        fields = self._plane.fields(spec)
        # What was read decides what is written.
        found: dict[bytes, tuple[JournalGroup, list[Sequence[Any]]]] = {}
        for group, resolution in await self._plane.decide(spec, window):
            counts.add(group, resolution)
            if resolution.action is Action.STAMP:
                prior = group.prior(fields)
                written = JournalGroup(resolution.changes, prior, ())
                found.setdefault(bytes(prior.raw), (written, []))[1].append(group.ids)
        return [replace(written, ids=join_ids(parts)) for written, parts in found.values()]

    def _account(
        self,
        spec: CollectionSpec,
        counts: DocumentCounts,
        refused: Quarantine,
        groups: Sequence[JournalGroup],
        outcome: WindowOutcome,
    ) -> None:
        for group in groups if outcome.groups is None else outcome.groups:
            counts.add_changes(group.changes, len(group.ids))
        workspace = self._plane.workspace_field
        for refusal in outcome.refused:
            refused.add(spec.name, workspace, _reason(refusal), [refusal.id])
        if outcome.refused:
            # Some have their workspace already, and only a user in them was to be rewritten.
            without = {
                id_key(identifier)
                for group in groups
                if is_missing(group.prior.get(workspace, ABSENT))
                for identifier in group.ids
            }
            keys = [id_key(refusal.id) for refusal in outcome.refused]
            counts.summary.quarantined += len(keys)
            counts.summary.quarantined_without += sum(key in without for key in keys)
        # A document somebody changed or deleted meanwhile is not ours to count: the re-scan at
        # the end of the run sees what it is now.
        counts.summary.documents -= len(outcome.changed)


def _reason(refusal: Refusal) -> Reason:
    if refusal.too_large:
        return Reason.DOCUMENT_TOO_LARGE
    return Reason.UNIQUE_KEY if refusal.duplicate else Reason.WRITE_REFUSED
