"""Whether the user of the connection string may do what a command does.

The server's own list of privileges is read (``connectionStatus``), so that custom roles count as
well as built-in ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from newbi_migrate.checks import Check, Level
from newbi_migrate.choices import Purpose
from newbi_migrate.documents.better_auth import TARGET_COLLECTIONS
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import NotPermittedError
from newbi_migrate.store.collections import collection_names
from newbi_migrate.store.faults import explained
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import OWN_COLLECTIONS
from newbi_migrate.store.server import granted

__all__ = ["look_at_rights"]


_READING: Final = frozenset({"find", "listIndexes", "collStats"})
_WRITING: Final = frozenset({"insert", "update", "remove", "createCollection", "createIndex"})
_DROPPING: Final = frozenset({"dropCollection", "dropIndex", "renameCollectionSameDB"})
_EVERYWHERE: Final = frozenset({"listCollections"})

_NEEDED: Final[Mapping[Purpose, tuple[frozenset[str], str]]] = {
    Purpose.PLAN: (_READING, "read"),
    Purpose.BACKUP: (_READING, "read"),
    Purpose.VALIDATE: (_READING, "read"),
    Purpose.MIGRATE: (_READING | _WRITING, "readWrite"),
    Purpose.ROLLBACK: (_READING | _WRITING | _DROPPING, "readWrite"),
    Purpose.FINALIZE: (_READING | _WRITING | _DROPPING, "readWrite"),
}


async def look_at_rights(database: Database, registry: Registry, purpose: Purpose) -> list[Check]:
    """Compare what is needed with what the server grants."""
    grants = await granted(database)
    if grants is None:
        try:
            with explained("looking at the collections"):
                await collection_names(database)
        except NotPermittedError as error:
            return [Check("rights", Level.FAILED, error.what, error.next_step)]
        return [Check("rights", Level.OK, "The connection string names no user.")]
    needed, role = _NEEDED[purpose]
    names = [*(spec.name for spec in registry), *TARGET_COLLECTIONS]
    names += [] if purpose in (Purpose.PLAN, Purpose.BACKUP) else OWN_COLLECTIONS
    lacking = {action for name in names for action in needed - grants.on(name)}
    lacking |= _EVERYWHERE - grants.on("")
    if lacking:
        return [
            Check(
                "rights",
                Level.FAILED,
                f"This user may not do all that {purpose.value} does on {database.name}: "
                f"{', '.join(sorted(lacking))} {'is' if len(lacking) == 1 else 'are'} missing.",
                f"Grant the role {role} on {database.name}.",
            )
        ]
    return [Check("rights", Level.OK, f"This user may do all that {purpose.value} does.")]
