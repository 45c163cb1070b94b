"""Take back users of whom a process that stopped had written a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from newbi_migrate.store.ids import id_key
from newbi_migrate.store.journal import EntryKind, Journal, JournalEntry
from newbi_migrate.store.session import LeasedSession
from newbi_migrate.store.user_documents import Presence, presence_of, take_back

__all__ = ["take_back_partly_written"]


async def take_back_partly_written(session: LeasedSession, journal: Journal) -> None:
    """Take back the users of whom a process that stopped had written a part.

    What was written in a transaction is all there or none. Elsewhere the server may have refused
    the rest, and the process died before it took the beginning back. A user of whom somebody
    changed a document since stays, to be completed.

    Args:
        session: The leased session.
        journal: Journal of the run, in which nothing is pending any more.

    Raises:
        NewbiMigrateError: The session stopped it.
    """
    for entry in await journal.uncertain():
        if entry.kind is EntryKind.USERS and entry.session_id is None:
            await _take_back(session, journal, entry)


async def _take_back(session: LeasedSession, journal: Journal, entry: JournalEntry) -> None:
    writes = entry.writes()
    presences = await presence_of(session.database, writes, comment=session.comment)
    of_user: dict[bytes, list[int]] = defaultdict(list)
    for position, write in enumerate(writes):
        of_user[id_key(write.user)].append(position)
    partly = {
        user: positions
        for user, positions in of_user.items()
        if {presences[position] for position in positions} == {Presence.ABSENT, Presence.INTACT}
        and not all(writes[position].certain for position in positions)
    }
    for user in await _written_again(journal, entry, partly):
        del partly[user]
    if not partly:
        return
    going = {position for positions in partly.values() for position in positions}
    # Noted first: what is to be deleted is not to be taken for what somebody else deleted.
    stored = [
        {**write, "certain": False} if position in going else write
        for position, write in enumerate(entry.stored_writes())
    ]
    await journal.revise(entry.seq, {"writes": stored})
    await take_back(session, [writes[position] for position in sorted(going)])


async def _written_again(
    journal: Journal, entry: JournalEntry, users: Iterable[bytes]
) -> set[bytes]:
    """The users whom a later entry names: what is there is what that one wrote."""
    wanted, found = set(users), set[bytes]()
    if not wanted:
        return found
    async for later in journal.entries():
        if later.kind is EntryKind.USERS and later.seq > entry.seq:
            found |= wanted & {id_key(write.user) for write in later.writes()}
    return found
