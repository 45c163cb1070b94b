"""A leased session: the database while the lease is held, and the only way to write to it.

Whoever writes gets the collection from :meth:`LeasedSession.collection` immediately before each
write. It checks that the lease is still held, that nobody asked the run to stop, and that the run
may write to that collection at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from bson import ObjectId

from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import DamagedRecordsError, InterruptedRunError, NothingBegunError
from newbi_migrate.progress import Progress
from newbi_migrate.store.connection import DURABLE, ServerInfo, Store
from newbi_migrate.store.handles import Collection, Database
from newbi_migrate.store.lease import Lease

__all__ = ["Begun", "LeasedSession", "Throttle", "stop_if"]


class Throttle(Protocol):
    """What holds a run back."""

    def window(self, documents: int) -> int:
        """How many of so many documents may be written at once."""
        ...

    async def before(self, documents: int, safe_point: Callable[[], None]) -> None:
        """Return once so many documents may be written; ask ``safe_point`` while it waits."""
        ...


@dataclass(slots=True)
class Begun:
    """Whether there is anything that the same command again would finish.

    Attributes:
        yet: Whether a run has begun to write, or one that was interrupted goes on.
    """

    yet: bool = False


@dataclass(frozen=True, slots=True)
class LeasedSession:
    """An open database under the lease.

    Attributes:
        store: The open database, to read from.
        lease: The lease, which is held.
        run_id: The run that is carried out; every command carries it as its comment.
        progress: Told of everything.
        throttle: What holds the run back.
        targets: Names of the collections whose documents the run may write.
        stop_requested: Whether somebody asked the run to stop at its next safe point.
        begun: Whether anything was written under the lease, by this session or another one.
    """

    store: Store
    lease: Lease
    run_id: ObjectId
    progress: Progress
    throttle: Throttle
    targets: frozenset[str]
    stop_requested: Callable[[], bool] = lambda: False
    begun: Begun = field(default_factory=Begun)

    @property
    def database(self) -> Database:
        """The database, to read from."""
        return self.store.database

    @property
    def server(self) -> ServerInfo:
        """What the server says of itself."""
        return self.store.server

    @property
    def comment(self) -> str:
        """What every command carries, so that it can be found on the server."""
        return str(self.run_id)

    @property
    def token(self) -> int:
        """The fencing token: the number of this lease."""
        return self.lease.number

    def of_run(self, run_id: ObjectId) -> Self:
        """The same session, working on another run: one that was interrupted, or is taken back."""
        return replace(self, run_id=run_id)

    def writing_to(self, names: Iterable[str]) -> Self:
        """The same session, allowed to write to further collections."""
        return replace(self, targets=self.targets | frozenset(names))

    def safe_point(self) -> None:
        """Stop the run here if it must not write any more.

        Raises:
            InterruptedRunError: Somebody asked it to stop.
            LeaseLostError: The lease is no longer surely held.
        """
        stop_if(self.stop_requested(), begun=self.begun.yet)
        self.lease.check()

    async def turn(self, documents: int) -> None:
        """Wait until so many documents may be written.

        Raises:
            InterruptedRunError: Somebody asked the run to stop.
            LeaseLostError: The lease is no longer surely held.
        """
        await self.throttle.before(documents, self.safe_point)

    def allow(self, name: str) -> None:
        """Fail where the run may not write to a collection, whatever its journal says.

        Asked immediately before each write.

        Raises:
            DamagedRecordsError: It may not.
        """
        if name not in self.targets and not name.startswith(OWN_PREFIX):
            raise DamagedRecordsError(
                f"The records of run {self.run_id} name the collection {name!r}, to which this "
                "tool never writes.",
                next_step="Nothing was written to it. Somebody changed the records; restore the "
                "backup if the database cannot be trusted.",
                collection=name,
            )
        self.begun.yet = True

    def collection(self, name: str) -> Collection:
        """A collection for one write, durable, which is to follow at once.

        Raises:
            DamagedRecordsError: The run may not write to it.
            InterruptedRunError: Somebody asked the run to stop.
            LeaseLostError: The lease is no longer surely held.
        """
        self.safe_point()
        self.allow(name)
        return self.store.database.get_collection(name, write_concern=DURABLE)


def stop_if(requested: bool, *, begun: bool = True) -> None:
    """Stop a run that was asked to.

    Args:
        requested: Whether it was.
        begun: Whether there is anything that the same command again would finish.

    Raises:
        NothingBegunError: It was, before its first write.
        InterruptedRunError: It was, later.
    """
    if requested and not begun:
        raise NothingBegunError
    if requested:
        raise InterruptedRunError(
            "The run stopped at a safe point, as asked.",
            next_step="The same command again finishes it.",
        )
