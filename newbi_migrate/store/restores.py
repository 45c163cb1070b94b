"""The record of a restore in its target: whose it is, and how far it has come.

That of a whole database stands beside the lease. A restore of single collections in place is a run
like any other, and the record of the run is that of the restore, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from pymongo.errors import DuplicateKeyError

from newbi_migrate.errors import LeaseLostError
from newbi_migrate.store.lease import LEASE, RUNS
from newbi_migrate.store.runs import RESTORE_ID, RunRecord
from newbi_migrate.store.session import LeasedSession

__all__ = ["RestoreRecord"]


@dataclass(slots=True)
class RestoreRecord:
    """The record of this restore, with its lease's number as fencing token.

    Attributes:
        session: The leased session.
        dropping: Whether what was there before has still to be dropped.
        done: Names of the collections whose documents are all there, durably.
        place: The collection that holds the record.
        identifier: Its ``_id`` there, as a filter.
    """

    session: LeasedSession
    dropping: bool
    done: set[str]
    place: str = LEASE
    identifier: Mapping[str, Any] = field(default_factory=lambda: RESTORE_ID)

    @classmethod
    def of_run(cls, session: LeasedSession, run: RunRecord | None) -> Self:
        """The record of the session's run, which puts single collections in place.

        Args:
            session: The leased session.
            run: The run, if it was interrupted and goes on.
        """
        done = set() if run is None else set(run.document.get("done", ()))
        return cls(session, False, done, RUNS, {"_id": session.run_id})

    @classmethod
    async def start(
        cls,
        session: LeasedSession,
        identity: str,
        found: Mapping[str, Any] | None,
        *,
        dropping: bool,
    ) -> Self:
        """Record that a restore begins, in place of the record that was found.

        Raises:
            LeaseLostError: Somebody else has written there meanwhile.
        """
        begun = {
            "backup": identity,
            "token": session.token,
            "startedAt": datetime.now(UTC),
            "dropping": dropping,
            "done": [],
        }
        try:
            replaced = await session.collection(LEASE).replace_one(
                _replaced(session, found), begun, upsert=found is None, comment=session.comment
            )
        except DuplicateKeyError:
            raise _lost() from None
        if found is not None:
            _must_match(replaced.matched_count)
        return cls(session, dropping, set())

    @classmethod
    async def take_over(cls, session: LeasedSession, found: Mapping[str, Any]) -> Self:
        """Go on with a restore that was interrupted.

        Raises:
            LeaseLostError: Somebody else has written there meanwhile.
        """
        taken = await session.collection(LEASE).update_one(
            _replaced(session, found), {"$set": {"token": session.token}}, comment=session.comment
        )
        _must_match(taken.matched_count)
        return cls(session, bool(found.get("dropping")), set(found.get("done", ())))

    async def dropped(self) -> None:
        """Record that what was there before is gone."""
        await self._update({"$set": {"dropping": False}})
        self.dropping = False

    async def flush(self) -> None:
        """Return once all that was written before is durable, unless a primary lost it."""
        await self._update({"$inc": {"flushed": 1}})

    async def whole(self, name: str) -> None:
        """Record that all documents of a collection are there."""
        await self._update({"$addToSet": {"done": name}})
        self.done.add(name)

    async def lost(self, name: str) -> None:
        """Record that a collection is to be filled anew."""
        await self._update({"$pull": {"done": name}})
        self.done.discard(name)

    async def _update(self, update: Mapping[str, Any]) -> None:
        done = await self.session.collection(self.place).update_one(
            {**self.identifier, "token": self.session.token}, update, comment=self.session.comment
        )
        _must_match(done.matched_count)


def _replaced(session: LeasedSession, found: Mapping[str, Any] | None) -> dict[str, Any]:
    # Ours already, where the answer to the call before this one was lost.
    seen = session.token if found is None else found.get("token")
    return {**RESTORE_ID, "token": {"$in": [seen, session.token]}}


def _must_match(matched: int) -> None:
    if not matched:
        raise _lost()


def _lost() -> LeaseLostError:
    return LeaseLostError(
        "Another process has taken over this restore; this one stopped.",
        next_step="See how that one ends: newbi-migrate status.",
    )
