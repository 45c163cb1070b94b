"""Writing the users' documents: journaled, together where the server has transactions.

On a replica set the documents of one user are all there or none. A standalone server has no
transactions: there they are written in an order in which an interruption leaves nothing that refers
to something missing, and the next run completes them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set as AbstractSet
from typing import Any

import bson

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.users import CHANGED_MEANWHILE, Finding, Insert, SetMissing, UserWrites
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.users import UserPlane
from newbi_migrate.store.collections import Identities
from newbi_migrate.store.journal import (
    EntryKind,
    Journal,
    UserWrite,
    digest_of_document,
    digests_of_fields,
    in_entries,
    prior_list,
)
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.user_documents import (
    Presence,
    Together,
    presence_of,
    take_back,
    writing_together,
)

__all__ = ["UserWriter"]


class UserWriter:
    """Writer of what a plan says about users.

    Args:
        session: The leased session.
        source: Name of the legacy users' collection.
        journal: Journal of the run.
        identities: Those of the collections that are written to.

    Attributes:
        created: Collection to the number of documents created.
        filled: Collection to the number of documents with filled fields.
        findings: What was not filled, because somebody changed the document meanwhile.
        unfilled: Ids of the legacy users whom that concerns.
    """

    def __init__(
        self, session: LeasedSession, source: str, journal: Journal, identities: Identities
    ) -> None:
        self._session = session
        self._plane = UserPlane(session.database, source, comment=session.comment)
        self._journal = journal
        self._identities = identities
        self.created: Counter[str] = Counter()
        self.filled: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.unfilled: list[Any] = []

    async def write(self, plan: Plan) -> dict[Any, Reason]:
        """Write all users; return those the server refused, with the reason."""
        failed: dict[Any, Reason] = {}
        async for batch in self._plane.writes(plan.users.decisions):
            with_writes = [writes for writes in batch if writes.writes]
            if with_writes:
                await self._session.turn(sum(len(writes.writes) for writes in with_writes))
                await self._identities.check(*TARGET_COLLECTIONS)
                failed.update(await self._batch(with_writes))
            self._session.progress.advance(len(batch))
        return failed

    async def _batch(self, batch: Sequence[UserWrites]) -> dict[Any, Reason]:
        failed: dict[Any, Reason] = {}
        for portion in in_entries((writes, _filled_bytes(writes)) for writes in batch):
            if await self._try(portion):
                continue
            for writes in portion:
                # Somebody's documents are refused; one user at a time, it shows whose.
                reason = await self._one(writes)
                if reason is not None:
                    failed[writes.decision.legacy_id] = reason
        return failed

    async def _one(self, writes: UserWrites) -> Reason | None:
        return None if await self._try([writes]) else Reason.WRITE_REFUSED

    async def _try(self, batch: Sequence[UserWrites]) -> bool:
        """Write a batch; False if the server refused one of its documents."""
        async with writing_together(self._session) as together:
            return await self._journaled(batch, together)

    async def _journaled(self, batch: Sequence[UserWrites], together: Together) -> bool:
        entries = _entries(batch)
        body: dict[str, Any] = {"writes": entries}
        if together.id is not None:
            # A transaction outlives a client that dies; whoever resumes ends it by this id.
            body["session"] = together.id
        seq = await self._journal.append(EntryKind.USERS, "", body)
        done = await together.write([write for writes in batch for write in writes.writes])
        if done is None:
            left = await self._undo(entries, together.created)
            await self._journal.applied(seq, {"writes": left})
            return False
        self.created.update(done.created)
        self.filled.update(done.filled)
        # Two users may ask for the same fill, of an organization that both own: one is made.
        skipped = {id(fill) for fill in done.skipped}
        unmade = _not_made(batch, skipped)
        self.findings.extend(
            Finding(CHANGED_MEANWHILE, fill.collection, fill.id)
            for fill in done.skipped
            if id(fill) in unmade
        )
        self.unfilled.extend(
            writes.decision.legacy_id
            for writes in batch
            if any(id(write) in unmade for write in writes.writes)
        )
        found = {"writes": _entries(batch, without=skipped)} if skipped else None
        await self._journal.applied(seq, found)
        return True

    async def _undo(
        self, entries: Sequence[Mapping[str, Any]], created: Counter[str]
    ) -> list[Mapping[str, Any]]:
        """Take back what a refused batch left; return what stays of it.

        That is what the server would not let go, and what somebody changed since it was created.
        """
        if self._session.server.has_transactions:
            return []
        # What refused them may be the same documents, written by whoever took this run over.
        await self._session.lease.renew()
        writes = [UserWrite.of(entry) for entry in entries]
        await take_back(self._session, writes)
        left = await presence_of(self._session.database, writes, comment=self._session.comment)
        inserts: Counter[str] = Counter()
        stays: list[Mapping[str, Any]] = []
        for entry, presence in zip(entries, left, strict=True):
            name = entry["collection"]
            inserts[name] += entry["op"] == "insert"
            # A document that was not created here had this ``_id`` before, and is somebody's.
            changed = presence is Presence.CHANGED and inserts[name] <= created[name]
            if changed or presence is Presence.INTACT:
                stays.append(entry)
        return stays


def _not_made(batch: Sequence[UserWrites], skipped: AbstractSet[int]) -> AbstractSet[int]:
    """Those of the skipped fills, by identity, that no other user of the batch made instead."""
    fills = [write for writes in batch for write in writes.writes if isinstance(write, SetMissing)]
    made: dict[tuple[str, Any], set[str]] = defaultdict(set)
    for fill in fills:
        if id(fill) not in skipped:
            made[fill.collection, fill.id].update(fill.values)
    return {
        id(fill)
        for fill in fills
        if id(fill) in skipped and not fill.values.keys() <= made[fill.collection, fill.id]
    }


def _filled_bytes(writes: UserWrites) -> int:
    """Bytes of what is filled for a user; of what is created an entry holds digests alone."""
    return sum(
        len(bson.encode(write.values)) + sum(len(value) for _, value in write.stored.values())
        for write in writes.writes
        if isinstance(write, SetMissing)
    )


def _entries(
    batch: Sequence[UserWrites], *, without: AbstractSet[int] = frozenset()
) -> list[Mapping[str, Any]]:
    """What a rollback needs: ids and digests of inserts, values and prior values of fills.

    Some fills are left out, by identity: others may be equal to them.

    An inserted document's content is not repeated here, since an account holds a hash; its
    digest tells whether somebody changed it since, and those of its fields tell where.
    """
    entries: list[Mapping[str, Any]] = []
    for writes in batch:
        for write in writes.writes:
            if isinstance(write, Insert):
                raw = bson.encode(write.document)
                names, digests = digests_of_fields(raw)
                entries.append(
                    {
                        "op": "insert",
                        "user": writes.decision.legacy_id,
                        "collection": write.collection,
                        "id": write.document["_id"],
                        "digest": digest_of_document(raw),
                        "names": names,
                        "digests": digests,
                    }
                )
            elif id(write) not in without:
                entries.append(
                    {
                        "op": "fill",
                        "user": writes.decision.legacy_id,
                        "collection": write.collection,
                        "id": write.id,
                        # Lists: a path holds dots.
                        "values": [[path, value] for path, value in write.values.items()],
                        "prior": prior_list(write.stored),
                    }
                )
    return entries
