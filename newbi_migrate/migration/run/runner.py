"""A run is one leased session: acquire, recover, read the runs again, and only then decide.

Every use-case that writes is an *attempt*, handed to :meth:`Runner.run`. Nothing that was read
before the lease was held may authorise a write, so an attempt gets the session together with the
runs as they are under it, and decides by what it reads itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from bson import ObjectId

from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import (
    DatabaseMovedOnError,
    InterruptedRunError,
    NewbiMigrateError,
    UnreachableError,
    UsageError,
)
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.migration.run.recovery import (
    read_whole_runs,
    recover,
    write_targets,
)
from newbi_migrate.migration.run.retry import HighWaterMark, retry_transient
from newbi_migrate.migration.run.throttle import RunThrottle, ThrottleOptions
from newbi_migrate.progress import Progress, told_if_slow
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.connection import Store, nothing_there
from newbi_migrate.store.faults import explained
from newbi_migrate.store.lease import LEASE, Holder, Lease
from newbi_migrate.store.runs import (
    OWN_COLLECTIONS,
    RunRecord,
    RunState,
    read_runs,
    recorded_run_ids,
    refuse_altered_records,
    refuse_if_restoring,
)
from newbi_migrate.store.server import replica_lag
from newbi_migrate.store.session import Begun, LeasedSession, stop_if
from newbi_migrate.store.statements import wait_for_statements

__all__ = [
    "Attempt",
    "Runner",
    "refuse_other_command",
    "refuse_other_preview",
    "refuse_while_rolling_back",
    "run_to_resume",
]

_NO_MAJORITY: Final = (
    "Waiting for a majority of the server's members to acknowledge the lease, two minutes at most."
)

_T_co = TypeVar("_T_co", covariant=True)
_T = TypeVar("_T")


class Attempt(Protocol[_T_co]):
    """What a use-case does under the lease; called again after a transient error."""

    def __call__(self, session: LeasedSession, runs: Sequence[RunRecord], /) -> Awaitable[_T_co]:
        """Decide by what is there now, and write.

        Args:
            session: The leased session.
            runs: All runs, the newest first, read after a dead run was recovered.
        """
        ...


@dataclass(frozen=True, slots=True)
class Runner:
    """Runner of use-cases in leased sessions.

    Attributes:
        store: The open database.
        registry: The collections.
        progress: Told of everything.
        throttle: What holds a run back.
        lease_seconds: How long the lease lasts unless it is renewed, in seconds.
        stop_requested: Whether somebody asked the run to stop.
        begun: Whether anything was written under the lease.
    """

    store: Store
    registry: Registry
    progress: Progress
    throttle: ThrottleOptions
    lease_seconds: float
    stop_requested: Callable[[], bool]
    begun: Begun = field(default_factory=Begun)

    async def look(self, look: Callable[[Sequence[RunRecord]], Awaitable[_T]]) -> _T:
        """Look before the lease is taken: that authorises no write, but may spare one.

        Args:
            look: Gets all runs, the newest first; called again after a transient error.

        Raises:
            LeaseHeldError: A run is under way.
            DamagedRecordsError: The records of earlier runs are not what this tool wrote.
            UsageError: A restore has not come to its end.
            UnsupportedError: The database holds nothing.
        """

        async def once() -> _T:
            last = await Lease.refuse_if_held(self.store.database)
            await refuse_if_restoring(self.store.database)
            holders = [] if last is None else [last.holder.run_id, *last.predecessors]
            if not await collection_names(self.store.database):
                raise nothing_there(self.store.database.name)
            await self._wait_for_statements(holders, lambda: stop_if(self.stop_requested()))
            return await look(await read_whole_runs(self.store.database))

        with explained("looking at the database"):
            return await retry_transient(once, self.progress)

    async def run(self, command: str, attempt: Attempt[_T]) -> _T:
        """Take the lease, recover what a dead run left, and make attempts until one succeeds.

        Args:
            command: What the lease is taken for, for example ``migrate``.
            attempt: What to do.

        Raises:
            LeaseHeldError: Another run holds the lease.
            LeaseLostError: This run lost it.
            DamagedRecordsError: The records of earlier runs are not what this tool wrote.
            NewbiMigrateError: The attempt failed.
        """

        async def with_runs(session: LeasedSession) -> _T:
            await refuse_if_restoring(self.store.database)
            for run in await read_whole_runs(self.store.database):
                if run.state.unfinished:
                    session.begun.yet = True
                    await recover(session, run)
            return await attempt(session, await read_runs(self.store.database))

        return await self._leased(command, with_runs, replacing=False)

    async def replace(self, command: str, attempt: Callable[[LeasedSession], Awaitable[_T]]) -> _T:
        """Take the lease for what replaces the whole database, its records of runs included.

        They are not read, so damaged ones are not in the way. In the end the lease's collection
        goes too, with what the attempt recorded there: the database then holds what was put there
        and nothing else.

        Args:
            command: What the lease is taken for.
            attempt: What to do; called again after a transient error.

        Raises:
            LeaseHeldError: Another run holds the lease.
            LeaseLostError: This run lost it.
            NewbiMigrateError: The attempt failed.
        """
        return await self._leased(command, attempt, replacing=True)

    async def _leased(
        self,
        command: str,
        attempt: Callable[[LeasedSession], Awaitable[_T]],
        *,
        replacing: bool,
    ) -> _T:
        with explained(f"running {command}"):
            if self.throttle.max_lag is not None:
                # Whether it can be asked at all shows before the first write.
                await self.lag()
            records = (LEASE,) if replacing else OWN_COLLECTIONS
            await retry_transient(
                lambda: refuse_altered_records(self.store.database, records), self.progress
            )
            holder = Holder.this_process(ObjectId(), command)
            self.progress.phase("take the lease", None)
            async with told_if_slow(self.progress, _NO_MAJORITY):
                lease = await Lease.acquire(
                    self.store.database,
                    holder,
                    seconds=self.lease_seconds,
                    trust_records=not replacing,
                )
            if lease.succeeded is not None:
                self.progress.note(
                    f"The process {lease.succeeded.pid} of {lease.succeeded.command} has ended; "
                    "its lease was taken over."
                )
            dropped = False
            try:
                async with lease.renewing(self.progress):
                    result = await self._attempts(
                        lease, holder.run_id, attempt, replacing=replacing
                    )
                if replacing:
                    # As long as it is there, the database counts as half replaced.
                    await retry_transient(lease.drop, self.progress)
                    dropped = True
                return result
            finally:
                if not dropped:
                    await _quietly(lease.release)

    async def _attempts(
        self,
        lease: Lease,
        run_id: ObjectId,
        attempt: Callable[[LeasedSession], Awaitable[_T]],
        *,
        replacing: bool,
    ) -> _T:
        reach = HighWaterMark(self.progress)
        # What replaces the database is resumed by what its lease records.
        self.begun.yet = replacing
        first = True

        async def once() -> _T:
            nonlocal first
            if not first:
                # It may have run out while the server was away; unless somebody took it, it is
                # ours.
                await lease.renew()
            first = False
            reach.restart()
            session = self._session(lease, run_id, reach)
            # Its own, too: what failed may have left a statement behind.
            await self._wait_for_statements([run_id, *lease.predecessors], session.safe_point)
            lease.predecessors = ()
            try:
                return await attempt(session)
            except (InterruptedRunError, UnreachableError):
                raise
            except NewbiMigrateError:
                # Whoever took the lease may have done what was met: that is the cause then.
                await lease.ask()
                raise

        return await retry_transient(once, self.progress, best_progress=lambda: reach.furthest)

    async def _wait_for_statements(
        self, holders: Sequence[ObjectId], safe_point: Callable[[], None]
    ) -> None:
        """Wait for what the server still does for holders of the lease.

        A statement carries the id of the run it is about, which a part of is taken back perhaps,
        so those of all runs are waited for, whatever their states.
        """
        runs = {*holders, *await recorded_run_ids(self.store.database)}
        await wait_for_statements(self.store.database, runs, self.progress, safe_point)

    def _session(self, lease: Lease, run_id: ObjectId, progress: Progress) -> LeasedSession:
        return LeasedSession(
            store=self.store,
            lease=lease,
            run_id=run_id,
            progress=progress,
            throttle=RunThrottle(self.throttle, progress, lag=self.lag),
            targets=write_targets(self.registry),
            stop_requested=self.stop_requested,
            begun=self.begun,
        )

    async def lag(self) -> float:
        """Seconds by which the slowest secondary is behind."""
        return await replica_lag(self.store.database, self.store.server.topology)


def run_to_resume(runs: Iterable[RunRecord]) -> RunRecord | None:
    """The run that was interrupted on its way forward, if there is one."""
    return next((run for run in runs if run.state is RunState.RUNNING), None)


def refuse_other_command(unfinished: RunRecord, command: str) -> None:
    """Fail where a run was interrupted that another command finishes.

    Raises:
        UsageError: It is of another command.
    """
    if unfinished.command != command:
        raise UsageError(
            f"The {unfinished.command} run {unfinished.run_id} was interrupted.",
            next_step=f"Finish it first: {finishing(unfinished)}. Or take it back: newbi-migrate "
            "rollback.",
        )


def refuse_while_rolling_back(runs: Iterable[RunRecord]) -> None:
    """Fail while a rollback has begun and not come to its end.

    Raises:
        InterruptedRunError: One has; what it left must not be built upon.
    """
    for run in runs:
        if run.state is RunState.ROLLING_BACK:
            raise InterruptedRunError(
                f"The rollback of run {run.run_id} was interrupted and is not finished.",
                next_step=f"Finish it first: {finishing(run)}.",
            )


def refuse_other_preview(shown: object, now: object) -> None:
    """Compare what was shown to a person with what would be done now.

    Raises:
        DatabaseMovedOnError: They are not equal.
    """
    if shown != now:
        raise DatabaseMovedOnError(
            "The database is no longer as it was shown: something came between.",
            next_step="Nothing was written. Run the command again and look at what it shows.",
        )


async def _quietly(give_back: Callable[[], Awaitable[None]]) -> None:
    """Give the lease back if the server lets us; else it runs out by itself."""
    # The error that brought us here matters more.
    with suppress(NewbiMigrateError), explained("giving the lease back"):
        await give_back()
