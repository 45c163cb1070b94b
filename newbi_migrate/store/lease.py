"""The lease: one run at a time, on the server's clock.

Taking and renewing compare times of one clock, the server's. Whether the lease is still ours
is asked before every write and costs no round trip: its end is counted on a clock of this
machine from before the renewal was sent, so it can only be too early. It changes when the way
in which runs exclude each other does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar

from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from newbi_migrate.errors import LeaseHeldError, LeaseLostError
from newbi_migrate.store.connection import DURABLE
from newbi_migrate.store.faults import is_transient

__all__ = ["LEASE_SECONDS", "Holder", "Lease", "LeaseState"]

LEASE = "newbi_migrate_lease"
LEASE_SECONDS: Final = 30.0
"""How long a lease lasts unless it is renewed; a run renews it three times as often."""

_T = TypeVar("_T")

# Seconds between attempts to take or to give back: whoever waits for us waits for these.
_PAUSES: Final = (0.1, 0.4, 1.5)
_ID: Final = "lease"
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # as PyMongo gives dates back
_UNTIL: Final = "expiresAt"


def _now() -> float:
    # The monotonic clock of Linux stands still while the machine is suspended; this one does not.
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease.

    Attributes:
        run_id: The run.
        host: Name of the machine.
        pid: Its process there.
        command: What it does, for example ``migrate``.
    """

    run_id: ObjectId
    host: str
    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease as the server sees it.

    Attributes:
        holder: Who holds it or held it last.
        held: Whether it is held now.
        since: When it was taken, UTC.
        until: When it ends or ended, UTC.
        seconds_left: How long it lasts unless it is renewed; 0 where nobody holds it.
    """

    holder: Holder
    held: bool
    since: datetime
    until: datetime
    seconds_left: float


class Lease:
    """A lease that is held; see :meth:`acquire`.

    Args:
        collection: Where it is stored.
        holder: Who holds it.
        seconds: How long it lasts unless it is renewed.
        deadline: When it ends, on this machine's clock.
        number: Greater than that of every lease before it; orders runs, and is their fencing token.
    """

    def __init__(
        self,
        collection: AsyncCollection[dict[str, Any]],
        holder: Holder,
        seconds: float,
        deadline: float,
        token: ObjectId,
        number: int = 0,
    ) -> None:
        self._collection = collection
        self._holder = holder
        self._seconds = seconds
        self._deadline = deadline
        self._token = token
        self.number = number
        self._lost = False

    @classmethod
    async def current(cls, database: AsyncDatabase[dict[str, Any]]) -> LeaseState | None:
        """Who holds the lease or held it last; ``None`` if nobody ever did. Reads only."""
        cursor = await database[LEASE].aggregate(
            [
                {"$match": {"_id": _ID, "token": {"$exists": True}}},
                {"$set": {"left": {"$subtract": [f"${_UNTIL}", "$$NOW"]}}},
            ]
        )
        async with cursor:
            async for found in cursor:
                left = max(0.0, found["left"] / 1000)
                return LeaseState(
                    holder=Holder(found["run"], found["host"], found["pid"], found["command"]),
                    held=left > 0,
                    since=found["since"],
                    until=found[_UNTIL],
                    seconds_left=left,
                )
        return None

    @classmethod
    async def refuse_if_held(cls, database: AsyncDatabase[dict[str, Any]]) -> None:
        """Fails if another run is under way; reads only.

        Raises:
            LeaseHeldError: It is; the message says who holds the lease, and since when.
        """
        state = await cls.current(database)
        if state is not None and state.held:
            raise _held(state)

    @classmethod
    async def acquire(
        cls,
        database: AsyncDatabase[dict[str, Any]],
        holder: Holder,
        *,
        seconds: float = LEASE_SECONDS,
    ) -> Self:
        """Takes the lease; tries again where an error leaves open whether it was taken.

        Raises:
            LeaseHeldError: Somebody else holds it.
            pymongo.errors.PyMongoError: The server cannot be reached, or refused.
        """
        token = ObjectId()
        return await _insisting(lambda: cls._take(database, holder, seconds, token))

    @classmethod
    async def _take(
        cls,
        database: AsyncDatabase[dict[str, Any]],
        holder: Holder,
        seconds: float,
        token: ObjectId,
    ) -> Self:
        collection = database.get_collection(LEASE, write_concern=DURABLE)
        # An update that inserts cannot ask for the server's clock, so there is a document first.
        with contextlib.suppress(DuplicateKeyError):
            if await collection.find_one({"_id": _ID}, {"_id": 1}) is None:
                await collection.insert_one({"_id": _ID, _UNTIL: _EPOCH})
        begun = _now()
        free = {"$expr": {"$lte": [f"${_UNTIL}", "$$NOW"]}}
        taken = await collection.find_one_and_update(
            # Ours already, where the answer to the call before this one was lost.
            {"_id": _ID, "$or": [free, {"token": token}]},
            [
                {
                    "$set": {
                        "token": token,
                        "run": holder.run_id,
                        "host": {"$literal": holder.host},
                        "pid": holder.pid,
                        "command": {"$literal": holder.command},
                        "since": "$$NOW",
                        _UNTIL: _later(seconds),
                    }
                }
            ],
            comment=str(holder.run_id),
        )
        if taken is None:
            state = await cls.current(database)
            if state is not None:
                raise _held(state)
            raise LeaseHeldError(
                "Another run took the lease at this very moment.",
                next_step="Wait until it ends; status shows it.",
            )
        return cls(collection, holder, seconds, begun + seconds, token)

    @classmethod
    async def break_(cls, database: AsyncDatabase[dict[str, Any]]) -> LeaseState | None:
        """Ends the lease of a run that is dead, whoever held it.

        Gives what was held; ``None`` if nobody held it, and then nothing is written. A run
        that is alive after all stops before its next write, at the latest when it tries to
        renew the lease.
        """
        state = await cls.current(database)
        if state is None or not state.held:
            return None
        collection = database.get_collection(LEASE, write_concern=DURABLE)
        await collection.update_one(
            {"_id": _ID, "run": state.holder.run_id}, {"$set": {_UNTIL: _EPOCH, "token": None}}
        )
        return state

    def check(self) -> None:
        """Fails unless the lease is surely still ours; asks no server.

        Raises:
            LeaseLostError: It ran out, or somebody broke it.
        """
        if self._lost or _now() >= self._deadline:
            raise LeaseLostError(
                "This run lost its lease and stopped before its next write: it was suspended, "
                "cut off from the server, or unlocked by somebody.",
                next_step="See that no other run is under way (status), then run the same "
                "command again; it resumes.",
            )

    async def renew(self) -> None:
        """Makes the lease last longer; one that ran out and that nobody took is ours again.

        Raises:
            LeaseLostError: It is no longer ours.
        """
        begun = _now()
        renewed = await self._collection.update_one(
            {"_id": _ID, "token": self._token},
            [{"$set": {_UNTIL: _later(self._seconds)}}],
            comment=str(self._holder.run_id),
        )
        if renewed.matched_count == 0:
            self._lost = True
            self.check()
        self._deadline = begun + self._seconds

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renews the lease in the background as long as the block runs.

        A renewal that fails is soon tried again; the lease may run out meanwhile, and then
        :meth:`check` fails.
        """
        renewer = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            renewer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewer

    async def _keep(self) -> None:
        pause = self._seconds / 3
        while not self._lost:
            await asyncio.sleep(pause)
            pause = self._seconds / 30
            with contextlib.suppress(PyMongoError, LeaseLostError):
                await self.renew()
                pause = self._seconds / 3

    async def release(self) -> None:
        """Gives the lease back, if it is still ours; a passing error does not keep it."""
        await _insisting(
            lambda: self._collection.update_one(
                {"_id": _ID, "token": self._token},
                {"$set": {_UNTIL: _EPOCH, "token": None}},
                comment=str(self._holder.run_id),
            )
        )


async def _insisting(call: Callable[[], Awaitable[_T]]) -> _T:
    """Makes a call that can be repeated, and repeats it where an error may pass."""
    for pause in _PAUSES:
        try:
            return await call()
        except PyMongoError as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(pause)
    return await call()


def _later(seconds: float) -> dict[str, Any]:
    return {
        "$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": int(seconds * 1000)}
    }


def _held(state: LeaseState) -> LeaseHeldError:
    holder = state.holder
    return LeaseHeldError(
        f"Another run ({holder.command} {holder.run_id}, process {holder.pid} on {holder.host}) "
        f"holds the lease since {state.since:%Y-%m-%d %H:%M:%S} UTC.",
        next_step="Wait until it ends. If that process is dead, its lease ends by itself in "
        f"{state.seconds_left:.0f} s, and the same command resumes its run.",
    )
