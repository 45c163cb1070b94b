"""The lease: one run at a time, on the server's clock.

Taking and renewing compare times of one clock, the server's. Whether the lease is still ours
is asked before every write and costs no round trip: its end is counted on a clock of this
machine from before the renewal was sent, so it can only be too early. Each lease has a number
greater than that of every lease before it, which orders runs whatever their clocks say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Self, TypeGuard, TypeVar

from bson import ObjectId
from bson.errors import BSONError
from pydantic import computed_field
from pymongo import ReadPreference, ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from newbi_migrate.answers import HIDDEN, Instant, RunId, called
from newbi_migrate.errors import DamagedRecordsError, LeaseHeldError, LeaseLostError
from newbi_migrate.progress import NullProgress, Progress, told_if_slow
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.faults import is_transient
from newbi_migrate.store.handles import Collection, Database
from newbi_migrate.store.processes import ProcessStart, has_ended
from newbi_migrate.store.record_shape import GREATEST_NUMBER

__all__ = ["LEASE", "LEASE_SECONDS", "RUNS", "Holder", "Lease", "LeaseState"]

LEASE: Final = "newbi_migrate_lease"
"""Holds the one document of the lease."""

RUNS: Final = "newbi_migrate_runs"
"""Holds the records of runs, whose numbers a new lease has to exceed."""

LEASE_SECONDS: Final = 30.0
"""How long a lease lasts unless it is renewed; a run renews it three times as often."""

_T = TypeVar("_T")

# Seconds between attempts to take or to give back: whoever waits for us waits for these.
_PAUSES: Final = (0.1, 0.4, 1.5)
# Seconds between a holder's looks at whether the lease is still there, and seconds that a lease
# which was taken from a holder who may be alive is nobody's, so that they notice.
_LOOK_SECONDS: Final = 1.0
_NOTICE_SECONDS: Final = 3.0
_CANCEL_SECONDS: Final = 0.1
_GIVING_BACK_SECONDS: Final = 2.0
"""How long somebody who cancelled waits for a lease to be given back."""
# What is acknowledged later than the lease lasts is of no use.
_PROMPT: Final = WriteConcern(w="majority", j=True, wtimeout=int(LEASE_SECONDS * 1000))
_AND_THEN: Final = "The run waits, and goes on or ends by itself; the same command resumes it."
_NO_ANSWER: Final = f"The server has not answered for some time. {_AND_THEN}"
_NOT_ACKNOWLEDGED: Final = (
    "The server has not acknowledged a write for some time: it does not answer, or too few members "
    f"of its set do. {_AND_THEN}"
)
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
        origin: What tells the process from a later one with the same id; ``None`` if not known.
    """

    run_id: ObjectId
    host: str
    pid: int
    command: str
    origin: ProcessStart | None = None

    @classmethod
    def this_process(cls, run_id: ObjectId, command: str) -> Self:
        """This process; not to be kept, a fork of it is another."""
        return cls(run_id, platform.node(), os.getpid(), command, ProcessStart.of_this_process())

    @property
    def has_ended(self) -> bool:
        """Whether its process has surely ended; false in any doubt, as on another machine."""
        return has_ended(self.pid, self.origin)

    def __str__(self) -> str:
        # Not the id: it is that of the session, and whoever resumes a run has another.
        words = f"{self.command}, process {self.pid} on {self.host}"
        # Anybody who may write to the database may have written these.
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in words)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease as the server sees it.

    Attributes:
        holder: Who holds it or held it last.
        held: Whether it is held now.
        since: When it was taken, UTC.
        until: When it ends or ended, UTC.
        seconds_left: How long it lasts unless it is renewed; 0 where nobody holds it.
        number: The number of the lease.
        token: What is unique to this holding of it; ``None`` once it was given back.
        holder_ended: Whether it is held by a process that has surely ended.
        predecessors: Runs of earlier holders whose statements the server may still carry out.
    """

    holder: Annotated[Holder, HIDDEN]
    held: bool
    since: Instant
    until: Instant
    seconds_left: float
    number: Annotated[int, HIDDEN] = 0
    token: Annotated[ObjectId | None, HIDDEN] = None
    holder_ended: Annotated[bool, called("processEnded")] = False
    predecessors: Annotated[tuple[ObjectId, ...], HIDDEN] = ()

    @computed_field
    @property
    def run_id(self) -> RunId:
        """The run that holds it or held it last."""
        return self.holder.run_id

    @computed_field
    @property
    def command(self) -> str:
        """What that run does, for example ``migrate``."""
        return self.holder.command

    @computed_field
    @property
    def host(self) -> str:
        """Name of the machine it runs on."""
        return self.holder.host

    @computed_field
    @property
    def pid(self) -> int:
        """Its process there."""
        return self.holder.pid

    @property
    def under_way(self) -> bool:
        """Whether a run may be going on: the lease is held, and its holder not surely dead."""
        return self.held and not self.holder_ended


class Lease:
    """A lease that is held; see :meth:`acquire`.

    Attributes:
        number: Greater than that of every lease before it; orders runs, and is their fencing token.
        succeeded: The dead holder whose lease was taken over before it had run out.
        predecessors: Runs of earlier holders whose statements the server may still carry out.
    """

    def __init__(
        self,
        collection: Collection,
        holder: Holder,
        seconds: float,
        token: ObjectId,
    ) -> None:
        self.number = 0
        self.succeeded: Holder | None = None
        self.predecessors: tuple[ObjectId, ...] = ()
        self._collection = collection
        self._holder = holder
        self._seconds = seconds
        self._token = token
        self._deadline = 0.0
        self._lost = False
        self._strict = True

    @classmethod
    async def current(cls, database: Database) -> LeaseState | None:
        """Who holds the lease or held it last; ``None`` if nobody ever did. Reads only.

        Raises:
            DamagedRecordsError: The document of the lease is not one that this tool wrote.
        """
        found = await _find(_collection(database, LEASE))
        return None if found is None else found.state

    @classmethod
    async def refuse_if_held(cls, database: Database) -> LeaseState | None:
        """Fail if another run is under way; give what :meth:`current` gives. Reads only.

        Raises:
            DamagedRecordsError: The document of the lease is not one that this tool wrote.
            LeaseHeldError: It is; the message says who holds the lease, and since when.
        """
        state = await cls.current(database)
        if state is not None and state.under_way:
            raise _held(state)
        return state

    @classmethod
    async def next_number(cls, database: Database) -> int:
        """The number that the next lease gets, if no other is taken before it. Reads only.

        Raises:
            DamagedRecordsError: The document of the lease is not one that this tool wrote.
        """
        state = await cls.current(database)
        recorded = await _greatest_number(_collection(database, RUNS), strict=False)
        return max(0 if state is None else state.number, recorded) + 1

    @classmethod
    async def acquire(
        cls,
        database: Database,
        holder: Holder,
        *,
        seconds: float = LEASE_SECONDS,
        trust_records: bool = True,
    ) -> Self:
        """Take the lease; try again where an error leaves open whether it was taken.

        A lease whose holder has surely ended is taken over at once. One that was just taken from
        a holder who may be alive is waited for, some seconds.

        Args:
            database: Where it is held.
            holder: Who takes it.
            seconds: How long it lasts unless it is renewed.
            trust_records: Fail where records of runs have numbers that are none; otherwise these
                count for nothing, which is enough for whoever replaces the records.

        Raises:
            DamagedRecordsError: The records hold something this tool did not write.
            LeaseHeldError: Somebody else holds it.
            pymongo.errors.PyMongoError: The server cannot be reached, or refused.
        """
        lease = cls(_collection(database, LEASE), holder, seconds, ObjectId())
        lease._strict = trust_records
        runs = _collection(database, RUNS)
        while True:
            found = await _insisting(partial(lease._found_or_made, runs))
            state = found.state
            if state is not None and state.under_way:
                raise _held(state)
            dead = state if state is not None and state.held else None
            if dead is None and found.seconds_left > 0:
                await asyncio.sleep(found.seconds_left)
            elif await lease._taken(runs, dead):
                lease.succeeded = None if dead is None else dead.holder
                return lease

    async def _taken(self, runs: Collection, dead: LeaseState | None) -> bool:
        try:
            return await _insisting(partial(self._take, runs, dead))
        except asyncio.CancelledError:
            # The server may have given it to us, and nobody would renew it.
            with contextlib.suppress(PyMongoError, TimeoutError):
                async with asyncio.timeout(_GIVING_BACK_SECONDS):
                    await self.release()
            raise

    async def _found_or_made(self, runs: Collection) -> _Found:
        """What is stored. Where there is no document, one is made: only an update knows $$NOW."""
        while (found := await _find(self._collection)) is None:
            # Where runs had numbers, somebody deleted it, and its holder may be alive.
            had_runs = await _greatest_number(runs, strict=self._strict)
            free = _later(_NOTICE_SECONDS) if had_runs else _EPOCH
            with contextlib.suppress(DuplicateKeyError):
                await self._collection.update_one(
                    {"_id": _ID},
                    [{"$set": {_UNTIL: {"$ifNull": [f"${_UNTIL}", free]}}}],
                    upsert=True,
                )
        return found

    async def _take(self, runs: Collection, dead: LeaseState | None) -> bool:
        """Take the lease if it is free or, if its holder is dead, still that holder's."""
        greatest = await _greatest_number(runs, strict=self._strict)
        begun = _now()
        free = {
            _UNTIL: {"$type": "date"},
            "$expr": {"$lte": [f"${_UNTIL}", "$$NOW"]},
        }
        ours = {"$eq": [{"$ifNull": ["$token", None]}, self._token]}
        next_number = {"$toLong": {"$add": [{"$max": ["$number", greatest]}, 1]}}
        known: dict[str, Any] = {"$ifNull": ["$predecessors", []]}
        last = {"$cond": [{"$eq": [{"$type": "$run"}, "missing"]}, [], ["$run"]]}
        taken = await self._collection.find_one_and_update(
            {
                "_id": _ID,
                # Ours already, where the answer to the call before this one was lost.
                "$or": [{"token": self._token}, free if dead is None else {"token": dead.token}],
            },
            [
                {
                    "$set": {
                        **{k: {"$literal": v} for k, v in _stored(self._holder).items()},
                        # The same however often, and however late, the server gets this.
                        "number": {"$cond": [ours, "$number", next_number]},
                        "predecessors": {"$cond": [ours, known, {"$setUnion": [known, last]}]},
                        "token": self._token,
                        "since": "$$NOW",
                        _UNTIL: _later(self._seconds),
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
            comment=str(self._holder.run_id),
        )
        if taken is None:
            return False
        self.number = int(taken["number"])
        self.predecessors = tuple(taken["predecessors"])
        self._deadline = begun + self._seconds
        # Whoever held a lease whose document was deleted may have begun a run meanwhile.
        while (greatest := await _greatest_number(runs, strict=self._strict)) >= self.number:
            raised = await self._collection.find_one_and_update(
                {"_id": _ID, "token": self._token},
                {"$max": {"number": greatest + 1}},
                return_document=ReturnDocument.AFTER,
                comment=str(self._holder.run_id),
            )
            if raised is None:
                return False
            self.number = int(raised["number"])
        return True

    @classmethod
    async def break_(cls, database: Database, seen: LeaseState | None = None) -> LeaseState | None:
        """End the lease of a run that is dead, whoever held it.

        Gives what was held; ``None`` if nobody held it, and then nothing is written. A run
        that is alive after all notices within a second or two, and stops before its next write;
        the lease is nobody's until then.

        Args:
            database: Where it is held.
            seen: What was shown to whoever decided; otherwise what is held now.

        Raises:
            DamagedRecordsError: The document of the lease is not one that this tool wrote.
            LeaseHeldError: Somebody else holds it than was seen.
        """
        state = await cls.current(database) if seen is None else seen
        if state is None or not state.held:
            return None
        ended = await _collection(database, LEASE).update_one(
            {"_id": _ID, "token": state.token},
            [
                {
                    "$set": {
                        "token": None,
                        _UNTIL: _EPOCH
                        if state.holder_ended
                        else {"$min": [f"${_UNTIL}", _later(_NOTICE_SECONDS)]},
                    }
                }
            ],
            comment="newbi-migrate unlock",
        )
        if ended.matched_count:
            return state
        now = await cls.current(database)
        if now is not None and now.held:
            raise _held(now)
        return None

    def check(self) -> None:
        """Fail unless the lease is surely still ours; ask no server.

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

    async def ask(self) -> None:
        """Fail if the server says that the lease is not ours; where it does not answer, as known.

        Raises:
            LeaseLostError: Somebody broke it or took it, or it ran out.
        """
        with contextlib.suppress(PyMongoError):
            self._lost = await self._collection.find_one(self._ours(), {"_id": 1}) is None
        self.check()

    async def renew(self) -> None:
        """Renew the lease, also one that ran out and that nobody took meanwhile.

        Raises:
            LeaseLostError: It is no longer ours.
        """
        begun = _now()
        renewed = await self._collection.update_one(
            self._ours(),
            [{"$set": {_UNTIL: _later(self._seconds), "predecessors": list(self.predecessors)}}],
            comment=str(self._holder.run_id),
        )
        if renewed.matched_count == 0:
            self._lost = True
            self.check()
        self._deadline = begun + self._seconds

    @asynccontextmanager
    async def renewing(self, progress: Progress | None = None) -> AsyncIterator[None]:
        """Renew the lease in the background as long as the block runs.

        A renewal that fails is soon tried again; the lease may run out meanwhile, and then
        :meth:`check` fails. It also fails soon after somebody broke or deleted the lease.

        Args:
            progress: Told where the server does not answer.
        """
        renewer = asyncio.create_task(self._keep(progress or NullProgress()))
        try:
            yield
        finally:
            # While it waits for a server the driver may swallow a cancellation: one is not enough.
            while not renewer.done():
                renewer.cancel()
                await asyncio.wait([renewer], timeout=_CANCEL_SECONDS)

    async def _keep(self, progress: Progress) -> None:
        while not self._lost:
            await asyncio.sleep(min(_LOOK_SECONDS, self._seconds / 10))
            with contextlib.suppress(PyMongoError, LeaseLostError):
                if self._deadline - _now() <= self._seconds * 2 / 3:
                    async with told_if_slow(progress, _NOT_ACKNOWLEDGED):
                        await self.renew()
                    continue
                async with told_if_slow(progress, _NO_ANSWER):
                    await self.ask()

    async def release(self) -> None:
        """Give the lease back, if it is still ours; a passing error does not keep it.

        Nor does it keep it that whoever waits for this is cancelled once more.
        """
        giving_back = _insisting(
            lambda: self._collection.update_one(
                self._ours(),
                {
                    "$set": {
                        _UNTIL: _EPOCH,
                        "token": None,
                        "predecessors": list(self.predecessors),
                    }
                },
                comment=str(self._holder.run_id),
            )
        )
        await asyncio.shield(asyncio.ensure_future(giving_back))

    async def drop(self) -> None:
        """Give the lease back by dropping its collection, so that nothing of it is left.

        Raises:
            LeaseLostError: It is no longer ours.
        """
        await _insisting(self._drop)

    async def _drop(self) -> None:
        renewed = await self._collection.update_one(
            self._ours(),
            [{"$set": {_UNTIL: _later(self._seconds)}}],
            comment=str(self._holder.run_id),
        )
        if renewed.matched_count:
            await self._collection.drop(comment=str(self._holder.run_id))
        elif await self._collection.find_one({"_id": _ID}, {"_id": 1}) is not None:
            # Where there is none, the answer to the call before this one was lost.
            self._lost = True
            self.check()

    def _ours(self) -> dict[str, Any]:
        return {"_id": _ID, "token": self._token, "number": self.number}


@dataclass(frozen=True, slots=True)
class _Found:
    """The document of the lease: its state, if somebody ever held it, and when it is free."""

    state: LeaseState | None
    seconds_left: float


def _collection(database: Database, name: str) -> Collection:
    # Whatever the connection string or a host's handle says.
    return database.get_collection(
        name,
        # A document that somebody damaged is told as such, and raises nothing else.
        codec_options=PLAIN.with_options(unicode_decode_error_handler="replace"),
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("local"),
        write_concern=_PROMPT,
    )


async def _find(collection: Collection) -> _Found | None:
    """What is stored, with every type looked at; ``None`` where there is no document."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"_id": _ID}},
        {"$project": {"_id": 0, "now": "$$NOW", "it": "$$ROOT"}},
    ]
    try:
        async with await collection.aggregate(pipeline) as cursor:
            found = await anext(aiter(cursor), None)
    except BSONError:
        raise _damaged() from None
    return None if found is None else _parsed(found["it"], found["now"])


async def _greatest_number(runs: Collection, *, strict: bool) -> int:
    """The greatest number that a record of a run holds; 0 where none does."""
    greatest = {name: {"$max": f"${name}"} for name in ("number", "token")}
    async with await runs.aggregate([{"$group": {"_id": None, **greatest}}]) as cursor:
        found = await anext(aiter(cursor), None) or {}
    numbers = [_number(found.get(name)) for name in greatest]
    if strict and any(number is None for number in numbers):
        raise DamagedRecordsError(
            f"A record of a run in {RUNS} has a number or token that is not a number.",
            next_step="Nothing was done. Somebody changed the records; set it right first.",
            collection=RUNS,
        )
    return max(number or 0 for number in numbers)


def _stored(holder: Holder) -> dict[str, Any]:
    origin = holder.origin
    return {
        "run": holder.run_id,
        "host": holder.host,
        "pid": holder.pid,
        "command": holder.command,
        "bootId": None if origin is None else origin.boot_id,
        "namespaces": None if origin is None else origin.namespaces,
        "processStarted": None if origin is None else origin.started,
    }


def _parsed(document: Mapping[str, Any], now: datetime) -> _Found:
    until = document.get(_UNTIL)
    number = _number(document.get("number"))
    if not isinstance(until, datetime) or number is None:
        raise _damaged()
    left = max(0.0, (until - now).total_seconds())
    if "token" not in document:
        return _Found(None, left)
    token, since, run = document["token"], document.get("since"), document.get("run")
    host, command, pid = document.get("host"), document.get("command"), document.get("pid")
    predecessors = document.get("predecessors")
    if not (
        isinstance(token, ObjectId | None)
        and isinstance(since, datetime)
        and isinstance(run, ObjectId)
        and isinstance(host, str)
        and isinstance(command, str)
        and _is_integer(pid)
        and isinstance(predecessors, list)
        and all(isinstance(each, ObjectId) for each in predecessors)
    ):
        raise _damaged()
    holder = Holder(run, host, pid, command, _origin(document))
    held = token is not None and left > 0
    if not held and left > LEASE_SECONDS:
        raise _damaged()
    return _Found(
        LeaseState(
            holder=holder,
            held=held,
            since=since,
            until=until,
            seconds_left=left if held else 0.0,
            number=number,
            token=token,
            holder_ended=held and holder.has_ended,
            predecessors=tuple(predecessors),
        ),
        left,
    )


def _origin(document: Mapping[str, Any]) -> ProcessStart | None:
    boot, started = document.get("bootId"), document.get("processStarted")
    namespaces = document.get("namespaces")
    if isinstance(boot, str) and isinstance(namespaces, str) and _is_integer(started):
        return ProcessStart(boot, namespaces, started)
    return None


def _number(value: object) -> int | None:
    """A stored number; 0 where none is stored, ``None`` where something else is."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= GREATEST_NUMBER and value == int(value) else None


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _damaged() -> DamagedRecordsError:
    return DamagedRecordsError(
        f"The document {_ID!r} in {LEASE} is not one that this tool wrote.",
        next_step="Nothing was done. Once no run is under way, delete that document and run the "
        "same command again.",
        collection=LEASE,
        document_id=_ID,
    )


async def _insisting(call: Callable[[], Awaitable[_T]]) -> _T:
    """Repeat an idempotent call after transient errors."""
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
    return LeaseHeldError(
        f"Another run ({state.holder}) holds the lease since {state.since:%Y-%m-%d %H:%M:%S} UTC.",
        next_step="Wait until it ends. If that process is dead, its lease ends by itself in "
        f"{state.seconds_left:.0f} s, and the same command resumes its run.",
    )
