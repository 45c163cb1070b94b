"""Writing the users' documents: journaled, together where the server has transactions.

On a replica set the documents of one user are all there or none. A standalone server has no
transactions: there they are written in an order in which an interruption leaves nothing that refers
to something missing, and the next run completes them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import bson
import xxhash
from bson import Int64
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.mapping.users import Fill, Finding, Insert, UserWrites
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import Plan
from newbi_migrate.migration.planning.users import UserPlane
from newbi_migrate.store.codes import Code
from newbi_migrate.store.collections import Identities
from newbi_migrate.store.connection import DURABLE, client_session
from newbi_migrate.store.faults import refuses_documents
from newbi_migrate.store.journal import EntryKind, Journal, prior_list
from newbi_migrate.store.raw import elements
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.stamping import precondition
from newbi_migrate.store.undo import update_back

__all__ = ["UserWriter", "field_digests"]

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

# Seconds between attempts of a transaction that the application's own writes got in the way of.
_CONFLICT_PAUSES = (0.05, 0.1, 0.2, 0.4)


class UserWriter:
    """Writer of what a plan says about users.

    Args:
        session: The leased session.
        source: Name of the legacy users' collection.
        journal: Journal of the run.
        identities: Those of the collections that are written to.
    """

    def __init__(
        self, session: LeasedSession, source: str, journal: Journal, identities: Identities
    ) -> None:
        self._session = session
        self._plane = UserPlane(session.database, source, comment=session.comment)
        self._journal = journal
        self._identities = identities
        self._transactions = session.server.has_transactions
        self._comment = session.comment
        self.created: Counter[str] = Counter()
        self.filled: Counter[str] = Counter()
        self.findings: list[Finding] = []

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
        if await self._try(batch):
            return {}
        failed: dict[Any, Reason] = {}
        for writes in batch:
            # Somebody's documents are refused; one user at a time, it shows whose.
            reason = await self._one(writes)
            if reason is not None:
                failed[writes.decision.legacy_id] = reason
        return failed

    async def _one(self, writes: UserWrites) -> Reason | None:
        return None if await self._try([writes]) else Reason.WRITE_REFUSED

    async def _try(self, batch: Sequence[UserWrites]) -> bool:
        """Write a batch; False if the server refused one of its documents."""
        if not self._transactions:
            return await self._journaled(batch, None)
        async with client_session(self._session.database) as session:
            return await self._journaled(batch, session)

    async def _journaled(
        self, batch: Sequence[UserWrites], session: AsyncClientSession | None
    ) -> bool:
        body: dict[str, Any] = {"writes": _entries(batch)}
        if session is not None:
            # A transaction outlives a client that dies; whoever resumes ends it by this id.
            body["session"] = session.session_id["id"]
        seq = await self._journal.append(EntryKind.USERS, "", body)
        try:
            if session is None:
                done = await self._send(batch, None)
            else:
                done = await self._together(batch, session)
        except OperationFailure as error:
            if not refuses_documents(error):
                raise
            await self._undo(batch)
            await self._journal.applied(seq, {"writes": []})
            return False
        created, filled, skipped = done
        self.created.update(created)
        self.filled.update(filled)
        self.findings.extend(
            Finding("changed-meanwhile", fill.collection, fill.id) for fill in skipped
        )
        found = {"writes": _entries(batch, without=skipped)} if skipped else None
        await self._journal.applied(seq, found)
        return True

    async def _together(
        self, batch: Sequence[UserWrites], session: AsyncClientSession
    ) -> tuple[Counter[str], Counter[str], list[Fill]]:
        """Write a batch in a transaction; a few conflicts with the application are sat out."""
        for pause in _CONFLICT_PAUSES:
            try:
                return await self._transaction(batch, session)
            except OperationFailure as error:
                if error.code != Code.WRITE_CONFLICT:
                    raise
            await asyncio.sleep(pause)
        return await self._transaction(batch, session)

    async def _transaction(
        self, batch: Sequence[UserWrites], session: AsyncClientSession
    ) -> tuple[Counter[str], Counter[str], list[Fill]]:
        async with await session.start_transaction(write_concern=DURABLE):
            done = await self._send(batch, session)
            self._session.safe_point()
        return done

    async def _send(
        self, batch: Sequence[UserWrites], session: AsyncClientSession | None
    ) -> tuple[Counter[str], Counter[str], list[Fill]]:
        created: Counter[str] = Counter()
        filled: Counter[str] = Counter()
        skipped: list[Fill] = []
        for name in TARGET_COLLECTIONS:
            inserts = [
                dict(write.document)
                for writes in batch
                for write in writes.writes
                if isinstance(write, Insert) and write.collection == name
            ]
            if inserts:
                await self._session.collection(name).insert_many(
                    inserts, session=session, comment=self._comment
                )
                created[name] += len(inserts)
            for writes in batch:
                for write in writes.writes:
                    if not isinstance(write, Fill) or write.collection != name:
                        continue
                    result = await self._session.collection(name).update_one(
                        {"_id": write.id, **_guard(write)},
                        {"$set": dict(write.values)},
                        session=session,
                        comment=self._comment,
                    )
                    if result.modified_count:
                        filled[name] += 1
                    else:
                        skipped.append(write)
        return created, filled, skipped

    async def _undo(self, batch: Sequence[UserWrites]) -> None:
        """Take back what a refused batch left on a server without transactions."""
        if self._transactions:
            return
        # What refused them may be the same documents, written by whoever took this run over.
        await self._session.lease.renew()
        for name in reversed(TARGET_COLLECTIONS):
            for writes in batch:
                for write in writes.writes:
                    if write.collection != name:
                        continue
                    if isinstance(write, Insert):
                        await self._take_back(name, write.document)
                    else:
                        await self._unfill(write)

    async def _take_back(self, name: str, document: Mapping[str, Any]) -> None:
        identifier = {"_id": document["_id"]}
        raw = self._session.database[name].with_options(codec_options=_RAW)
        stored = await raw.find_one(identifier, comment=self._comment)
        # Only what we wrote, to the byte, is taken back.
        if stored is not None and stored.raw == bson.encode(document):
            await self._session.collection(name).delete_one(identifier, comment=self._comment)

    async def _unfill(self, fill: Fill) -> None:
        held = {path: {"$eq": value} for path, value in fill.values.items()}
        await self._session.collection(fill.collection).update_one(
            {"_id": fill.id, **held},
            update_back(fill.values, fill.stored),
            comment=self._comment,
        )


def _guard(fill: Fill) -> dict[str, Any]:
    return {path: precondition(fill.stored.get(path)) for path in fill.values}


def _entries(
    batch: Sequence[UserWrites], *, without: Sequence[Fill] = ()
) -> list[Mapping[str, Any]]:
    """What a rollback needs: ids and digests of inserts, values and prior values of fills.

    An inserted document's content is not repeated here, since an account holds a hash; its
    digest tells whether somebody changed it since, and those of its fields tell where.
    """
    entries: list[Mapping[str, Any]] = []
    for writes in batch:
        for write in writes.writes:
            if isinstance(write, Insert):
                raw = bson.encode(write.document)
                entries.append(
                    {
                        "op": "insert",
                        "user": writes.decision.legacy_id,
                        "collection": write.collection,
                        "id": write.document["_id"],
                        "digest": xxhash.xxh3_128_hexdigest(raw),
                        "fields": field_digests(raw),
                    }
                )
            elif write not in without:
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


def field_digests(raw: bytes) -> list[list[Any]]:
    """Name and digest of each top-level field of a document, as a list of pairs."""
    return [
        [name, Int64(xxhash.xxh3_64_intdigest(bytes([kind]) + value) - 2**63)]
        for name, kind, value in elements(raw)
    ]
